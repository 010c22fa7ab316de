//! Waiting for another run that uses the same files.

use std::time::Duration;

use tokio::time::Instant;

use super::console::Console;
use super::failure::Failure;
use crate::clock;
use crate::config::Settings;
use crate::report::{Message, StopReason};

/// How long this run still waits for another one that uses the same files.
pub(super) struct Waiting {
    console: Console,
    deadline: Instant,
    is_told: bool,
}

impl Waiting {
    /// How often to look whether the other run has ended.
    pub(super) const INTERVAL: Duration = Duration::from_millis(250);

    pub(super) fn new(settings: &Settings, console: Console) -> Self {
        Self { console, deadline: clock::monotonic_now() + settings.wait, is_told: false }
    }

    /// Whether to try again what failed.
    pub(super) fn is_worthwhile(&mut self, failure: &Failure) -> bool {
        let is_held = failure.reason() == StopReason::LedgerHeld && clock::monotonic_now() < self.deadline;
        if is_held && !std::mem::replace(&mut self.is_told, true) {
            let why = failure.message().map(Message::text).unwrap_or_default();
            self.console.warning(&Message::note(format!("waiting: {why}")));
        }
        is_held
    }
}
