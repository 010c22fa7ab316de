//! Limits on size, users for whom the API fails, and outages.

use super::{answer, check, check_canary, check_of, first, refuses, several, singly, with_attempts};
use crate::deliver::model::faulty_server::FaultyServer;
use crate::deliver::options::Options;

#[test]
fn a_limit_on_size_is_approached_from_both_sides() {
    // One user can not be divided.
    check(
        &[(1..=1, "city", "A"), (1..=9, "country", "B")],
        &singly(),
        &FaultyServer { bad_values: refuses([("A", 413, "")]), ..FaultyServer::default() },
        "A 1, GET 1, A 1, B 1-9",
    );
    // A limit in bytes is approached by halves.
    check(
        &[(1..=9, "city", "A"), (1..=30, "country", "A")],
        &singly(),
        &FaultyServer { most_bytes: Some(60), ..FaultyServer::default() },
        "A 1-9, A 1-30, A 1-19, A 20-29, A 1-7, A 30, A 20-24, A 8-11, A 25-29, A 12-15, A 16-19",
    );
    // Parts are of about the same size.
    check(
        &[(1..=30, "city", "A"), (1..=30, "country", "B")],
        &singly(),
        &FaultyServer { most_bytes: Some(89), ..FaultyServer::default() },
        "A 1-30, A 1-9, A 10-25, A 26-30, B 1-23, B 24-30, B 1-12, B 13-23",
    );
}

