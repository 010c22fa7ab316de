//! The description and the result of a run, as the ledger stores them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Fingerprint;
use crate::input::IdType;

/// The id type of targets that use the client's own ids.
pub(super) const CUSTOM_ID: &str = "custom-id";

/// An API and the type of ids that are used there. What is known of one target says nothing about another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKey {
    /// Where the API is, without anything secret.
    pub base_url: String,
    /// What names a user.
    pub id_type: IdType,
}

/// The description of a run that is about to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDescription {
    /// Which command it is. Nothing secret.
    pub fingerprint: Fingerprint,
    /// The names of the inputs, in order, as they are shown.
    pub inputs: Vec<String>,
    /// The same for all inputs with the same content, as [`Plan::fingerprint`](crate::plan::Plan::fingerprint).
    pub content: String,
}

/// The number of a run in its ledger, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

/// A run that left rows unsent and that the same command continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfinishedRun {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub started: Timestamp,
    /// Whether its input has changed.
    pub input: InputState,
}

/// A run that left rows unsent and that this run does not continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotContinuedRun {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub started: Timestamp,
    /// Why it is not continued.
    pub why: NotContinued,
}

/// Why a run is not continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotContinued {
    /// It went to another API, or its users go by other ids.
    OtherTarget,
    /// These settings are others, by name.
    OtherSettings(Vec<String>),
    /// Another version of this program recorded it.
    OtherVersion,
    /// What it sent is no longer kept.
    Expired,
}

/// Whether an input is the same as in an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputState {
    /// It has the same content.
    Same,
    /// Its content has changed.
    Changed,
}

/// How a run ended. The names are the summary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunOutcome {
    /// Every valid row is held by the API.
    Complete,
    /// It went to its end; some rows are invalid or failed.
    Incomplete,
    /// It stopped early.
    Stopped,
    /// A signal stopped it.
    Interrupted,
    /// A bug, or the local disk failed.
    Internal,
}

/// What happened to the rows of a run. Every row that was read has exactly one fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct RowCounts {
    /// Rows in the inputs.
    pub read: u64,
    /// Not a valid row: a broken record, or a field that breaks a rule.
    pub invalid: u64,
    /// Left out for an empty value.
    pub skipped: u64,
    /// Another row for the same user and attribute won.
    pub superseded: u64,
    /// The ledger knows that the API already holds the value.
    pub unchanged: u64,
    /// Acknowledged earlier, in the run that this one continues.
    pub resumed: u64,
    /// The API answered that it took the value.
    pub acknowledged: u64,
    /// The API refused it for good, or attempts ran out.
    pub failed: u64,
    /// Not sent to its end, because the run stopped early.
    pub unsent: u64,
}

impl RowCounts {
    /// Whether every row that was read has one fate. If not, the program has a bug.
    pub fn add_up(&self) -> bool {
        self.read == self.by_fate().iter().map(|(count, _)| count).sum::<u64>()
    }

    /// Whether the API holds every row that could be sent.
    pub fn all_well(&self) -> bool {
        self.invalid == 0 && self.failed == 0 && self.unsent == 0
    }

    /// How many rows have each fate, with the fate's name, in the order in which screens list them.
    pub fn by_fate(&self) -> [(u64, &'static str); 8] {
        let Self { read: _, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent } =
            *self;
        [
            (acknowledged, "acknowledged"),
            (resumed, "resumed"),
            (unchanged, "unchanged"),
            (superseded, "superseded"),
            (skipped, "skipped"),
            (invalid, "invalid"),
            (failed, "failed"),
            (unsent, "unsent"),
        ]
    }
}

impl RunOutcome {
    const ALL: [Self; 5] =
        [Self::Complete, Self::Incomplete, Self::Stopped, Self::Interrupted, Self::Internal];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }

    /// Whether the run went to its end, so that there is nothing to continue.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Incomplete)
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TargetKey {
    /// What names its users, in a word.
    pub(super) fn users(&self) -> &'static str {
        match self.id_type {
            IdType::Id => "id",
            IdType::CustomId => CUSTOM_ID,
        }
    }
}
