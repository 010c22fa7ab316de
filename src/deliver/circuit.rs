//! Whether the API serves anybody.
//!
//! When it doesn't, that is not the batches' doing. The circuit opens after a streak of troubles without a single answer
//! between them that shows the API at work, over several batches (one batch that the server chokes on is no outage), or
//! at once where not even a connection comes about. Open, it lets one request through now and then, at growing
//! intervals; the first one that is served closes it. Attempts that fell into such a streak count for no batch.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::event::Reason;
use super::transport::Reach;
use crate::plan::Batch;

/// So many troubles in a row, …
const TROUBLES: usize = 8;

/// … of so many different batches, are an outage.
const BATCHES: usize = 3;

/// Whether the API serves anybody.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    /// Counts the times between one served request and the next.
    epoch: u64,
    /// The epochs in which the circuit opened.
    forgiven: HashSet<u64>,
    /// The troubles since the last request that was served.
    streak: usize,
    troubled: HashSet<Batch>,
    /// When the first of these, or the first throttling since, was told.
    unserved_since: Option<Instant>,
    last_reason: Reason,
    open: Option<Open>,
    throttled: bool,
}

#[derive(Debug)]
struct Open {
    probes: u32,
    next_probe: Instant,
}

/// The attempts of one batch, of which those in an outage don't count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    /// From epochs that are over.
    counted: u32,
    /// From `epoch`, which may yet turn out to be an outage.
    provisional: u32,
    epoch: u64,
}

impl Circuit {
    /// A request was answered by an API at work, well or not.
    pub(super) fn served(&mut self) {
        self.epoch += 1;
        self.streak = 0;
        self.troubled.clear();
        self.unserved_since = None;
        self.open = None;
        self.throttled = false;
    }

    /// The API asks for a pause: it is there, but serves nobody either.
    pub(super) fn throttled(&mut self, reason: &Reason, now: Instant) {
        self.unserved_since.get_or_insert(now);
        self.last_reason = reason.clone();
        self.throttled = true;
        self.open = None;
    }

    /// A request ended in trouble. `wait` is how long to wait before the next probe, given how many there were.
    pub(super) fn troubled(
        &mut self,
        batch: Batch,
        reach: Reach,
        reason: &Reason,
        now: Instant,
        wait: impl FnOnce(u32) -> Duration,
    ) {
        self.unserved_since.get_or_insert(now);
        self.last_reason = reason.clone();
        self.streak += 1;
        self.troubled.insert(batch);
        let outage = self.streak >= TROUBLES && self.troubled.len() >= BATCHES;
        let never_served = self.epoch == 0;
        if let Some(open) = &mut self.open {
            open.probes += 1;
            open.next_probe = now + wait(open.probes);
        } else if outage || never_served || reach == Reach::Nowhere {
            self.forgiven.insert(self.epoch);
            self.open = Some(Open { probes: 1, next_probe: now + wait(1) });
        }
    }

    /// When the next probe is due, if the circuit is open.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.next_probe)
    }

    /// When to give up on an API that serves nobody, if nothing changes, and what it said last.
    pub(super) fn gives_up(&self, max_outage: Duration) -> Option<(Instant, &Reason)> {
        let since = self.unserved_since.filter(|_| self.throttled || self.open.is_some())?;
        Some((since + max_outage, &self.last_reason))
    }

    /// Counts one more attempt that ended in trouble, told of before.
    pub(super) fn charge(&self, attempts: &mut Attempts) {
        if attempts.epoch != self.epoch {
            *attempts = Attempts { counted: self.count(*attempts), provisional: 0, epoch: self.epoch };
        }
        attempts.provisional += 1;
    }

    /// How many attempts count.
    pub(super) fn count(&self, attempts: Attempts) -> u32 {
        let forgiven = self.forgiven.contains(&attempts.epoch);
        attempts.counted + if forgiven { 0 } else { attempts.provisional }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const WAIT: Duration = Duration::from_secs(1);

    fn batch(group: u32) -> Batch {
        Batch { group, first: 0, len: 1 }
    }

    fn trouble(circuit: &mut Circuit, group: u32, now: Instant) {
        circuit.troubled(batch(group), Reach::Perhaps, &Reason::default(), now, |probes| WAIT * probes);
    }

    fn served() -> Circuit {
        let mut circuit = Circuit::default();
        circuit.served();
        circuit
    }

    #[test]
    fn opens_when_nobody_is_served_and_closes_with_the_first_who_is() {
        let (mut circuit, now) = (served(), clock::now());
        for group in 0..7 {
            trouble(&mut circuit, group, now);
            assert_eq!(circuit.next_probe(), None);
        }
        trouble(&mut circuit, 8, now);
        assert_eq!(circuit.next_probe(), Some(now + WAIT));
        trouble(&mut circuit, 9, now + WAIT);
        assert_eq!(circuit.next_probe(), Some(now + WAIT + 2 * WAIT), "probes come at growing intervals");
        assert_eq!(circuit.gives_up(60 * WAIT).map(|(at, _)| at), Some(now + 60 * WAIT));
        circuit.served();
        assert_eq!((circuit.next_probe(), circuit.gives_up(WAIT).is_some()), (None, false));
    }

    #[test]
    fn one_batch_that_the_server_chokes_on_is_no_outage() {
        let (mut circuit, now) = (served(), clock::now());
        for _ in 0..100 {
            trouble(&mut circuit, 1, now);
        }
        assert_eq!(circuit.next_probe(), None);
    }

    #[test]
    fn opens_at_once_without_a_connection_or_before_anybody_was_served() {
        let now = clock::now();
        let mut circuit = served();
        circuit.troubled(batch(1), Reach::Nowhere, &Reason::default(), now, |_| WAIT);
        assert!(circuit.next_probe().is_some());
        let mut circuit = Circuit::default();
        trouble(&mut circuit, 1, now);
        assert!(circuit.next_probe().is_some());
    }

    #[test]
    fn attempts_in_an_outage_count_for_nobody_and_all_others_do() {
        let (mut circuit, now) = (served(), clock::now());
        let mut attempts = Attempts::default();
        let fail = |circuit: &mut Circuit, attempts: &mut Attempts| {
            trouble(circuit, 1, now);
            circuit.charge(attempts);
        };
        fail(&mut circuit, &mut attempts);
        circuit.served();
        assert_eq!(circuit.count(attempts), 1);
        fail(&mut circuit, &mut attempts);
        assert_eq!(circuit.count(attempts), 2);
        for group in 2..20 {
            trouble(&mut circuit, group, now);
        }
        assert_eq!(circuit.count(attempts), 1, "the second one fell into an outage");
        fail(&mut circuit, &mut attempts);
        assert_eq!(circuit.count(attempts), 1);
        circuit.served();
        fail(&mut circuit, &mut attempts);
        assert_eq!(circuit.count(attempts), 2);
    }

    #[test]
    fn an_api_that_only_throttles_is_given_up_too() {
        let (mut circuit, now) = (served(), clock::now());
        circuit.throttled(&Reason::default(), now);
        circuit.throttled(&Reason::default(), now + WAIT);
        assert_eq!(circuit.gives_up(9 * WAIT).map(|(at, _)| at), Some(now + 9 * WAIT));
    }
}
