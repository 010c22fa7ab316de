//! The failures report of runs that share it or know no rows, and the summary of runs that end early.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Command;

use attrsync::sandbox::{Fault, FaultKind, Moment, Options};

use super::interrupted::until_it_says;
use super::remembered::kill;
use super::{Server, Workdir, ended};

const STALL: Fault = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };

#[test]
fn of_two_runs_with_one_failures_report_the_second_is_told_and_sends_nothing() {
    let workdir = Workdir::with_cities(3);
    let server = Server::new(Options { script: vec![None, Some(STALL)], ..Options::default() });
    let first = server.command(&workdir, "users.csv --concurrency 1").spawn().unwrap();
    server.until(|counters| counters.requests == 2);
    symlink("failures.csv", workdir.path("link.csv")).unwrap();
    for path in ["failures.csv", "./failures.csv", "link.csv"] {
        let second = server.sync(&workdir, &format!("users.csv --failures {path} --summary -")).exits(2);
        assert_eq!(second.summary()["reason"], "ledger_held");
        second.says("another run is writing it").says("hint: wait until the other run ends");
    }
    workdir.run("plan users.csv --failures failures.csv").exits(2).says("another run is writing it");
    assert_eq!(server.counters().requests, 2);
    assert!(!workdir.path("failures.csv").exists());

    kill(first);
    server.sync(&workdir, "users.csv").exits(0);
    assert_eq!(workdir.names(), ["failures.csv", "link.csv", "users.csv"]);
}

#[test]
fn a_run_can_wait_until_another_one_that_uses_the_same_files_has_ended() {
    for shared in
        ["", "--summary summary.json", "--failures other.csv --no-ledger=false --ledger attrsync.ledger"]
    {
        let workdir = Workdir::with_cities(3);
        let server = Server::new(Options { script: vec![None, Some(STALL)], ..Options::default() });
        let remembering = |arguments: &str| {
            let mut command = server.command(&workdir, &format!("users.csv --concurrency 1 {arguments}"));
            command.env_remove("ATTRSYNC_NO_LEDGER");
            command
        };
        let first = remembering(shared).spawn().unwrap();
        server.until(|counters| counters.requests == 2);
        let impatient = ended(remembering(&format!("{shared} --wait 300ms")));
        impatient.exits(2).says("hint: wait until");
        let mut second = remembering(&format!("{shared} --wait 90s")).spawn().unwrap();
        let stderr = until_it_says(&mut second, "note: waiting: ", |_| kill(first));
        assert_eq!(second.wait().unwrap().code(), Some(0), "{shared}: {stderr}");
        assert!(stderr.contains("3 rows") || stderr.contains("2 rows"), "{stderr}");
    }
}

#[test]
fn the_failures_report_can_go_to_standard_output_whatever_that_is() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "x,city,Rome"]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = workdir.attrsync("sync --sandbox users.csv --failures -");
    let status = command.stdout(OwnedFd::from(theirs)).status().unwrap();
    drop(command);
    assert_eq!(status.code(), Some(1));
    let report = std::io::read_to_string(ours).unwrap();
    assert!(report.starts_with("user_id,attribute,value,fate,"), "{report}");
    assert!(report.contains("\nx,city,Rome,invalid,"), "{report}");
}

#[test]
fn a_run_that_knows_no_rows_leaves_an_older_report_as_it_is() {
    let workdir = Workdir::new();
    workdir.file("typo.csv", "id,attr,value\n1,city,Oslo\n");
    workdir.file("empty.csv", "");
    fs::create_dir(workdir.path("folder")).unwrap();
    for (input, code) in [("missing.csv", 3), ("typo.csv", 3), ("empty.csv", 3), ("folder", 3)] {
        workdir.file("failures.csv", "of an earlier run");
        let run = workdir.run(&format!("sync --sandbox {input} --summary -")).exits(code);
        assert_eq!(run.summary()["reason"], "unreadable_input", "{input}");
        assert!(run.summary()["message"].as_str().unwrap().contains(input));
        assert_eq!(workdir.read("failures.csv"), "of an earlier run", "{input}");
        assert!(!workdir.names().iter().any(|name| name.starts_with('.')), "{:?}", workdir.names());
    }
}

