//! From sources to what came of them.

use std::io::{self, Read};

use encoding_rs::{Encoding, UTF_8};

use super::ahead::Ahead;
use super::columns::Columns;
use super::header::{self, Header};
use super::intake::{Decoded, Frame, Intake};
use super::ranges::Ranges;
use super::records::{Boundary, Broken, LONGEST_RECORD, Next, Records};
use super::source::{Input, Opened};
use super::tally::Sample;
use super::{
    Cause, Compression, Counts, Dictionary, Empty, InvalidRows, Layout, Options, Refusal, Sink, Source,
    Warning, excerpt,
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
        let options = opened.origin.options(options);
        let header = header::read(&mut opened, &options)?;
        warnings.extend(ignored(&header.columns, &opened.name));
        read.push(read_source(opened, header, &options, &mut intake)?);
    }
    finish(intake, warnings, read, options)
}

fn read_source<S: Sink>(
    mut opened: Opened,
    header: Header,
    options: &Options,
    intake: &mut Intake<S>,
) -> Result<SourceRead, Refusal> {
    let Header { mut columns, delimiter, records } = header;
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
        origin: opened.origin,
        columns: &columns,
        delimiter,
        id_type: options.id_type,
        empty: options.empty.unwrap_or(by_layout),
        decoded,
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

/// Takes in records until there is none.
pub(super) fn drain<S: Sink, R: Read>(
    records: &mut Records<R>,
    frame: &Frame<'_>,
    intake: &mut Intake<S>,
) -> Result<Ending, Trouble> {
    loop {
        match records.next() {
            Ok(Next::Record(record)) => {
                let taken = intake.record(frame, &record).and_then(|()| intake.relieve());
                taken.map_err(|cause| Trouble::disk(cause, records))?;
            }
            Ok(Next::InputEnd) => return Ok(Ending::Input),
            Ok(Next::RangeEnd(boundary)) => return Ok(Ending::Range(boundary)),
            Err(Broken::Io(cause)) => return Err(Trouble { line: records.line(), kind: Kind::Input(cause) }),
            Err(Broken::Endless) => return Err(Trouble { line: records.record_line(), kind: Kind::Endless }),
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
    Endless,
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
            Kind::Endless => {
                Refusal::EndlessRecord { input: opened.name.clone(), line, limit: LONGEST_RECORD }
            }
            Kind::Disk(cause) => Refusal::disk(options, cause),
        }
    }
}

fn ignored(columns: &Columns, input: &str) -> Option<Warning> {
    let name = |column: &usize| match columns.names[*column].trim_ascii() {
        b"" => format!("number {}", column + 1),
        name => format!("`{}`", excerpt(name)),
    };
    let names: Vec<String> = columns.ignored.iter().map(name).collect();
    let plural = if names.len() == 1 { "column" } else { "columns" };
    (!names.is_empty()).then(|| Warning {
        what: format!("{input}: {plural} ignored: {}", names.join(", ")),
        count: names.len() as u64,
        places: Vec::new(),
    })
}

fn finish<S: Sink>(
    mut intake: Intake<S>,
    mut warnings: Vec<Warning>,
    sources: Vec<SourceRead>,
    options: &Options,
) -> Result<Reading<S>, Refusal> {
    intake.unify().map_err(|cause| Refusal::disk(options, cause))?;
    let Intake { sink, dictionary, counts, invalid, causes, suspicions, .. } = intake;
    let causes = causes.sorted().into_iter().map(|Sample { kind, count, places }| Cause {
        what: kind.what(&dictionary),
        count,
        places,
    });
    let causes = causes.collect();
    warnings.extend(suspicions.sorted().into_iter().map(
        |Sample { kind: (attribute, rule), count, places }| {
            let name = &dictionary.attribute(attribute).name;
            Warning { what: format!("`{name}` does not look like {}", rule.demand()), count, places }
        },
    ));
    let invalid = invalid.seal().map_err(|cause| Refusal::disk(options, cause))?;
    Ok(Reading { sink, dictionary, counts, invalid, causes, warnings, sources })
}
