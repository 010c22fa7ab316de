//! Settles one attribute: which row of each user stands, and who shares a value.

use super::OnConflict;
use super::column::{Column, Groups, Ids};
use super::conflict::Conflicts;
use super::rows::{Rows, index};
use super::users::Users;
use super::{dense, sparse};
use crate::input::AttributeId;

/// The rows of one attribute, and what there is to know for settling them.
#[derive(Debug)]
pub(super) struct Unsettled<'a> {
    pub(super) attribute: AttributeId,
    pub(super) rows: Rows,
    /// How many numbers of values there are.
    pub(super) values: usize,
    pub(super) users: &'a Users,
    pub(super) on_conflict: OnConflict,
}

/// The users that keep a value; and by value, where its users end.
pub(super) type Settled = (Ids, Vec<u32>);

/// The users' numbers that rows can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) smallest: u64,
    pub(super) largest: u64,
}

impl Unsettled<'_> {
    pub(super) fn settle(self) -> Column {
        let (attribute, rows, on_conflict) = (self.attribute, self.rows.len(), self.on_conflict);
        let mut conflicts = Conflicts::new(on_conflict);
        let span = self.span();
        let (ids, ends) = match dense::Width::for_table(rows, self.values, span) {
            Some(dense::Width::One) => dense::settle::<u8>(self, span, &mut conflicts),
            Some(dense::Width::Two) => dense::settle::<u16>(self, span, &mut conflicts),
            Some(dense::Width::Four) => dense::settle::<u32>(self, span, &mut conflicts),
            None => sparse::settle(self, span, &mut conflicts),
        };
        let (conflicts, disagreements) = (conflicts.count(), conflicts.into_disagreements());
        let disputed = match on_conflict {
            OnConflict::Last | OnConflict::First => 0,
            OnConflict::Error => {
                disagreements.iter().map(|disagreement| disagreement.values.len() as u64).sum()
            }
        };
        Column { attribute, ids, groups: Groups::of(ends), rows, conflicts, disputed, disagreements }
    }

    fn span(&self) -> Span {
        let bounds = match self.users {
            Users::Id => self.rows.bounds(),
            Users::Custom { order, .. } => order.len().checked_sub(1).map(|last| (0, last as u64)),
        };
        let (smallest, largest) = bounds.unwrap_or_default();
        Span { smallest, largest }
    }

    /// Hands each row over, in the order of the input, with its user's number in the plan.
    #[inline]
    pub(super) fn drain(self, mut row: impl FnMut(u64, u32)) {
        match self.users {
            Users::Id => self.rows.drain(row),
            Users::Custom { ranks, .. } => {
                self.rows.drain(|user, value| row(ranks[index(user)].into(), value));
            }
        }
    }
}

impl Span {
    /// The largest number, less the smallest.
    pub(super) fn reach(self) -> u64 {
        self.largest - self.smallest
    }
}

/// Turns how many users each value has into where these start, if they lie one value after the other; and where the
/// last ones end.
pub(super) fn starts_of(mut counts: Vec<u32>) -> (Vec<u32>, u32) {
    let mut start = 0_u32;
    for count in &mut counts {
        let next =
            start.checked_add(*count).expect("an attribute of 2^32 users is more than batches can number");
        *count = start;
        start = next;
    }
    (counts, start)
}
