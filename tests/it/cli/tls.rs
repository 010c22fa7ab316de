//! An account that is reached by TLS: its certificate, and the proxy on the way.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::{Ended, KEY, Workdir, ended, left_out};

const HOST: &str = "account.test";

/// A server for one host that says ok to everything, and remembers what it was asked.
struct Account {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Makes `ca.crt`, and a certificate of it for [`HOST`] and localhost. `None` if there is no openssl.
pub(super) fn with_certificates() -> Option<Workdir> {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let script = "set -e\n\
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority\n\
        openssl req -newkey rsa:2048 -nodes -keyout account.key -out account.csr -subj /CN=account.test\n\
        printf 'subjectAltName=DNS:account.test,DNS:localhost\\n' > account.ext\n\
        openssl x509 -req -in account.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile account.ext \
          -out account.crt\n";
    let made = Command::new("sh").args(["-c", script]).current_dir(workdir.path("")).output().unwrap();
    if !made.status.success() {
        left_out("there is no `openssl` on this machine, so no account is reached by TLS");
        return None;
    }
    Some(workdir)
}

/// With the certificate in this directory.
pub(super) fn server_config(
    workdir: &Workdir,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let certificates = CertificateDer::pem_file_iter(workdir.path("account.crt")).unwrap();
    let certificates = certificates.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(workdir.path("account.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    config.with_no_client_auth().with_single_cert(certificates, key).unwrap()
}

impl Account {
    fn new(workdir: &Workdir) -> Self {
        Self::speaking(workdir, rustls::ALL_VERSIONS)
    }

    fn speaking(workdir: &Workdir, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let config = Arc::new(server_config(workdir, versions));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let address = listen(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            serve(StreamOwned::new(connection, stream), &log)
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Does this with each connection, on a thread of its own.
pub(super) fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            // A client that goes away is none of the server's concern.
            thread::spawn(move || drop(serve(stream.unwrap())));
        }
    });
    address
}

/// The lines up to the empty one.
fn head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head.to_lowercase())
}

fn serve(stream: impl Read + Write, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let head = head(&mut reader)?;
        let length =
            head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
        reader.read_exact(&mut vec![0; length.unwrap_or(0)])?;
        log.lock().unwrap().push(head);
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"status\": \"ok\"}")?;
    }
}

/// A proxy that leads to this address, whatever it is asked for.
fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let address = listen(move |mut client| {
        let mut reader = BufReader::new(client.try_clone()?);
        log.lock().unwrap().push(head(&mut reader)?);
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let mut server = TcpStream::connect(to)?;
        let (mut answers, mut back) = (server.try_clone()?, client);
        thread::spawn(move || io::copy(&mut answers, &mut back));
        io::copy(&mut reader, &mut server).map(drop)
    });
    (address, asked)
}

/// `sync` to this host and port, with these variables. It waits for an outage for longer than the test does.
fn sync(workdir: &Workdir, host: &str, port: u16, variables: &[(&str, &str)]) -> Ended {
    let mut command = workdir.attrsync("sync users.csv --no-ledger --base-url");
    command.arg(format!("https://{host}:{port}/api/public/")).env("ATTRSYNC_TOKEN", KEY);
    command.envs(variables.iter().copied());
    ended(command)
}

#[test]
fn a_certificate_has_to_be_trusted_and_to_name_the_account() {
    let Some(workdir) = with_certificates() else { return };
    let account = Account::new(&workdir);
    let port = account.address.port();
    let run = sync(&workdir, "localhost", port, &[]).exits(4);
    run.says("the certificate of `localhost` is not trusted");
    let run = sync(&workdir, "127.0.0.1", port, &[("SSL_CERT_FILE", "ca.crt")]).exits(4);
    run.says("the certificate of `127.0.0.1` is for ");
    assert_eq!(account.requests(), [""; 0], "nobody got the key");

    sync(&workdir, "localhost", port, &[("SSL_CERT_FILE", "ca.crt")]).exits(0);
    // A directory of such files, by the names that OpenSSL gives them.
    fs::create_dir(workdir.path("trusted")).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-hash", "-noout", "-in", "ca.crt"]).current_dir(workdir.path(""));
    let name = format!("trusted/{}.0", String::from_utf8(openssl.output().unwrap().stdout).unwrap().trim());
    fs::copy(workdir.path("ca.crt"), workdir.path(name)).unwrap();
    sync(&workdir, "localhost", port, &[("SSL_CERT_DIR", "trusted")]).exits(0);
    let requests = account.requests();
    assert_eq!(requests.len(), 2);
    let key = format!("authorization: token {KEY}").to_lowercase();
    assert!(requests.iter().all(|request| request.contains(&key)), "{requests:?}");
}

