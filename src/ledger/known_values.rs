//! Passes what is known of earlier runs to the plan, which then skips rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::iter;

use jiff::Timestamp;

use super::database::Database;
use super::groups::{Groups, Malformed, Source};
use super::id_changes::{self, IDENTITY, Renamed, UntrustedUpTo};
use super::pull::{USERS, has_custom};
use super::reader::LedgerReader;
use super::rows::{AttributeRow, EntryHeader, JournalEntry, PullRow, RunRow};
use super::run::{RunId, TargetKey, UnfinishedRun};
use super::{Fingerprint, LedgerError};
use crate::input::STANDARD;
use crate::plan::{Compare, SentValue, SkipFilter, SkipReason};

/// An entry that no journal gets to.
const BEYOND: u64 = i64::MAX.cast_unsigned();

/// Which rows a run skips because the ledger knows that they were acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipScope {
    /// Those that the run acknowledged that this one continues.
    ContinuedRun,
    /// Those that any run acknowledged: `--only-changed`.
    EveryRun,
}

/// The values that a ledger knows of a target, for [`Plan::skip_known`](crate::plan::Plan::skip_known).
#[derive(Debug)]
pub struct KnownValues<'l> {
    database: &'l Database,
    scope: SkipScope,
    compare: Compare,
    doubt: UntrustedUpTo,
    attributes: HashMap<String, AttributeRow>,
    /// By attribute number: the headers of its entries, oldest first.
    entries: HashMap<u64, Vec<EntryHeader>>,
    /// The number of the attribute that is the users' id, if the target uses the client's own ids.
    identity: Option<u64>,
    /// The run that is continued, the one that it continues, and so on.
    continued: HashSet<u64>,
    /// Runs of failures reports since the input was changed: what they sent stays, also where it was corrected.
    corrected: HashSet<u64>,
    /// The runs that read the account instead of sending, and when each began.
    pulls: BTreeMap<u64, Timestamp>,
    /// Which users there were, with every entry since; `None` if that is not known or doesn't matter.
    list: Option<ListedUsers>,
    /// `entries` has those after this one.
    after: u64,
    /// What was recorded earlier counts as unknown.
    not_before: Option<Timestamp>,
}

/// The users of the account, as its list was last read to the end.
#[derive(Clone, Debug)]
struct ListedUsers {
    pull: PullRow,
    attribute: AttributeRow,
    /// The entry after which all entries are replayed with their values.
    after: u64,
    /// Users that were sent to since, or got their ids, or were read, are there as well: in these entries.
    since: Vec<EntryHeader>,
    /// The number of the attribute that is the users' id, if the target uses the client's own ids.
    identity: Option<u64>,
}

