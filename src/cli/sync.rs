//! `attrsync sync`: the main job.
//!
//! Read everything, refuse or plan, deliver, tell. What can fail without the network fails before the first request.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::info;

use super::args::OutputFlags;
use super::bookkeeping::{self, Books, Ending};
use super::console::Console;
use super::plan::{self, unsent};
use super::reading::{Read, refused, unwritten, wrong};
use super::sending::{Broken, Sending, Sent};
use super::signals::Signals;
use crate::clock;
use crate::config::{
    Destination, Job, Settings, Surroundings, SyncOptions, Target, Typed, same_file, settle_sync,
};
use crate::deliver::{End, Stop, Verified};
use crate::input::{Cause, Source};
use crate::ledger::Ledger;
use crate::report::{
    Closing, Draft, ExitCode, FailuresReport, Fates, Message, Progress, Requests, Rerun, Summary, Unwritten,
    why_stopped,
};

/// Why the program ends before its closing screen.
pub(super) type Failed = (Message, ExitCode);

/// Syncs, and says how it ended.
pub(super) fn run(typed: &Typed<SyncOptions>, surroundings: &Surroundings) -> ExitCode {
    let (settings, target) = match settle_sync(typed, surroundings) {
        Ok(Job::Sync(settings, target)) => (settings, target),
        Ok(Job::Plan(settings)) => return plan::run_settled(&OutputFlags::default(), &settings),
        Err(error) => {
            let (message, code) = wrong(&error);
            Console::plain().error(&message);
            return code;
        }
    };
    let (console, progress) = Console::with_progress(&settings);
    for warning in &settings.warnings {
        console.warning(&Message::warning(warning));
    }
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| internal(&format!("the runtime cannot start: {error}")))
        .and_then(|runtime| {
            let ended = runtime.block_on(Run::new(settings, console)?.sync(&target, progress));
            // A reader that waits for its input may wait for ever.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|(message, code)| {
        console.error(&message);
        code
    })
}

/// One run of the program.
struct Run {
    settings: Arc<Settings>,
    console: Console,
    id: String,
    started_at: Timestamp,
    begun: Instant,
    /// Opened at once, so that a path that can't be written costs no request.
    summary: Option<Draft>,
}

impl Run {
    fn new(settings: Settings, console: Console) -> Result<Self, Failed> {
        let summary = match &settings.reports.summary {
            Some(Destination::File(path)) => Some(Draft::create(path).map_err(|error| cannot_begin(&error))?),
            Some(Destination::Stdout) | None => None,
        };
        let started_at = clock::today();
        let random: u32 = rand::random();
        Ok(Self {
            settings: Arc::new(settings),
            console,
            id: format!("{}-{random:08x}", started_at.strftime("%Y%m%dT%H%M%SZ")),
            started_at,
            begun: clock::now(),
            summary,
        })
    }

