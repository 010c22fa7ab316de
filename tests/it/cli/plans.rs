//! `plan`: what `sync` would do.

use serde_json::Value;

use super::{Workdir, users_csv};

fn workdir() -> Workdir {
    Workdir::with_rows(&[
        "1,city,Oslo",
        "2,city,Oslo",
        "3,city,Oslo",
        "2,city,Bergen",
        "4,country,Norway",
        "4,email,a@example.com",
    ])
}

#[test]
fn a_plan_is_told_in_words() {
    let run = workdir().run("plan users.csv --batch-size 1").exits(0);
    insta::assert_snapshot!(run.stdout, @"
    6 rows: 5 to send, 1 superseded
    5 requests, about 0.5s at 10/s

    attribute  rows  users  values  requests  users/request
    city          4      3       2         3            1.0
    country       1      1       1         1            1.0
    email         1      1       1         1            1.0
    total         6      5       4         5

    most shared values
      city = `Oslo` for 2 users: 2 requests
      city = `Bergen` for 1 user: 1 request
      country = `Norway` for 1 user: 1 request
      email = `a@example.com` for 1 user: 1 request

    1 conflict: one user and attribute, several values
      city of user 2: `Oslo`, `Bergen`
    ");
    assert_eq!(run.stderr, "");
}

#[test]
fn a_plan_is_told_as_json() {
    let run = workdir().run("plan users.csv --format json --batch-size 1 --rate 2/s").exits(0);
    let plan: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((plan["requests"].as_u64(), plan["duration_seconds"].as_f64()), (Some(5), Some(2.5)));
    assert_eq!(
        plan["rows"],
        serde_json::json!({
            "read": 6, "invalid": 0, "skipped": 0, "superseded": 1, "in_conflict": 0, "planned": 5
        })
    );
    assert_eq!(plan["planning"]["spilled_bytes"], 0);
    let memory = plan["planning"]["peak_memory_bytes"].as_u64();
    assert!(memory.is_none_or(|bytes| bytes > 1 << 20), "{memory:?}");
}

#[test]
fn every_row_of_a_refused_conflict_is_counted() {
    let workdir = workdir();
    let rows = workdir.read("users.csv") + "1,city,Oslo\nx,city,Oslo\n";
    workdir.file("users.csv", rows);
    let run = workdir.run("plan users.csv --on-conflict error").exits(3);
    let first = run.stdout.lines().next();
    assert_eq!(first, Some("8 rows: 4 to send, 1 superseded, 2 in conflict, 1 invalid"));
    run.says("error: 1 conflict: one user has several values for `city`");
    let run = workdir.run("plan users.csv --on-conflict error --format json").exits(3);
    let plan: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        plan["rows"],
        serde_json::json!({
            "read": 8, "invalid": 1, "skipped": 0, "superseded": 1, "in_conflict": 2, "planned": 4
        })
    );
}

#[test]
fn a_plan_ends_as_the_run_would() {
    let workdir = workdir();
    workdir.run("plan users.csv --on-conflict error").exits(3).says("--on-conflict");
    workdir.run("plan missing.csv").exits(3).says("missing.csv: no such file");
    workdir.run("plan users.csv --concurrency 4").exits(2).says("unexpected argument");
    workdir.file("some.csv", "user_id,attribute,value\n1,city,Oslo\nx,city,Oslo\n");
    workdir.run("plan some.csv").exits(1);
    workdir.run("plan some.csv --strict").exits(3);
}

#[test]
fn a_plan_writes_nothing_that_is_not_asked_for() {
    let workdir = workdir();
    workdir.file("attrsync.toml", "failures = \"lost.csv\"\nsummary = \"summary.json\"\n");
    workdir.run("plan users.csv").exits(0);
    assert_eq!(workdir.names(), ["attrsync.toml", "users.csv"]);
}

#[test]
fn a_plan_reports_what_a_run_would_leave_out() {
    let workdir = workdir();
    workdir.file("some.csv", "user_id,attribute,value\n1,city,Oslo\nx,city,Oslo\n");
    workdir.run("plan some.csv --failures failures.csv").exits(1);
    let lost = workdir.failures();
    assert_eq!((lost.len(), lost[0].fate.as_str()), (1, "invalid"));
}

#[test]
fn bodies_take_the_place_of_no_input_and_of_no_other_report() {
    let workdir = workdir();
    let before = workdir.read("users.csv");
    workdir.run("plan users.csv --bodies users.csv").exits(2).says("is an input and would be lost");
    workdir.run("plan users.csv --bodies x --failures x").exits(2).says("is already written by `--failures`");
    workdir.run("plan users.csv --bodies missing/bodies").exits(2).says("create the directory first");
    workdir.run("plan users.csv --bodies /dev/full").exits(5).says("cannot write `/dev/full`");
    assert_eq!((workdir.names(), workdir.read("users.csv")), (vec!["users.csv".to_owned()], before));
}

#[test]
fn bodies_on_standard_output_leave_the_words_to_standard_error() {
    let run = Workdir::new().run(&format!("plan {} --bodies -", users_csv())).exits(0);
    let bodies: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(bodies.iter().all(|body| body["ids"].as_array().unwrap().len() <= 1000));
    run.says(&format!("{} requests", bodies.len()));
}

#[test]
fn rows_come_from_standard_input_too() {
    let run = Workdir::new().pipe("user_id,attribute,value\n1,city,Oslo\n", "plan --format json").exits(0);
    assert_eq!(serde_json::from_str::<Value>(&run.stdout).unwrap()["requests"], 1);
    let run = Workdir::new().pipe("user_id,attribute,value\nx,city,Oslo\n", "plan -").exits(3);
    run.says("stdin:2");
}

#[test]
fn compressed_rows_come_from_standard_input_too() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, b"user_id,city\n1,Oslo\n2,Rome\n").unwrap();
    let run = Workdir::new().pipe(packed.finish().unwrap(), "plan - --format json").exits(0);
    assert_eq!(serde_json::from_str::<Value>(&run.stdout).unwrap()["requests"], 2);
}
