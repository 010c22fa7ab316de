//! The options of delivery.

use std::collections::BTreeSet;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::canary::Canary;
use super::event::Shutdown;
use super::limiter::SharedRate;

/// The most requests in any window of time: `10/s` or `300/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub requests: NonZeroU32,
    /// In any window of this length.
    pub window: Duration,
}

impl Rate {
    /// The same as requests per second.
    pub fn per_second(self) -> f64 {
        f64::from(self.requests.get()) / self.window.as_secs_f64()
    }
}

impl Rate {
    /// The most requests that may be asked for in a window.
    pub const MOST: u32 = 1_000_000;
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.window == Duration::from_mins(1) { "m" } else { "s" };
        write!(f, "{}/{unit}", self.requests)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || match text.trim().parse::<u32>() {
            Ok(number @ 1..) => {
                format!("`{text}` needs a unit: write `{number}/s` or `{}/m`", u64::from(number) * 60)
            }
            _ => format!("`{text}` is not a rate: write requests per second or minute, as `10/s` or `300/m`"),
        };
        let (requests, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let window = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            _ => return Err(wrong()),
        };
        let requests = requests.trim().parse::<NonZeroU32>().map_err(|_error| wrong())?;
        if requests.get() > Self::MOST {
            return Err(format!(
                "`{text}` is more than this program can pace: at most {} a window",
                Self::MOST
            ));
        }
        Ok(Self { requests, window })
    }
}

/// Which acknowledged rows are read back at the end: `100` or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// This many, chosen at random.
    Rows(usize),
    /// All.
    All,
}

impl Default for Verify {
    fn default() -> Self {
        Self::Rows(0)
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => rows.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Verify {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            word if word.eq_ignore_ascii_case("all") => Ok(Self::All),
            number => number
                .parse()
                .map(Self::Rows)
                .map_err(|_error| format!("`{text}` is not valid: write a whole number from 0, or `all`")),
        }
    }
}

/// The options of delivery.
#[derive(Clone, Debug)]
pub struct Options {
    /// The limit for all requests, repeated ones included.
    pub rate: Rate,
    /// The other processes that hold this rate together with this one, if there are any.
    pub shared_rate: Option<Arc<dyn SharedRate>>,
    /// Most requests in flight.
    pub concurrency: NonZeroUsize,
    /// The most attempts for one batch. Attempts during an outage don't count.
    pub max_attempts: NonZeroU32,
    /// The longest wait before a batch's first repetition; it doubles with each further one.
    pub retry_initial_delay: Duration,
    /// The longest wait before any repetition.
    pub retry_max_delay: Duration,
    /// For one request, from its start to the end of its answer.
    pub timeout: Duration,
    /// How long an outage of the API may last before the run stops.
    pub max_outage: Duration,
    /// No request starts after this time. It begins `elapsed` before the call of [`deliver`](super::deliver()).
    pub max_duration: Option<Duration>,
    /// How much of `max_duration` is over when delivery begins.
    pub elapsed: Duration,
    /// How long requests in flight may take after a signal, if that is less than `timeout`.
    pub grace: Duration,
    /// Which acknowledged rows to read back.
    pub verify: Verify,
    /// The rows that are sent and read back before all others. They are rows of the plan that is sent.
    pub canary: Canary,
    /// What the id of each request begins with. It differs from that of any other run, on any machine.
    pub run: Arc<str>,
    /// Where requests go, for messages.
    pub address: String,
    /// The account is known to have acknowledged something: its address was right, and so was the key of that time.
    pub proven: bool,
    /// Attributes of which the account is known to have values. If values of them are refused, it is not for the attribute.
    pub known_attributes: BTreeSet<String>,
}

impl Options {
    /// How long requests in flight may take once a run is to stop: long enough for a slow answer, and short enough for a user
    /// who pressed Ctrl-C.
    pub const GRACE: Duration = Duration::from_secs(30);

    /// How long requests in flight may take once the run is to stop.
    pub(super) fn grace_after(&self, shutdown: &Shutdown) -> Duration {
        let longest = match shutdown {
            Shutdown::No => Self::GRACE,
            Shutdown::Graceful(_) => self.grace,
            Shutdown::Immediate(_) => Duration::ZERO,
        };
        longest.min(self.timeout)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: Rate {
                requests: NonZeroU32::new(10).expect("10 is not 0"),
                window: Duration::from_secs(1),
            },
            shared_rate: None,
            concurrency: NonZeroUsize::new(16).expect("16 is not 0"),
            max_attempts: NonZeroU32::new(5).expect("5 is not 0"),
            retry_initial_delay: Duration::from_millis(500),
            retry_max_delay: Duration::from_secs(30),
            timeout: Duration::from_mins(1),
            max_outage: Duration::from_mins(10),
            max_duration: None,
            elapsed: Duration::ZERO,
            grace: Self::GRACE,
            verify: Verify::default(),
            canary: Canary::default(),
            run: "run".into(),
            address: String::new(),
            proven: false,
            known_attributes: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_as_large_as_can_be_paced() {
        let most = Rate { requests: NonZeroU32::new(Rate::MOST).unwrap(), window: Duration::from_mins(1) };
        assert_eq!(format!("{}/m", Rate::MOST).parse(), Ok(most));
        for too_many in [Rate::MOST + 1, u32::MAX] {
            let error = format!("{too_many}/s").parse::<Rate>().unwrap_err();
            assert!(error.contains("at most 1000000 a window"), "{error}");
        }
    }

    #[test]
    fn a_rate_is_compared_as_requests_per_second() {
        for (text, per_second) in [("10/s", 10.0), ("300/m", 5.0), ("90/m", 1.5), ("1/m", 1.0 / 60.0)] {
            let rate: Rate = text.parse().unwrap();
            assert!((rate.per_second() - per_second).abs() < 1e-9, "{text}: {}", rate.per_second());
        }
    }

    #[test]
    fn rows_to_read_back_are_a_number_or_all() {
        for (text, verify) in [("0", Verify::Rows(0)), (" 100 ", Verify::Rows(100)), ("ALL", Verify::All)] {
            assert_eq!(text.parse(), Ok(verify));
        }
        for wrong in ["", "-1", "some", "1.5"] {
            assert!(wrong.parse::<Verify>().unwrap_err().contains("a whole number from 0, or `all`"));
        }
    }
}
