//! Detects outages of the API, and decides which failed attempts count against a request.
//!
//! When the API serves no request at all, that says nothing about any one of them. So an attempt counts only if it failed
//! between two requests that were served, and if no other request failed in that time ([`OutageDetector::count`]): then
//! the cause was this request. Several attempts in a row with nothing served between them count once. If other requests
//! failed as well, none counts, because the cause may have been an outage, or the API may have asked for fewer requests.
//! Where many requests fail again and again, each of them is sent alone between two that are served, so that its attempts
//! count.
//!
//! After a streak of failures, the API is considered to be down. Without a connection, and before anything was served, the
//! first failure is enough. From then on one request at a time is sent as a probe, at growing intervals, until one is
//! served.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::event::Stop;
use super::transport::Delivered;
use super::verdict::Reason;

/// This many failures in a row are an outage. Fewer happen by chance too often: if three requests in ten fail at random,
/// eight in a row come once in 15,000 requests, and each such mistake costs a pause.
const STREAK: u32 = 8;

/// How many intervals between served requests are remembered in which more than one request failed. It bounds the memory
/// of a run of any length; an attempt in a forgotten interval doesn't count.
const MOST_SHARED: usize = 10_000;

/// How many of the latest 503 answers are compared. With up to 16 requests in flight (the default), an API that asks all
/// of them for less shows it within these.
const LATELY: usize = 16;

/// Identifies a request: its group, and the place of its first user.
pub(super) type Key = (u32, u32);

/// Tells from the answers whether the API serves requests at all.
#[derive(Debug, Default)]
pub(super) struct OutageDetector {
    /// How many requests were served. The time between two of them is an interval, numbered by the first.
    served: u64,
    /// How many requests failed since the last one that was served.
    streak: u32,
    /// Which requests they are.
    troubled: BTreeSet<Key>,
    /// The latest 503 answers: the interval, and the request.
    unavailable: VecDeque<(u64, Key)>,
    /// The intervals in which more than one request failed.
    shared: BTreeSet<u64>,
    /// The time of the first failure, or of the first throttled request, since a request was served.
    since: Option<Instant>,
    /// The last such answer.
    last_reason: Reason,
    open: Option<Open>,
    throttled: bool,
    /// How many failures in a row are an outage, if that is not [`STREAK`].
    streak_of_outage: Option<u32>,
}

#[derive(Debug)]
struct Open {
    probes: u32,
    next_probe: Instant,
}

/// The failed attempts of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    all: u32,
    counted: u32,
    /// The interval of the last one, which counts if another request is served later.
    last: Option<u64>,
}

impl Attempts {
    /// How many failed.
    pub(super) fn all(self) -> u32 {
        self.all
    }
}

/// A request that failed.
pub(super) struct Failed<'a> {
    pub(super) key: Key,
    pub(super) attempts: &'a mut Attempts,
    pub(super) delivered: Delivered,
    /// It was sent alone, after a request that was served: so the API does not ask for fewer requests.
    pub(super) is_isolated: bool,
}

/// With one request in flight at a time, this many failures in a row are an outage: there is no other request that could
/// show the API at work.
const STREAK_OF_SINGLE_REQUESTS: u32 = 2;

impl OutageDetector {
    /// A detector for requests of which only one is in flight at a time.
    pub(super) fn of_single_requests() -> Self {
        Self { streak_of_outage: Some(STREAK_OF_SINGLE_REQUESTS), ..Self::default() }
    }

    /// The API processed a request, whatever it answered.
    pub(super) fn served(&mut self) {
        self.served += 1;
        self.streak = 0;
        self.troubled.clear();
        self.since = None;
        self.open = None;
        self.throttled = false;
    }

    /// The API asks for a pause: it is up, but serves no requests at present.
    pub(super) fn throttled(&mut self, reason: &Reason, now: Instant) {
        self.since.get_or_insert(now);
        self.last_reason = reason.clone();
        self.throttled = true;
        self.open = None;
    }

