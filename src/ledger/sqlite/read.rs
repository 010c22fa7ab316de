//! Reads rows. Each one must be as it was written, and none may be missing; anything else is an error.

use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::rows::Checksummed;
use super::{AttributeRow, Database, EntryHeader, JournalEntry, LedgerState, RunRow, TargetRow};
use crate::ledger::LedgerError;

/// Rows of known parts, by attribute.
pub(super) const PART_BITS: u32 = 32;

impl Database {
    pub(in crate::ledger) fn state(&self) -> Result<LedgerState, LedgerError> {
        match <[LedgerState; 1]>::try_from(self.all::<LedgerState>()?) {
            Ok([state]) => Ok(state),
            Err(_) => Err(self.damaged("its first row is missing")),
        }
    }

    pub(in crate::ledger) fn targets(&self) -> Result<Vec<TargetRow>, LedgerError> {
        self.all()
    }

    /// Every run, the oldest first.
    pub(in crate::ledger) fn runs(&self) -> Result<Vec<RunRow>, LedgerError> {
        self.all()
    }

    /// Every attribute of every target.
    pub(in crate::ledger) fn attributes(&self) -> Result<Vec<AttributeRow>, LedgerError> {
        self.all()
    }

    /// The number of the newest entry, 0 before the first one.
    pub(in crate::ledger) fn last(&self) -> Result<u64, LedgerError> {
        let expired = self.state()?.expired;
        let last: Option<u64> = self
            .sql(|connection| connection.query_row("SELECT max(entry) FROM journal", (), |row| row.get(0)))?;
        Ok(last.unwrap_or(expired))
    }

    /// What heads each entry of the journal after this one, which has not expired.
    pub(in crate::ledger) fn headings(&self, after: u64) -> Result<Vec<EntryHeader>, LedgerError> {
        let headings = self.all_where::<EntryHeader>(&[&after])?;
        if (after.saturating_add(1)..).zip(&headings).all(|(number, heading)| number == heading.entry) {
            Ok(headings)
        } else {
            Err(self.damaged("entries are missing from its journal"))
        }
    }

    pub(in crate::ledger) fn entry(&self, number: u64) -> Result<JournalEntry, LedgerError> {
        let found = self.sql(|connection| {
            connection.prepare_cached(JournalEntry::SELECT)?.query_row([number], JournalEntry::of).optional()
        })?;
        let (entry, sum) = found.ok_or_else(|| self.damaged("entries are missing from its journal"))?;
        self.intact(entry, sum)
    }

    /// A part of what is known of an attribute, as groups.
    pub(in crate::ledger) fn known_part(
        &self,
        attribute: &AttributeRow,
        part: u64,
    ) -> Result<Vec<u8>, LedgerError> {
        let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u32>(1)?));
        let found = self.sql(|connection| {
            connection
                .prepare_cached("SELECT groups, sum FROM known WHERE place = ?")?
                .query_row(params![attribute.id << PART_BITS | part], read)
                .optional()
        })?;
        match found {
            Some((groups, sum)) if attribute.part_sum(part, &groups) == sum => Ok(groups),
            Some(_) => Err(self.rotten()),
            None => Err(self.damaged("a part of what it knows is missing")),
        }
    }

    pub(super) fn all<T: Checksummed>(&self) -> Result<Vec<T>, LedgerError> {
        self.all_where(&[])
    }

    fn all_where<T: Checksummed>(&self, parameters: &[&dyn ToSql]) -> Result<Vec<T>, LedgerError> {
        let rows: Vec<(T, u32)> = self.sql(|connection| {
            connection.prepare_cached(T::SELECT)?.query_map(parameters, T::of)?.collect()
        })?;
        rows.into_iter().map(|(row, sum)| self.intact(row, sum)).collect()
    }

    fn intact<T: Checksummed>(&self, row: T, sum: u32) -> Result<T, LedgerError> {
        if row.sum() == sum { Ok(row) } else { Err(self.rotten()) }
    }

    pub(super) fn rotten(&self) -> LedgerError {
        self.damaged("a row doesn't agree with its checksum")
    }
}
