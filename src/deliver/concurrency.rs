//! How many requests are in flight.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How much the latest latency counts in the mean.
const WEIGHT: f64 = 0.2;

/// How many more than the pace needs on average.
const ROOM: f64 = 1.5;

/// Answers that take no longer than this need no help, whatever they took before.
const QUICK: Duration = Duration::from_millis(250);

/// Latency has grown when it is more than so many times what it was at its best.
const GROWN: f64 = 2.0;

/// Fewer in flight than these can't be what slows an API down.
const FEW: f64 = 4.0;

/// What each answer of a slowed-down API leaves of the limit.
const BACK_OFF: f64 = 0.95;

/// After so many slow answers with few in flight it is the API that has changed.
const CONVINCED: u32 = 8;

/// Finds how many requests must be in flight to hold a pace, and how many the API bears.
///
/// The need is Little's law, with some room for latencies that differ. What is in flight counts with its age, so that an
/// API that becomes slow all at once is noticed before its first slow answer.
///
/// What the API bears is found by its latency: when that grows, fewer are let in flight until it is back, for more would
/// only queue up there. An API that stays slow with few in flight is just slower than it was.
#[derive(Debug)]
pub(super) struct Concurrency {
    most: usize,
    /// The mean of late.
    latency: Option<Duration>,
    /// The mean at its best.
    best: Duration,
    limit: f64,
    /// Slow answers in a row with few in flight.
    slow: u32,
}

impl Concurrency {
    #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self { most: most.get(), latency: None, best: Duration::MAX, limit: most.get() as f64, slow: 0 }
    }

    /// An answer came after this long.
    pub(super) fn observe(&mut self, latency: Duration) {
        let mean = self.latency.map_or(latency, |mean| mean.mul_f64(1.0 - WEIGHT) + latency.mul_f64(WEIGHT));
        self.latency = Some(mean);
        self.best = self.best.min(mean);
        if mean <= self.best.mul_f64(GROWN).max(QUICK) {
            self.slow = 0;
            self.limit += 1.0;
        } else if self.limit > FEW {
            self.limit *= BACK_OFF;
        } else {
            self.slow += 1;
            if self.slow == CONVINCED {
                self.slow = 0;
                self.best = mean;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let most = self.most as f64;
        self.limit = self.limit.clamp(FEW.min(most), most);
    }

    /// The most requests in flight at a start every `interval`, if the oldest one there is `age` old.
    pub(super) fn size(&self, interval: Duration, age: Duration) -> usize {
        let Some(latency) = self.latency else { return self.most };
        let needed = latency.max(age).div_duration_f64(interval) * ROOM + 1.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to `most`")]
        let size = needed.min(self.limit).ceil() as usize;
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(most: usize, answers: &[u64]) -> Concurrency {
        let mut window = Concurrency::new(NonZeroUsize::new(most).unwrap());
        for millis in answers {
            window.observe(Duration::from_millis(*millis));
        }
        window
    }

    fn size(window: &Concurrency) -> usize {
        window.size(Duration::from_millis(100), Duration::ZERO)
    }

    #[test]
    fn as_many_are_in_flight_as_the_pace_needs() {
        assert_eq!(size(&window(64, &[20; 50])), 2);
        assert_eq!(size(&window(64, &[3000; 50])), 46);
        assert_eq!(size(&window(16, &[3000; 50])), 16);
        assert_eq!(window(16, &[20; 50]).size(Duration::from_millis(100), Duration::from_millis(800)), 13);
    }

    #[test]
    fn fewer_are_in_flight_when_latency_grows_and_as_many_as_before_when_it_is_back() {
        let mut answers = vec![300; 20];
        answers.extend([2000; 10]);
        let slowed = size(&window(64, &answers));
        answers.extend([2000; 40]);
        assert!(size(&window(64, &answers[..60])) < slowed);
        answers.truncate(40);
        answers.extend([300; 80]);
        assert_eq!(size(&window(64, &answers)), 6);
    }

    #[test]
    fn an_api_that_stays_slow_is_not_starved_for_ever() {
        let mut answers = vec![20; 50];
        answers.extend([3000; 160]);
        assert_eq!(size(&window(64, &answers)), 46);
    }

    #[test]
    fn never_none_and_never_more_than_allowed() {
        for most in [1, 2, 16] {
            for millis in [0, 1, 100, 10_000, 1_000_000] {
                let size = size(&window(most, &[1, millis, millis, millis]));
                assert!((1..=most).contains(&size), "{size}");
            }
        }
    }
}
