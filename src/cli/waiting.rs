//! Waiting for another run that uses the same files or database, and for a database that is away.

use std::time::Duration;

use tokio::time::Instant;

use super::console::Console;
use super::failure::Failure;
use crate::clock;
use crate::config::Settings;
use crate::ledger::Renewal;
use crate::report::{Message, StopReason};

/// How long this run still waits before it can begin.
pub(super) struct Waiting {
    console: Console,
    /// For another run.
    deadline: Instant,
    /// For a database.
    outage_ends: Instant,
    is_told: bool,
    /// The lease of the other run, as it was first seen. If it is never renewed, the run is gone, and its lease ends soon.
    lease: Option<Renewal>,
}

impl Waiting {
    /// How often to look whether the other run has ended.
    pub(super) const INTERVAL: Duration = Duration::from_millis(250);

    pub(super) fn new(settings: &Settings, console: Console) -> Self {
        let now = clock::monotonic_now();
        Self {
            console,
            deadline: now + settings.wait,
            outage_ends: now + settings.delivery.max_outage,
            is_told: false,
            lease: None,
        }
    }

    /// Whether to try again what failed.
    pub(super) fn is_worthwhile(&mut self, failure: &Failure) -> bool {
        let now = clock::monotonic_now();
        let is_worthwhile = match failure.reason() {
            StopReason::LedgerHeld => now < self.deadline || self.may_be_gone(failure),
            StopReason::LedgerAway => now < self.outage_ends,
            _ => false,
        };
        if is_worthwhile && !std::mem::replace(&mut self.is_told, true) {
            let why = failure.message().map(Message::text).unwrap_or_default();
            self.console.warning(&Message::note(format!("waiting: {why}")));
        }
        is_worthwhile
    }

    /// Whether the run in the way may have been killed: it has not renewed its lease since this was first asked.
    fn may_be_gone(&mut self, failure: &Failure) -> bool {
        let Some(lease) = failure.lease() else { return false };
        *self.lease.get_or_insert(lease) == lease
    }
}
