//! What monitoring systems learn of a run: metrics in a file and at a Pushgateway, a dead-man switch, GitHub Actions.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use attrsync::sandbox::{Fault, FaultKind, Moment, Options};

use super::{Server, Workdir, ended, left_out};

/// A request that the service got.
#[derive(Clone, Debug)]
struct Received {
    /// Method and target.
    line: String,
    body: String,
}

/// A service that takes any request, and remembers it.
struct Service {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Service {
    /// Answers each GET with this text.
    fn new(text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let log = Arc::clone(&log);
                thread::spawn(move || serve(&stream.unwrap(), text, &log));
            }
        });
        Self { address, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.line).collect()
    }
}

fn serve(mut stream: &TcpStream, text: &str, log: &Mutex<Vec<Received>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
        let answer = if line.starts_with("GET") { text } else { "" };
        log.lock().unwrap().push(Received { line, body: String::from_utf8(body).unwrap() });
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    }
}

fn metric(text: &str, name: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value)
}

/// Asks Debian's `promtool`, which the package `prometheus` has. `None` if it is not there.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        left_out("there is no `promtool` on this machine (Debian has it in the package `prometheus`)");
        return None;
    };
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(text).unwrap()))
}

const LAST_SUCCESS: &str = "attrsync_last_success_timestamp_seconds";

#[test]
fn the_file_of_metrics_says_how_the_run_ended_and_keeps_the_last_success() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,city,Rome"]);
    workdir.run("sync --sandbox users.csv --metrics attrsync.prom").exits(0);
    let text = workdir.read("attrsync.prom");
    assert_eq!(metric(&text, "attrsync_rows_total{fate=\"acknowledged\"}"), Some(2.0));
    assert_eq!(metric(&text, "attrsync_rows_read_total"), Some(2.0));
    assert_eq!(metric(&text, "attrsync_requests_sent_total"), Some(2.0));
    assert_eq!(metric(&text, "attrsync_run_exit_code"), Some(0.0));
    assert_eq!(metric(&text, "attrsync_run_running"), Some(0.0));
    let success = metric(&text, LAST_SUCCESS).unwrap();
    assert_eq!(metric(&text, "attrsync_run_end_timestamp_seconds"), Some(success));
    let mode = fs::metadata(workdir.path("attrsync.prom")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the collector is another user");
    if let Some((is_valid, complaints)) = promtool(&["check", "metrics"], &text) {
        assert!(is_valid && complaints.is_empty(), "{complaints}");
    }

    workdir.file("broken.csv", "user_id,attribute,value\n1,city,Oslo\nx,city,Rome\n");
    let failing = [
        ("broken.csv", 1, Some(1.0)),
        ("missing.csv", 3, Some(0.0)),
        ("users.csv --subdomain acme", 2, Some(0.0)),
    ];
    for (arguments, code, acknowledged) in failing {
        workdir.run(&format!("sync --sandbox {arguments} --metrics attrsync.prom")).exits(code);
        let text = workdir.read("attrsync.prom");
        assert_eq!(metric(&text, LAST_SUCCESS), Some(success), "{arguments}");
        assert_eq!(metric(&text, "attrsync_run_exit_code"), Some(f64::from(code)), "{arguments}");
        assert_eq!(metric(&text, "attrsync_rows_total{fate=\"acknowledged\"}"), acknowledged);
    }
}

#[test]
fn metrics_are_there_while_the_run_goes_on() {
    let workdir = Workdir::with_cities(3);
    let stall = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };
    let server = Server::new(Options { script: vec![None, Some(stall)], ..Options::default() });
    let run = server.command(&workdir, "users.csv --concurrency 1 --metrics attrsync.prom").spawn().unwrap();
    server.until(|counters| counters.requests == 2);
    let text = workdir.read("attrsync.prom");
    assert_eq!(metric(&text, "attrsync_run_running"), Some(1.0));
    assert_eq!(metric(&text, LAST_SUCCESS), None);
    assert_eq!(metric(&text, "attrsync_run_exit_code"), None);
    super::remembered::kill(run);
}

