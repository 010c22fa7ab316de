use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::deliver::{Delivered, SendErrorCause};

#[test]
fn the_header_with_the_key_is_made_of_bytes_that_are_overwritten_in_the_end() {
    let text = Zeroizing::new(b"Token secret".to_vec());
    let bytes = text.as_ptr();
    let value = sensitive(text).unwrap();
    // No copy: what is dropped with the last header is what overwrites itself.
    assert_eq!((value.as_bytes().as_ptr(), value.clone().as_bytes().as_ptr()), (bytes, bytes));
    assert_eq!(authorization(&SecretString::from("secret")).unwrap(), value);
    assert_eq!(format!("{value:?}"), "Sensitive");
}

#[test]
fn nothing_that_holds_the_key_shows_it() {
    let target = target("https://acme.user.com/api/public/");
    let key = target.token.expose_secret().to_owned();
    let shown = format!("{target:?} {:?}", http("https://acme.user.com/api/public/"));
    assert!(!shown.contains(&key), "{shown}");
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

fn id() -> RequestId {
    RequestId::new(&"run".into(), 1)
}

async fn ask(http: &Http) -> Result<Reply, SendError> {
    http.probe(id(), Operation::Standard).await
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
    assert_eq!(lost.cause, SendErrorCause::Other, "a new connection that breaks is another matter: {lost:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_reached_is_named_with_its_place() {
    let (listener, address) = listen().await;
    drop(listener);
    let lost = ask(&http(&format!("http://{address}/"))).await.unwrap_err();
    assert_eq!((lost.cause, lost.delivered, lost.heals()), (SendErrorCause::Refused, Delivered::No, true));
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
        assert_eq!((lost.cause, lost.heals(), lost.delivered), (SendErrorCause::Proxy, false, Delivered::No));
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
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    let address = answering([head.as_bytes(), &body].concat()).await;
    let reply = ask(&http(&format!("http://{address}/"))).await.unwrap();
    assert_eq!(reply.body, r#"{"status": "ok"}"#);
    let brotli = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n\xff\xfe".to_vec();
    let reply = ask(&http(&format!("http://{}/", answering(brotli).await))).await.unwrap();
    assert_eq!(reply.body, "the answer is compressed as `br`, which was not asked for");
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_asked_for() {
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        4\r\nabcd\r\n4\r\nefgh\r\n4\r\nijkl\r\n0\r\n\r\n";
    let address = answering(chunks.into()).await;
    for (most, read) in [(3, "abc"), (6, "abcdef"), (8, "abcdefgh"), (100, "abcdefghijkl")] {
        let http = http(&format!("http://{address}/"));
        let response = http.client.get(http.users.clone()).send().await.unwrap();
        assert_eq!(beginning(response, most).await.unwrap(), read, "{most}");
    }
}

#[test]
fn only_an_error_about_certificates_is_taken_for_a_machine_without_any() {
    let error = http("http://127.0.0.1/").client.get("no address").build().unwrap_err();
    assert!(!has_no_certificates(&error), "{error:?}");
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
    http.probe(id(), Operation::Custom).await.unwrap();
    let request = server.await.unwrap();
    assert!(request.starts_with("GET /api/users/mass_update_custom_attributes/ HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nx-request-id: run-1\r\n"), "{request}");
}
