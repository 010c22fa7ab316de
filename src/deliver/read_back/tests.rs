use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::deliver::model;

#[expect(clippy::unnecessary_wraps, reason = "as a transport gives it")]
fn answer(json: &Value) -> Result<Reply, SendError> {
    Ok(Reply { status: 200, body: json.to_string().into(), ..Reply::default() })
}

/// A page with these users.
fn page(users: &[Value], count: Option<u64>, next: Option<&str>) -> Result<Reply, SendError> {
    let next = next.map(|cursor| format!("http://localhost/users/?{cursor}"));
    answer(&json!({ "count": count, "next": next, "results": users }))
}

/// Users who live in this city.
fn users_of(city: &str, ids: impl IntoIterator<Item = u64>) -> Vec<Value> {
    ids.into_iter().map(|id| json!({ "id": id, "city": city })).collect()
}

/// Reads all rows back, of which this many users have one each: they live in Oslo.
fn in_oslo(users: u64) -> (Arc<Plan>, ReadBack) {
    let plan = model::plan((1..=users).map(|user| (user, "city", "Oslo")));
    let read_back = ReadBack::of(Sample::AllBut(Vec::new()), &plan);
    (plan, read_back)
}

fn state(read_back: &ReadBack) -> (Way, u64, u64, (u64, u64)) {
    let ReadingBack { way, users_done, requests_left, decided, .. } = read_back.state();
    (way, users_done, requests_left, decided)
}

#[test]
fn pages_are_read_until_no_user_is_left_and_progress_says_how_many_there_will_be() {
    let (plan, mut read_back) = in_oslo(250);
    assert_eq!(state(&read_back), (Way::Undecided, 0, 1, (250, 250)));
    let pages = [(1..=100, Some("2")), (101..=200, Some("3")), (201..=250, Some("4"))];
    let (mut cursor, mut done) = (None, 0);
    for ((ids, next), left) in pages.into_iter().zip([2, 1, 0]) {
        assert!(read_back.has_next());
        assert_eq!(read_back.next(), Some(Question::Page(cursor.clone())));
        assert_eq!((read_back.next(), read_back.has_next()), (None, false), "one page at a time");
        done += ids.clone().count() as u64;
        read_back.compare_page(cursor.as_deref(), &page(&users_of("Oslo", ids), Some(250), next), &plan);
        let expected = match left {
            0 => (Way::Users, 250, 0, (0, 0)),
            left => (Way::Pages, done, left, (250, 3)),
        };
        assert_eq!(state(&read_back), expected);
        cursor = next.map(str::to_owned);
    }
    assert_eq!((read_back.next(), read_back.has_next()), (None, false), "there is a page that nobody needs");
    let verified = read_back.into_verified(None);
    assert_eq!((verified.asked, verified.checked, verified.differing), (250, 250, 0));
}

#[test]
fn what_a_page_does_not_show_is_asked_for_user_by_user() {
    let rows = (1..=150).flat_map(|user| [(user, "city", "Oslo"), (user, "country", "PL")]);
    let plan = model::plan(rows);
    let mut read_back = ReadBack::of(Sample::AllBut(Vec::new()), &plan);
    let mut users: Vec<Value> =
        (1..=149).map(|id| json!({ "id": id, "city": "Oslo", "country": "PL" })).collect();
    users[2] = json!({ "id": 3, "city": "Oslo" });
    users[4]["country"] = json!({ "id": 1 });
    users[6]["city"] = json!("Rome");
    users[7]["country"] = json!("DE");
    users[8]["city"] = json!("Rome");
    assert_eq!(read_back.next(), Some(Question::Page(None)));
    read_back.compare_page(None, &page(&users, Some(150), None), &plan);
    // All but the one that was not on the page, and the one without a country there.
    assert_eq!(state(&read_back), (Way::Users, 148, 2, (2, 2)));
    assert!(read_back.has_next());
    let Some(Question::User(third)) = read_back.next() else { panic!("not asked for") };
    let Some(Question::User(last)) = read_back.next() else { panic!("not asked for") };
    assert_eq!((read_back.next(), read_back.has_next()), (None, false));
    assert_eq!((read_back.user(third, &plan), read_back.user(last, &plan)), ("3".into(), "150".into()));
    read_back.compare(third, &answer(&json!({ "id": 3, "city": "Oslo" })), &plan);
    assert_eq!(state(&read_back), (Way::Users, 149, 1, (2, 2)));
    let reason = Reason { status: Some(500), error: "gave up".to_owned() };
    read_back.unread(last, &reason);
    assert_eq!(state(&read_back), (Way::Users, 150, 0, (2, 2)));

    let verified = read_back.into_verified(None);
    let told = verified.mismatches.iter().map(|one| (&*one.attribute, &*one.user_id, &*one.found));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [("city", "7", "\"Rome\""), ("city", "9", "\"Rome\""), ("country", "8", "\"DE\"")]);
    // The country of one user is not understood, that of another is not shown, and nothing is known of the last.
    assert_eq!((verified.asked, verified.checked, verified.differing), (300, 296, 3));
    assert_eq!(verified.unread.as_deref(), Some("gave up"));
}

