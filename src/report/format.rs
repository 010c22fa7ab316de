//! Numbers, times and answers as text.

use std::fmt::{self, Display};
use std::time::Duration;

use indicatif::HumanCount;
use reqwest::StatusCode;

use super::visible::Visible;
use crate::deliver::{CanaryFailure, Reason, Stop};

/// A count with its noun: `1 row`, `12,000 rows`, `3 retries`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = match noun.strip_suffix('y') {
        _ if count == 1 => noun.to_owned(),
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    };
    format!("{} {plural}", HumanCount(count))
}

/// A count with separators, as a text that can be aligned: `HumanCount` itself takes no width.
pub(super) fn grouped(count: u64) -> String {
    HumanCount(count).to_string()
}

/// As many units as matter: `0.4s`, `1m 20s`, `2h 47m`.
pub fn time(duration: Duration) -> String {
    let tenths = duration.as_millis().div_ceil(100);
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = tenths / 10;
    let hours = seconds / 3600;
    match hours {
        0 => format!("{}m {}s", seconds / 60, seconds % 60),
        1..48 => {
            let minutes = (seconds + 30) / 60;
            format!("{}h {}m", minutes / 60, minutes % 60)
        }
        _ => format!("{}d {}h", hours / 24, hours % 24),
    }
}

/// An amount of memory, in whole megabytes while it is little: `640 MB`, `1.2 GB`.
pub(super) fn size(bytes: u64) -> String {
    let megabytes = bytes.div_ceil(1_000_000);
    if megabytes < 1_000 {
        return format!("{megabytes} MB");
    }
    let tenths = megabytes.div_ceil(100);
    format!("{}.{} GB", HumanCount(tenths / 10), tenths % 10)
}

/// A share in whole percent. What rounds to nothing, or to all, without being it says so: `<1%`, `82%`, `>99%`.
pub(super) fn percent(share: f64) -> String {
    match share {
        0.0 | 1.0 => format!("{:.0}%", share * 100.0),
        ..0.005 => "<1%".to_owned(),
        0.995.. => ">99%".to_owned(),
        _ => format!("{:.0}%", share * 100.0),
    }
}

/// What is left of a time, in whole seconds while it is short: `12s`, `1m 20s`.
pub(super) fn time_left(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().ceil();
    if seconds < 60.0 { format!("{seconds}s") } else { time(Duration::from_secs_f64(seconds)) }
}

/// A length of time from the settings, in words: `10 minutes`, `90 seconds`, `200 milliseconds`.
fn period(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(3_600_000, "hour"), (60_000, "minute"), (1000, "second"), (1, "millisecond")];
    let (length, unit) = if millis == 0 {
        (1000, "second")
    } else {
        units.into_iter().find(|(length, _)| millis.is_multiple_of(*length)).unwrap_or((1, "millisecond"))
    };
    counted(u64::try_from(millis / length).unwrap_or(u64::MAX), unit)
}

/// A short time, in milliseconds while it is less than a second: `120ms`, `1.4s`.
pub(super) fn short_time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) { format!("{}ms", duration.as_millis()) } else { time(duration) }
}

/// The answer in words, which name its status: `404 Not Found: no such user`.
pub(super) fn answer(reason: &Reason) -> String {
    match (reason.status, reason.error.as_str()) {
        (None, "") => "no answer".to_owned(),
        (Some(status), "") => named(status),
        (_, words) => words.to_owned(),
    }
}

/// Why a run stopped early, for a person.
pub fn why_stopped(stop: &Stop) -> String {
    match stop {
        Stop::KeyRefused(reason) => format!("the API refused the key: {}", answer(reason)),
        Stop::WrongAddress { reason, address } => match reason.status {
            Some(status) => format!("nothing was found at {address} ({status})"),
            None => format!("nothing was found at {address}"),
        },
        Stop::Redirected(reason) => format!("the address redirects elsewhere: {}", answer(reason)),
        Stop::Refused(reason) => {
            format!("the API refuses every request with the same message: {}", answer(reason))
        }
        Stop::Unreachable(reason) => format!("the API can't be reached: {}", answer(reason)),
        Stop::Outage { reason, after } => {
            let what = match reason.status {
                Some(_) => "User.com answered only with errors",
                None => "User.com could not be reached",
            };
            format!("{what} for {} (`--max-outage`): {}", period(*after), answer(reason))
        }
        Stop::LongPause { pause, most } => {
            // Or else it served none before that, and the time of the outage is up.
            let who = if pause > most { "User.com" } else { "User.com serves no requests and" };
            let pause = period(Duration::from_secs_f64(pause.as_secs_f64().ceil()));
            let most = period(*most);
            format!("{who} asks for a pause of {pause}, which ends later than `--max-outage` allows ({most})")
        }
        Stop::OutOfTime(most) => format!("time was up after {} (`--max-duration`)", period(*most)),
        Stop::Canary(failure) => {
            let why = match failure {
                CanaryFailure::NotAccepted(reason) => format!("the API refused a row: {}", answer(reason)),
                CanaryFailure::Differs { differing, checked } => {
                    let (differing, checked) = (HumanCount(*differing), counted(*checked, "row"));
                    format!("{differing} of {checked} are not in User.com as sent")
                }
                CanaryFailure::Unread { unread, why } => {
                    let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                    format!("{} could not be read back{why}", counted(*unread, "row"))
                }
            };
            format!("the first users failed the test (`--canary`): {why}")
        }
        Stop::Interrupted => "the run was stopped by Ctrl-C (SIGINT)".to_owned(),
        Stop::Terminated => "the run was stopped by SIGTERM".to_owned(),
        Stop::HungUp => "the run was stopped because its terminal was closed (SIGHUP)".to_owned(),
        Stop::LedgerLost => "another run has taken over the ledger".to_owned(),
        Stop::LedgerAway(most) => {
            format!("the ledger's database could not be reached for {} (`--max-outage`)", period(*most))
        }
        Stop::LedgerRefused => "the ledger's database refuses to record more".to_owned(),
        Stop::Unwritable => "a report or the ledger can't be written".to_owned(),
    }
}

