//! Reading against the csv crate's bare loop over the same bytes: `cargo bench --bench read`.
//!
//! `BENCH_FILE=nightly.csv` reads that file instead of a generated one of a million rows.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use attrsync::input::{self, ReadOptions, Renumber, Row, Sink, Source};
use attrsync::spill::Resources;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Does with a row the least that can't be left out.
struct Sum(u64);

impl Sink for Sum {
    fn accept(&mut self, row: Row) {
        self.0 = self.0.wrapping_add(row.user ^ u64::from(row.value.0) ^ u64::from(row.attribute.0));
    }

    fn dictionary_spilled(&mut self, _: u32) {
        unreachable!("there is memory for all texts");
    }

    fn fork(&self) -> Self {
        Self(0)
    }

    fn join(&mut self, later: Self, _: &Renumber) {
        self.0 = self.0.wrapping_add(later.0);
    }
}

fn read(path: &Path, threads: usize) -> u64 {
    let threads = NonZeroUsize::new(threads).expect("not 0");
    let resources = Resources { threads, ..Resources::default() };
    let options = ReadOptions { resources, ..ReadOptions::default() };
    let reading =
        input::read(&[Source::File(path.to_owned())], &options, Sum(0)).expect("the file is well formed");
    assert_eq!(reading.counts.invalid, 0);
    reading.sink.0
}

fn bare(path: &Path) -> u64 {
    let mut reader =
        csv::ReaderBuilder::new().buffer_capacity(256 << 10).from_path(path).expect("it is there");
    let mut record = csv::ByteRecord::new();
    let mut count = 0;
    while reader.read_byte_record(&mut record).expect("the file is well formed") {
        count += record.len() as u64;
    }
    count
}

fn generate() -> tempfile::TempPath {
    let (file, path) = tempfile::NamedTempFile::new().expect("there is room").into_parts();
    let mut file = BufWriter::new(file);
    writeln!(file, "user_id,attribute,value").expect("there is room");
    let mut state = 1_u64;
    for _ in 0..1_000_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (user, value) = (1 + (state >> 33) % 500_000, (state >> 20) % 300);
        let attribute = ["city", "country", "region", "score"][(state >> 60) as usize % 4];
        writeln!(file, "{user},{attribute},{value}").expect("there is room");
    }
    file.flush().expect("there is room");
    path
}

fn compare(criterion: &mut Criterion) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark has no settings of its own")]
    let named = std::env::var_os("BENCH_FILE").map(PathBuf::from);
    let generated = named.is_none().then(generate);
    let path = named.unwrap_or_else(|| generated.as_ref().expect("one was generated").to_path_buf());
    let bytes = File::open(&path).and_then(|file| file.metadata()).expect("it is there").len();
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10).throughput(Throughput::Bytes(bytes));
    group.bench_function("bare csv loop", |bencher| bencher.iter(|| bare(black_box(&path))));
    group.bench_function("one thread", |bencher| bencher.iter(|| read(black_box(&path), 1)));
    group.bench_function("two threads", |bencher| bencher.iter(|| read(black_box(&path), 2)));
    group.finish();
}

criterion_group!(benches, compare);
criterion_main!(benches);