#[test]
fn a_size_is_not_blamed_for_what_it_can_not_explain() {
    // After a larger request was accepted, the value is the cause.
    check(
        &[(1..=9, "city", "L"), (1..=3, "country", "B")],
        &singly(),
        &FaultyServer { bad_values: refuses([("B", 413, "")]), ..FaultyServer::default() },
        "L 1-9, B 1-3, B 1",
    );
    // A long value says nothing of the size of others.
    check(
        &[(1..=100, "city", "A"), (1..=20, "country", &"x".repeat(5000)), (1..=1000, "region", "B")],
        &singly(),
        &FaultyServer { script: vec![answer("xxx", 0..99, 413, "")], ..FaultyServer::default() },
        "A 1-100, xxxxxxxxxxxx 1-20, xxxxxxxxxxxx 1-10, xxxxxxxxxxxx 1-5, xxxxxxxxxxxx 1, B 1-1000",
    );
    // Even if nothing was accepted before.
    check(
        &[(1..=20, "city", &"x".repeat(5000)), (1..=1000, "region", "B")],
        &singly(),
        &FaultyServer { script: vec![answer("xxx", 0..99, 413, "")], ..FaultyServer::default() },
        "xxxxxxxxxxxx 1-20, xxxxxxxxxxxx 1-10, xxxxxxxxxxxx 1-5, xxxxxxxxxxxx 1-2, xxxxxxxxxxxx 1, B 1-1000",
    );
    // The message speaks of fewer users than were accepted before.
    check(
        &[(1..=10, "city", "A"), (1..=5, "country", "B")],
        &singly(),
        &FaultyServer {
            script: vec![answer(
                "B 1-5",
                0..1,
                400,
                r#"{"ids": ["Ensure this field has no more than 3 elements."]}"#,
            )],
            ..FaultyServer::default()
        },
        "A 1-10, B 1-5, B 1-2, B 3, B 4, B 5",
    );
    // A part of a search is too large.
    check(
        &[(1..=8, "city", "A"), (1..=8, "country", "B")],
        &singly(),
        &FaultyServer {
            script: vec![
                answer("A 1-8", 0..1, 400, r#"{"detail": "no"}"#),
                answer("A 1-4", 0..1, 413, ""),
                answer("A 1-2", 0..1, 413, ""),
            ],
            ..FaultyServer::default()
        },
        "A 1-8, A 1-4, A 1-2, A 1, A 2, A 3, A 4, A 5, A 6, A 7, A 8, B 1, B 2, B 3, B 4, B 5, B 6, \
         B 7, B 8",
    );
}

#[test]
fn users_for_whom_the_api_fails_are_searched_while_others_are_served() {
    // After three failures in a row a part is sent again before its users are blamed.
    check_of(
        16,
        &[(1..=32, "city", "A")],
        &with_attempts(2),
        &FaultyServer { poison: [17].into(), ..FaultyServer::default() },
        "A 1-16, A 17-32, A 1, A 17-32, A 1, A 17-24, A 17-20, A 17-18, A 1, A 17, A 1, A 17, A 1, \
         A 18-32",
    );
    // A user who is alone in a batch, but not with the value, is remembered for the next attribute.
    check_of(
        4,
        &[(1..=5, "city", "A"), (5..=12, "country", "B")],
        &with_attempts(1),
        &FaultyServer { poison: [5].into(), ..FaultyServer::default() },
        "A 1-4, A 5, B 5-8, B 9-12, B 5-8, B 9, A 5, B 9, B 5-8, B 9, A 5, B 9, B 5-6, B 5, B 9, B 5, \
         B 9, B 6-8",
    );
    // Other requests show that the API is up.
    check(
        &[(1..=4, "email", "e#")],
        &with_attempts(1),
        &FaultyServer { poison: [2].into(), ..FaultyServer::default() },
        "e1 1, e2 2, e3 3, e4 4, e2 2, e1 1",
    );
    // A single user waits for no other search.
    check_canary(
        1,
        &[(2..=3, "region", "A"), (2..=3, "last_name", "A")],
        with_attempts(3),
        &FaultyServer { poison: [2].into(), ..FaultyServer::default() },
        "A 2, GET 2, A 2, A 2, A 2, GET 2, A 2, GET 2, A 2, GET 2, A 2, GET 2, A 2, GET 2, A 2, A 2, \
         GET 2, A 2, A 2, GET 2, A 2, GET 2, A 2, GET 2",
    );
    // Of two searches, one waits for the other.
    check_of(
        20,
        &[(101..=120, "city", "Z"), (1..=8, "country", "A"), (11..=18, "region", "B")],
        &several(with_attempts(2), 4),
        &FaultyServer { poison: [3, 15].into(), ..FaultyServer::default() },
        "Z 101-120, A 1-8, B 11-18, Z 101, A 1-8, Z 101, B 11-18, Z 101, A 1-8, Z 101, B 11-18, \
         Z 101, A 1-4, A 1-2, A 3, A 1, A 3, A 1, A 4-8, B 11-14, B 15-16, B 15, B 11, B 15, B 11, \
         B 16-18",
    );
}

#[test]
fn an_outage_is_probed_with_requests_that_tell_the_most() {
    // The first probe is a batch that was not tried yet.
    check(
        &[(1..=12, "email", "e#")],
        &singly(),
        &FaultyServer { script: vec![answer("", 1..9, 502, "")], ..FaultyServer::default() },
        "e1 1, e2 2, e3 3, e4 4, e3 3, e2 2, e4 4, e5 5, e6 6, e7 7, e2 2, e4 4, e3 3, e6 6, e5 5, \
         e8 8, e9 9, e10 10, e11 11, e12 12",
    );
    // Before anything was acknowledged the first error is one, and the first acknowledgement ends it.
    check(
        &[(1..=4, "email", "e#")],
        &first(),
        &FaultyServer { script: vec![answer("", 0..2, 503, "")], ..FaultyServer::default() },
        "e1 1, e2 2, e3 3, e1 1, e2 2, e4 4",
    );
    // A GET that is answered shows nothing of updates then.
    check(
        &[(1..=2, "city", "A"), (3..=4, "city", "B")],
        &Options { proven: false, ..with_attempts(2) },
        &FaultyServer {
            script: vec![
                answer("A 1-2", 0..1, 502, ""),
                answer("B 3-4", 0..3, 502, ""),
                answer("A 1-2", 1..5, 502, ""),
            ],
            ..FaultyServer::default()
        },
        "A 1-2, B 3-4, GET 3, A 1-2, GET 1, B 3-4, GET 3, A 1-2, GET 1, B 3-4, GET 3, A 1-2, GET 1, \
         B 3-4, A 1-2, B 3, A 1-2",
    );
}
