//! The ledger's part in a run: what it spares the run, what it is told, and how the run ends in it.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use reqwest::Url;

use super::fingerprint::{differing, fingerprint};
use super::sync::Failed;
use crate::clock;
use crate::config::{LedgerFile, Resume, Settings};
use crate::ledger::{
    InputState, KnownAttribute, Ledger, LedgerError, LedgerReader, NotContinued, NotContinuedRun, Recorder,
    RowCounts, RunDescription, RunId, RunOutcome, TargetKey, UnfinishedRun,
};
use crate::plan::{Batch, Phase, Plan, SkippedRows};
use crate::report::{ExitCode, Fates, Message, StopReason};
use crate::spill::Resources;

/// How times are written.
const TIME: &str = "%Y-%m-%d %H:%M:%S UTC";

/// An open ledger, before the run begins.
pub(super) struct Books {
    ledger: Ledger,
    file: LedgerFile,
    target: TargetKey,
}

/// A run that has begun.
pub(super) struct Begun {
    ledger: Ledger,
    run: RunId,
    file: LedgerFile,
}

/// What is left to send, and why it is not more.
pub(super) struct Spare {
    pub(super) plan: Plan,
    pub(super) spared: SkippedRows,
    /// Which run this one continues, or why it doesn't.
    pub(super) note: Option<Message>,
}

impl Books {
    /// Opens the ledger that the settings name, if any. From now on no other run uses it.
    pub(super) fn open(settings: &Settings) -> Result<Option<Self>, Failed> {
        let Some(file) = settings.ledger.clone() else { return Ok(None) };
        check_place(&file.path)?;
        let base_url = match &file.base_url {
            Some(base_url) => canonical(base_url),
            // Nobody will meet this one again.
            None => format!("sandbox of {}", clock::utc_now()),
        };
        let target = TargetKey { base_url, id_type: settings.input.id_type };
        let ledger = Ledger::open(&file.path, &target, clock::utc_now()).map_err(|error| failed(&error))?;
        Ok(Some(Self { ledger, file, target }))
    }

    /// Takes out of the plan what need not be sent, and begins the run.
    pub(super) fn begin(mut self, plan: Plan, settings: &Settings) -> Result<(Spare, Begun), LedgerError> {
        let description = description(&plan, settings);
        let reader = self.ledger.reader();
        let (plan, spared, continuation) = spare(reader, &self.target, &description, plan, settings)?;
        let note = match continuation {
            Continuation::Of(continued) => Some(continuing(&continued, spared)),
            Continuation::Unwanted(unfinished) => Some(unwanted(&unfinished)),
            Continuation::None if description.fingerprint.is_of_reports() => None,
            Continuation::None => {
                reader.not_continued(&self.target, &description)?.as_ref().map(passing_over)
            }
        };
        let run = self.ledger.begin(&description, continuation.continued(), clock::utc_now())?;
        Ok((Spare { plan, spared, note }, Begun { ledger: self.ledger, run, file: self.file }))
    }
}

/// Takes out of a plan what a run with these settings would not send, as far as the ledger knows. Where it knows
/// nothing, says why.
pub(super) fn spare_plan(
    plan: Plan,
    settings: &Settings,
) -> Result<(Plan, SkippedRows, Option<Message>), LedgerError> {
    let Some(file) = &settings.ledger else { return Ok((plan, SkippedRows::default(), None)) };
    let unknown = |why: String| Message::note(format!("every row counts as changed: {why}"));
    let Some(base_url) = &file.base_url else {
        let why = "a sandbox that starts with the run holds nothing yet".to_owned();
        return Ok((plan, SkippedRows::default(), Some(unknown(why))));
    };
    let target = TargetKey { base_url: canonical(base_url), id_type: settings.input.id_type };
    let reader = match LedgerReader::open(&file.path) {
        Err(error @ LedgerError::Missing { .. }) => {
            return Ok((plan, SkippedRows::default(), Some(unknown(error.to_string()))));
        }
        opened => opened?,
    };
    let description = description(&plan, settings);
    let (plan, spared, _) = spare(&reader, &target, &description, plan, settings)?;
    Ok((plan, spared, None))
}

