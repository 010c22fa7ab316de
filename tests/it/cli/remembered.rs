//! What a run knows of those before it: it goes on where they stopped, and if asked to sends only what changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Child, Command};

use attrsync::ledger::{LedgerError, LedgerReader};
use attrsync::sandbox::{ErrorBody, Fault, FaultKind, Log, Moment, Options};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::interrupted::{signal, stop};
use super::truth::naive_state;
use super::{Ended, Server, Workdir, ended, users_csv};

/// A fault that stops a run: the key is no longer good.
const KEY_REFUSED: Fault =
    Fault { kind: FaultKind::Error(401, ErrorBody::Json), moment: Moment::BeforeApplying };

/// Most requests in flight, by default.
const CONCURRENCY: u64 = 16;

impl Server {
    /// A server that stops the first run after this number of answers.
    pub(super) fn stopping_after(answers: usize) -> Self {
        let mut script = vec![None; answers];
        script.push(Some(KEY_REFUSED));
        Self::new(Options { script, ..Options::default() })
    }

    /// `sync` with a ledger, and with the summary on standard output.
    pub(super) fn remembering(&self, workdir: &Workdir, arguments: &str) -> Command {
        let mut command = self.command(workdir, &format!("{arguments} --summary -"));
        command.env_remove("ATTRSYNC_NO_LEDGER");
        command
    }

    pub(super) fn remember(&self, workdir: &Workdir, arguments: &str) -> Ended {
        ended(self.remembering(workdir, arguments))
    }

    /// Runs it until it ends or this many requests have come in all, then kills it.
    pub(super) fn kill_after(&self, requests: u64, command: &mut Command, rng: &mut StdRng) {
        let child = RefCell::new(command.spawn().unwrap());
        self.until(|counters| {
            counters.requests >= requests || child.borrow_mut().try_wait().unwrap().is_some()
        });
        for moment in 0..rng.random_range(0..500_000_u32) {
            black_box(moment);
        }
        kill(child.into_inner());
    }
}

pub(super) fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How many rows the ledger has as acknowledged, each as often as a run recorded it.
pub(super) fn recorded(workdir: &Workdir) -> u64 {
    let reader = match LedgerReader::open(&workdir.path("attrsync.ledger").into()) {
        Err(LedgerError::Missing { .. }) => return 0,
        reader => reader.unwrap(),
    };
    let runs = reader.runs().unwrap().into_iter();
    runs.flat_map(|past| reader.sent_rows(past.run).unwrap()).map(|sent| sent.users).sum()
}

/// `users.csv` with this in place of that.
pub(super) fn replace(workdir: &Workdir, this: &str, that: &str) {
    let text = workdir.read("users.csv");
    assert!(text.contains(this));
    workdir.file("users.csv", text.replace(this, that));
}

#[track_caller]
fn check_state(server: &Server, workdir: &Workdir) {
    assert_eq!(server.state(), naive_state(&workdir.read("users.csv")));
}

#[test]
fn what_was_answered_is_recorded_while_nothing_else_happens_and_survives_a_kill() {
    let stall = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };
    let mut script = vec![None; 12];
    script.push(Some(stall));
    let (workdir, server) =
        (Workdir::with_cities(20), Server::new(Options { script, log: Log::Keep, ..Options::default() }));
    let child = server.remembering(&workdir, "users.csv --concurrency 1").spawn().unwrap();
    server.until(|counters| counters.requests == 13 && recorded(&workdir) == 12);
    kill(child);

    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (12, 8));
    assert_eq!(server.sandbox.log()[13..].len(), 8);
    check_state(&server, &workdir);
    run.says("continuing run 1, begun").says("12 rows are done");
}

/// Kills the same command again and again, wherever it is, and at last lets it end.
#[expect(clippy::print_stdout, reason = "who looks into a failure needs the seed")]
fn check_kills(options: Options, input: &str, requests_between_kills: u64) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (workdir, server) = (Workdir::new(), Server::new(Options { seed, ..options }));
    workdir.file("users.csv", input);
    let arguments = "users.csv --max-attempts 40";
    for _ in 0..5 {
        let before = server.counters().requests;
        let moment = before + rng.random_range(0..requests_between_kills);
        server.kill_after(moment, &mut server.remembering(&workdir, arguments), &mut rng);
    }
    let (known, before) = (recorded(&workdir), server.counters());
    let run = server.remember(&workdir, arguments).exits(0);
    assert_eq!(run.rows("resumed"), known);
    // What was in flight at the last kill may reach the server only now.
    let (sent, late) = (run.requests("sent"), server.counters().requests - before.requests);
    assert!((sent..=sent + CONCURRENCY).contains(&late), "{sent} sent, {late} came");
    check_state(&server, &workdir);
    assert_eq!(recorded(&workdir), server.sandbox.state().len() as u64, "what was recorded was sent again");
    let run = server.remember(&workdir, &format!("{arguments} --only-changed")).exits(0);
    assert_eq!((run.rows("acknowledged"), run.requests("sent")), (0, 0));
}

