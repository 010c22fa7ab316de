//! Any answer to a request for a page of users, as `attrsync pull` reads it: the page is taken as a whole or not at all, only
//! the query of the next page's address is kept, and no message repeats what stands in the page.
#![no_main]

mod choices;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attrsync::deliver::{
    AccountUser, AccountValue, Limiter, Options, Page, PageError, PageReader, Rate, Reply, Request,
    RequestId, SendError, Shutdown, Transport,
};
use attrsync::input::{Operation, STANDARD};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::Url;
use serde_json::Value;
use tokio::sync::watch;

use choices::Choices;

/// More characters than any message has that repeats nothing.
const LONGEST: usize = 150;

/// The list of another account than the one that the page names.
const LIST: &str = "http://acme.example/api/public/users/";

/// A server with one page.
struct Server {
    body: Bytes,
    /// The cursor that was asked for.
    asked: Mutex<Option<String>>,
}

impl Transport for Server {
    async fn send(&self, _id: RequestId, _request: Request) -> Result<Reply, SendError> {
        unreachable!("pages are read, and nothing else")
    }

    async fn fetch(&self, _id: RequestId, _user: &str) -> Result<Reply, SendError> {
        unreachable!("pages are read, and nothing else")
    }

    async fn probe(&self, _id: RequestId, _operation: Operation) -> Result<Reply, SendError> {
        unreachable!("pages are read, and nothing else")
    }

    async fn page(&self, _id: RequestId, cursor: Option<&str>) -> Result<Reply, SendError> {
        *self.asked.lock().expect("no other thread") = cursor.map(str::to_owned);
        Ok(Reply { status: 200, body: self.body.clone(), ..Reply::default() })
    }
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    let cursor = choices.among(&[None, Some("cursor=abc"), Some("")]);
    let around = choices.among(&[
        ("", ""),
        (r#"{"next":null,"results":[{"id":1,"#, "}]}"),
        (r#"{"results":[],"next":""#, "\"}"),
    ]);
    let body = [around.0.as_bytes(), choices.rest(), around.1.as_bytes()].concat();
    match read(&body, cursor) {
        Ok(page) => check_page(&page, &body, cursor),
        Err(PageError::Malformed(message)) => {
            assert!(message.chars().count() < LONGEST, "{message}");
            assert!(!message.chars().any(char::is_control), "{message:?}");
            if let Ok(json) = serde_json::from_slice::<Value>(&body) {
                assert!(!is_page(&json, cursor), "refused: {message}");
            }
        }
        Err(other) => panic!("the answer is no reason for {other:?}"),
    }
});

fn read(body: &[u8], cursor: Option<&str>) -> Result<Page, PageError> {
    let server = Arc::new(Server { body: body.to_owned().into(), asked: Mutex::default() });
    let rate = Rate { requests: NonZeroU32::MIN, window: Duration::from_secs(1) };
    // There is one attempt, so nothing waits.
    let options = Options { rate, max_attempts: NonZeroU32::MIN, ..Options::default() };
    let chance = StdRng::seed_from_u64(1);
    let mut reader = PageReader::new(Arc::clone(&server), &options, Limiter::new(rate), chance);
    let (_shutdown, mut shutdown_rx) = watch::channel(Shutdown::No);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime needs no more than memory");
    let page = runtime.block_on(reader.read(cursor, &mut shutdown_rx, &mut |_| {}));
    assert_eq!(server.asked.lock().expect("no other thread").as_deref(), cursor);
    assert_eq!(reader.requests().sent, 1);
    page
}

fn check_page(page: &Page, body: &[u8], cursor: Option<&str>) {
    page.users.iter().for_each(check_user);
    if let Some(next) = &page.next {
        assert!(!next.is_empty() && Some(next.as_str()) != cursor, "{next:?}");
        assert!(next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{next:?}");
        // Whatever it is, it changes nothing but the query.
        let mut list = Url::parse(LIST).expect("it is an address");
        list.set_query(Some(next));
        assert_eq!(list.query(), Some(next.as_str()));
        list.set_query(None);
        assert_eq!(list.as_str(), LIST);
    }
    // Broken escapes are mended, so that not every body that is read is JSON.
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        assert!(is_page(&json, cursor), "accepted: {json}");
        assert_eq!(page.count, json["count"].as_u64());
        assert_eq!(page.next, query(&json["next"]));
        let ids: Vec<Option<u64>> = page.users.iter().map(|user| Some(user.id)).collect();
        let results = json["results"].as_array().expect("it was checked");
        assert_eq!(ids, results.iter().map(|user| user["id"].as_u64()).collect::<Vec<_>>());
    }
}

fn check_user(user: &AccountUser) {
    let is_whole = |text: &str| !text.contains('\u{ffff}');
    assert!(user.custom_id.as_deref().is_none_or(|id| !id.is_empty() && is_whole(id)));
    for name in STANDARD {
        let AccountValue::Value(text) = user.value(name, Operation::Standard) else { continue };
        let text = text.trim();
        assert!(is_whole(text), "{name}: {text:?}");
        match name {
            _ if text.is_empty() => {}
            "gender" => assert!(["1", "2", "3"].contains(&text), "{text:?}"),
            "status" => assert!(["1", "2"].contains(&text), "{text:?}"),
            "notifications" | "unsubscribed" => assert!(["true", "false"].contains(&text), "{text:?}"),
            _ => {}
        }
    }
    for (name, value) in user.custom_values() {
        if let AccountValue::Value(text) = value {
            assert!(is_whole(&text), "{name}: {text:?}");
        }
        // The first one counts of several with one name.
        let again = user.value(name, Operation::Custom);
        assert!(user.custom_values().any(|(other, value)| other == name && value == again));
    }
}

/// What a page should be.
fn is_page(json: &Value, cursor: Option<&str>) -> bool {
    let is_user = |user: &Value| {
        let own = [&user["custom_id"], &user["user_id"]].into_iter().find(|id| !id.is_null());
        user["id"].is_u64() && own.is_none_or(|id| id.is_string() || id.is_number())
    };
    let next = query(&json["next"]);
    json.get("results").and_then(Value::as_array).is_some_and(|users| users.iter().all(is_user))
        && json.get("next").is_some_and(|address| address.is_null() || next.is_some())
        && (json["count"].is_null() || json["count"].is_u64())
        && (next.is_none() || next.as_deref() != cursor)
}

/// The query of the address of a list of users.
fn query(address: &Value) -> Option<String> {
    let address = Url::parse(LIST).expect("it is an address").join(address.as_str()?).ok()?;
    let path = address.path().trim_end_matches('/');
    let is_list = path.rsplit('/').next() == Some("users") && ["http", "https"].contains(&address.scheme());
    address.query().filter(|query| is_list && !query.is_empty()).map(str::to_owned)
}
