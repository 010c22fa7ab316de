//! What options make of the ledger, and what becomes of a run where the ledger can't do its part.

use std::process::Command;

use super::remembered::{changes, replace};
use super::{Server, Workdir, ended};

#[test]
fn a_summary_has_the_number_that_the_ledger_gives_the_run() {
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    for run in ["1", "2"] {
        assert_eq!(server.remember(&workdir, "users.csv").exits(0).summary()["run_id"], run);
    }
    workdir.run("history show 2").exits(0);
    let without = server.remember(&workdir, "users.csv --no-ledger").exits(0).summary();
    assert!(without["run_id"].as_str().unwrap().len() > 10, "{without}");
}

/// A complete run in the ledger of which what is known has rotted since.
fn rotten() -> (Workdir, Server) {
    let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    let ledger = rusqlite::Connection::open(workdir.path("attrsync.ledger")).unwrap();
    assert_eq!(ledger.execute("UPDATE known SET groups = zeroblob(9)", ()).unwrap(), 1);
    (workdir, server)
}

#[test]
fn a_ledger_that_cannot_be_compacted_makes_no_error_of_a_complete_run() {
    let (workdir, server) = rotten();
    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!(run.summary()["outcome"], "complete");
    let [screen, warning] = ["complete:", "warning: the ledger was not compacted: "]
        .map(|words| run.stderr.find(words).unwrap_or_else(|| panic!("{words} is not in {}", run.stderr)));
    assert!(screen < warning, "{}", run.stderr);
    // It is recorded as such, and what rotted is not believed.
    assert!(workdir.run("history").exits(0).stdout.contains("2 "));
    server.remember(&workdir, "users.csv --only-changed").exits(5).says("is damaged");
}

#[test]
fn any_number_of_days_is_kept_and_what_is_no_number_is_refused() {
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    for days in ["0", "7304485", "4294967296", "99999999999999999999999"] {
        let run = server.remember(&workdir, &format!("users.csv --history-days {days}")).exits(0);
        assert_eq!(run.rows("acknowledged"), 2);
    }
    let runs = workdir.run("history show 4").exits(0).stdout;
    assert!(runs.contains("`City 1` for 1 user"), "{runs}");
    let mut command = server.remembering(&workdir, "users.csv");
    command.env("ATTRSYNC_HISTORY_DAYS", "x");
    ended(command).exits(2).says("ATTRSYNC_HISTORY_DAYS: `x` is not a number of days: write a whole number");
    workdir.run("sync users.csv --history-days -1").exits(2);
}

#[test]
fn a_ledger_and_none_at_once_is_refused_unless_one_outranks_the_other() {
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    server
        .remember(&workdir, "users.csv --no-ledger --ledger x")
        .exits(2)
        .says("--ledger: conflicts with `--no-ledger`");
    assert_eq!(server.counters().requests, 0);
    server.remember(&workdir, "users.csv --no-ledger=false --ledger x").exits(0);
    server.sync(&workdir, "users.csv --ledger y").exits(0);
    assert!(workdir.path("x").exists() && workdir.path("y").exists());
    let mut command = server.remembering(&workdir, "users.csv --no-ledger");
    command.env("ATTRSYNC_LEDGER", "z");
    ended(command).exits(0);
    assert!(!workdir.path("z").exists());
}

#[test]
fn a_plan_counts_what_is_unchanged() {
    let (workdir, server) = (Workdir::with_cities(5), Server::friendly());
    let base_url = server.sandbox.base_url();
    let arguments = format!("plan users.csv --only-changed --base-url {base_url}");
    workdir
        .run(&arguments)
        .exits(0)
        .says("every row counts as changed: there is no ledger `attrsync.ledger`");
    assert!(!workdir.path("attrsync.ledger").exists());
    server.remember(&workdir, "users.csv").exits(0);
    replace(&workdir, "City 3", "Oslo");
    let plan = workdir.run(&arguments).exits(0);
    assert!(plan.stdout.starts_with("5 rows: 1 to send, 4 unchanged\n"), "{}", plan.stdout);
    let json = workdir.run(&format!("{arguments} --format json")).exits(0);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["rows"]["unchanged"], &json["rows"]["planned"]), (&4.into(), &1.into()));

    // By a variable and by the file, as sync does it.
    let mut command = workdir.attrsync("plan users.csv");
    command.env("ATTRSYNC_ONLY_CHANGED", "true").env("ATTRSYNC_BASE_URL", &base_url);
    assert!(ended(command).exits(0).stdout.starts_with("5 rows: 1 to send"));
    workdir.file("attrsync.toml", format!("only_changed = true\nbase_url = \"{base_url}\"\n"));
    assert!(workdir.run("plan users.csv").exits(0).stdout.starts_with("5 rows: 1 to send"));
    let whole = workdir.run("plan users.csv --only-changed=false").exits(0);
    assert!(whole.stdout.starts_with("5 rows: 5 to send\n"), "{}", whole.stdout);
    assert_eq!(changes(&server, &workdir), 1);
    assert!(workdir.run("plan users.csv").exits(0).stdout.starts_with("5 rows: 0 to send, 5 unchanged"));
    assert!(!workdir.names().iter().any(|name| name.contains("-wal") || name.contains("-shm")));
}

#[test]
fn a_plan_that_cannot_know_what_changed_says_so() {
    let workdir = Workdir::with_cities(2);
    workdir.run("plan users.csv --only-changed").exits(2).says("no account is named");
    workdir
        .run("plan users.csv --only-changed --subdomain acme --no-ledger")
        .exits(2)
        .says("there is no ledger");
    workdir.file("attrsync.toml", "sandbox = true\nledger = \"l\"\n");
    workdir.run("plan users.csv --only-changed").exits(0).says("a sandbox that starts with the run is empty");
}

#[cfg(unix)]
#[test]
fn a_place_where_no_ledger_can_be_is_a_wrong_setting() {
    use std::os::unix::fs::symlink;

    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    symlink("loop", workdir.path("loop")).unwrap();
    symlink("nowhere/l", workdir.path("dangling")).unwrap();
    for name in ["loop", "dangling", &"x".repeat(300), "users.csv/l"] {
        server
            .remember(&workdir, &format!("users.csv --ledger {name}"))
            .exits(2)
            .says("cannot keep a ledger at `");
    }
    assert_eq!(server.counters().requests, 0);
    symlink("made/l", workdir.path("link")).unwrap();
    std::fs::create_dir(workdir.path("made")).unwrap();
    server.remember(&workdir, "users.csv --ledger link").exits(0);
    assert!(workdir.path("made/l").is_file() && workdir.path("made/l-lock").is_file());
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_file_system_that_cannot_lock_is_named_as_such() {
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    // As a network file system answers.
    let source = "#include <errno.h>\nint flock(int file, int how) { errno = ENOLCK; return -1; }\n";
    workdir.file("locks.c", source);
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "locks.so", "locks.c"])
        .current_dir(workdir.path(""))
        .status();
    assert!(built.unwrap().success());
    let mut command = server.remembering(&workdir, "users.csv");
    command.env("LD_PRELOAD", workdir.path("locks.so"));
    ended(command).exits(2).says("cannot lock files: no locks available").says("name a file on a local disk");
    assert_eq!(server.counters().requests, 0);
}
