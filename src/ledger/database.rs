//! The rows of a ledger, in any store. Each row must be as it was written, and none may be missing; anything else is an error.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::error::LockHolder;
use super::lease::Lease;
#[cfg(feature = "postgres")]
use super::postgres::PostgresStore;
use super::rows::{
    AttributeRow, Doubt, EntryHeader, Field, Fields, JournalEntry, KNOWN, KnownPart, LedgerState, PriorPart,
    PullRow, Record, RunRow, Table, TargetRow,
};
use super::store::{Change, Selection, Store};
use super::{LedgerError, LedgerLocation, sqlite};
use crate::deliver::{self, Rate, SharedRate};

/// How many rows with groups are read at once, …
const ROWS_AT_ONCE: usize = 256;

/// … as long as they have no more values than this, so that they fit the memory.
const FACTS_AT_ONCE: u64 = 100_000;

/// How many known parts are read at once. One may have 256 KiB.
const PARTS_AT_ONCE: usize = 8;

/// What a ledger in a database has to know of a run.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long the run waits while the database is away.
    pub max_outage: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        let deliver::Options { timeout, max_outage, .. } = deliver::Options::default();
        Self { request_timeout: timeout, max_outage }
    }
}

/// An open ledger.
#[derive(Debug)]
pub(super) struct Database {
    location: LedgerLocation,
    store: Box<dyn Store>,
}

impl Database {
    /// Opens a ledger for a run that begins now. Creates it if there is none. No other run can write it meanwhile.
    #[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "a file is never away"))]
    pub(super) fn open_to_write(
        location: &LedgerLocation,
        waits: Waits,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let store: Box<dyn Store> = match location {
            LedgerLocation::File(path) => Box::new(sqlite::File::open_to_write(path, now)?),
            #[cfg(feature = "postgres")]
            LedgerLocation::Postgres(address) => Box::new(PostgresStore::open_to_write(address, waits)?),
        };
        Ok(Self { location: location.clone(), store })
    }

    /// Opens an existing ledger. It is read as it is at this moment, even if a run writes it at the same time.
    pub(super) fn open_to_read(location: &LedgerLocation) -> Result<Self, LedgerError> {
        let store: Box<dyn Store> = match location {
            LedgerLocation::File(path) => Box::new(sqlite::File::open_to_read(path)?),
            #[cfg(feature = "postgres")]
            LedgerLocation::Postgres(address) => Box::new(PostgresStore::open_to_read(address)?),
        };
        Ok(Self { location: location.clone(), store })
    }

    /// The run that writes it, if there is one and that can be found out.
    pub(super) fn holder(&self) -> Option<LockHolder> {
        self.store.holder()
    }

    /// How long it may be used, if other machines can reach it.
    pub(super) fn lease(&self) -> Option<&Arc<Lease>> {
        self.store.lease()
    }

    /// Joins the other processes that share a rate under this name, if the ledger's store can connect them.
    pub(super) fn share_rate(
        &self,
        quota: &str,
        rate: Rate,
    ) -> Result<Option<Arc<dyn SharedRate>>, LedgerError> {
        self.store.share_rate(quota, rate)
    }

    /// What is wrong with the ledger, as an error.
    pub(super) fn damaged(&self, what: impl Into<String>) -> LedgerError {
        LedgerError::Damaged { ledger: self.location.clone(), what: what.into() }
    }

    /// Groups can't be decoded.
    pub(super) fn malformed(&self) -> LedgerError {
        self.damaged("facts are not what they should be")
    }

    /// Gives back the room of what was removed.
    pub(super) fn shrink(&self) -> Result<(), LedgerError> {
        self.store.shrink()
    }

    /// Commits everything that `write` writes at once: all of it is stored after a success, and nothing after an error.
    pub(super) fn in_one_commit<T>(
        &self,
        write: impl FnOnce() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.store.begin()?;
        let result = write().and_then(|result| self.store.commit().map(|()| result));
        if result.is_err() {
            self.store.roll_back();
        }
        result
    }

    pub(super) fn state(&self) -> Result<LedgerState, LedgerError> {
        match <[LedgerState; 1]>::try_from(self.all::<LedgerState>()?) {
            Ok([state]) => Ok(state),
            Err(_) => Err(self.damaged("its first row is missing")),
        }
    }

    pub(super) fn targets(&self) -> Result<Vec<TargetRow>, LedgerError> {
        self.all()
    }

    /// Every run, the oldest first.
    pub(super) fn runs(&self) -> Result<Vec<RunRow>, LedgerError> {
        self.all()
    }

