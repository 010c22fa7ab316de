//! What a run says to do next, done as it is printed.

use std::process::Command;

use attrsync::sandbox::{Options, Reject};

use super::truth::naive_state;
use super::{Ended, KEY, Server, Workdir, ended};

/// The command that was printed, word for word.
#[track_caller]
fn printed(stderr: &str) -> &str {
    let line = stderr.lines().find(|line| line.starts_with("  attrsync sync "));
    line.unwrap_or_else(|| panic!("no command in:\n{stderr}")).trim()
}

/// Gives a command to a shell, in an environment without a variable of ours.
fn typed(workdir: &Workdir, command: &str) -> Ended {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("attrsync() {{ \"$PROGRAM\" \"$@\"; }}; {command}")]);
    shell.current_dir(workdir.path("")).env_clear().env("PROGRAM", env!("CARGO_BIN_EXE_attrsync"));
    ended(shell)
}

#[test]
fn the_printed_command_repeats_all_that_decides_what_is_sent() {
    let workdir = Workdir::with_rows(&[
        "007,city,NULL",
        "007,shoe size,",
        "C-1,city,Oslo",
        "007,country,Norway",
        "007,country,Sweden",
        "gone,city,Oslo",
    ]);
    workdir.file("my key", KEY);
    workdir.file("settings.toml", "[attributes.city]\nmap = { Oslo = \"Kristiania\" }\n");
    let ids = ["007", "C-1", "gone"].map(str::to_owned);
    let strict =
        Server::new(Options { reject_ids: ids.into(), reject: Reject::Naming, ..Options::default() });
    let mut command = workdir.attrsync(
        "sync users.csv --id-type=custom-id --null-token NULL --empty send --on-conflict first \
         --config settings.toml --rate 1000/s --no-ledger --failures lost.csv",
    );
    command.args(["--token-file", "my key", "--base-url", &strict.sandbox.base_url()]);
    command.env("ATTRSYNC_ALLOW_CUSTOM", "1");
    let run = ended(command).exits(1);
    let again = printed(&run.stderr).replace(&strict.sandbox.base_url(), "ADDRESS");
    assert_eq!(
        again,
        "attrsync sync --config settings.toml --base-url ADDRESS --token-file 'my key' --rate 1000/s \
         --on-conflict first --empty send --null-token NULL --id-type custom-id --allow-custom --no-ledger \
         --failures lost.csv lost.csv"
    );

    let kind = Server::friendly();
    typed(&workdir, &again.replace("ADDRESS", &kind.sandbox.base_url())).exits(0);
    // What is null is gone.
    let state = "user_id,attribute,value\n007,country,Norway\n007,shoe size,\nC-1,city,Kristiania\n\
                 gone,city,Kristiania\n";
    assert_eq!(kind.state(), state);
}

#[test]
fn after_a_rehearsal_the_printed_command_is_a_rehearsal() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "x,city,Oslo"]);
    let account = Server::friendly();
    let mut command = workdir.attrsync("sync users.csv --sandbox --rate 1000/s");
    command.env("ATTRSYNC_BASE_URL", account.sandbox.base_url()).env("ATTRSYNC_TOKEN", KEY);
    let run = ended(command).exits(1);
    assert_eq!(printed(&run.stderr), "attrsync sync --sandbox --rate 1000/s failures.csv");
    assert_eq!(account.counters().requests, 0);
}

#[test]
fn the_key_is_not_printed_but_where_it_came_from() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo", "x,city,Oslo"]), Server::friendly());
    let run = server.sync(&workdir, "users.csv").exits(1);
    assert!(!run.stderr.contains(KEY), "{}", run.stderr);
    run.says("(the key comes from `ATTRSYNC_TOKEN`)");
}

#[test]
fn a_run_continues_from_here_only_where_it_does() {
    let cities: Vec<String> = (1..=4).map(|user| format!("{user},city,City {user}")).collect();
    let workdir = || Workdir::with_rows(&cities.iter().map(String::as_str).collect::<Vec<_>>());
    let stopped = |arguments: &str| {
        let (workdir, server) = (workdir(), Server::friendly());
        let run = server.remember(&workdir, &format!("users.csv --max-duration 0s {arguments}")).exits(4);
        let next = run.stderr.lines().filter(|line| line.starts_with("next: ")).count();
        assert_eq!(next, 1, "{}", run.stderr);
        (workdir, run.stderr)
    };
    let (_, said) = stopped("");
    assert!(said.contains("run the same command again; it continues from here"), "{said}");
    for arguments in ["--no-resume", "--no-ledger"] {
        let (workdir, said) = stopped(arguments);
        assert!(!said.contains("continues"), "{said}");
        let server = Server::friendly();
        let command = printed(&said).split_whitespace().map(|word| {
            if word.starts_with("http://") { server.sandbox.base_url() } else { word.to_owned() }
        });
        let command = command.collect::<Vec<_>>().join(" ");
        typed(&workdir, &format!("ATTRSYNC_TOKEN={KEY} {command}")).exits(0);
        assert_eq!(server.state(), naive_state(&workdir.read("users.csv")));
    }
}
