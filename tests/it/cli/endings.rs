//! Runs that don't end well, and what is left to do after them.

use std::collections::BTreeSet;
use std::time::Duration;

use attrsync::sandbox::{
    ErrorBody, Fault, FaultKind, Moment, Options, Outage, OutageKind, Permission, Reject,
};

use super::truth::naive_state;
use super::{Server, Workdir};

fn rejecting(ids: &[&str], reject: Reject) -> Options {
    let reject_ids = ids.iter().map(|&id| id.to_owned()).collect();
    Options { reject_ids, reject, ..Options::default() }
}

/// This many users of one city.
fn oslo(users: u64) -> Workdir {
    let rows: Vec<String> = (1..=users).map(|user| format!("{user},city,Oslo")).collect();
    Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_wrong_key_costs_one_request_and_no_row_is_lost() {
    for options in [
        Options { token: Some("another".into()), ..Options::default() },
        Options { permission: Permission::Denied, ..Options::default() },
    ] {
        let (workdir, server) = (Workdir::with_cities(30), Server::new(options));
        let run = server.sync(&workdir, "users.csv --concurrency 1 --summary -").exits(4);
        assert_eq!(server.counters().requests, 1);
        assert_eq!((run.summary()["outcome"].as_str(), run.rows("unsent")), (Some("stopped"), 30));
        let lost: BTreeSet<_> = workdir.failures().into_iter().map(|lost| (lost.fate, lost.row)).collect();
        let all = (1..=30).map(|user: u32| {
            ("unsent".to_owned(), [user.to_string(), "city".to_owned(), format!("City {user}")])
        });
        assert_eq!(lost, all.collect());
        run.says("the API refused the key").says("check the API key");
    }
}

#[test]
fn an_unknown_user_fails_alone_however_the_server_puts_it() {
    for reject in [Reject::Naming, Reject::Unnamed, Reject::NotFound] {
        let (workdir, server) = (oslo(100), Server::new(rejecting(&["42"], reject)));
        let run = server.sync(&workdir, "users.csv --summary -").exits(1);
        let lost = workdir.failures();
        assert_eq!(lost.len(), 1, "{reject:?}");
        assert_eq!((&lost[0].row, &*lost[0].fate), (&["42", "city", "Oslo"].map(str::to_owned), "failed"));
        assert_eq!((run.rows("acknowledged"), run.rows("failed")), (99, 1));
        assert_eq!(server.sandbox.state().len(), 99);
    }
}

#[test]
fn that_a_user_does_not_exist_is_said_once_of_each() {
    let unknown: Vec<String> = (31..=60).map(|user: u32| user.to_string()).collect();
    let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
    for reject in [Reject::Unnamed, Reject::NotFound] {
        let (workdir, server) = (oslo(60), Server::new(rejecting(&unknown, reject)));
        server.sync(&workdir, "users.csv").exits(1);
        let lost = workdir.failures();
        assert_eq!(lost.len(), 30, "{reject:?}");
        let said: Vec<usize> = lost.iter().map(|lost| lost.error.matches("no such user").count()).collect();
        assert!(said.iter().all(|times| *times <= 1) && said.contains(&1), "{reject:?}: {said:?}");
    }
}

#[test]
fn a_value_that_is_refused_for_anybody_costs_few_requests() {
    let options = Options { reject_values: [("city".into(), "Oslo".into())].into(), ..Options::default() };
    let (workdir, server) = (oslo(300), Server::new(options));
    let run = server.sync(&workdir, "users.csv --batch-size 100 --summary -").exits(1);
    assert_eq!(run.rows("failed"), 300);
    assert!(server.counters().requests <= 6, "{:?}", server.counters());
}

#[test]
fn a_failures_report_fed_back_finishes_the_job() {
    let workdir =
        Workdir::with_rows(&["1,city,Oslo", "2,city,\" two\nlines, and \"\"quotes\"\" \"", "3,colour,red"]);
    let server = Server::new(rejecting(&["2"], Reject::Naming));
    server.sync(&workdir, "users.csv").exits(1).says("correct the 2 rows in `failures.csv`");
    let fates: Vec<_> = workdir.failures().into_iter().map(|lost| (lost.row[0].clone(), lost.fate)).collect();
    assert_eq!(fates, [("3".into(), "invalid".into()), ("2".into(), "failed".into())]);

    let corrected = workdir.read("failures.csv").replace("colour", "country");
    workdir.file("failures.csv", corrected);
    let kinder = Server::friendly();
    kinder.sync(&workdir, "failures.csv").exits(0);
    assert!(workdir.failures().is_empty());
    let rest = "user_id,attribute,value\n2,city,\" two\nlines, and \"\"quotes\"\" \"\n3,country,red\n";
    assert_eq!(kinder.state(), naive_state(rest));
}

#[test]
fn attempts_that_run_out_fail_the_rows() {
    let fault = Some(Fault { kind: FaultKind::Error(500, ErrorBody::Json), moment: Moment::BeforeApplying });
    // One request at a time, so that the script says which is answered how. After the second and the third try a row that
    // was accepted is sent again, to see whether the API is there.
    let script = vec![None, fault, fault, None, fault, None];
    let (workdir, server) = (Workdir::with_cities(2), Server::new(Options { script, ..Options::default() }));
    let run = server.sync(&workdir, "users.csv --max-attempts 3 --concurrency 1 --summary -").exits(1);
    assert_eq!((run.requests("sent"), run.requests("retried"), run.rows("failed")), (6, 2, 1));
    let lost = workdir.failures();
    assert!(lost[0].error.contains("gave up after 3 attempts"), "{}", lost[0].error);
    assert_eq!((lost[0].fate.as_str(), lost[0].status.as_str()), ("failed", "500"));
}

#[test]
fn a_server_that_is_down_is_given_up_after_the_outage_that_is_allowed() {
    let workdir = Workdir::with_cities(5);
    let address = {
        let gone = Server::friendly();
        gone.sandbox.base_url()
    };
    let run =
        super::ended(super::to(&address, &workdir, "users.csv --max-outage 200ms --summary -")).exits(4);
    assert_eq!((run.rows("unsent"), run.summary()["reason"].as_str()), (5, Some("outage")));
    assert_eq!(workdir.failures().len(), 5);
    run.says("could not be reached for 200 milliseconds (`--max-outage`): ").says("when the API is back");
}

#[test]
fn an_outage_in_the_middle_costs_no_row() {
    let outage = |kind| Outage { start: Duration::ZERO, length: Duration::from_millis(400), kind };
    for kind in [OutageKind::Unavailable, OutageKind::Unreachable] {
        let (workdir, server) = (
            Workdir::with_cities(20),
            Server::new(Options { outages: vec![outage(kind)], ..Options::default() }),
        );
        server.sync(&workdir, "users.csv --retry-max-delay 50ms").exits(0);
        assert_eq!(server.state(), naive_state(&workdir.read("users.csv")));
    }
}

#[test]
fn nothing_starts_once_the_time_is_over() {
    let (workdir, server) = (Workdir::with_cities(10), Server::friendly());
    let run = server.sync(&workdir, "users.csv --max-duration 0s --summary -").exits(4);
    assert_eq!((run.requests("sent"), run.rows("unsent"), server.counters().requests), (0, 10, 0));
    run.says("time was up after 0 seconds (`--max-duration`); 0 rows sent, 10 not yet");
}

/// However slow the machine is, it can only make this less: at most 20 may start within any second.
#[test]
fn no_more_requests_start_in_a_second_than_the_rate_allows_retries_included() {
    let (workdir, server) =
        (Workdir::with_cities(200), Server::new(Options { error_rate: 0.3, ..Options::default() }));
    let run = server.sync(&workdir, "users.csv --rate 20/s --max-duration 1s --summary -").exits(4);
    assert!(run.requests("sent") <= 20, "{}", run.stdout);
    assert_eq!(server.counters().requests, run.requests("sent"));
}

#[test]
fn invalid_rows_are_left_out_and_told_with_their_lines() {
    let (workdir, server) = (
        Workdir::with_rows(&[
            "1,city,Oslo",
            "x,city,Oslo",
            "2,colour,red",
            "3,gender,male",
            "4,city,",
            "5,city",
        ]),
        Server::friendly(),
    );
    let run = server.sync(&workdir, "users.csv --summary -").exits(1);
    assert_eq!((run.rows("read"), run.rows("invalid"), run.rows("acknowledged")), (6, 5, 1));
    insta::assert_snapshot!(workdir.read("failures.csv"), @r#"
    user_id,attribute,value,fate,status,error,attempts,source,line
    x,city,Oslo,invalid,,"`user_id` must be a positive whole number, not `x`",0,users.csv,3
    2,colour,red,invalid,,unknown attribute: `colour`,0,users.csv,4
    3,gender,male,invalid,,"`gender` must be 1 (unknown), 2 (male) or 3 (female), not `male`",0,users.csv,5
    4,city,,invalid,,`city` has no value,0,users.csv,6
    ,,,invalid,,"expected 3 fields, found 2: 5,city",0,users.csv,7
    "#);
    run.says("1 of 6 rows acknowledged, 5 invalid");
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_of_its_own() {
    for report in ["--failures", "--summary", "--report"] {
        let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
        let run = server.sync(&workdir, &format!("users.csv {report} /dev/full")).exits(5);
        run.says("cannot write `/dev/full`").says("free some space");
        assert_eq!(server.counters().ok, 1);
    }
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
    let mut command = server.command(&workdir, "users.csv --summary -");
    command.stdout(std::fs::File::create("/dev/full").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
}

#[test]
fn metrics_that_cannot_be_written_are_a_warning() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
    let run = server.sync(&workdir, "users.csv --metrics /dev/full").exits(0);
    run.says("warning: `--metrics`");
}

#[test]
fn what_a_command_prints_to_a_full_disk_is_an_error() {
    // More than any buffer holds.
    let (workdir, server) = (Workdir::with_cities(20_000), Server::friendly());
    let plan = workdir.run("plan users.csv --subdomain acme --save /dev/full").exits(5);
    plan.says("cannot write `/dev/full`").says("free some space");
    let csv = |city: &str| {
        let rows: Vec<String> = (1..=20_000).map(|user| format!("{user},city,{city}")).collect();
        format!("user_id,attribute,value\n{}\n", rows.join("\n"))
    };
    for city in ["Oslo", "Rome"] {
        workdir.file("users.csv", csv(city));
        server.remember(&workdir, "users.csv --batch-size 20000").exits(0);
    }
    let undo = workdir.run("undo 2 --output /dev/full").exits(5);
    undo.says("cannot write `/dev/full`").says("free some space");
    // Who reads no more is not worth a message.
    let mut undo = workdir.attrsync("undo 2").spawn().unwrap();
    drop(undo.stdout.take());
    assert!(undo.wait().unwrap().success());
    workdir.run("undo 2 --output before.csv").exits(0);
    assert_eq!(workdir.read("before.csv"), csv("Oslo"));
}
