//! The figures of a saved plan, from which its screen is shown again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::input::{Counts, Issue};
use crate::plan::{
    AttributeSummary, Conflict, GroupSummary, KnownPlan, KnownRows, PlanSummary, SentValue, SharedValues,
    User, ValueChange,
};

/// What the inputs had, and what would be sent, in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The rows of the inputs.
    pub rows: Counts,
    /// Rows to send: one for each user and attribute.
    pub planned: u64,
    attributes: Vec<SavedAttribute>,
    known: Option<SavedKnown>,
    largest: Vec<SavedGroup>,
    conflicts: Vec<SavedConflict>,
    shared: Vec<SavedShared>,
    /// Why rows are invalid, the most frequent first.
    pub invalid: Vec<Issue>,
    /// What looks wrong in the inputs.
    pub warnings: Vec<Issue>,
    /// What reading and planning took.
    pub planning: Option<SavedPlanning>,
}

/// What reading and planning took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedPlanning {
    /// From the first byte to the plan.
    pub milliseconds: u64,
    /// The most memory that the process had, in bytes, where the system tells.
    pub memory: Option<u64>,
    /// How many bytes went to temporary files.
    pub spilled: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedAttribute {
    name: String,
    rows: u64,
    users: u64,
    values: u64,
    requests: u64,
    superseded: u64,
    conflicts: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedGroup {
    attribute: String,
    value: Option<String>,
    users: u32,
    requests: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedConflict {
    attribute: String,
    user: User<'static>,
    values: Vec<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedShared {
    attribute: String,
    values: u64,
    examples: Vec<SavedGroup>,
}

/// What the ledger knew of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedKnown {
    attributes: Vec<SavedKnownRows>,
    changes: Vec<SavedChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedKnownRows {
    name: String,
    #[serde(flatten)]
    rows: KnownRows,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedChange {
    attribute: String,
    from: SavedValue,
    to: SavedValue,
    users: u64,
}

/// A text, null, or any other token, whose digits must stay as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum SavedValue {
    Null,
    Text(String),
    Json { json: String },
}

impl Figures {
    /// Of a plan's summary, and of what the ledger knows, if it was asked.
    pub fn of(summary: &PlanSummary<'_>, rows: Counts, known: Option<&KnownPlan>) -> Self {
        Self {
            rows,
            planned: summary.totals.standing,
            attributes: summary.attributes.iter().map(SavedAttribute::from).collect(),
            known: known.map(SavedKnown::from),
            largest: summary.largest.iter().map(SavedGroup::from).collect(),
            conflicts: summary.conflicts.iter().map(SavedConflict::from).collect(),
            shared: summary.shared.iter().map(SavedShared::from).collect(),
            invalid: Vec::new(),
            warnings: Vec::new(),
            planning: None,
        }
    }

    /// The plan's summary, with at most `top` of the largest groups.
    pub fn summary(&self, top: usize) -> PlanSummary<'_> {
        PlanSummary {
            largest: self.largest.iter().take(top).map(SavedGroup::summary).collect(),
            conflicts: self.conflicts.iter().map(SavedConflict::conflict).collect(),
            shared: self.shared.iter().map(SavedShared::values).collect(),
            ..PlanSummary::of(self.attributes.iter().map(SavedAttribute::summary).collect())
        }
    }

    /// What the ledger knew of the rows; `None` if it was not asked.
    pub fn known(&self) -> Option<KnownPlan> {
        let SavedKnown { attributes, changes } = self.known.as_ref()?;
        let changes = changes.iter().map(|SavedChange { attribute, from, to, users }| ValueChange {
            attribute: attribute.clone(),
            from: from.value(),
            to: to.value(),
            users: *users,
        });
        let attributes =
            attributes.iter().map(|SavedKnownRows { name, rows }| (name.clone(), *rows)).collect();
        Some(KnownPlan { attributes, changes: changes.collect() })
    }
}

impl From<&AttributeSummary<'_>> for SavedAttribute {
    fn from(summary: &AttributeSummary<'_>) -> Self {
        let &AttributeSummary { name, rows, users, values, requests, superseded, conflicts, .. } = summary;
        Self { name: name.to_owned(), rows, users, values, requests, superseded, conflicts }
    }
}

impl SavedAttribute {
    fn summary(&self) -> AttributeSummary<'_> {
        let Self { name, rows, users, values, requests, superseded, conflicts } = self;
        AttributeSummary {
            name,
            rows: *rows,
            users: *users,
            values: *values,
            requests: *requests,
            users_per_request: 0.0,
            superseded: *superseded,
            conflicts: *conflicts,
            uncoalesced: false,
        }
        .with_average()
    }
}

