//! The values from before a run.

use std::collections::BTreeMap;

use super::LedgerError;
use super::groups::Source;
use super::id_changes::{self, IDENTITY, known_as};
use super::prior::{Before, Mentions, each_group};
use super::reader::LedgerReader;
use super::rows::{AttributeRow, EntryHeader, RunRow, TargetRow};
use super::run::{RunId, TargetKey};
use super::set_rows::SetRows;
use crate::input::{IdType, STANDARD};
use crate::plan::{SentValue, User, meaning};

/// What undoing a run would do with the rows that it got acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UndoCounts {
    /// Rows that the API acknowledged to the run.
    pub acknowledged: u64,
    /// Rows whose earlier value is known and still to be restored.
    pub undone: u64,
    /// Rows of which nothing was known before.
    pub unknown: u64,
    /// Rows whose value may have changed again since.
    pub changed: u64,
}

/// A run that is to be undone.
#[derive(Debug)]
pub struct UndoRun<'l> {
    reader: &'l LedgerReader,
    run: RunRow,
    target: TargetRow,
    attributes: Vec<AttributeRow>,
    /// The run's entries, and all later ones.
    headings: Vec<EntryHeader>,
    /// New ids of users by old ones, if the run changed the ids that users are named by.
    renamed: BTreeMap<String, String>,
}

/// Why a run can't be undone.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NoRun(RunId),
    /// It sent nothing.
    #[error("run {0} read the account, and changed nothing")]
    Pull(RunId),
    /// What it sent is not recorded any more.
    #[error("what run {0} sent is no longer kept (`--history-days`)")]
    Expired(RunId),
    /// The ledger can't be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What became of the values that a run sent, by position of the row.
enum State {
    /// The API still holds it, as far as is known.
    Current,
    /// It may hold another one.
    Changed,
}

impl LedgerReader {
    /// A run that is to be undone.
    pub fn undo(&self, run: RunId) -> Result<UndoRun<'_>, UndoError> {
        let row = self.run_of(run)?.ok_or(UndoError::NoRun(run))?;
        if row.is_pull() {
            return Err(UndoError::Pull(run));
        }
        if row.after < self.database.state()?.expired {
            return Err(UndoError::Expired(run));
        }
        let target = self.database.targets()?.into_iter().find(|target| target.id == row.target);
        let target = target.ok_or_else(|| self.database.damaged("the target of a run is missing"))?;
        let attributes = self.database.attributes()?;
        let headings = self.database.headings(row.after)?;
        let mut undo =
            UndoRun { reader: self, run: row, target, attributes, headings, renamed: BTreeMap::new() };
        undo.renamed = undo.find_renamed()?;
        Ok(undo)
    }
}

