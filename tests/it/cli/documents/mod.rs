//! What the README and the pages in `docs` say is true of the program.
//!
//! A comment before a block of text names what it shows: `file NAME` is given to the program, `result NAME` is a file
//! that the commands above it wrote, and `attrsync …` is what this command prints. `UPDATE_README=1` writes the blocks
//! anew.

mod help;
mod links;
mod packaging;
mod promises;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attrsync::input::STANDARD;
use attrsync::report::ExitCode;

use super::{Workdir, ended, project};

/// The most that the README may have, in bytes: who reads it has little time.
const MOST_README: usize = 12_000;

/// What stands for the programs in command lines. Help is what comes of ours, unless an argument before it is wrong.
const SHIMS: &str = "attrsync() { \"$PROGRAM\" \"$@\" --help; }; aws() { :; }; psql() { :; }; zcat() { :; }; man() { cat; }; ";

/// Languages of blocks that hold command lines.
const WITH_COMMANDS: [&str; 5] = ["sh", "crontab", "ini", "yaml", "dockerfile"];

const COMMANDS: [&str; 8] = ["sync", "plan", "pull", "undo", "history", "ledger", "sandbox", "completions"];

/// A text that users read.
struct Page {
    path: PathBuf,
    text: String,
}

/// A fenced block, and the comment before it.
struct Block<'a> {
    language: &'a str,
    shows: Option<&'a str>,
    content: &'a str,
}

impl Page {
    fn open(name: &str) -> Self {
        let path = project(name);
        let text = fs::read_to_string(&path).unwrap();
        Self { path, text }
    }

    /// The README, and all in `docs`.
    fn all() -> Vec<Self> {
        let files = fs::read_dir(project("docs")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"));
        names.sort();
        let docs = names.iter().map(|name| Self::open(&format!("docs/{name}")));
        [Self::open("README.md")].into_iter().chain(docs).collect()
    }

    fn name(&self) -> String {
        let below = self.path.strip_prefix(project("")).unwrap();
        below.display().to_string()
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut rest = self.text.as_str();
        while let Some((before, after)) = rest.split_once("```") {
            let (language, after) = after.split_once('\n').unwrap();
            let (content, after) = after.split_once("```").unwrap();
            let last = before.trim_end().lines().last().unwrap_or_default();
            let shows = last.strip_prefix("<!-- ").and_then(|comment| comment.strip_suffix(" -->"));
            blocks.push(Block { language, shows, content });
            rest = after;
        }
        blocks
    }

    /// The command lines of ours, in its blocks and between backticks.
    fn commands(&self) -> Vec<String> {
        let blocks = self.blocks().into_iter().filter(|block| WITH_COMMANDS.contains(&block.language));
        let lines: Vec<&str> = blocks.flat_map(|block| block.content.lines()).collect();
        let prose: String = self.text.split("```").step_by(2).collect();
        let spans = prose.split('`').skip(1).step_by(2).filter(|span| span.starts_with("attrsync "));
        let spans = spans.map(|span| span.replace('\n', " "));
        lines.into_iter().map(str::to_owned).chain(spans).filter_map(|line| command(&line)).collect()
    }
}

/// The part of a line that calls the program, and what reads from it; a redirection is no part of it.
fn command(line: &str) -> Option<String> {
    let calls = line.match_indices("attrsync ").filter_map(|(start, _)| line.get(start..));
    let is_ours = |call: &&str| call.split(' ').nth(1).is_some_and(|command| COMMANDS.contains(&command));
    let call = calls.into_iter().find(is_ours)?;
    Some(call.split(" > ").next().unwrap_or(call).to_owned())
}

/// Fails if the program does not take this command line.
#[track_caller]
fn check_command(line: &str) {
    let program = env!("CARGO_BIN_EXE_attrsync");
    let script = format!("{SHIMS}{line}");
    let output = Command::new("sh").args(["-c", &script]).env("PROGRAM", program).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && help.contains("Usage: attrsync"), "{line}: {output:?}");
}

#[expect(clippy::disallowed_methods, reason = "a variable asks the tests to do it")]
fn update_is_asked_for() -> bool {
    std::env::var_os("UPDATE_README").is_some()
}

/// Its lines but for times, which differ from run to run.
fn timeless(screen: &str) -> Vec<&str> {
    let lines = screen.lines().filter(|line| !line.starts_with("answers"));
    let is_time = |text: &str| text.ends_with('s');
    lines
        .map(|line| line.rsplit_once(" in ").filter(|(_, end)| is_time(end)).map_or(line, |(start, _)| start))
        .collect()
}