impl LedgerReader {
    /// Collects what is known of a target, for a run with this content.
    pub fn known_values(
        &self,
        target: &TargetKey,
        content: &str,
        scope: SkipScope,
        compare: Compare,
        continues: Option<&UnfinishedRun>,
    ) -> Result<KnownValues<'_>, LedgerError> {
        let database = &self.database;
        let target = self.target(target)?;
        let runs = database.runs()?;
        let doubt = match &target {
            Some(target) => self.untrusted_up_to(&runs, target, Some(content))?,
            None => UntrustedUpTo::default(),
        };
        let (mut begun, mut continued, mut corrected) = (BEYOND, HashSet::new(), HashSet::new());
        if let Some(unfinished) = continues {
            begun = self.chain(&runs, unfinished.run, &mut continued)?;
            let same = since_same(&runs, unfinished.run, content);
            corrected.extend(of_failures_reports(&runs, same).filter(|run| !continued.contains(run)));
            continued.extend(of_failures_reports(&runs, begun));
        }
        // Entries that were compacted already may be replayed again, as long as all later ones are replayed, too.
        let after = match (scope, compare) {
            (SkipScope::ContinuedRun, Compare::No) => begun,
            (SkipScope::EveryRun, _) | (_, Compare::Yes) => begun.min(database.state()?.merged),
        };
        let id = target.as_ref().map(|target| target.id);
        let own = database.attributes()?.into_iter().filter(|attribute| Some(attribute.target) == id);
        let attributes: HashMap<_, _> = own.map(|attribute| (attribute.name.clone(), attribute)).collect();
        let identity = attributes.get(IDENTITY).map(|attribute| attribute.id);
        let identity = identity.filter(|_| target.is_some_and(|target| target.goes_by_custom_ids()));
        let pulls: BTreeMap<u64, Timestamp> =
            database.pulls()?.into_iter().map(|pull| (pull.run, pull.started)).collect();
        let list = match id.filter(|_| scope == SkipScope::EveryRun) {
            Some(id) => {
                self.complete_pull(id)?.filter(|pull| identity.is_none() || pull.begun >= doubt.of(IDENTITY))
            }
            None => None,
        };
        let after = after.max(doubt.of(""));
        let list = match (list, attributes.get(USERS)) {
            (Some(pull), Some(attribute)) => {
                let is_sent =
                    |heading: &EntryHeader| heading.entry <= after && !pulls.contains_key(&heading.run);
                let is_read =
                    |heading: &EntryHeader| heading.attribute == attribute.id && heading.entry > pull.last;
                let since = database.headings(pull.begun)?.into_iter();
                let since = since.filter(|heading| is_sent(heading) || is_read(heading)).collect();
                Some(ListedUsers { pull, attribute: attribute.clone(), after, since, identity })
            }
            _ => None,
        };
        let mut entries: HashMap<u64, Vec<EntryHeader>> = HashMap::new();
        // A run that goes on without looking at what changed does not look at what was read since it began.
        let ignored = |heading: &EntryHeader| match scope {
            SkipScope::ContinuedRun => {
                pulls.contains_key(&heading.run) && continues.is_some() && heading.entry > begun
            }
            SkipScope::EveryRun => false,
        };
        for heading in database.headings(after)?.into_iter().filter(|heading| !ignored(heading)) {
            entries.entry(heading.attribute).or_default().push(heading);
        }
        Ok(KnownValues {
            database,
            scope,
            compare,
            doubt,
            attributes,
            entries,
            identity,
            continued,
            corrected,
            pulls,
            list,
            after,
            not_before: None,
        })
    }

    /// Follows a run to the one that it continues, and so on. Returns the entry before the first of these runs.
    fn chain(&self, runs: &[RunRow], from: RunId, continued: &mut HashSet<u64>) -> Result<u64, LedgerError> {
        let mut next = from.0;
        let mut begun = BEYOND;
        while next != 0 && continued.insert(next) {
            let run = runs.iter().find(|run| run.id == next);
            let run = run.ok_or_else(|| self.database.damaged("a run that was continued is missing"))?;
            (next, begun) = (run.continues, run.begun);
        }
        Ok(begun)
    }
}

/// The entry before the first run of those that this one goes back to without a change of the input.
fn since_same(runs: &[RunRow], from: RunId, content: &str) -> u64 {
    let (mut next, mut since) = (from.0, BEYOND);
    while let Some(run) = runs.iter().find(|run| run.id == next && run.content == content) {
        (next, since) = (run.continues, run.after);
    }
    since
}

/// Runs since this entry that only read failures reports. What was acknowledged to them counts as acknowledged to the run that
/// wrote the report. If it had changed since, there would be a newer entry.
fn of_failures_reports(runs: &[RunRow], begun: u64) -> impl Iterator<Item = u64> {
    let of_reports = |run: &&RunRow| {
        Fingerprint::parse(&run.settings).is_some_and(|fingerprint| fingerprint.is_of_reports())
    };
    runs.iter().filter(move |run| run.after >= begun).filter(of_reports).map(|run| run.id)
}

