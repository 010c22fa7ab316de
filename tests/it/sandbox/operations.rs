//! What the API does with updates and shows of users.

use super::*;

#[tokio::test]
async fn an_update_is_applied_and_shown() {
    let it = Rehearsal::new(Options::default()).await;
    it.client.update(STANDARD, json!([22, 5, 100]), "country", json!("USA")).await.assert(200, OK);
    it.client.update(STANDARD, json!([5]), "city", json!("New York, NY")).await.assert(200, OK);
    let csv =
        "user_id,attribute,value\n5,city,\"New York, NY\"\n5,country,USA\n22,country,USA\n100,country,USA\n";
    assert_eq!(it.sandbox.state_csv(), csv);
    let page = it.client.page("/sandbox/state.csv").await;
    page.assert(200, csv);
    assert_eq!(page.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(it.sandbox.state().len(), 4);
    assert_eq!(it.sandbox.log().iter().map(|arrival| arrival.ids).collect::<Vec<_>>(), [3, 1]);
}

#[tokio::test]
async fn a_later_update_wins_and_null_clears() {
    let it = Rehearsal::new(Options::default()).await;
    for value in [json!("a"), json!("b")] {
        it.client.update(STANDARD, json!([1, 2, 3]), "region", value).await.assert(200, OK);
    }
    it.client.update(STANDARD, json!([2, 9]), "region", Value::Null).await.assert(200, OK);
    assert_eq!(it.facts(), ["1,region,b", "3,region,b"]);
}

#[tokio::test]
async fn values_that_are_no_strings_stand_as_their_json_text() {
    let it = Rehearsal::new(Options::default()).await;
    let values = [
        ("a", json!(true)),
        ("b", json!(-3)),
        ("c", json!(2.5)),
        ("d", json!({"x": [1]})),
        ("e", json!("007")),
    ];
    for (name, value) in values {
        it.client.update(CUSTOM, json!([1]), name, value).await.assert(200, OK);
    }
    assert_eq!(it.facts(), ["1,a,true", "1,b,-3", "1,c,2.5", "1,d,\"{\"\"x\"\":[1]}\"", "1,e,007"]);
}

#[tokio::test]
async fn users_by_the_clients_own_ids_are_kept_apart() {
    let it = Rehearsal::new(Options::default()).await;
    it.client.update(STANDARD_BY_ID, json!(["7", "a b"]), "city", json!("Rome")).await.assert(200, OK);
    it.client.update(CUSTOM_BY_ID, json!(["a b"]), "size", json!(9)).await.assert(200, OK);
    it.client.update(STANDARD, json!([7]), "city", json!("Oslo")).await.assert(200, OK);
    assert_eq!(it.facts(), ["7,city,Oslo", "7,city,Rome", "a b,city,Rome", "a b,size,9"]);
    let user: Value = serde_json::from_str(&it.client.user("users-by-id/a%20b/").await.body).unwrap();
    assert_eq!((&user["custom_id"], &user["city"]), (&json!("a b"), &json!("Rome")));
    assert_eq!(user["attributes"], json!([{ "name": "size", "name_std": "size", "value": 9 }]));
}

#[tokio::test]
async fn a_user_is_shown_in_the_types_of_the_api() {
    let it = Rehearsal::new(Options { reject_ids: ids(["404", "nobody"]), ..Options::default() }).await;
    let values =
        [("gender", "2"), ("status", "1"), ("score", "17"), ("unsubscribed", "true"), ("user_id", "c-1")];
    for (attribute, value) in values {
        it.client.update(STANDARD, json!([5]), attribute, json!(value)).await.assert(200, OK);
    }
    it.client.update(CUSTOM, json!([5]), "shoe size", json!("43")).await.assert(200, OK);
    let user: Value = serde_json::from_str(&it.client.user("users/5/").await.body).unwrap();
    let expected = json!({
        "id": 5, "custom_id": "c-1", "user_id": "c-1", "gender": "male", "status": "visitor", "score": 17,
        "unsubscribed": true, "notifications": null, "assigned_to": null, "company_id": null, "city": null,
        "country": null, "email": null, "facebook_url": null, "first_name": null, "google_url": null,
        "gravatar_url": null, "last_name": null, "linkedin_url": null, "phone_number": null, "region": null,
        "timezone": null, "twitter_url": null, "name": "", "companies": [],
        "attributes": [{ "name": "shoe size", "name_std": "shoe_size", "value": "43" }],
    });
    assert_eq!(user, expected);
    assert_eq!(it.client.user("users/6/").await.status, 200, "any other user exists");
    for path in ["users/404/", "users/0/", "users/x/", "users-by-id/nobody/"] {
        it.client.user(path).await.assert(404, r#"{"detail":"Not found."}"#);
    }
}

#[tokio::test]
async fn unknown_users_are_refused_in_the_manner_asked_for() {
    for (reject, status, body, facts) in [
        (
            Reject::Naming,
            400,
            r#"{"ids":["Invalid pk \"42\" - object does not exist.","Invalid pk \"43\" - object does not exist."]}"#,
            &[][..],
        ),
        (Reject::Unnamed, 400, r#"{"detail":"Invalid input."}"#, &[]),
        (Reject::NotFound, 404, r#"{"detail":"Not found."}"#, &[]),
        (Reject::Ignored, 200, OK, &["1,city,Oslo", "2,city,Oslo"]),
    ] {
        let options = Options { reject_ids: ids(["42", "43", "ann"]), reject, ..Options::default() };
        let it = Rehearsal::new(options).await;
        it.client.update(STANDARD, json!([1, 42, 43, 2]), "city", json!("Oslo")).await.assert(status, body);
        assert_eq!(it.facts(), facts);
        let by_id = it.client.update(STANDARD_BY_ID, json!(["ann"]), "city", json!("Oslo")).await;
        assert_eq!(by_id.status, status);
        assert_eq!(it.facts(), facts);
    }
}

#[tokio::test]
async fn a_refused_value_is_refused_for_everybody() {
    let reject_values = BTreeSet::from([("city".to_owned(), "Atlantis".to_owned())]);
    let it = Rehearsal::new(Options { reject_values, ..Options::default() }).await;
    let refused = it.client.update(STANDARD, json!([1]), "city", json!("Atlantis")).await;
    refused.assert(400, r#"{"value":["\"Atlantis\" is not a valid choice."]}"#);
    it.client.update(STANDARD, json!([1]), "region", json!("Atlantis")).await.assert(200, OK);
}

#[tokio::test]
async fn counters_are_a_page() {
    let it = Rehearsal::new(Options::default()).await;
    it.client.set(1).await.unwrap().assert(200, OK);
    let expected = r#"{"requests":1,"ok":1,"throttled":0,"refused":0,"faulted":0,"busiest_window":1}"#;
    it.client.page("/sandbox/counters").await.assert(200, expected);
}

#[tokio::test]
async fn requests_are_remembered_only_if_asked_to() {
    let it = Rehearsal::new(Options::default()).await;
    let forgetful = Sandbox::start(Options::default()).await.unwrap();
    let client = Client { base_url: forgetful.base_url(), ..it.client };
    client.set(1).await.unwrap().assert(200, OK);
    assert_eq!(forgetful.log(), []);
    assert_eq!(forgetful.counters().requests, 1);
}
