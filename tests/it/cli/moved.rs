//! A ledger that is moved, copied, put back, deleted, or shared by two accounts.

use std::fs;

use super::remembered::{kill, recorded};
use super::{Server, Workdir};
use attrsync::sandbox::{Fault, FaultKind, Moment, Options};

#[test]
fn a_ledger_that_was_moved_or_copied_is_the_same_ledger() {
    let (workdir, server) = (Workdir::with_cities(5), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    fs::create_dir(workdir.path("elsewhere")).unwrap();
    for copy in [false, true] {
        for name in workdir.names().into_iter().filter(|name| name.starts_with("attrsync.ledger")) {
            let to = workdir.path("elsewhere").join(&name);
            fs::copy(workdir.path(&name), to).unwrap();
            if !copy {
                fs::remove_file(workdir.path(&name)).unwrap();
            }
        }
        let run = server.remember(&workdir, "users.csv --only-changed --ledger elsewhere/attrsync.ledger");
        assert_eq!(run.exits(0).rows("unchanged"), 5);
        for name in ["attrsync.ledger", "attrsync.ledger-lock"] {
            fs::copy(workdir.path("elsewhere").join(name), workdir.path(name)).unwrap();
        }
    }
}

#[test]
fn a_copy_of_what_a_kill_left_continues_the_run_and_a_part_of_it_is_refused() {
    let stall = Some(Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying });
    let workdir = Workdir::with_cities(4);
    let script = vec![None, None, None, None, None, None, stall];
    let server = Server::new(Options { script, ..Options::default() });
    server.remember(&workdir, "users.csv").exits(0);
    workdir.file("users.csv", workdir.read("users.csv").replace("City", "Town"));
    let child = server.remembering(&workdir, "users.csv --concurrency 1").spawn().unwrap();
    server.until(|counters| counters.requests == 7 && recorded(&workdir) == 4 + 2);
    kill(child);
    for folder in ["whole", "part"] {
        fs::create_dir(workdir.path(folder)).unwrap();
        for name in ["attrsync.ledger", "attrsync.ledger-wal", "attrsync.ledger-lock"] {
            if folder == "whole" || !name.ends_with("-wal") {
                fs::copy(workdir.path(name), workdir.path(folder).join(name)).unwrap();
            }
        }
    }
    let before = server.counters().requests;
    server.remember(&workdir, "users.csv --ledger part/attrsync.ledger").exits(5).says("hint: ");
    assert_eq!(server.counters().requests, before);
    let run = server.remember(&workdir, "users.csv --ledger whole/attrsync.ledger").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (2, 2));
}

#[test]
fn an_old_copy_that_is_put_back_is_noticed_where_the_lock_is_there() {
    let (workdir, server) = (Workdir::with_cities(5), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    fs::copy(workdir.path("attrsync.ledger"), workdir.path("backup")).unwrap();
    let text = workdir.read("users.csv");
    workdir.file("users.csv", text.replace("City 3", "Oslo"));
    server.remember(&workdir, "users.csv --only-changed").exits(0);
    let before = server.counters().requests;

    fs::copy(workdir.path("backup"), workdir.path("attrsync.ledger")).unwrap();
    workdir.file("users.csv", text);
    let run = server.remember(&workdir, "users.csv --only-changed").exits(5);
    run.says("is damaged").says("hint: ");
    assert_eq!(server.counters().requests, before, "nothing is sent by what it says");

    fs::remove_file(workdir.path("attrsync.ledger-lock")).unwrap();
    let run = server.remember(&workdir, "users.csv --only-changed").exits(0);
    assert_eq!(run.rows("unchanged"), 5, "without the lock it can't be noticed");
}

#[test]
fn without_its_ledger_the_next_run_sends_everything() {
    let (workdir, server) = (Workdir::with_cities(5), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    for name in workdir.names().into_iter().filter(|name| name.starts_with("attrsync.ledger")) {
        fs::remove_file(workdir.path(name)).unwrap();
    }
    let run = server.remember(&workdir, "users.csv --only-changed").exits(0);
    assert_eq!((run.rows("acknowledged"), run.rows("unchanged")), (5, 0));
}

#[test]
fn two_accounts_in_one_ledger_are_apart() {
    let (workdir, one, other) = (Workdir::with_cities(5), Server::friendly(), Server::friendly());
    for server in [&one, &other] {
        let run = server.remember(&workdir, "users.csv --only-changed").exits(0);
        assert_eq!(run.rows("acknowledged"), 5);
    }
    let text = workdir.read("users.csv");
    workdir.file("users.csv", text.replace("City 3", "Oslo"));
    assert_eq!(one.remember(&workdir, "users.csv --only-changed").exits(0).rows("acknowledged"), 1);
    workdir.file("users.csv", text);
    assert_eq!(other.remember(&workdir, "users.csv --only-changed").exits(0).rows("unchanged"), 5);
    assert_eq!(one.remember(&workdir, "users.csv --only-changed").exits(0).rows("acknowledged"), 1);
}

#[test]
fn runs_of_two_accounts_in_directories_of_their_own_can_overlap() {
    let stall = Some(Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying });
    let (one, other) = (Workdir::with_cities(3), Workdir::with_cities(3));
    let server = Server::new(Options { script: vec![None, stall], ..Options::default() });
    let first = server.remembering(&one, "users.csv --concurrency 1").spawn().unwrap();
    server.until(|counters| counters.requests == 2);
    let run = Server::friendly().remember(&other, "users.csv").exits(0);
    assert_eq!(run.rows("acknowledged"), 3);
    kill(first);
}
