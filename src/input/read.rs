//! Reads all sources.

use std::io;

use encoding_rs::{Encoding, UTF_8};

use super::byte_ranges::ByteRanges;
use super::columns::InputColumns;
use super::decode_thread::DecodeThread;
use super::header::{self, Header};
use super::invisible::trim;
use super::issues::CountedIssue;
use super::read_records::read_records;
use super::row_builder::{Decoding, InputContext, RowBuilder};
use super::row_error::RowError;
use super::source::{ByteStream, OpenedInput};
use super::{
    Compression, Counts, Dictionary, Empty, InputError, InvalidRows, Issue, Layout, ReadOptions, Sink,
    Source, UnknownColumns, excerpt, suggest,
};

/// The result of reading.
#[derive(Debug)]
pub struct Reading<S> {
    /// The sink that took the valid rows.
    pub sink: S,
    /// What the numbers in rows stand for.
    pub dictionary: Dictionary,
    /// Numbers of rows. The sink took `read - invalid - skipped`.
    pub counts: Counts,
    /// The invalid rows.
    pub invalid: InvalidRows,
    /// Why rows are invalid, the most frequent cause first.
    pub causes: Vec<Issue>,
    /// Warnings. The rows they concern are valid.
    pub warnings: Vec<Issue>,
    /// The sources, in the order of reading.
    pub sources: Vec<SourceRead>,
}

/// What was found out about one source.
#[derive(Clone, Debug)]
pub struct SourceRead {
    /// Its path, or `stdin`.
    pub name: String,
    /// Its size in bytes, before decompression and decoding.
    pub bytes: u64,
    /// The number of rows, including invalid and skipped ones.
    pub rows: u64,
    /// [`Layout::Long`] or [`Layout::Wide`].
    pub layout: Layout,
    /// The byte between fields.
    pub delimiter: u8,
    /// Its encoding.
    pub encoding: &'static Encoding,
    /// Its compression.
    pub compression: Compression,
}

/// Reads sources one after the other. Each has a header of its own.
///
/// Valid rows go to the sink, in the order of the input. An invalid row is not an error.
pub fn read<S: Sink>(sources: &[Source], options: &ReadOptions, sink: S) -> Result<Reading<S>, InputError> {
    options.progress.expect(sources);
    let mut builder = RowBuilder::new(options, sink);
    let mut warnings = Vec::new();
    let mut read = Vec::new();
    for source in sources {
        let mut opened = OpenedInput::new(source, options)?;
        let header = header::read(&mut opened, options)?;
        warnings.extend(unknown_columns(&header, &opened.name, options)?);
        let seen = opened.seen.clone();
        let source = read_source(opened, header, options, &mut builder)?;
        if source.rows == 0 {
            warnings.push(Issue::of(format!("{}: a header, but no rows", source.name)));
        }
        if seen.is_some_and(|seen| seen.is_utf_8()) {
            let (name, encoding) = (&source.name, source.encoding.name().to_lowercase());
            warnings.push(Issue::of(format!(
                "{name}: is UTF-8, but was read as {encoding}: leave out `--encoding`"
            )));
        }
        read.push(source);
    }
    finish(builder, warnings, read, options)
}

