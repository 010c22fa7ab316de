//! `attrsync sync`: open, read, plan, send, report.
//!
//! What can fail without the network fails before the first request.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::info;

use super::args::OutputFlags;
use super::canary::choose_canary;
use super::console::Console;
use super::failure::{Failure, block_on, blocking};
use super::plan::{self, unsent};
use super::planned_input::PlannedInput;
use super::run_ledger::{self, MissingRows, RemainingRun, RunLedger, StartedRun, rerun};
use super::run_reports::{RunEnd, RunReports};
use super::saved_plan;
use super::send::{hurried, send};
use super::signals::Signals;
use super::waiting::Waiting;
use crate::config::{
    self, Endpoint, Environment, RerunFlags, Settings, SettingsFile, SyncMode, SyncOptions, Typed, Verbosity,
    reports_of_wrong_settings, resolve_sync,
};
use crate::deliver::{Delivery, End, Reason};
use crate::input::Issue;
use crate::ledger::{Ledger, LedgerError, RowCounts, RunId};
use crate::plan::{Plan, SavedHeader, SavedPlan};
use crate::report::{
    Consumed, EndScreen, EventConsumer, ExitCode, FailuresReport, Message, NotAccepted, Progress,
    RecordError, StopReason, command_line, time, why_stopped,
};

/// Syncs, and says how it ended.
pub(super) fn run(typed: &Typed<SyncOptions>, environment: &Environment) -> ExitCode {
    match resolve(typed, environment) {
        Ok((SyncMode::Send(settings, target, rerun_flags), saved)) => {
            sync(settings, rerun_flags, &target, saved)
        }
        Ok((SyncMode::DryRun(settings), Some(saved))) => {
            plan::show(&OutputFlags::default(), &settings, saved.header())
        }
        Ok((SyncMode::DryRun(settings), None)) => plan::run_resolved(OutputFlags::default(), settings),
        Err(failure) => {
            end_early(Console::plain(), failure, |end, console| {
                match reports_of_wrong_settings(typed, environment) {
                    Some((reports, inputs)) => {
                        RunReports::begin(&reports, &inputs, None)?.write(&end, console)
                    }
                    None => Ok(()),
                }
            })
        }
    }
}

/// Opens the plan that is to be sent, if it was saved before, and resolves the settings.
fn resolve(
    typed: &Typed<SyncOptions>,
    environment: &Environment,
) -> Result<(SyncMode, Option<SavedPlan<File>>), Failure> {
    let path = config::saved_plan(typed, environment)?;
    let saved = path.map(|path| saved_plan::open(&path)).transpose()?;
    Ok((resolve_sync(typed, environment, saved.as_ref().map(SavedPlan::header))?, saved))
}

fn sync(
    settings: Settings,
    rerun_flags: RerunFlags,
    target: &Endpoint,
    saved: Option<SavedPlan<File>>,
) -> ExitCode {
    let (console, progress) = Console::with_progress(&settings);
    for warning in &settings.warnings {
        console.warning(&Message::warning(warning));
    }
    let mut waiting = Waiting::new(&settings, console);
    let beginning = async {
        loop {
            match RunReports::begin(&settings.reports, &settings.inputs, Some(&settings)) {
                Err(failure) if waiting.is_worthwhile(&failure) => sleep(Waiting::INTERVAL).await,
                begun => break begun,
            }
        }
    };
    let reports = match block_on(Builder::new_current_thread(), beginning) {
        Ok(reports) => reports,
        Err(failure) => return console.end(Err(failure)),
    };
    let header = saved.as_ref().map(|plan| Arc::new(plan.header().clone()));
    let settings = Arc::new(settings);
    let mut run = SyncRun { settings, rerun_flags, saved, header, console, reports, waiting };
    match block_on(Builder::new_multi_thread(), run.sync(target, progress)) {
        Ok(exit) => exit,
        Err(failure) => end_early(console, failure, |end, console| run.reports.write(&end, console)),
    }
}