impl UndoRun<'_> {
    /// Where the run sent to.
    pub fn target(&self) -> TargetKey {
        let id_type = if self.target.goes_by_custom_ids() { IdType::CustomId } else { IdType::Id };
        TargetKey { base_url: self.target.base_url.clone(), id_type }
    }

    /// Whether it sent custom attributes.
    pub fn has_custom(&self) -> bool {
        let is_custom = |heading: &EntryHeader| {
            let attribute = self.attributes.iter().find(|attribute| attribute.id == heading.attribute);
            attribute.is_some_and(|attribute| !STANDARD.contains(&attribute.name.as_str()))
        };
        self.headings.iter().any(|heading| heading.run == self.run.id && is_custom(heading))
    }

    /// The run that it continued. What that one sent is not undone.
    pub fn continued(&self) -> Option<RunId> {
        (self.run.continues != 0).then_some(RunId(self.run.continues))
    }

    /// Calls `see` for each value that is to be restored, attribute by attribute. Takes about `memory` bytes: if the run sent
    /// more, it is undone for some of its users after the other, and the ledger is read for each part.
    ///
    /// # Errors
    /// When the ledger can't be read, or `see` fails.
    pub fn each<E: From<LedgerError>>(
        &self,
        memory: u64,
        mut see: impl FnMut(&User<'_>, &str, &SentValue<'_>) -> Result<(), E>,
    ) -> Result<UndoCounts, E> {
        let mut counts = UndoCounts::default();
        for attribute in self.attributes.iter().filter(|attribute| attribute.target == self.target.id) {
            let of_run =
                |heading: &&EntryHeader| heading.run == self.run.id && heading.attribute == attribute.id;
            let own: Vec<EntryHeader> = self.headings.iter().filter(of_run).copied().collect();
            let Some(last) = own.last() else { continue };
            let before = if self.names_users(attribute) {
                None
            } else {
                Some(self.reader.before(&self.run, &self.target, attribute, &self.attributes)?)
            };
            let is_trusted = self.is_trusted(attribute, last)?;
            let undo = UndoAttribute { run: self, attribute, before, is_trusted, last: last.entry };
            for rows in SetRows::parts(&self.reader.database, &own, memory) {
                undo.undo(&rows?, &mut counts, &mut see)?;
            }
        }
        Ok(counts)
    }

    /// Whether no run that was killed later may have sent something else since the run's last entry.
    fn is_trusted(&self, attribute: &AttributeRow, last: &EntryHeader) -> Result<bool, LedgerError> {
        let runs = self.reader.database.runs()?;
        let later: Vec<RunRow> = runs.into_iter().filter(|other| other.id > self.run.id).collect();
        let untrusted = self.reader.untrusted_up_to(&later, &self.target, Some(&self.run.content))?;
        Ok(untrusted.of(&attribute.name) < last.entry)
    }

    fn names_users(&self, attribute: &AttributeRow) -> bool {
        self.target.goes_by_custom_ids() && attribute.name == IDENTITY
    }

    fn find_renamed(&self) -> Result<BTreeMap<String, String>, LedgerError> {
        let mut renamed = BTreeMap::new();
        let identity = self
            .attributes
            .iter()
            .find(|attribute| attribute.target == self.target.id && known_as(&attribute.name) == IDENTITY);
        let Some(identity) = identity.filter(|identity| self.names_users(identity)) else {
            return Ok(renamed);
        };
        let is_own = |heading: &&EntryHeader| heading.run == self.run.id && heading.attribute == identity.id;
        for entry in self.reader.database.entries(self.headings.iter().filter(is_own).copied()) {
            each_group(&self.reader.database, &entry?.groups, |group| {
                let Some(new) = group.value.as_ref().and_then(id_changes::named) else { return };
                for user in group.users.clone() {
                    renamed.insert(user.to_string(), new.to_string());
                }
            })?;
        }
        Ok(renamed)
    }

    /// The user by the id that it has since the run.
    fn named_now(&self, user: &User<'_>) -> User<'static> {
        match user {
            User::Id(id) => User::Id(*id),
            User::Custom(id) => {
                User::Custom(self.renamed.get(&**id).map_or_else(|| id.to_string(), Clone::clone).into())
            }
        }
    }
}

/// An attribute of a run that is to be undone.
struct UndoAttribute<'l> {
    run: &'l UndoRun<'l>,
    attribute: &'l AttributeRow,
    /// What was known before; `None` for the users' ids: before, that was the one by which the run named the user.
    before: Option<Before<'l>>,
    /// Whether what was recorded can be trusted.
    is_trusted: bool,
    /// The last entry of the run.
    last: u64,
}

