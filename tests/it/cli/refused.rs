//! What is refused before anything is sent: wrong usage (exit 2), and inputs as a whole (exit 3).

use super::{Server, Workdir};

#[test]
fn a_wrong_flag_is_told_with_a_way_out() {
    let run = Workdir::with_rows(&["1,city,Oslo"]).run("sync users.csv --batchsize 5").exits(2);
    insta::assert_snapshot!(run.stderr, @r"
    error: unexpected argument '--batchsize' found

      tip: a similar argument exists: '--batch-size'

    Usage: attrsync sync --batch-size <N> [INPUT]...

    For more information, try '--help'.
    ");
}

#[test]
fn a_wrong_value_is_told_with_its_flag() {
    let run = Workdir::with_rows(&["1,city,Oslo"]).run("sync users.csv --rate fast").exits(2);
    insta::assert_snapshot!(run.stderr, @"
    error: invalid value 'fast' for '--rate <N/s|N/m>': `fast` is not a rate: write requests per second or minute, as `10/s` or `300/m`

    For more information, try '--help'.
    ");
}

#[test]
fn a_wrong_key_of_the_file_is_told_with_its_line() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    workdir.file("attrsync.toml", "rate = \"5/s\"\nbatchsize = 5\n");
    insta::assert_snapshot!(workdir.run("sync --sandbox users.csv").exits(2).stderr, @r"
    error: attrsync.toml:2: batchsize: unknown key
    hint: write `batch_size` if that is meant
    ");
    workdir.file("attrsync.toml", "rate = \"5/s\"\nbatch_size = 0\n");
    insta::assert_snapshot!(workdir.run("sync --sandbox users.csv").exits(2).stderr, @"error: attrsync.toml:2: batch_size: `0` is not valid: write a whole number from 1");
}

#[test]
fn planning_needs_some_memory_and_a_place_for_the_rest() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    insta::assert_snapshot!(workdir.run("plan users.csv --memory 8MB").exits(2).stderr, @r"
    error: invalid value '8MB' for '--memory <SIZE>': `8MB` is too little memory to plan with: write at least `16MB`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(workdir.run("sync --sandbox users.csv --temp-dir missing").exits(2).stderr, @"
    error: --temp-dir: `missing` is not a directory
    hint: name a directory that is there and can be written
    ");
    workdir.run("plan users.csv --memory 16MB --temp-dir .").exits(0);
    assert_eq!(workdir.names(), ["users.csv"]);
}

#[test]
fn an_account_needs_an_address_and_a_key() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    insta::assert_snapshot!(workdir.run("sync users.csv").exits(2).stderr, @"
    error: no account is named
    hint: add `--subdomain NAME`, or try it out with `--sandbox`
    ");
    insta::assert_snapshot!(workdir.run("sync users.csv --subdomain acme").exits(2).stderr, @r"
    error: no API key is given
    hint: set the variable `ATTRSYNC_TOKEN`, name a file that holds it with `--token-file`, or rehearse with `--sandbox`
    ");
    workdir
        .run("sync users.csv --subdomain acme --token-file missing")
        .exits(2)
        .says("--token-file: `missing`: no such file");
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    for address in ["http://acme.user.com/api/public/", "http://10.0.0.1/", "http://127.0.0.1.example.com/"] {
        let mut command = workdir.attrsync("sync users.csv --base-url");
        command.arg(address).env("ATTRSYNC_TOKEN", super::KEY);
        let run = super::ended(command).exits(2);
        run.says("plain http would show the API key to the network");
    }
    assert_eq!(workdir.names(), ["users.csv"]);
}

#[test]
fn reports_that_cannot_be_written_cost_no_request() {
    for report in ["--failures", "--summary"] {
        let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
        let run = server.sync(&workdir, &format!("users.csv {report} missing/report")).exits(2);
        run.says("cannot create `missing/report`").says("create the directory first");
        assert_eq!(server.counters().requests, 0);
    }
}

#[test]
fn a_report_takes_the_place_of_no_input() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
    server.sync(&workdir, "users.csv --summary users.csv").exits(2).says("is an input and would be lost");
    assert!(workdir.read("users.csv").contains("Oslo"));
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
    insta::assert_snapshot!(server.sync(&workdir, "users.csv user.csv").exits(3).stderr, @r"
    error: user.csv: no such file
    hint: check the path
    ");
    assert_eq!(server.counters().requests, 0);
}

#[test]
fn an_input_without_the_columns_is_refused_with_a_way_out() {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    workdir.file("users.csv", "User ID,Attr,Val\n1,city,Oslo\n");
    insta::assert_snapshot!(server.sync(&workdir, "users.csv").exits(3).stderr, @r"
    error: users.csv:1: no `user_id` column (found `User ID`, `Attr`, `Val`)
    hint: rename the columns, or add `--columns 'user_id=User ID,attribute=Attr,value=Val'`
    ");
    workdir.file("empty.csv", "");
    server.sync(&workdir, "empty.csv").exits(3).says("is empty");
}

#[test]
fn an_input_of_nothing_but_invalid_rows_is_refused() {
    let (workdir, server) = (Workdir::with_rows(&["x,city,Oslo", "1,colour,red"]), Server::friendly());
    let run = server.sync(&workdir, "users.csv --summary -").exits(3);
    insta::assert_snapshot!(run.stderr, @r"
    error: all rows are invalid
    hint: correct the rows in `failures.csv`, starting at users.csv:2: `user_id` must be a positive whole number; if these are your own ids, add `--id-type custom-id`
    ");
    assert_eq!((run.rows("invalid"), workdir.failures().len(), server.counters().requests), (2, 2, 0));
}

#[test]
fn one_invalid_row_is_too_many_for_strict_runs_and_limits_count() {
    for (arguments, sent) in [
        ("--strict", false),
        ("--max-invalid 0", false),
        ("--max-invalid 33%", false),
        ("--max-invalid 1", true),
        ("--max-invalid 34%", true),
    ] {
        let (workdir, server) =
            (Workdir::with_rows(&["1,city,Oslo", "2,city,Oslo", "x,city,Oslo"]), Server::friendly());
        let run = server.sync(&workdir, &format!("users.csv --summary - {arguments}"));
        let run = run.exits(if sent { 1 } else { 3 });
        let expected = if sent { (2, 0, 1, 1) } else { (0, 2, 0, 3) };
        let counted = (
            run.rows("acknowledged"),
            run.rows("unsent"),
            server.counters().requests,
            workdir.failures().len(),
        );
        assert_eq!(counted, expected, "{arguments}");
    }
}

#[test]
fn conflicts_are_settled_by_the_last_row_or_the_first_or_refused() {
    let rows = ["1,city,Oslo", "2,city,Bergen", "1,city,Bergen"];
    for (choice, first) in [("last", "1,city,Bergen"), ("first", "1,city,Oslo")] {
        let (workdir, server) = (Workdir::with_rows(&rows), Server::friendly());
        let run = server.sync(&workdir, &format!("users.csv --summary - --on-conflict {choice}")).exits(0);
        assert_eq!(server.state(), format!("user_id,attribute,value\n{first}\n2,city,Bergen\n"));
        assert_eq!(run.rows("superseded"), 1);
    }
    let (workdir, server) = (Workdir::with_rows(&rows), Server::friendly());
    let run = server.sync(&workdir, "users.csv --summary - --on-conflict error").exits(3);
    insta::assert_snapshot!(run.stderr, @r"
    error: 1 conflict: one user has several values for `city`
    hint: correct the rows in `failures.csv`, or choose with `--on-conflict last` or `first`
    ");
    assert_eq!((run.rows("unsent"), workdir.failures().len(), server.counters().requests), (3, 3, 0));
    workdir.file("users.csv", workdir.read("users.csv") + "2,city,Oslo\n");
    let run = server.sync(&workdir, "users.csv --on-conflict error").exits(3);
    run.says(
        "error: 2 conflicts: one user has several values for one attribute, the first of them for `city`",
    );
}

#[test]
fn a_directory_is_no_input() {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    server.sync(&workdir, ".").exits(3).says("error: .: is a directory").says("hint: name the files in it");
}
