//! A PostgreSQL server with PgBouncer, as `tests/postgres/start` makes them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::super::cli::project;
use super::{Database, Session, unused_name};

/// A part of a cluster that can be stopped by itself.
#[derive(Clone, Copy)]
pub(crate) enum Node {
    Primary,
    Standby,
    Pooler,
}

/// The servers of one run of the script. They end with it, and it ends when its standard input is closed: when this is
/// dropped, or when the process of the tests ends, however it does.
pub(crate) struct Cluster {
    values: BTreeMap<String, String>,
    script: Child,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Pooler => "pooler",
        })
    }
}

impl Cluster {
    /// Starts a cluster that belongs to one test; nothing where PostgreSQL is not installed. `--standby` adds a replica,
    /// `--synchronous` one that commits wait for.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        if !is_installed() {
            assert!(!is_required(), "`CI` is set, but PostgreSQL, PgBouncer or openssl is missing");
            leave_out();
            return None;
        }
        // In a group of its own, so that Ctrl-C in a terminal does not reach it before the tests are over.
        let mut script = Command::new(project("tests/postgres/start"))
            .args(options)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut values = BTreeMap::new();
        for line in BufReader::new(script.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line == "ready" {
                return Some(Self { values, script });
            }
            let (name, value) = line.split_once('=').unwrap();
            values.insert(name.to_owned(), value.to_owned());
        }
        panic!("`tests/postgres/start` ended: {}", script.wait().unwrap());
    }

    /// A value that the script printed, by its name without `ATTRSYNC_TEST_`.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values.get(&format!("ATTRSYNC_TEST_{name}")).expect(name)
    }

    /// An empty database, whose owner is `attrsync`.
    pub(crate) fn database(&self) -> Database {
        let name = unused_name();
        Session::open(self.value("POSTGRES_ADMIN"))
            .execute(&format!("CREATE DATABASE {name} OWNER attrsync"));
        self.database_named(name)
    }

    /// The addresses of a database that exists already.
    pub(super) fn database_named(&self, name: String) -> Database {
        let address = |value: &str| in_database(self.value(value), &name);
        Database {
            direct: address("POSTGRES"),
            pooled: address("PGBOUNCER"),
            socket: address("POSTGRES_SOCKET"),
            tls: address("POSTGRES_TLS"),
            admin: address("POSTGRES_ADMIN"),
            name,
        }
    }

    /// The same database on the standby, which can be read, or written after [`Cluster::promote`].
    pub(crate) fn on_standby(&self, database: &Database) -> String {
        in_database(self.value("POSTGRES_STANDBY"), &database.name)
    }

    pub(crate) fn start_node(&self, node: Node) {
        self.control("start", node);
    }

    /// Stops a node in order.
    pub(crate) fn stop(&self, node: Node) {
        self.control("stop", node);
    }

    /// Stops a node as a crash does. What was committed is there when it starts again.
    pub(crate) fn crash(&self, node: Node) {
        self.control("crash", node);
    }

    /// Stops all processes of a node by a signal. Its connections stay open, and nothing answers. Returns when they stand.
    pub(crate) fn freeze(&self, node: Node) {
        self.control("freeze", node);
    }

    pub(crate) fn thaw(&self, node: Node) {
        self.control("thaw", node);
    }

    /// Makes the standby a primary. The old one goes on if nobody has stopped it.
    pub(crate) fn promote(&self) {
        self.control("promote", Node::Standby);
    }

    #[track_caller]
    fn control(&self, verb: &str, node: Node) {
        let directory = self.value("POSTGRES_DIRECTORY");
        let mut command = Command::new(project("tests/postgres/control"));
        let output = command.args([directory, verb, &node.to_string()]).output().unwrap();
        assert!(output.status.success(), "{verb} {node}: {output:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let ended = self.script.wait();
        if !std::thread::panicking() {
            assert!(ended.unwrap().success());
        }
    }
}

/// An address with another database.
fn in_database(address: &str, name: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let query = path.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}/{name}{query}")
}

/// Whether all is there that the script needs.
fn is_installed() -> bool {
    let postgres = "command -v postgres || ls /usr/lib/postgresql/*/bin/postgres";
    let script = format!("PATH=$PATH:/usr/sbin; ({postgres}) && command -v pgbouncer && command -v openssl");
    Command::new("sh").args(["-c", &script]).output().unwrap().status.success()
}

/// CI leaves no test out.
#[expect(clippy::disallowed_methods, reason = "who runs the tests says so by a variable")]
pub(super) fn is_required() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Says once, also where tests pass, that there is no PostgreSQL: what macros print is not shown then.
fn leave_out() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let why = "LEFT OUT: all tests with PostgreSQL. Install postgresql, pgbouncer and openssl.\n";
        std::io::stderr().write_all(why.as_bytes()).unwrap();
    });
}
