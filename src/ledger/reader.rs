//! Reading a ledger, also while a run writes it.

use std::collections::HashSet;
use std::path::Path;

use super::LedgerError;
use super::lock::Note;
use super::run::{Description, Input, Outcome, RunId, TargetKey, Unfinished};
use super::store::{Access, Run, Store, Target};

/// A ledger to be read.
#[derive(Debug)]
pub struct Reader {
    pub(super) store: Store,
}

impl Reader {
    /// Opens a ledger that there is. It is read as it is at this moment, whoever writes meanwhile.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let note = Note::beside(path);
        let store = Store::open(path, Access::Read)?;
        check_progress(&store, note.as_ref())?;
        Ok(Self { store })
    }

    /// The run that this one would continue: the last one for the target with the same settings and the same names of
    /// inputs, if it left rows unsent.
    pub fn unfinished(
        &self,
        target: &TargetKey,
        description: &Description,
    ) -> Result<Option<Unfinished>, LedgerError> {
        let Some(target) = self.target(target)? else { return Ok(None) };
        let inputs = names(&description.inputs);
        let alike = |run: &&Run| {
            run.target == target.id && run.settings == description.settings && run.inputs == inputs
        };
        let runs = self.store.runs()?;
        let Some(run) = runs.iter().rfind(alike) else { return Ok(None) };
        if self.is_final(run)? || run.begun < self.store.state()?.expired {
            return Ok(None);
        }
        let input = if run.content == description.content { Input::Same } else { Input::Changed };
        Ok(Some(Unfinished { run: RunId(run.id), started: run.started, input }))
    }

    /// The entry up to which nothing that is recorded of a target can be trusted, 0 if all can.
    ///
    /// A run that was killed may have sent what it didn't record: who was in its plan may have the value from there, or
    /// the one that was known before. That doesn't matter to a run of the same content, which wants what that run wanted;
    /// and not to any other, once a run of the same content went to its end.
    pub(super) fn doubted(
        &self,
        runs: &[Run],
        target: u64,
        content: Option<&str>,
    ) -> Result<u64, LedgerError> {
        let (mut doubted, mut settled) = (0, HashSet::new());
        for run in runs.iter().rev().filter(|run| run.target == target) {
            match self.outcome(run)? {
                Some(outcome) if outcome.is_final() => {
                    settled.insert(&run.content);
                }
                Some(Outcome::Stopped | Outcome::Interrupted) => {}
                _ if content == Some(&run.content) || settled.contains(&run.content) => {}
                _ => doubted = doubted.max(run.after),
            }
        }
        Ok(doubted)
    }

    pub(super) fn target(&self, key: &TargetKey) -> Result<Option<Target>, LedgerError> {
        let is_it = |target: &Target| target.base_url == key.base_url && target.users == key.users();
        Ok(self.store.targets()?.into_iter().find(is_it))
    }

    pub(super) fn run_of(&self, RunId(id): RunId) -> Result<Option<Run>, LedgerError> {
        Ok(self.store.runs()?.into_iter().find(|run| run.id == id))
    }

    pub(super) fn outcome(&self, run: &Run) -> Result<Option<Outcome>, LedgerError> {
        let outcome =
            |name| Outcome::of(name).ok_or_else(|| self.store.damaged("a run has no known outcome"));
        run.ending.as_ref().map(|ending| outcome(&ending.outcome)).transpose()
    }

    pub(super) fn is_final(&self, run: &Run) -> Result<bool, LedgerError> {
        Ok(self.outcome(run)?.is_some_and(Outcome::is_final))
    }
}

/// Refuses a ledger that once had got further than it has now.
pub(super) fn check_progress(store: &Store, note: Option<&Note>) -> Result<(), LedgerError> {
    let Some(note) = note else { return Ok(()) };
    if note.identity == store.state()?.identity && store.last()? < note.last {
        return Err(store.damaged("it has lost what it recorded last"));
    }
    Ok(())
}

/// Names of inputs, as the ledger keeps them.
pub(super) fn names(inputs: &[String]) -> String {
    serde_json::Value::from(inputs).to_string()
}
