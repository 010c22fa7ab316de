//! The rows of the first users are sent and read back before all others.

use attrsync::sandbox::{Options, Reject};

use super::{Server, Workdir};

/// A city for users 1 to 50, and a score and a custom attribute for user 30.
fn rows() -> Workdir {
    let cities = (1..=50).map(|user| format!("{user},city,Oslo"));
    let others = ["30,score,7", "30,Shoe size,44"].map(str::to_owned);
    let rows: Vec<String> = cities.chain(others).collect();
    Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A server that acknowledges rows of this user and does not apply them.
fn ignoring(user: &str) -> Server {
    let reject_ids = [user.to_owned()].into();
    Server::new(Options { reject_ids, reject: Reject::Ignored, ..Options::default() })
}

#[test]
fn the_rest_is_sent_if_all_agree() {
    let (workdir, server) = (rows(), Server::friendly());
    let run = server.sync(&workdir, "users.csv --allow-custom --canary 1 --summary -").exits(0);
    let summary = run.summary();
    assert_eq!((run.rows("acknowledged"), &summary["verified"]["checked"]), (52, &3.into()));
    // Each attribute of the first user, that user, and the others.
    assert_eq!((run.requests("planned"), run.requests("sent"), run.requests("read_back")), (3, 5, 1));
    run.says("read back 3 rows agreed, 0 differed");
    assert_eq!(server.state().lines().count(), 1 + 52);
}

#[test]
fn the_run_stops_before_the_rest_if_a_value_is_not_there() {
    let (workdir, server) = (rows(), ignoring("30"));
    let run = server.remember(&workdir, "users.csv --allow-custom --canary 1 --summary -").exits(4);
    let summary = run.summary();
    assert_eq!((&summary["outcome"], &summary["reason"]), (&"stopped".into(), &"canary".into()));
    assert_eq!((run.rows("acknowledged"), run.rows("unsent")), (3, 49));
    assert_eq!((&summary["verified"]["checked"], &summary["verified"]["differing"]), (&3.into(), &3.into()));
    run.says(
        "stopped: the first users failed the test (`--canary`): 3 of 3 rows are not in User.com as sent",
    )
    .says("city of user 30: \"Oslo\" was sent, found")
    .says("look at these users in User.com");
    assert_eq!(server.state().lines().count(), 1, "nothing else was sent");
    assert_eq!(workdir.failures().iter().filter(|lost| lost.fate == "unsent").count(), 49);

    // What was not there counts as not sent.
    let again = server.remember(&workdir, "users.csv --allow-custom --summary -").exits(0);
    assert_eq!((again.rows("acknowledged"), again.rows("resumed")), (52, 0));
}

#[test]
fn the_run_stops_if_a_row_of_the_first_users_is_refused() {
    let reject_values = [("score".to_owned(), "7".to_owned())].into();
    let (workdir, server) = (rows(), Server::new(Options { reject_values, ..Options::default() }));
    let run = server.sync(&workdir, "users.csv --allow-custom --canary 1 --summary -").exits(4);
    assert_eq!((run.summary()["reason"].as_str(), run.rows("failed")), (Some("canary"), 1));
    assert!(server.state().lines().all(|line| line.starts_with("30,") || line.starts_with("user_id")));
    run.says("the first users failed the test (`--canary`): the API refused a row: 400 Bad Request");
}

#[test]
fn it_ends_the_same_if_there_are_no_others() {
    let (workdir, server) = (rows(), ignoring("30"));
    let run = server.sync(&workdir, "users.csv --allow-custom --canary 100 --summary -").exits(4);
    assert_eq!((run.summary()["reason"].as_str(), run.rows("unsent")), (Some("canary"), 0));
    run.says("3 of 52 rows are not in User.com as sent")
        .says("to see why, then run the same command again; it starts from the beginning");
}

#[test]
fn attributes_that_no_first_user_has_are_named() {
    let workdir = Workdir::with_rows(&["1,city,Oslo", "2,score,7", "3,country,Norway"]);
    let server = Server::friendly();
    let run = server.sync(&workdir, "users.csv --canary 2").exits(0);
    run.says("warning: `--canary 2` is too small to test `country`").says("hint: use `--canary 3` to test");
    let run = server.sync(&workdir, "users.csv --canary 3").exits(0);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn a_run_that_continues_tests_what_is_left() {
    let (workdir, server) = (rows(), Server::friendly());
    workdir.file("attrsync.toml", "canary = 2\n");
    let first = server.remember(&workdir, "users.csv --allow-custom --summary -").exits(0);
    assert_eq!(first.requests("read_back"), 2);
    workdir.file("users.csv", "user_id,attribute,value\n1,city,Oslo\n2,city,Bergen\n3,city,Bergen\n");
    let second = server.remember(&workdir, "users.csv --only-changed --canary 1 --summary -").exits(0);
    assert_eq!((second.rows("unchanged"), second.rows("acknowledged")), (1, 2));
    assert_eq!((second.requests("read_back"), second.requests("sent")), (1, 3));
}

#[test]
fn users_by_the_clients_own_ids_are_read_back_before_their_ids_change() {
    let server = Server::friendly();
    let workdir = Workdir::with_rows(&["a1,city,Oslo", "a1,custom_id,b1", "a2,city,Bergen"]);
    let arguments = "users.csv --id-type custom-id --canary 5 --verify all --summary -";
    let run = server.sync(&workdir, arguments).exits(0);
    // Before: both cities. At the end: the one of the user that still has its id.
    assert_eq!((run.requests("read_back"), &run.summary()["verified"]["checked"]), (3, &1.into()));
}

#[test]
fn a_dry_run_tests_nothing() {
    rows().run("sync --dry-run users.csv --allow-custom --canary 1").exits(0);
}
