//! Runs that start at one moment, where there is no ledger yet.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use attrsync::input::IdType;
use attrsync::ledger::{Ledger, LedgerError, TargetKey};
use jiff::Timestamp;

use super::super::cli::{Server, Workdir};
use super::runs::{location, recorded, syncing, wait, with};
use super::{Database, database};

const AT_ONCE: usize = 8;

/// That the ledger of this schema is there once.
#[track_caller]
fn check_schema(database: &Database, schema: &str) {
    assert_eq!(database.query(&format!("SELECT id, number FROM {schema}.form")), [["1", "2"]]);
    for table in ["state", "lease"] {
        assert_eq!(database.query(&format!("SELECT count(*) FROM {schema}.{table}")), [["1"]], "{table}");
    }
}

#[test]
fn one_of_the_programs_that_start_at_one_moment_has_the_ledger_and_the_others_are_told() {
    let Some(database) = database() else { return };
    // So long that nobody loses it on a slow machine. Who ends gives it back.
    let (server, ledger) = (Server::friendly(), with(&database.direct, "lease=60s"));
    let start = |_| {
        let workdir = Workdir::new();
        let rows = workdir.path("users.csv");
        assert!(Command::new("mkfifo").arg(&rows).status().unwrap().success());
        // Reading from a pipe begins when another process writes to it.
        let child = syncing(&server, &workdir, &ledger, "").spawn().unwrap();
        (workdir, child)
    };
    let mut starting: Vec<_> = (0..AT_ONCE).map(start).collect();
    let mut told = Vec::new();
    while starting.len() > 1 {
        let children = RefCell::new(&mut starting);
        let ended = RefCell::new(None);
        server.until(|_| {
            let mut children = children.borrow_mut();
            let over = children.iter_mut().position(|(_, child)| child.try_wait().unwrap().is_some());
            *ended.borrow_mut() = over;
            over.is_some()
        });
        told.push(starting.remove(ended.into_inner().unwrap()));
    }
    for (_workdir, child) in told {
        let run = wait(child).exits(2);
        assert_eq!(run.summary()["reason"], "ledger_held");
        run.says("another run is using the ledger `postgres://attrsync@127.0.0.1:").says("hint: wait until");
    }
    let (workdir, child) = starting.pop().unwrap();
    let mut rows = OpenOptions::new().write(true).open(workdir.path("users.csv")).unwrap();
    rows.write_all(b"user_id,attribute,value\n1,city,Oslo\n").unwrap();
    drop(rows);
    wait(child).exits(0);
    assert_eq!((server.counters().requests, recorded(&ledger)), (1, 1));
    check_schema(&database, "attrsync");
}

#[test]
fn one_of_the_threads_that_open_a_new_ledger_at_one_moment_gets_it() {
    let Some(database) = database() else { return };
    let base_url = "https://acme.user.com/api/public/".to_owned();
    let target = TargetKey { base_url, id_type: IdType::Id };
    for (number, address) in [&database.direct, &database.pooled, &database.socket].into_iter().enumerate() {
        let schema = format!("ledger{number}");
        let (location, barrier) =
            (location(&with(address, format!("schema={schema}"))), Barrier::new(AT_ONCE));
        let open = || {
            barrier.wait();
            Ledger::open(&location, &target, Timestamp::UNIX_EPOCH)
        };
        let opened: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1, "{schema}: {opened:?}");
        let told = opened.iter().filter(|opened| matches!(opened, Err(LedgerError::Leased { .. })));
        assert_eq!(told.count(), AT_ONCE - 1, "{schema}: {opened:?}");
        check_schema(&database, &schema);
        // Who has released it leaves it to the next one at once.
        drop(opened);
        open_alone(&location, &target);
    }
}

#[track_caller]
fn open_alone(location: &attrsync::ledger::LedgerLocation, target: &TargetKey) {
    Ledger::open(location, target, Timestamp::UNIX_EPOCH).unwrap();
}
