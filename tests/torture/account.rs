//! What the API's side holds, and how it answers when nothing befalls a request. It shares no code with the program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::input::{BAD_VALUES, Ids, Key, Population};

/// How a request with unknown users is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// 400, and the words name them.
    Named,
    /// 400 in words that name nobody.
    Unnamed,
    /// 404.
    NotFound,
    /// 200: the others are updated.
    Ignored,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Update {
        users: Vec<String>,
        attribute: String,
        value: Value,
    },
    User(String),
    Page(Option<String>),
    /// A path or method that has nothing.
    Nothing,
}

/// An answer of the API itself.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

pub(crate) struct Account {
    pub(crate) population: Population,
    pub(crate) unknown: Unknown,
    /// Each request with one of these users ends in a 500.
    pub(crate) poison: BTreeSet<String>,
    pub(crate) most_ids: usize,
    pub(crate) page_size: usize,
    /// How many users of a page come again in the next one.
    pub(crate) overlap: usize,
    /// Cursors of before are no longer known.
    pub(crate) cursors_from: u64,
    pub(crate) values: BTreeMap<Key, Value>,
    lists: u64,
}

impl Account {
    pub(crate) fn new(population: Population) -> Self {
        Self {
            population,
            unknown: Unknown::Named,
            poison: BTreeSet::new(),
            most_ids: usize::MAX,
            page_size: 20,
            overlap: 0,
            cursors_from: 0,
            values: BTreeMap::new(),
            lists: 0,
        }
    }

    pub(crate) fn value(&self, key: &Key) -> &Value {
        self.values.get(key).unwrap_or(&Value::Null)
    }

    pub(crate) fn set(&mut self, key: Key, value: Value) {
        if value.is_null() {
            self.values.remove(&key);
        } else {
            self.values.insert(key, value);
        }
    }

    /// All lists that are being read can no longer be continued.
    pub(crate) fn forget_cursors(&mut self) {
        self.cursors_from = self.lists + 1;
    }

    /// What would refuse this request, if anything does, before an update is applied.
    fn refusal(&self, users: &[String], attribute: &str, value: &Value) -> Option<Answer> {
        if users.len() > self.most_ids {
            let words = format!("Ensure this field has no more than {} elements.", self.most_ids);
            return Some(Answer { status: 400, body: json!({ "ids": [words] }).to_string() });
        }
        if BAD_VALUES.iter().any(|(name, bad)| attribute == *name && value == bad) {
            let words = json!({ "value": [format!("{value} is not a valid choice.")] });
            return Some(Answer { status: 400, body: words.to_string() });
        }
        let strangers: Vec<&String> = users.iter().filter(|user| !self.population.exists(user)).collect();
        if strangers.is_empty() {
            return None;
        }
        match self.unknown {
            Unknown::Ignored => None,
            Unknown::Named => {
                let words: Vec<String> = strangers
                    .iter()
                    .map(|user| format!("Invalid pk \"{user}\" - object does not exist."))
                    .collect();
                Some(Answer { status: 400, body: json!({ "ids": words }).to_string() })
            }
            Unknown::Unnamed => Some(Answer { status: 400, body: String::new() }),
            Unknown::NotFound => {
                Some(Answer { status: 404, body: json!({ "detail": "Not found." }).to_string() })
            }
        }
    }

    /// Answers, and applies an update that isn't refused.
    pub(crate) fn answer(&mut self, asked: &Asked) -> Answer {
        match asked {
            Asked::Update { users, attribute, value } => {
                if users.iter().any(|user| self.poison.contains(user)) {
                    return Answer { status: 500, body: "<h1>Server Error (500)</h1>".to_owned() };
                }
                if let Some(refusal) = self.refusal(users, attribute, value) {
                    return refusal;
                }
                let population = self.population;
                for user in users.iter().filter(|user| population.exists(user)) {
                    self.set((user.clone(), attribute.clone()), value.clone());
                }
                Answer { status: 200, body: r#"{"status": "ok"}"#.to_owned() }
            }
            Asked::User(user) if self.population.exists(user) => {
                Answer { status: 200, body: self.profile(user).to_string() }
            }
            Asked::User(_) => Answer { status: 404, body: json!({ "detail": "Not found." }).to_string() },
            Asked::Page(cursor) => self.page(cursor.as_deref()),
            Asked::Nothing => {
                Answer { status: 405, body: json!({ "detail": "Method \"GET\" not allowed." }).to_string() }
            }
        }
    }

    /// A user as the API shows one.
    fn profile(&self, user: &str) -> Value {
        let mut fields = Map::new();
        let number = (1..=self.population.known).find(|number| self.population.ids.name(*number) == user);
        fields.insert("id".to_owned(), json!(number));
        let custom = (self.population.ids == Ids::Custom).then_some(user);
        fields.insert("custom_id".to_owned(), json!(custom));
        for name in [
            "city",
            "country",
            "region",
            "first_name",
            "last_name",
            "email",
            "score",
            "gender",
            "unsubscribed",
        ] {
            let value = self.value(&(user.to_owned(), name.to_owned()));
            fields.insert(name.to_owned(), shown(name, value));
        }
        fields.insert("attributes".to_owned(), json!([]));
        fields.insert("companies".to_owned(), json!([]));
        Value::Object(fields)
    }

    fn page(&mut self, cursor: Option<&str>) -> Answer {
        let (list, from) = match cursor {
            None => {
                self.lists += 1;
                (self.lists, 0)
            }
            Some(cursor) => {
                let (list, from) = cursor.split_once('-').unwrap();
                (list.parse().unwrap(), from.parse().unwrap())
            }
        };
        if list < self.cursors_from {
            return Answer { status: 404, body: json!({ "detail": "Invalid cursor" }).to_string() };
        }
        let all: Vec<String> =
            (1..=self.population.known).map(|user| self.population.ids.name(user)).collect();
        let to = all.len().min(from + self.page_size);
        let results: Vec<Value> = all[from..to].iter().map(|user| self.profile(user)).collect();
        let next = (to < all.len()).then(|| {
            format!("https://elsewhere.example/api/public/users/?cursor={list}-{}", to - self.overlap)
        });
        let body = json!({ "count": all.len(), "next": next, "previous": null, "results": results });
        Answer { status: 200, body: body.to_string() }
    }
}

/// A value as the API shows it, which is not always how it was sent.
fn shown(attribute: &str, value: &Value) -> Value {
    let Some(text) = value.as_str() else { return Value::Null };
    match attribute {
        "gender" => json!(["unknown", "male", "female"][text.parse::<usize>().unwrap() - 1]),
        "score" => json!(text.parse::<i64>().unwrap()),
        "unsubscribed" => json!(text.eq_ignore_ascii_case("true")),
        _ => value.clone(),
    }
}

/// What is equal to the API, whatever it looks like.
pub(crate) fn meaning(attribute: &str, value: &Value) -> Value {
    match value.as_str() {
        None | Some("") => Value::Null,
        Some(text) if attribute == "email" || attribute == "unsubscribed" => json!(text.to_lowercase()),
        Some(_) => value.clone(),
    }
}
