//! A PostgreSQL server with PgBouncer for the ledgers, as `tests/postgres/start` makes them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// The servers end when this is dropped.
pub(crate) struct Cluster {
    values: BTreeMap<String, String>,
    script: Child,
}

impl Cluster {
    /// Nothing where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let installed = "PATH=$PATH:/usr/sbin; (command -v postgres || ls /usr/lib/postgresql/*/bin/postgres) && command -v pgbouncer && command -v openssl";
        if !Command::new("sh").args(["-c", installed]).output().unwrap().status.success() {
            return None;
        }
        let mut script = Command::new(project("tests/postgres/start"))
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

    /// The address of a ledger of its own, directly or through PgBouncer.
    pub(crate) fn ledger(&self, dice: &mut StdRng, seed: u64) -> String {
        let name = if dice.random_bool(0.5) { "POSTGRES" } else { "PGBOUNCER" };
        format!("{}?schema=seed{seed}&lease=2s", self.value(name))
    }

    /// Crashes after a pause, and comes back after another.
    pub(crate) fn disappear(&self, pause: Duration, length: Duration) {
        thread::sleep(pause);
        self.control("crash");
        thread::sleep(length);
        self.control("start");
    }

    fn value(&self, name: &str) -> &str {
        &self.values[&format!("ATTRSYNC_TEST_{name}")]
    }

    fn control(&self, verb: &str) {
        let directory = self.value("POSTGRES_DIRECTORY");
        let output = Command::new(project("tests/postgres/control"))
            .args([directory, verb, "primary"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{verb}: {output:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let ended = self.script.wait();
        assert!(thread::panicking() || ended.is_ok_and(|status| status.success()));
    }
}

fn project(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
