//! The end screen: what happened, and what to do next.

use std::fmt::{self, Display};
use std::path::Path;
use std::time::Duration;

use anstyle::Style;
use indicatif::HumanCount;

use super::advice::{Advice, Rerun};
use super::format::{Truncated, answer, counted, grouped, short_time, time, why_stopped};
use super::style::{ADVICE, BAD, DOUBTFUL, GOOD, Styled};
use super::visible::Visible;
use super::wrap::wrapped;
use super::{ExitCode, FailedRows, Latency, Requests, Tally};
use crate::deliver::{End, Mismatch, Verified};
use crate::input::Issue;
use crate::ledger::RowCounts;

/// The last output of a run that sent something. It fits a screen of 80 columns and 24 lines. Displayed with ANSI styles
/// and a line end.
#[derive(Clone, Copy, Debug)]
pub struct EndScreen<'a> {
    /// How it ended, for scripts.
    pub exit: ExitCode,
    /// How delivery ended.
    pub end: &'a End,
    /// What was counted.
    pub tally: &'a Tally,
    /// What reading back found, if it was asked for.
    pub verified: Option<&'a Verified>,
    /// From the start of the program.
    pub duration: Duration,
    /// Why rows are invalid, the most frequent first.
    pub causes: &'a [Issue],
    /// The failures report, if it could be written.
    pub failures: Option<&'a Path>,
    /// The summary, if it goes to a file.
    pub written: Option<&'a Path>,
    /// What the same command would do next.
    pub rerun: Rerun,
    /// The command that sends the rows of the failures report.
    pub feed_back: &'a str,
    /// How long answers took, if that is to be shown.
    pub latency: Option<&'a Latency>,
    /// How wide the screen is, in columns; `None`: lines may be of any length.
    pub columns: Option<usize>,
}

const COLUMNS: usize = 80;
const LINES: usize = 23;
/// The most columns of a reason that are shown.
const MOST_REASON: usize = 2 * (COLUMNS - LABEL);
const LABEL: usize = 10;
const MOST_MISMATCHES: usize = 5;
const MOST_REASONS: usize = 5;
const MOST_CAUSES: usize = 4;

