//! Random inputs, and what must become of their rows: computed here by hand, with nothing of the program.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

/// A user and an attribute.
pub(crate) type Key = (String, String);

/// Whose ids the users have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    Numbers,
    Custom,
}

/// The text that clears an attribute.
pub(crate) const NULL: &str = "NULL";

/// Nobody may have this value: the account refuses it for every user.
pub(crate) const BAD_VALUES: [(&str, &str); 2] = [("city", "Atlantis"), ("last_name", "Robert'); --")];

/// Text that is awkward in CSV, JSON, a terminal or a spreadsheet.
const CITIES: [&str; 9] =
    ["Oslo", "Łódź", "São Paulo", "a,b;c", "\"quoted\"", "two\nlines", "=1+1", " spaced ", "{\"a\": [1]}"];
const COUNTRIES: [&str; 4] = ["Norway", "Poland", "Brasil", "\u{202e}dnaloP"];
const BOOLEANS: [&str; 4] = ["true", "false", "True", "FALSE"];

impl Ids {
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Numbers => "id",
            Self::Custom => "custom-id",
        }
    }

    pub(crate) fn name(self, user: u32) -> String {
        match self {
            Self::Numbers => user.to_string(),
            Self::Custom => format!("C-{user:03}"),
        }
    }
}

/// What the program has to make of a command's input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) read: u64,
    pub(crate) invalid: u64,
    pub(crate) skipped: u64,
    pub(crate) superseded: u64,
    /// What is to be sent: null clears.
    pub(crate) planned: BTreeMap<Key, Value>,
}

/// A file of rows with the options that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) options: Vec<String>,
    pub(crate) expected: Expected,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    Reject,
    Skip,
    Send,
}

/// Which users an account has: those up to `known` exist, the others are named by inputs all the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Population {
    pub(crate) ids: Ids,
    pub(crate) known: u32,
    pub(crate) unknown: u32,
}

impl Population {
    fn any(self, dice: &mut StdRng) -> u32 {
        if self.unknown > 0 && dice.random_bool(0.04) {
            self.known + dice.random_range(1..=self.unknown)
        } else {
            dice.random_range(1..=self.known)
        }
    }

    pub(crate) fn exists(self, user: &str) -> bool {
        (1..=self.known).any(|known| self.ids.name(known) == user)
    }
}

/// Writes a file of rows into the directory.
pub(crate) fn write(dice: &mut StdRng, population: Population, directory: &Path, name: &str) -> Input {
    if dice.random_bool(0.25) {
        wide(dice, population, directory, name)
    } else {
        long(dice, population, directory, name)
    }
}

fn long(dice: &mut StdRng, population: Population, directory: &Path, name: &str) -> Input {
    let empty = *[Empty::Reject, Empty::Reject, Empty::Skip, Empty::Send].choose(dice).unwrap();
    let first = dice.random_bool(0.2);
    let null = dice.random_bool(0.5);
    let mut expected = Expected::default();
    let mut records = vec![["user_id", "attribute", "value"].map(str::to_owned)];
    let rows = match dice.random_range(0..30) {
        0 => 100_000,
        1..4 => 3000,
        _ => dice.random_range(20..400),
    };
    for _ in 0..rows {
        let user = population.any(dice);
        let [id, attribute, value] = record(dice, population, user, null);
        expected.read += 1;
        records.push([id.clone(), attribute.clone(), value.clone()]);
        if !population.ids.accepts(&id) || !valid(&attribute, &value) {
            expected.invalid += 1;
            continue;
        }
        if value.is_empty() {
            match empty {
                Empty::Reject => expected.invalid += 1,
                Empty::Skip => expected.skipped += 1,
                Empty::Send => expected.plan(id, attribute, json!(""), first),
            }
            continue;
        }
        let sent = if null && value == NULL { Value::Null } else { json!(value) };
        expected.plan(id, attribute, sent, first);
    }
    let mut options = match empty {
        Empty::Reject => vec![],
        Empty::Skip => vec!["--empty=skip".to_owned()],
        Empty::Send => vec!["--empty=send".to_owned()],
    };
    if first {
        options.push("--on-conflict=first".to_owned());
    }
    if null {
        options.push(format!("--null-token={NULL}"));
    }
    save(dice, &directory.join(name), &records);
    Input { name: name.to_owned(), options, expected }
}

