//! What an answer, or none, means.

use std::time::Duration;

use serde_json::{Map, Value};

use super::event::{Answer, Reason};
use super::limiter::Told;
use super::transport::{Lost, Reach, Reply};
use super::words::{clean, words};

/// What an answer, or none, means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200, and the body says ok.
    Acknowledged,
    /// The server is well and asks for a pause: 429, or 503 with `retry-after`.
    Throttled {
        /// At least this long; `None`: it doesn't say.
        pause: Option<Duration>,
        /// The answer.
        reason: Reason,
    },
    /// The batch is refused for something in it: 400, 404, 413, 422.
    Refused(Reason),
    /// No other try would be answered otherwise, nor a smaller batch: any further 4xx, 501, a redirect.
    Hopeless(Reason),
    /// The key is refused: 401, 403.
    KeyRefused(Reason),
    /// Another try may go well: 408, 5xx, a 200 that doesn't say ok, no answer.
    Troubled {
        /// Whether the request may have been applied.
        reach: Reach,
        /// The answer, or what came instead of one.
        reason: Reason,
    },
}

impl Verdict {
    /// What this answer means.
    pub fn of(result: &Result<Reply, Lost>) -> Self {
        let reply = match result {
            Ok(reply) => reply,
            Err(lost) => {
                let reason = Reason { status: None, error: clean(&lost.error) };
                return Self::Troubled { reach: lost.reach, reason };
            }
        };
        let reason = || Reason { status: Some(reply.status), error: phrase(reply) };
        match reply.status {
            200 if says_ok(&reply.body) => Self::Acknowledged,
            401 | 403 => Self::KeyRefused(reason()),
            429 => Self::Throttled { pause: reply.retry_after, reason: reason() },
            503 if reply.retry_after.is_some() => {
                Self::Throttled { pause: reply.retry_after, reason: reason() }
            }
            400 | 404 | 413 | 422 => Self::Refused(reason()),
            408 | 500 | 502..=599 | 200..=299 => Self::Troubled { reach: Reach::Perhaps, reason: reason() },
            _ => Self::Hopeless(reason()),
        }
    }

    /// What it says about the limit.
    pub(super) fn told(&self) -> Told {
        match self {
            Self::Acknowledged | Self::Refused(_) | Self::Hopeless(_) | Self::KeyRefused(_) => Told::Served,
            Self::Throttled { pause, .. } => Told::Throttled { retry_after: *pause },
            Self::Troubled { .. } => Told::Nothing,
        }
    }

    /// The same, for counting.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Acknowledged => Answer::Acknowledged,
            Self::Throttled { .. } => Answer::Throttled,
            Self::Refused(_) | Self::Hopeless(_) | Self::KeyRefused(_) => Answer::Refused,
            Self::Troubled { .. } => Answer::Troubled,
        }
    }
}

fn says_ok(body: &[u8]) -> bool {
    // As the API writes it; the rest of the world may write it otherwise.
    if body == br#"{"status": "ok"}"# || body == br#"{"status":"ok"}"# {
        return true;
    }
    serde_json::from_slice::<Map<String, Value>>(body)
        .is_ok_and(|body| body.get("status").and_then(Value::as_str) == Some("ok"))
}

/// The status as people know it, then the server's words.
fn phrase(reply: &Reply) -> String {
    let name = reqwest::StatusCode::from_u16(reply.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("unknown status");
    let words = match (reply.status, &reply.location) {
        (300..=399, Some(location)) => format!("redirects to {}", clean(location)),
        (200..=299, _) => format!("the body doesn't say ok: {}", words(&reply.body)),
        _ => words(&reply.body),
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
            assert!(matches!(verdict(200, body), Verdict::Troubled { .. }), "{body}");
        }
        assert!(matches!(verdict(201, r#"{"status": "ok"}"#), Verdict::Troubled { .. }));
        assert!(matches!(verdict(204, ""), Verdict::Troubled { .. }));
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in 300..=599 {
            let got = verdict(status, "");
            let want = match status {
                401 | 403 => matches!(got, Verdict::KeyRefused(_)),
                429 => matches!(got, Verdict::Throttled { pause: None, .. }),
                400 | 404 | 413 | 422 => matches!(got, Verdict::Refused(_)),
                408 | 500 | 502..=599 => matches!(got, Verdict::Troubled { .. }),
                _ => matches!(got, Verdict::Hopeless(_)),
            };
            assert!(want, "{status}: {got:?}");
        }
    }

    #[test]
    fn a_503_that_names_a_time_is_a_pause_and_not_a_trouble() {
        let pause = Some(Duration::from_secs(7));
        let answer = Ok(Reply { status: 503, retry_after: pause, ..Reply::default() });
        assert!(matches!(Verdict::of(&answer), Verdict::Throttled { pause: p, .. } if p == pause));
    }

    #[test]
    fn reasons_name_the_status_and_repeat_the_server() {
        let Verdict::Refused(reason) = verdict(400, r#"{"value": ["too long"]}"#) else {
            panic!("not refused")
        };
        assert_eq!(reason, Reason { status: Some(400), error: "400 Bad Request: value: too long".into() });
        let moved =
            Ok(Reply { status: 301, location: Some("https://x.example/".into()), ..Reply::default() });
        let Verdict::Hopeless(reason) = Verdict::of(&moved) else { panic!("not hopeless") };
        assert_eq!(reason.error, "301 Moved Permanently: redirects to https://x.example/");
    }
}