/// Reports the rows of users that the account doesn't have. Returns how many they are.
fn report_missing(missing: Option<&MissingRows>, failures: &mut FailuresReport) -> Result<u64, Failure> {
    let Some(MissingRows { plan, reason }) = missing else { return Ok(0) };
    failures.add_batches(plan, plan.batches(), NotAccepted::Failed, reason, 0)?;
    Ok(plan.rows())
}

/// Records how a run ended, if it can be recorded, and says so.
fn record_end(
    Delivery { end, verified }: &Delivery,
    Consumed { tally, ledger, error, .. }: &mut Consumed,
    run: Option<RunId>,
) -> ExitCode {
    let exit = match error {
        Some(error) => unrecorded(error, end),
        None => ExitCode::of(end, &tally.fates).verified(verified.as_ref()),
    };
    if let (Some(run), Some(open)) = (run, ledger.as_mut())
        && let Err(unrecorded_end) = run_ledger::finish(open, run, exit, &tally.fates)
    {
        *ledger = None;
        return unrecorded(error.get_or_insert(RecordError::Ledger(unrecorded_end)), end);
    }
    exit
}

/// How a run ended that can't be recorded. A database that is away or refuses something, or a lease that was lost, stops a run; a
/// signal may have come first.
fn unrecorded(error: &RecordError, end: &End) -> ExitCode {
    match (error, end) {
        (
            RecordError::Ledger(
                LedgerError::Away { .. } | LedgerError::Refused { .. } | LedgerError::LeaseLost { .. },
            ),
            end,
        ) => match end {
            End::Stopped(stop) => ExitCode::of_stop(stop),
            End::Complete => ExitCode::Stopped,
        },
        _ => ExitCode::Internal,
    }
}

/// Says why a run failed, and writes its reports.
fn end_early(
    console: Console,
    failure: Failure,
    report: impl FnOnce(RunEnd, Console) -> Result<(), Failure>,
) -> ExitCode {
    let end = RunEnd::early(&failure);
    let exit = console.end(Err(failure));
    console.end(report(end, console).map(|()| exit))
}

/// One run of the program.
struct SyncRun {
    settings: Arc<Settings>,
    rerun_flags: RerunFlags,
    /// The plan that is sent, if it was saved before, until it is read.
    saved: Option<SavedPlan<File>>,
    /// Its header.
    header: Option<Arc<SavedHeader>>,
    console: Console,
    reports: RunReports,
    waiting: Waiting,
}

