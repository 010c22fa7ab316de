//! Saved plans that are not sent: stale, damaged, for another account, or with flags that would change them.

use std::fs;

use attrsync::sandbox::Options;

use super::{Server, Workdir};

/// A plan of ten rows, saved in `plan.jsonl`.
fn saved(arguments: &str) -> (Workdir, Server) {
    let (workdir, server) = (Workdir::with_cities(10), Server::friendly());
    server.plan(&workdir, &format!("users.csv --save plan.jsonl {arguments}")).exits(0);
    (workdir, server)
}

/// That nothing is sent for this reason, and the report of an earlier run stays.
#[track_caller]
fn check_refused(workdir: &Workdir, server: &Server, arguments: &str, reason: &str, words: &str) {
    let before = server.counters().requests;
    workdir.file("failures.csv", "of an earlier run");
    let run = server.remember(workdir, &format!("--plan plan.jsonl {arguments}")).exits(3);
    let summary = run.summary();
    assert_eq!((summary["reason"].as_str(), summary["outcome"].as_str()), (Some(reason), Some("refused")));
    assert_eq!(run.rows("read"), 0);
    assert_eq!(server.counters().requests, before);
    assert_eq!(workdir.read("failures.csv"), "of an earlier run");
    run.says(words).says("hint: ");
}

#[test]
fn a_plan_is_stale_after_another_run() {
    let (workdir, server) = saved("");
    server.remember(&workdir, "users.csv").exits(0);
    check_refused(&workdir, &server, "", "stale_plan", "is stale: run 1 has changed the ledger since");

    // Also if the ledger was there before, and whatever the run sent.
    server.plan(&workdir, "users.csv --only-changed --save plan.jsonl").exits(0);
    workdir.file("other.csv", "user_id,attribute,value\n99,city,Oslo\n");
    server.remember(&workdir, "other.csv").exits(0);
    check_refused(&workdir, &server, "", "stale_plan", "run 2 has changed the ledger since");
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    server.remember(&workdir, "--plan plan.jsonl").exits(0);
}

#[test]
fn a_plan_is_stale_after_a_run_that_began_before_it_and_went_on() {
    let (workdir, server) = (Workdir::with_cities(20), Server::stopping_after(5));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    server.remember(&workdir, "users.csv").exits(0);
    check_refused(&workdir, &server, "", "stale_plan", "run 2 has changed the ledger since");
}

#[test]
fn a_plan_of_what_a_stopped_run_left_sends_the_rest() {
    let (workdir, server) = (Workdir::with_cities(20), Server::stopping_after(5));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    let run = server.remember(&workdir, "--plan plan.jsonl").exits(0);
    assert_eq!((run.rows("read"), run.rows("acknowledged")), (15, 15));
    assert_eq!(server.sandbox.state().len(), 20);
}

