//! What became of rows, and how many requests it took.

use serde::Serialize;

/// What became of the rows of a run. Every row that was read has exactly one fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// Rows in the inputs.
    pub read: u64,
    /// No valid row: a broken record, or a field that breaks a rule.
    pub invalid: u64,
    /// Left out for an empty value.
    pub skipped: u64,
    /// Another row for the same user and attribute won.
    pub superseded: u64,
    /// The ledger knows that the API already holds the value.
    pub unchanged: u64,
    /// Acknowledged earlier in the run that this one continues.
    pub resumed: u64,
    /// The API answered that it took the value.
    pub acknowledged: u64,
    /// The API refused it for good, or attempts ran out.
    pub failed: u64,
    /// Never settled, because the run stopped early.
    pub unsent: u64,
}

impl Fates {
    /// Whether every row that was read has one fate. A run where this is false has a bug, whatever else happened.
    pub fn add_up(&self) -> bool {
        self.read == self.settled() + self.unsent
    }

    /// Whether every row that could be sent is held by the API.
    pub fn all_well(&self) -> bool {
        self.invalid == 0 && self.failed == 0 && self.unsent == 0
    }

    fn settled(&self) -> u64 {
        self.invalid
            + self.skipped
            + self.superseded
            + self.unchanged
            + self.resumed
            + self.acknowledged
            + self.failed
    }
}

/// How many requests a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Batches in the plan: what it takes when nothing goes wrong.
    pub planned: u64,
    /// Started, whatever for.
    pub sent: u64,
    /// Answered with 200 and status ok.
    pub acknowledged: u64,
    /// Started because an earlier one for the same batch went wrong.
    pub retried: u64,
    /// Answered that there were too many.
    pub throttled: u64,
    /// Started for a part of a batch that was refused as a whole.
    pub split: u64,
}
