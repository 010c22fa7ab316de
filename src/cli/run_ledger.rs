//! A run in the ledger: what the ledger leaves to send, and how the run starts and ends in it.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indicatif::HumanCount;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinError;

use super::console::Console;
use super::failure::Failure;
use super::fingerprint::{differing, fingerprint};
use super::saved_plan;
use crate::clock;
use crate::config::{self, LedgerSettings, Resume, Settings};
use crate::deliver::{self, Reason, SharedRate};
use crate::input::IdType;
use crate::ledger::{
    Fingerprint, InputState, KnownAttribute, Lease, Ledger, LedgerError, LedgerMark, LedgerReader,
    NotContinued, NotContinuedRun, Recorder, RowCounts, RunDescription, RunId, RunOutcome, SinceMark,
    TargetKey, UnfinishedRun, Waits,
};
use crate::plan::{Batch, Compare, KnownPlan, KnownRows, Phase, Plan, SavedHeader};
use crate::report::{ExitCode, Message, Rerun, StopReason};

/// How times are written.
pub(super) const TIME: &str = "%Y-%m-%d %H:%M:%S UTC";

/// The ledger of a run. While it is open, no other run can use it.
pub(super) struct RunLedger {
    ledger: Ledger,
    target: TargetKey,
}

/// What a run has left to send, before it starts.
pub(super) struct RemainingRun {
    ledger: Ledger,
    pub(super) plan: Plan,
    pub(super) known: KnownPlan,
    /// Rows that fail without a request.
    pub(super) missing: Option<MissingRows>,
    /// Which run this one continues, or why it doesn't.
    pub(super) note: Option<Message>,
    description: RunDescription,
    continued: Option<UnfinishedRun>,
}

/// Rows of users that the account doesn't have.
#[derive(Debug)]
pub(super) struct MissingRows {
    pub(super) plan: Plan,
    /// Why they fail.
    pub(super) reason: Reason,
}

/// A run that the ledger knows of.
pub(super) struct StartedRun {
    pub(super) run: RunId,
    /// How long the ledger may be used, if other machines can reach it.
    pub(super) lease: Option<Arc<Lease>>,
    /// What holds the rate together with other processes, if the ledger connects them.
    pub(super) shared_rate: Option<Arc<dyn SharedRate>>,
    pub(super) plan: Arc<Plan>,
    pub(super) recorder: Recorder,
}

/// What the same command does when a run leaves rows unsent. A sandbox in this process is gone by then.
pub(super) fn rerun(settings: &Settings) -> Rerun {
    match &settings.ledger {
        Some(LedgerSettings { resume: Resume::IfInterrupted, base_url: Some(_), .. }) => Rerun::Continues,
        _ => Rerun::StartsAnew,
    }
}

impl RunLedger {
    /// Opens the ledger that the settings name, if any.
    pub(super) fn open(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(file) = &settings.ledger else { return Ok(None) };
        if let Some(path) = file.location.path() {
            check_path(path)?;
        }
        let id_type = settings.input.id_type;
        // No later run meets this sandbox again.
        let sandbox = || TargetKey { base_url: format!("sandbox of {}", clock::utc_now()), id_type };
        let target = target(file, id_type).unwrap_or_else(sandbox);
        let deliver::Options { timeout, max_outage, .. } = settings.delivery;
        let waits = Waits { request_timeout: timeout, max_outage };
        let ledger = Ledger::open_with(&file.location, &target, waits, clock::utc_now())?;
        Ok(Some(Self { ledger, target }))
    }

    /// What has happened since a plan was saved.
    pub(super) fn since(
        &self,
        mark: Option<&LedgerMark>,
        fingerprint: &Fingerprint,
    ) -> Result<SinceMark, LedgerError> {
        self.ledger.reader().since(mark, fingerprint)
    }

