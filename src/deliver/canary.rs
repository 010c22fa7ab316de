//! Chooses the users whose rows are sent and read back before all others.
//!
//! The choice depends on nothing but the plan. Users are taken until each attribute of the plan has a row among theirs, those
//! with the most attributes first, and then more of them up to the number that was asked for. All rows of these users are
//! sent first, except those that change the id by which the run knows the user: it could not be read back.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use fixedbitset::FixedBitSet;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::event::CanaryFailure;
use super::read_back::{PlanRow, Verified};
use super::user_set::UserSet;
use crate::plan::{Batch, Phase, Plan, User};

/// How many users of each attribute are looked at. Among the first of them are those who have most attributes, if the
/// attributes come from the same rows of the input.
const CANDIDATES: usize = 200;

/// The rows that are sent and read back before all others; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canary {
    /// Ascending.
    rows: Vec<PlanRow>,
    users: usize,
    uncovered: Vec<String>,
    needed: usize,
}

/// A user that may be chosen, with its rows in the order of the plan.
#[derive(Debug, Default)]
struct Candidate {
    rows: Vec<PlanRow>,
    /// The numbers of its attributes.
    attributes: FixedBitSet,
}

impl Canary {
    /// Chooses this many users of the plan. It goes through all of its rows.
    pub fn choose(plan: &Plan, users: usize) -> Self {
        if users == 0 {
            return Self::default();
        }
        let attributes = attributes(plan);
        let mut candidates = candidates(plan, &attributes, users);

        let mut canary = Self::default();
        let mut covered = FixedBitSet::with_capacity(attributes.len());
        while let Some(best) = most_new(&candidates, &covered)
            && let Some(chosen) = candidates.remove(&best)
        {
            if canary.needed >= users {
                let new = chosen.attributes.difference(&covered).map(|attribute| attributes[attribute].start);
                canary.uncovered.extend(new.map(|group| plan.attribute(group).name.clone()));
            }
            covered.union_with(&chosen.attributes);
            canary.needed += 1;
            canary.take(chosen, users);
        }
        for (_, candidate) in candidates {
            canary.take(candidate, users);
        }
        canary.rows.sort_unstable();
        canary
    }

    /// How many users were chosen.
    pub fn users(&self) -> usize {
        self.users
    }

    /// The attributes that have no row among those of the chosen users, because more of them would have been needed.
    pub fn uncovered(&self) -> &[String] {
        &self.uncovered
    }

    /// About how many users have a row of each attribute among theirs.
    pub fn needed(&self) -> usize {
        self.needed
    }

