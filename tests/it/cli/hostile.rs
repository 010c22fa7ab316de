//! A server that means harm: what it answers steers no terminal, log, page, workflow or spreadsheet, and what it sends without
//! end is not read without end.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use attrsync::report::is_invisible;
use serde_json::json;

use super::{Ended, KEY, Workdir, ended, to};

/// Clears the screen, makes a link, writes to the clipboard, rings, goes back, turns the direction, is a command of GitHub's
/// runner, a part of a page, and a command of a shell.
const ATTACK: &str = "\r\n::error::INJECTED%0A::set-output name=x::y\n##[error]INJECTED \u{1b}[2J\u{1b}]8;;http://x\u{7}a\
                      \u{1b}]52;c;eA==\u{7}\u{9b}2J\u{9d}52;c;x\u{9c}\u{8}\u{7f}\u{202e}gnp\u{2066}\u{200b}<script>alert(1)\
                      </script>\"'`$(touch INJECTED)`|,";

/// The address of a server that reads each request, and answers with what this writes.
fn serve(answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, mut stream) = (Arc::clone(&answer), stream.unwrap());
            // A connection that the client gives up ends its thread.
            thread::spawn(move || while read_request(&stream).is_ok_and(|()| answer(&mut stream).is_ok()) {});
        }
    });
    format!("http://{address}/api/public/")
}

fn read_request(stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(found) = line.strip_prefix("content-length: ") {
            length = found.parse().unwrap();
        }
        if line.is_empty() {
            return io::copy(&mut reader.take(length), &mut io::sink()).map(drop);
        }
    }
}

/// An answer with this status, headers and body.
fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A server with the same answer to all.
fn answering(bytes: Vec<u8>) -> String {
    serve(move |stream| stream.write_all(&bytes))
}

#[track_caller]
fn check_text(what: &str, text: &str) {
    let hidden = text.chars().find(|&c| is_invisible(c) && c != '\n');
    assert_eq!(hidden, None, "{what}: {}", text.escape_debug());
    assert!(!text.contains("<script"), "{what}: {text}");
}

/// Standard error, which GitHub's runner reads for commands.
#[track_caller]
fn check_stderr(what: &str, stderr: &str) {
    let hidden = stderr.chars().find(|&c| is_invisible(c) && c != '\n');
    assert_eq!(hidden, None, "{what}: {}", stderr.escape_debug());
    assert!(!stderr.contains("##["), "{what}: {stderr}");
    let commands = stderr.lines().map(str::trim_start).filter(|line| line.starts_with("::"));
    for command in commands {
        let is_ours = ["::error title=attrsync%3A ", "::warning title=attrsync%3A "];
        assert!(is_ours.iter().any(|start| command.starts_with(start)), "{what}: {command}");
    }
}

/// A run with all reports, and with GitHub's files.
fn run(base_url: &str, workdir: &Workdir, arguments: &str) -> Ended {
    let reports = "--summary s.json --report r.html --metrics m.prom";
    let mut command = to(base_url, workdir, &format!("users.csv {reports} --max-outage 100ms {arguments}"));
    command.env_remove("ATTRSYNC_NO_LEDGER").env("ATTRSYNC_MAX_ATTEMPTS", "1");
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "step.md").env("GITHUB_OUTPUT", "out");
    ended(command)
}

