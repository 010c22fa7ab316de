use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::{Serialize, Serializer};

use super::super::format::{Truncated, counted, time};
use super::super::style::Styled;
use super::super::wrap::filled;
use super::{COLUMNS, RunJson, counted_fate, ending, fates, moment, unfinished, write_line};
use crate::ledger::{PastPull, PastRun};

/// All runs of a ledger, the newest first. Displayed with ANSI styles, with a line end; serialised as an object.
#[derive(Clone, Copy, Debug)]
pub struct RunsScreen<'a> {
    /// The runs, the oldest first.
    pub runs: &'a [PastRun],
    /// How wide the screen is; `None`: 80 columns.
    pub columns: Option<usize>,
}

const RUN: usize = 3;
const INDENT: usize = RUN + 2;
const INPUTS: usize = 32;
/// The fewest columns with which a run's duration is in its line.
const MEDIUM: usize = 48;

/// What the line of a run has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Wide,
    /// Without the inputs, which have a line of their own.
    Medium,
    /// Without the duration, too.
    Narrow,
}

impl RunsScreen<'_> {
    fn run(&self, run: &PastRun, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (began, number) = (moment(run.started_at), run.run.0);
        let took = run.duration().map(time).unwrap_or_default();
        let (outcome, style) = ending(run.outcome);
        let outcome = Styled(style, format_args!("{outcome:<11}"));
        let inputs =
            if run.pull.is_some() { "(users of the account)".to_owned() } else { run.inputs.join(", ") };
        match self.room() {
            Room::Wide => {
                let inputs = Truncated(&inputs, INPUTS);
                writeln!(f, "{number:>RUN$}  {began}  {took:<7}  {outcome}  {inputs}")?;
            }
            Room::Medium => writeln!(f, "{number:>RUN$}  {began}  {took:<7}  {outcome}")?,
            Room::Narrow => writeln!(f, "{number:>RUN$}  {began}  {outcome}")?,
        }
        if self.room() != Room::Wide && !inputs.is_empty() {
            self.line(f, &format!("from {inputs}"))?;
        }
        if self.has_several_targets() {
            self.line(f, &format!("to {}", run.base_url))?;
        }
        if let Some(continued) = run.continues {
            self.line(f, &format!("continues run {continued}"))?;
        }
        if let Some(PastPull { pages, users }) = run.pull {
            let read = format!("read {} on {}", counted(users, "user"), counted(pages, "page"));
            self.line(f, &read)?;
        }
        match &run.rows {
            None if run.pull.is_some() && run.outcome.is_some() => Ok(()),
            Some(rows) => {
                let read = counted(rows.read, "row");
                let mut fates = fates(rows).map(counted_fate);
                let first = fates.next().map_or_else(|| read.clone(), |first| format!("{read}: {first}"));
                let lines = filled(std::iter::once(first).chain(fates), ", ", self.width() - INDENT);
                lines.iter().try_for_each(|line| writeln!(f, "{:INDENT$}{line}", ""))
            }
            None => self.line(f, &unfinished(run)),
        }
    }

    fn width(&self) -> usize {
        self.columns.unwrap_or(COLUMNS).max(2 * INDENT)
    }

    fn room(&self) -> Room {
        match self.width() {
            COLUMNS.. => Room::Wide,
            MEDIUM.. => Room::Medium,
            _ => Room::Narrow,
        }
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
        write_line(f, &format!("{:INDENT$}{text}", ""), INDENT, Some(self.width()))
    }

    fn has_several_targets(&self) -> bool {
        self.runs.iter().map(|run| &run.base_url).collect::<BTreeSet<_>>().len() > 1
    }
}

