//! Decides when the next request may start.
//!
//! Every attempt passes one limiter. The server counts requests when they arrive, but the limiter only knows when they
//! start. It therefore has three parts:
//!
//! - **Spacing** is done by the governor crate (GCRA, with a burst of one request): one start every
//!   [`interval`](Limiter::interval). A request consists of many cells, so that the tolerance can be a fraction of a request.
//!   The tolerance makes up for late timers, as tokio's have a resolution of a millisecond.
//! - **The window** is a record of the last starts. When it is full, the next request starts no earlier than the window plus
//!   [`HEADROOM`] after the first start in it. A request that had to wait for a connection counts from the time when it got
//!   one. The very first request may also wait for a cold server, so it counts from its answer, less the time of a round
//!   trip on an open connection. No other conclusion is drawn from latencies, as the server may simply be working.
//! - **The slowdown** is the share of the rate that is in use. It falls while the server keeps throttling, see [`Slowdown`].
//!
//! In addition, all requests pause after a throttled one.
//!
//! If several processes share the rate, a [`SharedRate`] does the spacing and keeps the window of all of them.

mod recent_starts;
mod shared;
#[cfg(test)]
mod simulation;
mod slowdown;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::{Instant, sleep_until};

use self::recent_starts::RecentStarts;
pub use self::shared::SharedRate;
use self::slowdown::Slowdown;
use super::options::Rate;
use crate::clock;

/// By how much the delays of two requests on their way to the server may differ before the server counts too many. At ten
/// requests a second it costs 3.2% of the time. A run may take 5% longer than its rate allows, and the first request needs
/// a part of the rest.
pub(crate) const HEADROOM: Duration = Duration::from_millis(32);

/// How long after its time a request may start that shares the rate with other processes. The rest of [`HEADROOM`] is for
/// its way.
pub(crate) const TOLERANCE: Duration = Duration::from_millis(20);
const ON_ITS_WAY: Duration = HEADROOM.saturating_sub(TOLERANCE);

/// How much earlier than its regular time a request may start to make up for one that started late, if requests are so close
/// that late timers matter.
const SLACK: Duration = Duration::from_millis(5);

/// Requests at least this far apart never start early, because some servers reject a request that comes before its
/// regular time.
const FAR_APART: Duration = Duration::from_millis(50);

/// About the time for one cell: small against any interval between requests.
const CELL: Duration = Duration::from_micros(100);

/// The shortest pause after a throttled request, whatever the server asks for.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// While nothing is served, each further throttled request doubles the pause, up to this one.
const LONGEST_OWN_PAUSE: Duration = Duration::from_secs(30);

type Spacing = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Tick>>;

/// What an answer says about the rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSignal {
    /// The request was processed, with whatever result, so it was within the limit.
    Served,
    /// There were too many requests: 429, or 503 while other requests are served.
    Throttled {
        /// How long to wait, if the server says so.
        retry_after: Option<Duration>,
    },
    /// Nothing: there was no answer, or one that is not about the limit.
    Nothing,
}

/// What is known of the first request.
#[derive(Clone, Copy, Debug)]
struct First {
    start: Instant,
    connecting: Duration,
    latency: Duration,
}

/// Decides when the next request may start.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    spacing: Spacing,
    /// Cells per request.
    cells: NonZeroU32,
    interval: Duration,
    recent: RecentStarts,
    slowdown: Slowdown,
    /// The start of the last request.
    last: Option<Instant>,
    /// The next request starts no earlier, to keep the interval after the one before it.
    spaced: Option<Instant>,
    /// A pause lasts until then.
    paused: Option<Instant>,
    /// The server asked for a pause until then.
    asked: Option<Instant>,
    /// The first request, once it is answered.
    first: Option<First>,
    /// The shortest time from a start to an answer on an open connection.
    round_trip: Option<Duration>,
    /// Pauses in a row with nothing served between them.
    pauses: u32,
    /// When the latest of them began.
    pause_began: Option<Instant>,
    /// The other processes with the same rate, if there are any.
    shared: Option<Arc<dyn SharedRate>>,
    /// The next permit of all processes is not used, because a request before it arrived late.
    passes: AtomicBool,
}

