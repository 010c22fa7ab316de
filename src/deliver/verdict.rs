//! Interprets a single answer, or the lack of one.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::server_message::{message, one_line};
use super::transport::{Delivered, Reply, SendError, SendErrorCause};

/// What a single answer, or the lack of one, means. Its cause, and what follows, may take more answers to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200, and the body says ok.
    Acknowledged,
    /// The server asks for a pause: 429, or 503 with `retry-after`.
    Throttled {
        /// At least this long; `None`: it doesn't say.
        pause: Option<Duration>,
        /// The answer.
        reason: Reason,
    },
    /// 401: the key is wrong.
    Unauthorized(Reason),
    /// 403: the key, or something in the request, is not allowed.
    Forbidden(Reason),
    /// Any other 4xx, 501 and redirects: something in the request, or the whole operation, is wrong.
    Rejected(Reason),
    /// The request may succeed when it is repeated: 408, 5xx, a 200 that doesn't say ok, no answer.
    Transient {
        /// Whether the request may have been applied.
        delivered: Delivered,
        /// The answer, or what came instead of one.
        reason: Reason,
    },
    /// The request was sent on a connection that the server had already closed.
    Stale(Reason),
    /// There is no connection, for a permanent reason: a certificate, a protocol, a proxy.
    Unreachable(Reason),
}

/// What an answer means, for counting: a [`Verdict`] without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// 200, and the body says ok.
    Acknowledged,
    /// The answer to a question, which changes nothing.
    Read,
    /// 429, or 503 with `retry-after`.
    Throttled,
    /// The API refused the request because of what it contains.
    Rejected,
    /// Anything that may succeed when it is repeated.
    Transient,
}

/// Why rows were not acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The last answer's status, if there was an answer.
    pub status: Option<u16>,
    /// The server's message, cleaned and shortened, or one of ours.
    pub error: String,
}

impl Verdict {
    /// What the answer to a mass update means.
    pub fn of(result: &Result<Reply, SendError>) -> Self {
        let reply = match result {
            Ok(reply) => reply,
            Err(lost) => return Self::of_lost(lost),
        };
        let reason = || Reason { status: Some(reply.status), error: phrase(reply) };
        match reply.status {
            200 if says_ok(&reply.body) => Self::Acknowledged,
            401 => Self::Unauthorized(reason()),
            403 => Self::Forbidden(reason()),
            429 => Self::Throttled { pause: reply.retry_after, reason: reason() },
            503 if reply.retry_after.is_some() => {
                Self::Throttled { pause: reply.retry_after, reason: reason() }
            }
            408 | 500 | 502..=599 | 200..=299 => {
                Self::Transient { delivered: Delivered::Maybe, reason: reason() }
            }
            _ => Self::Rejected(reason()),
        }
    }

    /// What the answer to a GET means: [`Self::Acknowledged`] for any answer that shows the API at work.
    pub fn of_question(result: &Result<Reply, SendError>) -> Self {
        match (Self::of(result), result) {
            (Self::Transient { .. }, Ok(reply)) if reply.status < 300 => Self::Acknowledged,
            (Self::Rejected(_) | Self::Forbidden(_), _) => Self::Acknowledged,
            (verdict, _) => verdict,
        }
    }

    fn of_lost(lost: &SendError) -> Self {
        let reason = Reason { status: None, error: one_line(&lost.error) };
        match lost.cause {
            SendErrorCause::IdleConnection => Self::Stale(reason),
            _ if !lost.heals() => Self::Unreachable(reason),
            _ => Self::Transient { delivered: lost.delivered, reason },
        }
    }

    /// The same, for counting.
    pub fn answer(&self) -> AnswerKind {
        match self {
            Self::Acknowledged => AnswerKind::Acknowledged,
            Self::Throttled { .. } => AnswerKind::Throttled,
            Self::Rejected(_) | Self::Unauthorized(_) | Self::Forbidden(_) => AnswerKind::Rejected,
            Self::Transient { .. } | Self::Stale(_) | Self::Unreachable(_) => AnswerKind::Transient,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged => f.write_str("ok"),
            Self::Throttled { pause: Some(pause), reason } => {
                write!(f, "{}, waiting {pause:?}", reason.error)
            }
            Self::Throttled { pause: None, reason }
            | Self::Unauthorized(reason)
            | Self::Forbidden(reason)
            | Self::Rejected(reason)
            | Self::Transient { reason, .. }
            | Self::Stale(reason)
            | Self::Unreachable(reason) => f.write_str(&reason.error),
        }
    }
}

