//! `cargo +nightly fuzz run read`: any bytes, read and planned by one thread, and by several that get a few bytes each
//! and may have little memory, come to the same, and every row is counted: quotes mean the same wherever a file is divided.
#![no_main]

use std::io::Write;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;

use attrsync::input::{self, Counts, InvalidRow, ReadOptions, InputError, Source};
use attrsync::plan::{Builder, OnConflict};
use attrsync::spill::Resources;
use libfuzzer_sys::fuzz_target;

/// Bodies, counts, and what is invalid.
type Planned = (Vec<u8>, Counts, Vec<InvalidRow>);

fn plan(path: &Path, threads: NonZeroUsize, memory: u64) -> Result<Planned, InputError> {
    let resources = Resources { threads, memory, temp_dir: None };
    let builder = Builder::new(OnConflict::Last).resources(&resources);
    let options = ReadOptions { bytes_per_thread: NonZeroU64::MIN, resources, ..ReadOptions::default() };
    let mut reading = input::read(&[Source::File(path.to_owned())], &options, builder)?;
    let invalid = reading.invalid.iter().map(|row| row.expect("there is room")).collect();
    let batch_size = NonZeroU32::MIN.saturating_add(2);
    let plan = reading.sink.finish(reading.dictionary, batch_size).expect("there is room");
    let counts = reading.counts;
    assert_eq!(counts.read, counts.invalid + counts.skipped + plan.rows() + plan.superseded());
    let mut bodies = Vec::new();
    plan.batches().for_each(|batch| plan.body(batch, &mut bodies));
    Ok((bodies, counts, invalid))
}

/// What the bytes follow: headers of both layouts and of a report, and nothing.
const STARTS: [&[u8]; 4] = [
    b"user_id,attribute,value\n",
    b"\xef\xbb\xbfsep=;\r\nuser_id;city;email\r\n",
    b"USER_ID;Attribute;value;fate;error\n",
    b"",
];

fuzz_target!(|bytes: (u8, &[u8])| {
    let (way, bytes) = bytes;
    let threads = NonZeroUsize::MIN.saturating_add(usize::from(way % 7) + 1);
    let memory = if way < 128 { u64::from(way) * 50 } else { u64::MAX };
    let mut file = tempfile::NamedTempFile::new().expect("there is room");
    let start = STARTS[usize::from(way / 7) % STARTS.len()];
    file.write_all(start).and_then(|()| file.write_all(bytes)).expect("there is room");
    match (plan(file.path(), NonZeroUsize::MIN, u64::MAX), plan(file.path(), threads, memory)) {
        (Ok(one), Ok(many)) => assert_eq!(one, many),
        (Err(one), Err(many)) => assert_eq!(one.to_string(), many.to_string()),
        (one, many) => panic!("one thread: {}, many: {}", one.is_ok(), many.is_ok()),
    }
});
