//! What planning should come to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use attrsync::input::IdType;
use attrsync::plan::{
    AttributeSummary, Batch, Conflict, GroupSummary, OnConflict, Phase, Plan, PlanSummary, PlanTotals,
    SharedValues, User,
};

use super::Triple;

/// The standard attributes, in the order of sending, but for those that change who a user is.
pub(super) const STANDARD: [&str; 22] = [
    "assigned_to",
    "city",
    "company_id",
    "country",
    "custom_id",
    "email",
    "facebook_url",
    "first_name",
    "gender",
    "google_url",
    "gravatar_url",
    "last_name",
    "linkedin_url",
    "notifications",
    "phone_number",
    "region",
    "score",
    "status",
    "timezone",
    "twitter_url",
    "unsubscribed",
    "user_id",
];

/// A plan, as it should be.
#[derive(Debug)]
pub(crate) struct Expected {
    id_type: IdType,
    on_conflict: OnConflict,
    /// Those that have rows, in the order of sending.
    attributes: Vec<Attribute>,
}

#[derive(Debug)]
struct Attribute {
    name: String,
    phase: Phase,
    rows: u64,
    superseded: u64,
    groups: Vec<Group>,
    conflicts: Vec<Disagreement>,
}

#[derive(Debug)]
struct Group {
    /// The attribute as the rows call it that stand.
    name: String,
    value: Option<String>,
    users: Vec<String>,
}

/// Values of one user, distinct and in the order of the input.
#[derive(Debug)]
struct Disagreement {
    user: String,
    values: Vec<Option<String>>,
}

/// Numbers ascend as numbers, texts by their bytes.
type Rank<'a> = (u64, &'a str);

impl Expected {
    /// Of valid rows, and of the attributes in the order in which the input names them.
    pub(crate) fn of(rows: &[Triple], named: &[String], id_type: IdType, on_conflict: OnConflict) -> Self {
        let custom = named.iter().map(String::as_str).filter(|name| !STANDARD.contains(name));
        let mut order: Vec<&str> = STANDARD.into_iter().chain(custom).collect();
        order.sort_by_key(|name| phase(name));
        let mut by_attribute: HashMap<&str, Vec<&Triple>> = HashMap::new();
        for row in rows {
            // Two names of one attribute.
            let name = if row.1 == "user_id" { "custom_id" } else { &row.1 };
            by_attribute.entry(name).or_default().push(row);
        }
        let attributes = order.into_iter().filter_map(|name| {
            let rows = by_attribute.get(name)?;
            Some(Attribute::of(name, rows, id_type, on_conflict))
        });
        Self { id_type, on_conflict, attributes: attributes.collect() }
    }

    /// Compares all of a plan but its request bodies.
    #[track_caller]
    pub(crate) fn check(&self, plan: &Plan) {
        let batch_size = plan.batch_size().get();
        let groups = self.attributes.iter().flat_map(|it| it.groups.iter().map(move |group| (it, group)));
        let mut batches = plan.batches();
        for (number, (attribute, group)) in (0..).zip(groups) {
            assert_eq!(plan.attribute(number).name, group.name, "group {number}");
            assert_eq!(plan.value(number).as_deref(), group.value.as_deref(), "group {number}");
            assert_eq!(plan.group_len(number) as usize, group.users.len(), "group {number}");
            for (place, users) in
                (0..).step_by(batch_size as usize).zip(group.users.chunks(batch_size as usize))
            {
                let len = u32::try_from(users.len()).expect("no more than a batch has");
                let batch = batches.next().expect("a group has batches to its end");
                assert_eq!(batch, Batch { group: number, first: place, len });
                assert_eq!(plan.phase(batch), attribute.phase, "group {number}");
                let found: Vec<User<'_>> = plan.users(batch).collect();
                assert_eq!(found, users.iter().map(|user| self.user(user)).collect::<Vec<_>>());
                assert_eq!(plan.user(number, place), found[0]);
            }
        }
        assert_eq!(batches.next(), None);
        let disputed: Vec<Conflict<'_>> = plan.disputed().collect();
        assert_eq!(disputed, self.disputed());
        let (found, expected) = (plan.summary(3), self.summary(3, batch_size));
        assert_eq!(found, expected);
        let PlanTotals { standing, superseded, groups, requests, .. } = expected.totals;
        assert_eq!(plan.rows(), standing);
        assert_eq!(plan.superseded(), superseded);
        assert_eq!(u64::from(plan.groups()), groups);
        assert_eq!(plan.requests(), requests);
    }

