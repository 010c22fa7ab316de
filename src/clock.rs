//! The clocks, read here and nowhere else.
//!
//! The rest of the program either takes the time as an argument or calls one of these functions. The monotonic clock is
//! tokio's, so a test that pauses tokio's time pauses the rate limiter, the backoff and the timeouts with it.

#![expect(clippy::disallowed_methods, reason = "this is the module that the ban points to")]

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// The monotonic clock, for intervals. It says nothing about the date.
pub fn monotonic_now() -> Instant {
    Instant::now()
}

/// A clock for what others measure as well, like the time that is left of a lease: it runs on while the machine is suspended,
/// where the system has such a clock. Only differences mean something.
pub fn boot_now() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    clock_gettime(CLOCK).try_into().expect("the clock starts at 0")
}

/// The wall clock in UTC, for dates in reports and the ledger. It may jump, so never measure an interval with it.
pub fn utc_now() -> Timestamp {
    Timestamp::now()
}

/// The wall clock as the standard library has it, to compare with the dates in HTTP headers.
pub fn system_time() -> SystemTime {
    SystemTime::now()
}
