//! What a ledger needs of the place where it is stored: a file or a database.

use std::fmt;

use std::sync::Arc;

use super::LedgerError;
use super::error::LockHolder;
use super::lease::Lease;
use super::rows::{Field, Table};
use crate::deliver::{Rate, SharedRate};

/// Which rows of a table are read.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    All,
    /// Those whose key is above this one.
    After(u64),
    /// Those with these keys, in this order. There is one for each key, unless it is missing.
    Keys(Vec<u64>),
    /// Those whose columns of these names have these numbers.
    Where(Vec<(&'static str, u64)>),
}

/// A change of one table.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A row is added, or replaces the one with the same key.
    Put(Table, Vec<Field>),
    /// Rows are removed: those with a number from the first to the last one in this column.
    Remove { table: Table, column: &'static str, first: u64, last: u64 },
}

/// Stores tables of rows. What they mean is decided by the other modules of the ledger.
///
/// Several threads may read at the same time. A change is committed by itself, unless it is made between
/// [`begin`](Self::begin) and [`commit`](Self::commit).
pub(super) trait Store: fmt::Debug + Send + Sync {
    /// The run that writes it, if there is one and that can be found out.
    fn holder(&self) -> Option<LockHolder>;

    /// The number of the form of its tables. It is the newest one if the store can be written.
    fn form(&self) -> usize;

    /// Reads these rows, with all columns of the table. They are ordered by key unless the selection has an order.
    fn rows(&self, table: &Table, selection: &Selection) -> Result<Vec<Vec<Field>>, LedgerError>;

    /// The highest key of a table.
    fn last_key(&self, table: &Table) -> Result<Option<u64>, LedgerError>;

    fn change(&self, change: Change) -> Result<(), LedgerError>;

    /// Begins changes that are committed together.
    fn begin(&self) -> Result<(), LedgerError>;

    /// Commits all changes since the beginning. They survive a crash.
    fn commit(&self) -> Result<(), LedgerError>;

    /// Undoes all changes since the beginning.
    fn roll_back(&self);

    /// Adds a row, also if another run has taken the ledger meanwhile.
    fn put_unfenced(&self, table: Table, fields: Vec<Field>) -> Result<(), LedgerError> {
        self.change(Change::Put(table, fields))
    }

    /// How long the ledger may be used, if other machines can reach it.
    fn lease(&self) -> Option<&Arc<Lease>> {
        None
    }

    /// Joins the other processes that share a rate under this name, if the store can connect them. Permits are given only while the
    /// ledger may be used.
    fn share_rate(&self, _quota: &str, _rate: Rate) -> Result<Option<Arc<dyn SharedRate>>, LedgerError> {
        Ok(None)
    }

    /// Gives back the room of what was removed.
    fn shrink(&self) -> Result<(), LedgerError>;
}
