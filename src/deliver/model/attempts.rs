//! Which attempts count.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::faulty_server::{FaultyServer, reply};
use super::{LATENCY, groups_of, options, plan, run};
use crate::clock;
use crate::deliver::core::{ApiCall, Core};
use crate::deliver::event::{Event, Outcome};
use crate::deliver::options::Options;
use crate::deliver::transport::{Delivered, SendError, SendErrorCause};

#[test]
fn requests_that_fail_side_by_side_use_up_no_attempts() {
    let plan = plan(groups_of(60, 1));
    let options =
        Options { retry_initial_delay: Duration::ZERO, retry_max_delay: Duration::ZERO, ..options() };
    let mut core = Core::new(Arc::clone(&plan), &options, None);
    let mut chance = StdRng::seed_from_u64(1);
    let mut now = clock::monotonic_now();
    for round in 0.. {
        let mut started = Vec::new();
        while started.len() < 3 && core.decide(now) {
            started.extend(core.start(now));
        }
        if started.is_empty() {
            break;
        }
        now += LATENCY;
        // The first request is answered. Then two fail again and again, each time before another one is served.
        let fails = |call: &ApiCall| {
            let ApiCall::Update(users) = call else { return false };
            (1..15).contains(&round) && [2, 3].contains(&plan.user_number(users.group, users.first()))
        };
        started.sort_by_key(|request| !fails(&request.call));
        for request in started {
            let status = if fails(&request.call) { 500 } else { 200 };
            let answer = reply(status, if status == 200 { r#"{"status": "ok"}"# } else { "" });
            core.answered(request.number, &answer, 100, now, &mut chance);
        }
    }
    assert!(core.is_done() && core.stop().is_none());
    let acknowledged =
        |event: &Event| matches!(event, Event::Finished { outcome: Outcome::Acknowledged, .. });
    assert_eq!(core.events().iter().filter(|event| acknowledged(event)).count(), 60);
}

#[test]
fn where_no_connection_is_possible_the_next_attempt_waits() {
    let minute = Duration::from_mins(1);
    let options = Options { retry_initial_delay: minute, retry_max_delay: minute, ..options() };
    let lost = SendError {
        delivered: Delivered::No,
        cause: SendErrorCause::Certificate,
        error: "no luck".to_owned(),
    };
    let server = FaultyServer { script: vec![("", 0..2, Err(lost))], ..FaultyServer::default() };
    let run = run(&plan([(1, "city", "Oslo")]), &options, &server);
    assert_eq!((&run.stop, run.starts.len()), (&None, 3));
    let waits = run.starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    assert!(waits.min() > Some(Duration::from_secs(1)), "{:?}", run.starts);
}
