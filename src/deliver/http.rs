//! The real transport: reqwest without retries, redirects or other decisions of its own.

use std::io::Read as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};

use super::connect_timing::{ConnectTiming, TimingLayer};
use super::send_error::{ConnectionUse, Destination, causes, send_error};
use super::transport::{Reply, Request, SendError, Transport};
use crate::clock;
use crate::input::{IdType, Operation};

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that was idle for this long is not used again. Many servers close theirs after 2 or 5 seconds, and a request
/// that is sent at that moment gets no answer.
const IDLE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The longest pause, more than a year. It keeps a date in the far future from overflowing.
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
    place: Destination,
    /// The nanoseconds that the quickest answer took.
    quickest: AtomicU64,
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
        let mut token = HeaderValue::from_str(&format!("Token {}", target.token.expose_secret()))
            .map_err(|_error| HttpError::Token)?;
        token.set_sensitive(true);
        headers.insert(AUTHORIZATION, token);
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

    async fn ask(&self, request: RequestBuilder) -> Result<Reply, SendError> {
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
        let body = beginning(response)
            .await
            .map_err(|error| send_error(&error, &self.place, ConnectionUse::Other))?;
        let body = without(decoded(body, encoding.as_deref()), self.token.expose_secret());
        Ok(Reply { status, retry_after, location, body, connecting: connecting.waited(start, answered) })
    }
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

/// The body as it was before it was compressed: some servers do so unasked. Where it can't be decoded, the body says so.
fn decoded(body: Bytes, encoding: Option<&str>) -> Bytes {
    if body.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let most = u64::try_from(Reply::MOST_BODY).unwrap_or(u64::MAX);
        // What comes before an error, as where only the beginning was read, is worth having.
        drop(flate2::read::MultiGzDecoder::new(&*body).take(most).read_to_end(&mut plain));
        return plain.into();
    }
    match encoding.map(str::trim).filter(|name| !["", "identity", "gzip", "x-gzip"].contains(name)) {
        Some(name) if !body.is_empty() => {
            format!("the answer is compressed as `{name}`, which was not asked for").into()
        }
        _ => body,
    }
}

impl Transport for Http {
    async fn send(&self, request: Request) -> Result<Reply, SendError> {
        self.ask(self.client.put(self.address(request.operation)).body(request.body)).await
    }

