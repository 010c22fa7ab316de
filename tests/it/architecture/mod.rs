//! The architecture, kept by tests: which layer may use which, who may print, what lies where, how long files are.

#![expect(clippy::unwrap_used, reason = "a source file that can't be read fails the test, as it should")]

mod crates;
pub(crate) mod scanner;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use scanner::{Use, blank, starts_with, tokens, uses};

/// Each layer uses only those before it.
const LAYERS: [&str; 10] =
    ["clock", "spill", "input", "plan", "deliver", "ledger", "report", "config", "cli", "main"];

/// Stands outside the order: it uses no layer, so that what it answers is no echo of what the program believes.
const SANDBOX: &str = "sandbox";

/// Who may start the sandbox.
const SANDBOX_USERS: [&str; 3] = ["config", "cli", "main"];

/// Who may print, exit and read the environment.
const OUTSIDE: [&str; 3] = ["config", "cli", "main"];

/// What only those may do, as tokens.
const FOR_THE_OUTSIDE: [&[&str]; 8] = [
    &["print", "!"],
    &["println", "!"],
    &["eprint", "!"],
    &["eprintln", "!"],
    &["dbg", "!"],
    &["process", "::", "exit"],
    &["std", "::", "env"],
    &["env", "::"],
];

const TOP_LEVEL: [&str; 16] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deny.toml",
    "config.example.toml",
    "Dockerfile",
    "docs",
    "src",
    "tests",
    "fixtures",
    "benches",
    "fuzz",
    "packaging",
];

const MOST_LINES: usize = 500;

#[test]
fn layers_use_only_what_stands_left_of_them() {
    let mut offences = Vec::new();
    let mut uses_between_layers = 0;
    for file in sources("src") {
        let source = fs::read_to_string(root().join(&file)).unwrap();
        offences.extend(layering(&file, &source));
        uses_between_layers += uses(&tokens(&blank(&source)), depth(&file)).len();
    }
    assert!(uses_between_layers > 0, "the scanner no longer sees any path between layers");
    assert_none(&offences);
}

#[test]
fn the_library_prints_nothing_never_exits_and_reads_no_environment() {
    let offences = sources("src").into_iter().flat_map(|file| {
        let source = fs::read_to_string(root().join(&file)).unwrap();
        printing(&file, &source)
    });
    assert_none(&offences.collect::<Vec<_>>());
}

#[test]
fn the_top_level_holds_only_what_was_agreed() {
    let agreed =
        |name: &str| TOP_LEVEL.contains(&name) || name.starts_with('.') || name.starts_with("LICENSE");
    let offences = top_level().into_iter().filter(|name| !agreed(name)).map(|name| {
        format!("{name}: is not among what the top level was agreed to hold: move it, or don't track it")
    });
    assert_none(&offences.collect::<Vec<_>>());
}

#[test]
fn no_source_file_is_too_long_to_be_read_in_one_go() {
    let files = ["src", "tests", "benches", "fuzz"].into_iter().flat_map(sources);
    let offences = files.filter_map(|file| {
        let lines = fs::read_to_string(root().join(&file)).unwrap().lines().count();
        let too_long = || format!("{file}:{lines}: more than {MOST_LINES} lines: divide it by what it knows");
        (lines > MOST_LINES).then(too_long)
    });
    assert_none(&offences.collect::<Vec<_>>());
}

fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder, as paths from the root with `/` between their parts.
pub(crate) fn sources(folder: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let from_root = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    found.iter().map(from_root).collect()
}

/// What git tracks, or where there is no git, all there is but the build's.
fn top_level() -> BTreeSet<String> {
    let tracked = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z"]).output();
    match tracked {
        Ok(listing) if root().join(".git").exists() && listing.status.success() => {
            let paths = String::from_utf8(listing.stdout).unwrap();
            let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
            paths.split_terminator('\0').map(first).collect()
        }
        _ => {
            let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
            names.map(|name| name.into_string().unwrap()).filter(|name| name != "target").collect()
        }
    }
}

/// The layer of a file below `src`; `lib` for the crate's root.
fn layer(file: &str) -> &str {
    let below = file.strip_prefix("src/").unwrap();
    below.split('/').next().unwrap().trim_end_matches(".rs")
}

/// How many modules enclose the text of a file.
fn depth(file: &str) -> usize {
    let parts = file.split('/').count() - 1;
    let is_its_folder = ["/mod.rs", "/lib.rs", "/main.rs"].iter().any(|name| file.ends_with(name));
    parts - usize::from(is_its_folder)
}

/// Where tests stand apart from what they test, they are still tests.
fn is_tests(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

fn layering(file: &str, source: &str) -> Vec<String> {
    let from = layer(file);
    if from == "lib" || is_tests(file) {
        return Vec::new();
    }
    if from != SANDBOX && !LAYERS.contains(&from) {
        return vec![format!(
            "{file}:1: `{from}` is no layer: move it into one, or give it a place in `LAYERS`"
        )];
    }
    let offence = |&Use { line, name: to }: &Use<'_>| {
        let rank = |layer| LAYERS.iter().position(|name| *name == layer);
        let advice = if from == to {
            return None;
        } else if from == SANDBOX {
            format!("the sandbox uses no layer, but `{to}` is one: write what it needs there again")
        } else if to == SANDBOX {
            if SANDBOX_USERS.contains(&from) {
                return None;
            }
            format!("`{from}` uses the sandbox: only {SANDBOX_USERS:?} do")
        } else if rank(to).is_none() {
            format!("`{to}` is no layer: name what you use by the layer that it belongs to")
        } else if rank(to) < rank(from) {
            return None;
        } else {
            format!(
                "`{from}` uses `{to}`, which stands right of it: take what you need as a value, or move it left"
            )
        };
        Some(format!("{file}:{line}: {advice}"))
    };
    uses(&tokens(&blank(source)), depth(file)).iter().filter_map(offence).collect()
}