/// A text cut to a number of columns, with an ellipsis where something is missing; as [`Visible`] otherwise.
pub(super) struct Truncated<'a>(pub(super) &'a str, pub(super) usize);

impl Display for Truncated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(text, most) = self;
        let text = Visible(text).to_string();
        let Some((end, _)) = text.char_indices().nth(most) else { return f.write_str(&text) };
        let kept = text.get(..end).and_then(|start| start.char_indices().next_back());
        match kept.and_then(|(last, _)| text.get(..last)) {
            Some(start) => write!(f, "{start}…"),
            None => Ok(()),
        }
    }
}

fn named(status: u16) -> String {
    let name = StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    name.map_or_else(|| status.to_string(), |name| format!("{status} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_as_many_units_as_matter() {
        let check =
            |seconds: f64, expected: &str| assert_eq!(time(Duration::from_secs_f64(seconds)), expected);
        check(0.0, "0.0s");
        check(0.04, "0.1s");
        check(4.2, "4.2s");
        check(59.99, "1m 0s");
        check(80.0, "1m 20s");
        check(10_000.8, "2h 47m");
        check(7_199.0, "2h 0m");
        check(200_000.0, "2d 7h");
    }

    #[test]
    fn what_is_left_has_no_fractions() {
        assert_eq!(time_left(Duration::from_millis(11_100)), "12s");
        assert_eq!(time_left(Duration::from_millis(59_500)), "1m 0s");
    }

    #[test]
    fn a_length_of_time_keeps_its_largest_whole_unit() {
        let cases = [
            (0, "0 seconds"),
            (200, "200 milliseconds"),
            (1000, "1 second"),
            (90_000, "90 seconds"),
            (600_000, "10 minutes"),
            (7_200_000, "2 hours"),
        ];
        for (millis, text) in cases {
            assert_eq!(period(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn stops_name_the_time_and_the_address_that_they_are_about() {
        let check = |stop, text: &str| assert_eq!(why_stopped(&stop), text);
        let reason = |status, error: &str| Reason { status, error: error.into() };
        let after = Duration::from_mins(10);
        check(
            Stop::Outage { reason: reason(None, "`acme.user.com` refused the connection"), after },
            "User.com could not be reached for 10 minutes (`--max-outage`): `acme.user.com` refused the connection",
        );
        check(
            Stop::Outage { reason: reason(Some(503), ""), after },
            "User.com answered only with errors for 10 minutes (`--max-outage`): 503 Service Unavailable",
        );
        check(
            Stop::LongPause { pause: Duration::from_millis(3_599_950), most: after },
            "User.com asks for a pause of 1 hour, which ends later than `--max-outage` allows (10 minutes)",
        );
        check(
            Stop::LongPause { pause: Duration::from_secs(2), most: after },
            "User.com serves no requests and asks for a pause of 2 seconds, which ends later than `--max-outage` \
             allows (10 minutes)",
        );
        check(Stop::OutOfTime(5 * after), "time was up after 50 minutes (`--max-duration`)");
        check(
            Stop::Canary(CanaryFailure::Differs { differing: 2, checked: 60 }),
            "the first users failed the test (`--canary`): 2 of 60 rows are not in User.com as sent",
        );
        check(
            Stop::Canary(CanaryFailure::Unread { unread: 1, why: Some("500".to_owned()) }),
            "the first users failed the test (`--canary`): 1 row could not be read back: 500",
        );
        let address = "https://acme.user.com/api/wrong/".to_owned();
        check(
            Stop::WrongAddress { reason: reason(Some(404), "404 Not Found: Not found."), address },
            "nothing was found at https://acme.user.com/api/wrong/ (404)",
        );
    }

    #[test]
    fn sizes_are_rounded_up_to_what_can_be_read() {
        let cases = [(0, "0 MB"), (1, "1 MB"), (640_000_000, "640 MB"), (999_000_001, "1.0 GB")];
        for (bytes, text) in cases.into_iter().chain([(1_234_000_000_000, "1,234.0 GB")]) {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_share_is_all_or_nothing_only_if_it_is() {
        let cases = [(0.0, "0%"), (0.0001, "<1%"), (0.824, "82%"), (0.9999, ">99%"), (1.0, "100%")];
        for (share, text) in cases {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn answers_have_a_status_and_words_where_they_had_any() {
        let check = |status, error: &str, expected: &str| {
            assert_eq!(answer(&Reason { status, error: error.into() }), expected);
        };
        check(Some(404), "404 Not Found: no such user", "404 Not Found: no such user");
        check(Some(599), "", "599");
        check(None, "connection reset", "connection reset");
        check(None, "", "no answer");
    }

    #[test]
    fn what_does_not_fit_is_cut_between_letters() {
        assert_eq!(Truncated("zażółć", 6).to_string(), "zażółć");
        assert_eq!(Truncated("zażółć", 5).to_string(), "zażó…");
        assert_eq!(Truncated("a\nb", 5).to_string(), "a b");
        assert_eq!(Truncated("ab", 0).to_string(), "");
    }
}
