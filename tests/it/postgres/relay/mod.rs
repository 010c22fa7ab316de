//! A TCP relay between a client and PostgreSQL that loses, delays and cuts what it forwards, on command.
//!
//! It knows where a request and its reply end, so that a test can say at which point of a conversation a connection
//! breaks. A request goes up to the Sync or Query message that ends it, a reply up to its `ReadyForQuery`. What belongs to
//! the start of a connection is forwarded as it comes, and is no request. The client must not use TLS: it is told that
//! the server has none.

mod connection;
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Longer than anything takes: what hangs is to fail.
const PATIENCE: Duration = Duration::from_mins(1);

/// What happens to one request, and to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection is cut, and the server never gets the request.
    BeforeRequest,
    /// The server gets half of the bytes of the request, then the connection is cut.
    HalfRequest,
    /// The connection is cut when the reply has arrived here: the server has done what was asked for.
    BeforeReply,
    /// The client gets half of the bytes of the reply, then the connection is cut.
    HalfReply,
    /// The reply has arrived here, and the client doesn't get it. The connection stays open and carries nothing more.
    HoldReply,
}

/// What the relay does with all its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Nothing is forwarded, and nothing is closed. New connections are accepted, and get no answer.
    Stall,
    /// Nobody listens, and there are no connections.
    Refuse,
}

/// A cut that has not happened yet.
struct Armed {
    cut: Cut,
    /// What the request has to contain, in any of its messages.
    containing: Vec<u8>,
    /// How many such requests pass before.
    to_pass: usize,
    /// Whether its request has come.
    is_due: bool,
}

#[derive(Default)]
struct State {
    armed: Option<Armed>,
    /// Starts of connections, and requests that were forwarded.
    connections: usize,
    requests: usize,
}

/// What the relay's tasks share with it.
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    mode: watch::Sender<Mode>,
    /// A new number cuts all connections that began before it.
    generation: watch::Sender<usize>,
    /// How many armed cuts have happened.
    happened: watch::Sender<usize>,
    /// Whether there is a listener.
    listens: watch::Sender<bool>,
}

/// A relay in threads of its own. It ends, and cuts everything, when it is dropped.
pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Relay {
    /// A relay to the server of this address, which passes everything.
    pub(crate) fn to(address: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared {
            server: authority(address).parse().unwrap(),
            state: Mutex::default(),
            mode: watch::Sender::new(Mode::Pass),
            generation: watch::Sender::new(0),
            happened: watch::Sender::new(0),
            listens: watch::Sender::new(true),
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(connection::listen(listener, Arc::clone(&shared)));
        Self { port, shared, runtime: Some(runtime) }
    }

    /// The same address, by way of this relay.
    pub(crate) fn address(&self, address: &str) -> String {
        let here = format!("127.0.0.1:{}", self.port);
        let address = address.replacen(authority(address), &here, 1);
        let separator = if address.contains('?') { '&' } else { '?' };
        format!("{address}{separator}sslmode=disable")
    }

    /// Forwards everything: what waited, and new connections.
    pub(crate) fn pass(&self) {
        self.set(Mode::Pass);
    }

    /// Forwards nothing more, in either direction, but keeps the connections open.
    pub(crate) fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Cuts all connections and refuses new ones.
    pub(crate) fn refuse(&self) {
        self.set(Mode::Refuse);
        self.cut();
    }

    /// Cuts all connections. New ones are as before.
    pub(crate) fn cut(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }

    /// Does this to the next request.
    pub(crate) fn next(&self, cut: Cut) {
        self.nth(cut, "", 1);
    }

    /// Does this to the next request that contains a text, such as a part of its statement.
    pub(crate) fn next_with(&self, cut: Cut, text: &str) {
        self.nth(cut, text, 1);
    }

    /// Does this to the nth request from now on that contains a text, on whatever connection. It happens once.
    pub(crate) fn nth(&self, cut: Cut, text: &str, n: usize) {
        let to_pass = n.checked_sub(1).expect("the first request is number 1");
        self.shared.state().armed = Some(Armed { cut, containing: text.into(), to_pass, is_due: false });
    }

    /// Returns when the cut that was armed last has happened.
    #[track_caller]
    pub(crate) fn until_cut(&self) {
        let mut happened = self.shared.happened.subscribe();
        let done = async { happened.wait_for(|_| self.shared.state().armed.is_none()).await.map(drop) };
        self.runtime().block_on(async { tokio::time::timeout(PATIENCE, done).await }).unwrap().unwrap();
    }

    /// Whether what was armed has not happened.
    pub(crate) fn is_armed(&self) -> bool {
        self.shared.state().armed.is_some()
    }

    /// How many connections clients have opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// How many requests the server got so far.
    pub(crate) fn requests(&self) -> usize {
        self.shared.state().requests
    }

    fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
        let mut listens = self.shared.listens.subscribe();
        let follows =
            async { listens.wait_for(|listens| *listens == (mode != Mode::Refuse)).await.map(drop) };
        self.runtime().block_on(async { tokio::time::timeout(PATIENCE, follows).await }).unwrap().unwrap();
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Host and port of an address with a user.
fn authority(address: &str) -> &str {
    let (_, rest) = address.split_once('@').unwrap();
    rest.split('/').next().unwrap()
}
