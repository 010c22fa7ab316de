//! Records what the account holds, as read from its list of users.
//!
//! Reading the list is a run of its own, whose entries in the journal hold values that were read instead of sent. Beside
//! them stands which users there are. That is believed only of a list that was read to its end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::LedgerError;
use super::groups::{self, Group, Source};
use super::id_changes;
use super::reader::LedgerReader;
use super::rows::{AttributeRow, PullRow, RunRow};
use super::run::{RowCounts, RunId, RunOutcome, TargetKey};
use super::writer::{Ledger, Pending};
use crate::input::STANDARD;
use crate::plan::{SentValue, User};

/// The attribute under which it is recorded which users there are. The API has none with an empty name.
pub(super) const USERS: &str = "";

/// The value of users of whom custom attributes were read as well.
const WITH_CUSTOM: &str = "custom";

/// The settings of a run that reads the list.
const SETTINGS: &str = "pull";

/// A reading of the list that was interrupted and can be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedPull {
    /// The run that was interrupted.
    pub run: RunId,
    /// When the reading began.
    pub started: Timestamp,
    /// The cursor of the next page.
    pub next: String,
    /// How many pages were read.
    pub pages: u64,
    /// How many users were read, those counted twice that came twice.
    pub users: u64,
}

/// Records a reading of the list of users in a ledger.
///
/// Users are added page by page. What was added is recorded, with the cursor of the next page, by [`commit`](Self::commit),
/// so that a later run can go on from there.
#[derive(Debug)]
pub struct PullRecorder {
    ledger: Ledger,
    pull: PullRow,
    /// Users since the last commit. One that comes twice has the later values.
    users: BTreeMap<User<'static>, ReadUser>,
}

/// What was read of a user.
#[derive(Debug)]
struct ReadUser {
    /// Whether custom attributes that it has no value for are empty.
    has_all_custom: bool,
    /// By number of the attribute.
    values: Vec<(u64, SentValue<'static>)>,
}

/// Whether custom attributes of listed users were read as well, so that those without a value are empty.
pub(super) fn has_custom(group: &Group<'_>) -> bool {
    matches!(&group.value, Some(SentValue::Text(text)) if text == WITH_CUSTOM)
}

/// The users that the known values of an attribute don't have, because it is a custom one that came up later: those who were
/// read with all custom attributes had no value.
pub(super) fn users_behind<'a>(
    attribute: &AttributeRow,
    all: &'a [AttributeRow],
    untrusted: u64,
) -> Option<&'a AttributeRow> {
    let is_new = attribute.generation == 0 && !STANDARD.contains(&attribute.name.as_str());
    let mut users = all.iter().filter(|other| other.target == attribute.target && other.name == USERS);
    users.find(|users| is_new && users.generation > untrusted)
}

impl RunRow {
    /// Whether the run read the account, and sent nothing.
    pub(super) fn is_pull(&self) -> bool {
        self.settings == SETTINGS
    }
}

impl LedgerReader {
    /// The last reading of this account's list, if it was interrupted and can be continued: it read custom attributes or not,
    /// as this one does.
    pub fn unfinished_pull(
        &self,
        target: &TargetKey,
        custom: bool,
    ) -> Result<Option<UnfinishedPull>, LedgerError> {
        let Some(target) = self.target(target)? else { return Ok(None) };
        let runs = self.database.runs()?;
        let Some(run) = runs.iter().rfind(|run| run.target == target.id && run.is_pull()) else {
            return Ok(None);
        };
        let pull = self.database.pulls()?.into_iter().find(|pull| pull.run == run.id);
        let expired = self.database.state()?.expired;
        let Some(pull) = pull.filter(|pull| !pull.complete && pull.custom == custom && pull.begun >= expired)
        else {
            return Ok(None);
        };
        let PullRow { started, pages, users, .. } = pull;
        Ok(pull.next.map(|next| UnfinishedPull { run: RunId(run.id), started, next, pages, users }))
    }

    /// The newest run that read the list of a target to its end. What was sent since it began is in the journal.
    pub(super) fn complete_pull(&self, target: u64) -> Result<Option<PullRow>, LedgerError> {
        let expired = self.database.state()?.expired;
        let runs: BTreeSet<u64> =
            self.database.runs()?.into_iter().filter(|run| run.target == target).map(|run| run.id).collect();
        let pulls = self.database.pulls()?;
        let newest = pulls.into_iter().rfind(|pull| pull.complete && runs.contains(&pull.run));
        Ok(newest.filter(|pull| pull.begun >= expired))
    }
}