fn wide(dice: &mut StdRng, population: Population, directory: &Path, name: &str) -> Input {
    let attributes = ["city", "country", "score", "first_name"];
    let mut expected = Expected::default();
    let mut header = vec!["user_id".to_owned()];
    header.extend(attributes.map(str::to_owned));
    let mut records = vec![header];
    for _ in 0..dice.random_range(5..120) {
        let number = population.any(dice);
        let user = population.ids.name(number);
        let mut record = vec![user.clone()];
        for attribute in attributes {
            let value = if dice.random_bool(0.2) { String::new() } else { value(dice, attribute, number) };
            expected.read += 1;
            if value.is_empty() {
                expected.skipped += 1;
            } else {
                expected.plan(user.clone(), attribute.to_owned(), json!(value), false);
            }
            record.push(value);
        }
        records.push(record);
    }
    save(dice, &directory.join(name), &records);
    Input { name: name.to_owned(), options: vec![], expected }
}

impl Expected {
    fn plan(&mut self, user: String, attribute: String, value: Value, first: bool) {
        let key = (user, attribute);
        if self.planned.contains_key(&key) {
            self.superseded += 1;
            if first {
                return;
            }
        }
        self.planned.insert(key, value);
    }

    /// The most requests that this plan may take before retries and splits.
    pub(crate) fn requests(&self, batch_size: usize) -> u64 {
        let mut groups: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for ((_, attribute), value) in &self.planned {
            *groups.entry((attribute, value.to_string())).or_default() += 1;
        }
        groups.values().map(|ids| ids.div_ceil(batch_size) as u64).sum()
    }
}

/// A row, which may be invalid.
fn record(dice: &mut StdRng, population: Population, user: u32, null: bool) -> [String; 3] {
    let id = population.ids.name(user);
    let attribute =
        *["city", "city", "country", "score", "gender", "unsubscribed", "first_name", "last_name", "email"]
            .choose(dice)
            .unwrap();
    let good = value(dice, attribute, user);
    let [id, attribute, value] = match dice.random_range(0..60) {
        0 => ["0".to_owned(), attribute.to_owned(), good],
        1 => ["12 3".to_owned(), attribute.to_owned(), good],
        2 => [id, "colour".to_owned(), good],
        3 => [id, "gender".to_owned(), "often".to_owned()],
        4 => [id, "score".to_owned(), "1.5".to_owned()],
        5 | 6 => [id, "city".to_owned(), String::new()],
        7 if null => [id, "city".to_owned(), NULL.to_owned()],
        8 if dice.random_bool(0.3) => {
            let (attribute, value) = *BAD_VALUES.choose(dice).unwrap();
            [id, attribute.to_owned(), value.to_owned()]
        }
        _ => [id, attribute.to_owned(), good],
    };
    [id, attribute, value]
}

/// A value that the attribute may have.
pub(crate) fn value(dice: &mut StdRng, attribute: &str, user: u32) -> String {
    match attribute {
        "city" => (*CITIES.choose(dice).unwrap()).to_owned(),
        "country" => (*COUNTRIES.choose(dice).unwrap()).to_owned(),
        "score" => dice.random_range(-3..9_i64).to_string(),
        "gender" => dice.random_range(1..=3_u8).to_string(),
        "unsubscribed" => (*BOOLEANS.choose(dice).unwrap()).to_owned(),
        // Values that no other user has: a request each.
        "email" => format!("user{user}@example.com"),
        "first_name" => format!("Name {}", user % 17),
        "last_name" => format!("Family {}", dice.random_range(0..5)),
        other => unreachable!("{other}"),
    }
}

impl Ids {
    fn accepts(self, id: &str) -> bool {
        match self {
            Self::Numbers => id.parse::<u64>().is_ok_and(|id| id > 0),
            Self::Custom => true,
        }
    }
}

fn valid(attribute: &str, value: &str) -> bool {
    value.is_empty()
        || value == NULL
        || match attribute {
            "colour" => false,
            "gender" => ["1", "2", "3"].contains(&value),
            "score" => value.parse::<i64>().is_ok(),
            _ => true,
        }
}

/// Writes records in one of the forms that spreadsheets and exports have.
fn save(dice: &mut StdRng, path: &Path, records: &[impl AsRef<[String]>]) {
    let delimiter = *[b',', b',', b';', b'\t', b'|'].choose(dice).unwrap();
    let terminator = *[csv::Terminator::Any(b'\n'), csv::Terminator::CRLF].choose(dice).unwrap();
    let quotes = *[csv::QuoteStyle::Necessary, csv::QuoteStyle::Always].choose(dice).unwrap();
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .terminator(terminator)
        .quote_style(quotes)
        .from_writer(Vec::new());
    for record in records {
        writer.write_record(record.as_ref()).unwrap();
    }
    let mut bytes = writer.into_inner().unwrap();
    if dice.random_bool(0.2) {
        bytes.splice(0..0, *b"\xef\xbb\xbf");
    }
    let mut file = File::create(path).unwrap();
    file.write_all(&bytes).unwrap();
}
