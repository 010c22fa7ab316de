//! The account is read into the ledger, and what is known of it is used.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::process::Command;
use std::time::Duration;

use attrsync::sandbox::{Count, ErrorBody, Fault, FaultKind, Moment, Options};
use httpmock::Method::GET;
use httpmock::MockServer;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::interrupted::stop;
use super::kept::cramped;
use super::{Ended, KEY, Server, Workdir, ended};

impl Server {
    /// `pull` from this server, as fast as can be, with the ledger of the directory.
    fn pulling(&self, workdir: &Workdir, arguments: &str) -> Command {
        pulling(&self.sandbox.base_url(), workdir, arguments)
    }

    fn pull(&self, workdir: &Workdir, arguments: &str) -> Ended {
        ended(self.pulling(workdir, arguments))
    }

    /// The values that it holds, without those that are empty.
    fn values(&self) -> BTreeMap<(String, String), String> {
        let state = self.state();
        let mut rows = csv::Reader::from_reader(state.as_bytes());
        let rows = rows.records().map(|row| row.unwrap());
        let rows = rows.map(|row| ((row[0].to_owned(), row[1].to_owned()), row[2].to_owned()));
        rows.filter(|(_, value)| !value.is_empty() && value != "null").collect()
    }

    /// What `plan --only-changed` says of the rows, in JSON.
    fn rows_of_plan(&self, workdir: &Workdir, arguments: &str) -> Value {
        let plan = self.plan(workdir, &format!("{arguments} --only-changed --format json"));
        serde_json::from_str::<Value>(&plan.stdout).unwrap()["rows"].clone()
    }
}

fn pulling(base_url: &str, workdir: &Workdir, arguments: &str) -> Command {
    let mut command = workdir.attrsync(&format!("pull {arguments}"));
    command.env("ATTRSYNC_BASE_URL", base_url).env("ATTRSYNC_TOKEN", KEY);
    command.env("ATTRSYNC_RATE", "100000/s").env("ATTRSYNC_RETRY_INITIAL_DELAY", "2ms");
    command
}

/// An account with this many users, and small pages.
fn account(users: u64) -> Options {
    Options { users: Some(users), page_size: NonZeroUsize::new(7).unwrap(), ..Options::default() }
}

fn pages(users: u64) -> u64 {
    users.div_ceil(7)
}

