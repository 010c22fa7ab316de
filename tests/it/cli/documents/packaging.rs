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

/// A length of time as each platform writes it, in seconds.
fn seconds(text: &str) -> u64 {
    let text = text.trim().trim_matches('"');
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{text}"));
    match unit.trim() {
        "" | "s" => number,
        "minutes" | "min" | "m" => number * 60,
        "h" => number * 3600,
        _ if unit.starts_with('h') => number * 3600 + seconds(unit.trim_start_matches('h')),
        _ => panic!("{text}"),
    }
}

/// What stands after this, each time.
fn values<'a>(text: &'a str, key: &'a str) -> Vec<&'a str> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.filter_map(|line| Some(line.split_once(key)?.1.trim())).collect()
}

#[test]
fn platforms_wait_for_longer_than_a_run_takes_to_end() {
    // For answers; then the ledger and the reports are written.
    let grace = attrsync::deliver::Options::GRACE.as_secs();
    for (file, key) in [
        ("systemd/attrsync.service", "TimeoutStopSec="),
        ("kubernetes/cronjob.yaml", "terminationGracePeriodSeconds: "),
        ("kubernetes/cronjob-shared-ledger.yaml", "terminationGracePeriodSeconds: "),
        ("docker/compose.yaml", "stop_grace_period: "),
    ] {
        let text = packaging(file);
        let [time] = values(&text, key)[..] else { panic!("{file}: {key}") };
        assert!(seconds(time) >= 2 * grace, "{file}: {time}");
    }
    let page = Page::open("docs/running.md").text;
    let (_, stop) = page.split_once("--stop-timeout ").unwrap();
    assert!(seconds(stop.split('`').next().unwrap()) >= 2 * grace);
}

#[test]
fn a_long_run_ends_in_order_before_the_platform_ends_it() {
    for (file, key, unit, tries) in [
        ("systemd/attrsync.service", "TimeoutStartSec=", 1, 1),
        ("kubernetes/cronjob.yaml", "activeDeadlineSeconds: ", 1, 3),
        ("kubernetes/cronjob-shared-ledger.yaml", "activeDeadlineSeconds: ", 1, 3),
        ("ci/github-actions.yml", "timeout-minutes: ", 60, 1),
        ("ci/github-actions-approval.yml", "timeout-minutes: ", 60, 1),
        ("ci/gitlab-ci.yml", "timeout: ", 1, 1),
    ] {
        let text = packaging(file);
        let limit = values(&text, key).into_iter().map(|time| seconds(time) * unit).max().unwrap();
        let joined = text.replace("--max-duration\n", "--max-duration").replace("\\\n", " ");
        let durations = values(&joined, "--max-duration");
        let duration = durations[0].trim_start_matches(['-', ' ']).split(' ').next().unwrap();
        assert!(seconds(duration) * tries < limit, "{file}: {duration}, {tries} times, within {limit}");
    }
}

#[test]
fn platforms_that_know_of_the_ledger_start_no_second_run() {
    for (file, line) in [
        ("kubernetes/cronjob.yaml", "  concurrencyPolicy: Forbid"),
        ("ci/github-actions.yml", "  group: attrsync-acme\n  cancel-in-progress: false"),
        ("ci/github-actions-approval.yml", "  group: attrsync-acme\n  cancel-in-progress: false"),
        ("ci/gitlab-ci.yml", "  resource_group: attrsync-acme"),
        // A unit that is active is not started a second time.
        ("systemd/attrsync.service", "\nType=oneshot\n"),
        // The second one waits.
        ("kubernetes/cronjob-shared-ledger.yaml", "                - --wait\n"),
    ] {
        assert!(packaging(file).contains(line), "{file}: {line}");
    }
}

