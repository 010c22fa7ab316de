//! Reading back what was acknowledged.

use std::num::NonZeroUsize;
use std::time::Duration;

use attrsync::sandbox::{Count, Options, Reject};

use super::{Server, Workdir, users_csv};

#[test]
fn rows_that_are_there_agree_by_meaning() {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    // All kinds of values: numbers that are shown as names, numbers and booleans sent as text, quotes, newlines.
    let run = server.sync(&workdir, &format!("{} --verify 2000 --summary -", users_csv())).exits(0);
    assert_eq!(run.summary()["verified"]["checked"], 2000);
    assert_eq!(run.summary()["verified"]["mismatches"].as_array().map(Vec::len), Some(0));
    assert_eq!(server.counters().requests, run.requests("sent"), "reading back is counted");
    assert_eq!(run.requests("read_back"), run.requests("sent") - run.requests("planned"));
    assert!(run.requests("read_back") < 100, "by pages");
    run.says("read back 2,000 rows agreed, 0 differed");
}

#[test]
fn rows_that_the_server_took_and_did_not_apply_make_the_run_incomplete() {
    let reject_ids = [7, 8, 9].map(|id| id.to_string()).into();
    let server = Server::new(Options { reject_ids, reject: Reject::Ignored, ..Options::default() });
    let rows: Vec<String> = (1..=50).map(|user| format!("{user},city,Oslo")).collect();
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    server.sync(&workdir, "users.csv").exits(0);
    let run = server.sync(&workdir, "users.csv --verify 50 --summary -").exits(1);
    let summary = run.summary();
    let users: Vec<_> = summary["verified"]["mismatches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mismatch| mismatch["user_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(users, ["7", "8", "9"]);
    assert_eq!((run.rows("acknowledged"), &summary["outcome"]), (50, &"incomplete".into()));
    run.says("read back 47 rows agreed, 3 differed").says("city of user 7");
}

#[test]
fn reading_back_survives_a_bad_server_and_goes_by_the_clients_own_ids() {
    let server = Server::new(Options { error_rate: 0.2, drop_rate: 0.1, seed: 5, ..Options::default() });
    let rows: Vec<String> = (1..=60).map(|user| format!("ann/{user} b?,city,City {user}")).collect();
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let arguments = "users.csv --id-type custom-id --max-attempts 30 --verify 40 --summary -";
    let run = server.sync(&workdir, arguments).exits(0);
    assert_eq!(run.summary()["verified"]["checked"], 40);
}

#[test]
fn a_server_on_this_machine_is_reached_past_any_proxy() {
    let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
    let mut command = server.command(&workdir, "users.csv");
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        command.env(name, "http://127.0.0.1:9");
    }
    super::ended(command).exits(0);
}

#[test]
fn users_who_get_new_ids_are_told_of_before_and_not_looked_for_by_the_old_ones() {
    let server = Server::friendly();
    let rows = ["a1,city,Oslo", "a1,custom_id,b1", "a2,city,Bergen"];
    let workdir = Workdir::with_rows(&rows);
    let run = server.sync(&workdir, "users.csv --id-type custom-id --verify 10 --summary -").exits(0);
    assert_eq!(run.summary()["verified"]["checked"], 1);
    run.says("warning: `custom_id`: 1 user with another id than the one by which this input names them");
    server.sync(&Workdir::with_rows(&["1,custom_id,b1"]), "users.csv --quiet").exits(0);
}

#[test]
fn what_was_not_there_is_not_taken_for_unchanged() {
    let reject_ids = [7, 8, 9].map(|id| id.to_string()).into();
    let server = Server::new(Options { reject_ids, reject: Reject::Ignored, ..Options::default() });
    let rows: Vec<String> = (1..=50).map(|user| format!("{user},city,Oslo")).collect();
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    server.remember(&workdir, "users.csv --verify 50").exits(1);
    let again = server.remember(&workdir, "users.csv --only-changed").exits(0);
    assert_eq!((again.rows("acknowledged"), again.rows("unchanged")), (3, 47));
}

