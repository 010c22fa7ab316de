//! Writes a ledger, one run at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::database::Database;
use super::groups::{self, Groups, Malformed, Source};
use super::id_changes::{self, IDENTITY};
use super::lease::Lease;
use super::reader::{self, LedgerReader};
use super::rows::{AttributeRow, Doubt, EntryHeader, JournalEntry, RunEnd, RunRow, TargetRow};
use super::run::{RowCounts, RunDescription, RunId, RunOutcome, TargetKey, UnfinishedRun};
use super::{LedgerError, LedgerLocation, Waits};
use crate::deliver::{Rate, SharedRate};
use crate::input::IdType;
use crate::plan::{Batch, Plan, SentValue};

/// A ledger that is open for writing. No other run can write it at the same time.
#[derive(Debug)]
pub struct Ledger {
    reader: LedgerReader,
    target: u64,
    /// Whether users are named by the client's own ids.
    by_custom_id: bool,
    /// The newest entry that is committed.
    last: u64,
    /// Numbers of this target's attributes, by name.
    attributes: HashMap<String, u64>,
    /// The highest number of an attribute of any target.
    last_attribute: u64,
    /// Attributes that are new since the last commit.
    new: Vec<AttributeRow>,
    /// What was recorded since the last commit, by attribute.
    pending: BTreeMap<u64, Pending>,
}

/// What is to be recorded of an attribute.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) facts: u64,
    pub(super) groups: Vec<u8>,
}

impl Ledger {
    /// Opens a ledger for a run on this target. Creates it if there is none.
    pub fn open(location: &LedgerLocation, target: &TargetKey, now: Timestamp) -> Result<Self, LedgerError> {
        Self::open_with(location, target, Waits::default(), now)
    }

    /// The same for a run with these settings.
    pub fn open_with(
        location: &LedgerLocation,
        target: &TargetKey,
        waits: Waits,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let database = Database::open_to_write(location, waits, now)?;
        let last = database.last()?;
        let reader = LedgerReader { database };
        let by_custom_id = target.id_type == IdType::CustomId;
        let target = named(&reader, target)?;
        let all = reader.database.attributes()?;
        let last_attribute = all.last().map_or(0, |attribute| attribute.id);
        let own = all.into_iter().filter(|attribute| attribute.target == target);
        let attributes = own.map(|attribute| (attribute.name, attribute.id)).collect();
        let (new, pending) = (Vec::new(), BTreeMap::new());
        let mut ledger =
            Self { reader, target, by_custom_id, last, attributes, last_attribute, new, pending };
        ledger.take_doubts(now)?;
        Ok(ledger)
    }

    /// How long it may be used, if other machines can reach it.
    pub fn lease(&self) -> Option<&Arc<Lease>> {
        self.database().lease()
    }

    /// Joins the other processes that share a rate under this name, if the ledger is in a database. Permits are given only while the
    /// lease holds.
    pub fn share_rate(&self, quota: &str, rate: Rate) -> Result<Option<Arc<dyn SharedRate>>, LedgerError> {
        self.database().share_rate(quota, rate)
    }

    /// Records what earlier runs may have sent after they lost the ledger.
    fn take_doubts(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        for doubt in self.database().doubts(self.target)? {
            let Doubt { run, attribute, facts, groups, .. } = &doubt;
            let pending = Pending { facts: *facts, groups: groups.clone() };
            let contents = vec![(self.attribute(attribute), pending)];
            self.append(RunId(*run), now, contents, |database, _| database.remove_doubt(&doubt))?;
        }
        Ok(())
    }

    /// Records that nobody knows which values were sent of what was not committed: another run has taken the ledger.
    pub fn leave_doubts(&mut self, run: RunId) -> Result<(), LedgerError> {
        for (attribute, Pending { groups: sent, .. }) in std::mem::take(&mut self.pending) {
            let (mut facts, mut groups) = (0, Vec::new());
            for group in Groups::of(&sent) {
                let mut group = group.map_err(|Malformed| self.database().malformed())?;
                let users = group.users.by_ref().inspect(|_| facts += 1);
                groups::write(group.source, None, users, &mut groups);
            }
            let named = self.attributes.iter().find(|(_, id)| **id == attribute);
            let Some((name, _)) = named else { continue };
            let doubt = Doubt {
                id: rand::random::<u64>() >> 1,
                run: run.0,
                target: self.target,
                attribute: name.clone(),
                facts,
                groups,
            };
            self.database().add_doubt(&doubt)?;
        }
        Ok(())
    }

    /// The ledger, to be read.
    pub fn reader(&self) -> &LedgerReader {
        &self.reader
    }

    /// Records that a run begins, and which one it continues.
    pub fn begin(
        &mut self,
        description: &RunDescription,
        continues: Option<&UnfinishedRun>,
        now: Timestamp,
    ) -> Result<RunId, LedgerError> {
        let runs = self.database().runs()?;
        let continued = continues.and_then(|unfinished| runs.iter().find(|run| run.id == unfinished.run.0));
        let run = RunRow {
            continues: continued.map_or(0, |run| run.id),
            begun: continued.map_or(self.last, |run| run.begun),
            settings: description.fingerprint.text(),
            inputs: reader::names(&description.inputs),
            content: description.content.clone(),
            ..self.new_run(now)?
        };
        self.database().put_run(&run)?;
        self.lease().inspect(|lease| lease.settle(false));
        Ok(RunId(run.id))
    }

