//! Any bytes, read and planned by one thread with all memory, and by several threads that get a few bytes each and may have
//! little memory: both come to the same. Every row is counted, and no two requests set the same attribute of the same user.
#![no_main]

mod choices;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;

use attrsync::input::{
    self, AttributeRule, Counts, Empty, IdType, InputError, InvalidRow, Issue, JsonType, Layout, ReadOptions,
    Source, UnknownColumns, Vocabulary,
};
use attrsync::plan::{Builder, OnConflict, Plan};
use attrsync::spill::Resources;
use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

use choices::Choices;

/// What the bytes follow: headers of both layouts and of a report, and nothing.
const STARTS: [&[u8]; 6] = [
    b"user_id,attribute,value\n",
    b"\xef\xbb\xbfsep=;\r\nuser_id;city;email;score\r\n",
    b"user_id,attribute,value,fate,status,error,attempts,source,line\n",
    b"Customer\tgender\tcity\tuser_id\tshoe\r",
    b"\xff\xfeu\0s\0e\0r\0_\0i\0d\0,\0c\0i\0t\0y\0\n\0",
    b"",
];

/// How the whole is stored.
#[derive(Clone, Copy)]
enum Storage {
    Plain,
    Gzip,
    /// Two members, one after the other.
    GzipTwice,
    Zstd,
    /// A file whose end is missing.
    CutGzip,
    CutZstd,
}

/// How to read and plan.
struct Task {
    options: ReadOptions,
    on_conflict: OnConflict,
    batch_size: NonZeroU32,
}

/// What reading and planning come to.
#[derive(Debug, PartialEq)]
struct Planned {
    counts: Counts,
    invalid: Vec<InvalidRow>,
    causes: Vec<Issue>,
    warnings: Vec<Issue>,
    bodies: Vec<String>,
    superseded: u64,
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    let start = choices.among(&STARTS);
    let storage = choices.among(&[
        Storage::Plain,
        Storage::Plain,
        Storage::Plain,
        Storage::Gzip,
        Storage::GzipTwice,
        Storage::Zstd,
        Storage::CutGzip,
        Storage::CutZstd,
    ]);
    let task = task(&mut choices);
    let threads = NonZeroUsize::MIN.saturating_add(usize::from(choices.byte() % 7) + 1);
    let memory = match choices.byte() {
        few @ ..128 => u64::from(few) * 50,
        _ => u64::MAX,
    };
    let text = [start, choices.rest()].concat();
    let mut file = tempfile::NamedTempFile::new().expect("there is room");
    file.write_all(&stored(&text, storage)).expect("there is room");

    let alone = Resources { threads: NonZeroUsize::MIN, memory: u64::MAX, temp_dir: None };
    let several = Resources { threads, memory, temp_dir: None };
    match (task.plan(file.path(), alone), task.plan(file.path(), several)) {
        (Ok(one), Ok(many)) => assert_eq!(one, many),
        (Err(one), Err(many)) => {
            let message = one.to_string();
            assert_eq!(message, many.to_string());
            assert!(!message.contains('\n'), "{message:?}");
        }
        (one, many) => panic!("one thread: {one:?}, several: {many:?}"),
    }
});

fn task(choices: &mut Choices<'_>) -> Task {
    let rule = |json, map: &[(&str, &str)]| AttributeRule {
        json,
        map: map.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
    };
    let rules = [
        ("gender", rule(JsonType::Integer, &[("male", "2"), ("m", "2"), ("", "1")])),
        ("score", rule(JsonType::Float, &[])),
        ("unsubscribed", rule(JsonType::Boolean, &[("x", "true")])),
        ("city", rule(JsonType::String, &[("a", "b")])),
    ];
    let with_rules = choices.among(&[false, true]);
    let columns: &[(&str, &str)] =
        choices.among(&[&[][..], &[("Customer", "user_id"), ("user_id", "custom_id"), ("shoe", "-")]]);
    let options = ReadOptions {
        layout: choices.among(&[Layout::Auto, Layout::Auto, Layout::Long, Layout::Wide]),
        delimiter: choices.among(&[None, None, Some(b','), Some(b';'), Some(b'\t'), Some(b'|')]),
        encoding: choices.among(&[
            encoding_rs::UTF_8,
            encoding_rs::UTF_8,
            encoding_rs::WINDOWS_1250,
            encoding_rs::UTF_16LE,
            encoding_rs::SHIFT_JIS,
        ]),
        columns: columns.iter().map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned())).collect(),
        unknown_columns: choices.among(&[UnknownColumns::Warn, UnknownColumns::Refuse]),
        id_type: choices.among(&[IdType::Id, IdType::CustomId]),
        vocabulary: choices.among(&[Vocabulary::Standard, Vocabulary::Custom]),
        empty: choices.among(&[None, Some(Empty::Reject), Some(Empty::Skip), Some(Empty::Send)]),
        null_token: choices.among(&[None, Some("NULL"), Some("")]).map(str::to_owned),
        attributes: rules
            .into_iter()
            .filter(|_| with_rules)
            .map(|(name, rule)| (name.to_owned(), rule))
            .collect(),
        ..ReadOptions::default()
    };
    let on_conflict = choices.among(&[OnConflict::Last, OnConflict::First, OnConflict::Error]);
    let batch_size = NonZeroU32::MIN.saturating_add(u32::from(choices.byte() % 8));
    Task { options, on_conflict, batch_size }
}

