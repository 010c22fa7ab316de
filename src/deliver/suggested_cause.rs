//! Which cause the message of a rejection suggests.
//!
//! A message is not proof. It only decides which cause is tested first. These are understood: the fields of Django REST
//! framework's errors, a value in quotes, ids of the request in a text about users, and limits on the number of ids. JSON keys,
//! the words of a status and numbers in prose are not taken for ids.

use std::collections::HashSet;

use serde_json::Value;

use super::transport::Reply;
use super::user_set::UserSet;
use crate::plan::{Plan, User};

/// The cause that a message suggests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SuggestedCause {
    /// The value.
    Value,
    /// The attribute with all values.
    Attribute,
    /// The users at these places of the group, ascending.
    Users(Vec<u32>),
    /// The size, and how many users the server accepts if it says so.
    Size(Option<u32>),
    /// Nothing.
    Nothing,
}

/// Words that are followed by a user's id.
const USER_WORDS: [&str; 16] = [
    "user",
    "users",
    "id",
    "ids",
    "pk",
    "pks",
    "client",
    "clients",
    "contact",
    "contacts",
    "customer",
    "customers",
    "custom_id",
    "user_id",
    "user_ids",
    "custom_ids",
];

/// Words that may come between them and the id.
const FILLERS: [&str; 7] = ["with", "no", "and", "or", "number", "nr", "value"];

impl SuggestedCause {
    /// What the rejection of these users suggests. Users take precedence over the value, because an id may look like a value.
    pub(super) fn of(reply: &Reply, plan: &Plan, users: &UserSet) -> Self {
        if reply.status == 413 {
            return Self::Size(None);
        }
        let json = serde_json::from_slice::<Value>(&reply.body).ok();
        let mut said = Said::default();
        match &json {
            Some(json) => said.listen(json, false),
            None => said.texts.push((String::from_utf8_lossy(&reply.body).into_owned(), false)),
        }
        if let Some(most) = said.texts.iter().find_map(|(text, _)| most_users(text))
            && most < users.len()
        {
            return Self::Size(Some(most));
        }
        let named = said.users(plan, users);
        if !named.is_empty() {
            return Self::Users(named);
        }
        let value = plan.value(users.group);
        let quoted = value.is_some_and(|value| said.texts.iter().any(|(text, _)| quotes(text, &value)));
        if quoted || (said.fields.contains("value") && !said.fields.contains("ids")) {
            return Self::Value;
        }
        if said.fields.contains("attribute") && !said.fields.contains("ids") {
            Self::Attribute
        } else {
            Self::Nothing
        }
    }
}

/// Whether the message is an error about a field, which a proxy between us and the API would not write.
pub(super) fn is_structured(body: &[u8]) -> bool {
    let mut said = Said::default();
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        said.listen(&json, false);
    }
    ["ids", "value", "attribute"].iter().any(|field| said.fields.contains(*field))
}

/// The parts of a message.
#[derive(Default)]
struct Said {
    fields: HashSet<String>,
    /// Its texts, and whether each is about users.
    texts: Vec<(String, bool)>,
    /// Positions in the list of ids, if the errors are given by position.
    positions: Vec<usize>,
}

impl Said {
    fn listen(&mut self, value: &Value, of_users: bool) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let position = name.parse::<usize>().ok().filter(|_| of_users);
                    self.positions.extend(position);
                    self.fields.insert(name.clone());
                    let lower = name.to_lowercase();
                    let names_users = lower.split(['_', '-']).any(|word| USER_WORDS.contains(&word))
                        || USER_WORDS.contains(&lower.as_str());
                    self.listen(value, of_users || names_users);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.listen(item, of_users)),
            Value::String(text) => self.texts.push((text.clone(), of_users)),
            Value::Number(number) if of_users => self.texts.push((number.to_string(), true)),
            Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
    }

    /// The places of the users who are named.
    fn users(&self, plan: &Plan, users: &UserSet) -> Vec<u32> {
        let mut names = HashSet::new();
        for (text, of_users) in &self.texts {
            collect_names(text, *of_users, &mut names);
        }
        let is_named = |user: &User<'_>| match user {
            User::Id(id) => names.contains(id.to_string().as_str()),
            User::Custom(id) => names.contains(id.as_ref()),
        };
        let mut places = Vec::new();
        if !names.is_empty() {
            let ids = users.batches().flat_map(|batch| plan.users(batch));
            places.extend(users.places().zip(ids).filter(|(_, user)| is_named(user)).map(|(place, _)| place));
        }
        if places.is_empty() {
            let positions: HashSet<usize> = self.positions.iter().copied().collect();
            places.extend(
                users.places().enumerate().filter(|(at, _)| positions.contains(at)).map(|(_, place)| place),
            );
        }
        places
    }
}

/// The words of a text that may be ids: all of them if the text is about users; otherwise those in quotes, and those after
/// a word for users.
fn collect_names<'t>(text: &'t str, of_users: bool, names: &mut HashSet<&'t str>) {
    let mut after_user_word = false;
    let mut rest = text;
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let quoted =
            before.ends_with(['"', '\'', '`', '“', '«']) && after.starts_with(['"', '\'', '`', '”', '»']);
        let lower = word.to_lowercase();
        if of_users || quoted || after_user_word {
            names.insert(word);
            names.insert(word.trim_matches('.'));
        }
        // Of a list of ids each one is named.
        let is_id = word.bytes().any(|byte| byte.is_ascii_digit());
        after_user_word = USER_WORDS.contains(&lower.as_str())
            || (after_user_word && (is_id || FILLERS.contains(&lower.as_str())));
        rest = after;
    }
}

