//! The screens of `attrsync history`: all runs, one run, and one user. As text of 80 columns, or as JSON.

mod run;
mod runs;
mod user;

pub use run::RunScreen;
pub use runs::RunsScreen;
pub use user::UserScreen;

use std::fmt;

use anstyle::Style;
use indicatif::HumanCount;
use jiff::Timestamp;
use serde::Serialize;

use super::format::Truncated;
use super::style::{BAD, DOUBTFUL, GOOD};
use super::visible::Visible;
use super::wrap::wrapped;
use crate::ledger::{PastRun, RowCounts, RunOutcome};
use crate::plan::SentValue;

/// The width of tables without a screen. A screen with fewer columns is narrow.
const COLUMNS: usize = 80;
const ATTRIBUTE: usize = 20;

/// A run for programs.
#[derive(Serialize)]
struct RunJson<'a> {
    #[serde(flatten)]
    run: &'a PastRun,
    duration_seconds: Option<f64>,
}

impl<'a> RunJson<'a> {
    fn of(run: &'a PastRun) -> Self {
        Self { run, duration_seconds: run.duration().map(|duration| duration.as_secs_f64()) }
    }
}

/// A time in UTC, to the second, in 19 columns.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How a run ended, in a word, and how that looks.
fn ending(outcome: Option<RunOutcome>) -> (&'static str, Style) {
    let style = match outcome {
        Some(RunOutcome::Complete) => GOOD,
        Some(RunOutcome::Incomplete | RunOutcome::Interrupted) | None => DOUBTFUL,
        Some(RunOutcome::Stopped | RunOutcome::Internal) => BAD,
    };
    (outcome.map_or("unfinished", RunOutcome::name), style)
}

/// Why a run has no end.
fn unfinished(run: &PastRun) -> String {
    match run.process {
        Some(process) => format!("running now (process {process})"),
        None => "killed: no end is recorded".to_owned(),
    }
}

/// The fates that any row has.
fn fates(rows: &RowCounts) -> impl Iterator<Item = (u64, &'static str)> {
    rows.by_fate().into_iter().filter(|(count, _)| *count > 0)
}

/// A value in a few columns.
fn shown(value: &SentValue<'_>, most: usize) -> String {
    match value {
        SentValue::Null => "null".to_owned(),
        SentValue::Text(text) => format!("`{}`", Truncated(text, most - 2)),
        SentValue::Json(token) => Truncated(token, most).to_string(),
    }
}

/// A line, divided where the screen ends.
fn write_line(f: &mut fmt::Formatter<'_>, line: &str, indent: usize, columns: Option<usize>) -> fmt::Result {
    wrapped(&Visible(line).to_string(), indent, columns).iter().try_for_each(|line| writeln!(f, "{line}"))
}

/// A count with its fate.
fn counted_fate((count, fate): (u64, &'static str)) -> String {
    format!("{} {fate}", HumanCount(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    pub(super) fn page(screen: &dyn fmt::Display) -> String {
        let page = anstream::adapter::strip_str(&screen.to_string()).to_string();
        for line in page.lines() {
            assert!(line.chars().count() <= COLUMNS && line == line.trim_end(), "{line:?}");
        }
        page
    }

    /// The same at several widths: no line is wider, and these parts are on each.
    pub(super) fn fits(screen: impl Fn(usize) -> String, parts: &[&str]) {
        for columns in [40, 60, 80, 200] {
            let page = anstream::adapter::strip_str(&screen(columns)).to_string();
            for line in page.lines() {
                assert!(line.chars().count() <= columns, "{columns} columns: {line}");
            }
            for part in parts {
                assert!(page.contains(part), "{columns} columns: {part} is not in\n{page}");
            }
        }
    }

    /// One that read what the user has in a deep folder.
    pub(super) fn past_run() -> PastRun {
        PastRun {
            run: crate::ledger::RunId(3),
            base_url: "https://acme.user.com/api/public/".into(),
            continues: Some(crate::ledger::RunId(2)),
            started_at: at(0),
            finished_at: Some(at(123)),
            outcome: Some(RunOutcome::Incomplete),
            process: None,
            inputs: vec!["/srv/crm/exports/users.csv".into(), "more\u{1b}[2J.csv".into()],
            rows: Some(RowCounts {
                read: 1_000_045,
                invalid: 12,
                skipped: 2,
                superseded: 3,
                unchanged: 4,
                resumed: 5,
                acknowledged: 1_000_000,
                failed: 12,
                unsent: 7,
            }),
            pull: None,
        }
    }
}