/// A workdir with a city for each of these users.
fn cities(users: impl IntoIterator<Item = String>) -> Workdir {
    let rows: Vec<String> = users.into_iter().map(|user| format!("{user},city,Oslo")).collect();
    Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>())
}

fn numbers(users: u32) -> impl Iterator<Item = String> {
    (1..=users).map(|user| user.to_string())
}

#[test]
fn all_values_are_read_back_by_pages_where_that_takes_fewer_requests() {
    let server = Server::new(Options { users: Some(250), ..Options::default() });
    let workdir = cities(numbers(250));
    let run = server.sync(&workdir, "users.csv --verify all --summary -").exits(0);
    assert_eq!(run.summary()["verified"]["checked"], 250);
    assert_eq!((run.requests("read_back"), run.requests("acknowledged"), run.requests("sent")), (3, 1, 4));
    run.says("reading back users=250 way=pages requests=3").says("read back 250 rows agreed, 0 differed");
}

#[test]
fn few_users_of_a_large_account_are_read_back_one_by_one() {
    let server = Server::new(Options { users: Some(50_000), ..Options::default() });
    let workdir = cities(numbers(150));
    let run = server.sync(&workdir, "users.csv --verify all --summary -").exits(0);
    assert_eq!((run.requests("read_back"), run.requests("sent")), (151, 152));
    run.says("reading back users=150 way=users requests=150");
    let few = cities(numbers(100));
    let run = server.sync(&few, "users.csv --verify all --summary -").exits(0);
    assert_eq!(run.requests("read_back"), 100, "no page is worth it");
}

#[test]
fn a_list_that_does_not_say_its_length_or_ends_early_is_made_up_for() {
    let uncounted = Options { count: Count::Omitted, users: Some(150), ..Options::default() };
    let run =
        Server::new(uncounted).sync(&cities(numbers(150)), "users.csv --verify all --summary -").exits(0);
    assert_eq!((run.requests("read_back"), &run.summary()["verified"]["checked"]), (151, &150.into()));

    let expiring = Options {
        page_size: NonZeroUsize::new(60).unwrap(),
        cursor_lifetime: Some(Duration::ZERO),
        users: Some(150),
        ..Options::default()
    };
    let run =
        Server::new(expiring).sync(&cities(numbers(150)), "users.csv --verify all --summary -").exits(0);
    // A page, one that is no longer there, and those that the first one didn't show.
    assert_eq!((run.requests("read_back"), &run.summary()["verified"]["checked"]), (2 + 90, &150.into()));
}

#[test]
fn what_differs_on_a_page_has_the_same_consequences() {
    let reject_ids = numbers(120).filter(|user| user.ends_with('7')).collect();
    let server =
        Server::new(Options { reject_ids, reject: Reject::Ignored, users: Some(120), ..Options::default() });
    let workdir = cities(numbers(120));
    let run = server.remember(&workdir, "users.csv --verify all --summary -").exits(1);
    let summary = run.summary();
    assert_eq!(
        (&summary["verified"]["checked"], &summary["verified"]["differing"]),
        (&120.into(), &12.into())
    );
    run.says("read back 108 rows agreed, 12 differed").says("city of user 107");
    let again = server.remember(&workdir, "users.csv --only-changed").exits(0);
    assert_eq!((again.rows("acknowledged"), again.rows("unchanged")), (12, 108));
}

#[test]
fn pages_name_users_by_the_clients_own_ids_as_well() {
    let server = Server::new(Options { error_rate: 0.1, seed: 3, ..Options::default() });
    let workdir = cities((1..=300).map(|user| format!("ann/{user}")));
    let arguments = "users.csv --id-type custom-id --max-attempts 30 --verify all --summary -";
    let run = server.sync(&workdir, arguments).exits(0);
    assert_eq!((run.requests("read_back"), &run.summary()["verified"]["checked"]), (3, &300.into()));
}
