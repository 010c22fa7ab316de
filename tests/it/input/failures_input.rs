//! A failures report, read again, is read as what it is.

use std::path::Path;

use attrsync::input::{
    Compression, Empty, FAILURES_HEADER, InvalidRow, Layout, ReadOptions, is_failures_report,
};
use attrsync::report::FailuresReport;
use proptest::prelude::*;

use super::{Reading, Rows, check, gist, gzip, invalid, read_bytes, read_files, triples};
use crate::oracle::{self, hostile};

/// Options with which no report could be read if they held for it.
fn hostile_options() -> Vec<ReadOptions> {
    let columns = [("source", "user_id"), ("error", "value")];
    let columns = columns.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())).into();
    vec![
        ReadOptions { layout: Layout::Wide, ..ReadOptions::default() },
        ReadOptions { delimiter: Some(b';'), ..ReadOptions::default() },
        ReadOptions { encoding: encoding_rs::UTF_16LE, ..ReadOptions::default() },
        ReadOptions {
            encoding: encoding_rs::WINDOWS_1252,
            columns,
            required: ["ID".into()].into(),
            ..ReadOptions::default()
        },
    ]
}

fn report(rows: &str) -> String {
    format!("{}\n{rows}", FAILURES_HEADER.join(","))
}

#[test]
fn no_option_for_other_inputs_keeps_a_report_from_being_read() {
    let text = report("1,city,Kraków,failed,500,x,5,,\n2,country,\"a;b\",unsent,,y,0,,\n");
    let crlf = text.replace('\n', "\r\n");
    for options in hostile_options() {
        for bytes in [text.clone(), format!("\u{feff}{text}"), crlf.clone()] {
            for bytes in [bytes.clone().into_bytes(), gzip(bytes.as_bytes())] {
                let reading = read_bytes(&bytes, &options).unwrap();
                let values: Vec<_> =
                    triples(&reading).into_iter().map(|(.., value)| value.unwrap()).collect();
                assert_eq!(values, ["Kraków", "a;b"]);
                assert_eq!(reading.counts.invalid, 0);
                let [source] = &reading.sources[..] else { panic!("one source was read") };
                assert_eq!((source.layout, source.delimiter), (Layout::Long, b','));
            }
        }
        assert_eq!(read_bytes(FAILURES_HEADER.join(",").as_bytes(), &options).unwrap().counts.read, 0);
    }
}

#[test]
fn a_report_is_read_whatever_a_spreadsheet_made_of_it() {
    for text in [
        "user_id;attribute;value;fate;status;error;attempts;source;line\n1;city;Krak\u{f3}w;failed;500;x;5;;\n",
        "sep=;\r\nUSER_ID;ATTRIBUTE;VALUE;FATE;STATUS;ERROR;ATTEMPTS;SOURCE;LINE\r\n1;city;Krak\u{f3}w;failed;500;x;5;;\r\n",
        "\u{feff}user_id\tattribute\tvalue\tfate\terror\t\t\n1\tcity\tKrak\u{f3}w\tfailed\tx\t\t\n",
        "error,fate,user_id,attribute,value,checked by\nx,failed,1,city,Krak\u{f3}w,me\n",
        "\"user_id\";\"attribute\";\"value\";\"fate\"\n\"1\";\"city\";\"Krak\u{f3}w\";\"failed\"\n",
    ] {
        for options in hostile_options() {
            let reading = read_bytes(text.as_bytes(), &options).unwrap();
            assert_eq!(
                triples(&reading),
                [("1".to_owned(), "city".to_owned(), Some("Kraków".to_owned()))],
                "{text}"
            );
        }
    }
    let unparsed = "Error;Fate;User_ID;Attribute;Value\nexpected 3 fields, found 2: 7,x;Invalid;;;\n";
    check(unparsed, &ReadOptions::default(), &[], &["2 expected 3 fields, found 2: 7,x"]);
}