#[test]
fn a_wrong_path_for_metrics_ends_the_run_before_it_reads() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let run = workdir.run("sync --sandbox users.csv --metrics none/attrsync.prom").exits(2);
    run.says("none/attrsync.prom").says("create the directory first");
    workdir.run("sync --sandbox users.csv --metrics users.csv").exits(2).says("is an input");
    workdir.run("sync --sandbox users.csv --metrics a --report ./a").exits(2).says("already written by");
    workdir.run("sync --sandbox users.csv --metrics -").exits(2).says("name a file");
    workdir.run("sync --sandbox users.csv --report -").exits(2).says("name a file");
}

#[test]
fn a_pushgateway_gets_the_same_and_a_failed_run_keeps_its_last_success() {
    let known = "attrsync_last_success_timestamp_seconds{instance=\"\",job=\"crm\"} 1.7e+09\n";
    let service = Service::new(known);
    let workdir = Workdir::with_rows(&["1,city,Oslo", "x,city,Rome"]);
    let target = format!("{}/metrics/job/crm", service.address);
    workdir.run(&format!("sync --sandbox users.csv --metrics {target}")).exits(1);
    let received = service.received();
    assert_eq!(received[0].line, "GET /metrics");
    assert!(received[1..].iter().all(|request| request.line == "PUT /metrics/job/crm"), "{received:?}");
    assert_eq!(metric(&received[1].body, "attrsync_run_running"), Some(1.0));
    let last = &received.last().unwrap().body;
    assert_eq!(metric(last, "attrsync_run_exit_code"), Some(1.0));
    assert_eq!(metric(last, LAST_SUCCESS), Some(1.7e9));

    let root = Service::new("");
    workdir.run(&format!("sync --sandbox users.csv --metrics {}", root.address)).exits(1);
    assert_eq!(root.lines().last().unwrap(), "PUT /metrics/job/attrsync");
}

#[test]
fn a_dead_man_switch_is_told_start_and_exit_code_with_one_run_id() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "x,city,Rome"]);
    let told = |arguments: &str, code: i32| {
        let service = Service::new("");
        workdir.file("ping.url", format!("{}/secret-slug\n", service.address));
        let reports = "--summary summary.json --report run.html --metrics attrsync.prom --ledger l -vv";
        let run =
            workdir.run(&format!("sync --sandbox --ping-file ping.url {reports} {arguments}")).exits(code);
        assert!(!run.stderr.contains("secret-slug") && !run.stdout.contains("secret-slug"), "{}", run.stderr);
        for name in workdir.names().into_iter().filter(|name| name != "ping.url") {
            let bytes = fs::read(workdir.path(&name)).unwrap();
            assert!(!bytes.windows(11).any(|window| window == b"secret-slug"), "{name}");
        }
        let received = service.received();
        let [start, end] = &received[..] else { panic!("{received:?}") };
        let start = start.line.strip_prefix("POST /secret-slug/start?rid=").unwrap();
        let ended = end.line.strip_prefix(&format!("POST /secret-slug/{code}?rid=")).unwrap();
        assert_eq!(start, ended);
        let lengths: Vec<_> = start.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{start} is no UUID");
        end.body.clone()
    };
    let body = told("users.csv", 1);
    assert!(body.contains("incomplete: 2 rows read, 1 acknowledged, 1 invalid; 1 requests"), "{body}");
    assert!(!body.contains("Rome") && !body.contains("Oslo"));
    assert!(told("missing.csv", 3).contains("refused (unreadable_input)"));
    assert!(told("users.csv --subdomain acme", 2).contains("usage"));
}

#[test]
fn a_service_that_is_away_costs_a_warning_without_its_address() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/secret-slug", away.local_addr().unwrap());
    drop(away);
    for option in ["--ping", "--metrics"] {
        let run = workdir.run(&format!("sync --sandbox users.csv {option} {address}")).exits(0);
        assert!(run.stderr.contains(&format!("warning: `{option}`")), "{}", run.stderr);
        assert!(!run.stderr.contains("secret-slug"), "{}", run.stderr);
    }
}

#[test]
fn a_service_that_never_answers_holds_up_no_run_for_good() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/slug", silent.local_addr().unwrap());
    let mut command = workdir.attrsync("sync --sandbox users.csv -v --summary summary.json");
    command.env("ATTRSYNC_PING", &address);
    let run = ended(command).exits(0).says("warning: `--ping`");
    assert!(!run.stderr.contains("slug"), "{}", run.stderr);
    assert!(workdir.read("summary.json").contains("\"outcome\": \"complete\""));
}