/// Whether a run goes on with an earlier one.
#[derive(Clone, Copy)]
enum Continuation {
    None,
    Of(UnfinishedRun),
    /// It could, and is not to.
    Unwanted(UnfinishedRun),
}

impl Continuation {
    fn continued(&self) -> Option<&UnfinishedRun> {
        match self {
            Self::Of(unfinished) => Some(unfinished),
            Self::None | Self::Unwanted(_) => None,
        }
    }
}

fn description(plan: &Plan, settings: &Settings) -> RunDescription {
    let fingerprint = fingerprint(settings);
    // They come last.
    let last = plan.groups().checked_sub(1).map(|group| Batch { group, first: 0, len: 1 });
    let renames = last.is_some_and(|batch| plan.phase(batch) == Phase::Identity);
    RunDescription {
        fingerprint: if renames { fingerprint.that_renames() } else { fingerprint },
        inputs: settings.inputs.iter().map(ToString::to_string).collect(),
        content: plan.fingerprint(),
    }
}

/// Takes out of a plan what need not be sent.
fn spare(
    reader: &LedgerReader,
    target: &TargetKey,
    description: &RunDescription,
    plan: Plan,
    settings: &Settings,
) -> Result<(Plan, SkippedRows, Continuation), LedgerError> {
    let Some(file) = &settings.ledger else { return Ok((plan, SkippedRows::default(), Continuation::None)) };
    let continuation = match (reader.unfinished(target, description)?, file.resume) {
        (None, _) => Continuation::None,
        (Some(unfinished), Resume::IfInterrupted) => Continuation::Of(unfinished),
        (Some(unfinished), Resume::Never) => Continuation::Unwanted(unfinished),
    };
    let known = reader.known_values(target, &description.content, file.skip, continuation.continued())?;
    let (plan, spared) = plan.skip_known(
        &settings.input.resources,
        |attribute| Ok(known.of(&attribute.name)),
        KnownAttribute::replay,
    )?;
    Ok((plan, spared, continuation))
}

impl Begun {
    /// The number of the run in the ledger.
    pub(super) fn run(&self) -> RunId {
        self.run
    }

    /// Somebody to stand between delivery and those who count. What is left of this is for the end.
    pub(super) fn recorder(self, plan: &Arc<Plan>) -> (Recorder, Ending) {
        let ending = Ending { run: self.run, history_days: self.file.history_days };
        (Recorder::new(self.ledger, self.run, Arc::clone(plan)), ending)
    }
}

/// How to end a run.
pub(super) struct Ending {
    run: RunId,
    history_days: u64,
}

impl Ending {
    /// Records how the run ended.
    pub(super) fn record(
        &self,
        ledger: &mut Ledger,
        exit: ExitCode,
        fates: &Fates,
    ) -> Result<(), LedgerError> {
        ledger.finish(self.run, outcome(exit), &counts(fates), clock::utc_now())
    }

    /// Forgets what is too old, and gives back room.
    pub(super) fn compact(&self, mut ledger: Ledger, resources: &Resources) -> Result<(), LedgerError> {
        const DAY: i64 = 24 * 60 * 60;
        let days = i64::try_from(self.history_days).unwrap_or(i64::MAX);
        let kept = SignedDuration::from_secs(days.saturating_mul(DAY));
        ledger.compact(clock::utc_now().checked_sub(kept).unwrap_or(Timestamp::MIN), resources)
    }
}

