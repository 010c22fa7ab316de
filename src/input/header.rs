//! Reads the header of an input, and detects the delimiter.

use std::io::{self, Read};
use std::iter;
use std::path::Path;

use super::columns::{HeaderError, InputColumns};
use super::failures_input::InputKind;
use super::file_type::{self, FileType};
use super::invisible::trim;
use super::options::DELIMITERS;
use super::preamble::Preamble;
use super::record::{LineEnd, NextRecord};
use super::record_reader::RecordReader;
use super::source::OpenedInput;
use super::{InputError, ReadOptions, Source, excerpt, suggest};

/// Quotes that other programs write. They are not quotes in CSV.
const OTHER_QUOTES: [char; 9] = ['\'', '`', '‘', '’', '“', '”', '„', '«', '»'];

/// The most bytes of a header. Without a limit, an input without line ends would be read into memory as a whole.
const LONGEST_HEADER: usize = 16 << 20;

/// The records to search for a header that is not on the first line.
const RECORDS_ABOVE: usize = 20;

/// A valid header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) columns: InputColumns,
    pub(super) line: u64,
    pub(super) delimiter: u8,
    pub(super) kind: InputKind,
    pub(super) line_end: LineEnd,
    /// A reader that continues after the header. The input is attached later.
    pub(super) records: RecordReader<io::Empty>,
}

/// The header as one delimiter splits it.
struct HeaderCandidate {
    delimiter: u8,
    names: Vec<Vec<u8>>,
    line: u64,
    records: RecordReader<io::Empty>,
    kind: InputKind,
    columns: Result<InputColumns, HeaderError>,
}

/// Whether the file has the columns of a failures report. Fails if it cannot be opened or read.
pub fn is_failures_report(path: &Path) -> io::Result<bool> {
    let options = ReadOptions::default();
    let header = OpenedInput::new(&Source::File(path.to_owned()), &options)
        .and_then(|mut opened| read(&mut opened, &options));
    match header {
        Ok(header) => Ok(header.kind != InputKind::Ordinary),
        Err(error @ (InputError::Open { .. } | InputError::Directory { .. } | InputError::Read { .. })) => {
            Err(io::Error::other(error))
        }
        Err(_) => Ok(false),
    }
}

/// Reads no more of the input than the header needs, and selects the delimiter with which the header is valid.
pub(super) fn read(opened: &mut OpenedInput, options: &ReadOptions) -> Result<Header, InputError> {
    let mut start = Vec::new();
    let mut candidates = loop {
        let before = start.len();
        let more = (before.max(64 << 10)) as u64;
        let read = Read::by_ref(&mut opened.input).take(more).read_to_line(&mut start);
        read.map_err(|cause| opened.read_error(cause, 1, 0))?;
        let ended = start.len() == before;
        let (candidates, unfinished) = candidates(&start, ended, options);
        if unfinished == 0 || ended || (start.len() > LONGEST_HEADER && !candidates.is_empty()) {
            break candidates;
        }
        if start.len() > LONGEST_HEADER {
            return Err(InputError::EndlessHeader {
                input: opened.name.clone(),
                line: 1,
                limit: LONGEST_HEADER,
            });
        }
    };
    let Some(best) = (0..candidates.len()).min_by_key(|at| rank(&candidates[*at])) else {
        return Err(InputError::Empty { input: opened.name.clone() });
    };
    let HeaderCandidate { delimiter, names, line, records, kind, columns } = candidates.swap_remove(best);
    match columns {
        Ok(columns) => {
            let line_end = if start.contains(&b'\n') { LineEnd::Feed } else { LineEnd::Return };
            Ok(Header { columns, line, delimiter, kind, line_end, records })
        }
        Err(error) => {
            if let Some(FileType { what, hint }) = file_type::of_text(&start) {
                return Err(InputError::Format { input: opened.name.clone(), what, hint: hint.to_owned() });
            }
            let others = candidates.into_iter().map(|candidate| candidate.records);
            let below = || iter::once(records).chain(others).find_map(|records| header_in(records, options));
            Err(header_error(error, &opened.name, line, &names, below, options))
        }
    }
}

/// Lower is better: a valid header first, then one with an obvious mistake, then the one with the most columns.
fn rank(candidate: &HeaderCandidate) -> (u8, usize) {
    let fit = match &candidate.columns {
        Ok(_) => 0,
        Err(HeaderError::Duplicate { .. }) => 1,
        Err(HeaderError::Missing(_) | HeaderError::MissingRequired(_) | HeaderError::SyntaxError(_)) => 2,
    };
    (fit, usize::MAX - candidate.names.len())
}