#[test]
fn a_run_that_is_killed_at_any_moment_is_continued_and_sends_nothing_twice_that_it_recorded() {
    check_kills(Options::default(), &Workdir::with_cities(400).read("users.csv"), 60);
    check_kills(Options::default(), &std::fs::read_to_string(users_csv()).unwrap(), 60);
}

#[test]
fn kills_among_errors_and_broken_connections_lose_nothing() {
    let options = Options { error_rate: 0.2, drop_rate: 0.1, ..Options::default() };
    check_kills(options, &std::fs::read_to_string(users_csv()).unwrap(), 80);
}

/// A run of 60 requests that Ctrl-C stops.
fn interrupted() -> (Workdir, Server, u64) {
    let (workdir, server) = (Workdir::with_cities(60), Server::friendly());
    server.sandbox.hold_after(6);
    let child = server.remembering(&workdir, "users.csv --concurrency 4").spawn().unwrap();
    server.until(|counters| counters.requests == 10);
    let run = stop(child, "INT", |_| server.sandbox.release()).exits(130);
    let acknowledged = run.rows("acknowledged");
    run.says("run the same command again; it continues from here");
    (workdir, server, acknowledged)
}

#[test]
fn an_interrupted_run_is_continued() {
    let (workdir, server, acknowledged) = interrupted();
    let run = server.remember(&workdir, "users.csv --concurrency 60").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (acknowledged, 60 - acknowledged));
    assert_eq!(server.counters().requests, 60);
    check_state(&server, &workdir);
}

#[test]
fn an_interrupted_run_is_continued_with_another_input_and_says_so() {
    let (workdir, server, acknowledged) = interrupted();
    replace(&workdir, ",City", ",New City");
    replace(&workdir, "7,city,New City", "7,city,City");
    let run = server.remember(&workdir, "users.csv --concurrency 60").exits(0);
    assert_eq!(run.rows("resumed") + run.rows("acknowledged"), 60);
    assert!(run.rows("resumed") < acknowledged);
    check_state(&server, &workdir);
    run.says("its input has changed since");
}

#[test]
fn a_stopped_run_is_continued_whatever_the_pace_and_the_batches() {
    for arguments in ["", "--batch-size 7", "--rate 500/s --concurrency 2", "--failures rest.csv"] {
        let (workdir, server) = (Workdir::with_cities(20), Server::stopping_after(5));
        let stopped = server.remember(&workdir, "users.csv --concurrency 1").exits(4);
        assert_eq!((stopped.rows("acknowledged"), stopped.rows("unsent")), (5, 15));
        stopped.says("it continues from here");
        let run = server.remember(&workdir, &format!("users.csv {arguments}")).exits(0);
        assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (5, 15), "{arguments}");
        check_state(&server, &workdir);
    }
}

#[test]
fn a_run_that_is_out_of_time_is_continued() {
    let (workdir, server) = (Workdir::with_cities(60), Server::friendly());
    let stopped = server.remember(&workdir, "users.csv --rate 40/s --max-duration 300ms").exits(4);
    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!(run.rows("resumed"), stopped.rows("acknowledged"));
    assert_eq!(server.counters().requests, 60);
    check_state(&server, &workdir);
}

#[test]
fn other_rules_other_inputs_and_no_resume_start_anew_and_say_so() {
    let cases = [
        ("users.csv --on-conflict first", "this run does not continue it: `--on-conflict` differs"),
        ("same.csv", "this run does not continue it: its inputs differ"),
        ("users.csv same.csv --allow-custom", "does not continue it: `--allow-custom`, its inputs differ"),
        ("users.csv --no-resume", "is not continued, as `--no-resume` is set"),
    ];
    for (arguments, why) in cases {
        let (workdir, server) = (Workdir::with_cities(20), Server::stopping_after(5));
        // The rows of the last user disagree, so that it matters which one wins.
        workdir.file("users.csv", format!("{}20,city,Other City\n", workdir.read("users.csv")));
        workdir.file("same.csv", workdir.read("users.csv"));
        server.remember(&workdir, "users.csv --concurrency 1").exits(4);
        let run = server.remember(&workdir, arguments).exits(0);
        assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (0, 20), "{arguments}");
        assert!(!run.stderr.contains("continuing"), "{}", run.stderr);
        run.says("note: run 1, begun ").says(why);
    }
}

#[test]
fn another_account_starts_anew_and_says_so() {
    let (workdir, server) = (Workdir::with_cities(20), Server::stopping_after(5));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    let other = Server::friendly().remember(&workdir, "users.csv").exits(0);
    assert_eq!(other.rows("acknowledged"), 20);
    other.says("it went to another account");
}

