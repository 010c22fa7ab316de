//! What is shown while a run goes on: on a terminal, in a log for people, and in one for programs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use attrsync::sandbox::{Options, Outage, OutageKind};

use super::{Server, Workdir, ended};

/// Unreachable for three seconds.
fn away() -> Server {
    let outage =
        Outage { start: Duration::ZERO, length: Duration::from_secs(3), kind: OutageKind::Unavailable };
    Server::new(Options { outages: vec![outage], ..Options::default() })
}

#[test]
fn a_log_says_when_a_wait_begins_and_ends() {
    let (workdir, server) = (Workdir::with_cities(10), away());
    let run =
        server.sync(&workdir, "users.csv --rate 10/s --retry-initial-delay 3s --retry-max-delay 3s").exits(0);
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

/// What a terminal of so many columns shows.
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