    /// A request failed. `wait` returns the time until the next probe, given the number of probes so far.
    pub(super) fn troubled(
        &mut self,
        Failed { key, attempts, delivered, is_isolated }: Failed<'_>,
        reason: &Reason,
        now: Instant,
        wait: impl FnOnce(u32) -> Duration,
    ) {
        self.since.get_or_insert(now);
        self.last_reason = reason.clone();
        self.throttled |= reason.status == Some(503);
        self.streak += 1;
        self.troubled.insert(key);
        let is_throttling = reason.status == Some(503) && self.is_unavailable_to_others(key);
        if self.troubled.len() > 1 || (is_throttling && !is_isolated) {
            self.shared.insert(self.served);
            if self.shared.len() > MOST_SHARED {
                self.shared.pop_first();
            }
        }
        *attempts = Attempts {
            all: attempts.all + 1,
            counted: if attempts.last == Some(self.served) {
                attempts.counted
            } else {
                self.count(*attempts)
            },
            last: Some(self.served),
        };
        if let Some(open) = &mut self.open {
            open.probes += 1;
            open.next_probe = now + wait(open.probes);
        } else if self.streak >= self.streak_of_outage.unwrap_or(STREAK)
            || self.served == 0
            || delivered == Delivered::No
        {
            self.open = Some(Open { probes: 1, next_probe: now + wait(1) });
        }
    }

    /// Records a 503 answer. Returns whether other requests got one recently: then the API asks for fewer requests.
    fn is_unavailable_to_others(&mut self, key: Key) -> bool {
        self.unavailable.push_back((self.served, key));
        if self.unavailable.len() > LATELY {
            self.unavailable.pop_front();
        }
        let since = self.served.saturating_sub(2 * LATELY as u64);
        self.unavailable.iter().any(|(interval, other)| *other != key && *interval >= since)
    }

    /// How many probes failed since the API is considered to be down, the failure that showed it included.
    pub(super) fn probes(&self) -> u32 {
        self.open.as_ref().map_or(0, |open| open.probes)
    }