#[test]
fn a_report_that_was_saved_in_the_encoding_of_other_inputs_is_read_in_it() {
    let text = report("1,city,Krak\u{f3}w \u{141}\u{f3}d\u{17a},failed,500,x,5,,\n").replace(',', ";");
    let options = ReadOptions { encoding: encoding_rs::WINDOWS_1250, ..ReadOptions::default() };
    let (bytes, _, _) = encoding_rs::WINDOWS_1250.encode(&text);
    let reading = read_bytes(&bytes, &options).unwrap();
    assert_eq!(triples(&reading)[0].2.as_deref(), Some("Kraków Łódź"));
}

#[test]
fn what_only_looks_like_a_report_is_read_as_the_options_say() {
    let wide = ReadOptions { layout: Layout::Wide, ..ReadOptions::default() };
    for header in ["user_id,attribute,value,fate,status,error,attempts,source,line,city", "user_id,city"] {
        let values = ",x".repeat(header.matches(',').count());
        let reading = read_bytes(format!("{header}\n1{values}\n").as_bytes(), &wide).unwrap();
        assert_eq!(
            (reading.sources[0].layout, reading.sources[0].compression),
            (Layout::Wide, Compression::None)
        );
    }
}

#[test]
fn an_empty_value_of_a_report_is_what_the_options_make_of_it() {
    let text = report("1,city,,invalid,,`city` has no value,0,users.csv,7\n");
    check(&text, &ReadOptions::default(), &[], &["2 `city` has no value"]);
    let options = |empty| ReadOptions { empty: Some(empty), ..ReadOptions::default() };
    check(&text, &options(Empty::Send), &["1 city \"\""], &[]);
    assert_eq!(gist(&text, &options(Empty::Skip)), (vec![], vec![]));
}

#[test]
fn a_record_that_was_never_parsed_keeps_its_text() {
    check(
        &report(
            ",,,invalid,,\"expected 3 fields, found 2: 7,Kraków\",0,users.csv,7\n7,city,Kraków,invalid,,corrected,0,,\n",
        ),
        &ReadOptions::default(),
        &["7 city \"Kraków\""],
        &["2 expected 3 fields, found 2: 7,Kraków"],
    );
    check(
        &report(",,,failed,,x,0,,\n,,,invalid,,,0,,\n"),
        &ReadOptions::default(),
        &[],
        &[
            "2 `user_id` must be a positive whole number, not ``",
            "3 `user_id` must be a positive whole number, not ``",
        ],
    );
}

#[test]
fn a_file_is_known_for_a_report_by_the_names_of_its_columns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.csv");
    let is_report = |text: &str| {
        std::fs::write(&path, text).unwrap();
        is_failures_report(&path).unwrap()
    };
    assert!(is_report(&report("")) && is_report(&report("x")));
    assert!(
        is_report("sep=;\nUSER_ID;Attribute;VALUE;Fate;;\n")
            && is_report("fate\tvalue\tattribute\tuser_id\tnote")
    );
    assert!(!is_report("") && !is_report("user_id,attribute,value\n"));
    assert!(is_failures_report(&directory.path().join("nosuch.csv")).is_err());
}

/// Writes the report of a reading.
fn write(path: &Path, reading: &mut Reading<Rows>) {
    let mut report = FailuresReport::create(path, &ReadOptions::default()).unwrap();
    report.add_invalid(&mut reading.invalid).unwrap();
    report.publish().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_round_through_the_report_loses_anything_of_an_invalid_row(bytes in hostile()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("failures.csv");
        let bytes = [b"user_id,attribute,value\n", &bytes[..]].concat();
        let Ok(mut reading) = read_bytes(&bytes, &ReadOptions::default()) else {
            prop_assert!(oracle::read(&[&bytes], &ReadOptions::default()).refused.is_some());
            return Ok(());
        };
        let without_place = |row| InvalidRow { source: String::new(), line: 0, ..row };
        let first: Vec<_> = invalid(&mut reading).into_iter().map(without_place).collect();
        for options in &hostile_options()[1..] {
            write(&path, &mut reading);
            reading = read_files(std::slice::from_ref(&path), options).unwrap();
            prop_assert!(triples(&reading).is_empty());
            let again: Vec<_> = invalid(&mut reading).into_iter().map(without_place).collect();
            prop_assert_eq!(&again, &first);
        }
    }
}
