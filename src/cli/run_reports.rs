//! The reports of a run for those who don't watch it: summary, page, metrics, dead-man switch, GitHub Actions.
//!
//! They begin before anything is read, so that a wrong path fails first, and are written once the run is over, however it
//! ended.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::console::Console;
use super::failure::Failure;
use super::monitor::{self, Monitor};
use super::output::Output;
use crate::clock;
use crate::config::{GithubFiles, Reports, Settings};
use crate::deliver::Verified;
use crate::input::{Issue, Source};
use crate::ledger::{RowCounts, RunId};
use crate::report::{
    AtomicFile, ExitCode, GithubReport, LatencySummary, Message, Metrics, Page, Reasons, Requests,
    RunSummary, Snapshot, Statistics, StopReason, WriteError,
};

/// Identifies a run: when it began, and a random number.
pub(super) fn unique_id(started_at: Timestamp, random: u32) -> String {
    format!("{}-{random:08x}", started_at.strftime("%Y%m%dT%H%M%SZ"))
}

/// The reports of the run that this process makes.
pub(super) struct RunReports {
    id: String,
    unique_id: Arc<str>,
    started_at: Timestamp,
    begun: Instant,
    sources: Vec<String>,
    settings: Vec<(String, String)>,
    rate_limit: Option<f64>,
    /// Each is `None` if it is not wanted, or once it is written.
    summary: Option<Output>,
    page: Option<AtomicFile>,
    monitor: Option<Monitor>,
    github: Option<GithubFiles>,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct RunEnd {
    pub(super) exit: ExitCode,
    pub(super) rows: RowCounts,
    pub(super) requests: Requests,
    pub(super) reason: Option<StopReason>,
    /// What went wrong, if the run did not get to its end.
    pub(super) message: Option<String>,
    pub(super) verified: Option<Verified>,
    /// What happened, in a sentence.
    pub(super) headline: String,
    /// What to do next.
    pub(super) next: Vec<String>,
    /// Why rows failed.
    pub(super) failures: Reasons,
    /// Why rows are invalid.
    pub(super) invalid: Vec<Issue>,
    /// What happened when and to which attribute, if anything was sent.
    pub(super) statistics: Option<Statistics>,
}

impl RunEnd {
    /// Before the rows were known.
    pub(super) fn early(failure: &Failure) -> Self {
        let message = failure.message().map(|message| message.text().to_owned());
        Self {
            exit: failure.exit(),
            rows: RowCounts::default(),
            requests: Requests::default(),
            reason: Some(failure.reason()),
            headline: message.clone().unwrap_or_default(),
            message,
            verified: None,
            next: failure.message().and_then(Message::hint).map(str::to_owned).into_iter().collect(),
            failures: Reasons::default(),
            invalid: Vec::new(),
            statistics: None,
        }
    }
}

impl RunReports {
    /// Opens what is to be written, and tells the dead-man switch that a run starts.
    /// `settings` are those in use, unless they are wrong.
    pub(super) fn begin(
        reports: &Reports,
        inputs: &[Source],
        settings: Option<&Settings>,
    ) -> Result<Self, Failure> {
        let started_at = clock::utc_now();
        let random: u32 = rand::random();
        let rate_limit = settings.map(|settings| settings.delivery.rate.per_second());
        if let Some(path) = reports.metrics.as_ref().and_then(|to| to.file()) {
            // It is written later, again and again. Now it shows that the path can be written.
            drop(AtomicFile::create(path)?);
        }
        let begun = Metrics {
            started_at,
            ended: None,
            last_success: None,
            rate_limit,
            snapshot: Snapshot::default(),
        };
        let summary = reports.summary.as_ref().map(Output::create).transpose()?;
        let page = reports.page.as_deref().map(AtomicFile::create).transpose()?;
        let monitor = Monitor::start(reports, begun)
            .map_err(|error| Failure::internal(format!("a thread can't be started: {error}")))?;
        let id = unique_id(started_at, random);
        Ok(Self {
            unique_id: id.as_str().into(),
            id,
            started_at,
            begun: clock::monotonic_now(),
            sources: inputs.iter().map(Source::to_string).collect(),
            settings: settings.map(|settings| settings.shown.clone()).unwrap_or_default(),
            rate_limit,
            summary,
            page,
            monitor,
            github: reports.github.clone(),
        })
    }

    /// Gives the run the number that it has in the ledger.
    pub(super) fn belongs_to(&mut self, run: RunId) {
        self.id = run.to_string();
    }

