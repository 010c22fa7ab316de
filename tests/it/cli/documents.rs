//! What the README says is true of the program.
//!
//! A comment before a block of text names what it shows: a command's output, or a file that the commands before it
//! wrote. `UPDATE_README=1` writes the blocks anew.

use std::borrow::Cow;
use std::fs;
use std::process::Command;

use attrsync::report::ExitCode;

use super::{Desk, ended, project};

fn readme() -> String {
    fs::read_to_string(project("README.md")).unwrap()
}

/// What stands for the programs in command lines. Help is what comes of ours, unless an argument before it is wrong.
const SHIMS: &str = "attrsync() { \"$PROGRAM\" \"$@\" --help; }; aws() { :; }; cd() { :; }; ";

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests asks for it by a variable")]
fn update_is_asked_for() -> bool {
    std::env::var_os("UPDATE_README").is_some()
}

/// The contents of all blocks in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("\n```{language}\n");
    let starts = text.split(fence.as_str()).skip(1);
    starts.map(|rest| format!("{}\n", rest.split_once("\n```").unwrap().0)).collect()
}

/// Its lines but for times, which differ from run to run.
fn timeless(screen: &str) -> Vec<&str> {
    let lines = screen.lines().filter(|line| !line.starts_with("answers"));
    let is_time = |text: &str| text.ends_with('s');
    lines
        .map(|line| line.rsplit_once(" in ").filter(|(_, end)| is_time(end)).map_or(line, |(start, _)| start))
        .collect()
}

/// What the program shows for a block, in a directory that has what the README's reader has.
fn shown(desk: &Desk, what: &str) -> String {
    let Some(arguments) = what.strip_prefix("attrsync ") else { return desk.read(what) };
    let mut command = desk.attrsync(arguments);
    command.env("COLUMNS", "100");
    let run = ended(command);
    format!("{}{}", run.stdout, run.stderr)
}

#[test]
fn the_screens_in_the_readme_are_those_of_the_program() {
    let text = readme();
    let desk = Desk::new();
    desk.file("customers.csv", &blocks(&text, "csv")[0]);
    let mut pieces: Vec<Cow<str>> = text.split("<!-- ").map(Cow::from).collect();
    for piece in pieces.iter_mut().skip(1) {
        let (what, rest) = piece.split_once(" -->\n```text\n").unwrap();
        let (written, after) = rest.split_once("```").unwrap();
        let screen = shown(&desk, what);
        if timeless(&screen) != timeless(written) {
            assert!(update_is_asked_for(), "`{what}` says, where the README has something else:\n{screen}");
            *piece = format!("{what} -->\n```text\n{screen}```{after}").into();
        }
    }
    let fresh = pieces.join("<!-- ");
    if fresh != text {
        fs::write(project("README.md"), fresh).unwrap();
    }
}

#[test]
fn every_command_line_in_the_readme_is_one_that_the_program_takes() {
    let text = readme();
    let blocks = blocks(&text, "sh");
    let first = text.lines().filter(|line| line.starts_with("    cargo run"));
    let lines = blocks.iter().flat_map(|block| block.lines()).chain(first);
    let mut checked = 0;
    for line in lines.filter(|line| line.contains("attrsync ") || line.contains("cargo run")) {
        // What cron reads is no part of the command.
        let command = line.find("cd ").and_then(|start| line.get(start..)).unwrap_or(line);
        let script = format!("{SHIMS}{}", command.replace("cargo run --release --", "attrsync"));
        let program = env!("CARGO_BIN_EXE_attrsync");
        let output = Command::new("sh").args(["-c", &script]).env("PROGRAM", program).output().unwrap();
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && help.contains("Usage: attrsync"), "{line}: {output:?}");
        checked += 1;
    }
    assert!(checked > 10, "{checked} command lines");
}

#[test]
fn the_settings_in_the_readme_are_settings() {
    let blocks = blocks(&readme(), "toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        let desk = Desk::with_rows(&["1,city,Oslo"]);
        desk.file("attrsync.toml", block);
        desk.run("plan users.csv").exits(0);
    }
}

#[test]
fn the_exit_codes_in_the_readme_are_those_of_the_program() {
    let text = readme();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?.parse::<u8>().ok()?, cells.next()?.trim_matches('`')))
    });
    let codes = ExitCode::ALL.map(|exit| (exit.code(), exit.outcome()));
    assert_eq!(rows.collect::<Vec<_>>(), codes);
}

#[test]
fn each_shell_gets_completions_with_every_command_and_flag() {
    let marks = [
        ("bash", "complete -F _attrsync"),
        ("elvish", "edit:completion"),
        ("fish", "complete -c attrsync"),
        ("powershell", "Register-ArgumentCompleter"),
        ("zsh", "#compdef attrsync"),
    ];
    for (shell, mark) in marks {
        let run = Desk::new().run(&format!("completions {shell}")).exits(0);
        for part in [mark, "sync", "sandbox", "max-outage", "on-conflict"] {
            assert!(run.stdout.contains(part), "{shell}: {part}");
        }
    }
    Desk::new().run("completions tcsh").exits(2).says("tcsh");
}

#[test]
fn the_manual_page_has_every_command_with_its_flags() {
    let page = Desk::new().run("completions man").exits(0).stdout;
    assert!(page.contains(".TH attrsync 1"), "{page}");
    for part in [
        "sync",
        "plan",
        "sandbox",
        "completions",
        r"\-\-max\-outage",
        r"\-\-bodies",
        r"\-\-error\-rate",
        "HISTORY USER",
        "SH EXAMPLES",
        "SH \"EXIT STATUS\"",
        "SH ENVIRONMENT",
        "SH FILES",
        "ATTRSYNC_TOKEN",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    assert!(!page.contains("see a summary"), "{page}");
}

#[test]
fn short_help_is_for_a_first_run_and_long_help_has_all() {
    let desk = Desk::new();
    let (short, long) = (desk.run("sync -h").exits(0).stdout, desk.run("sync --help").exits(0).stdout);
    for part in ["--sandbox", "--token-file", "--columns", "--only-changed", "attrsync sync --help"] {
        assert!(short.contains(part), "{part}:\n{short}");
    }
    for part in ["--retry-max-delay", "--temp-dir", "--history-days", "  130  interrupted"] {
        assert!(!short.contains(part), "{part}:\n{short}");
        assert!(long.contains(part), "{part}:\n{long}");
    }
    assert!(short.lines().count() < 60, "{short}");
    assert!(!long.contains("BOOL"), "{long}");
}