#[test]
fn a_proxy_is_taken_from_the_environment() {
    let Some(workdir) = with_certificates() else { return };
    let account = Account::new(&workdir);
    let (address, asked) = proxy(account.address);
    let trusted = ("SSL_CERT_FILE", "ca.crt");
    let taken = |variables: &[(&str, &str)]| {
        let variables = [&[trusted], variables].concat();
        sync(&workdir, HOST, 443, &variables).exits(0);
        asked.lock().unwrap().pop().expect("the proxy was asked")
    };
    // Only the proxy knows the host.
    let (proxy, with_password) = (format!("http://{address}"), format!("http://ada:hunter2@{address}"));
    for name in ["HTTPS_PROXY", "ALL_PROXY"] {
        let request = taken(&[(name, &proxy)]);
        assert!(request.starts_with("connect account.test:443 "), "{request}");
        assert!(!request.contains(&KEY.to_lowercase()), "{request}");
    }
    let request = taken(&[("HTTPS_PROXY", &with_password), ("ALL_PROXY", "http://127.0.0.1:9")]);
    // `ada:hunter2` in base64, in lower case.
    assert!(request.contains("proxy-authorization: basic ywrhomh1bnrlcji="), "{request}");
    let requests = account.requests();
    assert!(
        requests.len() == 3 && requests.iter().all(|request| !request.contains("proxy-")),
        "{requests:?}"
    );

    let direct = [trusted, ("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "localhost")];
    sync(&workdir, "localhost", account.address.port(), &direct).exits(0);
    assert_eq!(account.requests().len(), 4);

    let refusing = listen(|mut client| {
        head(&mut BufReader::new(client.try_clone()?))?;
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    });
    let variables = [trusted, ("HTTPS_PROXY", &format!("http://{refusing}"))];
    sync(&workdir, HOST, 443, &variables)
        .exits(4)
        .says(&format!("the proxy `{refusing}` asks for a user name"));
}

#[test]
fn a_certificate_that_is_its_own_authority_is_called_self_signed() {
    let Some(workdir) = with_certificates() else { return };
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout account.key -out account.crt -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    assert!(
        Command::new("sh")
            .args(["-c", script])
            .current_dir(workdir.path(""))
            .output()
            .unwrap()
            .status
            .success()
    );
    let account = Account::new(&workdir);
    let run = sync(&workdir, "localhost", account.address.port(), &[("SSL_CERT_FILE", "ca.crt")]);
    assert_eq!((run.code, account.requests().len()), (4, 0), "{}", run.stderr);
    run.says("the certificate of `localhost` is not trusted (self-signed); if your network inspects TLS");
}

#[test]
fn a_sandbox_needs_no_certificates_and_an_account_asks_for_them() {
    let workdir = Workdir::with_rows(&["1,city,Oslo"]);
    let none = [("SSL_CERT_FILE", "/nowhere/ca.crt"), ("SSL_CERT_DIR", "/nowhere")];
    let mut rehearsal = workdir.attrsync("sync --sandbox users.csv");
    rehearsal.envs(none).env("HTTPS_PROXY", "http://127.0.0.1:9");
    ended(rehearsal).exits(0);
    let run = sync(&workdir, "localhost", 9, &none);
    assert_ne!(run.code, 0);
    run.says("CA certificates").says("SSL_CERT_FILE");
}

#[test]
fn an_account_may_speak_either_version_of_tls() {
    let Some(workdir) = with_certificates() else { return };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let account = Account::speaking(&workdir, &[version]);
        let run = sync(&workdir, "localhost", account.address.port(), &[("SSL_CERT_FILE", "ca.crt")]);
        assert_eq!((run.code, account.requests().len()), (0, 1), "{version:?}: {}", run.stderr);
    }
}
