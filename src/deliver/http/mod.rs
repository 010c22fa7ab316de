//! The real transport: reqwest without retries, redirects or other decisions of its own.

mod body;
mod connect_timing;
mod retry_after;
mod send_error;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER,
};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use self::body::{REDACTED, decoded, without};
use self::connect_timing::{ConnectTiming, TimingLayer};
use self::retry_after::retry_after;
#[cfg(feature = "postgres")]
pub(crate) use self::send_error::certificate;
use self::send_error::{ConnectionUse, Destination, causes, send_error};
use super::transport::{Reply, Request, RequestId, SendError, Transport};
use crate::clock;
use crate::input::{IdType, Operation};

/// The header with a request's id. Servers and proxies log it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that was idle for this long is not used again. Many servers close theirs after 2 or 5 seconds, and a request
/// that is sent at that moment gets no answer.
const IDLE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The account to send to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address of the API, with its trailing slash.
    pub base_url: Url,
    /// The API key.
    pub token: SecretString,
    /// The type of the ids.
    pub id_type: IdType,
}

/// Sends requests over HTTP. It holds the connections, so a run has one.
#[derive(Debug)]
pub struct Http {
    client: Client,
    /// The key, which is removed from everything that the server sends.
    token: SecretString,
    /// The address of all users, which ends in a slash.
    users: Url,
    /// The address of the list of all users.
    list: Url,
    standard: Url,
    custom: Url,
    place: Destination,
    /// The nanoseconds that the quickest answer took.
    quickest: AtomicU64,
}

/// The transport can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The key has characters that are not allowed in a header.
    #[error("the API key holds characters that can't be sent")]
    Token,
    /// The address can't be extended.
    #[error("`{0}` is not an address that operations can be appended to")]
    Address(Url),
    /// The machine has no CA certificates, and without them no certificate can be checked.
    #[error(
        "no CA certificates were found on this machine: install the package `ca-certificates`, or set `SSL_CERT_FILE` or \
         `SSL_CERT_DIR`"
    )]
    NoCertificates,
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
        // Asking twice is fine: a second provider is refused, and the first one serves.
        drop(rustls::crypto::ring::default_provider().install_default());
        // What is on this machine is reached directly. A proxy would be given the key in clear, as there is no TLS.
        // Nor is there a certificate to check, so that it works on a machine that has none of its own.
        let direct = target.base_url.scheme() == "http";
        let builder = Client::builder();
        let builder = if direct { builder.no_proxy().tls_certs_only([]) } else { builder };
        let proxy = if direct { None } else { proxy(&target.base_url) };
        Self::with(builder, proxy, target, timeout, concurrency)
    }

    fn with(
        builder: ClientBuilder,
        proxy: Option<String>,
        target: &Target,
        timeout: Duration,
        concurrency: NonZeroUsize,
    ) -> Result<Self, HttpError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization(&target.token)?);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*; version=2"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let client = builder
            .default_headers(headers)
            .user_agent(concat!("attrsync/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .timeout(timeout)
            .pool_max_idle_per_host(concurrency.get())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .connector_layer(TimingLayer)
            .build()
            .map_err(|error| {
                if has_no_certificates(&error) { HttpError::NoCertificates } else { HttpError::Tls(error) }
            })?;
        let below = |address: &Url, path: &str| {
            address.join(path).map_err(|_error| HttpError::Address(target.base_url.clone()))
        };
        let list = below(&target.base_url, "users/")?;
        let users = match target.id_type {
            IdType::Id => list.clone(),
            IdType::CustomId => below(&target.base_url, "users-by-id/")?,
        };
        Ok(Self {
            client,
            token: target.token.clone(),
            standard: below(&users, "mass_update_standard_attributes/")?,
            custom: below(&users, "mass_update_custom_attributes/")?,
            users,
            list,
            place: place(&target.base_url, proxy),
            quickest: AtomicU64::new(u64::MAX),
        })
    }

    fn address(&self, operation: Operation) -> Url {
        match operation {
            Operation::Standard => self.standard.clone(),
            Operation::Custom => self.custom.clone(),
        }
    }

    async fn ask(&self, id: &RequestId, request: RequestBuilder) -> Result<Reply, SendError> {
        self.ask_for(id, request, Reply::MOST_BODY).await
    }

    /// Sends a request, and reads this much of the answer's body.
    async fn ask_for(
        &self,
        id: &RequestId,
        request: RequestBuilder,
        most_body: usize,
    ) -> Result<Reply, SendError> {
        let request = request.header(REQUEST_ID, id.to_string());
        let start = clock::monotonic_now();
        let connecting = Arc::new(ConnectTiming::default());
        let response = connecting.watch(request.send()).await.map_err(|error| {
            let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            // A server that has had the time to process it may have done so.
            let idle = connecting.reused() && took <= self.quickest.load(Ordering::Relaxed);
            send_error(&error, &self.place, if idle { ConnectionUse::Idle } else { ConnectionUse::Other })
        })?;
        let answered = clock::monotonic_now();
        let took = u64::try_from(answered.duration_since(start).as_nanos()).unwrap_or(u64::MAX);
        self.quickest.fetch_min(took, Ordering::Relaxed);
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let status = response.status().as_u16();
        let retry_after =
            header(RETRY_AFTER).and_then(|after| retry_after(after, header(DATE), clock::system_time()));
        let location = header(LOCATION).map(|location| {
            let whole = response.url().join(location).map_or_else(|_error| location.to_owned(), String::from);
            whole.replace(self.token.expose_secret(), REDACTED)
        });
        let encoding = header(CONTENT_ENCODING).map(str::to_owned);
        let body = beginning(response, most_body)
            .await
            .map_err(|error| send_error(&error, &self.place, ConnectionUse::Other))?;
        let body = without(decoded(body, encoding.as_deref(), most_body), self.token.expose_secret());
        Ok(Reply { status, retry_after, location, body, connecting: connecting.waited(start, answered) })
    }
}

