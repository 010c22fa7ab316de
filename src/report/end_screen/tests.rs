//! The screen as it reads.

use super::*;
use crate::deliver::{AnswerKind, Event, Purpose, Reason, Stop};
use crate::input::Location;

fn tally(fates: RowCounts, requests: Requests) -> Tally {
    let mut tally = Tally::new(RowCounts::default(), 0);
    let at = crate::clock::monotonic_now();
    tally.take(&Event::Answered {
        at,
        latency: Duration::from_millis(120),
        answer: AnswerKind::Acknowledged,
    });
    tally.take(&Event::Sent { at, purpose: Purpose::First });
    Tally { fates, requests, ..tally }
}

fn cause(what: &str, count: u64) -> Issue {
    let place = Location { input: "users.csv".into(), line: 1042, found: "x".into() };
    Issue { what: what.into(), count, places: vec![place] }
}

/// What became of the rows of attributes: their names, and how many were acknowledged, failed and unsent.
fn attributes(rows: &[(&str, u64, u64, u64)]) -> Vec<AttributeCounts> {
    let attribute = |&(name, acknowledged, failed, unsent): &(&str, u64, u64, u64)| AttributeCounts {
        name: name.to_owned(),
        rows: acknowledged + failed + unsent,
        acknowledged,
        failed,
        unsent,
    };
    rows.iter().map(attribute).collect()
}

fn screen(end: &End, tally: &Tally, causes: &[Issue], rerun: Rerun) -> String {
    let screen = screen_of(COLUMNS, end, tally, &[], causes, rerun);
    assert!(screen.lines().count() <= 24, "too long:\n{screen}");
    screen
}

fn screen_of(
    columns: usize,
    end: &End,
    tally: &Tally,
    attributes: &[AttributeCounts],
    causes: &[Issue],
    rerun: Rerun,
) -> String {
    let screen = EndScreen {
        exit: ExitCode::of(end, &tally.fates),
        end,
        tally,
        verified: None,
        attributes,
        duration: Duration::from_millis(4200),
        causes,
        failures: Some(Path::new("failures.csv")),
        written: Some(Path::new("summary.json")),
        rerun,
        feed_back: "attrsync sync --id-type custom-id failures.csv",
        latency: Some(&tally.latency),
        columns: Some(columns),
    };
    let screen = anstream::adapter::strip_str(&screen.to_string()).to_string();
    for line in screen.lines().filter(|line| !line.starts_with("  attrsync")) {
        assert!(line.chars().count() <= columns, "too wide: {line}");
    }
    screen
}

