//! Inputs that are damaged, or not there.

use std::fs::File;
use std::io::Write;

use attrsync::input::{self, InputError, ReadOptions, Renumber, Row, Sink, Source};
use attrsync::spill::Resources;

use super::{check_refused, fixture, gzip, invalid, read_bytes, read_files, triples};

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let refusal = read_files(&["nosuch.csv".into()], &ReadOptions::default()).unwrap_err();
    assert_eq!(refusal.to_string(), "nosuch.csv: no such file");
    assert_eq!((refusal.hint().as_deref(), refusal.is_disk_error()), (Some("check the path"), false));
}

#[test]
fn a_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refusal = read_files(&[directory.path().to_owned()], &ReadOptions::default()).unwrap_err();
    assert!(matches!(refusal, InputError::Directory { .. }), "{refusal:?}");
}

#[test]
fn a_later_input_that_is_refused_refuses_all() {
    let refusal =
        read_files(&[fixture("wide.csv"), "nosuch.csv".into()], &ReadOptions::default()).unwrap_err();
    assert_eq!(refusal.to_string(), "nosuch.csv: no such file");
}

#[test]
fn every_truncation_of_a_quoted_file_keeps_what_was_whole() {
    let whole = "user_id,attribute,value\n1,\"city\",\"a\nb\"\n2,city,\"c, d\"\n\"3\",city,e\n";
    let all = triples(&read_bytes(whole.as_bytes(), &ReadOptions::default()).unwrap());
    let header = whole.find('\n').unwrap();
    for end in header..whole.len() {
        let mut reading = read_bytes(&whole.as_bytes()[..end], &ReadOptions::default()).unwrap();
        let found = triples(&reading);
        let records = whole[header..end].matches("\n1,").count()
            + whole[header..end].matches("\n2,").count()
            + whole[header..end].matches("\n\"3").count();
        let started = records + usize::from(["\n1", "\n2"].iter().any(|start| whole[..end].ends_with(start)));
        assert_eq!(reading.counts.read, started as u64, "{end}");
        assert_eq!(found[..], all[..found.len()], "{end}: no value is cut");
        assert!(found.len() + 1 >= started, "{end}: only the last record can be damaged");
        assert_eq!(invalid(&mut reading).len(), started - found.len(), "{end}");
    }
}

#[test]
fn a_truncated_gzip_says_how_far_it_was_readable() {
    let rows: String = (1..=100_000).map(|user| format!("{user},score,{}\n", user * 7919 % 10_007)).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(format!("user_id,attribute,value\n{rows}").as_bytes()).unwrap();
    let bytes = encoder.finish().unwrap();
    let refusal = read_bytes(&bytes[..bytes.len() / 2], &ReadOptions::default()).unwrap_err();
    let InputError::Truncated { line, rows, .. } = &refusal else { panic!("{refusal:?}") };
    assert!(*rows > 10_000, "{rows}");
    assert_eq!(*line, rows + 2, "the header, the rows, and the line that is cut");
    check_refused(
        &bytes[..12],
        &ReadOptions::default(),
        "FILE:1: the compressed file ends too early, after 0 rows",
        Some("wait until the file is written whole, then try again"),
    );
}

#[test]
fn zeros_after_a_gzip_are_padding_and_other_bytes_are_named() {
    let (rows, more) = (gzip(b"user_id,attribute,value\n1,city,a\n"), gzip(b"2,city,b\n"));
    for zeros in [1, 8, 100_000] {
        let padded = [&rows[..], &more, &vec![0; zeros]].concat();
        assert_eq!(triples(&read_bytes(&padded, &ReadOptions::default()).unwrap()).len(), 2);
    }
    for (garbage, named) in
        [(&b"x"[..], "x"), (b"\0\0rest", "rest"), (b"\xffa longer rest", "\\xffa longer rest")]
    {
        check_refused(
            &[&rows, garbage].concat(),
            &ReadOptions::default(),
            &format!(
                "FILE:3: cannot be read any further: what follows the compressed data is not gzip: `{named}`"
            ),
            Some("compress the file again, or copy it again"),
        );
    }
    for end in 1..more.len() {
        let refusal = read_bytes(&[&rows, &more[..end]].concat(), &ReadOptions::default()).unwrap_err();
        assert!(matches!(refusal, InputError::Truncated { .. }), "{end}: {refusal:?}");
    }
}

#[test]
fn a_truncated_zstd_is_refused() {
    let bytes = zstd::encode_all(&b"user_id,attribute,value\n1,city,a\n"[..], 1).unwrap();
    for end in 5..bytes.len() {
        let refusal = read_bytes(&bytes[..end], &ReadOptions::default()).unwrap_err();
        assert!(matches!(refusal, InputError::Truncated { .. }), "{end}: {refusal:?}");
    }
}

#[test]
fn a_temporary_file_that_cannot_be_written_is_the_disks_fault() {
    let rows = "x,city,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(100_000);
    let resources = Resources { temp_dir: Some("/nonexistent".into()), ..Resources::default() };
    let options = ReadOptions { resources, ..ReadOptions::default() };
    let refusal = read_bytes(format!("user_id,attribute,value\n{rows}").as_bytes(), &options).unwrap_err();
    assert!(refusal.is_disk_error(), "{refusal}");
}

/// Cuts the file short when the first row comes.
struct Cuts<'a>(&'a File);

impl Sink for Cuts<'_> {
    fn accept(&mut self, _: Row) {
        self.0.set_len(1 << 20).unwrap();
    }

    fn dictionary_spilled(&mut self, _: u32) {
        unreachable!("there is memory for all texts");
    }

    fn fork(&self) -> Self {
        Self(self.0)
    }

    fn join(&mut self, _: Self, _: &Renumber) {}
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_refused() {
    let text = format!("user_id,attribute,value\n{}", "1,city,Krak\u{f3}w\n".repeat(200_000));
    for threads in [1, 2] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let options = ReadOptions {
            resources: super::threads(threads),
            bytes_per_thread: 1.try_into().unwrap(),
            ..ReadOptions::default()
        };
        let source = Source::File(file.path().to_owned());
        let refusal = input::read(&[source], &options, Cuts(file.as_file())).map(|_| ()).unwrap_err();
        let InputError::Shrunk { found, expected, .. } = refusal else { panic!("{refusal:?}") };
        assert!(found < expected, "{found} {expected}");
        assert_eq!(expected, text.len() as u64);
    }
}
