//! What is known, told to the plan.

use std::collections::{HashMap, HashSet};
use std::iter;

use super::groups::{Groups, Malformed};
use super::reader::Reader;
use super::renames::{self, Doubt, IDENTITY, Renamed};
use super::run::{RunId, TargetKey, Unfinished};
use super::store::{Attribute, Heading, Run, Store};
use super::{Fingerprint, LedgerError};
use crate::plan::{SkipFilter, SkipReason};

/// An entry that no journal gets to.
const BEYOND: u64 = i64::MAX.cast_unsigned();

/// How far back to remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What the run recorded that this one continues.
    ContinuedRun,
    /// What any run recorded: `--only-changed`.
    EveryRun,
}

/// What a ledger knows of a target, for [`Plan::skip_known`](crate::plan::Plan::skip_known).
#[derive(Debug)]
pub struct Recall<'l> {
    store: &'l Store,
    extent: Extent,
    doubt: Doubt,
    attributes: HashMap<String, Attribute>,
    /// Of attributes, by number: entries and who made them, oldest first.
    entries: HashMap<u64, Vec<Heading>>,
    /// The number of the attribute that names users, where they go by the client's ids.
    identity: Option<u64>,
    /// The run that is continued, the one that it continues, and so on.
    continued: HashSet<u64>,
}

impl Reader {
    /// Makes ready to tell what is known of a target to a run of this content.
    pub fn recall(
        &self,
        target: &TargetKey,
        content: &str,
        extent: Extent,
        continues: Option<&Unfinished>,
    ) -> Result<Recall<'_>, LedgerError> {
        let store = &self.store;
        let target = self.target(target)?;
        let runs = store.runs()?;
        let doubt = match &target {
            Some(target) => self.doubt(&runs, target, Some(content))?,
            None => Doubt::default(),
        };
        let (mut begun, mut continued) = (BEYOND, HashSet::new());
        if let Some(unfinished) = continues {
            begun = self.chain(&runs, unfinished.run, &mut continued)?;
            continued.extend(fed_back(&runs, begun));
        }
        // Entries that are merged already change nothing when they are told again, as long as all that follow are, too.
        let after = match extent {
            Extent::ContinuedRun => begun,
            Extent::EveryRun => begun.min(store.state()?.merged),
        };
        let id = target.as_ref().map(|target| target.id);
        let own = store.attributes()?.into_iter().filter(|attribute| Some(attribute.target) == id);
        let attributes: HashMap<_, _> = own.map(|attribute| (attribute.name.clone(), attribute)).collect();
        let identity = attributes.get(IDENTITY).map(|attribute| attribute.id);
        let identity = identity.filter(|_| target.is_some_and(|target| target.goes_by_custom_ids()));
        let mut entries: HashMap<u64, Vec<Heading>> = HashMap::new();
        for heading in store.headings(after.max(doubt.of("")))? {
            entries.entry(heading.attribute).or_default().push(heading);
        }
        Ok(Recall { store, extent, doubt, attributes, entries, identity, continued })
    }

    /// Follows a run to the one that it continues, and so on; returns the entry before the first one of them all.
    fn chain(&self, runs: &[Run], from: RunId, continued: &mut HashSet<u64>) -> Result<u64, LedgerError> {
        let mut next = from.0;
        let mut begun = BEYOND;
        while next != 0 && continued.insert(next) {
            let run = runs.iter().find(|run| run.id == next);
            let run = run.ok_or_else(|| self.store.damaged("a run that was continued is missing"))?;
            (next, begun) = (run.continues, run.begun);
        }
        Ok(begun)
    }
}

/// Runs since this entry that read nothing but failures reports. What they got acknowledged counts as acknowledged by
/// the run that the report came from: had it changed since, something newer would say so.
fn fed_back(runs: &[Run], begun: u64) -> impl Iterator<Item = u64> {
    let of_reports =
        |run: &&Run| Fingerprint::parse(&run.settings).is_some_and(|fingerprint| fingerprint.is_of_reports());
    runs.iter().filter(move |run| run.after >= begun).filter(of_reports).map(|run| run.id)
}

