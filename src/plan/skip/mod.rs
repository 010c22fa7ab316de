//! Removes from a plan the rows whose values the API already has.
//!
//! The ledger reports what it knows from newest to oldest, so the first report of a user counts. Reports are not
//! stored: for one attribute at a time there is a bit for each user that has been reported, and a bit for each row to
//! skip. Where memory is short, the reports are read several times, each time for another range of users.
//!
//! A report can also list the users that the account has. Rows of users that it doesn't have are taken out of the plan as
//! well, into a plan of their own.
//!
//! Users ascend in each group of the plan and in each report, so both are read side by side.

mod comparison;
mod lookup;
#[cfg(test)]
mod tests;
mod user_groups;
mod user_index;

use std::collections::HashMap;
use std::io;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use fixedbitset::FixedBitSet;
use serde::{Deserialize, Serialize};

use comparison::Comparison;
use lookup::{GroupIndex, GroupSearch, UserLookup};
use user_groups::UserGroups;
use user_index::UserIndex;

use super::attribute_plan::AttributePlan;
use super::plan::Divided;
use super::{BUFFER, Plan, SentValue, User};
use crate::input::{Attribute, Dictionary};
use crate::spill::Resources;

/// Why a row is skipped: the API has its value already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// An earlier run sent the value.
    Unchanged,
    /// The run that this one continues sent the value.
    Resumed,
}

/// Whether rows are compared with all that is known, and not only looked up to be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// They are.
    Yes,
    /// They are not, which is faster.
    No,
}

/// How many rows something is known of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRows {
    /// An earlier run sent the value, and the row is skipped.
    pub unchanged: u64,
    /// The run that this one continues sent the value, and the row is skipped.
    pub resumed: u64,
    /// An earlier run sent the value, and the row is sent again. Counted only with [`Compare::Yes`].
    pub equal: u64,
    /// An earlier run sent another value. Counted only with [`Compare::Yes`].
    pub changed: u64,
    /// The account doesn't have the user, and the row is taken out.
    pub missing: u64,
}

/// What is known of the rows of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownPlan {
    /// By attribute, in the order of the plan.
    pub attributes: Vec<(String, KnownRows)>,
    /// The most frequent changes from one value to another, if they were counted.
    pub changes: Vec<ValueChange>,
}

/// Users for whom a run would replace one value by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueChange {
    /// The attribute.
    pub attribute: String,
    /// The value that is known.
    pub from: SentValue<'static>,
    /// The value of the plan.
    pub to: SentValue<'static>,
    /// How many users.
    pub users: u64,
}

/// With fewer users for each value than this, a user's value is compared with that of the plan. With more, a known value is
/// looked up once for all of its users.
const USERS_PER_VALUE: usize = 4;

/// About how many times as long a value takes as a user.
const COST_OF_VALUE: u64 = 4;

/// The most changes from one value to another that are kept.
const MOST_CHANGES: usize = 20;

impl KnownRows {
    /// Rows of which a value is known.
    pub fn known(&self) -> u64 {
        self.unchanged + self.resumed + self.equal + self.changed
    }
}

impl KnownPlan {
    /// The rows of all attributes.
    pub fn total(&self) -> KnownRows {
        self.attributes.iter().fold(KnownRows::default(), |sum, (_, rows)| KnownRows {
            unchanged: sum.unchanged + rows.unchanged,
            resumed: sum.resumed + rows.resumed,
            equal: sum.equal + rows.equal,
            changed: sum.changed + rows.changed,
            missing: sum.missing + rows.missing,
        })
    }

    /// The attributes of which a value is known.
    pub fn attributes_with_values(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(|(_, rows)| rows.known() > 0).map(|(name, _)| name.as_str())
    }