    /// Takes out of the plan what need not be sent. `saved` is the plan's header, if it was saved before.
    pub(super) fn remaining(
        self,
        plan: Plan,
        settings: &Settings,
        saved: Option<&SavedHeader>,
    ) -> Result<RemainingRun, LedgerError> {
        let content = saved.map_or_else(|| plan.fingerprint(), |saved| saved.content.clone());
        let description = description(&plan, settings, saved, content);
        let reader = self.ledger.reader();
        // A saved plan has the figures of the time when it was made.
        let is_compared = saved.is_some_and(|saved| saved.figures.known().is_some());
        let max_changes = settings.ledger.as_ref().and_then(|file| file.max_changes).filter(|_| !is_compared);
        let compare = if max_changes.is_some() { Compare::Yes } else { Compare::No };
        let Remaining { plan, missing, known, continuation } =
            remaining(reader, &self.target, &description, plan, settings, compare)?;
        let note = match continuation {
            Continuation::Of(continued) => Some(continuing(&continued, known.total())),
            Continuation::Unwanted(unfinished) => Some(unwanted(&unfinished)),
            Continuation::None if description.fingerprint.is_of_reports() => None,
            Continuation::None => {
                reader.not_continued(&self.target, &description)?.as_ref().map(passing_over)
            }
        };
        let continued = continuation.continued().copied();
        Ok(RemainingRun { ledger: self.ledger, plan, known, missing, note, description, continued })
    }
}

impl RemainingRun {
    /// How long the ledger may be used, if other machines can reach it.
    pub(super) fn lease(&self) -> Option<&Arc<Lease>> {
        self.ledger.lease()
    }

    /// Why nothing may be sent, if so.
    pub(super) fn refusal(&self, settings: &Settings) -> Option<Message> {
        too_many_changes(&self.known, settings)
    }

    /// Records that the run starts.
    pub(super) fn start(self, settings: &Settings) -> Result<StartedRun, LedgerError> {
        let Self { mut ledger, plan, description, continued, .. } = self;
        let shared_rate = share_rate(&ledger, settings)?;
        let run = ledger.begin(&description, continued.as_ref(), clock::utc_now())?;
        let (plan, lease) = (Arc::new(plan), ledger.lease().cloned());
        let recorder = Recorder::new(ledger, run, Arc::clone(&plan));
        Ok(StartedRun { run, lease, shared_rate, plan, recorder })
    }
}

/// What holds the rate together with other processes, if the ledger connects them.
pub(super) fn share_rate(
    ledger: &Ledger,
    settings: &Settings,
) -> Result<Option<Arc<dyn SharedRate>>, LedgerError> {
    match settings.ledger.as_ref().and_then(|settings| settings.quota.as_deref()) {
        Some(quota) => ledger.share_rate(quota, settings.delivery.rate),
        None => Ok(None),
    }
}

/// Why nothing may be sent, if more known values would change than the settings allow.
pub(super) fn too_many_changes(known: &KnownPlan, settings: &Settings) -> Option<Message> {
    /// As many attributes as a screen has room for.
    const MOST: usize = 10;
    let limit = settings.ledger.as_ref()?.max_changes?;
    let total = known.total();
    if !limit.is_exceeded_by(total.changed, total.known()) {
        return None;
    }
    let figures = |changed: u64, known: u64| {
        let share = HumanCount(changed * 100 / known.max(1));
        format!("{} of {} known values ({share}%)", HumanCount(changed), HumanCount(known))
    };
    let mut lines = vec![format!(
        "{} would change, more than `--max-changes {limit}`",
        figures(total.changed, total.known())
    )];
    let mut changed: Vec<_> = known.attributes.iter().filter(|(_, rows)| rows.changed > 0).collect();
    changed.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.changed));
    lines.extend(
        changed
            .iter()
            .take(MOST)
            .map(|(name, rows)| format!("{name}: {}", figures(rows.changed, rows.known()))),
    );
    let hint = format!(
        "look at `attrsync plan --only-changed`; to let it through, give `--max-changes {}`",
        total.changed
    );
    Some(Message::error(lines.join("\n")).with_hint(hint).because(StopReason::TooManyChanges))
}

/// Records how a run ended.
pub(super) fn finish(
    ledger: &mut Ledger,
    run: RunId,
    exit: ExitCode,
    rows: &RowCounts,
) -> Result<(), LedgerError> {
    ledger.finish(run, outcome(exit), rows, clock::utc_now())
}

