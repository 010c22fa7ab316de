//! The part of a run that sends: delivery, and beside it the one consumer of what it tells.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, spawn_blocking};
use tracing::warn;

use super::failure::Failure;
use super::signals::Signals;
use crate::clock;
use crate::config;
use crate::deliver::{
    Delivery, End, Event, Http, Mismatch, Options, Shutdown, Stop, Target, Verified, deliver,
};
use crate::input::IdType;
use crate::ledger::{Ledger, LedgerError, Recorder};
use crate::plan::{Batch, Plan};
use crate::report::{Clerk, FailuresReport, Fates, Progress, Tally, Unwritten};
use crate::sandbox::{self, Sandbox};

/// Events that may wait for the clerk: some seconds of the fastest run.
const EVENTS: usize = 4096;

/// How long the sandbox of this process takes for a request, so that a rehearsal looks like a run.
const SANDBOX_LATENCY: Duration = Duration::from_millis(40);

/// All that sending needs.
pub(super) struct Sending {
    pub(super) plan: Arc<Plan>,
    /// Of the rows that are not in the plan.
    pub(super) fates: Fates,
    pub(super) options: Options,
    /// What stands between delivery and the clerk, with a ledger.
    pub(super) recorder: Option<Recorder>,
    pub(super) failures: FailuresReport,
    pub(super) progress: Box<dyn Progress + Send>,
}

/// What came of it.
pub(super) struct Sent {
    pub(super) tally: Tally,
    pub(super) end: End,
    /// What reading back found, if it was asked for.
    pub(super) verified: Option<Verified>,
    /// The ledger, unless the run must stay as if killed in it: it can't be written, or requests were left in flight.
    pub(super) ledger: Option<Ledger>,
    /// Why the run could not be recorded.
    pub(super) broken: Option<Broken>,
}

/// Why a run can't be recorded any more.
pub(super) enum Broken {
    Report(Unwritten),
    Ledger(LedgerError),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Report(error) => error.into(),
            Broken::Ledger(error) => error.into(),
        }
    }
}

impl Sending {
    /// Sends the plan to the target, until it is done or stopped.
    pub(super) async fn run(
        self,
        target: &config::Target,
        id_type: IdType,
        mut signals: Signals,
    ) -> Result<Sent, Failure> {
        let sandbox = match target {
            config::Target::Api { .. } => None,
            config::Target::Sandbox => Some(self.start_sandbox().await?),
        };
        let target = match (target, &sandbox) {
            (config::Target::Api { base_url, token }, _) => {
                Target { base_url: base_url.clone(), token: token.clone(), id_type }
            }
            (config::Target::Sandbox, sandbox) => {
                let base_url = sandbox.as_ref().map(Sandbox::base_url).unwrap_or_default();
                let base_url =
                    base_url.parse().map_err(|error| Failure::internal(format!("`{base_url}`: {error}")))?;
                Target { base_url, token: SecretString::from("sandbox"), id_type }
            }
        };
        let address = target.base_url.to_string();
        let transport = Http::new(&target, self.options.timeout, self.options.concurrency)?;

        let (shutdown, shutdown_rx) = watch::channel(Shutdown::No);
        let transport = Arc::new(transport);
        let (events, mut told) = mpsc::channel(EVENTS);
        let clerk = Clerk::new(Arc::clone(&self.plan), self.fates, self.failures, self.progress);
        let mut listener = Listener { recorder: self.recorder, clerk, broken: None };
        let stop = shutdown.clone();
        let listening = spawn_blocking(move || {
            while let Some(event) = told.blocking_recv() {
                if !listener.hear(event, &mut told) {
                    stop.send_if_modified(|shutdown| finish(shutdown, Stop::Unwritable));
                }
            }
            listener
        });
        let (plan, options) = (self.plan, Options { address, ..self.options });
        let sending = async {
            let delivered = deliver(plan, transport, &options, shutdown_rx, events, rand::make_rng());
            let Delivery { end, verified } =
                delivered.await.map_err(|error| Failure::internal(error.to_string()))?;
            let Listener { mut recorder, clerk, broken } =
                listening.await.map_err(|error| panicked(&error))?;
            if let (Some(recorder), Some(verified)) = (&mut recorder, &verified) {
                for Mismatch { row, .. } in &verified.mismatches {
                    recorder.mark_uncertain(Batch { group: row.group, first: row.place, len: 1 });
                }
            }
            let ended = end.clone();
            let (tally, published) =
                spawn_blocking(move || clerk.finish(&ended)).await.map_err(|error| panicked(&error))?;
            let broken = broken.or(published.err().map(Broken::Report));
            let whole = !matches!(*shutdown.borrow(), Shutdown::Immediate(_))
                && !matches!(broken, Some(Broken::Ledger(_)));
            let ledger = recorder.filter(|_| whole).map(Recorder::into_ledger);
            Ok(Sent { tally, end, verified, ledger, broken })
        };
        tokio::select! {
            sent = sending => sent,
            never = obey(&mut signals, &shutdown) => match never {},
        }
    }

