//! Signals: what is in flight is finished, recorded and told; the second signal waits for nothing.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use attrsync::sandbox::{ErrorBody, Fault, FaultKind, Moment, Options};

use super::{Ended, Server, Workdir};

pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

pub(crate) fn wait(child: Child) -> Ended {
    child.wait_with_output().unwrap().into()
}

/// Reads what it says up to these words, then acts, and reads the rest: a pipe that nobody reads may stop the writer.
pub(crate) fn until_it_says(child: &mut Child, words: &str, act: impl FnOnce(&Child)) -> String {
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(words) {
        assert_ne!(errors.read_line(&mut said).unwrap(), 0, "it ended before: {said}");
    }
    act(child);
    errors.read_to_string(&mut said).unwrap();
    said
}

/// Sends it a signal, acts once it says that it stops, and waits for its end.
pub(super) fn stop(mut child: Child, name: &str, act: impl FnOnce(&Child)) -> Ended {
    signal(&child, name);
    let stderr = until_it_says(&mut child, "signal again quits", act);
    Ended { stderr, ..wait(child) }
}

fn is_in_flight_finished(name: &str, code: i32) {
    let (workdir, server) = (Workdir::with_cities(500), Server::friendly());
    server.sandbox.hold_after(6);
    let child = server.command(&workdir, "users.csv --concurrency 4 --summary -").spawn().unwrap();
    server.until(|counters| counters.requests == 10);
    let run = stop(child, name, |_| server.sandbox.release()).exits(code);
    assert_eq!(run.summary()["outcome"], "interrupted");

    let counters = server.counters();
    assert_eq!((counters.requests, counters.ok), (10, 10), "one was in flight and not finished");
    assert_eq!((run.requests("sent"), run.requests("acknowledged")), (10, 10));
    assert_eq!(server.sandbox.state().len() as u64, run.rows("acknowledged"));
    let lost = workdir.failures();
    assert!(lost.iter().all(|lost| lost.fate == "unsent"));
    assert_eq!((lost.len() as u64, run.rows("unsent")), (run.rows("unsent"), 500 - run.rows("acknowledged")));

    // The rest, fed back, completes the job.
    let rest = Server::friendly();
    rest.sync(&workdir, "failures.csv").exits(0);
    assert_eq!(rest.sandbox.state().len() + server.sandbox.state().len(), 500);
}

#[test]
fn sigint_lets_requests_in_flight_finish() {
    is_in_flight_finished("INT", 130);
}

#[test]
fn sigterm_lets_requests_in_flight_finish() {
    is_in_flight_finished("TERM", 143);
}

#[test]
fn a_closed_terminal_lets_requests_in_flight_finish() {
    is_in_flight_finished("HUP", 129);
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let (workdir, server) = (Workdir::with_cities(4), Server::friendly());
    server.sandbox.hold_after(1);
    let command = server.command(&workdir, "users.csv --concurrency 1 --summary -");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT TERM; exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.until(|counters| counters.requests == 2);
    for name in ["HUP", "INT", "TERM"] {
        signal(&child, name);
    }
    server.sandbox.release();
    assert_eq!(wait(child).exits(0).rows("acknowledged"), 4);
}

#[test]
fn a_second_signal_leaves_at_once_and_still_reports() {
    let workdir = Workdir::with_cities(3);
    let stall = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };
    let server = Server::new(Options { script: vec![None, Some(stall), Some(stall)], ..Options::default() });
    let child = server.command(&workdir, "users.csv --summary -").spawn().unwrap();
    server.until(|counters| counters.requests == 3);
    let run = stop(child, "INT", |child| signal(child, "INT")).exits(130);
    assert_eq!((run.rows("acknowledged"), run.rows("unsent"), workdir.failures().len()), (1, 2, 2));
}

#[test]
fn a_signal_while_an_outage_is_waited_for_ends_the_wait() {
    let workdir = Workdir::with_cities(3);
    let down = Fault { kind: FaultKind::Error(503, ErrorBody::Html), moment: Moment::BeforeApplying };
    let server = Server::new(Options { script: vec![Some(down); 1000], ..Options::default() });
    let arguments = "users.csv --retry-initial-delay 30s --summary -";
    let child = server.command(&workdir, arguments).spawn().unwrap();
    server.until(|counters| counters.faulted == 1);
    signal(&child, "TERM");
    assert_eq!(wait(child).exits(143).rows("unsent"), 3);
}

/// A request that is never answered.
const STALL: Option<Fault> = Some(Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying });

/// Cancels a run as a pipeline does, with SIGINT and later SIGTERM, when its first request is acknowledged and all that
/// follow are in flight and stay so.
fn cancelled(server: &Server, in_flight: u64, mut command: Command) -> Ended {
    let child = command.spawn().unwrap();
    server.until(|counters| counters.requests == 1 + in_flight);
    stop(child, "INT", |child| signal(child, "TERM"))
}

