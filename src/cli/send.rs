//! The part of a run that sends: delivery, and beside it the consumer of its events.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::failure::{Failure, blocking};
use super::signals::Signals;
use crate::config;
use crate::deliver::{Delivery, Http, Options, Rate, Shutdown, Stop, Target, deliver};
use crate::input::IdType;
use crate::ledger::{Lease, LeaseState, LedgerError};
use crate::plan::Plan;
use crate::report::{Consumed, EventConsumer, Progress, RecordError};
use crate::sandbox::{self, Sandbox};

/// How many events may wait for the consumer: what the fastest run does in some seconds. A commit to a slow disk then
/// holds up no request.
const EVENTS: usize = 4096;

/// How long the sandbox of this process takes for a request, so that a rehearsal looks like a run.
const SANDBOX_LATENCY: Duration = Duration::from_millis(40);

/// How long a run still waits for the ledger's database after a signal, and after two.
const AFTER_A_SIGNAL: Duration = Duration::from_secs(10);
const AFTER_TWO_SIGNALS: Duration = Duration::from_millis(500);

/// Sends a plan until it is done or stopped.
pub(super) async fn send(
    plan: Arc<Plan>,
    options: Options,
    mut consumer: EventConsumer<Box<dyn Progress + Send>>,
    (target, id_type): (&config::Endpoint, IdType),
    lease: Option<Arc<Lease>>,
    signals: &mut Signals,
) -> Result<(Delivery, Consumed), Failure> {
    let (target, _sandbox) = match target {
        config::Endpoint::Api { base_url, token } => {
            (Target { base_url: base_url.clone(), token: token.clone(), id_type }, None)
        }
        config::Endpoint::Sandbox => {
            let sandbox = start_sandbox(options.rate).await?;
            let base_url = sandbox.base_url();
            let base_url =
                base_url.parse().map_err(|error| Failure::internal(format!("`{base_url}`: {error}")))?;
            (Target { base_url, token: SecretString::from("sandbox"), id_type }, Some(sandbox))
        }
    };
    let transport = Arc::new(Http::new(&target, options.timeout, options.concurrency)?);
    let options = Options { address: target.base_url.to_string(), ..options };

    let (shutdown, shutdown_rx) = watch::channel(Shutdown::No);
    let (sender, mut events) = mpsc::channel(EVENTS);
    let stop = shutdown.clone();
    let max_outage = options.max_outage;
    let consuming = blocking("reporting", move || {
        consumer.take_all(&mut events, |error| {
            finish(
                &stop,
                match error {
                    RecordError::Ledger(LedgerError::LeaseLost { .. }) => Stop::LedgerLost,
                    RecordError::Ledger(LedgerError::Away { .. }) => Stop::LedgerAway(max_outage),
                    RecordError::Ledger(LedgerError::Refused { .. }) => Stop::LedgerRefused,
                    RecordError::Ledger(_) | RecordError::Report(_) => Stop::Unwritable,
                },
            );
        });
        consumer
    });
    let sending = async {
        let delivered = deliver(plan, transport, &options, shutdown_rx, sender, rand::make_rng()).await?;
        let consumer = consuming.await?;
        let Delivery { end, verified } = delivered.clone();
        let consumed = blocking("reporting", move || consumer.finish(&end, verified.as_ref())).await?;
        Ok((delivered, consumed))
    };
    tokio::select! {
        // A signal that came before the first request is due stops the run before it.
        biased;
        never = obey(signals, &shutdown, lease.as_deref()) => match never {},
        never = watch_lease(lease.as_deref(), &shutdown, max_outage) => match never {},
        sent = sending => sent,
    }
}

async fn start_sandbox(rate: Rate) -> Result<Sandbox, Failure> {
    let options = sandbox::Options {
        rate: Some((rate.requests.get(), rate.window)),
        latency: SANDBOX_LATENCY,
        latency_jitter: SANDBOX_LATENCY / 2,
        ..sandbox::Options::default()
    };
    let started = Sandbox::start(options).await;
    started.map_err(|error| Failure::internal(format!("the sandbox cannot start: {error}")))
}

/// Lets requests in flight finish, unless the run is told to end already.
fn finish(shutdown: &watch::Sender<Shutdown>, stop: Stop) {
    shutdown.send_if_modified(|shutdown| {
        let is_first = *shutdown == Shutdown::No;
        if is_first {
            *shutdown = Shutdown::Graceful(stop);
        }
        is_first
    });
}

/// Stops the run when it must not use the ledger any more.
pub(super) async fn watch_lease(
    lease: Option<&Lease>,
    shutdown: &watch::Sender<Shutdown>,
    max_outage: Duration,
) -> Infallible {
    if let Some(lease) = lease {
        match lease.ended().await {
            LeaseState::Lost => finish(shutdown, Stop::LedgerLost),
            LeaseState::Unreachable | LeaseState::Held => {
                finish(shutdown, Stop::LedgerAway(max_outage));
                lease.hurry(Duration::ZERO);
            }
        }
    }
    pending().await
}

/// Waits for what is done with the ledger when all is sent. A signal leaves it little time to wait for the database, less if
/// there was one before, and the first one is returned.
pub(super) async fn hurried<T>(
    work: impl Future<Output = T>,
    lease: Option<&Lease>,
    is_signalled: bool,
    signals: &mut Signals,
) -> (T, Option<Stop>) {
    let (mut work, mut first) = (pin!(work), None);
    let mut waits = [AFTER_A_SIGNAL, AFTER_TWO_SIGNALS].into_iter().skip(is_signalled.into());
    loop {
        let stop = tokio::select! {
            biased;
            stop = signals.next() => stop,
            done = &mut work => return (done, first),
        };
        if let (Some(lease), Some(wait)) = (lease, waits.next()) {
            lease.hurry(wait);
        }
        first.get_or_insert(stop);
    }
}

/// Passes signals on: the first one lets requests in flight finish, the second one doesn't. Then there is little time left to
/// wait for the ledger's database, too.
pub(super) async fn obey(
    signals: &mut Signals,
    shutdown: &watch::Sender<Shutdown>,
    lease: Option<&Lease>,
) -> Infallible {
    let mut waits = [AFTER_A_SIGNAL, AFTER_TWO_SIGNALS].into_iter();
    loop {
        let stop = signals.next().await;
        if let (Some(lease), Some(wait)) = (lease, waits.next()) {
            lease.hurry(wait);
        }
        shutdown.send_modify(|shutdown| {
            *shutdown = match shutdown {
                Shutdown::No => {
                    warn!("stopping: waiting for requests in flight; Ctrl-C or another signal again quits at once");
                    Shutdown::Graceful(stop)
                }
                // The first signal is the reason, however soon the next one comes.
                Shutdown::Graceful(first) | Shutdown::Immediate(first) => Shutdown::Immediate(first.clone()),
            }
        });
    }
}