#[test]
fn the_ledger_and_the_reports_are_kept() {
    for (file, parts) in [
        ("systemd/attrsync.service", &["StateDirectory=attrsync\n", "WorkingDirectory=%S/attrsync\n"][..]),
        ("docker/compose.yaml", &["ledger:/srv/crm", "./reports:/reports", "/reports/failures.csv"]),
        (
            "kubernetes/cronjob.yaml",
            &["mountPath: /srv/crm", "workingDir: /srv/crm", "claimName: attrsync\n"],
        ),
        ("ci/github-actions.yml", &["path: attrsync.ledger*", "failures.csv", "if: always()"]),
        ("ci/github-actions-approval.yml", &["path: attrsync.ledger*", "failures.csv", "if: always()"]),
        (
            "ci/gitlab-ci.yml",
            &["- attrsync.ledger-lock", "- attrsync.ledger-wal", "- failures.csv", "when: always"],
        ),
        ("cron/attrsync", &["cd /srv/crm && exec /usr/local/bin/attrsync sync"]),
    ] {
        for part in parts {
            assert!(packaging(file).contains(part), "{file}: {part}");
        }
    }
}

#[test]
fn each_file_takes_the_key_from_where_the_page_says() {
    for (file, part) in [
        ("systemd/attrsync.service", "LoadCredential=token:/etc/attrsync/user-com.token"),
        ("docker/compose.yaml", "file: ./user-com.token"),
        ("kubernetes/cronjob.yaml", "secretName: user-com"),
        ("ci/github-actions.yml", "ATTRSYNC_TOKEN: ${{ secrets."),
        ("ci/github-actions-approval.yml", "ATTRSYNC_TOKEN: ${{ secrets."),
    ] {
        assert!(packaging(file).contains(part), "{file}: {part}");
    }
    for file in ["systemd/attrsync.service", "docker/compose.yaml", "kubernetes/cronjob.yaml"] {
        assert!(packaging(file).contains("--token-file"), "{file}");
    }
}

#[test]
fn the_schedules_are_those_of_the_page() {
    let cron = packaging("cron/attrsync");
    let lines: Vec<_> = cron.lines().filter(|line| line.contains("attrsync sync")).collect();
    let [most, sunday] = lines[..] else { panic!("{lines:?}") };
    assert!(most.starts_with("0 3 * * 1-6 ") && most.contains("--quiet --only-changed"), "{most}");
    assert!(sunday.starts_with("0 3 * * 0 ") && !sunday.contains("--only-changed"), "{sunday}");
    let service = packaging("systemd/attrsync.service");
    for line in ["StartLimitIntervalSec=6h", "StartLimitBurst=3", "OnFailure=attrsync-failure@%n.service"] {
        assert!(service.lines().any(|other| other == line), "{line}");
    }
    assert!(packaging("kubernetes/cronjob.yaml").contains("backoffLimit: 2\n"));
    for file in ["ci/github-actions.yml", "ci/github-actions-approval.yml", "ci/gitlab-ci.yml"] {
        assert!(packaging(file).contains("exec attrsync sync "), "{file}");
    }
}

#[test]
fn the_image_is_what_the_page_says() {
    let dockerfile = fs::read_to_string(project("Dockerfile")).unwrap();
    let (_, image) = dockerfile.split_once("\nFROM scratch\n").unwrap();
    for line in ["WORKDIR /srv/crm", "USER 65532:65532", "ENTRYPOINT [\"/usr/local/bin/attrsync\"]"] {
        assert!(image.lines().any(|other| other == line), "{line}");
    }
    assert!(dockerfile.contains("cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/"));
    assert!(dockerfile.contains("mkdir -p") && dockerfile.contains("/owned/tmp"));
}

#[test]
fn the_approval_plans_in_one_job_and_sends_in_another() {
    let text = packaging("ci/github-actions-approval.yml");
    let (before, apply) = text.split_once("\n  apply:\n").unwrap();
    let (_, plan) = before.split_once("\n  plan:\n").unwrap();
    for part in
        ["attrsync plan --only-changed ", "--save plan.jsonl", "$GITHUB_STEP_SUMMARY", "path: plan.jsonl"]
    {
        assert!(plan.contains(part), "{part}");
    }
    for part in ["needs: plan", "environment: user-com", "--name plan", "attrsync sync --plan plan.jsonl"] {
        assert!(apply.contains(part), "{part}");
    }
    assert!(
        !before.contains("secrets.") && apply.contains("secrets.USER_COM_KEY"),
        "only one job has the key"
    );
}