impl SyncRun {
    async fn sync(
        &mut self,
        target: &Endpoint,
        mut progress: Box<dyn Progress + Send>,
    ) -> Result<ExitCode, Failure> {
        let mut signals = Signals::new()?;
        if let Some(plan) = &self.header {
            saved_plan::check_target(plan, target)?;
            saved_plan::check_presence(plan, &self.settings)?;
        }
        let (mut failures, ledger) = self.open_in_time(&mut signals).await?;
        if let Some(plan) = &self.header {
            saved_plan::check_ledger(plan, ledger.as_ref())?;
        }

        let mut read = self.read(&mut signals, progress.as_mut()).await?;
        failures.add_invalid(&mut read.invalid)?;
        let refusal = match &self.header {
            Some(plan) => saved_plan::refusal(plan, &self.settings),
            None => read.refusal(&self.settings, Some(failures.path())),
        };
        if let Some(message) = refusal {
            let (mut fates, causes) = (read.fates(), read.causes.clone());
            fates.failed = report_missing(read.missing.as_ref(), &mut failures)?;
            return Err(self.refuse(&read.plan, fates, causes, failures, message)?);
        }
        let causes = std::mem::take(&mut read.causes);

        let mut fates = read.fates();
        let mut missing = read.missing.take();
        let mut options = self.settings.delivery.clone();
        let (plan, run, recorder, lease) = match ledger {
            None => (Arc::new(read.plan), None, None, None),
            Some(ledger) => {
                let mut remaining = self.remaining(ledger, read.plan, &mut signals).await?;
                fates.unchanged = remaining.known.total().unchanged;
                fates.resumed = remaining.known.total().resumed;
                options.known_attributes =
                    remaining.known.attributes_with_values().map(str::to_owned).collect();
                if let Some(note) = &remaining.note {
                    self.console.warning(note);
                }
                missing = missing.or(remaining.missing.take());
                let failed = report_missing(missing.as_ref(), &mut failures)?;
                if let Some(message) = remaining.refusal(&self.settings) {
                    fates.failed = failed;
                    return Err(self.refuse(&remaining.plan, fates, causes, failures, message)?);
                }
                self.wait_for_quiet(&remaining, &mut signals).await?;
                let settings = Arc::clone(&self.settings);
                let starting = blocking("writing the ledger", move || remaining.start(&settings));
                let starting = signals.or("wrote the ledger", async { Ok(starting.await??) }).await?;
                let StartedRun { run, lease, shared_rate, plan, recorder } = starting;
                options.shared_rate = shared_rate;
                self.reports.belongs_to(run);
                (plan, Some(run), Some(recorder), lease)
            }
        };
        info!(rows = plan.rows(), requests = plan.requests(), bytes = plan.memory_bytes(), "planned");

        options.run = self.reports.unique_id();
        // The time counts from the start of the program.
        options.elapsed = self.reports.duration();
        options.proven = fates.unchanged + fates.resumed > 0;
        options.canary = choose_canary(&plan, self.settings.canary, self.console).await?;
        let mut consumer = EventConsumer::new(Arc::clone(&plan), fates, recorder, failures, progress)
            .with_snapshots(self.reports.snapshots());
        if let Some(MissingRows { plan, reason }) = missing {
            consumer.count_failed(&plan, &reason);
        }
        let id_type = self.settings.input.id_type;
        let sending = send(plan, options, consumer, (target, id_type), lease.clone(), &mut signals);
        let (delivered, mut consumed) = Box::pin(sending).await?;

        let is_signalled =
            matches!(&delivered.end, End::Stopped(stop) if StopReason::from(stop) == StopReason::Signal);
        let of_run = delivered.clone();
        let recording = blocking("writing the ledger", move || {
            let exit = record_end(&of_run, &mut consumed, run);
            (exit, consumed)
        });
        let (recorded, signal) = hurried(recording, lease.as_deref(), is_signalled, &mut signals).await;
        let (mut exit, consumed) = recorded?;
        if let (Some(stop), Some(RecordError::Ledger(LedgerError::Away { .. }))) = (&signal, &consumed.error)
        {
            exit = ExitCode::of_stop(stop);
        }
        let ledger = self.report(&delivered, consumed, exit, &causes)?;
        // Compacting can take long, and who sent a signal may not wait.
        let is_interrupted = is_signalled || signal.is_some();
        if let Some(ledger) = ledger.filter(|_| !is_interrupted) {
            self.compact(ledger, &mut signals).await;
        }
        Ok(exit)
    }

    /// Opens what the run writes, once no other run uses it.
    async fn open_in_time(
        &mut self,
        signals: &mut Signals,
    ) -> Result<(FailuresReport, Option<RunLedger>), Failure> {
        loop {
            match self.open(signals).await {
                Err(failure) if self.waiting.is_worthwhile(&failure) => {}
                opened => return opened,
            }
            let pause = async {
                sleep(Waiting::INTERVAL).await;
                Ok(())
            };
            signals.or("waited", pause).await?;
        }
    }

    /// Opens what the run writes. A wrong path for the failures report fails first, as opening a ledger creates one. If
    /// another run uses both, the ledger's message says more.
    async fn open(&self, signals: &mut Signals) -> Result<(FailuresReport, Option<RunLedger>), Failure> {
        let (path, settings) = (self.failures_path(), Arc::clone(&self.settings));
        let creating = blocking("opening", move || FailuresReport::create(&path, &settings.input));
        let failures = match signals.or("opened the failures report", creating).await? {
            Err(error) if !error.is_in_use() => return Err(error.into()),
            created => created,
        };
        let settings = Arc::clone(&self.settings);
        let opening = blocking("opening", move || RunLedger::open(&settings));
        let ledger = signals.or("opened the ledger", async { opening.await? }).await?;
        Ok((failures?, ledger))
    }

