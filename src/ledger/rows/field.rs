//! The fields of a row, as a store keeps them, and the tables that have them.

use jiff::Timestamp;

/// A table. Its first column is a number, which is the key, and its last one the checksum of all others.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Table {
    pub(in crate::ledger) name: &'static str,
    pub(in crate::ledger) columns: &'static [Column],
}

/// A column: its name, and what its fields are.
pub(in crate::ledger) type Column = (&'static str, FieldType);

/// What a field may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum FieldType {
    Number,
    Text,
    /// Or none.
    OptionalText,
    Bytes,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Field {
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// An optional text that isn't there.
    None,
}

/// The fields of a row that was read, to be taken one after the other. Each method returns `None` if the next field is not
/// what it should be.
#[derive(Debug)]
pub(in crate::ledger) struct Fields(std::vec::IntoIter<Field>);

impl Table {
    /// The column of the key.
    pub(in crate::ledger) fn key(&self) -> &'static str {
        self.columns[0].0
    }
}

impl Field {
    pub(super) fn time(at: Timestamp) -> Self {
        Self::Number(at.as_millisecond())
    }
}

impl From<u64> for Field {
    fn from(number: u64) -> Self {
        Self::Number(number.cast_signed())
    }
}

impl From<u32> for Field {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Field {
    fn from(flag: bool) -> Self {
        Self::Number(flag.into())
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Option<&str>> for Field {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::None, Self::from)
    }
}

impl From<&[u8]> for Field {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl From<Vec<Field>> for Fields {
    fn from(fields: Vec<Field>) -> Self {
        Self(fields.into_iter())
    }
}

impl Fields {
    pub(in crate::ledger) fn number(&mut self) -> Option<u64> {
        match self.0.next()? {
            Field::Number(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    pub(in crate::ledger) fn sum(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        match self.0.next()? {
            Field::Number(millis) => Timestamp::from_millisecond(millis).ok(),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        match self.0.next()? {
            Field::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A text or none.
    pub(super) fn optional_text(&mut self) -> Option<Field> {
        self.0.next().filter(|field| matches!(field, Field::Text(_) | Field::None))
    }

    pub(in crate::ledger) fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.0.next()? {
            Field::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}
