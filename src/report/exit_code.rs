//! How a run ended, for scripts.

use serde::{Serialize, Serializer};

use super::StopReason;
use crate::deliver::{End, Stop, Verified};
use crate::ledger::RowCounts;

/// How a run ended. The codes and names are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// 0: every valid row is held by the API, and none is invalid, failed or unsent.
    Complete,
    /// 1: the run went to its end; some rows are invalid or failed.
    Incomplete,
    /// 2: wrong flags or config; nothing was read, nothing sent.
    Usage,
    /// 3: the input was refused as a whole; nothing was sent.
    Refused,
    /// 4: stopped early; rows are unsent.
    Stopped,
    /// 5: a bug, or the local disk failed.
    Internal,
    /// 129: SIGHUP; what was in flight was finished and recorded.
    HungUp,
    /// 130: SIGINT; what was in flight was finished and recorded.
    Interrupted,
    /// 143: SIGTERM; what was in flight was finished and recorded.
    Terminated,
}

impl ExitCode {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::Complete,
        Self::Incomplete,
        Self::Usage,
        Self::Refused,
        Self::Stopped,
        Self::Internal,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// How a run ended that got as far as sending.
    ///
    /// The counts are checked first: if they don't add up, nothing else about the run can be trusted. A stop that left no
    /// row unsent is not counted as one, unless what was sent is not there.
    pub fn of(end: &End, fates: &RowCounts) -> Self {
        if !fates.add_up() {
            return Self::Internal;
        }
        match end {
            End::Complete if fates.unsent > 0 => Self::Internal,
            End::Stopped(stop) if fates.unsent > 0 || matches!(stop, Stop::Canary(_)) => Self::of_stop(stop),
            End::Complete | End::Stopped(_) if fates.all_well() => Self::Complete,
            End::Complete | End::Stopped(_) => Self::Incomplete,
        }
    }

    /// The same, after reading back: what the API doesn't hold makes a complete run incomplete.
    #[must_use]
    pub fn verified(self, verified: Option<&Verified>) -> Self {
        match (self, verified) {
            (Self::Complete, Some(verified))
                if !verified.mismatches.is_empty() || verified.checked < verified.asked =>
            {
                Self::Incomplete
            }
            _ => self,
        }
    }

    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Incomplete => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Stopped => 4,
            Self::Internal => 5,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Whether a signal ended it.
    pub fn is_interrupted(self) -> bool {
        matches!(self, Self::HungUp | Self::Interrupted | Self::Terminated)
    }

    /// The outcome's name, as in the summary.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Internal => "internal",
            Self::HungUp | Self::Interrupted | Self::Terminated => "interrupted",
        }
    }

    /// How a run ended that this stopped.
    pub fn of_stop(stop: &Stop) -> Self {
        match stop {
            Stop::KeyRefused(_)
            | Stop::WrongAddress { .. }
            | Stop::Redirected(_)
            | Stop::Refused(_)
            | Stop::Unreachable(_)
            | Stop::Outage { .. }
            | Stop::LongPause { .. }
            | Stop::Canary(_)
            | Stop::LedgerLost
            | Stop::LedgerAway(_)
            | Stop::LedgerRefused
            | Stop::OutOfTime(_) => Self::Stopped,
            Stop::Unwritable => Self::Internal,
            Stop::Interrupted => Self::Interrupted,
            Stop::Terminated => Self::Terminated,
            Stop::HungUp => Self::HungUp,
        }
    }
}

impl From<&Stop> for StopReason {
    fn from(stop: &Stop) -> Self {
        match stop {
            // As with a refused key or a wrong address, trying again doesn't help.
            Stop::KeyRefused(_) | Stop::Refused(_) => Self::KeyRefused,
            Stop::WrongAddress { .. } | Stop::Redirected(_) | Stop::Unreachable(_) => Self::WrongAddress,
            Stop::Outage { .. } => Self::Outage,
            Stop::LongPause { .. } => Self::LongPause,
            Stop::OutOfTime(_) => Self::MaxDuration,
            Stop::Canary(_) => Self::Canary,
            Stop::LedgerLost => Self::LedgerHeld,
            Stop::LedgerAway(_) => Self::LedgerAway,
            Stop::LedgerRefused => Self::Usage,
            Stop::Unwritable => Self::Disk,
            Stop::Interrupted | Stop::Terminated | Stop::HungUp => Self::Signal,
        }
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Both {
            outcome: &'static str,
            exit_code: u8,
        }
        Both { outcome: self.outcome(), exit_code: self.code() }.serialize(serializer)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(exit: ExitCode) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::CanaryFailure;

    fn check(end: &End, [invalid, failed, unsent]: [u64; 3], expected: ExitCode) {
        let read = 10 + invalid + failed + unsent;
        let fates = RowCounts { read, invalid, failed, unsent, acknowledged: 10, ..RowCounts::default() };
        assert_eq!(ExitCode::of(end, &fates), expected, "{end:?}, {fates:?}");
        let miscounted = RowCounts { acknowledged: 9, ..fates };
        assert_eq!(ExitCode::of(end, &miscounted), ExitCode::Internal, "{end:?}, {miscounted:?}");
    }

    #[test]
    fn the_end_and_the_fates_decide() {
        let stopped = |stop| End::Stopped(stop);
        check(&End::Complete, [0, 0, 0], ExitCode::Complete);
        check(&End::Complete, [1, 0, 0], ExitCode::Incomplete);
        check(&End::Complete, [0, 1, 0], ExitCode::Incomplete);
        check(&End::Complete, [0, 0, 1], ExitCode::Internal);
        check(&stopped(Stop::KeyRefused(crate::deliver::Reason::default())), [0, 0, 1], ExitCode::Stopped);
        check(&stopped(Stop::OutOfTime(std::time::Duration::ZERO)), [1, 1, 1], ExitCode::Stopped);
        check(&stopped(Stop::Interrupted), [0, 0, 1], ExitCode::Interrupted);
        check(&stopped(Stop::Terminated), [0, 1, 1], ExitCode::Terminated);
        check(&stopped(Stop::HungUp), [0, 0, 1], ExitCode::HungUp);
    }

    #[test]
    fn a_stop_that_left_nothing_unsent_stopped_nothing() {
        check(&End::Stopped(Stop::OutOfTime(std::time::Duration::ZERO)), [0, 0, 0], ExitCode::Complete);
        let canary = CanaryFailure::Differs { differing: 1, checked: 1 };
        check(&End::Stopped(Stop::Canary(canary)), [0, 0, 0], ExitCode::Stopped);
        check(&End::Stopped(Stop::Interrupted), [0, 2, 0], ExitCode::Incomplete);
    }

    #[test]
    fn codes_ascend_and_are_distinct() {
        let codes = ExitCode::ALL.map(ExitCode::code);
        assert!(codes.is_sorted_by(|a, b| a < b));
    }
}
