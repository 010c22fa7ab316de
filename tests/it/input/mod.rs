//! Reading: bytes to rows.

#![expect(
    clippy::unwrap_used,
    clippy::format_collect,
    clippy::string_slice,
    reason = "a test that fails here has failed, and none of it has to be fast"
)]

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};

use attrsync::input::{
    self, Counts, InputError, InvalidRow, Issue, ReadOptions, Reading, Renumber, Row, Sink, Source, ValueId,
};
use attrsync::spill::Resources;

mod attributes;
mod damage;
mod failures_input;
mod formats;
mod forms;
mod headers;
mod oracle;
mod quotes;
mod rows;

use crate::oracle::Triple;
pub(crate) use forms::gzip;

/// Keeps rows as they come.
#[derive(Debug, Default)]
struct Rows(Vec<Row>);

impl Sink for Rows {
    fn accept(&mut self, row: Row) {
        self.0.push(row);
    }

    fn dictionary_spilled(&mut self, _: u32) {
        unreachable!("there is memory for all texts");
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

fn triples(reading: &Reading<Rows>) -> Vec<Triple> {
    let dictionary = &reading.dictionary;
    let triple = |row: &Row| {
        let user = dictionary.user(row.user).map_or_else(|| row.user.to_string(), Cow::into_owned);
        let value = dictionary.value(row.attribute, row.value).map(Cow::into_owned);
        (user, dictionary.attribute_of(row.attribute, row.value).name.clone(), value)
    };
    reading.sink.0.iter().map(triple).collect()
}

fn invalid(reading: &mut Reading<Rows>) -> Vec<InvalidRow> {
    let rows: Vec<InvalidRow> = reading.invalid.iter().map(Result::unwrap).collect();
    assert_eq!(rows.len() as u64, reading.counts.invalid);
    assert_eq!(rows.len() as u64, reading.causes.iter().map(|cause| cause.count).sum::<u64>());
    rows
}

fn read_files(paths: &[PathBuf], options: &ReadOptions) -> Result<Reading<Rows>, InputError> {
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

fn read_bytes(bytes: &[u8], options: &ReadOptions) -> Result<Reading<Rows>, InputError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read_files(&[file.path().to_owned()], options)
}

/// This number of threads, and any amount of memory.
fn threads(count: usize) -> Resources {
    Resources { threads: count.try_into().unwrap(), ..Resources::default() }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// What reading comes to, in short: valid rows as `user attribute value`, invalid ones as `line error`.
fn gist(bytes: &str, options: &ReadOptions) -> (Vec<String>, Vec<String>) {
    let mut reading = read_bytes(bytes.as_bytes(), options).unwrap();
    let valid = triples(&reading).into_iter().map(|(user, attribute, value)| {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"));
        format!("{user} {attribute} {value}")
    });
    let valid = valid.collect();
    (valid, invalid(&mut reading).into_iter().map(|row| format!("{} {}", row.line, row.error)).collect())
}

#[track_caller]
fn check(bytes: &str, options: &ReadOptions, valid: &[&str], invalid: &[&str]) {
    let (found_valid, found_invalid) = gist(bytes, options);
    assert_eq!(found_valid, valid);
    assert_eq!(found_invalid, invalid);
}

/// What a refusal says, and what it advises, with the input's path as `FILE`.
#[track_caller]
fn check_refused(bytes: &[u8], options: &ReadOptions, message: &str, hint: Option<&str>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let refusal = read_files(&[file.path().to_owned()], options).unwrap_err();
    let found = refusal.to_string().replace(&file.path().display().to_string(), "FILE");
    assert_eq!((found.as_str(), refusal.hint().as_deref()), (message, hint));
    assert!(!refusal.is_disk_error());
}

/// All that a reading comes to, to compare readings with.
#[derive(Debug, PartialEq)]
struct Outcome {
    rows: Vec<Row>,
    values: Vec<(String, Vec<Option<String>>)>,
    users: Vec<String>,
    counts: Counts,
    invalid: Vec<InvalidRow>,
    causes: Vec<Issue>,
    warnings: Vec<Issue>,
    bytes: Vec<u64>,
}

fn outcome(mut reading: Reading<Rows>) -> Outcome {
    let invalid = invalid(&mut reading);
    let Reading { sink, dictionary, counts, causes, warnings, sources, .. } = reading;
    let values = |id| {
        let values = (0..).take(dictionary.values(id)).map(ValueId);
        let texts = values.map(|value| dictionary.value(id, value).map(Cow::into_owned)).collect();
        (dictionary.attribute(id).name.clone(), texts)
    };
    Outcome {
        rows: sink.0,
        values: dictionary.attributes().map(values).collect(),
        users: (0..)
            .take(dictionary.users())
            .map(|user| dictionary.user(user).unwrap().into_owned())
            .collect(),
        counts,
        invalid,
        causes,
        warnings,
        bytes: sources.iter().map(|source| source.bytes).collect(),
    }
}