    fn add(&mut self, attribute: &str, rows: KnownRows, changes: Vec<ValueChange>) {
        self.attributes.push((attribute.to_owned(), rows));
        self.changes.extend(changes);
        self.changes.sort_by_key(|change| std::cmp::Reverse(change.users));
        self.changes.truncate(MOST_CHANGES);
    }
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
    /// Rows of users that the account doesn't have.
    missing: Option<FixedBitSet>,
    counts: KnownRows,
    compare: Compare,
    /// Whether values are compared user by user, and not looked up.
    is_by_user: bool,
    /// From a known value to a group of the plan: how many users.
    changes: HashMap<(SentValue<'static>, u32), u64>,
}

/// The users of a range that have been reported.
#[derive(Debug)]
struct ReportedUsers {
    index: UserIndex,
    /// By position in the index.
    reported: FixedBitSet,
    /// By position in the index, users that the account has.
    listed: Option<FixedBitSet>,
    /// By position in the index, users that it doesn't have.
    missing: Option<FixedBitSet>,
    groups: UserGroups,
    comparison: Option<Comparison>,
}

impl Plan {
    /// The plan without the rows whose values the API already has or whose users it doesn't have; the latter, if there are
    /// any; and what is known of all rows.
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
        compare: Compare,
        mut fetch: impl FnMut(&Attribute) -> Result<T, E>,
        report: impl Fn(&T, &mut SkipFilter<'_>) -> Result<(), E> + Sync,
    ) -> Result<(Self, Option<Self>, KnownPlan), E> {
        let threads = resources.threads.get();
        let mut found = KnownPlan::default();
        let (plan, missing) = self.try_divide::<E>(|attributes, users, dictionary| {
            let budget = resources.memory / 2 / threads.min(attributes.len()).max(1) as u64;
            let users = UserLookup::new(users, dictionary);
            let skip = |plan: AttributePlan, known: T| -> Result<_, E> {
                let groups = GroupIndex::new(dictionary, plan.attribute, &plan.groups);
                let mut filter = SkipFilter::new(&users, groups, &plan, compare);
                for range in user_index::ranges(&plan, budget) {
                    filter.begin_range(range);
                    report(&known, &mut filter)?;
                    filter.end_range();
                }
                let changes = filter.changes(dictionary);
                let SkipFilter { skipped, missing, counts, .. } = filter;
                let divided = divide(plan, skipped, missing, counts)?;
                Ok((divided, counts, changes))
            };
            let mut waiting = Vec::new();
            for (place, plan) in attributes.into_iter().enumerate() {
                let known = fetch(dictionary.attribute(plan.attribute))?;
                waiting.push((place, plan, known));
            }
            // Those that take longest come first, so that no thread is left alone with one.
            waiting.sort_by_key(|(_, plan, _)| plan.users() + u64::from(plan.groups.len()) * COST_OF_VALUE);
            let next = || waiting.pop();
            let mut done = in_threads::<_, _, E>(threads, &Mutex::new(next), |(place, plan, known)| {
                let (divided, counts, changes) = skip(plan, known)?;
                Ok((place, divided, counts, changes))
            })?;
            done.sort_by_key(|(place, ..)| *place);
            let divided = done.into_iter().map(|(_, divided, counts, changes)| {
                found.add(&dictionary.attribute(divided.kept.attribute).name, counts, changes);
                divided
            });
            Ok(divided.collect())
        })?;
        Ok((plan, missing, found))
    }
}

/// Takes the rows out of a plan that are not sent, and returns those of missing users on their own.
fn divide(
    mut plan: AttributePlan,
    skipped: Option<FixedBitSet>,
    missing: Option<FixedBitSet>,
    counts: KnownRows,
) -> io::Result<Divided> {
    let taken =
        missing.as_ref().filter(|_| counts.missing > 0).map(|rows| plan.selected(rows)).transpose()?;
    let removed = match (skipped, missing) {
        (Some(mut skipped), Some(missing)) => {
            skipped.union_with(&missing);
            Some(skipped)
        }
        (skipped, missing) => skipped.or(missing),
    };
    if let Some(removed) = removed {
        plan.remove(&removed)?;
        plan.rows -= counts.unchanged + counts.resumed + counts.missing;
    }
    Ok(Divided { kept: plan, taken })
}

/// Does what `next` returns in several threads, until there is no more. The first error is returned.
fn in_threads<Job, Done: Send, E: Send>(
    threads: usize,
    next: &Mutex<impl FnMut() -> Option<Job> + Send>,
    work: impl Fn(Job) -> Result<Done, E> + Sync,
) -> Result<Vec<Done>, E> {
    let next = || next.lock().unwrap_or_else(PoisonError::into_inner)();
    let work_all = || std::iter::from_fn(next).map(&work).collect::<Result<Vec<_>, E>>();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work_all)).collect();
        let mut done = Vec::new();
        for worker in workers {
            done.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(done)
    })
}

