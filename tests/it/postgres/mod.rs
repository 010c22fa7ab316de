//! A real PostgreSQL, with PgBouncer before it, for the tests that need them; and ways to disturb them.
//!
//! [`database`] gives each test a database of its own on one server, which this process starts for its first test. A
//! [`Relay`] disturbs the connections of one test alone. Who stops or crashes a server takes a [`Cluster`] of its own.

#![expect(clippy::unwrap_used, reason = "what the tests share may fail as they may")]
#![allow(dead_code, unused_imports, reason = "a test may use what no other one uses yet")]

mod away;
mod basics;
mod cluster;
mod connections;
mod copies;
mod cuts;
mod failover;
mod faults;
mod quota;
mod refusals;
mod relay;
mod runs;
mod secrets;
mod session;
mod shared_rate;
mod slots;
mod starts;
mod takeover;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use cluster::{Cluster, Node};
pub(crate) use relay::{Cut, Relay};
pub(crate) use session::Session;

/// The addresses of a database that belongs to one test.
pub(crate) struct Database {
    /// What it is called on the server.
    pub(crate) name: String,
    /// By TCP, without TLS.
    pub(crate) direct: String,
    /// Through PgBouncer in transaction mode.
    pub(crate) pooled: String,
    /// By a socket of the file system.
    pub(crate) socket: String,
    /// By TCP with TLS, as `localhost`: the name in the server's certificate.
    pub(crate) tls: String,
    /// As the superuser.
    pub(crate) admin: String,
}

impl Database {
    /// Runs statements as the database's owner.
    pub(crate) fn execute(&self, sql: &str) {
        Session::open(&self.direct).execute(sql);
    }

    /// The rows of a query as its owner, as text; an empty text stands for NULL.
    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        Session::open(&self.direct).query(sql)
    }

    /// Ends all connections to it, and says how many these were. PgBouncer's are among them; the server's own processes,
    /// which come and go, are not.
    pub(crate) fn terminate_connections(&self) -> usize {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        Session::open(&self.admin).query(sql).len()
    }
}

/// The server that the tests of this process share; nothing where PostgreSQL is not installed. Nobody may stop it.
pub(crate) fn server() -> Option<&'static Cluster> {
    static SERVER: OnceLock<Option<Cluster>> = OnceLock::new();
    SERVER.get_or_init(|| Cluster::start(&[])).as_ref()
}

/// An empty database on the shared server; nothing where PostgreSQL is not installed. The test is left out then:
///
/// ```ignore
/// let Some(database) = database() else { return };
/// ```
pub(crate) fn database() -> Option<Database> {
    server().map(Cluster::database)
}

/// The name of the next database.
fn unused_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn postgresql_is_installed_where_it_is_required() {
    if cluster::is_required() {
        assert!(server().is_some(), "the variable `CI` is set, so the tests with PostgreSQL are required");
    }
}

#[test]
fn every_test_has_a_database_of_its_own_and_four_ways_to_it() {
    let (Some(one), Some(other)) = (database(), database()) else { return };
    one.execute("CREATE TABLE mine (x int); INSERT INTO mine VALUES (7)");
    for address in [&one.direct, &one.pooled, &one.socket] {
        assert_eq!(Session::open(address).query("SELECT x FROM mine"), [["7"]], "{address}");
    }
    assert_eq!(other.query("SELECT to_regclass('mine')"), [[""]]);
    assert_eq!(Session::open(&one.pooled).query("SHOW server_version_num").len(), 1);
}
