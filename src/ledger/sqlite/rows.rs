//! The types of rows.

use jiff::Timestamp;
use rusqlite::{Connection, Error, Row, params};

use super::checksum::Checksum;

/// A row with a checksum.
pub(in crate::ledger) trait Checksummed: Sized {
    /// All rows, in the order in which they were written.
    const SELECT: &'static str;

    /// The row, and the checksum that it was written with.
    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)>;

    /// The checksum of all fields.
    fn sum(&self) -> u32;
}

/// What holds for the whole ledger.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct LedgerState {
    /// Tells this ledger from any other.
    pub(in crate::ledger) identity: u64,
    /// What is known has everything up to this entry.
    pub(in crate::ledger) merged: u64,
    /// The journal has everything after this entry.
    pub(in crate::ledger) expired: u64,
}

/// An API and a kind of users.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct TargetRow {
    pub(in crate::ledger) id: u64,
    pub(in crate::ledger) base_url: String,
    pub(in crate::ledger) users: String,
}

/// A run, as it was described when it began, and how it ended.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct RunRow {
    pub(in crate::ledger) id: u64,
    pub(in crate::ledger) target: u64,
    /// Another run, or 0.
    pub(in crate::ledger) continues: u64,
    /// The entry before the first one of the first run that it continues, and so on; else its own.
    pub(in crate::ledger) begun: u64,
    /// The entry before its own first one.
    pub(in crate::ledger) after: u64,
    pub(in crate::ledger) started: Timestamp,
    pub(in crate::ledger) settings: String,
    /// JSON.
    pub(in crate::ledger) inputs: String,
    pub(in crate::ledger) content: String,
    pub(in crate::ledger) ending: Option<RunEnd>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct RunEnd {
    pub(in crate::ledger) at: Timestamp,
    pub(in crate::ledger) outcome: String,
    /// JSON.
    pub(in crate::ledger) rows: String,
}

/// An attribute of a target.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct AttributeRow {
    pub(in crate::ledger) id: u64,
    pub(in crate::ledger) target: u64,
    pub(in crate::ledger) name: String,
    /// How many parts of it are known.
    pub(in crate::ledger) parts: u64,
    /// The entry up to which they were merged.
    pub(in crate::ledger) generation: u64,
    /// Users in them.
    pub(in crate::ledger) facts: u64,
}

/// The header of a journal entry, without its groups.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct EntryHeader {
    pub(in crate::ledger) entry: u64,
    pub(in crate::ledger) run: u64,
    pub(in crate::ledger) attribute: u64,
    pub(in crate::ledger) at: Timestamp,
    /// How many.
    pub(in crate::ledger) facts: u64,
}

/// What one commit recorded of one attribute.
#[derive(Clone, Debug)]
pub(in crate::ledger) struct JournalEntry {
    pub(in crate::ledger) heading: EntryHeader,
    pub(in crate::ledger) groups: Vec<u8>,
}

impl LedgerState {
    /// Of a new ledger.
    pub(super) fn new() -> Self {
        Self { identity: rand::random::<u64>() >> 1, merged: 0, expired: 0 }
    }

    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let fields = params![self.identity, self.merged, self.expired, self.sum()];
        connection.execute("REPLACE INTO state VALUES (1, ?, ?, ?, ?)", fields).map(drop)
    }
}

impl Checksummed for LedgerState {
    const SELECT: &'static str = "SELECT identity, merged, expired, sum FROM state";

    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let state = Self { identity: row.get(0)?, merged: row.get(1)?, expired: row.get(2)? };
        Ok((state, row.get(3)?))
    }

    fn sum(&self) -> u32 {
        Checksum::of("state").number(self.identity).number(self.merged).number(self.expired).finish()
    }
}

impl TargetRow {
    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let fields = params![self.id, self.base_url, self.users, self.sum()];
        connection.execute("REPLACE INTO target VALUES (?, ?, ?, ?)", fields).map(drop)
    }
}

impl Checksummed for TargetRow {
    const SELECT: &'static str = "SELECT id, base_url, users, sum FROM target ORDER BY id";

    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        Ok((Self { id: row.get(0)?, base_url: row.get(1)?, users: row.get(2)? }, row.get(3)?))
    }

    fn sum(&self) -> u32 {
        Checksum::of("target").number(self.id).text(&self.base_url).text(&self.users).finish()
    }
}

impl RunRow {
    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { id, target, continues, begun, after, started, settings, inputs, content, ending } = self;
        let finished = ending.as_ref().map_or(0, |ending| ending.at.as_millisecond());
        let outcome = ending.as_ref().map(|ending| &ending.outcome);
        let rows = ending.as_ref().map(|ending| &ending.rows);
        let started = started.as_millisecond();
        let sum = self.sum();
        connection
            .execute(
                "REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    id, target, continues, begun, after, started, settings, inputs, content, finished,
                    outcome, rows, sum
                ],
            )
            .map(drop)
    }
}