impl KnownValues<'_> {
    /// Lets what was recorded before this time count as unknown.
    ///
    /// Of values that were sent and merged it is not known when. The entries that they were merged from say it, as long as these
    /// are kept.
    pub fn not_before(mut self, time: Option<Timestamp>) -> Result<Self, LedgerError> {
        let Some(time) = time else { return Ok(self) };
        self.not_before = Some(time);
        self.list = self.list.filter(|list| list.pull.started >= time);
        for entries in self.entries.values_mut() {
            entries.retain(|heading| heading.at >= time || self.continued.contains(&heading.run));
        }
        let merged = self.merged_since(time)?;
        for (attribute, mut entries) in merged {
            entries.append(self.entries.entry(attribute).or_default());
            self.entries.insert(attribute, entries);
        }
        Ok(self)
    }

    /// The entries that were merged already and say what was sent since this time, by their attributes. They may be replayed as
    /// long as all later ones are. Those of a reading are empty once they are merged, so only what was sent after it counts.
    fn merged_since(&self, time: Timestamp) -> Result<HashMap<u64, Vec<EntryHeader>>, LedgerError> {
        let expired = self.database.state()?.expired;
        let headings = self.database.headings(expired)?;
        let of_reading = |heading: &EntryHeader| self.pulls.contains_key(&heading.run);
        let is_lost = |heading: &&EntryHeader| {
            heading.at < time || (heading.entry <= self.after && of_reading(heading))
        };
        let lost = headings.iter().rfind(is_lost).map_or(expired, |heading| heading.entry);
        let known = lost.max(self.doubt.of(""));
        let mut merged: HashMap<u64, Vec<EntryHeader>> = HashMap::new();
        for heading in headings.iter().filter(|heading| heading.entry > known && heading.entry <= self.after)
        {
            merged.entry(heading.attribute).or_default().push(*heading);
        }
        Ok(merged)
    }

    /// When the list of users was read by which rows are missing.
    pub fn listed_at(&self) -> Option<Timestamp> {
        self.list.as_ref().map(|list| list.pull.started)
    }
}

/// All that is known of an attribute. It can be replayed several times, and is read from the file each time.
#[derive(Debug)]
pub struct KnownAttribute<'l> {
    database: &'l Database,
    /// Newest first.
    entries: Vec<(EntryHeader, EntryEffect)>,
    /// Which users there are, and the number of this attribute.
    list: Option<(&'l ListedUsers, Option<u64>)>,
    /// The known values from before these entries, and whether a row with one of them is skipped.
    known: Option<(AttributeRow, Option<SkipReason>)>,
    /// The known users, if those of them who were read with all custom attributes have no value of this one, and whether a row
    /// that clears it is skipped.
    without: Option<(AttributeRow, Option<SkipReason>)>,
    /// If not every known value is recent enough: the runs that read such ones.
    recent: Option<BTreeSet<u64>>,
}

/// What an entry means for the rows of an attribute.
#[derive(Clone, Copy, Debug)]
enum EntryEffect {
    /// Users have the value; and whether a row with it is skipped.
    Value(Option<SkipReason>),
    /// The rows of users are done, whatever value they have.
    Done,
    /// The ids of users were changed.
    Renames,
    /// The same, if the attribute itself is the users' id; and whether rows of users that kept their id are skipped.
    OwnRenames(Option<SkipReason>),
    /// Users were read with all their custom attributes: those of whom nothing else was read have no value.
    Read(Option<SkipReason>),
}

