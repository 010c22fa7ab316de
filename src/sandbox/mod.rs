//! A local stand-in for the API, over real HTTP: for tests, rehearsals and the first minutes with the program.
//!
//! It behaves as User.com's API does, as far as that is known, and as badly as it is told to. A request goes through
//! path, method, key and rate limit; then the [scenario](Fault) may spoil it; then its body is checked and applied;
//! then the scenario may withhold the answer.
//!
//! Beside the API there are two pages of its own, which need no key and have no limit: `GET /sandbox/state.csv` is what
//! all users hold, and `GET /sandbox/counters` is how many requests came to what.
//!
//! It uses nothing else of this crate, so that no mistake is made on both sides of the wire.

mod answer;
mod api;
mod attribute;
mod fault;
mod limiter;
mod options;
mod profile;
mod route;
mod rules;
mod scenario;
mod server;
mod state;
mod tally;
mod update;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use api::Api;
pub use fault::{ErrorBody, Fault, Mishap, Moment};
pub use options::{Log, Options, Outage, OutageManner, Permission, Reject};
pub use state::{State, User};
use tally::Tally;
pub use tally::{Arrival, Counters};

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

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the API, with the slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.addr, route::API)
    }

    /// A copy of what every user holds.
    pub fn state(&self) -> State {
        self.api.with_state(State::clone)
    }

    /// What every user holds, as `GET /sandbox/state.csv` tells it.
    pub fn state_csv(&self) -> String {
        self.api.with_state(State::csv)
    }

    /// How many requests came, and what became of them.
    pub fn counters(&self) -> Counters {
        self.api.with_tally(Tally::counters)
    }

    /// All requests, in the order in which they came; none without [`Log::Keep`].
    pub fn log(&self) -> Vec<Arrival> {
        self.api.with_tally(|tally| tally.log().to_vec())
    }

    /// Takes no more requests, finishes those in progress, then stops. Those that stall are let go.
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