impl PullRecorder {
    /// Records that reading begins, or that it continues.
    pub fn begin(
        ledger: Ledger,
        custom: bool,
        continues: Option<&UnfinishedPull>,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let continues = continues.map(|unfinished| unfinished.run.0);
        let unfinished = ledger.database().pulls()?.into_iter().find(|pull| Some(pull.run) == continues);
        let mut run = ledger.new_run(now)?;
        SETTINGS.clone_into(&mut run.settings);
        let pull = match unfinished {
            Some(unfinished) => {
                (run.continues, run.begun) = (unfinished.run, unfinished.begun);
                PullRow { run: run.id, ..unfinished }
            }
            None => PullRow::begin(run.id, run.after, custom, now),
        };
        ledger.database().in_one_commit(|| {
            ledger.database().put_run(&run)?;
            ledger.database().put_pull(&pull)
        })?;
        Ok(Self { ledger, pull, users: BTreeMap::new() })
    }

    /// The number of the run.
    pub fn run(&self) -> RunId {
        RunId(self.pull.run)
    }

    /// Adds a user, with the values that are known of it. With `has_all_custom`, all other custom attributes are known to be
    /// empty.
    pub fn add<'a>(
        &mut self,
        user: User<'static>,
        has_all_custom: bool,
        values: impl Iterator<Item = (&'a str, SentValue<'static>)>,
    ) {
        self.pull.users += 1;
        let values = values.map(|(name, value)| (self.ledger.attribute(id_changes::known_as(name)), value));
        let values = values.collect();
        self.users.insert(user, ReadUser { has_all_custom, values });
    }

    /// Ends a page. `next` is the cursor of the next one; without it, the list is at its end.
    pub fn end_page(&mut self, next: Option<String>) {
        self.pull.pages += 1;
        self.pull.next = next;
    }

    /// How many pages were read.
    pub fn pages(&self) -> u64 {
        self.pull.pages
    }

    /// How many users were read, those counted twice that came twice.
    pub fn users(&self) -> u64 {
        self.pull.users
    }

    /// How many users wait to be committed.
    pub fn pending(&self) -> usize {
        self.users.len()
    }

    /// Records all users that were added, as read at this time. If this fails, they wait for the next commit: a cursor must
    /// never be recorded without the users before it.
    pub fn commit(&mut self, at: Timestamp) -> Result<(), LedgerError> {
        let users = std::mem::take(&mut self.users);
        let (contents, run) = (self.contents(&users), self.run());
        let pull = &mut self.pull;
        let committed = self.ledger.append(run, at, contents, |database, last| {
            pull.last = last;
            database.put_pull(pull)
        });
        if committed.is_err() {
            self.users = users;
            self.ledger.drop_pending();
        }
        committed
    }

    /// Begins again with the first page, because the cursor is not good any more. Values that were read stay.
    pub fn restart(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.commit(now)?;
        let PullRow { run, custom, last, .. } = self.pull;
        self.pull = PullRow::begin(run, last, custom, now);
        self.commit(now)
    }

    /// Records how the run ended, with all users that were added. Returns the ledger.
    pub fn finish(mut self, outcome: RunOutcome, now: Timestamp) -> Result<Ledger, LedgerError> {
        self.pull.complete = outcome == RunOutcome::Complete;
        self.commit(now)?;
        let run = self.run();
        self.ledger.finish(run, outcome, &RowCounts::default(), now)?;
        Ok(self.ledger)
    }

    /// Users as they are committed, by attribute. First comes which users there are, since values of later entries replace
    /// those of earlier ones: a custom attribute that a user has no value for is empty.
    fn contents(&mut self, users: &BTreeMap<User<'static>, ReadUser>) -> Vec<(u64, Pending)> {
        if users.is_empty() {
            return Vec::new();
        }
        let source = Source::Read { run: self.pull.run };
        let mut list = Pending::default();
        for (has_all, what) in [(true, SentValue::Text(WITH_CUSTOM.into())), (false, SentValue::Null)] {
            let users = users.iter().filter(|(_, read)| read.has_all_custom == has_all);
            list.add(source, &what, users.map(|(user, _)| user));
        }
        let mut contents = vec![(self.ledger.attribute(USERS), list)];
        let mut attributes: BTreeMap<u64, BTreeMap<&SentValue<'_>, Vec<&User<'static>>>> = BTreeMap::new();
        for (user, read) in users {
            for (attribute, value) in &read.values {
                attributes.entry(*attribute).or_default().entry(value).or_default().push(user);
            }
        }
        for (attribute, values) in attributes {
            let mut pending = Pending::default();
            for (value, users) in values {
                pending.add(source, value, users.into_iter());
            }
            contents.push((attribute, pending));
        }
        contents
    }
}

impl PullRow {
    /// A reading that begins after this entry.
    fn begin(run: u64, after: u64, custom: bool, now: Timestamp) -> Self {
        Self {
            run,
            begun: after,
            last: after,
            started: now,
            custom,
            complete: false,
            next: None,
            pages: 0,
            users: 0,
        }
    }
}

impl Pending {
    fn add<'u>(
        &mut self,
        source: Source,
        value: &SentValue<'_>,
        users: impl Iterator<Item = &'u User<'static>>,
    ) {
        let Self { facts, groups } = self;
        let mut users = users.peekable();
        if users.peek().is_none() {
            return;
        }
        groups::write(source, Some(value), users.inspect(|_| *facts += 1).cloned(), groups);
    }
}
