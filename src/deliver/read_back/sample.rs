//! Which acknowledged rows are to be read back.

use rand::rngs::StdRng;

use super::{PlanRow, Reservoir};
use crate::deliver::event::Outcome;
use crate::deliver::options::Verify;
use crate::plan::{Batch, Plan};

/// The rows to read back, collected while rows are finished.
#[derive(Debug)]
pub(in crate::deliver) enum Sample {
    /// Some of those that are acknowledged.
    Some(Box<Reservoir>),
    /// All that are acknowledged. Only the others are kept, as there are few of them.
    AllBut(Vec<Batch>),
}

impl Sample {
    pub(in crate::deliver) fn new(verify: Verify, chance: StdRng) -> Option<Self> {
        match verify {
            Verify::Rows(0) => None,
            Verify::Rows(rows) => Some(Self::Some(Box::new(Reservoir::new(rows, chance)))),
            Verify::All => Some(Self::AllBut(Vec::new())),
        }
    }

    /// Rows are finished.
    pub(in crate::deliver) fn offer(&mut self, batch: Batch, outcome: &Outcome) {
        match (self, outcome) {
            (Self::Some(reservoir), Outcome::Acknowledged) => reservoir.offer(batch),
            (Self::AllBut(others), Outcome::Failed(_) | Outcome::Unsent(_)) => others.push(batch),
            (Self::Some(_), _) | (Self::AllBut(_), Outcome::Acknowledged) => {}
        }
    }

    /// Calls `take` with each row of the sample and the number of its user, once all rows are finished.
    pub(super) fn for_each(self, plan: &Plan, mut take: impl FnMut(u64, PlanRow)) {
        match self {
            Self::Some(reservoir) => {
                for row in reservoir.rows() {
                    take(plan.user_number(row.group, row.place), row);
                }
            }
            Self::AllBut(mut others) => {
                others.sort_unstable();
                let mut others = others.into_iter().peekable();
                for (group, place, user) in plan.all_rows() {
                    let is_past = |other: &Batch| {
                        (other.group, other.first.saturating_add(other.len)) <= (group, place)
                    };
                    while others.next_if(is_past).is_some() {}
                    let is_other =
                        others.peek().is_some_and(|other| (other.group, other.first) <= (group, place));
                    if !is_other {
                        take(user, PlanRow { group, place });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use rand::SeedableRng as _;

    use super::*;
    use crate::deliver::verdict::Reason;
    use crate::input::{Dictionary, ReadOptions, Row, Sink as _};
    use crate::plan::{Builder, OnConflict};

    #[test]
    fn all_rows_are_taken_but_those_that_were_not_acknowledged() {
        let mut dictionary = Dictionary::new(&ReadOptions::default());
        let mut builder = Builder::new(OnConflict::Last);
        for (user, city) in [(1, "A"), (2, "A"), (3, "A"), (4, "A"), (5, "A"), (6, "B"), (7, "C"), (8, "C")] {
            let attribute = dictionary.attribute_id("city").unwrap();
            let value = dictionary.intern(attribute, city);
            builder.accept(Row { user, attribute, value });
        }
        let plan = builder.finish(dictionary, NonZeroU32::new(3).unwrap()).unwrap();
        let group_of = |user| {
            let is_in = |group: &u32| plan.user_numbers(whole(&plan, *group)).any(|other| other == user);
            (0..plan.groups()).find(is_in).unwrap()
        };
        let failed = Outcome::Failed(Reason::default());
        let mut sample = Sample::new(Verify::All, StdRng::seed_from_u64(1)).unwrap();
        sample.offer(Batch { group: group_of(1), first: 3, len: 1 }, &failed);
        sample.offer(Batch { group: group_of(7), first: 0, len: 2 }, &failed);
        sample.offer(Batch { group: group_of(1), first: 0, len: 2 }, &failed);
        sample.offer(Batch { group: group_of(6), first: 0, len: 1 }, &Outcome::Acknowledged);
        let mut users = Vec::new();
        sample.for_each(&plan, |user, row| {
            assert_eq!(plan.user_number(row.group, row.place), user);
            users.push(user);
        });
        users.sort_unstable();
        assert_eq!(users, [3, 5, 6]);
    }

    fn whole(plan: &Plan, group: u32) -> Batch {
        Batch { group, first: 0, len: plan.group_len(group) }
    }
}
