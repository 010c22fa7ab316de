//! Connections that break at every point of a run. Each run ends as if nothing had happened.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::cli::{Server, Workdir};
use super::runs::{check_state, recorded, sync, with};
use super::{Cut, Database, Relay, database};

const KINDS: [Cut; 4] = [Cut::BeforeRequest, Cut::HalfRequest, Cut::BeforeReply, Cut::HalfReply];

/// Each time after this many statements.
const STRIDE: usize = 9;

/// A part of the statement that takes the lease.
const TAKES_LEASE: &str = ".lease AS l";

/// Runs with a new ledger, whose nth statement with this text is cut. Returns how many statements there were, if it was.
fn run(database: &Database, cut: Option<Cut>, text: &str, n: usize) -> Option<usize> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let schema = NEXT.fetch_add(1, Ordering::Relaxed);
    // A lease that was taken by a statement whose answer never came must be known as one's own. Others are renewed soon.
    let lease = if text == TAKES_LEASE { "60s" } else { "1s" };
    let (relay, parameters) = (Relay::to(&database.direct), format!("schema=ledger{schema}&lease={lease}"));
    let ledger = with(&relay.address(&database.direct), &parameters);
    let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
    if let Some(cut) = cut {
        relay.nth(cut, text, n);
    }
    let run = sync(&server, &workdir, &ledger, "--timeout 60s");
    let what = format!("{cut:?} of `{text}` {n}: {}", run.stderr);
    assert_eq!(run.code, 0, "{what}");
    assert_eq!((run.rows("acknowledged"), run.requests("sent")), (3, 3), "{what}");
    assert_eq!((server.counters().requests, server.counters().ok), (3, 3), "{what}");
    check_state(&server, &workdir);
    assert_eq!(recorded(&with(&database.direct, &parameters)), 3, "{what}");
    let runs = database.query(&format!("SELECT id, outcome FROM ledger{schema}.run"));
    assert_eq!(runs, [["1", "complete"]], "{what}");
    (!relay.is_armed()).then(|| relay.requests())
}

#[test]
fn a_run_goes_on_after_a_cut_at_any_of_its_statements() {
    let Some(database) = database() else { return };
    let statements = run(&database, None, "", 0).unwrap();
    // They are many, so that each run of the tests takes some of them.
    let first = rand::random_range(1..=STRIDE);
    for n in (first..=statements).step_by(STRIDE) {
        run(&database, Some(KINDS[rand::random_range(0..KINDS.len())]), "", n);
    }
}

#[test]
fn each_kind_of_statement_survives_cuts_before_and_after_it() {
    let Some(database) = database() else { return };
    for text in [
        "CREATE TABLE",
        TAKES_LEASE,
        "INSERT INTO \"ledger",
        ".journal (",
        "SET expires_at = clock_timestamp() +",
        "COMMIT",
    ] {
        for cut in [KINDS[rand::random_range(0..2)], KINDS[rand::random_range(2..4)]] {
            assert!(run(&database, Some(cut), text, 1).is_some(), "{cut:?} of `{text}`");
        }
    }
}
