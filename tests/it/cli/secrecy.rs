//! What others on the machine can't read, and what User.com is never asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use attrsync::sandbox::{Fault, FaultKind, Moment, Options};
use httpmock::Method::{GET, PUT};
use httpmock::MockServer;
use serde_json::json;

use super::remembered::kill;
use super::{Ended, KEY, Server, Workdir, ended};

/// Runs it where new files can be read and written by everyone, unless a program sees to it.
fn careless(command: &Command) -> Ended {
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    ended(shell)
}

/// Any command, with the account and the ledger of the directory.
fn with_account(server: &Server, workdir: &Workdir, arguments: &str) -> Command {
    let mut command = workdir.attrsync(arguments);
    command.env("ATTRSYNC_BASE_URL", server.sandbox.base_url()).env("ATTRSYNC_TOKEN", KEY);
    command.env("ATTRSYNC_RATE", "100000/s");
    command
}

/// Each command that writes a file, and how it ends.
const WRITING: [(&str, i32); 5] = [
    ("sync users.csv --summary summary.json --report run.html -vv", 1),
    ("pull -vv", 0),
    ("plan users.csv --failures lost.csv --bodies bodies.jsonl --save plan.jsonl", 1),
    ("undo 1 --output before.csv", 0),
    ("history user 1", 0),
];

#[test]
fn every_file_that_holds_ids_or_values_is_its_owners_alone() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,city,Rome", "x,city,Rome"]);
    let server = Server::friendly();
    for (arguments, code) in WRITING {
        careless(&with_account(&server, &workdir, arguments)).exits(code);
    }
    let mut names = workdir.names();
    names.retain(|name| name != "users.csv");
    let expected = [
        "attrsync.ledger",
        "attrsync.ledger-lock",
        "before.csv",
        "bodies.jsonl",
        "failures.csv",
        "lost.csv",
        "plan.jsonl",
        "run.html",
        "summary.json",
    ];
    assert_eq!(names, expected);
    for name in names {
        let mode = fs::metadata(workdir.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn no_file_and_no_message_of_any_command_has_the_key() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,city,Rome", "x,city,Rome"]);
    let server = Server::friendly();
    let metrics = ("sync users.csv --metrics attrsync.prom -vv --log-format json", 1);
    for (arguments, code) in WRITING.into_iter().chain([metrics]) {
        let run = ended(with_account(&server, &workdir, arguments)).exits(code);
        assert!(!run.stdout.contains(KEY) && !run.stderr.contains(KEY), "{arguments}: {}", run.stderr);
        for name in workdir.names() {
            let bytes = fs::read(workdir.path(&name)).unwrap();
            let has_key = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
            assert!(!has_key, "{name} after {arguments}");
        }
    }
}

#[test]
fn a_list_of_processes_does_not_show_the_key() {
    let workdir = Workdir::with_cities(2);
    workdir.file("key", KEY);
    let stall = Some(Fault { kind: FaultKind::Stall, moment: Moment::BeforeApplying });
    let server = Server::new(Options { script: vec![None, stall], ..Options::default() });
    let mut command = server.command(&workdir, "users.csv --token-file key");
    let child = command.env_remove("ATTRSYNC_TOKEN").spawn().unwrap();
    server.until(|counters| counters.requests == 2);
    for file in ["cmdline", "comm", "environ"] {
        let text = fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
        assert!(!text.windows(16).any(|window| KEY.as_bytes().starts_with(window)), "{file}");
    }
    kill(child);
}

#[test]
fn users_are_updated_and_read_and_nothing_else_is_asked_for() {
    let mock = MockServer::start();
    let user = json!({ "id": 1, "city": "Oslo", "attributes": [{ "name": "tier", "value": "gold" }] });
    let ok = r#"{"status": "ok"}"#;
    for kind in ["standard", "custom"] {
        mock.mock(|when, then| {
            when.method(PUT).path(format!("/users/mass_update_{kind}_attributes/"));
            then.status(200).body(ok);
        });
    }
    mock.mock(|when, then| {
        when.method(GET).path("/users/1/");
        then.status(200).json_body(user.clone());
    });
    mock.mock(|when, then| {
        when.method(GET).path("/users/");
        then.status(200).json_body(json!({ "next": null, "count": 1, "results": [user] }));
    });
    let other = mock.mock(|when, then| {
        when.any_request();
        then.status(500);
    });
    let workdir = Workdir::with_rows(&["1,city,Oslo", "1,tier,gold"]);
    let run = |arguments: &str| {
        let mut command = workdir.attrsync(arguments);
        command.env("ATTRSYNC_BASE_URL", mock.url("/")).env("ATTRSYNC_TOKEN", KEY);
        ended(command).exits(0)
    };
    run("sync users.csv --allow-custom --canary 1 --verify all --rate 1000/s");
    run("pull --allow-custom");
    run("sync users.csv --allow-custom --only-changed");
    run("plan users.csv --allow-custom --only-changed");
    run("undo 1");
    assert_eq!(other.calls(), 0);
}
