//! Lines with any quotes, read and planned by one thread or several, which may have little memory: they find what plain code
//! finds that reads byte by byte. No valid row is lost, each invalid one is reported at its line, and every request is sent.
#![no_main]

mod choices;
mod oracle;

use std::io::Write;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;

use attrsync::input::{self, Counts, Empty, IdType, InputError, ReadOptions, Source, Vocabulary};
use attrsync::plan::{Builder, OnConflict};
use attrsync::spill::Resources;
use libfuzzer_sys::fuzz_target;

use choices::Choices;
use oracle::Expected;

const HEADERS: [&str; 2] = ["user_id,attribute,value\n", "user_id,city,gender,shoe,email\n"];

/// The fewest bytes that a row takes in memory: a user's number and a value's.
const LEAST_BYTES_OF_ROW: u64 = 5;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    let header = choices.among(&HEADERS);
    let options = ReadOptions {
        id_type: choices.among(&[IdType::Id, IdType::CustomId]),
        vocabulary: choices.among(&[Vocabulary::Standard, Vocabulary::Custom]),
        empty: choices.among(&[None, Some(Empty::Reject), Some(Empty::Skip), Some(Empty::Send)]),
        null_token: choices.among(&[None, Some("NULL")]).map(str::to_owned),
        bytes_per_thread: NonZeroU64::MIN,
        ..ReadOptions::default()
    };
    let on_conflict = choices.among(&[OnConflict::Last, OnConflict::First, OnConflict::Error]);
    let batch_size = NonZeroU32::MIN.saturating_add(u32::from(choices.byte() % 8));
    let threads = NonZeroUsize::MIN.saturating_add(usize::from(choices.byte() % 5));
    let memory = match choices.byte() {
        few @ ..128 => u64::from(few) * 40,
        _ => u64::MAX,
    };
    // So many rows that a quote before them is one that swallows an input.
    let tail = choices.among(&[0, 0, 0, 51]);
    let text = [header.as_bytes(), choices.rest(), &b"3,city,a\n3,city,b\n".repeat(tail)].concat();

    let mut file = tempfile::NamedTempFile::new().expect("there is room");
    file.write_all(&text).expect("there is room");
    let options = ReadOptions { resources: Resources { threads, memory, temp_dir: None }, ..options };
    check(file.path(), &text, &options, on_conflict, batch_size);
});

fn check(path: &Path, text: &[u8], options: &ReadOptions, on_conflict: OnConflict, batch_size: NonZeroU32) {
    let rows = oracle::read(&[text], options);
    let builder = Builder::new(on_conflict).resources(&options.resources);
    let sources = [Source::File(path.to_owned())];
    let mut reading = match (input::read(&sources, options, builder), rows.refused) {
        (Ok(reading), None) => reading,
        (Err(InputError::OpenQuote { line, lines, .. }), refused) => {
            assert_eq!(Some((line, lines)), refused);
            return;
        }
        (read, refused) => panic!("{:?}, but {refused:?}", read.map(|reading| reading.counts)),
    };
    let invalid: Vec<_> = reading.invalid.iter().map(|row| row.expect("there is room")).collect();
    let invalid: Vec<_> =
        invalid.into_iter().map(|row| (row.line, [row.user_id, row.attribute, row.value])).collect();
    let (valid, skipped) = (rows.valid.len() as u64, rows.skipped);
    let read = valid + rows.invalid.len() as u64 + skipped;
    assert_eq!(reading.counts, Counts { read, invalid: rows.invalid.len() as u64, skipped });
    assert_eq!(invalid, rows.invalid);

    let plan = reading.sink.finish(reading.dictionary, batch_size).expect("there is room");
    let expected = Expected::of(&rows.valid, &rows.named, options.id_type, on_conflict);
    expected.check(&plan);
    expected.check_bodies(&plan);
    let disputed: usize = plan.disputed().map(|conflict| conflict.values.len()).sum();
    assert_eq!(plan.rows() + plan.superseded() + disputed as u64, valid, "every row is counted");
    let memory = options.resources.memory;
    assert!(valid.saturating_mul(LEAST_BYTES_OF_ROW) <= memory || plan.spilled_bytes() > 0);
}
