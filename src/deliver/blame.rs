//! What a refusal is about, as far as the server's words tell.

use std::collections::HashSet;

use serde_json::Value;

use super::transport::Reply;
use crate::plan::{Batch, Plan, User};

/// What a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The value or the attribute: the group would fare alike for any user.
    Value,
    /// The users at these places of the group, ascending.
    Named(Vec<u32>),
    /// The size of the body.
    Bytes,
    /// The number of users, of which the server takes this many.
    Users(u32),
    /// It doesn't say.
    Unknown,
}

impl Blame {
    /// What the refusal of this batch is about.
    ///
    /// Understands the fields of Django REST framework's errors, a quoted value, and any id of the batch that stands in
    /// the text. Naming the users wins over naming the value: an id may look like a value.
    pub(super) fn of(reply: &Reply, plan: &Plan, batch: Batch) -> Self {
        if reply.status == 413 {
            return Self::Bytes;
        }
        let fields = match serde_json::from_slice(&reply.body) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        if !fields.contains_key("ids") && (fields.contains_key("value") || fields.contains_key("attribute")) {
            return Self::Value;
        }
        let text = String::from_utf8_lossy(&reply.body);
        if let Some(most) = most_users(&text).filter(|most| *most < batch.len) {
            return Self::Users(most);
        }
        let named = named(&text, plan, batch);
        if !named.is_empty() {
            return Self::Named(named);
        }
        match plan.value(batch.group) {
            Some(value) if quotes(&text, &value) => Self::Value,
            _ => Self::Unknown,
        }
    }
}

/// The places of the batch's users whose ids stand in the text; none where it names so many that asking for each alone
/// would cost more than searching.
fn named(text: &str, plan: &Plan, batch: Batch) -> Vec<u32> {
    let words: HashSet<&str> = text
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+')))
        .flat_map(|word| [word, word.trim_matches('.')])
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        return Vec::new();
    }
    let stands = |user: &User<'_>| match user {
        User::Id(id) => words.contains(id.to_string().as_str()),
        User::Custom(id) => words.contains(id.as_ref()),
    };
    let most = batch.len.div_ceil(2).max(4) as usize;
    let named: Vec<u32> = (batch.first..)
        .zip(plan.users(batch))
        .filter(|(_, user)| stands(user))
        .map(|(place, _)| place)
        .take(most + 1)
        .collect();
    if named.len() > most { Vec::new() } else { named }
}

/// The number that Django REST framework names when a list is too long: "Ensure this field has no more than 500 elements."
fn most_users(text: &str) -> Option<u32> {
    let (_, after) = text.split_once("no more than ")?;
    let (number, after) = after.split_once(' ')?;
    let most = number.parse().ok().filter(|most| *most > 0)?;
    ["element", "item", "id"].iter().any(|noun| after.starts_with(noun)).then_some(most)
}

fn quotes(text: &str, value: &str) -> bool {
    if value.is_empty() {
        return false;
    }
    [format!("\"{value}\""), format!("\\\"{value}\\\""), format!("'{value}'"), format!("`{value}`")]
        .iter()
        .any(|quoted| text.contains(quoted))
}
