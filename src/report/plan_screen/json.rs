//! The plan as JSON.

use serde::{Serialize, Serializer};

use super::{PlanScreen, PlanningStats};
use crate::input::Location;
use crate::plan::PlanSummary;

impl Serialize for PlanScreen<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let totals = &self.plan.totals;
        Json {
            rows: Rows {
                read: self.counts.read,
                invalid: self.counts.invalid,
                skipped: self.counts.skipped,
                superseded: totals.superseded,
                in_conflict: self.in_conflict(),
                unchanged: self.spared.map(|spared| spared.unchanged),
                resumed: self.spared.map(|spared| spared.resumed),
                planned: totals.standing,
            },
            requests: totals.requests,
            rate: self.rate.to_string(),
            duration_seconds: self.duration_of(totals.requests).as_secs_f64(),
            planning: self.planning.map(Planning::from),
            costs: self
                .costs()
                .into_iter()
                .map(|cost| Cost {
                    attribute: cost.attribute.name,
                    requests: cost.attribute.requests,
                    share: cost.share,
                    duration_seconds: self.duration_of(cost.attribute.requests).as_secs_f64(),
                    why: cost.why.to_string(),
                })
                .collect(),
            plan: self.plan,
            invalid: self
                .causes
                .iter()
                .map(|cause| Finding::new(&cause.what, cause.count, &cause.places))
                .collect(),
            warnings: self
                .warnings
                .iter()
                .map(|warning| Finding::new(&warning.what, warning.count, &warning.places))
                .collect(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Json<'a> {
    rows: Rows,
    requests: u64,
    rate: String,
    duration_seconds: f64,
    planning: Option<Planning>,
    costs: Vec<Cost<'a>>,
    #[serde(flatten)]
    plan: &'a PlanSummary<'a>,
    invalid: Vec<Finding<'a>>,
    warnings: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Rows {
    read: u64,
    invalid: u64,
    skipped: u64,
    superseded: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<u64>,
    in_conflict: u64,
    planned: u64,
}

#[derive(Serialize)]
struct Planning {
    duration_seconds: f64,
    peak_memory_bytes: Option<u64>,
    spilled_bytes: u64,
}

#[derive(Serialize)]
struct Cost<'a> {
    attribute: &'a str,
    requests: u64,
    share: f64,
    duration_seconds: f64,
    why: String,
}

#[derive(Serialize)]
struct Finding<'a> {
    what: &'a str,
    count: u64,
    places: Vec<String>,
}

impl From<PlanningStats> for Planning {
    fn from(PlanningStats { duration, memory, spilled }: PlanningStats) -> Self {
        Self { duration_seconds: duration.as_secs_f64(), peak_memory_bytes: memory, spilled_bytes: spilled }
    }
}

impl<'a> Finding<'a> {
    fn new(what: &'a str, count: u64, places: &[Location]) -> Self {
        Self {
            what,
            count,
            places: places.iter().map(|place| format!("{}:{}", place.input, place.line)).collect(),
        }
    }
}
