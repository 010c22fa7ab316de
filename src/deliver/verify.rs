//! Reading back: the API says only that it took a request, so this is the one proof that it did.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rand::rngs::StdRng;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use super::event::Order;
use super::limiter::Limiter;
use super::options::Options;
use super::retry::backoff;
use super::sample::Pick;
use super::transport::{Lost, Reply, Transport};
use super::verdict::Verdict;
use crate::clock;
use crate::input::Attribute;
use crate::plan::{Batch, Phase, Plan, User};

/// What reading back found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many rows were to be read back.
    pub asked: u64,
    /// How many were: fewer if it was stopped, or the key refused.
    pub checked: u64,
    /// Those that the API doesn't hold, and those that it didn't show.
    pub mismatches: Vec<Mismatch>,
}

/// A row that was acknowledged and is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// The user, as in the input.
    pub user_id: String,
    /// The attribute's name.
    pub attribute: String,
    /// What was sent, in JSON.
    pub sent: String,
    /// What the API holds, in JSON; or why that can't be said.
    pub found: String,
    /// Where it stands in the plan.
    #[serde(skip)]
    pub pick: Pick,
}

/// Reads rows back, at the rate of the run, and compares them with what was sent. Leaves out users whose own ids the run
/// has changed. Stops when it is ordered to.
pub async fn verify<T: Transport>(
    plan: &Plan,
    transport: Arc<T>,
    options: &Options,
    picks: Vec<Pick>,
    mut orders: watch::Receiver<Order>,
    mut chance: StdRng,
) -> Verified {
    let mut verified = Verified { asked: picks.len() as u64, ..Verified::default() };
    let mut limiter = Limiter::new(options.rate);
    // This limiter knows nothing of the requests before it.
    limiter.pause_until(clock::now() + limiter.interval());
    let renamed = renamed(plan);
    let known = |pick: &Pick| !renamed.contains(&plan.user(pick.group, pick.place));
    // A user is asked for once, whatever is to be compared.
    let mut users: HashMap<User<'_>, Vec<Pick>> = HashMap::new();
    for pick in picks.into_iter().filter(known) {
        users.entry(plan.user(pick.group, pick.place)).or_default().push(pick);
    }
    let mut waiting: VecDeque<(Vec<Pick>, u32)> = users.into_values().map(|picks| (picks, 0)).collect();
    let mut in_flight: JoinSet<(Vec<Pick>, u32, Result<Reply, Lost>)> = JoinSet::new();
    while *orders.borrow() == Order::GoOn && !(waiting.is_empty() && in_flight.is_empty()) {
        tokio::select! {
            biased;
            Ok(()) = orders.changed() => {}
            Some(answered) = in_flight.join_next() => {
                let (picks, attempts, result) = answered.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                let now = clock::now();
                match Verdict::of(&result) {
                    Verdict::Throttled { pause, .. } => {
                        limiter.pause_until(now + pause.unwrap_or_else(|| limiter.interval()));
                        waiting.push_back((picks, attempts));
                    }
                    // A user is no acknowledgement either, so that it looks like trouble: what counts is the status.
                    Verdict::Troubled { reason, .. } if reason.status != Some(200) && attempts < options.max_attempts.get() => {
                        info!(status = reason.status, "reading back failed");
                        limiter.pause_until(now + backoff(options, attempts, &mut chance));
                        waiting.push_back((picks, attempts));
                    }
                    // All others would be answered alike.
                    Verdict::KeyRefused(_) => waiting.clear(),
                    verdict => {
                        verified.checked += picks.len() as u64;
                        let compared = picks.into_iter().map(|pick| compare(plan, pick, &result, &verdict));
                        verified.mismatches.extend(compared.flatten());
                    }
                }
            }
            () = limiter.permit(), if !waiting.is_empty() && in_flight.len() < options.concurrency.get() => {
                if let Some((picks, attempts)) = waiting.pop_front() {
                    limiter.started(clock::now());
                    let user = picks.first().map(|pick| plan.user(pick.group, pick.place).to_string());
                    let (user, transport) = (user.unwrap_or_default(), Arc::clone(&transport));
                    in_flight.spawn(async move { (picks, attempts + 1, transport.fetch(&user).await) });
                }
            }
        }
    }
    verified.mismatches.sort_by(|a, b| (&a.attribute, &a.user_id).cmp(&(&b.attribute, &b.user_id)));
    verified
}

