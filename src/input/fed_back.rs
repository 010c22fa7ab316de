//! A failures report, read as an input again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::path::Path;

use encoding_rs::UTF_8;

use super::records::Record;
use super::source::{Input, Opened};
use super::{Layout, Options, Source};

/// The columns of a failures report. An input that starts with just this line, commas between the names, is read as one,
/// whatever the options say of other inputs' layout, delimiter, encoding and columns.
pub const FAILURES_HEADER: [&str; 9] =
    ["user_id", "attribute", "value", "fate", "status", "error", "attempts", "source", "line"];

const FATE: usize = 3;
const ERROR: usize = 5;

/// Who wrote an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Anybody: it is read as the options say.
    Foreign,
    /// An earlier run, as its failures report.
    FailuresReport,
}

/// Whether the file starts with the line that a failures report starts with. Fails if it can't be read so far.
pub fn is_failures_report(path: &Path) -> io::Result<bool> {
    let opened = Opened::new(&Source::File(path.to_owned()), &Options::default());
    opened.map(|opened| opened.origin == Origin::FailuresReport).map_err(io::Error::other)
}

/// Looks whether decompressed bytes, behind any byte-order mark, start as a failures report does; returns all of them
/// again. Reads no further than they do.
pub(super) fn recognise(mut bytes: Input) -> io::Result<(Origin, Input)> {
    let header = FAILURES_HEADER.join(",");
    let mut start = Vec::new();
    while header.as_bytes().starts_with(&start) && bytes.by_ref().take(1).read_to_end(&mut start)? > 0 {}
    if start.ends_with(b"\r") {
        bytes.by_ref().take(1).read_to_end(&mut start)?;
    }
    let is_report = match start.strip_prefix(header.as_bytes()) {
        Some(end) => [&b""[..], b"\n", b"\r\n"].contains(&end),
        None => false,
    };
    let origin = if is_report { Origin::FailuresReport } else { Origin::Foreign };
    Ok((origin, Box::new(Cursor::new(start).chain(bytes))))
}

impl Origin {
    /// How an input of this origin is to be read, where the user's options are these.
    pub(super) fn options(self, options: &Options) -> Options {
        match self {
            Self::Foreign => options.clone(),
            Self::FailuresReport => Options {
                layout: Layout::Long,
                delimiter: Some(b','),
                encoding: UTF_8,
                columns: BTreeMap::new(),
                required: BTreeSet::new(),
                ..options.clone()
            },
        }
    }

    /// What is wrong with a record that could not be parsed in the first place: nothing but the report's word, which
    /// holds all of its text, is left of it.
    pub(super) fn verdict<'a>(self, record: &Record<'a>) -> Option<&'a [u8]> {
        let is_blank = || (0..FATE).all(|column| record.get(column).is_empty());
        let is_invalid = self == Self::FailuresReport && is_blank() && record.get(FATE) == b"invalid";
        is_invalid.then(|| record.get(ERROR)).filter(|error| !error.is_empty())
    }
}