/// The header that holds the key. The client copies it for each request without copying its bytes, which are overwritten when
/// the last copy is dropped.
fn authorization(token: &SecretString) -> Result<HeaderValue, HttpError> {
    const SCHEME: &[u8] = b"Token ";
    let token = token.expose_secret().as_bytes();
    // With room for all of it, as a vector that grows leaves a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
    text.extend_from_slice(SCHEME);
    text.extend_from_slice(token);
    sensitive(text)
}

/// A header that is made of these very bytes.
fn sensitive(text: Zeroizing<Vec<u8>>) -> Result<HeaderValue, HttpError> {
    let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
    let mut value = value.map_err(|_error| HttpError::Token)?;
    // Keeps it out of debug output, and out of what HTTP/2 remembers of headers.
    value.set_sensitive(true);
    Ok(value)
}

/// The proxy that reqwest takes for this address, by the environment or the system's settings.
fn proxy(address: &Url) -> Option<String> {
    let proxy = Matcher::from_system().intercept(&address.as_str().parse().ok()?)?;
    proxy.uri().authority().map(ToString::to_string)
}

fn place(address: &Url, proxy: Option<String>) -> Destination {
    let host = address.host_str().unwrap_or_default().to_owned();
    let port = address.port_or_known_default().unwrap_or_default();
    Destination { address: format!("{host}:{port}"), host, proxy }
}

fn has_no_certificates(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.to_string().contains("No CA certificates"))
}

impl Transport for Http {
    async fn send(&self, id: RequestId, request: Request) -> Result<Reply, SendError> {
        self.ask(&id, self.client.put(self.address(request.operation)).body(request.body)).await
    }

    async fn fetch(&self, id: RequestId, user: &str) -> Result<Reply, SendError> {
        let mut url = self.users.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // What the id holds is escaped; the operation's path ends in a slash.
            path.pop_if_empty().push(user).push("");
        }
        self.ask(&id, self.client.get(url)).await
    }

    async fn probe(&self, id: RequestId, operation: Operation) -> Result<Reply, SendError> {
        self.ask(&id, self.client.get(self.address(operation))).await
    }

    async fn page(&self, id: RequestId, cursor: Option<&str>) -> Result<Reply, SendError> {
        let mut url = self.list.clone();
        url.set_query(cursor);
        self.ask_for(&id, self.client.get(url), Reply::MOST_PAGE).await
    }
}

/// The body, up to this many bytes.
async fn beginning(mut response: Response, most: usize) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - body.len();
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() == most {
            break;
        }
    }
    Ok(body.freeze())
}
