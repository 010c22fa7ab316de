//! The tests that there are, by their paths, as the sources have them.

use std::collections::BTreeSet;
use std::fs;

use super::super::super::project;
use crate::architecture::scanner::{Token, all_tokens, blank, starts_with};
use crate::architecture::sources;

/// `it::…` for those in `tests/it`; the path in the library for those in `src`.
pub(super) fn all() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        let source = fs::read_to_string(project(&file)).unwrap();
        names.extend(in_file(&module(&file), &source));
    }
    names
}

/// The path of the module in a file.
fn module(file: &str) -> Vec<String> {
    let parts = file.trim_end_matches(".rs").split('/').skip(1);
    parts.filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned).collect()
}

fn in_file(module: &[String], source: &str) -> Vec<String> {
    let code = blank(source);
    let mut found = Vec::new();
    // What each brace that is open belongs to, if it is a module.
    let mut braces: Vec<Option<&str>> = Vec::new();
    let mut rest = &all_tokens(&code)[..];
    let mut is_test = false;
    while let Some((token, later)) = rest.split_first() {
        let path = |names: &[&str]| {
            let inside = braces.iter().flatten().copied().chain(names.iter().copied());
            module.iter().map(String::as_str).chain(inside).collect::<Vec<_>>().join("::")
        };
        let mut next = later;
        match token.text {
            "#" if starts_with(later, &["["]) => {
                let (attribute, after) = later.split_at(attribute_len(later));
                is_test |= is_test_attribute(attribute);
                next = after;
            }
            "mod" => {
                if let [name, brace, after @ ..] = later
                    && brace.text == "{"
                {
                    braces.push(Some(name.text));
                    next = after;
                }
                is_test = false;
            }
            "{" => braces.push(None),
            "}" => drop(braces.pop()),
            "fn" if is_test => {
                found.extend(later.first().map(|name| path(&[name.text])));
                is_test = false;
            }
            // A macro that makes a test of each function for each store.
            "in_each_store" if starts_with(later, &["!", "{"]) => {
                let names = later.iter().skip(2).take_while(|token| token.text != "}");
                for name in names.filter(|token| token.text != ",") {
                    found.extend(["in_a_file", "in_postgres"].map(|store| path(&[store, name.text])));
                }
            }
            _ => {}
        }
        rest = next;
    }
    found
}

fn is_test_attribute(attribute: &[Token<'_>]) -> bool {
    starts_with(attribute, &["[", "test", "]"]) || starts_with(attribute, &["[", "tokio", "::", "test"])
}

/// How many tokens there are from `[` to its `]`.
fn attribute_len(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    let end = tokens.iter().position(|token| {
        match token.text {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.map_or(tokens.len(), |end| end + 1)
}

#[test]
fn tests_are_found_by_their_paths() {
    let source = "fn helper() { if x {} }\n#[cfg(test)]\nmod tests {\n    // #[test] fn none() {}\n    #[test]\n    \
                  #[expect(a, reason = \"[\")]\n    fn one() { let a = [1]; }\n    proptest! {\n        #[test]\n        fn two(a in 1..2) {}\n    }\n    \
                  fn helper() {}\n    #[tokio::test(start_paused = true)]\n    async fn three() {}\n}\nin_each_store! { four, five, }\n";
    let found = in_file(&module("src/plan/mod.rs"), source);
    let expected = [
        "plan::tests::one",
        "plan::tests::two",
        "plan::tests::three",
        "plan::in_a_file::four",
        "plan::in_postgres::four",
        "plan::in_a_file::five",
        "plan::in_postgres::five",
    ];
    assert_eq!(found, expected);
    assert_eq!(module("tests/it/cli/kept.rs"), ["it", "cli", "kept"]);
}
