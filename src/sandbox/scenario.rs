//! Decides which request meets which fault.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fault::{ErrorBody, Fault, FaultKind, Moment};
use super::options::{Options, Outage, OutageKind};

/// How the sandbox treats one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behavior {
    pub(super) delay: Duration,
    pub(super) fault: Option<Fault>,
}

/// Decides how each request is treated: a pure function of the options, the request's number and its time.
#[derive(Debug)]
pub(super) struct Scenario {
    script: Vec<Option<Fault>>,
    outages: Vec<Outage>,
    latency: Duration,
    jitter: Duration,
    shares: Shares,
    seed: u64,
}

/// The share of requests, from 0 to 1, that meets each kind of fault.
#[derive(Clone, Copy, Debug)]
struct Shares {
    error: f64,
    drop: f64,
    stall: f64,
}

impl Scenario {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            script: options.script.clone(),
            outages: options.outages.clone(),
            latency: options.latency,
            jitter: options.latency_jitter,
            shares: Shares { error: options.error_rate, drop: options.drop_rate, stall: options.stall_rate },
            seed: options.seed,
        }
    }

    /// The kind of outage at this time after the start, if there is one.
    pub(super) fn outage(&self, since_start: Duration) -> Option<OutageKind> {
        let now = |outage: &&Outage| {
            since_start.checked_sub(outage.start).is_some_and(|since_outage| since_outage < outage.length)
        };
        self.outages.iter().find(now).map(|outage| outage.kind)
    }

    /// How the request of this number is treated. Requests that pass the rate limit are numbered from 0.
    pub(super) fn behavior(&self, number: u64) -> Behavior {
        // Each request has its own generator, so that it does not depend on how many numbers others drew.
        let mut rng = StdRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let delay = self.latency + self.jitter.mul_f64(rng.random());
        let chance = self.shares.draw(&mut rng);
        let scripted = usize::try_from(number).ok().and_then(|number| self.script.get(number));
        Behavior { delay, fault: scripted.copied().unwrap_or(chance) }
    }
}

impl Shares {
    fn draw(self, rng: &mut StdRng) -> Option<Fault> {
        let lot: f64 = rng.random();
        let kind = if lot < self.error {
            let status = [500, 502, 503][rng.random_range(0..3)];
            let body = if rng.random() { ErrorBody::Json } else { ErrorBody::Html };
            FaultKind::Error(status, body)
        } else if lot < self.error + self.drop {
            FaultKind::Drop
        } else if lot < self.error + self.drop + self.stall {
            FaultKind::Stall
        } else {
            return None;
        };
        let moment = if rng.random() { Moment::BeforeApplying } else { Moment::AfterApplying };
        Some(Fault { kind, moment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty() -> Options {
        Options { error_rate: 0.2, drop_rate: 0.1, stall_rate: 0.1, seed: 7, ..Options::default() }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let behaviors = |seed| {
            let scenario =
                Scenario::new(&Options { seed, latency_jitter: Duration::from_millis(9), ..faulty() });
            (0..500).map(|number| scenario.behavior(number)).collect::<Vec<_>>()
        };
        assert_eq!(behaviors(7), behaviors(7));
        assert_ne!(behaviors(7), behaviors(8));
    }

    #[test]
    fn shares_of_faults_are_as_asked_for_and_half_of_each_come_after_applying() {
        let scenario = Scenario::new(&faulty());
        let faults: Vec<Fault> = (0..10_000).filter_map(|number| scenario.behavior(number).fault).collect();
        let count = |kind: fn(FaultKind) -> bool, moment| {
            faults.iter().filter(|fault| kind(fault.kind) && fault.moment == moment).count()
        };
        for moment in [Moment::BeforeApplying, Moment::AfterApplying] {
            assert!((900..1100).contains(&count(|kind| matches!(kind, FaultKind::Error(..)), moment)));
            assert!((420..580).contains(&count(|kind| kind == FaultKind::Drop, moment)));
            assert!((420..580).contains(&count(|kind| kind == FaultKind::Stall, moment)));
        }
        for status in [500, 502, 503] {
            for body in [ErrorBody::Json, ErrorBody::Html] {
                assert!(faults.iter().any(|fault| fault.kind == FaultKind::Error(status, body)));
            }
        }
    }

    #[test]
    fn a_friendly_server_has_no_faults_and_no_delays() {
        let scenario = Scenario::new(&Options::default());
        assert!(
            (0..1000)
                .all(|number| scenario.behavior(number) == Behavior { delay: Duration::ZERO, fault: None })
        );
        assert_eq!(scenario.outage(Duration::ZERO), None);
    }

    #[test]
    fn the_script_goes_before_chance() {
        let fault = Fault { kind: FaultKind::Drop, moment: Moment::AfterApplying };
        let script = vec![None, Some(fault)];
        let scenario = Scenario::new(&Options { script, error_rate: 1.0, ..Options::default() });
        assert_eq!(scenario.behavior(0).fault, None);
        assert_eq!(scenario.behavior(1).fault, Some(fault));
        assert!(matches!(scenario.behavior(2).fault, Some(Fault { kind: FaultKind::Error(..), .. })));
    }

    #[test]
    fn an_outage_has_a_start_and_an_end() {
        let second = Duration::from_secs(1);
        let outage = Outage { start: second, length: second, kind: OutageKind::Unavailable };
        let scenario = Scenario::new(&Options { outages: vec![outage], ..Options::default() });
        assert_eq!(scenario.outage(Duration::from_millis(999)), None);
        assert_eq!(scenario.outage(second), Some(OutageKind::Unavailable));
        assert_eq!(scenario.outage(second + second), None);
    }

    #[test]
    fn delays_stay_between_the_latency_and_its_jitter() {
        let (latency, jitter) = (Duration::from_millis(20), Duration::from_millis(5));
        let scenario = Scenario::new(&Options { latency, latency_jitter: jitter, ..Options::default() });
        assert!(
            (0..1000).all(|number| (latency..=latency + jitter).contains(&scenario.behavior(number).delay))
        );
    }
}
