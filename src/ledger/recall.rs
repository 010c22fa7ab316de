//! What is known, told to the plan.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::LedgerError;
use super::groups::{Groups, Malformed};
use super::reader::Reader;
use super::run::{RunId, TargetKey, Unfinished};
use super::store::{Attribute, Heading, Run, Store};
use crate::plan::{Known, Spare};

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

/// What a ledger knows of a target, for [`Plan::without`](crate::plan::Plan::without).
#[derive(Debug)]
pub struct Recall<'l> {
    store: &'l Store,
    extent: Extent,
    /// Nothing is trusted that was recorded up to this entry.
    doubted: u64,
    attributes: HashMap<String, Attribute>,
    /// Of attributes, by number: entries and who made them, oldest first.
    entries: HashMap<u64, Vec<Heading>>,
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
        let target = self.target(target)?.map(|target| target.id);
        let runs = store.runs()?;
        let doubted = target.map_or(Ok(0), |target| self.doubted(&runs, target, Some(content)))?;
        let (mut begun, mut continued) = (BEYOND, HashSet::new());
        if let Some(unfinished) = continues {
            begun = self.chain(&runs, unfinished.run, &mut continued)?;
        }
        // Entries that are merged already change nothing when they are told again, as long as all that follow are, too.
        let after = match extent {
            Extent::ContinuedRun => begun,
            Extent::EveryRun => begun.min(store.state()?.merged),
        };
        let own = store.attributes()?.into_iter().filter(|attribute| Some(attribute.target) == target);
        let attributes = own.map(|attribute| (attribute.name.clone(), attribute)).collect();
        let mut entries: HashMap<u64, Vec<Heading>> = HashMap::new();
        for heading in store.headings(after.max(doubted))? {
            entries.entry(heading.attribute).or_default().push(heading);
        }
        Ok(Recall { store, extent, doubted, attributes, entries, continued })
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

/// All that is known of an attribute, to be told.
#[derive(Debug)]
pub struct Told {
    path: PathBuf,
    /// Facts as they are kept, newest first, and whether they spare a row.
    parts: Vec<(Vec<u8>, Option<Spare>)>,
}

impl Recall<'_> {
    /// Reads all that is known of an attribute.
    pub fn of(&self, attribute: &str) -> Result<Told, LedgerError> {
        let mut parts = Vec::new();
        let attribute = self.attributes.get(attribute);
        let headings = attribute.and_then(|attribute| self.entries.get(&attribute.id));
        for heading in headings.into_iter().flatten().rev() {
            let spare = match self.extent {
                _ if self.continued.contains(&heading.run) => Some(Spare::Resumed),
                Extent::ContinuedRun => None,
                Extent::EveryRun => Some(Spare::Unchanged),
            };
            parts.push((self.store.entry(heading.entry)?.groups, spare));
        }
        if let Some(attribute) = attribute
            && self.extent == Extent::EveryRun
            && attribute.generation > self.doubted
        {
            for part in 0..attribute.parts {
                parts.push((self.store.known_part(attribute, part)?, Some(Spare::Unchanged)));
            }
        }
        Ok(Told { path: self.store.path().to_owned(), parts })
    }
}

impl Told {
    /// Tells it, from newest to oldest.
    pub fn tell(self, known: &mut Known<'_>) -> Result<(), LedgerError> {
        let Self { path, parts } = self;
        let told = parts.iter().try_for_each(|(groups, spare)| hold(groups, *spare, known));
        told.map_err(|Malformed| LedgerError::Damaged {
            path,
            what: "facts are not what they should be".to_owned(),
        })
    }
}

fn hold(groups: &[u8], spare: Option<Spare>, known: &mut Known<'_>) -> Result<(), Malformed> {
    Groups::of(groups).try_for_each(|group| {
        let mut group = group?;
        match &group.value {
            Some(value) => known.hold(value, spare, &mut group.users),
            None => known.forget(&mut group.users),
        }
        group.users.finish()
    })
}
