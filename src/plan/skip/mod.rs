//! Removes from a plan the rows whose values the API already has.
//!
//! The ledger reports what it knows from newest to oldest, so the first report of a user counts. Reports are not
//! stored: for one attribute at a time there is a bit for each user that has been reported, and a bit for each row to
//! skip. Where memory is short, the reports are read several times, each time for another range of users.
//!
//! Users ascend in each group of the plan and in each report, so both are read side by side.

mod lookup;
#[cfg(test)]
mod tests;
mod user_index;

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use fixedbitset::FixedBitSet;

use lookup::{GroupIndex, GroupSearch, UserLookup};
use user_index::UserIndex;

use super::attribute_plan::AttributePlan;
use super::{Plan, SentValue, User};
use crate::input::Attribute;
use crate::spill::Resources;

/// Why a row is skipped: the API has its value already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// An earlier run sent the value.
    Unchanged,
    /// The run that this one continues sent the value.
    Resumed,
}

/// How many rows are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkippedRows {
    /// An earlier run sent the value.
    pub unchanged: u64,
    /// The run that this one continues sent the value.
    pub resumed: u64,
}

/// Takes the reports of one attribute, from newest to oldest, and marks the rows to skip.
#[derive(Debug)]
pub struct SkipFilter<'p> {
    users: &'p UserLookup<'p>,
    groups: GroupIndex<'p>,
    plan: &'p AttributePlan,
    /// Users outside this range are ignored.
    range: RangeInclusive<u64>,
    /// `None` until there is a report. There is none for most attributes of an input that is new.
    reported: Option<ReportedUsers>,
    /// Rows to skip; `None` until there may be any.
    skipped: Option<FixedBitSet>,
    counts: SkippedRows,
}

/// The users of a range that have been reported.
#[derive(Debug)]
struct ReportedUsers {
    index: UserIndex,
    /// By position in the index.
    reported: FixedBitSet,
}

impl Plan {
    /// The plan without the rows whose values the API already has, and their number.
    ///
    /// `fetch` is called for each attribute, in order, and returns what is known of it. `report` passes this to the
    /// filter, for as many attributes at a time as there are threads. The first error of either ends the work. So
    /// does a temporary file that cannot be written, if the plan is in one.
    ///
    /// An attribute that is reported takes a bit for each row, and up to 6 bytes for each user. If that is more than
    /// half of the memory, `report` is called several times, for a range of users each time. Not counted are 9 bytes
    /// for each value of an attribute, and for each of the client's own ids.
    pub fn skip_known<T: Send, E: Send + From<io::Error>>(
        self,
        resources: &Resources,
        mut fetch: impl FnMut(&Attribute) -> Result<T, E>,
        report: impl Fn(&T, &mut SkipFilter<'_>) -> Result<(), E> + Sync,
    ) -> Result<(Self, SkippedRows), E> {
        let threads = resources.threads.get();
        let mut skipped = SkippedRows::default();
        let plan = self.try_map(|attributes, users, dictionary| {
            let budget = resources.memory / 2 / threads.min(attributes.len()).max(1) as u64;
            let users = UserLookup::new(users, dictionary);
            let skip = |mut plan: AttributePlan, known: T| {
                let groups = GroupIndex::new(dictionary, plan.attribute, &plan.groups);
                let mut filter = SkipFilter::new(&users, groups, &plan);
                for range in user_index::ranges(&plan, budget) {
                    filter.begin_range(range);
                    report(&known, &mut filter)?;
                }
                let SkipFilter { skipped, counts, .. } = filter;
                if let Some(skipped) = skipped {
                    plan.remove(&skipped)?;
                    plan.rows -= counts.unchanged + counts.resumed;
                }
                Ok((plan, counts))
            };
            thread::scope(|scope| -> Result<_, E> {
                let (mut working, mut done) = (VecDeque::new(), Vec::new());
                let mut join = |thread: SkipThread<'_, E>| -> Result<(), E> {
                    let (plan, counts) = thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                    skipped.unchanged += counts.unchanged;
                    skipped.resumed += counts.resumed;
                    done.push(plan);
                    Ok(())
                };
                for plan in attributes {
                    let known = fetch(dictionary.attribute(plan.attribute))?;
                    if working.len() >= threads
                        && let Some(thread) = working.pop_front()
                    {
                        join(thread)?;
                    }
                    working.push_back(scope.spawn(|| skip(plan, known)));
                }
                working.into_iter().try_for_each(join)?;
                Ok(done)
            })
        })?;
        Ok((plan, skipped))
    }
}

/// A thread that skips the rows of one attribute.
type SkipThread<'s, E> = ScopedJoinHandle<'s, Result<(AttributePlan, SkippedRows), E>>;

impl<'p> SkipFilter<'p> {
    fn new(users: &'p UserLookup<'p>, groups: GroupIndex<'p>, plan: &'p AttributePlan) -> Self {
        let (range, counts) = (0..=u64::MAX, SkippedRows::default());
        Self { users, groups, plan, range, reported: None, skipped: None, counts }
    }

    /// Starts again from the newest report, for the users in this range.
    fn begin_range(&mut self, range: RangeInclusive<u64>) {
        self.range = range;
        self.reported = None;
    }

    /// Reports that these users, who ascend, got a value, earlier than all that was reported before. If the plan has
    /// the same value for a user, the row is skipped for this reason; with `None` it is sent all the same.
    pub fn mark_sent<'u>(
        &mut self,
        value: &SentValue<'_>,
        reason: Option<SkipReason>,
        users: impl Iterator<Item = User<'u>>,
    ) {
        let Some(reason) = reason else { return self.mark_unknown(users) };
        let Self { users: lookup, groups, plan, range, reported, skipped, counts } = self;
        let ReportedUsers { index, reported } =
            reported.get_or_insert_with(|| ReportedUsers::new(plan, range));
        let skipped = skipped.get_or_insert_with(|| FixedBitSet::with_capacity(plan.ids.len()));
        let count = match reason {
            SkipReason::Unchanged => &mut counts.unchanged,
            SkipReason::Resumed => &mut counts.resumed,
        };
        let mut searches: Vec<GroupSearch<'_>> = groups
            .find(value)
            .map(|group| GroupSearch::new(&plan.ids, plan.groups.range(group).positions()))
            .collect();
        for user in users.filter_map(|user| lookup.number(&user)) {
            if index.find(user).is_some_and(|position| !reported.put(position)) {
                for row in searches.iter_mut().filter_map(|search| search.find(user)) {
                    *count += u64::from(!skipped.put(row));
                }
            }
        }
    }

    /// Reports that the values of these users are unknown, unless they were reported before.
    pub fn mark_unknown<'u>(&mut self, users: impl Iterator<Item = User<'u>>) {
        let Self { users: lookup, plan, range, reported, .. } = self;
        let ReportedUsers { index, reported } =
            reported.get_or_insert_with(|| ReportedUsers::new(plan, range));
        for position in users.filter_map(|user| index.find(lookup.number(&user)?)) {
            reported.insert(position);
        }
    }
}

impl ReportedUsers {
    fn new(plan: &AttributePlan, range: &RangeInclusive<u64>) -> Self {
        let index = UserIndex::new(plan, range);
        let reported = FixedBitSet::with_capacity(index.len());
        Self { index, reported }
    }
}