#[test]
fn a_pull_knows_what_people_changed_and_which_users_there_are() {
    let workdir = Workdir::with_rows(&[
        "1,city,Oslo",
        "2,city,Rome",
        "3,gender,2",
        "3,email,Ann@x.pl",
        "300,city,Oslo",
    ]);
    let server = Server::new(account(200));
    let elsewhere = Workdir::with_rows(&["1,city,Oslo", "2,city,Lima", "3,gender,2", "3,email,ann@X.pl"]);
    server.sync(&elsewhere, "users.csv").exits(0);
    let (before, written) = (server.values(), server.counters().requests);

    let pull = server.pull(&workdir, "").exits(0).says("read 200 users on 29 pages");
    assert_eq!(pull.stdout, "");
    assert_eq!((server.values(), server.counters().requests - written), (before, pages(200)));
    let requests = server.counters().requests;
    let rows = server.rows_of_plan(&workdir, "users.csv");
    let counts = ["unchanged", "missing", "planned"].map(|fate| rows[fate].as_u64().unwrap());
    assert_eq!(counts, [3, 1, 1], "{rows}");
    assert_eq!(server.counters().requests, requests, "a plan needs no network");

    let run = server.remember(&workdir, "users.csv --only-changed").exits(1);
    assert_eq!(["unchanged", "failed", "acknowledged"].map(|fate| run.rows(fate)), [3, 1, 1]);
    assert_eq!(run.requests("sent"), 1);
    let lost = workdir.failures();
    assert_eq!((lost.len(), lost[0].row[0].as_str(), lost[0].fate.as_str()), (1, "300", "failed"));
    assert!(lost[0].error.starts_with("no such user in the account, as read on 20"), "{}", lost[0].error);
    assert_eq!(lost[0].status, "");

    // Without `--only-changed`, a run asks the API.
    let run = server.remember(&workdir, "users.csv").exits(1);
    assert_eq!((run.rows("acknowledged"), run.rows("failed")), (4, 1));
    let history = workdir.run("history").exits(0).stdout;
    assert!(
        history.contains("(users of the account)") && history.contains("read 200 users on 29 pages"),
        "{history}"
    );
    let user = workdir.run("history user 2 --format json").exits(0).stdout;
    let user: Value = serde_json::from_str(&user).unwrap();
    let told: Vec<_> = user["facts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fact| (fact["origin"].clone(), fact["value"].clone()))
        .collect();
    assert_eq!(
        told,
        [(json!("sent"), json!("Rome")), (json!("sent"), json!("Rome")), (json!("read"), json!("Lima"))]
    );
}

#[test]
fn own_ids_and_custom_attributes_are_read_when_they_are_asked_for() {
    let server = Server::friendly();
    let elsewhere = Workdir::with_rows(&["a-1,city,Oslo", "a-1,tier,gold", "b-2,city,Rome"]);
    server.sync(&elsewhere, "users.csv --id-type custom-id --allow-custom").exits(0);
    // A user of the sandbox that is known by an own id has no other one, which no real user lacks.
    let page = json!({
        "next": null,
        "results": [
            { "id": 1, "custom_id": "a-1", "city": "Oslo", "attributes": [{ "name": "tier", "value": "gold" }] },
            { "id": 2, "custom_id": "b-2", "city": "Rome", "attributes": [] },
            { "id": 3, "custom_id": null, "city": "Rome", "attributes": [] },
        ],
    });
    let mock = MockServer::start();
    mock.mock(|when, then| {
        when.method(GET).path("/users/").header("authorization", format!("Token {KEY}"));
        then.status(200).json_body(page);
    });
    let workdir = Workdir::with_rows(&["a-1,tier,gold", "a-1,city,Oslo", "b-2,tier,gold", "c-3,city,Oslo"]);
    let run = pulling(&mock.url("/"), &workdir, "--id-type custom-id --allow-custom");
    ended(run).exits(0).says("1 user without an own id");
    let mut plan =
        workdir.attrsync("plan users.csv --only-changed --format json --id-type custom-id --allow-custom");
    plan.env("ATTRSYNC_BASE_URL", mock.url("/"));
    let plan: Value = serde_json::from_str(&ended(plan).stdout).unwrap();
    let counts = ["unchanged", "missing", "planned"].map(|fate| plan["rows"][fate].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 1]);
    let change = json!([{ "attribute": "tier", "from": null, "to": "gold", "users": 1 }]);
    assert_eq!(plan["changes"]["most_frequent"], change, "a custom attribute that isn't shown is empty");
}

#[test]
fn a_pull_that_is_stopped_goes_on_where_it_was() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "900,city,Oslo"]);
    let server = Server::new(account(700));
    server.sandbox.hold_after(9);
    let child = server.pulling(&workdir, "").spawn().unwrap();
    server.until(|counters| counters.requests == 10);
    stop(child, "INT", |_| server.sandbox.release()).exits(130).says("(SIGINT)");
    assert_eq!(server.counters().requests, 10);
    assert_eq!(server.rows_of_plan(&workdir, "users.csv")["missing"], 0, "the list is not complete");
    server.pull(&workdir, "").exits(0).says("continuing run 1").says("read 700 users on 100 pages");
    assert_eq!(server.counters().requests, pages(700));
    assert_eq!(server.rows_of_plan(&workdir, "users.csv")["missing"], 1);
}

#[test]
fn a_pull_that_is_killed_at_any_moment_goes_on_or_begins_again() {
    let mut rng = StdRng::seed_from_u64(14);
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,city,Oslo", "900,city,Oslo"]);
    let server = Server::new(Options { users: Some(30_000), ..Options::default() });
    let elsewhere = Workdir::with_rows(&["1,city,Oslo"]);
    server.sync(&elsewhere, "users.csv").exits(0);
    for _ in 0..6 {
        let after = server.counters().requests + rng.random_range(1..300);
        server.kill_after(after, &mut server.pulling(&workdir, ""), &mut rng);
        let rows = server.rows_of_plan(&workdir, "users.csv");
        assert!(rows["missing"] == 0, "{rows}");
    }
    server.pull(&workdir, "").exits(0);
    let rows = server.rows_of_plan(&workdir, "users.csv");
    assert_eq!((&rows["unchanged"], &rows["missing"]), (&json!(1), &json!(0)), "{rows}");
}