/// Whether a status is about the operation or the account, and not about the content of a request.
pub(super) fn is_about_operation(status: Option<u16>) -> bool {
    matches!(status, Some(300..=399 | 402 | 405..=407 | 411 | 415 | 426 | 451 | 501 | 600..))
}

/// Whether a GET found what it asked for; `None` if its answer doesn't tell.
pub(super) fn existence(result: &Result<Reply, SendError>) -> Option<bool> {
    match result.as_ref().map(|reply| reply.status) {
        Ok(404 | 410) => Some(false),
        Ok(200..=299) => result.as_ref().is_ok_and(|reply| is_user(&reply.body)).then_some(true),
        _ => None,
    }
}

/// Whether it is a user: an object with an id. The page or the message of a proxy is none.
fn is_user(body: &[u8]) -> bool {
    let user = serde_json::from_slice::<Map<String, Value>>(body);
    user.is_ok_and(|user| ["id", "custom_id", "user_id"].iter().any(|name| user.contains_key(*name)))
}

/// Whether the key is not allowed what a GET asked for.
pub(super) fn is_forbidden(result: &Result<Reply, SendError>) -> bool {
    result.as_ref().is_ok_and(|reply| reply.status == 403)
}

fn says_ok(body: &[u8]) -> bool {
    // The two usual spellings, without parsing.
    if body == br#"{"status": "ok"}"# || body == br#"{"status":"ok"}"# {
        return true;
    }
    serde_json::from_slice::<Map<String, Value>>(body)
        .is_ok_and(|body| body.get("status").and_then(Value::as_str) == Some("ok"))
}

