//! `attrsync plan`: what `sync` would do.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use tokio::task::spawn_blocking;

use super::args::{Format, OutputFlags, PlanFlags};
use super::bookkeeping::{failed, spare_plan};
use super::console::Console;
use super::reading::{Read, refused, unwritten, wrong};
use super::signals::Signals;
use super::sync::{self, Failed, cannot_begin};
use crate::clock;
use crate::config::{Settings, Surroundings, peak_memory, settle_plan};
use crate::deliver::Reason;
use crate::plan::Plan;
use crate::report::{
    Discard, Draft, Effort, ExitCode, FailuresReport, Lost, LostRow, Message, PlanScreen, Unwritten,
    visible_json, why_stopped,
};

/// Plans, and says how it ended.
pub(super) fn run(flags: &PlanFlags, surroundings: &Surroundings) -> ExitCode {
    let bodies = flags.output.bodies.as_deref().filter(|path| *path != Path::new("-"));
    match settle_plan(&flags.typed, surroundings, bodies) {
        Ok(settings) => run_settled(flags.output.clone(), settings),
        Err(error) => {
            let (message, code) = wrong(&error);
            Console::plain().error(&message);
            code
        }
    }
}

/// Plans with settings that are settled. A signal ends it at once, and leaves nothing half written.
pub(super) fn run_settled(flags: OutputFlags, settings: Settings) -> ExitCode {
    let console = Console::new(&settings);
    for warning in &settings.warnings {
        console.warning(&Message::warning(warning));
    }
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| sync::internal(&format!("the runtime cannot start: {error}")))
        .and_then(|runtime| {
            let ended = runtime.block_on(until_signal(flags, settings, console));
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|(message, code)| {
        console.error(&message);
        code
    })
}

async fn until_signal(flags: OutputFlags, settings: Settings, console: Console) -> Result<ExitCode, Failed> {
    let mut signals =
        Signals::new().map_err(|error| sync::internal(&format!("signals cannot be caught: {error}")))?;
    let files = Files::begin(&flags, &settings)?;
    let drafts = files.drafts();
    let planning = spawn_blocking(move || plan(&flags, &settings, files, console));
    tokio::select! {
        ended = planning => match ended {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        },
        stop = signals.next() => {
            drafts.iter().for_each(Discard::discard);
            Err((Message::error(why_stopped(&stop)), ExitCode::of_stop(&stop)))
        }
    }
}

/// What is written beside the plan.
struct Files {
    bodies: Option<Bodies>,
    failures: Option<FailuresReport>,
}

impl Files {
    /// Makes sure that all paths can be written before anything is read.
    fn begin(flags: &OutputFlags, settings: &Settings) -> Result<Self, Failed> {
        let bodies = flags.bodies.as_deref().map(Bodies::begin).transpose()?;
        let failures = settings.reports.failures.as_ref();
        let failures = failures.map(|path| FailuresReport::create(path, &settings.input)).transpose();
        Ok(Self { bodies, failures: failures.map_err(|error| cannot_begin(&error))? })
    }

    fn drafts(&self) -> Vec<Discard> {
        let bodies = match &self.bodies {
            Some(Bodies::File(draft)) => draft.discard(),
            Some(Bodies::Stdout) | None => None,
        };
        let failures = self.failures.as_ref().and_then(FailuresReport::discard);
        bodies.into_iter().chain(failures).collect()
    }
}

fn plan(
    flags: &OutputFlags,
    settings: &Settings,
    files: Files,
    console: Console,
) -> Result<ExitCode, Failed> {
    let internal = |message| (message, ExitCode::Internal);
    let Files { bodies, failures } = files;
    let begun = clock::monotonic_now();
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
    let effort = Effort {
        duration: clock::monotonic_now() - begun,
        memory: peak_memory(),
        spilled: read.plan.spilled_bytes(),
    };

    if let Some(mut failures) = failures {
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
            let shown = |body: &mut Vec<u8>| {
                if let Ok(Cow::Owned(escaped)) = std::str::from_utf8(body).map(visible_json) {
                    *body = escaped.into_bytes();
                }
            };
            if let Err(error) = write_bodies(&read.plan, io::stdout().lock(), shown) {
                return Ok(console.unwritten_output(&error));
            }
        }
        Some(Bodies::File(draft)) => {
            save_bodies(&read.plan, draft).map_err(|error| internal(unwritten(&error)))?;
        }
    }

    let summary = read.plan.summary(flags.top);
    let columns = if bodies_to_stdout { Console::columns() } else { Console::columns_of_output() };
    let screen = PlanScreen { effort: Some(effort), spared, columns, ..read.screen(&summary, settings) };
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
    let json = serde_json::to_string_pretty(screen).expect("figures and texts are JSON");
    visible_json(&json).into_owned()
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
    /// Makes sure that the path can be written before anything is read.
    fn begin(path: &Path) -> Result<Self, Failed> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        Draft::create(path).map(Self::File).map_err(|error| cannot_begin(&error))
    }
}

fn save_bodies(plan: &Plan, mut draft: Draft) -> Result<(), Unwritten> {
    let written = write_bodies(plan, &mut draft, |_| {});
    written.map_err(|error| Unwritten::writing(draft.path(), error))?;
    draft.publish()
}

fn write_bodies(plan: &Plan, out: impl Write, edit: impl Fn(&mut Vec<u8>)) -> io::Result<()> {
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