    /// Compares every request body, byte for byte, where values are sent as they stand.
    #[track_caller]
    pub(crate) fn check_bodies(&self, plan: &Plan) {
        let mut batches = plan.batches();
        let mut body = Vec::new();
        for attribute in &self.attributes {
            for group in &attribute.groups {
                for users in group.users.chunks(plan.batch_size().get() as usize) {
                    body.clear();
                    plan.body(batches.next().expect("a batch for each body"), &mut body);
                    let found = std::str::from_utf8(&body).expect("JSON is text");
                    assert_eq!(found, self.body(&group.name, group.value.as_deref(), users));
                }
            }
        }
        assert_eq!(batches.next(), None);
    }

    fn body(&self, attribute: &str, value: Option<&str>, users: &[String]) -> String {
        let ids: Vec<String> = match self.id_type {
            IdType::Id => users.to_vec(),
            IdType::CustomId => users.iter().map(|user| serde_json::json!(user).to_string()).collect(),
        };
        let (attribute, value) = (serde_json::json!(attribute), serde_json::json!(value));
        format!(r#"{{"ids":[{}],"attribute":{attribute},"value":{value}}}"#, ids.join(","))
    }

    fn user<'a>(&self, user: &'a str) -> User<'a> {
        match self.id_type {
            IdType::Id => User::Id(user.parse().expect("a valid id")),
            IdType::CustomId => User::Custom(user.into()),
        }
    }

    /// All conflicts where they are refused, otherwise none.
    fn disputed(&self) -> Vec<Conflict<'_>> {
        let refused = self.attributes.iter().filter(|_| self.on_conflict == OnConflict::Error);
        refused.flat_map(|attribute| self.conflicts(attribute, usize::MAX)).collect()
    }

    fn conflicts<'a>(&'a self, attribute: &'a Attribute, most: usize) -> impl Iterator<Item = Conflict<'a>> {
        let values = if self.on_conflict == OnConflict::Error { usize::MAX } else { 8 };
        attribute.conflicts.iter().take(most).map(move |conflict| Conflict {
            attribute: &attribute.name,
            user: self.user(&conflict.user),
            values: conflict
                .values
                .iter()
                .take(values)
                .map(|value| value.as_deref().map(Into::into))
                .collect(),
        })
    }

    fn summary(&self, top: usize, batch_size: u32) -> PlanSummary<'_> {
        let attributes: Vec<_> =
            self.attributes.iter().map(|attribute| attribute.summary(batch_size)).collect();
        let mut costliest: Vec<_> = attributes.iter().collect();
        costliest.sort_by_key(|attribute| Reverse(attribute.requests));
        let mut largest: Vec<_> = self.attributes.iter().flat_map(|it| it.groups(batch_size)).collect();
        largest.sort_by_key(|group| Reverse(group.users));
        largest.truncate(top);
        let sum = |of: fn(&AttributeSummary<'_>) -> u64| attributes.iter().map(of).sum();
        PlanSummary {
            totals: PlanTotals {
                rows: sum(|it| it.rows),
                standing: sum(|it| it.users),
                superseded: sum(|it| it.superseded),
                conflicts: sum(|it| it.conflicts),
                groups: sum(|it| it.values),
                requests: sum(|it| it.requests),
            },
            costliest: costliest.into_iter().map(|attribute| attribute.name).collect(),
            largest,
            conflicts: self.attributes.iter().flat_map(|it| self.conflicts(it, 5)).collect(),
            shared: self.attributes.iter().filter_map(|it| it.shared(batch_size)).collect(),
            attributes,
        }
    }
}