#[test]
fn all_went_well() {
    let fates = RowCounts { read: 12_000, superseded: 50, acknowledged: 11_950, ..RowCounts::default() };
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
    let fates = RowCounts { read: 1, unchanged: 1, ..RowCounts::default() };
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
        RowCounts { read: 12_000, invalid: 1_020, acknowledged: 10_950, failed: 30, ..RowCounts::default() };
    let requests =
        Requests { planned: 40, sent: 63, retried: 3, split: 20, throttled: 1, ..Requests::default() };
    let mut tally = tally(fates, requests);
    tally.failures.add(&Reason { status: Some(404), error: "404 Not Found: no such user".into() }, 25);
    tally.failures.add(&Reason { status: None, error: "connection reset by peer".into() }, 5);
    let causes = [cause("`phone_number` is not E.164", 1_000), cause("`country` is empty", 20)];
    insta::assert_snapshot!(screen(&End::Complete, &tally, &causes, Rerun::Continues), @"
    incomplete: 10,950 of 12,000 rows acknowledged, 1,020 invalid, 30 failed, 63
    requests in 4.2s

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
fn several_causes_are_shown_by_attribute() {
    let fates = RowCounts { read: 9_120, acknowledged: 9_040, failed: 75, unsent: 5, ..RowCounts::default() };
    let requests = Requests { planned: 40, sent: 63, split: 20, checks: 3, ..Requests::default() };
    let mut tally = tally(fates, requests);
    tally.failures.add(&Reason { status: Some(404), error: "404 Not Found: no such user".into() }, 25);
    let rows = [
        ("city", 1_000, 0, 0),
        ("country", 1_000, 20, 0),
        ("phone_number", 40, 50, 0),
        ("gender", 1_000, 0, 0),
        ("first_name", 1_000, 5, 0),
        ("last_name", 1_000, 0, 5),
        ("email", 1_000, 0, 0),
        ("region", 1_000, 0, 0),
    ];
    let of = |tally: &Tally, rows: &[_]| {
        let screen = screen_of(COLUMNS, &End::Complete, tally, &attributes(rows), &[], Rerun::Continues);
        let lines = screen.lines().skip_while(|line| !line.starts_with("attribute"));
        lines.take_while(|line| !line.starts_with("failed")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(of(&tally, &rows), @"
    attribute phone_number     40 acknowledged, 50 failed
              country       1,000 acknowledged, 20 failed
              first_name    1,000 acknowledged,  5 failed
              last_name     1,000 acknowledged,  0 failed, 5 unsent
              city          1,000 acknowledged
              3 others      3,000 acknowledged
    ");
    // With one more than fits, none is hidden in a line of its own.
    assert!(of(&tally, &rows[1..7]).contains("email"));
    // One cause alone is in the line that gives the reason.
    assert_eq!(of(&tally, &rows[..2]), "");
    tally.failures.add(&Reason { status: None, error: "connection reset by peer".into() }, 5);
    assert!(of(&tally, &rows[..2]).starts_with("attribute country"));
    assert_eq!(of(&tally, &rows[1..2]), "", "there is no other attribute");
}

#[test]
fn what_could_not_be_read_back_is_not_said_to_differ() {
    let fates = RowCounts { read: 5, acknowledged: 5, ..RowCounts::default() };
    let tally = tally(fates, Requests { planned: 1, sent: 3, checks: 2, ..Requests::default() });
    let unread = Some("500 Internal Server Error".to_owned());
    let verified = Verified { asked: 5, unread, ..Verified::default() };
    let exit = ExitCode::of(&End::Complete, &tally.fates).verified(Some(&verified));
    let screen = EndScreen {
        exit,
        end: &End::Complete,
        tally: &tally,
        verified: Some(&verified),
        attributes: &[],
        duration: Duration::from_secs(1),
        causes: &[],
        failures: None,
        written: None,
        rerun: Rerun::Continues,
        feed_back: "",
        latency: None,
        columns: Some(COLUMNS),
    };
    insta::assert_snapshot!(anstream::adapter::strip_str(&screen.to_string()), @"
    incomplete: 5 rows acknowledged, none could be read back, 3 requests in 1.0s

    rows      5 read
              5 acknowledged
    requests  3 sent, 1 planned, 2 checks
    read back 0 rows agreed, 0 differed, 5 not read: 500 Internal Server Error
    next: look at some of these users in User.com; everything was acknowledged, but
          could not be read back
    ");
}

#[test]
fn narrow_screens_have_the_same_words_on_more_lines() {
    let fates = RowCounts { read: 8, invalid: 1, acknowledged: 6, failed: 1, ..RowCounts::default() };
    let mut tally = tally(fates, Requests { planned: 3, sent: 5, split: 2, ..Requests::default() });
    let error = "400 Bad Request: value: The phone number entered is not valid.".to_owned();
    tally.failures.add(&Reason { status: Some(400), error }, 1);
    let causes = [cause("unknown attribute: `colour`; if it is your own, add `--allow-custom`", 1)];
    let at = |columns| screen_of(columns, &End::Complete, &tally, &[], &causes, Rerun::Continues);
    let words = |screen: &str| screen.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for columns in [40, 60, 100] {
        assert_eq!(words(&at(columns)), words(&at(200)), "{columns} columns");
    }
    insta::assert_snapshot!(at(40), @"
    incomplete: 6 of 8 rows acknowledged, 1
    invalid, 1 failed, 5 requests in 4.2s

    rows      8 read
              6 acknowledged
              1 invalid
              1 failed
    requests  5 sent, 3 planned, 2 to find
              refused ids
    responses 120ms on average, 120ms at
              most
    failed    1 row: 400 Bad Request: value:
                The phone number entered is
                not valid.
    invalid   1 row: unknown attribute:
                `colour`; if it is your own,
                add `--allow-custom`
                (users.csv:1042)
    written   failures.csv, summary.json
    next: correct the 2 rows in
          `failures.csv`, then run:
      attrsync sync --id-type custom-id failures.csv
    ");
}

#[test]
fn a_refused_key_says_what_to_check() {
    let fates = RowCounts { read: 12_000, unsent: 12_000, ..RowCounts::default() };
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
    let fates = RowCounts { read: 10, acknowledged: 6, unsent: 4, ..RowCounts::default() };
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
    let fates = RowCounts {
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
    let requests = Requests {
        planned: 9,
        sent: 9,
        acknowledged: 9,
        retried: 9,
        throttled: 9,
        split: 9,
        checks: 9,
        ..Requests::default()
    };
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
    let attributes: Vec<_> = (0..50)
        .map(|number| AttributeCounts {
            name: format!("attribute {number}"),
            rows: 6 + number,
            acknowledged: 5,
            failed: number,
            unsent: 1,
        })
        .collect();
    let screen = screen_of(COLUMNS, &end, &tally, &attributes, &causes, Rerun::Continues);
    assert!(screen.lines().count() <= 24, "too long:\n{screen}");
    insta::assert_snapshot!(screen, @r"
    stopped: User.com answered only with errors for 10 minutes (`--max-outage`): 503
    Service Unavailable: down down down down down down down down down down down dow…

    rows      36,000,000,000 read
               5,000,000,000 acknowledged
               5,000,000,000 already sent by the run that this one continued
               5,000,000,000 unchanged since an earlier run
               5,000,000,000 replaced by another row (same user and attribute)
               5,000,000,000 skipped for an empty value
               1,000,000,000 invalid
               5,000,000,000 failed
               5,000,000,000 unsent
    requests  9 sent, 9 planned, 9 retried, 9 to find refused ids, 9 throttled, 9
              checks
    responses 120ms on average, 120ms at most
    failed       25,000,000 rows: 400 <html>  <title>An error\u{7} whose words know
                no end</title><html>  <title>An error\u{7} whose words know no …
              4,975,000,000 rows for other reasons
    invalid       1 row: all of it is wrong all of it is wrong all of it is wrong
                all of it is wrong all of it is wrong all of it is wrong all of it …
              4,949 rows for other causes
    written   failures.csv, summary.json
    next: when the API is back, run the same command again; it continues from here
    hint: lower `--rate`: something else uses the same limit
    ");
}

#[test]
fn fates_that_do_not_add_up_are_a_bug() {
    let fates = RowCounts { read: 10, acknowledged: 9, ..RowCounts::default() };
    insta::assert_snapshot!(screen(&End::Complete, &Tally::new(fates, 1), &[], Rerun::Continues), @"
    internal: the fates of rows do not add up

    rows      10 read
               9 acknowledged
    requests  0 sent, 1 planned
    written   summary.json
    next: keep the reports of this run, and report this error
    ");
}
