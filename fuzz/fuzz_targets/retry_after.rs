//! Any headers `retry-after` and `date`: the pause is what they say, or there is none, and it is bounded.
#![no_main]

// No other crate can reach it.
#[path = "../../src/deliver/http/retry_after.rs"]
mod program;

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use program::{LONGEST_PAUSE, retry_after};

fuzz_target!(|input: &str| {
    let (after, rest) = input.split_once('\n').unwrap_or((input, ""));
    let date = Some(rest).filter(|date| !date.is_empty());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let pause = retry_after(after, date, now);
    assert!(pause.is_none_or(|pause| pause <= LONGEST_PAUSE), "{pause:?}");
    match expected(after, date, now) {
        Expected::Pause(expected) => assert_eq!(pause, expected),
        Expected::About(seconds) => {
            let seconds = seconds.min(LONGEST_PAUSE.as_secs());
            assert!(pause.is_some_and(|pause| pause.as_secs().abs_diff(seconds) <= 1), "{pause:?}");
        }
    }
});

enum Expected {
    Pause(Option<Duration>),
    /// The digits of a part of a second are too many for a floating-point number.
    About(u64),
}

/// The pause by plain code.
fn expected(after: &str, date: Option<&str>, now: SystemTime) -> Expected {
    let first = after.split(',').next().unwrap_or_default().trim();
    let (whole, part) = first.split_once('.').unwrap_or((first, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number(whole) && is_number(part) && whole.len() + part.len() > 0 {
        // The number of digits has no bound.
        let seconds = if whole.is_empty() { Ok(0) } else { whole.parse::<u64>() };
        let seconds = seconds.unwrap_or(LONGEST_PAUSE.as_secs()).min(LONGEST_PAUSE.as_secs());
        if part.len() > 5 {
            return Expected::About(seconds);
        }
        let more = u64::from(part.bytes().any(|digit| digit != b'0'));
        return Expected::Pause(Some(Duration::from_secs(seconds + more).min(LONGEST_PAUSE)));
    }
    let time = |text: &str| httpdate::parse_http_date(text).ok();
    let now = date.and_then(time).unwrap_or(now);
    let pause = time(after.trim()).map(|until| until.duration_since(now).unwrap_or_default());
    Expected::Pause(pause.map(|pause| pause.min(LONGEST_PAUSE)))
}
