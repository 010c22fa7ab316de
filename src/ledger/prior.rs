//! What was known before a run of the values that it set, so that the run can be undone.
//!
//! It is found in the journal and in the known values. When these are compacted, it would be lost, so it is stored then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fixedbitset::FixedBitSet;

use super::LedgerError;
use super::database::Database;
use super::groups::{self, Group, Groups, Malformed, Source};
use super::id_changes::{self, IDENTITY, Renamed, is_identity};
use super::pull::{USERS, has_custom, users_behind};
use super::reader::LedgerReader;
use super::rows::{AttributeRow, EntryHeader, JournalEntry, RunRow, TargetRow};
use crate::input::STANDARD;
use crate::plan::{SentValue, User};

/// The approximate size of what is stored in a row.
const PART_BYTES: usize = 256 << 10;

/// The rows of one attribute that a run got acknowledged: at most one for each user.
#[derive(Debug)]
pub(super) struct SetRows {
    users: UserList,
    values: Vec<SentValue<'static>>,
    /// By position of the user, the position of the value.
    value_of: Vec<u32>,
    /// The last entry that has any of them.
    pub(super) last: u64,
}

/// Users, ascending.
#[derive(Debug)]
enum UserList {
    Ids(Vec<u64>),
    Custom(Vec<String>),
}

/// Users of a list that are still to be found, and are found once.
#[derive(Debug)]
pub(super) struct Search<'r> {
    rows: &'r SetRows,
    found: FixedBitSet,
}

impl SetRows {
    /// The rows of a run, from these entries, which ascend. `renamed` has the client's own ids that are to be replaced.
    pub(super) fn of(
        database: &Database,
        entries: &[EntryHeader],
        renamed: &BTreeMap<String, String>,
    ) -> Result<Self, LedgerError> {
        let (mut ids, mut custom) = (Vec::new(), Vec::new());
        let (mut values, mut numbers) = (Vec::new(), HashMap::new());
        for entry in database.entries(entries.iter().copied()) {
            each_group(database, &entry?.groups, |group| {
                let Some(value) = group.value.clone().map(SentValue::into_owned) else { return };
                let number = *numbers.entry(value).or_insert_with_key(|value| {
                    values.push(value.clone());
                    u32::try_from(values.len() - 1).expect("groups are numbered in 32 bits")
                });
                for user in group.users.clone() {
                    match user {
                        User::Id(id) => ids.push((id, number)),
                        User::Custom(id) => {
                            let id = renamed.get(&*id).map_or_else(|| id.into_owned(), Clone::clone);
                            custom.push((id, number));
                        }
                    }
                }
            })?;
        }
        let last = entries.last().map_or(0, |heading| heading.entry);
        let (users, value_of) = if custom.is_empty() {
            let (ids, value_of) = last_of_each(ids);
            (UserList::Ids(ids), value_of)
        } else {
            let (ids, value_of) = last_of_each(custom);
            (UserList::Custom(ids), value_of)
        };
        Ok(Self { users, values, value_of, last })
    }

    pub(super) fn len(&self) -> usize {
        self.value_of.len()
    }

    /// The user at a position.
    pub(super) fn user(&self, position: usize) -> User<'_> {
        match &self.users {
            UserList::Ids(ids) => User::Id(ids[position]),
            UserList::Custom(ids) => User::Custom(ids[position].as_str().into()),
        }
    }

    /// The value that the user at a position got.
    pub(super) fn value(&self, position: usize) -> &SentValue<'static> {
        &self.values[self.value_of[position] as usize]
    }

    /// The position of a user.
    pub(super) fn position(&self, user: &User<'_>) -> Option<usize> {
        match (&self.users, user) {
            (UserList::Ids(ids), User::Id(id)) => ids.binary_search(id).ok(),
            (UserList::Custom(ids), User::Custom(id)) => {
                ids.binary_search_by(|other| other.as_str().cmp(id)).ok()
            }
            _ => None,
        }
    }

    pub(super) fn search(&self) -> Search<'_> {
        Search { rows: self, found: FixedBitSet::with_capacity(self.len()) }
    }
}

/// Sorts by user, and keeps the last value of each.
fn last_of_each<U: Ord>(mut rows: Vec<(U, u32)>) -> (Vec<U>, Vec<u32>) {
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows.reverse();
    rows.dedup_by(|(user, _), (later, _)| user == later);
    rows.reverse();
    rows.into_iter().unzip()
}

