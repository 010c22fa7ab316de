//! In what form bytes come.

use std::io::Write;
use std::num::NonZeroU64;

use attrsync::input::{Compression, Layout, ReadOptions};

use super::{fixture, invalid, outcome, read_bytes, read_files, triples};

fn expected() -> Vec<(String, String, Option<String>)> {
    [("10", "city", "Kraków"), ("15", "country", "Polska"), ("22", "first_name", "Żaneta")]
        .map(|(user, attribute, value)| (user.to_owned(), attribute.to_owned(), Some(value.to_owned())))
        .into()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_same_rows_come_in_many_forms() {
    for (name, delimiter, encoding) in [
        ("bom.csv", b',', "UTF-8"),
        ("crlf.csv", b',', "UTF-8"),
        ("semicolon.csv", b';', "UTF-8"),
        ("tab.tsv", b'\t', "UTF-8"),
        ("pipe.csv", b'|', "UTF-8"),
        ("utf16le.csv", b',', "UTF-16LE"),
        ("utf16be.csv", b',', "UTF-16BE"),
        ("windows-1250.csv", b',', "windows-1250"),
    ] {
        let encoding_rs =
            if name.starts_with("windows") { encoding_rs::WINDOWS_1250 } else { encoding_rs::UTF_8 };
        let options = ReadOptions { encoding: encoding_rs, ..ReadOptions::default() };
        let bytes = std::fs::read(fixture(name)).unwrap();
        for (bytes, compression) in [
            (bytes.clone(), Compression::None),
            (gzip(&bytes), Compression::Gzip),
            ([gzip(&bytes[..20]), gzip(&bytes[20..])].concat(), Compression::Gzip),
            (zstd::encode_all(&bytes[..], 1).unwrap(), Compression::Zstd),
        ] {
            let reading = read_bytes(&bytes, &options).unwrap();
            assert_eq!(triples(&reading), expected(), "{name} {compression:?}");
            let [source] = &reading.sources[..] else { panic!("one source was read") };
            assert_eq!((source.delimiter, source.encoding.name()), (delimiter, encoding), "{name}");
            assert_eq!(
                (source.compression, source.layout, source.rows),
                (compression, Layout::Long, 3),
                "{name}"
            );
            assert_eq!(source.bytes, bytes.len() as u64, "{name}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_stronger_than_the_named_encoding() {
    let options = ReadOptions { encoding: encoding_rs::WINDOWS_1250, ..ReadOptions::default() };
    assert_eq!(triples(&read_files(&[fixture("bom.csv")], &options).unwrap()), expected());
}

#[test]
fn what_cannot_be_decoded_makes_its_row_invalid() {
    let units: Vec<u16> = "\u{feff}user_id,attribute,value\n1,city,".encode_utf16().chain([0xd800]).collect();
    let text: Vec<u8> =
        units.into_iter().chain("\n2,city,b\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let mut reading = read_bytes(&text, &ReadOptions::default()).unwrap();
    assert_eq!(triples(&reading).len(), 1);
    assert_eq!(invalid(&mut reading)[0].line, 2);
}

#[test]
fn quoted_line_ends_are_part_of_values_and_count_as_lines() {
    let mut reading = read_files(&[fixture("quoted-newlines.csv")], &ReadOptions::default()).unwrap();
    let values: Vec<_> = triples(&reading).into_iter().map(|(.., value)| value.unwrap()).collect();
    assert_eq!(values, ["Kraków\nPodgórze", "a\r\n\"b\"", "c"]);
    assert_eq!(invalid(&mut reading)[0].line, 7);
}

#[test]
fn stray_quotes_are_text_unless_they_follow_a_closing_one() {
    let mut reading = read_files(&[fixture("stray-quotes.csv")], &ReadOptions::default()).unwrap();
    let values: Vec<_> = triples(&reading).into_iter().map(|(.., value)| value.unwrap()).collect();
    assert_eq!(values, ["6\" pipe", "6\" pipe", "d"]);
    let errors: Vec<_> = invalid(&mut reading).into_iter().map(|row| row.error).collect();
    assert_eq!(
        errors,
        ["text after a closing quote: 3,city,\"a\"b", "expected 3 fields, found 4: 4,city,a\"b,c\""]
    );
}

#[test]
fn several_inputs_read_as_if_joined() {
    let files = ["wide.csv", "semicolon.csv", "utf16le.csv"].map(fixture);
    let reading = read_files(&files, &ReadOptions::default()).unwrap();
    assert_eq!(reading.counts.read, 9 + 3 + 3);
    assert_eq!(triples(&reading)[4..7], expected());
    assert_eq!(triples(&reading)[7..], expected());
    assert_eq!(reading.sources.iter().map(|source| source.rows).collect::<Vec<_>>(), [9, 3, 3]);
}

#[test]
fn ten_thousand_columns_are_ten_thousand_rows() {
    let names: String = (0..10_000).map(|number| format!(",c{number}")).collect();
    let cells: String = (0..10_000).map(|number| format!(",{number}")).collect();
    let options = ReadOptions { vocabulary: attrsync::input::Vocabulary::Custom, ..ReadOptions::default() };
    let reading = read_bytes(format!("user_id{names}\n1{cells}\n2{cells}\n").as_bytes(), &options).unwrap();
    assert_eq!((reading.counts.read, reading.counts.invalid), (20_000, 0));
}

#[test]
fn a_huge_field_is_a_value_like_any_other() {
    let huge = "ą".repeat(5 << 20);
    let text =
        format!("user_id,attribute,value\n1,city,{huge}\n{huge},city,a\n2,{huge},b\n3,\"city\",\"{huge}\"\n");
    let mut reading = read_bytes(text.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!(triples(&reading)[0].2.as_ref().unwrap().len(), huge.len());
    assert_eq!(reading.sink.0[0].value, reading.sink.0[1].value);
    let rows = invalid(&mut reading);
    assert_eq!((rows[0].user_id.len(), rows[1].attribute.len()), (huge.len(), huge.len()));
    assert!(rows.iter().all(|row| row.error.len() < 300), "messages are short");
}

#[test]
fn a_range_that_starts_within_a_quoted_value_is_read_again() {
    let inner = "2,city,x\n".repeat(50);
    let text = format!("user_id,attribute,value\n1,city,\"{inner}\"\nx,city,a\n3,city,c\n");
    let threads = |threads, each| ReadOptions {
        resources: super::threads(threads),
        bytes_per_thread: NonZeroU64::new(each).unwrap(),
        ..ReadOptions::default()
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let read = |options| outcome(read_files(&[file.path().to_owned()], &options).unwrap());
    let one = read(threads(1, 1));
    assert_eq!((one.rows.len(), one.invalid[0].line), (2, 53));
    for count in 2..20 {
        assert_eq!(read(threads(count, 1)), one, "{count} threads");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_as_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pipe = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            for byte in std::fs::read(fixture("utf16le.csv")).unwrap() {
                pipe.write_all(&[byte]).unwrap();
            }
        });
        let reading = read_files(std::slice::from_ref(&path), &ReadOptions::default()).unwrap();
        assert_eq!(triples(&reading), expected());
    });
}

#[test]
fn more_attributes_than_have_numbers_are_invalid_rows_whoever_reads_them() {
    let rows: String = (0..70_000).map(|number| format!("1,c{number},a\n")).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(format!("user_id,attribute,value\n{rows}").as_bytes()).unwrap();
    let read = |threads: usize| {
        let options = ReadOptions {
            vocabulary: attrsync::input::Vocabulary::Custom,
            resources: super::threads(threads),
            bytes_per_thread: NonZeroU64::MIN,
            ..ReadOptions::default()
        };
        outcome(read_files(&[file.path().to_owned()], &options).unwrap())
    };
    let one = read(1);
    assert_eq!(one.invalid.len(), 70_000 + attrsync::input::STANDARD_COUNT - 65_536);
    assert_eq!(one.invalid[0].error, "the inputs name more than 65536 attributes: `c65514`");
    assert!(read(3) == one, "threads change nothing");
}
