//! `config.example.toml` tells the truth.

use std::fs;

use clap::{Arg, CommandFactory};

use super::{Place, Sync};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");

/// The options that can stand in the file, as the help has them.
fn options() -> Vec<Arg> {
    let command = Sync::command();
    let arguments = command.get_arguments().filter(|argument| !argument.is_positional());
    arguments.filter(|option| option.get_id() != "config").cloned().collect()
}

/// The example's lines with `#key = value` taken for `key = value`.
fn uncommented() -> String {
    let text = fs::read_to_string(PATH).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with([' ', '#']) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The key of each line that has one, outside of tables.
fn keys(text: &str) -> Vec<&str> {
    let lines = text.lines().take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.split_once(" = ")?.0)).collect()
}

fn has_default(option: &Arg) -> bool {
    !option.get_default_values().is_empty() || matches!(option.get_id().as_str(), "failures" | "verbose")
}

#[test]
fn the_example_has_every_key_in_the_order_of_the_help() {
    let text = uncommented();
    let options = options();
    let expected: Vec<_> =
        options.iter().map(|o| o.get_id().as_str()).filter(|&name| name != "columns").collect();
    assert_eq!(keys(&text), expected);
    assert!(text.contains("[columns]\n") && text.contains("[attributes.gender]\n"));
}

#[test]
fn the_example_says_nothing_as_it_stands() {
    let text = fs::read_to_string(PATH).unwrap();
    assert_eq!(text.parse::<toml::Table>().unwrap(), toml::Table::new());
}

#[test]
fn the_example_is_accepted_when_uncommented() {
    let rivals = ["subdomain = ", "ledger_file = ", "quota = "];
    let without_rival = rivals.iter().fold(uncommented(), |text, key| text.replace(key, "# "));
    let place = Place::bare().variable("ATTRSYNC_TOKEN", super::TOKEN).file("attrsync.toml", &without_rival);
    let settings = place.settings(&["rows.csv"]);
    assert_eq!(settings.input.columns["E-mail address"], "email");
    assert_eq!(settings.input.attributes["gender"].map["male"], "2");
}

#[test]
fn the_example_shows_the_defaults() {
    let options = options();
    let with_default: Vec<_> =
        options.iter().filter(|o| has_default(o)).map(|o| o.get_id().as_str()).collect();
    let text = uncommented();
    let is_default = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| with_default.contains(&key));
    let defaults: Vec<_> =
        text.lines().take_while(|line| !line.starts_with('[')).filter(is_default).collect();
    assert_eq!(defaults.len(), with_default.len());

    let nothing = Place::ready().settings(&["rows.csv"]);
    let example = Place::ready().file("attrsync.toml", &defaults.join("\n")).settings(&["rows.csv"]);
    assert_eq!(format!("{example:#?}"), format!("{nothing:#?}"));
}

#[test]
fn the_defaults_in_the_help_are_those_that_hold() {
    let nothing = format!("{:#?}", Place::ready().settings(&["rows.csv"]));
    let mut checked = 0;
    for option in options() {
        let [default] = option.get_default_values() else { continue };
        let flag = format!("--{}={}", option.get_long().unwrap(), default.to_str().unwrap());
        // A flag that is given is known as such.
        if option.get_id() != "ledger" {
            assert_eq!(format!("{:#?}", Place::ready().settings(&[&flag, "rows.csv"])), nothing, "{flag}");
            checked += 1;
        }
    }
    assert!(checked > 12, "{checked} defaults");
}

#[test]
fn comments_say_where_there_is_no_default() {
    let text = fs::read_to_string(PATH).unwrap();
    for option in options().iter().filter(|option| option.get_id() != "columns") {
        let line = format!("\n#{} = ", option.get_id());
        let comment = text.split_once(&line).unwrap().0.rsplit("\n\n").next().unwrap();
        assert_eq!(
            comment.replace("\n# ", " ").contains("No default"),
            !has_default(option),
            "{}",
            option.get_id()
        );
    }
}

#[test]
fn the_help_names_defaults_and_the_rule_for_variables() {
    let help = Sync::command().term_width(120).render_long_help().to_string();
    // The pages name them, too.
    for (option, default) in [
        ("rate", "10/s"),
        ("batch-size", "1000"),
        ("concurrency", "16"),
        ("max-attempts", "5"),
        ("retry-initial-delay", "500ms"),
        ("retry-max-delay", "30s"),
        ("timeout", "1m"),
        ("max-outage", "10m"),
        ("history-days", "90"),
        ("wait", "0s"),
        ("on-conflict", "last"),
        ("encoding", "utf-8"),
        ("ledger", "attrsync.ledger"),
    ] {
        let (_, rest) = help.split_once(&format!("--{option} <")).unwrap();
        let (_, rest) = rest.split_once("[default: ").unwrap();
        assert!(rest.starts_with(&format!("{default}]")), "{option}: {rest}");
    }
    assert!(help.contains("ATTRSYNC_BATCH_SIZE"), "{help}");
    assert!(!help.contains("[env"), "{help}");
}
