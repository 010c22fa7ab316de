//! `cargo +nightly fuzz run read`: any bytes, read by one thread and by several that get a few bytes each, come to the
//! same, and every row is counted.
#![no_main]

use std::io::Write;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;

use attrsync::input::{self, Counts, InvalidRow, Options, Refusal, Renumber, Row, Sink, Source};
use libfuzzer_sys::fuzz_target;

#[derive(Default)]
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
            user: row.user,
            attribute: renumber.attributes[usize::from(row.attribute.0)],
            value: renumber.values[usize::from(row.attribute.0)][row.value.0 as usize],
        }));
    }
}

fn read(path: &Path, threads: NonZeroUsize) -> Result<(Vec<Row>, Counts, Vec<InvalidRow>), Refusal> {
    let options = Options { threads, bytes_per_thread: NonZeroU64::MIN, ..Options::default() };
    let mut reading = input::read(&[Source::File(path.to_owned())], &options, Rows::default())?;
    let invalid = reading.invalid.iter().map(|row| row.expect("it is in memory")).collect();
    let counts = reading.counts;
    assert_eq!(counts.read, counts.invalid + counts.skipped + reading.sink.0.len() as u64);
    Ok((reading.sink.0, counts, invalid))
}

fuzz_target!(|bytes: (u8, &[u8])| {
    let (threads, bytes) = bytes;
    let threads = NonZeroUsize::MIN.saturating_add(usize::from(threads % 7) + 1);
    let mut file = tempfile::NamedTempFile::new().expect("there is room");
    file.write_all(b"user_id,attribute,value\n").and_then(|()| file.write_all(bytes)).expect("there is room");
    match (read(file.path(), NonZeroUsize::MIN), read(file.path(), threads)) {
        (Ok(one), Ok(many)) => assert_eq!(one, many),
        (Err(one), Err(many)) => assert_eq!(one.to_string(), many.to_string()),
        (one, many) => panic!("one thread: {}, many: {}", one.is_ok(), many.is_ok()),
    }
});
