//! A value as JSON.

use crate::input::Attribute;

/// The JSON token of a value of the input: what the attribute's map makes of it, then as its type.
pub(super) fn token(attribute: &Attribute, text: &str) -> String {
    let text = attribute.map.get(text).map_or(text, String::as_str);
    attribute.json.write(text).into_owned()
}
