//! Whether the API serves anyone, and which attempts count.
//!
//! When the API serves nobody, that is not the fault of any request. So what counts is an attempt that failed between two
//! requests that were served, while nothing else failed ([`OutageDetector::count`]): then it was this request. Of attempts
//! in a row without anyone served between them only one counts, and where others failed as well none does, because that
//! may have been an outage, or the API asking for fewer requests.
//!
//! After a streak of troubles (or at once where not even a connection comes about, or before anyone was served) the
//! API is taken to be away. Then one request at a time is sent, at growing intervals; the first one that is served ends it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::event::Reason;
use super::transport::Delivered;

/// A streak of this many troubles is an outage. Fewer come by chance too often: with three in ten requests failing at
/// random, eight in a row come once in 15,000 requests, and each time costs a pause.
const STREAK: u32 = 8;

/// How many stretches without service are remembered in which more than one request failed.
const MOST_SHARED: usize = 10_000;

/// How many answers `503` are looked back to.
const LATELY: usize = 16;

/// What a request is for: a group, and the place of its first user.
pub(super) type Key = (u32, u32);

/// Whether the API serves anyone.
#[derive(Debug, Default)]
pub(super) struct OutageDetector {
    /// Requests that were served. The time between two of them is a stretch, numbered by the first.
    served: u64,
    /// The troubles since the last one.
    streak: u32,
    /// Whose they are.
    troubled: BTreeSet<Key>,
    /// The latest answers `503`: in which stretch, and whose.
    unavailable: VecDeque<(u64, Key)>,
    /// Stretches in which more than one request failed.
    shared: BTreeSet<u64>,
    /// When the first trouble of the streak, or the first throttling since, came.
    since: Option<Instant>,
    /// The last one.
    last_reason: Reason,
    open: Option<Open>,
    throttled: bool,
}

#[derive(Debug)]
struct Open {
    probes: u32,
    next_probe: Instant,
}

/// The attempts of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    all: u32,
    counted: u32,
    /// The stretch of the last one, which counts if others turn out to be served.
    last: Option<u64>,
}

impl Attempts {
    /// All that ended in trouble.
    pub(super) fn all(self) -> u32 {
        self.all
    }
}

impl OutageDetector {
    /// A request was answered by an API at work, well or not.
    pub(super) fn served(&mut self) {
        self.served += 1;
        self.streak = 0;
        self.troubled.clear();
        self.since = None;
        self.open = None;
        self.throttled = false;
    }

    /// The API asks for a pause: it is there, but serves nobody either.
    pub(super) fn throttled(&mut self, reason: &Reason, now: Instant) {
        self.since.get_or_insert(now);
        self.last_reason = reason.clone();
        self.throttled = true;
        self.open = None;
    }

    /// A request ended in trouble. `wait` is how long to wait before the next probe, given how many there were.
    pub(super) fn troubled(
        &mut self,
        (key, attempts): (Key, &mut Attempts),
        delivered: Delivered,
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
        if self.troubled.len() > 1 || is_throttling {
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
        } else if self.streak >= STREAK || self.served == 0 || delivered == Delivered::No {
            self.open = Some(Open { probes: 1, next_probe: now + wait(1) });
        }
    }

    /// Notes an answer `503`. Whether others got it lately: then the API asks all for fewer requests.
    fn is_unavailable_to_others(&mut self, key: Key) -> bool {
        self.unavailable.push_back((self.served, key));
        if self.unavailable.len() > LATELY {
            self.unavailable.pop_front();
        }
        let since = self.served.saturating_sub(2 * LATELY as u64);
        self.unavailable.iter().any(|(stretch, other)| *other != key && *stretch >= since)
    }

    /// When the next probe is due, if the API is away.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.next_probe)
    }

    /// Whether anyone was served since the last trouble.
    pub(super) fn is_quiet(&self) -> bool {
        self.streak == 0
    }

    /// The troubles in a row.
    pub(super) fn streak(&self) -> u32 {
        self.streak
    }

    /// Why nobody is served.
    pub(super) fn reason(&self) -> &Reason {
        &self.last_reason
    }

    /// When to give up on an API that serves nobody, if nothing changes, and what it said last.
    pub(super) fn gives_up(&self, max_outage: Duration) -> Option<(Instant, &Reason)> {
        let since = self.since.filter(|_| self.throttled || self.open.is_some())?;
        Some((since + max_outage, &self.last_reason))
    }

    /// How many attempts count.
    pub(super) fn count(&self, attempts: Attempts) -> u32 {
        let oldest = self.shared.first().copied().unwrap_or_default();
        let is_forgotten = |stretch| self.shared.len() >= MOST_SHARED && stretch < oldest;
        let counts = |stretch: u64| {
            stretch > 0 && stretch < self.served && !self.shared.contains(&stretch) && !is_forgotten(stretch)
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
        outage.troubled(((key, 0), attempts), Delivered::Maybe, &reason, clock::monotonic_now(), |probes| {
            WAIT * probes
        });
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
    fn a_streak_opens_it_and_the_first_request_that_is_served_closes_it() {
        let (mut outage, mut attempts, now) = (served(), Attempts::default(), clock::monotonic_now());
        for _ in 1..STREAK {
            trouble(&mut outage, &mut attempts, 500);
            assert_eq!(outage.next_probe(), None);
        }
        trouble(&mut outage, &mut attempts, 500);
        let first = outage.next_probe().unwrap();
        trouble(&mut outage, &mut attempts, 500);
        assert!(outage.next_probe().unwrap() > first, "probes come at growing intervals");
        assert!(outage.gives_up(60 * WAIT).unwrap().0 >= now + 60 * WAIT);
        outage.served();
        assert_eq!((outage.next_probe(), outage.gives_up(WAIT).is_some()), (None, false));
    }

    #[test]
    fn opens_at_once_without_a_connection_or_before_anyone_was_served() {
        let mut outage = served();
        let (nowhere, reason) = (Delivered::No, Reason::default());
        outage
            .troubled(((1, 0), &mut Attempts::default()), nowhere, &reason, clock::monotonic_now(), |_| WAIT);
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
    fn an_api_that_only_throttles_is_given_up_too() {
        let (mut outage, now) = (served(), clock::monotonic_now());
        outage.throttled(&Reason::default(), now);
        outage.throttled(&Reason::default(), now + WAIT);
        assert_eq!(outage.gives_up(9 * WAIT).map(|(at, _)| at), Some(now + 9 * WAIT));
    }
}
