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
use super::run_ledger::{remaining_plan, too_many_changes};
use super::signals::Signals;
use crate::clock;
use crate::config::{Destination, Environment, Settings, peak_memory, resolve_plan};
use crate::deliver::Reason;
use crate::plan::Plan;
use crate::report::{
    Discard, ExitCode, FailuresReport, Message, NotAccepted, PlanScreen, PlanningStats, Progress, ReportRow,
    WriteError, visible_json, why_stopped,
};

/// Plans, and says how it ended.
pub(super) fn run(flags: &PlanFlags, environment: &Environment) -> ExitCode {
    let bodies = flags.output.bodies.as_deref().filter(|path| *path != Path::new("-"));
    match resolve_plan(&flags.typed, environment, bodies) {
        Ok(settings) => run_resolved(flags.output.clone(), settings),
        Err(error) => Console::plain().end(Err(error.into())),
    }
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
}

impl Files {
    /// Makes sure that all paths can be written before anything is read.
    fn begin(flags: &OutputFlags, settings: &Settings) -> Result<Self, Failure> {
        let bodies = flags.bodies.clone().map(Destination::from);
        let failures = settings.reports.failures.as_ref();
        Ok(Self {
            bodies: bodies.as_ref().map(Output::create).transpose()?,
            failures: failures.map(|path| FailuresReport::create(path, &settings.input)).transpose()?,
        })
    }

    fn drafts(&self) -> Vec<Discard> {
        let bodies = self.bodies.as_ref().and_then(Output::discard);
        let failures = self.failures.as_ref().and_then(FailuresReport::discard);
        bodies.into_iter().chain(failures).collect()
    }
}

fn plan(
    flags: &OutputFlags,
    settings: &Settings,
    files: Files,
    (mut read, begun): (PlannedInput, Instant),
    console: Console,
) -> Result<ExitCode, Failure> {
    let Files { bodies, failures } = files;
    let mut refusal = read.refusal(settings, settings.reports.failures.as_deref());
    let mut known = None;
    if settings.ledger.is_some() && refusal.is_none() {
        let (plan, found, note) = remaining_plan(read.plan, settings)?;
        refusal = too_many_changes(&found, settings);
        (read.plan, known) = (plan, Some(found));
        if let Some(note) = note {
            console.warning(&note);
        }
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
        failures.publish()?;
    }
    let bodies_to_stdout = bodies.as_ref().is_some_and(Output::is_stdout);
    if let Some(bodies) = bodies {
        let edit = if bodies_to_stdout { escape_unseen } else { |_: &mut Vec<u8>| {} };
        bodies.write(|out| write_bodies(&read.plan, out, edit))?;
    }

    let summary = read.plan.summary(flags.top);
    let columns = if bodies_to_stdout { Console::columns() } else { Console::columns_of_output() };
    let screen = PlanScreen {
        planning: Some(planning),
        known: known.as_ref(),
        columns,
        ..read.screen(&summary, settings)
    };
    let shown = match flags.format {
        OutputFormat::Text => screen.to_string(),
        OutputFormat::Json => json(&screen),
    };
    if bodies_to_stdout {
        console.aside(&shown);
    } else {
        Console::print(&shown)?;
    }
    match (refusal, read.counts.invalid) {
        (Some(message), _) => Err(Failure::new(message, ExitCode::Refused)),
        (None, 0) => Ok(ExitCode::Complete),
        (None, _) => Ok(ExitCode::Incomplete),
    }
}

fn json(screen: &PlanScreen<'_>) -> String {
    let json = serde_json::to_string_pretty(screen).expect("figures and texts are JSON");
    format!("{}\n", visible_json(&json))
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
