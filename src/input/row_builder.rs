//! Builds rows of records.

use std::io;
use std::sync::Arc;

use super::code_page::NonUtf8Sample;
use super::columns::{AttributeColumn, InputColumns, RowLayout};
use super::dictionary::CheckedValue;
use super::failures_input::InputKind;
use super::invalid_rows::{InvalidRow, InvalidRowsWriter};
use super::invisible::trim;
use super::issues::{Counts, IssueCounter, Location};
use super::record::{LineEnd, Record, SyntaxError, line_of};
use super::row_error::{FieldCount, RowError, RowWarning};
use super::suggest::SuggestionCache;
use super::{AttributeId, Dictionary, Empty, IdType, ReadOptions, ReadProgress, Row, Sink, ValueId, excerpt};

/// What is the same for all records of one input.
#[derive(Debug)]
pub(super) struct InputContext<'a> {
    pub(super) input: &'a str,
    pub(super) kind: InputKind,
    pub(super) columns: &'a InputColumns,
    pub(super) delimiter: u8,
    pub(super) id_type: IdType,
    pub(super) empty: Empty,
    pub(super) decoding: Decoding,
    pub(super) line_end: LineEnd,
}

/// How the bytes of an input became text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoding {
    /// They are used as they are, and may not be UTF-8.
    Utf8,
    /// A decoder put U+FFFD in place of what it could not decode.
    Lossy,
}

/// Stands for what could not be decoded.
const REPLACED: &str = "\u{fffd}";

/// Builds rows of records, and collects what is invalid.
#[derive(Debug)]
pub(super) struct RowBuilder<S> {
    pub(super) sink: S,
    pub(super) dictionary: Dictionary,
    pub(super) counts: Counts,
    pub(super) invalid: InvalidRowsWriter,
    pub(super) errors: IssueCounter<RowError>,
    pub(super) warnings: IssueCounter<RowWarning>,
    /// A sample of rows that are not text.
    pub(super) non_utf8: NonUtf8Sample,
    suggestions: SuggestionCache,
    progress: Arc<ReadProgress>,
    /// How many of the rows in `counts` are counted in `progress`.
    published: u64,
    /// The rows between two checks of the memory.
    interval: u64,
    /// The value of `counts.read` at the next check.
    next_check: u64,
    /// The most bytes between two checks.
    interval_bytes: usize,
    /// The bytes since the last check.
    bytes: usize,
}

/// The most rows between two checks of the memory: a check takes about as long as a row of each attribute.
const LONGEST_INTERVAL: u64 = 4096;

/// There is a check for each row that would fit the memory at this size, so that little memory is checked more often.
const BYTES_PER_ROW: u64 = 256;

/// The most bytes between two checks, as a part of the memory.
const INTERVAL_DIVISOR: u64 = 32;

/// A row as it is in the input.
#[derive(Clone, Copy)]
struct RawRow<'a> {
    user: &'a [u8],
    attribute: &'a [u8],
    value: &'a [u8],
    line: u64,
}

impl<S: Sink> RowBuilder<S> {
    pub(super) fn new(options: &ReadOptions, sink: S) -> Self {
        let interval = (options.resources.memory / BYTES_PER_ROW).clamp(1, LONGEST_INTERVAL);
        let share = options.resources.memory / INTERVAL_DIVISOR / options.resources.threads.get() as u64;
        let interval_bytes = usize::try_from(share).unwrap_or(usize::MAX);
        Self {
            sink,
            dictionary: Dictionary::new(options),
            counts: Counts::default(),
            invalid: InvalidRowsWriter::new(options.resources.temp_dir.clone()),
            errors: IssueCounter::default(),
            warnings: IssueCounter::default(),
            non_utf8: NonUtf8Sample::default(),
            suggestions: SuggestionCache::default(),
            progress: Arc::clone(&options.progress),
            published: 0,
            interval,
            next_check: interval,
            interval_bytes,
            bytes: 0,
        }
    }