impl Search<'_> {
    /// The position of a user that is found for the first time.
    pub(super) fn find(&mut self, user: &User<'_>) -> Option<usize> {
        let position = self.rows.position(user)?;
        self.mark(position).then_some(position)
    }

    /// Counts the user at this position as found. Returns whether it is for the first time.
    pub(super) fn mark(&mut self, position: usize) -> bool {
        !self.found.put(position)
    }

    /// Whether all users were found.
    pub(super) fn is_done(&self) -> bool {
        self.found.count_ones(..) == self.rows.len()
    }
}

/// What the journal and the known values have on an attribute, newest first.
#[derive(Debug)]
pub(super) struct Mentions<'l> {
    database: &'l Database,
    attribute: &'l AttributeRow,
    /// The entries, ascending, and what they are.
    entries: Vec<(EntryHeader, Kind)>,
    /// Whether the target uses the client's own ids.
    by_custom_id: bool,
    /// The known users, if those of them who were read with all custom attributes had no value of this one.
    users: Option<&'l AttributeRow>,
    /// Runs whose requests may have failed without a difference, because the run in question sent the same.
    repeated: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Values of the attribute.
    Own,
    /// New ids of users.
    Renames,
    /// Which users there are.
    Users,
}

impl<'l> Mentions<'l> {
    /// Of the attribute, in all entries of `headings`.
    pub(super) fn new(
        database: &'l Database,
        target: &TargetRow,
        attribute: &'l AttributeRow,
        all: &'l [AttributeRow],
        headings: impl Iterator<Item = EntryHeader>,
    ) -> Self {
        let by_custom_id = target.goes_by_custom_ids();
        let identity = all.iter().find(|other| by_custom_id && is_identity(other, target.id));
        let is_custom = !STANDARD.contains(&attribute.name.as_str());
        let users = all.iter().find(|other| is_custom && other.target == target.id && other.name == USERS);
        let kind = |heading: &EntryHeader| match Some(heading.attribute) {
            id if id == Some(attribute.id) => Some(Kind::Own),
            id if id == identity.map(|identity| identity.id) => Some(Kind::Renames),
            id if id == users.map(|users| users.id) => Some(Kind::Users),
            _ => None,
        };
        let entries = headings.filter_map(|heading| Some((heading, kind(&heading)?))).collect();
        let users = users_behind(attribute, all, 0);
        Self { database, attribute, entries, by_custom_id, users, repeated: BTreeSet::new() }
    }

