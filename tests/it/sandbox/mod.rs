//! The sandbox, over real sockets.

#![expect(clippy::unwrap_used, reason = "what the tests share may fail as they may")]

mod faults;
mod life;
mod limits;
mod listing;
mod operations;
mod refusals;

use std::collections::BTreeSet;
use std::time::Duration;

use attrsync::sandbox::{
    ErrorBody, Fault, FaultKind, Log, LoggedRequest, Moment, Options, Outage, OutageKind, Permission, Reject,
    Sandbox,
};
use reqwest::Method;
use serde_json::{Value, json};

const STANDARD: &str = "users/mass_update_standard_attributes/";
const CUSTOM: &str = "users/mass_update_custom_attributes/";
const STANDARD_BY_ID: &str = "users-by-id/mass_update_standard_attributes/";
const CUSTOM_BY_ID: &str = "users-by-id/mass_update_custom_attributes/";
const FOREVER: Duration = Duration::from_hours(1);

/// A sandbox and a client of it.
struct Rehearsal {
    sandbox: Sandbox,
    client: Client,
}

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    base_url: String,
}

/// An answer that has been read to its end.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Rehearsal {
    async fn new(options: Options) -> Self {
        let sandbox = Sandbox::start(Options { log: Log::Keep, ..options }).await.unwrap();
        let client = Client { http: http(), base_url: sandbox.base_url() };
        Self { sandbox, client }
    }

    /// What all users hold, without the header.
    fn facts(&self) -> Vec<String> {
        self.sandbox.state_csv().lines().skip(1).map(str::to_owned).collect()
    }

    fn statuses(&self) -> Vec<Option<u16>> {
        self.sandbox.log().iter().map(|arrival| arrival.status).collect()
    }
}

impl Client {
    /// The request in which nothing is wrong.
    fn put(&self, operation: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.http.put(format!("{}{operation}", self.base_url));
        request.header("authorization", "Token key").header("content-type", "application/json").body(body)
    }

    async fn update(&self, operation: &str, ids: Value, attribute: &str, value: Value) -> Reply {
        let body = json!({ "ids": ids, "attribute": attribute, "value": value }).to_string();
        reply(self.put(operation, body)).await.unwrap()
    }

    /// Sets the city of one user.
    async fn set(&self, id: u64) -> reqwest::Result<Reply> {
        reply(self.put(STANDARD, json!({ "ids": [id], "attribute": "city", "value": "Oslo" }).to_string()))
            .await
    }

    async fn user(&self, path: &str) -> Reply {
        let request = self.http.get(format!("{}{path}", self.base_url)).header("authorization", "Token key");
        reply(request).await.unwrap()
    }

    /// A page beside the API.
    async fn page(&self, path: &str) -> Reply {
        let url = reqwest::Url::parse(&self.base_url).unwrap().join(path).unwrap();
        reply(self.http.get(url)).await.unwrap()
    }
}

impl Reply {
    #[track_caller]
    fn assert(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body));
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn reply(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, body: response.text().await? })
}

fn http() -> reqwest::Client {
    // Fails where another test came first, which is just as well.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = reqwest::Client::builder().retry(reqwest::retry::never()).no_proxy();
    builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Ends when `ready` says so, which other tasks bring about.
async fn until(ready: impl Fn() -> bool) {
    while !ready() {
        tokio::task::yield_now().await;
    }
}

fn ids<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}

fn scripted(kind: FaultKind, moment: Moment) -> Options {
    Options { script: vec![Some(Fault { kind, moment })], ..Options::default() }
}

const OK: &str = r#"{"status": "ok"}"#;
