use std::cmp::Reverse;
use std::fmt::{self, Display};

use indicatif::HumanCount;
use serde::{Serialize, Serializer};

use super::super::format::{Truncated, counted, grouped, time};
use super::super::style::Styled;
use super::super::table::Table;
use super::{ATTRIBUTE, COLUMNS, RunJson, ending, fates, moment, shown, unfinished, write_line};
use crate::ledger::{PastRun, SentRows};

/// One run: how it went, and what it got acknowledged. Displayed with ANSI styles, with a line end; serialised as an
/// object that has every sent.
#[derive(Clone, Copy, Debug)]
pub struct RunScreen<'a> {
    /// The run.
    pub run: &'a PastRun,
    /// What it got acknowledged, as far as that is still known.
    pub sent_rows: &'a [SentRows],
    /// How many values to show, those with the most users.
    pub top: usize,
    /// How wide the screen is; `None`: texts may be of any length.
    pub columns: Option<usize>,
}

/// What a run did to an attribute.
#[derive(Default)]
struct Sums {
    values: u64,
    users: u64,
    requests: u64,
}

const LABEL: usize = 11;
const VALUE: usize = 28;

impl RunScreen<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.run;
        let (outcome, style) = ending(run.outcome);
        writeln!(f, "run {}: {}\n", run.run, Styled(style, outcome))?;
        self.line(f, "target", &run.base_url)?;
        self.line(f, "began", &format!("{} UTC", moment(run.started_at)))?;
        let ended = run.finished_at.map_or_else(
            || unfinished(run),
            |at| {
                let took = run.duration().map(|took| format!(", after {}", time(took)));
                format!("{} UTC{}", moment(at), took.unwrap_or_default())
            },
        );
        self.line(f, "ended", &ended)?;
        if let Some(continued) = run.continues {
            self.line(f, "continues", &format!("run {continued}"))?;
        }
        let labels = |label| std::iter::once(label).chain(std::iter::repeat(""));
        for (input, label) in run.inputs.iter().zip(labels("inputs")) {
            self.line(f, label, input)?;
        }
        let Some(rows) = &run.rows else { return Ok(()) };
        let width = grouped(rows.read).len();
        let counts = std::iter::once((rows.read, "read")).chain(fates(rows));
        for ((count, fate), label) in counts.zip(labels("rows")) {
            self.line(f, label, &format!("{:>width$} {fate}", grouped(count)))?;
        }
        Ok(())
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
        write_line(f, &format!("{label:<LABEL$}{text}"), LABEL, self.columns)
    }

    fn attributes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut attributes: Vec<(&str, Sums)> = Vec::new();
        for sent in self.sent_rows {
            let known = attributes.iter().position(|(name, _)| *name == sent.attribute);
            let place = known.unwrap_or_else(|| {
                attributes.push((&sent.attribute, Sums::default()));
                attributes.len() - 1
            });
            attributes[place].1.add(sent);
        }
        let mut table = vec![["attribute", "values", "users", "requests"].map(str::to_owned)];
        table.extend(attributes.into_iter().map(|(name, Sums { values, users, requests })| {
            let [values, users, requests] = [values, users, requests].map(grouped);
            [Truncated(name, ATTRIBUTE).to_string(), values, users, requests]
        }));
        let columns = self.columns.unwrap_or(COLUMNS);
        write!(f, "\n{}", Table { rows: table, columns, dispensable: &[3, 1] })
    }

    fn largest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.top == 0 {
            return Ok(());
        }
        let mut sent_rows: Vec<&SentRows> = self.sent_rows.iter().collect();
        sent_rows.sort_by_key(|sent| Reverse(sent.users));
        writeln!(f, "\nvalues with the most users")?;
        for sent in sent_rows.iter().take(self.top) {
            let (attribute, value) = (Truncated(&sent.attribute, ATTRIBUTE), shown(&sent.value, VALUE));
            let line = format!("  {attribute} = {value} for {}", counted(sent.users, "user"));
            write_line(f, &line, 4, self.columns)?;
        }
        match sent_rows.len().saturating_sub(self.top) {
            0 => Ok(()),
            hidden => writeln!(f, "  and {} more", HumanCount(hidden as u64)),
        }
    }

    /// Rows that were acknowledged so long ago that the ledger no longer says which they were.
    fn forgotten(&self) -> u64 {
        let acknowledged = self.run.rows.map_or(0, |rows| rows.acknowledged);
        acknowledged.saturating_sub(self.sent_rows.iter().map(|sent| sent.users).sum())
    }
}

