//! What an engineer looks up: rows, attributes, reasons, requests, the run and its settings.

use std::borrow::Cow;

use jiff::Timestamp;
use maud::{Markup, html};

use super::super::format::{answer, counted, grouped, time};
use super::super::visible::Visible;
use super::super::{AttributeCounts, Requests, RunSummary, Statistics};
use super::charts::{block, charts, latencies};
use super::{Page, prose};

/// The most attributes that have a line of their own.
const MOST_ATTRIBUTES: usize = 50;

/// The most reasons that have a line of their own.
const MOST_REASONS: usize = 30;

/// A part of the bar that is smaller, in thousandths, can't be seen.
const SMALLEST: u64 = 4;

impl Page<'_> {
    /// What happened to the rows.
    pub(super) fn rows(&self) -> Markup {
        let rows = &self.summary.rows;
        if rows.read == 0 {
            return html! {};
        }
        let fates: Vec<_> = rows.by_fate().into_iter().filter(|(count, _)| *count > 0).collect();
        let described: Vec<_> =
            fates.iter().map(|(count, fate)| format!("{} {fate}", grouped(*count))).collect();
        html! {
            section {
                h2 { "Rows" }
                svg.whole viewBox="0 0 1000 28" preserveAspectRatio="none" role="img" aria-labelledby="rows-title rows-text" {
                    title id="rows-title" { "Rows by what happened to them" }
                    desc id="rows-text" { (described.join(", ")) }
                    @for (start, width, fate) in bar(&fates) {
                        rect class=(fate) x=(start) width=(width) y="0" height="28" {}
                    }
                }
                div.scroll {
                    table {
                        caption { "What happened to each row" }
                        thead { tr { th scope="col" { "state" } th.number scope="col" { "rows" } th scope="col" { "meaning" } } }
                        tbody {
                            @for (count, fate) in &fates {
                                tr {
                                    th.state scope="row" { (block(fate)) (fate) }
                                    td.number { (grouped(*count)) }
                                    td.words { (meaning(fate)) }
                                }
                            }
                        }
                        tfoot { tr { th scope="row" { "read" } td.number { (grouped(rows.read)) } td {} } }
                    }
                }
            }
        }
    }

    /// What happened to the rows of each attribute.
    pub(super) fn attributes(&self) -> Markup {
        let all = &self.summary.attributes;
        if all.is_empty() {
            return html! {};
        }
        let (shown, rest) = all.split_at(all.len().min(MOST_ATTRIBUTES));
        let total = |name: String, of: &[AttributeCounts]| AttributeCounts {
            name,
            rows: of.iter().map(|one| one.rows).sum(),
            acknowledged: of.iter().map(|one| one.acknowledged).sum(),
            failed: of.iter().map(|one| one.failed).sum(),
            unsent: of.iter().map(|one| one.unsent).sum(),
        };
        let rest = (!rest.is_empty()).then(|| total(format!("{} others", rest.len()), rest));
        html! {
            section {
                h2 { "Attributes" }
                div.scroll {
                    table {
                        caption { "Rows to send, by attribute" }
                        thead {
                            tr {
                                th scope="col" { "attribute" }
                                @for name in ["to send", "acknowledged", "failed", "unsent"] { th.number scope="col" { (name) } }
                            }
                        }
                        tbody {
                            @for one in shown { (attribute(one)) }
                            @if let Some(rest) = &rest { (attribute(rest)) }
                        }
                        @if all.len() > 1 { tfoot { (attribute(&total("all".to_owned(), all))) } }
                    }
                }
            }
        }
    }

    /// Why rows are invalid or failed.
    pub(super) fn reasons(&self) -> Markup {
        let (failures, mut others) = self.failures.top(MOST_REASONS);
        let failed = failures.into_iter().map(|one| (one.rows, "failed", answer(&one.reason)));
        let invalid = self.invalid.iter().map(|issue| (issue.count, "invalid", issue.without_id()));
        let mut all: Vec<_> = failed.chain(invalid).collect();
        all.sort_by_key(|(rows, ..)| std::cmp::Reverse(*rows));
        others += all.iter().skip(MOST_REASONS).map(|(rows, ..)| rows).sum::<u64>();
        all.truncate(MOST_REASONS);
        if all.is_empty() && others == 0 {
            return html! {};
        }
        html! {
            section {
                h2 { "Reasons" }
                div.scroll {
                    table {
                        caption { "Why rows are invalid or failed" }
                        thead { tr { th.number scope="col" { "rows" } th scope="col" { "state" } th scope="col" { "reason" } } }
                        tbody {
                            @for (rows, fate, reason) in &all {
                                tr { td.number { (grouped(*rows)) } td.state { (block(fate)) (fate) } td.words { (prose(reason)) } }
                            }
                            @if others > 0 {
                                tr { td.number { (grouped(others)) } td {} td { "other reasons" } }
                            }
                        }
                    }
                }
            }
        }
    }

    /// What was sent, and what happened when.
    pub(super) fn requests(&self) -> Markup {
        let Some(statistics) = self.statistics else { return html! {} };
        let Requests { planned, sent, acknowledged, retried, throttled, split, checks, read_back } =
            self.summary.requests;
        if planned == 0 && sent == 0 {
            return html! {};
        }
        let counts = [
            ("planned", planned, "what it takes if nothing goes wrong"),
            ("sent", sent, "started, for any purpose"),
            ("acknowledged", acknowledged, "answered that all is well"),
            ("throttled", throttled, "answered that there were too many"),
            ("retried", retried, "sent because an earlier one failed"),
            ("split", split, "sent for a part of a request that was refused as a whole"),
            ("check", checks, "sent to check a user, the address or the API"),
            ("read back", read_back, "sent to compare what users have with what was sent"),
        ];
        html! {
            section {
                h2 { "Requests" }
                div.scroll {
                    table {
                        caption { "Requests by kind. One request can be of several kinds" }
                        thead { tr { th scope="col" { "kind" } th.number scope="col" { "requests" } th scope="col" { "meaning" } } }
                        tbody {
                            @for (name, count, meaning) in counts {
                                tr { th scope="row" { (name) } td.number { (grouped(count)) } td.words { (meaning) } }
                            }
                        }
                    }
                }
                (charts(statistics, self.rate_limit))
                (latency(statistics))
            }
        }
    }

    /// When and with what it ran.
    pub(super) fn run(&self) -> Markup {
        let RunSummary {
            version,
            run_id,
            exit,
            started_at,
            finished_at,
            duration,
            reason,
            sources,
            message,
            ..
        } = self.summary;
        let mut facts = vec![
            ("run", run_id.clone()),
            ("started", moment(*started_at)),
            ("finished", moment(*finished_at)),
            ("duration", time(*duration)),
            ("exit code", format!("{} ({})", exit.code(), exit.outcome())),
        ];
        facts.extend(reason.map(|reason| ("reason", reason.to_string())));
        facts.extend(sources.iter().map(|source| ("input", source.clone())));
        facts.push(("attrsync", (*version).to_owned()));
        html! {
            section {
                h2 { "Run" }
                div.scroll {
                    table {
                        caption { "When and with what it ran" }
                        tbody {
                            @for (name, value) in &facts { tr { th scope="row" { (name) } td { (prose(value)) } } }
                            @if let Some(message) = message.as_deref().filter(|message| *message != self.headline) {
                                tr { th scope="row" { "message" } td { (self.about_run(message)) } }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The settings in use.
    pub(super) fn settings(&self) -> Markup {
        if self.settings.is_empty() {
            return html! {};
        }
        html! {
            section {
                h2 { "Settings" }
                div.scroll {
                    table {
                        caption { "Settings in use, with those that have their default value" }
                        thead { tr { th scope="col" { "setting" } th scope="col" { "value" } } }
                        tbody {
                            @for (name, value) in self.settings {
                                tr { th scope="row" { code { (Visible(name)) } } td { (Visible(&without_password(value))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where each part of the bar starts and how wide it is, in thousandths of the whole.
fn bar<'a>(fates: &[(u64, &'a str)]) -> Vec<(u64, u64, &'a str)> {
    let all = fates.iter().map(|(count, _)| u128::from(*count)).sum::<u128>().max(1);
    let wanted = |count: u64| u64::try_from(u128::from(count) * 1000 / all).unwrap_or(1000).max(SMALLEST);
    // What the smallest parts are too wide, the widest one is too narrow.
    let total: u64 = fates.iter().map(|(count, _)| wanted(*count)).sum();
    let widest = fates.iter().map(|(count, _)| *count).max().unwrap_or_default();
    let mut start = 0;
    let mut is_corrected = false;
    let mut parts = Vec::new();
    for (count, fate) in fates {
        let mut width = wanted(*count);
        if *count == widest && !is_corrected {
            is_corrected = true;
            width = (width + 1000).saturating_sub(total);
        }
        // A gap of two thousandths between neighbours.
        parts.push((start, width.saturating_sub(2), *fate));
        start += width;
    }
    parts
}

fn meaning(fate: &str) -> &'static str {
    match fate {
        "acknowledged" => "User.com confirmed the update",
        "resumed" => "sent before, by the run that this one continues",
        "unchanged" => "User.com has this value already",
        "superseded" => "another row sets the same attribute of the same contact",
        "skipped" => "the cell is empty",
        "invalid" => "the row has a mistake and was not sent",
        "failed" => "User.com refused it, or it still failed after all retries",
        "unsent" => "the run stopped before it was sent",
        _ => "",
    }
}

fn attribute(one: &AttributeCounts) -> Markup {
    html! {
        tr {
            th scope="row" { (prose(&one.name)) }
            @for count in [one.rows, one.acknowledged, one.failed, one.unsent] { td.number { (grouped(count)) } }
        }
    }
}

fn latency(statistics: &Statistics) -> Markup {
    let latencies = latencies(statistics);
    if latencies.is_empty() {
        return html! {};
    }
    html! {
        div.scroll {
            table {
                caption { "Time from a request to its answer, over " (counted(statistics.answers().0, "answer")) }
                tbody { @for (name, value) in &latencies { tr { th scope="row" { (name) } td.number { (value) } } } }
            }
        }
    }
}

fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// An address without the user, the password and the parameters in it; other text as it is.
fn without_password(value: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = value.split_once("://") else { return Cow::Borrowed(value) };
    let rest = rest.split_once(['?', '#']).map_or(rest, |(address, _)| address);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
    Cow::Owned(format!("{scheme}://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_and_shows_the_smallest_part() {
        let check = |fates: &[(u64, &'static str)]| {
            let parts = bar(fates);
            let end = parts.last().map(|(start, width, _)| start + width);
            assert_eq!(end, Some(998), "{parts:?}");
            assert!(parts.iter().all(|(_, width, _)| *width >= 2), "{parts:?}");
        };
        check(&[(1, "acknowledged")]);
        check(&[(999_999, "acknowledged"), (1, "failed")]);
        check(&[(1, "acknowledged"), (1, "invalid"), (1, "failed")]);
        check(&[(u64::MAX / 2, "acknowledged"), (3, "invalid"), (u64::MAX / 4, "unsent")]);
    }

    #[test]
    fn a_setting_holds_no_password() {
        let cases = [
            ("postgres://sync:s3cret@db.example/crm?sslpassword=x", "postgres://db.example/crm"),
            ("postgres://sync:s3@cret@db.example/crm", "postgres://db.example/crm"),
            ("https://acme.user.com/api/public/", "https://acme.user.com/api/public/"),
            ("10/s", "10/s"),
            ("attrsync.ledger", "attrsync.ledger"),
        ];
        for (value, shown) in cases {
            assert_eq!(without_password(value), shown);
        }
    }
}