fn read_source<S: Sink>(
    mut opened: OpenedInput,
    header: Header,
    options: &ReadOptions,
    builder: &mut RowBuilder<S>,
) -> Result<SourceRead, InputError> {
    let Header { mut columns, delimiter, kind, line_end, records, .. } = header;
    let line = records.line();
    if columns.resolve_attributes(&mut builder.dictionary).is_err() {
        return Err(InputError::TooManyAttributes { input: opened.name, line });
    }
    let before = builder.counts.read;
    let by_layout = if columns.layout() == Layout::Wide { Empty::Skip } else { Empty::Reject };
    let decoding = if opened.encoding == UTF_8 { Decoding::Utf8 } else { Decoding::Lossy };
    let input = std::mem::replace(&mut opened.input, Box::new(io::empty()));
    let name = opened.name.clone();
    let context = InputContext {
        input: &name,
        kind,
        columns: &columns,
        delimiter,
        id_type: options.id_type,
        empty: options.empty.unwrap_or(by_layout),
        decoding,
        line_end,
    };
    let start = (opened.mark + records.consumed()) as u64;
    let ranges = match (opened.file.take(), opened.size) {
        (Some(file), Some(size)) if opened.is_plain() => {
            let divided = ByteRanges::divide(file, start, size, options);
            divided.map_err(|cause| opened.read_error(cause, line, 0))?
        }
        _ => None,
    };
    let read = if let Some(ranges) = ranges {
        // What was read with the header is read again.
        options.progress.take_back(opened.bytes().saturating_sub(start), 0);
        ranges
            .read(line, records.last_byte(), &context, builder)
            .map(|records| (records.line(), records.input().at))
    } else {
        let input: ByteStream = if options.resources.threads.get() > 1 && !opened.is_small() {
            Box::new(DecodeThread::spawn(input).map_err(|cause| opened.read_error(cause, line, 0))?)
        } else {
            input
        };
        let mut records = records.attach(input);
        read_records(&mut records, &context, builder).map(|_| (records.line(), opened.bytes()))
    };
    let rows = builder.counts.read - before;
    let (line, bytes) = read.map_err(|error| error.into_input_error(&opened, rows, options))?;
    if let Some(expected) = opened.size.filter(|size| bytes < *size) {
        return Err(InputError::Shrunk { input: name, line, expected, found: bytes });
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

/// Warns of columns that are neither attributes nor ignored, or refuses the input, as the options say.
fn unknown_columns(header: &Header, input: &str, options: &ReadOptions) -> Result<Option<Issue>, InputError> {
    let InputColumns { names, unknown, .. } = &header.columns;
    let names: Vec<String> = unknown.iter().map(|column| excerpt(trim(&names[*column]))).collect();
    if names.is_empty() {
        return Ok(None);
    }
    if options.unknown_columns == UnknownColumns::Refuse {
        return Err(InputError::UnknownColumns { input: input.to_owned(), line: header.line, names });
    }
    let plural = if names.len() == 1 { "column is" } else { "columns are" };
    let what = format!("{input}: {plural} not sent: {}", suggest::unknown(&names));
    Ok(Some(Issue { count: names.len() as u64, ..Issue::of(what) }))
}

fn finish<S: Sink>(
    mut builder: RowBuilder<S>,
    mut warnings: Vec<Issue>,
    sources: Vec<SourceRead>,
    options: &ReadOptions,
) -> Result<Reading<S>, InputError> {
    builder.publish_rows();
    options.progress.end();
    builder.merge_spills().map_err(|cause| InputError::disk(options, cause))?;
    let RowBuilder { sink, dictionary, counts, invalid, errors, warnings: row_warnings, non_utf8, .. } =
        builder;
    let suggestion = |kind| {
        let page = if kind == RowError::NotText { non_utf8.code_page() } else { None };
        page.map_or_else(String::new, |page| {
            let name = page.name().to_lowercase();
            format!("; they look like {name}: add `--encoding {name}`")
        })
    };
    let causes = errors.sorted().into_iter().map(|CountedIssue { kind, count, places }| Issue {
        what: kind.description_with_hint(places.first().map_or("", |place| &place.found), &dictionary)
            + &suggestion(kind),
        count,
        places,
    });
    let causes = causes.collect();
    warnings.extend(row_warnings.sorted().into_iter().map(|CountedIssue { kind, count, places }| Issue {
        what: kind.description(&dictionary),
        count,
        places,
    }));
    let invalid = invalid.finish().map_err(|cause| InputError::disk(options, cause))?;
    Ok(Reading { sink, dictionary, counts, invalid, causes, warnings, sources })
}
