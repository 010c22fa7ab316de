//! The ledger as a file: whose it is, who may use it, and what happens when it can't be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use attrsync::sandbox::{Fault, FaultKind, Moment, Options};

use super::remembered::{kill, recorded};
use super::truth::naive_state;
use super::{KEY, Server, Workdir, ended};

const STALL: Fault = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };

/// Nothing else must have such a name.
fn ledgers(workdir: &Workdir) -> Vec<String> {
    workdir.names().into_iter().filter(|name| name.contains("ledger")).collect()
}

#[test]
fn a_ledger_is_its_owners_and_holds_no_key() {
    let workdir = Workdir::with_cities(3);
    let server = Server::new(Options { script: vec![None, Some(STALL)], ..Options::default() });
    let mut command = server.remembering(&workdir, "users.csv -vv --concurrency 1");
    let child = command.spawn().unwrap();
    server.until(|counters| counters.requests == 2);
    let files = ledgers(&workdir);
    assert_eq!(
        files,
        ["attrsync.ledger", "attrsync.ledger-lock", "attrsync.ledger-shm", "attrsync.ledger-wal"]
    );
    for file in files {
        let mode = fs::metadata(workdir.path(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        let bytes = fs::read(workdir.path(&file)).unwrap();
        assert!(!bytes.windows(16).any(|bytes| KEY.as_bytes().starts_with(bytes)), "{file}");
    }
    kill(child);
}

#[test]
fn there_is_a_ledger_where_one_is_wanted() {
    let cases: [(&str, &[&str]); 3] = [
        ("", &["attrsync.ledger", "attrsync.ledger-lock"]),
        ("--ledger other.ledger", &["other.ledger", "other.ledger-lock"]),
        ("--no-ledger", &[]),
    ];
    for (arguments, files) in cases {
        let (workdir, server) = (Workdir::with_cities(1), Server::friendly());
        server.remember(&workdir, &format!("users.csv {arguments}")).exits(0);
        assert_eq!(ledgers(&workdir), files, "{arguments}");
    }
    let workdir = Workdir::with_cities(1);
    workdir.run("sync --sandbox users.csv").exits(0);
    workdir.run("plan users.csv").exits(0);
    assert_eq!(ledgers(&workdir), [""; 0]);
    workdir.run("sync --sandbox users.csv --ledger named.ledger").exits(0);
    assert_eq!(ledgers(&workdir), ["named.ledger", "named.ledger-lock"]);
}

#[test]
fn what_changed_cannot_be_known_without_a_ledger() {
    for arguments in ["--only-changed --no-ledger", "--only-changed --sandbox"] {
        let (workdir, server) = (Workdir::with_cities(1), Server::friendly());
        let run = server.remember(&workdir, &format!("users.csv {arguments}")).exits(2);
        run.says("--only-changed: there is no ledger").says("hint: ");
        assert_eq!(server.counters().requests, 0);
    }
}

#[test]
fn of_two_runs_at_once_the_second_is_told_of_the_first_and_sends_nothing() {
    let workdir = Workdir::with_cities(4);
    let server = Server::new(Options { script: vec![None, Some(STALL)], ..Options::default() });
    let first = server.remembering(&workdir, "users.csv --concurrency 1").spawn().unwrap();
    server.until(|counters| counters.requests == 2 && recorded(&workdir) == 1);
    let second = server.remember(&workdir, "users.csv").exits(2);
    second
        .says("another run is using the ledger `attrsync.ledger`")
        .says(&format!("process {}, started at 20", first.id()))
        .says("hint: wait until the other run ends");
    assert_eq!(server.counters().requests, 2);
    server.remember(&workdir, "users.csv --ledger another.ledger --failures another.csv").exits(0);

    kill(first);
    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (1, 3));
}

#[test]
fn a_link_to_a_ledger_is_that_ledger() {
    let workdir = Workdir::with_cities(4);
    fs::create_dir(workdir.path("shared")).unwrap();
    std::os::unix::fs::symlink("shared/real.ledger", workdir.path("attrsync.ledger")).unwrap();
    let server = Server::new(Options { script: vec![None, None, Some(STALL)], ..Options::default() });
    server.remember(&workdir, "users.csv --max-duration 0s").exits(4);
    let first = server.remembering(&workdir, "users.csv --concurrency 1").spawn().unwrap();
    server.until(|counters| counters.requests >= 3);
    server.remember(&workdir, "users.csv --ledger shared/real.ledger").exits(2).says("another run is using");
    kill(first);
    server.remember(&workdir, "users.csv --ledger shared/real.ledger").exits(0);
    assert_eq!(server.remember(&workdir, "users.csv --only-changed").exits(0).rows("unchanged"), 4);
}

/// Damages the ledger of a run that is over, and moves it away in the end.
#[track_caller]
fn check_damage(damage: impl FnOnce(Vec<u8>) -> Vec<u8>, code: i32, message: &str, hint: &str) -> Workdir {
    let (workdir, server) = (Workdir::with_cities(50), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    let damaged = damage(fs::read(workdir.path("attrsync.ledger")).unwrap());
    workdir.file("attrsync.ledger", &damaged);
    workdir.file("failures.csv", "of an earlier run");
    for _ in 0..2 {
        let run = server.remember(&workdir, "users.csv --only-changed").exits(code);
        run.says(message).says(hint);
    }
    assert_eq!(server.counters().requests, 50);
    assert_eq!(workdir.read("failures.csv"), "of an earlier run");

    server.remember(&workdir, "users.csv --no-ledger").exits(0);
    for file in ledgers(&workdir) {
        fs::rename(workdir.path(&file), workdir.path(file.replace("ledger", "old"))).unwrap();
    }
    let run = server.remember(&workdir, "users.csv --only-changed").exits(0);
    assert_eq!(run.rows("acknowledged"), 50);
    workdir
}

#[test]
fn a_damaged_ledger_is_not_believed() {
    let (damaged, hint) =
        ("the ledger `attrsync.ledger` is damaged", "hint: move the file away to start a new ledger");
    let cut = |parts: usize| move |bytes: Vec<u8>| bytes[..bytes.len() * parts / 10].to_vec();
    check_damage(cut(9), 5, damaged, hint);
    check_damage(cut(5), 5, damaged, hint);
    let flip = |mut bytes: Vec<u8>| {
        let at = bytes.windows(4).rposition(|bytes| bytes == b"City").unwrap();
        bytes[at] ^= 1;
        bytes
    };
    check_damage(flip, 5, damaged, hint);
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let text = b"user_id,attribute,value\n1,city,Oslo\n".repeat(200);
    let message = "`attrsync.ledger` is not a ledger";
    let workdir = check_damage(|_| text.clone(), 2, message, "hint: name another file with `--ledger`");
    assert_eq!(fs::read(workdir.path("attrsync.old")).unwrap(), text);
}

#[test]
fn a_ledger_where_none_can_be_is_a_wrong_setting() {
    for (path, message) in [
        (
            "missing/some.ledger",
            "cannot keep a ledger at `missing/some.ledger`: there is no directory `missing`",
        ),
        ("folder", "cannot keep a ledger at `folder`: it is a directory"),
        ("pipe", "cannot keep a ledger at `pipe`: it is not a regular file"),
        ("users.csv/some.ledger", "there is no directory `users.csv`"),
    ] {
        let (workdir, server) = (Workdir::with_cities(1), Server::friendly());
        fs::create_dir(workdir.path("folder")).unwrap();
        assert!(
            Command::new("mkfifo").args(["-m", "644"]).arg(workdir.path("pipe")).status().unwrap().success()
        );
        let run = server.remember(&workdir, &format!("users.csv --ledger {path}")).exits(2);
        run.says(message).says("hint: ");
        assert_eq!((server.counters().requests, workdir.names().len()), (0, 3), "{:?}", workdir.names());
        let rights = fs::metadata(workdir.path("pipe")).unwrap().permissions().mode();
        assert_eq!(rights & 0o777, 0o644, "what is not ours is not taken from others");
    }
}

/// The same command where files can't grow beyond this many blocks.
pub(super) fn cramped(command: &Command, blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    // What ignores this signal gets an error, as on a full disk.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// A request for each of 400 users. However few commits it takes to record them, they need more than a megabyte.
fn long_cities() -> Workdir {
    let row = |user: u32| format!("{user},city,\"{}\"", format!("City {user}, ").repeat(200));
    let rows: Vec<String> = (1..=400).map(row).collect();
    Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn on_a_full_disk_a_run_stops_and_claims_only_what_is_recorded() {
    let workdir = long_cities();
    let server = Server::friendly();
    let command = server.remembering(&workdir, "users.csv --rate 400/s --failures /dev/null");
    let stopped = ended(cramped(&command, 1000)).exits(5);
    let (acknowledged, unsent) = (stopped.rows("acknowledged"), stopped.rows("unsent"));
    assert!((1..400).contains(&acknowledged), "{acknowledged}");
    assert_eq!(acknowledged + unsent, 400);
    assert_eq!(stopped.requests("sent"), server.counters().requests, "also those that could not be recorded");
    stopped.says("the ledger `attrsync.ledger` can't be used").says("hint: make room");

    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (acknowledged, unsent));
    assert_eq!(server.state(), naive_state(&workdir.read("users.csv")));
}

#[test]
fn on_a_full_disk_a_ledger_that_can_not_be_compacted_has_what_was_sent() {
    // To compact it takes as much once more.
    for blocks in (1000..).step_by(500) {
        let (workdir, server) = (long_cities(), Server::friendly());
        let command = server.remembering(&workdir, "users.csv --failures /dev/null");
        let run = ended(cramped(&command, blocks));
        if run.code == 5 {
            continue;
        }
        let run = run.exits(0).says("warning: the ledger was not compacted");
        assert_eq!(run.rows("acknowledged"), 400);
        let again = server.remember(&workdir, "users.csv --only-changed").exits(0);
        assert_eq!((again.rows("unchanged"), again.requests("sent")), (400, 0));
        break;
    }
}