fn stored(text: &[u8], storage: Storage) -> Vec<u8> {
    let (one, other) = text.split_at(text.len() / 2);
    match storage {
        Storage::Plain => text.to_owned(),
        Storage::Gzip => gzip(text),
        Storage::GzipTwice => [gzip(one), gzip(other)].concat(),
        Storage::Zstd => zstd(text),
        Storage::CutGzip => cut(gzip(text)),
        Storage::CutZstd => cut(zstd(text)),
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes everything")
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).expect("memory takes everything")
}

fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() * 3 / 4);
    bytes
}

impl Task {
    fn plan(&self, path: &Path, resources: Resources) -> Result<Planned, InputError> {
        let builder = Builder::new(self.on_conflict).resources(&resources);
        let options = ReadOptions { bytes_per_thread: NonZeroU64::MIN, resources, ..self.options.clone() };
        let mut reading = input::read(&[Source::File(path.to_owned())], &options, builder)?;
        let counts = reading.counts;
        let invalid: Vec<InvalidRow> =
            reading.invalid.iter().map(|row| row.expect("there is room")).collect();
        assert_eq!(invalid.len() as u64, counts.invalid);
        assert_eq!(reading.causes.iter().map(|cause| cause.count).sum::<u64>(), counts.invalid);
        let plan = reading.sink.finish(reading.dictionary, self.batch_size).expect("there is room");
        let disputed: usize = plan.disputed().map(|conflict| conflict.values.len()).sum();
        let planned = plan.rows() + plan.superseded() + disputed as u64;
        assert_eq!(counts.read, counts.invalid + counts.skipped + planned, "every row is counted");
        Ok(Planned {
            counts,
            invalid,
            causes: reading.causes,
            warnings: reading.warnings,
            bodies: self.bodies(&plan),
            superseded: plan.superseded(),
        })
    }

    /// The bodies of all requests. They are JSON, and none contradicts another.
    fn bodies(&self, plan: &Plan) -> Vec<String> {
        let mut users_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut rows = 0;
        let body = |batch| {
            let mut body = Vec::new();
            plan.body(batch, &mut body);
            let json: BTreeMap<String, Value> = serde_json::from_slice(&body).expect("a body is JSON");
            assert_eq!(json.keys().collect::<Vec<_>>(), ["attribute", "ids", "value"]);
            let (Value::Array(ids), Value::String(attribute)) = (&json["ids"], &json["attribute"]) else {
                panic!("the body is {json:?}")
            };
            assert!(!ids.is_empty() && ids.len() <= self.batch_size.get() as usize, "{} ids", ids.len());
            rows += ids.len() as u64;
            // Two names of one attribute.
            let attribute = if attribute == "user_id" { "custom_id" } else { attribute };
            let users = users_of.entry(attribute.to_owned()).or_default();
            for id in ids {
                assert_eq!(id.is_u64(), self.options.id_type == IdType::Id, "{id}");
                assert!(users.insert(id.to_string()), "`{attribute}` of {id} is set twice");
            }
            String::from_utf8(body).expect("JSON is text")
        };
        let bodies: Vec<String> = plan.batches().map(body).collect();
        assert_eq!((rows, bodies.len() as u64), (plan.rows(), plan.requests()));
        bodies
    }
}
