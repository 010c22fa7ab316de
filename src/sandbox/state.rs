//! The values of all users.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use serde_json::Value;

/// A user, by either kind of id. The two kinds name different users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User<'a> {
    /// By User.com's own id.
    Id(u64),
    /// By the client's own id.
    CustomId(&'a str),
}

/// A user as a number, which takes little memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UserNumber {
    Id(u64),
    /// The number of the client's own id.
    CustomId(u32),
}

/// Users, all by the same kind of id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UserIds {
    Ids(Vec<u64>),
    CustomIds(Vec<String>),
}

impl UserIds {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::CustomIds(ids) => ids.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The values of all users. It is made for millions of them: a value that many users share is stored once.
#[derive(Clone, Debug, Default)]
pub struct State {
    values: Interner<Value>,
    custom_ids: Interner<Box<str>>,
    by_id: Values<u64>,
    by_custom_id: Values<u32>,
}

/// The ids of users that are known by the client's own ids begin above this one, which no other user has.
const OWN_IDS: u64 = 1 << 52;

/// By attribute, then by user: the number of a value.
type Values<U> = BTreeMap<Box<str>, HashMap<U, u32, RandomState>>;

impl State {
    /// The value of this attribute, unless it was never set or was cleared.
    pub fn value(&self, user: User<'_>, attribute: &str) -> Option<&Value> {
        let number = match user {
            User::Id(id) => self.by_id.get(attribute)?.get(&id)?,
            User::CustomId(id) => self.by_custom_id.get(attribute)?.get(&self.custom_ids.find(id)?)?,
        };
        Some(self.values.get(*number))
    }

    /// All values of a user, by attribute.
    pub fn values<'a>(&'a self, user: User<'a>) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let attributes: Box<dyn Iterator<Item = &Box<str>>> = match user {
            User::Id(_) => Box::new(self.by_id.keys()),
            User::CustomId(_) => Box::new(self.by_custom_id.keys()),
        };
        attributes.filter_map(move |attribute| Some((&**attribute, self.value(user, attribute)?)))
    }

    /// The users that have a value, in no order, some of them more than once.
    pub(super) fn numbers(&self) -> impl Iterator<Item = UserNumber> {
        let ids = self.by_id.values().flat_map(HashMap::keys).map(|id| UserNumber::Id(*id));
        let custom = self.by_custom_id.values().flat_map(HashMap::keys);
        ids.chain(custom.map(|number| UserNumber::CustomId(*number)))
    }

    /// User.com's id of a user. One that is known by the client's own id has one from its first value on; it can be read,
    /// but not asked for.
    pub(super) fn id(&self, user: User<'_>) -> Option<u64> {
        match user {
            User::Id(id) => Some(id),
            User::CustomId(id) => self.custom_ids.find(id).map(|number| OWN_IDS + u64::from(number)),
        }
    }

    /// The user of this number.
    pub(super) fn user(&self, number: UserNumber) -> User<'_> {
        match number {
            UserNumber::Id(id) => User::Id(id),
            UserNumber::CustomId(number) => User::CustomId(self.custom_ids.get(number)),
        }
    }

    /// How many (user, attribute) pairs have a value.
    pub fn len(&self) -> usize {
        self.by_id.values().map(HashMap::len).sum::<usize>()
            + self.by_custom_id.values().map(HashMap::len).sum::<usize>()
    }

    /// Whether no user has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values as CSV, `user_id,attribute,value`: sorted by user (User.com's ids by number, then the client's by
    /// text), then by attribute. Values that aren't strings stand as their JSON text.
    pub fn csv(&self) -> String {
        let values: Vec<_> = self.values.items.iter().map(plain_text).collect();
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut write = |user: &str, attribute: &str, value: &str| {
            csv.write_record([user, attribute, value])
                .expect("a vector takes all, and all rows have 3 fields");
        };
        write("user_id", "attribute", "value");
        for (id, attribute, value) in sorted(&self.by_id, |id| id) {
            write(&id.to_string(), attribute, &values[value as usize]);
        }
        for (id, attribute, value) in sorted(&self.by_custom_id, |id| &**self.custom_ids.get(id)) {
            write(id, attribute, &values[value as usize]);
        }
        let bytes = csv.into_inner().expect("a vector takes all");
        String::from_utf8(bytes).expect("all fields were text")
    }

    /// Sets the attribute to the value for all these users; null clears it.
    pub(super) fn set(&mut self, users: UserIds, attribute: &str, value: Value) {
        if value.is_null() {
            self.clear(&users, attribute);
            return;
        }
        let value = self.values.number(value);
        match users {
            UserIds::Ids(ids) => {
                self.by_id.entry(attribute.into()).or_default().extend(ids.into_iter().map(|id| (id, value)));
            }
            UserIds::CustomIds(ids) => {
                let ids = ids.into_iter().map(|id| (self.custom_ids.number(id.into_boxed_str()), value));
                self.by_custom_id.entry(attribute.into()).or_default().extend(ids);
            }
        }
    }

    fn clear(&mut self, users: &UserIds, attribute: &str) {
        match users {
            UserIds::Ids(ids) => {
                if let Some(facts) = self.by_id.get_mut(attribute) {
                    for id in ids {
                        facts.remove(id);
                    }
                }
            }
            UserIds::CustomIds(ids) => {
                if let Some(facts) = self.by_custom_id.get_mut(attribute) {
                    for number in ids.iter().filter_map(|id| self.custom_ids.find(id.as_str())) {
                        facts.remove(&number);
                    }
                }
            }
        }
    }
}

