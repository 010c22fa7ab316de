//! `undo`: what can't be restored is left out and counted, and the command that is printed restores the rest.

use attrsync::sandbox::Options;

use super::{Ended, KEY, Server, Workdir, ended};

/// Pulls an account in which nobody has anything, and sets values of three users; run 3 replaces them.
fn replaced() -> (Workdir, Server) {
    let server = Server::new(Options { users: Some(5), ..Options::default() });
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,city,Rome"]);
    let mut pull = workdir.attrsync("pull");
    pull.env("ATTRSYNC_BASE_URL", server.sandbox.base_url()).env("ATTRSYNC_TOKEN", KEY);
    ended(pull).exits(0);
    server.remember(&workdir, "users.csv").exits(0);
    let rows = ["1,city,Lima", "2,city,Lima", "3,region,East", "4,shoe size,44"];
    workdir.file("users.csv", format!("user_id,attribute,value\n{}\n", rows.join("\n")));
    server.remember(&workdir, "users.csv --allow-custom").exits(0);
    // One of them changes again.
    workdir.file("users.csv", "user_id,attribute,value\n2,city,Bern\n");
    server.remember(&workdir, "users.csv").exits(0);
    (workdir, server)
}

#[test]
fn what_can_not_be_restored_is_left_out_and_counted() {
    let (workdir, server) = replaced();
    let before = server.counters().requests;
    let undo = workdir.run("undo 3").exits(0);
    assert_eq!(undo.stdout, "user_id,attribute,value\n1,city,Oslo\n");
    undo.says("1 row written, of 4 rows that run 3 got acknowledged")
        .says("1 row left out: nothing was known before")
        .says("1 row left out: the value has changed again since, or may have")
        .says("1 row left out: the attribute was empty")
        .says("`--null-token NULL` writes them as `NULL`");
    let undo = workdir.run("undo 3 --null-token NULL").exits(0);
    assert_eq!(undo.stdout, "user_id,attribute,value\n1,city,Oslo\n3,region,NULL\n");
    assert!(!undo.stderr.contains("the attribute was empty"), "{}", undo.stderr);
    assert_eq!(server.counters().requests, before, "it needs no network");
}

#[test]
fn the_printed_command_sends_what_undo_has_written() {
    let (workdir, server) = replaced();
    let undo = workdir.run("undo 3 --null-token NULL --output before.csv").exits(0);
    assert_eq!(undo.stdout, "");
    assert_eq!(workdir.read("before.csv"), "user_id,attribute,value\n1,city,Oslo\n3,region,NULL\n");
    let command = undo.stderr.split_once("send it with `attrsync ").unwrap().1;
    let (arguments, _) = command.split_once('`').unwrap();
    let mut sync = workdir.attrsync(arguments);
    sync.env("ATTRSYNC_TOKEN", KEY).env("ATTRSYNC_RATE", "1000/s");
    let run: Ended = ended(sync).exits(0);
    drop(run);
    let state = server.state();
    assert!(state.contains("\n1,city,Oslo\n") && state.contains("\n2,city,Bern\n"), "{state}");
    assert!(!state.contains("3,region,East"), "{state}");
}

#[test]
fn undo_overwrites_no_ledger_and_nothing_that_a_run_needs() {
    let (workdir, _server) = replaced();
    workdir.file("attrsync.toml", "token_file = 'tok'\n");
    workdir.file("tok", KEY);
    std::os::unix::fs::symlink("attrsync.ledger", workdir.path("link")).unwrap();
    let before = workdir.run("history").exits(0).stdout;
    for output in ["attrsync.ledger", "./attrsync.ledger-wal", "link", "tok", "attrsync.toml"] {
        let undo = workdir.run(&format!("undo 3 --output {output}")).exits(2);
        undo.says(&format!("--output: `{output}` "))
            .says("would be lost")
            .says("name another file with `--output`");
    }
    // Also where another ledger is read, and where the settings can't be used.
    std::fs::copy(workdir.path("attrsync.ledger"), workdir.path("other")).unwrap();
    workdir.file("attrsync.toml", "rate = 'x'\n");
    for output in ["other", "attrsync.ledger", "attrsync.toml"] {
        workdir.run(&format!("undo 3 --ledger other --output {output}")).exits(2).says("would be lost");
    }
    workdir.file("attrsync.toml", "");
    assert_eq!(workdir.run("history").exits(0).stdout, before);
    assert_eq!(workdir.read("tok"), KEY);
}

#[test]
fn a_run_can_be_undone_only_as_long_as_its_dates_are_kept() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    workdir.file("users.csv", "user_id,attribute,value\n1,city,Lima\n");
    server.remember(&workdir, "users.csv").exits(0);
    assert_eq!(workdir.run("undo 2").exits(0).stdout, "user_id,attribute,value\n1,city,Oslo\n");
    // More than is known, so that it is worthwhile to remove what has expired.
    let rows = (1..=5).map(|user| format!("{user},region,East\n"));
    workdir.file("users.csv", format!("user_id,attribute,value\n{}", rows.collect::<String>()));
    server.remember(&workdir, "users.csv --history-days 0").exits(0);
    workdir.run("undo 2").exits(2).says("hint: ");
}
