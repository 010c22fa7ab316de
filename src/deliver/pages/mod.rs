//! Reads the list of all users, page by page.
//!
//! A page names the next one, so only one request is in flight at a time. [`PageReader`] decides what an answer means and
//! waits until the next request may start; as in the rest of delivery, every request passes the [`Limiter`]. One page is
//! all there is to lose: the caller keeps the cursor of the next page, and goes on from there in the same process or in
//! another one.

mod page;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

pub use page::Page;
pub(super) use page::page_of;

use super::backoff::{backoff, probe_wait};
use super::core::{STALE, UNREACHABLE};
use super::event::{Shutdown, Stop, Waiting};
use super::limiter::{LimitSignal, Limiter};
use super::options::Options;
use super::outage::{Attempts, Failed, OutageDetector};
use super::transport::{Delivered, Reply, RequestId, SendError, Transport};
use super::verdict::{Reason, Verdict};
use crate::clock;

/// What the outage detector knows each request by: there is one at a time.
const KEY: (u32, u32) = (0, 0);

/// How often to look for reasons to stop while waiting: a pause that another process was asked for may become known at any
/// time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a page was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageError {
    /// The run has to stop, for a reason that has nothing to do with this page.
    Stopped(Stop),
    /// The API doesn't know the cursor any more. The list has to be read from its beginning.
    CursorExpired(Reason),
    /// The answer is no page of users. It says what was expected and what was found.
    Malformed(String),
}

/// How many requests a [`PageReader`] made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageRequests {
    /// Started.
    pub sent: u64,
    /// Of these, started because an earlier one for the same page failed.
    pub retried: u64,
    /// Answered that there were too many.
    pub throttled: u64,
}

/// Reads pages of the list of all users, one at a time.
#[derive(Debug)]
pub struct PageReader<T> {
    transport: Arc<T>,
    options: Options,
    deadline: Option<Instant>,
    limiter: Limiter,
    chance: StdRng,
    outage: OutageDetector,
    requests: PageRequests,
}

/// The failed attempts for one page.
#[derive(Debug, Default)]
struct Failures {
    attempts: Attempts,
    stale: u32,
    unreachable: u32,
    unreadable: u32,
    /// The next attempt starts no earlier.
    wait_until: Option<Instant>,
}

/// What follows from an answer.
enum Next {
    Page(Page),
    Again,
}

impl<T: Transport> PageReader<T> {
    /// A reader that shares the limits of all requests before, if `limiter` has passed them. `max_duration` begins
    /// `elapsed` before this call.
    pub fn new(transport: Arc<T>, options: &Options, limiter: Limiter, chance: StdRng) -> Self {
        let left = options.max_duration.map(|most| most.saturating_sub(options.elapsed));
        Self {
            transport,
            options: options.clone(),
            deadline: left.map(|left| clock::monotonic_now() + left),
            limiter,
            chance,
            outage: OutageDetector::of_single_requests(),
            requests: PageRequests::default(),
        }
    }

    /// How many requests were made until now.
    pub fn requests(&self) -> PageRequests {
        self.requests
    }

    /// Reads the page with this cursor, or the first one. It is requested until there is an answer that says something about
    /// the page, or the run has to stop. `on_wait` is called when waiting begins, other than for the rate limit, and when it
    /// ends.
    ///
    /// # Errors
    /// When the run has to stop, the cursor is no longer good, or the answer is not a page of users.
    pub async fn read(
        &mut self,
        cursor: Option<&str>,
        shutdown_rx: &mut watch::Receiver<Shutdown>,
        on_wait: &mut (dyn FnMut(Option<Waiting>) + Send),
    ) -> Result<Page, PageError> {
        let mut waiting = None;
        let mut report = |now| {
            if waiting != now {
                waiting = now;
                on_wait(now);
            }
        };
        let read = self.read_until_answered(cursor, shutdown_rx, &mut report).await;
        report(None);
        read
    }

    async fn read_until_answered(
        &mut self,
        cursor: Option<&str>,
        shutdown_rx: &mut watch::Receiver<Shutdown>,
        report: &mut (dyn FnMut(Option<Waiting>) + Send),
    ) -> Result<Page, PageError> {
        let mut failures = Failures::default();
        let first = self.requests.sent;
        loop {
            self.wait(&failures, shutdown_rx, report).await.map_err(PageError::Stopped)?;
            self.requests.retried += u64::from(self.requests.sent > first);
            let (id, sent_at, result) =
                self.request(cursor, shutdown_rx).await.map_err(PageError::Stopped)?;
            match self.answered(&id, sent_at, result, cursor, &mut failures)? {
                Next::Page(page) => return Ok(page),
                Next::Again => {}
            }
        }
    }