    async fn start_sandbox(&self) -> Result<Sandbox, Failure> {
        let options = sandbox::Options {
            rate: Some((self.options.rate.requests.get(), self.options.rate.window)),
            latency: SANDBOX_LATENCY,
            latency_jitter: SANDBOX_LATENCY / 2,
            ..sandbox::Options::default()
        };
        let started = Sandbox::start(options).await;
        started.map_err(|error| Failure::internal(format!("the sandbox cannot start: {error}")))
    }
}

/// The one consumer of events: the ledger first, then the clerk.
struct Listener {
    recorder: Option<Recorder>,
    clerk: Clerk<Box<dyn Progress + Send>>,
    broken: Option<Broken>,
}

impl Listener {
    /// Takes an event, and those that are there already, so that one commit serves them all. Returns whether all is well.
    fn hear(&mut self, event: Event, told: &mut mpsc::Receiver<Event>) -> bool {
        let Self { recorder, clerk, broken } = self;
        let Some(recorder) = recorder else {
            pass_on([event], clerk, broken);
            return broken.is_none();
        };
        if matches!(broken, Some(Broken::Ledger(_))) {
            // What can't be recorded is not claimed: its rows stay unsent. Requests still count.
            if !matches!(event, Event::Finished { .. }) {
                pass_on([event], clerk, broken);
            }
            return false;
        }
        recorder.take(event, clock::monotonic_now());
        while !recorder.is_due(clock::monotonic_now())
            && let Ok(event) = told.try_recv()
        {
            recorder.take(event, clock::monotonic_now());
        }
        match recorder.commit(clock::utc_now()) {
            Err(error) => {
                *broken = Some(Broken::Ledger(error));
                pass_on(recorder.requests(), clerk, broken);
            }
            Ok(recorded) => pass_on(recorded, clerk, broken),
        }
        broken.is_none()
    }
}

/// Lets the clerk take events, also after the first one that he can't report: he goes on counting.
fn pass_on(
    events: impl IntoIterator<Item = Event>,
    clerk: &mut Clerk<Box<dyn Progress + Send>>,
    broken: &mut Option<Broken>,
) {
    for event in events {
        if let Err(error) = clerk.take(&event) {
            broken.get_or_insert(Broken::Report(error));
        }
    }
}

/// Has requests in flight finish, unless the run is told to end already.
fn finish(shutdown: &mut Shutdown, stop: Stop) -> bool {
    let is_first = *shutdown == Shutdown::No;
    if is_first {
        *shutdown = Shutdown::Graceful(stop);
    }
    is_first
}

fn panicked(error: &JoinError) -> Failure {
    Failure::internal(format!("reporting failed: {error}"))
}

/// Passes signals on: the first one lets requests in flight finish, the second one doesn't.
async fn obey(signals: &mut Signals, shutdown: &watch::Sender<Shutdown>) -> std::convert::Infallible {
    loop {
        let stop = signals.next().await;
        shutdown.send_modify(|shutdown| {
            *shutdown = match shutdown {
                Shutdown::No => {
                    warn!("stopping: waiting for requests in flight; Ctrl-C or another signal again quits at once");
                    Shutdown::Graceful(stop)
                }
                Shutdown::Graceful(_) | Shutdown::Immediate(_) => Shutdown::Immediate(stop),
            }
        });
    }
}
