//! From a header to what its columns hold.

use std::io::{self, Read};
use std::iter;

use super::columns::{Columns, Misfit};
use super::fed_back::Origin;
use super::format::{self, Format};
use super::intake::LineEnd;
use super::prelude::Prelude;
use super::record::Next;
use super::records::Records;
use super::source::Opened;
use super::unseen::trim;
use super::{Options, Refusal, excerpt, suggest};

/// The delimiters that are looked for, in the order of preference.
pub(super) const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Quotes that are none in CSV, as other programs write them.
const OTHER_QUOTES: [char; 9] = ['\'', '`', '‘', '’', '“', '”', '„', '«', '»'];

/// A header does not take more bytes than this. An input without line ends must not be read into memory whole.
const LONGEST_HEADER: usize = 16 << 20;

/// How many records are looked at for a header that does not stand on the first line.
const RECORDS_ABOVE: usize = 20;

/// A header that was understood.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) columns: Columns,
    pub(super) line: u64,
    pub(super) delimiter: u8,
    pub(super) origin: Origin,
    pub(super) line_end: LineEnd,
    /// Goes on right after the header; the input is still to be attached.
    pub(super) records: Records<io::Empty>,
}

/// One way to read the header.
struct Attempt {
    delimiter: u8,
    names: Vec<Vec<u8>>,
    line: u64,
    records: Records<io::Empty>,
    origin: Origin,
    columns: Result<Columns, Misfit>,
}

/// Reads just as much of the input as the header takes, and chooses the delimiter with which it makes sense.
pub(super) fn read(opened: &mut Opened, options: &Options) -> Result<Header, Refusal> {
    let mut start = Vec::new();
    let mut attempts = loop {
        let before = start.len();
        let more = (before.max(64 << 10)) as u64;
        let read = Read::by_ref(&mut opened.input).take(more).read_to_line(&mut start);
        read.map_err(|cause| opened.unreadable(cause, 1, 0))?;
        let ended = start.len() == before;
        let (attempts, unfinished) = attempts(&start, ended, options);
        if unfinished == 0 || ended || (start.len() > LONGEST_HEADER && !attempts.is_empty()) {
            break attempts;
        }
        if start.len() > LONGEST_HEADER {
            return Err(Refusal::EndlessHeader {
                input: opened.name.clone(),
                line: 1,
                limit: LONGEST_HEADER,
            });
        }
    };
    let Some(best) = (0..attempts.len()).min_by_key(|at| rank(&attempts[*at])) else {
        return Err(Refusal::Empty { input: opened.name.clone() });
    };
    let Attempt { delimiter, names, line, records, origin, columns } = attempts.swap_remove(best);
    match columns {
        Ok(columns) => {
            let line_end = if start.contains(&b'\n') { LineEnd::Feed } else { LineEnd::Return };
            Ok(Header { columns, line, delimiter, origin, line_end, records })
        }
        Err(misfit) => {
            if let Some(Format { what, hint }) = format::of_text(&start) {
                return Err(Refusal::Format { input: opened.name.clone(), what, hint: hint.to_owned() });
            }
            let others = attempts.into_iter().map(|attempt| attempt.records);
            let below = || iter::once(records).chain(others).find_map(|records| header_in(records, options));
            Err(refuse(misfit, &opened.name, line, &names, below, options))
        }
    }
}

/// The lower, the better: what is understood, then what is plainly a header with a mistake, then what has most columns.
fn rank(attempt: &Attempt) -> (u8, usize) {
    let fit = match &attempt.columns {
        Ok(_) => 0,
        Err(Misfit::Duplicate { .. }) => 1,
        Err(Misfit::Missing(_) | Misfit::Unnamed(_) | Misfit::Flaw(_)) => 2,
    };
    (fit, usize::MAX - attempt.names.len())
}