#[cfg(unix)]
#[test]
fn a_stopped_run_is_continued_however_the_command_is_spelled() {
    let spellings = [
        "./users.csv",
        "ABSOLUTE",
        "link.csv",
        "- STDIN",
        "STDIN",
        "/dev/stdin STDIN",
        "users.csv --layout long",
        "users.csv --columns user_id=user_id,value=value",
        "users.csv --empty reject",
        "users.csv --empty skip",
        "users.csv --on-conflict last",
        "users.csv --null-token NULL",
        "users.csv --allow-custom",
        "users.csv LOCALHOST",
    ];
    for spelling in spellings {
        let (workdir, server) = (Workdir::with_cities(20), Server::stopping_after(5));
        std::os::unix::fs::symlink("users.csv", workdir.path("link.csv")).unwrap();
        server.remember(&workdir, "users.csv --concurrency 1").exits(4);
        let arguments = spelling.replace("ABSOLUTE", &workdir.path("users.csv").display().to_string());
        let mut command =
            server.remembering(&workdir, arguments.trim_end_matches("LOCALHOST").trim_end_matches("STDIN"));
        if arguments.ends_with("LOCALHOST") {
            let base_url = server.sandbox.base_url().replace("127.0.0.1", "localhost");
            assert!(base_url.contains("localhost"));
            command.env("ATTRSYNC_BASE_URL", base_url);
        }
        if arguments.ends_with("STDIN") {
            command.stdin(std::fs::File::open(workdir.path("users.csv")).unwrap());
        }
        let run = Ended::from(command.output().unwrap()).exits(0);
        assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (5, 15), "{spelling}");
        run.says("continuing run 1, begun ");
    }
}

#[test]
fn a_pipe_is_continued_by_a_pipe() {
    let (workdir, server) = (Workdir::with_cities(20), Server::stopping_after(5));
    let pipe = |arguments: &str| {
        let command = assert_cmd::Command::from_std(server.remembering(&workdir, arguments));
        let output = { command }.timeout(super::PATIENCE).write_stdin(workdir.read("users.csv")).output();
        Ended::from(output.unwrap())
    };
    pipe("- --concurrency 1").exits(4);
    assert_eq!(pipe("/dev/stdin").exits(0).rows("resumed"), 5);
}

#[test]
fn a_run_that_went_to_its_end_is_not_continued() {
    let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
    for _ in 0..2 {
        let run = server.remember(&workdir, "users.csv").exits(0);
        assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (0, 3));
    }
    assert_eq!(server.counters().requests, 6);
}

/// Runs with `--only-changed`; returns how many requests that took.
#[track_caller]
pub(super) fn changes(server: &Server, workdir: &Workdir) -> u64 {
    let run = server.remember(workdir, "users.csv --only-changed").exits(0);
    check_state(server, workdir);
    assert_eq!(run.rows("resumed") + run.rows("unchanged") + run.rows("acknowledged"), run.rows("read"));
    run.requests("sent")
}

#[test]
fn only_changes_are_sent_if_that_is_asked_for() {
    let (workdir, server) = (Workdir::with_cities(30), Server::friendly());
    assert_eq!(changes(&server, &workdir), 30);
    assert_eq!(changes(&server, &workdir), 0);
    replace(&workdir, "City 7\n", "Oslo\n");
    assert_eq!(changes(&server, &workdir), 1);
    replace(&workdir, "Oslo\n", "City 7\n");
    assert_eq!(changes(&server, &workdir), 1, "what was changed back is changed");
    assert_eq!(changes(&server, &workdir), 0);
    let all = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((all.rows("unchanged"), all.requests("sent")), (0, 30));
    assert_eq!(changes(&server, &workdir), 0);
}

#[test]
fn what_failed_counts_as_changed_until_it_is_acknowledged() {
    let reject_ids = ["2".to_owned()].into();
    let (workdir, server) =
        (Workdir::with_cities(3), Server::new(Options { reject_ids, ..Options::default() }));
    for unchanged in [0, 2, 2] {
        let run = server.remember(&workdir, "users.csv --only-changed").exits(1);
        assert_eq!((run.rows("unchanged"), run.rows("failed")), (unchanged, 1));
    }
}

#[test]
fn a_failures_report_fed_back_does_not_hide_what_changed_before() {
    let (workdir, server) = (Workdir::with_cities(6), Server::stopping_after(2));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    let rest = server.remember(&workdir, "failures.csv").exits(0);
    assert_eq!((rest.rows("resumed"), rest.rows("acknowledged")), (0, 4));
    check_state(&server, &workdir);
    assert_eq!(changes(&server, &workdir), 0);
}