impl KnownValues<'_> {
    /// All that is known of an attribute.
    pub fn of(&self, attribute: &str) -> KnownAttribute<'_> {
        let name = id_changes::known_as(attribute);
        let (attribute, untrusted) = (self.attributes.get(name), self.doubt.of(name));
        let own = attribute.map(|attribute| attribute.id);
        let is_custom = !STANDARD.contains(&name);
        let entries = self.entries_of(own, is_custom).rev();
        let entries = entries.filter(|(heading, _)| heading.entry > untrusted).collect();
        let is_asked = self.scope == SkipScope::EveryRun || self.compare == Compare::Yes;
        let known = attribute.filter(|attribute| is_asked && attribute.generation > untrusted);
        let known = known.map(|attribute| (attribute.clone(), self.unchanged()));
        let is_new = is_custom && attribute.is_none_or(|attribute| attribute.generation == 0);
        let users =
            self.attributes.get(USERS).filter(|users| is_asked && is_new && users.generation > untrusted);
        let without = users.map(|users| (users.clone(), self.unchanged()));
        let recent = self.not_before.map(|time| {
            self.pulls.iter().filter(|(_, started)| **started >= time).map(|(run, _)| *run).collect()
        });
        let list = self.list.as_ref().map(|list| (list, own));
        KnownAttribute { database: self.database, entries, list, known, without, recent }
    }

    /// Whether a row is skipped whose value another run sent than the one that is continued.
    fn unchanged(&self) -> Option<SkipReason> {
        match self.scope {
            SkipScope::ContinuedRun => None,
            SkipScope::EveryRun => Some(SkipReason::Unchanged),
        }
    }

    /// The entries that matter to this attribute, oldest first, and what they mean to it.
    fn entries_of(
        &self,
        own: Option<u64>,
        is_custom: bool,
    ) -> impl DoubleEndedIterator<Item = (EntryHeader, EntryEffect)> {
        let of = |attribute: Option<u64>| {
            let headings = attribute.and_then(|attribute| self.entries.get(&attribute));
            headings.into_iter().flatten()
        };
        let unchanged = self.unchanged();
        let own_meaning = move |heading: &EntryHeader| {
            if self.corrected.contains(&heading.run) {
                EntryEffect::Done
            } else if self.continued.contains(&heading.run) {
                EntryEffect::Value(Some(SkipReason::Resumed))
            } else if own == self.identity {
                EntryEffect::OwnRenames(unchanged)
            } else {
                EntryEffect::Value(unchanged)
            }
        };
        // To a run that goes on, users go by the ids that they had when the first of its runs began.
        let renames = of(self.identity.filter(|identity| Some(*identity) != own))
            .filter(|heading| !self.continued.contains(&heading.run))
            .map(|heading| (*heading, EntryEffect::Renames));
        let users = self.attributes.get(USERS).map(|attribute| attribute.id);
        let read = of(users.filter(|_| is_custom)).map(|heading| (*heading, EntryEffect::Read(unchanged)));
        let own = of(own).map(|heading| (*heading, own_meaning(heading)));
        let mut entries: Vec<_> = own.chain(renames).chain(read).collect();
        entries.sort_unstable_by_key(|(heading, _)| heading.entry);
        entries.into_iter()
    }
}

impl KnownAttribute<'_> {
    /// Passes it to the plan, newest first.
    pub fn replay(&self, known: &mut SkipFilter<'_>) -> Result<(), LedgerError> {
        let Self { database, entries, list, known: before, without, recent } = self;
        let malformed = |Malformed| database.malformed();
        // The list is older than what was sent since it was read.
        let newer = list.map_or(entries.len(), |(list, _)| {
            entries.partition_point(|(heading, _)| heading.entry > list.pull.begun.max(list.after))
        });
        let (newer, older) = entries.split_at(newer);
        let replay = |entries: &[(EntryHeader, EntryEffect)], known: &mut SkipFilter<'_>| {
            let read = database.entries(entries.iter().map(|(heading, _)| *heading));
            read.zip(entries).try_for_each(|(entry, (_, meaning))| {
                hold(&entry?.groups, *meaning, known).map_err(malformed)
            })
        };
        replay(newer, known)?;
        if let Some((list, own)) = list {
            list.replay(database, *own, known)?;
        }
        replay(older, known)?;
        let is_recent = |source| match (recent, source) {
            (None, _) => true,
            (Some(recent), Source::Read { run }) => recent.contains(&run),
            (Some(_), Source::Sent { .. }) => false,
        };
        if let Some((attribute, unchanged)) = before {
            for groups in database.known_parts(attribute) {
                hold_recent(&groups?, EntryEffect::Value(*unchanged), is_recent, known).map_err(malformed)?;
            }
        }
        if let Some((users, unchanged)) = without {
            for groups in database.known_parts(users) {
                hold_recent(&groups?, EntryEffect::Read(*unchanged), is_recent, known).map_err(malformed)?;
            }
        }
        Ok(())
    }
}