impl Limiter {
    /// A limiter that holds this rate.
    pub fn new(rate: Rate) -> Self {
        let interval = interval(rate, 1.0);
        let (spacing, cells) = spacing(rate, interval);
        Self {
            rate,
            spacing,
            cells,
            interval,
            recent: RecentStarts::new(rate.requests, rate.window + HEADROOM),
            slowdown: Slowdown::new(rate.window),
            last: None,
            spaced: None,
            paused: None,
            asked: None,
            first: None,
            round_trip: None,
            pauses: 0,
            pause_began: None,
            shared: None,
            passes: AtomicBool::new(false),
        }
    }

    /// The same as one of several processes, if there are others.
    #[must_use]
    pub fn shared_by(mut self, shared: Option<Arc<dyn SharedRate>>) -> Self {
        if shared.is_some() {
            // As far apart as starts within the tolerance may be.
            let span = self.rate.window + ON_ITS_WAY;
            self.recent = RecentStarts::new(self.rate.requests, span);
        }
        self.shared = shared;
        self
    }

    /// The time between two starts at the present rate.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The share of the rate that is in use, above 0 and at most 1.
    pub fn share(&self) -> f64 {
        self.slowdown.share()
    }

    /// What is left of the pause, if there is one.
    pub fn pause_left(&self, now: Instant) -> Option<Duration> {
        left(self.paused, now).max(self.shared.as_ref().and_then(|shared| shared.pause_left()))
    }

    /// What is left of the pause that the server asked for, this process or another one with the same rate.
    /// [`pause_left`](Self::pause_left) may be longer, because pauses have a minimum of their own.
    pub fn asked_left(&self, now: Instant) -> Option<Duration> {
        // Whether the server asked for a pause of another process is not known. But its own are not longer than this.
        let of_all = self.shared.as_ref().and_then(|shared| shared.pause_left());
        left(self.asked, now).max(of_all.filter(|left| *left > LONGEST_OWN_PAUSE))
    }

    /// Nothing starts before this time. Pauses merge: the later end counts.
    pub fn pause_until(&mut self, at: Instant) {
        self.paused = self.paused.max(Some(at));
    }

    /// Waits until a request may start. It must then start at once and be reported to [`started`](Self::started). The
    /// future can be dropped before that without consequences.
    pub async fn permit(&self) {
        loop {
            let spaced = self.spaced.filter(|_| self.shared.is_none());
            let earliest = self.paused.max(spaced).max(self.recent.opens());
            if let Some(at) = earliest.filter(|at| clock::monotonic_now() < *at) {
                sleep_until(at).await;
                continue;
            }
            if let Some(shared) = &self.shared {
                shared.permit(self.interval).await;
                if self.passes.swap(false, Ordering::Relaxed) {
                    shared.started();
                    continue;
                }
                return;
            }
            match self.spacing.check_n(self.cells).expect("a request fits the burst") {
                Ok(()) => return,
                Err(early) => sleep_until(early.earliest_possible().0).await,
            }
        }
    }

    /// A request that was permitted starts.
    pub fn started(&mut self, now: Instant) {
        self.last = Some(now);
        self.recent.push(now);
        if let Some(shared) = &self.shared {
            shared.started();
        }
    }

