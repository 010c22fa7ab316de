//! What was known before a run of the values that it set, so that the run can be undone.
//!
//! It is found in the journal and in the known values. When these are compacted, it would be lost, so it is stored then.

use std::collections::BTreeSet;

use super::LedgerError;
use super::database::Database;
use super::groups::{self, Group, Groups, Malformed, Source};
use super::id_changes::{self, IDENTITY, Renamed, is_identity};
use super::pull::{USERS, has_custom, users_behind};
use super::reader::LedgerReader;
use super::rows::{AttributeRow, EntryHeader, JournalEntry, RunRow, TargetRow};
use super::set_rows::{Search, SetRows};
use crate::input::STANDARD;
use crate::plan::{SentValue, User};

/// The approximate size of what is stored in a row.
const PART_BYTES: usize = 256 << 10;

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

/// What was known before a run of one of its attributes.
#[derive(Debug)]
pub(super) struct Before<'l> {
    database: &'l Database,
    run: u64,
    attribute: u64,
    /// Where it is found, unless it was stored when the run's entries were merged.
    mentions: Option<Mentions<'l>>,
    /// Whether the known values can be trusted.
    trusts_known: bool,
}

impl LedgerReader {
    /// What was known before a run of an attribute. `all` are the attributes of all targets.
    pub(super) fn before<'l>(
        &'l self,
        run: &RunRow,
        target: &TargetRow,
        attribute: &'l AttributeRow,
        all: &'l [AttributeRow],
    ) -> Result<Before<'l>, LedgerError> {
        let database = &self.database;
        let stored =
            Before { database, run: run.id, attribute: attribute.id, mentions: None, trusts_known: false };
        if attribute.generation > run.after {
            return Ok(stored);
        }
        let earlier: Vec<RunRow> = database.runs()?.into_iter().filter(|other| other.id < run.id).collect();
        let untrusted = self.untrusted_up_to(&earlier, target, Some(&run.content))?.of(&attribute.name);
        let state = database.state()?;
        let after = state.expired.max(attribute.generation);
        let headings = database.headings(after)?.into_iter();
        let headings = headings.filter(|heading| heading.entry <= run.after && heading.entry > untrusted);
        let mut mentions = Mentions::new(database, target, attribute, all, headings);
        let repeated = earlier.iter().filter(|other| !other.is_pull() && other.content == run.content);
        mentions.repeated = repeated.map(|other| other.id).collect();
        let trusts_known = attribute.generation > untrusted
            || mentions.users.is_some_and(|users| users.generation > untrusted);
        Ok(Before { mentions: Some(mentions), trusts_known, ..stored })
    }
}

impl Before<'_> {
    /// Calls `see` with parts of what was known of the users of these rows, as groups. Users of whom nothing was known are in
    /// none. If it was stored, all users of the run come.
    pub(super) fn each(
        &self,
        rows: &SetRows,
        see: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let Some(mentions) = &self.mentions else {
            return self.database.each_prior(self.run, self.attribute, see);
        };
        let mut search = rows.search();
        let mut found =
            Found { rows, last: None, positions: Vec::new(), out: Vec::new(), see, result: Ok(()) };
        mentions.find(&mut search, |heading, value, position| {
            if let Some(value) = value {
                found.add(Source::Read { run: heading.run }, value, position);
            }
        })?;
        if self.trusts_known {
            mentions.find_known(&mut search, |source, value, position| found.add(source, value, position))?;
        }
        found.finish()
    }
}

/// Writes users with the values that were found for them as groups, and passes them on.
struct Found<'r, F> {
    rows: &'r SetRows,
    /// The group that is still growing, …
    last: Option<(Source, SentValue<'static>)>,
    /// … and its users.
    positions: Vec<usize>,
    /// Groups that are not passed on yet.
    out: Vec<u8>,
    see: F,
    result: Result<(), LedgerError>,
}

impl<F: FnMut(&[u8]) -> Result<(), LedgerError>> Found<'_, F> {
    /// The most users of a group.
    const GROUP_USERS: usize = 1 << 16;

    fn add(&mut self, source: Source, value: &SentValue<'_>, position: usize) {
        let is_same = self.last.as_ref().is_some_and(|(last, same)| *last == source && *same == *value);
        if !is_same || self.positions.len() == Self::GROUP_USERS {
            self.end_group();
            self.last = Some((source, value.clone().into_owned()));
        }
        self.positions.push(position);
    }

    fn end_group(&mut self) {
        let Self { rows, last, positions, out, .. } = self;
        let Some((source, value)) = last.take() else { return };
        positions.sort_unstable();
        let users = positions.drain(..).map(|position| rows.user(position));
        groups::write(source, Some(&value), users, out);
        if out.len() >= PART_BYTES {
            self.pass_on();
        }
    }

    fn pass_on(&mut self) {
        if self.result.is_ok() {
            self.result = (self.see)(&self.out);
        }
        self.out.clear();
    }

    fn finish(mut self) -> Result<(), LedgerError> {
        self.end_group();
        if !self.out.is_empty() {
            self.pass_on();
        }
        self.result
    }
}
