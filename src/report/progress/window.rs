//! What was counted over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Counts at different times, over the last [`Window::LENGTH`].
#[derive(Debug)]
pub(super) struct Window<T> {
    samples: VecDeque<(Instant, T)>,
}

impl<T> Window<T> {
    const LENGTH: Duration = Duration::from_secs(5);
    /// Over a shorter time the rate is not reliable.
    const LEAST: Duration = Duration::from_millis(500);

    /// Takes what is counted now.
    pub(super) fn sample(&mut self, at: Instant, counted: T) {
        self.samples.push_back((at, counted));
        while self.samples.get(1).is_some_and(|(second, _)| at - *second >= Self::LENGTH) {
            self.samples.pop_front();
        }
    }

    /// By how much a count has grown per second.
    pub(super) fn per_second(&self, count: impl Fn(&T) -> u64) -> f64 {
        let (Some((begin, oldest)), Some((end, newest))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let time = *end - *begin;
        if time < Self::LEAST {
            return 0.0;
        }
        real(count(newest).saturating_sub(count(oldest))) / time.as_secs_f64()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { samples: VecDeque::new() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}
