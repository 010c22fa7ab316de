//! Plans that are saved, shown and sent later.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use attrsync::sandbox::{Log, Options};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::interrupted::stop;
use super::remembered::recorded;
use super::{Ended, Server, Workdir, ended, users_csv};

impl Server {
    /// `plan` for this server, with the ledger of the directory unless the arguments say otherwise.
    pub(super) fn plan(&self, workdir: &Workdir, arguments: &str) -> Ended {
        ended(self.planning(workdir, arguments))
    }

    fn planning(&self, workdir: &Workdir, arguments: &str) -> Command {
        let mut command = workdir.attrsync(&format!("plan {arguments}"));
        command.env("ATTRSYNC_BASE_URL", self.sandbox.base_url());
        command
    }
}

/// The requests in a saved plan, as JSON.
fn requests(workdir: &Workdir) -> Vec<Value> {
    let lines = workdir.read("plan.jsonl");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "request").collect()
}

#[test]
fn a_saved_plan_is_shown_and_sent_as_it_was_made() {
    let (workdir, server) = (Workdir::new(), Server::new(Options { log: Log::Keep, ..Options::default() }));
    fs::copy(users_csv(), workdir.path("users.csv")).unwrap();
    let made = server.plan(&workdir, "users.csv --save plan.jsonl --batch-size 7");
    let exit = made.code;
    let last = made.stdout.lines().last().unwrap();
    assert_eq!(last, "attrsync sync --plan plan.jsonl");
    let mode = fs::metadata(workdir.path("plan.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bodies: Vec<Value> = workdir
        .run("plan users.csv --batch-size 7 --bodies - -q")
        .stdout
        .lines()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect();
    assert_eq!(requests(&workdir).iter().map(|line| line["body"].clone()).collect::<Vec<_>>(), bodies);

    // The input may be gone by then.
    let planned = workdir.run("plan users.csv --format json --batch-size 7");
    fs::remove_file(workdir.path("users.csv")).unwrap();
    let shown = workdir.run("plan --plan plan.jsonl").exits(exit);
    let (first, screen) = shown.stdout.split_once('\n').unwrap();
    assert!(made.stdout.starts_with(screen), "{}", shown.stdout);
    assert!(first.starts_with("plan of 2"), "{first}");
    assert!(first.ends_with(&format!(" for {}, from users.csv", server.sandbox.base_url())), "{first}");
    let json: Value =
        serde_json::from_str(&workdir.run("plan --plan plan.jsonl --format json").stdout).unwrap();
    let planned: Value = serde_json::from_str(&planned.stdout).unwrap();
    for key in ["requests", "totals", "attributes", "costliest", "largest", "conflicts", "shared", "invalid"]
    {
        assert_eq!(json[key], planned[key], "{key}");
    }
    assert_eq!(json["saved"]["inputs"], json!(["users.csv"]));
    assert_eq!(server.counters().requests, 0);

    let run = server.remember(&workdir, "--plan plan.jsonl --concurrency 1").exits(0);
    assert_eq!((run.rows("read"), run.rows("acknowledged")), (run.rows("acknowledged"), run.rows("read")));
    assert_eq!(run.rows("read"), json["totals"]["standing"].as_u64().unwrap());
    assert_eq!(server.counters().requests, bodies.len() as u64);
    let direct = Server::friendly();
    direct.sync(&workdir, &users_csv());
    assert_eq!(server.state(), direct.state());
    let history = workdir.run("history").exits(0).stdout;
    assert!(history.contains("plan.jsonl"), "{history}");
}

#[test]
fn types_replaced_values_and_own_ids_are_sent_as_they_were_planned() {
    let config = "id_type = 'custom-id'\nallow_custom = true\nnull_token = 'NULL'\nempty = 'send'\n\
                  [attributes.gender]\ntype = 'integer'\nmap = { male = 2 }\n[attributes.size]\ntype = 'float'";
    let rows = [
        "a-1,gender,male",
        "\"b \"\"2\"\"\",gender,2",
        "a-1,size,42.50",
        "b,city,NULL",
        "a-1,city,",
        "c,user_id,c2",
        "a-1,custom_id,\"a, 1\"",
        "c,email,a@b.pl",
        "c,shoe,\"x\ny\"",
    ];
    let workdir = Workdir::with_rows(&rows);
    let (server, direct) = (Server::friendly(), Server::friendly());
    workdir.file("attrsync.toml", config);
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    direct.sync(&workdir, "users.csv").exits(0);
    // What it decides does not depend on the settings of the run that sends it.
    workdir.file("attrsync.toml", "null_token = 'x'\nbatch_size = 3\ncolumns.city = 'Town'\nstrict = true");
    let run = server.remember(&workdir, "--plan plan.jsonl").exits(0);
    assert_eq!((run.rows("acknowledged"), server.state()), (9, direct.state()));
    let first = &requests(&workdir)[0];
    assert_eq!((&first["operation"], &first["body"]["attribute"]), (&json!("standard"), &json!("city")));
}

#[test]
fn only_what_changed_is_saved_and_what_is_equal_is_counted() {
    let (workdir, server) = (Workdir::with_cities(10), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    let text = workdir.read("users.csv");
    workdir.file("users.csv", text.replace("7,city,City 7", "7,city,Oslo"));
    let made = server.plan(&workdir, "users.csv --only-changed --save plan.jsonl").exits(0);
    assert!(made.stdout.contains("city: `City 7` to `Oslo`: 1 user"), "{}", made.stdout);
    assert_eq!(requests(&workdir).len(), 1);
    let shown = workdir.run("plan --plan plan.jsonl").exits(0);
    assert!(made.stdout.starts_with(shown.stdout.split_once('\n').unwrap().1), "{}", shown.stdout);
    let json: Value =
        serde_json::from_str(&workdir.run("plan --plan plan.jsonl --format json").stdout).unwrap();
    assert_eq!((&json["rows"]["unchanged"], &json["rows"]["planned"]), (&json!(9), &json!(1)));

    let run = server.remember(&workdir, "--plan plan.jsonl").exits(0);
    assert_eq!((run.rows("read"), run.rows("acknowledged")), (1, 1));
    // It counts as known from then on.
    let next = server.remember(&workdir, "users.csv --only-changed").exits(0);
    assert_eq!((next.rows("unchanged"), next.requests("sent")), (10, 0));
}

#[test]
fn the_guards_count_what_the_plan_was_made_from() {
    let (workdir, server) = (Workdir::with_cities(10), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    workdir.file("users.csv", workdir.read("users.csv").replace("7,city,City 7", "7,city,Oslo"));
    server.plan(&workdir, "users.csv --only-changed --save plan.jsonl").exits(0);
    let before = server.counters().requests;
    let check = |arguments: &str, reason: &str, words: &str| {
        let run = server.remember(&workdir, &format!("--plan plan.jsonl {arguments}")).exits(3);
        assert_eq!((run.summary()["reason"].as_str(), run.rows("unsent")), (Some(reason), 1));
        run.says(words);
        server.plan(&workdir, &format!("--plan plan.jsonl {arguments}")).exits(3).says(words);
    };
    check("--max-changes 0", "too_many_changes", "1 of 10 known values (10%) would change");
    check("--max-changes 9%", "too_many_changes", "more than `--max-changes 9%`");
    check("--min-rows 11", "too_few_rows", "10 rows read, fewer than `--min-rows 11`");
    assert_eq!(server.counters().requests, before);
    server.remember(&workdir, "--plan plan.jsonl --max-changes 10% --min-rows 10").exits(0);
}

#[test]
fn a_refused_plan_is_not_saved_and_an_older_one_stays() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo", "x,city,Oslo"]), Server::friendly());
    workdir.file("plan.jsonl", "an older one");
    for arguments in ["--strict", "--max-invalid 0", "--min-rows 3", "--ledger nowhere/ledger"] {
        let run = server.plan(&workdir, &format!("users.csv --save plan.jsonl {arguments}"));
        assert!(run.code > 1 || arguments.contains("ledger"), "{arguments}: {}", run.stderr);
        if run.code > 1 {
            assert_eq!(workdir.read("plan.jsonl"), "an older one", "{arguments}");
        }
    }
    assert!(!workdir.names().iter().any(|name| name.ends_with(".attrsync")), "{:?}", workdir.names());
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(1);
    let run = server.remember(&workdir, "--plan plan.jsonl").exits(0);
    assert_eq!((run.rows("read"), run.rows("invalid")), (1, 0));
}

#[test]
fn a_plan_that_does_not_fit_in_memory_is_saved_and_sent_all_the_same() {
    const USERS: u32 = 60_000;
    let row = |user| format!("{user},first_name,Somebody no. {}", user / 40);
    let rows = (1..=USERS).map(row).collect::<Vec<_>>().join(
        "
",
    );
    let (workdir, server) = (Workdir::new(), Server::friendly());
    workdir.file("users.csv", format!("user_id,attribute,value\n{rows}\n"));
    fs::create_dir(workdir.path("temp")).unwrap();
    let little = "--memory 16MB --temp-dir temp";
    server.plan(&workdir, &format!("users.csv --save plan.jsonl --id-type custom-id {little}")).exits(0);
    let spilled = requests(&workdir);
    server.plan(&workdir, "users.csv --save plan.jsonl --id-type custom-id").exits(0);
    assert!(spilled == requests(&workdir), "other requests");
    let run = server.remember(&workdir, &format!("--plan plan.jsonl -v {little}")).exits(0);
    assert_eq!((run.rows("acknowledged"), server.sandbox.state().len()), (USERS.into(), USERS as usize));
    assert_eq!(fs::read_dir(workdir.path("temp")).unwrap().count(), 0);
}

#[test]
fn what_was_not_accepted_can_be_fed_back_by_the_command_that_is_printed() {
    let rows = ["a,shoe,NULL", "a,city,", "b,city,Oslo", "c,city,Oslo"];
    let workdir = Workdir::with_rows(&rows);
    let server = Server::new(Options {
        reject_ids: BTreeSet::from(["a".to_owned(), "c".to_owned()]),
        ..Options::default()
    });
    let flags = "--id-type custom-id --allow-custom --null-token NULL --empty send";
    server.plan(&workdir, &format!("users.csv --save plan.jsonl {flags}")).exits(0);
    let run = server.remember(&workdir, "--plan plan.jsonl").exits(1);
    assert_eq!((run.rows("acknowledged"), run.rows("failed")), (1, 3));
    let command = run.stderr.lines().find_map(|line| line.split_once("attrsync sync ")).unwrap().1;
    for flag in flags.split(" --").map(|flag| flag.trim_start_matches("--")) {
        assert!(command.contains(&format!("--{flag}")), "{flag}: {command}");
    }
    assert!(!command.contains("--plan"), "{command}");
    let (next, command) = (Server::friendly(), command.replace(&server.sandbox.base_url(), "URL"));
    let arguments = command.replace("URL", &next.sandbox.base_url());
    let arguments = arguments.split(" (the key").next().unwrap();
    let fed = next.remember(&workdir, arguments).exits(0);
    assert_eq!(fed.rows("acknowledged"), 3);
}

#[test]
fn the_command_that_is_printed_names_the_settings_that_no_flag_can_set() {
    let workdir = Workdir::with_rows(&["1,city,male", "2,country,Peru"]);
    let reject_ids = BTreeSet::from(["1".to_owned(), "2".to_owned()]);
    let server = Server::new(Options { reject_ids, ..Options::default() });
    let words = "(with the settings file that the plan was saved with)";
    let check = |config: &str, is_named: bool| {
        workdir.file("attrsync.toml", config);
        let run = server.sync(&workdir, "--plan plan.jsonl").exits(1);
        assert_eq!(run.stderr.contains(words), is_named, "{config}: {}", run.stderr);
    };
    let rules = "[attributes.city]\nmap = { male = 'Oslo' }";
    workdir.file("attrsync.toml", rules);
    server.plan(&workdir, "users.csv --save plan.jsonl --no-ledger").exits(0);
    check(rules, false);
    check(&format!("{rules}\n[attributes.gender]\ntype = 'integer'"), false);
    check("", true);
    check(&format!("null_token = 'x'\n{rules}"), true);
    check(&format!("id_type = 'custom-id'\n{rules}"), true);
}

#[test]
fn a_plan_with_nothing_to_send_is_sent_without_a_request() {
    let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
    server.remember(&workdir, "users.csv").exits(0);
    server.plan(&workdir, "users.csv --only-changed --save plan.jsonl").exits(0);
    let run = server.remember(&workdir, "--plan plan.jsonl").exits(0);
    assert_eq!((run.rows("read"), run.requests("sent")), (0, 0));
}

/// Kills the run that sends a plan again and again, wherever it is, and at last lets it end.
#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_with_the_plan_and_sends_nothing_twice_that_it_recorded() {
    for round in 0..4 {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let options = Options { error_rate: 0.1 * f64::from(round % 2), seed, ..Options::default() };
        let (workdir, server) = (Workdir::with_cities(300), Server::new(options));
        server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
        fs::create_dir(workdir.path("elsewhere")).unwrap();
        let arguments = "--max-attempts 40 --plan";
        for kill in 0..5 {
            let moment = server.counters().requests + rng.random_range(0..50);
            // The file may be moved in between.
            let path = if kill % 2 == 0 { "plan.jsonl" } else { "elsewhere/plan.jsonl" };
            fs::copy(workdir.path("plan.jsonl"), workdir.path("elsewhere/plan.jsonl")).unwrap();
            let mut command = server.remembering(&workdir, &format!("{arguments} {path}"));
            server.kill_after(moment, &mut command, &mut rng);
        }
        let known = recorded(&workdir);
        let run = server.remember(&workdir, &format!("{arguments} plan.jsonl"));
        if known == 300 && run.code == 3 {
            continue;
        }
        let run = run.exits(0);
        assert_eq!((run.rows("read"), run.rows("resumed")), (300, known));
        assert_eq!(server.sandbox.state().len(), 300);
        assert_eq!(recorded(&workdir), 300, "what was recorded was sent again");
        let again = server.remember(&workdir, "--plan plan.jsonl").exits(3);
        assert_eq!(again.summary()["reason"], "stale_plan");
        again.says("has sent it");
    }
}

#[test]
fn an_interrupted_run_goes_on_and_a_plan_that_was_sent_is_not_sent_again() {
    let workdir = Workdir::with_cities(60);
    let server = Server::friendly();
    server.sandbox.hold_after(6);
    server.plan(&workdir, "users.csv --save plan.jsonl").exits(0);
    let child = server.remembering(&workdir, "--plan plan.jsonl --concurrency 4").spawn().unwrap();
    server.until(|counters| counters.requests == 10);
    let run = stop(child, "INT", |_| server.sandbox.release()).exits(130);
    let acknowledged = run.rows("acknowledged");
    run.says("run the same command again; it continues from here");
    let run = server.remember(&workdir, "--plan plan.jsonl --concurrency 60").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (acknowledged, 60 - acknowledged));
    assert_eq!(server.counters().requests, 60);
    run.says("continuing run 1");
    let again = server.remember(&workdir, "--plan plan.jsonl").exits(3);
    assert_eq!(again.summary()["reason"], "stale_plan");
    again.says("is stale: run 2 has sent it");
    assert_eq!(server.counters().requests, 60);
}

#[test]
fn the_command_for_jq_prints_the_contacts_that_get_a_new_city() {
    let page = fs::read_to_string(super::project("docs/plan-approval.md")).unwrap();
    let (_, command) = page.split_once("```sh\njq ").unwrap();
    let (arguments, _) = command.split_once("\n```").unwrap();
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,city,Oslo", "3,country,Norway"]);
    workdir.run("plan users.csv --subdomain acme --save plan.jsonl").exits(0);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("jq {arguments}")]).current_dir(workdir.path(""));
    let output = shell.output().unwrap();
    if output.status.code() == Some(127) {
        super::left_out("there is no `jq` on this machine");
        return;
    }
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Oslo: [1,2]\n");
}