impl Checksummed for RunRow {
    const SELECT: &'static str = "SELECT id, target, continues, begun, after, started, settings, inputs, content, \
                                  finished, outcome, rows, sum FROM run ORDER BY id";

    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let outcome: Option<String> = row.get(10)?;
        let rows: Option<String> = row.get(11)?;
        let at = moment(row, 9)?;
        let run = Self {
            id: row.get(0)?,
            target: row.get(1)?,
            continues: row.get(2)?,
            begun: row.get(3)?,
            after: row.get(4)?,
            started: moment(row, 5)?,
            settings: row.get(6)?,
            inputs: row.get(7)?,
            content: row.get(8)?,
            ending: outcome.zip(rows).map(|(outcome, rows)| RunEnd { at, outcome, rows }),
        };
        Ok((run, row.get(12)?))
    }

    fn sum(&self) -> u32 {
        let Self { id, target, continues, begun, after, started, settings, inputs, content, ending } = self;
        let numbers = [*id, *target, *continues, *begun, *after, millis(*started)];
        let sum = numbers.into_iter().fold(Checksum::of("run"), Checksum::number);
        let sum = sum.text(settings).text(inputs).text(content);
        match ending {
            None => sum.number(0),
            Some(RunEnd { at, outcome, rows }) => sum.number(1).number(millis(*at)).text(outcome).text(rows),
        }
        .finish()
    }
}

impl AttributeRow {
    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let Self { id, target, name, parts, generation, facts } = self;
        let fields = params![id, target, name, parts, generation, facts, self.sum()];
        connection.execute("REPLACE INTO attribute VALUES (?, ?, ?, ?, ?, ?, ?)", fields).map(drop)
    }

    /// Of the known part of this number.
    pub(super) fn part_sum(&self, part: u64, groups: &[u8]) -> u32 {
        let numbers = [self.id, self.generation, part];
        numbers.into_iter().fold(Checksum::of("known"), Checksum::number).bytes(groups).finish()
    }
}

impl Checksummed for AttributeRow {
    const SELECT: &'static str =
        "SELECT id, target, name, parts, generation, facts, sum FROM attribute ORDER BY id";

    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let attribute = Self {
            id: row.get(0)?,
            target: row.get(1)?,
            name: row.get(2)?,
            parts: row.get(3)?,
            generation: row.get(4)?,
            facts: row.get(5)?,
        };
        Ok((attribute, row.get(6)?))
    }

    fn sum(&self) -> u32 {
        let numbers = [self.id, self.target, self.parts, self.generation, self.facts];
        numbers.into_iter().fold(Checksum::of("attribute"), Checksum::number).text(&self.name).finish()
    }
}

impl JournalEntry {
    pub(super) fn put(&self, connection: &Connection) -> rusqlite::Result<()> {
        let EntryHeader { entry, run, attribute, at, facts } = self.heading;
        let (at, heading) = (at.as_millisecond(), self.heading.sum());
        let fields = params![entry, run, attribute, at, facts, heading, self.groups, self.sum()];
        connection
            .prepare_cached("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?
            .execute(fields)
            .map(drop)
    }
}

impl Checksummed for JournalEntry {
    const SELECT: &'static str =
        "SELECT entry, run, attribute, at, facts, heading, groups, sum FROM journal WHERE entry = ?";

    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let (heading, _) = EntryHeader::of(row)?;
        Ok((Self { heading, groups: row.get(6)? }, row.get(7)?))
    }

    fn sum(&self) -> u32 {
        Checksum::of("journal").number(self.heading.sum().into()).bytes(&self.groups).finish()
    }
}

impl Checksummed for EntryHeader {
    const SELECT: &'static str =
        "SELECT entry, run, attribute, at, facts, heading FROM journal WHERE entry > ? ORDER BY entry";

    fn of(row: &Row<'_>) -> rusqlite::Result<(Self, u32)> {
        let heading = Self {
            entry: row.get(0)?,
            run: row.get(1)?,
            attribute: row.get(2)?,
            at: moment(row, 3)?,
            facts: row.get(4)?,
        };
        Ok((heading, row.get(5)?))
    }

    fn sum(&self) -> u32 {
        let numbers = [self.entry, self.run, self.attribute, millis(self.at), self.facts];
        numbers.into_iter().fold(Checksum::of("heading"), Checksum::number).finish()
    }
}

pub(super) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let millis = row.get(column)?;
    Timestamp::from_millisecond(millis).map_err(|_error| Error::IntegralValueOutOfRange(column, millis))
}

/// As 64 bits of any meaning.
pub(super) fn millis(at: Timestamp) -> u64 {
    at.as_millisecond().cast_unsigned()
}
