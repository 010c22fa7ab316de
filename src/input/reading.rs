//! From sources to what came of them.

use std::io::{self, Read};

use encoding_rs::{Encoding, UTF_8};

use super::ahead::Ahead;
use super::columns::Columns;
use super::complaint::Complaint;
use super::header::{self, Header};
use super::intake::{Decoded, Frame, Intake};
use super::ranges::Ranges;
use super::record::{Boundary, Flaw, Next};
use super::records::Records;
use super::source::{Input, Opened};
use super::tally::Sample;
use super::unseen::trim;
use super::{
    Cause, Compression, Counts, Dictionary, Empty, InvalidRows, Layout, Options, Refusal, Sink, Source,
    UnknownColumns, Warning, excerpt, suggest,
};

/// All that was read.
#[derive(Debug)]
pub struct Reading<S> {
    /// Where the valid rows went.
    pub sink: S,
    /// What their numbers stand for.
    pub dictionary: Dictionary,
    /// How many rows there were. Those that went to the sink are `read - invalid - skipped`.
    pub counts: Counts,
    /// The invalid rows.
    pub invalid: InvalidRows,
    /// Why they are invalid, the most frequent cause first.
    pub causes: Vec<Cause>,
    /// What looks wrong, though it keeps no row back.
    pub warnings: Vec<Warning>,
    /// The sources, in the order in which they were read.
    pub sources: Vec<SourceRead>,
}

/// One source, and what it turned out to be.
#[derive(Clone, Debug)]
pub struct SourceRead {
    /// Its path, or `stdin`.
    pub name: String,
    /// How many bytes it has, compressed and encoded as it is.
    pub bytes: u64,
    /// How many rows it has, invalid and skipped ones included.
    pub rows: u64,
    /// [`Layout::Long`] or [`Layout::Wide`].
    pub layout: Layout,
    /// The byte between fields.
    pub delimiter: u8,
    /// How its text is encoded.
    pub encoding: &'static Encoding,
    /// How it is compressed.
    pub compression: Compression,
}

/// Reads sources, one after the other, as if joined. Each has a header of its own.
///
/// Valid rows go to the sink, in the order of the input. Nothing that is wrong with a row is an error.
pub fn read<S: Sink>(sources: &[Source], options: &Options, sink: S) -> Result<Reading<S>, Refusal> {
    let mut intake = Intake::new(options, sink);
    let mut warnings = Vec::new();
    let mut read = Vec::new();
    for source in sources {
        let mut opened = Opened::new(source, options)?;
        let header = header::read(&mut opened, options)?;
        warnings.extend(unknown_columns(&header, &opened.name, options)?);
        let seen = opened.seen.clone();
        let source = read_source(opened, header, options, &mut intake)?;
        if source.rows == 0 {
            warnings.push(Warning::of(format!("{}: a header, but no rows", source.name)));
        }
        if seen.is_some_and(|seen| seen.is_utf_8()) {
            let (name, encoding) = (&source.name, source.encoding.name().to_lowercase());
            warnings.push(Warning::of(format!(
                "{name}: is UTF-8, but was read as {encoding}: leave out `--encoding`"
            )));
        }
        read.push(source);
    }
    finish(intake, warnings, read, options)
}

fn read_source<S: Sink>(
    mut opened: Opened,
    header: Header,
    options: &Options,
    intake: &mut Intake<S>,
) -> Result<SourceRead, Refusal> {
    let Header { mut columns, delimiter, origin, line_end, records, .. } = header;
    let line = records.line();
    if columns.number(&mut intake.dictionary).is_err() {
        return Err(Refusal::TooManyAttributes { input: opened.name, line });
    }
    let before = intake.counts.read;
    let by_layout = if columns.layout() == Layout::Wide { Empty::Skip } else { Empty::Reject };
    let decoded = if opened.encoding == UTF_8 { Decoded::AsIs } else { Decoded::Replaced };
    let input = std::mem::replace(&mut opened.input, Box::new(io::empty()));
    let name = opened.name.clone();
    let frame = Frame {
        input: &name,
        origin,
        columns: &columns,
        delimiter,
        id_type: options.id_type,
        empty: options.empty.unwrap_or(by_layout),
        decoded,
        line_end,
    };
    let start = (opened.mark + records.consumed()) as u64;
    let ranges = match (opened.file.take(), opened.size) {
        (Some(file), Some(size)) if opened.is_plain() => {
            let divided = Ranges::divide(file, start, size, options);
            divided.map_err(|cause| opened.unreadable(cause, line, 0))?
        }
        _ => None,
    };
    let read = if let Some(ranges) = ranges {
        ranges.read(line, &frame, intake).map(|records| (records.line(), records.input().at))
    } else {
        let input: Input = if options.threads.get() > 1 && !opened.is_small() {
            Box::new(Ahead::of(input).map_err(|cause| opened.unreadable(cause, line, 0))?)
        } else {
            input
        };
        let mut records = records.attach(input);
        drain(&mut records, &frame, intake).map(|_| (records.line(), opened.bytes()))
    };
    let rows = intake.counts.read - before;
    let (line, bytes) = read.map_err(|trouble| trouble.refuse(&opened, rows, options))?;
    if let Some(expected) = opened.size.filter(|size| bytes < *size) {
        return Err(Refusal::Shrunk { input: name, line, expected, found: bytes });
    }
    Ok(SourceRead {
        bytes,
        rows,
        layout: columns.layout(),
        delimiter,
        encoding: opened.encoding,
        compression: opened.compression,
        name,
    })
}