    fn failures_path(&self) -> PathBuf {
        self.settings.reports.failures.clone().unwrap_or_default()
    }

    /// Reads all inputs, and says what asks for a decision while there still is time for one. Until the rows are known
    /// there is nothing to report: a report of an earlier run stays as it is.
    async fn read(
        &mut self,
        signals: &mut Signals,
        progress: &mut (dyn Progress + Send),
    ) -> Result<PlannedInput, Failure> {
        let settings = Arc::clone(&self.settings);
        let read = match self.saved.take() {
            None => signals.or("read", PlannedInput::read(settings, progress)).await,
            Some(plan) => {
                let path = self.settings.inputs.first().map(ToString::to_string).unwrap_or_default();
                let reason = plan.header().missing.clone();
                let loading = blocking("reading the plan", move || plan.load(&settings.input.resources));
                let load = async {
                    let reason = reason.map(|error| Reason { status: None, error });
                    let loaded = loading.await?.map(|(plan, missing)| {
                        let rows = |(plan, reason)| MissingRows { plan, reason };
                        PlannedInput::of_saved(plan, missing.zip(reason).map(rows))
                    });
                    loaded.map_err(|error| saved_plan::unreadable(Path::new(&path), &error))
                };
                signals.or("read the plan", load).await
            }
        };
        if read.is_err() {
            progress.close();
        }
        let read = read?;
        let summary = read.plan.summary(0);
        for warning in read.screen(&summary, &self.settings).warnings() {
            self.console.warning(&warning);
        }
        Ok(read)
    }

    /// Nothing is sent: all rows that could have been are unsent.
    fn refuse(
        &mut self,
        plan: &Plan,
        fates: RowCounts,
        causes: Vec<Issue>,
        mut failures: FailuresReport,
        message: Message,
    ) -> Result<Failure, Failure> {
        let rows = unsent(plan, &mut failures)?;
        self.console.warn_of_formulas(failures.formulas(), Some(failures.path()));
        failures.publish()?;
        let fates = RowCounts { unsent: rows, ..fates };
        let exit = if fates.add_up() { ExitCode::Refused } else { ExitCode::Internal };
        let failure = Failure::new(message, exit);
        let end = RunEnd { rows: fates, invalid: causes, ..RunEnd::early(&failure) };
        self.reports.write(&end, self.console)?;
        Ok(failure)
    }

    /// Takes out of the plan what the ledger knows to be done.
    async fn remaining(
        &self,
        ledger: RunLedger,
        plan: Plan,
        signals: &mut Signals,
    ) -> Result<RemainingRun, Failure> {
        let (settings, saved) = (Arc::clone(&self.settings), self.header.clone());
        let asking =
            blocking("reading the ledger", move || ledger.remaining(plan, &settings, saved.as_deref()));
        signals.or("read the ledger", async { Ok(asking.await??) }).await
    }

    /// Waits until no request of the run before can arrive any more, if that was killed or lost the ledger.
    async fn wait_for_quiet(&self, remaining: &RemainingRun, signals: &mut Signals) -> Result<(), Failure> {
        let left = remaining.lease().map_or(Duration::ZERO, |lease| lease.quiet_left());
        if left.is_zero() || remaining.plan.rows() == 0 {
            return Ok(());
        }
        self.console.warning(&Message::note(format!(
            "waiting {}: requests of the run before may still be on their way",
            time(left)
        )));
        let quiet = async {
            sleep(left).await;
            Ok(())
        };
        signals.or("waited", quiet).await
    }

