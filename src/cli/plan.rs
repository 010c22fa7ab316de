//! `attrsync plan`: what `sync` would do.

use std::io::{self, Write};
use std::path::Path;

use super::args::{Format, OutputFlags, PlanFlags};
use super::bookkeeping::{failed, spare_plan};
use super::console::Console;
use super::reading::{Read, refused, unwritten, wrong};
use super::sync::{Failed, cannot_begin};
use crate::clock;
use crate::config::{Settings, Surroundings, peak_memory, same_file, settle_plan};
use crate::deliver::Reason;
use crate::input::Source;
use crate::plan::Plan;
use crate::report::{Draft, Effort, ExitCode, FailuresReport, Lost, LostRow, Message, PlanScreen, Unwritten};

/// Plans, and says how it ended.
pub(super) fn run(flags: &PlanFlags, surroundings: &Surroundings) -> ExitCode {
    match settle_plan(&flags.typed, surroundings) {
        Ok(settings) => run_settled(&flags.output, &settings),
        Err(error) => {
            let (message, code) = wrong(&error);
            Console::plain().error(&message);
            code
        }
    }
}

/// Plans with settings that are settled.
pub(super) fn run_settled(flags: &OutputFlags, settings: &Settings) -> ExitCode {
    let console = Console::new(settings);
    for warning in &settings.warnings {
        console.warning(&Message::warning(warning));
    }
    plan(flags, settings, console).unwrap_or_else(|(message, code)| {
        console.error(&message);
        code
    })
}

fn plan(flags: &OutputFlags, settings: &Settings, console: Console) -> Result<ExitCode, Failed> {
    let internal = |message| (message, ExitCode::Internal);
    let bodies = flags.bodies.as_deref().map(|path| Bodies::begin(path, settings)).transpose()?;
    let mut failures = settings
        .reports
        .failures
        .as_ref()
        .map(|path| FailuresReport::create(path, &settings.input))
        .transpose()
        .map_err(|error| cannot_begin(&error))?;
    let begun = clock::now();
    let mut read = Read::all(settings).map_err(|refusal| refused(&refusal))?;
    let refusal = read.refusal(settings.tolerance, settings.reports.failures.as_deref());
    let known = settings.ledger.is_some() && refusal.is_none();
    let spared = if known {
        let (plan, spared, note) = spare_plan(read.plan, settings).map_err(|error| failed(&error))?;
        read.plan = plan;
        if let Some(note) = note {
            console.warning(&note);
        }
        Some(spared)
    } else {
        None
    };
    let effort =
        Effort { duration: clock::now() - begun, memory: peak_memory(), spilled: read.plan.spilled_bytes() };

    if let Some(mut failures) = failures.take() {
        failures.add_invalid(&mut read.invalid).map_err(|error| internal(unwritten(&error)))?;
        if refusal.is_some() {
            unsent(&read.plan, &mut failures).map_err(|error| internal(unwritten(&error)))?;
        }
        failures.publish().map_err(|error| internal(unwritten(&error)))?;
    }
    let bodies_to_stdout = matches!(bodies, Some(Bodies::Stdout));
    match bodies {
        None => {}
        Some(Bodies::Stdout) => {
            if let Err(error) = write_bodies(&read.plan, io::stdout().lock()) {
                return Ok(console.unwritten_output(&error));
            }
        }
        Some(Bodies::File(draft)) => {
            save_bodies(&read.plan, draft).map_err(|error| internal(unwritten(&error)))?;
        }
    }

    let summary = read.plan.summary(flags.top);
    let screen = PlanScreen { effort: Some(effort), spared, ..read.screen(&summary, settings) };
    let code = match (&refusal, read.counts.invalid) {
        (Some(_), _) => ExitCode::Refused,
        (None, 0) => ExitCode::Complete,
        (None, _) => ExitCode::Incomplete,
    };
    let printed = match flags.format {
        Format::Text if bodies_to_stdout => {
            console.aside(&screen);
            Ok(())
        }
        Format::Json if bodies_to_stdout => {
            console.aside(&json(&screen));
            Ok(())
        }
        Format::Text => console.print(&screen),
        Format::Json => console.print(&format_args!("{}\n", json(&screen))),
    };
    if let Err(code) = printed {
        return Ok(code);
    }
    refusal.map_or(Ok(code), |message| Err((message, code)))
}

fn json(screen: &PlanScreen<'_>) -> String {
    serde_json::to_string_pretty(screen).expect("figures and texts are JSON")
}

/// Reports everything that a refused input would have sent, and says how many rows that are.
pub(super) fn unsent(plan: &Plan, failures: &mut FailuresReport) -> Result<u64, Unwritten> {
    let reason = Reason { status: None, error: "not sent: the input was refused".to_owned() };
    let mut rows = plan.rows();
    for batch in plan.batches() {
        failures.add_batch(plan, batch, Lost::Unsent, &reason, 0)?;
    }
    let reason = Reason { status: None, error: "not sent: several values for one attribute".to_owned() };
    for conflict in plan.disputed() {
        for value in &conflict.values {
            rows += 1;
            failures.add(&LostRow {
                user: &conflict.user,
                attribute: conflict.attribute,
                value: value.as_deref(),
                lost: Lost::Unsent,
                reason: &reason,
                attempts: 0,
                place: None,
            })?;
        }
    }
    Ok(rows)
}

/// Where the request bodies go.
enum Bodies {
    Stdout,
    File(Draft),
}

impl Bodies {
    /// Makes sure that the path can be written before anything is read, and that nothing is lost by it.
    fn begin(path: &Path, settings: &Settings) -> Result<Self, Failed> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let refused = |why: &str| {
            Err((Message::error(format!("--bodies: `{}` {why}", path.display())), ExitCode::Usage))
        };
        if settings.inputs.iter().any(|input| matches!(input, Source::File(input) if same_file(input, path)))
        {
            return refused("is an input and would be lost");
        }
        if settings.reports.failures.as_deref().is_some_and(|failures| same_file(failures, path)) {
            return refused("is already written by `--failures`");
        }
        Draft::create(path).map(Self::File).map_err(|error| cannot_begin(&error))
    }
}

fn save_bodies(plan: &Plan, mut draft: Draft) -> Result<(), Unwritten> {
    let written = write_bodies(plan, &mut draft);
    written.map_err(|error| Unwritten::writing(draft.path(), error))?;
    draft.publish()
}

fn write_bodies(plan: &Plan, out: impl Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let mut body = Vec::new();
    for batch in plan.batches() {
        body.clear();
        plan.body(batch, &mut body);
        body.push(b'\n');
        out.write_all(&body)?;
    }
    out.flush()
}
