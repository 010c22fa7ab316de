//! The real transport: reqwest, told to do nothing by itself.

use std::error::Error as _;
use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};

use super::transport::{Lost, LostCause, Reach, Reply, Request, Transport};
use crate::clock;
use crate::input::{IdType, Operation};

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A pause as long as this one is for ever.
const LONGEST_PAUSE: Duration = Duration::from_hours(10_000);

/// The account to send to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address below which the operations lie, with its trailing slash.
    pub base_url: Url,
    /// The API key.
    pub token: SecretString,
    /// What names a user there.
    pub id_type: IdType,
}

/// Sends requests over HTTP. One for a run: it holds the connections.
#[derive(Debug)]
pub struct Http {
    client: Client,
    /// The key, to be taken out of whatever the server says.
    token: SecretString,
    /// The address of all users, which ends in a slash.
    users: Url,
    standard: Url,
    custom: Url,
}

/// The transport can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The key has characters that no header may have.
    #[error("the API key holds characters that can't be sent")]
    Token,
    /// The address can't be extended.
    #[error("`{0}` is no address that operations can lie below")]
    Address(Url),
    /// The TLS library or the system's certificates fail.
    #[error("can't set up TLS")]
    Tls(#[source] reqwest::Error),
}

impl Http {
    /// A transport to this account, with as many connections as requests in flight.
    ///
    /// # Errors
    /// When the key or the address can't be used, or TLS can't be set up.
    pub fn new(target: &Target, timeout: Duration, concurrency: NonZeroUsize) -> Result<Self, HttpError> {
        let mut headers = HeaderMap::new();
        let mut token = HeaderValue::from_str(&format!("Token {}", target.token.expose_secret()))
            .map_err(|_error| HttpError::Token)?;
        token.set_sensitive(true);
        headers.insert(AUTHORIZATION, token);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*; version=2"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Asking twice is fine: a second provider is refused, and the first one serves.
        drop(rustls::crypto::ring::default_provider().install_default());
        // What is on this machine is reached directly. A proxy would be given the key in clear, as there is no TLS.
        let direct = target.base_url.scheme() == "http";
        let builder = if direct { Client::builder().no_proxy() } else { Client::builder() };
        let client = builder
            .default_headers(headers)
            .user_agent(concat!("attrsync/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .timeout(timeout)
            .pool_max_idle_per_host(concurrency.get())
            .build()
            .map_err(HttpError::Tls)?;
        let below = |address: &Url, path: &str| {
            address.join(path).map_err(|_error| HttpError::Address(target.base_url.clone()))
        };
        let users = match target.id_type {
            IdType::Id => below(&target.base_url, "users/")?,
            IdType::CustomId => below(&target.base_url, "users-by-id/")?,
        };
        Ok(Self {
            client,
            token: target.token.clone(),
            standard: below(&users, "mass_update_standard_attributes/")?,
            custom: below(&users, "mass_update_custom_attributes/")?,
            users,
        })
    }

    fn address(&self, operation: Operation) -> Url {
        match operation {
            Operation::Standard => self.standard.clone(),
            Operation::Custom => self.custom.clone(),
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Reply, Lost> {
        let response = request.send().await.map_err(lost)?;
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let status = response.status().as_u16();
        let retry_after =
            header(RETRY_AFTER).and_then(|after| retry_after(after, header(DATE), clock::system()));
        let location =
            header(LOCATION).map(|location| location.replace(self.token.expose_secret(), REDACTED));
        let body = without(beginning(response).await.map_err(lost)?, self.token.expose_secret());
        Ok(Reply { status, retry_after, location, body, connecting: Duration::ZERO })
    }
}

impl Transport for Http {
    async fn send(&self, request: Request) -> Result<Reply, Lost> {
        self.ask(self.client.put(self.address(request.operation)).body(request.body)).await
    }

    async fn fetch(&self, user: &str) -> Result<Reply, Lost> {
        let mut url = self.users.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // What the id holds is escaped; the operation's path ends in a slash.
            path.pop_if_empty().push(user).push("");
        }
        self.ask(self.client.get(url)).await
    }

    async fn probe(&self, operation: Operation) -> Result<Reply, Lost> {
        self.ask(self.client.get(self.address(operation))).await
    }
}

/// The body, up to the bound.
async fn beginning(mut response: Response) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = Reply::MOST_BODY - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() == Reply::MOST_BODY {
            break;
        }
    }
    Ok(body.freeze())
}

/// What stands for the key where a server repeats it.
const REDACTED: &str = "[key]";

/// The body without the key: what servers say goes into reports and logs. Nor does it get there by JSON's escapes.
fn without(body: Bytes, token: &str) -> Bytes {
    let has_key = |body: &[u8]| memchr::memmem::find(body, token.as_bytes()).is_some();
    if has_key(&body) {
        return String::from_utf8_lossy(&body).replace(token, REDACTED).into();
    }
    if memchr::memmem::find(&body, b"\\u").is_some()
        && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body)
    {
        let plain = json.to_string();
        if has_key(plain.as_bytes()) {
            return plain.replace(token, REDACTED).into();
        }
    }
    body
}

/// How long the server asks to be left alone: seconds, or until a date. A date is taken against the server's own clock
/// where it tells it, since ours may be wrong.
fn retry_after(after: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let first = after.split(',').next().unwrap_or_default().trim();
    if first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && let Ok(seconds) = first.parse::<f64>()
    {
        // No whole number is needed, nor one of any size.
        return Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE));
    }
    let until = httpdate::parse_http_date(after.trim()).ok()?;
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or(Duration::ZERO).min(LONGEST_PAUSE))
}

fn lost(error: reqwest::Error) -> Lost {
    let reach = if error.is_connect() { Reach::Nowhere } else { Reach::Perhaps };
    let cause = if error.is_timeout() { LostCause::Timeout } else { LostCause::Other };
    let what = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        // The innermost cause says it best: `connection refused`, `connection reset by peer`.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        if error.source().is_none() { error.to_string() } else { format!("{error}: {cause}") }
    };
    Lost { reach, cause, error: what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_comes_as_seconds_or_as_any_of_three_dates() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        let seconds = |after| retry_after(after, None, now).map(|d| d.as_secs());
        assert_eq!(seconds("3"), Some(3));
        assert_eq!(seconds(" 3 "), Some(3));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(37));
        assert_eq!(seconds("Sun Nov  6 08:49:37 1994"), Some(37));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:48:00 GMT"), Some(0));
        assert_eq!(seconds("1.2"), Some(2));
        assert_eq!(seconds("2, 3"), Some(2));
        assert_eq!(seconds("99999999999999999999"), Some(LONGEST_PAUSE.as_secs()));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("-1"), None);
    }

    #[test]
    fn a_key_that_the_server_repeats_is_taken_out() {
        let said = without(Bytes::from_static(b"bad Token abc, abc!"), "abc");
        assert_eq!(said, "bad Token [key], [key]!");
        assert_eq!(without(Bytes::from_static(b"\xffbad"), "abc"), Bytes::from_static(b"\xffbad"));
        let escaped = Bytes::from_static(br#"{"detail": "bad \u0061\u0062c"}"#);
        assert_eq!(without(escaped, "abc"), r#"{"detail":"bad [key]"}"#);
    }

    #[test]
    fn a_date_is_taken_against_the_servers_clock() {
        let ours = httpdate::parse_http_date("Sun, 06 Nov 1994 05:00:00 GMT").unwrap();
        let after = retry_after("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:30 GMT"), ours);
        assert_eq!(after, Some(Duration::from_secs(7)));
    }
}
