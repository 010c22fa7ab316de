//! Takes out of a plan what need not be sent, as the API is known to hold it.
//!
//! What is known comes from newest to oldest, so that what comes first of a user decides. It streams through: one
//! attribute at a time has a bit for each user of whom something has come, and a bit for each row that need not be sent.
//! Where memory is short it streams through several times, each time for other users (`ranges`).
//! Users of a group ascend, here and there, so that a value's users are compared by walking along both.

mod bits;
mod names;
mod places;
mod ranges;
#[cfg(test)]
mod tests;
mod values;
mod walk;

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use bits::Bits;
use names::UserLookup;
use places::UserIndex;
use values::GroupIndex;
use walk::GroupSearch;

use super::column::Column;
use super::{Plan, SentValue, User};
use crate::input::{Attribute, Options};

/// Why a row need not be sent when the API holds its value already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Some run sent the value.
    Unchanged,
    /// The run sent it that this one continues.
    Resumed,
}

/// How many rows need not be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkippedRows {
    /// As some run sent the value.
    pub unchanged: u64,
    /// As the run sent it that this one continues.
    pub resumed: u64,
}

/// Takes what is known of one attribute.
#[derive(Debug)]
pub struct SkipFilter<'p> {
    names: &'p UserLookup<'p>,
    values: GroupIndex<'p>,
    column: &'p Column,
    /// Users with other numbers are not looked at.
    range: RangeInclusive<u64>,
    /// Of most attributes nothing is known when an input comes for the first time.
    decided: Option<Decided>,
    skipped: Skips,
}

/// What was said of users.
#[derive(Debug)]
struct Decided {
    places: UserIndex,
    /// Places of users of whom something has come.
    decided: Bits,
}

/// Which rows of a column need not be sent.
#[derive(Debug, Default)]
struct Skips {
    rows: Option<Bits>,
    counts: SkippedRows,
}

impl Plan {
    /// The plan without the rows whose values the API is known to hold, and how many these are.
    ///
    /// `fetch` is called for each attribute, in order, for whatever is known of it; `tell` then says it, in up to so many
    /// threads at the same time as the options have. Their first error ends the work; so does a temporary file that can't
    /// be written, where the plan is in one.
    ///
    /// Takes no memory for an attribute of which nothing is known; else a bit for each of its rows, and at most 6 bytes for
    /// each user, or half of the memory that the options name: where that is less, `tell` is called as often as it takes
    /// to look at a part of the users at a time. Not counted are 9 bytes for each value of an attribute, and for each of
    /// the client's ids where users go by these.
    pub fn skip_known<T: Send, E: Send + From<io::Error>>(
        self,
        options: &Options,
        mut fetch: impl FnMut(&Attribute) -> Result<T, E>,
        tell: impl Fn(&T, &mut SkipFilter<'_>) -> Result<(), E> + Sync,
    ) -> Result<(Self, SkippedRows), E> {
        let threads = options.threads.get();
        let mut skipped = SkippedRows::default();
        let plan = self.try_map(|columns, users, dictionary| {
            let room = options.memory / 2 / threads.min(columns.len()).max(1) as u64;
            let names = UserLookup::of(users, dictionary);
            let without = |mut column: Column, decided: T| {
                let values = GroupIndex::new(dictionary, column.attribute, &column.groups);
                let mut filter = SkipFilter::new(&names, values, &column);
                for range in ranges::of(&column, room) {
                    filter.turn_to(range);
                    tell(&decided, &mut filter)?;
                }
                let Skips { rows, counts } = filter.skipped;
                if let Some(rows) = rows {
                    column.retain(|row| !rows.has(row))?;
                    column.rows -= counts.unchanged + counts.resumed;
                }
                Ok((column, counts))
            };
            thread::scope(|scope| -> Result<_, E> {
                let (mut working, mut done) = (VecDeque::new(), Vec::new());
                let mut finish = |thread: Working<'_, E>| -> Result<(), E> {
                    let (column, less) = thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                    skipped.unchanged += less.unchanged;
                    skipped.resumed += less.resumed;
                    done.push(column);
                    Ok(())
                };
                for column in columns {
                    let decided = fetch(dictionary.attribute(column.attribute))?;
                    if working.len() >= threads
                        && let Some(thread) = working.pop_front()
                    {
                        finish(thread)?;
                    }
                    working.push_back(scope.spawn(|| without(column, decided)));
                }
                working.into_iter().try_for_each(finish)?;
                Ok(done)
            })
        })?;
        Ok((plan, skipped))
    }
}

/// A thread that takes out of one column what is known.
type Working<'s, E> = ScopedJoinHandle<'s, Result<(Column, SkippedRows), E>>;

impl<'p> SkipFilter<'p> {
    fn new(names: &'p UserLookup<'p>, values: GroupIndex<'p>, column: &'p Column) -> Self {
        Self { names, values, column, range: 0..=u64::MAX, decided: None, skipped: Skips::default() }
    }

    /// Looks at these users from now on.
    fn turn_to(&mut self, range: RangeInclusive<u64>) {
        self.range = range;
        self.decided = None;
    }

    /// Says that all these users, who ascend, got a value, earlier than whatever was said before. Where the plan gives a
    /// user the same one, the row is skipped for this reason; with `None` it is to be sent all the same.
    pub fn mark_sent<'u>(
        &mut self,
        value: &SentValue<'_>,
        reason: Option<SkipReason>,
        users: impl Iterator<Item = User<'u>>,
    ) {
        let Some(reason) = reason else { return self.mark_unknown(users) };
        let Self { names, values, column, range, decided, skipped } = self;
        let Decided { places, decided } = decided.get_or_insert_with(|| Decided::of(column, range));
        let Skips { rows, counts } = skipped;
        let rows = rows.get_or_insert_with(|| Bits::new(column.ids.len()));
        let count = match reason {
            SkipReason::Unchanged => &mut counts.unchanged,
            SkipReason::Resumed => &mut counts.resumed,
        };
        let mut walks: Vec<GroupSearch<'_>> = values
            .find(value)
            .map(|group| GroupSearch::new(&column.ids, column.groups.range(group).places()))
            .collect();
        for user in users.filter_map(|user| names.number(&user)) {
            if places.find(user).is_some_and(|place| decided.insert(place)) {
                for row in walks.iter_mut().filter_map(|walk| walk.find(user)) {
                    *count += u64::from(rows.insert(row));
                }
            }
        }
    }

    /// Says that nobody knows what these users have, unless something was said before.
    pub fn mark_unknown<'u>(&mut self, users: impl Iterator<Item = User<'u>>) {
        let Self { names, column, range, decided, .. } = self;
        let Decided { places, decided } = decided.get_or_insert_with(|| Decided::of(column, range));
        for place in users.filter_map(|user| places.find(names.number(&user)?)) {
            decided.insert(place);
        }
    }
}

impl Decided {
    /// Of users of whom nothing was said yet.
    fn of(column: &Column, range: &RangeInclusive<u64>) -> Self {
        let places = UserIndex::of(column, range);
        let decided = Bits::new(places.count());
        Self { places, decided }
    }
}
