//! Reads files and plans them with different resources, and compares the request bodies with those of the oracle.

mod hostile;
mod shapes;

use std::fs;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;

use attrsync::input::{self, Compression, Counts, InputError, ReadOptions, Source};
use attrsync::plan::{Builder, OnConflict, Plan};
use attrsync::spill::Resources;

use crate::input::gzip;
use crate::oracle::{self, Expected};

/// A user's number and a value's.
const LEAST_BYTES_OF_ROW: u64 = 5;

/// Resources to plan with. They must not change the plan.
#[derive(Clone, Copy, Debug)]
struct Variant {
    threads: usize,
    /// With more bytes than this, planning spills.
    memory: u64,
}

/// One thread and several, with any amount of memory and with little.
fn variants(threads: usize, memory: u64) -> [Variant; 4] {
    [(1, u64::MAX), (threads, u64::MAX), (1, memory), (threads, memory)]
        .map(|(threads, memory)| Variant { threads, memory })
}

/// Inputs to plan, and how.
#[derive(Clone, Debug)]
struct Task {
    /// Texts of the inputs.
    files: Vec<Vec<u8>>,
    compression: Compression,
    options: ReadOptions,
    on_conflict: OnConflict,
    batch_size: u32,
}

impl Task {
    /// Rows in the long layout, to be planned as by default.
    fn new(rows: &[u8]) -> Self {
        Self {
            files: vec![[b"user_id,attribute,value\n", rows].concat()],
            compression: Compression::None,
            options: ReadOptions::default(),
            on_conflict: OnConflict::Last,
            batch_size: 100,
        }
    }

    /// Plans with each variant, and compares the result with the oracle.
    #[expect(clippy::print_stdout, reason = "shows which variant failed")]
    fn check(&self, variants: &[Variant]) {
        let rows = oracle::read(&self.files, &self.options);
        let (valid, invalid) = (rows.valid.len() as u64, rows.invalid.len() as u64);
        let counts = Counts { read: valid + invalid + rows.skipped, invalid, skipped: rows.skipped };
        let expected = Expected::of(&rows.valid, &rows.named, self.options.id_type, self.on_conflict);
        let directory = tempfile::tempdir().expect("there is room");
        let sources = self.write(directory.path());
        let spilled = directory.path().join("spilled");
        fs::create_dir(&spilled).expect("there is room");
        for variant in variants {
            println!("{variant:?}");
            let options = ReadOptions {
                bytes_per_thread: NonZeroU64::MIN,
                resources: Resources {
                    threads: NonZeroUsize::new(variant.threads).expect("not 0"),
                    memory: variant.memory,
                    temp_dir: Some(spilled.clone()),
                },
                ..self.options.clone()
            };
            let planned = plan(&sources, &options, self.on_conflict, self.batch_size);
            let (found, plan) = match (planned, rows.refused) {
                (Ok(planned), None) => planned,
                (Err(InputError::OpenQuote { line, lines, .. }), refused) => {
                    assert_eq!(Some((line, lines)), refused);
                    continue;
                }
                (planned, refused) => panic!("{:?}, but {refused:?}", planned.map(|(counts, _)| counts)),
            };
            assert_eq!(found, counts);
            expected.check(&plan);
            expected.check_bodies(&plan);
            let disputed: usize = plan.disputed().map(|conflict| conflict.values.len()).sum();
            assert_eq!(plan.rows() + plan.superseded() + disputed as u64, valid, "every row is counted");
            if variant.memory == u64::MAX {
                assert_eq!(plan.spilled_bytes(), 0);
            } else if valid * LEAST_BYTES_OF_ROW > variant.memory {
                assert!(plan.spilled_bytes() > 0, "{valid} rows can't have been in memory");
            }
            let left = fs::read_dir(&spilled).expect("it is there").count();
            assert_eq!(left, 0, "temporary files go with the program, however it ends");
        }
    }

    fn write(&self, directory: &Path) -> Vec<Source> {
        let source = |(number, text): (usize, &Vec<u8>)| {
            let path = directory.join(format!("{number}.csv"));
            let bytes = if self.compression == Compression::Gzip { gzip(text) } else { text.clone() };
            fs::write(&path, bytes).expect("there is room");
            Source::File(path)
        };
        self.files.iter().enumerate().map(source).collect()
    }
}

fn plan(
    sources: &[Source],
    options: &ReadOptions,
    on_conflict: OnConflict,
    batch_size: u32,
) -> Result<(Counts, Plan), InputError> {
    let builder = Builder::new(on_conflict).resources(&options.resources);
    let reading = input::read(sources, options, builder)?;
    let batch_size = NonZeroU32::new(batch_size).expect("not 0");
    let plan = reading.sink.finish(reading.dictionary, batch_size);
    Ok((reading.counts, plan.expect("there is room for temporary files")))
}