    /// A run that begins now, without settings or inputs. It is not recorded yet.
    pub(super) fn new_run(&self, now: Timestamp) -> Result<RunRow, LedgerError> {
        Ok(RunRow {
            id: self.database().runs()?.last().map_or(1, |run| run.id + 1),
            target: self.target,
            continues: 0,
            begun: self.last,
            after: self.last,
            started: now,
            settings: String::new(),
            inputs: reader::names(&[]),
            content: String::new(),
            ending: None,
        })
    }

    /// Adds a batch that the API acknowledged. It is recorded by the next [`commit`](Self::commit).
    pub fn record(&mut self, plan: &Plan, batch: Batch, attempts: u32) {
        self.add(plan, batch, attempts, Some(&plan.sent_value(batch.group)));
    }

    /// Adds a batch whose requests failed: the API may have the new value, or the one before.
    pub fn mark_uncertain(&mut self, plan: &Plan, batch: Batch, attempts: u32) {
        self.add(plan, batch, attempts, None);
    }

    /// How many bytes wait to be committed.
    pub fn pending_bytes(&self) -> usize {
        self.pending.values().map(|pending| pending.groups.len()).sum()
    }

    /// Records everything that was added, as done by this run at this time. If this succeeds, it is on the disk.
    pub fn commit(&mut self, run: RunId, at: Timestamp) -> Result<(), LedgerError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let contents = std::mem::take(&mut self.pending).into_iter().collect();
        self.append(run, at, contents, |_, _| Ok(()))
    }

    /// Drops what waits to be committed.
    pub(super) fn drop_pending(&mut self) {
        self.pending.clear();
    }

    /// Appends entries of a run to the journal, one for each attribute, and commits them with what `also` writes. It is given
    /// the number of the last entry.
    pub(super) fn append(
        &mut self,
        run: RunId,
        at: Timestamp,
        contents: Vec<(u64, Pending)>,
        also: impl FnOnce(&Database, u64) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut entries: Vec<JournalEntry> = (self.last + 1..)
            .zip(contents)
            .map(|(entry, (attribute, Pending { facts, groups }))| JournalEntry {
                heading: EntryHeader { entry, run: run.0, attribute, at, facts },
                groups,
            })
            .collect();
        let last = self.last + entries.len() as u64;
        let database = self.database();
        let committed = database.in_one_commit(|| {
            self.new.iter().try_for_each(|attribute| database.put_attribute(attribute))?;
            entries.iter().try_for_each(|entry| database.put_entry(entry))?;
            also(database, last)
        });
        if let Err(error) = committed {
            // What was not recorded may still be doubted.
            for JournalEntry { heading, groups } in entries.drain(..) {
                self.pending.insert(heading.attribute, Pending { facts: heading.facts, groups });
            }
            return Err(error);
        }
        self.new.clear();
        self.last = last;
        Ok(())
    }

    /// Records how a run ended.
    pub fn finish(
        &mut self,
        run: RunId,
        outcome: RunOutcome,
        rows: &RowCounts,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.commit(run, now)?;
        let begun = self.reader.run_of(run)?;
        let mut run = begun.ok_or_else(|| self.database().damaged("the run that just ended is missing"))?;
        let rows = serde_json::to_string(rows).expect("counts are JSON");
        run.ending = Some(RunEnd { at: now, outcome: outcome.name().to_owned(), rows });
        self.database().put_run(&run)?;
        self.lease().inspect(|lease| lease.settle(true));
        self.take_doubts(now)
    }

    pub(super) fn database(&self) -> &Database {
        &self.reader.database
    }

    fn add(&mut self, plan: &Plan, batch: Batch, attempts: u32, value: Option<&SentValue<'_>>) {
        let name = id_changes::known_as(&plan.attribute(batch.group).name);
        let id = self.attribute(name);
        let Pending { facts, groups } = self.pending.entry(id).or_default();
        *facts += u64::from(batch.len);
        groups::write(Source::Sent { attempts }, value, plan.users(batch), groups);
        if value.is_none() && name == IDENTITY && self.by_custom_id {
            // The new id may name another user by now.
            let sent = plan.sent_value(batch.group);
            let named = id_changes::named(&sent);
            *facts += u64::from(named.is_some());
            groups::write(Source::Sent { attempts: 0 }, None, named.into_iter(), groups);
        }
    }

    /// The number of an attribute, which gets one when it comes up for the first time.
    pub(super) fn attribute(&mut self, name: &str) -> u64 {
        if let Some(&id) = self.attributes.get(name) {
            return id;
        }
        self.last_attribute += 1;
        let id = self.last_attribute;
        self.attributes.insert(name.to_owned(), id);
        let (name, target) = (name.to_owned(), self.target);
        self.new.push(AttributeRow { id, target, name, parts: 0, generation: 0, facts: 0 });
        id
    }
}

/// The number of a target, which gets one when it comes up for the first time.
fn named(reader: &LedgerReader, key: &TargetKey) -> Result<u64, LedgerError> {
    if let Some(target) = reader.target(key)? {
        return Ok(target.id);
    }
    let id = reader.database.targets()?.last().map_or(1, |target| target.id + 1);
    let target = TargetRow { id, base_url: key.base_url.clone(), users: key.users().to_owned() };
    reader.database.put_target(&target)?;
    Ok(id)
}