#[test]
fn a_list_is_read_only_where_that_takes_fewer_requests_than_users() {
    for (shown, count, by_pages) in
        [(1, Some(150), true), (1, Some(151), false), (100, None, false), (0, Some(10), false)]
    {
        let (plan, mut read_back) = in_oslo(150);
        assert_eq!(read_back.next(), Some(Question::Page(None)));
        read_back.compare_page(None, &page(&users_of("Oslo", 1..=shown), count, Some("2")), &plan);
        let (way, decided) = if by_pages { (Way::Pages, (150, 150)) } else { (Way::Users, (150, 150)) };
        assert_eq!(
            (read_back.state().way, read_back.state().decided),
            (way, decided),
            "{shown} of {count:?}"
        );
    }
    for (users, first) in [(100, Question::User(0)), (101, Question::Page(None))] {
        assert_eq!(in_oslo(users).1.next(), Some(first), "{users}");
    }
}

#[test]
fn a_list_without_one_of_the_attributes_is_left_at_once() {
    let plan = model::plan((1..=150).flat_map(|user| [(user, "city", "Oslo"), (user, "country", "PL")]));
    let mut read_back = ReadBack::of(Sample::AllBut(Vec::new()), &plan);
    assert_eq!(read_back.next(), Some(Question::Page(None)));
    read_back.compare_page(None, &page(&users_of("Oslo", 1..=100), Some(150), Some("2")), &plan);
    assert_eq!(state(&read_back), (Way::Users, 0, 150, (150, 150)));
    assert_eq!(read_back.next(), Some(Question::User(0)));
}

#[test]
fn a_list_that_does_not_end_is_left() {
    let (plan, mut read_back) = in_oslo(150);
    let mut pages = 0;
    while let Some(Question::Page(cursor)) = read_back.next() {
        pages += 1;
        let others = users_of("Rome", 1000..1050);
        read_back.compare_page(cursor.as_deref(), &page(&others, Some(151), Some(&pages.to_string())), &plan);
    }
    // It says that there are four.
    assert_eq!((pages, state(&read_back)), (17, (Way::Users, 0, 150, (150, 150))));
}

#[test]
fn a_great_many_differences_are_counted_and_the_first_are_kept() {
    let (plan, mut read_back) = in_oslo(1001);
    read_back.compare_page(None, &page(&users_of("Rome", 1..=1001), Some(1001), None), &plan);
    let verified = read_back.into_verified(None);
    assert_eq!((verified.checked, verified.differing), (1001, 1001));
    assert_eq!((verified.mismatches.len(), verified.differing_rows.len()), (1000, 1001));
}

#[test]
fn however_many_the_first_users_are_they_are_read_one_by_one() {
    let (plan, read_back) = in_oslo(150);
    let rows: Vec<PlanRow> = read_back.rows.iter().map(|(_, row)| *row).collect();
    let mut first = ReadBack::one_by_one(&rows, &plan);
    assert_eq!(state(&first), (Way::Users, 0, 150, (150, 150)));
    assert_eq!((first.next(), first.next()), (Some(Question::User(0)), Some(Question::User(1))));
}

#[test]
fn what_was_not_read_because_the_run_stopped_says_why() {
    for (error, unread) in [("the key is refused", Some("the key is refused")), ("", None)] {
        let reason = Reason { status: None, error: error.to_owned() };
        assert_eq!(in_oslo(3).1.into_verified(Some(&reason)).unread.as_deref(), unread);
    }
}