/// All that is known of an attribute, to be told as often as it is asked for. It is read while it is told.
#[derive(Debug)]
pub struct Told<'l> {
    store: &'l Store,
    /// Newest first.
    entries: Vec<(u64, Meaning)>,
    /// What was known before these.
    known: Option<Attribute>,
}

/// What facts mean to a row of an attribute.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// Users have the value; whether that spares a row.
    Value(Option<SkipReason>),
    /// Users were renamed by these facts of the attribute that names them.
    Renames,
    /// The same, where it is the attribute itself that is told of; whether users who kept their ids are spared.
    OwnRenames(Option<SkipReason>),
}

impl Recall<'_> {
    /// All that is known of an attribute.
    pub fn of(&self, attribute: &str) -> Told<'_> {
        let name = renames::known_as(attribute);
        let (attribute, doubted) = (self.attributes.get(name), self.doubt.of(name));
        let own = attribute.map(|attribute| attribute.id);
        let entries = self.entries_of(own).rev().filter(|(entry, _)| *entry > doubted).collect();
        let is_known =
            |attribute: &&Attribute| self.extent == Extent::EveryRun && attribute.generation > doubted;
        Told { store: self.store, entries, known: attribute.filter(is_known).cloned() }
    }

    /// The entries that matter to this attribute, oldest first, and what they mean to it.
    fn entries_of(&self, own: Option<u64>) -> impl DoubleEndedIterator<Item = (u64, Meaning)> {
        let of = |attribute: Option<u64>| {
            let headings = attribute.and_then(|attribute| self.entries.get(&attribute));
            headings.into_iter().flatten()
        };
        let unchanged = match self.extent {
            Extent::ContinuedRun => None,
            Extent::EveryRun => Some(SkipReason::Unchanged),
        };
        let own_meaning = move |heading: &Heading| {
            if self.continued.contains(&heading.run) {
                Meaning::Value(Some(SkipReason::Resumed))
            } else if own == self.identity {
                Meaning::OwnRenames(unchanged)
            } else {
                Meaning::Value(unchanged)
            }
        };
        // To a run that goes on, users go by the ids that they had when the first of its runs began.
        let renames = of(self.identity.filter(|identity| Some(*identity) != own))
            .filter(|heading| !self.continued.contains(&heading.run))
            .map(|heading| (heading.entry, Meaning::Renames));
        let mut entries: Vec<_> =
            of(own).map(|heading| (heading.entry, own_meaning(heading))).chain(renames).collect();
        entries.sort_unstable_by_key(|(entry, _)| *entry);
        entries.into_iter()
    }
}

impl Told<'_> {
    /// Tells it, from newest to oldest.
    pub fn tell(&self, known: &mut SkipFilter<'_>) -> Result<(), LedgerError> {
        let Self { store, entries, known: before } = self;
        let malformed = |Malformed| store.malformed();
        for (entry, meaning) in entries {
            hold(&store.entry(*entry)?.groups, *meaning, known).map_err(malformed)?;
        }
        if let Some(attribute) = before {
            for part in 0..attribute.parts {
                let groups = store.known_part(attribute, part)?;
                hold(&groups, Meaning::Value(Some(SkipReason::Unchanged)), known).map_err(malformed)?;
            }
        }
        Ok(())
    }
}

fn hold(groups: &[u8], meaning: Meaning, known: &mut SkipFilter<'_>) -> Result<(), Malformed> {
    Groups::of(groups).try_for_each(|group| {
        let mut group = group?;
        match (meaning, &group.value) {
            (Meaning::Value(spare), Some(value)) => known.mark_sent(value, spare, &mut group.users),
            (Meaning::Value(_), None) => known.mark_unknown(&mut group.users),
            (Meaning::Renames | Meaning::OwnRenames(_), value) => {
                let value = value.clone();
                return renames::each(&mut group, |renamed| match (renamed, meaning, &value) {
                    (Renamed::Unknown(user), ..) => known.mark_unknown(iter::once(user)),
                    (Renamed::Kept(user), Meaning::OwnRenames(spare), Some(value)) => {
                        known.mark_sent(value, spare, iter::once(user));
                    }
                    (Renamed::Kept(_), ..) => {}
                });
            }
        }
        group.users.finish()
    })
}