    /// A request that started at `start` is done with. `connecting` is how long it may have waited for a connection
    /// ([`Reply::connecting`](super::Reply::connecting)).
    pub fn answered(&mut self, start: Instant, connecting: Duration, now: Instant, signal: LimitSignal) {
        if signal != LimitSignal::Nothing {
            self.learn_arrival(start, connecting, now);
        }
        let share = self.slowdown.share();
        match signal {
            LimitSignal::Served => {
                if self.pause_began.is_none_or(|began| start > began) {
                    self.pauses = 0;
                }
                self.slowdown.served(now);
            }
            LimitSignal::Throttled { retry_after } => {
                let known = self.pause_began.is_some_and(|began| start <= began);
                if !known {
                    self.pauses += 1;
                    self.pause_began = Some(now);
                    // What others sent is not known. It is likely that the window was full, as nobody waits without a need.
                    let own = if self.shared.is_some() { 1.0 } else { self.recent.share_before(start) };
                    self.slowdown.throttled(own, now);
                }
                let doublings = self.pauses.saturating_sub(1).min(31);
                let own = SHORTEST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_OWN_PAUSE);
                self.asked = self.asked.max(retry_after.map(|after| now + after));
                let pause = retry_after.unwrap_or_default().max(own);
                self.pause_until(now + pause);
                if let Some(shared) = &self.shared {
                    shared.pause(pause);
                }
            }
            LimitSignal::Nothing => {}
        }
        if (self.slowdown.share() - share).abs() > f64::EPSILON {
            self.interval = interval(self.rate, self.slowdown.share());
            (self.spacing, self.cells) = spacing(self.rate, self.interval);
            // The new one knows nothing of the requests before it.
            self.spaced = self.spaced.max(self.last.map(|last| last + self.interval));
        }
    }

    /// Finds out when a request reached the server, as far as its answer shows that.
    fn learn_arrival(&mut self, start: Instant, connecting: Duration, now: Instant) {
        let latency = now.saturating_duration_since(start);
        let connecting = connecting.min(latency);
        if self.first.is_none() {
            self.first = Some(First { start, connecting, latency });
            self.recent.late(start, latency);
            self.passes = AtomicBool::new(connecting > ON_ITS_WAY);
            self.spaced = self.spaced.max(Some(start + connecting + self.interval));
        } else if connecting.is_zero() {
            let shortest = self.round_trip.map_or(latency, |shortest| shortest.min(latency));
            self.round_trip = Some(shortest);
            if let Some(First { start, connecting, latency }) = self.first {
                self.recent.late(start, latency.saturating_sub(shortest).max(connecting));
            }
        } else {
            let waited = self.round_trip.map_or(connecting, |shortest| latency.saturating_sub(shortest));
            self.recent.late(start, waited.min(connecting));
        }
    }
}

fn left(until: Option<Instant>, now: Instant) -> Option<Duration> {
    until?.checked_duration_since(now).filter(|left| !left.is_zero())
}

/// The time between two starts at this share of the rate.
fn interval(rate: Rate, share: f64) -> Duration {
    ((rate.window + HEADROOM) / rate.requests.get()).div_f64(share)
}

/// A limiter for one start an interval, and a request's cells in it.
fn spacing(rate: Rate, interval: Duration) -> (Spacing, NonZeroU32) {
    let cells = u32::try_from((interval.as_nanos() / CELL.as_nanos()).max(1)).unwrap_or(u32::MAX);
    let cell =
        Duration::from_nanos(u64::try_from(interval.as_nanos().div_ceil(cells.into())).unwrap_or(u64::MAX));
    let even = rate.window / rate.requests.get();
    let slack = if even >= FAR_APART { HEADROOM / rate.requests.get() } else { SLACK };
    let slack = u32::try_from(slack.as_nanos() / cell.as_nanos()).unwrap_or(u32::MAX);
    let cells = NonZeroU32::new(cells).expect("at least 1");
    let quota = Quota::with_period(cell).expect("a cell takes time").allow_burst(cells.saturating_add(slack));
    (RateLimiter::direct_with_clock(quota, Ticks), cells)
}

/// Tokio's clock, as governor wants it: paused time is paused for the limiter, too.
#[derive(Clone, Debug, Default)]
struct Ticks;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tick(Instant);

impl Clock for Ticks {
    type Instant = Tick;

    fn now(&self) -> Tick {
        Tick(clock::monotonic_now())
    }
}

impl Add<Nanos> for Tick {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for Tick {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, nanos: Nanos) -> Self {
        Self(self.0.checked_sub(nanos.into()).unwrap_or(self.0))
    }
}