/// That the summary of a run with `read` rows, one of them acknowledged, agrees with the failures report.
fn check_reports(run: &Ended, workdir: &Workdir, read: u64) {
    let summary = run.summary();
    assert_eq!(
        (summary["outcome"].as_str(), summary["reason"].as_str()),
        (Some("interrupted"), Some("signal"))
    );
    let rows = summary["rows"].as_object().unwrap().iter();
    let fates = rows.filter(|(fate, _)| *fate != "read").map(|(_, count)| count.as_u64().unwrap());
    assert_eq!((run.rows("read"), fates.sum::<u64>()), (read, read));
    assert_eq!((run.rows("acknowledged"), run.rows("unsent")), (1, read - 1));
    let lost = workdir.failures();
    assert_eq!(lost.len() as u64, read - 1);
    assert!(lost.iter().all(|lost| lost.fate == "unsent"));
    assert_eq!(lost.iter().map(|lost| &lost.row).collect::<BTreeSet<_>>().len(), lost.len());
}

#[test]
fn a_second_signal_leaves_a_ledger_and_reports_that_the_next_run_goes_on_from() {
    let workdir = Workdir::with_cities(100);
    let mut script = vec![STALL; 17];
    script[0] = None;
    let server = Server::new(Options { script, ..Options::default() });
    let mut command = server.remembering(&workdir, "users.csv --concurrency 16");
    command.env("GITHUB_ACTIONS", "true");
    let run = cancelled(&server, 16, command).exits(130);
    check_reports(&run, &workdir, 100);
    let history = workdir.run("history").exits(0).stdout;
    assert!(history.contains("interrupted"), "{history}");

    let again = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((again.rows("resumed"), again.rows("acknowledged")), (1, 99));
    assert_eq!(server.sandbox.state().len(), 100);
}

#[test]
fn a_second_signal_reports_every_row_of_a_large_plan() {
    const ROWS: u64 = 60_000;
    let rows = (1..ROWS / 2).map(|user| format!("{user},city,Oslo\n{user},first_name,Name {user}\n"));
    let workdir = Workdir::new();
    workdir.file(
        "users.csv",
        format!("user_id,attribute,value\n7,region,First\n8,region,\"a, b\"\n{}", rows.collect::<String>()),
    );
    let script = std::iter::once(None).chain(std::iter::repeat_n(STALL, 10)).collect();
    let server = Server::new(Options { script, ..Options::default() });
    let command = server.remembering(&workdir, "users.csv --concurrency 10 --batch-size 1");
    let run = cancelled(&server, 10, command).exits(130);
    check_reports(&run, &workdir, ROWS);
}

#[test]
fn a_signal_while_a_file_is_opened_sends_nothing() {
    let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
    assert!(Command::new("mkfifo").arg(workdir.path("pipe")).status().unwrap().success());
    // Opening a pipe that nobody reads takes forever.
    let child = server.command(&workdir, "users.csv --failures pipe --summary -").spawn().unwrap();
    until_it_catches_signals(&child);
    signal(&child, "TERM");
    let run = wait(child).exits(143);
    run.says("nothing was sent");
    assert_eq!(server.counters().requests, 0);
}

/// Returns when signals no longer end the process.
fn until_it_catches_signals(child: &Child) {
    const SIGTERM: u32 = 15;
    let status = format!("/proc/{}/status", child.id());
    loop {
        let status = std::fs::read_to_string(&status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (SIGTERM - 1)) != 0 {
            return;
        }
        std::thread::yield_now();
    }
}

/// The program with this command line, once it reads from a FIFO, with the other end of that.
fn reading(workdir: &Workdir, mut command: Command) -> (Child, File) {
    assert!(Command::new("mkfifo").arg(workdir.path("rows")).status().unwrap().success());
    let child = command.spawn().unwrap();
    // Waits until the program reads.
    let mut rows = OpenOptions::new().write(true).open(workdir.path("rows")).unwrap();
    rows.write_all(b"user_id,attribute,value\n1,city,Oslo\n").unwrap();
    (child, rows)
}

#[test]
fn a_signal_while_rows_are_awaited_sends_nothing() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let (workdir, server) = (Workdir::new(), Server::friendly());
        workdir.file("failures.csv", "of an earlier run");
        let (child, rows) = reading(&workdir, server.command(&workdir, "rows --summary -"));
        signal(&child, name);
        let run = wait(child).exits(code);
        drop(rows);
        assert_eq!((run.summary()["outcome"].as_str(), server.counters().requests), (Some("interrupted"), 0));
        assert_eq!(run.summary()["reason"], "signal");
        run.says("nothing was sent").says(name);
        assert_eq!(workdir.read("failures.csv"), "of an earlier run");
        assert_eq!(workdir.names(), ["failures.csv", "rows"]);
    }
}

#[test]
fn a_plan_that_is_interrupted_leaves_nothing_behind() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let workdir = Workdir::new();
        let arguments = "plan rows --failures failures.csv --bodies bodies.json";
        let (child, rows) = reading(&workdir, workdir.attrsync(arguments));
        assert_eq!(workdir.names(), [".bodies.json.attrsync", ".failures.csv.attrsync", "rows"]);
        signal(&child, name);
        wait(child).exits(code).says(name);
        drop(rows);
        assert_eq!(workdir.names(), ["rows"]);
    }
}

#[test]
fn a_plan_that_waits_for_its_reader_can_be_interrupted() {
    let workdir = Workdir::with_cities(20_000);
    let mut child = workdir.attrsync("plan users.csv --bodies -").spawn().unwrap();
    let mut bodies = BufReader::new(child.stdout.take().unwrap());
    bodies.read_line(&mut String::new()).unwrap();
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