    /// Every attribute of every target.
    pub(super) fn attributes(&self) -> Result<Vec<AttributeRow>, LedgerError> {
        self.all()
    }

    /// Every run that read the list of users, the oldest first.
    pub(super) fn pulls(&self) -> Result<Vec<PullRow>, LedgerError> {
        if self.store.form() < FORM_OF_PULLS { Ok(Vec::new()) } else { self.all() }
    }

    /// The number of the newest entry, 0 before the first one.
    pub(super) fn last(&self) -> Result<u64, LedgerError> {
        let LedgerState { merged, expired, .. } = self.state()?;
        let last = self.store.last_key(&JournalEntry::TABLE)?.unwrap_or(expired);
        if last < merged {
            return Err(self.damaged("it has lost what it recorded last"));
        }
        Ok(last)
    }

    /// What heads each entry of the journal after this one, which has not expired.
    pub(super) fn headings(&self, after: u64) -> Result<Vec<EntryHeader>, LedgerError> {
        let headings = self.records::<EntryHeader>(&Selection::After(after))?;
        if (after.saturating_add(1)..).zip(&headings).all(|(number, heading)| number == heading.entry) {
            Ok(headings)
        } else {
            Err(self.missing_entries())
        }
    }

    /// Entries with their groups, in the order of these headings.
    pub(super) fn entries(&self, headings: impl IntoIterator<Item = EntryHeader>) -> Entries<'_> {
        let wanted = headings.into_iter().collect();
        Entries { database: self, wanted, read: VecDeque::new() }
    }

    fn missing_entries(&self) -> LedgerError {
        self.damaged("entries are missing from its journal")
    }

    /// All that is known of an attribute, part by part, as groups.
    pub(super) fn known_parts<'a>(
        &'a self,
        attribute: &'a AttributeRow,
    ) -> impl Iterator<Item = Result<Vec<u8>, LedgerError>> + 'a {
        let parts: Vec<u64> = (0..attribute.parts).collect();
        let chunks: Vec<Vec<u64>> = parts.chunks(PARTS_AT_ONCE).map(<[u64]>::to_vec).collect();
        chunks.into_iter().flat_map(move |parts| match self.read_parts(attribute, &parts) {
            Ok(read) => read.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    fn read_parts(&self, attribute: &AttributeRow, parts: &[u64]) -> Result<Vec<Vec<u8>>, LedgerError> {
        let part = |part: u64, groups| KnownPart { attribute, part, groups };
        let places = parts.iter().map(|number| part(*number, Vec::new()).place()).collect();
        let rows = self.store.rows(&KNOWN, &Selection::Keys(places))?;
        if rows.len() < parts.len() {
            return Err(self.damaged("a part of what it knows is missing"));
        }
        let intact = |(number, fields): (&u64, Vec<Field>)| {
            let mut fields = Fields::from(fields);
            fields.number()?;
            let (part, sum) = (part(*number, fields.bytes()?), fields.sum()?);
            Some((part.sum() == sum).then_some(part.groups))
        };
        let read = |row| intact(row).ok_or_else(|| self.wrong_field())?.ok_or_else(|| self.rotten());
        parts.iter().zip(rows).map(read).collect()
    }

    /// What was known before a run of an attribute, part by part, as groups.
    pub(super) fn each_prior(
        &self,
        run: u64,
        attribute: u64,
        mut see: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        if self.store.form() < FORM_OF_PULLS {
            return Ok(());
        }
        let keys = Table { columns: PriorPart::TABLE.columns.split_at(1).0, ..PriorPart::TABLE };
        let of_run = Selection::Where(vec![("run", run), ("attribute", attribute)]);
        let keys = self.store.rows(&keys, &of_run)?.into_iter();
        let ids: Option<Vec<u64>> = keys.map(|fields| Fields::from(fields).number()).collect();
        for ids in ids.ok_or_else(|| self.wrong_field())?.chunks(PARTS_AT_ONCE) {
            for part in self.records::<PriorPart>(&Selection::Keys(ids.to_vec()))? {
                see(&part.groups)?;
            }
        }
        Ok(())
    }

    pub(super) fn put_state(&self, state: &LedgerState) -> Result<(), LedgerError> {
        self.put(state)
    }

    pub(super) fn put_target(&self, target: &TargetRow) -> Result<(), LedgerError> {
        self.put(target)
    }

    /// Adds a run, or replaces it with its result.
    pub(super) fn put_run(&self, run: &RunRow) -> Result<(), LedgerError> {
        self.put(run)
    }

    pub(super) fn put_attribute(&self, attribute: &AttributeRow) -> Result<(), LedgerError> {
        self.put(attribute)
    }

    /// Adds a run that read the list of users, or replaces it with how far it is.
    pub(super) fn put_pull(&self, pull: &PullRow) -> Result<(), LedgerError> {
        self.put(pull)
    }

    /// An entry that follows the newest one, or replaces one with the same number.
    pub(super) fn put_entry(&self, entry: &JournalEntry) -> Result<(), LedgerError> {
        self.put(entry)
    }

    /// What runs may have sent to a target after they lost the lease.
    pub(super) fn doubts(&self, target: u64) -> Result<Vec<Doubt>, LedgerError> {
        match self.lease() {
            Some(_) => self.records(&Selection::Where(vec![("target", target)])),
            None => Ok(Vec::new()),
        }
    }

    /// Records such a doubt. That needs no lease.
    pub(super) fn add_doubt(&self, doubt: &Doubt) -> Result<(), LedgerError> {
        let mut fields = doubt.fields();
        fields.push(doubt.sum().into());
        self.store.put_unfenced(Doubt::TABLE, fields)
    }

    /// Removes a doubt.
    pub(super) fn remove_doubt(&self, Doubt { id, .. }: &Doubt) -> Result<(), LedgerError> {
        let (table, column) = (Doubt::TABLE, Doubt::TABLE.key());
        self.store.change(Change::Remove { table, column, first: *id, last: *id })
    }

    /// Replaces all known values of an attribute by these parts, and sets their number in the attribute, which is to be put
    /// afterwards.
    pub(super) fn replace_known(
        &self,
        attribute: &mut AttributeRow,
        parts: &mut impl Iterator<Item = Vec<u8>>,
    ) -> Result<(), LedgerError> {
        let place = |part| KnownPart { attribute, part, groups: Vec::new() }.place();
        let (first, last) = (place(0), place((1 << KnownPart::BITS) - 1));
        self.store.change(Change::Remove { table: KNOWN, column: KNOWN.key(), first, last })?;
        let mut number = 0;
        for groups in parts {
            let part = KnownPart { attribute, part: number, groups };
            let (place, sum) = (part.place(), part.sum());
            let fields = vec![place.into(), Field::Bytes(part.groups), sum.into()];
            self.store.change(Change::Put(KNOWN, fields))?;
            number += 1;
        }
        attribute.parts = number;
        Ok(())
    }

    /// Removes the journal's entries up to this one.
    pub(super) fn forget_entries(&self, through: u64) -> Result<(), LedgerError> {
        let (table, column) = (JournalEntry::TABLE, JournalEntry::TABLE.key());
        self.store.change(Change::Remove { table, column, first: 0, last: through })
    }

    /// Adds a part of what was known before a run of an attribute.
    pub(super) fn add_prior(&self, run: u64, attribute: u64, groups: &[u8]) -> Result<(), LedgerError> {
        let id = self.store.last_key(&PriorPart::TABLE)?.map_or(1, |last| last + 1);
        self.put_prior(&PriorPart { id, run, attribute, groups: groups.to_vec() })
    }

    pub(super) fn put_prior(&self, part: &PriorPart) -> Result<(), LedgerError> {
        self.put(part)
    }

    /// Removes what was known before these runs and all earlier ones.
    pub(super) fn forget_prior(&self, through: u64) -> Result<(), LedgerError> {
        let table = PriorPart::TABLE;
        self.store.change(Change::Remove { table, column: "run", first: 0, last: through })
    }

    /// Removes the content of an entry, once the known values have it.
    pub(super) fn empty_entry(&self, entry: &JournalEntry) -> Result<(), LedgerError> {
        self.put_entry(&JournalEntry { heading: entry.heading, groups: Vec::new() })
    }

    fn put<R: Record>(&self, record: &R) -> Result<(), LedgerError> {
        let mut fields = record.fields();
        fields.push(record.sum().into());
        self.store.change(Change::Put(R::TABLE, fields))
    }

    fn all<R: Record>(&self) -> Result<Vec<R>, LedgerError> {
        self.records(&Selection::All)
    }

    fn records<R: Record>(&self, selection: &Selection) -> Result<Vec<R>, LedgerError> {
        let rows = self.store.rows(&R::TABLE, selection)?;
        let read = |fields| {
            let mut fields = Fields::from(fields);
            let record = R::of(&mut fields).zip(fields.sum());
            let (record, sum) = record.ok_or_else(|| self.wrong_field())?;
            if record.sum() == sum { Ok(record) } else { Err(self.rotten()) }
        };
        rows.into_iter().map(read).collect()
    }

    fn wrong_field(&self) -> LedgerError {
        self.damaged("a field is not what it should be")
    }

    fn rotten(&self) -> LedgerError {
        self.damaged("a row doesn't agree with its checksum")
    }
}

/// The form of the tables from which on there are readings of the account, and what was known before a run.
const FORM_OF_PULLS: usize = 2;

/// Reads entries of the journal, several at once.
#[derive(Debug)]
pub(super) struct Entries<'d> {
    database: &'d Database,
    wanted: VecDeque<EntryHeader>,
    read: VecDeque<JournalEntry>,
}

