//! Takes out of a plan what need not be sent, as the API is known to hold it.
//!
//! What is known comes from newest to oldest, so that what comes first of a user decides. It streams through: one
//! attribute at a time has a bit for each user of whom something has come, and bits for each row that need not be sent.
//! Users of a group ascend, here and there, so that a value's users are compared by walking along both.

mod bits;
mod fingerprint;
mod names;
mod places;
mod sent;
#[cfg(test)]
mod tests;
mod values;
mod walk;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

pub use sent::Sent;

use bits::Bits;
use names::Names;
use places::Places;
use values::Values;
use walk::Walk;

use super::column::Column;
use super::{Plan, User};
use crate::input::Attribute;

/// Why a row need not be sent when the API holds its value already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// Some run sent the value.
    Unchanged,
    /// The run sent it that this one continues.
    Resumed,
}

/// How many rows need not be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spared {
    /// As some run sent the value.
    pub unchanged: u64,
    /// As the run sent it that this one continues.
    pub resumed: u64,
}

/// Takes what is known of one attribute.
#[derive(Debug)]
pub struct Known<'p> {
    names: &'p Names<'p>,
    values: Values<'p>,
    column: &'p Column,
    /// Of most attributes nothing is known when an input comes for the first time.
    told: Option<Told>,
}

/// What was said of a column.
#[derive(Debug)]
struct Told {
    places: Places,
    /// Places of users of whom something has come.
    decided: Bits,
    spared: Marks,
}

/// Which rows of a column need not be sent.
#[derive(Debug)]
struct Marks {
    unchanged: Bits,
    resumed: Bits,
}

impl Plan {
    /// The plan without the rows whose values the API is known to hold, and how many these are.
    ///
    /// `fetch` is called for each attribute, in order, for whatever is known of it; `tell` then says it, in up to so many
    /// threads at the same time. Their first error ends the work; so does a temporary file that can't be written, where
    /// the plan is in one. Takes no memory for an attribute of which nothing is told; else at most 9 bytes for each user
    /// of one attribute in each thread, and about as much for each of its values, unless users' ids are few and farther
    /// apart than 2^32; and again as much for each of the client's ids, where users go by these; beside what was fetched.
    pub fn without<T: Send, E: Send + From<io::Error>>(
        self,
        threads: NonZeroUsize,
        mut fetch: impl FnMut(&Attribute) -> Result<T, E>,
        tell: impl Fn(T, &mut Known<'_>) -> Result<(), E> + Sync,
    ) -> Result<(Self, Spared), E> {
        let mut spared = Spared::default();
        let plan = self.try_map(|columns, users, dictionary| {
            let names = Names::of(users, dictionary);
            let without = |mut column: Column, told: T| {
                let values = Values::new(dictionary, column.attribute, &column.groups);
                let mut known = Known::new(&names, values, &column);
                tell(told, &mut known)?;
                let spared = match known.told {
                    Some(told) => keep(&mut column, &told.spared)?,
                    None => Spared::default(),
                };
                Ok((column, spared))
            };
            thread::scope(|scope| -> Result<_, E> {
                let (mut working, mut done) = (VecDeque::new(), Vec::new());
                let mut finish = |thread: Working<'_, E>| -> Result<(), E> {
                    let (column, less) = thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                    spared.unchanged += less.unchanged;
                    spared.resumed += less.resumed;
                    done.push(column);
                    Ok(())
                };
                for column in columns {
                    let told = fetch(dictionary.attribute(column.attribute))?;
                    if working.len() >= threads.get()
                        && let Some(thread) = working.pop_front()
                    {
                        finish(thread)?;
                    }
                    working.push_back(scope.spawn(|| without(column, told)));
                }
                working.into_iter().try_for_each(finish)?;
                Ok(done)
            })
        })?;
        Ok((plan, spared))
    }
}

/// A thread that takes out of one column what is known.
type Working<'s, E> = ScopedJoinHandle<'s, Result<(Column, Spared), E>>;

impl<'p> Known<'p> {
    fn new(names: &'p Names<'p>, values: Values<'p>, column: &'p Column) -> Self {
        Self { names, values, column, told: None }
    }

    /// Says that all these users, who ascend, got a value, earlier than whatever was said before. Where the plan gives a
    /// user the same one, the row is spared for this reason; with `None` it is to be sent all the same.
    pub fn hold<'u>(
        &mut self,
        value: &Sent<'_>,
        spare: Option<Spare>,
        users: impl Iterator<Item = User<'u>>,
    ) {
        let Some(spare) = spare else { return self.forget(users) };
        let Self { names, values, column, told } = self;
        let Told { places, decided, spared } = told.get_or_insert_with(|| Told::of(column));
        let rows = match spare {
            Spare::Unchanged => &mut spared.unchanged,
            Spare::Resumed => &mut spared.resumed,
        };
        let mut walks: Vec<Walk<'_>> = values
            .find(value)
            .map(|group| Walk::new(&column.ids, column.groups.range(group).places()))
            .collect();
        for user in users.filter_map(|user| names.number(&user)) {
            if places.find(user).is_some_and(|place| decided.insert(place)) {
                for row in walks.iter_mut().filter_map(|walk| walk.find(user)) {
                    rows.insert(row);
                }
            }
        }
    }

    /// Says that nobody knows what these users have, unless something was said before.
    pub fn forget<'u>(&mut self, users: impl Iterator<Item = User<'u>>) {
        let Self { names, column, told, .. } = self;
        let Told { places, decided, .. } = told.get_or_insert_with(|| Told::of(column));
        for place in users.filter_map(|user| places.find(names.number(&user)?)) {
            decided.insert(place);
        }
    }
}

impl Told {
    /// Of a column of which nothing was said yet.
    fn of(column: &Column) -> Self {
        let places = Places::of(column);
        let (decided, rows) = (Bits::new(places.count()), column.ids.len());
        let spared = Marks { unchanged: Bits::new(rows), resumed: Bits::new(rows) };
        Self { places, decided, spared }
    }
}

/// Takes the rows that are spared out of the column. Fails if a temporary file can't be written.
fn keep(column: &mut Column, marks: &Marks) -> io::Result<Spared> {
    let mut spared = Spared::default();
    column.retain(|row| {
        let (resumed, unchanged) = (marks.resumed.has(row), marks.unchanged.has(row));
        spared.resumed += u64::from(resumed);
        spared.unchanged += u64::from(unchanged && !resumed);
        !resumed && !unchanged
    })?;
    column.rows -= spared.unchanged + spared.resumed;
    Ok(spared)
}