    /// Waits until a request may start.
    async fn wait(
        &self,
        failures: &Failures,
        shutdown_rx: &mut watch::Receiver<Shutdown>,
        report: &mut (dyn FnMut(Option<Waiting>) + Send),
    ) -> Result<(), Stop> {
        let outage = self.outage.next_probe().map(|_| Waiting::Outage);
        let wait_until = failures.wait_until.max(self.outage.next_probe());
        loop {
            let now = clock::monotonic_now();
            if let Some(stop) = self.reason_to_stop(&shutdown_rx.borrow(), now) {
                return Err(stop);
            }
            report(outage.or(self.limiter.pause_left(now).map(|_| Waiting::Pause)));
            let permit = async {
                if let Some(at) = wait_until {
                    sleep_until(at).await;
                }
                self.limiter.permit().await;
            };
            let again = now + LOOK_AGAIN;
            let wake = self.stops_at().map_or(again, |at| at.min(again));
            tokio::select! {
                biased;
                Ok(()) = shutdown_rx.changed() => {}
                () = permit => break,
                () = sleep_until(wake) => {}
            }
        }
        report(outage);
        Ok(())
    }

    /// Sends a request. An answer that comes in time counts even if the run has to stop.
    async fn request(
        &mut self,
        cursor: Option<&str>,
        shutdown_rx: &mut watch::Receiver<Shutdown>,
    ) -> Result<(RequestId, Instant, Result<Reply, SendError>), Stop> {
        let sent_at = clock::monotonic_now();
        self.limiter.started(sent_at);
        self.requests.sent += 1;
        let id = RequestId::new(&self.options.run, self.requests.sent);
        let mut answer = pin!(self.transport.page(id.clone(), cursor));
        let mut ending: Option<Instant> = None;
        loop {
            let now = clock::monotonic_now();
            let stop = self.reason_to_stop(&shutdown_rx.borrow(), now);
            if let Some(stop) = stop {
                let latest = now + self.options.grace_after(&shutdown_rx.borrow());
                let end = ending.map_or(latest, |end| end.min(latest));
                if now >= end {
                    info!(request_id = %id, "not answered before the run ended");
                    return Err(stop);
                }
                ending = Some(end);
            }
            let wake = ending.or_else(|| self.stops_at());
            tokio::select! {
                biased;
                result = &mut answer => return Ok((id, sent_at, result)),
                Ok(()) = shutdown_rx.changed() => {}
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// Why no more requests may start, if it is so.
    fn reason_to_stop(&self, shutdown: &Shutdown, now: Instant) -> Option<Stop> {
        if let Shutdown::Graceful(stop) | Shutdown::Immediate(stop) = shutdown {
            return Some(stop.clone());
        }
        if let Some(most) = self.options.max_duration
            && self.deadline.is_some_and(|at| now >= at)
        {
            return Some(Stop::OutOfTime(most));
        }
        self.outage.reason_to_stop(self.options.max_outage, self.limiter.asked_left(now), now)
    }

    /// When there is a reason to stop although nothing happens until then.
    fn stops_at(&self) -> Option<Instant> {
        let gives_up = self.outage.gives_up(self.options.max_outage).map(|(at, _)| at);
        [self.deadline, gives_up].into_iter().flatten().min()
    }

    /// Decides what follows from an answer.
    fn answered(
        &mut self,
        id: &RequestId,
        sent_at: Instant,
        result: Result<Reply, SendError>,
        cursor: Option<&str>,
        failures: &mut Failures,
    ) -> Result<Next, PageError> {
        let now = clock::monotonic_now();
        let connecting = result.as_ref().map_or(Duration::ZERO, |reply| reply.connecting);
        failures.wait_until = None;
        if let Ok(reply) = &result
            && reply.status == 200
        {
            // What a verdict looks for in an answer, a page doesn't have, and it would take longer than to read the page.
            self.limiter.answered(sent_at, connecting, now, LimitSignal::Served);
            debug!(request = "page of users", request_id = %id, answer = reply.status, "answered");
            return self.read_page(reply, cursor, failures, now);
        }
        let verdict = Verdict::of(&result);
        let signal = self.limit_signal(&verdict, &result, now);
        self.limiter.answered(sent_at, connecting, now, signal);
        if let Ok(reply) = result.as_ref()
            && reply.status < 300
        {
            debug!(request = "page of users", request_id = %id, answer = reply.status, "answered");
        } else {
            debug!(request = "page of users", request_id = %id, answer = %verdict, "answered");
        }
        match (verdict, result) {
            (_, Ok(reply)) if reply.status < 300 => {
                self.unreadable(format!("expected the status 200, found {}", reply.status), failures, now)
            }
            (Verdict::Throttled { pause, reason }, _) => {
                let pause_seconds = pause.map(|pause| pause.as_secs_f64());
                info!(request_id = %id, pause_seconds, status = reason.status, "throttled");
                Ok(Next::Again)
            }
            (Verdict::Unauthorized(reason) | Verdict::Forbidden(reason), _) => {
                info!(request_id = %id, status = reason.status, "the key is refused");
                Err(PageError::Stopped(Stop::KeyRefused(reason)))
            }
            (Verdict::Stale(_), _) if failures.stale < STALE => {
                info!(request_id = %id, "the server had closed the connection");
                failures.stale += 1;
                Ok(Next::Again)
            }
            (Verdict::Stale(reason), _) => Ok(self.troubled(id, Delivered::Maybe, &reason, failures, now)),
            (Verdict::Transient { delivered, reason }, _) => {
                Ok(self.troubled(id, delivered, &reason, failures, now))
            }
            (Verdict::Unreachable(reason), _) => {
                info!(request_id = %id, "no connection is possible");
                failures.unreachable += 1;
                if failures.unreachable >= UNREACHABLE {
                    return Err(PageError::Stopped(Stop::Unreachable(reason)));
                }
                failures.wait_until =
                    Some(now + backoff(&self.options, failures.unreachable, &mut self.chance));
                Ok(Next::Again)
            }
            (Verdict::Rejected(reason), _) => {
                info!(request_id = %id, status = reason.status, "rejected");
                Err(self.rejected(reason, cursor))
            }
            (Verdict::Acknowledged, _) => {
                unreachable!("only an answer with the status 200 is an acknowledgement")
            }
        }
    }

    /// What an answer means for the rate limit.
    fn limit_signal(
        &mut self,
        verdict: &Verdict,
        result: &Result<Reply, SendError>,
        now: Instant,
    ) -> LimitSignal {
        match (verdict, result) {
            (Verdict::Throttled { pause, reason }, _) => {
                self.requests.throttled += 1;
                self.outage.throttled(reason, now);
                LimitSignal::Throttled { retry_after: *pause }
            }
            // Some servers ask for fewer requests with a 503. If it is an outage, the pause does no harm.
            (Verdict::Transient { reason, .. }, _)
                if reason.status == Some(503) && self.outage.next_probe().is_none() =>
            {
                LimitSignal::Throttled { retry_after: None }
            }
            (_, Ok(reply)) if reply.status < 500 || reply.status == 501 => LimitSignal::Served,
            _ => LimitSignal::Nothing,
        }
    }

    fn read_page(
        &mut self,
        reply: &Reply,
        cursor: Option<&str>,
        failures: &mut Failures,
        now: Instant,
    ) -> Result<Next, PageError> {
        let Some(json) = page::json(&reply.body) else {
            let found =
                if reply.body.len() >= Reply::MOST_PAGE { "more than 16 MiB" } else { "something else" };
            return self.unreadable(
                format!("expected a page of users in JSON, found {found}"),
                failures,
                now,
            );
        };
        self.outage.served();
        Page::parse(json, cursor).map(Next::Page).map_err(PageError::Malformed)
    }

    /// The answer is not JSON: it may be the page of some proxy, so that another try can help.
    fn unreadable(&mut self, what: String, failures: &mut Failures, now: Instant) -> Result<Next, PageError> {
        failures.unreadable += 1;
        if failures.unreadable >= self.options.max_attempts.get() {
            return Err(PageError::Malformed(what));
        }
        failures.wait_until = Some(now + backoff(&self.options, failures.unreadable, &mut self.chance));
        Ok(Next::Again)
    }

    fn troubled(
        &mut self,
        id: &RequestId,
        delivered: Delivered,
        reason: &Reason,
        failures: &mut Failures,
        now: Instant,
    ) -> Next {
        let (options, chance) = (&self.options, &mut self.chance);
        let attempts = &mut failures.attempts;
        let next_probe = |probes| probe_wait(options, probes, chance);
        let failed = Failed { key: KEY, attempts, delivered, is_isolated: false };
        self.outage.troubled(failed, reason, now, next_probe);
        let outage = self.outage.next_probe().is_some();
        info!(request_id = %id, sent = delivered == Delivered::Maybe, status = reason.status, outage, "request failed");
        if !outage {
            failures.wait_until = Some(now + backoff(options, attempts.all(), &mut self.chance));
        }
        Next::Again
    }

    fn rejected(&self, reason: Reason, cursor: Option<&str>) -> PageError {
        match reason.status {
            Some(300..=399) => PageError::Stopped(Stop::Redirected(reason)),
            Some(400 | 404 | 410 | 422) if cursor.is_some() => PageError::CursorExpired(reason),
            Some(404 | 410) => {
                PageError::Stopped(Stop::WrongAddress { reason, address: self.options.address.clone() })
            }
            _ => PageError::Stopped(Stop::Refused(reason)),
        }
    }
}
