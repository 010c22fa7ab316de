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
use super::{AttributeCounts, ExitCode, FailedRows, Latency, Requests, Tally};
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
    /// What became of the rows of each attribute. Shown if rows failed for several reasons.
    pub attributes: &'a [AttributeCounts],
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
const MOST_ATTRIBUTES: usize = 5;
/// The most columns of an attribute's name.
const NAME: usize = 24;

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
        let room = lines.saturating_sub(2 + self.height(&body) + self.height(&foot));
        let reasons = self.most(MOST_REASONS, room.saturating_sub(2), Self::reasons);
        let room = room.saturating_sub(self.height(&reasons));
        let causes = self.most(MOST_CAUSES, room, Self::causes);
        let attributes =
            self.most(MOST_ATTRIBUTES, room.saturating_sub(self.height(&causes)), Self::attributes);
        writeln!(f, "{}\n", self.headline())?;
        let middle = attributes.into_iter().chain(reasons).chain(causes);
        body.into_iter().chain(middle).chain(foot).try_for_each(|line| writeln!(f, "{line}"))
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

    /// How many lines of the screen these lines take. Commands are not divided, but the terminal wraps them.
    fn height(&self, lines: &[String]) -> usize {
        let width = |line: &String| console::measure_text_width(line);
        let height = |line| self.columns.map_or(1, |columns| width(line).div_ceil(columns.max(1)).max(1));
        lines.iter().map(height).sum()
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
        let (rerun, feed_back) = (self.rerun, self.feed_back);
        Advice::new(self.exit, self.end, self.tally, self.verified, self.failures, (rerun, feed_back))
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
            (ExitCode::Stopped, End::Stopped(stop)) if fates.unsent == 0 => why_stopped(stop),
            (_, End::Stopped(stop)) if fates.unsent > 0 => {
                let (sent, unsent) = (counted(fates.acknowledged, "row"), HumanCount(fates.unsent));
                format!("{}; {sent} sent, {unsent} not yet", why_stopped(stop))
            }
            (ExitCode::Incomplete, _) if fates.all_well() => {
                let acknowledged = counted(fates.acknowledged, "row");
                let read = self.verified.map(|verified| (verified.differing, verified.checked));
                match read.unwrap_or_default() {
                    (0, 0) => format!("{acknowledged} acknowledged, none could be read back, {effort}"),
                    (0, _) => format!("{acknowledged} acknowledged, not all could be read back, {effort}"),
                    (differing, _) => {
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
        let Requests { planned, sent, retried, throttled, split, checks, read_back, .. } =
            self.tally.requests;
        let mut parts =
            vec![format!("{} sent", HumanCount(sent)), format!("{} planned", HumanCount(planned))];
        let troubles = [(retried, "retried"), (split, "to find refused ids"), (throttled, "throttled")];
        parts.extend(
            troubles
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{} {what}", HumanCount(count))),
        );
        parts.extend((checks > 0).then(|| counted(checks, "check")));
        parts.extend((read_back > 0).then(|| format!("{} to read back", HumanCount(read_back))));
        let mut lines = vec![labelled("requests", &parts.join(", "))];
        if let Some(latency) = self.latency.filter(|latency| !latency.max.is_zero()) {
            let (mean, max) = (short_time(latency.mean()), short_time(latency.max));
            lines.push(labelled("responses", &format!("{mean} on average, {max} at most")));
        }
        lines
    }

    fn verified(&self) -> Vec<String> {
        let Some(Verified { asked, checked, differing, unread, mismatches, .. }) = self.verified else {
            return Vec::new();
        };
        let agreed = checked - differing;
        let unread = match (asked - checked, unread) {
            (0, _) => String::new(),
            (count, None) => format!(", {} not read", HumanCount(count)),
            (count, Some(why)) => format!(", {} not read: {why}", HumanCount(count)),
        };
        let read = format!("{} agreed, {} differed{unread}", counted(agreed, "row"), HumanCount(*differing));
        let mut lines = vec![labelled("read back", &read)];
        lines.extend(mismatches.iter().take(MOST_MISMATCHES).map(|mismatch| {
            let Mismatch { user_id, attribute, sent, found } = mismatch;
            labelled("", &format!("{attribute} of user {user_id}: {sent} was sent, found {found}"))
        }));
        if mismatches.len() > MOST_MISMATCHES {
            let most = if *differing > mismatches.len() as u64 { "1,000" } else { "all" };
            lines.push(labelled("", &format!("`--summary` lists {most} of them")));
        }
        lines
    }

    /// As many items as fit on this many lines.
    fn most(&self, items: usize, lines: usize, list: fn(&Self, usize) -> Vec<String>) -> Vec<String> {
        let lists = (0..=items).rev().map(|items| list(self, items));
        lists.into_iter().find(|list| self.height(list) <= lines).unwrap_or_default()
    }

    /// What became of the rows of each attribute, those with the most rows that did not make it first. Empty if all rows
    /// that failed did so for one reason and on one attribute.
    fn attributes(&self, most: usize) -> Vec<String> {
        let failing = self.attributes.iter().filter(|attribute| attribute.failed > 0).count();
        let (reasons, others) = self.tally.failures.top(2);
        let has_several_causes = failing > 1 || (failing == 1 && (reasons.len() > 1 || others > 0));
        if !has_several_causes || self.attributes.len() < 2 || most == 0 {
            return Vec::new();
        }
        let mut sorted: Vec<_> = self.attributes.iter().collect();
        sorted.sort_by_key(|attribute| std::cmp::Reverse(attribute.failed + attribute.unsent));
        // One more is shown rather than counted.
        let shown = if sorted.len() <= most + 1 { sorted.len() } else { most };
        let others = sorted.split_off(shown);
        let sum = |count: fn(&AttributeCounts) -> u64| others.iter().map(|other| count(other)).sum();
        let others = (!others.is_empty()).then(|| AttributeCounts {
            name: counted(others.len() as u64, "other"),
            rows: sum(|it| it.rows),
            acknowledged: sum(|it| it.acknowledged),
            failed: sum(|it| it.failed),
            unsent: sum(|it| it.unsent),
        });
        let rows: Vec<_> = sorted.into_iter().chain(&others).collect();
        let names: Vec<_> = rows.iter().map(|row| Truncated(&row.name, NAME).to_string()).collect();
        let name = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let width = |count: fn(&AttributeCounts) -> u64| {
            rows.iter().map(|row| grouped(count(row)).len()).max().unwrap_or_default()
        };
        let (acknowledged, failed) = (width(|it| it.acknowledged), width(|it| it.failed));
        let lines = rows.iter().zip(names).zip(std::iter::once("attribute").chain(std::iter::repeat("")));
        lines
            .flat_map(|((row, text), label)| {
                let mut line =
                    format!("{text:<name$}  {:>acknowledged$} acknowledged", grouped(row.acknowledged));
                if row.failed + row.unsent > 0 {
                    line = format!("{line}, {:>failed$} failed", grouped(row.failed));
                }
                if row.unsent > 0 {
                    line = format!("{line}, {} unsent", HumanCount(row.unsent));
                }
                self.wrapped(&labelled(label, &line), LABEL + 2)
            })
            .collect()
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