impl<'p> SkipFilter<'p> {
    fn new(
        users: &'p UserLookup<'p>,
        groups: GroupIndex<'p>,
        plan: &'p AttributePlan,
        compare: Compare,
    ) -> Self {
        let (range, counts) = (0..=u64::MAX, KnownRows::default());
        let changes = HashMap::new();
        Self {
            users,
            groups,
            plan,
            range,
            reported: None,
            skipped: None,
            missing: None,
            counts,
            compare,
            is_by_user: plan.groups.len() as usize > plan.ids.len() / USERS_PER_VALUE,
            changes,
        }
    }

    /// Starts again from the newest report, for the users in this range.
    fn begin_range(&mut self, range: RangeInclusive<u64>) {
        self.range = range;
        self.reported = None;
    }

    /// Counts what was found out about the users of the range.
    fn end_range(&mut self) {
        let Some(ReportedUsers { index, comparison, missing, .. }) = self.reported.take() else { return };
        if let Some(missing) = missing.filter(|missing| !missing.is_clear()) {
            self.take_out(&index, &missing);
        }
        let Some(comparison) = comparison else { return };
        let (changed, changes) = comparison.finish(self.plan, &self.range, &index);
        self.counts.changed += changed;
        for (change, users) in changes {
            *self.changes.entry(change).or_default() += users;
        }
    }

    /// Marks the rows of missing users.
    fn take_out(&mut self, index: &UserIndex, missing: &FixedBitSet) {
        let Self { plan, range, counts, .. } = self;
        let rows = self.missing.get_or_insert_with(|| FixedBitSet::with_capacity(plan.ids.len()));
        for (row, user) in plan.ids.reader(0..plan.ids.len(), BUFFER).enumerate() {
            if range.contains(&user) && index.find(user).is_some_and(|position| missing.contains(position)) {
                rows.insert(row);
                counts.missing += 1;
            }
        }
    }

    /// The most frequent changes from one value to another.
    fn changes(&self, dictionary: &Dictionary) -> Vec<ValueChange> {
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_by(|(one, users), (other, more)| more.cmp(users).then_with(|| one.cmp(other)));
        let attribute = self.plan.attribute;
        let change = |((from, group), users): (&(SentValue<'static>, u32), &u64)| ValueChange {
            attribute: dictionary.attribute(attribute).name.clone(),
            from: from.clone(),
            to: lookup::sent_value(dictionary, attribute, &self.plan.groups, *group).into_owned(),
            users: *users,
        };
        changes.into_iter().take(MOST_CHANGES).map(change).collect()
    }

    /// Reports that these users, who ascend, got a value, earlier than all that was reported before. If the plan has
    /// the same value for a user, the row is skipped for this reason; with `None` it is sent all the same.
    pub fn mark_sent<'u>(
        &mut self,
        value: &SentValue<'_>,
        reason: Option<SkipReason>,
        users: impl Iterator<Item = User<'u>>,
    ) {
        if reason.is_none() && self.compare == Compare::No {
            return self.mark_unknown(users);
        }
        let is_by_user = self.is_by_user;
        let Self { users: lookup, groups, plan, range, reported, skipped, counts, compare, .. } = self;
        let ReportedUsers { index, reported, groups: groups_of, comparison, .. } =
            reported.get_or_insert_with(|| ReportedUsers::new(plan, range, *compare));
        let skipped = skipped.get_or_insert_with(|| FixedBitSet::with_capacity(plan.ids.len()));
        let count = match reason {
            Some(SkipReason::Unchanged) => &mut counts.unchanged,
            Some(SkipReason::Resumed) => &mut counts.resumed,
            None => &mut counts.equal,
        };
        let search = |group| GroupSearch::new(&plan.ids, plan.groups.range(group).positions());
        let mut searches: Vec<GroupSearch<'_>> =
            if is_by_user { Vec::new() } else { groups.find(value).map(search).collect() };
        for user in users.filter_map(|user| lookup.number(&user)) {
            let Some(position) = index.find(user).filter(|position| !reported.put(*position)) else {
                continue;
            };
            let row = if is_by_user {
                let group = groups_of.of(position, plan, range, index);
                group.filter(|group| groups.means(*group, value)).and_then(|group| search(group).find(user))
            } else {
                searches.iter_mut().find_map(|search| search.find(user))
            };
            match row {
                Some(_) if reason.is_none() => *count += 1,
                Some(row) => *count += u64::from(!skipped.put(row)),
                None => {
                    if let Some(comparison) = comparison {
                        comparison.differs(position, value, || groups_of.of(position, plan, range, index));
                    }
                }
            }
        }
    }

