//! Progress as lines, if there is no terminal.

use std::fmt;
use std::time::Duration;

use super::reading_back::{self, ReadBackObserver};
use super::wait::{self, WaitChange, WaitObserver};
use super::{Progress, ProgressState, PullState, ReadingState, line};
use crate::deliver::ReadingBack;
use crate::report::format::time_left;
use crate::report::wrap::wrapped;

/// Tells from time to time how far the run is.
pub struct Heartbeat<Tell> {
    tell: Tell,
    /// When the first one comes.
    first: Duration,
    next: Duration,
    waits: WaitObserver,
    read_backs: ReadBackObserver,
}

/// What a heartbeat tells.
#[derive(Clone, Copy, Debug)]
pub enum Beat<'a> {
    /// How far reading is.
    Reading(&'a ReadingState),
    /// How far reading the list of users is.
    Pulling(&'a PullState),
    /// How far sending is.
    Sending(&'a ProgressState),
    /// No request starts for some time.
    Waiting(&'a ProgressState),
    /// Reading back begins, or goes on in another way.
    ReadingBack(&'a ReadingBack),
    /// Requests start again, after this time.
    Resumed(Duration),
}

impl<Tell: FnMut(&Beat<'_>)> Heartbeat<Tell> {
    /// From one beat to the next.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// A heartbeat for logs.
    pub fn new(tell: Tell) -> Self {
        let (waits, read_backs) = (WaitObserver::default(), ReadBackObserver::default());
        Self { tell, first: Self::INTERVAL, next: Self::INTERVAL, waits, read_backs }
    }

    /// A heartbeat for people, which begins at once.
    pub fn at_once(tell: Tell) -> Self {
        Self { first: Duration::ZERO, next: Duration::ZERO, ..Self::new(tell) }
    }

    fn beat(&mut self, elapsed: Duration, beat: &Beat<'_>) {
        if elapsed >= self.next {
            self.next = elapsed + Self::INTERVAL;
            (self.tell)(beat);
        }
    }
}

impl<Tell: FnMut(&Beat<'_>)> Progress for Heartbeat<Tell> {
    fn show_reading(&mut self, state: &ReadingState) {
        self.beat(state.elapsed, &Beat::Reading(state));
    }

    fn show_pull(&mut self, state: &PullState) {
        self.beat(state.elapsed, &Beat::Pulling(state));
    }

    fn show(&mut self, state: &ProgressState) {
        match self.waits.observe(state) {
            Some(WaitChange::Began) => (self.tell)(&Beat::Waiting(state)),
            Some(WaitChange::Ended(waited)) => (self.tell)(&Beat::Resumed(waited)),
            None => {}
        }
        if let Some(reading) = self.read_backs.observe(state) {
            (self.tell)(&Beat::ReadingBack(&reading));
        }
        self.beat(state.elapsed, &Beat::Sending(state));
    }

    fn close(&mut self) {
        self.next = self.first;
    }
}

impl Beat<'_> {
    /// In the words of the bar, for a screen of this many columns; `None`: lines may be of any length.
    pub fn in_words(&self, columns: Option<usize>) -> String {
        let width = columns.unwrap_or(usize::MAX);
        match self {
            Self::Reading(state) => state.fitted(width),
            Self::Pulling(state) => state.fitted(width),
            Self::Sending(state) => line::fitted(state, width),
            Self::Waiting(state) => {
                let why = wait::why(state, usize::MAX).unwrap_or_default();
                let text = format!("waiting: {why}; nothing to do: it goes on by itself");
                wrapped(&text, "waiting: ".len(), columns).join("\n")
            }
            Self::ReadingBack(reading) => reading_back::in_words(reading),
            Self::Resumed(waited) => format!("requests are sent again, after {}", time_left(*waited)),
        }
    }

    /// As a line of a log, with keys and values.
    pub fn logged(&self) -> String {
        match self {
            Self::Reading(state) => state.logged(),
            Self::Pulling(state) => state.logged(),
            Self::Sending(state) => line::logged(state),
            Self::Waiting(state) => {
                let reason = state.reason.as_deref().unwrap_or_default();
                let wait = line::waiting(state).unwrap_or_default();
                format!(
                    "waiting for the API, nothing to do: it goes on by itself{wait} last_answer={reason:?}"
                )
            }
            Self::ReadingBack(reading) => reading_back::logged(reading),
            Self::Resumed(waited) => {
                format!("requests are sent again waited={}", time_left(*waited).replace(' ', ""))
            }
        }
    }
}

impl<Tell> fmt::Debug for Heartbeat<Tell> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::Waiting;
    use crate::input::ReadSoFar;

    fn beat(mut heartbeat: impl Progress) {
        for quarter in 0..=4 * 25 {
            let elapsed = Duration::from_millis(250) * quarter;
            // From the 12th to the 19th second there is an outage.
            let left = (4 * 12..4 * 19).contains(&quarter).then_some(Duration::from_secs(3));
            heartbeat.show(&ProgressState {
                rows: 100,
                finished: u64::from(quarter),
                held: left.map(|left| (Waiting::Outage, left)),
                reason: left.map(|_| "503 Service Unavailable".to_owned()),
                gives_up: left.map(|_| Duration::from_mins(10)),
                elapsed,
                ..ProgressState::default()
            });
        }
        heartbeat.close();
    }

    /// What is told, in words and as a log.
    fn told(run: impl FnOnce(&mut dyn FnMut(&Beat<'_>))) -> [String; 2] {
        let (mut words, mut log) = (Vec::new(), Vec::new());
        run(&mut |beat: &Beat<'_>| {
            words.push(beat.in_words(None));
            log.push(beat.logged());
        });
        [words.join("\n"), log.join("\n")]
    }

    #[test]
    fn people_get_the_words_of_the_bar_from_the_start() {
        insta::assert_snapshot!(told(|tell| beat(Heartbeat::at_once(tell)))[0], @"
        0%  0/100 rows
        40%  40/100 rows
        waiting: 503 Service Unavailable; next try in 3s, gives up in 10m 0s; nothing to do: it goes on by itself
        requests are sent again, after 7s
        80%  80/100 rows
        ");
    }

    #[test]
    fn a_line_comes_every_ten_seconds_and_when_a_long_wait_begins_and_ends() {
        insta::assert_snapshot!(told(|tell| beat(Heartbeat::new(tell)))[1], @r#"
        progress 40.0% rows=40/100 requests=0/0 rate=0.0/s retried=0
        waiting for the API, nothing to do: it goes on by itself waiting=outage next_try=3s gives_up=10m0s last_answer="503 Service Unavailable"
        requests are sent again waited=7s
        progress 80.0% rows=80/100 requests=0/0 rate=0.0/s retried=0
        "#);
    }

    #[test]
    fn sending_has_a_heartbeat_of_its_own_after_reading() {
        let [_, lines] = told(|tell| {
            let mut heartbeat = Heartbeat::new(tell);
            for second in 0..12 {
                let so_far = ReadSoFar { bytes: second, bytes_total: None, rows: second, has_ended: false };
                let elapsed = Duration::from_secs(second);
                heartbeat.show_reading(&ReadingState { so_far, elapsed, ..ReadingState::default() });
            }
            heartbeat.close();
            for second in 0..12 {
                let elapsed = Duration::from_secs(second);
                heartbeat.show(&ProgressState {
                    rows: 12,
                    finished: second,
                    elapsed,
                    ..ProgressState::default()
                });
            }
        });
        insta::assert_snapshot!(lines, @"
        reading bytes=10 rows=10 rate=0/s
        progress 83.3% rows=10/12 requests=0/0 rate=0.0/s retried=0
        ");
    }
}