/// How records came to an end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Range(Boundary),
    Input,
}

/// The most lines at the end of an input that an open quote may take with it. Of more than these the input is refused:
/// most of it was not read then.
const MOST_LINES_LOST: u64 = 100;

/// Takes in records until there is none.
pub(super) fn drain<S: Sink, R: Read>(
    records: &mut Records<R>,
    frame: &Frame<'_>,
    intake: &mut Intake<S>,
) -> Result<Ending, Trouble> {
    loop {
        match records.next() {
            Ok(Next::Record(record)) => {
                if record.flaw == Some(Flaw::OpenQuote) && record.lines > MOST_LINES_LOST {
                    return Err(Trouble { line: record.line, kind: Kind::OpenQuote { lines: record.lines } });
                }
                let taken = intake.record(frame, &record).and_then(|()| intake.relieve());
                taken.map_err(|cause| Trouble::disk(cause, records))?;
            }
            Ok(Next::InputEnd) => return Ok(Ending::Input),
            Ok(Next::RangeEnd(boundary)) => return Ok(Ending::Range(boundary)),
            Err(cause) => return Err(Trouble { line: records.line(), kind: Kind::Input(cause) }),
        }
    }
}

/// What keeps an input from being read any further.
#[derive(Debug)]
pub(super) struct Trouble {
    line: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Input(io::Error),
    OpenQuote { lines: u64 },
    Disk(io::Error),
}

impl Trouble {
    pub(super) fn disk<R: Read>(cause: io::Error, records: &Records<R>) -> Self {
        Self { line: records.line(), kind: Kind::Disk(cause) }
    }

    /// The same, so many lines further down.
    pub(super) fn move_down(self, lines: u64) -> Self {
        Self { line: self.line + lines, ..self }
    }

    fn refuse(self, opened: &Opened, rows: u64, options: &Options) -> Refusal {
        let Self { line, kind } = self;
        match kind {
            Kind::Input(cause) => opened.unreadable(cause, line, rows),
            Kind::OpenQuote { lines } => Refusal::OpenQuote { input: opened.name.clone(), line, lines },
            Kind::Disk(cause) => Refusal::disk(options, cause),
        }
    }
}

/// What there is to say of columns that hold nothing to send.
fn unknown_columns(header: &Header, input: &str, options: &Options) -> Result<Option<Warning>, Refusal> {
    let Columns { names, unknown, .. } = &header.columns;
    let names: Vec<String> = unknown.iter().map(|column| excerpt(trim(&names[*column]))).collect();
    if names.is_empty() {
        return Ok(None);
    }
    if options.unknown_columns == UnknownColumns::Refuse {
        return Err(Refusal::UnknownColumns { input: input.to_owned(), line: header.line, names });
    }
    let plural = if names.len() == 1 { "column is" } else { "columns are" };
    let what = format!("{input}: {plural} not sent: {}", suggest::unknown(&names));
    Ok(Some(Warning { count: names.len() as u64, ..Warning::of(what) }))
}

fn finish<S: Sink>(
    mut intake: Intake<S>,
    mut warnings: Vec<Warning>,
    sources: Vec<SourceRead>,
    options: &Options,
) -> Result<Reading<S>, Refusal> {
    intake.unify().map_err(|cause| Refusal::disk(options, cause))?;
    let Intake { sink, dictionary, counts, invalid, causes, suspicions, strange, .. } = intake;
    let suggestion = |kind| {
        let page = if kind == Complaint::NotText { strange.code_page() } else { None };
        page.map_or_else(String::new, |page| {
            let name = page.name().to_lowercase();
            format!("; they look like {name}: add `--encoding {name}`")
        })
    };
    let causes = causes.sorted().into_iter().map(|Sample { kind, count, places }| Cause {
        what: kind.of_all(places.first().map_or("", |place| &place.found), &dictionary) + &suggestion(kind),
        count,
        places,
    });
    let causes = causes.collect();
    warnings.extend(suspicions.sorted().into_iter().map(|Sample { kind, count, places }| Warning {
        what: kind.what(&dictionary),
        count,
        places,
    }));
    let invalid = invalid.seal().map_err(|cause| Refusal::disk(options, cause))?;
    Ok(Reading { sink, dictionary, counts, invalid, causes, warnings, sources })
}
