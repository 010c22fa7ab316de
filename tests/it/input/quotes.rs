//! Quotes, read strictly.

use std::io::Write;
use std::num::NonZeroU64;

use attrsync::input::{InputError, ReadOptions};

use super::{check, check_refused, gzip, invalid, outcome, read_bytes, read_files};

const HEADER: &str = "user_id,attribute,value\n";

#[test]
fn text_after_a_closing_quote_is_invalid_with_all_that_stood_between_the_quotes() {
    check(
        &format!("{HEADER}10,city,\"Rome\n11,city,Oslo\n12,city,\"Bern\"\n13,city,Paris\n"),
        &ReadOptions::default(),
        &["13 city \"Paris\""],
        &[
            "2 text after a closing quote, in a record of 3 lines: 10,city,\"Rome\n11,city,Oslo\n12,city,\"Bern\"",
        ],
    );
    check(
        &format!(
            "{HEADER}10,city,\"He said \"hi\" there\"\n11,city,Rome\n12,city,\"Oslo\" \n13,city,\"10\"x\r\n"
        ),
        &ReadOptions::default(),
        &["11 city \"Rome\""],
        &[
            "2 text after a closing quote: 10,city,\"He said \"hi\" there\"",
            "4 text after a closing quote: 12,city,\"Oslo\" ",
            "5 text after a closing quote: 13,city,\"10\"x",
        ],
    );
    check(
        "user_id,city,country\n10,\"Rome\n11,Oslo,Norway\n12,\"Bern\",Switzerland\n13,Paris,France\n",
        &ReadOptions::default(),
        &["13 city \"Paris\"", "13 country \"France\""],
        &[
            "2 text after a closing quote, in a record of 3 lines: 10,\"Rome\n11,Oslo,Norway\n12,\"Bern\",Switzerland",
        ],
    );
}

#[test]
fn a_quote_that_is_never_closed_keeps_its_text_in_the_report() {
    check(
        &format!("{HEADER}10,city,Oslo\n11,city,\"Rome"),
        &ReadOptions::default(),
        &["10 city \"Oslo\""],
        &["3 a quote is never closed: 11,city,\"Rome"],
    );
    check(
        &format!("{HEADER}10,city,\"Rome\n11,city,Oslo\n12,city,Bern\n"),
        &ReadOptions::default(),
        &[],
        &[
            "2 a quote is never closed: it takes the last 3 lines: 10,city,\"Rome\n11,city,Oslo\n12,city,Bern\n",
        ],
    );
}

#[test]
fn an_open_quote_takes_no_more_than_the_last_hundred_lines() {
    let text = |lines: usize| {
        let taken = "11,city,Oslo\n".repeat(lines - 1);
        format!("{HEADER}9,city,Bern\n10,city,\"Rome\n{taken}")
    };
    let mut reading = read_bytes(text(100).as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!((reading.counts.read, invalid(&mut reading)[0].line), (2, 3));
    for bytes in [text(101).into_bytes(), gzip(text(101).as_bytes())] {
        check_refused(
            &bytes,
            &ReadOptions::default(),
            "FILE:3: a quote that is opened here is never closed: it takes all 101 lines up to the end",
            Some("close the quote, or write it twice within quotes if it is part of the text"),
        );
    }
}

#[test]
fn a_record_beyond_all_measure_is_invalid_and_what_follows_is_read() {
    let long = "x".repeat(17 << 20);
    let mut reading = read_bytes(
        format!("{HEADER}1,city,{long}\n2,city,\"{long}\n\"\n3,city,c\n").as_bytes(),
        &ReadOptions::default(),
    )
    .unwrap();
    assert_eq!(reading.sink.0.len(), 1);
    let rows = invalid(&mut reading);
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3]);
    assert!(
        rows[0].error.starts_with("the record has more than 16 MiB: 1,city,xxx"),
        "{}",
        &rows[0].error[..80]
    );
    assert!(rows[0].error.ends_with(&format!("x… ({} bytes)", long.len() + 7)), "{}", rows[0].error.len());
    assert!(rows[1].error.starts_with("the record has more than 16 MiB, in a record of 2 lines: 2,city,\"x"));
}

#[test]
fn a_quote_means_the_same_to_one_thread_and_to_several() {
    let rows: String = (1..150).map(|user| format!("{user},city,v\n")).collect();
    for middle in
        ["1,city,\"open\n", "1,city,\"a\"b\n", "1,city,\"a\n2,city,b\"\n", "\"\n", "1,city,\"a\nb\"c\"\n"]
    {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(format!("{HEADER}{rows}{middle}{rows}3,city,\"x\"\n").as_bytes()).unwrap();
        let read = |threads| {
            let options = ReadOptions {
                resources: super::threads(threads),
                bytes_per_thread: NonZeroU64::MIN,
                ..ReadOptions::default()
            };
            let read = read_files(&[file.path().to_owned()], &options);
            read.map(outcome)
                .map_err(|refusal| (matches!(refusal, InputError::OpenQuote { .. }), refusal.to_string()))
        };
        let one = read(1);
        for threads in 2..9 {
            assert_eq!(read(threads), one, "{middle:?}, {threads} threads");
        }
    }
}

