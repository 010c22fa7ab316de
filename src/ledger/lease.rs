//! How long a run may use a ledger that other machines can reach.
//!
//! The right to write such a ledger, and to send for it, is a lease: it ends by itself if it isn't renewed, so that a run whose
//! machine is gone keeps nobody away for long. The store renews it, and notes here how long it holds for certain.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::LedgerLocation;
use crate::clock;

/// The lease of a run.
#[derive(Debug)]
pub struct Lease {
    ledger: LedgerLocation,
    /// When it ends unless it is renewed, on [`clock::boot_now`], in microseconds.
    ends: AtomicU64,
    state: watch::Sender<LeaseState>,
    /// Requests of the run before may arrive until then, on the same clock.
    quiet_until: Duration,
    patience: Patience,
    /// Whether no request can be on its way.
    is_settled: AtomicBool,
}

/// Whether a run still has its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It has, though the lease may have ended for the time being.
    Held,
    /// Another run has taken it.
    Lost,
    /// The database could not be reached for longer than the run waits.
    Unreachable,
}

/// How long to wait for a database that can't be reached.
#[derive(Debug)]
pub(super) struct Patience {
    most: Duration,
    /// Nothing waits longer than until then, on [`clock::boot_now`], in microseconds.
    until: AtomicU64,
}

impl Lease {
    /// A lease that was asked for at this time and holds for `ttl` from then on. Requests of the run before may arrive for
    /// `quiet` from now on.
    pub(super) fn new(
        ledger: LedgerLocation,
        asked_at: Duration,
        ttl: Duration,
        quiet: Duration,
        max_outage: Duration,
    ) -> Self {
        let lease = Self {
            ledger,
            ends: AtomicU64::new(0),
            state: watch::Sender::new(LeaseState::Held),
            quiet_until: clock::boot_now() + quiet,
            patience: Patience { most: max_outage, until: AtomicU64::new(u64::MAX) },
            is_settled: AtomicBool::new(true),
        };
        lease.renewed(asked_at, ttl);
        lease
    }

    /// The ledger.
    pub fn ledger(&self) -> &LedgerLocation {
        &self.ledger
    }

    /// Whether a request may start now. One that starts in time ends within its time-out, for which the next run waits.
    pub fn is_valid(&self) -> bool {
        *self.state.borrow() != LeaseState::Lost && clock::boot_now() < self.ends()
    }

    /// Waits until a request may start.
    pub(super) async fn valid(&self) {
        const GLANCE: Duration = Duration::from_millis(50);
        while !self.is_valid() {
            sleep(GLANCE).await;
        }
    }

    /// How much longer to wait before the first request: until then, one of the run before may arrive.
    pub fn quiet_left(&self) -> Duration {
        self.quiet_until.saturating_sub(clock::boot_now())
    }

    /// Waits until the run has to stop, and says why. That may be never.
    pub async fn ended(&self) -> LeaseState {
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|state| *state != LeaseState::Held).await;
        *ended.expect("the sender lives as long as this")
    }

    /// Lets nothing wait for the database longer than this from now on. Of several calls, the one counts that ends first.
    pub fn hurry(&self, left: Duration) {
        self.patience.until.fetch_min(micros(clock::boot_now() + left), Ordering::Relaxed);
    }

    /// The lease was renewed by a statement that was sent at this time.
    pub(super) fn renewed(&self, asked_at: Duration, ttl: Duration) {
        self.ends.fetch_max(micros(asked_at + ttl), Ordering::Relaxed);
    }

    /// The run has to stop.
    pub(super) fn end(&self, why: LeaseState) {
        self.state.send_if_modified(|state| {
            let is_first = *state == LeaseState::Held;
            if is_first {
                *state = why;
            }
            is_first
        });
    }

    /// Whether no request can be on its way. If one can, the next run has to wait for it.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }

    pub(super) fn settle(&self, is_settled: bool) {
        self.is_settled.store(is_settled, Ordering::Relaxed);
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    fn ends(&self) -> Duration {
        Duration::from_micros(self.ends.load(Ordering::Relaxed))
    }
}

impl Patience {
    /// Whether the run is in a hurry, and its time is up.
    pub(super) fn is_over(&self) -> bool {
        micros(clock::boot_now()) >= self.until.load(Ordering::Relaxed)
    }

    /// How much longer to wait if the database could not be reached since this time, on [`clock::boot_now`].
    pub(super) fn left(&self, since: Duration) -> Duration {
        let until = Duration::from_micros(self.until.load(Ordering::Relaxed));
        until.min(since.saturating_add(self.most)).saturating_sub(clock::boot_now())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(ttl: Duration) -> Lease {
        let ledger = LedgerLocation::File("ledger".into());
        Lease::new(ledger, clock::boot_now(), ttl, Duration::ZERO, Duration::from_mins(1))
    }

    #[test]
    fn it_holds_from_the_time_when_it_was_asked_for() {
        assert!(lease(Duration::from_mins(1)).is_valid());
        let late = lease(Duration::ZERO);
        assert!(!late.is_valid());
        late.renewed(clock::boot_now(), Duration::from_mins(1));
        assert!(late.is_valid(), "nobody has taken it meanwhile");
        late.renewed(Duration::ZERO, Duration::ZERO);
        assert!(late.is_valid(), "an answer that comes late takes nothing away");
        late.end(LeaseState::Lost);
        assert!(!late.is_valid());
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_counts() {
        let lease = lease(Duration::from_mins(1));
        lease.end(LeaseState::Unreachable);
        lease.end(LeaseState::Lost);
        assert_eq!(lease.ended().await, LeaseState::Unreachable);
    }

    #[test]
    fn who_hurries_waits_no_longer() {
        let lease = lease(Duration::from_mins(1));
        let now = clock::boot_now();
        assert!(lease.patience().left(now) > Duration::from_secs(50));
        lease.hurry(Duration::from_secs(5));
        lease.hurry(Duration::from_secs(500));
        assert!(lease.patience().left(now) <= Duration::from_secs(5));
        assert_eq!(lease.patience().left(Duration::ZERO), Duration::from_mins(1).saturating_sub(now));
        assert!(!lease.patience().is_over());
        lease.hurry(Duration::ZERO);
        assert!(lease.patience().is_over());
    }

    #[tokio::test]
    async fn a_request_waits_until_the_lease_is_renewed() {
        let late = lease(Duration::ZERO);
        tokio::select! {
            biased;
            () = late.valid() => panic!("it has ended"),
            () = std::future::ready(()) => {}
        }
        late.renewed(clock::boot_now(), Duration::from_mins(1));
        late.valid().await;
    }

    #[test]
    fn requests_of_the_run_before_are_waited_for_unless_none_can_be_on_its_way() {
        let ledger = LedgerLocation::File("ledger".into());
        let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
        let lease = Lease::new(ledger, clock::boot_now(), hour, day, hour);
        assert!(lease.quiet_left() > hour);
        assert!(lease.is_settled());
        lease.settle(false);
        assert!(!lease.is_settled());
        lease.settle(true);
        assert!(lease.is_settled());
    }
}