impl Sums {
    fn add(&mut self, sent: &SentRows) {
        self.values += 1;
        self.users += sent.users;
        self.requests += sent.attempts;
    }
}

impl Display for RunScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        if !self.sent_rows.is_empty() {
            self.attributes(f)?;
            self.largest(f)?;
        }
        match self.forgotten() {
            0 => Ok(()),
            rows => {
                writeln!(f)?;
                let rows = HumanCount(rows);
                let line = format!("the ledger no longer has the details of {rows} acknowledged rows");
                write_line(f, &line, 0, self.columns)
            }
        }
    }
}

impl Serialize for RunScreen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(flatten)]
            run: RunJson<'a>,
            sent: &'a [SentRows],
        }
        Json { run: RunJson::of(self.run), sent: self.sent_rows }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, fits, page, past_run};
    use super::*;
    use crate::ledger::RunOutcome;
    use crate::plan::SentValue;

    fn sent(attribute: &str, value: SentValue<'static>, users: u64) -> SentRows {
        let batches = users.div_ceil(1000);
        SentRows {
            attribute: attribute.to_owned(),
            value,
            users,
            batches,
            attempts: batches + 1,
            first_at: at(1),
            last_at: at(2),
        }
    }

    fn sent_rows() -> [SentRows; 4] {
        [
            sent("country", SentValue::Text("Norway".into()), 12),
            sent(
                "country",
                SentValue::Text("United Kingdom of Great Britain and Northern Ireland".into()),
                999_900,
            ),
            sent("a_custom_attribute_with_a_long_name", SentValue::Null, 88),
            sent("score", SentValue::Json("7".into()), 1),
        ]
    }

    #[test]
    fn one_run_is_told_whole() {
        let run = past_run();
        insta::assert_snapshot!(page(&RunScreen { run: &run, sent_rows: &sent_rows()[..3], top: 2, columns: None }), @r"
        run 3: incomplete

        target     https://acme.user.com/api/public/
        began      2027-01-15 08:00:00 UTC
        ended      2027-01-15 08:02:03 UTC, after 2m 3s
        continues  run 2
        inputs     /srv/crm/exports/users.csv
                   more\u{1b}[2J.csv
        rows       1,000,045 read
                   1,000,000 acknowledged
                           5 resumed
                           4 unchanged
                           3 superseded
                           2 skipped
                          12 invalid
                          12 failed
                           7 unsent

        attribute             values    users  requests
        country                    2  999,912     1,003
        a_custom_attribute_…       1       88         2

        values with the most users
          country = `United Kingdom of Great B…` for 999,900 users
          a_custom_attribute_… = null for 88 users
          and 1 more
        ");
    }

    #[test]
    fn a_run_that_was_killed_has_done_what_it_recorded() {
        let run = PastRun { finished_at: None, outcome: None, rows: None, continues: None, ..past_run() };
        insta::assert_snapshot!(page(&RunScreen { run: &run, sent_rows: &sent_rows()[3..], top: 5, columns: None }), @r"
        run 3: unfinished

        target     https://acme.user.com/api/public/
        began      2027-01-15 08:00:00 UTC
        ended      killed: no end is recorded
        inputs     /srv/crm/exports/users.csv
                   more\u{1b}[2J.csv

        attribute  values  users  requests
        score           1      1         2

        values with the most users
          score = 7 for 1 user
        ");
    }

    #[test]
    fn narrow_screens_have_fewer_columns_and_longer_lists() {
        let (run, sent_rows) = (past_run(), sent_rows());
        let screen = |columns| {
            RunScreen { run: &run, sent_rows: &sent_rows, top: 9, columns: Some(columns) }.to_string()
        };
        fits(screen, &["attribute", "users", "999,912", "for 999,900", "1,000,045 read"]);
    }

    #[test]
    fn what_is_no_longer_kept_is_not_passed_over() {
        let run = PastRun { outcome: Some(RunOutcome::Complete), ..past_run() };
        let page = page(&RunScreen { run: &run, sent_rows: &[], top: 5, columns: None });
        assert!(
            page.ends_with("\nthe ledger no longer has the details of 1,000,000 acknowledged rows\n"),
            "{page}"
        );
    }
}
