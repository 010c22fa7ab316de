//! What is read in ten seconds: how the run ended, and what to do next.

use maud::{Markup, html};

use super::super::format::{counted, grouped, percent, time};
use super::super::reasons::without_particulars;
use super::super::{ExitCode, RunSummary};
use super::{Page, prose};

impl Page<'_> {
    /// How the run ended, in a word, a colour, a sign, a sentence and a few numbers.
    pub(super) fn outcome(&self) -> Markup {
        let RunSummary { exit, rows, requests, duration, verified, .. } = self.summary;
        let (class, sign) = match exit {
            ExitCode::Complete => ("good", "✓"),
            ExitCode::Incomplete => ("doubtful", "!"),
            _ => ("bad", "✕"),
        };
        let held = rows.acknowledged + rows.resumed + rows.unchanged;
        let lost = rows.invalid + rows.failed + rows.unsent;
        let left_out = rows.superseded + rows.skipped;
        let wanted = rows.read.saturating_sub(left_out);
        html! {
            header class={ "outcome " (class) } {
                h1 { span.sign aria-hidden="true" { (sign) } "attrsync: " (exit.outcome()) }
                p { (self.about_run(self.headline)) }
            }
            @if rows.read > 0 {
                ul.figures {
                    li { b { (grouped(held)) " of " (grouped(wanted)) } span { "rows are in User.com" (share(held, wanted)) } }
                    li { b { (grouped(lost)) } span { "rows need attention" } }
                    @if left_out > 0 {
                        li { b { (grouped(left_out)) } span { "rows were left out on purpose" } }
                    }
                    li { b { (grouped(requests.sent)) } span { "requests in " (time(*duration)) } }
                }
            }
            @if let Some(verified) = verified {
                @let differing = verified.differing;
                p {
                    "Read back: " (grouped(verified.checked)) " of " (counted(verified.asked, "row")) ". "
                    @if differing == 0 { "None differed from what was sent." }
                    @else { strong { (grouped(differing)) " differed from what was sent." } }
                    @if let Some(unread) = &verified.unread {
                        " Not all were read: " (prose(&without_particulars(unread)))
                    }
                }
            }
        }
    }

    /// What to do next, with commands to copy.
    pub(super) fn next(&self) -> Markup {
        if self.next.is_empty() {
            return html! {};
        }
        html! {
            section {
                h2 { "What to do next" }
                @for next in self.next {
                    @let (what, commands) = next.split_once('\n').unwrap_or((next, ""));
                    p { (prose(&sentence(what))) }
                    @let (commands, notes) = commands.lines().partition::<Vec<_>, _>(|line| !line.starts_with('('));
                    @if !commands.is_empty() { pre { code { (commands.join("\n")) } } }
                    @for note in notes { p.note { (prose(note)) } }
                }
            }
        }
    }
}

fn share(part: u64, all: u64) -> String {
    if all == 0 {
        return String::new();
    }
    let thousandths = u128::from(part) * 1_000_000 / u128::from(all);
    let share = f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1e6;
    let share = if part > 0 && share == 0.0 { 1e-6 } else { share };
    format!(" ({})", percent(share))
}

/// With a capital letter at the start.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
