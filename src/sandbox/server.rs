//! Connections.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::api::Api;

/// How long to wait when the system has no more connections to give: long enough for some to end.
const EXHAUSTED: Duration = Duration::from_millis(10);

/// Serves until `stop` says so, then finishes the requests that are in progress.
pub(super) async fn serve(listener: TcpListener, api: Arc<Api>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                expect_no_panic(ended);
                continue;
            }
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) if api.is_unreachable() => reset(&stream),
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&api), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "sandbox can't take a connection");
                sleep(EXHAUSTED).await;
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        expect_no_panic(ended);
    }
}

/// Answers all requests of one connection.
async fn converse(stream: TcpStream, api: Arc<Api>, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "sandbox connection is gone before it began");
        return;
    }
    let service = service_fn(|request| api.respond(request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Clients may go whenever they like, and the scenario breaks connections on purpose.
    if let Err(error) = ended {
        tracing::debug!(%error, "sandbox connection broke");
    }
}

/// Has the connection end in a reset when it is dropped.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "sandbox connection is gone before it was reset");
    }
}

/// Continues a panic of a task in the task that waits for it.
pub(super) fn expect_no_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