    /// Identifies the run among those of all ledgers: when it began, and a random number.
    pub(super) fn unique_id(&self) -> Arc<str> {
        Arc::clone(&self.unique_id)
    }

    /// How long the run has taken so far.
    pub(super) fn duration(&self) -> Duration {
        clock::monotonic_now() - self.begun
    }

    /// The file that the summary goes to, if it goes to one.
    pub(super) fn summary_path(&self) -> Option<&Path> {
        self.summary.as_ref()?.path()
    }

    /// Where the counts go while the run lasts.
    pub(super) fn snapshots(&self) -> Option<watch::Sender<Snapshot>> {
        self.monitor.as_ref().map(Monitor::snapshots)
    }

    /// Writes all reports, once. What goes wrong with one doesn't keep the others from being written; only the summary and
    /// the page change how the run ends.
    pub(super) fn write(&mut self, end: &RunEnd, console: Console) -> Result<(), Failure> {
        let RunEnd { headline, next, failures, invalid, statistics, .. } = end;
        let summary = self.summary_of(end);
        let page = self.page.take();
        let written = self.write_summary(&summary).and(write_page(
            page,
            Page {
                summary: &summary,
                headline,
                next,
                statistics: statistics.as_ref(),
                failures,
                invalid,
                settings: &self.settings,
                rate_limit: self.rate_limit,
            },
        ));
        if let Some(files) = self.github.take() {
            let report = GithubReport { summary: &summary, headline, next, failures, invalid };
            Console::workflow_commands(&report.annotations());
            for (path, text) in
                [(files.step_summary, report.step_summary()), (files.output, report.outputs())]
            {
                let Some(path) = path else { continue };
                if let Err(error) = append(&path, &text) {
                    let text = format!("cannot write `{}`: {error}", path.display());
                    console.warning(&Message::warning(text));
                }
            }
        }
        if let Some(monitor) = self.monitor.take() {
            let snapshot = Snapshot {
                rows: end.rows,
                requests: end.requests,
                latency: statistics.as_ref().and_then(LatencySummary::of),
                status: None,
            };
            let metrics = Metrics {
                started_at: self.started_at,
                ended: Some((summary.finished_at, end.exit)),
                last_success: None,
                rate_limit: self.rate_limit,
                snapshot,
            };
            let ended = monitor::End { metrics, exit: end.exit, body: ping_body(&summary) };
            for warning in monitor.end(ended) {
                console.warning(&Message::warning(warning));
            }
        }
        written
    }

    fn summary_of(&self, end: &RunEnd) -> RunSummary {
        RunSummary {
            version: env!("CARGO_PKG_VERSION"),
            exit: end.exit,
            started_at: self.started_at,
            finished_at: clock::utc_now(),
            duration: self.duration(),
            run_id: self.id.clone(),
            rows: end.rows,
            requests: end.requests,
            reason: end.reason,
            verified: end.verified.clone(),
            sources: self.sources.clone(),
            message: end.message.clone(),
            attributes: end.statistics.as_ref().map(Statistics::by_attribute).unwrap_or_default(),
        }
    }

    fn write_summary(&mut self, summary: &RunSummary) -> Result<(), Failure> {
        let Some(output) = self.summary.take() else { return Ok(()) };
        match output.write(|out| summary.write_to(out)) {
            // The reader of standard output has seen enough.
            Err(failure) if failure.message().is_none() => Ok(()),
            written => written,
        }
    }
}

fn write_page(file: Option<AtomicFile>, page: Page<'_>) -> Result<(), Failure> {
    let Some(mut file) = file else { return Ok(()) };
    page.write_to(&mut file).map_err(|error| WriteError::writing(file.path(), error))?;
    Ok(file.publish()?)
}

/// What a dead-man switch shows of a run: no names, ids or values.
fn ping_body(summary: &RunSummary) -> String {
    let RunSummary { run_id, exit, rows, requests, reason, .. } = summary;
    let fates = rows.by_fate().into_iter().filter(|(count, _)| *count > 0);
    let fates = fates.map(|(count, fate)| format!("{count} {fate}"));
    let rows: Vec<_> = std::iter::once(format!("{} rows read", rows.read)).chain(fates).collect();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("run {run_id}: {}{reason}: {}; {} requests\n", exit.outcome(), rows.join(", "), requests.sent)
}

/// Adds text to a file of a step, which earlier commands of the step may have written, too.
fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}
