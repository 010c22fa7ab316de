//! How long a server asks to wait.

use std::time::{Duration, SystemTime};

/// The longest pause, more than a year. It keeps a date in the far future from overflowing.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_hours(10_000);

/// How long the server asks to wait: a number of seconds, or until a date. A date is compared with the server's own
/// clock if the answer has its time, since ours may be wrong.
pub(super) fn retry_after(after: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let first = after.split(',').next().unwrap_or_default().trim();
    if first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && let Ok(seconds) = first.parse::<f64>()
    {
        // No whole number is needed, nor one of any size.
        return Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE));
    }
    let until = httpdate::parse_http_date(after.trim()).ok()?;
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or(Duration::ZERO).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_as_seconds_or_as_any_of_three_dates() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        let seconds = |after| retry_after(after, None, now).map(|d| d.as_secs());
        assert_eq!(seconds("3"), Some(3));
        assert_eq!(seconds(" 3 "), Some(3));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(37));
        assert_eq!(seconds("Sun Nov  6 08:49:37 1994"), Some(37));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:48:00 GMT"), Some(0));
        assert_eq!(seconds("1.2"), Some(2));
        assert_eq!(seconds("2, 3"), Some(2));
        assert_eq!(seconds("99999999999999999999"), Some(LONGEST_PAUSE.as_secs()));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("-1"), None);
    }

    #[test]
    fn a_date_is_taken_against_the_servers_clock() {
        let ours = httpdate::parse_http_date("Sun, 06 Nov 1994 05:00:00 GMT").unwrap();
        let after = retry_after("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:30 GMT"), ours);
        assert_eq!(after, Some(Duration::from_secs(7)));
    }
}
