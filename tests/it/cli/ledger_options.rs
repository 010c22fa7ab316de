//! What options make of the ledger, and what becomes of a run where the ledger can't do its part.

use std::process::Command;

use super::remembered::{changes, replace};
use super::{Desk, Server, ended};

#[test]
fn a_summary_has_the_number_that_the_ledger_gives_the_run() {
    let (desk, server) = (Desk::with_cities(2), Server::friendly());
    for run in ["1", "2"] {
        assert_eq!(server.remember(&desk, "users.csv").exits(0).summary()["run_id"], run);
    }
    desk.run("history show 2").exits(0);
    let without = server.remember(&desk, "users.csv --no-ledger").exits(0).summary();
    assert!(without["run_id"].as_str().unwrap().len() > 10, "{without}");
}

/// A complete run in the ledger of which what is known has rotted since.
fn rotten() -> (Desk, Server) {
    let (desk, server) = (Desk::with_cities(3), Server::friendly());
    server.remember(&desk, "users.csv").exits(0);
    let ledger = rusqlite::Connection::open(desk.path("attrsync.ledger")).unwrap();
    assert_eq!(ledger.execute("UPDATE known SET groups = zeroblob(9)", ()).unwrap(), 1);
    (desk, server)
}

#[test]
fn a_ledger_that_cannot_be_compacted_makes_no_error_of_a_complete_run() {
    let (desk, server) = rotten();
    let run = server.remember(&desk, "users.csv").exits(0);
    assert_eq!(run.summary()["outcome"], "complete");
    let [screen, warning] = ["complete:", "warning: the ledger was not compacted: "]
        .map(|words| run.stderr.find(words).unwrap_or_else(|| panic!("{words} is not in {}", run.stderr)));
    assert!(screen < warning, "{}", run.stderr);
    // It is recorded as such, and what rotted is not believed.
    assert!(desk.run("history").exits(0).stdout.contains("2 "));
    server.remember(&desk, "users.csv --only-changed").exits(5).says("is damaged");
}

#[test]
fn any_number_of_days_is_kept_and_what_is_no_number_is_refused() {
    let (desk, server) = (Desk::with_cities(2), Server::friendly());
    for days in ["0", "7304485", "4294967296", "99999999999999999999999"] {
        let run = server.remember(&desk, &format!("users.csv --history-days {days}")).exits(0);
        assert_eq!(run.rows("acknowledged"), 2);
    }
    let runs = desk.run("history show 4").exits(0).stdout;
    assert!(runs.contains("`City 1` for 1 user"), "{runs}");
    let mut command = server.remembering(&desk, "users.csv");
    command.env("ATTRSYNC_HISTORY_DAYS", "x");
    ended(command).exits(2).says("ATTRSYNC_HISTORY_DAYS: `x` is not a number of days: write a whole number");
    desk.run("sync users.csv --history-days -1").exits(2);
}

#[test]
fn a_ledger_and_none_at_once_is_refused_unless_one_outranks_the_other() {
    let (desk, server) = (Desk::with_cities(2), Server::friendly());
    server
        .remember(&desk, "users.csv --no-ledger --ledger x")
        .exits(2)
        .says("--ledger: stands beside `--no-ledger`, which says otherwise");
    assert_eq!(server.counters().requests, 0);
    server.remember(&desk, "users.csv --no-ledger=false --ledger x").exits(0);
    server.sync(&desk, "users.csv --ledger y").exits(0);
    assert!(desk.path("x").exists() && desk.path("y").exists());
    let mut command = server.remembering(&desk, "users.csv --no-ledger");
    command.env("ATTRSYNC_LEDGER", "z");
    ended(command).exits(0);
    assert!(!desk.path("z").exists());
}

