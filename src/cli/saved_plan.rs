//! Saved plans: written by `plan --save`, shown by `plan --plan`, and checked before `sync --plan` sends them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;

use super::failure::Failure;
use super::planned_input::{PlannedInput, too_few_rows};
use super::run_ledger::{RunLedger, TIME, too_many_changes};
use crate::clock;
use crate::config::{Endpoint, LedgerSettings, PlanFile, Settings, canonical};
use crate::input::{Empty, Vocabulary};
use crate::ledger::{Fingerprint, INPUTS, LedgerLocation, LedgerMark, SinceMark};
use crate::plan::{
    Figures, KnownPlan, PlanSummary, SavedHeader, SavedLedger, SavedPlan, SavedPlanError, SavedPlanning,
    SavedSettings, SavedTarget,
};
use crate::report::{ExitCode, Message, PlanScreen, PlanningStats, StopReason, command_line};

/// What to do about a plan that may not be sent.
const PLAN_AGAIN: &str = "save the plan again with `attrsync plan --save`, and review that one";

/// How many of the largest groups are saved at least, so that more can be shown than were asked for.
const GROUPS: usize = 20;

/// Opens a saved plan, and checks that it is complete and undamaged.
pub(super) fn open(path: &Path) -> Result<SavedPlan<File>, Failure> {
    let is_regular = |file: &File| file.metadata().map(|found| found.is_file());
    let opened = File::open(path).and_then(|file| is_regular(&file).map(|is_regular| (file, is_regular)));
    match opened {
        Ok((file, true)) => SavedPlan::open(file).map_err(|error| unreadable(path, &error)),
        Ok((_, false)) => {
            let text = format!("`{}` is not a regular file, and a plan has to be in one", path.display());
            Err(refused(Message::error(text), StopReason::UnreadableInput))
        }
        Err(error) => {
            let text = format!("the plan `{}` cannot be opened: {error}", path.display());
            Err(refused(Message::error(text), StopReason::UnreadableInput))
        }
    }
}

/// A saved plan can't be read, or not as it was written.
pub(super) fn unreadable(path: &Path, error: &SavedPlanError) -> Failure {
    let message = Message::error(format!("the plan `{}` {error}", path.display()));
    match error {
        SavedPlanError::NotAPlan => {
            let hint = "name a file that `attrsync plan --save` has written".to_owned();
            refused(message.with_hint(hint), StopReason::UnreadableInput)
        }
        SavedPlanError::TemporaryFile(_) => {
            let hint = "free some space, or name another directory with `--temp-dir`".to_owned();
            Failure::new(message.with_hint(hint).because(StopReason::Disk), ExitCode::Internal)
        }
        _ => refused(message.with_hint(PLAN_AGAIN.to_owned()), StopReason::UnreadableInput),
    }
}

/// The header of a plan that is to be saved. `content` is the fingerprint of all that the inputs have, and `top` says how
/// many of the largest groups were shown.
pub(super) fn header(
    file: &PlanFile,
    read: &PlannedInput,
    settings: &Settings,
    content: String,
    known: Option<(&KnownPlan, Option<LedgerMark>)>,
    (planning, top): (PlanningStats, usize),
) -> SavedHeader {
    let summary = read.plan.summary(top.max(GROUPS));
    SavedHeader {
        id: format!("{:016x}", rand::random::<u64>()),
        created_at: clock::utc_now(),
        target: SavedTarget {
            base_url: file.base_url.as_ref().map(canonical),
            id_type: settings.input.id_type,
        },
        ledger: known.and_then(|(_, mark)| mark).map(saved_ledger),
        inputs: settings.inputs.iter().map(ToString::to_string).collect(),
        content,
        settings: SavedSettings {
            batch_size: settings.batch_size,
            null_token: settings.input.null_token.clone(),
            send_empty: settings.input.empty == Some(Empty::Send),
            allow_custom: settings.input.vocabulary == Vocabulary::Custom,
            attributes: settings.input.attributes.clone(),
        },
        requests: summary.totals.requests,
        missing: read.missing.as_ref().map(|missing| missing.reason.error.clone()),
        figures: figures(&summary, read, known.map(|(known, _)| known), planning),
    }
}

fn figures(
    summary: &PlanSummary<'_>,
    read: &PlannedInput,
    known: Option<&KnownPlan>,
    PlanningStats { duration, memory, spilled }: PlanningStats,
) -> Figures {
    let mut figures = Figures::of(summary, read.counts, known);
    figures.invalid.clone_from(&read.causes);
    figures.warnings.clone_from(&read.warnings);
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    figures.planning = Some(SavedPlanning { milliseconds, memory, spilled });
    figures
}

fn saved_ledger(LedgerMark { identity, entry, run }: LedgerMark) -> SavedLedger {
    SavedLedger { identity: identity.map(|identity| format!("{identity:016x}")), entry, run }
}

fn mark(SavedLedger { identity, entry, run }: &SavedLedger) -> LedgerMark {
    // A text that is no number is of no ledger.
    let identity = identity.as_ref().map(|text| u64::from_str_radix(text, 16).unwrap_or(u64::MAX));
    LedgerMark { identity, entry: *entry, run: *run }
}

