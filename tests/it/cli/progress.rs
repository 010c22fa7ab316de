//! What is shown while a run goes on: on a terminal, in a log for people, and in one for programs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use attrsync::sandbox::{ErrorBody, Fault, FaultKind, Moment, Options};
use serde_json::Value;

use super::{Server, Workdir, ended, project};

/// Unreachable for the first request. It is sent again after at least half of the delay of a retry.
fn away() -> Server {
    let fault = Fault { kind: FaultKind::Error(503, ErrorBody::Html), moment: Moment::BeforeApplying };
    Server::new(Options { script: vec![Some(fault)], ..Options::default() })
}

#[test]
fn for_programs_progress_and_the_end_are_fields() {
    let (workdir, server) = (Workdir::with_cities(10), away());
    let arguments = "users.csv --log-format json --rate 10/s --retry-initial-delay 5s --retry-max-delay 5s";
    let run = server.sync(&workdir, arguments).exits(0);
    let lines: Vec<Value> = run.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let words: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    let [waiting, resumed, end] = lines.as_slice() else { panic!("{words:?}") };
    assert_eq!(words[..2], ["waiting", "resumed"]);
    assert_eq!((&waiting["target"], &waiting["waiting"]), (&"progress".into(), &"outage".into()));
    assert!(waiting["last_answer"].as_str().unwrap().contains("503"), "{waiting}");
    assert!((1..=5).contains(&waiting["next_try_seconds"].as_u64().unwrap()), "{waiting}");
    assert!((500..=600).contains(&waiting["gives_up_seconds"].as_u64().unwrap()), "{waiting}");
    assert!(resumed["waited_seconds"].as_u64().unwrap() >= 2, "{resumed}");
    assert_eq!((&end["outcome"], &end["exit_code"]), (&"complete".into(), &0.into()));
    assert_eq!((&end["rows_read"], &end["rows_acknowledged"]), (&10.into(), &10.into()));
    assert!(end["requests_retried"].as_u64().unwrap() > 0 && end["duration_seconds"].as_f64().unwrap() > 2.0);

    let page = std::fs::read_to_string(project("docs/results.md")).unwrap();
    for line in &lines {
        for key in line.as_object().unwrap().keys() {
            let is_documented = page.contains(&format!("`{key}`")) || key.starts_with("rows_");
            assert!(is_documented, "`{key}` is not in docs/results.md");
        }
    }
}

#[test]
fn a_run_that_ends_early_says_its_exit_code_to_programs() {
    let run = Workdir::new().run("sync --sandbox missing.csv --log-format json").exits(3);
    let end: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&end["outcome"], &end["exit_code"]), (&"refused".into(), &3.into()));
    assert_eq!(end["level"], "ERROR");
}

#[test]
fn a_log_says_when_a_wait_begins_and_ends() {
    let (workdir, server) = (Workdir::with_cities(10), away());
    let run =
        server.sync(&workdir, "users.csv --rate 10/s --retry-initial-delay 5s --retry-max-delay 5s").exits(0);
    let lines: Vec<_> = run.stderr.lines().filter(|line| line.contains("INFO")).collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert!(lines[0].contains(" waiting=outage next_try="), "{lines:?}");
    assert!(lines[0].contains("503") && lines[1].contains("requests are sent again waited="), "{lines:?}");
}

#[test]
fn reading_is_shown_while_it_lasts() {
    let mut child =
        Workdir::new().attrsync("plan - --progress always").stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "user_id,attribute,value\n1,city,Oslo").unwrap();
    // The input stays open until this line comes.
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("reading  0.0 kB  "), "{line}");
    drop(input);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(child.wait().unwrap().success());
}

/// What a terminal of this width shows.
fn on_a_terminal(columns: u16, command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty rows 24 cols {columns}; {line}"), "/dev/null"]);
    script.current_dir(command.get_current_dir().unwrap());
    script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
    ended(script).stdout
}

#[test]
fn messages_are_divided_between_words_on_a_terminal_only() {
    let workdir = Workdir::new();
    workdir.file("wide.csv", "user_id,city,ctiy,phone numbers,something else\n1,Oslo,Bergen,1,2\n");
    let server = Server::friendly();
    let command = server.command(&workdir, "wide.csv");
    let shown = on_a_terminal(60, &command);
    let shown = anstream::adapter::strip_str(&shown).to_string();
    let plain = ended(command).exits(0).stderr;
    let warning = plain.lines().find(|line| line.starts_with("warning: ")).expect("there is a warning");
    assert!(warning.chars().count() > 60, "{warning}");
    let begin = shown.lines().position(|line| line.contains("warning: ")).expect("there is a warning");
    let lines: Vec<_> = shown.lines().skip(begin).take_while(|line| !line.contains("complete")).collect();
    assert!(lines.len() > 1 && lines.iter().all(|line| line.trim().chars().count() <= 60), "{lines:#?}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert!(words(&lines.join(" ")).ends_with(&words(warning)), "{lines:#?}");
}

#[test]
fn reading_that_is_over_at_once_is_not_shown() {
    let workdir = Workdir::with_cities(3);
    let shown = on_a_terminal(80, &workdir.attrsync("plan users.csv"));
    assert!(shown.contains("3 requests") && !shown.contains("reading"), "{shown}");
}
