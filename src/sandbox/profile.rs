//! A user, as the API shows one.

use serde_json::{Map, Value, json};

use super::standard_attributes::{self, STANDARD};
use super::state::{State, User};

/// The name of a custom attribute in lower case and without spaces.
fn standardized(name: &str) -> String {
    name.to_lowercase().replace(' ', "_")
}

/// All that the API shows of a user: null where a standard attribute was never set.
pub(super) fn profile(state: &State, user: User<'_>) -> Value {
    let mut fields = Map::new();
    fields.insert("id".to_owned(), json!(state.id(user)));
    for (name, kind) in STANDARD {
        let shown = state.value(user, name).map_or(Value::Null, |value| kind.show(value));
        fields.insert(name.to_owned(), shown);
    }
    // Two names for one thing: the one is today's, the other was the specification's.
    let own = [fields.get("custom_id"), fields.get("user_id")].into_iter().flatten().find(|id| !id.is_null());
    let own = match (own, user) {
        (Some(own), _) => own.clone(),
        (None, User::CustomId(id)) => json!(id),
        (None, User::Id(_)) => Value::Null,
    };
    fields.insert("custom_id".to_owned(), own.clone());
    fields.insert("user_id".to_owned(), own);
    let custom = state.values(user).filter(|(name, _)| standard_attributes::attribute_type(name).is_none());
    let custom =
        custom.map(|(name, value)| json!({ "name": name, "name_std": standardized(name), "value": value }));
    let custom: Vec<Value> = custom.collect();
    fields.insert("attributes".to_owned(), Value::Array(custom));
    let companies = fields.get("company_id").filter(|id| !id.is_null());
    let companies: Vec<Value> =
        companies.map(|id| json!({ "id": id, "name": format!("Company {id}") })).into_iter().collect();
    fields.insert("companies".to_owned(), Value::Array(companies));
    let names = ["first_name", "last_name"].map(|name| fields.get(name).and_then(Value::as_str));
    let name: Vec<&str> = names.into_iter().flatten().collect();
    let name = json!(name.join(" "));
    fields.insert("name".to_owned(), name);
    Value::Object(fields)
}
