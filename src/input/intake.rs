//! From records to rows.

use std::io;

use super::code_page::Strange;
use super::columns::{Cell, Columns, Shape};
use super::complaint::{Complaint, Extent, Suspicion};
use super::dictionary::Taken;
use super::fed_back::Origin;
use super::invalid::{InvalidRow, Spool};
use super::record::{Flaw, Record, line_of};
use super::suggest::Meant;
use super::tally::{Counts, Place, Samples};
use super::unseen::trim;
use super::{AttributeId, Dictionary, Empty, IdType, Options, Row, Sink, ValueId, excerpt};

/// What is the same for all records of one input.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) input: &'a str,
    pub(super) origin: Origin,
    pub(super) columns: &'a Columns,
    pub(super) delimiter: u8,
    pub(super) id_type: IdType,
    pub(super) empty: Empty,
    pub(super) decoded: Decoded,
    pub(super) line_end: LineEnd,
}

/// What ends the lines of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// A line feed, behind a carriage return or not.
    Feed,
    /// A carriage return, as in files from Macs of old.
    Return,
}

/// Where text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// The bytes of the input, which may not be text.
    AsIs,
    /// A decoder, which has put U+FFFD in place of what it could not decode.
    Replaced,
}

/// What a field of the input is not.
const REPLACED: &str = "\u{fffd}";

/// Takes records in, and keeps all that comes of them.
#[derive(Debug)]
pub(super) struct Intake<S> {
    pub(super) sink: S,
    pub(super) dictionary: Dictionary,
    pub(super) counts: Counts,
    pub(super) invalid: Spool,
    pub(super) causes: Samples<Complaint>,
    pub(super) suspicions: Samples<Suspicion>,
    /// Of rows that are not text.
    pub(super) strange: Strange,
    meant: Meant,
    /// How many rows to take before looking whether memory is full again.
    stride: u64,
    /// When to do so next, by `counts.read`.
    look_at: u64,
    /// And how many bytes to take at most.
    stride_bytes: usize,
    /// Bytes since it was looked the last time.
    bytes: usize,
}

/// The longest stride, and the fewest bytes of memory for each of its rows.
const LONGEST_STRIDE: u64 = 4096;
const BYTES_PER_STEP: u64 = 256;

/// The longest stride in bytes, as a share of the memory.
const SHARE_PER_STRIDE: u64 = 32;

/// A row as it stands in the input.
#[derive(Clone, Copy)]
struct Written<'a> {
    user: &'a [u8],
    attribute: &'a [u8],
    value: &'a [u8],
    line: u64,
}

impl<S: Sink> Intake<S> {
    pub(super) fn new(options: &Options, sink: S) -> Self {
        let stride = (options.memory / BYTES_PER_STEP).clamp(1, LONGEST_STRIDE);
        let share = options.memory / SHARE_PER_STRIDE / options.threads.get() as u64;
        let stride_bytes = usize::try_from(share).unwrap_or(usize::MAX);
        Self {
            sink,
            dictionary: Dictionary::new(options),
            counts: Counts::default(),
            invalid: Spool::new(options.temp_dir.clone()),
            causes: Samples::default(),
            suspicions: Samples::default(),
            strange: Strange::default(),
            meant: Meant::default(),
            stride,
            look_at: stride,
            stride_bytes,
            bytes: 0,
        }
    }

    /// An empty one, for a later byte range.
    pub(super) fn fork(&self) -> Self {
        Self {
            sink: self.sink.fork(),
            dictionary: self.dictionary.fork(),
            counts: Counts::default(),
            invalid: self.invalid.fork(),
            causes: Samples::default(),
            suspicions: Samples::default(),
            strange: Strange::default(),
            meant: Meant::default(),
            stride: self.stride,
            look_at: self.stride,
            stride_bytes: self.stride_bytes,
            bytes: 0,
        }
    }

    /// Appends what a fork took in, so many lines further down.
    pub(super) fn join(&mut self, mut later: Self, lines: u64) -> io::Result<()> {
        if self.dictionary.epochs() > 0 || later.dictionary.epochs() > 0 {
            self.end_epoch()?;
            later.end_epoch()?;
        }
        let renumber = self.dictionary.join(later.dictionary);
        let attribute = |old: AttributeId| renumber.attributes[usize::from(old.0)];
        self.sink.join(later.sink, &renumber);
        self.counts.read += later.counts.read;
        self.counts.invalid += later.counts.invalid;
        self.counts.skipped += later.counts.skipped;
        self.causes.join(later.causes, lines, |complaint| complaint.renumber(attribute));
        self.suspicions.join(later.suspicions, lines, |suspicion| suspicion.renumber(attribute));
        self.strange.join(&later.strange);
        self.invalid.join(later.invalid, lines)
    }

