//! `history`: what the ledger says of past runs.

use std::fs;
use std::num::NonZeroU32;

use attrsync::input::{Dictionary, IdType, ReadOptions, Row, Sink, Vocabulary};
use attrsync::ledger::{Fingerprint, Ledger, RowCounts, RunDescription, RunOutcome, TargetKey};
use attrsync::plan::{Builder, OnConflict, Plan};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Workdir;

const DEFAULT: &str = "attrsync.ledger";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn target(id_type: IdType) -> TargetKey {
    TargetKey { base_url: "https://acme.user.com/api/public/".to_owned(), id_type }
}

fn plan(options: &ReadOptions, rows: &[(&str, &str, &str)]) -> Plan {
    let mut dictionary = Dictionary::new(options);
    let mut builder = Builder::new(OnConflict::Last);
    for (user, attribute, value) in rows {
        let user = match options.id_type {
            IdType::Id => user.parse().unwrap(),
            IdType::CustomId => dictionary.intern_user(user),
        };
        let attribute = dictionary.attribute_id(attribute).unwrap();
        let value = dictionary.intern(attribute, value);
        builder.accept(Row { user, attribute, value });
    }
    builder.finish(dictionary, NonZeroU32::new(2).unwrap()).unwrap()
}

/// A ledger that is being written. It is opened once: a process that another test starts meanwhile would for a moment
/// hold the lock of one that was closed.
struct Past {
    ledger: Ledger,
    options: ReadOptions,
}

impl Past {
    fn new(workdir: &Workdir, ledger: &str, id_type: IdType) -> Self {
        let options = ReadOptions { vocabulary: Vocabulary::Custom, id_type, ..ReadOptions::default() };
        let ledger = Ledger::open(&workdir.path(ledger).into(), &target(id_type), at(0)).unwrap();
        Self { ledger, options }
    }

    /// Records a run that sends these rows; without an outcome, one that is killed after that.
    fn run(&mut self, rows: &[(&str, &str, &str)], began: i64, outcome: Option<RunOutcome>) {
        let plan = plan(&self.options, rows);
        let description = RunDescription {
            fingerprint: Fingerprint::default(),
            inputs: vec!["users.csv".to_owned()],
            content: plan.fingerprint(),
        };
        let run = self.ledger.begin(&description, None, at(began)).unwrap();
        for batch in plan.batches() {
            self.ledger.record(&plan, batch, 1);
        }
        self.ledger.commit(run, at(began + 30)).unwrap();
        if let Some(outcome) = outcome {
            let read = plan.rows() + 1;
            let rows = RowCounts { read, acknowledged: plan.rows(), invalid: 1, ..RowCounts::default() };
            self.ledger.finish(run, outcome, &rows, at(began + 90)).unwrap();
        }
    }
}

const SECOND: [(&str, &str, &str); 1] = [("1", "city", "Rome")];
const KILLED: [(&str, &str, &str); 1] = [("2", "city", "Lima")];

/// Records two runs that ended and one that was killed.
fn three_runs(workdir: &Workdir) -> Past {
    let mut past = Past::new(workdir, DEFAULT, IdType::Id);
    let first =
        [("1", "city", "Oslo"), ("2", "city", "Oslo"), ("3", "city", "Oslo"), ("1", "country", "Norway")];
    past.run(&first, 0, Some(RunOutcome::Incomplete));
    past.run(&SECOND, 3600, Some(RunOutcome::Complete));
    past.run(&KILLED, 7200, None);
    past
}

fn workdir() -> Workdir {
    let workdir = Workdir::new();
    three_runs(&workdir);
    workdir
}

fn after_one_run(workdir: &Workdir, ledger: &str, id_type: IdType, row: (&str, &str, &str)) {
    Past::new(workdir, ledger, id_type).run(&[row], 0, Some(RunOutcome::Complete));
}

fn parsed(workdir: &Workdir, arguments: &str) -> Value {
    serde_json::from_str(&workdir.run(arguments).exits(0).stdout).unwrap()
}