/// Refuses a path where no ledger can be: that is a wrong setting, and no fault of the disk's. A device above all is not
/// even to be opened, because a ledger's file is taken away from all but its owner.
fn check_place(path: &Path) -> Result<(), Failed> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let (what, hint) = match (parent.filter(|parent| !parent.is_dir()), path.metadata()) {
        (Some(missing), _) => (
            format!("there is no directory `{}`", missing.display()),
            "create the directory first, or name another path with `--ledger`",
        ),
        (None, Ok(there)) if there.is_dir() => ("it is a directory".to_owned(), "name a file in it"),
        (None, Ok(there)) if !there.is_file() => (
            "it is no regular file".to_owned(),
            "name another path with `--ledger`, or keep none with `--no-ledger`",
        ),
        (None, _) => return Ok(()),
    };
    let message = Message::error(format!("cannot keep a ledger at `{}`: {what}", path.display()));
    Err((message.with_hint(hint.to_owned()), ExitCode::Usage))
}

/// A ledger that can't be used, as a message. It may be the wrong one, or in use; else the disk failed.
pub(super) fn failed(error: &LedgerError) -> Failed {
    let code = match error {
        LedgerError::Locked { .. }
        | LedgerError::Missing { .. }
        | LedgerError::NoLedger { .. }
        | LedgerError::NoPlace { .. }
        | LedgerError::NoLocks { .. }
        | LedgerError::Unmerged { .. }
        | LedgerError::TooNew { .. } => ExitCode::Usage,
        LedgerError::Damaged { .. } | LedgerError::NoTemporaryFile { .. } | LedgerError::Unusable { .. } => {
            ExitCode::Internal
        }
    };
    let reason = match (error, code) {
        (LedgerError::Locked { .. }, _) => StopReason::LedgerHeld,
        (_, ExitCode::Usage) => StopReason::Usage,
        _ => StopReason::Disk,
    };
    (Message::from_error(error).with_hint(error.hint().to_owned()).because(reason), code)
}

/// What continuing a run means, in a sentence.
fn continuing(continued: &UnfinishedRun, spared: SkippedRows) -> Message {
    let UnfinishedRun { run, started, input } = continued;
    let begun = started.strftime(TIME);
    let changed = match input {
        InputState::Same => "",
        InputState::Changed => {
            "; its input has changed since, so that only rows that are still the same are skipped"
        }
    };
    Message::note(format!("continuing run {run}, begun {begun}: {} rows are done{changed}", spared.resumed))
}

/// That a run could have been continued.
fn unwanted(unfinished: &UnfinishedRun) -> Message {
    let UnfinishedRun { run, started, .. } = unfinished;
    Message::note(format!(
        "run {run}, begun {}, is not continued, as `--no-resume` is set",
        started.strftime(TIME)
    ))
}

/// Why a run is not continued, in a sentence.
fn passing_over(not_continued: &NotContinuedRun) -> Message {
    let NotContinuedRun { run, started, why } = not_continued;
    let why = match why {
        NotContinued::OtherTarget => "it went to another account, or to ids of another type".to_owned(),
        NotContinued::OtherSettings(names) => differing(names),
        NotContinued::OtherVersion => "another version of attrsync recorded it".to_owned(),
        NotContinued::Expired => "what it sent is no longer kept (`--history-days`)".to_owned(),
    };
    Message::note(format!(
        "run {run}, begun {}, did not finish, and this run does not continue it: {why}",
        started.strftime(TIME)
    ))
}

/// The address of an API in one spelling.
fn canonical(base_url: &Url) -> String {
    let mut url = base_url.clone();
    if url.host_str() == Some("localhost") {
        // Of several addresses that the name may stand for, the one that it nearly always does.
        return url.set_host(Some("127.0.0.1")).map_or_else(|_| base_url.to_string(), |()| url.to_string());
    }
    url.to_string()
}

fn outcome(exit: ExitCode) -> RunOutcome {
    match exit {
        ExitCode::Complete => RunOutcome::Complete,
        ExitCode::Incomplete => RunOutcome::Incomplete,
        ExitCode::Stopped => RunOutcome::Stopped,
        ExitCode::HungUp | ExitCode::Interrupted | ExitCode::Terminated => RunOutcome::Interrupted,
        ExitCode::Usage | ExitCode::Refused | ExitCode::Internal => RunOutcome::Internal,
    }
}

fn counts(fates: &Fates) -> RowCounts {
    let Fates { read, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent } =
        *fates;
    RowCounts { read, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent }
}
