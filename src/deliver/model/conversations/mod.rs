//! What is sent to a server in which little is wrong, request by request. A change of these lists is a change of what refusals
//! and outages cost, so it should be one that was wanted.

mod limits;
mod refusals;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::faulty_server::{FaultyServer, reply, words};
use super::{Run, options, plan_of, run};
use crate::deliver::canary::Canary;
use crate::deliver::options::{Options, Rate};
use crate::deliver::transport::{Reply, SendError};

const OK: &str = r#"{"status": "ok"}"#;

/// Users from one to another, with an attribute and its value, in which `#` is the user.
type Rows<'a> = &'a [(RangeInclusive<u64>, &'static str, &'a str)];

/// One request at a time, in an account that is known to be right.
fn singly() -> Options {
    Options { concurrency: NonZeroUsize::MIN, proven: true, ..options() }
}

/// The same before anything was acknowledged.
fn first() -> Options {
    Options { proven: false, ..singly() }
}

/// The same with this many attempts.
fn with_attempts(most: u32) -> Options {
    Options { max_attempts: NonZeroU32::new(most).unwrap(), ..singly() }
}

/// This many requests at a time, as quickly as they are answered.
fn several(options: Options, most: usize) -> Options {
    let rate = Rate { requests: NonZeroU32::new(100).unwrap(), window: Duration::from_secs(1) };
    Options { concurrency: NonZeroUsize::new(most).unwrap(), rate, ..options }
}

fn refuses<const N: usize>(all: [(&str, u16, &str); N]) -> BTreeMap<String, (u16, String)> {
    all.into_iter().map(|(name, status, body)| (name.to_owned(), words(status, body))).collect()
}

/// An answer to the requests that begin with this text, from one of them to another.
fn answer(
    text: &'static str,
    times: Range<usize>,
    status: u16,
    body: &str,
) -> (&'static str, Range<usize>, Result<Reply, SendError>) {
    (text, times, reply(status, body))
}

fn rows_of(rows: Rows<'_>) -> impl Iterator<Item = (u64, &'static str, String)> + '_ {
    rows.iter().flat_map(|(users, name, value)| {
        users.clone().map(|user| (user, *name, value.replace('#', &user.to_string())))
    })
}

/// Compares what is sent, in batches of at most this many users.
fn check_of(batch: u32, rows: Rows<'_>, options: &Options, server: &FaultyServer, sent: &str) -> Run {
    let run = run(&plan_of(rows_of(rows), batch), options, server);
    assert_eq!(run.sent().join(", "), sent, "{server:?}");
    run
}

/// The same in batches of any size.
fn check(rows: Rows<'_>, options: &Options, server: &FaultyServer, sent: &str) -> Run {
    check_of(1000, rows, options, server, sent)
}

/// The same with this many users before all others.
fn check_canary(users: usize, rows: Rows<'_>, options: Options, server: &FaultyServer, sent: &str) {
    let canary = Canary::choose(&plan_of(rows_of(rows), 1000), users);
    check(rows, &Options { canary, ..options }, server, sent);
}
