//! The clocks, read here and nowhere else.
//!
//! The rest of the program either takes the time as an argument or calls one of these functions. The monotonic clock is
//! tokio's, so a test that pauses tokio's time pauses the rate limiter, the backoff and the timeouts with it.

#![expect(clippy::disallowed_methods, reason = "this is the module that the ban points to")]

use std::time::SystemTime;

use jiff::Timestamp;
use tokio::time::Instant;

/// The monotonic clock, for intervals. It says nothing about the date.
pub fn monotonic_now() -> Instant {
    Instant::now()
}

/// The wall clock in UTC, for dates in reports and the ledger. It may jump, so never measure an interval with it.
pub fn utc_now() -> Timestamp {
    Timestamp::now()
}

/// The wall clock as the standard library has it, to compare with the dates in HTTP headers.
pub fn system_time() -> SystemTime {
    SystemTime::now()
}
