//! Reads a page of the list of users, and the address of the next one. A page is accepted as a whole or not at all.
//!
//! The next page is named by an address, which is not requested as it is: whatever it says, the key must go nowhere else
//! than to the account's own address. Only its query is kept, the cursor. The rest is compared with the list's address as far
//! as a proxy in front of the API leaves it as it is, which is the end of the path.

use reqwest::Url;
use serde_json::Value;

use crate::deliver::account_user::{AccountUser, NO_CHARACTER, NO_CHARACTER_ESCAPED, own_id};
use crate::deliver::transport::{Reply, SendError};

/// The last part of the path of the list's address.
const LIST: &str = "users";

/// Makes relative addresses whole. Nothing is sent to it.
const ANY_HOST: &str = "http://localhost/users/";

/// A page of the list of users.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// How many users the account has, if the API says it.
    pub count: Option<u64>,
    /// The cursor of the next page; `None` on the last one. It can be kept and used by another process.
    pub next: Option<String>,
    /// The users, in the order of the page.
    pub users: Vec<AccountUser>,
}

/// What is wrong with a page. It has no values and no ids of users.
pub(super) type Malformed = String;

impl Page {
    /// Reads the body of an answer to a request for the page with this cursor.
    pub(super) fn parse(json: Value, cursor: Option<&str>) -> Result<Self, Malformed> {
        let Value::Object(mut page) = json else {
            return Err(expected("an object with `results` and `next`", "", &json));
        };
        let users = match page.remove("results") {
            Some(Value::Array(users)) => users,
            other => return Err(expected("a list of users", "`results`", &other)),
        };
        let count = match page.get("count") {
            None | Some(Value::Null) => None,
            Some(count) => {
                Some(count.as_u64().ok_or_else(|| expected("a number of users", "`count`", &count))?)
            }
        };
        let next = match page.get("next") {
            Some(Value::Null) => None,
            Some(Value::String(address)) => Some(next_cursor(address)?),
            other => return Err(expected("an address or null", "`next`", &other)),
        };
        if next.is_some() && next.as_deref() == cursor {
            return Err("`next`: expected the address of another page, found that of this one".to_owned());
        }
        let users =
            users.into_iter().zip(1..).map(|(item, number)| user(item, number)).collect::<Result<_, _>>()?;
        Ok(Self { count, next, users })
    }
}

/// The page in the answer to a request for the page with this cursor; or why there is none.
pub(in crate::deliver) fn page_of(
    result: &Result<Reply, SendError>,
    cursor: Option<&str>,
) -> Result<Page, String> {
    let reply = result.as_ref().map_err(|lost| lost.error.clone())?;
    if reply.status != 200 {
        return Err(format!("the status is {}", reply.status));
    }
    let json = json(&reply.body).ok_or_else(|| "the answer is not JSON".to_owned())?;
    Page::parse(json, cursor)
}

/// A body as JSON. An escape for one half of a surrogate pair alone is no character, and would make a list unreadable for one
/// broken value. It is replaced by [`NO_CHARACTER`], and a value that has one counts as unknown.
pub(super) fn json(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().or_else(|| serde_json::from_slice(&with_whole_pairs(body)).ok())
}

fn with_whole_pairs(body: &[u8]) -> Vec<u8> {
    let mut whole = body.to_vec();
    let escaped = |at: usize| -> Option<u16> {
        let digits = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut at = 0;
    while at < body.len() {
        at += match (escaped(at), escaped(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                whole[at + 2..at + 6].copy_from_slice(NO_CHARACTER_ESCAPED);
                6
            }
            // A backslash escapes the next byte, which may be a backslash.
            _ if body[at] == b'\\' => 2,
            _ => 1,
        };
    }
    whole
}

/// The cursor of the page with this address.
fn next_cursor(address: &str) -> Result<String, Malformed> {
    let wrong = |found| format!("`next`: expected the address of a page of users, found {found}");
    let any_host = Url::parse(ANY_HOST).expect("it is an address");
    let address = any_host.join(address).map_err(|_error| wrong("text that is no address"))?;
    let is_list =
        address.path_segments().is_some_and(|parts| parts.rev().find(|part| !part.is_empty()) == Some(LIST));
    if !matches!(address.scheme(), "http" | "https") || !is_list {
        return Err(wrong("another address"));
    }
    match address.query() {
        Some(query) if !query.is_empty() => Ok(query.to_owned()),
        _ => Err(wrong("one without a cursor")),
    }
}

fn user(item: Value, number: usize) -> Result<AccountUser, Malformed> {
    let place = |key: &str| format!("user {number} of `results`{key}");
    let Value::Object(fields) = item else { return Err(expected("an object", &place(""), &item)) };
    let id = fields.get("id");
    let Some(id) = id.and_then(Value::as_u64) else {
        return Err(expected("an integer", &place(": `id`"), &id));
    };
    let custom_id = match own_id(&fields) {
        None | Some(Value::Null) => None,
        Some(Value::String(own)) => {
            Some(own.clone()).filter(|own| !own.is_empty() && !own.contains(NO_CHARACTER))
        }
        Some(Value::Number(own)) => Some(own.to_string()),
        Some(other) => return Err(expected("text, a number or null", &place(": `custom_id`"), &other)),
    };
    Ok(AccountUser { id, custom_id, fields })
}

/// Says what was expected and what kind of JSON was found.
fn expected(what: &str, place: &str, found: &impl Kind) -> Malformed {
    let colon = if place.is_empty() { "" } else { ": " };
    format!("{place}{colon}expected {what}, found {}", found.kind())
}

/// The kind of a JSON value, without the value.
trait Kind {
    fn kind(&self) -> &'static str;
}

impl Kind for Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(number) if number.is_f64() => "a number with a fraction",
            Self::Number(_) => "a number",
            Self::String(_) => "text",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl Kind for &Value {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }
}

impl<K: Kind> Kind for Option<K> {
    fn kind(&self) -> &'static str {
        self.as_ref().map_or("nothing", Kind::kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::account_user::AccountValue;
    use crate::input::Operation;

    #[test]
    fn half_a_surrogate_pair_costs_its_value_and_not_the_page() {
        let body = br#"{"next":null,"results":[{"id":1,"custom_id":"x\ud800","city":"\ud800","region":"\\ud800",
            "country":"\udfff\ud83d\ude00","email":"\ud83d\ude00","first_name":"\ud83d\u0041","last_name":"Ann"}]}"#;
        let page = Page::parse(json(body).unwrap(), None).unwrap();
        let value = |name: &str| match page.users[0].value(name, Operation::Standard) {
            AccountValue::Value(text) => Some(text.into_owned()),
            _ => None,
        };
        assert_eq!(page.users[0].custom_id, None);
        let names = ["city", "region", "country", "email", "first_name", "last_name"];
        let known = [None, Some("\\ud800"), None, Some("\u{1f600}"), None, Some("Ann")];
        assert_eq!(names.map(value), known.map(|text| text.map(str::to_owned)));
        assert!(json(b"{\"\\ud8").is_none() && json(b"\\").is_none());
    }
}
