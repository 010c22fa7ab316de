//! The only place that reads a clock.
//!
//! Everything else is handed a time, or asks here. The monotonic clock is tokio's, so a test that pauses it pauses the
//! pacing, the backoff and the timeouts together.

#![expect(clippy::disallowed_methods, reason = "this is the place the ban points to")]

use std::time::SystemTime;

use jiff::Timestamp;
use tokio::time::Instant;

/// The monotonic clock: for intervals, never for dates.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, in UTC: for dates in reports, never for intervals.
pub fn today() -> Timestamp {
    Timestamp::now()
}

/// The wall clock, as the standard library has it: for what servers say in dates.
pub fn system() -> SystemTime {
    SystemTime::now()
}
