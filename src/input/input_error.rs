//! Inputs that can't be read as a whole.

use std::io;
use std::path::{Path, PathBuf};

use super::Options;

/// Why an input is refused as a whole: nothing of it is sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The input can't be opened.
    #[error("{input}: {}", reason(.cause))]
    Open {
        /// Its name.
        input: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The input is a directory.
    #[error("{input}: is a directory")]
    Directory {
        /// Its name.
        input: String,
    },
    /// The input is no CSV, or no text in the named encoding.
    #[error("{input}: is {what}")]
    Format {
        /// Its name.
        input: String,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        hint: String,
    },
    /// Reading went wrong on the way.
    #[error("{input}:{line}: cannot be read any further: {}", reason(.cause))]
    Read {
        /// Its name.
        input: String,
        /// The line up to which it was read.
        line: u64,
        /// What the system, or the decompressor, said.
        cause: io::Error,
    },
    /// Compressed bytes end in the middle.
    #[error("{input}:{line}: the compressed file ends too early, after {rows} rows")]
    Truncated {
        /// Its name.
        input: String,
        /// The line, of the text inside, up to which it was read.
        line: u64,
        /// How many rows were read before.
        rows: u64,
    },
    /// The file became shorter while it was read.
    #[error("{input}:{line}: the file shrank while it was read: {found} of {expected} bytes were there")]
    Shrunk {
        /// Its name.
        input: String,
        /// The line up to which it was read.
        line: u64,
        /// Its size when it was opened.
        expected: u64,
        /// How many bytes were there.
        found: u64,
    },
    /// There is not even a header.
    #[error("{input}: is empty: not even a header is there")]
    Empty {
        /// Its name.
        input: String,
    },
    /// The header does not end.
    #[error("{input}:{line}: the header does not end within {limit} bytes")]
    EndlessHeader {
        /// Its name.
        input: String,
        /// The line of its header.
        line: u64,
        /// How far it was read.
        limit: usize,
    },
    /// The header does not name the columns that are needed.
    #[error("{input}:{line}: no {missing} (found {})", columns(.found))]
    Header {
        /// Its name.
        input: String,
        /// The line of its header.
        line: u64,
        /// The names of its columns.
        found: Vec<String>,
        /// What is missing, as the words after `no`.
        missing: &'static str,
        /// What to do about it.
        suggestion: String,
    },
    /// The header is not CSV.
    #[error("{input}:{line}: the header can't be read: {what}")]
    FlawedHeader {
        /// Its name.
        input: String,
        /// The line of its header.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The header does not have a column that the options name.
    #[error("{input}:{line}: no column for `{mapping}` (found {})", columns(.found))]
    MissingColumn {
        /// Its name.
        input: String,
        /// The line of its header.
        line: u64,
        /// The names of its columns.
        found: Vec<String>,
        /// What a column was to hold, and its name, which is not among them: `user_id=Foo`.
        mapping: String,
        /// What to do about it.
        suggestion: String,
    },
    /// Two columns of the header mean the same.
    #[error("{input}:{line}: the columns `{first}` and `{second}` both hold `{meaning}`")]
    DuplicateColumn {
        /// Its name.
        input: String,
        /// The line of its header.
        line: u64,
        /// The name of the one column.
        first: String,
        /// The name of the other.
        second: String,
        /// What they both hold.
        meaning: String,
    },
    /// Columns hold nothing to send, and are not to be ignored.
    #[error("{input}:{line}: no such attribute: {}", super::suggest::unknown(.names))]
    UnknownColumns {
        /// Its name.
        input: String,
        /// The line of its header.
        line: u64,
        /// What the columns are called.
        names: Vec<String>,
    },
    /// The header names more attributes than can be told apart.
    #[error("{input}:{line}: the inputs name more than {} attributes", u32::from(u16::MAX) + 1)]
    TooManyAttributes {
        /// Its name.
        input: String,
        /// The line of its header.
        line: u64,
    },
    /// A quote is never closed, and what stands behind it is too much to be left out.
    #[error(
        "{input}:{line}: a quote that is opened here is never closed: it takes all {lines} lines up to the end"
    )]
    OpenQuote {
        /// Its name.
        input: String,
        /// The line where the record starts.
        line: u64,
        /// How many lines the record takes.
        lines: u64,
    },
    /// A temporary file can't be made, written or read back.
    #[error("a temporary file{} {}", within(.directory.as_deref()), trouble(.cause))]
    Disk {
        /// Where temporary files are; `None`: where the system has them.
        directory: Option<PathBuf>,
        /// What the system said.
        cause: io::Error,
    },
}

impl InputError {
    /// What was read with these options needs a temporary file, and there is trouble with it.
    pub fn disk(options: &Options, cause: io::Error) -> Self {
        Self::Disk { directory: options.resources.temp_dir.clone(), cause }
    }

    /// Whether the local disk is the problem, and not the input.
    pub fn is_disk_error(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }

    /// What to do about it, in the imperative.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Open { cause, .. } if cause.kind() == io::ErrorKind::NotFound => "check the path",
            Self::Read { cause, .. } if cause.kind() == io::ErrorKind::InvalidData => {
                "compress the file again, or copy it again"
            }
            Self::Directory { .. } => "name the files in it",
            Self::Truncated { .. } | Self::Shrunk { .. } => {
                "wait until the file is written whole, then try again"
            }
            Self::Empty { .. } => "start the input with a line `user_id,attribute,value`",
            Self::FlawedHeader { .. } => "correct the quotes of the header",
            Self::EndlessHeader { .. } => "look for a quote that is never closed",
            Self::OpenQuote { .. } => {
                "close the quote, or write it twice within quotes if it is part of the text"
            }
            Self::Format { hint, .. } => hint,
            Self::UnknownColumns { names, .. } => {
                let first = names.first().map_or("", String::as_str);
                return Some(format!(
                    "correct the name, ignore the column by `--columns '-={first}'`, or add `--allow-custom` if it is an \
                     attribute of your own"
                ));
            }
            Self::Header { suggestion, .. } | Self::MissingColumn { suggestion, .. } => suggestion,
            Self::DuplicateColumn { .. } => "remove or rename one of them",
            Self::TooManyAttributes { .. } => "split the input",
            Self::Disk { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
                "name a directory that is there with `--temp-dir`"
            }
            Self::Disk { .. } => "make room, or name another place with `--temp-dir`",
            Self::Open { .. } | Self::Read { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn within(directory: Option<&Path>) -> String {
    directory.map_or_else(String::new, |directory| format!(" in `{}`", directory.display()))
}

/// What a temporary file can't be.
fn trouble(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "cannot be made: no such directory".to_owned(),
        io::ErrorKind::UnexpectedEof => format!("cannot be read back: {error}"),
        _ => format!("cannot be written: {}", reason(error)),
    }
}

/// The first few, in backticks.
fn columns(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    shown.join(", ")
}
