//! A request without an answer.

use std::time::Duration;

use attrsync::sandbox::{Fault, FaultKind, Moment, Options};

use super::truth::naive_state;
use super::{Server, Workdir};

#[test]
fn a_request_that_is_not_answered_in_time_is_sent_again() {
    for moment in [Moment::BeforeApplying, Moment::AfterApplying] {
        let stall = Some(Fault { kind: FaultKind::Stall, moment });
        let script = vec![None, stall, None, None];
        let (workdir, server) =
            (Workdir::with_cities(3), Server::new(Options { script, ..Options::default() }));
        let run = server.sync(&workdir, "users.csv --concurrency 1 --timeout 2s --summary -").exits(0);
        // On a slow machine, others may be late as well.
        let retried = run.requests("retried");
        assert!(retried >= 1);
        assert_eq!((run.requests("sent"), run.rows("acknowledged")), (3 + retried, 3));
        assert_eq!(server.state(), naive_state(&workdir.read("users.csv")));
    }
}

#[test]
fn an_answer_that_takes_longer_than_the_time_for_a_request_is_none() {
    let latency = Duration::from_millis(300);
    let (workdir, server) = (Workdir::with_cities(2), Server::new(Options { latency, ..Options::default() }));
    let run = server.sync(&workdir, "users.csv --timeout 60s --summary -").exits(0);
    assert_eq!(run.requests("retried"), 0);
    let run = server.sync(&workdir, "users.csv --timeout 10ms --max-outage 500ms --summary -").exits(4);
    assert_eq!((run.rows("unsent"), run.summary()["reason"].as_str()), (2, Some("outage")));
    run.says("no answer in time");
}
