//! What this machine's clock shows at a time of the server's clock.
//!
//! An answer with the server's time shows the difference of the clocks up to the time that the answer took to come. The least
//! difference of some seconds is taken, so that slots are never mapped to a time that is too early.
//!
//! Pure: times are those of [`boot_now`](crate::clock::boot_now), and are handed in.

use std::collections::VecDeque;
use std::time::Duration;

/// How long a sample counts. Clocks that are being set drift apart by up to half a millisecond per second.
const KEPT: Duration = Duration::from_secs(30);

/// Samples that contradict each other by more than the drift within [`KEPT`]: a clock was set.
const DRIFT: i64 = 20_000;

/// The server's clock as seen from here. Its times are microseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    /// The local clock less the server's, in microseconds; too large by the time that the answer took.
    differences: Least<i64>,
    round_trips: Least<Duration>,
    /// The mean of the last round trips.
    round_trip: Option<Duration>,
}

/// Whether a clock was set since the sample before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    Steady,
    Stepped,
}

impl ServerClock {
    /// Nothing is known of it, as on a new server.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// A question was sent, and an answer with the server's time was received.
    pub(super) fn observe(&mut self, sent: Duration, received: Duration, server: i64) -> Continuity {
        let round_trip = received.saturating_sub(sent);
        let difference = micros(received) - server;
        // Even if the answer took no time at all.
        let earliest = difference - micros(round_trip);
        let stepped = self.differences.since(received).is_some_and(|least| earliest > least + DRIFT);
        if stepped {
            self.differences = Least::default();
        }
        self.differences.add(received, difference);
        self.round_trips.add(received, round_trip);
        self.round_trip = Some(self.round_trip.map_or(round_trip, |mean| (mean * 7 + round_trip) / 8));
        if stepped { Continuity::Stepped } else { Continuity::Steady }
    }

    /// The latest time that this time of the server can be here.
    pub(super) fn local(&self, server: i64) -> Duration {
        let local = server + self.differences.least().unwrap_or_default();
        Duration::from_micros(u64::try_from(local).unwrap_or_default())
    }

    /// By how much [`local`](Self::local) may be late.
    pub(super) fn least_round_trip(&self) -> Duration {
        self.round_trips.least().unwrap_or_default()
    }

    /// The mean of the last round trips.
    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or_default()
    }

    /// How far ahead a slot must be so that it is still to come when an answer with it is received. A time that is mapped to
    /// its latest possibility is no earlier than the answer, if that takes no longer than others.
    pub(super) fn lead(&self) -> Duration {
        self.round_trip().saturating_sub(self.least_round_trip())
    }
}

/// The least of the values of some time.
#[derive(Debug)]
struct Least<T> {
    /// With the time of each, both rising: one that is followed by a smaller one is never the least again.
    values: VecDeque<(Duration, T)>,
}

impl<T> Default for Least<T> {
    fn default() -> Self {
        Self { values: VecDeque::new() }
    }
}

impl<T: Copy + Ord> Least<T> {
    fn add(&mut self, now: Duration, value: T) {
        self.forget(now);
        while self.values.back().is_some_and(|(_, last)| *last >= value) {
            self.values.pop_back();
        }
        self.values.push_back((now, value));
    }

    fn forget(&mut self, now: Duration) {
        while self.values.front().is_some_and(|(at, _)| now.saturating_sub(*at) > KEPT) {
            self.values.pop_front();
        }
    }

    fn since(&mut self, now: Duration) -> Option<T> {
        self.forget(now);
        self.least()
    }

    fn least(&self) -> Option<T> {
        self.values.front().map(|(_, value)| *value)
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The server's clock shows this when ours shows 0.
    const EPOCH: i64 = 1_800_000_000_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    proptest! {
        #[test]
        fn no_time_is_mapped_too_early_nor_later_than_by_the_least_round_trip(
            ways in prop::collection::vec((0u64..300, 0u64..300), 1..100),
        ) {
            let mut clock = ServerClock::default();
            let mut now = 1_000;
            for (out, back) in ways {
                let (sent, there) = (ms(now), ms(now + out));
                now += out + back;
                let continuity = clock.observe(sent, ms(now), EPOCH + micros(there));
                prop_assert_eq!(continuity, Continuity::Steady);
                let mapped = clock.local(EPOCH + 5_000_000);
                prop_assert!(mapped >= ms(5_000));
                prop_assert!(mapped <= ms(5_000) + clock.least_round_trip());
                now += 20;
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_where_the_round_trip_does_not_explain_it() {
        let mut clock = ServerClock::default();
        let at = |now: u64, ahead: i64| EPOCH + micros(ms(now)) + ahead;
        assert_eq!(clock.observe(ms(0), ms(2), at(1, 0)), Continuity::Steady);
        assert_eq!(clock.observe(ms(100), ms(700), at(101, 0)), Continuity::Steady, "a slow answer");
        assert_eq!(clock.local(EPOCH), ms(1));
        assert_eq!(clock.observe(ms(1000), ms(1002), at(1001, -500_000)), Continuity::Stepped);
        assert_eq!(clock.local(EPOCH), ms(501));
        assert_eq!(clock.observe(ms(1100), ms(1102), at(1101, -500_000)), Continuity::Steady);
        assert_eq!(clock.observe(ms(1200), ms(1202), at(1201, 0)), Continuity::Steady);
        assert_eq!(clock.local(EPOCH), ms(1), "forward, the least difference changes at once");
    }

    #[test]
    fn samples_are_forgotten_after_a_while() {
        let mut clock = ServerClock::default();
        clock.observe(ms(0), ms(2), EPOCH + 1_000);
        clock.observe(ms(20_000), ms(20_010), EPOCH + 20_005_000);
        assert_eq!((clock.local(EPOCH), clock.least_round_trip()), (ms(1), ms(2)));
        clock.observe(ms(31_000), ms(31_010), EPOCH + 31_005_000);
        assert_eq!((clock.local(EPOCH), clock.least_round_trip()), (ms(5), ms(10)));
        clock.reset();
        assert_eq!(clock.least_round_trip(), ms(0));
    }

    #[test]
    fn a_sample_counts_for_all_of_its_time_and_what_drift_explains_is_no_step() {
        let mut clock = ServerClock::default();
        clock.observe(ms(0), ms(0), EPOCH);
        let continuity = clock.observe(KEPT, KEPT, EPOCH + micros(KEPT) - DRIFT);
        assert_eq!((continuity, clock.local(EPOCH)), (Continuity::Steady, ms(0)));
    }

    #[test]
    fn a_slot_has_to_be_as_far_ahead_as_answers_take_longer_than_the_fastest_one() {
        let mut clock = ServerClock::default();
        assert_eq!((clock.round_trip(), clock.lead()), (ms(0), ms(0)));
        // One answer changes the mean by an eighth.
        for (now, took, mean, lead) in [(1000, 80, 80, 0), (2000, 160, 90, 10), (3000, 10, 80, 70)] {
            clock.observe(ms(now - took), ms(now), EPOCH + micros(ms(now)));
            assert_eq!((clock.round_trip(), clock.lead()), (ms(mean), ms(lead)), "{now}");
        }
    }
}
