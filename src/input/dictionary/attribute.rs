//! Attributes, and the numbers of attributes and values.

use std::collections::BTreeMap;

use crate::input::JsonType;
use crate::input::rules::STANDARD_ATTRIBUTES;

/// The number of standard attributes.
pub const STANDARD_COUNT: usize = STANDARD_ATTRIBUTES.len();

/// The names of the standard attributes, in the order of their numbers.
pub const STANDARD: [&str; STANDARD_COUNT] = {
    let mut names = [""; STANDARD_COUNT];
    let mut at = 0;
    while at < STANDARD_COUNT {
        names[at] = STANDARD_ATTRIBUTES[at].0;
        at += 1;
    }
    names
};

/// The two names of the client's own id. They are one attribute, whose rows and values have the number of the first
/// name.
pub(super) const CUSTOM_ID: AttributeId = standard("custom_id");
pub(super) const USER_ID: AttributeId = standard("user_id");

/// The number of an attribute. Standard attributes come first, in the order of [`STANDARD`]. Custom ones follow in the
/// order in which the input names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub u16);

impl AttributeId {
    /// The number that rows and values of this attribute have. `custom_id` and `user_id` share one.
    #[inline]
    #[must_use]
    pub fn column(self) -> Self {
        if self == USER_ID { CUSTOM_ID } else { self }
    }

    /// How many of the lowest bits of its value numbers are for the name of the attribute. Values that differ only in
    /// these are the same.
    pub fn name_bits(self) -> u32 {
        u32::from(self.column() == CUSTOM_ID)
    }

    /// The attribute by the name that the input has for this value.
    #[must_use]
    pub fn as_called(self, value: ValueId) -> Self {
        match self.column() {
            CUSTOM_ID if value.0 & 1 == 1 => USER_ID,
            column => column,
        }
    }

    /// The number of the `nth` value of its column, from 0.
    #[inline]
    pub(super) fn value(self, nth: u32) -> ValueId {
        ValueId(nth << self.name_bits() | u32::from(self == USER_ID))
    }

    /// The position of a value in its column.
    pub(super) fn nth(self, value: ValueId) -> ValueId {
        ValueId(value.0 >> self.name_bits())
    }
}

/// The number of a value among those of its attribute, from 0, in the order in which the input has them. Only valid
/// values have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

/// The API operation that sets an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `mass_update_standard_attributes`
    Standard,
    /// `mass_update_custom_attributes`
    Custom,
}

/// An attribute that rows may set.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The name, as sent.
    pub name: String,
    /// The operation that sets it.
    pub operation: Operation,
    /// The JSON type of its values.
    pub json: JsonType,
    /// Values of the input, and what is sent instead: `2` for `male`.
    pub map: BTreeMap<String, String>,
}

impl Attribute {
    /// The JSON token that is sent for a value of the input: its replacement in `map`, if it has one, in the JSON
    /// type of the attribute.
    pub fn token(&self, text: &str) -> String {
        let text = self.map.get(text).map_or(text, String::as_str);
        self.json.write(text).into_owned()
    }

    /// Equal for values that are the same to the API.
    pub(super) fn identity(&self, text: &str) -> String {
        self.json.identity(&self.token(text)).into_owned()
    }
}

const fn standard(name: &str) -> AttributeId {
    let mut at = 0_u16;
    while (at as usize) < STANDARD_COUNT {
        if is_same(STANDARD[at as usize].as_bytes(), name.as_bytes()) {
            return AttributeId(at);
        }
        at += 1;
    }
    panic!("no standard attribute is called so")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
