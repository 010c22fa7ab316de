//! What happened when, in intervals that get longer as the run does.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::deliver::{AnswerKind, Slowed, Status, Waiting};

/// The shortest interval. At ten requests per second, less would show noise.
const SHORTEST: Duration = Duration::from_secs(1);

/// The most intervals. If there are more, each two become one, so that a run of any length has at least half as many: as
/// many points as a chart of a usual width can show.
const MOST: usize = 240;

/// The longest latency that is told apart: an hour, in milliseconds. No request may take that long by default.
const LONGEST: u64 = 3_600_000;

/// Significant digits of a latency. Two are exact to a hundredth, in eight kilobytes for each interval.
const DIGITS: u8 = 2;

/// Equal intervals of time from the first request on, without a gap.
#[derive(Clone, Debug)]
pub struct Timeline {
    begun: Instant,
    width: Duration,
    intervals: Vec<Interval>,
    /// From the beginning to the last thing that happened.
    length: Duration,
    answers: u64,
    answer_time: Duration,
    latency: Option<Histogram<u64>>,
}

/// What happened in an interval.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Requests started.
    pub sent: u64,
    /// Answers that the API throttles the run.
    pub throttled: u64,
    /// Answers with an error of the server, and requests without an answer.
    pub errors: u64,
    /// Whether nothing was sent at some time because the API had asked for a pause.
    pub paused: bool,
    /// Whether the API was down at some time.
    pub outage: bool,
    /// Whether requests were sent at a lower rate at some time, because the API had throttled the run.
    pub slowed: bool,
    latency: Option<Histogram<u32>>,
}

impl Timeline {
    pub(super) fn new(begun: Instant) -> Self {
        Self {
            begun,
            width: SHORTEST,
            intervals: Vec::new(),
            length: Duration::ZERO,
            answers: 0,
            answer_time: Duration::ZERO,
            latency: None,
        }
    }

    /// How long each interval is.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// The intervals, in order.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// How long what happened took: up to the end of the last interval, or somewhat less.
    pub fn length(&self) -> Duration {
        self.length
    }

    pub(super) fn sent(&mut self, at: Instant) {
        self.at(at).sent += 1;
    }

    pub(super) fn answered(&mut self, at: Instant, latency: Duration, answer: AnswerKind) {
        let milliseconds = u64::try_from(latency.as_millis()).unwrap_or(LONGEST).clamp(1, LONGEST);
        let interval = self.at(at);
        match answer {
            AnswerKind::Throttled => interval.throttled += 1,
            AnswerKind::Transient => interval.errors += 1,
            AnswerKind::Acknowledged | AnswerKind::Read | AnswerKind::Rejected => {}
        }
        interval.latency.get_or_insert_with(histogram).saturating_record(milliseconds);
        self.latency.get_or_insert_with(histogram).saturating_record(milliseconds);
        self.answers += 1;
        self.answer_time += latency;
    }

    pub(super) fn status(&mut self, now: Instant, status: &Status) {
        let interval = self.at(now);
        match status.waiting {
            Some((Waiting::Pause, _)) => interval.paused = true,
            Some((Waiting::Outage, _)) => interval.outage = true,
            None => {}
        }
        interval.slowed |= status.slowed == Slowed::Yes;
    }

    /// How many answers there were, and how long all of them took together.
    pub(super) fn answers(&self) -> (u64, Duration) {
        (self.answers, self.answer_time)
    }

    pub(super) fn latency(&self, share: f64) -> Option<Duration> {
        self.latency.as_ref().map(|all| at_quantile(all, share))
    }

    /// The interval at this time.
    fn at(&mut self, at: Instant) -> &mut Interval {
        let since = at.saturating_duration_since(self.begun);
        self.length = self.length.max(since);
        let mut number = self.number(since);
        while number >= MOST {
            self.merge();
            number = self.number(since);
        }
        if self.intervals.len() <= number {
            self.intervals.resize_with(number + 1, Interval::default);
        }
        &mut self.intervals[number]
    }

    fn number(&self, since: Duration) -> usize {
        usize::try_from(since.as_nanos() / self.width.as_nanos()).unwrap_or(usize::MAX)
    }

