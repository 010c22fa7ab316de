//! Writes rows. Each call is a commit of its own, unless it is within [`Database::in_one_commit`].

use rusqlite::params;

use super::read::PART_BITS;
use super::{AttributeRow, Database, JournalEntry, LedgerState, RunRow, TargetRow};
use crate::ledger::LedgerError;

impl Database {
    pub(in crate::ledger) fn put_state(&self, state: &LedgerState) -> Result<(), LedgerError> {
        self.sql(|connection| state.put(connection))
    }

    pub(in crate::ledger) fn put_target(&self, target: &TargetRow) -> Result<(), LedgerError> {
        self.sql(|connection| target.put(connection))
    }

    /// Adds a run, or replaces it with its result.
    pub(in crate::ledger) fn put_run(&self, run: &RunRow) -> Result<(), LedgerError> {
        self.sql(|connection| run.put(connection))
    }

    pub(in crate::ledger) fn put_attribute(&self, attribute: &AttributeRow) -> Result<(), LedgerError> {
        self.sql(|connection| attribute.put(connection))
    }

    /// An entry that follows the newest one.
    pub(in crate::ledger) fn append(&self, entry: &JournalEntry) -> Result<(), LedgerError> {
        self.sql(|connection| entry.put(connection))
    }

    /// Replaces all known values of an attribute by these parts, and sets their number in the attribute, which is to be put
    /// afterwards.
    pub(in crate::ledger) fn replace_known(
        &self,
        attribute: &mut AttributeRow,
        parts: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), LedgerError> {
        let first = attribute.id << PART_BITS;
        attribute.parts = self.sql(|connection| {
            let beyond = (attribute.id + 1) << PART_BITS;
            connection.execute("DELETE FROM known WHERE place >= ? AND place < ?", params![first, beyond])?;
            let mut insert = connection.prepare_cached("INSERT INTO known VALUES (?, ?, ?)")?;
            let mut part = 0;
            for groups in parts {
                insert.execute(params![first | part, groups, attribute.part_sum(part, &groups)])?;
                part += 1;
            }
            Ok(part)
        })?;
        Ok(())
    }

    /// Removes the journal's entries up to this one.
    pub(in crate::ledger) fn forget_entries(&self, through: u64) -> Result<(), LedgerError> {
        self.sql(|connection| connection.execute("DELETE FROM journal WHERE entry <= ?", [through]).map(drop))
    }
}