/// Which command a run is that sends this plan: the same wherever the file is.
pub(super) fn fingerprint(plan: &SavedHeader) -> Fingerprint {
    Fingerprint::of([(INPUTS, Some(format!("plan {}", plan.id)))])
}

/// How to send the plan that was saved, on a last line of its own.
pub(super) fn next_command(PlanFile { path, flags, .. }: &PlanFile) -> String {
    // Otherwise the path would be read as a flag.
    let is_like_a_flag = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    let path = if is_like_a_flag { Path::new(".").join(path) } else { path.clone() };
    let words = ["attrsync", "sync", "--plan"].map(OsStr::new).into_iter().chain([path.as_os_str()]);
    let command = command_line(words.chain(flags.iter().map(OsString::as_os_str)));
    format!("\nsaved; to send exactly this:\n{command}\n")
}

/// Refuses a plan that goes elsewhere.
pub(super) fn check_target(plan: &SavedHeader, target: &Endpoint) -> Result<(), Failure> {
    let own = match target {
        Endpoint::Api { base_url, .. } => Some(canonical(base_url)),
        Endpoint::Sandbox => None,
    };
    if plan.target.base_url == own {
        return Ok(());
    }
    let name = |base_url: &Option<String>| match base_url {
        Some(base_url) => format!("`{base_url}`"),
        None => "a sandbox that starts with the run".to_owned(),
    };
    let (theirs, own) = (name(&plan.target.base_url), name(&own));
    let why = format!("it was made for {theirs}, and this run goes to {own}");
    Err(stale(plan, &why, PLAN_AGAIN))
}

/// Refuses a plan whose ledger is missing, before a new one is made in its place.
pub(super) fn check_presence(plan: &SavedHeader, settings: &Settings) -> Result<(), Failure> {
    let had_one = plan.ledger.as_ref().is_some_and(|ledger| ledger.identity.is_some());
    match &settings.ledger {
        Some(LedgerSettings { location: LedgerLocation::File(path), .. }) if had_one && !path.exists() => {
            let why = format!("it was made from a ledger, and there is none at `{}`", path.display());
            Err(stale(plan, &why, "name that ledger with `--ledger`, or save the plan again"))
        }
        _ => Ok(()),
    }
}

/// Refuses a plan that was sent already, or whose ledger has changed since.
pub(super) fn check_ledger(plan: &SavedHeader, ledger: Option<&RunLedger>) -> Result<(), Failure> {
    let Some(ledger) = ledger else {
        if plan.ledger.is_none() {
            return Ok(());
        }
        let hint = "name that ledger with `--ledger`, or save a plan with `--no-ledger`";
        return Err(stale(plan, "it was made from a ledger, and this run has none", hint));
    };
    let mark = plan.ledger.as_ref().map(mark);
    let why = match ledger.since(mark.as_ref(), &fingerprint(plan))? {
        SinceMark::Nothing => return Ok(()),
        SinceMark::Done(run) => format!("run {run} has sent it"),
        SinceMark::OtherRun(run) => format!("run {run} has changed the ledger since"),
        SinceMark::Lost => "the ledger no longer has what it was made from".to_owned(),
        SinceMark::OtherLedger => "it was made from another ledger".to_owned(),
    };
    Err(stale(plan, &why, PLAN_AGAIN))
}

/// Why nothing may be sent, if so, by the figures of the time when the plan was made.
pub(super) fn refusal(plan: &SavedHeader, settings: &Settings) -> Option<Message> {
    let too_few = too_few_rows(plan.figures.rows.read, settings.min_rows);
    too_few.or_else(|| too_many_changes(&plan.figures.known()?, settings))
}

/// The screen of a saved plan; `summary` is that of its figures.
pub(super) fn screen<'a>(
    plan: &'a SavedHeader,
    summary: &'a PlanSummary<'a>,
    known: Option<&'a KnownPlan>,
    settings: &Settings,
) -> PlanScreen<'a> {
    let planning = plan.figures.planning.map(|SavedPlanning { milliseconds, memory, spilled }| {
        PlanningStats { duration: std::time::Duration::from_millis(milliseconds), memory, spilled }
    });
    PlanScreen {
        plan: summary,
        counts: plan.figures.rows,
        causes: &plan.figures.invalid,
        warnings: &plan.figures.warnings,
        rate: settings.delivery.rate,
        id_type: plan.target.id_type,
        batch_size: plan.settings.batch_size,
        planning,
        known,
        saved: Some(plan),
        columns: None,
    }
}

fn stale(plan: &SavedHeader, why: &str, hint: &str) -> Failure {
    let made = plan.created_at.strftime(TIME);
    let message = Message::error(format!("the plan of {made} is stale: {why}"));
    refused(message.with_hint(hint.to_owned()), StopReason::StalePlan)
}

fn refused(message: Message, reason: StopReason) -> Failure {
    Failure::new(message.because(reason), ExitCode::Refused)
}
