//! A simulated User.com API: a real HTTP server on this computer, for tests, rehearsals and trying the program out.
//!
//! It behaves like User.com's API, as far as that is documented, and injects the faults that its [`Options`] ask for. Each
//! request is checked for its path, method and key and against the rate limit. Then it may meet a [`Fault`]. Then its
//! body is validated and the update applied, and a fault may suppress the answer.
//!
//! Beside the API it has two pages of its own, which need no key and have no limit: `GET /sandbox/state.csv` shows the
//! values of all users, and `GET /sandbox/counters` shows how many requests had which result.
//!
//! It uses no other module of this crate. If it shared code with the client, a wrong belief about the API could be on
//! both sides, and the tests would not notice.

mod answer;
mod api;
mod fault;
mod limiter;
mod listing;
mod options;
mod profile;
mod request_log;
mod route;
mod scenario;
mod server;
mod standard_attributes;
mod state;
mod update;
mod validation;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use api::Api;
pub use fault::{ErrorBody, Fault, FaultKind, Moment};
pub use options::{Count, Log, Options, Outage, OutageKind, Permission, Reject};
use request_log::RequestLog;
pub use request_log::{Counters, LoggedRequest};
pub use state::{State, User};

/// A running server. Dropping it stops it at once; [`shutdown`](Self::shutdown) lets requests finish.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    api: Arc<Api>,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl Sandbox {
    /// Starts a server on the current tokio runtime. It answers as soon as this returns. Fails where the address can't
    /// be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let api = Arc::new(Api::new(&options, stop.clone()));
        let mut serving = JoinSet::new();
        serving.spawn(server::serve(listener, Arc::clone(&api), stop.clone()));
        Ok(Self { addr, api, stop, serving })
    }

    /// The address on which it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the API, with the slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.addr, route::API)
    }

    /// A copy of the values of all users.
    pub fn state(&self) -> State {
        self.api.with_state(State::clone)
    }

    /// The values of all users, as `GET /sandbox/state.csv` shows them.
    pub fn state_csv(&self) -> String {
        self.api.with_state(State::csv)
    }

    /// How many requests had which result.
    pub fn counters(&self) -> Counters {
        self.api.with_requests(RequestLog::counters)
    }

    /// All requests in order of arrival; empty without [`Log::Keep`].
    pub fn log(&self) -> Vec<LoggedRequest> {
        self.api.with_requests(|requests| requests.log().to_vec())
    }

    /// Serves the first requests that pass the rate limit, up to this number. Later ones wait for
    /// [`release`](Self::release), or for a larger number.
    pub fn hold_after(&self, requests: u64) {
        self.api.open_for(Some(requests));
    }

    /// Serves the requests that wait, and all that come.
    pub fn release(&self) {
        self.api.open_for(None);
    }

    /// Accepts no more requests, finishes those in progress, and stops. Stalled requests are dropped.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.serving.join_next().await {
            server::expect_no_panic(ended);
        }
    }

    /// Serves until `signal` is ready, then [shuts down](Self::shutdown).
    pub async fn serve_until(self, signal: impl Future<Output = ()>) {
        signal.await;
        self.shutdown().await;
    }
}
