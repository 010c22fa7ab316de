//! Reads a ledger, also while a run writes it.

use std::collections::HashSet;

use super::database::Database;
use super::fingerprint::INPUTS;
use super::rows::{RunRow, TargetRow};
use super::run::{
    InputState, NotContinued, NotContinuedRun, RunDescription, RunId, RunOutcome, TargetKey, UnfinishedRun,
};
use super::{Fingerprint, LedgerError, LedgerLocation};

/// A ledger that is open for reading.
#[derive(Debug)]
pub struct LedgerReader {
    pub(super) database: Database,
}

impl LedgerReader {
    /// Opens an existing ledger. It is read as it is at this moment, even if a run writes it at the same time.
    pub fn open(location: &LedgerLocation) -> Result<Self, LedgerError> {
        Ok(Self { database: Database::open_to_read(location)? })
    }

    /// The run that this one would continue: the last run of the same command, if it left rows unsent and no other run has
    /// continued it.
    pub fn unfinished(
        &self,
        target: &TargetKey,
        description: &RunDescription,
    ) -> Result<Option<UnfinishedRun>, LedgerError> {
        let Some(target) = self.target(target)? else { return Ok(None) };
        let runs = self.database.runs()?;
        let is_alike =
            |run: &&RunRow| run.target == target.id && !run.is_pull() && is_same_command(run, description);
        let Some(run) = runs.iter().rfind(is_alike) else { return Ok(None) };
        if !self.is_open(run, &runs)? || run.begun < self.database.state()?.expired {
            return Ok(None);
        }
        let input = if run.content == description.content { InputState::Same } else { InputState::Changed };
        Ok(Some(UnfinishedRun { run: RunId(run.id), started: run.started, input }))
    }

    /// The last run, if it left rows unsent, and why this one would not continue it.
    pub fn not_continued(
        &self,
        target: &TargetKey,
        description: &RunDescription,
    ) -> Result<Option<NotContinuedRun>, LedgerError> {
        let runs = self.database.runs()?;
        let Some(run) = runs.iter().rfind(|run| !run.is_pull()) else { return Ok(None) };
        if !self.is_open(run, &runs)? {
            return Ok(None);
        }
        let why = if self.target(target)?.is_none_or(|target| target.id != run.target) {
            NotContinued::OtherTarget
        } else if let Some(fingerprint) = Fingerprint::parse(&run.settings) {
            match fingerprint.differing(&description.fingerprint) {
                settings if !is_same_command(run, description) => NotContinued::OtherSettings(settings),
                _ if run.begun < self.database.state()?.expired => NotContinued::Expired,
                _ => return Ok(None),
            }
        } else {
            NotContinued::OtherVersion
        };
        Ok(Some(NotContinuedRun { run: RunId(run.id), started: run.started, why }))
    }

    /// Whether every run went to its end. If so, it makes no difference which content a run has.
    pub fn is_settled(&self) -> Result<bool, LedgerError> {
        let runs = self.database.runs()?;
        runs.iter().filter(|run| !run.is_pull()).try_fold(true, |all, run| Ok(all && self.is_final(run)?))
    }

    /// Whether a run left rows unsent and was not continued.
    pub(super) fn is_open(&self, run: &RunRow, runs: &[RunRow]) -> Result<bool, LedgerError> {
        Ok(!self.is_final(run)? && runs.iter().all(|other| other.continues != run.id))
    }

    /// The entry up to which nothing that is recorded of a target can be trusted, 0 if everything can.
    ///
    /// A killed run may have sent values that it didn't record, so a user of its plan may have either the value from there or
    /// the one before. That makes no difference to a run with the same content, as it would send the same value. It makes no
    /// difference to other runs either, once a run with the same content has ended normally.
    pub(super) fn untrusted(
        &self,
        runs: &[RunRow],
        target: u64,
        content: Option<&str>,
    ) -> Result<u64, LedgerError> {
        let (mut untrusted, mut settled) = (0, HashSet::new());
        for run in runs.iter().rev().filter(|run| run.target == target && !run.is_pull()) {
            match self.outcome(run)? {
                Some(outcome) if outcome.is_final() => {
                    settled.insert(&run.content);
                }
                Some(RunOutcome::Stopped | RunOutcome::Interrupted) => {}
                _ if content == Some(&run.content) || settled.contains(&run.content) => {}
                _ => untrusted = untrusted.max(run.after),
            }
        }
        Ok(untrusted)
    }

    pub(super) fn target(&self, key: &TargetKey) -> Result<Option<TargetRow>, LedgerError> {
        let is_it = |target: &TargetRow| target.base_url == key.base_url && target.users == key.users();
        Ok(self.database.targets()?.into_iter().find(is_it))
    }

    pub(super) fn run_of(&self, RunId(id): RunId) -> Result<Option<RunRow>, LedgerError> {
        Ok(self.database.runs()?.into_iter().find(|run| run.id == id))
    }

    pub(super) fn outcome(&self, run: &RunRow) -> Result<Option<RunOutcome>, LedgerError> {
        let outcome =
            |name| RunOutcome::of(name).ok_or_else(|| self.database.damaged("a run has no known outcome"));
        run.ending.as_ref().map(|ending| outcome(&ending.outcome)).transpose()
    }

    pub(super) fn is_final(&self, run: &RunRow) -> Result<bool, LedgerError> {
        Ok(self.outcome(run)?.is_some_and(RunOutcome::is_final))
    }
}

/// Whether a run is of the same command: with the same settings, or with others that had no effect, because the same inputs
/// resulted in the same plan.
fn is_same_command(run: &RunRow, description: &RunDescription) -> bool {
    let Some(fingerprint) = Fingerprint::parse(&run.settings) else { return false };
    let differing = fingerprint.differing(&description.fingerprint);
    differing.is_empty()
        || (run.content == description.content && !differing.iter().any(|name| name == INPUTS))
}

/// The names of inputs, as the ledger stores them.
pub(super) fn names(inputs: &[String]) -> String {
    serde_json::Value::from(inputs).to_string()
}
