//! How many requests a run took.

use serde::Serialize;

/// How many requests a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
pub struct Requests {
    /// Batches in the plan: what it takes when nothing goes wrong.
    pub planned: u64,
    /// Started, for any purpose.
    pub sent: u64,
    /// Answered with 200 and status ok.
    pub acknowledged: u64,
    /// Started because an earlier one for the same batch failed.
    pub retried: u64,
    /// Answered that there were too many.
    pub throttled: u64,
    /// Started for a part of a batch that was refused as a whole.
    pub split: u64,
    /// Started to check a user, the address or the API.
    pub checks: u64,
    /// Started to read users back.
    pub read_back: u64,
}