    fn take(&mut self, candidate: Candidate, most: usize) {
        if self.users < most {
            self.users += 1;
            self.rows.extend(candidate.rows);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn rows(&self) -> &[PlanRow] {
        &self.rows
    }

    pub(super) fn has(&self, group: u32, place: u32) -> bool {
        self.rows.binary_search(&PlanRow { group, place }).is_ok()
    }

    /// The users to send to, in the order of the plan, in parts of at most this many.
    pub(super) fn requests(&self, batch_size: usize) -> impl Iterator<Item = UserSet> + '_ {
        let groups = self.rows.chunk_by(|one, other| one.group == other.group);
        let parts = groups.flat_map(move |group| group.chunks(batch_size));
        parts.map(|rows| UserSet::of(rows[0].group, rows.iter().map(|row| row.place)))
    }

    /// The users of a batch that were not chosen; `None` if all were.
    pub(super) fn others(&self, batch: Batch) -> Option<UserSet> {
        let Batch { group, first, len } = batch;
        let from = self.rows.partition_point(|row| *row < PlanRow { group, place: first });
        let is_within = self.rows.get(from).is_some_and(|row| row.group == group && row.place < first + len);
        let users = UserSet::from(batch);
        if !is_within {
            return Some(users);
        }
        let (_, others) = users.partition(|place| self.has(group, place));
        Some(others).filter(|others| !others.is_empty())
    }
}

/// The user with the most attributes that are not covered, if there is one with any. Of several, the one with the lowest
/// number.
fn most_new(candidates: &BTreeMap<u64, Candidate>, covered: &FixedBitSet) -> Option<u64> {
    let new = |candidate: &Candidate| candidate.attributes.difference(covered).count();
    let all = candidates.iter().map(|(user, candidate)| (new(candidate), Reverse(*user)));
    all.max().filter(|(new, _)| *new > 0).map(|(_, Reverse(user))| user)
}

/// What is wrong with what was read back of the canary, if anything is.
pub(super) fn failure(verified: &Verified) -> Option<CanaryFailure> {
    let Verified { asked, checked, differing, unread, .. } = verified;
    if *differing > 0 {
        return Some(CanaryFailure::Differs { differing: *differing, checked: *checked });
    }
    (checked < asked).then(|| CanaryFailure::Unread { unread: asked - checked, why: unread.clone() })
}

/// The attributes that can be read back afterwards: the first group of each, and the one after its last.
fn attributes(plan: &Plan) -> Vec<Range<u32>> {
    let firsts: Vec<u32> = plan.first_groups().collect();
    let ends = firsts.iter().copied().skip(1).chain([plan.groups()]);
    let keeps_ids = |groups: &Range<u32>| {
        plan.phase(Batch { group: groups.start, first: 0, len: 1 }) != Phase::Identity
            || matches!(plan.user(groups.start, 0), User::Id(_))
    };
    firsts.iter().copied().zip(ends).map(|(first, end)| first..end).filter(keeps_ids).collect()
}

/// Some users of each attribute, and at least as many as are to be chosen if there are so many, with their rows.
fn candidates(plan: &Plan, attributes: &[Range<u32>], users: usize) -> BTreeMap<u64, Candidate> {
    let whole = |group| Batch { group, first: 0, len: plan.group_len(group) };
    let mut candidates: HashMap<u64, Candidate, RandomState> = HashMap::default();
    for groups in attributes {
        let of_attribute = groups.clone().flat_map(|group| plan.user_numbers(whole(group)));
        candidates.extend(of_attribute.take(CANDIDATES).map(|user| (user, Candidate::default())));
    }
    let attribute_of = |group| {
        let attribute = attributes.partition_point(|groups| groups.end <= group);
        attributes.get(attribute).is_some_and(|groups| groups.contains(&group)).then_some(attribute)
    };
    if candidates.len() < users {
        for (_, _, user) in plan.all_rows().filter(|(group, ..)| attribute_of(*group).is_some()) {
            candidates.entry(user).or_default();
            if candidates.len() == users {
                break;
            }
        }
    }
    for (group, place, user) in plan.all_rows() {
        if let Some(candidate) = candidates.get_mut(&user)
            && let Some(attribute) = attribute_of(group)
        {
            candidate.rows.push(PlanRow { group, place });
            candidate.attributes.grow_and_insert(attribute);
        }
    }
    candidates.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroU32;

    use super::*;
    use crate::input::{Dictionary, ReadOptions, Row, Sink as _};
    use crate::plan::{Builder, OnConflict};

    fn plan(rows: &[(&str, &str, &str)], by_custom_id: bool) -> Plan {
        let mut dictionary = Dictionary::new(&ReadOptions::default());
        let mut builder = Builder::new(OnConflict::Last);
        for (user, attribute, value) in rows {
            let attribute = dictionary.attribute_id(attribute).unwrap();
            let value = dictionary.intern(attribute, value);
            let user = if by_custom_id { dictionary.intern_user(user) } else { user.parse().unwrap() };
            builder.accept(Row { user, attribute, value });
        }
        builder.finish(dictionary, NonZeroU32::new(1000).unwrap()).unwrap()
    }

    /// The chosen rows as (user, attribute).
    fn chosen(plan: &Plan, canary: &Canary) -> BTreeSet<(String, String)> {
        let text = |row: &PlanRow| {
            (plan.user(row.group, row.place).to_string(), plan.attribute(row.group).name.clone())
        };
        canary.rows.iter().map(text).collect()
    }

    fn users(plan: &Plan, canary: &Canary) -> Vec<String> {
        let users: BTreeSet<String> = chosen(plan, canary).into_iter().map(|(user, _)| user).collect();
        users.into_iter().collect()
    }

    const ROWS: [(&str, &str, &str); 9] = [
        ("1", "city", "Oslo"),
        ("2", "city", "Oslo"),
        ("3", "city", "Bergen"),
        ("3", "country", "Norway"),
        ("3", "score", "7"),
        ("4", "country", "Norway"),
        ("5", "email", "ann@example.com"),
        ("5", "custom_id", "u-5"),
        ("5", "city", "Oslo"),
    ];

    #[test]
    fn as_few_users_as_can_be_cover_all_attributes_with_all_of_their_rows() {
        let plan = plan(&ROWS, false);
        let canary = Canary::choose(&plan, 2);
        assert_eq!(
            (users(&plan, &canary), canary.users(), canary.needed()),
            (vec!["3".into(), "5".into()], 2, 2)
        );
        assert_eq!((canary.rows.len(), canary.uncovered().len()), (6, 0));
        let more = Canary::choose(&plan, 3);
        assert_eq!(users(&plan, &more), ["1", "3", "5"]);
        assert_eq!(Canary::choose(&plan, 100).rows.len(), ROWS.len());
        assert!(Canary::choose(&plan, 0).is_empty());
    }

    #[test]
    fn users_are_added_up_to_the_number_asked_for() {
        let ids: Vec<String> = (1..=300).map(|id| id.to_string()).collect();
        let rows: Vec<(&str, &str, &str)> = ids.iter().map(|id| (id.as_str(), "city", "Oslo")).collect();
        let plan = plan(&rows, false);
        for (asked, chosen) in [(CANDIDATES, CANDIDATES), (250, 250), (300, 300), (301, 300)] {
            assert_eq!(Canary::choose(&plan, asked).users(), chosen);
        }
    }

    #[test]
    fn attributes_that_too_few_users_leave_out_are_named() {
        let plan = plan(&ROWS, false);
        let canary = Canary::choose(&plan, 1);
        assert_eq!(users(&plan, &canary), ["3"]);
        assert_eq!((canary.uncovered(), canary.needed()), (&["email".to_owned(), "custom_id".into()][..], 2));
    }

    #[test]
    fn a_users_own_id_is_not_changed_before_it_is_read_back_by_it() {
        let plan = plan(&ROWS, true);
        let canary = Canary::choose(&plan, 100);
        let rows = chosen(&plan, &canary);
        assert_eq!((rows.len(), canary.uncovered().len()), (ROWS.len() - 1, 0));
        assert!(!rows.iter().any(|(_, attribute)| attribute == "custom_id"));
    }

    #[test]
    fn requests_and_what_is_left_of_batches_make_up_the_plan() {
        let plan = plan(&ROWS, false);
        for (number, size) in (0..6).flat_map(|number| [(number, 1), (number, 2), (number, 1000)]) {
            let canary = Canary::choose(&plan, number);
            let left = plan.batches().filter_map(|batch| canary.others(batch));
            let all: Vec<UserSet> = canary.requests(size).chain(left).collect();
            let mut rows: Vec<(u32, u32)> =
                all.iter().flat_map(|users| users.places().map(|place| (users.group, place))).collect();
            let sent = rows.len();
            rows.sort_unstable();
            rows.dedup();
            assert_eq!((sent, rows.len()), (ROWS.len(), ROWS.len()));
        }
    }
}
