//! What to do about an answer: one pure decision, apart from any waiting, sending or counting.
//!
//! Time and chance are handed in. What other batches go through is none of its business: that is the
//! [`Circuit`](super::circuit)'s, which sees to it that attempts made while the API served nobody don't count here.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

use super::event::{Reason, Stop};
use super::options::Options;
use super::verdict::Verdict;

/// What was tried so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// How many attempts count, the one just answered included.
    pub attempts: u32,
    /// When the first one started.
    pub since: Instant,
    /// How many users the request is for.
    pub users: u32,
}

/// What to do about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it is acknowledged.
    Accept,
    /// Try the same again, not before this time.
    Retry {
        /// The earliest start.
        at: Instant,
        /// Why.
        reason: Reason,
    },
    /// Find the users, or the size, that cause it.
    Split {
        /// Why.
        reason: Reason,
    },
    /// These users fail.
    GiveUp {
        /// Why.
        reason: Reason,
    },
    /// The whole run can't go on.
    StopRun {
        /// Why.
        stop: Stop,
    },
}

/// Decides what to do about a verdict.
pub fn decide(
    options: &Options,
    history: History,
    verdict: &Verdict,
    now: Instant,
    chance: &mut impl Rng,
) -> Decision {
    match verdict.clone() {
        Verdict::Acknowledged => Decision::Accept,
        Verdict::KeyRefused(reason) => Decision::StopRun { stop: Stop::KeyRefused(reason) },
        Verdict::Refused(reason) if history.users > 1 => Decision::Split { reason },
        Verdict::Refused(reason) | Verdict::Hopeless(reason) => Decision::GiveUp { reason },
        // The pause is the pool's: all wait for its end, and this one no longer than the others.
        Verdict::Throttled { reason, .. } => Decision::Retry { at: now, reason },
        Verdict::Troubled { reason, .. } if history.attempts >= options.max_attempts.get() => {
            Decision::GiveUp { reason: exhausted(history, reason, now) }
        }
        Verdict::Troubled { reason, .. } => {
            Decision::Retry { at: now + backoff(options, history.attempts, chance), reason }
        }
    }
}

/// How long to wait after this many attempts: anything up to a bound that doubles each time ("full jitter"), so that
/// requests that failed together don't come back together.
pub(super) fn backoff(options: &Options, attempts: u32, chance: &mut impl Rng) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    let most = options.retry_initial_delay.saturating_mul(1 << doublings).min(options.retry_max_delay);
    most.mul_f64(chance.random())
}

fn exhausted(history: History, reason: Reason, now: Instant) -> Reason {
    let Reason { status, error } = reason;
    let attempts = match history.attempts {
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    };
    let took = now.duration_since(history.since).as_secs();
    Reason { status, error: format!("gave up after {attempts} in {took}s: {error}") }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::transport::Reach;
    use super::*;
    use crate::clock;

    fn reason() -> Reason {
        Reason { status: Some(500), error: "500".into() }
    }

    fn decision(verdict: &Verdict, attempts: u32, users: u32) -> (Decision, Instant) {
        let options = Options { max_attempts: NonZeroU32::new(3).unwrap(), ..Options::default() };
        let since = clock::now();
        let now = since + Duration::from_secs(31);
        let history = History { attempts, since, users };
        (decide(&options, history, verdict, now, &mut StdRng::seed_from_u64(1)), now)
    }

    #[test]
    fn the_truth_table() {
        let troubled = Verdict::Troubled { reach: Reach::Perhaps, reason: reason() };
        let throttled = Verdict::Throttled { pause: None, reason: reason() };
        assert_eq!(decision(&Verdict::Acknowledged, 1, 5).0, Decision::Accept);
        assert_eq!(
            decision(&Verdict::KeyRefused(reason()), 1, 5).0,
            Decision::StopRun { stop: Stop::KeyRefused(reason()) }
        );
        assert_eq!(decision(&Verdict::Refused(reason()), 1, 5).0, Decision::Split { reason: reason() });
        assert_eq!(decision(&Verdict::Refused(reason()), 1, 1).0, Decision::GiveUp { reason: reason() });
        assert_eq!(decision(&Verdict::Hopeless(reason()), 1, 5).0, Decision::GiveUp { reason: reason() });
        for attempts in 1..10 {
            let (decision, now) = decision(&throttled, attempts, 5);
            assert_eq!(
                decision,
                Decision::Retry { at: now, reason: reason() },
                "throttling uses up no attempts"
            );
        }
        for attempts in 1..3 {
            assert!(matches!(decision(&troubled, attempts, 5).0, Decision::Retry { .. }));
        }
        let Decision::GiveUp { reason } = decision(&troubled, 3, 5).0 else { panic!("goes on") };
        assert_eq!(reason.error, "gave up after 3 attempts in 31s: 500");
    }

    #[test]
    fn waits_grow_up_to_their_bound_and_differ() {
        let options = Options::default();
        let mut chance = StdRng::seed_from_u64(7);
        for attempts in 1..40u32 {
            let most = options
                .retry_initial_delay
                .mul_f64(2f64.powi(attempts.cast_signed() - 1))
                .min(options.retry_max_delay);
            let waits: Vec<_> = (0..500).map(|_| backoff(&options, attempts, &mut chance)).collect();
            let longest = *waits.iter().max().unwrap();
            assert!(longest <= most && longest > most.mul_f64(0.95), "{attempts}: {longest:?} of {most:?}");
            assert!(*waits.iter().min().unwrap() < most.mul_f64(0.05));
        }
    }
}
