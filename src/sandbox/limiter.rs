//! An exact sliding window, for the rate limit and for the busiest window.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The times of the events within the last window. An event that is exactly one window old is outside.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    window: Duration,
    times: VecDeque<Instant>,
}

impl SlidingWindow {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, times: VecDeque::new() }
    }

    /// Records an event at `now` and counts the events in the window that ends there. Times must not decrease.
    pub(super) fn note(&mut self, now: Instant) -> usize {
        self.forget_until(now);
        self.times.push_back(now);
        self.times.len()
    }

    fn forget_until(&mut self, now: Instant) {
        while self.times.front().is_some_and(|&time| now.duration_since(time) >= self.window) {
            self.times.pop_front();
        }
    }
}

/// Admits at most this many requests in any window. Requests that it rejects do not count.
#[derive(Debug)]
pub(super) struct Limiter {
    most: usize,
    admitted: SlidingWindow,
}

impl Limiter {
    pub(super) fn new(most: usize, window: Duration) -> Self {
        Self { most, admitted: SlidingWindow::new(window) }
    }

    /// Admits a request at `now`, or says how long it is until a place gets free. Times must not decrease.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        self.admitted.forget_until(now);
        if self.admitted.times.len() < self.most {
            self.admitted.times.push_back(now);
            return Ok(());
        }
        let window = self.admitted.window;
        Err(self.admitted.times.front().map_or(window, |&oldest| (oldest + window).duration_since(now)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    fn instants(gaps: &[u64]) -> Vec<Instant> {
        let mut now = tokio_epoch();
        let mut times = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(*gap);
            times.push(now);
        }
        times
    }

    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made from nothing")]
    fn tokio_epoch() -> Instant {
        Instant::now()
    }

    proptest! {
        #[test]
        fn admits_exactly_what_a_recount_of_the_window_allows(
            gaps in prop::collection::vec(0_u64..60, 1..200),
            most in 0_usize..8,
        ) {
            let mut limiter = Limiter::new(most, WINDOW);
            let mut admitted: Vec<Instant> = Vec::new();
            for now in instants(&gaps) {
                let inside = admitted.iter().filter(|&&time| now - time < WINDOW);
                let expected = if inside.clone().count() < most {
                    Ok(())
                } else {
                    Err(inside.min().map_or(WINDOW, |&oldest| oldest + WINDOW - now))
                };
                prop_assert_eq!(limiter.admit(now), expected);
                if expected.is_ok() {
                    admitted.push(now);
                }
            }
        }

        #[test]
        fn a_place_is_free_when_the_limiter_said_so_and_not_sooner(
            gaps in prop::collection::vec(0_u64..30, 1..100),
            most in 1_usize..5,
        ) {
            let mut limiter = Limiter::new(most, WINDOW);
            for now in instants(&gaps) {
                if let Err(wait) = limiter.admit(now) {
                    prop_assert!(limiter.admit(now + wait - Duration::from_nanos(1)).is_err());
                    prop_assert!(limiter.admit(now + wait).is_ok());
                    break;
                }
            }
        }

        #[test]
        fn counts_what_a_recount_of_the_window_counts(gaps in prop::collection::vec(0_u64..60, 1..200)) {
            let mut log = SlidingWindow::new(WINDOW);
            let times = instants(&gaps);
            for (nth, now) in times.iter().enumerate() {
                let expected = times.iter().take(nth + 1).filter(|&&time| *now - time < WINDOW).count();
                prop_assert_eq!(log.note(*now), expected);
            }
        }
    }
}
