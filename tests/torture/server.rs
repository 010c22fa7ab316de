//! A small HTTP server for an account, which notes each request: who sent it, when it came, what it was answered.
//!
//! Each process has a key of its own, and so the server knows which one sent a request.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use super::account::{Account, Answer, Asked};
use super::input::Ids;
use super::weather::{Fate, Weather};

/// How often a thread that waits looks whether the server ends.
const LOOK: Duration = Duration::from_millis(20);

/// A request that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) at: Instant,
    pub(crate) asked: Asked,
    pub(crate) fate: Fate,
    /// The account's status, if it was asked.
    pub(crate) status: Option<u16>,
    /// When the answer was about to be written, or the connection about to be closed.
    pub(crate) answered: Option<Instant>,
}

impl Request {
    /// The update was applied, and the client told so.
    pub(crate) fn acknowledges(&self) -> bool {
        self.fate.is_served() && self.status == Some(200) && self.answered.is_some()
    }
}

pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    account: Mutex<Account>,
    conditions: Mutex<Conditions>,
    log: Mutex<Vec<Request>>,
    ends: AtomicBool,
}

struct Conditions {
    weather: Weather,
    dice: StdRng,
    /// Requests since this weather began.
    number: usize,
}

impl Server {
    pub(crate) fn start(account: Account, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let conditions =
            Conditions { weather: Weather::calm(), dice: StdRng::seed_from_u64(seed), number: 0 };
        let shared = Arc::new(Shared {
            account: Mutex::new(account),
            conditions: Mutex::new(conditions),
            log: Mutex::default(),
            ends: AtomicBool::new(false),
        });
        let listening = thread::spawn({
            let shared = Arc::clone(&shared);
            move || listen(&listener, &shared)
        });
        Self { address, shared, listening: Some(listening) }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/api/public/", self.address)
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.shared.account.lock().unwrap()
    }

    pub(crate) fn change_weather(&self, weather: Weather) {
        let mut conditions = self.shared.conditions.lock().unwrap();
        conditions.weather = weather;
        conditions.number = 0;
    }

    /// How many requests came since the weather changed.
    pub(crate) fn requests(&self) -> usize {
        self.shared.conditions.lock().unwrap().number
    }

