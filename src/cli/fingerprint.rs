//! Which runs are the same command.
//!
//! An unfinished run is continued by the same command. These settings are compared, because they decide which value a
//! user gets. Each is in one form, however it was spelled, and left out if it is the default:
//!
//! | name | what it holds |
//! |---|---|
//! | `inputs` | the inputs in order: absolute paths without links, `-` for standard input that is not a file |
//! | `columns` | the header's names for ours, where they differ, and those to ignore |
//! | `attributes` | types and maps of attributes |
//! | `null_token` | the value that clears an attribute |
//! | `empty` | `send`; rejecting and skipping send nothing, either of them |
//! | `allow_custom` | `true` |
//! | `on_conflict` | `first` or `error` |
//!
//! The account and the type of ids are compared apart from these. What is not compared either says how to read an input
//! (layout, delimiter, encoding), when to refuse it, or how to send: a run that is continued with another pace or
//! other batches sends the same. Other settings continue a run, too, if the plan that they make is the same.
//!
//! The names and forms are kept in ledgers: to change one is to change the version in
//! [`ledger`](crate::ledger::Fingerprint).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::config::Settings;
use crate::input::{AttributeRule, Empty, JsonType, ReadOptions, Source, Vocabulary, is_failures_report};
use crate::ledger::{Fingerprint, INPUTS};
use crate::plan::OnConflict;

/// The path of standard input, for users who name it as a file.
const STDIN: &str = "/dev/stdin";

/// The fingerprint of a run with these settings.
pub(super) fn fingerprint(settings: &Settings) -> Fingerprint {
    // Every field is named, so that adding one makes you decide whether it belongs here.
    let ReadOptions {
        columns,
        attributes,
        null_token,
        empty,
        vocabulary,
        layout: _,
        delimiter: _,
        encoding: _,
        required: _,
        unknown_columns: _,
        id_type: _,
        bytes_per_thread: _,
        resources: _,
        progress: _,
    } = &settings.input;
    let renamed: Map<String, Value> = columns
        .iter()
        .filter(|(theirs, ours)| theirs != ours)
        .map(|(theirs, ours)| (theirs.clone(), json!(ours)))
        .collect();
    let rules: Map<String, Value> = attributes
        .iter()
        .filter(|(_, rule)| **rule != AttributeRule::default())
        .map(|(name, rule)| (name.clone(), spelled(rule)))
        .collect();
    let places: Vec<PathBuf> = settings.inputs.iter().map(place).collect();
    let names: Vec<_> = places.iter().map(|place| place.to_string_lossy()).collect();
    let object = |map: Map<String, Value>| (!map.is_empty()).then(|| Value::from(map).to_string());
    let fingerprint = Fingerprint::of([
        (INPUTS, Some(json!(names).to_string())),
        ("columns", object(renamed)),
        ("attributes", object(rules)),
        ("null_token", null_token.clone()),
        ("empty", (*empty == Some(Empty::Send)).then(|| "send".to_owned())),
        ("allow_custom", (*vocabulary == Vocabulary::Custom).then(|| "true".to_owned())),
        ("on_conflict", on_conflict(settings.on_conflict).map(str::to_owned)),
    ]);
    if places.iter().all(|place| is_report(place)) { fingerprint.of_reports() } else { fingerprint }
}

/// Which settings are others, in words.
pub(super) fn differing(names: &[String]) -> String {
    let words = |name: &String| match name.as_str() {
        INPUTS => "its inputs".to_owned(),
        "attributes" => "`[attributes]` in the configuration file".to_owned(),
        name => format!("`--{}`", name.replace('_', "-")),
    };
    let words: Vec<_> = names.iter().map(words).collect();
    format!("{} differ{}", words.join(", "), if words.len() == 1 && names[0] != INPUTS { "s" } else { "" })
}

/// An input, however it was named.
fn place(source: &Source) -> PathBuf {
    let path = match source {
        Source::Stdin => Path::new(STDIN),
        Source::File(path) => path,
    };
    let is_stdin = || [STDIN, "/dev/fd/0", "/proc/self/fd/0"].map(Path::new).contains(&path);
    match path.canonicalize() {
        Ok(path) => path,
        // A pipe has no path.
        Err(_) if is_stdin() => PathBuf::from("-"),
        Err(_) => path.to_owned(),
    }
}

/// Whether the file is a failures report. A pipe can't be read a second time to find out.
fn is_report(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file()) && is_failures_report(path).unwrap_or(false)
}

fn spelled(AttributeRule { json, map }: &AttributeRule) -> Value {
    let kind = match json {
        JsonType::String => "string",
        JsonType::Integer => "integer",
        JsonType::Float => "float",
        JsonType::Boolean => "boolean",
    };
    json!({ "type": kind, "map": map })
}

fn on_conflict(on_conflict: OnConflict) -> Option<&'static str> {
    match on_conflict {
        OnConflict::Last => None,
        OnConflict::First => Some("first"),
        OnConflict::Error => Some("error"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::config::{Environment, PlanFiles, Stdin, Variables, resolve_plan};

    /// The fingerprint of a command with these arguments, and this configuration file.
    fn of(arguments: &str, file: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("attrsync.toml"), file).unwrap();
        let cli = Cli::try_parse_from(format!("attrsync plan {arguments}").split_whitespace()).unwrap();
        let Command::Plan(flags) = cli.command else { panic!("{arguments}") };
        let environment = Environment {
            variables: Variables::default(),
            directory: directory.path().to_owned(),
            temp_dir: directory.path().to_owned(),
            stdin: Stdin::Piped,
            threads: NonZeroUsize::MIN,
            memory: None,
            open_files: None,
        };
        fingerprint(&resolve_plan(&flags.typed, &environment, PlanFiles::default(), None).unwrap()).text()
    }

    #[test]
    fn what_ledgers_keep_is_understood_by_later_versions() {
        let plain = r#"{"version":1,"settings":{"inputs":"[\"/none/a.csv\",\"/none/b.csv\"]"}}"#;
        assert_eq!(of("/none/a.csv /none/b.csv", ""), plain);
        let defaults =
            "--on-conflict last --empty reject --layout long --columns user_id=user_id --batch-size 7";
        assert_eq!(of(&format!("/none/a.csv /none/b.csv {defaults}"), "delimiter = \";\"\n"), plain);

        let flags = "--on-conflict first --empty send --null-token NULL --allow-custom --columns user_id=Id,city=Town";
        let file = "[attributes.gender]\ntype = \"integer\"\nmap = { male = \"2\", female = \"3\" }\n";
        let kept = concat!(
            r#"{"version":1,"settings":{"allow_custom":"true","#,
            r#""attributes":"{\"gender\":{\"type\":\"integer\",\"map\":{\"female\":\"3\",\"male\":\"2\"}}}","#,
            r#""columns":"{\"Id\":\"user_id\",\"Town\":\"city\"}","empty":"send","#,
            r#""inputs":"[\"/none/a.csv\"]","null_token":"NULL","on_conflict":"first"}}"#,
        );
        assert_eq!(of(&format!("/none/a.csv {flags}"), file), kept);
    }
}
