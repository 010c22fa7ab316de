//! A database that is away, at the start or in the middle of a run.

use std::process::Child;
use std::time::Duration;

use attrsync::sandbox::Options;

use super::super::cli::{Ended, Server, Workdir, ended};
use super::runs::{
    attrsync, check_state, has_recorded, recorded, signal, sync, syncing, until_it_says, wait, with,
};
use super::{Cluster, Node};

/// More than a run sends while it may go on without the database: that is a second, and two requests at once take 40 ms.
const USERS: u32 = 150;
const ROWS: u64 = 150;

/// What a run sends before the database goes away.
const BEFORE: u64 = 20;

/// A run that is under way.
struct Run {
    workdir: Workdir,
    server: Server,
    ledger: String,
    child: Child,
}

/// One that has ended.
struct Over {
    workdir: Workdir,
    server: Server,
    ledger: String,
}

/// A slow server that serves the first requests, and then none until it is told to.
fn held() -> Server {
    let server = Server::new(Options { latency: Duration::from_millis(40), ..Options::default() });
    server.sandbox.hold_after(BEFORE);
    server
}

impl Run {
    /// Starts a run with a ledger of its own, which waits for the server after what it sends at first.
    fn start(address: &str, schema: &str, arguments: &str) -> Self {
        let ledger = with(address, format!("schema={schema}&lease=1s"));
        let (workdir, server) = (Workdir::with_cities(USERS), held());
        let child = syncing(&server, &workdir, &ledger, &command(arguments)).spawn().unwrap();
        Self { workdir, server, ledger, child }
    }

    /// Returns when what it sends at first is recorded.
    fn until_recorded(&self) {
        self.server.until(|_| has_recorded(&self.ledger, BEFORE));
    }

    /// Waits until it says that the database is away, does something to it, and waits for its end.
    fn once_away(mut self, act: impl FnOnce(&Child)) -> (Ended, Over) {
        let said = until_it_says(&mut self.child, "the database of the ledger is away", act);
        let Self { workdir, server, ledger, child } = self;
        (wait_with(child, said), Over { workdir, server, ledger })
    }
}

fn command(arguments: &str) -> String {
    format!("--concurrency 2 {arguments}")
}

fn wait_with(child: Child, stderr: String) -> Ended {
    Ended { stderr, ..wait(child) }
}

#[track_caller]
fn check_unsent(run: &Ended, workdir: &Workdir, reason: &str) {
    assert_eq!(run.summary()["reason"], reason);
    assert_eq!(run.rows("read"), ROWS);
    assert_eq!(run.rows("acknowledged") + run.rows("unsent"), ROWS);
    let lost = workdir.failures();
    assert_eq!(lost.len() as u64, run.rows("unsent"));
    assert!(!lost.is_empty() && lost.iter().all(|lost| lost.fate == "unsent"));
}

/// The same command goes on, and in the end each row is recorded once.
#[track_caller]
fn check_continued(Over { workdir, server, ledger }: &Over) {
    let before = recorded(ledger);
    let run = sync(server, workdir, ledger, "--timeout 1s").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (before, ROWS - before));
    check_state(server, workdir);
    assert_eq!(recorded(ledger), ROWS);
}

#[test]
fn a_run_completes_when_the_database_comes_back() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = cluster.database();
    for (address, schema, stop) in [
        (&database.direct, "direct", Cluster::crash as fn(&Cluster, Node)),
        (&database.pooled, "pooled", Cluster::stop),
    ] {
        let run = Run::start(address, schema, "--timeout 60s");
        run.until_recorded();
        let Run { workdir, server, ledger, child } = run;
        stop(&cluster, Node::Primary);
        server.sandbox.release();
        cluster.start_node(Node::Primary);
        let run = wait(child).exits(0);
        assert_eq!((run.rows("acknowledged"), run.requests("sent")), (ROWS, ROWS));
        assert_eq!(server.counters().requests, ROWS);
        check_state(&server, &workdir);
        assert_eq!(recorded(&ledger), ROWS);
    }
}

#[test]
fn a_run_whose_database_stays_away_stops_and_is_continued_later() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let address = cluster.database().direct;
    let impatient = Run::start(&address, "impatient", "--timeout 5s --max-outage 2s");
    let interrupted = Run::start(&address, "interrupted", "--timeout 1s");
    let cancelled = Run::start(&address, "cancelled", "--timeout 1s");
    for run in [&impatient, &interrupted, &cancelled] {
        run.until_recorded();
    }
    cluster.crash(Node::Primary);
    for run in [&impatient, &interrupted, &cancelled] {
        run.server.sandbox.release();
    }

    let late = Workdir::with_cities(USERS);
    let (server, late_ledger) = (Server::friendly(), with(&address, "schema=late&lease=1s"));
    let mut waiting = syncing(&server, &late, &late_ledger, &command("--timeout 60s")).spawn().unwrap();

    let (run, cancelled) = cancelled.once_away(|child| {
        signal(child, "INT");
        signal(child, "TERM");
    });
    assert!([130, 143].contains(&run.code), "{}", run.stderr);
    check_unsent(&run, &cancelled.workdir, "signal");

    let (run, impatient) = impatient.once_away(|_| {});
    let run = run.exits(4);
    check_unsent(&run, &impatient.workdir, "ledger_away");
    run.says("hint: see to the database, then give the same command again");

    let (run, interrupted) = interrupted.once_away(|child| signal(child, "INT"));
    let run = run.exits(130);
    check_unsent(&run, &interrupted.workdir, "signal");

    let none = Workdir::with_cities(1);
    let run = sync(&server, &none, &late_ledger, "--max-outage 1s").exits(4);
    assert_eq!(run.summary()["reason"], "ledger_away");
    run.says("is away: ").says("hint: see to the database,");
    for command in ["history", "undo 1"] {
        ended(attrsync(&server, &none, &late_ledger, command)).exits(4).says("is away: ");
    }

    let said = until_it_says(&mut waiting, "waiting: the database of the ledger", |_| {
        cluster.start_node(Node::Primary);
    });
    wait_with(waiting, said).exits(0);
    check_state(&server, &late);
    assert_eq!(server.counters().requests, ROWS);
    check_continued(&impatient);
    check_continued(&interrupted);
    check_continued(&cancelled);
}
