//! What the numbers of a [`Row`](super::Row) stand for.

/// A number of an attribute. Standard attributes come first, in the fixed order of [`STANDARD`]; custom ones follow in
/// the order in which the input names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub u16);

/// A number of a value among those of one attribute, in the order in which the input names them, from 0, without gaps
/// (though values that were found invalid have numbers too, which no row carries).
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

/// How a value is written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// As a string, exactly as the input has it.
    #[default]
    String,
    /// As an integer.
    Integer,
    /// As a floating point number.
    Float,
    /// As `true` or `false`.
    Boolean,
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
    pub map: std::collections::BTreeMap<String, String>,
}

/// The texts behind the numbers of the rows of one reading.
#[derive(Debug, Default)]
pub struct Dictionary {}

impl Dictionary {
    /// The attribute of this number. Panics on a number of another dictionary.
    pub fn attribute(&self, _id: AttributeId) -> &Attribute {
        unimplemented!()
    }
    /// Every attribute's number: standard ones first, whether or not a row names them.
    pub fn attributes(&self) -> impl Iterator<Item = AttributeId> + '_ {
        std::iter::empty()
    }
    /// How many values have a number for this attribute.
    pub fn values(&self, _attribute: AttributeId) -> usize {
        unimplemented!()
    }
    /// The value's text as the input has it; `None` where the value clears the attribute (JSON null).
    pub fn value(&self, _attribute: AttributeId, _value: ValueId) -> Option<&str> {
        unimplemented!()
    }
    /// The client's own id behind a user's number; `None` where the number is User.com's own id.
    pub fn user(&self, _user: u64) -> Option<&str> {
        unimplemented!()
    }
    /// How many of the client's own ids there are: 0 where users go by User.com's ids.
    pub fn users(&self) -> usize {
        unimplemented!()
    }
}

/// The new numbers for what a fork of a [`Sink`](super::Sink) took.
#[derive(Debug, Default)]
pub struct Renumber {
    /// By old attribute number.
    pub attributes: Vec<AttributeId>,
    /// By old attribute number, then by old value number.
    pub values: Vec<Vec<ValueId>>,
    /// By old user number; empty where users go by User.com's own ids, which stay as they are.
    pub users: Vec<u64>,
}
