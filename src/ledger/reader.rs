//! Reading a ledger, also while a run writes it.

use std::collections::HashSet;
use std::path::Path;

use super::fingerprint::INPUTS;
use super::lock::Note;
use super::run::{Description, Input, NotContinued, Outcome, PassedOver, RunId, TargetKey, Unfinished};
use super::store::{Access, Run, Store, Target};
use super::{Fingerprint, LedgerError, place};

/// A ledger to be read.
#[derive(Debug)]
pub struct Reader {
    pub(super) store: Store,
}

impl Reader {
    /// Opens a ledger that there is. It is read as it is at this moment, whoever writes meanwhile.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let Ok(path) = &place::real(path) else {
            return Err(LedgerError::Missing { path: path.to_owned() });
        };
        let note = Note::beside(path);
        let store = Store::open(path, Access::Read)?;
        check_progress(&store, note.as_ref())?;
        Ok(Self { store })
    }

    /// The run that this one would continue: the last one of the same command, if it left rows unsent and no other run
    /// has continued it.
    pub fn unfinished(
        &self,
        target: &TargetKey,
        description: &Description,
    ) -> Result<Option<Unfinished>, LedgerError> {
        let Some(target) = self.target(target)? else { return Ok(None) };
        let runs = self.store.runs()?;
        let is_alike = |run: &&Run| run.target == target.id && is_same_command(run, description);
        let Some(run) = runs.iter().rfind(is_alike) else { return Ok(None) };
        if !self.is_open(run, &runs)? || run.begun < self.store.state()?.expired {
            return Ok(None);
        }
        let input = if run.content == description.content { Input::Same } else { Input::Changed };
        Ok(Some(Unfinished { run: RunId(run.id), started: run.started, input }))
    }

    /// The last run, if it left rows unsent, and why this one would not continue it.
    pub fn passed_over(
        &self,
        target: &TargetKey,
        description: &Description,
    ) -> Result<Option<PassedOver>, LedgerError> {
        let runs = self.store.runs()?;
        let Some(run) = runs.last() else { return Ok(None) };
        if !self.is_open(run, &runs)? {
            return Ok(None);
        }
        let why = if self.target(target)?.is_none_or(|target| target.id != run.target) {
            NotContinued::OtherTarget
        } else if let Some(fingerprint) = Fingerprint::parse(&run.settings) {
            match fingerprint.differing(&description.fingerprint) {
                settings if !is_same_command(run, description) => NotContinued::OtherSettings(settings),
                _ if run.begun < self.store.state()?.expired => NotContinued::Expired,
                _ => return Ok(None),
            }
        } else {
            NotContinued::OtherVersion
        };
        Ok(Some(PassedOver { run: RunId(run.id), started: run.started, why }))
    }

    /// Whether a run left rows unsent that no other run has gone on with.
    pub(super) fn is_open(&self, run: &Run, runs: &[Run]) -> Result<bool, LedgerError> {
        Ok(!self.is_final(run)? && runs.iter().all(|other| other.continues != run.id))
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

/// Whether the run is of the command that is described: of the same settings; or of others that come to the same, as
/// the same inputs made the same plan.
fn is_same_command(run: &Run, description: &Description) -> bool {
    let Some(fingerprint) = Fingerprint::parse(&run.settings) else { return false };
    let differing = fingerprint.differing(&description.fingerprint);
    differing.is_empty()
        || (run.content == description.content && !differing.iter().any(|name| name == INPUTS))
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