impl Display for EndScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Advice { next, hint } = self.advice();
        let body = [self.rows(), self.requests(), self.verified()].concat();
        let body: Vec<_> = body.iter().flat_map(|line| self.wrapped(line, LABEL)).collect();
        let mut foot: Vec<_> = self.files().iter().flat_map(|line| self.wrapped(line, LABEL)).collect();
        for (label, advice) in [("next:", next), ("hint:", hint)] {
            let advice = advice.unwrap_or_default();
            let mut lines = advice.lines();
            let first = lines.next().map(|first| self.wrapped(&format!("{label} {first}"), label.len() + 1));
            foot.extend(styled(first.unwrap_or_default(), ADVICE, label));
            foot.extend(lines.map(|line| format!("  {line}")));
        }

        // A narrow screen may have more lines.
        let lines = self.columns.map_or(LINES, |columns| LINES * COLUMNS / columns.clamp(1, COLUMNS));
        let room = lines.saturating_sub(2 + body.len() + foot.len());
        let reasons = self.most(MOST_REASONS, room.saturating_sub(2), Self::reasons);
        let causes = self.most(MOST_CAUSES, room.saturating_sub(reasons.len()), Self::causes);
        writeln!(f, "{}\n", self.headline())?;
        body.into_iter().chain(reasons).chain(causes).chain(foot).try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl EndScreen<'_> {
    fn headline(&self) -> String {
        let style = match self.exit {
            ExitCode::Complete => GOOD,
            ExitCode::Incomplete | ExitCode::HungUp | ExitCode::Interrupted | ExitCode::Terminated => {
                DOUBTFUL
            }
            ExitCode::Usage | ExitCode::Refused | ExitCode::Stopped | ExitCode::Internal => BAD,
        };
        let outcome = self.exit.outcome();
        let label = format!("{outcome}:");
        let lines = self.wrapped(&format!("{label} {}", self.what_happened()), 0);
        styled(self.shortened(lines), style, &label).join("\n")
    }

    /// A line, divided where the screen ends.
    fn wrapped(&self, line: &str, indent: usize) -> Vec<String> {
        wrapped(&Visible(line).to_string(), indent, self.columns)
    }

    /// As many of these lines as a reason is worth.
    fn shortened(&self, mut lines: Vec<String>) -> Vec<String> {
        let Some(columns) = self.columns else { return lines };
        let most = MOST_REASON.div_ceil(columns.saturating_sub(LABEL).max(1)).max(2);
        if lines.len() > most {
            lines.truncate(most);
            if let Some(last) = lines.last_mut() {
                *last = Truncated(&format!("{last} … …"), columns.min(last.chars().count() + 2)).to_string();
            }
        }
        lines
    }

    fn advice(&self) -> Advice {
        Advice::new(self.exit, self.end, self.tally, self.failures, (self.rerun, self.feed_back))
    }

    /// What to do next: a text each. The lines after the first one of each are a command.
    pub fn next(&self) -> Vec<String> {
        let Advice { next, hint } = self.advice();
        next.into_iter().chain(hint).collect()
    }

    /// What happened, in a sentence.
    pub fn what_happened(&self) -> String {
        let Tally { fates, requests, .. } = self.tally;
        let effort = format!("{} in {}", counted(requests.sent, "request"), time(self.duration));
        match (self.exit, self.end) {
            (ExitCode::Internal, _) if !fates.add_up() => "the fates of rows do not add up".to_owned(),
            (ExitCode::Internal, _) => "a report or the ledger could not be written".to_owned(),
            (ExitCode::Complete, _) if fates.acknowledged == 0 => "there was nothing to send".to_owned(),
            (ExitCode::Complete, _) => {
                format!("{} acknowledged, {effort}", counted(fates.acknowledged, "row"))
            }
            (_, End::Stopped(stop)) if fates.unsent > 0 && stop.reason().is_some() => why_stopped(stop),
            (_, End::Stopped(stop)) if fates.unsent > 0 => {
                let (sent, unsent) = (counted(fates.acknowledged, "row"), HumanCount(fates.unsent));
                format!("{}; {sent} sent, {unsent} not yet", why_stopped(stop))
            }
            (ExitCode::Incomplete, _) if fates.all_well() => {
                let acknowledged = counted(fates.acknowledged, "row");
                match self.verified.map_or(0, |verified| verified.mismatches.len()) {
                    0 => format!("{acknowledged} acknowledged, not all could be read back, {effort}"),
                    differing => {
                        format!("{acknowledged} acknowledged, of which {differing} are not there, {effort}")
                    }
                }
            }
            _ => {
                let lost = [(fates.invalid, "invalid"), (fates.failed, "failed"), (fates.unsent, "unsent")];
                let lost = lost.into_iter().filter(|(count, _)| *count > 0);
                let lost: Vec<_> =
                    lost.map(|(count, fate)| format!("{} {fate}", HumanCount(count))).collect();
                let (sent, read) = (HumanCount(fates.acknowledged), counted(fates.read, "row"));
                format!("{sent} of {read} acknowledged, {}, {effort}", lost.join(", "))
            }
        }
    }

    fn rows(&self) -> Vec<String> {
        let rows = &self.tally.fates;
        let explained = |(count, fate)| {
            let words = match fate {
                "resumed" => "already sent by the run that this one continued",
                "unchanged" => "unchanged since an earlier run",
                "superseded" => "replaced by another row (same user and attribute)",
                "skipped" => "skipped for an empty value",
                other => other,
            };
            (count, words)
        };
        let width = grouped(rows.read).len();
        let known = rows.by_fate().into_iter().filter(|(count, _)| *count > 0).map(explained);
        std::iter::once((rows.read, "read"))
            .chain(known)
            .zip(std::iter::once("rows").chain(std::iter::repeat("")))
            .map(|((count, fate), label)| labelled(label, &format!("{:>width$} {fate}", grouped(count))))
            .collect()
    }

    fn requests(&self) -> Vec<String> {
        let Requests { planned, sent, retried, throttled, split, .. } = self.tally.requests;
        let mut parts =
            vec![format!("{} sent", HumanCount(sent)), format!("{} planned", HumanCount(planned))];
        let troubles = [(retried, "retried"), (split, "to find refused ids"), (throttled, "throttled")];
        parts.extend(
            troubles
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{} {what}", HumanCount(count))),
        );
        let mut lines = vec![labelled("requests", &parts.join(", "))];
        if let Some(latency) = self.latency.filter(|latency| !latency.max.is_zero()) {
            let (mean, max) = (short_time(latency.mean()), short_time(latency.max));
            lines.push(labelled("responses", &format!("{mean} on average, {max} at most")));
        }
        lines
    }

    fn verified(&self) -> Vec<String> {
        let Some(Verified { asked, checked, unread, mismatches }) = self.verified else { return Vec::new() };
        let differing = mismatches.len();
        let agreed = checked - differing as u64;
        let unread = match (asked - checked, unread) {
            (0, _) => String::new(),
            (count, None) => format!(", {} not read", HumanCount(count)),
            (count, Some(why)) => format!(", {} not read: {why}", HumanCount(count)),
        };
        let read =
            format!("{} agreed, {} differed{unread}", counted(agreed, "row"), HumanCount(differing as u64));
        let mut lines = vec![labelled("read back", &read)];
        lines.extend(mismatches.iter().take(MOST_MISMATCHES).map(|mismatch| {
            let Mismatch { user_id, attribute, sent, found, .. } = mismatch;
            labelled("", &format!("{attribute} of user {user_id}: {sent} was sent, found {found}"))
        }));
        if differing > MOST_MISMATCHES {
            lines.push(labelled("", "`--summary` lists all of them"));
        }
        lines
    }

    /// As many items as fit on this many lines.
    fn most(&self, items: usize, lines: usize, list: fn(&Self, usize) -> Vec<String>) -> Vec<String> {
        let lists = (0..=items).rev().map(|items| list(self, items));
        lists.into_iter().find(|list| list.len() <= lines).unwrap_or_default()
    }

    fn reasons(&self, most: usize) -> Vec<String> {
        let (top, others) = self.tally.failures.top(most);
        let counted = top.into_iter().map(|FailedRows { reason, rows, example }| {
            let example = example.as_ref().map(|example| format!(" ({example})"));
            (*rows, format!("{}{}", answer(reason), example.unwrap_or_default()))
        });
        self.list("failed", counted.collect(), others, "for other reasons")
    }

    fn causes(&self, most: usize) -> Vec<String> {
        let (shown, hidden) = self.causes.split_at(most.min(self.causes.len()));
        let counted = shown.iter().map(|cause| (cause.count, with_place(cause)));
        let hidden = hidden.iter().map(|cause| cause.count).sum();
        self.list("invalid", counted.collect(), hidden, "for other causes")
    }

    /// How many rows, and why; labelled on the first line. What is too long goes on below.
    fn list(&self, label: &str, mut items: Vec<(u64, String)>, others: u64, why: &str) -> Vec<String> {
        if others > 0 {
            items.push((others, why.to_owned()));
        }
        let width = items.iter().map(|(count, _)| grouped(*count).len()).max().unwrap_or_default();
        items
            .into_iter()
            .zip(std::iter::once(label).chain(std::iter::repeat("")))
            .flat_map(|((count, words), label)| {
                let rows = if count == 1 { "row" } else { "rows" };
                let words = if words == why { format!("{rows} {words}") } else { format!("{rows}: {words}") };
                let line = labelled(label, &format!("{:>width$} {words}", grouped(count)));
                self.shortened(self.wrapped(&line, LABEL + 2))
            })
            .collect()
    }

    fn files(&self) -> Vec<String> {
        let RowCounts { invalid, failed, unsent, .. } = self.tally.fates;
        let lost = self.failures.filter(|_| invalid + failed + unsent > 0);
        let names: Vec<_> =
            lost.into_iter().chain(self.written).map(|path| path.display().to_string()).collect();
        if names.is_empty() {
            return Vec::new();
        }
        vec![labelled("written", &Visible(&names.join(", ")).to_string())]
    }
}

fn with_place(cause: &Issue) -> String {
    match cause.places.first() {
        Some(place) if cause.count == 1 => format!("{} ({place})", cause.what),
        Some(place) => format!("{} (first: {place})", cause.what),
        None => cause.what.clone(),
    }
}

/// Lines of which the first begins with a label, which gets this style.
fn styled(mut lines: Vec<String>, style: Style, label: &str) -> Vec<String> {
    if let Some(first) = lines.first_mut()
        && let Some(words) = first.strip_prefix(label)
    {
        *first = format!("{}{words}", Styled(style, label));
    }
    lines
}

fn labelled(label: &str, text: &str) -> String {
    format!("{label:<LABEL$}{text}")
}

#[cfg(test)]
mod tests;