/// Removes from the ledger what is older than the settings keep, and makes the file smaller.
pub(super) fn compact(mut ledger: Ledger, settings: &Settings) -> Result<(), LedgerError> {
    const DAY: i64 = 24 * 60 * 60;
    let days = settings.ledger.as_ref().map_or(0, |file| file.history_days);
    let days = i64::try_from(days).unwrap_or(i64::MAX);
    let kept = SignedDuration::from_secs(days.saturating_mul(DAY));
    ledger.compact(clock::utc_now().checked_sub(kept).unwrap_or(Timestamp::MIN), &settings.input.resources)
}

/// What a run would send of a plan.
pub(super) struct RemainingPlan {
    pub(super) plan: Plan,
    /// Rows that would fail without a request.
    pub(super) missing: Option<MissingRows>,
    pub(super) known: KnownPlan,
    /// Why the ledger knows nothing, if it doesn't.
    pub(super) note: Option<Message>,
    /// The state of the ledger; `None` if a run would have none to continue.
    pub(super) mark: Option<LedgerMark>,
}

/// Takes out of a plan what a run with these settings would not send, as far as the ledger knows, and compares the rest.
pub(super) fn remaining_plan(
    plan: Plan,
    file: &LedgerSettings,
    settings: &Settings,
) -> Result<RemainingPlan, LedgerError> {
    let unknown = |plan: Plan, why: String, mark: Option<LedgerMark>| {
        let note = Message::note(format!("every row counts as changed: {why}"));
        RemainingPlan { plan, missing: None, known: KnownPlan::default(), note: Some(note), mark }
    };
    let Some(base_url) = &file.base_url else {
        return Ok(unknown(plan, "a sandbox that starts with the run is empty".to_owned(), None));
    };
    let target = TargetKey { base_url: config::canonical(base_url), id_type: settings.input.id_type };
    let reader = match LedgerReader::open(&file.location) {
        Err(error @ LedgerError::Missing { .. }) => {
            return Ok(unknown(plan, error.to_string(), Some(LedgerMark::default())));
        }
        opened => opened?,
    };
    // It takes long, and matters only if there is a run to continue or to doubt.
    let content = if reader.is_settled()? { String::new() } else { plan.fingerprint() };
    let description = description(&plan, settings, None, content);
    let left = remaining(&reader, &target, &description, plan, settings, Compare::Yes)?;
    let Remaining { plan, missing, known, .. } = left;
    Ok(RemainingPlan { plan, known, missing, note: None, mark: Some(reader.mark()?) })
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

fn description(
    plan: &Plan,
    settings: &Settings,
    saved: Option<&SavedHeader>,
    content: String,
) -> RunDescription {
    let fingerprint = saved.map_or_else(|| fingerprint(settings), saved_plan::fingerprint);
    // Batches that change identities come last.
    let last = plan.groups().checked_sub(1).map(|group| Batch { group, first: 0, len: 1 });
    let renames = last.is_some_and(|batch| plan.phase(batch) == Phase::Identity);
    RunDescription {
        fingerprint: if renames { fingerprint.that_renames() } else { fingerprint },
        inputs: settings.inputs.iter().map(ToString::to_string).collect(),
        content,
    }
}

/// What is left of a plan.
struct Remaining {
    plan: Plan,
    /// Rows that fail without a request.
    missing: Option<MissingRows>,
    known: KnownPlan,
    continuation: Continuation,
}

/// Takes out of a plan what need not be sent.
fn remaining(
    reader: &LedgerReader,
    target: &TargetKey,
    description: &RunDescription,
    plan: Plan,
    settings: &Settings,
    compare: Compare,
) -> Result<Remaining, LedgerError> {
    let Some(file) = &settings.ledger else {
        let (known, continuation) = (KnownPlan::default(), Continuation::None);
        return Ok(Remaining { plan, missing: None, known, continuation });
    };
    let continuation = match (reader.unfinished(target, description)?, file.resume) {
        (None, _) => Continuation::None,
        (Some(unfinished), Resume::IfInterrupted) => Continuation::Of(unfinished),
        (Some(unfinished), Resume::Never) => Continuation::Unwanted(unfinished),
    };
    let continued = continuation.continued();
    let values = reader.known_values(target, &description.content, file.skip, compare, continued)?;
    let values = values.not_before(file.max_age.map(ago))?;
    let (plan, missing, known) = plan.skip_known(
        &settings.input.resources,
        compare,
        |attribute| Ok(values.of(&attribute.name)),
        KnownAttribute::replay,
    )?;
    let missing = missing.map(|plan| MissingRows { plan, reason: no_such_user(values.listed_at()) });
    Ok(Remaining { plan, missing, known, continuation })
}

/// This long before now.
fn ago(age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    clock::utc_now().checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// Why a row of a user fails that the account didn't have.
fn no_such_user(listed_at: Option<Timestamp>) -> Reason {
    let read = listed_at.map(|at| format!(", as read on {}", at.strftime(TIME)));
    let error = format!("no such user in the account{}", read.unwrap_or_default());
    Reason { status: None, error }
}

/// Opens the ledger for a reading of the account.
pub(super) fn open_for_pull(settings: &Settings) -> Result<Ledger, Failure> {
    let opened = RunLedger::open(settings)?;
    opened.map(|open| open.ledger).ok_or_else(|| Failure::internal("no ledger is named"))
}

/// The account of a ledger; `None` for a sandbox that starts with the run.
pub(super) fn target(file: &LedgerSettings, id_type: IdType) -> Option<TargetKey> {
    let base_url = file.base_url.as_ref().map(config::canonical)?;
    Some(TargetKey { base_url, id_type })
}

/// Says so if the ledger was not compacted.
pub(super) fn warn_of_compacting(compacted: Result<Result<(), LedgerError>, JoinError>, console: Console) {
    let warning = |why: &dyn Display| Message::warning(format!("the ledger was not compacted: {why}"));
    console.warning(&match compacted {
        Ok(Ok(())) => return,
        Ok(Err(error)) => warning(&error).with_hint(error.hint().to_owned()),
        Err(panic) => warning(&panic),
    });
}

/// Refuses a path at which there can be no ledger: the setting is wrong, not the disk. A device must not even be opened,
/// because opening a ledger takes the rights to the file from everyone but its owner.
fn check_path(path: &Path) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let (what, hint) = match (parent.filter(|parent| !parent.is_dir()), path.metadata()) {
        (Some(missing), _) => (
            format!("there is no directory `{}`", missing.display()),
            "create the directory first, or name another path with `--ledger`",
        ),
        (None, Ok(there)) if there.is_dir() => ("it is a directory".to_owned(), "name a file in it"),
        (None, Ok(there)) if !there.is_file() => (
            "it is not a regular file".to_owned(),
            "name another path with `--ledger`, or keep none with `--no-ledger`",
        ),
        (None, _) => return Ok(()),
    };
    let message = Message::error(format!("cannot keep a ledger at `{}`: {what}", path.display()));
    Err(Failure::usage(message.with_hint(hint.to_owned())))
}

/// That the run continues another one.
fn continuing(continued: &UnfinishedRun, known: KnownRows) -> Message {
    let UnfinishedRun { run, started, input } = continued;
    let begun = started.strftime(TIME);
    let changed = match input {
        InputState::Same => "",
        InputState::Changed => {
            "; its input has changed since, so that only rows that are still the same are skipped"
        }
    };
    Message::note(format!("continuing run {run}, begun {begun}: {} rows are done{changed}", known.resumed))
}

/// That a run could have been continued.
fn unwanted(unfinished: &UnfinishedRun) -> Message {
    let UnfinishedRun { run, started, .. } = unfinished;
    Message::note(format!(
        "run {run}, begun {}, is not continued, as `--no-resume` is set",
        started.strftime(TIME)
    ))
}

/// Why an unfinished run is not continued.
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

pub(super) fn outcome(exit: ExitCode) -> RunOutcome {
    match exit {
        ExitCode::Complete => RunOutcome::Complete,
        ExitCode::Incomplete => RunOutcome::Incomplete,
        ExitCode::Stopped => RunOutcome::Stopped,
        ExitCode::HungUp | ExitCode::Interrupted | ExitCode::Terminated => RunOutcome::Interrupted,
        ExitCode::Usage | ExitCode::Refused | ExitCode::Internal => RunOutcome::Internal,
    }
}