    /// Reports that the rows of these users are done, earlier than all that was reported before. They are skipped, whatever
    /// value they have.
    pub fn mark_done<'u>(&mut self, users: impl Iterator<Item = User<'u>>) {
        self.known();
        let Self { users: lookup, plan, range, reported: Some(known), skipped, counts, .. } = self else {
            return;
        };
        let ReportedUsers { index, reported, groups, .. } = known;
        let skipped = skipped.get_or_insert_with(|| FixedBitSet::with_capacity(plan.ids.len()));
        for user in users.filter_map(|user| lookup.number(&user)) {
            let Some(position) = index.find(user).filter(|position| !reported.put(*position)) else {
                continue;
            };
            let group = groups.of(position, plan, range, index);
            let find = |group| GroupSearch::new(&plan.ids, plan.groups.range(group).positions()).find(user);
            counts.resumed += group.and_then(find).map_or(0, |row| u64::from(!skipped.put(row)));
        }
    }

    /// Reports users that the account had when its list was read.
    pub fn mark_listed<'u>(&mut self, users: impl Iterator<Item = User<'u>>) {
        let lookup = self.users;
        let ReportedUsers { index, listed, .. } = self.known();
        let listed = listed.get_or_insert_with(|| FixedBitSet::with_capacity(index.len()));
        for position in users.filter_map(|user| index.find(lookup.number(&user)?)) {
            listed.insert(position);
        }
    }

    /// Reports that the account had no other users than those [listed](Self::mark_listed). Users that were reported before,
    /// which is later in time, may be new.
    pub fn end_list(&mut self) {
        let ReportedUsers { index, reported, listed, missing, .. } = self.known();
        let others = missing.insert(FixedBitSet::with_capacity(index.len()));
        others.insert_range(..);
        others.difference_with(&listed.take().unwrap_or_default());
        others.difference_with(reported);
        reported.union_with(others);
    }

    fn known(&mut self) -> &mut ReportedUsers {
        let Self { plan, range, reported, compare, .. } = self;
        reported.get_or_insert_with(|| ReportedUsers::new(plan, range, *compare))
    }

    /// Reports that the values of these users are unknown, unless they were reported before.
    pub fn mark_unknown<'u>(&mut self, users: impl Iterator<Item = User<'u>>) {
        let lookup = self.users;
        let ReportedUsers { index, reported, .. } = self.known();
        for position in users.filter_map(|user| index.find(lookup.number(&user)?)) {
            reported.insert(position);
        }
    }
}

impl ReportedUsers {
    fn new(plan: &AttributePlan, range: &RangeInclusive<u64>, compare: Compare) -> Self {
        let index = UserIndex::new(plan, range);
        let reported = FixedBitSet::with_capacity(index.len());
        let comparison = (compare == Compare::Yes).then(|| Comparison::new(plan, &index));
        Self { index, reported, listed: None, missing: None, groups: UserGroups::default(), comparison }
    }
}