#[test]
fn answers_steer_nothing_that_shows_them() {
    let detail = json!({ "detail": ATTACK }).to_string();
    let nested = json!({ ATTACK: [ATTACK], "x": { ATTACK: [{ "code": ATTACK }] } }).to_string();
    let title = format!("<html><head><title>{ATTACK}</title></head></html>");
    let header = ATTACK.replace(['\r', '\n'], " ");
    let location = |to: &str| format!("location: {to}\r\n");
    for (name, bytes) in [
        ("400", answer(400, "", detail.as_bytes())),
        ("400, names", answer(400, "", nested.as_bytes())),
        ("401", answer(401, "", detail.as_bytes())),
        ("403", answer(403, "", title.as_bytes())),
        ("500", answer(500, "", title.as_bytes())),
        ("502, plain", answer(502, "", ATTACK.as_bytes())),
        ("503", answer(503, "retry-after: 9%0A::error::x\r\nserver: ##[error]x\r\n", ATTACK.as_bytes())),
        ("302", answer(302, &location("http://x/%1b[2J##[error]%0A::error::<script>"), b"")),
        ("302, bytes", answer(302, &location(&format!("http://x/{header}")), b"")),
        ("200, no JSON", answer(200, &format!("content-type: {header}\r\n"), ATTACK.as_bytes())),
        ("400, reason", b"HTTP/1.1 400 \x1b[2J\x9b\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("no HTTP", ATTACK.as_bytes().to_vec()),
    ] {
        let base_url = answering(bytes);
        for format in ["text", "json"] {
            let workdir = Workdir::with_cities(2);
            let run = run(&base_url, &workdir, &format!("-vv --log-format {format}"));
            assert!([1, 4].contains(&run.code), "{name}: {}", run.stderr);
            let name = format!("{name} {format}");
            check_stderr(&name, &run.stderr);
            for file in ["r.html", "step.md", "out", "m.prom"] {
                check_text(&format!("{name} {file}"), &workdir.read(file));
            }
            let summary: serde_json::Value = serde_json::from_str(&workdir.read("s.json")).unwrap();
            assert!(summary["exit_code"].is_u64());
            for lost in workdir.failures() {
                let hidden = lost.error.chars().find(|&c| is_invisible(c));
                assert_eq!(hidden, None, "{name}: {}", lost.error.escape_debug());
            }
            assert!(workdir.read("m.prom").lines().all(|line| line.starts_with(['#', 'a'])), "{name}");
            assert!(workdir.read("out").lines().all(|line| line.contains('=')), "{name}");
            for screen in ["history", "history show 1", "history show 1 --format json"] {
                let screen = workdir.run(screen).exits(0);
                check_stderr(&name, &screen.stdout);
            }
        }
    }
}

#[test]
fn what_an_account_holds_steers_nothing_that_shows_it() {
    let results = json!([{
        "id": 1, "custom_id": ATTACK, "city": ATTACK, "country": ATTACK, "first_name": ATTACK, ATTACK: ATTACK,
        "attributes": [{ "name": ATTACK, "name_std": ATTACK, "value": ATTACK }],
    }]);
    let page = json!({ "count": 1, "next": null, "previous": null, "results": results }).to_string();
    let base_url = answering(answer(200, "", page.as_bytes()));
    let workdir = Workdir::with_rows(&["1,city,Oslo", "1,first_name,Ann", "1,country,Norway"]);
    for arguments in [
        "pull -vv",
        "pull -vv --log-format json",
        "plan users.csv --only-changed",
        "plan users.csv --only-changed --format json",
        "history user 1",
        "history user 1 --format json",
    ] {
        let mut command = workdir.attrsync(arguments);
        command.env("ATTRSYNC_BASE_URL", &base_url).env("ATTRSYNC_TOKEN", KEY);
        let run = ended(command).exits(0);
        check_stderr(arguments, &run.stderr);
        let hidden = run.stdout.chars().find(|&c| is_invisible(c) && c != '\n');
        assert_eq!(hidden, None, "{arguments}: {}", run.stdout.escape_debug());
    }
}

#[test]
fn names_of_files_are_no_commands_of_a_workflow() {
    let workdir = Workdir::new();
    let name = "x\n::error::INJECTED\n##[error]INJECTED.csv";
    workdir.file(name, "user_id,attribute,value\n1,gender,##[error]INJECTED\n2,city,Oslo\n");
    for name in [name, "absent\n::stop-commands::x"] {
        for arguments in ["sync --sandbox", "plan", "sync --sandbox -vv --log-format json"] {
            let mut command = workdir.attrsync(arguments);
            command.arg(name).env("GITHUB_ACTIONS", "true");
            check_stderr(arguments, &ended(command).stderr);
        }
    }
}

/// A server that writes a piece again and again, and how many bytes it got rid of.
fn endless(start: &'static str, piece: Vec<u8>) -> (String, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let base_url = serve(move |stream| {
        stream.write_all(start.as_bytes())?;
        loop {
            stream.write_all(&piece)?;
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    (base_url, sent)
}

#[test]
fn what_has_no_end_is_read_to_a_limit() {
    /// What is read, and what the system holds for a connection, for the few requests of a run.
    const MOST: u64 = 64 << 20;
    const OK: &str = "HTTP/1.1 400 Bad Request\r\n";
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x1_0000], b"\r\n"].concat();
    let header = [b"x: ".as_slice(), &[b'y'; 1000], b"\r\n"].concat();
    let hint = [b"HTTP/1.1 103 Early Hints\r\nlink: ".as_slice(), &[b'z'; 1000], b"\r\n\r\n"].concat();
    for (start, piece) in
        [("HTTP/1.1 400 X\r\ntransfer-encoding: chunked\r\n\r\n", chunk), (OK, header), ("", hint)]
    {
        let (base_url, sent) = endless(start, piece);
        let workdir = Workdir::with_cities(1);
        // The time is for what may go on as long as it likes, but uses no memory.
        let run = run(&base_url, &workdir, "--timeout 2s");
        assert!([1, 4].contains(&run.code), "{}", run.stderr);
        if !start.is_empty() {
            assert!(sent.load(Ordering::Relaxed) < MOST, "{start}: {sent:?}");
        }
    }
}

#[test]
fn a_small_answer_that_unpacks_to_a_large_one_is_cut() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mebibyte = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        packed.write_all(&mebibyte).unwrap();
    }
    let packed = packed.finish().unwrap();
    let base_url = answering(answer(400, "content-encoding: gzip\r\n", &packed));
    let workdir = Workdir::with_cities(1);
    run(&base_url, &workdir, "").exits(1);
    let error = &workdir.failures()[0].error;
    assert!(error.len() < 1000 && error.ends_with("(262144 characters in all)"), "{error}");
}

#[test]
fn services_that_monitor_a_run_cannot_fill_its_memory() {
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x1_0000], b"\r\n"].concat();
    let (address, sent) = endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk);
    let workdir = Workdir::with_cities(1);
    let mut command = workdir.attrsync("sync --sandbox users.csv");
    command.args(["--metrics", &address, "--ping", &address]);
    ended(command).exits(0);
    assert!(sent.load(Ordering::Relaxed) < 256 << 20, "{sent:?}");
}

#[cfg(feature = "postgres")]
#[test]
fn a_database_steers_no_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut startup = [0; 4096];
            // All of the client's first message comes at once.
            let read = stream.read(&mut startup).unwrap();
            assert!(read > 8);
            let text = format!("SFATAL\0VFATAL\0C28000\0M{ATTACK}\0D{ATTACK}\0H{ATTACK}\0\0");
            let length = u32::try_from(text.len() + 4).unwrap();
            stream.write_all(&[b"E".as_slice(), &length.to_be_bytes(), text.as_bytes()].concat()).unwrap();
        }
    });
    let workdir = Workdir::with_cities(1);
    for arguments in ["history", "sync --sandbox users.csv"] {
        let mut command = workdir.attrsync(arguments);
        command.env("ATTRSYNC_LEDGER", format!("postgres://u:pw@{address}/db"));
        let run = ended(command);
        assert!(run.stderr.contains("INJECTED"), "{}", run.stderr);
        check_stderr(arguments, &run.stderr);
    }
}
