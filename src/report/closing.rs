//! The closing screen: what happened, and what to do next.

use std::fmt::{self, Display};
use std::path::Path;
use std::time::Duration;

use indicatif::HumanCount;

use super::advice::{Advice, Rerun};
use super::style::{ADVICE, BAD, DOUBTFUL, GOOD, Styled};
use super::visible::Visible;
use super::wording::{Cut, answer, counted, grouped, short_time, time, why_stopped};
use super::{ExitCode, Failure, Fates, Latency, Requests, Tally};
use crate::deliver::{End, Mismatch, Verified};
use crate::input::Cause;

/// What is said when a run that got as far as sending is over. Displayed on one screen of 80 columns and 24 lines, with
/// ANSI styles, with a line end.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
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
    pub causes: &'a [Cause],
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

const LINES: usize = 23;
const LABEL: usize = 10;
const MOST_MISMATCHES: usize = 5;
const MOST_REASONS: usize = 5;
const MOST_CAUSES: usize = 4;

impl Display for Closing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Advice { next, hint } =
            Advice::new(self.exit, self.end, self.tally, self.failures, (self.rerun, self.feed_back));
        let mut body = self.rows();
        body.extend(self.requests());
        body.extend(self.verified());
        let mut foot = self.files();
        for (label, advice) in [("next:", next), ("hint:", hint)] {
            let advice = advice.unwrap_or_default();
            let mut lines = advice.lines();
            foot.extend(lines.next().map(|first| format!("{} {first}", Styled(ADVICE, label))));
            foot.extend(lines.map(|line| format!("  {line}")));
        }

        let room = LINES.saturating_sub(2 + body.len() + foot.len());
        let reasons = self.most(MOST_REASONS, room.saturating_sub(2), Self::reasons);
        let causes = self.most(MOST_CAUSES, room.saturating_sub(reasons.len()), Self::causes);
        writeln!(f, "{}\n", self.headline())?;
        let columns = self.columns.unwrap_or(usize::MAX);
        body.iter().try_for_each(|line| writeln!(f, "{}", Cut(line, columns)))?;
        reasons.into_iter().chain(causes).chain(foot).try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Closing<'_> {
    fn headline(&self) -> String {
        let style = match self.exit {
            ExitCode::Complete => GOOD,
            ExitCode::Incomplete | ExitCode::HungUp | ExitCode::Interrupted | ExitCode::Terminated => {
                DOUBTFUL
            }
            ExitCode::Usage | ExitCode::Refused | ExitCode::Stopped | ExitCode::Internal => BAD,
        };
        let outcome = self.exit.outcome();
        let words = self.what_happened();
        // Why it stopped is worth a second line.
        let room = self.columns.map_or(usize::MAX, |columns| (2 * columns).saturating_sub(outcome.len() + 2));
        format!("{} {}", Styled(style, format_args!("{outcome}:")), Cut(&words, room))
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
        let Fates { read, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent } =
            self.tally.fates;
        let fates = [
            (acknowledged, "acknowledged"),
            (resumed, "already sent by the run that this one continued"),
            (unchanged, "unchanged since an earlier run"),
            (superseded, "replaced by another row (same user and attribute)"),
            (skipped, "skipped for an empty value"),
            (invalid, "invalid"),
            (failed, "failed"),
            (unsent, "unsent"),
        ];
        let width = HumanCount(read).to_string().len();
        let known = fates.into_iter().filter(|(count, _)| *count > 0);
        std::iter::once((read, "read"))
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
            lines.push(labelled("", "all of them stand in the JSON of `--summary`"));
        }
        lines
    }

    /// As many items as fit on so many lines.
    fn most(&self, items: usize, lines: usize, list: fn(&Self, usize) -> Vec<String>) -> Vec<String> {
        let lists = (0..=items).rev().map(|items| list(self, items));
        lists.into_iter().find(|list| list.len() <= lines).unwrap_or_default()
    }

    fn reasons(&self, most: usize) -> Vec<String> {
        let (top, others) = self.tally.failures.top(most);
        let counted = top.into_iter().map(|Failure { reason, rows, example }| {
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

    /// How many rows, and why; labelled on the first line. What is too long goes on on a second one.
    fn list(&self, label: &str, mut items: Vec<(u64, String)>, others: u64, why: &str) -> Vec<String> {
        if others > 0 {
            items.push((others, why.to_owned()));
        }
        let width = items.iter().map(|(count, _)| grouped(*count).len()).max().unwrap_or_default();
        let columns = self.columns.unwrap_or(usize::MAX);
        items
            .into_iter()
            .zip(std::iter::once(label).chain(std::iter::repeat("")))
            .flat_map(|((count, words), label)| {
                let rows = if count == 1 { "row" } else { "rows" };
                let words = if words == why { format!("{rows} {words}") } else { format!("{rows}: {words}") };
                two_lines(&labelled(label, &format!("{:>width$} {words}", grouped(count))), columns)
            })
            .collect()
    }

    fn files(&self) -> Vec<String> {
        let Fates { invalid, failed, unsent, .. } = self.tally.fates;
        let lost = self.failures.filter(|_| invalid + failed + unsent > 0);
        let names: Vec<_> =
            lost.into_iter().chain(self.written).map(|path| path.display().to_string()).collect();
        if names.is_empty() {
            return Vec::new();
        }
        vec![labelled("written", &Visible(&names.join(", ")).to_string())]
    }
}

/// A line that is longer than the screen is wide, divided between words; what is still too long is cut.
fn two_lines(line: &str, columns: usize) -> Vec<String> {
    let line = Visible(line).to_string();
    let Some((end, _)) = line.char_indices().nth(columns) else { return vec![line] };
    let space = line.get(..=end).and_then(|start| start.rfind(' ')).filter(|space| *space > LABEL);
    let Some((first, second)) = space.and_then(|space| line.split_at_checked(space)) else {
        return vec![Cut(&line, columns).to_string()];
    };
    let second = labelled("", &format!("  {}", second.trim_start()));
    vec![first.to_owned(), Cut(&second, columns).to_string()]
}

fn with_place(cause: &Cause) -> String {
    match cause.places.first() {
        Some(place) if cause.count == 1 => format!("{} ({}:{})", cause.what, place.input, place.line),
        Some(place) => format!("{} (first: {}:{})", cause.what, place.input, place.line),
        None => cause.what.clone(),
    }
}

fn labelled(label: &str, text: &str) -> String {
    format!("{label:<LABEL$}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::{Answer, Event, Purpose, Reason, Stop};
    use crate::input::Place;

    fn tally(fates: Fates, requests: Requests) -> Tally {
        let mut tally = Tally::new(Fates::default(), 0);
        tally.take(&Event::Answered { latency: Duration::from_millis(120), answer: Answer::Acknowledged });
        tally.take(&Event::Sent(Purpose::First));
        Tally { fates, requests, ..tally }
    }

    fn cause(what: &str, count: u64) -> Cause {
        let place = Place { input: "users.csv".into(), line: 1042, found: "x".into() };
        Cause { what: what.into(), count, places: vec![place] }
    }

    fn screen(end: &End, tally: &Tally, causes: &[Cause], rerun: Rerun) -> String {
        let closing = Closing {
            exit: ExitCode::of(end, &tally.fates),
            end,
            tally,
            verified: None,
            duration: Duration::from_millis(4200),
            causes,
            failures: Some(Path::new("failures.csv")),
            written: Some(Path::new("summary.json")),
            rerun,
            feed_back: "attrsync sync --id-type custom-id failures.csv",
            latency: Some(&tally.latency),
            columns: Some(80),
        };
        let screen = anstream::adapter::strip_str(&closing.to_string()).to_string();
        assert!(screen.lines().count() <= 24, "too long:\n{screen}");
        for line in screen.lines().skip(1).filter(|line| !line.starts_with("next:")) {
            assert!(line.chars().count() <= 80, "too wide: {line}");
        }
        screen
    }

    #[test]
    fn all_went_well() {
        let fates = Fates { read: 12_000, superseded: 50, acknowledged: 11_950, ..Fates::default() };
        let requests = Requests { planned: 42, sent: 42, acknowledged: 42, ..Requests::default() };
        insta::assert_snapshot!(screen(&End::Complete, &tally(fates, requests), &[], Rerun::Continues), @"
        complete: 11,950 rows acknowledged, 42 requests in 4.2s

        rows      12,000 read
                  11,950 acknowledged
                      50 replaced by another row (same user and attribute)
        requests  42 sent, 42 planned
        responses 120ms on average, 120ms at most
        written   summary.json
        ");
    }

    #[test]
    fn nothing_had_to_be_sent() {
        let fates = Fates { read: 1, unchanged: 1, ..Fates::default() };
        let tally = Tally::new(fates, 0);
        insta::assert_snapshot!(screen(&End::Complete, &tally, &[], Rerun::Continues), @"
        complete: there was nothing to send

        rows      1 read
                  1 unchanged since an earlier run
        requests  0 sent, 0 planned
        written   summary.json
        ");
    }

    #[test]
    fn some_rows_did_not_make_it() {
        let fates =
            Fates { read: 12_000, invalid: 1_020, acknowledged: 10_950, failed: 30, ..Fates::default() };
        let requests =
            Requests { planned: 40, sent: 63, retried: 3, split: 20, throttled: 1, ..Requests::default() };
        let mut tally = tally(fates, requests);
        tally.failures.add(&Reason { status: Some(404), error: "404 Not Found: no such user".into() }, 25);
        tally.failures.add(&Reason { status: None, error: "connection reset by peer".into() }, 5);
        let causes = [cause("`phone_number` is not E.164", 1_000), cause("`country` is empty", 20)];
        insta::assert_snapshot!(screen(&End::Complete, &tally, &causes, Rerun::Continues), @"
        incomplete: 10,950 of 12,000 rows acknowledged, 1,020 invalid, 30 failed, 63 requests in 4.2s

        rows      12,000 read
                  10,950 acknowledged
                   1,020 invalid
                      30 failed
        requests  63 sent, 40 planned, 3 retried, 20 to find refused ids, 1 throttled
        responses 120ms on average, 120ms at most
        failed    25 rows: 404 Not Found: no such user
                   5 rows: connection reset by peer
        invalid   1,000 rows: `phone_number` is not E.164 (first: users.csv:1042)
                     20 rows: `country` is empty (first: users.csv:1042)
        written   failures.csv, summary.json
        next: correct the 1,050 rows in `failures.csv`, then run:
          attrsync sync --id-type custom-id failures.csv
        ");
    }

    #[test]
    fn a_refused_key_says_what_to_check() {
        let fates = Fates { read: 12_000, unsent: 12_000, ..Fates::default() };
        let requests = Requests { planned: 40, sent: 1, ..Requests::default() };
        let reason = Reason { status: Some(401), error: "401 Unauthorized: Invalid token.".into() };
        let end = End::Stopped(Stop::KeyRefused(reason));
        insta::assert_snapshot!(screen(&end, &tally(fates, requests), &[], Rerun::Continues), @"
        stopped: the API refused the key: 401 Unauthorized: Invalid token.

        rows      12,000 read
                  12,000 unsent
        requests  1 sent, 40 planned
        responses 120ms on average, 120ms at most
        written   failures.csv, summary.json
        next: check the API key, then run the same command again; it continues from here
        ");
    }

    #[test]
    fn an_interrupted_run_without_a_ledger_goes_on_from_its_report() {
        let fates = Fates { read: 10, acknowledged: 6, unsent: 4, ..Fates::default() };
        let requests = Requests { planned: 5, sent: 3, ..Requests::default() };
        let end = End::Stopped(Stop::Interrupted);
        insta::assert_snapshot!(screen(&end, &tally(fates, requests), &[], Rerun::StartsAnew), @"
        interrupted: the run was stopped by Ctrl-C (SIGINT); 6 rows sent, 4 not yet

        rows      10 read
                   6 acknowledged
                   4 unsent
        requests  3 sent, 5 planned
        responses 120ms on average, 120ms at most
        written   failures.csv, summary.json
        next: send the rest:
          attrsync sync --id-type custom-id failures.csv
        ");
    }

    #[test]
    fn the_worst_case_fits_one_screen() {
        let fates = Fates {
            read: 36_000_000_000,
            invalid: 1_000_000_000,
            skipped: 5_000_000_000,
            superseded: 5_000_000_000,
            unchanged: 5_000_000_000,
            resumed: 5_000_000_000,
            acknowledged: 5_000_000_000,
            failed: 5_000_000_000,
            unsent: 5_000_000_000,
        };
        let requests = Requests { planned: 9, sent: 9, acknowledged: 9, retried: 9, throttled: 9, split: 9 };
        let mut tally = tally(fates, requests);
        for status in 400..600 {
            let page = "<html>\r\n<title>An error\u{7} whose words know no end</title>".repeat(9);
            let error = format!("{status} {page}");
            tally.failures.add(&Reason { status: Some(status), error }, 25_000_000);
        }
        let causes: Vec<_> = (1..100).map(|count| cause(&"all of it is wrong ".repeat(9), count)).collect();
        let reason =
            Reason { status: Some(503), error: format!("503 Service Unavailable: {}", "down ".repeat(99)) };
        let end = End::Stopped(Stop::Outage { reason, after: Duration::from_mins(10) });
        insta::assert_snapshot!(screen(&end, &tally, &causes, Rerun::Continues), @r"
        stopped: User.com answered with errors alone for 10 minutes (`--max-outage`): 503 Service Unavailable: down down down down down down down down down down down d…

        rows      36,000,000,000 read
                   5,000,000,000 acknowledged
                   5,000,000,000 already sent by the run that this one continued
                   5,000,000,000 unchanged since an earlier run
                   5,000,000,000 replaced by another row (same user and attribute)
                   5,000,000,000 skipped for an empty value
                   1,000,000,000 invalid
                   5,000,000,000 failed
                   5,000,000,000 unsent
        requests  9 sent, 9 planned, 9 retried, 9 to find refused ids, 9 throttled
        responses 120ms on average, 120ms at most
        failed       25,000,000 rows: 400 <html>  <title>An error\u{7} whose words know
                    no end</title><html>  <title>An error\u{7} whose words know no end<…
                     25,000,000 rows: 401 <html>  <title>An error\u{7} whose words know
                    no end</title><html>  <title>An error\u{7} whose words know no end<…
                  4,950,000,000 rows for other reasons
        invalid   4,950 rows for other causes
        written   failures.csv, summary.json
        next: when the API is back, run the same command again; it continues from here
        hint: lower `--rate`: something else uses the same limit
        ");
    }

    #[test]
    fn fates_that_do_not_add_up_are_a_bug() {
        let fates = Fates { read: 10, acknowledged: 9, ..Fates::default() };
        insta::assert_snapshot!(screen(&End::Complete, &Tally::new(fates, 1), &[], Rerun::Continues), @"
        internal: the fates of rows do not add up

        rows      10 read
                   9 acknowledged
        requests  0 sent, 1 planned
        written   summary.json
        next: keep the reports of this run, and report this error
        ");
    }
}
