//! The rows of one attribute before they are resolved.

use std::io;
use std::sync::Arc;

use super::id_column::Span;
use super::index;
use super::rows::{AttributeRows, Renumbered};
use super::users::UserNumbers;
use super::{OnConflict, strategy::Workload};
use crate::input::{AttributeId, Dictionary};

/// The rows of one attribute, and what is needed to resolve them.
#[derive(Debug)]
pub(super) struct UnresolvedRows<'a> {
    pub(super) attribute: AttributeId,
    pub(super) rows: AttributeRows,
    /// How many value numbers there are.
    pub(super) values: usize,
    pub(super) numbering: Numbering<'a>,
    pub(super) on_conflict: OnConflict,
}

/// Whose numbers the rows have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbering<'a> {
    /// Those of the reading.
    AsRead { dictionary: &'a Dictionary, users: &'a UserNumbers },
    /// Those of the plan.
    Planned,
}

impl UnresolvedRows<'_> {
    /// How much work it is to resolve them. All user numbers are in the span.
    pub(super) fn workload(&self, span: Span) -> Workload {
        Workload { rows: self.rows.len(), values: self.values, span, on_conflict: self.on_conflict }
    }

    /// A span with all user numbers, as they are in the plan.
    pub(super) fn span(&self) -> Span {
        let all = |count: usize| count.checked_sub(1).map(|last| (0, last as u64));
        let bounds = match self.numbering {
            Numbering::AsRead { users: UserNumbers::Custom { order, .. }, .. } => all(order.len()),
            Numbering::AsRead { users: UserNumbers::Ranked(count), .. } => all(*count),
            Numbering::AsRead { users: UserNumbers::Id, .. } | Numbering::Planned => self.rows.bounds(),
        };
        let (smallest, largest) = bounds.unwrap_or_default();
        Span { smallest, largest }
    }

    /// Passes each row to `row`, in the order of the input, with the user's number in the plan. Fails if a temporary
    /// file cannot be read.
    #[inline]
    pub(super) fn drain(self, mut row: impl FnMut(u64, u32)) -> io::Result<()> {
        let Self { attribute, rows, numbering, .. } = self;
        let Numbering::AsRead { dictionary, users } = numbering else {
            return rows.drain(|_| Ok(Renumbered::default()), row);
        };
        let renumbered = |spill| {
            let users = dictionary.renumbered_users(spill)?;
            Ok(Renumbered {
                values: dictionary.renumbered_values(attribute, spill)?.map(Arc::from),
                users: users.map(|users| users.into_iter().map(u64::from).collect()),
            })
        };
        match users {
            UserNumbers::Id | UserNumbers::Ranked(_) => rows.drain(renumbered, row),
            UserNumbers::Custom { ranks, .. } => {
                rows.drain(renumbered, |user, value| row(ranks[index(user)].into(), value))
            }
        }
    }
}
