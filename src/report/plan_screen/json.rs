//! The plan as JSON. Every key is named here: scripts rely on the keys and on their order.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::PlanScreen;
use crate::input::Location;
use crate::plan::{
    AttributeSummary, Conflict, GroupSummary, KnownPlan, KnownRows, SavedHeader, SharedValues, ValueChange,
};

impl Serialize for PlanScreen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let totals = &self.plan.totals;
        json!({
            "saved": self.saved.map(saved),
            "rows": self.rows_json(),
            "requests": totals.requests,
            "rate": self.rate.to_string(),
            "duration_seconds": self.duration_of(totals.requests).as_secs_f64(),
            "planning": self.planning.map(|planning| json!({
                "duration_seconds": planning.duration.as_secs_f64(),
                "peak_memory_bytes": planning.memory,
                "spilled_bytes": planning.spilled,
            })),
            "costs": list(&self.costs(), |cost| json!({
                "attribute": cost.attribute.name,
                "requests": cost.attribute.requests,
                "share": cost.share,
                "duration_seconds": self.duration_of(cost.attribute.requests).as_secs_f64(),
                "why": cost.why.to_string(),
            })),
            "totals": {
                "rows": totals.rows,
                "standing": totals.standing,
                "superseded": totals.superseded,
                "conflicts": totals.conflicts,
                "groups": totals.groups,
                "requests": totals.requests,
            },
            "attributes": list(&self.plan.attributes, attribute),
            "costliest": self.plan.costliest,
            "largest": list(&self.plan.largest, group),
            "conflicts": list(&self.plan.conflicts, conflict),
            "shared": list(&self.plan.shared, shared),
            "invalid": list(self.causes, |cause| finding(&cause.what, cause.count, &cause.places)),
            "warnings": list(self.warnings, |warning| finding(&warning.what, warning.count, &warning.places)),
            "changes": self.known.map(|known| json!({
                "attributes": list(&self.changes(), |of| json!({
                    "name": of.name,
                    "equal": of.equal,
                    "changed": of.changed,
                    "new": of.new,
                    "missing": of.missing,
                })),
                "most_frequent": list(&known.changes, change),
            })),
        })
        .serialize(serializer)
    }
}

impl PlanScreen<'_> {
    fn rows_json(&self) -> Value {
        let totals = &self.plan.totals;
        let total = self.known.map(KnownPlan::total);
        let known = |count: fn(&KnownRows) -> u64| total.as_ref().map(count);
        let counts = [
            ("read", Some(self.counts.read)),
            ("invalid", Some(self.counts.invalid)),
            ("skipped", Some(self.counts.skipped)),
            ("superseded", Some(totals.superseded)),
            ("unchanged", known(|rows| rows.unchanged)),
            ("resumed", known(|rows| rows.resumed)),
            ("missing", known(|rows| rows.missing)),
            ("in_conflict", Some(self.in_conflict())),
            ("planned", Some(totals.standing)),
        ];
        // A ledger that was not asked knows of no rows.
        let counts = counts.into_iter().filter_map(|(key, count)| Some((key.to_owned(), count?.into())));
        Value::Object(counts.collect::<Map<_, _>>())
    }
}

fn list<T>(items: &[T], json: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(json).collect()
}

fn saved(plan: &SavedHeader) -> Value {
    json!({
        "id": plan.id,
        "created_at": plan.created_at,
        "base_url": plan.target.base_url,
        "id_type": plan.target.id_type,
        "inputs": plan.inputs,
        "ledger": plan.ledger,
    })
}

fn attribute(attribute: &AttributeSummary<'_>) -> Value {
    json!({
        "name": attribute.name,
        "rows": attribute.rows,
        "users": attribute.users,
        "values": attribute.values,
        "requests": attribute.requests,
        "users_per_request": attribute.users_per_request,
        "superseded": attribute.superseded,
        "conflicts": attribute.conflicts,
        "uncoalesced": attribute.uncoalesced,
    })
}

fn group(group: &GroupSummary<'_>) -> Value {
    json!({
        "attribute": group.attribute,
        "value": group.value,
        "users": group.users,
        "requests": group.requests,
    })
}

fn conflict(conflict: &Conflict<'_>) -> Value {
    json!({ "attribute": conflict.attribute, "user": conflict.user, "values": conflict.values })
}

fn change(change: &ValueChange) -> Value {
    let ValueChange { attribute, from, to, users } = change;
    json!({ "attribute": attribute, "from": from, "to": to, "users": users })
}

fn shared(shared: &SharedValues<'_>) -> Value {
    json!({
        "attribute": shared.attribute,
        "values": shared.values,
        "examples": list(&shared.examples, group),
    })
}

fn finding(what: &str, count: u64, places: &[Location]) -> Value {
    let places = list(places, |place| place.to_string().into());
    json!({ "what": what, "count": count, "places": places })
}
