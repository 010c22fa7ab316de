//! Where reports go, and what they may not replace.

use std::path::Path;

use attrsync::config::{Destination, same_file};
use attrsync::input::FAILURES_HEADER;

use super::{Place, TOKEN};

#[test]
fn a_failures_report_is_usual_for_sync_and_asked_for_in_plan() {
    let place = Place::ready().file("attrsync.toml", "summary = 'run.json'");
    let reports = place.settings(&[]).reports;
    assert_eq!(reports.failures, Some("failures.csv".into()));
    assert_eq!(reports.summary, Some(Destination::File("run.json".into())));
    let place = Place::bare().file("attrsync.toml", "failures = 'a.csv'");
    assert_eq!(place.plan(&[]).unwrap().reports.failures, None);
    assert_eq!(place.plan(&["--failures=b.csv"]).unwrap().reports.failures, Some("b.csv".into()));
}

#[test]
fn a_dash_is_standard_output_for_one_report() {
    let reports = Place::ready().settings(&["--failures=-"]).reports;
    assert_eq!(reports.failures, Some("/dev/stdout".into()));
    assert_eq!(
        Place::ready().error(&["--failures=-", "--summary=-"]),
        "--summary: standard output is already written by `--failures`"
    );
    let error = Place::bare().plan(&["--failures=-"]).unwrap_err();
    assert_eq!(error.to_string(), "--failures: standard output is for the plan");
}

#[test]
fn no_report_takes_the_place_of_another() {
    for path in ["failures.csv", "./failures.csv"] {
        assert_eq!(
            Place::ready().error(&["--summary", path]),
            format!("--summary: `{path}` is already written by `--failures`")
        );
    }
}

#[test]
fn no_report_takes_the_place_of_an_input() {
    let place = || Place::ready().file("rows.csv", "user_id,attribute,value\n");
    for report in ["failures", "summary", "report", "metrics"] {
        assert_eq!(
            place().error(&[&format!("--{report}=./rows.csv"), "rows.csv"]),
            format!(
                "--{report}: `./rows.csv` is an input and would be lost\nhint: name another file with `--{report}`"
            )
        );
    }
    assert!(place().plan(&["--failures=rows.csv", "rows.csv"]).is_err());
    let usual = Place::ready().file("failures.csv", "user_id,city\n1,Oslo\n").error(&["failures.csv"]);
    assert!(usual.starts_with("--failures: `failures.csv` is an input and would be lost\nhint: "), "{usual}");
}

#[test]
fn a_failures_report_that_is_an_input_makes_room_for_the_next_one() {
    let report = format!("\u{feff}{}\r\n1,city,a,failed,,,1,,\r\n", FAILURES_HEADER.join(","));
    assert!(Place::ready().file("failures.csv", &report).sync(&["failures.csv"]).is_ok());
    let place = Place::ready().file("rest.csv", &report);
    assert!(place.sync(&["--failures=rest.csv", "rest.csv"]).is_ok());
    assert!(place.sync(&["--summary=rest.csv", "rest.csv"]).is_err());
    assert!(Place::ready().sync(&["failures.csv"]).is_ok(), "that it is missing is told by who reads it");
}

#[test]
fn no_report_takes_the_place_of_the_key_or_the_settings() {
    for report in ["failures", "summary", "report", "metrics"] {
        let place = Place::ready().file("tok", TOKEN).file("attrsync.toml", "token_file = 'tok'");
        for (path, what) in [("./tok", "the API key"), ("attrsync.toml", "the settings")] {
            let message = place.error(&[&format!("--{report}={path}")]);
            assert!(
                message.starts_with(&format!("--{report}: `{path}` holds {what} and would be lost\nhint: "))
            );
        }
        let place = Place::ready().file("other.toml", &format!("{report} = 'other.toml'"));
        let message = place.error(&["--config=other.toml"]);
        assert!(message.starts_with(&format!("other.toml:1: {report}: `other.toml` holds the settings")));
    }
    let place = Place::bare().file("attrsync.toml", "");
    assert!(place.plan(&["--failures=attrsync.toml"]).is_err());
}

#[test]
fn paths_are_one_file_however_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    assert!(same_file(&at("a"), &at("./a")) && !same_file(&at("a"), &at("b")));
    std::fs::write(at("a"), "").unwrap();
    assert!(same_file(&at("a"), &at("./a")) && !same_file(&at("a"), &at("b")));
    assert!(same_file(Path::new("nosuch.csv"), Path::new("./nosuch.csv")));
    assert!(!same_file(Path::new("gone/a"), Path::new("gone/./b")));
}

#[test]
fn no_report_lands_on_a_ledger_or_what_belongs_to_it() {
    for end in ["", "-wal", "-shm", "-journal", "-lock"] {
        for (ledger, flags) in [("attrsync.ledger", "--no-ledger"), ("my.ledger", "--ledger=my.ledger")] {
            for report in ["failures", "summary", "report", "metrics"] {
                let error = Place::ready().error(&[flags, &format!("--{report}={ledger}{end}")]);
                assert!(error.starts_with(&format!("--{report}: `{ledger}{end}` ")), "{error}");
                assert!(error.contains("the ledger and would be lost"), "{error}");
            }
        }
        let failures = format!("--failures=attrsync.ledger{end}");
        assert!(Place::bare().plan(&[&failures]).is_err());
    }
}
