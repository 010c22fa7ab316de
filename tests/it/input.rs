//! Reading: bytes to rows.

use std::io::Write;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use attrsync::input::{
    self, Cause, Counts, IdType, InvalidRow, Options, Reading, Refusal, Renumber, Row, Sink, Source, ValueId,
    Vocabulary, Warning,
};
use proptest::prelude::*;

/// Keeps rows as they come.
#[derive(Debug, Default)]
struct Rows(Vec<Row>);

impl Sink for Rows {
    fn accept(&mut self, row: Row) {
        self.0.push(row);
    }

    fn fork(&self) -> Self {
        Self::default()
    }

    fn join(&mut self, later: Self, renumber: &Renumber) {
        self.0.extend(later.0.into_iter().map(|row| Row {
            user: renumber.users.get(usize::try_from(row.user).unwrap()).copied().unwrap_or(row.user),
            attribute: renumber.attributes[usize::from(row.attribute.0)],
            value: renumber.values[usize::from(row.attribute.0)][row.value.0 as usize],
        }));
    }
}

type Triple = (String, String, Option<String>);

fn triples(reading: &Reading<Rows>) -> Vec<Triple> {
    let dictionary = &reading.dictionary;
    let triple = |row: &Row| {
        let user = dictionary.user(row.user).map_or_else(|| row.user.to_string(), str::to_owned);
        let value = dictionary.value(row.attribute, row.value).map(str::to_owned);
        (user, dictionary.attribute(row.attribute).name.clone(), value)
    };
    reading.sink.0.iter().map(triple).collect()
}

fn invalid(reading: &mut Reading<Rows>) -> Vec<InvalidRow> {
    let rows: Vec<InvalidRow> = reading.invalid.iter().unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len() as u64, reading.counts.invalid);
    assert_eq!(rows.len() as u64, reading.causes.iter().map(|cause| cause.count).sum::<u64>());
    rows
}

fn read_files(paths: &[PathBuf], options: &Options) -> Result<Reading<Rows>, Refusal> {
    let sources: Vec<Source> = paths.iter().cloned().map(Source::File).collect();
    let reading = input::read(&sources, options, Rows::default())?;
    let counts = reading.counts;
    assert_eq!(
        counts.read,
        counts.invalid + counts.skipped + reading.sink.0.len() as u64,
        "every row is counted"
    );
    Ok(reading)
}

fn read_bytes(bytes: &[u8], options: &Options) -> Result<Reading<Rows>, Refusal> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read_files(&[file.path().to_owned()], options)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// What reading comes to, in short: valid rows as `user attribute value`, invalid ones as `line error`.
fn gist(bytes: &str, options: &Options) -> (Vec<String>, Vec<String>) {
    let mut reading = read_bytes(bytes.as_bytes(), options).unwrap();
    let valid = triples(&reading).into_iter().map(|(user, attribute, value)| {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"));
        format!("{user} {attribute} {value}")
    });
    let valid = valid.collect();
    (valid, invalid(&mut reading).into_iter().map(|row| format!("{} {}", row.line, row.error)).collect())
}

#[track_caller]
fn check(bytes: &str, options: &Options, valid: &[&str], invalid: &[&str]) {
    let (found_valid, found_invalid) = gist(bytes, options);
    assert_eq!(found_valid, valid);
    assert_eq!(found_invalid, invalid);
}

#[test]
fn the_long_layout_has_its_columns_in_any_order_and_any_case() {
    check(
        "note,VALUE, User_ID ,attribute\nx, Kraków ,10, city \ny,2,11,gender\n",
        &Options::default(),
        &["10 city \" Kraków \"", "11 gender \"2\""],
        &[],
    );
}

#[test]
fn a_row_that_breaks_a_rule_is_invalid_and_says_why() {
    check(
        "user_id,attribute,value\n\n0,city,A\n1,contry,B\n2,gender,4\n3,city,\n4,city\n5,\"city\",\"a\nb\"\n6,score,x\n7,city,\"open",
        &Options::default(),
        &["5 city \"a\\nb\""],
        &[
            "3 `user_id` must be a positive integer of at most 63 bits, not `0`",
            "4 the attribute is not allowed: `contry`; did you mean `country`?",
            "5 `gender` must be 1 (unknown), 2 (male) or 3 (female), not `4`",
            "6 `city` has no value",
            "7 expected 3 fields, found 2: 4,city",
            "10 `score` must be an integer, not `x`",
            "11 a quote is never closed: 7,city,open",
        ],
    );
}

/// All that a reading comes to, to compare readings with.
#[derive(Debug, PartialEq)]
struct Outcome {
    rows: Vec<Row>,
    values: Vec<(String, Vec<Option<String>>)>,
    users: Vec<String>,
    counts: Counts,
    invalid: Vec<InvalidRow>,
    causes: Vec<Cause>,
    warnings: Vec<Warning>,
    bytes: Vec<u64>,
}

