//! What a run tells: the files, written for real.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attrsync::deliver::Reason;
use attrsync::input::{InvalidRows, ReadOptions, Source};
use attrsync::ledger::RowCounts;
use attrsync::plan::{Builder, OnConflict};
use attrsync::report::{
    AtomicFile, AttributeCounts, ExitCode, FailuresReport, NotAccepted, ReportRow, Requests, RunSummary,
};

const HEADER: &str = "user_id,attribute,value,fate,status,error,attempts,source,line\n";

fn refused(status: u16, error: &str) -> Reason {
    Reason { status: Some(status), error: error.into() }
}

fn lost<'a>(user: u64, value: Option<&'a str>, reason: &'a Reason) -> ReportRow<'a, u64> {
    ReportRow { user, attribute: "city", value, fate: NotAccepted::Failed, reason, attempts: 2, place: None }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it was made by this test");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it stays").file_name().into_string();
    let mut names: Vec<_> = entries.map(|entry| name(entry).expect("names are text")).collect();
    names.sort();
    names
}

/// The error as the screen has it: what, and why.
fn words(error: &dyn std::error::Error, directory: &Path) -> String {
    let source = error.source().expect("the system's words");
    let directory = directory.to_str().expect("it is text");
    format!("{error}: {source}").replace(directory, "DIR")
}

#[test]
fn a_lost_row_reads_back_as_it_went_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.csv");
    let mut report = FailuresReport::create(
        &path,
        &ReadOptions { null_token: Some("NULL".into()), ..ReadOptions::default() },
    )
    .unwrap();
    let reason = refused(422, "say \"please\",\nor not");
    let values = [" 007 ", "a,b", "two\nlines", "cr\ronly", "\"quoted\"", "zażółć", ""];
    for (user, value) in (1..).zip(values) {
        report.add(&lost(user, Some(value), &reason)).unwrap();
    }
    report.add(&lost(8, None, &reason)).unwrap();
    report.publish().unwrap();

    let mut reader = csv::Reader::from_path(&path).unwrap();
    assert_eq!(reader.headers().unwrap(), HEADER.trim_end().split(',').collect::<Vec<_>>());
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    for ((user, value), row) in (1..).zip(values.into_iter().chain(["NULL"])).zip(&rows) {
        let user = user.to_string();
        assert_eq!(row, &[&user, "city", value, "failed", "422", "say \"please\",\nor not", "2", "", ""][..]);
    }
    assert_eq!(rows.len(), values.len() + 1);
}

#[test]
fn a_row_without_an_answer_has_no_status_and_an_invalid_one_has_a_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.csv");
    let mut report = FailuresReport::create(&path, &ReadOptions::default()).unwrap();
    let reason = Reason { status: None, error: "no integer".into() };
    let place = Some(("users.csv", 1042));
    let attribute = "city";
    let invalid = ReportRow {
        user: "x",
        attribute,
        value: Some("A"),
        fate: NotAccepted::Invalid,
        reason: &reason,
        attempts: 0,
        place,
    };
    report.add(&invalid).unwrap();
    report.publish().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    insta::assert_snapshot!(text, @"
    user_id,attribute,value,fate,status,error,attempts,source,line
    x,city,A,invalid,,no integer,0,users.csv,1042
    ");
}

#[test]
fn a_report_of_nothing_is_its_header_and_readable_by_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.csv");
    FailuresReport::create(&path, &ReadOptions::default()).unwrap().publish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), HEADER);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names_in(directory.path()), ["failures.csv"]);
}

#[test]
fn what_stands_there_stays_until_the_report_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.csv");
    fs::write(&path, "the input of this very run").unwrap();
    let mut input = fs::File::open(&path).unwrap();
    let report = FailuresReport::create(&path, &ReadOptions::default()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "the input of this very run");
    report.publish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), HEADER);
    let mut text = String::new();
    input.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the input of this very run");
}

#[test]
fn a_report_that_is_given_up_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.csv");
    let reason = refused(400, "no");
    let mut report = FailuresReport::create(&path, &ReadOptions::default()).unwrap();
    report.add(&lost(1, Some("A"), &reason)).unwrap();
    drop(report);
    assert!(names_in(directory.path()).is_empty());
}

#[test]
fn a_path_that_cannot_be_written_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    symlink("loop", directory.path().join("loop")).unwrap();
    let refusal = |name: &str| {
        let error =
            FailuresReport::create(&directory.path().join(name), &ReadOptions::default()).unwrap_err();
        format!("{}\n{}", words(&error, directory.path()), error.hint().unwrap_or_default())
    };
    insta::assert_snapshot!(refusal("missing/failures.csv"), @"
    cannot create `DIR/missing/failures.csv`: No such file or directory (os error 2)
    create the directory first, or name another path
    ");
    insta::assert_snapshot!(refusal("file/failures.csv"), @"
    cannot create `DIR/file/failures.csv`: Not a directory (os error 20)
    create the directory first, or name another path
    ");
    insta::assert_snapshot!(refusal("."), @"
    cannot create `DIR/.`: is a directory
    name a file in it
    ");
    insta::assert_snapshot!(refusal("loop"), @"
    cannot create `DIR/loop`: too many symbolic links
    name a path that you may write
    ");
}

#[test]
fn a_full_disk_is_told_with_the_path() {
    let reason = refused(400, "no");
    let mut report = FailuresReport::create(Path::new("/dev/full"), &ReadOptions::default()).unwrap();
    report.add(&lost(1, Some("A"), &reason)).unwrap();
    let error = report.publish().unwrap_err();
    insta::assert_snapshot!(words(&error, Path::new("DIR")), @"cannot write `/dev/full`: No space left on device (os error 28)");
    assert!(error.hint().unwrap().contains("space"));

    let mut report = FailuresReport::create(Path::new("/dev/full"), &ReadOptions::default()).unwrap();
    let long = "A".repeat(1 << 20);
    let error = report.add(&lost(1, Some(&long), &reason)).unwrap_err();
    insta::assert_snapshot!(words(&error, Path::new("DIR")), @"cannot write `/dev/full`: No space left on device (os error 28)");
}

#[test]
fn what_is_no_regular_file_is_written_directly() {
    FailuresReport::create(Path::new("/dev/null"), &ReadOptions::default()).unwrap().publish().unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());

    // An open file that has a name: what a shell's redirection looks like through /dev/stdout.
    let mut open = tempfile::NamedTempFile::new().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(open.as_file()));
    let link = tempfile::tempdir().unwrap();
    let link = link.path().join("stdout");
    symlink(path, &link).unwrap();
    FailuresReport::create(&link, &ReadOptions::default()).unwrap().publish().unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, HEADER);
}

