//! Headers that are not understood.

use attrsync::input::{Layout, ReadOptions, UnknownColumns};

use super::{check, check_refused, invalid, read_bytes, triples};

const START: &str =
    "start the input with a header, as `user_id,attribute,value`, or name its columns with `--columns`";

#[test]
fn missing_columns_are_named_with_a_likely_mapping() {
    check_refused(
        b"\nID;Key;Val\n1;city;a\n",
        &ReadOptions::default(),
        "FILE:2: no `user_id` column (found `ID`, `Key`, `Val`)",
        Some("rename the columns, or add `--columns user_id=ID,attribute=Key,value=Val`"),
    );
    check_refused(
        b"1,city,Krak\xc3\xb3w\n",
        &ReadOptions::default(),
        "FILE:1: no `user_id` column (found `1`, `city`, `Kraków`)",
        Some(START),
    );
}

#[test]
fn a_layout_that_is_asked_for_has_to_be_there() {
    let long = ReadOptions { layout: Layout::Long, ..ReadOptions::default() };
    check_refused(
        b"user_id,city\n1,a\n",
        &long,
        "FILE:1: no `attribute` column (found `user_id`, `city`)",
        Some(START),
    );
    let wide = ReadOptions { layout: Layout::Wide, ..ReadOptions::default() };
    check_refused(
        b"user_id,attribute,value\n1,city,a\n",
        &wide,
        "FILE:1: no column that is called as an attribute (found `user_id`, `attribute`, `value`)",
        Some("leave out `--layout`"),
    );
}

#[test]
fn an_input_needs_a_header() {
    for empty in [&b""[..], b"\n\r\n", b"\xef\xbb\xbf"] {
        let hint = Some("start the input with a line `user_id,attribute,value`");
        check_refused(empty, &ReadOptions::default(), "FILE: is empty: not even a header is there", hint);
    }
    assert_eq!(read_bytes(b"user_id,attribute,value", &ReadOptions::default()).unwrap().counts.read, 0);
}

#[test]
fn two_columns_that_mean_the_same_are_refused() {
    let hint = Some("remove or rename one of them");
    check_refused(
        b"user_id,attribute,value,Value\n",
        &ReadOptions::default(),
        "FILE:1: the columns `value` and `Value` both hold `value`",
        hint,
    );
    check_refused(
        b"user_id,city,CITY\n",
        &ReadOptions::default(),
        "FILE:1: the columns `city` and `CITY` both hold `city`",
        hint,
    );
}

#[test]
fn a_line_may_name_the_delimiter_before_the_header() {
    for start in ["sep=;\n", "SEP=;\r\n", "\u{feff}sep=;\r\n", "\"sep=;\"\n", "sep=;;;\n"] {
        let text = format!("{start}user_id;attribute;value\n10;city;a,b\nx;city;c\n");
        let comma = ReadOptions { delimiter: Some(b','), ..ReadOptions::default() };
        for options in [ReadOptions::default(), comma] {
            let mut reading = read_bytes(text.as_bytes(), &options).unwrap();
            assert_eq!(triples(&reading)[0].2.as_deref(), Some("a,b"), "{start:?}");
            assert_eq!((reading.sources[0].delimiter, invalid(&mut reading)[0].line), (b';', 4), "{start:?}");
        }
    }
    let colon = "sep=:\nuser_id:city\n10:a\n";
    assert_eq!(read_bytes(colon.as_bytes(), &ReadOptions::default()).unwrap().sink.0.len(), 1);
}

#[test]
fn what_cannot_be_seen_round_names_and_ids_is_dropped() {
    for text in [
        "\u{feff}\u{feff}user_id,attribute,value\n10,city,a\n",
        "\u{feff}\u{200b}\"user_id\",attribute,value\n10,city,a\n",
        "\u{200b}user_id,\u{a0}attribute ,value\u{feff}\n\u{a0}10\u{200b},\u{2003}city\u{2060},a\n",
    ] {
        check(text, &ReadOptions::default(), &["10 city \"a\""], &[]);
    }
    check(
        "user_id,attribute,value\n1\u{200b}0,city,a\n10,ci\u{ad}ty,a\n",
        &ReadOptions::default(),
        &[],
        &[
            r"2 `user_id` must be a positive whole number, not `1\u{200b}0`",
            r"3 unknown attribute: `ci\u{ad}ty`; did you mean `city`?",
        ],
    );
}

#[test]
fn a_header_below_the_first_line_is_pointed_at() {
    for above in ["Customers,,\n", "Table 1\n", "# exported\n\n", ",,\nCustomers,,\n"] {
        let line = above.matches('\n').count() + 1;
        let refusal = read_bytes(
            format!("{above}user_id,attribute,value\n10,city,a\n").as_bytes(),
            &ReadOptions::default(),
        );
        let expected = format!("the header is on line {line}: remove what stands above it");
        assert_eq!(refusal.unwrap_err().hint().as_deref(), Some(expected.as_str()), "{above:?}");
    }
    check(
        ",,\n , \n\nuser_id,attribute,value\n10,city,a\n",
        &ReadOptions::default(),
        &["10 city \"a\""],
        &[],
    );
}

