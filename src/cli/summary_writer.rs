//! The summary of a run: begun before anything is read, written once the run is over, however it ends.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::failure::Failure;
use super::output::Output;
use crate::clock;
use crate::config::Destination;
use crate::deliver::Verified;
use crate::input::Source;
use crate::ledger::RowCounts;
use crate::ledger::RunId;
use crate::report::{ExitCode, Requests, RunSummary, StopReason};

/// The summary of the run that this process makes.
pub(super) struct SummaryWriter {
    id: String,
    started_at: Timestamp,
    begun: Instant,
    sources: Vec<String>,
    /// `None` if no summary is wanted, or once it is written.
    output: Option<Output>,
}

/// How a run ended.
pub(super) struct RunEnd {
    pub(super) exit: ExitCode,
    pub(super) rows: RowCounts,
    pub(super) requests: Requests,
    pub(super) reason: Option<StopReason>,
    pub(super) message: Option<String>,
    pub(super) verified: Option<Verified>,
}

impl RunEnd {
    /// Before the rows were known.
    pub(super) fn early(failure: &Failure) -> Self {
        Self {
            exit: failure.exit(),
            rows: RowCounts::default(),
            requests: Requests::default(),
            reason: Some(failure.reason()),
            message: failure.message().map(|message| message.text().to_owned()),
            verified: None,
        }
    }
}

impl SummaryWriter {
    /// Opens it.
    pub(super) fn begin(to: Option<&Destination>, inputs: &[Source]) -> Result<Self, Failure> {
        let output = to.map(Output::create).transpose()?;
        let started_at = clock::utc_now();
        let random: u32 = rand::random();
        Ok(Self {
            id: format!("{}-{random:08x}", started_at.strftime("%Y%m%dT%H%M%SZ")),
            started_at,
            begun: clock::monotonic_now(),
            sources: inputs.iter().map(Source::to_string).collect(),
            output,
        })
    }

    /// Gives the run the number that it has in the ledger.
    pub(super) fn belongs_to(&mut self, run: RunId) {
        self.id = run.to_string();
    }

    /// How long the run has taken so far.
    pub(super) fn duration(&self) -> Duration {
        clock::monotonic_now() - self.begun
    }

    /// The file that it goes to, if it goes to one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.output.as_ref()?.path()
    }

    /// Writes it, once.
    pub(super) fn write(&mut self, end: RunEnd) -> Result<(), Failure> {
        let Some(output) = self.output.take() else { return Ok(()) };
        let RunEnd { exit, rows, requests, reason, message, verified } = end;
        let summary = RunSummary {
            version: env!("CARGO_PKG_VERSION"),
            exit,
            started_at: self.started_at,
            finished_at: clock::utc_now(),
            duration: self.duration(),
            run_id: self.id.clone(),
            rows,
            requests,
            reason,
            verified,
            sources: self.sources.clone(),
            message,
        };
        match output.write(|out| summary.write_to(out)) {
            // The reader of standard output has seen enough.
            Err(failure) if failure.message().is_none() => Ok(()),
            written => written,
        }
    }
}