#[test]
fn a_fifo_gets_the_report_as_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read_to_string(path)
    });
    FailuresReport::create(&path, &ReadOptions::default()).unwrap().publish().unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), HEADER);
    assert_eq!(names_in(directory.path()), ["fifo"]);
}

#[test]
fn a_report_reads_back_though_the_inputs_have_another_encoding() {
    let directory = tempfile::tempdir().unwrap();
    let (input, path) = (directory.path().join("in.csv"), directory.path().join("failures.csv"));
    let options = ReadOptions { encoding: encoding_rs::WINDOWS_1250, ..ReadOptions::default() };
    fs::write(&input, b"user_id,attribute,value\n1,nickname,\xbf\xf3\xb3w\n").unwrap();
    let mut first = invalid_rows(&input, &options);
    let mut report = FailuresReport::create(&path, &options).unwrap();
    report.add_invalid(&mut first).unwrap();
    report.publish().unwrap();
    for rows in [&mut first, &mut invalid_rows(&path, &options)] {
        let row = rows.iter().next().unwrap().unwrap();
        assert_eq!(
            (row.user_id.as_str(), row.attribute.as_str(), row.value.as_str()),
            ("1", "nickname", "żółw")
        );
    }
}

fn invalid_rows(path: &Path, options: &ReadOptions) -> InvalidRows {
    let sink = Builder::new(OnConflict::Last);
    attrsync::input::read(&[Source::File(path.to_owned())], options, sink).expect("it is a CSV").invalid
}

#[test]
fn a_link_stays_and_the_file_behind_it_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("latest.csv");
    symlink("failures.csv", &link).unwrap();
    FailuresReport::create(&link, &ReadOptions::default()).unwrap().publish().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(directory.path().join("failures.csv")).unwrap(), HEADER);
}

fn summary() -> RunSummary {
    RunSummary {
        version: "0.1.0",
        run_id: "7".into(),
        exit: ExitCode::Incomplete,
        started_at: "2026-11-23T10:00:00.1234567Z".parse().expect("a date"),
        finished_at: "2026-11-23T10:00:04Z".parse().expect("a date"),
        duration: Duration::from_micros(3_876_543),
        rows: RowCounts { read: 10, acknowledged: 9, failed: 1, ..RowCounts::default() },
        requests: Requests { planned: 2, sent: 3, acknowledged: 2, retried: 1, ..Requests::default() },
        verified: None,
        reason: None,
        sources: vec!["users.csv".into()],
        message: None,
        attributes: vec![AttributeCounts {
            name: "city".into(),
            rows: 10,
            acknowledged: 9,
            failed: 1,
            unsent: 0,
        }],
    }
}

#[test]
fn the_summary_has_its_keys_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("summary.json");
    summary().publish(AtomicFile::create(&path).unwrap()).unwrap();
    insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
    {
      "version": "0.1.0",
      "run_id": "7",
      "outcome": "incomplete",
      "exit_code": 1,
      "started_at": "2026-11-23T10:00:00.123Z",
      "finished_at": "2026-11-23T10:00:04Z",
      "duration_seconds": 3.877,
      "rows": {
        "read": 10,
        "invalid": 0,
        "skipped": 0,
        "superseded": 0,
        "unchanged": 0,
        "resumed": 0,
        "acknowledged": 9,
        "failed": 1,
        "unsent": 0
      },
      "requests": {
        "planned": 2,
        "sent": 3,
        "acknowledged": 2,
        "retried": 1,
        "throttled": 0,
        "split": 0,
        "checks": 0,
        "read_back": 0
      },
      "reason": null,
      "sources": [
        "users.csv"
      ],
      "message": null,
      "attributes": [
        {
          "name": "city",
          "rows": 10,
          "acknowledged": 9,
          "failed": 1,
          "unsent": 0
        }
      ]
    }
    "#);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names_in(directory.path()), ["summary.json"]);
}

#[test]
fn a_summary_that_cannot_be_written_is_told_with_the_path() {
    let error = summary().publish(AtomicFile::create(Path::new("/dev/full")).unwrap()).unwrap_err();
    insta::assert_snapshot!(words(&error, Path::new("DIR")), @"cannot write `/dev/full`: No space left on device (os error 28)");
}
