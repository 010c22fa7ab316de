//! Reading against an oracle, and against itself.

use std::io::Write;
use std::num::{NonZeroU64, NonZeroUsize};

use attrsync::input::{IdType, Options, Vocabulary};
use proptest::prelude::*;

use super::{Triple, invalid, outcome, read_bytes, read_files, triples};

/// Pieces of which hostile inputs are made.
pub(super) fn hostile() -> impl Strategy<Value = Vec<u8>> {
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
    let is_open = all.last().map(|record| record.iter().next_back())
        != closed.last().map(|record| record.iter().next_back());
    let (mut valid, mut invalid) = (Vec::new(), Vec::new());
    for (number, record) in all.iter().enumerate().skip(1) {
        let before = usize::try_from(record.position().unwrap().byte()).unwrap();
        let blank = bytes[before..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let line = bytes[..before + blank].split(|byte| *byte == b'\n').count() as u64;
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
