//! A standby that takes over in the middle of a run.

use std::thread;
use std::time::Duration;

use attrsync::sandbox::Options;

use super::super::cli::{Server, Workdir};
use super::runs::{check_state, has_recorded, recorded, sync, syncing, wait, with};
use super::{Cluster, Database, Node, Session, database};

const USERS: u32 = 150;
const ROWS: u64 = 150;

/// The address of a database with both hosts.
fn both(cluster: &Cluster, database: &Database) -> String {
    let standby = cluster.on_standby(database);
    let (_, standby) = standby.split_once('@').unwrap();
    let (standby, _) = standby.split_once('/').unwrap();
    let (authority, path) = database.direct.rsplit_once('/').unwrap();
    with(&format!("{authority},{standby}/{path}"), "lease=2s")
}

/// As the superuser, on the standby.
fn on_standby(cluster: &Cluster, database: &Database) -> Session {
    let standby = cluster.on_standby(database);
    let (_, place) = standby.split_once('@').unwrap();
    let (user, _) = database.admin.split_once('@').unwrap();
    Session::open(&format!("{user}@{place}"))
}

fn slow() -> Server {
    Server::new(Options { latency: Duration::from_millis(40), ..Options::default() })
}

#[test]
fn a_run_goes_on_with_a_synchronous_standby_and_nothing_is_lost() {
    let Some(cluster) = Cluster::start(&["--synchronous"]) else { return };
    let database = cluster.database();
    let (workdir, server, ledger) = (Workdir::with_cities(USERS), slow(), both(&cluster, &database));
    server.sandbox.hold_after(6);
    let child = syncing(&server, &workdir, &ledger, "--concurrency 2 --timeout 60s").spawn().unwrap();
    server.until(|_| has_recorded(&ledger, 6));
    cluster.crash(Node::Primary);
    server.sandbox.release();
    cluster.promote();
    let run = wait(child).exits(0);
    assert_eq!((run.rows("acknowledged"), run.requests("sent")), (ROWS, ROWS));
    assert_eq!(server.counters().requests, ROWS);
    check_state(&server, &workdir);
    let standby = cluster.on_standby(&database);
    assert_eq!(recorded(&standby), ROWS);
    let run = sync(&server, &workdir, &ledger, "--only-changed").exits(0);
    assert_eq!((run.rows("unchanged"), run.requests("sent")), (ROWS, 0));
}

#[test]
fn a_run_stops_when_a_standby_takes_over_that_lacks_what_was_recorded() {
    let Some(cluster) = Cluster::start(&["--standby"]) else { return };
    let database = cluster.database();
    let (workdir, server, ledger) = (Workdir::with_cities(USERS), slow(), both(&cluster, &database));
    let standby = cluster.on_standby(&database);
    server.sandbox.hold_after(6);
    let child = syncing(&server, &workdir, &ledger, "--concurrency 2 --timeout 5s").spawn().unwrap();
    server.until(|_| has_recorded(&ledger, 6) && has_recorded(&standby, 1));
    // From here on it gets nothing more.
    let session = on_standby(&cluster, &database);
    session.execute("ALTER SYSTEM SET primary_conninfo = ''");
    session.execute("SELECT pg_reload_conf()");
    while session.query("SELECT count(*) FROM pg_stat_wal_receiver") != [["0"]] {
        thread::yield_now();
    }
    let kept = recorded(&standby);
    server.sandbox.hold_after(20);
    server.until(|_| recorded(&database.direct) > kept + 2);
    cluster.crash(Node::Primary);
    server.sandbox.release();
    cluster.promote();
    let run = wait(child).exits(5);
    run.says("its database has lost what it recorded last").says("hint: add `?schema=NAME`");
    let before = recorded(&standby);
    assert!(before >= kept);

    // What is there is true, so that another run can go on with it.
    let run = sync(&server, &workdir, &ledger, "--timeout 1s").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (before, ROWS - before));
    check_state(&server, &workdir);
    assert_eq!(recorded(&standby), ROWS);
}

#[test]
fn a_host_that_does_not_answer_is_passed_over() {
    let Some(database) = database() else { return };
    let (authority, path) = database.direct.rsplit_once('/').unwrap();
    let (user, host) = authority.rsplit_once('@').unwrap();
    // Nobody listens on the discard port.
    let ledger = format!("{user}@127.0.0.1:9,{host}/{path}");
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    let run = sync(&server, &workdir, &ledger, "").exits(0);
    assert_eq!((run.stderr.contains("warning"), recorded(&database.direct)), (false, 2));
}
