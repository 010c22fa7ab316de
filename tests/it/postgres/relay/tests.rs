//! The relay does what tests rely on, against the real server.

use super::super::{Database, Session, database};
use super::{Cut, Relay};

/// A relay to a database with an empty table, and a connection through it.
struct Relayed {
    database: Database,
    relay: Relay,
    session: Session,
}

impl Relayed {
    fn new() -> Option<Self> {
        let database = database()?;
        database.execute("CREATE TABLE t (x int)");
        let relay = Relay::to(&database.direct);
        let session = Session::open(&relay.address(&database.direct));
        Some(Self { database, relay, session })
    }

    fn connect(&self) -> Result<Session, tokio_postgres::Error> {
        Session::try_open(&self.relay.address(&self.database.direct))
    }

    /// Whether the server has this row. It may be about to commit it, or to find that the connection is cut.
    fn has(&self, x: i32) -> bool {
        self.database.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT 1");
        !self.database.query(&format!("SELECT FROM t WHERE x = {x}")).is_empty()
    }

    /// Does this to an INSERT, and checks that the client sees an error and whether the server has the row.
    fn check(&self, cut: Cut, is_there: bool) {
        self.relay.next_with(cut, "INSERT");
        self.session.execute("SELECT 1");
        assert!(self.session.try_query("INSERT INTO t VALUES (5)").is_err(), "{cut:?}");
        self.relay.until_cut();
        assert_eq!(self.has(5), is_there, "{cut:?}");
        assert_eq!(self.connect().unwrap().query("SELECT 2"), [["2"]]);
    }
}

#[test]
fn a_request_that_is_cut_does_not_reach_the_server() {
    for cut in [Cut::BeforeRequest, Cut::HalfRequest] {
        let Some(relayed) = Relayed::new() else { return };
        relayed.check(cut, false);
    }
}

#[test]
fn a_reply_that_is_cut_is_that_of_a_request_that_was_done() {
    for cut in [Cut::BeforeReply, Cut::HalfReply] {
        let Some(relayed) = Relayed::new() else { return };
        relayed.check(cut, true);
    }
}

#[test]
fn a_reply_that_is_held_keeps_the_connection_open() {
    let Some(relayed) = Relayed::new() else { return };
    relayed.relay.next(Cut::HoldReply);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| relayed.session.try_query("INSERT INTO t VALUES (5)"));
        relayed.relay.until_cut();
        assert!(relayed.has(5));
        assert!(!waits.is_finished());
        relayed.relay.cut();
        assert!(waits.join().unwrap().is_err());
    });
}

#[test]
fn the_nth_request_with_a_text_is_cut_and_no_other() {
    let Some(relayed) = Relayed::new() else { return };
    let before = relayed.relay.requests();
    relayed.relay.nth(Cut::BeforeReply, "INSERT", 3);
    for x in [1, 2] {
        relayed.session.execute(&format!("INSERT INTO t VALUES ({x})"));
        relayed.session.execute("SELECT 1");
    }
    assert!(relayed.relay.is_armed());
    assert!(relayed.session.try_query("INSERT INTO t VALUES (3)").is_err());
    assert_eq!(relayed.relay.requests() - before, 5);
    let session = relayed.connect().unwrap();
    session.execute("INSERT INTO t VALUES (4)");
    assert_eq!(relayed.relay.connections(), 2);
    assert_eq!(session.query("SELECT x FROM t ORDER BY x"), [["1"], ["2"], ["3"], ["4"]]);
}

#[test]
fn what_is_stalled_goes_on_later() {
    let Some(relayed) = Relayed::new() else { return };
    relayed.relay.stall();
    std::thread::scope(|scope| {
        let (old, new) = (
            scope.spawn(|| relayed.session.query("SELECT 1")),
            scope.spawn(|| relayed.connect().unwrap().query("SELECT 2")),
        );
        assert!(!old.is_finished() && !new.is_finished());
        relayed.relay.pass();
        assert_eq!(
            (old.join().unwrap(), new.join().unwrap()),
            (vec![vec!["1".into()]], vec![vec!["2".into()]])
        );
    });
}

#[test]
fn who_is_refused_can_come_back() {
    let Some(relayed) = Relayed::new() else { return };
    relayed.relay.refuse();
    assert!(relayed.session.try_query("SELECT 1").is_err());
    assert!(relayed.connect().is_err());
    relayed.relay.pass();
    assert_eq!(relayed.connect().unwrap().query("SELECT 1"), [["1"]]);
}

#[test]
fn a_long_reply_passes_whole() {
    let Some(relayed) = Relayed::new() else { return };
    let rows = relayed.session.query("SELECT repeat('x', 100) FROM generate_series(1, 20000)");
    assert_eq!(rows.len(), 20_000);
}
