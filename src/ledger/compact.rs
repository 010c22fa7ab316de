//! Keeping the ledger small.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU32;

use jiff::Timestamp;

use super::groups::{self, Groups, Malformed};
use super::store::{Attribute, Heading, Run, State, Store};
use super::{Ledger, LedgerError};
use crate::input::{self, Dictionary, Row, Sink, Vocabulary};
use crate::plan::{Builder, OnConflict, Plan, Sent, User};

/// The journal is merged when it has at least this share of what is known, as a divisor: less often, and each run reads
/// much that is superseded; more often, and each run writes much that is unchanged.
const WORTHWHILE: u64 = 4;

/// About how many bytes a part of what is known has.
const PART_BYTES: usize = 256 << 10;

/// Most users in a group of a part.
const GROUP_USERS: NonZeroU32 = NonZeroU32::new(1 << 16).expect("a power of two is not 0");

impl Ledger {
    /// Merges superseded knowledge away if that is worthwhile, forgets what was sent when for all that was sent before
    /// `keep_since`, and gives back the room. What an unfinished run recorded stays as long as it can be continued.
    pub fn compact(&mut self, keep_since: Timestamp) -> Result<(), LedgerError> {
        let mut state = self.store().state()?;
        let headings = self.store().headings(state.expired)?;
        let attributes = self.store().attributes()?;
        let news =
            headings.iter().filter(|heading| heading.entry > state.merged).map(|heading| heading.facts);
        let (news, known): (u64, u64) =
            (news.sum(), attributes.iter().map(|attribute| attribute.facts).sum());
        if news > 0 && news >= known / WORTHWHILE && self.last_is_final()? {
            self.merge(&mut state, &headings, attributes)?;
        }
        self.expire(&mut state, &headings, keep_since)?;
        self.store().tidy()
    }

    /// Whether the last run went to its end. Before that it is too early to drop what is doubted: the run that goes on
    /// may settle it.
    fn last_is_final(&self) -> Result<bool, LedgerError> {
        let runs = self.store().runs()?;
        runs.last().map_or(Ok(false), |run| self.reader().is_final(run))
    }

    fn merge(
        &self,
        state: &mut State,
        headings: &[Heading],
        attributes: Vec<Attribute>,
    ) -> Result<(), LedgerError> {
        let store = self.store();
        let mut news: HashMap<u64, Vec<u64>> = HashMap::new();
        for heading in headings.iter().filter(|heading| heading.entry > state.merged) {
            news.entry(heading.attribute).or_default().push(heading.entry);
        }
        let runs = store.runs()?;
        let last = headings.last().map_or(state.merged, |heading| heading.entry);
        store.in_one_commit(|| {
            for mut attribute in attributes {
                if let Some(entries) = news.get(&attribute.id) {
                    let doubted = self.reader().doubted(&runs, attribute.target, None)?;
                    let merged = Merge::of(store, &attribute, entries, doubted)?;
                    attribute.generation = last;
                    let (facts, parts) = parts(&merged);
                    attribute.facts = facts;
                    attribute.parts = parts.len() as u64;
                    store.put_attribute(&attribute)?;
                    store.replace_known(&attribute, &parts)?;
                }
            }
            state.merged = last;
            store.put_state(state)
        })
    }

    fn expire(
        &self,
        state: &mut State,
        headings: &[Heading],
        keep_since: Timestamp,
    ) -> Result<(), LedgerError> {
        let kept = headings.iter().find(|heading| heading.at >= keep_since);
        let old = kept
            .map_or_else(|| headings.last().map_or(state.expired, |last| last.entry), |kept| kept.entry - 1);
        let through = old.min(state.merged).min(self.still_needed(keep_since)?);
        if through <= state.expired {
            return Ok(());
        }
        state.expired = through;
        self.store().in_one_commit(|| {
            self.store().forget_entries(through)?;
            self.store().put_state(state)
        })
    }

    /// The entry before the first one that a run could be continued from.
    fn still_needed(&self, keep_since: Timestamp) -> Result<u64, LedgerError> {
        let runs = self.store().runs()?;
        let mut newest: HashMap<(u64, &str, &str), &Run> = HashMap::new();
        for run in &runs {
            newest.insert((run.target, &run.settings, &run.inputs), run);
        }
        let mut needed = u64::MAX;
        for run in newest.into_values().filter(|run| run.started >= keep_since) {
            if !self.reader().is_final(run)? {
                needed = needed.min(run.begun);
            }
        }
        Ok(needed)
    }
}

/// Merges facts by the machine that settles conflicts between rows: facts are rows, values stand for themselves, and the
/// last row wins.
struct Merge {
    dictionary: Dictionary,
    builder: Builder,
}

impl Merge {
    /// Of all that is known of an attribute, and of these entries; but of nothing up to the doubted one.
    fn of(store: &Store, attribute: &Attribute, entries: &[u64], doubted: u64) -> Result<Plan, LedgerError> {
        let options = input::Options { vocabulary: Vocabulary::Custom, ..input::Options::default() };
        let mut merge =
            Self { dictionary: Dictionary::new(&options), builder: Builder::new(OnConflict::Last) };
        let malformed = |Malformed| store.damaged("facts are not what they should be");
        let parts = if attribute.generation > doubted { attribute.parts } else { 0 };
        for part in 0..parts {
            merge.take(&store.known_part(attribute, part)?).map_err(malformed)?;
        }
        for &entry in entries.iter().filter(|entry| **entry > doubted) {
            merge.take(&store.entry(entry)?.groups).map_err(malformed)?;
        }
        Ok(merge.builder.finish(merge.dictionary, GROUP_USERS)?)
    }

    fn take(&mut self, groups: &[u8]) -> Result<(), Malformed> {
        let attribute = self.dictionary.attribute_id("merged").expect("custom attributes are allowed");
        for group in Groups::of(groups) {
            let mut group = group?;
            let value = self.dictionary.intern(attribute, &tagged(group.value.as_ref()));
            for user in &mut group.users {
                let user = match user {
                    User::Id(id) => id,
                    User::Custom(id) => self.dictionary.intern_user(&id),
                };
                self.builder.accept(Row { user, attribute, value });
            }
            group.users.finish()?;
        }
        Ok(())
    }
}

/// The facts of a merge, in the order of their values, and how many they are.
fn parts(merged: &Plan) -> (u64, Vec<Vec<u8>>) {
    let (mut facts, mut parts) = (0, Vec::new());
    let mut part = Vec::new();
    for batch in merged.batches() {
        let value = merged.value(batch.group).expect("no tag is the null token");
        let Some(value) = untagged(&value) else { continue };
        facts += u64::from(batch.len);
        groups::write(1, Some(&value), merged.users(batch), &mut part);
        if part.len() >= PART_BYTES {
            parts.push(std::mem::take(&mut part));
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    (facts, parts)
}

/// A value as one text, of which different values make different ones.
fn tagged(value: Option<&Sent<'_>>) -> Cow<'static, str> {
    match value {
        None => Cow::Borrowed("?"),
        Some(Sent::Null) => Cow::Borrowed("n"),
        Some(Sent::Text(text)) => Cow::Owned(format!("t{text}")),
        Some(Sent::Json(token)) => Cow::Owned(format!("j{token}")),
    }
}

fn untagged(text: &str) -> Option<Sent<'_>> {
    match text.split_at_checked(1) {
        Some(("n", _)) => Some(Sent::Null),
        Some(("t", text)) => Some(Sent::Text(Cow::Borrowed(text))),
        Some(("j", token)) => Some(Sent::Json(Cow::Borrowed(token))),
        _ => None,
    }
}
