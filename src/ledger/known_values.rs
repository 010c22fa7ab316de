//! Passes what is known of earlier runs to the plan, which then skips rows.

use std::collections::{HashMap, HashSet};
use std::iter;

use super::groups::{Groups, Malformed};
use super::id_changes::{self, IDENTITY, Renamed, UntrustedUpTo};
use super::reader::LedgerReader;
use super::run::{RunId, TargetKey, UnfinishedRun};
use super::sqlite::{AttributeRow, Database, EntryHeader, RunRow};
use super::{Fingerprint, LedgerError};
use crate::plan::{Compare, SkipFilter, SkipReason};

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
        let (mut begun, mut continued) = (BEYOND, HashSet::new());
        if let Some(unfinished) = continues {
            begun = self.chain(&runs, unfinished.run, &mut continued)?;
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
        let mut entries: HashMap<u64, Vec<EntryHeader>> = HashMap::new();
        for heading in database.headings(after.max(doubt.of("")))? {
            entries.entry(heading.attribute).or_default().push(heading);
        }
        Ok(KnownValues { database, scope, compare, doubt, attributes, entries, identity, continued })
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

/// Runs since this entry that only read failures reports. What was acknowledged to them counts as acknowledged to the run that
/// wrote the report. If it had changed since, there would be a newer entry.
fn of_failures_reports(runs: &[RunRow], begun: u64) -> impl Iterator<Item = u64> {
    let of_reports = |run: &&RunRow| {
        Fingerprint::parse(&run.settings).is_some_and(|fingerprint| fingerprint.is_of_reports())
    };
    runs.iter().filter(move |run| run.after >= begun).filter(of_reports).map(|run| run.id)
}

/// All that is known of an attribute. It can be replayed several times, and is read from the file each time.
#[derive(Debug)]
pub struct KnownAttribute<'l> {
    database: &'l Database,
    /// Newest first.
    entries: Vec<(u64, EntryEffect)>,
    /// The known values from before these entries, and whether a row with one of them is skipped.
    known: Option<(AttributeRow, Option<SkipReason>)>,
}

/// What an entry means for the rows of an attribute.
#[derive(Clone, Copy, Debug)]
enum EntryEffect {
    /// Users have the value; and whether a row with it is skipped.
    Value(Option<SkipReason>),
    /// The ids of users were changed.
    Renames,
    /// The same, if the attribute itself is the users' id; and whether rows of users that kept their id are skipped.
    OwnRenames(Option<SkipReason>),
}

impl KnownValues<'_> {
    /// All that is known of an attribute.
    pub fn of(&self, attribute: &str) -> KnownAttribute<'_> {
        let name = id_changes::known_as(attribute);
        let (attribute, untrusted) = (self.attributes.get(name), self.doubt.of(name));
        let own = attribute.map(|attribute| attribute.id);
        let entries = self.entries_of(own).rev().filter(|(entry, _)| *entry > untrusted).collect();
        let is_asked = self.scope == SkipScope::EveryRun || self.compare == Compare::Yes;
        let known = attribute.filter(|attribute| is_asked && attribute.generation > untrusted);
        let known = known.map(|attribute| (attribute.clone(), self.unchanged()));
        KnownAttribute { database: self.database, entries, known }
    }

    /// Whether a row is skipped whose value another run sent than the one that is continued.
    fn unchanged(&self) -> Option<SkipReason> {
        match self.scope {
            SkipScope::ContinuedRun => None,
            SkipScope::EveryRun => Some(SkipReason::Unchanged),
        }
    }

    /// The entries that matter to this attribute, oldest first, and what they mean to it.
    fn entries_of(&self, own: Option<u64>) -> impl DoubleEndedIterator<Item = (u64, EntryEffect)> {
        let of = |attribute: Option<u64>| {
            let headings = attribute.and_then(|attribute| self.entries.get(&attribute));
            headings.into_iter().flatten()
        };
        let unchanged = self.unchanged();
        let own_meaning = move |heading: &EntryHeader| {
            if self.continued.contains(&heading.run) {
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
            .map(|heading| (heading.entry, EntryEffect::Renames));
        let mut entries: Vec<_> =
            of(own).map(|heading| (heading.entry, own_meaning(heading))).chain(renames).collect();
        entries.sort_unstable_by_key(|(entry, _)| *entry);
        entries.into_iter()
    }
}

impl KnownAttribute<'_> {
    /// Passes it to the plan, newest first.
    pub fn replay(&self, known: &mut SkipFilter<'_>) -> Result<(), LedgerError> {
        let Self { database, entries, known: before } = self;
        let malformed = |Malformed| database.malformed();
        for (entry, meaning) in entries {
            hold(&database.entry(*entry)?.groups, *meaning, known).map_err(malformed)?;
        }
        if let Some((attribute, unchanged)) = before {
            for part in 0..attribute.parts {
                let groups = database.known_part(attribute, part)?;
                hold(&groups, EntryEffect::Value(*unchanged), known).map_err(malformed)?;
            }
        }
        Ok(())
    }
}

fn hold(groups: &[u8], meaning: EntryEffect, known: &mut SkipFilter<'_>) -> Result<(), Malformed> {
    Groups::of(groups).try_for_each(|group| {
        let mut group = group?;
        match (meaning, &group.value) {
            (EntryEffect::Value(spare), Some(value)) => known.mark_sent(value, spare, &mut group.users),
            (EntryEffect::Value(_), None) => known.mark_unknown(&mut group.users),
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
