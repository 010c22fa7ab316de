//! A ledger that is copied to a database and back says the same.

use serde_json::Value;

use super::super::cli::{Ended, Server, Workdir, ended};
use super::database;
use super::runs::{attrsync, cancel, password, stalling, sync, syncing, with};

/// All that a ledger says of runs and users, and of an input.
fn said(server: &Server, workdir: &Workdir, ledger: &str) -> Vec<String> {
    let ask = |arguments: &str| ended(attrsync(server, workdir, ledger, arguments)).exits(0).stdout;
    let changes = |input: &str| {
        let arguments = format!("plan {input} --only-changed --format json");
        let plan = ended(attrsync(server, workdir, ledger, &arguments)).stdout;
        let plan: Value = serde_json::from_str(&plan).unwrap();
        format!("{} {}", plan["rows"], plan["changes"])
    };
    let mut said = vec![ask("history --format json"), ask("undo 1"), ask("undo 3 --null-token -")];
    said.extend([1, 2, 3].map(|run| ask(&format!("history show {run} --format json"))));
    said.extend([1, 3, 9].map(|user| ask(&format!("history user {user} --format json"))));
    said.extend(["users.csv", "other.csv"].map(changes));
    said
}

fn copy(server: &Server, workdir: &Workdir, from: &str, to: &str) -> Ended {
    let mut command = attrsync(server, workdir, from, "ledger copy");
    command.env_remove("ATTRSYNC_LEDGER").args([from, to]);
    ended(command)
}

/// With a ledger in a file: a run, a reading of the account, a run that changes something.
fn with_history(server: &Server) -> Workdir {
    let workdir = Workdir::with_cities(9);
    workdir.file(
        "other.csv",
        "user_id,attribute,value\n1,city,Oslo\n2,city,City 2\n3,region,East\n40,city,Rome\n",
    );
    sync(server, &workdir, "l", "").exits(0);
    ended(attrsync(server, &workdir, "l", "pull")).exits(0);
    let again = "sync other.csv --only-changed";
    let run = ended(attrsync(server, &workdir, "l", again));
    assert!([0, 1].contains(&run.code), "{}", run.stderr);
    workdir
}

#[test]
fn a_copy_to_a_database_and_one_back_say_the_same() {
    let Some(database) = database() else { return };
    for (address, schema, back) in
        [(&database.direct, "direct", "back1"), (&database.pooled, "pooled", "back2")]
    {
        let server = Server::friendly();
        let workdir = with_history(&server);
        let before = said(&server, &workdir, "l");
        let ledger = with(address, format!("schema={schema}"));
        let run = copy(&server, &workdir, "l", &ledger).exits(0);
        assert!(run.stdout.starts_with("copied 3 runs, "), "{}", run.stdout);
        assert_eq!(said(&server, &workdir, &ledger), before);
        copy(&server, &workdir, &ledger, back).exits(0);
        assert_eq!(said(&server, &workdir, back), before);
        // The copy is a ledger like any other.
        let run = sync(&server, &workdir, &ledger, "--only-changed").exits(0);
        let other = sync(&server, &workdir, back, "--only-changed").exits(0);
        let figures = |run: &Ended| (run.rows("unchanged"), run.rows("acknowledged"));
        assert_eq!(figures(&run), (8, 1));
        assert_eq!(figures(&other), (8, 1));
    }
}

#[test]
fn an_interrupted_run_goes_on_with_the_copy() {
    let Some(database) = database() else { return };
    let (server, workdir) = (stalling(3, 1), Workdir::with_cities(6));
    let child = syncing(&server, &workdir, "l", "--concurrency 1").spawn().unwrap();
    server.until(|counters| counters.requests == 4);
    cancel(child);
    copy(&server, &workdir, "l", &database.direct).exits(0);
    let run = sync(&server, &workdir, &database.direct, "").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (3, 3));
    run.says("continuing run 1");
}

#[test]
fn nothing_is_copied_onto_a_ledger_with_runs_or_from_one_in_use() {
    let Some(database) = database() else { return };
    let server = Server::friendly();
    let workdir = with_history(&server);
    let secret = password(&database.direct);
    copy(&server, &workdir, "l", &database.direct).exits(0);
    for (from, to) in
        [("l", database.direct.as_str()), (&database.direct, "l"), (&database.direct, &database.socket)]
    {
        let run = copy(&server, &workdir, from, to).exits(2);
        assert!(!run.stderr.contains(secret));
        run.says("there is a ledger at").says("already, with runs in it").says("hint: copy to another place");
    }
    let stalling = stalling(0, 2);
    for ledger in ["l", &database.direct] {
        let before = stalling.counters().requests;
        let child = syncing(&stalling, &workdir, ledger, "").spawn().unwrap();
        stalling.until(|counters| counters.requests > before);
        let to = with(&database.direct, "schema=new");
        copy(&server, &workdir, ledger, &to)
            .exits(2)
            .says("a run is using the ledger")
            .says("hint: wait until");
        cancel(child);
    }
    let run = copy(&server, &workdir, "nowhere", &with(&database.direct, "schema=new")).exits(2);
    run.says("there is no ledger `nowhere`");
}

#[test]
fn a_ledger_can_be_copied_by_the_files_that_hold_addresses() {
    let Some(database) = database() else { return };
    let server = Server::friendly();
    let workdir = with_history(&server);
    workdir.file("address", &database.direct);
    let run = copy(&server, &workdir, "l", "@address").exits(0);
    let transactions = ["target", "run", "attribute", "journal", "pull"]
        .map(|table| format!("SELECT xmin::text FROM attrsync.{table}"))
        .join(" UNION ");
    assert_eq!(database.query(&transactions).len(), 1, "who is killed leaves no part of a copy");
    assert!(
        !run.stdout.contains(password(&database.direct)) && !run.stderr.contains(password(&database.direct))
    );
    copy(&server, &workdir, "@address", "back").exits(0);
    for ledger in [database.direct.as_str(), "back"] {
        assert_eq!(said(&server, &workdir, ledger), said(&server, &workdir, "l"));
    }
    // `history` takes it in the same form.
    let mut command = attrsync(&server, &workdir, "l", "history --ledger @address --format json");
    let history = ended({
        command.env_remove("ATTRSYNC_LEDGER");
        command
    });
    assert_eq!(history.exits(0).stdout, said(&server, &workdir, "l")[0]);
}
