//! Recognizes the failures report of an earlier run as an input.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::invisible::trim;
use super::options::DELIMITERS;
use super::preamble::Preamble;
use super::record::{NextRecord, Record};
use super::record_reader::RecordReader;
use super::{Layout, ReadOptions, STANDARD};

/// The columns of a failures report. An input with the first four of them is read as one, and the options for layout,
/// delimiter, encoding and columns do not apply to it. It may have been edited in a spreadsheet: other columns may be
/// missing or added, unless one has the name of an attribute.
pub const FAILURES_HEADER: [&str; 9] =
    ["user_id", "attribute", "value", "fate", "status", "error", "attempts", "source", "line"];

/// What kind of input it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputKind {
    /// An input that is read as the options say.
    Ordinary,
    /// A failures report of an earlier run.
    FailuresReport {
        /// The columns of user, attribute and value.
        parts: [usize; 3],
        fate: usize,
        error: Option<usize>,
    },
}

/// Whether these bytes start like a failures report. They must include the first line.
pub(super) fn is_failures_report_start(start: &[u8]) -> bool {
    let prelude = Preamble::of(start);
    DELIMITERS.into_iter().any(|delimiter| {
        let mut records = RecordReader::new(io::empty(), start.to_vec(), delimiter);
        records.skip(prelude.bytes, prelude.lines);
        let Ok(NextRecord::Record(header)) = records.next() else { return false };
        InputKind::of(&header.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()) != InputKind::Ordinary
    })
}

impl InputKind {
    /// The kind of an input with these columns.
    pub(super) fn of(names: &[Vec<u8>]) -> Self {
        let names: Vec<String> =
            names.iter().map(|name| String::from_utf8_lossy(trim(name)).to_lowercase()).collect();
        let column = |name: &str| names.iter().position(|found| found == name);
        let [user, attribute, value, fate] = ["user_id", "attribute", "value", "fate"].map(column);
        let (Some(user), Some(attribute), Some(value), Some(fate)) = (user, attribute, value, fate) else {
            return Self::Ordinary;
        };
        let is_other =
            |name: &String| STANDARD.contains(&name.as_str()) && !FAILURES_HEADER.contains(&name.as_str());
        if names.iter().any(is_other) {
            return Self::Ordinary;
        }
        Self::FailuresReport { parts: [user, attribute, value], fate, error: column("error") }
    }

    /// The options to read this kind of input with.
    pub(super) fn options(self, options: &ReadOptions) -> ReadOptions {
        match self {
            Self::Ordinary => options.clone(),
            Self::FailuresReport { .. } => ReadOptions {
                layout: Layout::Long,
                columns: BTreeMap::new(),
                required: BTreeSet::new(),
                ..options.clone()
            },
        }
    }

    /// The error of a record that the earlier run could not parse. It includes the text of the record, which is not in
    /// other columns.
    pub(super) fn earlier_error<'a>(self, record: &Record<'a>) -> Option<&'a [u8]> {
        let Self::FailuresReport { parts, fate, error } = self else { return None };
        let is_blank = parts.into_iter().all(|column| record.get(column).is_empty());
        let error = record.get(error?);
        (is_blank && trim(record.get(fate)).eq_ignore_ascii_case(b"invalid") && !error.is_empty())
            .then_some(error)
    }
}