#[test]
fn a_plan_is_stale_with_another_ledger_and_without_one() {
    let (workdir, server) = (Workdir::with_cities(10), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    let stale = "stale_plan";
    let missing = "it was made from a ledger, and there is none at `new.ledger`";
    check_refused(&workdir, &server, "--ledger new.ledger", stale, missing);
    assert!(!workdir.names().iter().any(|name| name.contains("new.ledger")), "{:?}", workdir.names());
    Server::friendly().remember(&workdir, "users.csv --ledger new.ledger").exits(0);
    check_refused(&workdir, &server, "--ledger new.ledger", stale, "it was made from another ledger");
    check_refused(
        &workdir,
        &server,
        "--no-ledger",
        stale,
        "it was made from a ledger, and this run has none",
    );
    // A ledger from a backup has less than it had.
    for name in ["attrsync.ledger", "attrsync.ledger-lock"] {
        fs::copy(workdir.path(name), workdir.path(format!("{name}.old"))).unwrap();
    }
    workdir.file("other.csv", "user_id,attribute,value\n99,city,Oslo\n");
    server.remember(&workdir, "other.csv").exits(0);
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    for name in ["attrsync.ledger", "attrsync.ledger-lock"] {
        fs::rename(workdir.path(format!("{name}.old")), workdir.path(name)).unwrap();
    }
    check_refused(&workdir, &server, "", stale, "the ledger no longer has what it was made from");
}

#[test]
fn a_plan_that_was_made_without_a_ledger_needs_none() {
    let (workdir, server) = saved("--no-ledger");
    server.remember(&workdir, "users.csv").exits(0);
    server.sync(&workdir, "--plan plan.jsonl").exits(0);
    assert_eq!(server.counters().requests, 20);
    // One that is there anyway knows that the plan was sent.
    server.remember(&workdir, "--plan plan.jsonl").exits(0);
    check_refused(&workdir, &server, "", "stale_plan", "run 2 has sent it");
}

#[test]
fn a_plan_goes_to_the_account_that_it_was_made_for() {
    let (workdir, server) = saved("");
    let other = Server::friendly();
    check_refused(
        &workdir,
        &other,
        "",
        "stale_plan",
        &format!("it was made for `{}`", server.sandbox.base_url()),
    );
    let rehearsal = workdir.run("sync --plan plan.jsonl --sandbox --summary -").exits(3);
    assert_eq!(rehearsal.summary()["reason"], "stale_plan");

    let named = format!("--plan plan.jsonl --base-url {}", server.sandbox.base_url());
    let mut command = server.remembering(&workdir, &named);
    command.env_remove("ATTRSYNC_BASE_URL");
    assert_eq!(super::ended(command).exits(0).rows("acknowledged"), 10);
}

#[test]
fn the_key_goes_to_no_address_that_only_a_plan_names() {
    let workdir = Workdir::with_cities(3);
    let elsewhere = "https://user.com.example.net/api/public/";
    workdir.run(&format!("plan users.csv --save plan.jsonl --base-url {elsewhere}")).exits(0);
    let mut command = workdir.attrsync("sync --plan plan.jsonl");
    command.env("ATTRSYNC_TOKEN", super::KEY);
    let run = super::ended(command).exits(2);
    run.says(elsewhere).says("hint: if the key may go there, say so with `--base-url");
    workdir.run("plan --plan plan.jsonl").exits(0);
    // Any user of this computer may listen at one of its addresses.
    let (workdir, server) = saved("");
    let mut command = server.remembering(&workdir, "--plan plan.jsonl");
    command.env_remove("ATTRSYNC_BASE_URL");
    super::ended(command).exits(2).says("say so with `--base-url http://127.0.0.1:");
    assert_eq!(server.counters().requests, 0);
}

#[test]
fn a_file_that_is_damaged_or_something_else_is_refused() {
    let (workdir, server) = saved("");
    let whole = fs::read(workdir.path("plan.jsonl")).unwrap();
    let unreadable = "unreadable_input";
    let check = |content: &[u8], words: &str| {
        workdir.file("plan.jsonl", content);
        check_refused(&workdir, &server, "", unreadable, words);
        workdir.run("plan --plan plan.jsonl").exits(3).says(words);
    };
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    check(&changed, "the plan `plan.jsonl` is damaged: its checksum is wrong");
    check(&whole[..whole.len() - 20], "is cut off: its end is missing");
    check(&whole[..100], "is cut off");
    check(b"", "is not a plan that `attrsync plan --save` has written");
    check(workdir.read("users.csv").as_bytes(), "is not a plan");
    let newer = String::from_utf8(whole.clone()).unwrap().replace(r#""version":1"#, r#""version":2"#);
    check(newer.as_bytes(), "whose plans this version cannot read");
    fs::remove_file(workdir.path("plan.jsonl")).unwrap();
    workdir.run("plan --plan plan.jsonl").exits(3).says("the plan `plan.jsonl` cannot be opened");
    fs::create_dir(workdir.path("plan.jsonl")).unwrap();
    workdir.run("plan --plan plan.jsonl").exits(3).says("is not a regular file");
}

#[test]
fn flags_that_decide_what_is_sent_and_inputs_are_refused_by_name() {
    let (workdir, server) = saved("");
    for flag in [
        "--batch-size 5",
        "--on-conflict first",
        "--strict",
        "--max-invalid 3",
        "--columns city=Town",
        "--layout long",
        "--delimiter ;",
        "--encoding utf-16le",
        "--empty send",
        "--null-token NULL",
        "--id-type id",
        "--allow-custom",
        "--only-changed",
    ] {
        let name = flag.split(' ').next().unwrap();
        let words = format!("{name}: the saved plan has decided this already");
        let run = server.remember(&workdir, &format!("--plan plan.jsonl {flag}")).exits(2);
        assert_eq!(run.summary()["reason"], "usage");
        run.says(&words);
        server.plan(&workdir, &format!("--plan plan.jsonl {flag}")).exits(2).says(&words);
    }
    for input in ["users.csv", "-"] {
        let words = "--plan: a saved plan takes no inputs";
        server.sync(&workdir, &format!("--plan plan.jsonl {input}")).exits(2).says(words);
        server.plan(&workdir, &format!("{input} --plan plan.jsonl")).exits(2).says(words);
    }
    for flag in ["--bodies x", "--save x", "--failures x"] {
        server
            .plan(&workdir, &format!("--plan plan.jsonl {flag}"))
            .exits(2)
            .says(flag.split(' ').next().unwrap());
    }
    server.sync(&workdir, "--plan -").exits(2).says("can't be read from standard input");
    assert_eq!(server.counters().requests, 0);

    // For other commands, the same may be set where it lasts.
    workdir
        .file("attrsync.toml", "strict = true\nonly_changed = true\nid_type = 'custom-id'\ndelimiter = ';'");
    let mut command = server.remembering(&workdir, "--plan plan.jsonl");
    command.env("ATTRSYNC_BATCH_SIZE", "1").env("ATTRSYNC_EMPTY", "send");
    assert_eq!(super::ended(command).exits(0).rows("acknowledged"), 10);
}

#[test]
fn a_dry_run_shows_the_plan_and_a_variable_can_name_it() {
    let (workdir, server) = saved("");
    let shown = workdir.run("plan --plan plan.jsonl").exits(0).stdout;
    assert_eq!(server.sync(&workdir, "--dry-run --plan plan.jsonl --rate 10/s").exits(0).stdout, shown);
    let mut command = workdir.attrsync("plan");
    command.env("ATTRSYNC_PLAN", "plan.jsonl");
    assert_eq!(super::ended(command).exits(0).stdout, shown);
    assert_eq!(server.counters().requests, 0);
}

#[test]
fn a_plan_is_saved_for_an_account_and_over_nothing_that_is_needed() {
    let workdir = Workdir::with_cities(3);
    let run = workdir.run("plan users.csv --save plan.jsonl").exits(2);
    run.says("--save: a plan is saved for an account").says("hint: add `--subdomain NAME`");
    let refused = |path: &str, words: &str| {
        workdir.run(&format!("plan users.csv --subdomain acme --save {path}")).exits(2).says(words);
    };
    refused("-", "can't be saved to standard output");
    refused("users.csv", "is an input and would be lost");
    refused("attrsync.ledger", "is the ledger and would be lost");
    refused("nowhere/plan.jsonl", "create the directory first");
    let (workdir, server) = saved("");
    let plan = workdir.read("plan.jsonl");
    for report in ["failures", "summary", "report"] {
        server.sync(&workdir, &format!("--plan plan.jsonl --{report} plan.jsonl")).exits(2);
        assert_eq!(workdir.read("plan.jsonl"), plan);
    }
    let run = workdir.run("plan users.csv --subdomain acme --config /dev/null --save -x.jsonl");
    assert_eq!(run.code, 2, "{}", run.stdout);
    let run = workdir.run("plan users.csv --subdomain acme --ledger it's --save=-x.jsonl").exits(0);
    let command = run.stdout.lines().last().unwrap();
    assert_eq!(command, r"attrsync sync --plan ./-x.jsonl --subdomain acme --ledger 'it'\''s'");
    let run = workdir.run("plan users.csv --subdomain acme --save plan.jsonl --format json").exits(0);
    assert!(
        run.stdout.ends_with("}\n")
            && run.stderr.ends_with("attrsync sync --plan plan.jsonl --subdomain acme\n")
    );
}

#[test]
fn a_plan_is_stale_after_the_account_was_read() {
    let (workdir, server) =
        (Workdir::with_cities(3), Server::new(Options { users: Some(5), ..Options::default() }));
    server.remember(&workdir, "users.csv").exits(0);
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    let mut pull = workdir.attrsync("pull");
    pull.env("ATTRSYNC_BASE_URL", server.sandbox.base_url()).env("ATTRSYNC_TOKEN", super::KEY);
    super::ended(pull).exits(0);
    check_refused(&workdir, &server, "", "stale_plan", "run 2 has changed the ledger since");
}

#[test]
fn a_plan_is_stale_after_its_failures_were_sent_before_its_end() {
    let (workdir, server) = (Workdir::with_cities(10), Server::stopping_after(3));
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    server.remember(&workdir, "--plan plan.jsonl --concurrency 1").exits(4);
    server.remember(&workdir, "failures.csv").exits(0);
    check_refused(&workdir, &server, "", "stale_plan", "run 2 has changed the ledger since");
}