    /// The requests with this key, in the order in which they came.
    pub(crate) fn log(&self, key: &str) -> Vec<Request> {
        self.shared.log.lock().unwrap().iter().filter(|request| request.key == key).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        drop(TcpStream::connect(self.address));
        if let Some(listening) = self.listening.take() {
            let ended = listening.join();
            assert!(thread::panicking() || ended.is_ok(), "the server failed");
        }
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = Vec::new();
    for stream in listener.incoming() {
        if shared.ends.load(Ordering::SeqCst) {
            break;
        }
        let shared = Arc::clone(shared);
        let stream = stream.unwrap();
        connections.push(thread::spawn(move || shared.converse(&stream)));
        connections.retain(|connection| !connection.is_finished());
    }
    for connection in connections {
        connection.join().unwrap();
    }
}

impl Shared {
    /// Serves the requests of a connection until one side has enough.
    fn converse(&self, stream: &TcpStream) {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LOOK)).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(head) = self.read_head(&mut reader) {
            let mut body = vec![0; head.length];
            if !self.read_all(&mut reader, &mut body) || !self.respond(stream, &head, &body) {
                break;
            }
        }
    }

    /// Whether the connection can be used again.
    fn respond(&self, stream: &TcpStream, head: &Head, body: &[u8]) -> bool {
        let asked = self.parse(head, body);
        let (fate, latency) = self.draw(&asked);
        let place = self.note(head, asked.clone(), fate.clone());
        thread::sleep(latency);
        let applies = match fate {
            Fate::Served | Fate::Slow => true,
            Fate::Answered { applied, .. }
            | Fate::Closed { applied, .. }
            | Fate::Cut { applied }
            | Fate::Stalled { applied } => applied && matches!(asked, Asked::Update { .. }),
        };
        let answer = applies.then(|| self.account.lock().unwrap().answer(&asked));
        let status = answer.as_ref().map(|answer| answer.status);
        if let Fate::Stalled { .. } = fate {
            self.update(place, |request| request.status = status);
            self.wait_for_the_end_of(stream);
            return false;
        }
        self.update(place, |request| {
            request.status = status;
            request.answered = Some(Instant::now());
        });
        send(stream, &fate, answer)
    }

    fn draw(&self, asked: &Asked) -> (Fate, Duration) {
        let mut conditions = self.conditions.lock().unwrap();
        let Conditions { weather, dice, number } = &mut *conditions;
        let fate = weather.fate(dice, *number);
        *number += 1;
        let latency = Duration::from_millis(dice.random_range(0..=weather.latency));
        if matches!(asked, Asked::Page(Some(_))) && dice.random_bool(weather.expiries) {
            self.account.lock().unwrap().forget_cursors();
        }
        (fate, latency)
    }

    fn note(&self, head: &Head, asked: Asked, fate: Fate) -> usize {
        let mut log = self.log.lock().unwrap();
        let key = head.key.clone();
        log.push(Request { key, at: Instant::now(), asked, fate, status: None, answered: None });
        log.len() - 1
    }

    fn update(&self, place: usize, change: impl FnOnce(&mut Request)) {
        change(&mut self.log.lock().unwrap()[place]);
    }

    fn parse(&self, head: &Head, body: &[u8]) -> Asked {
        let ids = self.account.lock().unwrap().population.ids;
        let users = match ids {
            Ids::Numbers => "/api/public/users/",
            Ids::Custom => "/api/public/users-by-id/",
        };
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        if head.method == "PUT" {
            assert_eq!(path, format!("{users}mass_update_standard_attributes/"));
            let mut fields: Value = serde_json::from_slice(body).unwrap();
            let list = fields["ids"].take();
            let name = |id: &Value| match ids {
                Ids::Numbers => id.as_u64().unwrap().to_string(),
                Ids::Custom => id.as_str().unwrap().to_owned(),
            };
            let users = list.as_array().unwrap().iter().map(name).collect();
            let attribute = fields["attribute"].as_str().unwrap().to_owned();
            return Asked::Update { users, attribute, value: fields["value"].take() };
        }
        assert_eq!(head.method, "GET");
        if path == "/api/public/users/" {
            return Asked::Page(query.strip_prefix("cursor=").map(str::to_owned));
        }
        match path.strip_prefix(users).and_then(|rest| rest.strip_suffix('/')) {
            Some(user) if !user.starts_with("mass_update") => Asked::User(user.replace("%20", " ")),
            _ => Asked::Nothing,
        }
    }

    fn read_head(&self, reader: &mut BufReader<&TcpStream>) -> Option<Head> {
        let mut line = Vec::new();
        let mut head = Head::default();
        loop {
            line.clear();
            self.read_line(reader, &mut line)?;
            let text = str::from_utf8(&line).unwrap().trim_end();
            if head.method.is_empty() {
                let mut words = text.split(' ').map(str::to_owned);
                head.method = words.next()?;
                head.target = words.next()?;
            } else if text.is_empty() {
                return Some(head);
            } else if let Some((name, value)) = text.split_once(": ") {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => head.length = value.parse().unwrap(),
                    "authorization" => value.strip_prefix("Token ").unwrap().clone_into(&mut head.key),
                    _ => {}
                }
            }
        }
    }

    fn read_line(&self, reader: &mut BufReader<&TcpStream>, line: &mut Vec<u8>) -> Option<()> {
        loop {
            match reader.read_until(b'\n', line) {
                Ok(0) => return None,
                Ok(_) => return Some(()),
                Err(error) if self.goes_on_after(&error) => {}
                Err(_) => return None,
            }
        }
    }

    /// Whether all came.
    fn read_all(&self, reader: &mut BufReader<&TcpStream>, mut bytes: &mut [u8]) -> bool {
        while !bytes.is_empty() {
            match reader.read(bytes) {
                Ok(0) => return false,
                Ok(read) => bytes = &mut bytes[read..],
                Err(error) if self.goes_on_after(&error) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn goes_on_after(&self, error: &std::io::Error) -> bool {
        let waits =
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted);
        waits && !self.ends.load(Ordering::SeqCst)
    }

    fn wait_for_the_end_of(&self, stream: &TcpStream) {
        loop {
            match stream.peek(&mut [0]) {
                Err(error) if self.goes_on_after(&error) => {}
                _ => return,
            }
        }
    }
}

#[derive(Default)]
struct Head {
    method: String,
    target: String,
    key: String,
    length: usize,
}

/// Whether the connection can be used again.
fn send(mut stream: &TcpStream, fate: &Fate, answer: Option<Answer>) -> bool {
    let written = match fate {
        Fate::Served => stream.write_all(response(&answer.unwrap(), None).as_bytes()),
        Fate::Slow => response(&answer.unwrap(), None).as_bytes().chunks(7).try_for_each(|bytes| {
            thread::sleep(Duration::from_millis(1));
            stream.write_all(bytes)
        }),
        Fate::Answered { status, retry_after, body, .. } => {
            let answer = Answer { status: *status, body: (*body).to_owned() };
            stream.write_all(response(&answer, *retry_after).as_bytes())
        }
        Fate::Cut { .. } => {
            let part = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"status\": \"ok";
            return stream.write_all(part.as_bytes()).is_err();
        }
        Fate::Closed { reset: true, .. } => {
            // Unread bytes of its own make the closing of a socket a reset; without linger it is one, too.
            rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
            return false;
        }
        Fate::Closed { .. } | Fate::Stalled { .. } => return false,
    };
    written.is_ok()
}

fn response(answer: &Answer, retry_after: Option<&str>) -> String {
    let pause = retry_after.map(|text| format!("retry-after: {text}\r\n")).unwrap_or_default();
    let Answer { status, body } = answer;
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Words\r\ncontent-type: application/json\r\n{pause}content-length: {length}\r\n\r\n{body}"
    )
}
