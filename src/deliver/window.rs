//! How many requests are in flight.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How much the latest latency counts in the mean.
const WEIGHT: f64 = 0.2;

/// How many more than the pace needs on average.
const ROOM: f64 = 1.5;

/// Finds how many requests must be in flight to hold a pace: Little's law, with some room for latencies that differ.
///
/// What is in flight already counts with its age, so that an API that becomes slow all at once is noticed before its
/// first slow answer.
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    latency: Option<Duration>,
}

impl Window {
    pub(super) fn new(most: NonZeroUsize) -> Self {
        Self { most: most.get(), latency: None }
    }

    /// An answer came after this long.
    pub(super) fn observe(&mut self, latency: Duration) {
        let mean = self.latency.map_or(latency, |mean| mean.mul_f64(1.0 - WEIGHT) + latency.mul_f64(WEIGHT));
        self.latency = Some(mean);
    }

    /// The most requests in flight at a start every `interval`, if the oldest one there is `age` old.
    pub(super) fn size(&self, interval: Duration, age: Duration) -> usize {
        let Some(latency) = self.latency else { return self.most };
        let needed = latency.max(age).div_duration_f64(interval) * ROOM;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is cut to `most`")]
        let needed = needed.min(1e9).ceil() as usize + 1;
        needed.min(self.most)
    }
}
