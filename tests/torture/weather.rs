//! What befalls requests on their way, by chance.

use std::ops::Range;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

/// What befalls one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    /// The account answers.
    Served,
    /// Another answer than the account's.
    Answered { status: u16, retry_after: Option<&'static str>, body: &'static str, applied: bool },
    /// The connection is closed without an answer.
    Closed { applied: bool, reset: bool },
    /// A part of an answer, then the end.
    Cut { applied: bool },
    /// Nothing, for as long as the client waits.
    Stalled { applied: bool },
    /// The account's answer, a byte at a time.
    Slow,
}

impl Fate {
    /// Whether the client has the account's own answer, if it waits.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self, Self::Served | Self::Slow)
    }
}

/// How likely each kind of fault is, and when nobody is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) errors: f64,
    pub(crate) throttles: f64,
    pub(crate) breaks: f64,
    pub(crate) stalls: f64,
    pub(crate) odd: f64,
    pub(crate) slow: f64,
    /// Cursors expire.
    pub(crate) expiries: f64,
    /// The numbers of the requests that meet an outage, and its kind.
    pub(crate) outage: Option<(Range<usize>, Outage)>,
    /// From this request on the key is refused.
    pub(crate) key_dies: Option<usize>,
    /// The longest time that an answer takes, in milliseconds.
    pub(crate) latency: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    Unavailable,
    Gateway,
    Closing,
    Silent,
}

/// Words that a hostile or broken server may send: escape codes, markup, workflow commands, nothing.
const BODIES: [&str; 8] = [
    "",
    "{\"detail\": \"Server error\"}",
    "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
    "\u{1b}[31mred\u{1b}]52;c;aGk=\u{7}\u{9b}2J",
    "::error::not yours%0A::warning::either",
    "{\"detail\": \"\u{202e}drawkcab\\u001b[2J\"}",
    "{",
    "null",
];
const ODD: [&str; 9] = [
    "",
    "{",
    "<html>ok</html>",
    "{\"status\": \"error\"}",
    "{\"status\": \"OK?\"}",
    "{\"status\": null}",
    "[]",
    "{\"status\": [\"ok\"]}",
    "ok",
];
const RETRY_AFTER: [Option<&str>; 10] = [
    None,
    Some("0"),
    Some("0"),
    Some("1"),
    Some("-1"),
    Some("0.2"),
    Some("soon"),
    Some(""),
    Some("Wed, 21 Oct 2015 07:28:00 GMT"),
    Some("18446744073709551617"),
];

impl Weather {
    pub(crate) fn calm() -> Self {
        Self { latency: 3, ..Self::default() }
    }

    pub(crate) fn any(dice: &mut StdRng, mild: bool) -> Self {
        if dice.random_bool(0.15) {
            return Self::calm();
        }
        let mut share = |most: f64, likely: f64| {
            if dice.random_bool(likely) { dice.random_range(0.0..most) } else { 0.0 }
        };
        let most = if mild { 0.08 } else { 0.3 };
        let mut weather = Self {
            errors: share(most, 0.6),
            throttles: share(most / 8.0, 0.3),
            breaks: share(most, 0.5),
            stalls: share(most / 10.0, 0.2),
            odd: share(most / 3.0, 0.3),
            slow: share(most / 3.0, 0.2),
            expiries: share(0.3, 0.3),
            ..Self::default()
        };
        weather.latency = dice.random_range(0..40);
        if dice.random_bool(0.25) {
            let from = dice.random_range(0..60);
            let kind = *[Outage::Unavailable, Outage::Gateway, Outage::Closing, Outage::Silent]
                .choose(dice)
                .unwrap();
            let length = dice.random_range(1..30);
            weather.outage = Some((from..from + length, kind));
        }
        if dice.random_bool(0.03) {
            weather.key_dies = Some(dice.random_range(0..60));
        }
        weather
    }

    /// Whether the API may seem to be down.
    pub(crate) fn is_rough(&self) -> bool {
        self.outage.is_some() || self.errors + self.throttles + self.breaks + self.stalls + self.odd > 0.0
    }

    /// Whether connections may end before a request was read.
    pub(crate) fn may_lose_connections(&self) -> bool {
        self.breaks > 0.0 || self.outage.is_some()
    }

    /// What befalls the request of this number.
    pub(crate) fn fate(&self, dice: &mut StdRng, number: usize) -> Fate {
        let applied = dice.random_bool(0.5);
        if let Some((when, kind)) = &self.outage
            && when.contains(&number)
        {
            let answered =
                |status| Fate::Answered { status, retry_after: None, body: BODIES[2], applied: false };
            return match kind {
                Outage::Unavailable => answered(503),
                Outage::Gateway => answered(502),
                Outage::Closing => Fate::Closed { applied: false, reset: true },
                Outage::Silent => Fate::Stalled { applied: false },
            };
        }
        if self.key_dies.is_some_and(|from| number >= from) {
            let body = r#"{"detail": "Invalid token."}"#;
            return Fate::Answered { status: 401, retry_after: None, body, applied: false };
        }
        let mut lot: f64 = dice.random();
        let mut falls = |share: f64| {
            lot -= share;
            lot < 0.0
        };
        if falls(self.errors) {
            let status = *[500, 502, 503, 504, 408].choose(dice).unwrap();
            let body = BODIES.choose(dice).unwrap();
            return Fate::Answered { status, retry_after: None, body, applied };
        }
        if falls(self.throttles) {
            let status = *[429, 429, 503].choose(dice).unwrap();
            let mut retry_after = *RETRY_AFTER.choose(dice).unwrap();
            // So long that the run gives up: that is rare.
            if retry_after.is_some_and(|text| text.len() > 19) && dice.random_bool(0.9) {
                retry_after = Some("1");
            }
            let body = BODIES.choose(dice).unwrap();
            return Fate::Answered { status, retry_after, body, applied: false };
        }
        if falls(self.breaks) {
            return match dice.random_range(0..3) {
                0 => Fate::Closed { applied, reset: true },
                1 => Fate::Closed { applied, reset: false },
                _ => Fate::Cut { applied },
            };
        }
        if falls(self.stalls) {
            return Fate::Stalled { applied };
        }
        if falls(self.odd) {
            return Fate::Answered {
                status: 200,
                retry_after: None,
                body: ODD.choose(dice).unwrap(),
                applied,
            };
        }
        if falls(self.slow) { Fate::Slow } else { Fate::Served }
    }
}
