//! Users, values, attributes and accounts that are refused.

use std::time::Duration;

use super::{OK, answer, check, check_canary, check_of, first, refuses, several, singly};
use crate::deliver::event::Outcome;
use crate::deliver::model::faulty_server::{FaultyServer, Naming, words};
use crate::deliver::options::Options;

#[test]
fn a_refused_value_is_told_from_users_who_do_not_exist() {
    // A message about the value is tested at once, with single users from either end.
    check(
        &[(1..=8, "city", "A"), (1..=8, "country", "B")],
        &singly(),
        &FaultyServer {
            unknown: [1, 3].into(),
            bad_values: refuses([("A", 400, r#"{"value": ["bad"]}"#)]),
            ..FaultyServer::default()
        },
        "A 1-8, A 1, GET 1, A 8, GET 8, B 2-8, B 1, B 2-4, B 2, B 3, GET 3, B 4-8",
    );
    // Each test that meets a missing user takes the next one from the other end, up to four of them.
    let run = check(
        &[(1..=6, "city", "A")],
        &singly(),
        &FaultyServer { unknown: [1, 2, 3, 6].into(), ..FaultyServer::default() },
        "A 1-6, A 1-3, A 1, GET 1, A 6, GET 6, GET 2, GET 3, A 4-5",
    );
    let error = |user: u64| match &run.finished[&("city".to_owned(), user)].0 {
        Outcome::Failed(reason) => reason.error.clone(),
        other => panic!("{other:?}"),
    };
    // Of the others it is known only that a GET does not find them.
    assert_eq!([error(1), error(6)], ["400 Bad Request: Bad request."; 2]);
    assert_eq!([error(2), error(3)], ["400 Bad Request: Bad request. (the API knows no such user)"; 2]);
    // Any other message is tested after two rejections in a row.
    check(
        &[(1..=8, "city", "A"), (1..=8, "country", "B")],
        &singly(),
        &FaultyServer {
            unknown: [1, 3].into(),
            bad_values: refuses([("A", 400, r#"{"detail": "no"}"#)]),
            ..FaultyServer::default()
        },
        "A 1-8, A 1-4, A 1-2, A 1, GET 1, A 8, GET 8, GET 7, GET 2, A 3-6, A 3, GET 3, A 6, GET 6, \
         A 2 4-5 7, A 2 4, A 2, A 7, A 4-5, B 2 4-8, B 1 3",
    );
    // Where a GET tells nothing, more users have to be rejected alone.
    check(
        &[(1..=8, "city", "A"), (1..=8, "country", "B")],
        &singly(),
        &FaultyServer {
            unknown: [1, 3, 5, 7, 8].into(),
            bad_values: refuses([("B", 400, r#"{"attribute": ["bad"]}"#)]),
            shows_users: false,
            ..FaultyServer::default()
        },
        "A 1-8, A 1-4, A 1-2, A 1, GET 1, A 8, GET 8, GET 7, A 7, GET 6, A 6, A 7, GET 2, A 2, A 8, \
         A 3-5, A 3, GET 3, A 3, A 4-5, A 4, A 1, GET 5, A 5, A 5, B 2 4 6, B 1, B 2, GET 1, B 3",
    );
    // Batches of one value wait for the first of them.
    check_of(
        1,
        &[(1..=1, "city", "B"), (2..=3, "city", "A")],
        &several(singly(), 4),
        &FaultyServer { bad_values: refuses([("A", 403, r#"{"detail": "no"}"#)]), ..FaultyServer::default() },
        "B 1, A 2, A 3, GET 3, GET 3, A 3, GET 2, GET 2, A 2",
    );
    // A key that is refused for a batch is tested with a user of the batch.
    check_of(
        2,
        &[(1..=4, "city", "A"), (5..=8, "city", "B")],
        &singly(),
        &FaultyServer {
            script: vec![answer("B 7-8", 0..99, 403, r#"{"detail": "no"}"#)],
            ..FaultyServer::default()
        },
        "A 1-2, A 3-4, B 5-6, B 7-8, GET 7, B 7, GET 8, B 8",
    );
}

#[test]
fn a_cause_that_was_confirmed_is_believed_the_next_time() {
    // A structured message is believed once it was confirmed.
    check(
        &[
            (1..=4, "city", "A"),
            (11..=14, "country", "B"),
            (21..=24, "region", "C"),
            (1..=8, "last_name", "E"),
        ],
        &singly(),
        &FaultyServer {
            bad_values: refuses([("B", 400, r#"{"ids": ["odd"]}"#), ("C", 400, r#"{"ids": ["odd"]}"#)]),
            script: vec![answer("A 1-4", 0..1, 400, "")],
            ..FaultyServer::default()
        },
        "A 1-4, A 1-2, A 3, GET 4, A 4, B 11-13, B 14, GET 14, B 14, B 11-12, B 11, GET 11, B 12, GET 12, \
         B 13, GET 13, B 13, E 1-2, E 3-4, E 5-6, E 7-8, C 21-22, C 21, GET 21, C 22, GET 22, C 23-24, C 23, \
         GET 23, C 24, GET 24",
    );
    // Any other message is not where requests are rejected at random: they are sent again first.
    check(
        &[
            (1..=8, "city", "Z"),
            (1..=4, "country", "A"),
            (11..=14, "region", "B"),
            (21..=24, "last_name", "C"),
        ],
        &singly(),
        &FaultyServer {
            unknown: [12, 22].into(),
            script: vec![answer("A 1-4", 0..1, 400, "")],
            ..FaultyServer::default()
        },
        "Z 1-8, A 1-4, A 1-2, A 3, A 4, C 21-24, C 21-24, C 21-22, C 21, GET 22, C 23-24, B 11-14, \
         B 11-14, B 11-12, B 11, GET 12, B 13-14",
    );
    // A user who is rejected alone and then accepted was rejected at random.
    check(
        &[(1..=1, "city", "C"), (6..=6, "city", "C"), (8..=8, "city", "D")],
        &singly(),
        &FaultyServer {
            unknown: [1].into(),
            naming: Naming::Some(1),
            script: vec![answer("C 6", 0..1, 400, ""), answer("D 8", 0..2, 400, "")],
            ..FaultyServer::default()
        },
        "C 1 6, C 6, GET 6, C 6, C 1, D 8, GET 8, D 8, D 8",
    );
}

#[test]
fn users_of_several_batches_count_together_against_their_value() {
    let server =
        FaultyServer { bad_values: refuses([("A", 400, r#"{"detail": "no"}"#)]), ..FaultyServer::default() };
    check_of(
        3,
        &[(1..=12, "city", "A"), (1..=3, "country", "B")],
        &singly(),
        &server,
        "A 1-3, A 1, GET 1, A 3, GET 3, A 2, GET 2, A 2, A 4-6, A 4, GET 4, A 6, GET 6, A 5, GET 5, A 5, B 1-3",
    );
}

#[test]
fn a_refused_attribute_is_found_by_its_values() {
    // It is tested as soon as anything else is accepted.
    check(
        &[
            (1..=2, "city", "A"),
            (3..=4, "city", "B"),
            (5..=6, "city", "C"),
            (1..=2, "country", "A"),
            (3..=4, "country", "B"),
            (5..=6, "country", "C"),
            (1..=6, "region", "R"),
        ],
        &first(),
        &FaultyServer {
            bad_values: refuses([("A", 400, r#"{"attribute": ["bad"]}"#)]),
            bad_attributes: refuses([("city", 400, r#"{"attribute": ["bad"]}"#)]),
            ..FaultyServer::default()
        },
        "A 1-2, B 3-4, C 5-6, A 1-2, B 3-4, A 1, A 1, GET 1, GET 1, C 5-6, R 1-6",
    );
    // Two attributes are tested side by side.
    check(
        &[
            (1..=2, "city", "A"),
            (3..=4, "city", "B"),
            (5..=6, "city", "C"),
            (1..=2, "country", "A"),
            (3..=4, "country", "B"),
            (5..=6, "country", "C"),
            (1..=6, "region", "R"),
        ],
        &several(first(), 4),
        &FaultyServer {
            bad_attributes: refuses([
                ("city", 400, r#"{"attribute": ["bad"]}"#),
                ("country", 400, r#"{"detail": "no"}"#),
            ]),
            ..FaultyServer::default()
        },
        "A 1-2, B 3-4, C 5-6, A 1-2, B 3-4, C 5-6, R 1-6, A 1, A 1, A 2, B 3, B 4, C 5, C 6",
    );
    let emails_and_country = [(1..=11, "email", "e#"), (20..=21, "country", "Y")];
    // Where each user has a value of its own, ten are refused before the attribute is at fault, one of them twice.
    check(
        &[(1..=40, "email", "e#"), (1..=2, "country", "Y")],
        &singly(),
        &FaultyServer {
            bad_attributes: refuses([("email", 400, r#"{"attribute": ["bad"]}"#)]),
            ..FaultyServer::default()
        },
        "Y 1-2, e1 1, e1 1, e2 2, e3 3, e4 4, e5 5, e6 6, e7 7, e8 8, e9 9, e10 10, Y 1",
    );
    // It is not where nothing shows that the users exist, or where the message is about nothing.
    let says = |body| FaultyServer {
        bad_attributes: refuses([("email", 400, body)]),
        shows_users: body != r#"{"attribute": ["bad"]}"#,
        ..FaultyServer::default()
    };
    let all =
        "Y 20-21, e1 1, GET 1, e1 1, e2 2, e3 3, e4 4, e5 5, e6 6, e7 7, e8 8, e9 9, e10 10, Y 20, e11 11";
    check(&emails_and_country, &singly(), &says(r#"{"attribute": ["bad"]}"#), all);
    let each = (2..=11).map(|user| format!(", GET {user}, e{user} {user}"));
    let singles = each.fold(all.to_owned(), |sent, each| sent + &each);
    check(&emails_and_country, &singly(), &says(r#"{"detail": "no"}"#), &singles);
    // Once one of its values was accepted, it is no longer the attribute.
    check(
        &[(1..=4, "email", "e#"), (1..=2, "country", "Y")],
        &singly(),
        &FaultyServer {
            bad_values: refuses([
                ("e2", 400, r#"{"attribute": ["bad"]}"#),
                ("e3", 400, r#"{"attribute": ["bad"]}"#),
            ]),
            ..FaultyServer::default()
        },
        "Y 1-2, e1 1, e2 2, e2 2, e3 3, e4 4",
    );
    // So it is where a user is refused with whatever attribute, …
    let archived = FaultyServer {
        poison: [5].into(),
        poison_status: 400,
        poison_body: r#"{"attribute": ["archived"]}"#,
        ..FaultyServer::default()
    };
    let emails = [(1..=10, "city", "A"), (5..=9, "email", "e#")];
    check(
        &emails,
        &several(singly(), 4),
        &archived,
        "A 1-10, A 1, A 2-5, A 2-3, A 4, GET 5, A 5, A 5, A 6-10, e5 5, e6 6, e7 7, e8 8, e9 9",
    );
    // … and where the account is known to have values of the attribute.
    // Words that were for a user once are not believed to be for the value of others.
    check(
        &[(1..=5, "city", "A"), (6..=9, "country", "B")],
        &singly(),
        &FaultyServer { poison: [5, 6].into(), ..archived.clone() },
        "A 1-5, A 1, A 2-3, A 4, GET 5, A 5, A 5, B 6-9, B 6, GET 6, B 9, B 7-8",
    );
    let known = Options { known_attributes: ["email".to_owned()].into(), ..singly() };
    let failed = FaultyServer { poison: (1..=12).collect(), ..archived };
    check(
        &[(20..=21, "country", "Y"), (1..=14, "email", "e#")],
        &known,
        &failed,
        "Y 20-21, e1 1, GET 1, e1 1, e2 2, e3 3, e4 4, e5 5, e6 6, e7 7, e8 8, e9 9, e10 10, Y 20, e11 11, e12 12, \
         e13 13, e14 14",
    );
    // Users who are left out because other requests with them failed are tested before a value fails for them.
    check(
        &[(1..=2, "city", "R"), (5..=6, "city", "P"), (1..=8, "country", "A")],
        &Options { retry_initial_delay: Duration::from_mins(1), ..singly() },
        &FaultyServer {
            poison: [5].into(),
            poison_status: 409,
            script: vec![
                answer("P 5-6", 0..1, 500, ""),
                answer("P 5-6", 1..2, 400, ""),
                answer("P 6", 0..9, 400, ""),
                answer("P 5", 0..9, 200, OK),
            ],
            ..FaultyServer::default()
        },
        "R 1-2, P 5-6, A 1-8, A 1-4, A 5-6, A 5, GET 5, A 5, A 6-8, P 5-6, P 6, P 6, P 5, P 6, P 6",
    );
    // Ten of its values wait until the account is known to be well, and then fail together.
    check(
        &[
            (1..=2, "city", "A"),
            (3..=4, "city", "B"),
            (5..=6, "city", "C"),
            (7..=8, "city", "D"),
            (9..=10, "city", "E"),
            (11..=12, "city", "F"),
            (13..=14, "city", "G"),
            (15..=16, "city", "H"),
            (17..=18, "city", "I"),
            (19..=20, "city", "J"),
            (21..=22, "city", "K"),
            (23..=24, "city", "L"),
            (1..=40, "country", "Y"),
        ],
        &singly(),
        &FaultyServer {
            bad_attributes: refuses([("city", 400, r#"{"detail": "no"}"#)]),
            ..FaultyServer::default()
        },
        "A 1-2, A 1, GET 1, A 2, GET 2, B 3-4, C 5-6, D 7-8, E 9-10, F 11-12, G 13-14, H 15-16, \
         I 17-18, J 19-20, Y 1, Y 1-40",
    );
    // Users who are named say nothing of the account.
    check(
        &[(1..=12, "city", "c#"), (20..=29, "country", "Y")],
        &singly(),
        &FaultyServer { unknown: (1..=12).collect(), naming: Naming::All, ..FaultyServer::default() },
        "c1 1, GET 1, c2 2, c3 3, c4 4, c5 5, c6 6, c7 7, c8 8, c9 9, c10 10, c11 11, c12 12, Y 20-29",
    );
    // Where all missing users are known, nobody waits for another search.
    check(
        &[
            (1..=3, "country", "B"),
            (1..=1, "first_name", "B"),
            (3..=3, "first_name", "B"),
            (2..=2, "first_name", "A"),
        ],
        &first(),
        &FaultyServer {
            unknown: [1, 3].into(),
            bad_values: refuses([("A", 400, "")]),
            ..FaultyServer::default()
        },
        "B 1-3, B 1 3, A 2, B 1, GET 1, B 3, GET 3, GET 2, B 2, B 1 3, A 2",
    );
}

#[test]
fn the_account_is_checked_alone_and_as_often_as_it_takes() {
    // The check is repeated after errors.
    check(
        &[(1..=9, "city", "c#"), (1..=2, "country", "Y")],
        &first(),
        &FaultyServer {
            bad_attributes: refuses([("city", 402, ""), ("country", 402, "")]),
            script: vec![answer("Y 1", 0..2, 500, ""), answer("GET", 0..2, 200, "<html>")],
            ..FaultyServer::default()
        },
        "c1 1, c2 2, c3 3, Y 1, Y 1, Y 1, GET 1, GET 1, GET 1",
    );
    // An answer that is neither a user nor a page is as good as none.
    check(
        &[(1..=9, "city", "c#"), (1..=2, "country", "Y")],
        &first(),
        &FaultyServer {
            bad_attributes: refuses([("city", 402, ""), ("country", 402, "")]),
            script: vec![answer("GET", 0..99, 300, "")],
            ..FaultyServer::default()
        },
        "c1 1, c2 2, c3 3, Y 1, GET 1",
    );
    // A row of the first users is sent again.
    check_canary(
        1,
        &[(1..=9, "city", "c#"), (9..=11, "country", "Y"), (9..=11, "region", "Y")],
        singly(),
        &FaultyServer {
            script: vec![
                answer("c9", 0..9, 200, OK),
                answer("Y 9", 0..2, 200, OK),
                answer("GET 9", 0..9, 200, r#"{"id": 9, "city": "c9", "country": "Y", "region": "Y"}"#),
                answer("", 0..99, 402, ""),
            ],
            ..FaultyServer::default()
        },
        "c9 9, Y 9, Y 9, GET 9, c1 1, GET 1, c1 1, c2 2, GET 2, c2 2, c3 3, Y 9",
    );
    // Nothing else is in flight then.
    check(
        &[(3..=3, "city", "A"), (2..=2, "country", "A"), (3..=3, "country", "D")],
        &several(singly(), 16),
        &FaultyServer {
            bad_attributes: refuses([
                ("city", 402, r#"{"detail": "no"}"#),
                ("country", 402, r#"{"detail": "no"}"#),
            ]),
            ..FaultyServer::default()
        },
        "A 3, GET 3, A 2, D 3, GET 3, A 3",
    );
    // There is no check before the first users are there.
    check_canary(
        1,
        &[
            (1..=50, "city", "A"),
            (50..=50, "country", "B"),
            (50..=50, "region", "C"),
            (50..=50, "first_name", "D"),
            (1..=3, "country", "E"),
        ],
        first(),
        &FaultyServer { refuses_all: Some(words(402, "")), ..FaultyServer::default() },
        "A 50, B 50, D 50, C 50, GET 50, A 50",
    );
    // A row of a value of which some users are to be sent still is not taken for a new one.
    check_of(
        2,
        &[(1..=1, "city", "A"), (2..=2, "city", "B"), (3..=3, "city", "C"), (1..=6, "country", "D")],
        &singly(),
        &FaultyServer {
            script: vec![
                answer("A", 0..1, 500, ""),
                answer("B", 0..1, 500, ""),
                answer("C", 0..1, 500, ""),
                answer("D 1-2", 0..1, 200, OK),
                answer("", 0..99, 402, ""),
            ],
            ..FaultyServer::default()
        },
        "A 1, GET 1, A 1, GET 1, A 1, B 2, C 3, D 1-2, D 3-4, B 2, D 3, C 3, D 1",
    );
}
