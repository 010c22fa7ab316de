//! When the next request may start.
//!
//! One limiter stands before every attempt. It promises that no more than `requests` of them start within any `window`
//! of the [`Rate`], and a little more: a server that counts the same way sees arrivals, not starts, and the network
//! delays each by another amount. So the window's surplus request starts [`JITTER`] after the window has closed.
//!
//! The limiter is governor's (GCRA), used with its burst of one request. A request is many cells, so that the tolerance
//! beyond that one request can be a fraction of it: [`SLACK`]. It is what the timer's lateness may use up (tokio wakes
//! to the millisecond, some time after it was asked to) without every wait adding its own lateness to the run.

use std::num::NonZeroU32;
use std::ops::Add;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::{Instant, sleep_until};

use super::options::Rate;
use crate::clock;

/// How much more one request may be delayed than another on its way to the server before the server sees too many.
const JITTER: Duration = Duration::from_millis(25);

/// How much earlier than its even place a request may start, to make up for an earlier one that started late.
const SLACK: Duration = Duration::from_millis(5);

/// About how long a cell takes to be replenished.
const CELL: Duration = Duration::from_micros(100);

type Limiter = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Tick>>;

/// Says when the next request may start: the limiter, and a pause that all share.
#[derive(Debug)]
pub struct Pacer {
    limiter: Limiter,
    /// Cells per request.
    cells: NonZeroU32,
    /// Nothing starts earlier.
    not_before: Option<Instant>,
    interval: Duration,
}

impl Pacer {
    /// A pacer that holds this rate.
    pub fn new(rate: Rate) -> Self {
        Self::every(interval(rate))
    }

    fn every(interval: Duration) -> Self {
        let cells = u32::try_from((interval.as_nanos() / CELL.as_nanos()).max(1)).unwrap_or(u32::MAX);
        let cell = Duration::from_nanos(
            u64::try_from(interval.as_nanos().div_ceil(cells.into())).unwrap_or(u64::MAX),
        );
        let slack = u32::try_from(SLACK.as_nanos() / cell.as_nanos()).unwrap_or(u32::MAX);
        let cells = NonZeroU32::new(cells).expect("at least 1");
        let quota =
            Quota::with_period(cell).expect("a cell takes time").allow_burst(cells.saturating_add(slack));
        Self { limiter: RateLimiter::direct_with_clock(quota, Ticks), cells, not_before: None, interval }
    }

    /// The time from one start to the next, when all goes well.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Uses this share of the rate from now on.
    pub(super) fn set_share(&mut self, rate: Rate, share: f64, now: Instant) {
        let not_before = self.not_before;
        *self = Self::every(interval(rate).div_f64(share));
        // The new limiter knows nothing of the requests before it.
        self.not_before = not_before.max(Some(now + self.interval));
    }

    /// Nothing starts before this time. Pauses merge: the later end counts.
    pub fn pause_until(&mut self, at: Instant) {
        self.not_before = self.not_before.max(Some(at));
    }

    /// What is left of the pause, if one is on.
    pub fn pause_left(&self, now: Instant) -> Option<Duration> {
        self.not_before?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Returns when a request may start, and counts it as started. Dropped before, it counts nothing.
    pub async fn permit(&self) {
        loop {
            if let Some(at) = self.not_before.filter(|at| clock::now() < *at) {
                sleep_until(at).await;
                continue;
            }
            match self.limiter.check_n(self.cells).expect("a request fits the burst") {
                Ok(()) => return,
                Err(early) => sleep_until(early.earliest_possible().0).await,
            }
        }
    }
}

/// The time between two starts that keeps the promise at the head of this file.
fn interval(rate: Rate) -> Duration {
    (rate.window + JITTER + SLACK) / rate.requests.get()
}

/// Tokio's clock, as governor wants it: paused time is paused for the limiter, too.
#[derive(Clone, Debug, Default)]
struct Ticks;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tick(Instant);

impl Clock for Ticks {
    type Instant = Tick;

    fn now(&self) -> Tick {
        Tick(clock::now())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(requests: u32, seconds: u64) -> Rate {
        Rate { requests: NonZeroU32::new(requests).unwrap(), window: Duration::from_secs(seconds) }
    }

    /// Starts `count` requests, each as soon as it may, with this much work after each.
    fn starts(rate: Rate, count: usize, work: &[Duration]) -> Vec<Duration> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let begin = clock::now();
            let pacer = Pacer::new(rate);
            let mut starts = Vec::new();
            for n in 0..count {
                pacer.permit().await;
                starts.push(clock::now() - begin);
                tokio::time::sleep(work[n % work.len()]).await;
            }
            starts
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_window_holds_more_starts_than_the_rate(
            requests in 1u32..3000,
            seconds in prop::sample::select(vec![1u64, 60]),
            work in prop::collection::vec((0u64..100_000).prop_map(Duration::from_micros), 1..20),
        ) {
            let rate = rate(requests, seconds);
            let starts = starts(rate, 2 * requests as usize + 5, &work);
            for surplus in starts.windows(requests as usize + 1) {
                let took = surplus[requests as usize].saturating_sub(surplus[0]);
                prop_assert!(took >= rate.window + JITTER, "{} starts in {took:?}", requests + 1);
            }
        }
    }

    #[test]
    fn a_run_takes_at_most_five_percent_longer_than_the_rate_allows() {
        for requests in [1, 7, 10, 50, 100, 1000, 9999] {
            let starts = starts(rate(requests, 1), 5 * requests as usize + 1, &[Duration::ZERO]);
            let took = *starts.last().unwrap();
            assert!(took <= Duration::from_secs(5).mul_f64(1.05), "{requests}/s: {took:?}");
        }
    }

    #[test]
    fn being_late_once_does_not_delay_the_rest() {
        let mut work = vec![Duration::ZERO; 100];
        work[50] = Duration::from_millis(23);
        let even = starts(rate(50, 1), 100, &[Duration::ZERO]);
        let late = starts(rate(50, 1), 100, &work);
        assert!(*late.last().unwrap() <= *even.last().unwrap() + Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_merge_by_the_later_end_and_nothing_starts_in_one() {
        let begin = clock::now();
        let mut pacer = Pacer::new(rate(100, 1));
        pacer.pause_until(begin + Duration::from_secs(9));
        pacer.pause_until(begin + Duration::from_secs(3));
        assert_eq!(pacer.pause_left(begin), Some(Duration::from_secs(9)));
        pacer.permit().await;
        let first = clock::now() - begin;
        assert!(first >= Duration::from_secs(9) && first < Duration::from_millis(9002), "{first:?}");
        pacer.permit().await;
        let second = clock::now() - begin;
        assert!(second >= first + Duration::from_millis(5), "it resumes one by one: {first:?}, {second:?}");
    }
}
