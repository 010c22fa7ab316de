//! Settles one attribute: which row of each user stands, and who shares a value.

use std::io;
use std::sync::Arc;

use super::OnConflict;
use super::column::Column;
use super::conflict::ConflictCollector;
use super::memory_budget::MemoryBudget;
use super::rows::{Renumbered, Rows, index};
use super::strategy::{Strategy, Workload};
use super::users::UserNumbers;
use super::{dense, resolve_in_parts, sparse};
use crate::input::{AttributeId, Dictionary};

/// The rows of one attribute, and what there is to know for settling them.
#[derive(Debug)]
pub(super) struct UnresolvedRows<'a> {
    pub(super) attribute: AttributeId,
    pub(super) rows: Rows,
    /// How many numbers of values there are.
    pub(super) values: usize,
    pub(super) numbering: Numbering<'a>,
    pub(super) on_conflict: OnConflict,
}

/// What the numbers in rows are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbering<'a> {
    /// Those that the reading gave.
    AsRead { dictionary: &'a Dictionary, users: &'a UserNumbers },
    /// Those of the plan.
    Planned,
}

/// The users' numbers that rows can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) smallest: u64,
    pub(super) largest: u64,
}

impl UnresolvedRows<'_> {
    /// Fails if a temporary file can't be written or read.
    pub(super) fn resolve(self, budget: &MemoryBudget) -> io::Result<Column> {
        let span = self.span();
        match self.size(span).strategy(budget.bytes()) {
            Some(way) => budget.keep(self.resolve_in_memory(way, span)?),
            None => resolve_in_parts::resolve(self, span, budget),
        }
    }

    /// In memory.
    pub(super) fn resolve_in_memory(self, way: Strategy, span: Span) -> io::Result<Column> {
        let (attribute, rows, on_conflict) = (self.attribute, self.rows.len(), self.on_conflict);
        let mut conflicts = ConflictCollector::new(on_conflict, attribute.name_bits());
        let settled = match way {
            Strategy::Table(dense::Width::One, grouping) => {
                dense::resolve::<u8>(self, span, grouping, &mut conflicts)
            }
            Strategy::Table(dense::Width::Two, grouping) => {
                dense::resolve::<u16>(self, span, grouping, &mut conflicts)
            }
            Strategy::Table(dense::Width::Four, grouping) => {
                dense::resolve::<u32>(self, span, grouping, &mut conflicts)
            }
            Strategy::Sort(grouping) => sparse::resolve(self, span, grouping, &mut conflicts),
        };
        Ok(Column::new(attribute, rows, settled?, conflicts, on_conflict))
    }

    /// How much there is to settle. All users' numbers are in the span.
    pub(super) fn size(&self, span: Span) -> Workload {
        Workload { rows: self.rows.len(), values: self.values, span, on_conflict: self.on_conflict }
    }

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

    /// Hands each row over, in the order of the input, with its user's number in the plan. Fails if a temporary file
    /// can't be read.
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

impl Span {
    /// The largest number, less the smallest.
    pub(super) fn reach(self) -> u64 {
        self.largest - self.smallest
    }
}
