//! How many requests may be in flight.

use std::num::NonZeroUsize;
use std::time::Duration;

/// The weight of the latest latency in the moving average. At 0.2, about the last ten answers matter: few enough to follow
/// a change within a second at ten a second, and enough that one slow answer doesn't count as a change.
const WEIGHT: f64 = 0.2;

/// How many more than the average need may be in flight, for answers that take longer than the average.
const ROOM: f64 = 1.5;

/// An API that answers within this time is not overloaded, even if it was faster before.
const QUICK: Duration = Duration::from_millis(250);

/// The latency has grown if it is more than this many times the best one. Less is within the usual variation over a day.
const GROWN: f64 = 2.0;

/// With this many in flight or fewer, the load of this run can't be what slows the API down.
const FEW: f64 = 4.0;

/// Each slow answer multiplies the limit by this: 14 of them halve it. Answers to requests that started before the last
/// reduction are slow as well, so a stronger reduction would overshoot.
const BACK_OFF: f64 = 0.95;

/// After this many slow answers with few requests in flight, the API itself has become slower, and its present latency is
/// the new best. Fewer could be one short hiccup.
const CONVINCED: u32 = 8;

/// Limits the requests in flight to what the rate needs and what the API can handle.
///
/// The need follows from Little's law (rate times latency), with a margin for varying latencies. The age of the oldest
/// request in flight counts as a latency, so that an API that suddenly becomes slow is noticed before its first slow answer.
///
/// What the API can handle shows in its latency. While that is higher than at its best, the limit is reduced, because more
/// requests would only wait in the API's own queue. If the API stays slow with few requests in flight, then it has become
/// slower, and the limit rises again.
#[derive(Debug)]
pub(super) struct Concurrency {
    most: usize,
    /// The moving average.
    latency: Option<Duration>,
    /// Its lowest value.
    best: Duration,
    limit: f64,
    /// Slow answers in a row with few requests in flight.
    slow: u32,
}

impl Concurrency {
    #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self { most: most.get(), latency: None, best: Duration::MAX, limit: most.get() as f64, slow: 0 }
    }

    /// Records the latency of an answer.
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

    /// How many requests may be in flight, if one starts every `interval` and the oldest in flight has this `age`.
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
    fn a_few_slow_answers_are_not_taken_for_an_api_that_stays_slow() {
        let slow = |answers: usize| [vec![20; 50], vec![3000; answers]].concat();
        // After 55 slow answers few requests are in flight.
        let convinced = 55 + CONVINCED as usize;
        assert_eq!(size(&window(64, &slow(convinced))), 4);
        assert_eq!(size(&window(64, &slow(convinced + 3))), 7);
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
