//! What goes to standard output and standard error, and what never does.

use std::io::Read;
use std::process::Command;

use attrsync::sandbox::{Options, Reject};
use serde_json::Value;

use super::{KEY, Server, Workdir, ended, users_csv};

/// Every kind of trouble at once.
fn troubled() -> (Workdir, Server) {
    let workdir = Workdir::with_rows(&[
        "1,city,Oslo",
        "2,city,Oslo",
        "3,city,Bergen",
        "x,city,Oslo",
        "4,colour,red",
        "5,phone_number,12",
    ]);
    let options = Options {
        reject_ids: ["2".to_owned()].into(),
        reject: Reject::Unnamed,
        error_rate: 0.2,
        drop_rate: 0.2,
        ..Options::default()
    };
    (workdir, Server::new(options))
}

#[test]
fn a_quiet_run_that_goes_well_says_nothing() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo", "1,city,Bergen"]), Server::friendly());
    let run = server.sync(&workdir, "users.csv --quiet").exits(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
}

#[test]
fn a_quiet_run_warns_all_the_same() {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    workdir.file("wide.csv", "user_id,city,ctiy\n1,Oslo,Bergen\n");
    let run = server.sync(&workdir, "wide.csv --quiet").exits(0).says("warning: ").says("ctiy");
    assert!(!run.stderr.contains("complete"), "{}", run.stderr);
}

#[test]
fn a_quiet_run_that_does_not_still_says_why() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let server = Server::new(Options { token: Some("another".into()), ..Options::default() });
    server.sync(&workdir, "users.csv --quiet").exits(4).says("the API refused the key");
}

#[test]
fn data_goes_to_standard_output_and_all_else_to_standard_error() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo", "x,city,Oslo"]), Server::friendly());
    let run = server.sync(&workdir, "users.csv -v").exits(1);
    assert_eq!(run.stdout, "");
    assert!(!run.stderr.contains('\u{1b}'), "there is no terminal to style for: {}", run.stderr);
    let run = server.sync(&workdir, "users.csv --summary -").exits(1);
    assert_eq!(run.summary()["outcome"], "incomplete");
}

#[test]
fn with_the_log_as_json_each_line_is_an_object() {
    let check = |stderr: &str| {
        let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let has_all = |line: &Value| {
            ["timestamp", "level", "target", "message"].iter().all(|key| line[key].is_string())
        };
        assert!(!lines.is_empty() && lines.iter().all(has_all), "{stderr}");
        lines
    };
    for verbosity in ["", "-v", "-vv", "--quiet", "--progress=always"] {
        let (workdir, server) = troubled();
        let run =
            server.sync(&workdir, &format!("users.csv --log-format json --max-attempts 30 {verbosity}"));
        let lines = check(&run.exits(1).stderr);
        let closing = lines.last().unwrap();
        assert_eq!(
            (closing["outcome"].as_str(), closing["exit_code"].as_u64()),
            (Some("incomplete"), Some(1))
        );
    }
    let workdir = Workdir::with_rows(&["x,city,Oslo"]);
    check(&workdir.run("sync --sandbox users.csv --log-format json").exits(3).stderr);
    check(&workdir.run("sync --sandbox missing.csv --log-format json").exits(3).stderr);
}

#[test]
fn the_key_is_told_nowhere() {
    for options in [Options::default(), Options { token: Some("another".into()), ..Options::default() }] {
        for format in ["text", "json"] {
            let (workdir, server) = (troubled().0, Server::new(options.clone()));
            let run =
                server.sync(&workdir, &format!("users.csv -vv --log-format {format} --summary summary.json"));
            let told = [run.stdout, run.stderr, workdir.read("failures.csv"), workdir.read("summary.json")];
            assert!(told.iter().all(|text| !text.contains(KEY)), "{told:?}");
            assert!(!told[1].is_empty());
        }
    }
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let mut command = workdir.attrsync("sync users.csv -vv --base-url http://127.0.0.1:1/ --max-outage 0s");
    command.env("ATTRSYNC_TOKEN", format!("{KEY} {KEY}"));
    let run = ended(command).exits(2);
    assert!(!run.stderr.contains(KEY), "{}", run.stderr);
}

#[test]
fn values_and_ids_are_logged_at_vv_at_most() {
    let (workdir, server) = (Workdir::with_rows(&["7130713,city,Reykjavik"]), Server::friendly());
    let run = server.sync(&workdir, "users.csv -v --log-format json").exits(0);
    assert!(!run.stderr.contains("7130713") && !run.stderr.contains("Reykjavik"), "{}", run.stderr);
}

#[test]
fn log_lines_have_words_and_no_names_of_the_program_s_parts() {
    let (workdir, server) = troubled();
    let run = server.sync(&workdir, "users.csv -vv --max-attempts 30").exits(1);
    let run = run.says("answered request=mass update").says("layout=\"long\"");
    for part in ["Some(", "None", " { ", "Long"] {
        assert!(!run.stderr.contains(part), "{part}: {}", run.stderr);
    }
}

/// What a terminal of this kind shows of a run.
fn on_a_terminal(term: &str, command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(command.get_current_dir().unwrap());
    script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("PATH", "/usr/bin:/bin").env("TERM", term);
    ended(script).exits(0).stdout
}

#[test]
fn a_terminal_that_can_draw_no_bar_gets_plain_lines() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
    let shown = on_a_terminal("dumb", &server.command(&workdir, "users.csv"));
    assert!(shown.lines().any(|line| line.starts_with("0%  0/1 rows")), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let shown = on_a_terminal("xterm", &server.command(&workdir, "users.csv"));
    assert!(!shown.lines().any(|line| line.starts_with("0%  0/1 rows")), "{shown}");
}

#[test]
fn progress_that_is_always_shown_is_shown_without_a_terminal_too() {
    for (progress, lines) in [("auto", 0), ("never", 0), ("always", 1), ("always --quiet", 1)] {
        let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
        let run = server.sync(&workdir, &format!("users.csv --progress {progress}")).exits(0);
        let shown = run.stderr.lines().filter(|line| line.contains("% ") && line.contains("/1 rows")).count();
        assert_eq!(shown, lines, "{progress}: {}", run.stderr);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let workdir = Workdir::new();
    for format in ["--bodies -", "--format json", "--top 1000"] {
        let mut child = workdir.attrsync(&format!("plan {} {format}", users_csv())).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_standard_output_that_is_full_is_an_error() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    for line in ["plan users.csv", "completions bash", "completions man"] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let output = workdir.attrsync(line).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{line}");
    }
}

#[test]
fn suspicious_values_are_sent_with_a_warning() {
    let (workdir, server) = (Workdir::with_rows(&["1,email,not-an-address"]), Server::friendly());
    server.sync(&workdir, "users.csv").exits(0).says("warning: ").says("users.csv:2");
    assert!(server.state().contains("not-an-address"));
}
