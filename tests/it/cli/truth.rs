//! Afterwards the server holds what a naive reading of the input says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attrsync::sandbox::Options;
use proptest::prelude::*;

use super::{Server, Workdir, users_csv};

/// By user and attribute: the last row's value. Two names of one attribute are one.
fn naive(text: &str) -> BTreeMap<(u64, String), String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column =
        |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name)).unwrap();
    let (user, attribute, value) = (column("user_id"), column("attribute"), column("value"));
    let records = reader.records().map(Result::unwrap);
    let mut last = BTreeMap::new();
    for row in records {
        let (user, name) = (row[user].trim().parse().unwrap(), row[attribute].trim().to_owned());
        match name.as_str() {
            "custom_id" => last.remove(&(user, "user_id".to_owned())),
            "user_id" => last.remove(&(user, "custom_id".to_owned())),
            _ => None,
        };
        last.insert((user, name), row[value].to_owned());
    }
    last
}

/// The naive reading as a sandbox would tell it.
pub(super) fn naive_state(text: &str) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["user_id", "attribute", "value"]).unwrap();
    for ((user, attribute), value) in naive(text) {
        writer.write_record([&user.to_string(), &attribute, &value]).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// The fewest requests that will do: for each attribute and value as many as the ids take.
fn fewest(text: &str, batch_size: usize) -> usize {
    let mut groups: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
    for ((user, attribute), value) in naive(text) {
        groups.entry((attribute, value)).or_default().insert(user);
    }
    groups.values().map(|users| users.len().div_ceil(batch_size)).sum()
}

#[track_caller]
fn check_request_count(server: &Server, text: &str, batch_size: usize) {
    let counters = server.counters();
    assert_eq!((counters.requests, counters.ok), (counters.ok, fewest(text, batch_size) as u64));
}

#[test]
fn the_server_holds_what_the_fixture_says_after_the_fewest_requests() {
    let text = std::fs::read_to_string(users_csv()).unwrap();
    for batch_size in [1000, 7] {
        let (workdir, server) = (Workdir::new(), Server::friendly());
        server.sync(&workdir, &format!("{} --batch-size {batch_size}", users_csv())).exits(0);
        assert_eq!(server.state(), naive_state(&text));
        check_request_count(&server, &text, batch_size);
    }
}

#[test]
fn neither_errors_nor_broken_connections_change_what_the_server_holds() {
    let text = std::fs::read_to_string(users_csv()).unwrap();
    let (workdir, server) = (
        Workdir::new(),
        Server::new(Options { error_rate: 0.2, drop_rate: 0.1, seed: 20_261_123, ..Options::default() }),
    );
    let run = server.sync(&workdir, &format!("{} --max-attempts 40 --summary -", users_csv())).exits(0);
    assert_eq!(server.state(), naive_state(&text));
    assert!(server.counters().faulted > 0);
    assert_eq!(run.requests("acknowledged"), fewest(&text, 1000) as u64);
    assert_eq!(run.requests("sent"), server.counters().requests);
    assert_eq!(run.requests("sent"), run.requests("planned") + run.requests("retried"));
}

#[test]
fn a_server_that_throttles_is_waited_for() {
    let (workdir, server) = (
        Workdir::with_cities(4),
        // So slow that the requests come too soon on a slow machine, too.
        Server::new(Options { rate: Some((1, Duration::from_secs(3))), ..Options::default() }),
    );
    let run = server.sync(&workdir, "users.csv --summary -").exits(0);
    assert_eq!(server.state(), naive_state(&workdir.read("users.csv")));
    assert!(run.requests("throttled") > 0);
    assert_eq!(run.requests("throttled"), server.counters().throttled);
}

#[test]
fn compressed_files_and_the_wide_layout_say_the_same_as_the_long_one() {
    let long = "user_id,attribute,value\n1,city,Oslo\n1,country,Norway\n2,city,Oslo\n";
    let wide = "user_id;city;country\n1;Oslo;Norway\n2;Oslo;\n";
    let workdir = Workdir::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, long.as_bytes()).unwrap();
    workdir.file("long.csv.gz", packed.finish().unwrap());
    workdir.file("wide.csv", wide);
    for input in ["long.csv.gz", "wide.csv"] {
        let server = Server::friendly();
        server.sync(&workdir, input).exits(0);
        assert_eq!(server.state(), naive_state(long), "{input}");
    }
}

/// A table of rows, written as oddly as CSV can be.
fn hostile() -> impl Strategy<Value = String> {
    let user = prop_oneof![
        4 => (1_u64..40).prop_map(|user| user.to_string()),
        1 => (1_u64..40).prop_map(|user| format!(" 00{user}  ")),
        1 => (i64::MAX as u64 - 3..=i64::MAX as u64).prop_map(|user| user.to_string()),
    ];
    let attribute =
        prop::sample::select(vec!["city", " country ", "region", "email", "user_id", "custom_id"]);
    let value = prop_oneof![
        3 => prop::sample::select(vec!["Oslo", "NULL", "null", "007", "a,b", "two\nlines", "\"", "'", "=1+1", "–"])
            .prop_map(str::to_owned),
        1 => "\\PC{1,12}",
        1 => "[ \t\r\n,;\"|\\\\]{1,6}",
    ];
    let rows = prop::collection::vec((user, attribute, value), 1..60);
    let order = Just([0, 1, 2, 3]).prop_shuffle();
    let ends = prop::sample::select(vec![csv::Terminator::CRLF, csv::Terminator::Any(b'\n')]);
    let quotes = prop::sample::select(vec![csv::QuoteStyle::Necessary, csv::QuoteStyle::Always]);
    (rows, order, ends, quotes, any::<bool>()).prop_map(|(rows, order, ends, quotes, marked)| {
        let mut writer =
            csv::WriterBuilder::new().terminator(ends).quote_style(quotes).from_writer(Vec::new());
        let mut write = |fields: [&str; 4]| writer.write_record(order.map(|at| fields[at])).unwrap();
        write(["User_ID", "attribute ", "VALUE", "remark"]);
        for (user, attribute, value) in &rows {
            write([user, attribute, value, "not ours"]);
        }
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        if marked { format!("\u{feff}{text}") } else { text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_server_holds_what_any_input_says(text in hostile(), batch_size in 1_usize..5) {
        let (workdir, server) = (Workdir::new(), Server::friendly());
        let arguments = format!("- --batch-size {batch_size} --summary=summary.json");
        let mut command = assert_cmd::Command::from_std(server.command(&workdir, &arguments));
        command.timeout(super::PATIENCE).write_stdin(text.clone()).assert().success();
        prop_assert_eq!(server.state(), naive_state(&text));
        check_request_count(&server, &text, batch_size);
    }

    #[test]
    fn faults_lose_nothing_of_any_input(text in hostile(), batch_size in 1_usize..5, seed: u64) {
        let options = Options { error_rate: 0.2, drop_rate: 0.1, seed, ..Options::default() };
        let (workdir, server) = (Workdir::new(), Server::new(options));
        let arguments = format!("- --batch-size {batch_size} --max-attempts 40");
        let mut command = assert_cmd::Command::from_std(server.command(&workdir, &arguments));
        command.timeout(super::PATIENCE).write_stdin(text.clone()).assert().success();
        prop_assert_eq!(server.state(), naive_state(&text));
    }
}