impl ListedUsers {
    /// Passes on which users there are, to the rows of the attribute with this number.
    fn replay(
        &self,
        database: &Database,
        own: Option<u64>,
        known: &mut SkipFilter<'_>,
    ) -> Result<(), LedgerError> {
        let malformed = |Malformed| database.malformed();
        let Self { pull, attribute, since, identity, .. } = self;
        let matters = |heading: &&EntryHeader| {
            let id = Some(heading.attribute);
            id == own || id == *identity || heading.attribute == attribute.id
        };
        for entry in database.entries(since.iter().filter(matters).copied()) {
            let JournalEntry { heading, groups } = entry?;
            let names_users = Some(heading.attribute) == *identity;
            list_users(&groups, names_users, known).map_err(malformed)?;
        }
        if attribute.generation >= pull.last {
            for groups in database.known_parts(attribute) {
                list_users(&groups?, false, known).map_err(malformed)?;
            }
        } else {
            let headings = database.headings(pull.begun)?.into_iter();
            let own =
                headings.filter(|heading| heading.entry <= pull.last && heading.attribute == attribute.id);
            for entry in database.entries(own) {
                list_users(&entry?.groups, false, known).map_err(malformed)?;
            }
        }
        known.end_list();
        Ok(())
    }
}

/// Reports users as users that the account has: also those who got their ids as values.
fn list_users(groups: &[u8], names_users: bool, known: &mut SkipFilter<'_>) -> Result<(), Malformed> {
    Groups::of(groups).try_for_each(|group| {
        let mut group = group?;
        let named = group.value.as_ref().filter(|_| names_users).and_then(id_changes::named);
        known.mark_listed(named.into_iter());
        known.mark_listed(&mut group.users);
        group.users.finish()
    })
}

fn hold(groups: &[u8], meaning: EntryEffect, known: &mut SkipFilter<'_>) -> Result<(), Malformed> {
    hold_recent(groups, meaning, |_| true, known)
}

fn hold_recent(
    groups: &[u8],
    meaning: EntryEffect,
    is_recent: impl Fn(Source) -> bool,
    known: &mut SkipFilter<'_>,
) -> Result<(), Malformed> {
    Groups::of(groups).try_for_each(|group| {
        let mut group = group?;
        match (meaning, &group.value) {
            _ if !is_recent(group.source) => group.users.by_ref().for_each(drop),
            (EntryEffect::Value(spare), Some(value)) => known.mark_sent(value, spare, &mut group.users),
            (EntryEffect::Done, Some(_)) => known.mark_done(&mut group.users),
            (EntryEffect::Value(_) | EntryEffect::Done, None) => known.mark_unknown(&mut group.users),
            (EntryEffect::Read(spare), _) if has_custom(&group) => {
                known.mark_sent(&SentValue::Null, spare, &mut group.users);
            }
            (EntryEffect::Read(_), _) => group.users.by_ref().for_each(drop),
            (EntryEffect::Renames | EntryEffect::OwnRenames(_), value) => {
                let value = value.clone();
                return id_changes::each(&mut group, |renamed| match (renamed, meaning, &value) {
                    (Renamed::Unknown(user), ..) => known.mark_unknown(iter::once(user)),
                    (Renamed::Kept(user), EntryEffect::OwnRenames(spare), Some(value)) => {
                        known.mark_sent(value, spare, iter::once(user));
                    }
                    (Renamed::Kept(_), ..) => {}
                });
            }
        }
        group.users.finish()
    })
}
