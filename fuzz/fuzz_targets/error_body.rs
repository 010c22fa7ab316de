//! Any answer to a request, from its bytes on: only a 200 that says ok is an acknowledgement, each status means what it should,
//! no message is long or has a control character, and none has the key, whatever the server repeats of it.
#![no_main]

// No other crate can reach it.
mod choices;
#[path = "../../src/deliver/http/body.rs"]
mod program;

use std::io::Write as _;
use std::time::Duration;

use attrsync::deliver::{AnswerKind, Reply, Verdict};
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

use choices::Choices;
use program::{REDACTED, decoded, without};

/// Stands for the key in an input, so that it takes no luck to find it.
const MARK: u8 = 1;

const KEY: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZab";

const STATUSES: [u16; 24] = [
    200, 200, 200, 400, 400, 404, 413, 422, 401, 403, 408, 410, 429, 500, 501, 502, 503, 201, 204, 226, 301,
    302, 304, 599,
];

/// More characters than any message has: 500 of the server's, and some words.
const LONGEST: usize = 600;

/// How the bytes become a body.
#[derive(Clone, Copy)]
enum Shape {
    Plain,
    /// After `{"status": "ok"`.
    Ok,
    Page,
    /// In a hundred lists.
    Nested,
    /// In a thousand objects.
    Deep,
    /// Until there are 16 KiB.
    Repeated,
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    let status = match choices.byte() {
        any @ 224.. => u16::from(any - 224) * 256 + u16::from(choices.byte()),
        among => STATUSES[usize::from(among) % STATUSES.len()],
    };
    let retry_after = choices.among(&[None, None, Some(Duration::ZERO), Some(Duration::MAX)]);
    let has_location = choices.among(&[false, false, true]);
    let shape = choices.among(&[
        Shape::Plain,
        Shape::Plain,
        Shape::Plain,
        Shape::Ok,
        Shape::Page,
        Shape::Nested,
        Shape::Deep,
        Shape::Repeated,
    ]);
    let is_packed = choices.among(&[false, false, false, true]);
    let encoding = choices.among(&[None, None, Some("gzip"), Some("br")]);
    let rest = choices.rest();
    // The transport takes the key out of it.
    let location = has_location.then(|| String::from_utf8_lossy(rest).replace(KEY, REDACTED));
    let body = body(&rest.split(|byte| *byte == MARK).collect::<Vec<_>>().join(KEY.as_bytes()), shape);
    let body = if is_packed { gzip(&body) } else { body };
    let body = without(decoded(body.into(), encoding, Reply::MOST_BODY), KEY);
    let says_ok = serde_json::from_slice::<Value>(&body)
        .is_ok_and(|json| json.is_object() && json["status"] == Value::from("ok"));
    let is_empty = body.is_empty();
    let reply = Reply { status, retry_after, location, body, ..Reply::default() };

    let verdict = Verdict::of(&Ok(reply.clone()));
    assert_eq!(verdict == Verdict::Acknowledged, status == 200 && says_ok, "{verdict:?}");
    let answer = match status {
        200 if says_ok => AnswerKind::Acknowledged,
        429 => AnswerKind::Throttled,
        503 if retry_after.is_some() => AnswerKind::Throttled,
        200..=299 | 408 | 500 | 502..=599 => AnswerKind::Transient,
        _ => AnswerKind::Rejected,
    };
    assert_eq!(verdict.answer(), answer, "{verdict:?}");
    check_message(&verdict.to_string());
    match &verdict {
        Verdict::Acknowledged => {}
        Verdict::Throttled { reason, pause } => {
            assert_eq!(*pause, retry_after);
            check_message(&reason.error);
        }
        Verdict::Unauthorized(reason)
        | Verdict::Forbidden(reason)
        | Verdict::Rejected(reason)
        | Verdict::Transient { reason, .. } => {
            assert_eq!(reason.status, Some(status));
            check_message(&reason.error);
            assert!(reason.error.starts_with(&format!("{status} ")), "{:?}", reason.error);
            assert!(!is_empty || reason.error.len() < 100 || status / 100 == 3, "{:?}", reason.error);
        }
        Verdict::Stale(_) | Verdict::Unreachable(_) => panic!("there was an answer: {verdict:?}"),
    }
    let shows_work = matches!(status, 200..=299 | 403) || answer == AnswerKind::Rejected && status != 401;
    let question = Verdict::of_question(&Ok(reply));
    assert_eq!(question == Verdict::Acknowledged, shows_work, "{question:?}");
});

fn body(rest: &[u8], shape: Shape) -> Vec<u8> {
    let mut body = match shape {
        Shape::Plain => rest.to_owned(),
        Shape::Ok => [br#"{"status": "ok""#, rest, b"}"].concat(),
        Shape::Page => [b"<html><head><title>", rest, b"</title>"].concat(),
        Shape::Nested => [&b"[".repeat(100), rest, &b"]".repeat(100)].concat(),
        Shape::Deep => [&br#"{"detail":"#.repeat(1000), rest, &b"}".repeat(1000)].concat(),
        Shape::Repeated => rest.repeat((16 << 10) / rest.len().max(1)),
    };
    body.truncate(Reply::MOST_BODY);
    body
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes everything")
}

fn check_message(message: &str) {
    assert!(!message.contains(KEY), "{message:?}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(message.chars().count() < LONGEST, "{} characters: {message:?}", message.chars().count());
}