    /// An empty builder for a later byte range.
    pub(super) fn fork(&self) -> Self {
        Self {
            sink: self.sink.fork(),
            dictionary: self.dictionary.fork(),
            counts: Counts::default(),
            invalid: self.invalid.fork(),
            errors: IssueCounter::default(),
            warnings: IssueCounter::default(),
            non_utf8: NonUtf8Sample::default(),
            suggestions: SuggestionCache::default(),
            progress: Arc::clone(&self.progress),
            published: 0,
            interval: self.interval,
            next_check: self.interval,
            interval_bytes: self.interval_bytes,
            bytes: 0,
        }
    }

    /// Appends what a fork built, and adds `lines` to its lines.
    pub(super) fn join(&mut self, mut later: Self, lines: u64) -> io::Result<()> {
        if self.dictionary.spills() > 0 || later.dictionary.spills() > 0 {
            self.spill_dictionary()?;
            later.spill_dictionary()?;
        }
        let renumber = self.dictionary.join(later.dictionary);
        let attribute = |old: AttributeId| renumber.attributes[usize::from(old.0)];
        self.sink.join(later.sink, &renumber);
        self.counts.read += later.counts.read;
        self.published += later.published;
        self.counts.invalid += later.counts.invalid;
        self.counts.skipped += later.counts.skipped;
        self.errors.join(later.errors, lines, |error| error.renumber(attribute));
        self.warnings.join(later.warnings, lines, |suspicion| suspicion.renumber(attribute));
        self.non_utf8.join(&later.non_utf8);
        self.invalid.join(later.invalid, lines)
    }

    /// Counts the rows so far in the progress.
    pub(super) fn publish_rows(&mut self) {
        self.progress.add_rows(self.counts.read - self.published);
        self.published = self.counts.read;
    }

    /// How many rows are counted in the progress.
    pub(super) fn published_rows(&self) -> u64 {
        self.published
    }

    /// Moves to temporary files what is too much for memory.
    #[inline]
    pub(super) fn check_memory(&mut self) -> io::Result<()> {
        let is_due = self.counts.read >= self.next_check || self.bytes > self.interval_bytes;
        if is_due { self.check_memory_now() } else { Ok(()) }
    }

    #[cold]
    fn check_memory_now(&mut self) -> io::Result<()> {
        self.next_check = self.counts.read + self.interval;
        self.bytes = 0;
        self.publish_rows();
        self.sink.check_memory()?;
        if self.dictionary.is_full() {
            self.spill_dictionary()?;
        }
        Ok(())
    }

    /// Writes all texts to a temporary file.
    fn spill_dictionary(&mut self) -> io::Result<()> {
        let spill = self.dictionary.spill()?;
        self.sink.dictionary_spilled(spill);
        Ok(())
    }

    /// Merges the spills, after everything is read.
    pub(super) fn merge_spills(&mut self) -> io::Result<()> {
        if self.dictionary.spills() > 0 {
            self.spill_dictionary()?;
            self.dictionary.merge_spills()?;
        }
        Ok(())
    }

    /// Builds the rows of a record. Fails only if a temporary file cannot be written.
    pub(super) fn record(&mut self, context: &InputContext<'_>, record: &Record<'_>) -> io::Result<()> {
        self.bytes += record.bytes();
        if record.follows_lone_cr && context.line_end == LineEnd::Feed {
            self.warnings.count(RowWarning::LoneReturn, || place(context, record.line, record.raw));
        }
        if let Some(flaw) = record.syntax_error {
            let error = match flaw {
                SyntaxError::OpenQuote => RowError::OpenQuote { lines: record.lines },
                SyntaxError::TextAfterQuote | SyntaxError::TooLong => RowError::SyntaxError(flaw),
            };
            return self.unparsable(context, record, error);
        }
        let (found, expected) = (record.len(), context.columns.width());
        if found != expected {
            let fields = FieldCount::of(record, expected);
            return self.unparsable(context, record, RowError::Fields { expected, found: fields });
        }
        if record.lacks_line_end {
            self.warnings.count(RowWarning::NoLineEnd, || place(context, record.line, record.raw));
        }
        match &context.columns.row_layout {
            RowLayout::Long { user, attribute, value } => {
                let written = RawRow {
                    user: record.get(*user),
                    attribute: record.get(*attribute),
                    value: record.get(*value),
                    line: record.line,
                };
                self.long(context, record, written)
            }
            RowLayout::Wide { user, attributes } => self.wide(context, record, record.get(*user), attributes),
        }
    }

