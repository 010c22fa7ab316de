//! `attrsync plan`: what `sync` would do.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::args::{OutputFlags, PlanFlags};
use super::console::Console;
use super::failure::{Failure, block_on};
use super::output::{Output, OutputFormat};
use super::planned_input::PlannedInput;
use super::run_ledger::{MissingRows, remaining_plan, too_many_changes};
use super::saved_plan;
use super::signals::Signals;
use crate::clock;
use crate::config::{
    Destination, Environment, PlanFiles, Settings, peak_memory, resolve_plan, saved_plan as find_saved_plan,
};
use crate::deliver::Reason;
use crate::ledger::SkipScope;
use crate::plan::{Plan, SavedHeader};
use crate::report::{
    AtomicFile, Discard, ExitCode, FailuresReport, Message, NotAccepted, PlanScreen, PlanningStats, Progress,
    ReportRow, WriteError, visible_json, why_stopped,
};

/// Plans, and says how it ended.
pub(super) fn run(flags: &PlanFlags, environment: &Environment) -> ExitCode {
    let bodies = flags.output.bodies.as_deref().filter(|path| *path != Path::new("-"));
    let files = PlanFiles { bodies, save: flags.output.save.as_deref() };
    let resolve = || -> Result<_, Failure> {
        let saved =
            find_saved_plan(&flags.typed, environment)?.map(|path| saved_plan::open(&path)).transpose()?;
        let header = saved.map(|plan| plan.header().clone());
        Ok((resolve_plan(&flags.typed, environment, files, header.as_ref())?, header))
    };
    match resolve() {
        Ok((settings, Some(plan))) => show(&flags.output, &settings, &plan),
        Ok((settings, None)) => run_resolved(flags.output.clone(), settings),
        Err(failure) => Console::plain().end(Err(failure)),
    }
}

/// Shows a plan that was saved before.
pub(super) fn show(flags: &OutputFlags, settings: &Settings, plan: &SavedHeader) -> ExitCode {
    let (console, _) = Console::with_progress(settings);
    for warning in &settings.warnings {
        console.warning(&Message::warning(warning));
    }
    let (summary, known) = (plan.figures.summary(flags.top), plan.figures.known());
    let columns = Console::columns_of_output();
    let screen = PlanScreen { columns, ..saved_plan::screen(plan, &summary, known.as_ref(), settings) };
    let refusal = saved_plan::refusal(plan, settings);
    let shown = Console::print(&shown(&screen, flags.format));
    console.end(shown.and_then(|()| ended(refusal, plan.figures.rows.invalid)))
}

/// Plans with settings that are resolved. A signal ends it at once, and leaves nothing half written.
pub(super) fn run_resolved(flags: OutputFlags, settings: Settings) -> ExitCode {
    let (console, mut progress) = Console::with_progress(&settings);
    for warning in &settings.warnings {
        console.warning(&Message::warning(warning));
    }
    console.end(block_on(
        Builder::new_current_thread(),
        until_signal(flags, settings, console, progress.as_mut()),
    ))
}

async fn until_signal(
    flags: OutputFlags,
    settings: Settings,
    console: Console,
    progress: &mut (dyn Progress + Send),
) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let files = Files::begin(&flags, &settings)?;
    let drafts = files.drafts();
    let settings = Arc::new(settings);
    let planning = async {
        let begun = clock::monotonic_now();
        let read = PlannedInput::read(Arc::clone(&settings), progress).await?;
        match spawn_blocking(move || plan(&flags, &settings, files, (read, begun), console)).await {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    };
    tokio::select! {
        ended = planning => ended,
        stop = signals.next() => {
            progress.close();
            drafts.iter().for_each(Discard::discard);
            Err(Failure::interrupted(why_stopped(&stop), &stop))
        }
    }
}

/// What is written beside the plan.
struct Files {
    bodies: Option<Output>,
    failures: Option<FailuresReport>,
    save: Option<AtomicFile>,
}

impl Files {
    /// Makes sure that all paths can be written before anything is read.
    fn begin(flags: &OutputFlags, settings: &Settings) -> Result<Self, Failure> {
        let bodies = flags.bodies.clone().map(Destination::from);
        let failures = settings.reports.failures.as_ref();
        Ok(Self {
            bodies: bodies.as_ref().map(Output::create).transpose()?,
            failures: failures.map(|path| FailuresReport::create(path, &settings.input)).transpose()?,
            save: settings.save.as_ref().map(|file| AtomicFile::create(&file.path)).transpose()?,
        })
    }

    fn drafts(&self) -> Vec<Discard> {
        let bodies = self.bodies.as_ref().and_then(Output::discard);
        let failures = self.failures.as_ref().and_then(FailuresReport::discard);
        let save = self.save.as_ref().and_then(AtomicFile::discard);
        bodies.into_iter().chain(failures).chain(save).collect()
    }
}

