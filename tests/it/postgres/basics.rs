//! Each command does with a ledger in a database what it does with a file, on every way to the database.

use attrsync::ledger::{LedgerError, LedgerReader};
use serde_json::Value;

use super::super::cli::{Server, Workdir, ended};
use super::database;
use super::runs::{attrsync, check_state, location, recorded, sync, with};

fn check(ledger: &str) {
    let (workdir, server) = (Workdir::with_cities(4), Server::friendly());
    let run = |arguments: &str| ended(attrsync(&server, &workdir, ledger, arguments));

    run("history").exits(2).says("there is no ledger");
    let first = sync(&server, &workdir, ledger, "").exits(0);
    assert_eq!((first.rows("acknowledged"), server.counters().requests), (4, 4));
    assert_eq!(first.summary()["run_id"], "1");
    workdir.file("users.csv", workdir.read("users.csv").replace("City 2", "Town 2"));
    let plan = run("plan users.csv --only-changed --format json").exits(0);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!((&plan["rows"]["unchanged"], &plan["rows"]["planned"]), (&3.into(), &1.into()));
    let second = sync(&server, &workdir, ledger, "--only-changed").exits(0);
    assert_eq!(
        (second.rows("unchanged"), second.rows("acknowledged"), server.counters().requests),
        (3, 1, 5)
    );
    check_state(&server, &workdir);

    // Another program changes a value.
    let elsewhere = Workdir::with_rows(&["3,city,Rome"]);
    server.sync(&elsewhere, "users.csv").exits(0);
    run("pull").exits(0).says("read 4 users");
    let third = sync(&server, &workdir, ledger, "--only-changed").exits(0);
    assert_eq!((third.rows("unchanged"), third.rows("acknowledged")), (3, 1));
    check_state(&server, &workdir);
    assert_eq!(recorded(ledger), 6);

    let undone = run("undo 2").exits(0);
    assert_eq!(undone.stdout, "user_id,attribute,value\n2,city,City 2\n");
    let history: Value = serde_json::from_str(&run("history --format json").exits(0).stdout).unwrap();
    assert_eq!(history["runs"].as_array().unwrap().len(), 4, "{history}");
    let user: Value = serde_json::from_str(&run("history user 3 --format json").exits(0).stdout).unwrap();
    let values: Vec<_> = user["facts"].as_array().unwrap().iter().map(|fact| fact["value"].clone()).collect();
    assert_eq!(values, ["City 3", "Rome", "City 3"]);

    workdir.file("users.csv", workdir.read("users.csv").replace("City 4", "Town 4"));
    run("plan users.csv --only-changed --save plan.saved").exits(0);
    let saved = ended(attrsync(&server, &workdir, ledger, "sync --plan plan.saved --summary -")).exits(0);
    assert_eq!(saved.rows("acknowledged"), 1);
    check_state(&server, &workdir);
    let stale = ended(attrsync(&server, &workdir, ledger, "sync --plan plan.saved --summary -")).exits(3);
    assert_eq!(stale.summary()["reason"], "stale_plan");
}

#[test]
fn commands_work_by_tcp() {
    let Some(database) = database() else { return };
    check(&database.direct);
}

#[test]
fn commands_work_by_socket() {
    let Some(database) = database() else { return };
    check(&database.socket);
}

#[test]
fn commands_work_through_pgbouncer() {
    let Some(database) = database() else { return };
    check(&database.pooled);
}

#[test]
fn ledgers_in_one_database_are_apart() {
    let Some(database) = database() else { return };
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    let other = with(&database.direct, "schema=other");
    sync(&server, &workdir, &database.direct, "").exits(0);
    let run = sync(&server, &workdir, &other, "--only-changed").exits(0);
    assert_eq!((run.rows("acknowledged"), recorded(&other), recorded(&database.direct)), (2, 2, 2));
}

#[test]
fn entries_that_the_database_lost_are_noticed() {
    let Some(database) = database() else { return };
    let server = Server::friendly();
    for (number, lost) in ["true", "entry = (SELECT max(entry) FROM {}.journal)"].into_iter().enumerate() {
        let (schema, workdir) = (format!("lost{number}"), Workdir::with_cities(4));
        let ledger = with(&database.direct, format!("schema={schema}"));
        sync(&server, &workdir, &ledger, "").exits(0);
        workdir.file("users.csv", workdir.read("users.csv").replace("City 2", "Town 2"));
        sync(&server, &workdir, &ledger, "").exits(0);
        database.execute(&format!("DELETE FROM {schema}.journal WHERE {}", lost.replace("{}", &schema)));
        let run = |arguments: &str| ended(attrsync(&server, &workdir, &ledger, arguments));
        let what = "is damaged: it has lost what it recorded last";
        sync(&server, &workdir, &ledger, "--only-changed").exits(5).says(what);
        run("plan users.csv --only-changed").exits(5).says(what);
        run("undo 2").exits(5).says(what);
    }
}

#[test]
fn a_later_form_is_not_guessed_at() {
    let Some(database) = database() else { return };
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    sync(&server, &workdir, &database.direct, "").exits(0);
    database.execute("UPDATE attrsync.form SET number = 3");
    let words = "has form 3, and this version of attrsync knows no later one than 2";
    sync(&server, &workdir, &database.direct, "").exits(2).says(words);
    ended(attrsync(&server, &workdir, &database.direct, "history")).exits(2).says(words);
}

#[test]
fn what_is_merged_after_a_run_is_committed_at_once() {
    let Some(database) = database() else { return };
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo", "1,region,East"]), Server::friendly());
    sync(&server, &workdir, &database.direct, "").exits(0);
    let transactions = ["state", "attribute", "known"]
        .map(|table| format!("SELECT xmin::text FROM attrsync.{table}"))
        .join(" UNION ");
    assert_eq!(database.query(&transactions).len(), 1);
    assert_eq!(database.query("SELECT count(*) FROM attrsync.known"), [["2"]]);
}

#[test]
fn who_reads_a_ledger_does_not_go_on_with_another_connection() {
    let Some(database) = database() else { return };
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    sync(&server, &workdir, &database.direct, "").exits(0);
    let reader = LedgerReader::open(&location(&database.direct)).unwrap();
    assert_eq!(reader.runs().unwrap().len(), 1);
    while database.terminate_connections() > 0 {}
    let error = reader.runs().map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::Away { .. }), "{error}");
}
