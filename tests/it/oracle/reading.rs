//! What reading should come to.

use attrsync::input::{Empty, IdType, ReadOptions, Vocabulary};

use super::Triple;
use super::planning::STANDARD;

/// What rows become of inputs.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) valid: Vec<Triple>,
    /// The line where each starts, from 1, and its user, attribute and value, if it has them.
    pub(crate) invalid: Vec<(u64, [String; 3])>,
    pub(crate) skipped: u64,
    /// Where a quote is opened that takes too many lines with it, and how many; nothing is read then.
    pub(crate) refused: Option<(u64, u64)>,
    /// Attributes, in the order in which the inputs name them.
    pub(crate) named: Vec<String>,
}

/// A row as it stands: user, attribute, value.
type Fields<'a> = [&'a [u8]; 3];

/// A record as a strict reader sees it.
#[derive(Debug, Default)]
struct Record {
    fields: Vec<Vec<u8>>,
    raw: Vec<u8>,
    line: u64,
    /// Something stands between a closing quote and the next delimiter.
    is_torn: bool,
    /// The input ends within quotes.
    is_open: bool,
}

/// What a few lines of plain code make of inputs, whose headers are `user_id,attribute,value`, or
/// `user_id` and names of attributes.
///
/// Of the options count `id_type`, `vocabulary`, `empty` and `null_token`.
pub(crate) fn read(files: &[impl AsRef<[u8]>], options: &ReadOptions) -> Rows {
    let mut rows = Rows::default();
    for file in files {
        read_one(file.as_ref(), options, &mut rows);
    }
    rows
}

fn read_one(bytes: &[u8], options: &ReadOptions, rows: &mut Rows) {
    let records = records(bytes);
    let (header, records) = records.split_first().expect("there is a header");
    let lines_lost = |record: &Record| {
        record.raw.split(|byte| *byte == b'\n').count() as u64 - u64::from(record.raw.ends_with(b"\n"))
    };
    if let Some(open) = records.last().filter(|record| record.is_open && lines_lost(record) > 100) {
        rows.refused.get_or_insert((open.line, lines_lost(open)));
    }
    let header = &header.fields;
    let is_long = *header == [&b"user_id"[..], b"attribute", b"value"];
    let mut columns = Vec::new();
    for (column, name) in header.iter().enumerate().skip(1).filter(|_| !is_long) {
        if let Some(name) = attribute(name, options) {
            rows.name(&name);
            columns.push((column, name));
        }
    }
    let empty = options.empty.unwrap_or(if is_long { Empty::Reject } else { Empty::Skip });
    for Record { fields: record, line, is_torn, is_open, .. } in records {
        let line = *line;
        let repeats = |column: usize| record.get(column) == header.get(column);
        if record.len() != header.len() || *is_torn || *is_open {
            rows.invalid.push((line, Default::default()));
        } else if is_long {
            let is_header = (0..3).all(repeats);
            let fields = [&record[0][..], &record[1], &record[2]];
            rows.take(fields, is_header, empty, line, options);
        } else if repeats(0) && columns.iter().all(|(column, _)| repeats(*column)) {
            rows.invalid.push((line, Default::default()));
        } else {
            for (column, name) in &columns {
                let fields = [&record[0][..], name.as_bytes(), &record[*column]];
                if empty == Empty::Skip && fields[2].is_empty() {
                    rows.skipped += 1;
                } else {
                    rows.take(fields, false, empty, line, options);
                }
            }
        }
    }
}

/// Byte by byte. Lines that only look empty are left out.
fn records(bytes: &[u8]) -> Vec<Record> {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Start,
        Plain,
        Quoted,
        Quote,
    }
    let (mut records, mut record, mut field, mut at) = (Vec::new(), Record::default(), Vec::new(), At::Start);
    let mut line = 1;
    for &byte in bytes {
        let is_end = matches!(byte, b'\n' | b'\r') && at != At::Quoted;
        if is_end {
            record.fields.push(std::mem::take(&mut field));
            records.push(std::mem::take(&mut record));
            at = At::Start;
        } else {
            if record.raw.is_empty() {
                record.line = line;
            }
            record.raw.push(byte);
            match (at, byte) {
                (At::Start, b'"') => at = At::Quoted,
                (At::Quoted, b'"') => at = At::Quote,
                (At::Quote, b'"') => {
                    field.push(byte);
                    at = At::Quoted;
                }
                (At::Start | At::Plain | At::Quote, b',') => {
                    record.fields.push(std::mem::take(&mut field));
                    at = At::Start;
                }
                (At::Quoted, _) => field.push(byte),
                (At::Start | At::Plain | At::Quote, _) => {
                    record.is_torn |= at == At::Quote;
                    field.push(byte);
                    at = At::Plain;
                }
            }
        }
        line += u64::from(byte == b'\n');
    }
    record.fields.push(field);
    record.is_open = at == At::Quoted;
    records.push(record);
    records.retain(|record| !looks_empty(&record.raw));
    records
}

