//! From a header to what its columns hold.

use super::columns::{Columns, Misfit};
use super::records::{Broken, Next, Records};
use super::source::Opened;
use super::{Options, Refusal, excerpt};

use std::io::{self, Read};

/// The delimiters that are looked for, in the order of preference.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A header does not take more bytes than this. An input without line ends must not be read into memory whole.
const LONGEST_HEADER: usize = 16 << 20;

/// A header that was understood.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) columns: Columns,
    pub(super) delimiter: u8,
    /// Goes on right after the header; the input is still to be attached.
    pub(super) records: Records<io::Empty>,
}

/// One way to read the header.
struct Attempt {
    delimiter: u8,
    names: Vec<Vec<u8>>,
    line: u64,
    records: Records<io::Empty>,
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
    let Attempt { delimiter, names, line, records, columns } = attempts.swap_remove(best);
    match columns {
        Ok(columns) => Ok(Header { columns, delimiter, records }),
        Err(misfit) => Err(refuse(misfit, &opened.name, line, &names, options)),
    }
}

/// The lower, the better: what is understood, then what is plainly a header with a mistake, then what has most columns.
fn rank(attempt: &Attempt) -> (u8, usize) {
    let fit = match &attempt.columns {
        Ok(_) => 0,
        Err(Misfit::Duplicate { .. }) => 1,
        Err(Misfit::Missing | Misfit::Unnamed(_)) => 2,
    };
    (fit, usize::MAX - attempt.names.len())
}

/// What each delimiter makes of the start of an input, and how many of them do not find the header's end in it.
fn attempts(start: &[u8], ended: bool, options: &Options) -> (Vec<Attempt>, usize) {
    let candidates = options.delimiter.as_ref().map_or(&DELIMITERS[..], std::slice::from_ref);
    let mut unfinished = 0;
    let mut attempts = Vec::new();
    for &delimiter in candidates {
        let mut records = Records::new(io::empty(), start.to_vec(), delimiter);
        if !ended {
            records.read_at_most(0);
        }
        match records.next() {
            Ok(Next::Record(header)) => {
                let line = header.line;
                let names: Vec<Vec<u8>> = header.iter().map(<[u8]>::to_vec).collect();
                let columns = Columns::understand(&names, options);
                attempts.push(Attempt { delimiter, names, line, records, columns });
            }
            Ok(Next::RangeEnd(_)) => unfinished += 1,
            Ok(Next::InputEnd) | Err(Broken::Io(_) | Broken::Endless) => {}
        }
    }
    (attempts, unfinished)
}

fn refuse(misfit: Misfit, input: &str, line: u64, names: &[Vec<u8>], options: &Options) -> Refusal {
    let input = input.to_owned();
    let found: Vec<String> = names.iter().map(|name| excerpt(name.trim_ascii())).collect();
    match misfit {
        Misfit::Duplicate { first, second, meaning } => {
            let (first, second) = (found[first].clone(), found[second].clone());
            Refusal::DuplicateColumn { input, line, first, second, meaning }
        }
        Misfit::Unnamed(name) => {
            let ours = options.columns.get(&name).map_or("", String::as_str);
            let suggestion = super::suggest::column(&name, ours, &found);
            Refusal::MissingColumn { input, line, found, mapping: format!("{ours}={name}"), suggestion }
        }
        Misfit::Missing => {
            let suggestion = super::suggest::columns(&found, options);
            Refusal::Header { input, line, wanted: super::suggest::wanted(options.layout), suggestion, found }
        }
    }
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