    async fn sync(mut self, target: &Target, progress: Box<dyn Progress + Send>) -> Result<ExitCode, Failed> {
        let mut signals =
            Signals::new().map_err(|error| internal(&format!("signals cannot be caught: {error}")))?;
        let path = self.settings.reports.failures.clone().unwrap_or_default();
        let mut failures =
            FailuresReport::create(&path, &self.settings.input).map_err(|error| cannot_begin(&error))?;

        let books = Books::open(&self.settings)?;

        let settings = Arc::clone(&self.settings);
        let reading = spawn_blocking(move || Read::all(&settings));
        let read = tokio::select! {
            read = reading => read.map_err(|panic| internal(&format!("reading failed: {panic}")))?,
            stop = signals.next() => return self.interrupted(&stop, failures),
        };
        let mut read = match read {
            Ok(read) => read,
            Err(refusal) => {
                let (message, code) = refused(&refusal);
                self.leave_empty(failures)?;
                self.summarise(code, Fates::default(), Requests::default(), Some(refusal.to_string()), None)?;
                return Err((message, code));
            }
        };
        self.warn(&read);
        failures.add_invalid(&mut read.invalid).map_err(|error| (unwritten(&error), ExitCode::Internal))?;
        if let Some(message) = read.refusal(self.settings.tolerance, Some(&path)) {
            return self.refuse(&read, failures, message);
        }
        let causes = std::mem::take(&mut read.causes);
        let mut fates = read.fates();
        let (plan, begun) = match books {
            None => (read.plan, None),
            Some(books) => {
                let settings = Arc::clone(&self.settings);
                let begun = spawn_blocking(move || books.begin(read.plan, &settings)).await;
                let begun =
                    begun.map_err(|panic| internal(&format!("reading the ledger failed: {panic}")))?;
                let (spare, begun) = begun.map_err(|error| bookkeeping::failed(&error))?;
                self.id = begun.run().to_string();
                fates.unchanged = spare.spared.unchanged;
                fates.resumed = spare.spared.resumed;
                if let Some(note) = &spare.note {
                    self.console.warning(note);
                }
                (spare.plan, Some(begun))
            }
        };
        info!(rows = plan.rows(), requests = plan.requests(), bytes = plan.memory_bytes(), "planned");
        let plan = Arc::new(plan);
        let (recorder, ending) = begun.map(|begun| begun.recorder(&plan)).unzip();
        let sending = Sending {
            fates,
            plan,
            options: self.settings.delivery.clone(),
            verify: self.settings.verify,
            recorder,
            failures,
            progress,
        };
        let mut sent = sending.run(target, self.settings.input.id_type, signals).await?;
        let (settings, console) = (Arc::clone(&self.settings), self.console);
        let mut ledger = sent.ledger.take();
        let exit = self.conclude(sent, ending.as_ref(), &mut ledger, &causes, &path)?;
        if let (Some(ending), Some(ledger)) = (ending, ledger) {
            compact(ending, ledger, settings, console).await;
        }
        Ok(exit)
    }

    /// Says what asks for a decision, while there still is time for one.
    fn warn(&self, read: &Read) {
        let summary = read.plan.summary(0);
        for warning in read.screen(&summary, &self.settings).warnings() {
            self.console.warning(&warning);
        }
    }

    /// Nothing was sent yet.
    fn interrupted(self, stop: &Stop, failures: FailuresReport) -> Result<ExitCode, Failed> {
        let code = if *stop == Stop::Terminated { ExitCode::Terminated } else { ExitCode::Interrupted };
        let words = "interrupted while reading: nothing was sent";
        self.leave_empty(failures)?;
        self.summarise(code, Fates::default(), Requests::default(), Some(words.to_owned()), None)?;
        Err((Message::error(words), code))
    }

    /// A run that read no row leaves a report without any, so that nobody takes an older one for it. An input that is a
    /// report itself stays: its rows are still to do.
    fn leave_empty(&self, failures: FailuresReport) -> Result<(), Failed> {
        let is_input =
            |input: &Source| matches!(input, Source::File(input) if same_file(input, failures.path()));
        if self.settings.inputs.iter().any(is_input) {
            return Ok(());
        }
        failures.publish().map_err(|error| (unwritten(&error), ExitCode::Internal))
    }

    /// The input is refused as a whole: all that could have been sent is unsent.
    fn refuse(self, read: &Read, mut failures: FailuresReport, message: Message) -> Result<ExitCode, Failed> {
        let reported = unsent(&read.plan, &mut failures).and_then(|rows| failures.publish().map(|()| rows));
        let rows = reported.map_err(|error| (unwritten(&error), ExitCode::Internal))?;
        let fates = Fates { unsent: rows, ..read.fates() };
        let code = if fates.add_up() { ExitCode::Refused } else { ExitCode::Internal };
        self.summarise(code, fates, Requests::default(), Some(message.text().to_owned()), None)?;
        Err((message, code))
    }

