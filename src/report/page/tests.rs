//! What a page holds, and what it doesn't.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::clock;
use crate::deliver::{
    AnswerKind, Event, Mismatch, Outcome, PlanRow, Purpose, Reason, Slowed, Status, Verified, Waiting,
};
use crate::input::Location;
use crate::ledger::RowCounts;
use crate::report::{ExitCode, Requests, StopReason};

const HOSTILE: &str = r#"<img src=x onerror="alert(1)">'&`"#;

/// A run of this number of requests, ten a second, with everything that can happen on the way.
fn statistics(requests: u64) -> Statistics {
    let begun = clock::monotonic_now();
    let mut statistics = Statistics::new(begun);
    for number in 0..requests {
        let at = begun + Duration::from_millis(number * 100);
        let part = number * 20 / requests;
        let answer = match part {
            3 => AnswerKind::Throttled,
            9 => AnswerKind::Transient,
            _ => AnswerKind::Acknowledged,
        };
        let waiting = match part {
            4 => Some((Waiting::Pause, Duration::from_secs(1))),
            10 => Some((Waiting::Outage, Duration::from_secs(1))),
            _ => None,
        };
        let slowed = if part == 5 { Slowed::Yes } else { Slowed::No };
        if waiting.is_none() {
            statistics.take(&Event::Sent { at, purpose: Purpose::First }, at);
            let latency = Duration::from_millis(50 + number * 7919 % 400);
            statistics.take(&Event::Answered { at: at + latency, latency, answer }, at + latency);
        }
        statistics.take(
            &Event::Status(Status {
                in_flight: 1,
                rate: 10.0,
                slowed,
                waiting,
                reason: None,
                gives_up: None,
                reading_back: None,
            }),
            at,
        );
    }
    for number in 0..70 {
        let name = if number == 69 { HOSTILE.to_owned() } else { format!("attribute {number}") };
        statistics.finished(&name, 1000 - number, &Outcome::Acknowledged);
        statistics.leave_unsent(&name, number);
    }
    statistics
}

fn summary(exit: ExitCode, statistics: Option<&Statistics>) -> RunSummary {
    let rows = statistics.map_or_else(RowCounts::default, |_| RowCounts {
        read: 70_010,
        invalid: 10,
        acknowledged: 67_585,
        unsent: 2_415,
        ..RowCounts::default()
    });
    let requests = statistics.map_or_else(Requests::default, |_| Requests {
        sent: 100,
        planned: 90,
        ..Requests::default()
    });
    RunSummary {
        version: "1.2.3",
        run_id: "12".to_owned(),
        exit,
        started_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        finished_at: "2026-01-02T03:05:05Z".parse().unwrap(),
        duration: Duration::from_mins(1),
        rows,
        requests,
        reason: Some(StopReason::Outage),
        verified: None,
        sources: vec![HOSTILE.to_owned()],
        message: None,
        attributes: statistics.map(Statistics::by_attribute).unwrap_or_default(),
    }
}