/// Users by the client's own ids whose ids the run has changed: nobody goes by the old ones any more.
fn renamed(plan: &Plan) -> HashSet<User<'_>> {
    let whole = |group| Batch { group, first: 0, len: plan.group_len(group) };
    let renaming = (0..plan.groups()).map(whole).filter(|batch| plan.phase(*batch) == Phase::Identity);
    renaming.flat_map(|batch| plan.users(batch)).filter(|user| matches!(user, User::Custom(_))).collect()
}

fn compare(plan: &Plan, pick: Pick, result: &Result<Reply, Lost>, verdict: &Verdict) -> Option<Mismatch> {
    let attribute = plan.attribute(pick.group);
    let sent = plan.value_token(pick.group);
    let found = match (result, verdict) {
        (Ok(reply), _) if reply.status == 200 => {
            match serde_json::from_slice::<Map<String, Value>>(&reply.body) {
                Ok(user) => {
                    let held = held(&user, attribute);
                    let wanted = serde_json::from_str(&sent).unwrap_or_default();
                    if meaning(&attribute.name, held) == meaning(&attribute.name, &wanted) {
                        return None;
                    }
                    held.to_string()
                }
                Err(error) => format!("the answer is no user: {error}"),
            }
        }
        (
            _,
            Verdict::Refused(reason)
            | Verdict::Hopeless(reason)
            | Verdict::KeyRefused(reason)
            | Verdict::Troubled { reason, .. }
            | Verdict::Throttled { reason, .. },
        ) => reason.error.clone(),
        (_, Verdict::Acknowledged) => "the answer is no user".to_owned(),
    };
    let user: User<'_> = plan.user(pick.group, pick.place);
    Some(Mismatch { user_id: user.to_string(), attribute: attribute.name.clone(), sent, found, pick })
}

/// What a user object says of an attribute: custom ones stand in a list of their own.
fn held<'u>(user: &'u Map<String, Value>, attribute: &Attribute) -> &'u Value {
    // One thing, which has had two names.
    let names: &[&str] = match attribute.name.as_str() {
        "user_id" | "custom_id" => &["custom_id", "user_id"],
        name => &[name],
    };
    if let Some(value) = names.iter().filter_map(|name| user.get(*name)).find(|value| !value.is_null()) {
        return value;
    }
    let custom = user.get("attributes").and_then(Value::as_array);
    custom
        .into_iter()
        .flatten()
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(&attribute.name))
        .and_then(|entry| entry.get("value"))
        .unwrap_or(&Value::Null)
}

/// A value without its form: the API shows a name for some numbers, and a type for what was sent as text.
fn meaning(attribute: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let name = text.to_lowercase();
    let number = match (attribute, name.as_str()) {
        ("gender", "unknown") | ("status", "visitor") => "1",
        ("gender", "male") | ("status", "user") => "2",
        ("gender", "female") => "3",
        ("notifications" | "unsubscribed", "true" | "1") => "true",
        ("notifications" | "unsubscribed", "false" | "0") => "false",
        ("assigned_to" | "company_id" | "score", _) => {
            return text.trim().parse::<i64>().map_or(text, |number| number.to_string());
        }
        _ => return text,
    };
    number.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_agree_by_meaning() {
        for (attribute, sent, held) in [
            ("gender", json!("2"), json!("male")),
            ("gender", json!("1"), json!("unknown")),
            ("gender", json!(3), json!("female")),
            ("status", json!("1"), json!("visitor")),
            ("status", json!("2"), json!("user")),
            ("unsubscribed", json!("True"), json!(true)),
            ("notifications", json!("0"), json!(false)),
            ("score", json!("007"), json!(7)),
            ("city", json!("Łódź"), json!("Łódź")),
            ("city", json!(""), json!(null)),
            ("city", json!(null), json!(null)),
            ("plan level", json!("3"), json!(3)),
        ] {
            assert_eq!(meaning(attribute, &sent), meaning(attribute, &held), "{attribute} {sent} {held}");
        }
        for (attribute, sent, held) in [
            ("gender", json!("2"), json!("female")),
            ("city", json!("2"), json!("male")),
            ("city", json!("Oslo"), json!("oslo")),
            ("city", json!("007"), json!("7")),
            ("score", json!("7"), json!(null)),
        ] {
            assert_ne!(meaning(attribute, &sent), meaning(attribute, &held), "{attribute} {sent} {held}");
        }
    }
}