#[test]
fn past_runs_are_told_newest_first() {
    let run = workdir().run("history").exits(0);
    insta::assert_snapshot!(run.stdout, @"
    run  began (UTC)          took     outcome      inputs
      3  2027-01-15 10:00:00           unfinished   users.csv
         killed: no end is recorded
      2  2027-01-15 09:00:00  1m 30s   complete     users.csv
         2 rows: 1 acknowledged, 1 invalid
      1  2027-01-15 08:00:00  1m 30s   incomplete   users.csv
         5 rows: 4 acknowledged, 1 invalid
    ");
    assert_eq!(run.stderr, "");
}

#[test]
fn one_run_is_told_with_what_it_sent() {
    let run = workdir().run("history show 1").exits(0);
    insta::assert_snapshot!(run.stdout, @"
    run 1: incomplete

    target     https://acme.user.com/api/public/
    began      2027-01-15 08:00:00 UTC
    ended      2027-01-15 08:01:30 UTC, after 1m 30s
    inputs     users.csv
    rows       5 read
               4 acknowledged
               1 invalid

    attribute  values  users  requests
    city            1      3         2
    country         1      1         1

    values with the most users
      city = `Oslo` for 3 users
      country = `Norway` for 1 user
    ");
}

#[test]
fn a_user_is_told_with_what_the_api_holds() {
    let run = workdir().run("history user 1").exits(0);
    insta::assert_snapshot!(run.stdout, @"
    user 1 at https://acme.user.com/api/public/

    not certain: a later request went wrong or changed the id, or a run was killed
      city = `Rome`
      country = `Norway`

    when (UTC)             run  how   attribute             value
    2027-01-15 09:00:30      2  sent  city                  `Rome`
    2027-01-15 08:00:30      1  sent  country               `Norway`
    2027-01-15 08:00:30      1  sent  city                  `Oslo`
    ");
}

#[test]
fn programs_get_json() {
    let workdir = workdir();
    let runs = parsed(&workdir, "history --format json");
    let numbers: Vec<_> = runs["runs"].as_array().unwrap().iter().map(|run| &run["run"]).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!(runs["runs"][0]["outcome"], Value::Null);
    assert_eq!(runs["runs"][2]["duration_seconds"], 90.0);
    assert_eq!(runs["runs"][2]["rows"]["acknowledged"], 4);

    let run = parsed(&workdir, "history show 1 --format json --top 0");
    assert_eq!(run["outcome"], "incomplete");
    let sent: Vec<_> = run["sent"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&sent[0]["value"], &sent[0]["users"], &sent[0]["batches"]),
        (&json!("Oslo"), &json!(3), &json!(2))
    );

    let user = parsed(&workdir, "history --format json user 2");
    assert_eq!(user["user"], 2);
    assert_eq!(user["facts"][0]["value"], "Lima");
    assert_eq!((&user["facts"][0]["run"], &user["facts"][0]["standing"]), (&json!(3), &json!("held")));
    assert_eq!(user["facts"][1]["standing"], "replaced");
}

#[test]
fn after_a_killed_run_what_was_known_before_is_not_certain() {
    let workdir = Workdir::new();
    let mut past = three_runs(&workdir);
    let standing = || parsed(&workdir, "history user 3 --format json")["facts"][0]["standing"].clone();
    assert_eq!(standing(), "doubted");
    past.run(&KILLED, 9000, Some(RunOutcome::Complete));
    assert_eq!(standing(), "held");
}

#[test]
fn own_ids_are_told_apart_from_those_of_the_api() {
    let workdir = Workdir::new();
    after_one_run(&workdir, DEFAULT, IdType::CustomId, ("7", "city", "Oslo"));
    let facts = |arguments| parsed(&workdir, arguments)["facts"].as_array().unwrap().len();
    assert_eq!(facts("history user 7 --id-type custom-id --format json"), 1);
    assert_eq!(facts("history user 7 --format json"), 0);
    workdir.run("history user anna").exits(2).says("custom-id");
}

#[test]
fn a_user_without_records_is_no_error() {
    let run = workdir().run("history user 99").exits(0);
    assert_eq!(run.stdout, "nothing is recorded for user 99\n");
}

#[test]
fn a_run_that_is_not_there_is_named_with_those_that_are() {
    let run = workdir().run("history show 4").exits(2);
    assert_eq!(run.stdout, "");
    insta::assert_snapshot!(run.stderr, @"
    error: the ledger has no run 4
    hint: choose one from 1 to 3: `attrsync history` lists them
    ");
}

#[test]
fn the_ledger_is_named_by_a_flag_or_a_variable() {
    let workdir = Workdir::new();
    after_one_run(&workdir, "one", IdType::Id, ("1", "city", "Oslo"));
    after_one_run(&workdir, "two", IdType::Id, ("1", "city", "Rome"));
    let value = |arguments: &str| {
        let mut command = workdir.attrsync(arguments);
        command.env("ATTRSYNC_LEDGER", "two");
        let ended = super::ended(command).exits(0);
        serde_json::from_str::<Value>(&ended.stdout).unwrap()["facts"][0]["value"].clone()
    };
    assert_eq!(value("history user 1 --format json"), "Rome");
    assert_eq!(value("history user 1 --format json --ledger one"), "Oslo");
    assert_eq!(value("history --ledger one user 1 --format json"), "Oslo");
}

#[test]
fn a_missing_ledger_is_not_made() {
    let workdir = Workdir::new();
    let run = workdir.run("history").exits(2);
    insta::assert_snapshot!(run.stderr, @"
    error: there is no ledger `attrsync.ledger`
    hint: name another one with `--ledger`; `attrsync sync` makes one
    ");
    assert!(workdir.names().is_empty());
    workdir.file("users.csv", "user_id,attribute,value\n".repeat(100));
    workdir.run("history --ledger users.csv").exits(2).says("is not a ledger");
}

#[test]
fn a_damaged_ledger_is_not_believed() {
    let workdir = workdir();
    let path = workdir.path(DEFAULT);
    let mut bytes = fs::read(&path).unwrap();
    let rotten = bytes.windows(4).position(|bytes| bytes == b"acme").unwrap();
    bytes[rotten] = b'A';
    fs::write(&path, bytes).unwrap();
    let run = workdir.run("history").exits(5);
    assert_eq!(run.stdout, "");
    insta::assert_snapshot!(run.stderr, @"
    error: the ledger `attrsync.ledger` is damaged: a row doesn't agree with its checksum
    hint: move the file away to start a new ledger, or run with `--no-ledger`; either sends every row again
    ");
}

#[test]
fn a_run_that_goes_on_is_told_from_one_that_was_killed() {
    let workdir = Workdir::new();
    let past = three_runs(&workdir);
    let line = |arguments: &str| {
        let out = workdir.run(arguments).exits(0).stdout;
        out.lines()
            .find(|line| line.contains("running") || line.contains("killed"))
            .unwrap()
            .trim()
            .to_owned()
    };
    let process = std::process::id();
    assert_eq!(line("history"), format!("running now (process {process})"));
    assert_eq!(line("history show 3"), format!("ended      running now (process {process})"));
    assert_eq!(parsed(&workdir, "history --format json")["runs"][0]["process"], process);
    drop(past);
    assert_eq!(line("history"), "killed: no end is recorded");
    assert_eq!(parsed(&workdir, "history --format json")["runs"][0]["process"], Value::Null);
}

/// The program in a place of its own, where nothing can be written below the workdir.
#[cfg(target_os = "linux")]
fn read_only(workdir: &Workdir, arguments: &str) -> Option<super::Ended> {
    let script = r#"mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@""#;
    let mut command = std::process::Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_attrsync")]);
    command.args(arguments.split_whitespace()).current_dir(workdir.0.path());
    let output = command.output().ok()?;
    // Where a container may not do that, there is nothing to be seen.
    let refused =
        String::from_utf8_lossy(&output.stderr).contains("unshare: ") || output.status.code() == Some(32);
    (!refused).then(|| output.into())
}

#[cfg(target_os = "linux")]
#[test]
fn a_ledger_that_cannot_be_written_can_be_read() {
    let workdir = workdir();
    let writable = workdir.run("history").exits(0).stdout;
    let Some(run) = read_only(&workdir, "history") else { return };
    assert_eq!(run.exits(0).stdout, writable);
    let plan = "plan --only-changed --subdomain acme users.csv";
    workdir.file("users.csv", "user_id,attribute,value\n2,city,Lima\n");
    let run = read_only(&workdir, plan).unwrap().exits(0);
    assert!(run.stdout.starts_with("1 row: 0 to send, 1 unchanged\n"), "{}", run.stdout);
    let sync = "sync users.csv --base-url http://127.0.0.1:9/ --token-file key --failures /dev/null";
    workdir.file("key", super::KEY);
    read_only(&workdir, sync)
        .unwrap()
        .exits(2)
        .says("cannot keep a ledger at `attrsync.ledger")
        .says("read-only");

    // What is not in the file itself can't be read without writing.
    let mut past = Past::new(&workdir, DEFAULT, IdType::Id);
    past.run(&SECOND, 9000, None);
    for name in ["attrsync.ledger", "attrsync.ledger-wal"] {
        fs::copy(workdir.path(name), workdir.path(format!("copy{name}"))).unwrap();
    }
    read_only(&workdir, "history --ledger copyattrsync.ledger")
        .unwrap()
        .exits(2)
        .says("copyattrsync.ledger-wal`");
}

#[test]
fn the_values_of_a_run_are_as_many_as_asked_for_and_all_as_json() {
    let workdir = workdir();
    let shown = |top: &str| {
        let screen = workdir.run(&format!("history show 1 {top}")).exits(0).stdout;
        screen
            .lines()
            .filter(|line| line.contains(" = `"))
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("--top 1"), ["city = `Oslo` for 3 users"]);
    assert_eq!(shown("").len(), 2);
    for top in ["", "--top 1"] {
        let run = parsed(&workdir, &format!("history show 1 --format json {top}"));
        assert_eq!(run["sent"].as_array().unwrap().len(), 2);
    }
}
