//! Keeps the ledger small.

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};

use jiff::Timestamp;

use super::groups::{self, Groups, Malformed};
use super::id_changes::{self, IDENTITY, Renamed, is_identity};
use super::sqlite::{AttributeRow, Database, EntryHeader, LedgerState, RunRow};
use super::{Ledger, LedgerError};
use crate::input::{AttributeId, Dictionary, ReadOptions, Row, Sink, Vocabulary};
use crate::plan::{Batches, Builder, OnConflict, Plan, SentValue, User};
use crate::spill::Resources;

/// The journal is compacted when it has at least a quarter as many values as are known. Less often, and each run would read
/// many superseded values; more often, and each run would write many unchanged ones.
const WORTHWHILE: u64 = 4;

/// The approximate size of a part of the known values, which is read into memory as a whole.
const PART_BYTES: usize = 256 << 10;

/// The most users in a group of a part.
const GROUP_USERS: NonZeroU32 = NonZeroU32::new(1 << 16).expect("a power of two is not 0");

impl Ledger {
    /// Compacts the journal if that is worthwhile, deletes entries older than `keep_since`, and shrinks the file. The
    /// entries of an unfinished run stay as long as it can be continued.
    ///
    /// `resources` limit the memory and name the directory for temporary files.
    pub fn compact(&mut self, keep_since: Timestamp, resources: &Resources) -> Result<(), LedgerError> {
        let mut state = self.database().state()?;
        let headings = self.database().headings(state.expired)?;
        let attributes = self.database().attributes()?;
        let news =
            headings.iter().filter(|heading| heading.entry > state.merged).map(|heading| heading.facts);
        let (news, known): (u64, u64) =
            (news.sum(), attributes.iter().map(|attribute| attribute.facts).sum());
        if news > 0 && news >= known / WORTHWHILE && self.last_is_final()? {
            self.merge(&mut state, &headings, attributes, resources)?;
        }
        self.expire(&mut state, &headings, keep_since)?;
        self.database().shrink()
    }

    /// Whether the last run ended normally. If not, it is too early to delete values that can't be trusted, because the run
    /// that continues it may confirm them.
    fn last_is_final(&self) -> Result<bool, LedgerError> {
        let runs = self.database().runs()?;
        runs.last().map_or(Ok(false), |run| self.reader().is_final(run))
    }

    fn merge(
        &self,
        state: &mut LedgerState,
        headings: &[EntryHeader],
        attributes: Vec<AttributeRow>,
        resources: &Resources,
    ) -> Result<(), LedgerError> {
        let database = self.database();
        let targets = database.targets()?;
        let runs = database.runs()?;
        let last = headings.last().map_or(state.merged, |heading| heading.entry);
        let identities: HashMap<u64, u64> = targets
            .iter()
            .filter(|target| target.goes_by_custom_ids())
            .filter_map(|target| {
                let identity = attributes.iter().find(|attribute| is_identity(attribute, target.id))?;
                Some((target.id, identity.id))
            })
            .collect();
        database.in_one_commit(|| {
            for mut attribute in attributes {
                let identity = identities.get(&attribute.target).copied();
                let matters = |heading: &&EntryHeader| {
                    [Some(attribute.id), identity].contains(&Some(heading.attribute))
                };
                let news: Vec<NewEntry> = headings
                    .iter()
                    .filter(|heading| heading.entry > state.merged)
                    .filter(matters)
                    .map(|heading| NewEntry {
                        entry: heading.entry,
                        renames: Some(heading.attribute) == identity,
                    })
                    .collect();
                let (Some(newest), Some(target)) =
                    (news.last(), targets.iter().find(|target| target.id == attribute.target))
                else {
                    continue;
                };
                let untrusted = self.reader().untrusted_up_to(&runs, target, None)?.of(&attribute.name);
                let generation = newest.entry;
                let merged = Compaction::of(database, &attribute, &news, untrusted, resources)?;
                attribute.generation = generation;
                let mut parts = KnownParts::of(&merged);
                database.replace_known(&mut attribute, &mut parts)?;
                attribute.facts = parts.facts;
                database.put_attribute(&attribute)?;
            }
            state.merged = last;
            database.put_state(state)
        })
    }

    fn expire(
        &self,
        state: &mut LedgerState,
        headings: &[EntryHeader],
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
        self.database().in_one_commit(|| {
            self.database().forget_entries(through)?;
            self.database().put_state(state)
        })
    }

    /// The entry before the first one that a run could be continued from.
    fn still_needed(&self, keep_since: Timestamp) -> Result<u64, LedgerError> {
        let runs = self.database().runs()?;
        let mut newest: HashMap<(u64, &str), &RunRow> = HashMap::new();
        for run in &runs {
            newest.insert((run.target, &run.settings), run);
        }
        let mut needed = u64::MAX;
        for run in newest.into_values().filter(|run| run.started >= keep_since) {
            if self.reader().is_open(run, &runs)? {
                needed = needed.min(run.begun);
            }
        }
        Ok(needed)
    }
}

/// An entry that is not merged yet.
struct NewEntry {
    entry: u64,
    /// Whether it renames users.
    renames: bool,
}

/// Merges entries with the code that resolves conflicts between input rows: each recorded value is a row, and the last row
/// wins. As with input rows, what doesn't fit the memory goes to temporary files.
struct Compaction {
    dictionary: Dictionary,
    attribute: AttributeId,
    builder: Builder,
    /// Rows since there was last a look at the memory.
    rows: u32,
}