    /// Moves to a disk what is too much for memory.
    #[inline]
    pub(super) fn relieve(&mut self) -> io::Result<()> {
        let is_due = self.counts.read >= self.look_at || self.bytes > self.stride_bytes;
        if is_due { self.relieve_now() } else { Ok(()) }
    }

    #[cold]
    fn relieve_now(&mut self) -> io::Result<()> {
        self.look_at = self.counts.read + self.stride;
        self.bytes = 0;
        self.sink.relieve()?;
        if self.dictionary.is_full() {
            self.end_epoch()?;
        }
        Ok(())
    }

    /// Puts all texts away.
    fn end_epoch(&mut self) -> io::Result<()> {
        let epoch = self.dictionary.end_epoch()?;
        self.sink.end_epoch(epoch);
        Ok(())
    }

    /// Says that all is read.
    pub(super) fn unify(&mut self) -> io::Result<()> {
        if self.dictionary.epochs() > 0 {
            self.end_epoch()?;
            self.dictionary.unify()?;
        }
        Ok(())
    }

    /// Takes the next record. Fails only if something can't be written to a temporary file.
    pub(super) fn record(&mut self, frame: &Frame<'_>, record: &Record<'_>) -> io::Result<()> {
        self.bytes += record.bytes();
        if record.follows_return && frame.line_end == LineEnd::Feed {
            self.suspicions.count(Suspicion::LoneReturn, || place(frame, record.line, record.raw));
        }
        if let Some(flaw) = record.flaw {
            let complaint = match flaw {
                Flaw::OpenQuote => Complaint::OpenQuote { lines: record.lines },
                Flaw::TextAfterQuote | Flaw::TooLong => Complaint::Flaw(flaw),
            };
            return self.unparsable(frame, record, complaint);
        }
        let (found, expected) = (record.len(), frame.columns.width());
        if found != expected {
            let extent = Extent::of(record, expected);
            return self.unparsable(frame, record, Complaint::Fields { expected, extent });
        }
        if record.is_cut {
            self.suspicions.count(Suspicion::NoLineEnd, || place(frame, record.line, record.raw));
        }
        match &frame.columns.shape {
            Shape::Long { user, attribute, value } => {
                let written = Written {
                    user: record.get(*user),
                    attribute: record.get(*attribute),
                    value: record.get(*value),
                    line: record.line,
                };
                self.long(frame, record, written)
            }
            Shape::Wide { user, cells } => self.wide(frame, record, record.get(*user), cells),
        }
    }

    #[inline]
    fn long(&mut self, frame: &Frame<'_>, record: &Record<'_>, written: Written<'_>) -> io::Result<()> {
        let user = match self.user(frame, record, written.user) {
            Ok(user) => user,
            Err(complaint) => {
                return match frame.origin.verdict(record) {
                    Some(error) => self.keep_verdict(frame, record.line, error),
                    None => self.reject(frame, written, complaint),
                };
            }
        };
        match self.dictionary.take_attribute(trim(written.attribute)) {
            Ok(attribute) => self.value(frame, written, user, attribute),
            Err(no) => self.reject(frame, written, Complaint::Attribute(no)),
        }
    }

    fn wide(
        &mut self,
        frame: &Frame<'_>,
        record: &Record<'_>,
        user_text: &[u8],
        cells: &[Cell],
    ) -> io::Result<()> {
        let user = self.user(frame, record, user_text);
        if user == Err(Complaint::RepeatedHeader) {
            return self.unparsable(frame, record, Complaint::RepeatedHeader);
        }
        for Cell { column, name, attribute } in cells {
            let value = record.get(*column);
            let written = Written { user: user_text, attribute: name.as_bytes(), value, line: record.line };
            match user {
                Ok(user) => self.value(frame, written, user, *attribute)?,
                Err(_) if frame.empty == Empty::Skip && self.dictionary.is_blank(*attribute, value) => {
                    self.skip();
                }
                Err(complaint) => self.reject(frame, written, complaint)?,
            }
        }
        Ok(())
    }

    #[inline]
    fn value(
        &mut self,
        frame: &Frame<'_>,
        written: Written<'_>,
        user: u64,
        attribute: AttributeId,
    ) -> io::Result<()> {
        if frame.decoded == Decoded::Replaced && is_replaced(written.value) {
            return self.reject(frame, written, Complaint::NotText);
        }
        let taken = match self.dictionary.take(attribute, written.value) {
            Taken::Empty => match frame.empty {
                Empty::Reject => return self.reject(frame, written, Complaint::Empty(attribute)),
                Empty::Send => self.dictionary.take_empty(attribute),
                Empty::Skip => {
                    self.skip();
                    return Ok(());
                }
            },
            taken => taken,
        };
        match taken {
            Taken::Valid(value) => self.accept(user, attribute, value),
            Taken::Suspect(value, rule) => {
                let place = || place(frame, written.line, written.value);
                self.suspicions.count(Suspicion::Value(attribute, rule), place);
                self.accept(user, attribute, value);
            }
            Taken::Wrong(rule) => return self.reject(frame, written, Complaint::Rule(attribute, rule)),
            Taken::Empty => return self.reject(frame, written, Complaint::Empty(attribute)),
            Taken::NotText => return self.reject(frame, written, Complaint::NotText),
        }
        Ok(())
    }

