use std::collections::BTreeSet;
use std::fmt::{self, Display};

use serde::{Serialize, Serializer};

use super::super::style::Styled;
use super::super::wording::{Cut, counted, time};
use super::{COLUMNS, RunJson, counted_fate, ending, fates, listed, moment, unfinished};
use crate::ledger::PastRun;

/// All runs of a ledger, the newest first. Displayed with ANSI styles, with a line end; serialised as an object.
#[derive(Clone, Copy, Debug)]
pub struct RunsScreen<'a> {
    /// The runs, the oldest first.
    pub runs: &'a [PastRun],
}

const RUN: usize = 3;
const INDENT: usize = RUN + 2;
const INPUTS: usize = 32;

impl RunsScreen<'_> {
    fn run(&self, run: &PastRun, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let began = moment(run.started_at);
        let took = run.duration().map(time).unwrap_or_default();
        let (outcome, style) = ending(run.outcome);
        let outcome = Styled(style, format_args!("{outcome:<11}"));
        let inputs = run.inputs.join(", ");
        let inputs = Cut(&inputs, INPUTS);
        writeln!(f, "{:>RUN$}  {began}  {took:<7}  {outcome}  {inputs}", run.run.0)?;
        if self.has_several_targets() {
            writeln!(f, "{:INDENT$}to {}", "", Cut(&run.base_url, COLUMNS - INDENT - 3))?;
        }
        if let Some(continued) = run.continues {
            writeln!(f, "{:INDENT$}continues run {continued}", "")?;
        }
        match &run.rows {
            Some(rows) => {
                let read = counted(rows.read, "row");
                let mut fates = fates(rows).map(counted_fate);
                let first = fates.next().map_or_else(|| read.clone(), |first| format!("{read}: {first}"));
                let lines = listed(std::iter::once(first).chain(fates), INDENT);
                lines.iter().try_for_each(|line| writeln!(f, "{:INDENT$}{line}", ""))
            }
            None => writeln!(f, "{:INDENT$}{}", "", unfinished(run)),
        }
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
        writeln!(f, "{:>RUN$}  {:<19}  {:<7}  {:<11}  inputs", "run", "began (UTC)", "took", "outcome")?;
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
    use super::super::tests::{at, page, past_run};
    use super::*;
    use crate::ledger::{Outcome, RowCounts, RunId};

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
            outcome: Some(Outcome::Complete),
            rows: Some(RowCounts { read: 1, acknowledged: 1, ..RowCounts::default() }),
            ..killed.clone()
        };
        let runs = [first, killed, last];
        insta::assert_snapshot!(page(&RunsScreen { runs: &runs }), @"
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
    fn targets_are_told_apart_where_there_are_several() {
        let here = past_run();
        let there = PastRun { base_url: "https://other.user.com/api/public/".into(), ..here.clone() };
        assert!(!page(&RunsScreen { runs: std::slice::from_ref(&here) }).contains("user.com"));
        let both = page(&RunsScreen { runs: &[here, there] });
        assert!(both.contains("to https://acme.user.com/") && both.contains("to https://other.user.com/"));
    }

    #[test]
    fn a_ledger_without_runs_says_so() {
        insta::assert_snapshot!(page(&RunsScreen { runs: &[] }), @"no run is recorded");
    }
}