/// What each delimiter makes of the start of an input, and how many of them do not find the header's end in it.
fn attempts(start: &[u8], ended: bool, options: &Options) -> (Vec<Attempt>, usize) {
    let prelude = Prelude::of(start);
    let named = prelude.delimiter.or(options.delimiter);
    // A report has been through a spreadsheet, whatever delimiter is named for other inputs.
    let candidates = DELIMITERS.into_iter().chain(named.filter(|named| !DELIMITERS.contains(named)));
    let mut unfinished = 0;
    let mut attempts = Vec::new();
    for delimiter in candidates {
        let mut records = Records::new(io::empty(), start.to_vec(), delimiter);
        records.skip(prelude.bytes, prelude.lines);
        if !ended {
            records.read_at_most(0);
        }
        let is_asked_for = named.is_none_or(|named| named == delimiter);
        match records.next() {
            Ok(Next::Record(header)) => {
                let (line, flaw) = (header.line, header.flaw);
                let names: Vec<Vec<u8>> = header.iter().map(<[u8]>::to_vec).collect();
                let origin = Origin::of(&names);
                if !is_asked_for && origin == Origin::Foreign {
                    continue;
                }
                let columns = match flaw {
                    Some(flaw) => Err(Misfit::Flaw(flaw)),
                    None => Columns::understand(&names, &origin.options(options)),
                };
                attempts.push(Attempt { delimiter, names, line, records, origin, columns });
            }
            Ok(Next::RangeEnd(_)) => unfinished += usize::from(is_asked_for),
            Ok(Next::InputEnd) | Err(_) => {}
        }
    }
    (attempts, unfinished)
}

/// The line of a header that stands lower than it should.
fn header_in(mut records: Records<io::Empty>, options: &Options) -> Option<u64> {
    (0..RECORDS_ABOVE).find_map(|_| {
        let Ok(Next::Record(record)) = records.next() else { return None };
        let names: Vec<Vec<u8>> = record.iter().map(<[u8]>::to_vec).collect();
        Columns::understand(&names, options).ok().map(|_| record.line)
    })
}

fn refuse(
    misfit: Misfit,
    input: &str,
    line: u64,
    names: &[Vec<u8>],
    below: impl FnOnce() -> Option<u64>,
    options: &Options,
) -> Refusal {
    let input = input.to_owned();
    let found: Vec<String> = names.iter().map(|name| excerpt(trim(name))).collect();
    match misfit {
        Misfit::Duplicate { first, second, meaning } => {
            let (first, second) = (found[first].clone(), found[second].clone());
            Refusal::DuplicateColumn { input, line, first, second, meaning }
        }
        Misfit::Unnamed(name) => {
            let ours = options.columns.get(&name).map_or("", String::as_str);
            let suggestion = suggest::column(&name, ours, &found);
            Refusal::MissingColumn { input, line, found, mapping: format!("{ours}={name}"), suggestion }
        }
        Misfit::Flaw(flaw) => Refusal::FlawedHeader { input, line, what: flaw.what() },
        Misfit::Missing(missing) => {
            let suggestion = match below() {
                Some(below) => format!("the header is on line {below}: remove what stands above it"),
                None if has_other_quotes(&found, options) => {
                    "write `\"` round names and values, or nothing: other quotes are part of the text"
                        .to_owned()
                }
                None => suggest::columns(&found, options),
            };
            Refusal::Header { input, line, missing, suggestion, found }
        }
    }
}

/// Whether these would be columns but for quotes that are none in CSV.
fn has_other_quotes(found: &[String], options: &Options) -> bool {
    let unquoted = found.iter().map(|name| name.trim_matches(OTHER_QUOTES).as_bytes().to_vec());
    let unquoted: Vec<Vec<u8>> = unquoted.collect();
    Columns::understand(&unquoted, options).is_ok()
}

/// Reading until there is something to look at.
trait ReadToLine {
    fn read_to_line(self, into: &mut Vec<u8>) -> io::Result<()>;
}

impl<R: Read> ReadToLine for io::Take<R> {
    /// Stops early behind a piece with a line end: the rest of a pipe may take its time.
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