    async fn fetch(&self, user: &str) -> Result<Reply, SendError> {
        let mut url = self.users.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // What the id holds is escaped; the operation's path ends in a slash.
            path.pop_if_empty().push(user).push("");
        }
        self.ask(self.client.get(url)).await
    }

    async fn probe(&self, operation: Operation) -> Result<Reply, SendError> {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::deliver::{Delivered, SendErrorCause};

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

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    fn target(base_url: &str) -> Target {
        Target { base_url: base_url.parse().unwrap(), token: "key".into(), id_type: IdType::Id }
    }

    fn http(base_url: &str) -> Http {
        Http::new(&target(base_url), Duration::from_secs(10), NonZeroUsize::MIN).unwrap()
    }

    /// A transport that trusts no certificate, so that none has to be on the machine.
    fn https(base_url: &str, proxy: Option<&str>) -> Http {
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = Client::builder().no_proxy().tls_certs_only([]);
        let builder = match proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::https(format!("http://{proxy}")).unwrap()),
            None => builder,
        };
        let proxy = proxy.map(str::to_owned);
        Http::with(builder, proxy, &target(base_url), Duration::from_secs(10), NonZeroUsize::MIN).unwrap()
    }

    async fn ask(http: &Http) -> Result<Reply, SendError> {
        http.probe(Operation::Standard).await
    }

    /// Reads a request without a body, and answers; `None`: nothing came.
    async fn serve(stream: &mut TcpStream, answer: &[u8]) -> Option<String> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.ok()?;
            request.push(byte);
        }
        stream.write_all(answer).await.ok()?;
        Some(String::from_utf8(request).unwrap())
    }

    async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    /// A server that gives each connection one answer and closes it.
    async fn answering(answer: Vec<u8>) -> String {
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                serve(&mut stream, &answer).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_request_on_an_idle_connection_that_the_server_closes_is_known_as_such() {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The answer takes a moment, so that what breaks at once is known to be quicker than any answer.
            let mut first = [0; 4096];
            let read = stream.read(&mut first).await.unwrap();
            assert!(read > 0);
            tokio::time::sleep(Duration::from_millis(200)).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            // The next one comes on the same connection, which closes without an answer.
            assert!(stream.read(&mut first).await.unwrap() > 0);
            drop(stream);
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut first).await.unwrap() > 0);
            drop(stream);
        });
        let http = http(&format!("http://{address}/"));
        let reply = ask(&http).await.unwrap();
        assert_eq!(reply.status, 200);
        assert!(reply.connecting > Duration::ZERO, "it opened the connection");
        let lost = ask(&http).await.unwrap_err();
        assert_eq!((lost.cause, lost.heals()), (SendErrorCause::IdleConnection, true), "{lost:?}");
        let lost = ask(&http).await.unwrap_err();
        assert_eq!(
            lost.cause,
            SendErrorCause::Other,
            "a new connection that breaks is another matter: {lost:?}"
        );
        server.await.unwrap();
    }

    #[tokio::test]
    async fn what_can_not_be_reached_is_named_with_its_place() {
        let (listener, address) = listen().await;
        drop(listener);
        let lost = ask(&http(&format!("http://{address}/"))).await.unwrap_err();
        assert_eq!(
            (lost.cause, lost.delivered, lost.heals()),
            (SendErrorCause::Refused, Delivered::No, true)
        );
        assert_eq!(lost.error, format!("`{address}` refused the connection"));
        let lost = ask(&https("https://acme.invalid/", None)).await.unwrap_err();
        assert_eq!((lost.cause, lost.heals()), (SendErrorCause::Lookup, true));
        assert_eq!(lost.error, "the name `acme.invalid` was not found");
    }

    #[tokio::test]
    async fn https_to_a_port_without_tls_is_a_matter_of_the_protocol() {
        let (listener, plain) = listen().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut hello = [0; 64];
                drop(stream.read(&mut hello).await);
                drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            }
        });
        let lost = ask(&https(&format!("https://{plain}/"), None)).await.unwrap_err();
        assert_eq!((lost.cause, lost.heals()), (SendErrorCause::Protocol, false), "{lost:?}");
        assert_eq!(lost.error, format!("`{plain}` doesn't speak TLS: `https` needs another port there"));
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named() {
        for (status, words) in [
            (407, "asks for a user name and a password, or refuses those it got (407)"),
            (403, "refuses to connect to `acme.invalid:443`"),
            (502, "refuses to connect to `acme.invalid:443`"),
            (503, "refuses to connect to `acme.invalid:443`"),
        ] {
            let proxy =
                answering(format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n").into_bytes()).await;
            let lost = ask(&https("https://acme.invalid/", Some(&proxy))).await.unwrap_err();
            assert_eq!(
                (lost.cause, lost.heals(), lost.delivered),
                (SendErrorCause::Proxy, false, Delivered::No)
            );
            assert_eq!(lost.error, format!("the proxy `{proxy}` {words}"));
        }
        let (listener, proxy) = listen().await;
        drop(listener);
        let lost = ask(&https("https://acme.invalid/", Some(&proxy))).await.unwrap_err();
        assert_eq!((lost.cause, lost.heals()), (SendErrorCause::Refused, true));
        assert_eq!(lost.error, format!("the proxy `{proxy}` refused the connection"));
    }

    #[tokio::test]
    async fn an_answer_that_is_compressed_unasked_is_understood_or_named() {
        let mut body = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut body, br#"{"status": "ok"}"#).unwrap();
        let body = body.finish().unwrap();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
        let address = answering([head.as_bytes(), &body].concat()).await;
        let reply = ask(&http(&format!("http://{address}/"))).await.unwrap();
        assert_eq!(reply.body, r#"{"status": "ok"}"#);
        let brotli = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n\xff\xfe".to_vec();
        let reply = ask(&http(&format!("http://{}/", answering(brotli).await))).await.unwrap();
        assert_eq!(reply.body, "the answer is compressed as `br`, which was not asked for");
    }

    #[tokio::test]
    async fn a_redirect_is_given_as_a_whole_address() {
        let moved = b"HTTP/1.1 301 Moved\r\nlocation: /elsewhere/\r\ncontent-length: 0\r\n\r\n".to_vec();
        let address = answering(moved).await;
        let reply = ask(&http(&format!("http://{address}/api/"))).await.unwrap();
        assert_eq!(reply.location, Some(format!("http://{address}/elsewhere/")));
    }

    #[tokio::test]
    async fn an_operation_is_probed_at_its_own_address_without_a_change() {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            serve(&mut stream, OK.as_bytes()).await.unwrap()
        });
        let http = http(&format!("http://{address}/api/"));
        http.probe(Operation::Custom).await.unwrap();
        let request = server.await.unwrap();
        assert!(
            request.starts_with("GET /api/users/mass_update_custom_attributes/ HTTP/1.1\r\n"),
            "{request}"
        );
    }
}
