//! The rows of the first users are sent and read back before all others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attrsync::deliver::{Canary, CanaryFailure, Delivered, End, Options, Purpose, Stop};
use attrsync::plan::Plan;

use super::scripted::{Act, Asked, Script, lost, ok, status};
use super::{Run, options, plan, run, run_until};

/// Users 1 to 100 with a city and a score each, and user 7 with an e-mail address.
fn many() -> Arc<Plan> {
    let users = (1..=100).flat_map(|user| [(user, "city", "Oslo"), (user, "score", "7")]);
    plan(users.chain([(7, "email", "ann@example.com")]), 40)
}

fn with_canary(plan: &Plan, users: usize) -> Options {
    Options { canary: Canary::choose(plan, users), ..options() }
}

type Sent = Arc<Mutex<Vec<(String, Vec<u64>)>>>;

/// A server that does this, and remembers what it was asked, in order.
fn watched(mut act: impl FnMut(&Asked) -> Act + Send + 'static) -> (Script, Sent) {
    let sent = Sent::default();
    let log = Arc::clone(&sent);
    let script = move |asked: &Asked| {
        log.lock().unwrap().push((asked.attribute.clone(), asked.ids.clone()));
        act(asked)
    };
    (Box::new(script), sent)
}

/// The first user whose rows are enough to test all attributes.
const FIRST: u64 = 7;

fn canary_failure(run: &Run) -> &CanaryFailure {
    match &run.end {
        End::Stopped(Stop::Canary(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// All rows of the first user and no others were settled.
fn only_the_first(run: &Run) {
    let users: BTreeSet<u64> = run.users(|_| true).into_iter().collect();
    assert_eq!(users, [FIRST].into());
}

#[test]
fn the_first_users_are_sent_and_read_back_and_then_the_others() {
    let plan = many();
    let (script, sent) = watched(|_| ok());
    let run = run(&plan, &with_canary(&plan, 1), script);
    assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 201));
    let first = |attribute: &str| (attribute.to_owned(), vec![FIRST]);
    let sent = sent.lock().unwrap();
    assert_eq!(sent[..2].iter().cloned().collect::<BTreeSet<_>>(), [first("city"), first("score")].into());
    assert_eq!(sent[2], first("email"), "an identity comes last among its rows, too");
    assert!(sent[3..].iter().all(|(_, ids)| !ids.contains(&FIRST)), "it is not sent again");
    assert!(run.api.log().applied.values().all(|(_, times)| *times == 1));
    let read_back = run.sent.iter().position(|purpose| *purpose == Purpose::ReadBack);
    assert_eq!((read_back, sent.len()), (Some(3), 3 + 6), "{:?}", run.sent);
    let verified = run.verified.unwrap();
    assert_eq!((verified.asked, verified.checked, verified.differing), (3, 3, 0));
}

#[test]
fn rows_that_are_acknowledged_and_not_there_stop_the_run() {
    let plan = many();
    let forgetful = |asked: &Asked| Act { applied: asked.attribute != "score", ..ok() };
    let run = run(&plan, &with_canary(&plan, 1), Box::new(forgetful));
    // The server shows what it was told alone: no score.
    let failure = canary_failure(&run);
    assert!(matches!(failure, CanaryFailure::Unread { unread: 1, why: Some(_) }), "{failure:?}");
    only_the_first(&run);
    // Its rows were not tested, so a run that continues must send them again.
    assert_eq!((run.acknowledged().len(), run.sent.len()), (0, 4));

    let mistaken = |asked: &Asked| Act { applied: !asked.ids.contains(&FIRST), ..ok() };
    let plan = plan_of_one_city();
    let run = self::run(&plan, &with_canary(&plan, 1), Box::new(mistaken));
    assert!(matches!(canary_failure(&run), CanaryFailure::Unread { .. }));
}

#[test]
fn an_api_that_applies_late_is_given_time() {
    let rows: Vec<(u64, String)> = (1..=100).map(|user| (user, format!("City {user}"))).collect();
    let plan = plan(rows.iter().map(|(user, city)| (*user, "city", city.as_str())), 40);
    for (late, complete) in [(2, true), (60, false)] {
        let shown_after = Duration::from_secs(late);
        let late = move |_: &Asked| Act { shown_after, ..ok() };
        let run = run(&plan, &with_canary(&plan, 3), Box::new(late));
        let verified = run.verified.as_ref().unwrap();
        assert_eq!((verified.asked, verified.checked), (3, 3));
        if complete {
            assert_eq!((&run.end, run.acknowledged().len(), verified.differing), (&End::Complete, 100, 0));
        } else {
            assert_eq!(canary_failure(&run), &CanaryFailure::Differs { differing: 3, checked: 3 });
            assert_eq!(run.sent.len(), 3 + 3 * 5, "as often as a request is tried");
        }
    }
}

#[test]
fn only_users_whose_values_differ_are_read_again() {
    let rows: Vec<(u64, String)> = (1..=100).map(|user| (user, format!("City {user}"))).collect();
    let plan = plan(rows.iter().map(|(user, city)| (*user, "city", city.as_str())), 40);
    let late = |asked: &Asked| {
        let shown_after = Duration::from_secs(if asked.ids == [2] { 2 } else { 0 });
        Act { shown_after, ..ok() }
    };
    let run = run(&plan, &with_canary(&plan, 3), Box::new(late));
    assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 100));
    let verified = run.verified.as_ref().unwrap();
    assert_eq!((verified.asked, verified.checked, verified.differing), (3, 3, 0));
    let read = run.sent.iter().filter(|purpose| **purpose == Purpose::ReadBack).count();
    assert!((3 + 2..3 + 5).contains(&read), "three users, and one of them more than once again: {read}");
}

