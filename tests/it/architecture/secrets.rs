//! Where the text of a secret is used. Each place has to see to it that no copy of it stays in memory, and that nothing shows
//! it. `docs/security.md` says so to users.

use std::collections::BTreeMap;
use std::fs;

use super::scanner::{blank, tokens};
use super::{is_tests, root, sources};

/// The files that use the text of a secret, and how often.
const USES: [(&str, usize); 5] = [
    // Checks that the key can be one.
    ("src/config/token.rs", 1),
    // An address is typed or read, and checked.
    ("src/config/monitoring.rs", 2),
    // A request goes to it.
    ("src/cli/monitor.rs", 2),
    // The header, and what takes the key out of answers.
    ("src/deliver/http/mod.rs", 3),
    // The driver needs the password, and two addresses are the same only if it is.
    ("src/ledger/postgres/address/mod.rs", 2),
];

/// Reads of a file or a variable that holds a secret leave a copy, unless they are these.
const READS: [(&str, &[&str]); 3] = [
    ("src/config/token.rs", &["fs", "::", "read"]),
    ("src/config/monitoring.rs", &["read_to_string"]),
    ("src/config/ledger.rs", &["read_to_string"]),
];

#[test]
fn secrets_are_exposed_only_where_that_has_been_thought_about() {
    let mut found = BTreeMap::new();
    for file in sources("src").into_iter().filter(|file| !is_tests(file)) {
        let code = blank(&fs::read_to_string(root().join(&file)).unwrap());
        let uses = tokens(&code).windows(2).filter(|pair| pair[0].text == "expose_secret").count();
        if uses > 0 {
            found.insert(file, uses);
        }
    }
    let known = USES.map(|(file, uses)| (file.to_owned(), uses));
    assert_eq!(found, BTreeMap::from(known), "`expose_secret` in src");
}

#[test]
fn files_with_secrets_are_read_by_what_overwrites_them() {
    for (file, read) in READS {
        let code = blank(&fs::read_to_string(root().join(file)).unwrap());
        let tokens = tokens(&code);
        let is_read = |at: usize| super::starts_with(&tokens[at..], read);
        assert!(!(0..tokens.len()).any(is_read), "{file}: use `secret_file` instead of `{}`", read.concat());
    }
}