impl From<&GroupSummary<'_>> for SavedGroup {
    fn from(GroupSummary { attribute, value, users, requests }: &GroupSummary<'_>) -> Self {
        let value = value.as_deref().map(str::to_owned);
        Self { attribute: (*attribute).to_owned(), value, users: *users, requests: *requests }
    }
}

impl SavedGroup {
    fn summary(&self) -> GroupSummary<'_> {
        let Self { attribute, value, users, requests } = self;
        let value = value.as_deref().map(Cow::Borrowed);
        GroupSummary { attribute, value, users: *users, requests: *requests }
    }
}

impl From<&Conflict<'_>> for SavedConflict {
    fn from(Conflict { attribute, user, values }: &Conflict<'_>) -> Self {
        let user = match user {
            User::Id(id) => User::Id(*id),
            User::Custom(id) => User::Custom(Cow::Owned(id.as_ref().to_owned())),
        };
        let values = values.iter().map(|value| value.as_deref().map(str::to_owned)).collect();
        Self { attribute: (*attribute).to_owned(), user, values }
    }
}

impl SavedConflict {
    fn conflict(&self) -> Conflict<'_> {
        let Self { attribute, user, values } = self;
        let values = values.iter().map(|value| value.as_deref().map(Cow::Borrowed)).collect();
        Conflict { attribute, user: user.clone(), values }
    }
}

impl From<&SharedValues<'_>> for SavedShared {
    fn from(SharedValues { attribute, values, examples }: &SharedValues<'_>) -> Self {
        let examples = examples.iter().map(SavedGroup::from).collect();
        Self { attribute: (*attribute).to_owned(), values: *values, examples }
    }
}

impl SavedShared {
    fn values(&self) -> SharedValues<'_> {
        let Self { attribute, values, examples } = self;
        let examples = examples.iter().map(SavedGroup::summary).collect();
        SharedValues { attribute, values: *values, examples }
    }
}

impl From<&KnownPlan> for SavedKnown {
    fn from(KnownPlan { attributes, changes }: &KnownPlan) -> Self {
        let changes = changes.iter().map(|ValueChange { attribute, from, to, users }| SavedChange {
            attribute: attribute.clone(),
            from: from.into(),
            to: to.into(),
            users: *users,
        });
        let attributes = attributes
            .iter()
            .map(|(name, rows)| SavedKnownRows { name: name.clone(), rows: *rows })
            .collect();
        Self { attributes, changes: changes.collect() }
    }
}

impl From<&SentValue<'_>> for SavedValue {
    fn from(value: &SentValue<'_>) -> Self {
        match value {
            SentValue::Null => Self::Null,
            SentValue::Text(text) => Self::Text(text.as_ref().to_owned()),
            SentValue::Json(token) => Self::Json { json: token.as_ref().to_owned() },
        }
    }
}

impl SavedValue {
    fn value(&self) -> SentValue<'static> {
        match self {
            Self::Null => SentValue::Null,
            Self::Text(text) => SentValue::Text(Cow::Owned(text.clone())),
            Self::Json { json } => SentValue::Json(Cow::Owned(json.clone())),
        }
    }
}