#[test]
fn a_line_end_in_a_value_that_has_none_in_life_is_warned_of() {
    let warnings = |text: &str| {
        let options =
            ReadOptions { vocabulary: attrsync::input::Vocabulary::Custom, ..ReadOptions::default() };
        let reading = read_bytes(format!("{HEADER}{text}").as_bytes(), &options).unwrap();
        assert_eq!(reading.counts.invalid, 0);
        reading.warnings.into_iter().map(|warning| (warning.what, warning.count)).collect::<Vec<_>>()
    };
    for name in ["city", "first_name", "phone_number", "twitter_url", "email"] {
        let found = warnings(&format!("10,{name},\"a\n11,{name},b\"\n12,{name},\"a\n11,{name},b\"\n"));
        let what = format!(
            "`{name}` has a line end inside: look for a quote that was opened by mistake; it is sent all the same"
        );
        assert_eq!(found, [(what, 2)]);
    }
    assert_eq!(warnings("10,notes,\"a\nb\"\n"), []);
}

#[test]
fn lines_without_content_are_no_rows() {
    let blank = ",,\n\"\",\"\",\"\"\n , , \n  \n\u{a0},,\n\u{1a}\n";
    check(
        &format!("{HEADER}10,country,Poland\n{blank}11,city,Rome\n{blank}12,city\n"),
        &ReadOptions::default(),
        &["10 country \"Poland\"", "11 city \"Rome\""],
        &["16 expected 3 fields, found 2: 12,city"],
    );
    let options = ReadOptions { empty: Some(attrsync::input::Empty::Reject), ..ReadOptions::default() };
    check(
        "user_id;city\n;\n10;a\n\" \";\"\"\n11;\n",
        &options,
        &["10 city \"a\""],
        &["5 `city` has no value"],
    );
}

#[test]
fn the_number_of_fields_is_told_with_what_it_should_be() {
    let mut reading =
        read_bytes(format!("{HEADER}1,city\n2,city,a,\n3,city,a,b\n").as_bytes(), &ReadOptions::default())
            .unwrap();
    let causes: Vec<_> = reading.causes.iter().map(|cause| cause.what.as_str()).collect();
    assert_eq!(
        causes,
        [
            "fewer than 3 fields, the header's number",
            "more than 3 fields, the last of them empty: is there a delimiter at the end?",
            "more than 3 fields, the header's number"
        ]
    );
    assert_eq!(invalid(&mut reading)[1].error, "expected 3 fields, found 4: 2,city,a,");
}

#[test]
fn an_input_that_ends_within_a_line_is_warned_of() {
    for (text, expected) in
        [("10,city,Lon", 1), ("10,city,London\n", 0), ("10,city,London\n\u{1a}", 0), ("", 0)]
    {
        let reading =
            read_bytes(format!("{HEADER}9,city,a\n{text}").as_bytes(), &ReadOptions::default()).unwrap();
        let cut = reading
            .warnings
            .iter()
            .filter(|it| it.what == "the last line has no line end: is the input whole?");
        assert_eq!(cut.map(|it| it.count).sum::<u64>(), expected, "{text:?}");
    }
}

#[test]
fn a_carriage_return_within_a_line_is_warned_of() {
    for (text, expected) in
        [("10,city,a\rb\n11,city,c\n", 1), ("10,city,a\r\n11,city,c\r\n", 0), ("10,city,\"a\rb\"\r\n", 0)]
    {
        let reading =
            read_bytes(format!("{HEADER}9,city,a\n{text}").as_bytes(), &ReadOptions::default()).unwrap();
        let returns =
            reading.warnings.iter().filter(|it| it.what.starts_with("a carriage return within a line"));
        assert_eq!(returns.map(|it| it.count).sum::<u64>(), expected, "{text:?}");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"user_id,attribute,value\r9,city,a\n10,city,b\n").unwrap();
    for threads in 1..3 {
        let options = ReadOptions {
            resources: super::threads(threads),
            bytes_per_thread: NonZeroU64::MIN,
            ..ReadOptions::default()
        };
        let reading = read_files(&[file.path().to_owned()], &options).unwrap();
        let found: Vec<_> = reading.warnings.iter().map(|warning| warning.count).collect();
        assert_eq!(found, [1], "after the header, with {threads} threads");
    }
    let old = "user_id,attribute,value\r9,city,a\r10,city,b\r";
    let reading = read_bytes(old.as_bytes(), &ReadOptions::default()).unwrap();
    assert_eq!((reading.sink.0.len(), reading.warnings), (2, vec![]));
}
