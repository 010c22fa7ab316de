//! How inputs are to be read.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::PathBuf;

use super::Json;
use crate::spill::Resources;

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, by the path that the user gave.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// The shape of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Whichever the header fits.
    #[default]
    Auto,
    /// A row has a user, an attribute and a value.
    Long,
    /// A row has a user and a column per attribute.
    Wide,
}

/// What names a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IdType {
    /// User.com's own id, an integer.
    #[default]
    Id,
    /// The client's own id, a string.
    CustomId,
}

/// What becomes of an empty value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// The row is invalid.
    Reject,
    /// The row is left out, and counted.
    Skip,
    /// The empty string is sent.
    Send,
}

/// Which attribute names are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vocabulary {
    /// The standard attributes alone.
    #[default]
    Standard,
    /// Any other name is a custom attribute.
    Custom,
}

/// What becomes of a column of the wide layout that holds nothing to send, and that nobody said to ignore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownColumns {
    /// It is ignored, with a warning.
    #[default]
    Warn,
    /// The input is refused.
    Refuse,
}

/// What the configuration says of one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeRule {
    /// How its values are written in JSON; by default as strings, exactly as they stand.
    pub json: Json,
    /// What is sent instead of a value of the input.
    pub map: BTreeMap<String, String>,
}

/// The delimiters that are looked for, in the order of preference.
pub(super) const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// How inputs are to be read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The shape of the inputs.
    pub layout: Layout,
    /// The byte between fields; `None`: detected from the header.
    pub delimiter: Option<u8>,
    /// Of inputs without a byte-order mark.
    pub encoding: &'static encoding_rs::Encoding,
    /// Header names, as the inputs have them, of what they hold: `user_id`, `attribute`, `value`, the name of an
    /// attribute (in the wide layout), or [`IGNORED`](Self::IGNORED). Keys are the inputs' names.
    pub columns: BTreeMap<String, String>,
    /// Those names of inputs in `columns` that the header of each input must have.
    pub required: BTreeSet<String>,
    /// What becomes of other columns of the wide layout.
    pub unknown_columns: UnknownColumns,
    /// What names a user.
    pub id_type: IdType,
    /// Which attribute names are allowed.
    pub vocabulary: Vocabulary,
    /// What becomes of an empty value; `None`: rejected in the long layout, skipped in the wide one.
    pub empty: Option<Empty>,
    /// The value that clears an attribute.
    pub null_token: Option<String>,
    /// What the configuration says of attributes, by name.
    pub attributes: BTreeMap<String, AttributeRule>,
    /// Fewest bytes of a file that are worth a thread of their own.
    pub bytes_per_thread: NonZeroU64,
    /// Threads, memory and temporary files.
    pub resources: Resources,
}

impl Options {
    /// What a column is said to hold that is to be ignored.
    pub const IGNORED: &str = "-";
}

impl Default for Options {
    fn default() -> Self {
        Self {
            layout: Layout::Auto,
            delimiter: None,
            encoding: encoding_rs::UTF_8,
            columns: BTreeMap::new(),
            required: BTreeSet::new(),
            unknown_columns: UnknownColumns::Warn,
            id_type: IdType::Id,
            vocabulary: Vocabulary::Standard,
            empty: None,
            null_token: None,
            attributes: BTreeMap::new(),
            bytes_per_thread: NonZeroU64::new(8 << 20).expect("8 MiB are not 0"),
            resources: Resources::default(),
        }
    }
}