impl UndoAttribute<'_> {
    /// Undoes these rows.
    fn undo<E: From<LedgerError>>(
        &self,
        rows: &SetRows,
        counts: &mut UndoCounts,
        see: &mut impl FnMut(&User<'_>, &str, &SentValue<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let database = &self.run.reader.database;
        // Later runs name users by the ids that they have since this one.
        let renamed = rows.renamed(&self.run.renamed);
        let rows_now = renamed.as_ref().unwrap_or(rows);
        let states = self.states(rows_now)?;
        let changed = states.iter().filter(|state| matches!(state, State::Changed)).count();
        counts.acknowledged += rows.len() as u64;
        counts.changed += changed as u64;
        let mut undone = 0;
        let mut result = Ok(());
        let mut restore = |user: &User<'_>, value: &SentValue<'_>| {
            let now = self.run.named_now(user);
            let Some(State::Current) = rows_now.position(&now).map(|position| &states[position]) else {
                return;
            };
            undone += 1;
            if result.is_ok() {
                result = see(&now, &self.attribute.name, value);
            }
        };
        match &self.before {
            None => (0..rows.len()).map(|position| rows.user(position)).for_each(|user| {
                restore(&user, &SentValue::Text(user.to_string().into()));
            }),
            Some(before) => before.each(rows, |groups| {
                each_group(database, groups, |group| {
                    let Some(value) = &group.value else { return };
                    group.users.clone().for_each(|user| restore(&user, value));
                })
            })?,
        }
        result?;
        counts.undone += undone;
        let known = (rows.len() - changed) as u64;
        let unknown = known.checked_sub(undone);
        counts.unknown += unknown.ok_or_else(|| database.damaged("two runs have the same number"))?;
        Ok(())
    }

    /// Whether the API still holds what the run sent.
    fn states(&self, rows: &SetRows) -> Result<Vec<State>, LedgerError> {
        let Self { run: UndoRun { reader, run, target, attributes, headings, .. }, attribute, .. } = self;
        if !self.is_trusted {
            return Ok((0..rows.len()).map(|_| State::Changed).collect());
        }
        let mut states: Vec<State> = (0..rows.len()).map(|_| State::Current).collect();
        let differs = |value: Option<&SentValue<'_>>, position: usize| {
            let sent = meaning(&attribute.name, rows.value(position));
            value.is_none_or(|value| meaning(&attribute.name, value) != sent)
        };
        let mentions = |is_one: &dyn Fn(&EntryHeader) -> bool| {
            let headings = headings.iter().copied().filter(|heading| is_one(heading));
            Mentions::new(&reader.database, target, attribute, attributes, headings)
        };
        let later = mentions(&|heading| heading.run != run.id);
        // By position, the last mention of the user since the run, 0 for none.
        let mut last: Vec<Mention> = vec![Mention(0); rows.len()];
        // What was read later may be in the known values alone: then it is as old as the last entry of the reading.
        if attribute.generation > self.last {
            let pulls = reader.database.pulls()?;
            let last_entry = |source| {
                let Source::Read { run: read } = source else { return None };
                pulls.iter().find(|pull| pull.run == read && read > run.id).map(|pull| pull.last)
            };
            later.find_known(&mut rows.search(), |source, value, position| {
                if let Some(entry) = last_entry(source) {
                    last[position] = Mention::new(entry, differs(Some(value), position));
                }
            })?;
        }
        let mut search = rows.search();
        later.find(&mut search, |heading, value, position| {
            if last[position].entry() <= heading.entry {
                last[position] = Mention::new(heading.entry, differs(value, position));
            }
        })?;
        for (position, mention) in last.iter().enumerate().filter(|(_, mention)| mention.entry() > 0) {
            search.mark(position);
            if mention.is_changed() {
                states[position] = State::Changed;
            }
        }
        // Reading back may have shown that the API didn't take it.
        if self.before.is_none() {
            return Ok(states);
        }
        let own = mentions(&|heading| heading.run == run.id && heading.attribute == attribute.id);
        own.find(&mut search, |_, value, position| {
            if differs(value, position) {
                states[position] = State::Changed;
            }
        })?;
        Ok(states)
    }
}

/// The entry that mentions a user, and whether the value is another one, in 8 bytes.
#[derive(Clone, Copy)]
struct Mention(u64);

impl Mention {
    fn new(entry: u64, is_changed: bool) -> Self {
        Self((entry << 1) | u64::from(is_changed))
    }

    fn entry(self) -> u64 {
        self.0 >> 1
    }

    fn is_changed(self) -> bool {
        self.0 & 1 == 1
    }
}
