//! What the second form of the file adds: readings of the list of users, and what was known before a run.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::checksum::Checksum;
use super::rows::{Checksummed, millis, moment};
use super::{Database, JournalEntry};
use crate::ledger::LedgerError;

/// The form of the file that has these tables.
const FORM: usize = 2;

/// A run that read the list of users.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct PullRow {
    pub(in crate::ledger) run: u64,
    /// The entry before the first one of the reading.
    pub(in crate::ledger) begun: u64,
    /// Its last entry.
    pub(in crate::ledger) last: u64,
    /// When the reading began.
    pub(in crate::ledger) started: Timestamp,
    pub(in crate::ledger) custom: bool,
    pub(in crate::ledger) complete: bool,
    /// The cursor of the next page.
    pub(in crate::ledger) next: Option<String>,
    pub(in crate::ledger) pages: u64,
    pub(in crate::ledger) users: u64,
}

impl PullRow {
    fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { run, begun, last, started, custom, complete, next, pages, users } = self;
        let started = started.as_millisecond();
        let next = next.as_deref().unwrap_or_default();
        let fields = params![run, begun, last, started, custom, complete, next, pages, users, self.sum()];
        connection.execute("REPLACE INTO pull VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fields).map(drop)
    }
}

impl Checksummed for PullRow {
    const SELECT: &'static str = "SELECT run, begun, last, started, custom, complete, next, pages, users, sum \
                                  FROM pull ORDER BY run";

    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let next: String = row.get(6)?;
        let pull = Self {
            run: row.get(0)?,
            begun: row.get(1)?,
            last: row.get(2)?,
            started: moment(row, 3)?,
            custom: row.get(4)?,
            complete: row.get(5)?,
            next: Some(next).filter(|next| !next.is_empty()),
            pages: row.get(7)?,
            users: row.get(8)?,
        };
        Ok((pull, row.get(9)?))
    }

    fn sum(&self) -> u32 {
        let Self { run, begun, last, started, custom, complete, next, pages, users } = self;
        let flags = u64::from(*custom) << 1 | u64::from(*complete);
        let numbers = [*run, *begun, *last, millis(*started), flags, *pages, *users];
        let sum = numbers.into_iter().fold(Checksum::of("pull"), Checksum::number);
        sum.text(next.as_deref().unwrap_or_default()).finish()
    }
}

impl Database {
    /// Every run that read the list of users, the oldest first.
    pub(in crate::ledger) fn pulls(&self) -> Result<Vec<PullRow>, LedgerError> {
        if self.form < FORM { Ok(Vec::new()) } else { self.all() }
    }

    /// Adds such a run, or replaces it with how far it is.
    pub(in crate::ledger) fn put_pull(&self, pull: &PullRow) -> Result<(), LedgerError> {
        self.sql(|connection| pull.put(connection))
    }

    /// What was known before a run of an attribute, part by part, as groups.
    pub(in crate::ledger) fn each_prior(
        &self,
        run: u64,
        attribute: u64,
        mut see: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        if self.form < FORM {
            return Ok(());
        }
        let ids: Vec<u64> = self.sql(|connection| {
            connection
                .prepare_cached("SELECT id FROM prior WHERE run = ? AND attribute = ? ORDER BY id")?
                .query_map([run, attribute], |row| row.get(0))?
                .collect()
        })?;
        ids.into_iter().try_for_each(|id| {
            let (groups, sum): (Vec<u8>, u32) = self.sql(|connection| {
                connection
                    .prepare_cached("SELECT groups, sum FROM prior WHERE id = ?")?
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            })?;
            if prior_sum(run, attribute, &groups) == sum { see(&groups) } else { Err(self.rotten()) }
        })
    }

    /// Adds a part of what was known before a run of an attribute.
    pub(in crate::ledger) fn add_prior(
        &self,
        run: u64,
        attribute: u64,
        groups: &[u8],
    ) -> Result<(), LedgerError> {
        let sum = prior_sum(run, attribute, groups);
        self.sql(|connection| {
            connection
                .prepare_cached("INSERT INTO prior (run, attribute, groups, sum) VALUES (?, ?, ?, ?)")?
                .execute(params![run, attribute, groups, sum])
                .map(drop)
        })
    }

    /// Removes what was known before these runs and all earlier ones.
    pub(in crate::ledger) fn forget_prior(&self, through: u64) -> Result<(), LedgerError> {
        self.sql(|connection| connection.execute("DELETE FROM prior WHERE run <= ?", [through]).map(drop))
    }

    /// Removes the content of an entry, once the known values have it.
    pub(in crate::ledger) fn empty_entry(&self, entry: &JournalEntry) -> Result<(), LedgerError> {
        let empty = JournalEntry { heading: entry.heading, groups: Vec::new() };
        self.sql(|connection| {
            connection
                .prepare_cached("UPDATE journal SET groups = ?, sum = ? WHERE entry = ?")?
                .execute(params![empty.groups, empty.sum(), empty.heading.entry])
                .map(drop)
        })
    }
}

fn prior_sum(run: u64, attribute: u64, groups: &[u8]) -> u32 {
    Checksum::of("prior").number(run).number(attribute).bytes(groups).finish()
}

#[cfg(test)]
mod tests {
    use super::super::schema::{APPLICATION, FORMS};
    use super::super::{Access, LedgerState};
    use super::*;

    #[test]
    fn a_file_of_the_first_form_is_read_as_it_is_and_changed_when_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("ledger");
        let old = Connection::open(path).unwrap();
        old.execute_batch(FORMS[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        LedgerState::new().put(&old).unwrap();
        drop(old);

        let database = Database::open(path, Access::Read).unwrap();
        assert!(database.pulls().unwrap().is_empty());
        database.each_prior(1, 1, |_| panic!("nothing is in it")).unwrap();
        drop(database);
        let database = Database::open(path, Access::Write).unwrap();
        database.add_prior(1, 1, b"groups").unwrap();
        let mut seen = Vec::new();
        let see = |groups: &[u8]| {
            seen.push(groups.to_vec());
            Ok(())
        };
        database.each_prior(1, 1, see).unwrap();
        assert_eq!(seen, [b"groups"]);
        assert_eq!(database.read_form().unwrap(), FORMS.len());
    }
}