#[test]
fn a_cursor_that_expired_costs_a_new_beginning() {
    let workdir = Workdir::new();
    let options = account(70);
    let server = Server::new(Options {
        cursor_lifetime: Some(Duration::from_millis(300)),
        latency: Duration::from_millis(60),
        ..options
    });
    server.sandbox.hold_after(2);
    let child = server.pulling(&workdir, "").spawn().unwrap();
    server.until(|counters| counters.requests == 3);
    stop(child, "INT", |_| server.sandbox.release()).exits(130);
    let run = server.pull(&workdir, "").exits(4);
    let run = run.says("reading begins again with the first page").says("Invalid cursor");
    run.says("stopped to continue its list of users 4 times");
    let quick = Server::new(account(70));
    quick.pull(&workdir, "--ledger other.ledger").exits(0);
}

#[test]
fn a_page_that_can_not_be_understood_stops_and_nothing_is_concluded() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    for (page, says) in [
        (
            json!({ "results": [{ "id": 1, "city": "Rome" }, { "city": "Oslo" }], "next": null }),
            "page 1 of the list",
        ),
        (json!({ "results": [], "next": null }), "the list of users is empty"),
        (
            json!({ "results": [{ "id": 1 }], "next": null, "count": 500 }),
            "the list of users ended after 1 of 500",
        ),
        (json!([]), "expected an object with `results` and `next`"),
        (
            json!({ "results": [{ "id": 1 }], "next": "http://elsewhere.example/other/?cursor=1" }),
            "`next`: expected",
        ),
    ] {
        let mock = MockServer::start();
        mock.mock(|when, then| {
            when.method(GET).path("/users/");
            then.status(200).json_body(page);
        });
        ended(pulling(&mock.url("/"), &workdir, "")).exits(4).says(says);
        let mut plan = workdir.attrsync("plan users.csv --only-changed --format json");
        plan.env("ATTRSYNC_BASE_URL", mock.url("/"));
        let plan: Value = serde_json::from_str(&ended(plan).stdout).unwrap();
        assert_eq!((&plan["rows"]["missing"], &plan["rows"]["planned"]), (&json!(0), &json!(1)), "{says}");
    }
}

#[test]
fn faults_are_tried_again_and_a_wrong_key_is_told() {
    let workdir = Workdir::new();
    let fault = |kind, moment| Some(Fault { kind, moment });
    let script = vec![
        None,
        fault(FaultKind::Error(503, ErrorBody::Html), Moment::BeforeApplying),
        fault(FaultKind::Drop, Moment::BeforeApplying),
        None,
    ];
    let server = Server::new(Options {
        script,
        rate: Some((200, Duration::from_secs(1))),
        count: Count::Omitted,
        ..account(70)
    });
    server.pull(&workdir, "--rate 180/s").exits(0).says("read 70 users on 10 pages");
    let locked = Server::new(Options { token: Some("x".repeat(64)), ..account(7) });
    locked.pull(&workdir, "--no-resume").exits(4).says("the API refused the key");
    assert_eq!(locked.counters().requests, 1);
    let mut lost = server.pulling(&workdir, "");
    lost.env("ATTRSYNC_BASE_URL", format!("{}elsewhere/", server.sandbox.base_url()));
    ended(lost).exits(4).says("nothing was found at");
}

#[test]
fn knowledge_that_is_too_old_counts_as_none() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "900,city,Oslo"]);
    let server = Server::new(account(7));
    server.sync(&Workdir::with_rows(&["1,city,Oslo"]), "users.csv").exits(0);
    server.pull(&workdir, "").exits(0);
    let counts = |also: &str| {
        let rows = server.rows_of_plan(&workdir, &format!("users.csv {also}"));
        ["unchanged", "missing", "planned"].map(|fate| rows[fate].as_u64().unwrap())
    };
    assert_eq!(counts(""), [1, 1, 0]);
    assert_eq!(counts("--max-age 1h"), [1, 1, 0]);
    assert_eq!(counts("--max-age 0s"), [0, 0, 2]);
    server.sync(&workdir, "users.csv --max-age 1h").exits(2).says("there is no ledger");
}

