//! The program as a whole, as a process: with a sandbox over real sockets for what goes wrong, and with a server that
//! compares each byte for what is agreed.

#![expect(clippy::unwrap_used, reason = "what the tests share may fail as they may")]

mod canary;
mod changes;
mod console;
mod documents;
mod endings;
mod formulas;
mod history;
mod hostile;
mod http2;
pub(crate) mod interrupted;
mod kept;
mod large;
mod ledger_options;
mod monitoring;
mod moved;
mod next;
mod nights;
mod page;
mod plans;
mod planted;
mod progress;
mod protocol;
mod pull;
mod reasons;
mod refused;
mod rehearsal;
mod remembered;
mod request_ids;
mod rules;
mod saved_plan;
mod secrecy;
pub(crate) mod signals;
mod stale_plan;
mod timeouts;
mod tls;
mod truth;
mod undone;
mod unseen;
mod verified;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use attrsync::sandbox::{Counters, Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Looks like a key: 64 letters and digits.
pub(crate) const KEY: &str = "Zq8vB2nM5xC7wR1tY4uK9pL3sD6fG0hJZq8vB2nM5xC7wR1tY4uK9pL3sD6fG0hJ";

/// Far longer than any run takes: what hangs is to fail.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// A directory of its own, in which the program runs with nothing from outside: not one variable.
pub(crate) struct Workdir(TempDir);

/// A run of the program that is over.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A row of a failures report.
pub(crate) struct Lost {
    pub(crate) row: [String; 3],
    pub(crate) fate: String,
    pub(crate) status: String,
    pub(crate) error: String,
}

/// A sandbox in this process.
pub(crate) struct Server {
    pub(crate) sandbox: Sandbox,
    pub(crate) runtime: Runtime,
}

impl Workdir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With rows below the usual header in `users.csv`.
    pub(crate) fn with_rows(rows: &[&str]) -> Self {
        let workdir = Self::new();
        workdir.file("users.csv", format!("user_id,attribute,value\n{}\n", rows.join("\n")));
        workdir
    }

    /// With this many users in `users.csv`, each with its own city: as many requests.
    pub(crate) fn with_cities(users: u32) -> Self {
        let rows: Vec<String> = (1..=users).map(|user| format!("{user},city,City {user}")).collect();
        Self::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// What is there, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program with these arguments, which have no spaces in them.
    pub(crate) fn attrsync(&self, arguments: &str) -> Command {
        signals::reset_for_children();
        let mut command = Command::new(env!("CARGO_BIN_EXE_attrsync"));
        command.args(arguments.split_whitespace());
        command.current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Ended {
        ended(self.attrsync(arguments))
    }

    /// Runs it with these bytes as standard input.
    pub(crate) fn pipe(&self, input: impl Into<Vec<u8>>, arguments: &str) -> Ended {
        let mut command = assert_cmd::Command::from_std(self.attrsync(arguments));
        command.timeout(PATIENCE).write_stdin(input).output().unwrap().into()
    }

    /// The failures report, without the header.
    pub(crate) fn failures(&self) -> Vec<Lost> {
        let mut reader = csv::Reader::from_path(self.path("failures.csv")).unwrap();
        let header =
            ["user_id", "attribute", "value", "fate", "status", "error", "attempts", "source", "line"];
        assert_eq!(reader.headers().unwrap(), &header[..]);
        let texts = reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect());
        texts
            .map(|texts: Vec<String>| {
                let [user, attribute, value, fate, status, error, ..]: [String; 9] =
                    texts.try_into().unwrap();
                Lost { row: [user, attribute, value], fate, status, error }
            })
            .collect()
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The summary that `--summary -` printed. It is checked against the schema that scripts are given.
    pub(crate) fn summary(&self) -> Value {
        static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
            let schema = serde_json::from_str(include_str!("../../../docs/summary.schema.json")).unwrap();
            jsonschema::validator_for(&schema).unwrap()
        });
        let summary = serde_json::from_str(&self.stdout).unwrap();
        if let Err(error) = SCHEMA.validate(&summary) {
            panic!("{error} in {summary:#}");
        }
        summary
    }

    /// How many rows have this fate in the summary.
    pub(crate) fn rows(&self, fate: &str) -> u64 {
        self.summary()["rows"][fate].as_u64().unwrap()
    }

    /// How many requests of this kind are in the summary.
    pub(crate) fn requests(&self, kind: &str) -> u64 {
        self.summary()["requests"][kind].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("no signal ends it");
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Server {
    pub(crate) fn new(options: Options) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
        Self { sandbox, runtime }
    }

    /// Without limits and faults.
    pub(crate) fn friendly() -> Self {
        Self::new(Options::default())
    }

    /// `sync` to this server, as fast as can be unless the arguments say otherwise.
    pub(crate) fn command(&self, workdir: &Workdir, arguments: &str) -> Command {
        to(&self.sandbox.base_url(), workdir, arguments)
    }

    pub(crate) fn sync(&self, workdir: &Workdir, arguments: &str) -> Ended {
        ended(self.command(workdir, arguments))
    }

    pub(crate) fn counters(&self) -> Counters {
        self.sandbox.counters()
    }

    pub(crate) fn state(&self) -> String {
        self.sandbox.state_csv()
    }

    /// Returns when the counters are as asked for, which the program in the other process brings about.
    pub(crate) fn until(&self, ready: impl Fn(&Counters) -> bool) {
        self.runtime.block_on(async {
            let mut look = tokio::time::interval(Duration::from_millis(1));
            while !ready(&self.counters()) {
                look.tick().await;
            }
        });
    }
}

/// `sync` to an address, as fast as can be unless the arguments say otherwise.
pub(crate) fn to(base_url: &str, workdir: &Workdir, arguments: &str) -> Command {
    let mut command = workdir.attrsync(&format!("sync {arguments}"));
    command.env("ATTRSYNC_BASE_URL", base_url).env("ATTRSYNC_TOKEN", KEY);
    command.env("ATTRSYNC_RATE", "100000/s").env("ATTRSYNC_RETRY_INITIAL_DELAY", "2ms");
    // What a ledger adds is tested by itself.
    command.env("ATTRSYNC_NO_LEDGER", "true");
    command
}

pub(crate) fn ended(command: Command) -> Ended {
    assert_cmd::Command::from_std(command).timeout(PATIENCE).output().unwrap().into()
}

/// Says that a part of the tests is left out, also where the test passes: what macros print is not shown then.
fn left_out(why: &str) {
    let mut stderr = std::io::stderr();
    std::io::Write::write_all(&mut stderr, format!("LEFT OUT: {why}\n").as_bytes()).unwrap();
}

/// A file that is part of the project.
pub(crate) fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn users_csv() -> String {
    project("fixtures/users.csv").display().to_string()
}
