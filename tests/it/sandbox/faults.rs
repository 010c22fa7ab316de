//! What goes wrong on purpose.

use attrsync::sandbox::Counters;

use super::*;

#[tokio::test]
async fn a_connection_can_break_before_or_after_the_request_is_applied() {
    for (moment, facts) in [(Moment::BeforeApplying, &[][..]), (Moment::AfterApplying, &["1,city,Oslo"])] {
        let it = Rehearsal::new(scripted(FaultKind::Drop, moment)).await;
        let error = it.client.set(1).await.unwrap_err();
        assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
        assert_eq!(it.facts(), facts);
        assert_eq!(it.statuses(), [None]);
        it.client.set(2).await.unwrap().assert(200, OK);
        assert_eq!((it.sandbox.counters().faulted, it.sandbox.counters().ok), (1, 1));
    }
}

#[tokio::test]
async fn a_server_error_can_come_before_or_after_the_request_is_applied() {
    for (moment, facts) in [(Moment::BeforeApplying, &[][..]), (Moment::AfterApplying, &["1,city,Oslo"])] {
        for (body, content_type, text) in [
            (ErrorBody::Json, "application/json", r#"{"detail":"Bad Gateway"}"#),
            (ErrorBody::Html, "text/html", "<center><h1>502 Bad Gateway</h1></center>"),
            (ErrorBody::Empty, "text/plain", ""),
        ] {
            let it = Rehearsal::new(scripted(FaultKind::Error(502, body), moment)).await;
            let reply = it.client.set(1).await.unwrap();
            assert_eq!((reply.status, reply.header("content-type")), (502, content_type));
            assert!(reply.body.contains(text));
            assert_eq!(it.facts(), facts);
        }
    }
}

#[tokio::test]
async fn a_stalled_request_is_never_answered() {
    for (moment, facts) in [(Moment::BeforeApplying, &[][..]), (Moment::AfterApplying, &["1,city,Oslo"])] {
        let it = Rehearsal::new(scripted(FaultKind::Stall, moment)).await;
        tokio::select! {
            biased;
            answer = it.client.set(1) => panic!("{answer:?}"),
            () = until(|| it.sandbox.counters().faulted == 1) => {}
        }
        assert_eq!(it.statuses(), [None]);
        assert_eq!(it.facts(), facts);
        it.client.set(2).await.unwrap().assert(200, OK);
    }
}

#[tokio::test]
async fn an_invalid_request_is_refused_even_when_a_fault_would_follow_it() {
    let it = Rehearsal::new(scripted(FaultKind::Drop, Moment::AfterApplying)).await;
    assert_eq!(it.client.update(STANDARD, json!([1]), "x", json!("y")).await.status, 400);
}

#[tokio::test]
async fn the_same_seed_makes_the_same_run() {
    let run = async |seed| {
        let it =
            Rehearsal::new(Options { error_rate: 0.3, drop_rate: 0.2, seed, ..Options::default() }).await;
        for id in 1..=100 {
            if let Ok(reply) = it.client.set(id).await {
                assert!(matches!(reply.status, 200 | 500 | 502 | 503));
            }
        }
        // How many came within a second is the machine's doing.
        let counters = Counters { busiest_window: 0, ..it.sandbox.counters() };
        (it.statuses(), it.facts(), counters)
    };
    let first = run(1).await;
    assert_eq!(first, run(1).await);
    let (statuses, facts, counters) = first;
    assert_ne!(statuses, run(2).await.0);
    let applied = u64::try_from(facts.len()).unwrap();
    assert!(counters.ok < applied && applied < 100, "some faults came before applying and some after");
    assert_eq!(counters.ok + counters.faulted, 100);
    assert!(statuses.contains(&None));
}

#[tokio::test]
async fn an_outage_answers_nobody_until_it_ends() {
    let length = Duration::from_millis(100);
    let outage = Outage { start: Duration::ZERO, length, kind: OutageKind::Unavailable };
    let it = Rehearsal::new(Options { outages: vec![outage], ..Options::default() }).await;
    while it.client.set(1).await.unwrap().status != 200 {
        assert_eq!(it.client.page("/sandbox/counters").await.status, 200, "only the API is out");
    }
    for arrival in it.sandbox.log() {
        assert_eq!(arrival.status, Some(if arrival.at < length { 503 } else { 200 }));
    }
}

#[tokio::test]
async fn an_unreachable_api_breaks_connections_old_and_new() {
    let start = Duration::from_millis(100);
    let outage = Outage { start, length: FOREVER, kind: OutageKind::Unreachable };
    let it = Rehearsal::new(Options { outages: vec![outage], ..Options::default() }).await;
    while it.client.set(1).await.is_ok() {}
    for arrival in it.sandbox.log() {
        assert_eq!(arrival.status, (arrival.at < start).then_some(200));
    }
    let known = it.sandbox.counters().requests;
    assert!(it.client.set(2).await.is_err());
    assert_eq!(it.sandbox.counters().requests, known, "a reset connection carries no request");
}