#[test]
fn the_address_of_a_dead_man_switch_stays_secret_when_it_is_wrong() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    for wrong in ["http://hc.invalid/secret-slug", "secret-slug", "ftp://127.0.0.1/secret-slug"] {
        let run = workdir.run(&format!("sync --sandbox users.csv --ping {wrong}")).exits(2).says("--ping");
        assert!(!run.stderr.contains("secret-slug"), "{}", run.stderr);
    }
    workdir.run("sync --sandbox users.csv --ping-file missing.url").exits(2).says("missing.url");
}

/// A step of GitHub Actions.
fn step(workdir: &Workdir, arguments: &str, code: i32) -> super::Ended {
    let mut command = workdir.attrsync(arguments);
    command.env("GITHUB_ACTIONS", "true");
    command.env("GITHUB_STEP_SUMMARY", workdir.path("step.md"));
    command.env("GITHUB_OUTPUT", workdir.path("outputs"));
    ended(command).exits(code)
}

#[test]
fn github_gets_annotations_a_summary_and_outputs() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,gender,9", "3,gender,9", "4,colour,red"]);
    workdir.file("step.md", "from an earlier command\n");
    workdir.file("outputs", "earlier=1\n");
    let run = step(&workdir, "sync --sandbox users.csv", 1);
    let annotations: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("::")).collect();
    insta::assert_snapshot!(annotations.join("\n").replace(char::is_numeric, "#"));

    let summary = workdir.read("step.md");
    assert!(summary.starts_with("from an earlier command\n### attrsync: incomplete\n"), "{summary}");
    assert!(summary.contains("| rows read | 4 |"), "{summary}");
    assert!(summary.contains("| rows invalid | 3 |"), "{summary}");
    assert!(summary.contains("| 2 | invalid | "), "{summary}");
    let outputs = workdir.read("outputs");
    let lines = "earlier=1 outcome=incomplete exit_code=1 reason= rows_read=4 rows_acknowledged=1 rows_failed=0 \
                 rows_invalid=3 requests_sent=1";
    for line in lines.split_whitespace() {
        assert!(outputs.lines().any(|other| other == line), "{line} is not in {outputs}");
    }
    assert!(outputs.contains("run_id="));
}

#[test]
fn what_github_gets_holds_no_ids_and_no_values() {
    let rows = ["31415926,city,Reykjavik", "7130713,gender,Hiddenland", "anna@example.com,city,Oslo", "5"];
    let workdir = Workdir::with_rows(&rows);
    let reject_ids = ["31415926".to_owned()].into();
    let server = Server::new(Options { reject_ids, ..Options::default() });
    let mut command = server.command(&workdir, "users.csv");
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", workdir.path("step.md"));
    command.env("GITHUB_OUTPUT", workdir.path("outputs"));
    let run = ended(command).exits(1);
    let annotations: String = run.stderr.lines().filter(|line| line.starts_with("::")).collect();
    for text in [annotations, workdir.read("step.md"), workdir.read("outputs")] {
        assert!(!text.is_empty());
        for personal in ["31415926", "7130713", "Reykjavik", "Hiddenland", "anna", "Oslo"] {
            assert!(!text.contains(personal), "{personal} is in {text}");
        }
    }
}

#[test]
fn metrics_hold_no_ids_and_no_values() {
    let workdir = Workdir::with_rows(&["31415926,city,Reykjavik", "7130713,gender,Hiddenland"]);
    workdir.run("sync --sandbox users.csv --metrics attrsync.prom").exits(1);
    let text = workdir.read("attrsync.prom");
    for personal in ["31415926", "7130713", "Reykjavik", "Hiddenland", "users.csv"] {
        assert!(!text.contains(personal), "{personal} is in {text}");
    }
}

