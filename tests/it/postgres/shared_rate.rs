//! What several runs, and one run, take of a database.

use std::path::Path;
use std::thread;

use attrsync::sandbox::{Log, Options};
use httpmock::Method::PUT;
use httpmock::MockServer;

use super::super::cli::{KEY, Server, Workdir, ended};
use super::runs::{attrsync, cancel, recorded, stalling, syncing, wait, with};
use super::{Session, database};

#[test]
fn a_run_takes_three_connections() {
    let Some(database) = database() else { return };
    let (workdir, server) = (Workdir::with_cities(4), stalling(1, 3));
    // The lease is renewed soon, by a connection of its own.
    let ledger = with(&database.direct, "lease=1s");
    let child = syncing(&server, &workdir, &ledger, "").spawn().unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let admin = Session::open(&database.admin);
    let mut connections = 0;
    while connections < 3 {
        connections = admin.query(sql)[0][0].parse().unwrap();
        thread::yield_now();
    }
    server.until(|counters| counters.requests == 4);
    assert_eq!(admin.query(sql), [["3"]]);
    cancel(child);
}

#[test]
fn two_programs_with_ledgers_of_their_own_share_a_rate() {
    const ROWS: u64 = 60;
    const RATE: u64 = 20;
    let Some(database) = database() else { return };
    for quota in ["", "--quota night"] {
        let server = Server::new(Options { log: Log::Keep, ..Options::default() });
        let run = |schema: &str| {
            let ledger = with(&database.direct, format!("schema={schema}{}", quota.len()));
            let workdir = Workdir::with_cities(u32::try_from(ROWS).unwrap());
            let child =
                attrsync(&server, &workdir, &ledger, &format!("sync users.csv --rate {RATE}/s {quota}"))
                    .spawn()
                    .unwrap();
            (workdir, ledger, child)
        };
        for (_workdir, ledger, child) in [run("one"), run("other")] {
            wait(child).exits(0);
            assert_eq!(recorded(&ledger), ROWS);
        }
        // From the start of the server to the last request. A slow machine can only make this more. Apart, each program
        // would take two seconds.
        let took = server.sandbox.log().last().unwrap().at;
        assert!(took.as_secs() >= 2 * ROWS / RATE - 1, "{} requests within {took:?}", 2 * ROWS);
    }
}

#[test]
fn a_long_pause_of_one_stops_the_other_too() {
    let Some(database) = database() else { return };
    let server = MockServer::start();
    let throttled = server.mock(|when, then| {
        when.method(PUT);
        then.status(429).header("retry-after", "3600");
    });
    for schema in ["one", "other"] {
        let ledger = with(&database.direct, format!("schema={schema}"));
        let workdir = Workdir::with_cities(3);
        let mut command = workdir.attrsync("sync users.csv --concurrency 1 --max-outage 5m --summary -");
        command.env("ATTRSYNC_BASE_URL", server.url("/api/public/")).env("ATTRSYNC_TOKEN", KEY);
        command.env("ATTRSYNC_LEDGER", ledger);
        let run = ended(command).exits(4);
        assert_eq!((run.summary()["reason"].as_str(), run.rows("unsent")), (Some("long_pause"), 3));
        run.says("asks for a pause of");
    }
    assert_eq!(throttled.calls(), 1, "the other one asks nothing");
}

#[test]
fn a_run_is_continued_in_another_directory_where_the_inputs_have_the_same_paths() {
    let Some(database) = database() else { return };
    for same in [true, false] {
        let (first, server) = (Workdir::with_cities(6), stalling(3, 1));
        let ledger = with(&database.direct, format!("schema=same_{same}"));
        let start = |workdir: &Workdir, input: &Path| {
            let arguments = format!("sync {} --concurrency 1 --summary -", input.display());
            attrsync(&server, workdir, &ledger, &arguments)
        };
        let input = first.path("users.csv");
        let child = start(&first, &input).spawn().unwrap();
        server.until(|counters| counters.requests == 4);
        cancel(child);
        let second = Workdir::with_cities(6);
        let run = ended(start(&second, if same { &input } else { Path::new("users.csv") })).exits(0);
        let expected = if same { (3, 3) } else { (0, 6) };
        assert_eq!((run.rows("resumed"), run.rows("acknowledged")), expected, "{}", run.stderr);
        run.says(if same { "continuing run 1" } else { "does not continue it: its inputs differ" });
    }
}