    /// Makes one interval of each two.
    fn merge(&mut self) {
        self.width *= 2;
        let mut intervals = std::mem::take(&mut self.intervals).into_iter();
        while let Some(mut first) = intervals.next() {
            if let Some(second) = intervals.next() {
                first.add(second);
            }
            self.intervals.push(first);
        }
    }
}

impl Interval {
    /// The time that this share of the answers, from 0 to 1, took at most. `None` if there was no answer.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        self.latency.as_ref().map(|all| at_quantile(all, share))
    }

    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.throttled += other.throttled;
        self.errors += other.errors;
        self.paused |= other.paused;
        self.outage |= other.outage;
        self.slowed |= other.slowed;
        self.latency = match (self.latency.take(), other.latency) {
            (Some(mut one), Some(other)) => {
                one += other;
                Some(one)
            }
            (one, other) => one.or(other),
        };
    }
}

fn histogram<C: hdrhistogram::Counter>() -> Histogram<C> {
    Histogram::new_with_max(LONGEST, DIGITS).expect("the bounds are constants")
}

fn at_quantile<C: hdrhistogram::Counter>(all: &Histogram<C>, share: f64) -> Duration {
    Duration::from_millis(all.value_at_quantile(share))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    fn status(waiting: Option<Waiting>) -> Status {
        let waiting = waiting.map(|waiting| (waiting, Duration::from_secs(1)));
        Status {
            in_flight: 1,
            rate: 10.0,
            slowed: Slowed::No,
            waiting,
            reason: None,
            gives_up: None,
            reading_back: None,
        }
    }

    #[test]
    fn a_run_of_days_has_as_few_intervals_as_one_of_minutes() {
        let begun = clock::monotonic_now();
        let mut timeline = Timeline::new(begun);
        for minute in 0..3 * 24 * 60 {
            let at = begun + Duration::from_mins(minute);
            timeline.sent(at);
            timeline.answered(at, Duration::from_millis(100 + minute % 10), AnswerKind::Acknowledged);
        }
        assert!((MOST / 2..=MOST).contains(&timeline.intervals().len()));
        assert_eq!(timeline.intervals().iter().map(|interval| interval.sent).sum::<u64>(), 3 * 24 * 60);
        let latency = timeline.intervals()[7].latency(0.5).unwrap();
        assert!((100..=110).contains(&latency.as_millis()), "{latency:?}");
    }

    #[test]
    fn what_held_requests_up_is_kept_when_intervals_are_merged() {
        let begun = clock::monotonic_now();
        let mut timeline = Timeline::new(begun);
        timeline.status(begun + Duration::from_secs(3), &status(Some(Waiting::Outage)));
        timeline.status(begun + Duration::from_secs(9), &status(Some(Waiting::Pause)));
        timeline.status(begun + Duration::from_secs(1000), &status(None));
        assert_eq!(timeline.width(), Duration::from_secs(8));
        let held: Vec<_> = timeline.intervals().iter().map(|one| (one.outage, one.paused)).collect();
        assert_eq!(held[..3], [(true, false), (false, true), (false, false)]);
        assert!(held[3..].iter().all(|held| *held == (false, false)));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_by_merging(times in prop::collection::vec(0_u64..10_000_000, 1..300)) {
            let begun = clock::monotonic_now();
            let mut timeline = Timeline::new(begun);
            for time in &times {
                let at = begun + Duration::from_millis(*time);
                timeline.sent(at);
                timeline.answered(at, Duration::from_millis(*time), AnswerKind::Transient);
            }
            let all = timeline.intervals();
            prop_assert!(all.len() <= MOST);
            prop_assert_eq!(timeline.length(), Duration::from_millis(*times.iter().max().unwrap()));
            prop_assert_eq!((timeline.length().as_nanos() / timeline.width().as_nanos()) as usize, all.len() - 1);
            prop_assert_eq!(all.iter().map(|one| one.sent).sum::<u64>(), times.len() as u64);
            prop_assert_eq!(all.iter().map(|one| one.errors).sum::<u64>(), times.len() as u64);
            let slowest = Duration::from_millis((*times.iter().max().unwrap()).clamp(1, LONGEST));
            let most = timeline.latency(1.0).unwrap();
            prop_assert!(most >= slowest && most <= slowest.mul_f64(1.02), "{:?} {:?}", most, slowest);
        }
    }
}