impl Attribute {
    fn of(name: &str, rows: &[&Triple], id_type: IdType, on_conflict: OnConflict) -> Self {
        let mut first: HashMap<Option<&str>, usize> = HashMap::new();
        let mut by_user: BTreeMap<Rank<'_>, Vec<(&str, Option<&str>)>> = BTreeMap::new();
        for (place, (user, name, value)) in rows.iter().enumerate() {
            let rank = match id_type {
                IdType::Id => (user.parse().expect("a valid id"), ""),
                IdType::CustomId => (0, user.as_str()),
            };
            first.entry(value.as_deref()).or_insert(place);
            by_user.entry(rank).or_default().push((name, value.as_deref()));
        }
        // By the place of the value's first coming, and then by its name.
        let mut groups: BTreeMap<(usize, &str), Group> = BTreeMap::new();
        let mut conflicts = Vec::new();
        let (mut standing, mut kept_apart) = (0, 0);
        for ((number, text), named) in by_user {
            let user = if number == 0 { text.to_owned() } else { number.to_string() };
            let mut seen = HashSet::new();
            let distinct: Vec<_> =
                named.iter().map(|(_, value)| *value).filter(|value| seen.insert(*value)).collect();
            let disagree = distinct.len() > 1;
            if disagree {
                let values = distinct.iter().map(|value| value.map(str::to_owned)).collect();
                conflicts.push(Disagreement { user: user.clone(), values });
            }
            let (called, winner) = match on_conflict {
                OnConflict::Last => named[named.len() - 1],
                OnConflict::Error if disagree => {
                    kept_apart += distinct.len();
                    continue;
                }
                OnConflict::First | OnConflict::Error => named[0],
            };
            standing += 1;
            let group =
                || Group { name: called.to_owned(), value: winner.map(str::to_owned), users: Vec::new() };
            groups.entry((first[&winner], called)).or_insert_with(group).users.push(user);
        }
        let is_called_otherwise = !groups.is_empty() && groups.keys().all(|(_, name)| *name == "user_id");
        let name = if is_called_otherwise { "user_id" } else { name };
        Self {
            name: name.to_owned(),
            phase: phase(name),
            rows: rows.len() as u64,
            superseded: (rows.len() - standing - kept_apart) as u64,
            groups: groups.into_values().collect(),
            conflicts,
        }
    }

    fn groups(&self, batch_size: u32) -> impl Iterator<Item = GroupSummary<'_>> {
        self.groups.iter().map(move |group| {
            let users = u32::try_from(group.users.len()).expect("few users");
            let requests = users.div_ceil(batch_size);
            GroupSummary {
                attribute: &group.name,
                value: group.value.as_deref().map(Into::into),
                users,
                requests,
            }
        })
    }

    fn summary(&self, batch_size: u32) -> AttributeSummary<'_> {
        let users: u64 = self.groups(batch_size).map(|group| u64::from(group.users)).sum();
        let requests: u64 = self.groups(batch_size).map(|group| u64::from(group.requests)).sum();
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        let users_per_request = if requests == 0 { 0.0 } else { users as f64 / requests as f64 };
        AttributeSummary {
            name: &self.name,
            rows: self.rows,
            users,
            values: self.groups.len() as u64,
            requests,
            users_per_request,
            superseded: self.superseded,
            conflicts: self.conflicts.len() as u64,
            uncoalesced: requests > 1_000 && users < 2 * requests,
        }
    }

    fn shared(&self, batch_size: u32) -> Option<SharedValues<'_>> {
        let shared = self.groups(batch_size).filter(|group| self.phase != Phase::Ordinary && group.users > 1);
        let mut examples: Vec<_> = shared.collect();
        let values = examples.len() as u64;
        examples.truncate(5);
        (values > 0).then_some(SharedValues { attribute: &self.name, values, examples })
    }
}

/// Attributes that change who a user is go last.
fn phase(attribute: &str) -> Phase {
    match attribute {
        "email" => Phase::Email,
        "user_id" | "custom_id" => Phase::Identity,
        _ => Phase::Ordinary,
    }
}