impl Entries<'_> {
    fn read_more(&mut self) -> Result<(), LedgerError> {
        let (mut keys, mut facts) = (Vec::new(), 0);
        while let Some(heading) = self.wanted.front()
            && (keys.is_empty() || (keys.len() < ROWS_AT_ONCE && facts + heading.facts <= FACTS_AT_ONCE))
        {
            keys.push(heading.entry);
            facts += heading.facts;
            self.wanted.pop_front();
        }
        let most = keys.len();
        self.read = self.database.records::<JournalEntry>(&Selection::Keys(keys))?.into();
        if self.read.len() < most { Err(self.database.missing_entries()) } else { Ok(()) }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<JournalEntry, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty()
            && !self.wanted.is_empty()
            && let Err(error) = self.read_more()
        {
            self.wanted.clear();
            return Some(Err(error));
        }
        self.read.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &tempfile::TempDir) -> Database {
        let location = folder.path().join("ledger").into();
        Database::open_to_write(&location, Waits::default(), Timestamp::UNIX_EPOCH).unwrap()
    }

    fn known(database: &Database, attribute: &AttributeRow) -> Result<Vec<Vec<u8>>, LedgerError> {
        database.known_parts(attribute).collect()
    }

    #[test]
    fn what_is_known_of_an_attribute_is_replaced_without_that_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let row =
            |id| AttributeRow { id, target: 1, name: id.to_string(), parts: 0, generation: 0, facts: 0 };
        let mut attributes: Vec<AttributeRow> = (1..=4).map(row).collect();
        let many: Vec<Vec<u8>> = (1..=20).map(|byte| vec![byte]).collect();
        for attribute in &mut attributes {
            database.replace_known(attribute, &mut many.clone().into_iter()).unwrap();
        }
        for number in 0..attributes.len() {
            database.replace_known(&mut attributes[number], &mut std::iter::once(vec![99])).unwrap();
            for (other, attribute) in attributes.iter().enumerate() {
                let expected = if other <= number { &vec![vec![99]] } else { &many };
                assert_eq!(&known(&database, attribute).unwrap(), expected, "{other} after {number}");
            }
            let more = AttributeRow { parts: 2, ..attributes[number].clone() };
            let error = known(&database, &more).unwrap_err();
            assert!(matches!(error, LedgerError::Damaged { .. }), "the others are gone: {error}");
        }
    }

    #[test]
    fn entries_come_in_their_order_however_many_and_large_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder);
        let (count, at) = (600_u64, Timestamp::UNIX_EPOCH);
        let facts = |entry| if entry % 7 == 0 { FACTS_AT_ONCE * 2 } else { 1 };
        let heading = |entry| EntryHeader { entry, run: 1, attribute: 1, at, facts: facts(entry) };
        let put = |entry| database.put_entry(&JournalEntry { heading: heading(entry), groups: vec![1] });
        database.in_one_commit(|| (1..=count).try_for_each(put)).unwrap();
        for newest_first in [false, true] {
            let mut wanted: Vec<u64> = (1..=count).collect();
            if newest_first {
                wanted.reverse();
            }
            let read: Result<Vec<JournalEntry>, _> =
                database.entries(wanted.iter().map(|n| heading(*n))).collect();
            let read: Vec<u64> = read.unwrap().iter().map(|entry| entry.heading.entry).collect();
            assert!(read == wanted, "{read:?}");
        }
        database.forget_entries(1).unwrap();
        let read: Result<Vec<JournalEntry>, _> = database.entries((1..=2).map(heading)).collect();
        assert!(matches!(read, Err(LedgerError::Damaged { .. })), "the first one is missing");
    }
}
