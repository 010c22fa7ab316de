//! Lists runs, and what was sent when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::groups::{Group, Groups, Malformed, Source};
use super::id_changes::{self, UntrustedUpTo, is_identity};
use super::pull::USERS;
use super::reader::LedgerReader;
use super::rows::{AttributeRow, JournalEntry, PullRow, RunRow};
use super::run::{RowCounts, RunId, RunOutcome};
use super::{LedgerError, LockHolder};
use crate::plan::{SentValue, User};

/// A run of the past, or of this moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PastRun {
    /// Its number.
    pub run: RunId,
    /// The API that it sent to.
    pub base_url: String,
    /// The run that it continues.
    pub continues: Option<RunId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` if it was killed or is still running.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<RunOutcome>,
    /// The process that is running it at this moment.
    pub process: Option<u32>,
    /// What it read.
    pub inputs: Vec<String>,
    /// How many rows had which result.
    pub rows: Option<RowCounts>,
    /// What it read of the account, if it sent nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<PastPull>,
}

/// What a run read of the account, with the earlier runs that it continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PastPull {
    /// Pages of the list of users.
    pub pages: u64,
    /// Users, those counted twice that came twice.
    pub users: u64,
}

/// One value of one attribute that a run sent successfully.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SentRows {
    /// The attribute.
    pub attribute: String,
    /// The value, as sent.
    pub value: SentValue<'static>,
    /// How many users got it.
    pub users: u64,
    /// How many acknowledgements that took.
    pub batches: u64,
    /// How many requests these took.
    pub attempts: u64,
    /// When the first of them was recorded.
    pub first_at: Timestamp,
    /// When the last of them was recorded.
    pub last_at: Timestamp,
}

/// A value that a user got, or was seen to have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserValue {
    /// The API where the user is.
    pub base_url: String,
    /// The attribute.
    pub attribute: String,
    /// The value, as sent.
    pub value: SentValue<'static>,
    /// Where it is known from.
    pub origin: Origin,
    /// By which run, and when; `None` if that is too long ago, so that only the value is known.
    pub by: Option<(RunId, Timestamp)>,
    /// Whether the API still holds it.
    pub standing: ValueState,
}

/// Where a value is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A run sent it, and the API acknowledged it.
    Sent,
    /// A run read it from the account.
    Read,
}

/// Whether the API still holds what a user got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueState {
    /// Yes, as far as any run knows.
    #[serde(rename = "held")]
    Current,
    /// No, the user got another value since.
    Replaced,
    /// Not certain: a later request failed or a later run was killed, either of which may have set another value; or the id
    /// was given to another user.
    #[serde(rename = "doubted")]
    Uncertain,
}

/// One record of a user and an attribute.
struct Mention<'a> {
    attribute: &'a AttributeRow,
    /// The entry that says so.
    entry: u64,
    /// `None` if the request failed.
    value: Option<SentValue<'static>>,
    /// Whether this took the user's id away, or gave it to another one.
    renames: bool,
    origin: Origin,
    by: Option<(RunId, Timestamp)>,
}

/// Leaves out what was read and says nothing: a value that was read again later, and an empty attribute that never had a value.
fn worth_telling(mentions: Vec<Mention<'_>>) -> Vec<Mention<'_>> {
    let mut newer: HashMap<u64, Option<SentValue<'static>>> = HashMap::new();
    let has_value: HashSet<u64> = mentions
        .iter()
        .filter(|mention| mention.origin == Origin::Sent || mention.value != Some(SentValue::Null))
        .map(|mention| mention.attribute.id)
        .collect();
    let mut told: Vec<_> = mentions
        .into_iter()
        .rev()
        .filter(|Mention { attribute, value, origin, .. }| {
            let later = newer.insert(attribute.id, value.clone());
            let is_repeated = *origin == Origin::Read && later.as_ref() == Some(value);
            has_value.contains(&attribute.id) && !is_repeated
        })
        .collect();
    told.reverse();
    told
}

impl PastRun {
    /// How long it took; `None` where that is not known.
    pub fn duration(&self) -> Option<Duration> {
        Duration::try_from(self.finished_at?.duration_since(self.started_at)).ok()
    }
}

impl LedgerReader {
    /// Every run, the oldest first.
    pub fn runs(&self) -> Result<Vec<PastRun>, LedgerError> {
        let base_urls = self.base_urls()?;
        let holder = self.database.holder();
        let process = |run: &RunRow| {
            let took_hold = |holder: &&LockHolder| run.ending.is_none() && holder.since <= run.started;
            holder.as_ref().filter(took_hold).map(|holder| holder.process)
        };
        let runs = self.database.runs()?;
        let last = runs.last().and_then(process);
        let pulls = self.database.pulls()?;
        let mut past: Vec<_> = runs
            .into_iter()
            .map(|run| self.past(run, &base_urls, &pulls))
            .collect::<Result<_, LedgerError>>()?;
        if let Some(newest) = past.last_mut() {
            newest.process = last;
        }
        Ok(past)
    }

    /// The values that a run sent successfully, in the order of their first acknowledgement. Entries that have expired are
    /// missing.
    pub fn sent_rows(&self, run: RunId) -> Result<Vec<SentRows>, LedgerError> {
        let attributes = self.attributes()?;
        let mut places: HashMap<(u64, SentValue<'static>), usize> = HashMap::new();
        let mut sent_rows: Vec<SentRows> = Vec::new();
        let mut headings = self.database.headings(self.database.state()?.expired)?;
        headings.retain(|heading| heading.run == run.0);
        for entry in self.database.entries(headings) {
            let JournalEntry { heading, groups } = entry?;
            let attribute = self.of_entry(&attributes, heading.attribute)?;
            let at = heading.at;
            self.each_group(&groups, |group| {
                let Some(value) = group.value.clone().map(SentValue::into_owned) else { return };
                let Source::Sent { attempts } = group.source else { return };
                let (users, attempts) = (group.users.len() as u64, u64::from(attempts));
                let place = *places.entry((attribute.id, value)).or_insert_with_key(|(_, value)| {
                    let (attribute, value) = (attribute.name.clone(), value.clone());
                    let none = SentRows {
                        attribute,
                        value,
                        users: 0,
                        batches: 0,
                        attempts: 0,
                        first_at: at,
                        last_at: at,
                    };
                    sent_rows.push(none);
                    sent_rows.len() - 1
                });
                let sent = &mut sent_rows[place];
                sent.users += users;
                sent.batches += 1;
                sent.attempts += attempts;
                sent.last_at = at;
            })?;
        }
        Ok(sent_rows)
    }

    /// The values that a user got, at all APIs of the ledger, oldest first.
    pub fn user(&self, user: &User<'_>) -> Result<Vec<UserValue>, LedgerError> {
        let attributes = self.attributes()?;
        let base_urls = self.base_urls()?;
        let doubts = self.untrusted_targets()?;
        let untrusted = |attribute: &AttributeRow| {
            doubts.get(&attribute.target).copied().unwrap_or_default().of(&attribute.name)
        };
        let (mut newer, mut shaken, mut renamed) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut facts = Vec::new();
        for Mention { attribute, entry, value, renames, origin, by } in
            worth_telling(self.mentions(user, &attributes)?).into_iter().rev()
        {
            if renames {
                renamed.insert(attribute.target);
            }
            let Some(value) = value else {
                shaken.insert(attribute.id);
                continue;
            };
            let is_newest = newer.insert(attribute.id);
            let standing = if !is_newest {
                ValueState::Replaced
            } else if shaken.contains(&attribute.id)
                || renamed.contains(&attribute.target)
                || entry <= untrusted(attribute)
            {
                ValueState::Uncertain
            } else {
                ValueState::Current
            };
            let base_url = base_urls.get(&attribute.target).cloned().unwrap_or_default();
            let attribute = attribute.name.clone();
            facts.push(UserValue { base_url, attribute, value, origin, by, standing });
        }
        facts.reverse();
        Ok(facts)
    }

    /// All records of a user, oldest first.
    fn mentions<'a>(
        &self,
        user: &User<'_>,
        attributes: &'a BTreeMap<u64, AttributeRow>,
    ) -> Result<Vec<Mention<'a>>, LedgerError> {
        let state = self.database.state()?;
        let targets = self.database.targets()?;
        let pulls: BTreeMap<u64, PullRow> =
            self.database.pulls()?.into_iter().map(|pull| (pull.run, pull)).collect();
        let mut dated = Vec::new();
        let (mut also_known, mut also_read) = (HashSet::new(), HashSet::new());
        for read in self.database.entries(self.database.headings(state.expired)?) {
            let JournalEntry { heading, groups } = read?;
            let attribute = self.of_entry(attributes, heading.attribute)?;
            if attribute.name == USERS {
                continue;
            }
            let (entry, by) = (heading.entry, Some((RunId(heading.run), heading.at)));
            let names_users =
                targets.iter().any(|target| target.goes_by_custom_ids() && is_identity(attribute, target.id));
            self.each_group(&groups, |group| {
                let named = group.value.as_ref().and_then(id_changes::named);
                let names_it = names_users && named.as_ref() == Some(user);
                let has_it = group.users.clone().any(|other| other == *user);
                // The user that had the id before, if another one gets it now.
                let takes_it = names_it && group.users.clone().any(|other| other != *user);
                let origin = match group.source {
                    Source::Sent { .. } => Origin::Sent,
                    Source::Read { run } => {
                        also_read.extend(has_it.then_some((attribute.id, run)));
                        Origin::Read
                    }
                };
                if has_it {
                    if entry <= state.merged {
                        also_known.insert(attribute.id);
                    }
                    let value = group.value.clone().map(SentValue::into_owned);
                    let renames = names_users && !names_it;
                    dated.push(Mention { attribute, entry, value, renames, origin, by });
                }
                if takes_it {
                    dated.push(Mention { attribute, entry, value: None, renames: true, origin, by });
                }
            })?;
        }
        let mut mentions = Vec::new();
        for attribute in attributes.values().filter(|attribute| attribute.name != USERS) {
            for groups in self.database.known_parts(attribute) {
                self.each_group(&groups?, |group| {
                    let (origin, entry, by) = match group.source {
                        Source::Sent { .. } if also_known.contains(&attribute.id) => return,
                        Source::Sent { .. } => (Origin::Sent, attribute.generation, None),
                        Source::Read { run } if also_read.contains(&(attribute.id, run)) => return,
                        Source::Read { run } => match pulls.get(&run) {
                            Some(pull) => (Origin::Read, pull.last, Some((RunId(run), pull.started))),
                            None => (Origin::Read, attribute.generation, None),
                        },
                    };
                    if group.users.clone().any(|other| other == *user) {
                        let value = group.value.clone().map(SentValue::into_owned);
                        mentions.push(Mention { attribute, entry, value, renames: false, origin, by });
                    }
                })?;
            }
        }
        let (undated, read): (Vec<_>, Vec<_>) =
            mentions.into_iter().partition(|mention| mention.by.is_none());
        dated.extend(read);
        dated.sort_by_key(|mention| mention.entry);
        Ok(undated.into_iter().chain(dated).collect())
    }

    /// By target, how far what is known of it is doubted.
    fn untrusted_targets(&self) -> Result<HashMap<u64, UntrustedUpTo>, LedgerError> {
        let runs = self.database.runs()?;
        let targets = self.database.targets()?;
        targets.iter().map(|target| Ok((target.id, self.untrusted_up_to(&runs, target, None)?))).collect()
    }

    fn past(
        &self,
        run: RunRow,
        base_urls: &HashMap<u64, String>,
        pulls: &[PullRow],
    ) -> Result<PastRun, LedgerError> {
        let pull = pulls.iter().find(|pull| pull.run == run.id);
        let pull = pull.map(|&PullRow { pages, users, .. }| PastPull { pages, users });
        let outcome = self.outcome(&run)?;
        let unreadable = |_| self.database.damaged("what is said of a run can't be read");
        let rows = run.ending.as_ref().map(|ending| serde_json::from_str(&ending.rows));
        Ok(PastRun {
            run: RunId(run.id),
            base_url: base_urls.get(&run.target).cloned().unwrap_or_default(),
            continues: (run.continues != 0).then_some(RunId(run.continues)),
            started_at: run.started,
            finished_at: run.ending.map(|ending| ending.at),
            outcome,
            process: None,
            inputs: serde_json::from_str(&run.inputs).map_err(unreadable)?,
            rows: rows.transpose().map_err(unreadable)?.filter(|_| pull.is_none()),
            pull,
        })
    }

    fn base_urls(&self) -> Result<HashMap<u64, String>, LedgerError> {
        Ok(self.database.targets()?.into_iter().map(|target| (target.id, target.base_url)).collect())
    }

    fn attributes(&self) -> Result<BTreeMap<u64, AttributeRow>, LedgerError> {
        let attributes = self.database.attributes()?;
        Ok(attributes.into_iter().map(|attribute| (attribute.id, attribute)).collect())
    }

    fn of_entry<'a>(
        &self,
        attributes: &'a BTreeMap<u64, AttributeRow>,
        id: u64,
    ) -> Result<&'a AttributeRow, LedgerError> {
        attributes.get(&id).ok_or_else(|| self.database.damaged("an attribute is missing"))
    }

    fn each_group(&self, groups: &[u8], mut see: impl FnMut(&Group<'_>)) -> Result<(), LedgerError> {
        let seen = Groups::of(groups).try_for_each(|group| {
            let mut group = group?;
            see(&group);
            group.users.by_ref().for_each(drop);
            group.users.finish()
        });
        seen.map_err(|Malformed| self.database.malformed())
    }
}
