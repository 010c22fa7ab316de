//! The run for GitHub Actions: annotations, the summary of the step, and its outputs.

use std::borrow::Cow;

use super::format::{counted, grouped};
use super::visible::{Visible, is_invisible};
use super::{ExitCode, Reasons, Requests, RunSummary};
use crate::input::Issue;

/// GitHub shows ten annotations of each kind for a step.
const MOST_ANNOTATIONS: usize = 10;

/// The most causes in the summary. GitHub refuses one of more than 1 MiB, which these are far from.
const MOST_CAUSES: usize = 20;

/// The most attributes in the summary.
const MOST_ATTRIBUTES: usize = 50;

/// The most characters of a message.
const LONGEST_MESSAGE: usize = 500;

/// What GitHub Actions shows of a run. It holds no ids and no values.
#[derive(Clone, Copy, Debug)]
pub struct GithubReport<'a> {
    /// The result, as scripts get it.
    pub summary: &'a RunSummary,
    /// What happened, in a sentence.
    pub headline: &'a str,
    /// What to do next.
    pub next: &'a [String],
    /// Why rows failed.
    pub failures: &'a Reasons,
    /// Why rows are invalid, the most frequent first.
    pub invalid: &'a [Issue],
}

/// Rows that are lost for the same reason.
struct Cause<'a> {
    fate: &'static str,
    rows: u64,
    reason: Cow<'a, str>,
}

impl GithubReport<'_> {
    /// A workflow command for the result and for each cause; none if all is well.
    pub fn annotations(&self) -> Vec<String> {
        let exit = self.summary.exit;
        let kind = match exit {
            ExitCode::Complete => return Vec::new(),
            ExitCode::Incomplete => "warning",
            _ => "error",
        };
        let causes = self.causes(MOST_ANNOTATIONS - 1).into_iter().map(|Cause { fate, rows, reason }| {
            workflow_command(kind, &format!("attrsync: {} {fate}", counted(rows, "row")), &reason)
        });
        let result = workflow_command(kind, &format!("attrsync: {}", exit.outcome()), self.headline);
        std::iter::once(result).chain(causes).collect()
    }

    /// The result in Markdown.
    pub fn step_summary(&self) -> String {
        let RunSummary { exit, rows, requests, attributes, run_id, .. } = self.summary;
        let mut lines = vec![
            format!("### attrsync: {}", exit.outcome()),
            String::new(),
            escaped(self.headline),
            String::new(),
            format!("| run {} | count |", escaped(run_id)),
            "|---|--:|".to_owned(),
            format!("| rows read | {} |", grouped(rows.read)),
        ];
        let fates = rows.by_fate().into_iter().filter(|(count, _)| *count > 0);
        lines.extend(fates.map(|(count, fate)| format!("| rows {fate} | {} |", grouped(count))));
        let Requests { planned, sent, retried, throttled, .. } = *requests;
        let requests = [("planned", planned), ("sent", sent), ("retried", retried), ("throttled", throttled)];
        lines.extend(requests.map(|(what, count)| format!("| requests {what} | {} |", grouped(count))));

        if attributes.len() > 1 {
            lines.extend([String::new(), "| attribute | acknowledged | failed | unsent |".to_owned()]);
            lines.push("|---|--:|--:|--:|".to_owned());
            lines.extend(attributes.iter().take(MOST_ATTRIBUTES).map(|of| {
                let counts = [of.acknowledged, of.failed, of.unsent].map(grouped).join(" | ");
                format!("| {} | {counts} |", escaped(&of.name))
            }));
        }
        let causes = self.causes(MOST_CAUSES);
        if !causes.is_empty() {
            lines.extend([String::new(), "| rows | fate | reason |".to_owned(), "|--:|---|---|".to_owned()]);
            lines.extend(causes.iter().map(|Cause { fate, rows, reason }| {
                format!("| {} | {fate} | {} |", grouped(*rows), escaped(reason))
            }));
        }
        for next in self.next {
            let (what, command) = next.split_once('\n').unwrap_or((next, ""));
            lines.extend([String::new(), format!("Next: {}", escaped(what))]);
            if !command.is_empty() {
                // An indented block can hold backticks.
                lines.push(String::new());
                lines.extend(command.lines().map(|line| format!("    {line}")));
            }
        }
        lines.push(String::new());
        lines.join("\n") + "\n"
    }

    /// The outputs of the step: a name and a value in each line.
    pub fn outputs(&self) -> String {
        let RunSummary { exit, run_id, rows, requests, reason, .. } = self.summary;
        let fates = rows.by_fate().map(|(count, fate)| (format!("rows_{fate}"), count.to_string()));
        let mut outputs = vec![
            ("outcome".to_owned(), exit.outcome().to_owned()),
            ("exit_code".to_owned(), exit.code().to_string()),
            ("run_id".to_owned(), run_id.clone()),
            ("reason".to_owned(), reason.map(|reason| reason.to_string()).unwrap_or_default()),
            ("rows_read".to_owned(), rows.read.to_string()),
        ];
        outputs.extend(fates);
        outputs.push(("requests_sent".to_owned(), requests.sent.to_string()));
        let lines: Vec<_> = outputs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n") + "\n"
    }

    /// Why rows are lost, in the order of how many.
    fn causes(&self, most: usize) -> Vec<Cause<'_>> {
        let (failures, _) = self.failures.top(most);
        let failed = failures.into_iter().map(|one| Cause {
            fate: "failed",
            rows: one.rows,
            reason: Cow::Borrowed(&one.reason.error),
        });
        let invalid = self.invalid.iter().map(|issue| Cause {
            fate: "invalid",
            rows: issue.count,
            reason: Cow::Owned(issue.without_id()),
        });
        let mut causes: Vec<_> = failed.chain(invalid).collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.rows));
        causes.truncate(most);
        causes
    }
}

/// A workflow command. It ends with its line, and `%` begins an escape.
fn workflow_command(kind: &str, title: &str, message: &str) -> String {
    let title = escaped_data(title).replace(':', "%3A").replace(',', "%2C");
    let short: String = message.chars().take(LONGEST_MESSAGE).collect();
    format!("::{kind} title={title}::{}", escaped_data(&Visible(&short).to_string()))
}

fn escaped_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Text that Markdown shows as it is, in a cell of a table, too.
fn escaped(text: &str) -> String {
    let short: String = text.chars().take(LONGEST_MESSAGE).collect();
    short
        .chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => " ".to_owned(),
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            c if is_invisible(c) => c.escape_unicode().to_string(),
            c if c.is_ascii_punctuation() && !".,:;()-/%'+=".contains(c) => format!("\\{c}"),
            c => c.to_string(),
        })
        .collect()
}
