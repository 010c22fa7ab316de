use super::*;
use crate::deliver::model;

fn rejection() -> Rejection {
    Rejection {
        reason: Reason { status: Some(400), error: "no".to_owned() },
        pattern: "no".to_owned(),
        is_structured: false,
        suggested: SuggestedCause::Nothing,
        is_trouble: false,
    }
}

#[test]
fn a_user_who_is_tested_again_is_left_with_the_others() {
    for again in 0..3 {
        let mut diagnosis = Diagnosis::new(&UserSet::of(0, [0, 1, 2]), 1, rejection());
        diagnosis.search.found(again);
        diagnosis.check = Some(Check::again(again));
        diagnosis.leave_all();
        let left: Vec<u32> =
            diagnosis.drain().flat_map(|left| left.users.places().collect::<Vec<_>>()).collect();
        assert_eq!(left, [0, 1, 2]);
    }
}

#[test]
fn users_who_were_found_missing_meanwhile_are_asked_about_and_not_nobody() {
    let plan = model::plan([(1, "city", "Oslo"), (2, "city", "Oslo")]);
    let mut knowledge = Knowledge::new(true);
    knowledge.add_random_rejection("no");
    knowledge.add_offender(1, Offender::Unknown);
    knowledge.add_offender(2, Offender::Unknown);
    let mut diagnosis = Diagnosis::new(&UserSet::of(0, [0, 1]), 1, rejection());
    assert_eq!(diagnosis.begin(&mut knowledge, &plan), Finding::Nothing);
    assert_eq!(diagnosis.ask(u32::MAX, &mut knowledge, &plan), Some(Question::Update(0..2)));
}