impl Display for RunsScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs.is_empty() {
            return writeln!(f, "no run is recorded");
        }
        let [run, began, took] = ["run", "began (UTC)", "took"];
        match self.room() {
            Room::Wide => writeln!(f, "{run:>RUN$}  {began:<19}  {took:<7}  {:<11}  inputs", "outcome")?,
            Room::Medium => writeln!(f, "{run:>RUN$}  {began:<19}  {took:<7}  outcome")?,
            Room::Narrow => writeln!(f, "{run:>RUN$}  {began:<19}  outcome")?,
        }
        self.runs.iter().rev().try_for_each(|run| self.run(run, f))
    }
}

impl Serialize for RunsScreen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            runs: Vec<RunJson<'a>>,
        }
        Json { runs: self.runs.iter().rev().map(RunJson::of).collect() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, fits, page, past_run};
    use super::*;
    use crate::ledger::{RowCounts, RunId, RunOutcome};

    #[test]
    fn the_newest_run_comes_first_and_every_fate_is_told() {
        let last = past_run();
        let killed = PastRun {
            run: RunId(2),
            continues: None,
            started_at: at(-86_400),
            finished_at: None,
            outcome: None,
            rows: None,
            inputs: vec!["users.csv".into()],
            ..last.clone()
        };
        let first = PastRun {
            run: RunId(1),
            continues: None,
            started_at: at(-90_000),
            finished_at: Some(at(-90_000)),
            outcome: Some(RunOutcome::Complete),
            rows: Some(RowCounts { read: 1, acknowledged: 1, ..RowCounts::default() }),
            ..killed.clone()
        };
        let runs = [first, killed, last];
        insta::assert_snapshot!(page(&RunsScreen { runs: &runs, columns: None }), @"
        run  began (UTC)          took     outcome      inputs
          3  2027-01-15 08:00:00  2m 3s    incomplete   /srv/crm/exports/users.csv, mor…
             continues run 2
             1,000,045 rows: 1,000,000 acknowledged, 5 resumed, 4 unchanged,
             3 superseded, 2 skipped, 12 invalid, 12 failed, 7 unsent
          2  2027-01-14 08:00:00           unfinished   users.csv
             killed: no end is recorded
          1  2027-01-14 07:00:00  0.0s     complete     users.csv
             1 row: 1 acknowledged
        ");
    }

    #[test]
    fn a_run_that_read_the_account_says_what_it_read() {
        let pull = PastRun {
            inputs: Vec::new(),
            rows: None,
            outcome: Some(RunOutcome::Complete),
            continues: None,
            pull: Some(PastPull { pages: 2_000, users: 200_000 }),
            ..past_run()
        };
        let killed = PastRun { outcome: None, finished_at: None, ..pull.clone() };
        insta::assert_snapshot!(page(&RunsScreen { runs: &[killed, pull], columns: None }), @"
        run  began (UTC)          took     outcome      inputs
          3  2027-01-15 08:00:00  2m 3s    complete     (users of the account)
             read 200,000 users on 2,000 pages
          3  2027-01-15 08:00:00           unfinished   (users of the account)
             read 200,000 users on 2,000 pages
             killed: no end is recorded
        ");
    }

    #[test]
    fn narrow_screens_have_the_inputs_on_lines_of_their_own() {
        let runs = [past_run()];
        let parts = ["2027-01-15 08:00:00", "incomplete", "users.csv", "12 failed", "continues run 2"];
        fits(|columns| RunsScreen { runs: &runs, columns: Some(columns) }.to_string(), &parts);
    }

    #[test]
    fn targets_are_told_apart_where_there_are_several() {
        let here = past_run();
        let there = PastRun { base_url: "https://other.user.com/api/public/".into(), ..here.clone() };
        assert!(!page(&RunsScreen { runs: std::slice::from_ref(&here), columns: None }).contains("user.com"));
        let both = page(&RunsScreen { runs: &[here, there], columns: None });
        assert!(both.contains("to https://acme.user.com/") && both.contains("to https://other.user.com/"));
    }

    #[test]
    fn a_ledger_without_runs_says_so() {
        insta::assert_snapshot!(page(&RunsScreen { runs: &[], columns: None }), @"no run is recorded");
    }
}
