//! A server that speaks HTTP/2 and means harm: a run ends in its time, and nothing without end is read without end.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{ServerConnection, StreamOwned};

use super::tls::{listen, server_config, with_certificates};
use super::{KEY, ended};

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is read of a connection, and what the system holds for it, for the few requests of a run.
const MOST: u64 = 64 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

/// `:status: 400`, as it stands in the static table.
const STATUS_400: u8 = 0x80 + 12;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Four thousand times a header of four thousand bytes, of which one was sent.
fn unpacking() -> Vec<u8> {
    let mut block = vec![STATUS_400, 0x40, 1, b'x', 0x7f, 0x9d, 0x1e];
    block.extend([b'y'; 0x7f + 0x1d + (0x1e << 7)]);
    block.extend([0x80 + 62; 4000]);
    frame(HEADERS, END_HEADERS, 1, &block)
}

struct Attack {
    name: &'static str,
    /// What the server says once.
    first: Vec<u8>,
    /// What it says after that until nobody listens. Nothing: it waits.
    again: Vec<u8>,
    /// A client that takes it would hold more and more. What else has no end costs time alone.
    has_to_end: bool,
}

fn attacks() -> Vec<Attack> {
    let start = |flags| frame(HEADERS, flags, 1, &[STATUS_400]);
    let header = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let attack = |name, first, again, has_to_end| Attack { name, first, again, has_to_end };
    let growing = |name, first, again| attack(name, first, again, true);
    let endless = |name, first, again| attack(name, first, again, false);
    let once = |name, first| attack(name, first, Vec::new(), false);
    vec![
        growing("headers without end", start(0), frame(CONTINUATION, 0, 1, &header.repeat(100))),
        growing("empty parts of headers", start(0), frame(CONTINUATION, 0, 1, &[])),
        growing("a body without end", start(END_HEADERS), frame(DATA, 0, 1, &[b'z'; 16_000])),
        growing("window updates", Vec::new(), frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
        growing(
            "promises",
            start(END_HEADERS),
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, STATUS_400]),
        ),
        endless("empty parts of a body", start(END_HEADERS), frame(DATA, 0, 1, &[])),
        endless("settings", Vec::new(), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        endless("pings", Vec::new(), frame(PING, 0, 0, &[0; 8])),
        endless("resets", Vec::new(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 7])),
        once("headers that unpack to many", unpacking()),
        once("a farewell", frame(GOAWAY, 0, 0, &[&[0; 8][..], b"\x1b[2J::error::x"].concat())),
        once("a frame that is too long", frame(DATA, 0, 1, &[0; 20_000])),
        once("HTTP/1.1", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec()),
    ]
}

#[test]
fn no_frames_of_a_server_keep_a_run_or_its_memory() {
    let Some(workdir) = with_certificates() else { return };
    let mut config = server_config(&workdir, rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    for Attack { name, first, again, has_to_end } in attacks() {
        let (config, sent) = (Arc::clone(&config), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&sent);
        let address = listen(move |stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut preface = [0; PREFACE.len()];
            stream.read_exact(&mut preface)?;
            assert_eq!(preface, PREFACE);
            stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
            stream.write_all(&first)?;
            while !again.is_empty() {
                stream.write_all(&again)?;
                count.fetch_add(again.len() as u64, Ordering::Relaxed);
            }
            stream.flush()?;
            // Until the client goes.
            io::copy(&mut stream, &mut io::sink()).map(drop)
        });
        let mut command = workdir.attrsync("sync users.csv --no-ledger --timeout 2s --max-outage 100ms -v");
        command.arg(format!("--base-url=https://localhost:{}/api/public/", address.port()));
        let run = ended({
            command
                .env("ATTRSYNC_TOKEN", KEY)
                .env("SSL_CERT_FILE", "ca.crt")
                .env("ATTRSYNC_MAX_ATTEMPTS", "1");
            command
        });
        assert!([1, 4].contains(&run.code), "{name}: {}", run.stderr);
        assert!(!run.stderr.contains('\u{1b}') && !run.stderr.contains("\n::"), "{name}: {}", run.stderr);
        let sent = sent.load(Ordering::Relaxed);
        assert!(!has_to_end || sent < MOST, "{name}: {sent} bytes");
    }
}