/// Whether a line has nothing but delimiters, quotes, white space, and perhaps the mark by which DOS ends a text.
fn looks_empty(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let left: String = line.chars().filter(|character| !character.is_whitespace()).collect();
    let left = left.replace([',', '"'], "");
    left.is_empty() || (left == "\u{1a}" && line.trim_end().ends_with('\u{1a}'))
}

impl Rows {
    fn take(&mut self, fields: Fields<'_>, is_header: bool, empty: Empty, line: u64, options: &ReadOptions) {
        match self.judge(fields, is_header, empty, options) {
            Some(row) => self.valid.push(row),
            None if self.is_skipped(fields, is_header, empty, options) => self.skipped += 1,
            None => {
                let texts = fields.map(|field| String::from_utf8(field.to_vec()).ok());
                let whole = texts.iter().all(Option::is_some);
                let fields = if whole { texts.map(Option::unwrap_or_default) } else { Default::default() };
                self.invalid.push((line, fields));
            }
        }
    }

    /// The row, if it is valid.
    fn judge(
        &mut self,
        [user, name, value]: Fields<'_>,
        is_header: bool,
        empty: Empty,
        options: &ReadOptions,
    ) -> Option<Triple> {
        let user = if is_header { None } else { self::user(user, options.id_type) }?;
        let attribute = attribute(name, options)?;
        self.name(&attribute);
        let value = std::str::from_utf8(value).ok()?;
        if options.null_token.as_deref() == Some(value) {
            return Some((user, attribute, None));
        }
        let is_fine = if value.is_empty() { empty == Empty::Send } else { keeps_rule(&attribute, value) };
        is_fine.then(|| (user, attribute, Some(value.to_owned())))
    }

    /// Whether a row that isn't valid is left out, its value being empty and all else right.
    fn is_skipped(
        &mut self,
        fields: Fields<'_>,
        is_header: bool,
        empty: Empty,
        options: &ReadOptions,
    ) -> bool {
        let otherwise = self.judge([fields[0], fields[1], b""], is_header, Empty::Send, options);
        empty == Empty::Skip && fields[2].is_empty() && otherwise.is_some()
    }

    fn name(&mut self, attribute: &str) {
        if !self.named.iter().any(|known| known == attribute) {
            self.named.push(attribute.to_owned());
        }
    }
}

fn user(text: &[u8], id_type: IdType) -> Option<String> {
    let text = trim(text)?;
    match id_type {
        IdType::CustomId => (!text.is_empty()).then(|| text.to_owned()),
        IdType::Id => {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u128>().ok().filter(|_| digits)?;
            (1..1 << 63).contains(&number).then(|| number.to_string())
        }
    }
}

fn attribute(name: &[u8], options: &ReadOptions) -> Option<String> {
    let name = trim(name)?;
    let is_custom = options.vocabulary == Vocabulary::Custom && (1..=255).contains(&name.chars().count());
    let standard = STANDARD.iter().find(|known| **known == name.to_ascii_lowercase());
    standard.map(|name| (*name).to_owned()).or_else(|| is_custom.then(|| name.to_owned()))
}

/// What is left of a text without white space, and without what can't be seen, at its ends.
fn trim(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    Some(
        text.trim_matches(|character: char| {
            character.is_whitespace() || "\u{feff}\u{200b}".contains(character)
        }),
    )
}

fn keeps_rule(attribute: &str, value: &str) -> bool {
    const BOOLEANS: [&str; 12] = ["true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n"];
    match attribute {
        "gender" => ["1", "2", "3"].contains(&value),
        "status" => ["1", "2"].contains(&value),
        "assigned_to" | "company_id" | "score" => value.parse::<i64>().is_ok(),
        "notifications" | "unsubscribed" => BOOLEANS.contains(&value.to_ascii_lowercase().as_str()),
        "first_name" | "last_name" => value.chars().count() <= 40,
        _ => true,
    }
}
