//! Counts rows and issues while reading.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::excerpt;

/// The most places that are kept for each issue.
const PLACES: usize = 5;

/// Numbers of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All rows: valid, invalid and skipped.
    pub read: u64,
    /// Rows that break a rule.
    pub invalid: u64,
    /// Rows without a value that are left out.
    pub skipped: u64,
}

/// A place in an input, and what was found there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The name of the input.
    pub input: String,
    /// The line where the record starts, from 1.
    pub line: u64,
    /// An excerpt of what was found.
    pub found: String,
}

impl std::fmt::Display for Location {
    /// As in messages: `users.csv:1042`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.input, self.line)
    }
}

/// A problem in the input: an error that makes rows invalid, or a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// The problem in words.
    pub what: String,
    /// How often it occurs.
    pub count: u64,
    /// Where it occurs first.
    pub places: Vec<Location>,
}

impl Issue {
    /// An issue that belongs to no row.
    pub(super) fn of(what: String) -> Self {
        Self { what, count: 1, places: Vec::new() }
    }

    /// The problem without the id that was found instead of a valid one: a wrong id may be an e-mail address.
    pub fn without_id(&self) -> String {
        let Some(first) = self.places.first() else { return self.what.clone() };
        self.what.replace(&format!(", not `{}`", excerpt(first.found.as_bytes())), "")
    }
}

/// Counts issues by kind, and keeps the first few places of each.
#[derive(Clone, Debug)]
pub(super) struct IssueCounter<K> {
    by_kind: HashMap<K, usize>,
    kinds: Vec<CountedIssue<K>>,
}

#[derive(Clone, Debug)]
pub(super) struct CountedIssue<K> {
    pub(super) kind: K,
    pub(super) count: u64,
    pub(super) places: Vec<Location>,
}

impl<K> Default for IssueCounter<K> {
    fn default() -> Self {
        Self { by_kind: HashMap::new(), kinds: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> IssueCounter<K> {
    pub(super) fn count(&mut self, kind: K, place: impl FnOnce() -> Location) {
        let sample = self.of(kind);
        sample.count += 1;
        if sample.places.len() < PLACES {
            sample.places.push(place());
        }
    }

    /// Appends the issues of a fork. Adds `lines` to their lines, and changes their kinds by `rename`.
    pub(super) fn join(&mut self, later: Self, lines: u64, rename: impl Fn(K) -> K) {
        for CountedIssue { kind, count, places } in later.kinds {
            let sample = self.of(rename(kind));
            sample.count += count;
            let room = PLACES - sample.places.len();
            let places = places.into_iter().take(room);
            sample.places.extend(places.map(|place| Location { line: place.line + lines, ..place }));
        }
    }

    /// The most frequent first.
    pub(super) fn sorted(mut self) -> Vec<CountedIssue<K>> {
        self.kinds.sort_by_key(|sample| std::cmp::Reverse(sample.count));
        self.kinds
    }

    fn of(&mut self, kind: K) -> &mut CountedIssue<K> {
        let at = *self.by_kind.entry(kind).or_insert_with(|| {
            self.kinds.push(CountedIssue { kind, count: 0, places: Vec::new() });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }
}
