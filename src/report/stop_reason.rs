//! Why a run did not send everything, for scripts.

use std::fmt::{self, Display};

use serde::Serialize;

/// Why a run stopped early, was refused or could not begin: `reason` in the summary. It says whether trying again can
/// help. The names are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The API refused the key.
    KeyRefused,
    /// The API was not found at the address.
    WrongAddress,
    /// The API could not be reached, or answered only with errors, for too long.
    Outage,
    /// The API asked for a pause that is too long.
    LongPause,
    /// `--max-duration` was over.
    MaxDuration,
    /// The first users that were read back didn't have the values that were sent.
    Canary,
    /// Another run uses the ledger, or writes the failures report.
    LedgerHeld,
    /// The ledger's database could not be reached.
    LedgerAway,
    /// More known values than allowed would change.
    TooManyChanges,
    /// Fewer rows than expected were read.
    TooFewRows,
    /// More rows than allowed are invalid or contradict each other.
    TooManyInvalid,
    /// What a saved plan was made from has changed.
    StalePlan,
    /// All rows are invalid.
    AllInvalid,
    /// An input can't be read or understood.
    UnreadableInput,
    /// A signal asked the run to stop.
    Signal,
    /// Flags, variables or the configuration file are wrong.
    Usage,
    /// The local disk failed: a report, the ledger or a temporary file can't be written.
    Disk,
    /// A bug in the program.
    Bug,
}

impl Display for StopReason {
    /// The name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_scripts_were_promised() {
        use StopReason::*;
        let all = [
            KeyRefused,
            WrongAddress,
            Outage,
            LongPause,
            MaxDuration,
            Canary,
            LedgerHeld,
            LedgerAway,
            TooManyChanges,
            TooFewRows,
            TooManyInvalid,
            StalePlan,
            AllInvalid,
            UnreadableInput,
            Signal,
            Usage,
            Disk,
            Bug,
        ];
        let names = all.map(|reason| reason.to_string());
        let promised = "key_refused wrong_address outage long_pause max_duration canary ledger_held ledger_away \
                        too_many_changes too_few_rows too_many_invalid stale_plan all_invalid unreadable_input \
                        signal usage disk bug";
        assert_eq!(names.join(" "), promised);
    }
}
