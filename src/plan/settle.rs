//! Settles one attribute: which row of each user stands, and who shares a value.

use std::io;
use std::sync::Arc;

use super::OnConflict;
use super::column::Column;
use super::conflict::Conflicts;
use super::room::Room;
use super::rows::{Renamed, Rows, index};
use super::users::Users;
use super::way::{Size, Way};
use super::{dense, parts, sparse};
use crate::input::{AttributeId, Dictionary};

/// The rows of one attribute, and what there is to know for settling them.
#[derive(Debug)]
pub(super) struct Unsettled<'a> {
    pub(super) attribute: AttributeId,
    pub(super) rows: Rows,
    /// How many numbers of values there are.
    pub(super) values: usize,
    pub(super) naming: Naming<'a>,
    pub(super) on_conflict: OnConflict,
}

/// What the numbers in rows are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Naming<'a> {
    /// Those that the reading gave.
    AsRead { dictionary: &'a Dictionary, users: &'a Users },
    /// Those of the plan.
    Planned,
}

/// The users' numbers that rows can have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) smallest: u64,
    pub(super) largest: u64,
}

impl Unsettled<'_> {
    /// Fails if a temporary file can't be written or read.
    pub(super) fn settle(self, room: &Room) -> io::Result<Column> {
        let span = self.span();
        match self.size(span).way(room.bytes()) {
            Some(way) => room.keep(self.settle_at_once(way, span)?),
            None => parts::settle(self, span, room),
        }
    }

    /// In memory.
    pub(super) fn settle_at_once(self, way: Way, span: Span) -> io::Result<Column> {
        let (attribute, rows, on_conflict) = (self.attribute, self.rows.len(), self.on_conflict);
        let mut conflicts = Conflicts::new(on_conflict, attribute.name_bits());
        let settled = match way {
            Way::Table(dense::Width::One, grouping) => {
                dense::settle::<u8>(self, span, grouping, &mut conflicts)
            }
            Way::Table(dense::Width::Two, grouping) => {
                dense::settle::<u16>(self, span, grouping, &mut conflicts)
            }
            Way::Table(dense::Width::Four, grouping) => {
                dense::settle::<u32>(self, span, grouping, &mut conflicts)
            }
            Way::Sort(grouping) => sparse::settle(self, span, grouping, &mut conflicts),
        };
        Ok(Column::new(attribute, rows, settled?, conflicts, on_conflict))
    }

    /// How much there is to settle. All users' numbers are in the span.
    pub(super) fn size(&self, span: Span) -> Size {
        Size { rows: self.rows.len(), values: self.values, span, on_conflict: self.on_conflict }
    }

    pub(super) fn span(&self) -> Span {
        let all = |count: usize| count.checked_sub(1).map(|last| (0, last as u64));
        let bounds = match self.naming {
            Naming::AsRead { users: Users::Custom { order, .. }, .. } => all(order.len()),
            Naming::AsRead { users: Users::Ranked(count), .. } => all(*count),
            Naming::AsRead { users: Users::Id, .. } | Naming::Planned => self.rows.bounds(),
        };
        let (smallest, largest) = bounds.unwrap_or_default();
        Span { smallest, largest }
    }

    /// Hands each row over, in the order of the input, with its user's number in the plan. Fails if a temporary file
    /// can't be read.
    #[inline]
    pub(super) fn drain(self, mut row: impl FnMut(u64, u32)) -> io::Result<()> {
        let Self { attribute, rows, naming, .. } = self;
        let Naming::AsRead { dictionary, users } = naming else {
            return rows.drain(|_| Ok(Renamed::default()), row);
        };
        let renamed = |epoch| {
            let users = dictionary.renumbered_users(epoch)?;
            Ok(Renamed {
                values: dictionary.renumbered_values(attribute, epoch)?.map(Arc::from),
                users: users.map(|users| users.into_iter().map(u64::from).collect()),
            })
        };
        match users {
            Users::Id | Users::Ranked(_) => rows.drain(renamed, row),
            Users::Custom { ranks, .. } => {
                rows.drain(renamed, |user, value| row(ranks[index(user)].into(), value))
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
