//! Errors of an input as a whole.

use std::io;
use std::path::{Path, PathBuf};

use super::ReadOptions;

/// Why an input is refused. None of its rows is sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The input cannot be opened.
    #[error("{input}: {}", reason(.cause))]
    Open {
        /// The name of the input.
        input: String,
        /// The system's error.
        cause: io::Error,
    },
    /// The input is a directory.
    #[error("{input}: is a directory")]
    Directory {
        /// The name of the input.
        input: String,
    },
    /// The input is not CSV, or not text in the given encoding.
    #[error("{input}: is {what}")]
    Format {
        /// The name of the input.
        input: String,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        hint: String,
    },
    /// Reading failed.
    #[error("{input}:{line}: cannot be read any further: {}", reason(.cause))]
    Read {
        /// The name of the input.
        input: String,
        /// The last line that was read.
        line: u64,
        /// The error of the system or of the decompressor.
        cause: io::Error,
    },
    /// The compressed data ends too early.
    #[error("{input}:{line}: the compressed file ends too early, after {rows} rows")]
    Truncated {
        /// The name of the input.
        input: String,
        /// The last line of the decompressed text that was read.
        line: u64,
        /// The number of rows before that.
        rows: u64,
    },
    /// The file became shorter while it was read.
    #[error("{input}:{line}: the file shrank while it was read: {found} of {expected} bytes were there")]
    Shrunk {
        /// The name of the input.
        input: String,
        /// The last line that was read.
        line: u64,
        /// Its size when it was opened.
        expected: u64,
        /// The bytes that were read.
        found: u64,
    },
    /// The input has no header.
    #[error("{input}: is empty: not even a header is there")]
    Empty {
        /// The name of the input.
        input: String,
    },
    /// The header does not end.
    #[error("{input}:{line}: the header does not end within {limit} bytes")]
    EndlessHeader {
        /// The name of the input.
        input: String,
        /// The line of the header.
        line: u64,
        /// The most bytes of a header.
        limit: usize,
    },
    /// The header does not have the necessary columns.
    #[error("{input}:{line}: no {missing} (found {})", columns(.found))]
    Header {
        /// The name of the input.
        input: String,
        /// The line of the header.
        line: u64,
        /// The names of the columns.
        found: Vec<String>,
        /// What is missing. Completes a sentence that starts with `no`.
        missing: &'static str,
        /// What to do about it.
        suggestion: String,
    },
    /// The header is not valid CSV.
    #[error("{input}:{line}: the header can't be read: {what}")]
    FlawedHeader {
        /// The name of the input.
        input: String,
        /// The line of the header.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The header does not have a column that the options name.
    #[error("{input}:{line}: no column for `{mapping}` (found {})", columns(.found))]
    MissingColumn {
        /// The name of the input.
        input: String,
        /// The line of the header.
        line: u64,
        /// The names of the columns.
        found: Vec<String>,
        /// The mapping whose column is missing: `user_id=Foo`.
        mapping: String,
        /// What to do about it.
        suggestion: String,
    },
    /// Two columns hold the same.
    #[error("{input}:{line}: the columns `{first}` and `{second}` both hold `{meaning}`")]
    DuplicateColumn {
        /// The name of the input.
        input: String,
        /// The line of the header.
        line: u64,
        /// The name of one column.
        first: String,
        /// The name of the other.
        second: String,
        /// What they both hold.
        meaning: String,
    },
    /// Columns are not attributes, and must not be ignored.
    #[error("{input}:{line}: no such attribute: {}", super::suggest::unknown(.names))]
    UnknownColumns {
        /// The name of the input.
        input: String,
        /// The line of the header.
        line: u64,
        /// The names of these columns.
        names: Vec<String>,
    },
    /// The inputs have more attributes than can be numbered.
    #[error("{input}:{line}: the inputs name more than {} attributes", u32::from(u16::MAX) + 1)]
    TooManyAttributes {
        /// The name of the input.
        input: String,
        /// The line of the header.
        line: u64,
    },
    /// A quote is never closed, and too many lines follow it to leave them out.
    #[error(
        "{input}:{line}: a quote that is opened here is never closed: it takes all {lines} lines up to the end"
    )]
    OpenQuote {
        /// The name of the input.
        input: String,
        /// The line where the record starts.
        line: u64,
        /// The number of lines of the record.
        lines: u64,
    },
    /// A temporary file cannot be created, written or read back.
    #[error("a temporary file{} {}", within(.directory.as_deref()), failure(.cause))]
    Disk {
        /// The directory of temporary files; `None` for the system's.
        directory: Option<PathBuf>,
        /// The system's error.
        cause: io::Error,
    },
}

impl InputError {
    /// An error of a temporary file, which was needed to read with these options.
    pub fn disk(options: &ReadOptions, cause: io::Error) -> Self {
        Self::Disk { directory: options.resources.temp_dir.clone(), cause }
    }

    /// Whether the local disk is the problem, and not the input.
    pub fn is_disk_error(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }

    /// What to do about the error, in the imperative.
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

/// What failed with a temporary file.
fn failure(error: &io::Error) -> String {
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
