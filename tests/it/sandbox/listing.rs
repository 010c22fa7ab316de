//! The list of all users.

use std::num::NonZeroUsize;
use std::time::Duration;

use attrsync::sandbox::{Count, Options};
use serde_json::{Value, json};

use super::{CUSTOM_BY_ID, Rehearsal, STANDARD};

fn size(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).unwrap()
}

/// The cursor of the page that a page names.
fn cursor(page: &Value, which: &str) -> Option<String> {
    let url = page[which].as_str()?;
    Some(url.split_once("/api/public/").unwrap().1.to_owned())
}

async fn page(rehearsal: &Rehearsal, path: &str) -> Value {
    let reply = rehearsal.client.user(path).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

/// The ids in all pages, page by page.
async fn pages(rehearsal: &Rehearsal) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    let mut next = Some("users/".to_owned());
    while let Some(path) = next {
        let page = page(rehearsal, &path).await;
        let users = page["results"].as_array().unwrap();
        pages.push(users.iter().map(|user| user["id"].as_u64().unwrap()).collect());
        next = cursor(&page, "next");
    }
    pages
}

#[tokio::test]
async fn pages_hold_all_users_once_and_lead_to_each_other() {
    let options = Options { users: Some(5), page_size: size(2), ..Options::default() };
    let rehearsal = Rehearsal::new(options).await;
    assert_eq!(pages(&rehearsal).await, [vec![1, 2], vec![3, 4], vec![5]]);

    let first = page(&rehearsal, "users/").await;
    assert_eq!((&first["count"], &first["previous"]), (&json!(5), &Value::Null));
    let second = page(&rehearsal, &cursor(&first, "next").unwrap()).await;
    let back = page(&rehearsal, &cursor(&second, "previous").unwrap()).await;
    assert_eq!(back["results"], first["results"]);
}

#[tokio::test]
async fn a_user_is_shown_with_all_values_as_they_are_when_the_page_is_asked_for() {
    let rehearsal = Rehearsal::new(Options { page_size: size(1), ..Options::default() }).await;
    let client = &rehearsal.client;
    client.update(STANDARD, json!([7, 9]), "gender", json!("2")).await;
    client.update(STANDARD, json!([7]), "company_id", json!(4)).await;
    client.update("users/mass_update_custom_attributes/", json!([7]), "Shoe size", json!("44")).await;
    let first = page(&rehearsal, "users/").await;
    let user = &first["results"][0];
    assert_eq!((&user["id"], &user["gender"]), (&json!(7), &json!("male")));
    assert_eq!(user["companies"], json!([{ "id": 4, "name": "Company 4" }]));
    let attribute = json!([{ "name": "Shoe size", "name_std": "shoe_size", "value": "44" }]);
    assert_eq!(user["attributes"], attribute);

    client.update(STANDARD, json!([9]), "gender", json!("3")).await;
    let second = page(&rehearsal, &cursor(&first, "next").unwrap()).await;
    assert_eq!(second["results"][0]["gender"], json!("female"));
}

#[tokio::test]
async fn users_by_the_clients_ids_come_after_the_others() {
    let rehearsal = Rehearsal::new(Options::default()).await;
    rehearsal.client.update(CUSTOM_BY_ID, json!(["u-1"]), "plan", json!("gold")).await;
    rehearsal.client.set(3).await.unwrap();
    let page = page(&rehearsal, "users/").await;
    let ids: Vec<_> = page["results"].as_array().unwrap().iter().map(|user| &user["custom_id"]).collect();
    assert_eq!(ids, [&Value::Null, &json!("u-1")]);
}

#[tokio::test]
async fn users_can_come_twice_and_the_count_can_be_left_out() {
    let options = Options {
        users: Some(4),
        page_size: size(2),
        page_overlap: 1,
        count: Count::Omitted,
        ..Options::default()
    };
    let rehearsal = Rehearsal::new(options).await;
    assert_eq!(pages(&rehearsal).await, [vec![1, 2], vec![2, 3], vec![3, 4]]);
    assert_eq!(page(&rehearsal, "users/").await.get("count"), None);
}

#[tokio::test]
async fn a_cursor_that_is_wrong_or_too_old_is_not_found() {
    let options = Options {
        users: Some(4),
        page_size: size(2),
        cursor_lifetime: Some(Duration::ZERO),
        ..Options::default()
    };
    let rehearsal = Rehearsal::new(options).await;
    let next = cursor(&page(&rehearsal, "users/").await, "next").unwrap();
    for path in [next.as_str(), "users/?cursor=nonsense", "users/?cursor=1p99"] {
        let reply = rehearsal.client.user(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (404, r#"{"detail":"Invalid cursor"}"#), "{path}");
    }
}

#[tokio::test]
async fn users_that_do_not_exist_are_refused() {
    let rehearsal = Rehearsal::new(Options { users: Some(4), ..Options::default() }).await;
    let reply = rehearsal.client.update(STANDARD, json!([4, 5]), "city", json!("Oslo")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains("Invalid pk \\\"5\\\""), "{}", reply.body);
    assert_eq!(rehearsal.client.user("users/4/").await.status, 200);
    assert_eq!(rehearsal.client.user("users/5/").await.status, 404);
}
