//! The run as one HTML page, for a person who was not there.

use std::io::{self, Write};

use super::{Reasons, RunSummary, Statistics};
use crate::input::Issue;

/// What the page shows. It holds no ids, no values and no secrets.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The result, as scripts get it.
    pub summary: &'a RunSummary,
    /// What happened, in a sentence.
    pub headline: &'a str,
    /// What to do next, a paragraph each. The lines after the first one of each are commands.
    pub next: &'a [String],
    /// The details, if anything was sent.
    pub statistics: Option<&'a Statistics>,
    /// Why rows failed.
    pub failures: &'a Reasons,
    /// Why rows are invalid, the most frequent first.
    pub invalid: &'a [Issue],
    /// The settings in use, by name.
    pub settings: &'a [(String, String)],
    /// The configured limit, in requests per second, if the settings are known.
    pub rate_limit: Option<f64>,
}

impl Page<'_> {
    /// Writes the page.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "{}", self.headline)
    }
}