impl Compaction {
    /// Rows between two looks.
    const STRIDE: u32 = 4096;

    /// Of all that is known of an attribute, and of these entries; but of nothing up to the doubted one.
    fn of(
        database: &Database,
        attribute: &AttributeRow,
        news: &[NewEntry],
        untrusted: u64,
        resources: &Resources,
    ) -> Result<Plan, LedgerError> {
        let options = ReadOptions {
            vocabulary: Vocabulary::Custom,
            resources: Resources { threads: NonZeroUsize::MIN, ..resources.clone() },
            ..ReadOptions::default()
        };
        let mut dictionary = Dictionary::new(&options);
        let id = dictionary.attribute_id("merged").expect("custom attributes are allowed");
        let builder = Builder::new(OnConflict::Last).resources(&options.resources);
        let mut merge = Self { dictionary, attribute: id, builder, rows: 0 };
        let parts = if attribute.generation > untrusted { attribute.parts } else { 0 };
        for part in 0..parts {
            merge.take(&database.known_part(attribute, part)?, database)?;
        }
        for news in news.iter().filter(|news| news.entry > untrusted) {
            let groups = database.entry(news.entry)?.groups;
            if news.renames {
                merge.take_renames(&groups, attribute, database)?;
            } else {
                merge.take(&groups, database)?;
            }
        }
        merge.finish()
    }

    fn take(&mut self, groups: &[u8], database: &Database) -> Result<(), LedgerError> {
        for group in Groups::of(groups) {
            let mut group = group.map_err(|Malformed| database.malformed())?;
            let value = tagged(group.value.as_ref());
            for user in &mut group.users {
                self.accept(&user, &value)?;
            }
            group.users.finish().map_err(|Malformed| database.malformed())?;
        }
        Ok(())
    }

    /// Takes an entry of the attribute that is the users' id.
    fn take_renames(
        &mut self,
        groups: &[u8],
        attribute: &AttributeRow,
        database: &Database,
    ) -> Result<(), LedgerError> {
        let own = attribute.name == IDENTITY;
        for group in Groups::of(groups) {
            let mut group = group.map_err(|Malformed| database.malformed())?;
            let value = tagged(group.value.as_ref());
            let mut result = Ok(());
            id_changes::each(&mut group, |renamed| {
                let accepted = match renamed {
                    Renamed::Unknown(user) => self.accept(&user, &tagged(None)),
                    Renamed::Kept(user) if own => self.accept(&user, &value),
                    Renamed::Kept(_) => Ok(()),
                };
                if result.is_ok() {
                    result = accepted;
                }
            })
            .map_err(|Malformed| database.malformed())?;
            result?;
        }
        Ok(())
    }

    fn accept(&mut self, user: &User<'_>, value: &str) -> Result<(), LedgerError> {
        let Self { dictionary, attribute, builder, rows } = self;
        let value = dictionary.intern(*attribute, value);
        let user = match user {
            User::Id(id) => *id,
            User::Custom(id) => dictionary.intern_user(id),
        };
        builder.accept(Row { user, attribute: *attribute, value });
        *rows += 1;
        if *rows < Self::STRIDE {
            return Ok(());
        }
        *rows = 0;
        builder.check_memory()?;
        if dictionary.is_full() {
            builder.dictionary_spilled(dictionary.spill()?);
        }
        Ok(())
    }

    fn finish(self) -> Result<Plan, LedgerError> {
        let Self { mut dictionary, mut builder, .. } = self;
        if dictionary.spills() > 0 {
            builder.dictionary_spilled(dictionary.spill()?);
            dictionary.merge_spills()?;
        }
        Ok(builder.finish(dictionary, GROUP_USERS)?)
    }
}

/// The merged values, in the order of the values, one part at a time.
struct KnownParts<'p> {
    merged: &'p Plan,
    batches: Batches<'p>,
    /// How many pairs of user and value were returned so far.
    facts: u64,
}

impl<'p> KnownParts<'p> {
    fn of(merged: &'p Plan) -> Self {
        Self { merged, batches: merged.batches(), facts: 0 }
    }
}

impl Iterator for KnownParts<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut part = Vec::new();
        for batch in self.batches.by_ref() {
            let value = self.merged.value(batch.group).expect("no tag is the null token");
            let Some(value) = untagged(&value) else { continue };
            self.facts += u64::from(batch.len);
            groups::write(1, Some(&value), self.merged.users(batch), &mut part);
            if part.len() >= PART_BYTES {
                break;
            }
        }
        (!part.is_empty()).then_some(part)
    }
}

/// A value as one text, of which different values make different ones.
fn tagged(value: Option<&SentValue<'_>>) -> Cow<'static, str> {
    match value {
        None => Cow::Borrowed("?"),
        Some(SentValue::Null) => Cow::Borrowed("n"),
        Some(SentValue::Text(text)) => Cow::Owned(format!("t{text}")),
        Some(SentValue::Json(token)) => Cow::Owned(format!("j{token}")),
    }
}

fn untagged(text: &str) -> Option<SentValue<'_>> {
    match text.split_at_checked(1) {
        Some(("n", _)) => Some(SentValue::Null),
        Some(("t", text)) => Some(SentValue::Text(Cow::Borrowed(text))),
        Some(("j", token)) => Some(SentValue::Json(Cow::Borrowed(token))),
        _ => None,
    }
}
