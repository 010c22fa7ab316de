//! Headers that are not understood.

use attrsync::input::{Layout, Options};

use super::{check_refused, read_bytes};

const EITHER: &str =
    "`user_id`, `attribute` and `value`, or `user_id` and at least one attribute, are needed";
const START: &str =
    "start the input with a header, as `user_id,attribute,value`, or name its columns with `--columns`";

#[test]
fn missing_columns_are_named_with_a_likely_mapping() {
    check_refused(
        b"\nID;Key;Val\n1;city;a\n",
        &Options::default(),
        &format!("FILE:2: the header has the columns `ID`, `Key`, `Val`, but {EITHER}"),
        Some("name the columns, perhaps `--columns user_id=ID,attribute=Key,value=Val`"),
    );
    check_refused(
        b"1,city,Krak\xc3\xb3w\n",
        &Options::default(),
        &format!("FILE:1: the header has the columns `1`, `city`, `Kraków`, but {EITHER}"),
        Some(START),
    );
}

#[test]
fn a_layout_that_is_asked_for_has_to_be_there() {
    let long = Options { layout: Layout::Long, ..Options::default() };
    check_refused(
        b"user_id,city\n1,a\n",
        &long,
        "FILE:1: the header has the columns `user_id`, `city`, but `user_id`, `attribute` and `value` are needed",
        Some(START),
    );
    let wide = Options { layout: Layout::Wide, ..Options::default() };
    check_refused(
        b"user_id,attribute,value\n1,city,a\n",
        &wide,
        "FILE:1: the header has the columns `user_id`, `attribute`, `value`, but `user_id` and at least one attribute are needed",
        Some("leave out `--layout`"),
    );
}

#[test]
fn an_input_needs_a_header() {
    for empty in [&b""[..], b"\n\r\n", b"\xef\xbb\xbf"] {
        let hint = Some("start the input with a line `user_id,attribute,value`");
        check_refused(empty, &Options::default(), "FILE: is empty: not even a header is there", hint);
    }
    assert_eq!(read_bytes(b"user_id,attribute,value", &Options::default()).unwrap().counts.read, 0);
}

#[test]
fn two_columns_that_mean_the_same_are_refused() {
    let hint = Some("remove or rename one of them");
    check_refused(
        b"user_id,attribute,value,Value\n",
        &Options::default(),
        "FILE:1: the columns `value` and `Value` both hold `value`",
        hint,
    );
    check_refused(
        b"user_id,city,CITY\n",
        &Options::default(),
        "FILE:1: the columns `city` and `CITY` both hold `city`",
        hint,
    );
}

#[test]
fn utf_16_without_a_mark_is_recognised() {
    let text: Vec<u8> = "user_id,attribute,value\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let refusal = read_bytes(&text, &Options::default()).unwrap_err();
    assert_eq!(refusal.hint().as_deref(), Some("name the encoding, as `--encoding utf-16le`"));
    let options = Options { encoding: encoding_rs::UTF_16LE, ..Options::default() };
    assert_eq!(read_bytes(&text, &options).unwrap().counts.read, 0);
}

#[test]
fn a_header_without_end_is_not_read_into_memory() {
    let refusal = read_bytes(&vec![b'x'; 40 << 20], &Options::default()).unwrap_err();
    assert!(refusal.to_string().ends_with(":1: the header does not end within 16777216 bytes"), "{refusal}");
}

#[test]
fn a_column_that_the_options_require_has_to_be_there() {
    let columns = |theirs: &str| Options {
        columns: [(theirs.to_owned(), "user_id".to_owned())].into(),
        required: [theirs.to_owned()].into(),
        ..Options::default()
    };
    check_refused(
        b"user_id;attribute;value\n1;city;a\n",
        &columns("Foo"),
        "FILE:1: the header has the columns `user_id`, `attribute`, `value`, but none for `user_id=Foo`",
        Some("correct `--columns`, or name the column under `[columns]` if not all inputs have it"),
    );
    check_refused(
        b"Customers,city\n1,a\n",
        &columns("customer"),
        "FILE:1: the header has the columns `Customers`, `city`, but none for `user_id=customer`",
        Some("write `user_id=Customers` if that is meant"),
    );
    assert_eq!(read_bytes(b" FOO ,city\n1,a\n", &columns("Foo")).unwrap().sink.0.len(), 1);
    let optional = Options { required: [].into(), ..columns("Foo") };
    assert_eq!(read_bytes(b"user_id,city\n1,a\n", &optional).unwrap().sink.0.len(), 1);
}