/// A value as a CSV has it: a string's text, or the JSON text of anything else.
pub(super) fn plain_text(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// All values by user in the order of `key`, then by attribute, each with the number of the value.
fn sorted<U: Copy, K: Ord>(facts: &Values<U>, key: impl Fn(U) -> K) -> impl Iterator<Item = (K, &str, u32)> {
    // Attributes are represented by their place while the values are sorted: it has the same order and takes less memory.
    let mut all: Vec<(K, u32, u32)> = Vec::with_capacity(facts.values().map(HashMap::len).sum());
    for (attribute, users) in (0..).zip(facts.values()) {
        all.extend(users.iter().map(|(user, value)| (key(*user), attribute, *value)));
    }
    all.sort_unstable();
    let attributes: Vec<&str> = facts.keys().map(|attribute| &**attribute).collect();
    all.into_iter().map(move |(user, attribute, value)| (user, attributes[attribute as usize], value))
}

/// Numbers for things, from 0, in the order in which they came: the same number for the same thing.
#[derive(Clone, Debug)]
struct Interner<T> {
    items: Vec<T>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { items: Vec::new(), numbers: HashTable::new(), hasher: RandomState::default() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    fn number(&mut self, item: T) -> u32 {
        if let Some(number) = self.find(&item) {
            return number;
        }
        let number = u32::try_from(self.items.len()).expect("4 billion distinct values don't fit the memory");
        let hash = self.hasher.hash_one(&item);
        self.items.push(item);
        self.numbers.insert_unique(hash, number, |&other| self.hasher.hash_one(&self.items[other as usize]));
        number
    }

    fn find<Q>(&self, item: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(item);
        self.numbers.find(hash, |&number| self.items[number as usize].borrow() == item).copied()
    }

    fn get(&self, number: u32) -> &T {
        &self.items[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            prop::sample::select(vec!["", "0042", "a,b", "say \"hi\"", "two\nlines", "żółw"])
                .prop_map(Value::from),
            (-3_i64..3).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn holds_what_a_plain_map_holds(
            updates in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0_u64..120, 1..9), "[abc]", value()),
                0..60,
            ),
        ) {
            let mut state = State::default();
            let mut plain: BTreeMap<(bool, u64, String, String), String> = BTreeMap::new();
            for (by_custom_id, ids, attribute, value) in updates {
                for &id in &ids {
                    let (number, text) = if by_custom_id { (0, format!("u{id}")) } else { (id, id.to_string()) };
                    let key = (by_custom_id, number, text, attribute.clone());
                    if value.is_null() {
                        plain.remove(&key);
                    } else {
                        plain.insert(key, plain_text(&value).into_owned());
                    }
                }
                let users = if by_custom_id {
                    UserIds::CustomIds(ids.iter().map(|id| format!("u{id}")).collect())
                } else {
                    UserIds::Ids(ids)
                };
                state.set(users, &attribute, value);
            }
            let text = state.csv();
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let rows: Vec<[String; 3]> = reader.deserialize().map(Result::unwrap).collect();
            let expected: Vec<[String; 3]> = plain.iter().map(|((_, _, user, attribute), value)| {
                [user.clone(), attribute.clone(), value.clone()]
            }).collect();
            prop_assert_eq!(rows, expected);
            prop_assert_eq!(state.len(), plain.len());
        }
    }

    #[test]
    fn ids_sort_as_numbers_and_before_the_clients_own() {
        let mut state = State::default();
        state.set(UserIds::CustomIds(vec!["b".into(), "10".into()]), "city", "Łódź".into());
        state.set(UserIds::Ids(vec![10, 9]), "city", "Łódź".into());
        state.set(UserIds::Ids(vec![10]), "beta", json!(true));
        assert_eq!(
            state.csv(),
            "user_id,attribute,value\n9,city,Łódź\n10,beta,true\n10,city,Łódź\n10,city,Łódź\nb,city,Łódź\n"
        );
    }

    #[test]
    fn a_user_by_one_kind_of_id_is_not_the_user_by_the_other() {
        let mut state = State::default();
        state.set(UserIds::Ids(vec![5]), "city", "Gdynia".into());
        assert_eq!(state.value(User::Id(5), "city"), Some(&json!("Gdynia")));
        assert_eq!(state.value(User::CustomId("5"), "city"), None);
        assert_eq!(state.values(User::Id(5)).collect::<Vec<_>>(), [("city", &json!("Gdynia"))]);
    }
}
