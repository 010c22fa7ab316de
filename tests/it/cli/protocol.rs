//! What goes over the wire, byte by byte, as the API documents it.

use std::fs;

use httpmock::Method::{GET, PUT};
use httpmock::{Mock, MockServer};

use super::{Ended, KEY, Workdir, ended, to};

const STANDARD: &str = "/api/public/users/mass_update_standard_attributes/";
const CUSTOM: &str = "/api/public/users/mass_update_custom_attributes/";
const STANDARD_BY_ID: &str = "/api/public/users-by-id/mass_update_standard_attributes/";

const OK: &str = r#"{"status": "ok"}"#;

/// Answers exactly this request with ok.
fn expect<'a>(server: &'a MockServer, path: &str, body: &str) -> Mock<'a> {
    server.mock(|when, then| {
        when.method(PUT)
            .path(path)
            .header("authorization", format!("Token {KEY}"))
            .header("accept", "*/*; version=2")
            .header("content-type", "application/json")
            .body(body);
        then.status(200).header("content-type", "application/json").body(OK);
    })
}

fn sync(server: &MockServer, workdir: &Workdir, arguments: &str) -> Ended {
    ended(to(&server.url("/api/public/"), workdir, arguments))
}

#[test]
fn a_request_has_the_documented_method_path_headers_and_body() {
    let server = MockServer::start();
    let request = expect(&server, STANDARD, r#"{"ids":[10,15,22,23],"attribute":"country","value":"USA"}"#);
    let workdir =
        Workdir::with_rows(&["23,country,USA", "10,country,USA", "22,country,USA", "15,country,USA"]);
    sync(&server, &workdir, "users.csv").exits(0);
    request.assert();
}

#[test]
fn custom_attributes_and_the_clients_own_ids_have_operations_of_their_own() {
    let server = MockServer::start();
    let custom = expect(&server, CUSTOM, r#"{"ids":[7],"attribute":"Favourite colour","value":"red"}"#);
    let workdir = Workdir::with_rows(&["7,Favourite colour,red"]);
    sync(&server, &workdir, "users.csv --allow-custom").exits(0);
    custom.assert();

    let by_id = expect(&server, STANDARD_BY_ID, r#"{"ids":["A-1","b 2"],"attribute":"city","value":"Łódź"}"#);
    let workdir = Workdir::with_rows(&["A-1,city,Łódź", "b 2,city,Łódź"]);
    sync(&server, &workdir, "users.csv --id-type custom-id").exits(0);
    by_id.assert();
}

#[test]
fn values_are_sent_as_the_file_and_the_settings_have_them() {
    let server = MockServer::start();
    let bodies = [
        r#"{"ids":[1],"attribute":"city","value":" 007 "}"#,
        r#"{"ids":[1],"attribute":"region","value":null}"#,
        r#"{"ids":[1],"attribute":"gender","value":2}"#,
        r#"{"ids":[1],"attribute":"unsubscribed","value":true}"#,
    ];
    let requests = bodies.map(|body| expect(&server, STANDARD, body));
    let workdir =
        Workdir::with_rows(&["1,city, 007 ", "1,region,NULL", "1,gender,male", "1,unsubscribed,true"]);
    let settings = r#"
        null_token = "NULL"

        [attributes]
        gender = { type = "integer", map = { male = 2, female = 3 } }
        unsubscribed = { type = "boolean" }
    "#;
    workdir.file("attrsync.toml", settings);
    sync(&server, &workdir, "users.csv").exits(0);
    requests.iter().for_each(Mock::assert);
}

#[test]
fn who_a_user_is_changes_after_all_else() {
    let server = MockServer::start();
    let email = server.mock(|when, then| {
        when.method(PUT).path(STANDARD).body_includes(r#""attribute":"email""#);
        then.status(401);
    });
    let rest = server.mock(|when, then| {
        when.method(PUT).path(STANDARD);
        then.status(200).body(OK);
    });
    let workdir =
        Workdir::with_rows(&["1,email,a@example.com", "1,city,Oslo", "2,city,Bergen", "2,user_id,x"]);
    let run = sync(&server, &workdir, "users.csv --concurrency 1 --summary -").exits(4);
    assert_eq!((rest.calls(), email.calls(), run.rows("acknowledged"), run.rows("unsent")), (2, 1, 2, 2));
}

#[test]
fn the_planned_bodies_are_the_ones_that_are_sent() {
    let workdir = Workdir::with_rows(&[
        "3,city,Oslo",
        "1,city,Oslo",
        "2,city,Oslo",
        "1,city,\"a \"\"b\"\"\n\\\"",
        "2,country,Norway",
        "9,email,x@example.com",
        "9,first_name, Zoë ",
        "3,user_id,x",
    ]);
    workdir.run("plan users.csv --batch-size 2 --bodies bodies.jsonl").exits(0);
    let bodies = workdir.read("bodies.jsonl");
    let server = MockServer::start();
    let requests: Vec<_> = bodies.lines().map(|body| expect(&server, STANDARD, body)).collect();
    assert_eq!(requests.len(), 6);
    sync(&server, &workdir, "users.csv --batch-size 2").exits(0);
    requests.iter().for_each(Mock::assert);
}

#[test]
fn no_redirect_is_followed() {
    let server = MockServer::start();
    let elsewhere = server.mock(|when, then| {
        when.path_includes("/elsewhere");
        then.status(200).body(OK);
    });
    let moved = server.mock(|when, then| {
        when.method(PUT).path(STANDARD);
        then.status(308).header("location", server.url("/elsewhere/"));
    });
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    sync(&server, &workdir, "users.csv").exits(4).says("elsewhere");
    assert_eq!((moved.calls(), elsewhere.calls()), (1, 0));
    let lost = workdir.failures();
    assert_eq!((lost.len(), lost[0].fate.as_str(), lost[0].status.as_str()), (1, "unsent", "308"));
    assert!(lost[0].error.contains("redirects to"), "{}", lost[0].error);
}

#[test]
fn an_address_with_nothing_behind_it_ends_the_run_after_two_requests() {
    let server = MockServer::start();
    let missing = server.mock(|when, then| {
        when.method(PUT);
        then.status(404).body("<html><title>Not Found</title></html>");
    });
    let workdir = Workdir::with_cities(50);
    let run = sync(&server, &workdir, "users.csv --concurrency 1 --summary -").exits(4);
    assert_eq!((missing.calls(), run.requests("sent"), run.rows("unsent")), (1, 2, 50));
    assert_eq!(run.summary()["reason"], "wrong_address");
    run.says("nothing was found at http://").says("/ (404)").says("--base-url");
}

#[test]
fn a_403_stops_the_run_only_if_the_key_is_refused_for_another_request_too() {
    for (of_get, code) in [(200, 1), (403, 4)] {
        let server = MockServer::start();
        let refused = server.mock(|when, then| {
            when.method(PUT).path(STANDARD).body_includes("Oslo");
            then.status(403).body(r#"{"detail": "You do not have permission to perform this action."}"#);
        });
        server.mock(|when, then| {
            when.method(PUT).path(STANDARD);
            then.status(200).body(OK);
        });
        let asked = server.mock(|when, then| {
            when.method(GET);
            then.status(of_get).body(r#"{"id": 2}"#);
        });
        // Largest group first, so that the key has worked before.
        let workdir = Workdir::with_rows(&["1,city,Bergen", "2,region,Oslo", "3,timezone,Europe/Oslo"]);
        let run = sync(&server, &workdir, "users.csv --concurrency 1 --summary -").exits(code);
        assert!(refused.calls() > 0 && asked.calls() > 0);
        let fates = ["acknowledged", "failed", "unsent"].map(|fate| run.rows(fate));
        assert_eq!(fates, if code == 1 { [1, 2, 0] } else { [1, 0, 2] }, "{of_get}: {}", run.stderr);
        assert_eq!(run.summary()["reason"].as_str(), (code == 4).then_some("key_refused"));
    }
}

#[test]
fn a_pause_longer_than_the_patience_with_outages_ends_the_run_at_once() {
    let server = MockServer::start();
    let throttled = server.mock(|when, then| {
        when.path(STANDARD);
        then.status(429)
            .header("retry-after", "3600")
            .body(r#"{"detail": "Request was throttled. Expected available in 3600 seconds."}"#);
    });
    let workdir = Workdir::with_cities(3);
    let run = sync(&server, &workdir, "users.csv --concurrency 1 --max-outage 1m --summary -").exits(4);
    assert_eq!((throttled.calls(), run.requests("throttled"), run.rows("unsent")), (1, 1, 3));
    assert_eq!(run.summary()["reason"], "long_pause");
}

#[test]
fn a_200_that_does_not_say_ok_is_no_acknowledgement() {
    let server = MockServer::start();
    let odd = server.mock(|when, then| {
        when.path(STANDARD).body_includes("Oslo");
        then.status(200).body("<html>maintenance</html>");
    });
    expect(&server, STANDARD, r#"{"ids":[1],"attribute":"city","value":"Bergen"}"#);
    let workdir = Workdir::with_rows(&["1,city,Bergen", "2,country,Oslo"]);
    sync(&server, &workdir, "users.csv --max-attempts 3 --concurrency 1").exits(1);
    assert_eq!(odd.calls(), 3);
    let lost = workdir.failures();
    assert_eq!((lost.len(), lost[0].row[0].as_str(), lost[0].status.as_str()), (1, "2", "200"));
}

#[test]
fn rows_that_can_not_be_read_back_make_the_run_incomplete() {
    let server = MockServer::start();
    expect(&server, STANDARD, r#"{"ids":[1],"attribute":"city","value":"Oslo"}"#);
    server.mock(|when, then| {
        when.method(GET);
        then.status(405);
    });
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let run = sync(&server, &workdir, "users.csv --verify 1 --summary -").exits(1);
    let verified = &run.summary()["verified"];
    assert_eq!((&verified["asked"], &verified["checked"]), (&1.into(), &0.into()));
    assert_eq!(run.rows("acknowledged"), 1);
}

#[test]
fn the_key_is_read_from_a_file_with_a_line_end() {
    let server = MockServer::start();
    let request = expect(&server, STANDARD, r#"{"ids":[1],"attribute":"city","value":"Oslo"}"#);
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    fs::write(workdir.path("key"), format!("{KEY}\n")).unwrap();
    let mut command = to(&server.url("/api/public"), &workdir, "users.csv --token-file key");
    command.env_remove("ATTRSYNC_TOKEN");
    ended(command).exits(0).says("others can read the API key");
    request.assert();
}
