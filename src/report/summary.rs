//! The run as JSON.

use std::io::{self, Write};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::{Serialize, Serializer};

use super::{AtomicFile, ExitCode, Requests, StopReason, WriteError, visible_json};
use crate::deliver::Verified;
use crate::ledger::RowCounts;

/// The run for scripts. Keys and their order are a promise; new ones come last.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// The program's version.
    pub version: &'static str,
    /// The run's name in the ledger.
    pub run_id: String,
    /// How it ended.
    #[serde(flatten)]
    pub exit: ExitCode,
    /// When reading began.
    #[serde(serialize_with = "to_the_millisecond")]
    pub started_at: Timestamp,
    /// When the last row was finished.
    #[serde(serialize_with = "to_the_millisecond")]
    pub finished_at: Timestamp,
    /// From start to finish, by the monotonic clock: the wall clock may have been set in between.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// What happened to the rows.
    pub rows: RowCounts,
    /// What it took.
    pub requests: Requests,
    /// Why it stopped early, was refused or could not begin.
    pub reason: Option<StopReason>,
    /// What reading back found, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// The inputs, by the names that the user gave.
    pub sources: Vec<String>,
    /// The reason for a person, in a sentence.
    pub message: Option<String>,
}

impl RunSummary {
    /// Writes it as a JSON object over several lines, with a line end.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        writeln!(out, "{}", visible_json(&json))?;
        out.flush()
    }

    /// Writes it to a file, and puts that in its place.
    pub fn publish(&self, mut draft: AtomicFile) -> Result<(), WriteError> {
        self.write_to(&mut draft).map_err(|source| WriteError::writing(draft.path(), source))?;
        draft.publish()
    }
}

fn to_the_millisecond<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    time.round(Unit::Millisecond).unwrap_or(*time).serialize(serializer)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e3).round() / 1e3)
}
