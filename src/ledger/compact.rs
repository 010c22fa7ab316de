//! Keeps the ledger small.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::{NonZeroU32, NonZeroUsize};

use jiff::Timestamp;

use super::database::Database;
use super::groups::{self, Groups, Malformed, Source};
use super::id_changes::{self, IDENTITY, Renamed, is_identity};
use super::pull::{USERS, has_custom, users_behind};
use super::rows::{AttributeRow, EntryHeader, LedgerState, PullRow, RunRow, TargetRow};
use super::set_rows::SetRows;
use super::{Ledger, LedgerError};
use crate::input::{AttributeId, Dictionary, ReadOptions, Row, STANDARD, Sink, Vocabulary};
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
            self.merge(&mut state, &headings, &attributes, resources)?;
        }
        let needed = self.still_needed(keep_since)?;
        self.empty_pulls(&state, &headings, needed)?;
        self.expire(&mut state, &headings, keep_since, needed)?;
        self.database().shrink()
    }

    /// Whether the last run ended normally, and the last one that sent. If not, it is too early to delete values that can't be trusted, because the run
    /// that continues it may confirm them.
    fn last_is_final(&self) -> Result<bool, LedgerError> {
        let runs = self.database().runs()?;
        let mut last = runs.last().into_iter().chain(runs.iter().rfind(|run| !run.is_pull()));
        last.try_fold(true, |all, run| Ok(all && self.reader().is_final(run)?))
    }

    fn merge(
        &self,
        state: &mut LedgerState,
        headings: &[EntryHeader],
        attributes: &[AttributeRow],
        resources: &Resources,
    ) -> Result<(), LedgerError> {
        let database = self.database();
        let targets = database.targets()?;
        let runs = database.runs()?;
        let last = headings.last().map_or(state.merged, |heading| heading.entry);
        database.in_one_commit(|| {
            self.keep_prior(state, headings, attributes, (&targets, &runs), resources)?;
            // Other attributes are merged with the users that were known until now.
            let (users, others): (Vec<_>, Vec<_>) =
                attributes.iter().cloned().partition(|attribute| attribute.name == USERS);
            for mut attribute in others.into_iter().chain(users) {
                let Some(target) = targets.iter().find(|target| target.id == attribute.target) else {
                    continue;
                };
                let list = self.reader().complete_pull(target.id)?;
                let news = new_entries(&attribute, attributes, target, headings, list.as_ref());
                let Some(newest) = news.last() else { continue };
                let untrusted = self.reader().untrusted_up_to(&runs, target, None)?.of(&attribute.name);
                // What a killed run may have sent changes no user's number.
                let is_list = attribute.name == USERS && !target.goes_by_custom_ids();
                let untrusted = if is_list { 0 } else { untrusted };
                let mut generation = newest.heading.entry;
                if let Some(list) = list.as_ref().filter(|_| attribute.name == USERS) {
                    // A new list replaces the old one.
                    (attribute.parts, generation) = (0, list.last);
                }
                let base = users_behind(&attribute, attributes, untrusted);
                let merged = Compaction::of(database, &attribute, base, &news, untrusted, resources)?;
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

    /// Stores what was known before each run whose entries are merged.
    fn keep_prior(
        &self,
        state: &LedgerState,
        headings: &[EntryHeader],
        attributes: &[AttributeRow],
        (targets, runs): (&[TargetRow], &[RunRow]),
        resources: &Resources,
    ) -> Result<(), LedgerError> {
        let database = self.database();
        let news = headings.iter().filter(|heading| heading.entry > state.merged);
        let mut set: BTreeMap<(u64, u64), Vec<EntryHeader>> = BTreeMap::new();
        for heading in news {
            set.entry((heading.run, heading.attribute)).or_default().push(*heading);
        }
        for run in runs.iter().filter(|run| !run.is_pull()) {
            let Some(target) = targets.iter().find(|target| target.id == run.target) else { continue };
            for attribute in attributes {
                let Some(own) = set.get(&(run.id, attribute.id)) else { continue };
                let earlier = new_entries(attribute, attributes, target, headings, None);
                let is_first = attribute.parts == 0
                    && users_behind(attribute, attributes, 0).is_none()
                    && earlier.iter().all(|earlier| earlier.heading.entry > run.after);
                if is_first {
                    continue;
                }
                let before = self.reader().before(run, target, attribute, attributes)?;
                for rows in SetRows::parts(database, own, resources.memory / 2) {
                    before.each(&rows?, |groups| database.add_prior(run.id, attribute.id, groups))?;
                }
            }
        }
        Ok(())
    }

    /// Removes the content of entries that hold what was read, once the known values have it: it would be as large as the
    /// account, for each reading. Which users were read since the last complete list stays, because it is in no known value.
    fn empty_pulls(
        &self,
        state: &LedgerState,
        headings: &[EntryHeader],
        needed: u64,
    ) -> Result<(), LedgerError> {
        let database = self.database();
        let pulls: BTreeSet<u64> = database.pulls()?.iter().map(|pull| pull.run).collect();
        let lists = self.lists()?;
        // A list may have begun before entries that are merged.
        let new = lists.iter().filter(|(users, list)| list.last > users.generation);
        let before_new = new.map(|(_, list)| list.begun).min().unwrap_or(u64::MAX);
        let through = state.merged.min(needed).min(before_new);
        let is_read_since = |heading: &EntryHeader| {
            lists.iter().any(|(users, list)| users.id == heading.attribute && heading.entry > list.last)
        };
        let is_merged = |heading: &&EntryHeader| {
            heading.entry <= through && pulls.contains(&heading.run) && !is_read_since(heading)
        };
        let merged: Vec<EntryHeader> = headings.iter().filter(is_merged).copied().collect();
        database.in_one_commit(|| {
            database.entries(merged).try_for_each(|entry| {
                let entry = entry?;
                if entry.groups.is_empty() { Ok(()) } else { database.empty_entry(&entry) }
            })
        })
    }

    /// The newest complete list of users of each account.
    fn lists(&self) -> Result<Vec<(AttributeRow, PullRow)>, LedgerError> {
        let attributes = self.database().attributes()?.into_iter();
        let users = attributes.filter(|attribute| attribute.name == USERS);
        let lists = users.map(|users| {
            let list = self.reader().complete_pull(users.target)?;
            Ok(list.map(|list| (users, list)))
        });
        lists.filter_map(Result::transpose).collect()
    }

    fn expire(
        &self,
        state: &mut LedgerState,
        headings: &[EntryHeader],
        keep_since: Timestamp,
        needed: u64,
    ) -> Result<(), LedgerError> {
        let kept = headings.iter().find(|heading| heading.at >= keep_since);
        let old = kept
            .map_or_else(|| headings.last().map_or(state.expired, |last| last.entry), |kept| kept.entry - 1);
        let through = old.min(state.merged).min(needed);
        if through <= state.expired {
            return Ok(());
        }
        state.expired = through;
        self.database().in_one_commit(|| {
            let runs = self.database().runs()?;
            let of_gone = runs.iter().rfind(|run| run.after < through).map_or(0, |run| run.id);
            self.database().forget_prior(of_gone)?;
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
#[derive(Clone, Copy)]
struct NewEntry {
    heading: EntryHeader,
    kind: EntryKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    /// Values of the attribute.
    Own,
    /// It renames users.
    Renames,
    /// Which users there were, for a custom attribute: it was empty for those that have no value.
    Users,
}

/// The entries that say something new about an attribute. Those of a reading that was interrupted stay in the journal, so that
/// they are new to an attribute that comes up for the first time after other attributes were merged.
fn new_entries(
    attribute: &AttributeRow,
    attributes: &[AttributeRow],
    target: &TargetRow,
    headings: &[EntryHeader],
    list: Option<&PullRow>,
) -> Vec<NewEntry> {
    if attribute.name == USERS {
        let is_newer = list.is_some_and(|list| list.last > attribute.generation);
        let in_list = |entry: u64| list.is_some_and(|list| list.begun < entry && entry <= list.last);
        let own = headings.iter().filter(|heading| heading.attribute == attribute.id && is_newer);
        let own = own.filter(|heading| in_list(heading.entry));
        return own.map(|heading| NewEntry { heading: *heading, kind: EntryKind::Own }).collect();
    }
    let of_target = || attributes.iter().filter(|other| other.target == target.id);
    let identity = of_target().find(|other| target.goes_by_custom_ids() && is_identity(other, target.id));
    let users = of_target().find(|other| other.name == USERS);
    let users = users.filter(|_| !STANDARD.contains(&attribute.name.as_str()));
    let kind = |heading: &EntryHeader| match Some(heading.attribute) {
        id if id == identity.map(|identity| identity.id) => Some(EntryKind::Renames),
        id if id == Some(attribute.id) => Some(EntryKind::Own),
        id if id == users.map(|users| users.id) => Some(EntryKind::Users),
        _ => None,
    };
    let news = headings.iter().filter(|heading| heading.entry > attribute.generation);
    news.filter_map(|heading| Some(NewEntry { heading: *heading, kind: kind(heading)? })).collect()
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

    /// Of all that is known of an attribute, and of these entries; but of nothing up to the doubted one. `users` are those of
    /// whom it is known that they had no value before.
    fn of(
        database: &Database,
        attribute: &AttributeRow,
        users: Option<&AttributeRow>,
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
        if let Some(users) = users {
            for groups in database.known_parts(users) {
                merge.take_users(&groups?, database)?;
            }
        }
        if attribute.generation > untrusted {
            for groups in database.known_parts(attribute) {
                merge.take(&groups?, database)?;
            }
        }
        let news = || news.iter().filter(|news| news.heading.entry > untrusted);
        let entries = database.entries(news().map(|news| news.heading));
        for (entry, news) in entries.zip(news()) {
            let groups = entry?.groups;
            match news.kind {
                EntryKind::Own => merge.take(&groups, database)?,
                EntryKind::Renames => merge.take_renames(&groups, attribute, database)?,
                EntryKind::Users => merge.take_users(&groups, database)?,
            }
        }
        merge.finish()
    }

    fn take(&mut self, groups: &[u8], database: &Database) -> Result<(), LedgerError> {
        for group in Groups::of(groups) {
            let mut group = group.map_err(|Malformed| database.malformed())?;
            let value = tagged(group.source, group.value.as_ref());
            for user in &mut group.users {
                self.accept(&user, &value)?;
            }
            group.users.finish().map_err(|Malformed| database.malformed())?;
        }
        Ok(())
    }

    /// Takes users who were read with all their values, of which none is of this attribute.
    fn take_users(&mut self, groups: &[u8], database: &Database) -> Result<(), LedgerError> {
        for group in Groups::of(groups) {
            let mut group = group.map_err(|Malformed| database.malformed())?;
            let (is_read, value) = (has_custom(&group), tagged(group.source, Some(&SentValue::Null)));
            for user in group.users.by_ref().filter(|_| is_read) {
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
            let (source, value) = (group.source, tagged(group.source, group.value.as_ref()));
            let mut result = Ok(());
            id_changes::each(&mut group, |renamed| {
                let accepted = match renamed {
                    Renamed::Unknown(user) => self.accept(&user, &tagged(source, None)),
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
            let Some((source, value)) = untagged(&value) else { continue };
            self.facts += u64::from(batch.len);
            groups::write(source, Some(&value), self.merged.users(batch), &mut part);
            if part.len() >= PART_BYTES {
                break;
            }
        }
        (!part.is_empty()).then_some(part)
    }
}

/// A value and where it comes from as one text, of which different ones make different ones. How many requests it took to send
/// a value is not kept.
fn tagged(source: Source, value: Option<&SentValue<'_>>) -> Cow<'static, str> {
    let Some(value) = value else { return Cow::Borrowed("?") };
    let (tag, text) = match value {
        SentValue::Null => ('n', ""),
        SentValue::Text(text) => ('t', &**text),
        SentValue::Json(token) => ('j', &**token),
    };
    match source {
        Source::Sent { .. } => Cow::Owned(format!("{tag}{text}")),
        Source::Read { run } => Cow::Owned(format!("{run}{tag}{text}")),
    }
}

fn untagged(text: &str) -> Option<(Source, SentValue<'_>)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (run, text) = text.split_at(digits);
    let source = run.parse().map_or(Source::Sent { attempts: 1 }, |run| Source::Read { run });
    let (tag, text) = text.split_at_checked(1)?;
    let value = match tag {
        "n" => SentValue::Null,
        "t" => SentValue::Text(Cow::Borrowed(text)),
        "j" => SentValue::Json(Cow::Borrowed(text)),
        _ => return None,
    };
    Some((source, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back_from_its_text_with_where_it_comes_from() {
        let text = |text| SentValue::Text(Cow::Borrowed(text));
        let values =
            [SentValue::Null, text(""), text("7n"), text("n"), SentValue::Json(Cow::Borrowed("1.50"))];
        for value in &values {
            for source in [Source::Sent { attempts: 1 }, Source::Read { run: 12 }] {
                let tagged = tagged(source, Some(value));
                assert_eq!(untagged(&tagged), Some((source, value.clone())), "{tagged}");
            }
        }
        for unknown in [&*tagged(Source::Sent { attempts: 3 }, None), "", "12", "x1"] {
            assert_eq!(untagged(unknown), None, "{unknown}");
        }
    }
}