#[test]
fn no_age_reaches_further_back_than_dates_are_kept_but_for_what_was_read() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,city,Rome"]);
    let server = Server::new(account(7));
    server.remember(&workdir, "users.csv").exits(0);
    let scores = (1..=7).map(|user| format!("{user},score,{user}\n{user},region,R{user}\n"));
    workdir.file("scores.csv", format!("user_id,attribute,value\n{}", scores.collect::<String>()));
    let forget = || server.remember(&workdir, "scores.csv --history-days 0").exits(0);
    let unchanged = |also: &str| {
        server.rows_of_plan(&workdir, &format!("users.csv {also}"))["unchanged"].as_u64().unwrap()
    };
    assert_eq!(unchanged("--max-age 30d"), 2);
    forget();
    assert_eq!((unchanged(""), unchanged("--max-age 30d")), (2, 0), "nobody knows how old it is");
    server.pull(&workdir, "").exits(0);
    forget();
    assert_eq!(unchanged("--max-age 30d"), 2);
}

#[test]
fn a_saved_plan_with_missing_users_is_guarded_like_any_other() {
    let workdir = Workdir::with_rows(&["2,city,Oslo", "3,city,Oslo", "77,city,Oslo"]);
    let server = Server::new(account(7));
    server.sync(&Workdir::with_rows(&["2,city,Rome", "3,city,Rome"]), "users.csv").exits(0);
    server.pull(&workdir, "").exits(0);
    let plan = server.plan(&workdir, "users.csv --only-changed --save plan.jsonl").exits(1);
    assert!(plan.stdout.contains("city: `Rome` to `Oslo`: 2 users"), "{}", plan.stdout);
    for guard in ["--max-changes 1", "--min-rows 50"] {
        let run = server.remember(&workdir, &format!("--plan plan.jsonl {guard}")).exits(3);
        assert_eq!(["read", "unsent", "failed"].map(|fate| run.rows(fate)), [3, 2, 1]);
        assert_eq!(workdir.failures().len(), 3);
    }
    let run = server.remember(&workdir, "--plan plan.jsonl --max-changes 2 --min-rows 3").exits(1);
    assert_eq!(["acknowledged", "failed"].map(|fate| run.rows(fate)), [2, 1]);
}

#[test]
fn wrong_uses_are_told() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo"]), Server::friendly());
    server.pull(&workdir, "users.csv").exits(2).says("unexpected argument");
    workdir.run("pull").exits(2).says("no account is named");
    workdir.run("undo").exits(2);
    workdir.run("undo 1").exits(2).says("there is no ledger");
    server.remember(&workdir, "users.csv").exits(0);
    workdir.run("undo 2").exits(2).says("there is no run 2");
    server.pull(&workdir, "").exits(0);
    workdir.run("undo 2").exits(2).says("run 2 read the account");
}

