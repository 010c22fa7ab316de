//! Options of reading.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{JsonType, ReadProgress};
use crate::spill::Resources;

/// An input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, by the path on the command line.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// The layout of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// The one that fits the header.
    #[default]
    Auto,
    /// A row has a user, an attribute and a value.
    Long,
    /// A row has a user and a column for each attribute.
    Wide,
}

/// Which ids identify users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdType {
    /// User.com's own ids, integers.
    #[default]
    Id,
    /// The client's own ids, strings.
    CustomId,
}

/// How to treat an empty value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// The row is invalid.
    Reject,
    /// The row is left out, and counted as skipped.
    Skip,
    /// The empty string is sent.
    Send,
}

/// Which attribute names are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vocabulary {
    /// Only those of standard attributes.
    #[default]
    Standard,
    /// Any other name is a custom attribute.
    Custom,
}

/// How to treat a column of the wide layout that is neither an attribute nor ignored by the options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownColumns {
    /// Ignore it, with a warning.
    #[default]
    Warn,
    /// Refuse the input.
    Refuse,
}

/// The settings of one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeRule {
    /// The JSON type of its values. By default they are strings, exactly as in the input.
    #[serde(rename = "type")]
    pub json: JsonType,
    /// Values of the input, and what is sent instead.
    pub map: BTreeMap<String, String>,
}

/// The delimiters that are detected, in the order of preference.
pub(super) const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// How to read inputs.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The layout of the inputs.
    pub layout: Layout,
    /// The byte between fields; `None` to detect it from the header.
    pub delimiter: Option<u8>,
    /// The encoding of inputs without a byte-order mark.
    pub encoding: &'static encoding_rs::Encoding,
    /// What columns hold, by their names in the header: `user_id`, `attribute`, `value`, the name of an attribute (in
    /// the wide layout), or [`IGNORED`](Self::IGNORED).
    pub columns: BTreeMap<String, String>,
    /// Names in `columns` that every header must have.
    pub required: BTreeSet<String>,
    /// How to treat other columns of the wide layout.
    pub unknown_columns: UnknownColumns,
    /// Which ids identify users.
    pub id_type: IdType,
    /// Which attribute names are allowed.
    pub vocabulary: Vocabulary,
    /// How to treat an empty value; `None` to reject it in the long layout and skip it in the wide one.
    pub empty: Option<Empty>,
    /// The value that clears an attribute.
    pub null_token: Option<String>,
    /// The settings of attributes, by name.
    pub attributes: BTreeMap<String, AttributeRule>,
    /// The fewest bytes of a file for each thread.
    pub bytes_per_thread: NonZeroU64,
    /// Threads, memory and temporary files.
    pub resources: Resources,
    /// Counts what is read.
    pub progress: Arc<ReadProgress>,
}

impl ReadOptions {
    /// Marks a column in `columns` as ignored.
    pub const IGNORED: &str = "-";
}

impl Default for ReadOptions {
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
            progress: Arc::default(),
        }
    }
}
