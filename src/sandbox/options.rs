//! The options of a sandbox.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::fault::Fault;

/// As many users as User.com's pages have at most.
const PAGE_SIZE: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");

/// The options of a sandbox. By default it has no limits and no faults, and accepts any token.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The key that is accepted; `None`: any well-formed `Token <something>`.
    pub token: Option<String>,
    /// What the key may do.
    pub permission: Permission,
    /// The most requests in any window of this length; above it: 429. `None`: no limit.
    pub rate: Option<(u32, Duration)>,
    /// How long each request takes at least.
    pub latency: Duration,
    /// How much longer it takes at most, evenly spread.
    pub latency_jitter: Duration,
    /// The share of requests, from 0 to 1, answered 500, 502 or 503 with a JSON or an HTML body: half of them after
    /// they were applied.
    pub error_rate: f64,
    /// The share of requests whose connection breaks instead of an answer: half of them after they were applied.
    pub drop_rate: f64,
    /// The share of requests that are never answered, while their connection stays open: half of them after they
    /// were applied.
    pub stall_rate: f64,
    /// The faults of the first requests that pass the rate limit, in order of arrival. Later requests meet random
    /// faults.
    pub script: Vec<Option<Fault>>,
    /// Times when the API serves no request.
    pub outages: Vec<Outage>,
    /// Users that don't exist, by either kind of id, as text.
    pub reject_ids: BTreeSet<String>,
    /// How a request with one of them is rejected.
    pub reject: Reject,
    /// The most ids in one request; above it: 400.
    pub max_ids: Option<usize>,
    /// The most bytes in one body; above it: 413.
    pub max_body: Option<usize>,
    /// Pairs of attribute and value that are rejected with 400 for every user. Values that aren't strings are given
    /// as their JSON text.
    pub reject_values: BTreeSet<(String, String)>,
    /// If there is a number: the users from 1 to it exist, and no others by User.com's ids. `None`: any user exists, and
    /// those who have a value are in the list.
    pub users: Option<u64>,
    /// How many users a page of the list has.
    pub page_size: NonZeroUsize,
    /// How many of them come again in the next page, as those who move in the list while it is read.
    pub page_overlap: usize,
    /// How long the pages of a list can be asked for, from its first one on. `None`: for good.
    pub cursor_lifetime: Option<Duration>,
    /// Whether a page says how many users there are.
    pub count: Count,
    /// Whether each request is logged.
    pub log: Log,
    /// The seed of the random numbers. With the same seed, requests that arrive in the same order meet the same faults.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            permission: Permission::default(),
            rate: None,
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            error_rate: 0.0,
            drop_rate: 0.0,
            stall_rate: 0.0,
            script: Vec::new(),
            outages: Vec::new(),
            reject_ids: BTreeSet::new(),
            reject: Reject::default(),
            max_ids: None,
            max_body: None,
            reject_values: BTreeSet::new(),
            users: None,
            page_size: PAGE_SIZE,
            page_overlap: 0,
            cursor_lifetime: None,
            count: Count::default(),
            log: Log::default(),
            seed: 0,
        }
    }
}

/// Whether a page of the list of users says how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// It does.
    #[default]
    Given,
    /// It doesn't, as is usual where pages have cursors.
    Omitted,
}

/// What an accepted key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permission {
    /// Everything.
    #[default]
    Granted,
    /// Nothing: every request is answered 403.
    Denied,
}

/// How a request with unknown users is rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reject {
    /// 400 for the whole request, and the body names the unknown users.
    #[default]
    Naming,
    /// 400 for the whole request, and the body doesn't name them.
    Unnamed,
    /// 404 for the whole request.
    NotFound,
    /// Not at all: the other users are updated, and the answer is 200.
    Ignored,
}

/// A time when the API serves no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it starts, counted from the start of the sandbox.
    pub start: Duration,
    /// How long it lasts.
    pub length: Duration,
    /// How clients notice it.
    pub kind: OutageKind,
}

/// How clients notice an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageKind {
    /// Every request is answered 503, without `retry-after`.
    Unavailable,
    /// New connections are reset, and open ones are closed at their next request.
    Unreachable,
}

/// Whether each request is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// No: only counters are kept.
    #[default]
    Omit,
    /// Yes, for [`Sandbox::log`](super::Sandbox::log).
    Keep,
}
