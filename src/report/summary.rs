//! The run as JSON.

use std::io::{self, Write};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::{Serialize, Serializer};

use super::{AtomicFile, AttributeCounts, ExitCode, Requests, StopReason, WriteError, visible_json};
use crate::deliver::Verified;
use crate::ledger::RowCounts;

/// The run for scripts. Keys and their order are a promise; new ones come last.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    #[cfg_attr(test, schemars(schema_with = "tests::date_time"))]
    pub started_at: Timestamp,
    /// When the last row was finished.
    #[serde(serialize_with = "to_the_millisecond")]
    #[cfg_attr(test, schemars(schema_with = "tests::date_time"))]
    pub finished_at: Timestamp,
    /// From start to finish, by the monotonic clock: the wall clock may have been set in between.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    #[cfg_attr(test, schemars(with = "f64"))]
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
    /// What happened to the rows of each attribute that were to be sent, most rows first.
    pub attributes: Vec<AttributeCounts>,
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fs;

    use schemars::generate::SchemaSettings;
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::*;

    pub(super) fn date_time(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }

    impl JsonSchema for ExitCode {
        fn schema_name() -> Cow<'static, str> {
            "ExitCode".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let mut outcomes = Self::ALL.map(Self::outcome).to_vec();
            outcomes.dedup();
            json_schema!({
                "type": "object",
                "properties": {
                    "outcome": { "description": "How the run ended.", "enum": outcomes },
                    "exit_code": {
                        "description": "The exit code of the process.",
                        "enum": Self::ALL.map(Self::code),
                    },
                },
                "required": ["outcome", "exit_code"],
            })
        }
    }

    /// With `UPDATE_README=1`, writes the schema.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "who runs the test says whether it writes")]
    fn the_schema_in_the_documents_is_that_of_the_summary() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/summary.schema.json");
        let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RunSummary>();
        schema.insert("title".to_owned(), "The summary of a run of attrsync".into());
        let schema = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_README").is_some() {
            fs::write(path, &schema).unwrap();
        }
        assert_eq!(schema, fs::read_to_string(path).unwrap_or_default(), "run it with UPDATE_README=1");
    }
}