#[test]
fn a_failures_report_fed_back_counts_for_the_run_that_it_came_from() {
    let (workdir, server) = (Workdir::with_cities(6), Server::stopping_after(2));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    // As a person may do it: some rows of the report, one of them corrected.
    let report = workdir.read("failures.csv");
    let rows: Vec<_> = report.lines().take(4).map(|line| line.replace("City 4", "Corrected")).collect();
    workdir.file("failures.csv", format!("{}\n", rows.join("\n")));
    let rest = server.remember(&workdir, "failures.csv").exits(0);
    assert_eq!(rest.rows("acknowledged"), 3);
    assert!(!rest.stderr.contains("run 1"), "{}", rest.stderr);

    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (5, 1));
    run.says("continuing run 1, begun ").says("5 rows are done");
    let corrected = workdir.read("users.csv").replace("City 4", "Corrected");
    workdir.file("users.csv", corrected);
    check_state(&server, &workdir);
}

#[test]
fn an_input_that_is_changed_after_its_failures_report_was_sent_counts() {
    // The first run stops at its third request, and the one with the changed input at its first.
    let mut script = vec![None; 7];
    (script[2], script[6]) = (Some(KEY_REFUSED), Some(KEY_REFUSED));
    let (workdir, server) = (Workdir::with_cities(6), Server::new(Options { script, ..Options::default() }));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    let report = workdir.read("failures.csv").replace("City 4", "Corrected").replace("City 5", "Corrected");
    workdir.file("failures.csv", report);
    server.remember(&workdir, "failures.csv").exits(0);
    workdir.file("users.csv", workdir.read("users.csv").replace("City 5", "Changed"));
    server.remember(&workdir, "users.csv").exits(4);
    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (4, 2));
    check_state(&server, &workdir);
}

#[test]
fn rows_of_a_failures_report_that_may_not_have_been_sent_are_not_left_out() {
    let stall = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };
    let script = vec![None, None, Some(KEY_REFUSED), Some(stall)];
    let (workdir, server) = (Workdir::with_cities(4), Server::new(Options { script, ..Options::default() }));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    let child = server.remembering(&workdir, "failures.csv").spawn().unwrap();
    server.until(|counters| counters.requests == 4);
    stop(child, "INT", |child| signal(child, "INT")).exits(130);
    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (2, 2));
    check_state(&server, &workdir);
}

#[test]
fn a_file_that_is_no_report_does_not_count_for_another_run() {
    let (workdir, server) = (Workdir::with_cities(6), Server::stopping_after(2));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    workdir.file("other.csv", "user_id,attribute,value\n3,city,City 3\n4,city,City 4\n");
    server.remember(&workdir, "other.csv").exits(0);
    let run = server.remember(&workdir, "users.csv").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (2, 4));
}

/// What happens between two looks at the server.
#[derive(Clone, Debug)]
struct Step {
    /// By user and attribute: a value for each.
    values: Vec<&'static str>,
    only_changed: bool,
    /// Kills the run after this number of requests.
    kill: Option<u64>,
}

const ATTRIBUTES: [&str; 3] = ["city", "country", "region"];

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        let values = prop::collection::vec(prop::sample::select(vec!["Oslo", "Rome", "Lima"]), 18);
        (values, any::<bool>(), prop::option::of(0_u64..8)).prop_map(|(values, only_changed, kill)| Self {
            values,
            only_changed,
            kill,
        })
    }

    fn input(&self) -> String {
        let rows = (0..).zip(&self.values);
        let rows = rows.map(|(at, value)| format!("{},{},{value}\n", at / 3 + 1, ATTRIBUTES[at % 3]));
        format!("user_id,attribute,value\n{}", rows.collect::<String>())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_runs_and_kills_the_server_holds_what_the_last_input_says(
        steps in prop::collection::vec(Step::any(), 1..6),
        again in any::<bool>(),
        seed: u64,
    ) {
        let options = Options { error_rate: 0.1, drop_rate: 0.1, seed, ..Options::default() };
        let (workdir, server) = (Workdir::new(), Server::new(options));
        let mut rng = StdRng::seed_from_u64(seed);
        let mut inputs = BTreeMap::new();
        for (number, mut step) in (1..).zip(steps.clone()) {
            // Once in a while the input stays, so that a run is continued with what it had.
            if again && number % 2 == 0 {
                step.values.clone_from(&steps[number - 2].values);
            }
            workdir.file("users.csv", step.input());
            inputs.insert(number, step.input());
            let flag = if step.only_changed { "--only-changed" } else { "" };
            let mut command =
                server.remembering(&workdir, &format!("users.csv --batch-size 2 --max-attempts 40 {flag}"));
            if let Some(requests) = step.kill && number < steps.len() {
                server.kill_after(server.counters().requests + requests, &mut command, &mut rng);
            } else {
                ended(command).exits(0);
                prop_assert_eq!(server.state(), naive_state(&step.input()), "after {:?}", inputs);
            }
        }
    }
}
