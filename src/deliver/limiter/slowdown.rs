//! Lowers the rate while the server throttles the run, and raises it again.
//!
//! A request is throttled for one of two reasons. Either it was delayed less on its way than one before it: then the
//! server's window was full of our own requests, and a slightly lower rate is enough. Or other programs use the same limit:
//! then our own requests filled only a part of the window, and that part is our share.
//!
//! The constants were tuned with the simulation in `simulation.rs`. Each throttled request costs a pause of a second, so a
//! rate that is throttled once in a dozen seconds costs about as much as one that stays a twentieth below the limit. Hence
//! the 5% of [`LOWER`] and the dozen windows of [`BACK`].

use std::time::Duration;

use tokio::time::Instant;

/// A throttled request within this many windows of the one before it lowers the rate. A single one does not.
const GOES_ON: f64 = 30.0;

/// If a request is throttled again within this many windows, the pause of a second included, our own requests can't have
/// filled a window yet, so their share of it says nothing.
const SOON: f64 = 1.4;

/// The factor for the rate in that case.
const LOWER_SOON: f64 = 0.8;

/// The factor for the granted share in all other cases.
const LOWER: f64 = 0.95;

/// A window is full of our own requests if they took at least this share of it. Not 1, because the server's window and
/// ours don't start at the same time.
const FULL: f64 = 0.8;

/// One throttled request never lowers the rate below this share: it may have met a short burst of another program.
const LEAST_GRANTED: f64 = 0.3;

/// The lowest share of the rate, at which a run still gets on and notices when the limit is free again.
const LEAST: f64 = 0.02;

/// After this many windows without a throttled request, the rate is back at the value that was throttled, …
const BACK: f64 = 12.0;

/// … or after twice as many each time when the window was full of our own requests, up to this number.
const MOST_BACK: f64 = 60.0;

/// From there it grows by this factor per window, because the other program may have ended.
const RISE: f64 = 1.35;

/// The smallest change of the share, as each change sets up a new limiter.
const STEP: f64 = 0.01;

/// The share of the configured rate that is in use.
#[derive(Debug)]
pub(super) struct Slowdown {
    window: Duration,
    share: f64,
    last_throttled: Option<Instant>,
    lowered: Option<Lowered>,
    /// After how many windows the rate is back.
    back: f64,
}

#[derive(Clone, Copy, Debug)]
struct Lowered {
    at: Instant,
    /// The share that was throttled, …
    from: f64,
    /// … and the one after it.
    to: f64,
}

impl Slowdown {
    /// The whole rate, per window.
    pub(super) fn new(window: Duration) -> Self {
        Self { window, share: 1.0, last_throttled: None, lowered: None, back: BACK }
    }

    /// The share of the rate, above 0 and at most 1.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// A request was throttled that started after the last throttled one was answered. `own` is the share of the window
    /// before it that our own requests took.
    pub(super) fn throttled(&mut self, own: f64, now: Instant) {
        let since = self.last_throttled.map(|last| now.duration_since(last).div_duration_f64(self.window));
        self.last_throttled = Some(now);
        let Some(since) = since.filter(|since| *since <= GOES_ON) else {
            self.back = BACK;
            return;
        };
        self.back =
            if own >= FULL && self.lowered.is_some() { (self.back * 2.0).min(MOST_BACK) } else { BACK };
        let from = if since < SOON {
            self.share * LOWER_SOON
        } else if own >= FULL {
            self.share
        } else {
            self.share.min(own.max(LEAST_GRANTED))
        };
        self.share = (from * LOWER).max(LEAST);
        self.lowered = Some(Lowered { at: now, from, to: self.share });
    }

    /// A request was served.
    pub(super) fn served(&mut self, now: Instant) {
        let Some(Lowered { at, from, to }) = self.lowered else { return };
        let passed = now.duration_since(at).div_duration_f64(self.window);
        let share = if passed < self.back {
            to + (from - to) * passed / self.back
        } else {
            from * RISE.powf(passed - self.back)
        };
        if share >= 1.0 {
            self.share = 1.0;
            self.lowered = None;
        } else if share >= self.share + STEP {
            self.share = share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const WINDOW: Duration = Duration::from_secs(1);

    /// The slowdown after throttled requests at these seconds, each with this share of own requests in its window.
    fn throttled_at(at: &[(f64, f64)]) -> (Slowdown, Instant) {
        let begin = clock::monotonic_now();
        let mut slowdown = Slowdown::new(WINDOW);
        for (seconds, own) in at {
            slowdown.throttled(*own, begin + Duration::from_secs_f64(*seconds));
        }
        (slowdown, begin)
    }

    #[test]
    fn a_refusal_alone_costs_no_pace() {
        assert!((throttled_at(&[(0.0, 1.0)]).0.share() - 1.0).abs() < f64::EPSILON);
        assert!((throttled_at(&[(0.0, 1.0), (31.0, 1.0), (62.0, 0.2)]).0.share() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn refusals_that_go_on_lower_it_to_what_was_granted() {
        let share = |at: &[(f64, f64)]| throttled_at(at).0.share();
        assert!((share(&[(0.0, 1.0), (9.0, 1.0)]) - 0.95).abs() < 1e-9, "our own requests filled the window");
        assert!((share(&[(0.0, 0.5), (2.0, 0.5)]) - 0.475).abs() < 1e-9, "others had half of it");
        assert!((share(&[(0.0, 0.5), (1.1, 0.1)]) - 0.76).abs() < 1e-9, "too soon to know");
        assert!((share(&[(0.0, 0.5), (2.0, 0.1)]) - 0.285).abs() < 1e-9);
        let many: Vec<_> = (0..200).map(|n| (f64::from(n) * 1.1, 0.0)).collect();
        assert!((share(&many) - LEAST).abs() < 1e-9);
    }

    #[test]
    fn a_rate_that_our_own_requests_fill_comes_back_later_each_time_up_to_a_minute() {
        for (times, windows) in [(2_u8, 12.0), (3, 24.0), (4, 48.0), (5, 60.0), (6, 60.0)] {
            let at: Vec<_> = (0..times).map(|n| (f64::from(n) * 9.0, 1.0)).collect();
            let share_after = |windows: f64| {
                let (mut slowdown, begin) = throttled_at(&at);
                slowdown.served(begin + Duration::from_secs_f64(at[at.len() - 1].0 + windows));
                slowdown.share()
            };
            let before_the_last = throttled_at(&at[..at.len() - 1]).0.share();
            assert!(share_after(windows - 1.0) < before_the_last, "{times}");
            assert!(share_after(windows + 1.0) >= (before_the_last * 1.3).min(1.0), "{times}");
        }
    }

    #[test]
    fn it_is_back_in_seconds() {
        let (mut slowdown, begin) = throttled_at(&[(0.0, 0.5), (2.0, 0.5)]);
        let mut at = |seconds| {
            slowdown.served(begin + Duration::from_secs(seconds));
            slowdown.share()
        };
        assert!((at(3) - 0.475).abs() < 1e-9, "so small a change is not worth a new limiter");
        assert!(at(8) > 0.48 && at(13) < 0.51);
        let rising = at(15);
        assert!(rising > 0.6 && rising < 0.7, "{rising}");
        assert!((at(18) - 1.0).abs() < f64::EPSILON);
    }
}
