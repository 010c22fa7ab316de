//! `attrsync sync`: the main job.
//!
//! Read everything, refuse or plan, deliver, tell. What can fail without the network fails before the first request.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::info;

use super::args::OutputFlags;
use super::bookkeeping::{self, Books, Ending};
use super::console::Console;
use super::plan::{self, unsent};
use super::reading::{Read, refused, unwritten, wrong};
use super::run_summary::{RunEnd, RunSummary};
use super::sending::{Broken, Sending, Sent};
use super::signals::Signals;
use crate::config::{
    Job, LedgerFile, Repeated, Resume, Settings, Surroundings, SyncOptions, Target, Typed, Verbosity,
    settle_sync, summary_of_wrong_settings,
};
use crate::deliver::{End, Stop};
use crate::input::Issue;
use crate::ledger::Ledger;
use crate::report::{
    Closing, ExitCode, FailuresReport, Fates, Message, Progress, Rerun, StopReason, Unwritten, command_line,
    why_stopped,
};

/// Why the program ends before its closing screen.
pub(super) type Failed = (Message, ExitCode);

/// Syncs, and says how it ended.
pub(super) fn run(typed: &Typed<SyncOptions>, surroundings: &Surroundings) -> ExitCode {
    let (settings, target, repeated) = match settle_sync(typed, surroundings) {
        Ok(Job::Sync(settings, target, repeated)) => (settings, target, repeated),
        Ok(Job::Plan(settings)) => return plan::run_settled(OutputFlags::default(), settings),
        Err(error) => {
            let (message, code) = wrong(&error);
            Console::plain().error(&message);
            return match summary_of_wrong_settings(typed, surroundings) {
                Some((to, inputs)) => RunSummary::begin(Some(&to), &inputs)
                    .and_then(|summary| summary.write(RunEnd::early(&message, code)))
                    .map_or_else(|failed| tell(Console::plain(), failed), |()| code),
                None => code,
            };
        }
    };
    let (console, progress) = Console::with_progress(&settings);
    for warning in &settings.warnings {
        console.warning(&Message::warning(warning));
    }
    let mut summary = match RunSummary::begin(settings.reports.summary.as_ref(), &settings.inputs) {
        Ok(summary) => Some(summary),
        Err(failed) => return tell(console, failed),
    };
    let run = Run { settings: Arc::new(settings), repeated, console };
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| internal(&format!("the runtime cannot start: {error}")))
        .and_then(|runtime| {
            let ended = runtime.block_on(run.sync(&target, progress, &mut summary));
            // A reader that waits for its input may wait for ever.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|(message, code)| {
        console.error(&message);
        let written = summary.take().map(|summary| summary.write(RunEnd::early(&message, code)));
        written.and_then(Result::err).map_or(code, |failed| tell(console, failed))
    })
}

fn tell(console: Console, (message, code): Failed) -> ExitCode {
    console.error(&message);
    code
}

/// One run of the program.
struct Run {
    settings: Arc<Settings>,
    repeated: Repeated,
    console: Console,
}