fn outcome(mut reading: Reading<Rows>) -> Outcome {
    let invalid = invalid(&mut reading);
    let Reading { sink, dictionary, counts, causes, warnings, sources, .. } = reading;
    let values = |id| {
        let values = (0..).take(dictionary.values(id)).map(ValueId);
        let texts = values.map(|value| dictionary.value(id, value).map(str::to_owned)).collect();
        (dictionary.attribute(id).name.clone(), texts)
    };
    Outcome {
        rows: sink.0,
        values: dictionary.attributes().map(values).collect(),
        users: (0..).take(dictionary.users()).map(|user| dictionary.user(user).unwrap().to_owned()).collect(),
        counts,
        invalid,
        causes,
        warnings,
        bytes: sources.iter().map(|source| source.bytes).collect(),
    }
}

/// Pieces of which hostile inputs are made.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(&[",", "\n", "1", "2", "city", "gender", "\"", "\r\n"][..]).prop_map(str::as_bytes),
        2 => prop::sample::select(&["1,city,a\n", "2,city,\"b\nc\"\n", "3,gender,2\n", "4,email,x\n", "5,city,6\" pipe\n"][..])
            .prop_map(str::as_bytes),
        1 => prop::sample::select(&["\r", " ", "ą", "\u{feff}", "\0", "x", "", "custom", "user_id,attribute,value\n"][..])
            .prop_map(str::as_bytes),
        1 => Just(&b"\xff"[..]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// What the csv crate and a few lines of plain code make of an input: valid rows, and lines of invalid ones.
fn oracle(bytes: &[u8]) -> (Vec<Triple>, Vec<(u64, [String; 3])>) {
    fn records(bytes: &[u8]) -> Vec<csv::ByteRecord> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        reader.byte_records().map(Result::unwrap).collect()
    }
    let (all, closed) = (records(bytes), records(&[bytes, b"\n"].concat()));
    let is_open =
        all.last().map(|record| record.iter().last()) != closed.last().map(|record| record.iter().last());
    let (mut valid, mut invalid) = (Vec::new(), Vec::new());
    for (number, record) in all.iter().enumerate().skip(1) {
        let before = usize::try_from(record.position().unwrap().byte()).unwrap();
        let blank = bytes[before..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let line = 1 + bytes[..before + blank].iter().filter(|byte| **byte == b'\n').count() as u64;
        let nothing = || [String::new(), String::new(), String::new()];
        if record.len() != 3 || (is_open && number == all.len() - 1) {
            invalid.push((line, nothing()));
            continue;
        }
        let Ok(fields) = csv::StringRecord::from_byte_record(record.clone()) else {
            invalid.push((line, nothing()));
            continue;
        };
        let (user, attribute, value) = (fields[0].trim_ascii(), fields[1].trim_ascii(), &fields[2]);
        let is_user = user.bytes().all(|byte| byte.is_ascii_digit())
            && user.parse::<u128>().is_ok_and(|user| (1..=i64::MAX as u128).contains(&user));
        let is_value = match attribute {
            "gender" => ["1", "2", "3"].contains(&value),
            "city" | "email" => !value.is_empty(),
            _ => false,
        };
        if is_user && is_value {
            valid.push((
                user.trim_start_matches('0').to_owned(),
                attribute.to_owned(),
                Some(value.to_owned()),
            ));
        } else {
            invalid.push((line, [0, 1, 2].map(|field| fields[field].to_owned())));
        }
    }
    (valid, invalid)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn hostile_inputs_read_as_with_the_csv_crate_and_plain_code(bytes in hostile()) {
        let bytes = [b"user_id,attribute,value\n", &bytes[..]].concat();
        let mut reading = read_bytes(&bytes, &Options::default()).unwrap();
        let (valid, invalid_rows) = oracle(&bytes);
        prop_assert_eq!(triples(&reading), valid);
        let found = invalid(&mut reading).into_iter();
        let found: Vec<_> = found.map(|row| (row.line, [row.user_id, row.attribute, row.value])).collect();
        prop_assert_eq!(found, invalid_rows);
    }

    #[test]
    fn threads_change_nothing(bytes in hostile(), threads in 2..5_usize, each in 1..40_u64, custom: bool, wide: bool) {
        let header = if wide { &b"user_id,city,gender\n"[..] } else { b"user_id,attribute,value\n" };
        let bytes = [header, &bytes[..]].concat();
        let one = Options {
            id_type: if custom { IdType::CustomId } else { IdType::Id },
            vocabulary: if custom { Vocabulary::Custom } else { Vocabulary::Standard },
            ..Options::default()
        };
        let many = Options {
            threads: NonZeroUsize::new(threads).unwrap(),
            bytes_per_thread: NonZeroU64::new(each).unwrap(),
            ..one.clone()
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let read = |options| outcome(read_files(&[file.path().to_owned()], options).unwrap());
        prop_assert_eq!(read(&one), read(&many));
    }
}
