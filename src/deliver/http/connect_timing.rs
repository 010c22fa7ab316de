//! Measures how long a request waits for a connection.
//!
//! Neither reqwest nor hyper tells whether a request used an open connection, but the connector can: it is called inside the
//! request's own task, and only if no connection is idle.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::clock;

tokio::task_local! {
    static REQUEST: Arc<ConnectTiming>;
}

/// When a request began to wait for a connection, and when it had one.
#[derive(Debug, Default)]
pub(super) struct ConnectTiming {
    begun: AtomicBool,
    done: OnceLock<Instant>,
}

impl ConnectTiming {
    /// Runs a request whose connection is measured.
    pub(super) async fn watch<F: Future>(self: &Arc<Self>, request: F) -> F::Output {
        REQUEST.scope(Arc::clone(self), request).await
    }

    /// Whether the request used an open connection.
    pub(super) fn reused(&self) -> bool {
        !self.begun.load(Ordering::Relaxed)
    }

    /// How long a request that started at `start` waited for its connection at most. It may be less, if another connection
    /// became idle in the meantime.
    pub(super) fn waited(&self, start: Instant, now: Instant) -> Duration {
        if self.reused() {
            return Duration::ZERO;
        }
        self.done.get().copied().unwrap_or(now).duration_since(start)
    }
}

/// Measures the connections of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimingLayer;

#[derive(Clone, Debug)]
pub(super) struct TimingService<S>(S);

impl<S> Layer<S> for TimingLayer {
    type Service = TimingService<S>;

    fn layer(&self, connector: S) -> TimingService<S> {
        TimingService(connector)
    }
}

impl<S, R> Service<R> for TimingService<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, address: R) -> Self::Future {
        let request = REQUEST.try_with(Arc::clone).ok();
        if let Some(request) = &request {
            request.begun.store(true, Ordering::Relaxed);
        }
        let connection = self.0.call(address);
        Box::pin(async move {
            let connection = connection.await;
            if let Some(request) = request {
                request.done.get_or_init(clock::monotonic_now);
            }
            connection
        })
    }
}