#[test]
fn every_metric_stands_in_the_page_and_the_other_way_round() {
    let page = fs::read_to_string(super::project("docs/monitoring.md")).unwrap();
    let workdir = Workdir::with_cities(3);
    let stall = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };
    let server = Server::new(Options { script: vec![None, Some(stall)], ..Options::default() });
    let run = server.command(&workdir, "users.csv --concurrency 1 --metrics running.prom").spawn().unwrap();
    // What says how sending goes is written from the second time on.
    server.until(|_| {
        fs::read_to_string(workdir.path("running.prom"))
            .unwrap_or_default()
            .contains("attrsync_requests_in_flight")
    });
    workdir.run("sync --sandbox users.csv --metrics ended.prom --failures other.csv").exits(0);
    let text = workdir.read("running.prom") + &workdir.read("ended.prom");
    super::remembered::kill(run);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let written: BTreeSet<&str> = types.collect();

    let rows = page.lines().filter(|line| line.starts_with("| `attrsync_"));
    let names =
        rows.filter_map(|row| row.split(" | ").next()).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let names = names.map(|name| name.replace('…', "attrsync_requests"));
    let documented: BTreeSet<String> =
        names.map(|name| name.split('{').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(documented.iter().map(String::as_str).collect::<BTreeSet<_>>(), written);
}

#[test]
fn metrics_are_written_again_while_the_run_goes_on() {
    let workdir = Workdir::with_cities(3);
    let stall = Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying };
    let server = Server::new(Options { script: vec![None, Some(stall)], ..Options::default() });
    let run = server.command(&workdir, "users.csv --concurrency 1 --metrics attrsync.prom").spawn().unwrap();
    server.until(|_| {
        let text = fs::read_to_string(workdir.path("attrsync.prom")).unwrap_or_default();
        // It is whole at any time.
        assert!(text.is_empty() || text.contains("attrsync_build_info{"), "{text}");
        metric(&text, "attrsync_requests_sent_total") == Some(2.0)
    });
    super::remembered::kill(run);
}

#[test]
fn metrics_that_can_no_longer_be_written_cost_a_warning() {
    let workdir = Workdir::with_cities(3);
    fs::create_dir(workdir.path("collector")).unwrap();
    let server = Server::friendly();
    server.sandbox.hold_after(0);
    let arguments = "users.csv --concurrency 1 --metrics collector/attrsync.prom";
    let run = server.command(&workdir, arguments).spawn().unwrap();
    server.until(|counters| counters.requests > 0);
    fs::remove_dir_all(workdir.path("collector")).unwrap();
    server.sandbox.release();
    let run: super::Ended = run.wait_with_output().unwrap().into();
    assert_eq!(run.exits(0).says("warning: `--metrics`").stdout, "");
    assert_eq!(server.counters().ok, 3);
}

#[test]
fn github_gets_no_annotation_when_all_is_well_and_one_when_nothing_could_begin() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let run = step(&workdir, "sync --sandbox users.csv", 0);
    assert!(!run.stderr.contains("::"), "{}", run.stderr);
    let run = step(&workdir, "sync --sandbox missing%0A.csv", 3);
    let annotation = run.stderr.lines().find(|line| line.starts_with("::")).unwrap().to_owned();
    assert!(annotation.starts_with("::error title=attrsync%3A refused::"), "{annotation}");
    assert!(annotation.contains("missing%250A.csv"), "{annotation}");
    assert!(workdir.read("outputs").contains("outcome=refused\n"));
}

#[test]
fn outside_of_github_nothing_is_written_for_it() {
    let workdir = Workdir::with_rows(&["x,city,Oslo"]);
    let mut command = workdir.attrsync("sync --sandbox users.csv");
    command.env("GITHUB_OUTPUT", workdir.path("outputs"));
    assert!(!ended(command).exits(3).stderr.contains("::error"));
    assert!(!workdir.path("outputs").exists());
}

#[test]
fn the_alerts_in_the_documents_are_valid_rules() {
    let page = fs::read_to_string(super::project("docs/monitoring.md")).unwrap();
    let (_, rules) = page.split_once("```yaml\ngroups:").unwrap();
    let rules = format!("groups:{}", rules.split_once("```").unwrap().0);
    assert_eq!(rules.matches("alert:").count(), 3);
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    workdir.file("rules.yml", &rules);
    let file = workdir.path("rules.yml");
    if let Some((is_valid, complaints)) = promtool(&["check", "rules", file.to_str().unwrap()], "") {
        assert!(is_valid && complaints.contains("3 rules found"), "{complaints}");
    }
    workdir.run("sync --sandbox users.csv --metrics attrsync.prom").exits(0);
    let metrics = workdir.read("attrsync.prom");
    let names = rules.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    for name in names.filter(|name| name.starts_with("attrsync_")) {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
    }
}
