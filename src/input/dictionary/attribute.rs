//! Attributes, and the numbers of these and of their values.

use std::collections::BTreeMap;

use crate::input::Json;
use crate::input::rules::STANDARD_ATTRIBUTES;

/// How many standard attributes there are.
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

/// The two names of the client's own id: one attribute, whose rows and values go by the number of the first.
pub(super) const CUSTOM_ID: AttributeId = standard("custom_id");
pub(super) const USER_ID: AttributeId = standard("user_id");

/// A number of an attribute. Standard attributes come first, in the fixed order of [`STANDARD`]; custom ones follow in
/// the order in which the input names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub u16);

impl AttributeId {
    /// The number of rows that set this attribute, and of its values: `custom_id` and `user_id` are one.
    #[inline]
    #[must_use]
    pub fn column(self) -> Self {
        if self == USER_ID { CUSTOM_ID } else { self }
    }

    /// How many of the lowest bits of its values' numbers only say under which name the value came. Values that differ in
    /// no other bit are the same.
    pub fn name_bits(self) -> u32 {
        u32::from(self.column() == CUSTOM_ID)
    }

    /// The name under which a value came.
    #[must_use]
    pub fn as_called(self, value: ValueId) -> Self {
        match self.column() {
            CUSTOM_ID if value.0 & 1 == 1 => USER_ID,
            column => column,
        }
    }

    /// The number of its value that is the `nth` one of its column, from 0.
    #[inline]
    pub(super) fn value(self, nth: u32) -> ValueId {
        ValueId(nth << self.name_bits() | u32::from(self == USER_ID))
    }

    /// Which one of its column a value is.
    pub(super) fn nth(self, value: ValueId) -> ValueId {
        ValueId(value.0 >> self.name_bits())
    }
}

/// A number of a value among those of one attribute, in the order in which the input names them, from 0, without gaps.
/// Only valid values have one.
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
    /// Its name, as sent.
    pub name: String,
    /// The operation that sets it.
    pub operation: Operation,
    /// How its values are written.
    pub json: Json,
    /// What is sent instead of a value of the input: `male` may stand for `2`.
    pub map: BTreeMap<String, String>,
}

impl Attribute {
    /// The JSON token that is sent for a value of the input: its replacement in `map`, if it has one, in the JSON type of
    /// the attribute.
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
