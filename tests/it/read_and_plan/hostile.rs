//! Inputs that break careless readers.

use attrsync::input::{Compression, Empty, IdType, ReadOptions, Vocabulary};
use attrsync::plan::OnConflict;
use proptest::prelude::*;

use super::{Task, variants};
use crate::oracle::{hostile, hostile_lines};

const NAMES: [&str; 13] = [
    "city",
    "gender",
    "email",
    "score",
    "first_name",
    "user_id",
    "custom_id",
    " city ",
    "City\u{a0}",
    "shoe",
    "color",
    "contry",
    "",
];

fn any_options() -> impl Strategy<Value = ReadOptions> {
    let id_type = prop::sample::select(&[IdType::Id, IdType::CustomId][..]);
    let vocabulary = prop::sample::select(&[Vocabulary::Standard, Vocabulary::Custom][..]);
    let empty = prop::sample::select(&[None, Some(Empty::Reject), Some(Empty::Skip), Some(Empty::Send)][..]);
    let null_token = prop::sample::select(&[None, Some("NULL")][..]);
    (id_type, vocabulary, empty, null_token).prop_map(|(id_type, vocabulary, empty, null_token)| {
        ReadOptions {
            id_type,
            vocabulary,
            empty,
            null_token: null_token.map(str::to_owned),
            ..ReadOptions::default()
        }
    })
}

/// A file or two with this header.
fn any_task(header: &'static str, lines: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Task> {
    let file = lines.prop_map(move |lines| [header.as_bytes(), b"\n", &lines].concat());
    let compression = prop_oneof![4 => Just(Compression::None), 1 => Just(Compression::Gzip)];
    let policies = [OnConflict::Last, OnConflict::First, OnConflict::Error];
    let on_conflict = prop::sample::select(policies.to_vec());
    (prop::collection::vec(file, 1..3), compression, any_options(), on_conflict, 1..9_u32).prop_map(
        |(files, compression, options, on_conflict, batch_size)| Task {
            files,
            compression,
            options,
            on_conflict,
            batch_size,
        },
    )
}

fn any_memory() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_000_u64, 1_000..100_000_u64]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn rows_are_planned_as_by_the_oracle_whatever_stands_between_them(
        task in any_task("user_id,attribute,value", hostile_lines(&NAMES, 1)),
        threads in 2..5_usize,
        memory in any_memory(),
    ) {
        task.check(&variants(threads, memory));
    }

    #[test]
    fn cells_are_planned_as_by_the_oracle_whatever_stands_between_them(
        task in any_task("user_id,city,gender,shoe,email", hostile_lines(&[], 4)),
        threads in 2..5_usize,
        memory in any_memory(),
    ) {
        task.check(&variants(threads, memory));
    }

    #[test]
    fn bytes_without_sense_are_planned_as_by_the_oracle(
        task in any_task("user_id,attribute,value", hostile()),
        threads in 2..5_usize,
        memory in any_memory(),
    ) {
        task.check(&variants(threads, memory));
    }
}

/// Moves the middle of a file, where it is divided between two threads, over every byte of `middle`.
fn divide_everywhere(middle: &str) {
    let variants = variants(2, 1_000);
    let around = |first: u32| -> String {
        let line = |user| format!("{user},city,v{}\r\n{user},region,\"a\nb\"\n", user % 3);
        (first..first + 4).map(line).collect()
    };
    let (before, after) = (around(1), around(3));
    for padding in 0..2 * middle.len() {
        let blank = "\n".repeat(padding);
        for rows in [format!("{blank}{before}{middle}{after}"), format!("{before}{middle}{after}{blank}")] {
            let task = Task { batch_size: 2, ..Task::new(rows.as_bytes()) };
            task.check(if padding == 0 { &variants } else { &variants[1..2] });
        }
    }
}

#[test]
fn a_file_can_be_divided_at_any_byte_of_a_quoted_value() {
    divide_everywhere("1,city,\"x\n2,city,y\r\n\n\"\"3,city,z\"\"\n4,city,\"\n");
}

#[test]
fn a_file_can_be_divided_at_any_byte_of_stray_quotes() {
    divide_everywhere("1,city,6\" pipe\n2,city,\"a\"b\n\"3\",\"city\",c\n4,city,\"d\"\"\n\"\n5,city,12\"\n");
}

#[test]
fn a_file_can_be_divided_at_any_byte_of_a_quote_that_is_never_closed() {
    divide_everywhere("1,city,a\n2,city,\"b\n3,city,c\n4,city,d\n");
}

#[test]
fn a_file_can_be_divided_at_any_byte_of_what_is_no_row() {
    divide_everywhere(
        "1,city\n\n\r\n1,city,a,b\nuser_id,attribute,value\n\"\r\",,\n0,city,a\r1,city,\u{feff}\n",
    );
}