/// The number that Django REST framework names when a list is too long: "Ensure this field has no more than 500 elements."
fn most_users(text: &str) -> Option<u32> {
    let (_, after) = text.split_once("no more than ").or_else(|| text.split_once("at most "))?;
    let (number, after) = after.split_once(' ')?;
    let most = number.parse().ok().filter(|most| *most > 0)?;
    ["element", "item", "id", "user"].iter().any(|noun| after.starts_with(noun)).then_some(most)
}

fn quotes(text: &str, value: &str) -> bool {
    !value.is_empty()
        && [format!("\"{value}\""), format!("'{value}'"), format!("`{value}`")]
            .iter()
            .any(|quoted| text.contains(quoted))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::input::{Dictionary, ReadOptions, Row, Sink as _};
    use crate::plan::{Builder, OnConflict};

    /// What is suggested when users 1 to 1,000 are rejected this value with this answer.
    fn hint(value: &str, status: u16, body: &str) -> SuggestedCause {
        let mut dictionary = Dictionary::new(&ReadOptions::default());
        let mut builder = Builder::new(OnConflict::Last);
        let attribute = dictionary.attribute_id("city").unwrap();
        for user in 1..=1000 {
            let value = dictionary.intern(attribute, value);
            builder.accept(Row { user, attribute, value });
        }
        let plan = builder.finish(dictionary, NonZeroU32::new(1000).unwrap()).unwrap();
        let batch = plan.batches().next().unwrap();
        let reply = Reply { status, body: body.to_owned().into(), ..Reply::default() };
        SuggestedCause::of(&reply, &plan, &batch.into())
    }

    /// The place of a user is its id less one.
    fn users(ids: &[u32]) -> SuggestedCause {
        SuggestedCause::Users(ids.iter().map(|id| id - 1).collect())
    }

    #[test]
    fn users_are_named_in_many_ways() {
        for (body, ids) in [
            (r#"{"ids": ["Invalid pk \"42\" - object does not exist."]}"#, &[42][..]),
            (r#"{"ids": [7, 9]}"#, &[7, 9]),
            (r#"{"detail": "Unknown users: 17, 400 and 999"}"#, &[17, 400, 999]),
            (r#"{"value": ["User 777 has it already"]}"#, &[777]),
            (r#"{"attribute": ["User 777 is locked"]}"#, &[777]),
            ("no user 5, no user 6", &[5, 6]),
            (r#"{"detail": "Object with id=8 does not exist."}"#, &[8]),
            (r#"{"unknown_ids": [3]}"#, &[3]),
            (r#"{"ids": {"1": ["User does not exist."], "4": ["User does not exist."]}}"#, &[2, 5]),
        ] {
            assert_eq!(hint("Oslo", 400, body), users(ids), "{body}");
        }
    }

    #[test]
    fn keys_words_of_status_and_numbers_in_prose_name_nobody() {
        for (value, body) in [
            ("error", r#"{"status":"error","message":"no"}"#),
            ("detail", r#"{"detail":"no"}"#),
            ("1", r#"{"code":"1"}"#),
            ("Oslo", r#"{"code": 400, "detail": "Error 7 of 9 in line 12"}"#),
            ("Oslo", r#"{"detail": "Expected available in 1 second."}"#),
            ("Oslo", r#"{"detail": "A board of 12' or '14 boards' are no city."}"#),
            ("Oslo", "<html><title>400 Bad Request</title>"),
            ("Oslo", ""),
        ] {
            assert_eq!(hint(value, 400, body), SuggestedCause::Nothing, "{body}");
        }
    }

    #[test]
    fn fields_and_quotes_name_the_value_or_the_attribute() {
        assert_eq!(hint("Oslo", 400, r#"{"value": ["too long"]}"#), SuggestedCause::Value);
        assert_eq!(hint("Oslo", 400, r#"{"errors": {"value": ["too long"]}}"#), SuggestedCause::Value);
        assert_eq!(hint("Oslo", 400, r#"{"detail": "\"Oslo\" is not a city"}"#), SuggestedCause::Value);
        assert_eq!(hint("Oslo", 400, r#"{"attribute": ["no such choice"]}"#), SuggestedCause::Attribute);
        assert_eq!(hint("Oslo", 400, r#"{"ids": ["odd"], "value": ["odd"]}"#), SuggestedCause::Nothing);
    }

    #[test]
    fn only_an_error_about_a_field_is_sure_to_be_the_apis_own() {
        for field in ["ids", "value", "attribute"] {
            assert!(is_structured(format!(r#"{{"errors": {{"{field}": ["odd"]}}}}"#).as_bytes()), "{field}");
        }
        for body in [r#"{"detail": "value"}"#, "<html>value</html>", ""] {
            assert!(!is_structured(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn limits_are_read_where_they_could_be_the_cause() {
        assert_eq!(hint("Oslo", 413, "<html>"), SuggestedCause::Size(None));
        let words = |most| format!(r#"{{"ids": ["Ensure this field has no more than {most} elements."]}}"#);
        assert_eq!(hint("Oslo", 400, &words(300)), SuggestedCause::Size(Some(300)));
        for most in [0, 1000, 3000] {
            let body = format!(r#"{{"detail": "no more than {most} items"}}"#);
            assert_eq!(hint("Oslo", 400, &body), SuggestedCause::Nothing, "{most}");
        }
    }
}