    #[inline]
    fn long(
        &mut self,
        context: &InputContext<'_>,
        record: &Record<'_>,
        written: RawRow<'_>,
    ) -> io::Result<()> {
        let user = match self.user(context, record, written.user) {
            Ok(user) => user,
            Err(error) => {
                return match context.kind.earlier_error(record) {
                    Some(error) => self.keep_earlier_error(context, record.line, error),
                    None => self.reject(context, written, error),
                };
            }
        };
        match self.dictionary.find_attribute(trim(written.attribute)) {
            Ok(attribute) => self.value(context, written, user, attribute),
            Err(no) => self.reject(context, written, RowError::Attribute(no)),
        }
    }

    fn wide(
        &mut self,
        context: &InputContext<'_>,
        record: &Record<'_>,
        user_text: &[u8],
        attributes: &[AttributeColumn],
    ) -> io::Result<()> {
        let user = self.user(context, record, user_text);
        if user == Err(RowError::RepeatedHeader) {
            return self.unparsable(context, record, RowError::RepeatedHeader);
        }
        for value in context.columns.nameless.iter().map(|column| record.get(*column)) {
            if !trim(value).is_empty() {
                self.warnings.count(RowWarning::NamelessColumn, || place(context, record.line, value));
            }
        }
        for AttributeColumn { column, name, attribute } in attributes {
            let value = record.get(*column);
            let written = RawRow { user: user_text, attribute: name.as_bytes(), value, line: record.line };
            match user {
                Ok(user) => self.value(context, written, user, *attribute)?,
                Err(_) if context.empty == Empty::Skip && self.dictionary.is_blank(*attribute, value) => {
                    self.skip();
                }
                Err(error) => self.reject(context, written, error)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn value(
        &mut self,
        context: &InputContext<'_>,
        written: RawRow<'_>,
        user: u64,
        attribute: AttributeId,
    ) -> io::Result<()> {
        if context.decoding == Decoding::Lossy && is_replaced(written.value) {
            return self.reject(context, written, RowError::NotText);
        }
        let taken = match self.dictionary.check(attribute, written.value) {
            CheckedValue::Empty => match context.empty {
                Empty::Reject => return self.reject(context, written, RowError::Empty(attribute)),
                Empty::Send => self.dictionary.check_empty(attribute),
                Empty::Skip => {
                    self.skip();
                    return Ok(());
                }
            },
            taken => taken,
        };
        match taken {
            CheckedValue::Valid(value) => self.accept(user, attribute, value),
            CheckedValue::Suspect(value, rule) => {
                let place = || place(context, written.line, written.value);
                self.warnings.count(RowWarning::Value(attribute, rule), place);
                self.accept(user, attribute, value);
            }
            CheckedValue::Wrong(rule) => {
                return self.reject(context, written, RowError::Rule(attribute, rule));
            }
            CheckedValue::Empty => return self.reject(context, written, RowError::Empty(attribute)),
            CheckedValue::NotText => return self.reject(context, written, RowError::NotText),
        }
        Ok(())
    }

    #[inline]
    fn user(
        &mut self,
        context: &InputContext<'_>,
        record: &Record<'_>,
        text: &[u8],
    ) -> Result<u64, RowError> {
        let text = trim(text);
        let user = match context.id_type {
            IdType::Id => number(text),
            IdType::CustomId if text.is_empty() || context.columns.is_header(record) => None,
            IdType::CustomId if context.decoding == Decoding::Lossy && is_replaced(text) => None,
            IdType::CustomId => self.dictionary.intern_user_bytes(text),
        };
        user.ok_or_else(|| {
            if context.columns.is_header(record) {
                RowError::RepeatedHeader
            } else {
                RowError::User(context.id_type)
            }
        })
    }

    #[inline]
    fn accept(&mut self, user: u64, attribute: AttributeId, value: ValueId) {
        self.counts.read += 1;
        self.sink.accept(Row { user, attribute: attribute.column(), value });
    }

    fn skip(&mut self) {
        self.counts.read += 1;
        self.counts.skipped += 1;
    }

    #[cold]
    fn reject(&mut self, context: &InputContext<'_>, row: RawRow<'_>, error: RowError) -> io::Result<()> {
        let text = |bytes| {
            std::str::from_utf8(bytes)
                .ok()
                .filter(|text| context.decoding == Decoding::Utf8 || !text.contains(REPLACED))
        };
        let parts = (text(row.user), text(row.attribute), text(row.value));
        let (Some(user_id), Some(attribute), Some(value)) = parts else {
            let fields = [row.user, row.attribute, row.value];
            let raw = line_of(fields.into_iter(), context.delimiter);
            self.errors.count(RowError::NotText, || place(context, row.line, &raw));
            if context.decoding == Decoding::Utf8 {
                self.non_utf8.push(&raw);
            }
            let what = RowError::NotText.description(&self.dictionary);
            return self.keep_whole(context, row.line, format!("{what}: {}", excerpt::escape(&raw)));
        };
        let found = error.offending_field(user_id, attribute, value);
        self.errors.count(error, || place(context, row.line, found.as_bytes()));
        let error = error.message(found, &self.dictionary, &mut self.suggestions);
        self.keep(&InvalidRow {
            user_id: user_id.to_owned(),
            attribute: attribute.to_owned(),
            value: value.to_owned(),
            error,
            source: context.input.to_owned(),
            line: row.line,
        })
    }

    #[cold]
    fn unparsable(
        &mut self,
        context: &InputContext<'_>,
        record: &Record<'_>,
        error: RowError,
    ) -> io::Result<()> {
        let what = match error {
            RowError::Fields { expected, .. } => {
                format!("expected {expected} fields, found {}", record.len())
            }
            _ => error.description(&self.dictionary),
        };
        let lines = match (error, record.lines) {
            (RowError::OpenQuote { .. }, _) | (_, 1) => String::new(),
            (_, lines) => format!(", in a record of {lines} lines"),
        };
        let cut = if record.size > record.raw.len() {
            format!("… ({} bytes)", record.size)
        } else {
            String::new()
        };
        self.errors.count(error, || place(context, record.line, record.raw));
        let error = format!("{what}{lines}: {}{cut}", excerpt::escape(record.raw));
        self.keep_whole(context, record.line, error)
    }

    /// Keeps the error that a failures report has of a record which could not be parsed. It includes the text.
    fn keep_earlier_error(&mut self, context: &InputContext<'_>, line: u64, error: &[u8]) -> io::Result<()> {
        self.errors.count(RowError::Unparsable, || place(context, line, error));
        self.keep_whole(context, line, excerpt::escape(error))
    }

    /// Keeps a record whose text is part of the error.
    fn keep_whole(&mut self, context: &InputContext<'_>, line: u64, error: String) -> io::Result<()> {
        self.keep(&InvalidRow { error, source: context.input.to_owned(), line, ..InvalidRow::default() })
    }

    fn keep(&mut self, row: &InvalidRow) -> io::Result<()> {
        self.counts.read += 1;
        self.counts.invalid += 1;
        self.invalid.push(row)
    }
}

fn place(context: &InputContext<'_>, line: u64, found: &[u8]) -> Location {
    Location { input: context.input.to_owned(), line, found: excerpt(found) }
}

fn is_replaced(text: &[u8]) -> bool {
    memchr::memmem::find(text, REPLACED.as_bytes()).is_some()
}

/// A positive integer of at most 63 bits, written in digits only.
#[inline]
fn number(digits: &[u8]) -> Option<u64> {
    const MOST_DIGITS: usize = 19;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let significant = &digits[zeros..];
    if significant.is_empty() || significant.len() > MOST_DIGITS {
        return None;
    }
    let mut number = 0_u64;
    for digit in significant {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    (number <= i64::MAX.cast_unsigned()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_user_id_is_a_positive_integer_of_63_bits() {
        for (text, expected) in [
            ("1", Some(1)),
            ("007", Some(7)),
            ("9223372036854775807", Some(i64::MAX.cast_unsigned())),
            ("00000000000000000000000000000042", Some(42)),
            ("9223372036854775808", None),
            ("99999999999999999999", None),
            ("0", None),
            ("000", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1 2", None),
            ("١", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }
}
