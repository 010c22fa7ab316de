//! What happened to the rows of one attribute.

use serde::Serialize;

/// What happened to the rows of one attribute that were to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AttributeCounts {
    /// The attribute, as the input calls it.
    pub name: String,
    /// Rows to send, which is the sum of the others.
    pub rows: u64,
    /// Rows that the API acknowledged.
    pub acknowledged: u64,
    /// Rows that the API refused, or whose attempts ran out.
    pub failed: u64,
    /// Rows that were not sent, because the run stopped early.
    pub unsent: u64,
}
