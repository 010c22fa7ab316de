//! Progress as lines, if there is no terminal.

use std::fmt;
use std::time::Duration;

use super::{Progress, ProgressState, line};

/// Tells a line from time to time.
pub struct Heartbeat<Tell> {
    tell: Tell,
    form: fn(&ProgressState) -> String,
    next: Duration,
}

impl<Tell: FnMut(&str)> Heartbeat<Tell> {
    /// From one line to the next.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// A heartbeat for logs, which hands its lines, without line ends, to `tell`.
    pub fn new(tell: Tell) -> Self {
        Self { tell, form: line::logged, next: Self::INTERVAL }
    }

    /// A heartbeat for people, in the words of the bar. Its first line comes at once.
    pub fn in_words(tell: Tell) -> Self {
        Self { tell, form: line::whole, next: Duration::ZERO }
    }
}

impl<Tell: FnMut(&str)> Progress for Heartbeat<Tell> {
    fn show(&mut self, state: &ProgressState) {
        if state.elapsed >= self.next {
            self.next = state.elapsed + Self::INTERVAL;
            (self.tell)(&(self.form)(state));
        }
    }

    fn close(&mut self) {}
}

impl<Tell> fmt::Debug for Heartbeat<Tell> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(mut heartbeat: impl Progress) {
        for quarter in 0..=4 * 25 {
            let elapsed = Duration::from_millis(250) * quarter;
            heartbeat.show(&ProgressState {
                rows: 100,
                finished: u64::from(quarter),
                elapsed,
                ..ProgressState::default()
            });
        }
        heartbeat.close();
    }

    #[test]
    fn people_get_the_words_of_the_bar_from_the_start() {
        let mut lines = Vec::new();
        beat(Heartbeat::in_words(|line: &str| lines.push(line.to_owned())));
        assert_eq!(lines, ["0%  0/100 rows", "40%  40/100 rows", "80%  80/100 rows"]);
    }

    #[test]
    fn a_line_comes_every_ten_seconds() {
        let mut lines = Vec::new();
        beat(Heartbeat::new(|line: &str| lines.push(line.to_owned())));
        insta::assert_snapshot!(lines.join("\n"), @"
        progress 40.0% rows=40/100 requests=0/0 rate=0.0/s retried=0
        progress 80.0% rows=80/100 requests=0/0 rate=0.0/s retried=0
        ");
    }
}
