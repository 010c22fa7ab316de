//! Every sentence of the documents is true because a test says so.
//!
//! `tests/promises` has a file for each page: its sentences in their order, and below each the tests that fail if it is
//! no longer true. The checks here keep these files complete. That a test does fail is for people to see to.
//!
//! ```text
//! # A comment.
//! The sentence as it stands in the page, on one line, without emphasis and without the targets of links.
//!     it::cli::kept::a_test_in_tests_it
//!     deliver::limiter::tests::a_test_in_src
//! A long sentence may be cut with …
//!     untested: why no test here can check it
//! - A sentence that explains and promises nothing …
//! ```

mod sentences;
mod test_names;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::super::project;
use super::Page;

/// Pages without a table, and why they have none.
const WITHOUT_TABLE: [(&str, &str); 2] = [
    ("docs/architecture.md", "it is for those who change the program"),
    ("docs/limits.md", "it has measured figures, which `benches/limits.py` measures again"),
];

const WHAT_TO_DO: &str = "\
Write each sentence into its file in `tests/promises`, and below it, indented, the tests that fail if it is not true:
`it::cli::…` for one in `tests/it`, `deliver::…` for one in `src`. If there is none, write it. If a sentence only explains
something, write `- ` before it.";

/// A sentence in a table, and what is said of it.
struct Row {
    line: usize,
    sentence: String,
    kind: Kind,
}

enum Kind {
    /// Tests, and reasons why there is none.
    Promise(Vec<Proof>),
    Explains,
}

enum Proof {
    Test(String),
    Untested(String),
}

/// The rows about one page.
struct Table {
    name: String,
    rows: Vec<Row>,
}

impl Table {
    /// Nothing if the page has no table.
    fn of(page: &Page) -> Option<Self> {
        let page = page.name();
        let name = page.trim_start_matches("docs/").trim_end_matches(".md");
        let name = format!("tests/promises/{name}.txt");
        let text = fs::read_to_string(project(&name)).ok()?;
        Some(Self { rows: rows(&text), name })
    }
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(proof) = text.strip_prefix("    ") {
            let Some(Row { kind: Kind::Promise(proofs), .. }) = rows.last_mut() else {
                panic!("line {line}: `{proof}` stands below no promise");
            };
            let untested = proof.strip_prefix("untested: ").map(|why| Proof::Untested(why.to_owned()));
            proofs.push(untested.unwrap_or_else(|| Proof::Test(proof.to_owned())));
            continue;
        }
        let (sentence, kind) = match text.strip_prefix("- ") {
            Some(sentence) => (sentence, Kind::Explains),
            None => (text, Kind::Promise(Vec::new())),
        };
        rows.push(Row { line, sentence: sentence.to_owned(), kind });
    }
    rows
}

/// Whether a row means this sentence. `…` stands for any text.
fn is_meant(pattern: &str, sentence: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| sentence.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        (rest, last) = (after, Some(part));
    }
    match last {
        None => rest.is_empty(),
        Some(end) => sentence.ends_with(end),
    }
}

fn tables() -> Vec<(Page, Table)> {
    let with_table = |page: Page| Table::of(&page).map(|table| (page, table));
    Page::all().into_iter().filter_map(with_table).collect()
}

#[track_caller]
fn assert_none(offences: &[String], what_to_do: &str) {
    assert!(offences.is_empty(), "\n{}\n\n{what_to_do}\n", offences.join("\n"));
}

#[test]
fn every_sentence_of_the_documents_is_in_a_table() {
    let (mut offences, mut checked) = (Vec::new(), 0);
    for (page, table) in tables() {
        for sentence in sentences::of(&page) {
            checked += 1;
            if !table.rows.iter().any(|row| is_meant(&row.sentence, &sentence)) {
                offences.push(format!("{}: not in {}:\n{sentence}", page.name(), table.name));
            }
        }
    }
    assert_none(&offences, WHAT_TO_DO);
    assert!(checked > 500, "{checked} sentences");
}

#[test]
fn every_row_is_about_one_sentence_of_its_page() {
    let mut offences = Vec::new();
    for (page, table) in tables() {
        let sentences = sentences::of(&page);
        for row in &table.rows {
            let meant = sentences.iter().filter(|sentence| is_meant(&row.sentence, sentence)).count();
            if meant != 1 {
                let Row { line, sentence, .. } = row;
                offences.push(format!(
                    "{}:{line}: {} has {meant} such sentences: {sentence}",
                    table.name,
                    page.name()
                ));
            }
        }
    }
    assert_none(
        &offences,
        "If a page says something else now, look at the tests below the row again, and correct the row.",
    );
}

#[test]
fn every_test_that_a_table_names_is_there() {
    let names = test_names::all();
    assert!(names.len() > 500, "{} tests", names.len());
    let (mut offences, mut named) = (Vec::new(), BTreeSet::new());
    for (_, table) in tables() {
        for Row { line, sentence, kind } in table.rows {
            let Kind::Promise(proofs) = kind else { continue };
            let mut offend = |what: &str| offences.push(format!("{}:{line}: {what}: {sentence}", table.name));
            if proofs.is_empty() {
                offend("no test is named");
            }
            for proof in proofs {
                match proof {
                    Proof::Test(test) if names.contains(&test) => {
                        named.insert(test);
                    }
                    Proof::Test(test) => offend(&format!("there is no test `{test}`")),
                    Proof::Untested(why) if why.len() > 10 => {}
                    Proof::Untested(_) => offend("it says not why there is no test"),
                }
            }
        }
    }
    assert_none(
        &offences,
        "Name tests by their path, such as `it::cli::kept::a_link_to_a_ledger_is_that_ledger`.",
    );
    assert!(named.len() > 200, "{} tests are named", named.len());
}

#[test]
fn every_page_has_a_table_or_a_reason_for_none() {
    let without: BTreeMap<_, _> = WITHOUT_TABLE.into();
    for page in Page::all() {
        let (name, has_table) = (page.name(), Table::of(&page).is_some());
        assert_eq!(
            !has_table,
            without.contains_key(name.as_str()),
            "{name}: write `tests/promises`, or say why not"
        );
    }
}

#[test]
fn a_row_may_cut_a_sentence() {
    let sentence = "Two runs can't use it. Or can they?";
    for pattern in [sentence, "Two runs …", "Two … use … they?", "… they?", "…"] {
        assert!(is_meant(pattern, sentence), "{pattern}");
    }
    for pattern in ["Two runs", "… they", "runs …", "Two … one …"] {
        assert!(!is_meant(pattern, sentence), "{pattern}");
    }
}