/// The status with its name, then the server's message.
fn phrase(reply: &Reply) -> String {
    let name = reqwest::StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("unknown status");
    let words = match (reply.status, &reply.location) {
        (300..=399, Some(location)) => format!("redirects to {}", one_line(location)),
        (200..=299, _) if reply.body.is_empty() => "the body is empty, and doesn't say ok".to_owned(),
        (200, _) => format!("the body doesn't say ok: {}", message(&reply.body)),
        (201..=299, _) => format!("only 200 is an acknowledgement: {}", message(&reply.body)),
        _ => message(&reply.body),
    };
    if words.is_empty() {
        format!("{} {name}", reply.status)
    } else {
        format!("{} {name}: {words}", reply.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        Reply { status, body: body.into(), ..Reply::default() }
    }

    fn verdict(status: u16, body: &'static str) -> Verdict {
        Verdict::of(&Ok(reply(status, body)))
    }

    #[test]
    fn only_a_200_that_says_ok_is_an_acknowledgement() {
        assert_eq!(verdict(200, r#"{"status": "ok"}"#), Verdict::Acknowledged);
        assert_eq!(verdict(200, r#" {"more": 1, "status":"ok"} "#), Verdict::Acknowledged);
        for body in [
            r#"{"status": "o"#,
            r#"{"status": "error"}"#,
            "ok",
            "",
            "<html>",
            r#"["ok"]"#,
            r#"{"status": 1}"#,
        ] {
            assert!(matches!(verdict(200, body), Verdict::Transient { .. }), "{body}");
        }
        assert!(matches!(verdict(201, r#"{"status": "ok"}"#), Verdict::Transient { .. }));
        assert!(matches!(verdict(204, ""), Verdict::Transient { .. }));
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in 300..=599 {
            let got = verdict(status, "");
            let want = match status {
                401 => matches!(got, Verdict::Unauthorized(_)),
                403 => matches!(got, Verdict::Forbidden(_)),
                429 => matches!(got, Verdict::Throttled { pause: None, .. }),
                408 | 500 | 502..=599 => matches!(got, Verdict::Transient { .. }),
                _ => matches!(got, Verdict::Rejected(_)),
            };
            assert!(want, "{status}: {got:?}");
        }
    }

    #[test]
    fn a_question_is_served_by_any_answer_that_shows_the_api_at_work() {
        for status in [200, 204, 301, 400, 403, 404, 405, 410] {
            assert_eq!(Verdict::of_question(&Ok(reply(status, ""))), Verdict::Acknowledged, "{status}");
        }
        assert!(matches!(Verdict::of_question(&Ok(reply(401, ""))), Verdict::Unauthorized(_)));
        assert!(matches!(Verdict::of_question(&Ok(reply(500, ""))), Verdict::Transient { .. }));
    }

    #[test]
    fn a_503_that_names_a_time_is_a_pause_and_not_a_trouble() {
        let pause = Some(Duration::from_secs(7));
        let answer = Ok(Reply { status: 503, retry_after: pause, ..Reply::default() });
        assert!(matches!(Verdict::of(&answer), Verdict::Throttled { pause: p, .. } if p == pause));
    }

    #[test]
    fn a_lost_request_means_what_its_cause_says() {
        let lost = |cause| Err(SendError { delivered: Delivered::Maybe, cause, error: "x".into() });
        assert!(matches!(Verdict::of(&lost(SendErrorCause::Other)), Verdict::Transient { .. }));
        assert!(matches!(Verdict::of(&lost(SendErrorCause::IdleConnection)), Verdict::Stale(_)));
        assert!(matches!(Verdict::of(&lost(SendErrorCause::Proxy)), Verdict::Unreachable(_)));
        assert!(matches!(Verdict::of(&lost(SendErrorCause::Certificate)), Verdict::Unreachable(_)));
    }

    #[test]
    fn reasons_name_the_status_and_repeat_the_server() {
        let Verdict::Rejected(reason) = verdict(400, r#"{"value": ["too long"]}"#) else {
            panic!("not refused")
        };
        assert_eq!(reason, Reason { status: Some(400), error: "400 Bad Request: value: too long".into() });
        let moved =
            Ok(Reply { status: 301, location: Some("https://x.example/".into()), ..Reply::default() });
        let Verdict::Rejected(reason) = Verdict::of(&moved) else { panic!("not refused") };
        assert_eq!(reason.error, "301 Moved Permanently: redirects to https://x.example/");
        assert!(is_about_operation(reason.status));
    }

    #[test]
    fn some_statuses_are_about_the_operation_and_not_about_what_a_request_contains() {
        for status in [300, 301, 399, 402, 405, 406, 407, 411, 415, 426, 451, 501, 600, 999] {
            assert!(is_about_operation(Some(status)), "{status}");
        }
        for status in [200, 400, 401, 403, 404, 408, 409, 410, 412, 413, 414, 422, 429, 500, 502, 503, 599] {
            assert!(!is_about_operation(Some(status)), "{status}");
        }
        assert!(!is_about_operation(None));
    }

    #[test]
    fn reasons_say_why_a_success_is_no_acknowledgement() {
        let error = |status, body| match verdict(status, body) {
            Verdict::Transient { reason, .. } => reason.error,
            other => panic!("{other:?}"),
        };
        assert_eq!(error(200, "no"), "200 OK: the body doesn't say ok: no");
        assert_eq!(error(200, ""), "200 OK: the body is empty, and doesn't say ok");
        assert_eq!(error(202, "later"), "202 Accepted: only 200 is an acknowledgement: later");
    }

    #[test]
    fn a_question_tells_whether_a_user_exists_and_whether_the_key_may_ask() {
        for (status, body, exists) in [
            (200, r#"{"id": 1}"#, Some(true)),
            (200, "<html>Soon back</html>", None),
            (200, r#"{"custom_id": "C-7", "id": null}"#, Some(true)),
            (200, r#"{"status": null}"#, None),
            (200, r#"{"id": "#, None),
            (200, "[]", None),
            (204, "", None),
            (403, "", None),
            (404, "", Some(false)),
            (410, "", Some(false)),
            (500, "", None),
        ] {
            let answer = Ok(reply(status, body));
            assert_eq!(existence(&answer), exists, "{status} {body}");
            assert_eq!(is_forbidden(&answer), status == 403, "{status}");
        }
    }

    #[test]
    fn the_log_has_the_words_of_the_server_and_the_pause() {
        let reason = || Reason { status: Some(429), error: "429 Too Many Requests: slow".to_owned() };
        for (verdict, shown) in [
            (Verdict::Acknowledged, "ok"),
            (
                Verdict::Throttled { pause: Some(Duration::from_secs(3)), reason: reason() },
                "429 Too Many Requests: slow, waiting 3s",
            ),
            (Verdict::Throttled { pause: None, reason: reason() }, "429 Too Many Requests: slow"),
            (Verdict::Unreachable(reason()), "429 Too Many Requests: slow"),
        ] {
            assert_eq!(verdict.to_string(), shown);
        }
    }
}
