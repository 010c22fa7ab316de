//! From bytes to rows.

mod dictionary;
mod options;

pub use dictionary::{Attribute, AttributeId, Dictionary, Json, Operation, Renumber, ValueId};
pub use options::{AttributeRule, Empty, IdType, Layout, Options, Source, Vocabulary};

/// One valid row: numbers into the [`Dictionary`] of the reading that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// User.com's own id; or, where users go by the client's ids, a number into [`Dictionary::user`].
    pub user: u64,
    /// The attribute to set.
    pub attribute: AttributeId,
    /// The value to set it to.
    pub value: ValueId,
}

/// Where valid rows go, in the order of the input.
pub trait Sink: Send + Sized {
    /// Takes the next row.
    fn accept(&mut self, row: Row);

    /// An empty sink for the rows of a later byte range, which another thread reads at the same time.
    fn fork(&self) -> Self;

    /// Appends what a fork took, as if its rows had come now, after giving each number its new one.
    fn join(&mut self, later: Self, renumber: &Renumber);
}
