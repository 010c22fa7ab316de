//! Reading against an oracle, and against itself.

use std::io::Write;
use std::num::NonZeroU64;

use attrsync::input::{IdType, InputError, ReadOptions, Vocabulary};
use proptest::prelude::*;

use super::{invalid, outcome, read_bytes, read_files, triples};
use crate::oracle::{self, hostile};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn hostile_inputs_read_as_by_a_strict_reader_of_plain_code(bytes in hostile()) {
        let bytes = [b"user_id,attribute,value\n", &bytes[..]].concat();
        let expected = oracle::read(&[&bytes], &ReadOptions::default());
        let mut reading = match (read_bytes(&bytes, &ReadOptions::default()), expected.refused) {
            (Ok(reading), None) => reading,
            (Err(InputError::OpenQuote { line, lines, .. }), refused) => {
                prop_assert_eq!(Some((line, lines)), refused);
                return Ok(());
            }
            (read, refused) => panic!("{:?}, but {refused:?}", read.map(|reading| reading.counts)),
        };
        prop_assert_eq!(triples(&reading), expected.valid);
        let found = invalid(&mut reading).into_iter();
        let found: Vec<_> = found.map(|row| (row.line, [row.user_id, row.attribute, row.value])).collect();
        prop_assert_eq!(found, expected.invalid);
    }

    #[test]
    fn threads_change_nothing(bytes in hostile(), threads in 2..5_usize, each in 1..40_u64, custom: bool, wide: bool) {
        let header = if wide { &b"user_id,city,gender\n"[..] } else { b"user_id,attribute,value\n" };
        let bytes = [header, &bytes[..]].concat();
        let one = ReadOptions {
            id_type: if custom { IdType::CustomId } else { IdType::Id },
            vocabulary: if custom { Vocabulary::Custom } else { Vocabulary::Standard },
            ..ReadOptions::default()
        };
        let many = ReadOptions {
            resources: super::threads(threads),
            bytes_per_thread: NonZeroU64::new(each).unwrap(),
            ..one.clone()
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let read = |options| {
            let read = read_files(&[file.path().to_owned()], options);
            read.map(outcome).map_err(|refusal| refusal.to_string())
        };
        prop_assert_eq!(read(&one), read(&many));
    }
}