/// The numbers of a nightly job: an account with people's own changes, an export that is right, and one that is broken.
#[test]
fn a_night_is_planned_guarded_sent_verified_and_undone() {
    let server = Server::new(account(300));
    let elsewhere = Workdir::new();
    let rows = |country: fn(u32) -> &'static str, users: u32| {
        let rows = (1..=users).flat_map(|user| {
            [
                format!("{user},country,{}", country(user)),
                format!("{user},email,user{user}@example.com"),
                format!("{user},score,{}", user % 7),
            ]
        });
        format!("user_id,attribute,value\n{}\n", rows.collect::<Vec<_>>().join("\n"))
    };
    let before = |user: u32| if user.is_multiple_of(3) { "Poland" } else { "Norway" };
    elsewhere.file("users.csv", rows(before, 250));
    server.sync(&elsewhere, "users.csv").exits(0);
    let start = server.values();

    // In the evening the account is read.
    let workdir = Workdir::new();
    server.pull(&workdir, "").exits(0);
    // An export is broken: a join has gone astray. And another one is cut off.
    workdir.file("broken.csv", rows(|_| "Peru", 250));
    workdir.file("short.csv", rows(before, 3));
    let guards = "--only-changed --max-changes 20% --min-rows 100";
    let sent = server.counters().requests;
    let run = server.remember(&workdir, &format!("broken.csv {guards}")).exits(3);
    assert_eq!(run.summary()["reason"], "too_many_changes");
    let run = server.remember(&workdir, &format!("short.csv {guards}")).exits(3);
    assert_eq!(run.summary()["reason"], "too_few_rows");
    server.plan(&workdir, &format!("broken.csv {guards} --save plan.jsonl")).exits(3);
    assert_eq!(server.counters().requests, sent, "nothing was sent");

    // The right one moves some users, has new ones and one who is not there, and cases of letters that mean nothing.
    let after = |user: u32| {
        if user.is_multiple_of(10) {
            "USA"
        } else if user.is_multiple_of(3) {
            "Poland"
        } else {
            "Norway"
        }
    };
    let mut export = rows(after, 260).replace("user1@", "User1@");
    export.push_str("999,country,USA\n");
    workdir.file("export.csv", export);
    let plan = server.plan(&workdir, &format!("export.csv {guards} --save plan.jsonl")).exits(1);
    assert!(plan.stdout.contains("no such user"), "{}", plan.stdout);
    assert!(plan.stdout.contains("country: `Norway` to `USA`: 17 users"), "{}", plan.stdout);

    // In the morning it is approved, and exactly that is sent.
    let run =
        server.remember(&workdir, "--plan plan.jsonl --canary 3 --verify all --max-changes 20%").exits(1);
    assert_eq!((run.rows("failed"), run.rows("unchanged")), (1, 0));
    assert_eq!(run.summary()["verified"]["mismatches"], json!([]));
    let moved = (1..=250_u32).filter(|user| user.is_multiple_of(10)).count() as u64;
    assert_eq!(run.rows("acknowledged"), moved + 3 * 10);
    assert_eq!(workdir.failures()[0].row, ["999", "country", "USA"]);
    server.remember(&workdir, "--plan plan.jsonl").exits(3).says("has sent it");
    let end = server.values();

    // It was wrong after all.
    let run = workdir.run("undo 2 --null-token NULL --output undo.csv").exits(0);
    run.says(&format!("{} rows written", moved + 30));
    let undo = server.remember(&workdir, "undo.csv --null-token NULL --only-changed").exits(0);
    assert_eq!(undo.rows("acknowledged"), moved + 30);
    assert_eq!(server.values(), start);

    // Or was it?
    let again = workdir.run("undo 3 --null-token NULL").exits(0).stdout;
    let mut command = server.command(&workdir, "- --null-token NULL");
    command.env_remove("ATTRSYNC_NO_LEDGER");
    assert_cmd::Command::from_std(command).write_stdin(again).assert().success();
    assert_eq!(server.values(), end);
}

/// The commit that doesn't fit is large, and the one at the end of the run is small.
#[test]
fn on_a_full_disk_a_pull_stops_and_the_next_one_leaves_no_user_out() {
    const USERS: u64 = 10_500;
    let options = Options { page_size: NonZeroUsize::new(1000).unwrap(), ..account(USERS) };
    let (workdir, server) = (Workdir::new(), Server::new(options));
    ended(cramped(&server.pulling(&workdir, ""), 300))
        .exits(5)
        .says("the ledger `attrsync.ledger` can't be used")
        .says("hint: make room");
    server.pull(&workdir, "").exits(0);
    let rows: Vec<String> = (1..=USERS).map(|user| format!("{user},city,Oslo")).collect();
    workdir.file("all.csv", format!("user_id,attribute,value\n{}\n", rows.join("\n")));
    let rows = server.rows_of_plan(&workdir, "all.csv");
    assert_eq!((&rows["read"], &rows["missing"]), (&json!(USERS), &json!(0)), "{rows}");
}
