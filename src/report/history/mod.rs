//! What `attrsync history` says: of all runs, of one, and of a user. In words of 80 columns, or as JSON.

mod run;
mod runs;
mod user;

pub use run::RunScreen;
pub use runs::RunsScreen;
pub use user::UserScreen;

use anstyle::Style;
use indicatif::HumanCount;
use jiff::Timestamp;
use serde::Serialize;

use super::style::{BAD, DOUBTFUL, GOOD};
use super::wording::Cut;
use crate::ledger::{Outcome, PastRun, RowCounts};
use crate::plan::Sent;

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
fn ending(outcome: Option<Outcome>) -> (&'static str, Style) {
    let style = match outcome {
        Some(Outcome::Complete) => GOOD,
        Some(Outcome::Incomplete | Outcome::Interrupted) | None => DOUBTFUL,
        Some(Outcome::Stopped | Outcome::Internal) => BAD,
    };
    (outcome.map_or("unfinished", Outcome::name), style)
}

/// Why there is no end of a run.
fn unfinished(run: &PastRun) -> String {
    match run.process {
        Some(process) => format!("running now (process {process})"),
        None => "killed: no end is recorded".to_owned(),
    }
}

/// What became of rows: the fates that any has.
fn fates(rows: &RowCounts) -> impl Iterator<Item = (u64, &'static str)> {
    let RowCounts { read: _, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent } =
        *rows;
    [
        (acknowledged, "acknowledged"),
        (resumed, "resumed"),
        (unchanged, "unchanged"),
        (superseded, "superseded"),
        (skipped, "skipped"),
        (invalid, "invalid"),
        (failed, "failed"),
        (unsent, "unsent"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
}

/// A value in a few columns.
fn shown(value: &Sent<'_>, most: usize) -> String {
    match value {
        Sent::Null => "null".to_owned(),
        Sent::Text(text) => format!("`{}`", Cut(text, most - 2)),
        Sent::Json(token) => Cut(token, most).to_string(),
    }
}

/// Parts joined by commas, in lines that leave room for an indent.
fn listed(parts: impl IntoIterator<Item = String>, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if indent + line.len() + part.len() + 3 <= COLUMNS => {
                line.push_str(", ");
                line.push_str(&part);
            }
            Some(line) => {
                line.push(',');
                lines.push(part);
            }
            None => lines.push(part),
        }
    }
    lines
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

    pub(super) fn page(screen: &dyn std::fmt::Display) -> String {
        let page = anstream::adapter::strip_str(&screen.to_string()).to_string();
        for line in page.lines() {
            assert!(line.chars().count() <= COLUMNS && line == line.trim_end(), "{line:?}");
        }
        page
    }

    /// One that read what the user has in a deep folder.
    pub(super) fn past_run() -> PastRun {
        PastRun {
            run: crate::ledger::RunId(3),
            base_url: "https://acme.user.com/api/public/".into(),
            continues: Some(crate::ledger::RunId(2)),
            started_at: at(0),
            finished_at: Some(at(123)),
            outcome: Some(Outcome::Incomplete),
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
        }
    }

    #[test]
    fn a_list_breaks_between_its_parts() {
        let parts = |count| (0..count).map(|_| "a".repeat(35));
        assert!(listed(parts(0), 2).is_empty());
        let widths: Vec<_> = listed(parts(3), 2).iter().map(String::len).collect();
        assert_eq!(widths, [35 + 2 + 35 + 1, 35]);
    }
}