impl Run {
    /// Does it. The summary is taken once it is written; what is left of it is for a run that ends early.
    async fn sync(
        self,
        target: &Target,
        progress: Box<dyn Progress + Send>,
        summary: &mut Option<RunSummary>,
    ) -> Result<ExitCode, Failed> {
        let mut signals =
            Signals::new().map_err(|error| internal(&format!("signals cannot be caught: {error}")))?;
        let path = self.settings.reports.failures.clone().unwrap_or_default();
        let failures = FailuresReport::create(&path, &self.settings.input);
        // A wrong path comes first, as opening a ledger makes one; but of a run that uses both the ledger knows more.
        let failures = match failures {
            Err(error) if !error.is_in_use() => return Err(cannot_begin(&error)),
            failures => failures,
        };
        let books = Books::open(&self.settings)?;
        let mut failures = failures.map_err(|error| cannot_begin(&error))?;

        let settings = Arc::clone(&self.settings);
        let reading = spawn_blocking(move || Read::all(&settings));
        // Until the rows are known there is nothing to report: a report of an earlier run stays as it is.
        let read = tokio::select! {
            read = reading => read.map_err(|panic| internal(&format!("reading failed: {panic}")))?,
            stop = signals.next() => return Err(interrupted(&stop)),
        };
        let mut read = read.map_err(|refusal| refused(&refusal))?;
        self.warn(&read);
        failures.add_invalid(&mut read.invalid).map_err(|error| (unwritten(&error), ExitCode::Internal))?;
        if let Some(message) = read.refusal(self.settings.tolerance, Some(&path)) {
            return refuse(&read, failures, message, summary);
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
                if let Some(summary) = summary {
                    summary.belongs_to(begun.run());
                }
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
        let mut options = self.settings.delivery.clone();
        // The time counts from the start of the program.
        let taken = summary.as_ref().map(RunSummary::duration).unwrap_or_default();
        options.max_duration = options.max_duration.map(|most| most.saturating_sub(taken));
        options.proven = fates.unchanged + fates.resumed > 0;
        let sending = Sending { plan, fates, options, recorder, failures, progress };
        let mut sent = sending.run(target, self.settings.input.id_type, signals).await?;
        let (settings, console) = (Arc::clone(&self.settings), self.console);
        let mut ledger = sent.ledger.take();
        let exit = self.conclude(sent, ending.as_ref(), &mut ledger, (&causes, &path), summary)?;
        if let (Some(ending), Some(ledger)) = (ending, ledger) {
            compact(ending, ledger, settings, console).await;
        }
        Ok(exit)
    }

    /// What the same command does when this run leaves rows unsent. A sandbox in this process is gone by then.
    fn rerun(&self) -> Rerun {
        match &self.settings.ledger {
            Some(LedgerFile { resume: Resume::IfInterrupted, base_url: Some(_), .. }) => Rerun::Continues,
            _ => Rerun::StartsAnew,
        }
    }

    /// Says what asks for a decision, while there still is time for one.
    fn warn(&self, read: &Read) {
        let summary = read.plan.summary(0);
        for warning in read.screen(&summary, &self.settings).warnings() {
            self.console.warning(&warning);
        }
    }

    /// Tells how it went, in all the ways that were asked for.
    fn conclude(
        self,
        sent: Sent,
        ending: Option<&Ending>,
        ledger: &mut Option<Ledger>,
        (causes, failures): (&[Issue], &Path),
        summary: &mut Option<RunSummary>,
    ) -> Result<ExitCode, Failed> {
        let Sent { tally, end, verified, ledger: _, mut broken } = sent;
        let mut exit = match broken {
            Some(_) => ExitCode::Internal,
            None => ExitCode::of(&end, &tally.fates).verified(verified.as_ref()),
        };
        if let (Some(ending), Some(open)) = (ending, ledger.as_mut())
            && let Err(error) = ending.record(open, exit, &tally.fates)
        {
            *ledger = None;
            exit = ExitCode::Internal;
            broken.get_or_insert(Broken::Ledger(error));
        }
        let is_reported = !matches!(broken, Some(Broken::Report(_)));
        let broken = broken.as_ref().map(Broken::message);
        let (message, reason) = match (&broken, &end) {
            (Some(message), _) => (Some(message.text().to_owned()), message.reason()),
            (None, End::Stopped(stop)) => (Some(why_stopped(stop)), Some(StopReason::from(stop))),
            (None, End::Complete) => (None, None),
        };
        // What stopped nothing is no reason.
        let is_early = !matches!(exit, ExitCode::Complete | ExitCode::Incomplete);
        let (message, reason) = if tally.fates.add_up() {
            (message, reason)
        } else {
            (Some("the fates of rows do not add up".to_owned()), Some(StopReason::Bug))
        };
        let (console, duration) = (self.console, summary.as_ref().map(RunSummary::duration));
        let written = summary.as_ref().and_then(|summary| summary.path().map(Path::to_owned));
        let summarised = summary.take().map_or(Ok(()), |summary| {
            summary.write(RunEnd {
                exit,
                rows: tally.fates,
                requests: tally.requests,
                reason: reason.filter(|_| is_early),
                message: message.filter(|_| is_early),
                verified: verified.clone(),
            })
        });
        console.closing(&Closing {
            exit,
            end: &end,
            tally: &tally,
            duration: duration.unwrap_or_default(),
            verified: verified.as_ref(),
            causes,
            failures: Some(failures).filter(|path| is_reported && path.is_file()),
            written: written.as_deref().filter(|_| summarised.is_ok()),
            rerun: self.rerun(),
            feed_back: &self.feed_back(failures),
            latency: (self.settings.verbosity > Verbosity::Normal).then_some(&tally.latency),
            columns: Console::columns(),
        });
        if let Some(message) = &broken {
            console.error(message);
        }
        summarised.map(|()| exit)
    }

    /// The command that sends the rows of the failures report, to where this run sent the others.
    fn feed_back(&self, failures: &Path) -> String {
        let Repeated { flags, variable } = &self.repeated;
        // Else it would be taken for a flag.
        let is_like_a_flag = failures.as_os_str().as_encoded_bytes().starts_with(b"-");
        let report = if is_like_a_flag { Path::new(".").join(failures) } else { failures.to_owned() };
        let words = ["attrsync", "sync"].map(OsStr::new).into_iter();
        let words = words.chain(flags.iter().map(OsString::as_os_str)).chain([report.as_os_str()]);
        let variable = variable.map(|variable| format!("\n(the key comes from `{variable}`)"));
        format!("{}{}", command_line(words), variable.unwrap_or_default())
    }
}

/// Nothing was sent yet.
fn interrupted(stop: &Stop) -> Failed {
    let text = format!("{} while it read: nothing was sent", why_stopped(stop));
    (Message::error(text).because(StopReason::Signal), ExitCode::of_stop(stop))
}

/// The input is refused as a whole: all that could have been sent is unsent.
fn refuse(
    read: &Read,
    mut failures: FailuresReport,
    message: Message,
    summary: &mut Option<RunSummary>,
) -> Result<ExitCode, Failed> {
    let reported = unsent(&read.plan, &mut failures).and_then(|rows| failures.publish().map(|()| rows));
    let rows = reported.map_err(|error| (unwritten(&error), ExitCode::Internal))?;
    let fates = Fates { unsent: rows, ..read.fates() };
    let code = if fates.add_up() { ExitCode::Refused } else { ExitCode::Internal };
    if let Some(summary) = summary.take() {
        summary.write(RunEnd { rows: fates, ..RunEnd::early(&message, code) })?;
    }
    Err((message, code))
}

/// Gives back room in the ledger. All is recorded and said by now, so that neither an error nor a signal changes how the
/// run ended.
async fn compact(ending: Ending, ledger: Ledger, settings: Arc<Settings>, console: Console) {
    let Ok(mut signals) = Signals::new() else { return };
    let compacting = spawn_blocking(move || ending.compact(ledger, &settings.input.resources));
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

/// A report can't even be begun: its path is wrong, another run is writing it, or the disk failed.
pub(super) fn cannot_begin(error: &Unwritten) -> Failed {
    let message = unwritten(error);
    if error.is_in_use() {
        (message.because(StopReason::LedgerHeld), ExitCode::Usage)
    } else if error.is_wrong_path() {
        (message.because(StopReason::Usage), ExitCode::Usage)
    } else {
        (message, ExitCode::Internal)
    }
}