    /// The time of the next probe, if the API is down.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.next_probe)
    }

    /// Whether the latest request did not fail.
    pub(super) fn is_quiet(&self) -> bool {
        self.streak == 0
    }

    /// How many requests failed in a row.
    pub(super) fn streak(&self) -> u32 {
        self.streak
    }

    /// The last answer that was a failure.
    pub(super) fn reason(&self) -> &Reason {
        &self.last_reason
    }

    /// When to give up on an API that serves no requests, unless that changes, and its last answer.
    pub(super) fn gives_up(&self, max_outage: Duration) -> Option<(Instant, &Reason)> {
        let since = self.since.filter(|_| self.throttled || self.open.is_some())?;
        Some((since + max_outage, &self.last_reason))
    }

    /// Why no more requests may start, if the API serves none for too long, or the pause that it asks for, of which this
    /// is left, lasts too long.
    pub(super) fn reason_to_stop(
        &self,
        max_outage: Duration,
        asked_left: Option<Duration>,
        now: Instant,
    ) -> Option<Stop> {
        let gives_up = self.gives_up(max_outage);
        if let Some((_, reason)) = gives_up.filter(|(at, _)| now >= *at) {
            return Some(Stop::Outage { reason: reason.clone(), after: max_outage });
        }
        let latest = gives_up.map_or(now + max_outage, |(at, _)| at);
        let pause = asked_left.filter(|left| now + *left > latest)?;
        Some(Stop::LongPause { pause, most: max_outage })
    }

    /// How many of these attempts count against the request.
    pub(super) fn count(&self, attempts: Attempts) -> u32 {
        let oldest = self.shared.first().copied().unwrap_or_default();
        let is_forgotten = |interval| self.shared.len() >= MOST_SHARED && interval < oldest;
        let counts = |interval: u64| {
            interval > 0
                && interval < self.served
                && !self.shared.contains(&interval)
                && !is_forgotten(interval)
        };
        attempts.counted + u32::from(attempts.last.is_some_and(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const WAIT: Duration = Duration::from_secs(1);

    fn trouble_of(outage: &mut OutageDetector, key: u32, attempts: &mut Attempts, status: u16) {
        let reason = Reason { status: Some(status), error: String::new() };
        let failed = Failed { key: (key, 0), attempts, delivered: Delivered::Maybe, is_isolated: false };
        outage.troubled(failed, &reason, clock::monotonic_now(), |probes| WAIT * probes);
    }

    fn trouble(outage: &mut OutageDetector, attempts: &mut Attempts, status: u16) {
        trouble_of(outage, 1, attempts, status);
    }

    fn served() -> OutageDetector {
        let mut outage = OutageDetector::default();
        outage.served();
        outage
    }

    #[test]
    fn an_attempt_counts_between_two_requests_that_are_served() {
        let (mut outage, mut attempts) = (served(), Attempts::default());
        for counted in 0..5 {
            for _ in 0..3 {
                trouble(&mut outage, &mut attempts, 500);
                assert_eq!(outage.count(attempts), counted);
            }
            outage.served();
            assert_eq!(outage.count(attempts), counted + 1);
        }
        assert_eq!(attempts.all(), 15);
    }

    #[test]
    fn no_attempt_counts_while_others_fail_too() {
        let (mut outage, mut one, mut other) = (served(), Attempts::default(), Attempts::default());
        for _ in 0..20 {
            trouble_of(&mut outage, 1, &mut one, 500);
            trouble_of(&mut outage, 2, &mut other, 500);
            outage.served();
        }
        assert_eq!((outage.count(one), outage.count(other)), (0, 0));
        trouble_of(&mut outage, 1, &mut one, 500);
        outage.served();
        assert_eq!((outage.count(one), outage.count(other)), (1, 0));
    }

    #[test]
    fn a_pause_may_not_end_later_than_an_outage() {
        let (mut outage, now) = (served(), clock::monotonic_now());
        let reason_to_stop = |outage: &OutageDetector, pause: Option<u32>, after: u32| {
            outage.reason_to_stop(10 * WAIT, pause.map(|pause| pause * WAIT), now + after * WAIT)
        };
        assert_eq!(reason_to_stop(&outage, None, 100), None);
        assert_eq!(reason_to_stop(&outage, Some(10), 100), None);
        let stop = Stop::LongPause { pause: 11 * WAIT, most: 10 * WAIT };
        assert_eq!(reason_to_stop(&outage, Some(11), 100), Some(stop.clone()));
        for _ in 0..STREAK {
            trouble(&mut outage, &mut Attempts::default(), 500);
        }
        assert_eq!(reason_to_stop(&outage, None, 9), None);
        assert_eq!(reason_to_stop(&outage, Some(1), 8), None);
        assert_eq!(reason_to_stop(&outage, Some(11), 9), Some(stop));
        assert!(matches!(reason_to_stop(&outage, Some(3), 8), Some(Stop::LongPause { .. })));
        let stop = reason_to_stop(&outage, Some(1), 11);
        assert!(matches!(stop, Some(Stop::Outage { reason, .. }) if reason.status == Some(500)));
    }

    #[test]
    fn a_streak_opens_it_and_the_first_request_that_is_served_closes_it() {
        let (mut outage, mut attempts, now) = (served(), Attempts::default(), clock::monotonic_now());
        for _ in 1..STREAK {
            trouble(&mut outage, &mut attempts, 500);
            assert_eq!(outage.next_probe(), None);
        }
        trouble(&mut outage, &mut attempts, 500);
        let first = outage.next_probe().unwrap();
        assert!(first >= now + WAIT);
        trouble(&mut outage, &mut attempts, 500);
        assert!(outage.next_probe().unwrap() >= first + WAIT, "probes come at growing intervals");
        assert!(outage.gives_up(60 * WAIT).unwrap().0 >= now + 60 * WAIT);
        outage.served();
        assert_eq!((outage.next_probe(), outage.gives_up(WAIT).is_some()), (None, false));
    }

    #[test]
    fn opens_at_once_without_a_connection_or_before_anyone_was_served() {
        let mut outage = served();
        let failed = Failed {
            key: (1, 0),
            attempts: &mut Attempts::default(),
            delivered: Delivered::No,
            is_isolated: false,
        };
        outage.troubled(failed, &Reason::default(), clock::monotonic_now(), |_| WAIT);
        assert!(outage.next_probe().is_some());
        let mut outage = OutageDetector::default();
        trouble(&mut outage, &mut Attempts::default(), 500);
        assert!(outage.next_probe().is_some());
    }

    #[test]
    fn answers_503_count_for_nobody_while_others_get_them() {
        let (mut outage, mut one, mut other) = (served(), Attempts::default(), Attempts::default());
        for _ in 0..10 {
            trouble_of(&mut outage, 1, &mut one, 503);
            outage.served();
            trouble_of(&mut outage, 2, &mut other, 503);
            outage.served();
        }
        assert!(outage.count(one) <= 1 && outage.count(other) <= 1, "{one:?} {other:?}");
        for _ in 0..2 * LATELY {
            outage.served();
        }
        let mut alone = Attempts::default();
        for counted in 1..5 {
            trouble_of(&mut outage, 3, &mut alone, 503);
            outage.served();
            assert_eq!(outage.count(alone), counted);
        }
    }

    #[test]
    fn the_latest_answers_503_are_compared_and_no_older_ones() {
        let (mut outage, mut one, mut other) = (served(), Attempts::default(), Attempts::default());
        trouble_of(&mut outage, 2, &mut other, 503);
        outage.served();
        for _ in 1..LATELY {
            trouble_of(&mut outage, 1, &mut one, 503);
            outage.served();
        }
        assert_eq!(outage.count(one), 0, "the other one is still among them");
        trouble_of(&mut outage, 1, &mut one, 503);
        outage.served();
        assert_eq!(outage.count(one), 1);
    }

    #[test]
    fn an_answer_503_to_another_request_matters_for_a_while() {
        let (mut outage, mut one, mut other) = (served(), Attempts::default(), Attempts::default());
        trouble_of(&mut outage, 2, &mut other, 503);
        for _ in 0..2 * LATELY {
            outage.served();
        }
        trouble_of(&mut outage, 1, &mut one, 503);
        outage.served();
        assert_eq!(outage.count(one), 0);
        trouble_of(&mut outage, 1, &mut one, 503);
        outage.served();
        assert_eq!(outage.count(one), 1);
    }

    #[test]
    fn an_attempt_before_anything_was_served_does_not_count() {
        let (mut outage, mut attempts) = (OutageDetector::default(), Attempts::default());
        trouble(&mut outage, &mut attempts, 500);
        outage.served();
        assert_eq!(outage.count(attempts), 0);
    }

    #[test]
    fn later_failures_of_others_do_not_undo_an_attempt_that_counts() {
        let (mut outage, mut attempts) = (served(), Attempts::default());
        trouble_of(&mut outage, 3, &mut attempts, 500);
        outage.served();
        for other in [1, 2] {
            trouble_of(&mut outage, other, &mut Attempts::default(), 500);
        }
        outage.served();
        assert_eq!(outage.count(attempts), 1);
    }

    #[test]
    fn an_attempt_does_not_count_once_it_is_forgotten_who_failed_then() {
        let (mut outage, mut attempts) = (served(), Attempts::default());
        trouble_of(&mut outage, 3, &mut attempts, 500);
        for _ in 0..=MOST_SHARED {
            for other in [1, 2] {
                trouble_of(&mut outage, other, &mut Attempts::default(), 500);
            }
            outage.served();
        }
        assert_eq!(outage.shared.len(), MOST_SHARED);
        assert_eq!(outage.count(attempts), 0);
    }

    #[test]
    fn it_says_what_failed_last_and_how_often_in_a_row() {
        let (mut outage, mut attempts) = (served(), Attempts::default());
        assert!(outage.is_quiet() && outage.streak() == 0);
        for (streak, status) in [(1, 500), (2, 502)] {
            trouble(&mut outage, &mut attempts, status);
            assert_eq!((outage.streak(), outage.reason().status), (streak, Some(status)));
            assert!(!outage.is_quiet());
        }
        outage.served();
        assert!(outage.is_quiet() && outage.streak() == 0);
    }

    #[test]
    fn two_failures_are_an_outage_where_one_request_is_sent_at_a_time() {
        let mut outage = OutageDetector::of_single_requests();
        outage.served();
        trouble(&mut outage, &mut Attempts::default(), 500);
        assert_eq!(outage.next_probe(), None);
        trouble(&mut outage, &mut Attempts::default(), 500);
        assert!(outage.next_probe().is_some());
    }

    #[test]
    fn one_answer_503_may_begin_the_time_after_which_a_run_gives_up_and_another_failure_does_not() {
        for (status, gives_up) in [(503, true), (500, false)] {
            let mut outage = served();
            trouble(&mut outage, &mut Attempts::default(), status);
            assert_eq!(outage.gives_up(WAIT).is_some(), gives_up, "{status}");
        }
    }

    #[test]
    fn an_api_that_is_unavailable_more_than_once_is_given_up_too() {
        let (mut outage, mut attempts) = (served(), Attempts::default());
        for _ in 1..STREAK {
            trouble(&mut outage, &mut attempts, 503);
            assert_eq!((outage.next_probe(), outage.gives_up(WAIT).is_some()), (None, true));
        }
    }

    #[test]
    fn an_api_that_only_throttles_is_given_up_too() {
        let (mut outage, now) = (served(), clock::monotonic_now());
        outage.throttled(&Reason::default(), now);
        outage.throttled(&Reason::default(), now + WAIT);
        assert_eq!(outage.gives_up(9 * WAIT).map(|(at, _)| at), Some(now + 9 * WAIT));
    }
}
