//! Progress of a run: a bar on a terminal, or lines.

mod bar;
mod bottom_lines;
#[cfg(test)]
mod fake_terminal;
mod heartbeat;
mod line;
mod pulling;
mod reading;
mod reading_back;
mod segments;
mod speed;
mod wait;
mod window;

use std::time::Duration;

pub use bar::{AboveBar, AboveWriter, Bar};
pub use heartbeat::{Beat, Heartbeat};
pub use pulling::{PullSpeed, PullState};
pub use reading::{ReadingSpeed, ReadingState};
pub(super) use speed::Speed;

use crate::deliver::{ReadingBack, Waiting};

/// Shows the progress of a run.
pub trait Progress {
    /// Shows how far reading is, several times a second.
    fn show_reading(&mut self, _: &ReadingState) {}

    /// Shows how far reading the list of users is, several times a second.
    fn show_pull(&mut self, _: &PullState) {}

    /// Shows how far sending is, twenty times a second.
    fn show(&mut self, state: &ProgressState);

    /// Removes what is shown, at the end of reading and of the run.
    fn close(&mut self);
}

/// How far sending is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressState {
    /// Rows of the plan that are finished.
    pub finished: u64,
    /// Rows of the plan.
    pub rows: u64,
    /// Requests started.
    pub requests: u64,
    /// Requests started, and those of the plan that are still to come.
    pub requests_in_all: u64,
    /// Requests started per second, over the last seconds.
    pub rate: f64,
    /// The pace in force, where throttlings have lowered it.
    pub slowed_to: Option<f64>,
    /// How long the rest will take, if that can be estimated.
    pub eta: Option<Duration>,
    /// Requests that repeated an earlier one.
    pub retried: u64,
    /// Answers that there were too many requests.
    pub throttled: u64,
    /// Why nothing starts just now, and for how much longer.
    pub held: Option<(Waiting, Duration)>,
    /// What the last answer said, while nothing starts.
    pub reason: Option<String>,
    /// When the run gives up unless that changes, while nothing starts.
    pub gives_up: Option<Duration>,
    /// How far reading back is, once it has begun.
    pub reading_back: Option<ReadingBack>,
    /// Since the first event.
    pub elapsed: Duration,
}

impl ProgressState {
    /// How much of the whole is done: rows, and then users to read back.
    fn share(&self) -> (u64, u64) {
        match self.reading_back {
            Some(ReadingBack { users, users_done, .. }) => (users_done, users),
            None => (self.finished, self.rows),
        }
    }
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn show(&mut self, _: &ProgressState) {}

    fn close(&mut self) {}
}

impl<P: Progress + ?Sized> Progress for Box<P> {
    fn show_reading(&mut self, state: &ReadingState) {
        (**self).show_reading(state);
    }

    fn show_pull(&mut self, state: &PullState) {
        (**self).show_pull(state);
    }

    fn show(&mut self, state: &ProgressState) {
        (**self).show(state);
    }

    fn close(&mut self) {
        (**self).close();
    }
}