#[test]
fn a_plan_counts_what_is_unchanged() {
    let (desk, server) = (Desk::with_cities(5), Server::friendly());
    let base_url = server.sandbox.base_url();
    let arguments = format!("plan users.csv --only-changed --base-url {base_url}");
    desk.run(&arguments).exits(0).says("every row counts as changed: there is no ledger `attrsync.ledger`");
    assert!(!desk.path("attrsync.ledger").exists());
    server.remember(&desk, "users.csv").exits(0);
    replace(&desk, "City 3", "Oslo");
    let plan = desk.run(&arguments).exits(0);
    assert!(plan.stdout.starts_with("5 rows: 1 to send, 4 unchanged\n"), "{}", plan.stdout);
    let json = desk.run(&format!("{arguments} --format json")).exits(0);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["rows"]["unchanged"], &json["rows"]["planned"]), (&4.into(), &1.into()));

    // By a variable and by the file, as sync does it.
    let mut command = desk.attrsync("plan users.csv");
    command.env("ATTRSYNC_ONLY_CHANGED", "true").env("ATTRSYNC_BASE_URL", &base_url);
    assert!(ended(command).exits(0).stdout.starts_with("5 rows: 1 to send"));
    desk.file("attrsync.toml", format!("only_changed = true\nbase_url = \"{base_url}\"\n"));
    assert!(desk.run("plan users.csv").exits(0).stdout.starts_with("5 rows: 1 to send"));
    let whole = desk.run("plan users.csv --only-changed=false").exits(0);
    assert!(whole.stdout.starts_with("5 rows: 5 to send\n"), "{}", whole.stdout);
    assert_eq!(changes(&server, &desk), 1);
    assert!(desk.run("plan users.csv").exits(0).stdout.starts_with("5 rows: 0 to send, 5 unchanged"));
    assert!(!desk.names().iter().any(|name| name.contains("-wal") || name.contains("-shm")));
}

#[test]
fn a_plan_that_cannot_know_what_changed_says_so() {
    let desk = Desk::with_cities(2);
    desk.run("plan users.csv --only-changed").exits(2).says("no account is named");
    desk.run("plan users.csv --only-changed --subdomain acme --no-ledger")
        .exits(2)
        .says("there is no ledger");
    desk.file("attrsync.toml", "sandbox = true\nledger = \"l\"\n");
    desk.run("plan users.csv --only-changed")
        .exits(0)
        .says("a sandbox that starts with the run holds nothing yet");
}

#[cfg(unix)]
#[test]
fn a_place_where_no_ledger_can_be_is_a_wrong_setting() {
    use std::os::unix::fs::symlink;

    let (desk, server) = (Desk::with_cities(2), Server::friendly());
    symlink("loop", desk.path("loop")).unwrap();
    symlink("nowhere/l", desk.path("dangling")).unwrap();
    for name in ["loop", "dangling", &"x".repeat(300), "users.csv/l"] {
        server
            .remember(&desk, &format!("users.csv --ledger {name}"))
            .exits(2)
            .says("cannot keep a ledger at `");
    }
    assert_eq!(server.counters().requests, 0);
    symlink("made/l", desk.path("link")).unwrap();
    std::fs::create_dir(desk.path("made")).unwrap();
    server.remember(&desk, "users.csv --ledger link").exits(0);
    assert!(desk.path("made/l").is_file() && desk.path("made/l-lock").is_file());
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_file_system_that_cannot_lock_is_named_as_such() {
    let (desk, server) = (Desk::with_cities(2), Server::friendly());
    // As a network file system answers.
    let source = "#include <errno.h>\nint flock(int file, int how) { errno = ENOLCK; return -1; }\n";
    desk.file("locks.c", source);
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "locks.so", "locks.c"])
        .current_dir(desk.path(""))
        .status();
    assert!(built.unwrap().success());
    let mut command = server.remembering(&desk, "users.csv");
    command.env("LD_PRELOAD", desk.path("locks.so"));
    ended(command).exits(2).says("cannot lock files: no locks available").says("name a file on a local disk");
    assert_eq!(server.counters().requests, 0);
}
