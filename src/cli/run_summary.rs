//! The summary of a run: begun before anything is read, written once the run is over, however it ends.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::reading::unwritten;
use super::sync::{Failed, cannot_begin, internal};
use crate::clock;
use crate::config::Destination;
use crate::deliver::Verified;
use crate::input::Source;
use crate::ledger::RunId;
use crate::report::{Draft, ExitCode, Fates, Message, Requests, StopReason, Summary};

/// A run that has begun.
pub(super) struct RunSummary {
    id: String,
    started_at: Timestamp,
    begun: Instant,
    sources: Vec<String>,
    to: To,
}

/// Where it goes.
enum To {
    Nowhere,
    Stdout,
    /// Opened at once, so that a path that can't be written costs no request.
    File(Draft),
}

/// How a run ended.
pub(super) struct RunEnd {
    pub(super) exit: ExitCode,
    pub(super) rows: Fates,
    pub(super) requests: Requests,
    pub(super) reason: Option<StopReason>,
    pub(super) message: Option<String>,
    pub(super) verified: Option<Verified>,
}

impl RunEnd {
    /// Before the rows were known, for this reason.
    pub(super) fn early(message: &Message, exit: ExitCode) -> Self {
        let reason = message.reason().unwrap_or(match exit {
            ExitCode::Usage => StopReason::Usage,
            ExitCode::Refused => StopReason::UnreadableInput,
            _ => StopReason::Bug,
        });
        Self {
            exit,
            rows: Fates::default(),
            requests: Requests::default(),
            reason: Some(reason),
            message: Some(message.text().to_owned()),
            verified: None,
        }
    }
}

impl RunSummary {
    /// Begins it.
    pub(super) fn begin(to: Option<&Destination>, inputs: &[Source]) -> Result<Self, Failed> {
        let to = match to {
            Some(Destination::File(path)) => {
                To::File(Draft::create(path).map_err(|error| cannot_begin(&error))?)
            }
            Some(Destination::Stdout) => To::Stdout,
            None => To::Nowhere,
        };
        let started_at = clock::utc_now();
        let random: u32 = rand::random();
        Ok(Self {
            id: format!("{}-{random:08x}", started_at.strftime("%Y%m%dT%H%M%SZ")),
            started_at,
            begun: clock::monotonic_now(),
            sources: inputs.iter().map(Source::to_string).collect(),
            to,
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
        match &self.to {
            To::File(draft) => Some(draft.path()),
            To::Nowhere | To::Stdout => None,
        }
    }

    /// Writes it.
    pub(super) fn write(self, end: RunEnd) -> Result<(), Failed> {
        let RunEnd { exit, rows, requests, reason, message, verified } = end;
        let summary = Summary {
            version: env!("CARGO_PKG_VERSION"),
            exit,
            started_at: self.started_at,
            finished_at: clock::utc_now(),
            duration: self.duration(),
            run_id: self.id,
            rows,
            requests,
            reason,
            verified,
            sources: self.sources,
            message,
        };
        match self.to {
            To::Nowhere => Ok(()),
            To::File(draft) => {
                summary.publish(draft).map_err(|error| (unwritten(&error), ExitCode::Internal))
            }
            To::Stdout => match summary.write_to(io::stdout().lock()) {
                // Its reader has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => {
                    written.map_err(|error| internal(&format!("standard output cannot be written: {error}")))
                }
            },
        }
    }
}