    /// Reports how the run ended in all the ways that were asked for. Returns the ledger, if it can still be written.
    fn report(
        &mut self,
        Delivery { end, verified }: &Delivery,
        Consumed { tally, statistics, formulas, ledger, error }: Consumed,
        exit: ExitCode,
        causes: &[Issue],
    ) -> Result<Option<Ledger>, Failure> {
        let is_reported = !matches!(error, Some(RecordError::Report(_)));
        if is_reported {
            self.console.warn_of_formulas(formulas, Some(&self.failures_path()));
        }
        let failure = error.map(Failure::from);
        let (message, reason) = match (&failure, end) {
            _ if !tally.fates.add_up() => {
                (Some("the fates of rows do not add up".to_owned()), Some(StopReason::Bug))
            }
            (Some(failure), _) => {
                let reason = if exit.is_interrupted() { StopReason::Signal } else { failure.reason() };
                (failure.message().map(|message| message.text().to_owned()), Some(reason))
            }
            (None, End::Stopped(stop)) => (Some(why_stopped(stop)), Some(StopReason::from(stop))),
            (None, End::Complete) => (None, None),
        };
        // If every row was dealt with, nothing stopped the run.
        let is_early = !matches!(exit, ExitCode::Complete | ExitCode::Incomplete);
        let summary = self.reports.summary_path().map(Path::to_owned);
        let failures = self.failures_path();
        let attributes = statistics.by_attribute();
        let screen = EndScreen {
            exit,
            end,
            tally: &tally,
            duration: self.reports.duration(),
            verified: verified.as_ref(),
            attributes: &attributes,
            causes,
            failures: Some(failures.as_path()).filter(|path| is_reported && path.is_file()),
            written: summary.as_deref(),
            rerun: rerun(&self.settings),
            feed_back: &self.feed_back(&failures),
            latency: (self.settings.verbosity > Verbosity::Normal).then_some(&tally.latency),
            columns: Console::columns(),
        };
        let written = self.reports.write(
            &RunEnd {
                exit,
                rows: tally.fates,
                requests: tally.requests,
                reason: reason.filter(|_| is_early),
                message: message.filter(|_| is_early),
                verified: verified.clone(),
                headline: screen.what_happened(),
                next: screen.next(),
                failures: tally.failures.clone(),
                invalid: causes.to_vec(),
                statistics: Some(statistics),
            },
            self.console,
        );
        let summary = summary.as_deref().filter(|_| written.is_ok());
        self.console.end_screen(&EndScreen { written: summary, ..screen });
        if let Some(failure) = failure {
            self.console.end(Err(failure));
        }
        written.map(|()| ledger)
    }

    /// The command that sends the rows of the failures report, to where this run sent the others.
    fn feed_back(&self, failures: &Path) -> String {
        let RerunFlags { flags, variable, ledger_secret, settings } = &self.rerun_flags;
        // Otherwise the path would be read as a flag.
        let is_like_a_flag = failures.as_os_str().as_encoded_bytes().starts_with(b"-");
        let report = if is_like_a_flag { Path::new(".").join(failures) } else { failures.to_owned() };
        let words = ["attrsync", "sync"].map(OsStr::new).into_iter();
        let words = words.chain(flags.iter().map(OsString::as_os_str)).chain([report.as_os_str()]);
        let variable = variable.map(|variable| format!("\n(the key comes from `{variable}`)"));
        let settings = match settings {
            SettingsFile::OfThisCommand => "",
            SettingsFile::OfSavedPlan => "\n(with the settings file that the plan was saved with)",
        };
        let secret =
            ledger_secret.map(|name| format!("\n(what is secret about the ledger comes from `{name}`)"));
        let notes = [variable, secret].map(Option::unwrap_or_default).concat();
        format!("{}{notes}{settings}", command_line(words))
    }

    /// Makes the ledger smaller. Everything is recorded and reported by now, so neither an error nor a signal changes how
    /// the run ended.
    async fn compact(&self, ledger: Ledger, signals: &mut Signals) {
        let settings = Arc::clone(&self.settings);
        let compacted = tokio::select! {
            biased;
            _ = signals.next() => return,
            compacted = spawn_blocking(move || run_ledger::compact(ledger, &settings)) => compacted,
        };
        run_ledger::warn_of_compacting(compacted, self.console);
    }
}
