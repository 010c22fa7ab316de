//! What a sandbox counts.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::limiter::SlidingLog;
use super::options::Log;

/// How many requests came, and what became of them. Requests for the sandbox's own pages don't count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// All that came. Those that are not counted below are in progress, or their client left before the answer.
    pub requests: u64,
    /// Answered 200.
    pub ok: u64,
    /// Answered 429.
    pub throttled: u64,
    /// Refused for what they say, or for who asks.
    pub refused: u64,
    /// Met by a fault or an outage.
    pub faulted: u64,
    /// The most requests that ever came within one window of the rate limit (without a limit: one second), throttled
    /// ones included.
    pub busiest_window: usize,
}

/// A request, as the log remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it came, counted from the sandbox's start.
    pub at: Duration,
    /// How many ids it named; 0 where nobody read its body.
    pub ids: usize,
    /// What it was answered; `None` where no answer was sent, or not yet.
    pub status: Option<u16>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the answer that it deserved.
    Answered(u16),
    /// With a fault, and this status if there was an answer at all.
    Faulted(Option<u16>),
}

/// Names a request that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    counters: Counters,
    recent: SlidingLog,
    log: Option<Vec<Arrival>>,
}

impl Tally {
    pub(super) fn new(start: Instant, window: Duration, log: Log) -> Self {
        let log = match log {
            Log::Omit => None,
            Log::Keep => Some(Vec::new()),
        };
        Self { start, counters: Counters::default(), recent: SlidingLog::new(window), log }
    }

    /// Counts a request that comes `now`. Times must not decrease.
    pub(super) fn arrive(&mut self, now: Instant) -> Ticket {
        let ticket = Ticket(self.counters.requests);
        self.counters.requests += 1;
        self.counters.busiest_window = self.counters.busiest_window.max(self.recent.note(now));
        if let Some(log) = &mut self.log {
            log.push(Arrival { at: now - self.start, ids: 0, status: None });
        }
        ticket
    }

    /// Counts how it ended.
    pub(super) fn settle(&mut self, ticket: Ticket, ids: usize, ending: Ending) {
        let (counter, status) = match ending {
            Ending::Answered(200) => (&mut self.counters.ok, Some(200)),
            Ending::Answered(429) => (&mut self.counters.throttled, Some(429)),
            Ending::Answered(status) => (&mut self.counters.refused, Some(status)),
            Ending::Faulted(status) => (&mut self.counters.faulted, status),
        };
        *counter += 1;
        let place = usize::try_from(ticket.0).ok();
        if let Some(arrival) = place.and_then(|place| self.log.as_mut()?.get_mut(place)) {
            arrival.ids = ids;
            arrival.status = status;
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn log(&self) -> &[Arrival] {
        self.log.as_deref().unwrap_or_default()
    }
}