#[test]
fn users_are_not_read_again_where_others_are_not_shown() {
    let plan = many();
    let half = |asked: &Asked| Act {
        applied: asked.attribute != "score",
        shown_after: Duration::from_secs(2),
        ..ok()
    };
    let run = run(&plan, &with_canary(&plan, 1), Box::new(half));
    assert_eq!(canary_failure(&run), &CanaryFailure::Differs { differing: 2, checked: 2 });
    only_the_first(&run);
    assert_eq!(run.sent.len(), 3 + 1);
}

fn plan_of_one_city() -> Arc<Plan> {
    plan([(FIRST, "city", "Oslo"), (8, "city", "Oslo")], 40)
}

#[test]
fn a_row_that_is_refused_stops_the_run() {
    let plan = many();
    let refusing = |asked: &Asked| if asked.attribute == "score" { status(400, "no") } else { ok() };
    let run = run(&plan, &with_canary(&plan, 1), Box::new(refusing));
    let CanaryFailure::NotAccepted(reason) = canary_failure(&run) else { panic!("{:?}", run.end) };
    assert_eq!(reason.status, Some(400));
    only_the_first(&run);
    assert_eq!(run.failed(), [FIRST]);
}

#[test]
fn a_wrong_key_still_costs_one_request() {
    let plan = many();
    let run = run(&plan, &with_canary(&plan, 5), Box::new(|_| status(401, "")));
    assert!(matches!(run.end, End::Stopped(Stop::KeyRefused(_))));
    assert_eq!(run.sent.len(), 1);
}

#[test]
fn an_outage_among_the_first_costs_time_only() {
    for from in [Duration::ZERO, Duration::from_millis(30), Duration::from_millis(70)] {
        let plan = many();
        let to = from + Duration::from_mins(1);
        let down = move |asked: &Asked| {
            if asked.at >= from && asked.at < to { lost(Delivered::Maybe) } else { ok() }
        };
        let run = run(&plan, &with_canary(&plan, 3), Box::new(down));
        assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 201));
    }
}

#[test]
fn a_signal_among_the_first_leaves_the_others_unsent() {
    let plan = many();
    let after = Some((Duration::from_millis(50), Stop::Interrupted));
    let run = run_until(&plan, &with_canary(&plan, 1), Box::new(|_| ok()), after);
    assert_eq!(run.end, End::Stopped(Stop::Interrupted));
    only_the_first(&run);
    assert!(run.acknowledged().is_empty(), "they were not read back");
}

#[test]
fn all_users_may_be_the_first() {
    let plan = many();
    let (script, sent) = watched(|_| ok());
    let run = run(&plan, &with_canary(&plan, 1000), script);
    assert_eq!((&run.end, run.acknowledged().len()), (&End::Complete, 201));
    assert_eq!(sent.lock().unwrap().len(), 7, "as many as without, as batches are as large");
    assert_eq!(run.verified.unwrap().checked, 201);
}