fn plan(
    flags: &OutputFlags,
    settings: &Settings,
    files: Files,
    (mut read, begun): (PlannedInput, Instant),
    console: Console,
) -> Result<ExitCode, Failure> {
    let Files { bodies, failures, save } = files;
    let mut refusal = read.refusal(settings, settings.reports.failures.as_deref());
    let mut known = None;
    let mut mark = None;
    let content = save.is_some().then(|| read.plan.fingerprint());
    if let Some(file) = settings.ledger.as_ref().filter(|_| refusal.is_none()) {
        let remaining = remaining_plan(read.plan, file, settings)?;
        refusal = too_many_changes(&remaining.known, settings);
        let is_asked_for = file.skip == SkipScope::EveryRun || file.max_changes.is_some();
        if let Some(note) = remaining.note.filter(|_| is_asked_for) {
            console.warning(&note);
        }
        mark = remaining.mark;
        (read.plan, known) = (remaining.plan, Some(remaining.known));
        read.missing = remaining.missing;
    }
    let planning = PlanningStats {
        duration: clock::monotonic_now() - begun,
        memory: peak_memory(),
        spilled: read.plan.spilled_bytes(),
    };

    if let Some(mut failures) = failures {
        failures.add_invalid(&mut read.invalid)?;
        if refusal.is_some() {
            unsent(&read.plan, &mut failures)?;
        }
        if let Some(MissingRows { plan, reason }) = &read.missing {
            failures.add_batches(plan, plan.batches(), NotAccepted::Failed, reason, 0)?;
        }
        console.warn_of_formulas(failures.formulas(), Some(failures.path()));
        failures.publish()?;
    }
    let bodies_to_stdout = bodies.as_ref().is_some_and(Output::is_stdout);
    if let Some(bodies) = bodies {
        let edit = if bodies_to_stdout { escape_unseen } else { |_: &mut Vec<u8>| {} };
        bodies.write(|out| write_bodies(&read.plan, out, edit))?;
    }
    let next = match (save, &settings.save, content) {
        (Some(draft), Some(file), Some(content)) if refusal.is_none() => {
            let known = known.as_ref().map(|known| (known, mark));
            let missing = read.missing.as_ref();
            let header = saved_plan::header(file, &read, settings, content, known, (planning, flags.top));
            save_plan(&read.plan, missing.map(|missing| &missing.plan), &header, draft)?;
            Some(saved_plan::next_command(file))
        }
        _ => None,
    };

    let summary = read.plan.summary(flags.top);
    let columns = if bodies_to_stdout { Console::columns() } else { Console::columns_of_output() };
    let screen = PlanScreen {
        planning: Some(planning),
        known: known.as_ref(),
        columns,
        ..read.screen(&summary, settings)
    };
    let shown = shown(&screen, flags.format);
    if bodies_to_stdout {
        console.aside(&shown);
    } else {
        Console::print(&shown)?;
    }
    if let Some(next) = next {
        match flags.format {
            OutputFormat::Text if !bodies_to_stdout => Console::print(&next)?,
            _ => console.aside(&next),
        }
    }
    // Rows of users that the account doesn't have would fail.
    let missing = known.as_ref().map_or(0, |known| known.total().missing);
    ended(refusal, read.counts.invalid + missing)
}

fn ended(refusal: Option<Message>, failing: u64) -> Result<ExitCode, Failure> {
    match (refusal, failing) {
        (Some(message), _) => Err(Failure::new(message, ExitCode::Refused)),
        (None, 0) => Ok(ExitCode::Complete),
        (None, _) => Ok(ExitCode::Incomplete),
    }
}

fn shown(screen: &PlanScreen<'_>, format: OutputFormat) -> String {
    match format {
        OutputFormat::Text => screen.to_string(),
        OutputFormat::Json => json(screen),
    }
}

fn json(screen: &PlanScreen<'_>) -> String {
    let json = serde_json::to_string_pretty(screen).expect("figures and texts are JSON");
    format!("{}\n", visible_json(&json))
}

/// Writes the plan to its file.
fn save_plan(
    plan: &Plan,
    missing: Option<&Plan>,
    header: &SavedHeader,
    draft: AtomicFile,
) -> Result<(), Failure> {
    let path = draft.path().to_owned();
    let mut out = io::BufWriter::with_capacity(1 << 16, draft);
    let written = plan.save(missing, header, &mut out).and_then(|()| out.into_inner().map_err(Into::into));
    Ok(written.map_err(|error| WriteError::writing(&path, error))?.publish()?)
}

/// Reports everything that a refused input would have sent, and says how many rows that are.
pub(super) fn unsent(plan: &Plan, failures: &mut FailuresReport) -> Result<u64, WriteError> {
    let reason = Reason { status: None, error: "not sent: the input was refused".to_owned() };
    let mut rows = plan.rows();
    failures.add_batches(plan, plan.batches(), NotAccepted::Unsent, &reason, 0)?;
    let reason = Reason { status: None, error: "not sent: several values for one attribute".to_owned() };
    for conflict in plan.disputed() {
        for value in &conflict.values {
            rows += 1;
            failures.add(&ReportRow {
                user: &conflict.user,
                attribute: conflict.attribute,
                value: value.as_deref(),
                fate: NotAccepted::Unsent,
                reason: &reason,
                attempts: 0,
                place: None,
            })?;
        }
    }
    Ok(rows)
}

/// Writes each request's body on a line of its own.
fn write_bodies(plan: &Plan, out: &mut dyn Write, edit: fn(&mut Vec<u8>)) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let mut body = Vec::new();
    for batch in plan.batches() {
        body.clear();
        plan.body(batch, &mut body);
        edit(&mut body);
        body.push(b'\n');
        out.write_all(&body)?;
    }
    out.flush()
}

fn escape_unseen(body: &mut Vec<u8>) {
    if let Ok(Cow::Owned(escaped)) = std::str::from_utf8(body).map(visible_json) {
        *body = escaped.into_bytes();
    }
}
