//! Progress where there is no terminal.

use std::fmt;
use std::time::Duration;

use super::{Progress, State, line};

/// Tells a line from time to time, for logs.
pub struct Heartbeat<Tell> {
    tell: Tell,
    last: Duration,
}

impl<Tell: FnMut(&str)> Heartbeat<Tell> {
    /// From one line to the next.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// A heartbeat that hands its lines, without line ends, to `tell`.
    pub fn new(tell: Tell) -> Self {
        Self { tell, last: Duration::ZERO }
    }
}

impl<Tell: FnMut(&str)> Progress for Heartbeat<Tell> {
    fn show(&mut self, state: &State) {
        if state.elapsed >= self.last + Self::INTERVAL {
            self.last = state.elapsed;
            (self.tell)(&line::logged(state));
        }
    }

    fn close(&mut self) {}
}

impl<Tell> fmt::Debug for Heartbeat<Tell> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("last", &self.last).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_every_ten_seconds() {
        let mut lines = Vec::new();
        let mut heartbeat = Heartbeat::new(|line: &str| lines.push(line.to_owned()));
        for quarter in 0..=4 * 25 {
            let elapsed = Duration::from_millis(250) * quarter;
            heartbeat.show(&State { rows: 100, settled: u64::from(quarter), elapsed, ..State::default() });
        }
        heartbeat.close();
        insta::assert_snapshot!(lines.join("\n"), @"
        progress 40.0% rows=40/100 requests=0 rate=0.0/s retried=0
        progress 80.0% rows=80/100 requests=0 rate=0.0/s retried=0
        ");
    }
}