#[test]
fn quotes_of_another_kind_are_pointed_at() {
    for text in ["'user_id','attribute','value'\n'10','city','Rome'\n", "“user_id”,“city”\n“10”,“Rome”\n"]
    {
        let refusal = read_bytes(text.as_bytes(), &ReadOptions::default()).unwrap_err();
        let hint = "write `\"` round names and values, or nothing: other quotes are part of the text";
        assert_eq!(refusal.hint().as_deref(), Some(hint));
    }
}

#[test]
fn a_header_that_is_not_csv_says_so() {
    let hint = Some("correct the quotes of the header");
    let what = "FILE:1: the header can't be read: text after a closing quote";
    check_refused(b"\"user_id\"x,city\n10,a\n", &ReadOptions::default(), what, hint);
    let what = "FILE:1: the header can't be read: a quote is never closed";
    check_refused(b"user_id,\"city\n10,a\n", &ReadOptions::default(), what, hint);
}

#[test]
fn unknown_columns_of_a_wide_input_are_told_refused_or_ignored() {
    let text = b"user_id,ctiy,newsletter,country,\n10,a,b,Polska,\n";
    let reading = read_bytes(text, &ReadOptions::default()).unwrap();
    let [warning] = &reading.warnings[..] else { panic!("{:?}", reading.warnings) };
    let expected = ": columns are not sent: `ctiy` (did you mean `city`?), `newsletter`";
    assert!(warning.what.ends_with(expected), "{}", warning.what);
    let refuse = ReadOptions { unknown_columns: UnknownColumns::Refuse, ..ReadOptions::default() };
    check_refused(
        text,
        &refuse,
        "FILE:1: no such attribute: `ctiy` (did you mean `city`?), `newsletter`",
        Some(
            "correct the name, ignore the column by `--columns '-=ctiy'`, or add `--allow-custom` if it is an attribute of your own",
        ),
    );
    let ignored = ["ctiy", "Newsletter "].map(|name| (name.to_owned(), ReadOptions::IGNORED.to_owned()));
    let reading = read_bytes(text, &ReadOptions { columns: ignored.into(), ..refuse }).unwrap();
    assert_eq!((reading.counts.read, reading.warnings), (1, vec![]));
}

#[test]
fn a_column_without_a_name_is_warned_of_if_it_has_values() {
    let text = b"user_id,city, ,\n1,a,,\n2,b,x,y\n3,c, ,z\n";
    let reading = read_bytes(text, &ReadOptions::default()).unwrap();
    let [warning] = &reading.warnings[..] else { panic!("{:?}", reading.warnings) };
    assert_eq!(warning.what, "a column without a name is not sent, and has a value");
    assert_eq!((warning.count, reading.counts.read), (3, 3));
    let places: Vec<_> = warning.places.iter().map(|place| (place.line, place.found.as_str())).collect();
    assert_eq!(places, [(3, "x"), (3, "y"), (4, "z")]);
}

#[test]
fn a_header_without_rows_is_warned_of() {
    for text in ["user_id,attribute,value\n", "user_id,city", "user_id,city\n,\n\n"] {
        let reading = read_bytes(text.as_bytes(), &ReadOptions::default()).unwrap();
        let [warning] = &reading.warnings[..] else { panic!("{text:?}: {:?}", reading.warnings) };
        assert!(warning.what.ends_with(": a header, but no rows"), "{}", warning.what);
    }
}

#[test]
fn a_header_without_end_is_not_read_into_memory() {
    let refusal = read_bytes(&vec![b'x'; 40 << 20], &ReadOptions::default()).unwrap_err();
    assert!(refusal.to_string().ends_with(":1: the header does not end within 16777216 bytes"), "{refusal}");
}

#[test]
fn a_column_that_the_options_require_has_to_be_there() {
    let columns = |theirs: &str| ReadOptions {
        columns: [(theirs.to_owned(), "user_id".to_owned())].into(),
        required: [theirs.to_owned()].into(),
        ..ReadOptions::default()
    };
    check_refused(
        b"user_id;attribute;value\n1;city;a\n",
        &columns("Foo"),
        "FILE:1: no column for `user_id=Foo` (found `user_id`, `attribute`, `value`)",
        Some("correct `--columns`, or name the column under `[columns]` if not all inputs have it"),
    );
    check_refused(
        b"Customers,city\n1,a\n",
        &columns("customer"),
        "FILE:1: no column for `user_id=customer` (found `Customers`, `city`)",
        Some("write `user_id=Customers` if that is meant"),
    );
    assert_eq!(read_bytes(b" FOO ,city\n1,a\n", &columns("Foo")).unwrap().sink.0.len(), 1);
    let optional = ReadOptions { required: [].into(), ..columns("Foo") };
    assert_eq!(read_bytes(b"user_id,city\n1,a\n", &optional).unwrap().sink.0.len(), 1);
}
