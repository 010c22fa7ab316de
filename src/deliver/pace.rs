//! How much of the allowed rate is used.

use std::time::Duration;

use tokio::time::Instant;

/// Two throttlings within this time are no accident: somebody else uses the same key.
const REPEATED: Duration = Duration::from_mins(1);

/// What a repeated throttling leaves of the pace.
const LOWER: f64 = 0.7;

/// The least share of the rate.
const LEAST: f64 = 0.02;

/// How long no throttling must come for the pace to be raised, …
const QUIET: Duration = Duration::from_secs(5);

/// … by this share of the rate.
const RAISE: f64 = 0.05;

/// The share of the allowed rate that is used: lowered by a factor when throttlings repeat, raised step by step in quiet
/// times. Integrations that share a key in this way come to share its limit.
#[derive(Debug)]
pub(super) struct Pace {
    share: f64,
    throttled: Option<Instant>,
    changed: Option<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { share: 1.0, throttled: None, changed: None }
    }

    /// The share of the rate, above 0 and at most 1.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// A request that started at `sent` was throttled. Those that had started before the pace was last lowered say
    /// nothing new. Returns whether the pace changed.
    pub(super) fn throttled(&mut self, sent: Instant, now: Instant) -> bool {
        let known = self.throttled.is_some_and(|last| sent <= last);
        let repeated = self.throttled.is_some_and(|last| now.duration_since(last) <= REPEATED);
        if known {
            return false;
        }
        self.throttled = Some(now);
        self.changed = Some(now);
        if !repeated {
            return false;
        }
        self.share = (self.share * LOWER).max(LEAST);
        true
    }

    /// A request was served at this time. Returns whether the pace changed.
    pub(super) fn served(&mut self, now: Instant) -> bool {
        if self.share >= 1.0 || self.changed.is_some_and(|at| now.duration_since(at) < QUIET) {
            return false;
        }
        self.changed = Some(now);
        self.share = (self.share + RAISE).min(1.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn repeated_throttling_lowers_the_pace_and_quiet_raises_it() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new();
        assert!(!pace.throttled(at(0), at(1)), "once is an accident");
        assert!(!pace.throttled(at(0), at(1)), "on its way at the same time");
        assert!(pace.throttled(at(3), at(4)));
        assert!((pace.share() - LOWER).abs() < 1e-9);
        assert!(!pace.served(at(5)));
        assert!(pace.served(at(9)) && !pace.served(at(10)));
        assert!((pace.share() - LOWER - RAISE).abs() < 1e-9);
        for n in 0..100 {
            pace.served(at(20 + 5 * n));
        }
        assert!((pace.share() - 1.0).abs() < 1e-9);
        for n in 0..100 {
            pace.throttled(at(1000 + n), at(1001 + n));
        }
        assert!((pace.share() - LEAST).abs() < 1e-9);
    }
}