/// What the program shows for a block, in a directory that has what the page's reader has.
fn shown(workdir: &Workdir, what: &str) -> String {
    if let Some(name) = what.strip_prefix("result ") {
        return workdir.read(name);
    }
    let mut command = workdir.attrsync(what.strip_prefix("attrsync ").unwrap());
    command.env("COLUMNS", "90");
    let run = ended(command);
    let lines = run.stdout.lines().chain(run.stderr.lines()).map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

#[test]
fn the_screens_in_the_documents_are_those_of_the_program() {
    let mut checked = 0;
    for page in Page::all() {
        let workdir = Workdir::new();
        let mut fresh = page.text.clone();
        for Block { language, shows, content } in page.blocks() {
            let Some(what) = shows else {
                assert!(language != "csv", "nothing says what this shows:\n{content}");
                continue;
            };
            if let Some(name) = what.strip_prefix("file ") {
                workdir.file(name, content);
                continue;
            }
            checked += 1;
            let screen = shown(&workdir, what);
            if timeless(&screen) != timeless(content) {
                let page = page.name();
                assert!(update_is_asked_for(), "`{what}` says, where {page} has something else:\n{screen}");
                let start = format!("<!-- {what} -->\n```{language}\n");
                fresh = fresh.replace(&format!("{start}{content}```"), &format!("{start}{screen}```"));
            }
        }
        if fresh != page.text {
            fs::write(&page.path, fresh).unwrap();
        }
    }
    assert!(checked > 10, "{checked} screens");
}

#[test]
fn every_command_line_in_the_documents_is_one_that_the_program_takes() {
    let pages = Page::all().into_iter().chain([Page::open("CONTRIBUTING.md")]);
    let commands: Vec<_> = pages.flat_map(|page| page.commands()).collect();
    for line in &commands {
        check_command(line);
    }
    assert!(commands.len() > 40, "{} command lines", commands.len());
}

#[test]
fn the_settings_in_the_documents_are_settings() {
    let mut checked = 0;
    for page in Page::all() {
        for block in page.blocks().iter().filter(|block| block.language == "toml") {
            let workdir = Workdir::with_rows(&["1,city,Oslo"]);
            workdir.file("attrsync.toml", block.content);
            workdir.run("plan users.csv").exits(0);
            checked += 1;
        }
    }
    assert!(checked > 3, "{checked} settings files");
}

#[test]
fn the_exit_codes_in_the_readme_are_those_of_the_program() {
    let Page { text, .. } = Page::open("README.md");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?.parse::<u8>().ok()?, cells.next()?.trim_matches('`')))
    });
    let codes = ExitCode::ALL.map(|exit| (exit.code(), exit.outcome()));
    assert_eq!(rows.collect::<Vec<_>>(), codes);
}

#[test]
fn the_exit_codes_in_the_help_are_those_of_the_program() {
    let help = Workdir::new().run("sync --help").exits(0).stdout;
    let (_, table) = help.split_once("\nExit codes:\n").unwrap();
    let rows = table.lines().take_while(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap().parse::<u8>().unwrap(), words.next().unwrap())
    });
    let codes = ExitCode::ALL.map(|exit| (exit.code(), exit.outcome()));
    assert_eq!(rows.collect::<Vec<_>>(), codes);
}

#[test]
fn every_standard_attribute_stands_in_the_page_about_inputs() {
    let Page { text, .. } = Page::open("docs/input.md");
    for name in STANDARD {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}

/// Every command, as the help lists it: `sync`, `history show`.
fn commands_with_help(workdir: &Workdir) -> Vec<String> {
    let listed = |command: &str| -> Vec<String> {
        let help = workdir.run(&format!("{command} --help")).exits(0).stdout;
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let names =
            lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
        let names = names.filter(|name| *name != "help");
        names.map(|name| format!("{command} {name}").trim().to_owned()).collect()
    };
    let commands = listed("");
    let below: Vec<String> = commands.iter().flat_map(|command| listed(command)).collect();
    commands.into_iter().chain(below).collect()
}

#[test]
fn every_option_stands_in_the_page_about_settings() {
    let Page { text, .. } = Page::open("docs/settings.md");
    let (workdir, mut checked) = (Workdir::new(), 0);
    for command in &commands_with_help(&workdir) {
        let help = workdir.run(&format!("{command} --help")).exits(0).stdout;
        let options = help.split([' ', '\n', ',']).filter(|word| word.starts_with("--"));
        for option in options {
            assert!(text.contains(option), "{option} of {command}");
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} options");
    // `ledger` has nothing of its own.
    for command in commands_with_help(&workdir).into_iter().filter(|command| command != "ledger") {
        assert!(text.contains(&format!("<!-- attrsync {command} --help -->")), "{command}");
    }
}

#[test]
fn the_readme_is_short() {
    let bytes = Page::open("README.md").text.len();
    assert!(bytes <= MOST_README, "{bytes} bytes: move what only some readers need to a page in `docs`");
}