/// The header as each delimiter splits it, and how many delimiters do not find its end.
fn candidates(start: &[u8], ended: bool, options: &ReadOptions) -> (Vec<HeaderCandidate>, usize) {
    let prelude = Preamble::of(start);
    let named = prelude.delimiter.or(options.delimiter);
    // A spreadsheet may have changed the delimiter of a failures report, so the option does not apply to it.
    let delimiters = DELIMITERS.into_iter().chain(named.filter(|named| !DELIMITERS.contains(named)));
    let mut unfinished = 0;
    let mut candidates = Vec::new();
    for delimiter in delimiters {
        let mut records = RecordReader::new(io::empty(), start.to_vec(), delimiter);
        records.skip(prelude.bytes, prelude.lines);
        if !ended {
            records.read_at_most(0);
        }
        let is_asked_for = named.is_none_or(|named| named == delimiter);
        match records.next() {
            Ok(NextRecord::Record(header)) => {
                let (line, flaw) = (header.line, header.syntax_error);
                let names: Vec<Vec<u8>> = header.iter().map(<[u8]>::to_vec).collect();
                let kind = InputKind::of(&names);
                if !is_asked_for && kind == InputKind::Ordinary {
                    continue;
                }
                let columns = match flaw {
                    Some(flaw) => Err(HeaderError::SyntaxError(flaw)),
                    None => InputColumns::from_header(&names, &kind.options(options)),
                };
                candidates.push(HeaderCandidate { delimiter, names, line, records, kind, columns });
            }
            Ok(NextRecord::RangeEnd(_)) => unfinished += usize::from(is_asked_for),
            Ok(NextRecord::InputEnd) | Err(_) => {}
        }
    }
    (candidates, unfinished)
}

/// The line of a header that is not on the first line.
fn header_in(mut records: RecordReader<io::Empty>, options: &ReadOptions) -> Option<u64> {
    (0..RECORDS_ABOVE).find_map(|_| {
        let Ok(NextRecord::Record(record)) = records.next() else { return None };
        let names: Vec<Vec<u8>> = record.iter().map(<[u8]>::to_vec).collect();
        InputColumns::from_header(&names, options).ok().map(|_| record.line)
    })
}

fn header_error(
    error: HeaderError,
    input: &str,
    line: u64,
    names: &[Vec<u8>],
    below: impl FnOnce() -> Option<u64>,
    options: &ReadOptions,
) -> InputError {
    let input = input.to_owned();
    let found: Vec<String> = names.iter().map(|name| excerpt(trim(name))).collect();
    match error {
        HeaderError::Duplicate { first, second, meaning } => {
            let (first, second) = (found[first].clone(), found[second].clone());
            InputError::DuplicateColumn { input, line, first, second, meaning }
        }
        HeaderError::MissingRequired(name) => {
            let ours = options.columns.get(&name).map_or("", String::as_str);
            let suggestion = suggest::column(&name, ours, &found);
            InputError::MissingColumn { input, line, found, mapping: format!("{ours}={name}"), suggestion }
        }
        HeaderError::SyntaxError(flaw) => InputError::FlawedHeader { input, line, what: flaw.description() },
        HeaderError::Missing(missing) => {
            let suggestion = match below() {
                Some(below) => format!("the header is on line {below}: remove what stands above it"),
                None if has_other_quotes(&found, options) => {
                    "write `\"` round names and values, or nothing: other quotes are part of the text"
                        .to_owned()
                }
                None => suggest::columns(&found, options),
            };
            InputError::Header { input, line, missing, suggestion, found }
        }
    }
}

/// Whether the header would be valid without quotes that are not quotes in CSV.
fn has_other_quotes(found: &[String], options: &ReadOptions) -> bool {
    let unquoted = found.iter().map(|name| name.trim_matches(OTHER_QUOTES).as_bytes().to_vec());
    let unquoted: Vec<Vec<u8>> = unquoted.collect();
    InputColumns::from_header(&unquoted, options).is_ok()
}

/// Reads until there is a line end.
trait ReadToLine {
    fn read_to_line(self, into: &mut Vec<u8>) -> io::Result<()>;
}

impl<R: Read> ReadToLine for io::Take<R> {
    /// Stops at a chunk with a line end, because the rest may take long to come through a pipe.
    fn read_to_line(mut self, into: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let before = into.len();
            let room = usize::try_from(self.limit()).unwrap_or(usize::MAX).min(64 << 10);
            into.resize(before + room, 0);
            let read = self.read(&mut into[before..]);
            into.truncate(before + read.as_ref().copied().unwrap_or(0));
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(0) => return Ok(()),
                Ok(_) if memchr::memchr2(b'\n', b'\r', &into[before..]).is_some() => return Ok(()),
                Ok(_) => {}
            }
        }
    }
}