#[test]
fn the_summary_says_why_a_run_did_not_do_all() {
    let check = |rows: &[&str], arguments: &str, code: i32, reason: Option<&str>| {
        let run = Workdir::with_rows(rows).run(&format!("sync --sandbox users.csv --summary - {arguments}"));
        let summary = run.exits(code).summary();
        assert_eq!(summary["reason"].as_str(), reason, "{arguments}: {summary}");
        assert_eq!(summary["message"].is_string(), reason.is_some(), "{arguments}: {summary}");
        assert_eq!(summary["exit_code"], code);
    };
    let (good, bad) = ("1,city,Oslo", "x,city,Oslo");
    check(&[good], "", 0, None);
    check(&[good, bad], "", 1, None);
    check(&[bad], "", 3, Some("all_invalid"));
    check(&[good, bad], "--strict", 3, Some("too_many_invalid"));
    check(&[good, bad], "--max-invalid 0", 3, Some("too_many_invalid"));
    check(&[good, bad], "--min-rows 3", 3, Some("too_few_rows"));
    check(&[good, bad], "--min-rows 2", 1, None);
    check(&[], "--min-rows 1", 3, Some("too_few_rows"));
    check(&[good, "1,city,Bergen"], "--on-conflict error", 3, Some("too_many_invalid"));
    check(&[good], "--max-duration 0s", 4, Some("max_duration"));
    check(&[good], "--subdomain acme", 2, Some("usage"));
    check(&[good], "--failures missing/failures.csv", 2, Some("usage"));

    let (workdir, server) =
        (Workdir::with_rows(&[good]), Server::new(Options { token: Some("x".into()), ..Options::default() }));
    let summary = server.sync(&workdir, "users.csv --summary -").exits(4).summary();
    assert_eq!(summary["reason"], "key_refused");
    assert!(summary["message"].as_str().unwrap().contains("the API refused the key"));
    let gone = server.sync(&workdir, "users.csv --summary - --failures /dev/full").exits(5);
    assert_eq!(gone.summary()["reason"], "disk");
}

#[test]
fn wrong_settings_leave_a_summary_only_where_it_harms_nothing() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    workdir.run("sync users.csv --summary summary.json").exits(2).says("--subdomain");
    let summary: serde_json::Value = serde_json::from_str(&workdir.read("summary.json")).unwrap();
    assert_eq!((summary["outcome"].as_str(), summary["reason"].as_str()), (Some("usage"), Some("usage")));
    let before = workdir.read("users.csv");
    for path in ["users.csv", "failures.csv", "attrsync.ledger", "attrsync.ledger-wal"] {
        workdir.run(&format!("sync users.csv --summary {path}")).exits(2);
    }
    assert_eq!(
        (workdir.names(), workdir.read("users.csv")),
        (vec!["summary.json".into(), "users.csv".into()], before)
    );
}

#[test]
fn a_name_that_is_too_long_is_a_wrong_setting() {
    for length in [250, 256, 5000] {
        let workdir = Workdir::with_rows(&["1,city,Oslo"]);
        let mut command = workdir.attrsync("sync --sandbox users.csv --failures");
        command.arg("x".repeat(length));
        ended(command).exits(2).says("cannot create").says("hint: name a file with a shorter name");
        assert_eq!(workdir.names(), ["users.csv"]);
    }
}

#[test]
fn few_open_files_lose_no_report() {
    let workdir = Workdir::with_cities(300);
    let ids = ["7".to_owned()].into();
    let server = Server::new(Options { reject_ids: ids, ..Options::default() });
    let command = server.command(&workdir, "users.csv --concurrency 10000 --summary -");
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run = ended(shell).exits(1);
    assert_eq!((run.rows("acknowledged"), run.rows("failed"), run.requests("retried")), (299, 1, 0));
    assert_eq!(workdir.failures().len(), 1);
    run.says("--concurrency: lowered from 10000 to 16").says("64 files open");
}
