//! A run that another one takes over from, because it was killed or stood still.

use std::process::Child;

use super::super::cli::{Server, Workdir};
use super::database;
use super::runs::{
    cancel, check_state, has_recorded, recorded, signal, stalling, sync, syncing, until_it_says, wait, with,
};

/// A process stands still until this is dropped, also by a test that fails.
struct Stopped<'a>(&'a Child);

impl<'a> Stopped<'a> {
    fn new(child: &'a Child) -> Self {
        signal(child, "STOP");
        Self(child)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        signal(self.0, "CONT");
    }
}

#[test]
fn a_run_that_stood_still_sends_nothing_more_and_what_it_may_have_sent_is_sent_again() {
    let Some(database) = database() else { return };
    let ledger = with(&database.direct, "lease=1s");
    let (first, server) = (Workdir::with_cities(12), stalling(1, 4));
    let child = syncing(&server, &first, &ledger, "--concurrency 4 --timeout 15s").spawn().unwrap();
    server.until(|counters| counters.requests == 5 && has_recorded(&ledger, 1));
    let stopped = Stopped::new(&child);
    assert_eq!(server.counters().requests, 5);

    let second = Workdir::new();
    second.file("users.csv", first.read("users.csv").replace("City", "Town"));
    let run = sync(&server, &second, &ledger, "--wait 60s --timeout 60s").exits(0);
    assert_eq!((run.rows("acknowledged"), run.rows("resumed")), (12, 0));
    run.says("requests of the run before may still be");
    check_state(&server, &second);
    let before = server.counters().requests;
    assert_eq!(before, 17);

    drop(stopped);
    let run = wait(child).exits(4);
    let summary = run.summary();
    assert_eq!(
        (summary["outcome"].as_str(), summary["reason"].as_str()),
        (Some("stopped"), Some("ledger_held"))
    );
    assert_eq!(server.counters().requests, before, "a request started without the ledger");
    assert_eq!((run.rows("acknowledged"), run.rows("unsent")), (1, 11));
    assert_eq!(first.failures().len(), 11);
    run.says("another run has taken over the ledger");

    // These are the values of the four requests that were not answered.
    let run = sync(&server, &second, &ledger, "--only-changed --timeout 60s").exits(0);
    assert_eq!((run.rows("unchanged"), run.rows("acknowledged"), run.requests("sent")), (8, 4, 4));
    check_state(&server, &second);
    let run = sync(&server, &second, &ledger, "--only-changed --timeout 60s").exits(0);
    assert_eq!((run.rows("unchanged"), run.requests("sent")), (12, 0));
}

#[test]
fn the_next_run_takes_over_from_one_that_was_killed() {
    let Some(database) = database() else { return };
    let ledger = with(&database.pooled, "lease=1s");
    let (workdir, server) = (Workdir::with_cities(20), stalling(12, 1));
    let arguments = "--concurrency 1 --timeout 5s";
    let mut child = syncing(&server, &workdir, &ledger, arguments).spawn().unwrap();
    server.until(|counters| counters.requests == 13 && has_recorded(&ledger, 12));
    child.kill().unwrap();
    child.wait().unwrap();

    let run = sync(&server, &workdir, &ledger, arguments).exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (12, 8));
    assert_eq!(server.sandbox.log()[13..].len(), 8);
    check_state(&server, &workdir);
    assert_eq!(recorded(&ledger), 20);
    run.says("continuing run 1, begun").says("12 rows are done");
}

#[test]
fn a_second_run_waits_for_one_that_goes_on_only_as_long_as_it_is_told_to() {
    let Some(database) = database() else { return };
    let ledger = with(&database.direct, "lease=4s");
    let (workdir, server) = (Workdir::with_cities(2), stalling(1, 1));
    let child = syncing(&server, &workdir, &ledger, "--timeout 60s").spawn().unwrap();
    server.until(|counters| counters.requests == 2);

    let other = Workdir::with_cities(2);
    let run = sync(&server, &other, &ledger, "").exits(2);
    assert_eq!((run.summary()["reason"].as_str(), server.counters().requests), (Some("ledger_held"), 2));
    let process = format!(": process {} on ", child.id());
    run.says("another run is using the ledger").says(&process).says("hint: wait until the other run ends");
    let run = sync(&server, &other, &ledger, "--wait 1s").exits(2);
    assert_eq!(run.summary()["reason"], "ledger_held");

    let mut waiting = syncing(&server, &other, &ledger, "--wait 60s").spawn().unwrap();
    until_it_says(&mut waiting, "waiting: another run is using the ledger", |_| cancel(child));
    let run = wait(waiting).exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (0, 2));
    check_state(&server, &other);
}