    /// Finds users in the journal, newest first. `see` is given the entry, the value if it is known, and the position of the
    /// user.
    pub(super) fn find(
        &self,
        search: &mut Search<'_>,
        mut see: impl FnMut(&EntryHeader, Option<&SentValue<'_>>, usize),
    ) -> Result<(), LedgerError> {
        let is_identity = self.by_custom_id && self.attribute.name == IDENTITY;
        let newest_first = || self.entries.iter().rev();
        let entries = self.database.entries(newest_first().map(|(heading, _)| *heading));
        for (entry, (_, kind)) in entries.zip(newest_first()) {
            if search.is_done() {
                break;
            }
            let JournalEntry { heading, groups } = &entry?;
            let mut tell = |value: Option<&SentValue<'_>>, user: &User<'_>| {
                if let Some(position) = search.find(user) {
                    see(heading, value, position);
                }
            };
            for group in Groups::of(groups) {
                let mut group = group.map_err(|Malformed| self.database.malformed())?;
                if group.value.is_none() && self.repeated.contains(&heading.run) {
                    continue;
                }
                match kind {
                    Kind::Own if !is_identity => {
                        group.users.by_ref().for_each(|user| tell(group.value.as_ref(), &user));
                    }
                    Kind::Users => {
                        // A custom attribute that the user had no value for.
                        let is_custom = has_custom(&group);
                        let users = group.users.by_ref().filter(|_| is_custom);
                        users.for_each(|user| tell(Some(&SentValue::Null), &user));
                    }
                    Kind::Own | Kind::Renames => {
                        let value = group.value.clone();
                        id_changes::each(&mut group, |renamed| match renamed {
                            Renamed::Unknown(user) => tell(None, &user),
                            Renamed::Kept(user) if *kind == Kind::Own => tell(value.as_ref(), &user),
                            Renamed::Kept(_) => {}
                        })
                        .map_err(|Malformed| self.database.malformed())?;
                        continue;
                    }
                }
                group.users.finish().map_err(|Malformed| self.database.malformed())?;
            }
        }
        Ok(())
    }

    /// Finds users in the known values.
    pub(super) fn find_known(
        &self,
        search: &mut Search<'_>,
        mut see: impl FnMut(Source, &SentValue<'_>, usize),
    ) -> Result<(), LedgerError> {
        for groups in self.database.known_parts(self.attribute) {
            each_group(self.database, &groups?, |group| {
                let Some(value) = &group.value else { return };
                for user in group.users.clone() {
                    if let Some(position) = search.find(&user) {
                        see(group.source, value, position);
                    }
                }
            })?;
        }
        let Some(users) = self.users else { return Ok(()) };
        for groups in self.database.known_parts(users) {
            each_group(self.database, &groups?, |group| {
                for user in group.users.clone().filter(|_| has_custom(group)) {
                    if let Some(position) = search.find(&user) {
                        see(group.source, &SentValue::Null, position);
                    }
                }
            })?;
        }
        Ok(())
    }
}

pub(super) fn each_group(
    database: &Database,
    groups: &[u8],
    mut see: impl FnMut(&Group<'_>),
) -> Result<(), LedgerError> {
    for group in Groups::of(groups) {
        let mut group = group.map_err(|Malformed| database.malformed())?;
        see(&group);
        group.users.by_ref().for_each(drop);
        group.users.finish().map_err(|Malformed| database.malformed())?;
    }
    Ok(())
}

/// Positions of users with the value that was found for them. Those with the same value come one after the other.
#[derive(Default)]
struct Found(Vec<(Source, SentValue<'static>, Vec<usize>)>);

impl Found {
    fn add(&mut self, source: Source, value: &SentValue<'_>, position: usize) {
        match self.0.last_mut() {
            Some((last_source, last, users)) if *last == *value && *last_source == source => {
                users.push(position);
            }
            _ => self.0.push((source, value.clone().into_owned(), vec![position])),
        }
    }
}

impl LedgerReader {
    /// Calls `see` with parts of what was known, before a run, of the users of its rows, as groups. Users of whom nothing was
    /// known are in none.
    pub(super) fn before(
        &self,
        run: &RunRow,
        target: &TargetRow,
        attribute: &AttributeRow,
        rows: &SetRows,
        mut see: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        if attribute.generation > run.after {
            return self.database.each_prior(run.id, attribute.id, see);
        }
        let earlier: Vec<RunRow> =
            self.database.runs()?.into_iter().filter(|other| other.id < run.id).collect();
        let untrusted = self.untrusted_up_to(&earlier, target, Some(&run.content))?.of(&attribute.name);
        let state = self.database.state()?;
        let after = state.expired.max(attribute.generation);
        let headings = self.database.headings(after)?.into_iter();
        let headings = headings.filter(|heading| heading.entry <= run.after && heading.entry > untrusted);
        let all = self.database.attributes()?;
        let mut mentions = Mentions::new(&self.database, target, attribute, &all, headings);
        let repeated = earlier.iter().filter(|other| !other.is_pull() && other.content == run.content);
        mentions.repeated = repeated.map(|other| other.id).collect();
        let mut search = rows.search();
        let mut found = Found::default();
        mentions.find(&mut search, |heading, value, position| {
            if let Some(value) = value {
                found.add(Source::Read { run: heading.run }, value, position);
            }
        })?;
        if attribute.generation > untrusted
            || mentions.users.is_some_and(|users| users.generation > untrusted)
        {
            mentions.find_known(&mut search, |source, value, position| found.add(source, value, position))?;
        }
        let mut out = Vec::new();
        for (source, value, mut positions) in found.0 {
            positions.sort_unstable();
            let users = positions.iter().map(|position| rows.user(*position));
            groups::write(source, Some(&value), users, &mut out);
            if out.len() >= PART_BYTES {
                see(&out)?;
                out.clear();
            }
        }
        if out.is_empty() { Ok(()) } else { see(&out) }
    }
}
