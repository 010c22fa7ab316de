//! How fast the run is, over the last seconds.

use std::time::Duration;

use tokio::time::Instant;

use super::window::{Window, real};
use crate::deliver::{Status, Waiting};
use crate::report::Requests;

/// Requests per second, over the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    samples: Window<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    sent: u64,
    first: u64,
    read_back: u64,
}

impl Speed {
    /// Takes how many requests there are now.
    pub(crate) fn sample(&mut self, at: Instant, requests: &Requests) {
        self.samples.sample(
            at,
            Point { sent: requests.sent, first: first_tries(requests), read_back: requests.read_back },
        );
    }

    /// Requests started per second.
    pub(crate) fn rate(&self) -> f64 {
        self.samples.per_second(|sample| sample.sent)
    }

    /// How long the rest of the plan will take. During a pause, that is the pause and then the pace in force. Nobody knows
    /// how long an outage takes.
    pub(crate) fn time_left(&self, requests: &Requests, status: &Status) -> Option<Duration> {
        let left = real(Self::in_all(requests, status) - requests.sent);
        let (wait, rate) = match status.waiting {
            Some((Waiting::Pause, wait)) => (wait, status.rate),
            Some((Waiting::Outage, _)) => return None,
            None => (Duration::ZERO, self.samples.per_second(|sample| sample.first + sample.read_back)),
        };
        let sending = Duration::try_from_secs_f64(left / rate).ok()?;
        wait.checked_add(sending)
    }

    /// Requests started, and those of the plan and of reading back that are still to come.
    pub(crate) fn in_all(requests: &Requests, status: &Status) -> u64 {
        let to_read_back = status.reading_back.map_or(0, |reading| reading.requests_left);
        requests.sent + requests.planned.saturating_sub(first_tries(requests)) + to_read_back
    }
}

fn first_tries(requests: &Requests) -> u64 {
    let others = requests.retried + requests.split + requests.checks + requests.read_back;
    requests.sent.saturating_sub(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(sent: u64, retried: u64) -> Requests {
        Requests { planned: 1000, sent, retried, ..Requests::default() }
    }

    fn steady(seconds: u32, retried_share: u64) -> (Speed, Requests) {
        let mut speed = Speed::default();
        let start = crate::clock::monotonic_now();
        let mut now = requests(0, 0);
        for quarter in 0..=4 * seconds {
            now = requests(u64::from(quarter) * 4, u64::from(quarter) * retried_share);
            speed.sample(start + Duration::from_millis(250) * quarter, &now);
        }
        (speed, now)
    }

    fn status(held: Option<(Waiting, Duration)>) -> Status {
        let (slowed, reason, gives_up) = (crate::deliver::Slowed::No, None, None);
        Status { in_flight: 1, rate: 8.0, slowed, waiting: held, reason, gives_up, reading_back: None }
    }

    #[test]
    fn retries_are_fast_but_bring_the_end_no_nearer() {
        let (speed, now) = steady(10, 2);
        assert!((speed.rate() - 16.0).abs() < 1e-9);
        // 160 sent, of which 80 retried: 920 are left, at 8 a second.
        assert_eq!(speed.time_left(&now, &status(None)), Some(Duration::from_secs(115)));
    }

    #[test]
    fn requests_started_are_never_more_than_all() {
        assert_eq!(Speed::in_all(&requests(0, 0), &status(None)), 1000);
        assert_eq!(Speed::in_all(&requests(160, 80), &status(None)), 1080);
        assert_eq!(Speed::in_all(&requests(1080, 80), &status(None)), 1080);
    }

    #[test]
    fn a_wait_comes_before_the_rest() {
        let (speed, now) = steady(10, 0);
        let held = Some((Waiting::Pause, Duration::from_secs(12)));
        assert_eq!(speed.time_left(&now, &status(held)), Some(Duration::from_secs(12 + 105)));
        let held = Some((Waiting::Outage, Duration::from_secs(12)));
        assert_eq!(speed.time_left(&now, &status(held)), None);
    }

    #[test]
    fn at_the_start_there_is_no_telling() {
        let (speed, now) = steady(0, 0);
        assert!(speed.rate().abs() < 1e-9);
        assert_eq!(speed.time_left(&now, &status(None)), None);
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let (speed, _) = steady(100, 0);
        assert!(speed.samples.len() <= 22);
    }
}
