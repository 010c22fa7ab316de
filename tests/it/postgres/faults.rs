//! The ways to disturb a server do what tests rely on.

use super::{Cluster, Node, Session, database};

#[test]
fn a_server_that_crashes_keeps_what_was_committed() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = cluster.database();
    database.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (7)");
    let session = Session::open(&database.pooled);
    cluster.crash(Node::Primary);
    assert!(Session::try_open(&database.direct).is_err());
    cluster.start_node(Node::Primary);
    assert_eq!(database.query("SELECT x FROM t"), [["7"]]);
    cluster.crash(Node::Pooler);
    assert!(session.try_query("SELECT 1").is_err());
    cluster.start_node(Node::Pooler);
    assert_eq!(Session::open(&database.pooled).query("SELECT x FROM t"), [["7"]]);
    cluster.stop(Node::Primary);
    cluster.start_node(Node::Primary);
    assert_eq!(Session::open(&database.pooled).query("SELECT x FROM t"), [["7"]]);
}

#[test]
fn a_frozen_server_answers_when_it_thaws() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let session = Session::open(cluster.value("POSTGRES"));
    cluster.freeze(Node::Primary);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| session.query("SELECT 1"));
        assert!(!waits.is_finished());
        cluster.thaw(Node::Primary);
        assert_eq!(waits.join().unwrap(), [["1"]]);
    });
    // It can also be stopped as it is.
    cluster.freeze(Node::Primary);
    cluster.freeze(Node::Pooler);
}

#[test]
fn a_synchronous_standby_has_what_was_committed() {
    let Some(cluster) = Cluster::start(&["--synchronous"]) else { return };
    let database = cluster.database();
    database.execute("CREATE TABLE t (x int)");
    database.execute("INSERT INTO t VALUES (7)");
    cluster.crash(Node::Primary);
    cluster.promote();
    let standby = Session::open(&cluster.on_standby(&database));
    standby.execute("INSERT INTO t VALUES (8)");
    assert_eq!(standby.query("SELECT x FROM t ORDER BY x"), [["7"], ["8"]]);
}

#[test]
fn an_asynchronous_standby_can_be_promoted_beside_the_old_primary() {
    let Some(cluster) = Cluster::start(&["--standby"]) else { return };
    cluster.promote();
    for primary in ["POSTGRES_STANDBY", "POSTGRES"] {
        Session::open(cluster.value(primary)).execute("CREATE SCHEMA mine");
    }
}

#[test]
fn connections_of_one_database_can_be_ended() {
    let (Some(one), Some(other)) = (database(), database()) else { return };
    let (ends, stays) = (Session::open(&one.direct), Session::open(&other.direct));
    assert_eq!(one.terminate_connections(), 1);
    assert!(ends.try_query("SELECT 1").is_err());
    assert_eq!(stays.query("SELECT 1"), [["1"]]);
}