fn printing(file: &str, source: &str) -> Vec<String> {
    if OUTSIDE.contains(&layer(file)) || is_tests(file) {
        return Vec::new();
    }
    let code = blank(source);
    let tokens = tokens(&code);
    let found = (0..tokens.len()).filter_map(|at| {
        let banned = FOR_THE_OUTSIDE.iter().find(|banned| starts_with(&tokens[at..], banned))?;
        Some((tokens[at].line, banned.concat()))
    });
    let by_line: BTreeMap<usize, String> = found.collect();
    let advice = |(line, banned)| {
        format!("{file}:{line}: `{banned}` is for {OUTSIDE:?} alone: return it as a value, or take it as one")
    };
    by_line.into_iter().map(advice).collect()
}

mod rules {
    use super::{layering, printing};

    /// Checks the lines of a file of `plan` on which the scanner sees an offence.
    #[track_caller]
    fn check(lines: &[usize], source: &str) {
        let file = "src/plan/store.rs";
        let found = layering(file, source).into_iter().chain(printing(file, source));
        let line = |offence: &String| offence.split(':').nth(1).unwrap().parse::<usize>().unwrap();
        let found: Vec<String> = found.collect();
        assert_eq!(found.iter().map(line).collect::<Vec<_>>(), lines, "{found:#?}");
    }

    #[test]
    fn catches_what_stands_right_however_it_is_named() {
        check(&[1], "use crate::report::Tally;");
        check(&[1], "pub(crate) use attrsync::deliver::{Event, Outcome};");
        check(&[2, 4], "use crate::{\n    cli,\n    input::{Row, Sink},\n    ledger::Ledger,\n};");
        check(&[1], "use super::super::report;");
        check(&[2], "fn f() {\n    let tally: crate::report::Tally = todo();\n}");
        check(&[2], "mod inner {\n    use super::super::super::report::Tally;\n}");
        check(&[1], "fn f(c: char) -> bool { c == '\"' || c == '\\'' || crate::cli::run() }");
        check(&[1], "fn f<'a>(x: &'a crate::report::Tally) {}");
    }

    #[test]
    fn catches_what_hides_the_layer() {
        check(&[1], "use crate::*;");
        check(&[1], "use crate::{self, plan};");
        check(&[1], "use crate::Tally;");
    }

    #[test]
    fn lets_pass_what_stands_left_or_inside() {
        check(&[], "use crate::clock::monotonic_now; use crate::input::{Row, Sink}; use crate::plan::Batch;");
        check(&[], "use super::report; use super::{cli, ledger}; use self::report::x;");
        check(&[], "mod inner { use super::super::report::Tally; }");
        check(&[], "pub(crate) fn f() {} pub(in crate::plan) fn g() {}");
    }

    #[test]
    fn passes_over_comments_literals_and_tests() {
        check(&[], "//! [`crate::report`]\n/* use crate::cli; /* nested */ println!() */");
        check(
            &[],
            "const A: &str = \"use crate::cli; \\\" println!()\"; const B: &str = r#\"crate::cli::\"x\"#;",
        );
        check(&[2], "const A: &str = \"\n\"; use crate::cli;");
        check(&[3], "#[cfg(test)]\nmod tests { use crate::cli; fn f() { println!() } }\nuse crate::report;");
        check(&[2], "#[cfg(test)] mod tests;\nuse crate::report;");
        check(&[], "#[cfg(test)]\n#[path = \"x.rs\"]\nuse crate::{cli, report};");
    }

    #[test]
    fn catches_printing_exits_and_the_environment() {
        check(&[1, 2], "fn f() { println!(\"x\");\n eprintln!(\"x\") }");
        check(&[1], "fn f() -> ! { std::process::exit(1) }");
        check(&[1, 2], "use std::env;\nfn f() { env::var(\"HOME\") }");
        check(&[], "const VERSION: &str = env!(\"CARGO_PKG_VERSION\");");
        assert!(printing("src/cli/mod.rs", "fn f() { println!() }").is_empty());
    }

    #[test]
    fn keeps_the_sandbox_apart() {
        let offences = |file, source| layering(file, source).len();
        assert_eq!(offences("src/sandbox/server.rs", "use crate::clock; use super::Fault;"), 1);
        assert_eq!(offences("src/sandbox/server.rs", "use crate::sandbox::Fault;"), 0);
        assert_eq!(offences("src/deliver/mod.rs", "use crate::sandbox;"), 1);
        assert_eq!(offences("src/cli/mod.rs", "use crate::sandbox;"), 0);
    }

    #[test]
    fn wants_a_place_for_every_module() {
        assert_eq!(layering("src/helpers.rs", "").len(), 1);
        assert!(layering("src/lib.rs", "pub use crate::cli::run;").is_empty());
        assert_eq!(layering("src/clock.rs", "use super::input;").len(), 1);
    }
}