fn written(page: Page<'_>) -> String {
    let mut bytes = Vec::new();
    page.write_to(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A page with everything that there is, after this number of requests.
fn full(requests: u64) -> String {
    let statistics = statistics(requests);
    let mut failures = Reasons::default();
    for number in 0..200 {
        let error = format!("refused because of {HOSTILE} {}", "x".repeat(number));
        failures.add(&Reason { status: Some(400), error }, 1);
    }
    let place = Location { input: "users.csv".to_owned(), line: 2, found: "anna-1".to_owned() };
    let invalid = [
        Issue {
            what: "`user_id` must be a number, not `anna-1`; hint".to_owned(),
            count: 7,
            places: vec![place],
        },
        Issue { what: format!("unknown attribute: {HOSTILE}"), count: 3, places: Vec::new() },
    ];
    let mismatch = Mismatch {
        user_id: "anna-2".to_owned(),
        attribute: "city".to_owned(),
        sent: "\"Gdynia\"".to_owned(),
        found: "\"Sopot\"".to_owned(),
    };
    let verified = Verified {
        asked: 3,
        checked: 2,
        differing: 1,
        unread: Some("404: no user 1234567".to_owned()),
        mismatches: vec![mismatch],
        differing_rows: vec![PlanRow { group: 0, place: 0 }],
    };
    let summary = RunSummary { verified: Some(verified), ..summary(ExitCode::Stopped, Some(&statistics)) };
    let settings = [
        ("ledger".to_owned(), "postgres://me:s3cret@db/crm".to_owned()),
        (HOSTILE.to_owned(), HOSTILE.to_owned()),
    ];
    written(Page {
        summary: &summary,
        headline: &format!("stopped for {HOSTILE} of anna@example.com, \"Nowak\", 7654321"),
        next: &[format!(
            "do `this`, {HOSTILE}:\nattrsync sync {HOSTILE}\n(the key comes from `ATTRSYNC_TOKEN`)"
        )],
        statistics: Some(&statistics),
        failures: &failures,
        invalid: &invalid,
        settings: &settings,
        rate_limit: Some(10.0),
    })
}

/// A page of a run that failed before it read anything.
fn early() -> String {
    written(Page {
        summary: &summary(ExitCode::Usage, None),
        headline: "`--rate`: too low",
        next: &[],
        statistics: None,
        failures: &Reasons::default(),
        invalid: &[],
        settings: &[],
        rate_limit: None,
    })
}

/// The text between each start and the next end.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(part, _)| part).collect()
}

#[test]
fn the_policy_names_the_hash_of_the_style() {
    let digest = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    assert_eq!(STANDARD.encode(digest), STYLE_HASH);
    let page = early();
    assert_eq!(between(&page, "<style>", "</style>"), [STYLE]);
    assert_eq!(page.matches(&format!("style-src 'sha256-{STYLE_HASH}'")).count(), 1);
}

#[test]
fn the_example_in_the_documents_looks_like_a_page_of_today() {
    let example = include_str!("../../../docs/example-report.html");
    assert!(example.contains(STYLE), "make it anew with docs/report.py");
}

#[test]
fn a_page_runs_nothing_and_loads_nothing() {
    let page = full(600);
    for part in [
        "<script", "<link", "<img", "<iframe", "http:", "https:", "url(", "@import", " style=", " src=\"",
        " href=",
    ] {
        assert!(!page.contains(part), "{part}");
    }
    let handlers = between(&page, "<", ">").into_iter().filter(|tag| tag.contains(" on"));
    assert_eq!(handlers.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn names_and_messages_are_only_text() {
    let page = full(600);
    assert!(!page.contains("<img") && !page.contains("onerror=\""));
    // In attributes, a reason, an input, the headline, what to do and settings.
    assert!(page.matches("&lt;img src=x onerror=").count() >= 7);
}

#[test]
fn a_page_holds_no_ids_values_or_secrets() {
    let page = full(600);
    for personal in ["anna", "example.com", "Gdynia", "Sopot", "1234567", "Nowak", "7654321", "s3cret"] {
        assert!(!page.contains(personal), "{personal}");
    }
    assert!(page.contains("<strong>1 differed from what was sent.</strong>"));
}

#[test]
fn a_page_of_a_long_run_is_small() {
    let page = full(100_000);
    assert!(page.len() < 300_000, "{}", page.len());
    // Two of each of the two charts.
    assert_eq!(page.matches("class=\"chart ").count(), 4);
    assert!(page.contains("20 others") && page.contains("other reasons"));
}

#[test]
fn the_same_run_has_the_same_page() {
    assert_eq!(full(600), full(600));
}

#[test]
fn a_run_that_failed_early_has_a_short_page() {
    let page = early();
    let headings = between(&page, "<h2>", "</h2>");
    assert_eq!(headings, ["Run"]);
    assert!(page.contains("attrsync: usage") && page.contains("<code>--rate</code>: too low"));
}

#[test]
fn a_page_can_be_read_by_a_machine() {
    let page = full(600);
    let mut ids = between(&page, " id=\"", "\"");
    ids.sort_unstable();
    assert!(ids.windows(2).all(|two| two[0] != two[1]), "{ids:?}");
    for named in between(&page, "aria-labelledby=\"", "\"") {
        assert!(named.split(' ').all(|id| ids.binary_search(&id).is_ok()), "{named}");
    }
    let levels: Vec<u32> =
        between(&page, "<h", "</h").iter().filter_map(|one| one.get(..1)?.parse().ok()).collect();
    assert_eq!(levels.first(), Some(&1));
    assert!(levels.windows(2).all(|two| two[1] <= two[0] + 1), "{levels:?}");
    let tables = page.matches("<table>").count();
    assert_eq!(page.matches("<caption>").count(), tables);
    assert_eq!(
        page.matches("<th").count(),
        page.matches("scope=\"").count() + page.matches("<thead>").count()
    );
    for part in ["<html lang=\"en\">", "<title>attrsync run 12: stopped</title>", "width=device-width"] {
        assert!(page.contains(part), "{part}");
    }
}

/// The contrast that WCAG 2 asks for at level AA: 4.5 for text, 3 for graphics.
#[test]
fn colours_have_enough_contrast_in_both_schemes() {
    const TEXT: [&str; 5] = ["ink", "soft", "good", "doubtful", "bad"];
    let luminance = |colour: &str| {
        let channel = |at: usize| {
            let share = f64::from(u8::from_str_radix(colour.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0;
            if share <= 0.04 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    };
    let contrast = |one: &str, other: &str| {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    };
    let schemes: Vec<_> =
        between(STYLE, ":root {", "}").into_iter().filter(|part| part.contains("--ground")).collect();
    assert_eq!(schemes.len(), 2);
    for scheme in schemes {
        let colours: Vec<_> =
            scheme.split(';').filter_map(|one| one.trim().strip_prefix("--")?.split_once(": ")).collect();
        let of = |wanted: &str| colours.iter().find(|(name, _)| *name == wanted).unwrap().1;
        for (name, colour) in colours.iter().filter(|(name, _)| !["ground", "panel", "edge"].contains(name)) {
            let least = if TEXT.contains(name) { 4.5 } else { 3.0 };
            let grounds = if TEXT.contains(name) { vec!["ground", "panel"] } else { vec!["ground"] };
            for ground in grounds {
                let contrast = contrast(colour, of(ground));
                assert!(contrast >= least, "{name} on {ground}: {contrast:.2}");
            }
        }
    }
}
