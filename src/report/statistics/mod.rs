//! What happened in a run, in more detail than its totals: by attribute, and over time.

mod attribute_counts;
mod timeline;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

pub use attribute_counts::AttributeCounts;
pub use timeline::{Interval, Timeline};

use crate::deliver::{Event, Outcome};

/// The details of a run. What they take of memory depends on the number of attributes, and not on how long the run is.
#[derive(Clone, Debug)]
pub struct Statistics {
    by_attribute: HashMap<String, AttributeCounts>,
    timeline: Timeline,
}

impl Statistics {
    /// Of a run that begins to send now.
    pub fn new(begun: Instant) -> Self {
        Self { by_attribute: HashMap::new(), timeline: Timeline::new(begun) }
    }

    /// Counts a request or an answer, or notes the state of delivery.
    pub fn take(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Sent { at, .. } => self.timeline.sent(*at),
            Event::Answered { at, latency, answer } => self.timeline.answered(*at, *latency, *answer),
            Event::Status(status) => self.timeline.status(now, status),
            Event::Finished { .. } => {}
        }
    }

    /// Counts rows of an attribute that are finished.
    pub fn finished(&mut self, attribute: &str, rows: u64, outcome: &Outcome) {
        let counts = self.attribute(attribute);
        counts.rows += rows;
        match outcome {
            Outcome::Acknowledged => counts.acknowledged += rows,
            Outcome::Failed(_) => counts.failed += rows,
            Outcome::Unsent(_) => counts.unsent += rows,
        }
    }

    /// Counts rows of an attribute that were never finished.
    pub fn leave_unsent(&mut self, attribute: &str, rows: u64) {
        let counts = self.attribute(attribute);
        counts.rows += rows;
        counts.unsent += rows;
    }

    /// What happened to the rows of each attribute, most rows first.
    pub fn by_attribute(&self) -> Vec<AttributeCounts> {
        let mut all: Vec<_> = self.by_attribute.values().cloned().collect();
        all.sort_by(|one, other| other.rows.cmp(&one.rows).then_with(|| one.name.cmp(&other.name)));
        all
    }

    /// What happened when.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// How many answers there were, and how long all of them took together.
    pub fn answers(&self) -> (u64, Duration) {
        self.timeline.answers()
    }

    /// The time that this share of the answers, from 0 to 1, took at most. `None` before the first answer.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        self.timeline.latency(share)
    }

    fn attribute(&mut self, name: &str) -> &mut AttributeCounts {
        // An entry takes a `String`, which nearly all calls would make for nothing.
        if !self.by_attribute.contains_key(name) {
            let counts = AttributeCounts { name: name.to_owned(), ..AttributeCounts::default() };
            self.by_attribute.insert(name.to_owned(), counts);
        }
        self.by_attribute.get_mut(name).expect("it was just inserted")
    }
}
