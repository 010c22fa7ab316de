//! What the API refuses.

use super::*;

#[tokio::test]
async fn the_path_is_exact_and_has_one_method() {
    let it = Rehearsal::new(Options::default()).await;
    let body = || json!({ "ids": [1], "attribute": "city", "value": "Oslo" }).to_string();
    for path in [STANDARD.trim_end_matches('/'), "users", "mass_update_standard_attributes/", "users/1/x/"] {
        reply(it.client.put(path, body())).await.unwrap().assert(404, r#"{"detail":"Not found."}"#);
    }
    let url = format!("{}{STANDARD}", it.sandbox.base_url());
    let post = reply(it.client.http.request(Method::POST, url).body(body())).await.unwrap();
    post.assert(405, r#"{"detail":"Method \"POST\" not allowed."}"#);
    assert_eq!(post.header("allow"), "PUT");
    for path in ["users/1/", "users/"] {
        let put = reply(it.client.put(path, body())).await.unwrap();
        put.assert(405, r#"{"detail":"Method \"PUT\" not allowed."}"#);
    }
    let put = reply(it.client.put("../../sandbox/state.csv", body())).await.unwrap();
    assert_eq!((put.status, put.header("allow")), (405, "GET"));
    assert!(it.facts().is_empty());
}

#[tokio::test]
async fn a_key_is_demanded() {
    let open = Rehearsal::new(Options::default()).await;
    let locked = Rehearsal::new(Options { token: Some("right".into()), ..Options::default() }).await;
    let (missing, invalid) =
        (r#"{"detail":"Authentication credentials were not provided."}"#, r#"{"detail":"Invalid token."}"#);
    for (it, header, status, body) in [
        (&open, None, 401, missing),
        (&open, Some("Bearer x"), 401, missing),
        (&open, Some("Token"), 401, missing),
        (&open, Some("Token anything"), 200, OK),
        (&locked, Some("Token wrong"), 401, invalid),
        (&locked, Some("Token right"), 200, OK),
    ] {
        let request = it.client.http.put(format!("{}{STANDARD}", it.sandbox.base_url()));
        let request =
            header.into_iter().fold(request, |request, header| request.header("authorization", header));
        let request = request.header("content-type", "application/json; charset=utf-8");
        let reply = reply(request.body(r#"{"ids": [1], "attribute": "city", "value": "x"}"#)).await.unwrap();
        reply.assert(status, body);
        assert_eq!(reply.header("www-authenticate"), if status == 401 { "Token" } else { "" });
    }
}

#[tokio::test]
async fn a_key_without_permission_is_forbidden_everything() {
    let it = Rehearsal::new(Options { permission: Permission::Denied, ..Options::default() }).await;
    let forbidden = r#"{"detail":"You do not have permission to perform this action."}"#;
    it.client.set(1).await.unwrap().assert(403, forbidden);
    it.client.user("users/1/").await.assert(403, forbidden);
    assert!(it.facts().is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_by_field() {
    let it = Rehearsal::new(Options::default()).await;
    for (operation, body, expected) in [
        (
            STANDARD,
            r#"{"ids":[],"attribute":"city","value":"x"}"#,
            r#"{"ids":["This list may not be empty."]}"#,
        ),
        (
            STANDARD,
            r#"{"ids":[1],"attributes":"city","value":"x"}"#,
            r#"{"attribute":["This field is required."]}"#,
        ),
        (STANDARD, r#"{"ids":[1],"attribute":"city"}"#, r#"{"value":["This field is required."]}"#),
        (
            STANDARD,
            r#"{"ids":[1],"attribute":"x","value":"x"}"#,
            r#"{"attribute":["\"x\" is not a valid choice."]}"#,
        ),
        (
            CUSTOM,
            r#"{"ids":[1],"attribute":"city","value":"x"}"#,
            r#"{"attribute":["\"city\" is a standard attribute."]}"#,
        ),
        (
            CUSTOM,
            r#"{"ids":[1],"attribute":"","value":"x"}"#,
            r#"{"attribute":["This field may not be blank."]}"#,
        ),
        (
            STANDARD,
            r#"{"ids":[1],"attribute":"gender","value":"4"}"#,
            r#"{"value":["\"4\" is not a valid choice."]}"#,
        ),
        (
            STANDARD,
            r#"{"ids":[1],"attribute":"score","value":"x"}"#,
            r#"{"value":["A valid integer is required."]}"#,
        ),
        (STANDARD, r#"{"ids":[1],"attribute":"city","value":7}"#, r#"{"value":["Not a valid string."]}"#),
        (
            STANDARD,
            r#"{"ids":[0],"attribute":"city","value":"x"}"#,
            r#"{"ids":["Invalid pk \"0\" - object does not exist."]}"#,
        ),
        (
            STANDARD_BY_ID,
            r#"{"ids":[1],"attribute":"city","value":"x"}"#,
            r#"{"ids":["Not a valid string."]}"#,
        ),
    ] {
        reply(it.client.put(operation, body)).await.unwrap().assert(400, expected);
    }
    assert!(
        reply(it.client.put(STANDARD, "{"))
            .await
            .unwrap()
            .body
            .starts_with(r#"{"detail":"JSON parse error - "#)
    );
    assert!(it.facts().is_empty());
    assert_eq!(it.sandbox.counters().refused, 12);
}

#[tokio::test]
async fn a_body_that_is_not_called_json_is_refused() {
    let it = Rehearsal::new(Options::default()).await;
    let body = r#"{"ids":[1],"attribute":"city","value":"x"}"#;
    let request =
        it.client.http.put(format!("{}{STANDARD}", it.sandbox.base_url())).header("authorization", "Token x");
    let reply = reply(request.header("content-type", "text/plain").body(body)).await.unwrap();
    reply.assert(415, r#"{"detail":"Unsupported media type \"text/plain\" in request."}"#);
}

#[tokio::test]
async fn limits_of_ids_and_bytes_are_exact() {
    let it = Rehearsal::new(Options { max_ids: Some(3), max_body: Some(60), ..Options::default() }).await;
    it.client.update(STANDARD, json!([1, 2, 3]), "city", json!("x")).await.assert(200, OK);
    let long = it.client.update(STANDARD, json!([1, 2, 3, 4]), "city", json!("x")).await;
    long.assert(400, r#"{"ids":["Ensure this field has no more than 3 elements."]}"#);
    let body = |length: usize| {
        let body = r#"{"ids":[4],"attribute":"city","value":"x"}"#;
        body.to_owned() + &" ".repeat(length - body.len())
    };
    reply(it.client.put(STANDARD, body(60))).await.unwrap().assert(200, OK);
    let large = reply(it.client.put(STANDARD, body(61))).await.unwrap();
    assert_eq!((large.status, large.header("content-type")), (413, "text/html"));
    let huge = reply(it.client.put(STANDARD, body(3_000_000))).await.unwrap();
    assert_eq!(huge.status, 413, "the answer arrives although the body is far from wanted");
}
