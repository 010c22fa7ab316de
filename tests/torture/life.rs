//! A process of the program, from its start to its end, and what hits it meanwhile.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::input::Key;
use super::server::Server;

/// A process that sends nothing for so long hangs.
const PATIENCE: Duration = Duration::from_mins(3);

/// Longer than any life takes, also where the server throttles at random, which slows a run down further and further.
const LONGEST_LIFE: Duration = Duration::from_mins(12);

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// When a process is hit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// When the server has had this number of requests since the process began.
    Requests(usize),
    After(Duration),
}

/// What hits it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hit {
    Kill,
    Signal(Signal),
    /// A second signal follows.
    Signals(Signal, Duration),
    /// It stands still for a while, as a laptop that sleeps.
    Freeze(Duration),
}

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) directory: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) key: String,
    pub(crate) base_url: String,
    pub(crate) ledger: String,
    /// Where what it prints goes; outside of its directory.
    pub(crate) prints: PathBuf,
    pub(crate) number: u32,
}

/// A process that is over.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) arguments: Vec<String>,
    pub(crate) key: String,
    pub(crate) status: ExitStatus,
    /// What hit it while it ran.
    pub(crate) hit: Option<Hit>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) summary: Option<Value>,
    pub(crate) report: Option<Vec<Reported>>,
    /// The most memory it had, in bytes, as far as it was seen.
    pub(crate) peak: u64,
}

/// A row of a failures report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) user: String,
    pub(crate) attribute: String,
    pub(crate) value: String,
    pub(crate) fate: String,
    pub(crate) status: String,
    pub(crate) error: String,
    pub(crate) attempts: usize,
}

impl Reported {
    pub(crate) fn key(&self) -> Key {
        (self.user.clone(), self.attribute.clone())
    }
}

pub(crate) const SUMMARY: &str = "summary.json";
pub(crate) const REPORT: &str = "failures.csv";

impl Start {
    fn print_to(&self, name: &str) -> PathBuf {
        self.prints.join(format!("{}.{name}", self.number))
    }

    fn command(&self) -> Command {
        crate::signals::reset_for_children();
        let mut command = Command::new(env!("CARGO_BIN_EXE_attrsync"));
        command.args(&self.arguments).current_dir(&self.directory).env_clear().stdin(Stdio::null());
        command.env("ATTRSYNC_TOKEN", &self.key).env("ATTRSYNC_BASE_URL", &self.base_url);
        command.env("ATTRSYNC_LEDGER", &self.ledger);
        command.stdout(File::create(self.print_to("out")).unwrap());
        command.stderr(File::create(self.print_to("err")).unwrap());
        command
    }

    /// Runs it without anything that hits it and without reports of its own.
    pub(crate) fn ask(&self) -> (i32, String, String) {
        let mut child = self.command().spawn().unwrap();
        let status = wait(&mut child, |_| 0);
        let print = |name| fs::read_to_string(self.print_to(name)).unwrap();
        (status.code().unwrap_or(-1), print("out"), print("err"))
    }

    /// Runs it to its end, and hits it meanwhile.
    pub(crate) fn run(self, server: &Server, hit: Option<(When, Hit)>) -> Life {
        let summary = self.directory.join(SUMMARY);
        if summary.exists() {
            fs::remove_file(&summary).unwrap();
        }
        let began = Instant::now();
        let before = server.requests();
        let mut child = self.command().spawn().unwrap();
        let mut peak = 0;
        let mut left = hit;
        let mut next: Option<(Instant, Hit)> = None;
        let mut hit = None;
        let status = wait(&mut child, |child| {
            peak = peak.max(most_memory(child).unwrap_or(0));
            if let Some((when, what)) = left
                && match when {
                    When::Requests(number) => server.requests() - before >= number,
                    When::After(time) => began.elapsed() >= time,
                }
            {
                left = None;
                hit = Some(what);
                next = strike(child, what);
            }
            if let Some((at, what)) = next
                && Instant::now() >= at
            {
                next = strike(child, what);
            }
            server.requests()
        });
        let print = |name| fs::read_to_string(self.print_to(name)).unwrap();
        let (stdout, stderr) = (print("out"), print("err"));
        Life {
            status,
            hit,
            stdout,
            stderr,
            summary: fs::read(&summary).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap()),
            report: read_report(&self.directory.join(REPORT)),
            peak,
            arguments: self.arguments,
            key: self.key,
        }
    }
}

impl Life {
    /// Its exit code, unless a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::KILL.as_raw())
    }

    /// Whether it said that it did all it could, perhaps just before it was killed.
    pub(crate) fn is_finished(&self) -> bool {
        let told = self.summary.as_ref().and_then(|summary| summary["exit_code"].as_i64());
        matches!(self.code(), Some(0 | 1)) || self.was_killed() && matches!(told, Some(0 | 1))
    }

    pub(crate) fn rows(&self, fate: &str) -> u64 {
        self.number("rows", fate)
    }

    pub(crate) fn number(&self, group: &str, name: &str) -> u64 {
        self.summary.as_ref().unwrap()[group][name].as_u64().unwrap()
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.summary.as_ref()?["reason"].as_str()
    }
}

/// Waits for the end of a process, and looks at it meanwhile, which returns how many requests there are.
fn wait(child: &mut Child, mut look: impl FnMut(&Child) -> usize) -> ExitStatus {
    let (began, mut requests, mut latest) = (Instant::now(), 0, Instant::now());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        let now = look(child);
        if now != requests {
            (requests, latest) = (now, Instant::now());
        }
        if latest.elapsed() > PATIENCE || began.elapsed() > LONGEST_LIFE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("a process hangs");
        }
        thread::sleep(LOOK);
    }
}

/// Does it, and says what is to follow.
fn strike(child: &Child, hit: Hit) -> Option<(Instant, Hit)> {
    let send = |signal| kill_process(Pid::from_child(child), signal).unwrap();
    match hit {
        Hit::Kill => send(Signal::KILL),
        Hit::Signal(signal) => send(signal),
        Hit::Signals(signal, pause) => {
            send(signal);
            return Some((Instant::now() + pause, Hit::Signal(signal)));
        }
        Hit::Freeze(time) => {
            send(Signal::STOP);
            return Some((Instant::now() + time, Hit::Signal(Signal::CONT)));
        }
    }
    None
}

/// The most memory that a process had so far.
fn most_memory(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

pub(crate) fn read_report(path: &Path) -> Option<Vec<Reported>> {
    let file = File::open(path).ok()?;
    let mut reader = csv::Reader::from_reader(file);
    let row = |record: csv::StringRecord| {
        let text = |place: usize| record.get(place).unwrap().to_owned();
        Reported {
            user: text(0),
            attribute: text(1),
            value: text(2),
            fate: text(3),
            status: text(4),
            error: text(5),
            attempts: text(6).parse().unwrap(),
        }
    };
    Some(reader.records().map(|record| row(record.unwrap())).collect())
}
