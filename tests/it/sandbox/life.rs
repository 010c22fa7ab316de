//! How a sandbox starts and ends.

use super::*;

#[tokio::test]
async fn shutting_down_finishes_what_is_in_progress_and_takes_nothing_new() {
    let it = Rehearsal::new(Options { latency: Duration::from_millis(50), ..Options::default() }).await;
    let Rehearsal { sandbox, client } = it;
    let shutdown = async {
        until(|| sandbox.counters().requests == 1).await;
        sandbox.shutdown().await;
    };
    let (reply, ()) = tokio::join!(client.set(1), shutdown);
    reply.unwrap().assert(200, OK);
    assert!(client.set(2).await.unwrap_err().is_connect());
}

#[tokio::test]
async fn shutting_down_lets_go_of_stalled_requests() {
    let Rehearsal { sandbox, client } =
        Rehearsal::new(scripted(FaultKind::Stall, Moment::BeforeApplying)).await;
    let shutdown = async {
        until(|| sandbox.counters().faulted == 1).await;
        sandbox.shutdown().await;
    };
    let (reply, ()) = tokio::join!(client.set(1), shutdown);
    assert!(reply.unwrap_err().is_request());
}

#[tokio::test]
async fn a_signal_ends_serving_and_dropping_does_too() {
    let Rehearsal { sandbox, client } = Rehearsal::new(Options::default()).await;
    let (signal, received) = tokio::sync::oneshot::channel::<()>();
    let visit = async {
        client.set(1).await.unwrap().assert(200, OK);
        signal.send(()).unwrap();
    };
    tokio::join!(visit, sandbox.serve_until(async { received.await.unwrap() }));
    assert!(client.set(2).await.is_err());

    let Rehearsal { sandbox, client } = Rehearsal::new(Options::default()).await;
    client.set(1).await.unwrap().assert(200, OK);
    drop(sandbox);
    assert!(client.set(2).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let it = Rehearsal::new(Options::default()).await;
    let taken = Sandbox::start(Options { listen: it.sandbox.addr(), ..Options::default() }).await;
    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}
