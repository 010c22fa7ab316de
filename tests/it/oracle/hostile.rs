//! Inputs that break careless readers.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

/// Bytes without much sense, made of pieces that mean something to a reader.
pub(crate) fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => select(&[",", "\n", "1", "2", "city", "gender", "\"", "\r\n"][..]).prop_map(str::as_bytes),
        2 => select(&["1,city,a\n", "2,city,\"b\nc\"\n", "3,gender,2\n", "4,email,x\n", "5,city,6\" pipe\n"][..])
            .prop_map(str::as_bytes),
        1 => select(&["\r", " ", "ą", "\u{feff}", "\0", "x", "", "custom", "user_id,attribute,value\n"][..])
            .prop_map(str::as_bytes),
        1 => Just(&b"\xff"[..]),
        1 => select(&[", ,\n", "\"\",\"\"\n", "\u{a0}\n", "\u{1a}", "\"a\" ,"][..])
            .prop_map(str::as_bytes),
    ];
    // Enough rows that a quote before them counts as one that swallows an input.
    let many = prop_oneof![9 => Just(Vec::new()), 1 => Just(b"3,city,a\n3,city,b\n".repeat(51))];
    let pieces = prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat());
    (pieces, many).prop_map(|(pieces, many)| [pieces, many].concat())
}

/// Lines that are nearly rows, so that many of them are valid, and many settle something: a user and an attribute, of
/// which there are few, and a value; or, without attributes, a user and `values` values. The last line may not end.
pub(crate) fn hostile_lines(
    attributes: &'static [&'static str],
    values: usize,
) -> impl Strategy<Value = Vec<u8>> {
    let attribute = match attributes {
        [] => Just(Vec::new()).boxed(),
        names => select(names).prop_map(|name| format!(",{name}").into_bytes()).boxed(),
    };
    let values = prop::collection::vec(value().prop_map(|value| [b",", &value[..]].concat()), values);
    let line = (user(), attribute, values, line_end());
    let line = line.prop_map(|(user, attribute, values, end)| {
        [user.as_bytes(), &attribute, &values.concat(), end.as_bytes()].concat()
    });
    let lines = prop_oneof![12 => line, 1 => hostile().prop_map(|mut bytes| { bytes.truncate(40); bytes })];
    (prop::collection::vec(lines, 0..80), select(&["", "\n", "\"", "\r", "1", "\u{1a}", "\"a"][..]))
        .prop_map(|(lines, last)| [&lines.concat(), last.as_bytes()].concat())
}

/// Few, near each other, at the edges of what numbers hold, anywhere; or none at all.
fn user() -> impl Strategy<Value = String> {
    const EDGES: [u64; 6] = [1, (1 << 16) - 1, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 63) - 1];
    const ODD: [&str; 14] = [
        "007",
        " 5 ",
        "\"8\"",
        "0",
        "000",
        "",
        "-1",
        "+1",
        "1.0",
        "x",
        "ü\"1",
        "9223372036854775808",
        "99999999999999999999",
        "user_id",
    ];
    prop_oneof![
        8 => (1..9_u64).prop_map(|user| user.to_string()),
        2 => (1..300_u64).prop_map(|user| user.to_string()),
        2 => select(&EDGES[..]).prop_map(|user| user.to_string()),
        1 => (1..1_u64 << 63).prop_map(|user| user.to_string()),
        2 => select(&ODD[..]).prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    const FINE: [&str; 8] = ["a", "b", "1", "2", "3", "NULL", "ą", " a "];
    const ODD: [&str; 14] = [
        "6\" pipe",
        "\"a\nb\"",
        "\"a\r\nb\"",
        "\"\n\"",
        "\"a\"\"b\"",
        "\"a,b\"",
        "\"a\"b",
        "\"\"",
        "",
        "\u{feff}",
        "\0",
        "\"open",
        "attribute",
        "value",
    ];
    Union::new_weighted(vec![
        (8, select(&FINE[..]).prop_map(|value| value.as_bytes().to_vec()).boxed()),
        (3, (0..300).prop_map(|value| format!("v{value}").into_bytes()).boxed()),
        (3, select(&ODD[..]).prop_map(|value| value.as_bytes().to_vec()).boxed()),
        (1, Just(b"Krak\xf3w".to_vec()).boxed()),
        (1, Just("ą".repeat(41).into_bytes()).boxed()),
    ])
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just("\n"), 3 => Just("\r\n"), 1 => select(&["\r", "\n\n", "\n\r", ",\n", "", "\"\n", "\n,,\n", "\n \u{1a}\n"][..])]
}