    /// Tells how it went, in all the ways that were asked for.
    fn conclude(
        self,
        sent: Sent,
        ending: Option<&Ending>,
        ledger: &mut Option<Ledger>,
        causes: &[Cause],
        failures: &Path,
    ) -> Result<ExitCode, Failed> {
        let Sent { tally, end, verified, ledger: _, mut broken } = sent;
        let mut exit = match broken {
            Some(_) => ExitCode::Internal,
            None => ExitCode::of(&end, &tally.fates).verified(verified.as_ref()),
        };
        let rerun = ending.map_or(Rerun::StartsAnew, Ending::rerun);
        if let (Some(ending), Some(open)) = (ending, ledger.as_mut())
            && let Err(error) = ending.record(open, exit, &tally.fates)
        {
            *ledger = None;
            exit = ExitCode::Internal;
            broken.get_or_insert(Broken::Ledger(error));
        }
        let is_reported = !matches!(broken, Some(Broken::Report(_)));
        let broken = broken.as_ref().map(Broken::message);
        let reason = match (&broken, &end) {
            (Some(message), _) => Some(message.text().to_owned()),
            (None, End::Stopped(stop)) => Some(why_stopped(stop)),
            (None, End::Complete) => None,
        };
        let (console, duration) = (self.console, clock::now() - self.begun);
        let summary = self.summary.as_ref().map(|summary| summary.path().to_owned());
        let summarised = self.summarise(exit, tally.fates, tally.requests, reason, verified.clone());
        console.closing(&Closing {
            exit,
            end: &end,
            tally: &tally,
            duration,
            verified: verified.as_ref(),
            causes,
            failures: Some(failures).filter(|path| is_reported && path.is_file()),
            written: summary.as_deref().filter(|_| summarised.is_ok()),
            rerun,
            columns: Console::columns(),
        });
        if let Some(message) = &broken {
            console.error(message);
        }
        summarised.map(|()| exit)
    }

    fn summarise(
        self,
        exit: ExitCode,
        rows: Fates,
        requests: Requests,
        reason: Option<String>,
        verified: Option<Verified>,
    ) -> Result<(), Failed> {
        let summary = Summary {
            version: env!("CARGO_PKG_VERSION"),
            run_id: self.id,
            exit,
            started_at: self.started_at,
            finished_at: clock::today(),
            duration: clock::now() - self.begun,
            rows,
            requests,
            reason,
            verified,
            sources: self.settings.inputs.iter().map(Source::to_string).collect(),
        };
        if let Some(draft) = self.summary {
            summary.publish(draft).map_err(|error| (unwritten(&error), ExitCode::Internal))?;
        }
        if self.settings.reports.summary == Some(Destination::Stdout) {
            match summary.write_to(std::io::stdout().lock()) {
                // Its reader has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                written => written
                    .map_err(|error| internal(&format!("standard output cannot be written: {error}")))?,
            }
        }
        Ok(())
    }
}

/// Gives back room in the ledger. All is recorded and said by now, so that neither an error nor a signal changes how the
/// run ended.
async fn compact(ending: Ending, ledger: Ledger, settings: Arc<Settings>, console: Console) {
    let Ok(mut signals) = Signals::new() else { return };
    let compacting = spawn_blocking(move || ending.compact(ledger, &settings.input));
    let warning = tokio::select! {
        compacted = compacting => match compacted {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Message::warning(format!("the ledger was not compacted: {error}"))
                .with_hint(error.hint().to_owned()),
            Err(panic) => Message::warning(format!("the ledger was not compacted: {panic}")),
        },
        _ = signals.next() => return,
    };
    console.warning(&warning);
}

pub(super) fn internal(text: &str) -> Failed {
    (Message::error(text), ExitCode::Internal)
}

/// A report can't even be begun: its path is wrong, or the disk failed.
pub(super) fn cannot_begin(error: &Unwritten) -> Failed {
    (unwritten(error), if error.is_wrong_path() { ExitCode::Usage } else { ExitCode::Internal })
}
