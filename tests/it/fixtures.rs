//! What the main fixture promises to those that use it. `fixtures/users.py` writes it.

#![expect(clippy::unwrap_used, reason = "a fixture that can't be read fails the test, as it should")]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

const STANDARD: [&str; 21] = [
    "assigned_to",
    "city",
    "company_id",
    "country",
    "email",
    "facebook_url",
    "first_name",
    "gender",
    "google_url",
    "gravatar_url",
    "last_name",
    "linkedin_url",
    "notifications",
    "phone_number",
    "region",
    "score",
    "status",
    "timezone",
    "twitter_url",
    "unsubscribed",
    "user_id",
];

struct Row {
    user: u64,
    attribute: String,
    value: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/users.csv");
    let mut reader = csv::Reader::from_path(path).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["user_id", "attribute", "value"]);
    let records = reader.records().map(Result::unwrap);
    records
        .map(|record| Row {
            user: record[0].parse().unwrap(),
            attribute: record[1].to_owned(),
            value: record[2].to_owned(),
        })
        .collect()
}

/// The value that each user's attribute ends with when the last row wins.
fn winners(rows: &[Row]) -> HashMap<(u64, &str), &str> {
    rows.iter().map(|row| ((row.user, row.attribute.as_str()), row.value.as_str())).collect()
}

fn has_type_of(attribute: &str, value: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match attribute {
        "gender" => matches!(value, "1" | "2" | "3"),
        "status" => matches!(value, "1" | "2"),
        "notifications" | "unsubscribed" => matches!(value, "true" | "false"),
        "assigned_to" | "company_id" | "score" => value.parse::<i64>().is_ok_and(|n| n.to_string() == value),
        "first_name" | "last_name" => (1..=40).contains(&value.chars().count()),
        "phone_number" => value
            .strip_prefix('+')
            .is_some_and(|number| all_digits(number) && !number.starts_with('0') && number.len() <= 15),
        "email" => value.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && matches!(host, "example.com" | "example.org") && !value.contains(' ')
        }),
        "timezone" => value.split_once('/').is_some_and(|(area, city)| !area.is_empty() && !city.is_empty()),
        url if url.ends_with("_url") => value.starts_with("https://") && value.contains(".example.com/"),
        _ => !value.is_empty(),
    }
}

#[test]
fn every_standard_attribute_occurs_among_ten_thousand_rows() {
    let rows = rows();
    let attributes: BTreeSet<&str> = rows.iter().map(|row| row.attribute.as_str()).collect();
    assert!(rows.len() >= 10_000, "{} rows", rows.len());
    assert_eq!(attributes, BTreeSet::from(STANDARD));
}

#[test]
fn every_row_is_valid() {
    for row in rows() {
        assert!((1..=i64::MAX as u64).contains(&row.user), "{}", row.user);
        assert!(has_type_of(&row.attribute, &row.value), "{} = {:?}", row.attribute, row.value);
        assert_eq!(row.value.trim(), row.value, "no space around values");
    }
}

#[test]
fn a_percent_or_two_of_the_rows_repeat_another_and_as_many_contradict_one() {
    let rows = rows();
    let mut last: HashMap<(u64, &str), &str> = HashMap::new();
    let (mut duplicates, mut conflicts) = (0, 0);
    for row in &rows {
        match last.insert((row.user, &row.attribute), &row.value) {
            Some(before) if before == row.value => duplicates += 1,
            Some(_) => conflicts += 1,
            None => {}
        }
    }
    let one_to_two_percent = rows.len() / 100..=rows.len() / 50;
    assert!(one_to_two_percent.contains(&duplicates), "{duplicates} duplicates");
    assert!(one_to_two_percent.contains(&conflicts), "{conflicts} conflicts");
}

#[test]
fn the_values_that_break_careless_readers_occur() {
    let rows = rows();
    let is_there = |test: &dyn Fn(&str) -> bool| rows.iter().any(|row| test(&row.value));
    for part in [",", "\"", "\n", "Łódź", "São Paulo", "東京", "Zürich", "Київ", "🌻", "  "] {
        assert!(is_there(&|value| value.contains(part)), "no value has {part:?} in it");
    }
    let keeps_zeros = |value: &str| value.starts_with('0') && value.len() > 1;
    assert!(is_there(&keeps_zeros), "no value starts with a zero that has to be kept");
}

#[test]
fn it_plans_to_three_or_four_hundred_requests_one_group_in_several() {
    let rows = rows();
    let mut groups: HashMap<(&str, &str), usize> = HashMap::new();
    for ((_, attribute), value) in winners(&rows) {
        *groups.entry((attribute, value)).or_default() += 1;
    }
    let requests: usize = groups.values().map(|ids| ids.div_ceil(1000)).sum();
    assert!((300..=400).contains(&requests), "{requests} requests");
    assert!(requests > groups.len(), "no group has more than 1000 ids");
}
