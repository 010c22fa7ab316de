//! What reading should come to.

use attrsync::input::{Empty, IdType, Options, Vocabulary};

use super::Triple;
use super::planning::STANDARD;

/// What rows become of inputs.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) valid: Vec<Triple>,
    /// The line where each starts, from 1, and its user, attribute and value, if it has them.
    pub(crate) invalid: Vec<(u64, [String; 3])>,
    pub(crate) skipped: u64,
    /// Attributes, in the order in which the inputs name them.
    pub(crate) named: Vec<String>,
}

/// A row as it stands: user, attribute, value.
type Fields<'a> = [&'a [u8]; 3];

/// What the csv crate and a few lines of plain code make of inputs, whose headers are `user_id,attribute,value`, or
/// `user_id` and names of attributes.
///
/// Of the options count `id_type`, `vocabulary`, `empty` and `null_token`.
pub(crate) fn read(files: &[impl AsRef<[u8]>], options: &Options) -> Rows {
    let mut rows = Rows::default();
    for file in files {
        read_one(file.as_ref(), options, &mut rows);
    }
    rows
}

fn read_one(bytes: &[u8], options: &Options, rows: &mut Rows) {
    let all = records(bytes);
    let closed = records(&[bytes, b"\n"].concat());
    let last_field = |records: &[csv::ByteRecord]| records.last()?.iter().next_back().map(<[u8]>::to_vec);
    let is_open = last_field(&all) != last_field(&closed);
    let (header, records) = all.split_first().expect("there is a header");
    let is_long = header.iter().eq([&b"user_id"[..], b"attribute", b"value"]);
    let mut columns = Vec::new();
    for (column, name) in header.iter().enumerate().skip(1).filter(|_| !is_long) {
        if let Some(name) = attribute(name, options) {
            rows.name(&name);
            columns.push((column, name));
        }
    }
    let empty = options.empty.unwrap_or(if is_long { Empty::Reject } else { Empty::Skip });
    let lines = lines(bytes, records);
    for (number, (record, line)) in records.iter().zip(lines).enumerate() {
        let repeats = |column: usize| record.get(column) == header.get(column);
        if record.len() != header.len() || (is_open && number == records.len() - 1) {
            rows.invalid.push((line, Default::default()));
        } else if is_long {
            let is_header = (0..3).all(repeats);
            let fields = [&record[0], &record[1], &record[2]];
            rows.take(fields, is_header, empty, line, options);
        } else if repeats(0) && columns.iter().all(|(column, _)| repeats(*column)) {
            rows.invalid.push((line, Default::default()));
        } else {
            for (column, name) in &columns {
                let fields = [&record[0], name.as_bytes(), &record[*column]];
                if empty == Empty::Skip && fields[2].is_empty() {
                    rows.skipped += 1;
                } else {
                    rows.take(fields, false, empty, line, options);
                }
            }
        }
    }
}

fn records(bytes: &[u8]) -> Vec<csv::ByteRecord> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    reader.byte_records().map(|record| record.expect("memory can be read")).collect()
}

/// Where records start: the csv crate says it of the blank lines before them.
fn lines(bytes: &[u8], records: &[csv::ByteRecord]) -> Vec<u64> {
    let (mut counted, mut line) = (0, 1);
    let line_of = |record: &csv::ByteRecord| {
        let before = record.position().expect("it was read").byte();
        let before = usize::try_from(before).expect("it is in memory");
        let blank = bytes[before..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        line += bytes[counted..before + blank].split(|byte| *byte == b'\n').count() as u64 - 1;
        counted = before + blank;
        line
    };
    records.iter().map(line_of).collect()
}

impl Rows {
    fn take(&mut self, fields: Fields<'_>, is_header: bool, empty: Empty, line: u64, options: &Options) {
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
        options: &Options,
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
    fn is_skipped(&mut self, fields: Fields<'_>, is_header: bool, empty: Empty, options: &Options) -> bool {
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
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    match id_type {
        IdType::CustomId => (!text.is_empty()).then(|| text.to_owned()),
        IdType::Id => {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u128>().ok().filter(|_| digits)?;
            (1..1 << 63).contains(&number).then(|| number.to_string())
        }
    }
}

fn attribute(name: &[u8], options: &Options) -> Option<String> {
    let name = std::str::from_utf8(name.trim_ascii()).ok()?;
    let is_custom = options.vocabulary == Vocabulary::Custom && (1..=255).contains(&name.chars().count());
    (STANDARD.contains(&name) || is_custom).then(|| name.to_owned())
}

/// Of those attributes that the tests use.
fn keeps_rule(attribute: &str, value: &str) -> bool {
    match attribute {
        "gender" => ["1", "2", "3"].contains(&value),
        "score" => value.parse::<i64>().is_ok(),
        "first_name" => value.chars().count() <= 40,
        _ => true,
    }
}