    #[inline]
    fn user(&mut self, frame: &Frame<'_>, record: &Record<'_>, text: &[u8]) -> Result<u64, Complaint> {
        let text = trim(text);
        let user = match frame.id_type {
            IdType::Id => number(text),
            IdType::CustomId if text.is_empty() || frame.columns.is_header(record) => None,
            IdType::CustomId if frame.decoded == Decoded::Replaced && is_replaced(text) => None,
            IdType::CustomId => self.dictionary.take_user(text),
        };
        user.ok_or_else(|| {
            if frame.columns.is_header(record) {
                Complaint::RepeatedHeader
            } else {
                Complaint::User(frame.id_type)
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
    fn reject(&mut self, frame: &Frame<'_>, row: Written<'_>, complaint: Complaint) -> io::Result<()> {
        let text = |bytes| {
            std::str::from_utf8(bytes)
                .ok()
                .filter(|text| frame.decoded == Decoded::AsIs || !text.contains(REPLACED))
        };
        let parts = (text(row.user), text(row.attribute), text(row.value));
        let (Some(user_id), Some(attribute), Some(value)) = parts else {
            let fields = [row.user, row.attribute, row.value];
            let raw = line_of(fields.into_iter(), frame.delimiter);
            self.causes.count(Complaint::NotText, || place(frame, row.line, &raw));
            if frame.decoded == Decoded::AsIs {
                self.strange.push(&raw);
            }
            let what = Complaint::NotText.what(&self.dictionary);
            return self.keep_whole(frame, row.line, format!("{what}: {}", excerpt::escape(&raw)));
        };
        let found = complaint.part(user_id, attribute, value);
        self.causes.count(complaint, || place(frame, row.line, found.as_bytes()));
        let error = complaint.of(found, &self.dictionary, &mut self.meant);
        self.keep(&InvalidRow {
            user_id: user_id.to_owned(),
            attribute: attribute.to_owned(),
            value: value.to_owned(),
            error,
            source: frame.input.to_owned(),
            line: row.line,
        })
    }

    #[cold]
    fn unparsable(&mut self, frame: &Frame<'_>, record: &Record<'_>, complaint: Complaint) -> io::Result<()> {
        let what = match complaint {
            Complaint::Fields { expected, .. } => {
                format!("expected {expected} fields, found {}", record.len())
            }
            _ => complaint.what(&self.dictionary),
        };
        let lines = match (complaint, record.lines) {
            (Complaint::OpenQuote { .. }, _) | (_, 1) => String::new(),
            (_, lines) => format!(", in a record of {lines} lines"),
        };
        let cut = if record.size > record.raw.len() {
            format!("… ({} bytes)", record.size)
        } else {
            String::new()
        };
        self.causes.count(complaint, || place(frame, record.line, record.raw));
        let error = format!("{what}{lines}: {}{cut}", excerpt::escape(record.raw));
        self.keep_whole(frame, record.line, error)
    }

    /// Keeps what a failures report has of a record that can't be parsed, as it stands: it is all that is left.
    fn keep_verdict(&mut self, frame: &Frame<'_>, line: u64, error: &[u8]) -> io::Result<()> {
        self.causes.count(Complaint::Unparsable, || place(frame, line, error));
        self.keep_whole(frame, line, excerpt::escape(error))
    }

    /// Keeps a record of whose text the error is all that is left.
    fn keep_whole(&mut self, frame: &Frame<'_>, line: u64, error: String) -> io::Result<()> {
        self.keep(&InvalidRow { error, source: frame.input.to_owned(), line, ..InvalidRow::default() })
    }

    fn keep(&mut self, row: &InvalidRow) -> io::Result<()> {
        self.counts.read += 1;
        self.counts.invalid += 1;
        self.invalid.push(row)
    }
}

fn place(frame: &Frame<'_>, line: u64, found: &[u8]) -> Place {
    Place { input: frame.input.to_owned(), line, found: excerpt(found) }
}

fn is_replaced(text: &[u8]) -> bool {
    memchr::memmem::find(text, REPLACED.as_bytes()).is_some()
}

/// A positive integer of at most 63 bits, in digits alone.
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
