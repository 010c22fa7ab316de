//! The files in `packaging` fit the program: its flags, its exit codes, and the page that explains them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attrsync::report::ExitCode;

use super::super::{Workdir, left_out, project};
use super::{Page, check_command, command};

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn packaging(name: &str) -> String {
    fs::read_to_string(project("packaging").join(name)).unwrap()
}

/// The arguments of a container, which stand below `args:` or `command:`, one to a line.
fn container_command(text: &str) -> Option<String> {
    let below = text.lines().skip_while(|line| !["args:", "command:"].contains(&line.trim())).skip(1);
    let arguments: Vec<_> = below.map_while(|line| line.trim().strip_prefix("- ")).collect();
    (!arguments.is_empty()).then(|| format!("attrsync {}", arguments.join(" ")))
}

/// The numbers in the one line that starts like this.
#[track_caller]
fn codes(text: &str, start: &str) -> BTreeSet<u8> {
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(start));
    let (line, next) = (lines.next().unwrap(), lines.next());
    assert_eq!(next, None, "{start}");
    line.split([' ', ',', '[', ']']).filter_map(|word| word.parse().ok()).collect()
}

/// The codes after which trying again helps, and those after which it doesn't. Only 0 is in neither.
fn codes_by_whether_to_try_again() -> [BTreeSet<u8>; 2] {
    let ends = ExitCode::ALL.into_iter().filter(|exit| *exit != ExitCode::Complete);
    let (yes, no): (Vec<_>, Vec<_>) = ends.partition(|exit| match exit {
        ExitCode::Stopped | ExitCode::HungUp | ExitCode::Interrupted | ExitCode::Terminated => true,
        ExitCode::Complete
        | ExitCode::Incomplete
        | ExitCode::Usage
        | ExitCode::Refused
        | ExitCode::Internal => false,
    });
    [yes, no].map(|ends| ends.into_iter().map(ExitCode::code).collect())
}

#[test]
fn every_command_in_the_files_is_one_that_the_program_takes() {
    let mut checked = 0;
    for path in files(&project("packaging")) {
        let text = fs::read_to_string(path).unwrap();
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().filter_map(command).chain(container_command(&text)) {
            check_command(&line);
            checked += 1;
        }
    }
    assert!(checked >= 7, "{checked} commands");
}

#[test]
fn every_option_that_the_page_names_is_one_of_sync() {
    let page = Page::open("docs/running.md");
    let help = Workdir::new().run("sync --help").exits(0).stdout;
    let options: BTreeSet<_> = help.split([' ', '\n', ',']).filter(|word| word.starts_with("--")).collect();
    let prose: String = page.text.split("```").step_by(2).collect();
    for span in prose.split('`').skip(1).step_by(2).filter(|span| span.starts_with("--")) {
        let option = span.split(' ').next().unwrap();
        assert!(options.contains(option), "{option}");
    }
}

#[test]
fn runs_are_repeated_where_that_helps() {
    let [yes, no] = codes_by_whether_to_try_again();
    let terminated = BTreeSet::from([ExitCode::Terminated.code()]);

    let service = packaging("systemd/attrsync.service");
    assert_eq!(codes(&service, "SuccessExitStatus="), terminated);
    assert_eq!(codes(&service, "RestartPreventExitStatus="), &no | &terminated);
    assert_eq!(codes(&packaging("kubernetes/cronjob.yaml"), "values: "), no);
    assert_eq!(codes(&packaging("ci/gitlab-ci.yml"), "exit_codes: "), yes);

    let page = Page::open("docs/running.md").text;
    let said = |answer: &str| -> BTreeSet<u8> {
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        let rows = rows.filter(|(_, rest)| rest.starts_with(answer));
        rows.flat_map(|(codes, _)| codes.split(", ")).filter_map(|code| code.parse().ok()).collect()
    };
    // A kill is not among the codes of the program.
    assert_eq!(said("yes"), &yes | &BTreeSet::from([137]));
    assert_eq!(said("no"), no);
}

#[test]
fn systemd_understands_its_files() {
    let workdir = Workdir::new();
    for name in ["attrsync.service", "attrsync.timer", "attrsync-failure@.service"] {
        let unit = packaging(&format!("systemd/{name}"));
        workdir.file(name, unit.replace("/usr/local/bin/attrsync", env!("CARGO_BIN_EXE_attrsync")));
    }
    let units = ["attrsync.service", "attrsync.timer", "attrsync-failure@attrsync.service.service"];
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units.map(|unit| workdir.path(unit)))
        .output();
    let Ok(output) = verify else {
        left_out("there is no `systemd-analyze` on this machine, so its files are not verified");
        return;
    };
    // It also complains of other units of this machine.
    let said = String::from_utf8(output.stderr).unwrap();
    let complaints: Vec<_> = said.lines().filter(|line| line.contains("attrsync")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
