//! Counts and logs the requests of a sandbox.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::limiter::SlidingWindow;
use super::options::Log;

/// How many requests arrived, by result. Requests for the sandbox's own pages don't count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// All requests. Those not counted below are in progress, or their client left before the answer.
    pub requests: u64,
    /// Answered 200.
    pub ok: u64,
    /// Answered 429.
    pub throttled: u64,
    /// Rejected because of their content or their key.
    pub refused: u64,
    /// Ended by a fault or an outage.
    pub faulted: u64,
    /// The most requests within one window of the rate limit (one second without a limit), throttled ones included.
    pub busiest_window: usize,
}

/// A request in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedRequest {
    /// Its `x-request-id`, if it has one.
    pub id: Option<String>,
    /// When it arrived, counted from the start of the sandbox.
    pub at: Duration,
    /// How many ids it has; 0 if its body was not read.
    pub ids: usize,
    /// What it was answered; `None` where no answer was sent, or not yet.
    pub status: Option<u16>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestEnd {
    /// With the answer that the API would give.
    Answered(u16),
    /// With a fault; the status is that of its answer, if it has one.
    Faulted(Option<u16>),
}

/// The number of a request, from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId(u64);

#[derive(Debug)]
pub(super) struct RequestLog {
    start: Instant,
    counters: Counters,
    recent: SlidingWindow,
    log: Option<Vec<LoggedRequest>>,
}

impl RequestLog {
    pub(super) fn new(start: Instant, window: Duration, log: Log) -> Self {
        let log = match log {
            Log::Omit => None,
            Log::Keep => Some(Vec::new()),
        };
        Self { start, counters: Counters::default(), recent: SlidingWindow::new(window), log }
    }

    /// Counts a request that comes `now`, with this `x-request-id`. Times must not decrease.
    pub(super) fn arrive(&mut self, now: Instant, named: Option<&str>) -> RequestId {
        let id = RequestId(self.counters.requests);
        self.counters.requests += 1;
        self.counters.busiest_window = self.counters.busiest_window.max(self.recent.note(now));
        if let Some(log) = &mut self.log {
            let id = named.map(str::to_owned);
            log.push(LoggedRequest { id, at: now - self.start, ids: 0, status: None });
        }
        id
    }

    /// Counts how it ended.
    pub(super) fn settle(&mut self, id: RequestId, ids: usize, end: RequestEnd) {
        let (counter, status) = match end {
            RequestEnd::Answered(200) => (&mut self.counters.ok, Some(200)),
            RequestEnd::Answered(429) => (&mut self.counters.throttled, Some(429)),
            RequestEnd::Answered(status) => (&mut self.counters.refused, Some(status)),
            RequestEnd::Faulted(status) => (&mut self.counters.faulted, status),
        };
        *counter += 1;
        let place = usize::try_from(id.0).ok();
        if let Some(logged) = place.and_then(|place| self.log.as_mut()?.get_mut(place)) {
            logged.ids = ids;
            logged.status = status;
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.counters
    }

    pub(super) fn log(&self) -> &[LoggedRequest] {
        self.log.as_deref().unwrap_or_default()
    }
}
