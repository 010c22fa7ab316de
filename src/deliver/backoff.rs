//! How long to wait before the next attempt.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

use super::options::Options;
use super::verdict::Reason;

/// How long to wait after this many attempts: anything up to a bound that doubles each time ("full jitter"), so that
/// requests that failed together don't come back together.
pub(super) fn backoff(options: &Options, attempts: u32, chance: &mut impl Rng) -> Duration {
    bound(options, attempts).mul_f64(chance.random())
}

/// How long to wait before the next probe during an outage: at least half of the bound. Only one probe is in flight at a
/// time, so the jitter is not needed to keep them apart.
pub(super) fn probe_wait(options: &Options, probes: u32, chance: &mut impl Rng) -> Duration {
    (bound(options, probes) + backoff(options, probes, chance)) / 2
}

/// The longest wait after this many attempts.
pub(super) fn bound(options: &Options, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    options.retry_initial_delay.saturating_mul(1 << doublings).min(options.retry_max_delay)
}

/// The reason of users that fail because no attempts are left.
pub(super) fn exhausted(attempts: u32, since: Instant, reason: &Reason, now: Instant) -> Reason {
    let attempts = match attempts {
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    };
    let took = now.duration_since(since).as_secs();
    Reason { status: reason.status, error: format!("gave up after {attempts} in {took}s: {}", reason.error) }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::clock;

    #[test]
    fn the_reason_says_how_often_it_was_tried_and_for_how_long() {
        let now = clock::monotonic_now();
        let reason = Reason { status: Some(502), error: "502 Bad Gateway".into() };
        let error =
            |attempts, seconds| exhausted(attempts, now, &reason, now + Duration::from_secs(seconds)).error;
        assert_eq!(error(1, 0), "gave up after 1 attempt in 0s: 502 Bad Gateway");
        assert_eq!(error(5, 31), "gave up after 5 attempts in 31s: 502 Bad Gateway");
        assert_eq!(exhausted(1, now, &reason, now).status, Some(502));
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
            let probe = probe_wait(&options, attempts, &mut chance);
            assert!(probe >= most / 2 && probe <= most);
        }
    }
}
