//! The password of the database appears nowhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use attrsync::sandbox::{ErrorBody, Fault, FaultKind, Moment, Options};

use super::super::cli::{Ended, Server, Workdir, ended};
use super::database;
use super::runs::{attrsync, password, with};

const REFUSED: Fault = Fault { kind: FaultKind::Error(401, ErrorBody::Json), moment: Moment::BeforeApplying };

/// How the program learns the password.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Variable,
    PasswordVariable,
    File,
    SettingsFile,
    Flag,
}

/// The files in a folder, and what they hold.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match fs::read(&path) {
            Ok(content) => vec![(path.display().to_string(), content)],
            Err(_) => files(&path),
        })
        .collect()
}

/// Runs a command that knows the ledger by this source.
fn run(server: &Server, workdir: &Workdir, address: &str, source: Source, arguments: &str) -> Ended {
    let secret = password(address);
    let without = address.replacen(&format!(":{secret}@"), "@", 1);
    let mut command: Command = attrsync(server, workdir, address, arguments);
    command.env_remove("ATTRSYNC_LEDGER");
    match source {
        Source::Variable => command.env("ATTRSYNC_LEDGER", address),
        Source::PasswordVariable => command.env("ATTRSYNC_LEDGER", without).env("PGPASSWORD", secret),
        Source::File => command.env("ATTRSYNC_LEDGER_FILE", "address"),
        Source::SettingsFile => &mut command,
        Source::Flag => command.args(["--ledger", address]),
    };
    ended(command)
}

/// Runs every command, and searches all that is written.
fn check(address: &str, source: Source) {
    let secret = password(address);
    let (workdir, mut script) = (Workdir::with_cities(3), vec![None; 2]);
    script.push(Some(REFUSED));
    let server = Server::new(Options { script, ..Options::default() });
    let holders = ["address", "attrsync.toml"];
    match source {
        Source::File => workdir.file("address", address),
        Source::SettingsFile => workdir.file("attrsync.toml", format!("ledger = \"{address}\"\n")),
        Source::Variable | Source::PasswordVariable | Source::Flag => {}
    }
    let reports = "--summary summary.json --report report.html --metrics metrics.prom";
    let logs = "-vv --log-format json";
    let sync = format!("sync users.csv {reports} {logs}");
    let commands = [
        (format!("plan users.csv --only-changed {logs}"), &[0][..]),
        (sync.clone(), &[4]),
        (sync.clone(), &[0]),
        ("sync users.csv --only-changed -vv".to_owned(), &[0]),
        (format!("pull {logs}"), &[0]),
        (format!("plan users.csv --only-changed --save plan.saved {logs}"), &[0]),
        (format!("sync --plan plan.saved {reports} {logs}"), &[0]),
        ("history".to_owned(), &[0]),
        ("history show 1 --format json".to_owned(), &[0]),
        ("history user 1".to_owned(), &[0]),
        ("undo 2".to_owned(), &[0]),
        ("sync nowhere.csv".to_owned(), &[3]),
        ("sync users.csv --rate 0/s".to_owned(), &[2]),
    ];
    // Each source has a run that stops and one that continues it.
    let few = if source == Source::Variable { commands.len() } else { 3 };
    for (arguments, codes) in commands.into_iter().take(few) {
        let run = run(&server, &workdir, address, source, &arguments);
        let said = format!("{source:?} {arguments}\n{}\n{}", run.stdout, run.stderr);
        assert!(!said.contains(secret), "{said}");
        assert!(codes.contains(&run.code), "{}: {said}", run.code);
        for (path, content) in files(&workdir.path(".")) {
            let is_holder = holders.iter().any(|name| path.ends_with(name));
            let has_secret = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(is_holder || !has_secret, "{path} after {said}");
        }
    }
    for name in ["summary.json", "report.html", "metrics.prom", "failures.csv"] {
        assert!(workdir.path(name).is_file(), "{name}");
    }
}

#[test]
fn no_log_report_or_message_shows_the_password() {
    let Some(database) = database() else { return };
    for (number, source) in
        [Source::Variable, Source::PasswordVariable, Source::File, Source::SettingsFile, Source::Flag]
            .into_iter()
            .enumerate()
    {
        check(&with(&database.direct, format!("schema=ledger{number}")), source);
    }
}

#[test]
fn the_command_that_sends_what_is_undone_says_where_the_password_comes_from() {
    let Some(database) = database() else { return };
    let (server, workdir) = (Server::friendly(), Workdir::with_cities(1));
    run(&server, &workdir, &database.direct, Source::Flag, "sync users.csv").exits(0);
    workdir.file("users.csv", "user_id,attribute,value\n1,city,Oslo\n");
    run(&server, &workdir, &database.direct, Source::Flag, "sync users.csv").exits(0);
    let note = " (the password of the ledger comes from `PGPASSWORD`)";
    run(&server, &workdir, &database.direct, Source::Flag, "undo 2").exits(0).says(note);
    let run = run(&server, &workdir, &database.direct, Source::Variable, "undo 2").exits(0);
    assert!(!run.stderr.contains(note), "{}", run.stderr);
}

#[test]
fn no_error_shows_the_password() {
    let Some(database) = database() else { return };
    let (server, workdir) = (Server::friendly(), Workdir::with_cities(1));
    let secret = password(&database.direct);
    for wrong in [
        with(&database.direct, "unknown=1"),
        with(&database.direct, "sslmode=prefer"),
        with(&database.direct, "schema=No%20Name"),
        database.direct.replacen('@', "@@", 1),
        database.direct.replacen("127.0.0.1:", "127.0.0.1:port", 1),
        database.direct.replacen("postgres://", "postgres:/", 1),
        database.direct.replacen("postgres://", "postgers://", 1),
        format!("{}/more", database.direct),
    ] {
        for arguments in ["sync users.csv -vv", "plan users.csv --only-changed", "pull", "history", "undo 1"]
        {
            let run = ended(attrsync(&server, &workdir, &wrong, arguments));
            let said = format!("{wrong} {arguments}\n{}\n{}", run.stdout, run.stderr);
            assert!(run.code != 0, "{said}");
            assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{said}");
        }
    }
    assert_eq!(server.counters().requests, 0);
}
