//! Which place wins, and how each is named when it is wrong.

use std::num::NonZeroU32;
use std::time::Duration;

use attrsync::config::{Limit, LogFormat, SyncMode, Tolerance, Verbosity, resolve_sync};
use attrsync::input::{JsonType, Source, Vocabulary};
use clap::{CommandFactory, Parser};
use proptest::prelude::*;

use super::{Place, Plan, Sync};

/// One value for each option that can stand alone, as a variable has it.
const EACH: [(&str, &str); 28] = [
    ("rate", "300/m"),
    ("concurrency", "3"),
    ("max_attempts", "2"),
    ("retry_initial_delay", "1ms"),
    ("retry_max_delay", "2s"),
    ("timeout", "3s"),
    ("max_outage", "4m"),
    ("max_duration", "1h30m"),
    ("canary", "5"),
    ("verify", "all"),
    ("batch_size", "7"),
    ("on_conflict", "error"),
    ("strict", "true"),
    ("max_invalid", "2.5%"),
    ("min_rows", "5"),
    ("memory", "64MiB"),
    ("temp_dir", "."),
    ("layout", "wide"),
    ("delimiter", r"\t"),
    ("encoding", "windows-1252"),
    ("empty", "send"),
    ("null_token", "NULL"),
    ("wait", "2m"),
    ("id_type", "custom-id"),
    ("allow_custom", "1"),
    ("summary", "-"),
    ("verbose", "2"),
    ("log_format", "json"),
];

fn flag(name: &str, value: &str) -> String {
    format!("--{}={value}", name.replace('_', "-"))
}

fn variable(name: &str) -> String {
    format!("ATTRSYNC_{}", name.to_uppercase())
}

#[test]
fn an_option_means_the_same_wherever_it_stands() {
    let nothing = format!("{:?}", Place::ready().settings(&[]));
    for (name, value) in EACH {
        let by_flag = format!("{:?}", Place::ready().settings(&[&flag(name, value)]));
        let by_variable = format!("{:?}", Place::ready().variable(&variable(name), value).settings(&[]));
        let file = format!("{name} = '{value}'");
        let by_file = format!("{:?}", Place::ready().file("attrsync.toml", &file).settings(&[]));
        assert_ne!(by_flag, nothing, "{name}");
        assert_eq!(by_variable, by_flag, "{name}");
        assert_eq!(by_file, by_flag, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_flag_outranks_a_variable_and_that_the_file(values in proptest::array::uniform3(proptest::option::of(1..9_u32))) {
        let [typed, variable, written] = values;
        let mut place = Place::ready();
        let flag = typed.map(|n| format!("--batch-size={n}"));
        if let Some(n) = variable {
            place = place.variable("ATTRSYNC_BATCH_SIZE", &n.to_string());
        }
        if let Some(n) = written {
            place = place.file("attrsync.toml", &format!("batch_size = {n}"));
        }
        let flags: Vec<_> = flag.iter().map(String::as_str).collect();
        let expected = typed.or(variable).or(written).unwrap_or(1000);
        prop_assert_eq!(place.settings(&flags).batch_size, NonZeroU32::new(expected).unwrap());
    }
}

#[test]
fn a_command_has_flags_and_words_of_its_own_beside_the_options() {
    let plan =
        Plan::try_parse_from(["--bodies", "--rate", "5/s", "rows.csv", "--strict", "more.csv"]).unwrap();
    let settings = Place::bare().resolve_plan(&plan.typed).unwrap();
    assert!(plan.bodies);
    assert_eq!(settings.inputs, [Source::File("rows.csv".into()), Source::File("more.csv".into())]);
    assert_eq!((settings.delivery.rate.requests.get(), settings.tolerance), (5, Tolerance::Strict));
    let help = Plan::command().render_help().to_string();
    assert!(help.starts_with("Say what sync would do\n"), "{help}");
    assert!(!help.contains("--timeout"), "{help}");
}

#[test]
fn a_flag_can_turn_off_what_the_file_turned_on() {
    let place = Place::ready().file("attrsync.toml", "strict = true\nallow_custom = true");
    let settings = place.settings(&["--strict=false"]);
    assert_eq!(settings.tolerance, Tolerance::NotAll);
    assert_eq!(settings.input.vocabulary, Vocabulary::Custom);
}

#[test]
fn of_a_flag_that_is_given_twice_the_last_one_counts() {
    let settings = Place::ready().settings(&["--rate=1/s", "--rate", "20/s", "--strict", "--strict=false"]);
    assert_eq!((settings.delivery.rate.requests.get(), settings.tolerance), (20, Tolerance::NotAll));
    assert_eq!(Place::ready().settings(&["-q", "-q"]).verbosity, Verbosity::Quiet);
}

#[test]
fn a_dry_run_needs_no_account_and_heeds_what_a_plan_heeds() {
    let typed = Sync::try_parse_from(["--dry-run", "--subdomain=acme", "--batch-size=7"]).unwrap().typed;
    let Ok(SyncMode::DryRun(settings)) = resolve_sync(&typed, &Place::bare().environment, None) else {
        panic!("a dry run is a plan");
    };
    assert_eq!((settings.batch_size.get(), settings.reports.failures), (7, None));
    let place = Place::bare().file("attrsync.toml", "dry_run = true");
    let typed = Sync::try_parse_from([""; 0]).unwrap().typed;
    assert!(matches!(resolve_sync(&typed, &place.environment, None), Ok(SyncMode::DryRun(_))));
}

#[test]
fn an_empty_variable_sets_nothing() {
    let settings = Place::ready().variable("ATTRSYNC_RATE", "").settings(&[]);
    assert_eq!(settings.delivery.rate.to_string(), "10/s");
}

#[test]
fn an_empty_value_in_the_file_is_told_as_such() {
    for name in ["temp_dir", "failures", "summary", "ledger", "token_file"] {
        let place = Place::ready().file("attrsync.toml", &format!("{name} = ''"));
        let expected = format!("attrsync.toml:1: {name}: is empty: write a value, or leave it out");
        assert_eq!(place.error(&[]), expected);
    }
    let place = Place::ready().file("attrsync.toml", "on_conflict = ''");
    assert_eq!(place.error(&[]), "attrsync.toml:1: on_conflict: `` is not one of `last`, `first`, `error`");
}

#[test]
fn numbers_in_the_file_need_no_quotes() {
    let settings = Place::ready()
        .file("attrsync.toml", "batch_size = 5_00\nmax_invalid = 100\nverbose = 1")
        .settings(&[]);
    assert_eq!(settings.batch_size.get(), 500);
    assert_eq!(settings.tolerance, Tolerance::UpTo(Limit::Rows(100)));
    assert_eq!(settings.verbosity, Verbosity::Detailed);
}

#[test]
fn verbosity_adds_up_and_the_outermost_word_on_it_counts() {
    let verbosity = |place: Place, flags: &[&str]| place.settings(flags).verbosity;
    assert_eq!(verbosity(Place::ready(), &["-v"]), Verbosity::Detailed);
    assert_eq!(verbosity(Place::ready(), &["-vv"]), Verbosity::Full);
    assert_eq!(verbosity(Place::ready(), &["-v", "--verbose"]), Verbosity::Full);
    assert_eq!(verbosity(Place::ready(), &["-q"]), Verbosity::Quiet);
    assert_eq!(verbosity(Place::ready().variable("ATTRSYNC_QUIET", "1"), &["-v"]), Verbosity::Detailed);
    assert_eq!(verbosity(Place::ready().variable("ATTRSYNC_VERBOSE", "2"), &["-q"]), Verbosity::Quiet);
    assert_eq!(
        Place::ready().error(&["-q", "-v"]),
        "--quiet: conflicts with `--verbose`\nhint: give one of the two"
    );
}

#[test]
fn on_github_actions_requests_in_flight_have_less_time_after_a_signal() {
    let grace = |place: Place| place.settings(&[]).delivery.grace.as_secs();
    assert_eq!(grace(Place::ready()), 30);
    assert_eq!(grace(Place::ready().variable("GITHUB_ACTIONS", "true")), 6);
    assert_eq!(grace(Place::ready().variable("GITHUB_ACTIONS", "")), 30);
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_with_what_is_accepted() {
    let rate = "`fast` is not a rate: write requests per second or minute, as `10/s` or `300/m`";
    let wrong = |name: &str, value: &str| Place::ready().variable(name, value).error(&[]);
    assert_eq!(wrong("ATTRSYNC_RATE", "20"), "ATTRSYNC_RATE: `20` needs a unit: write `20/s` or `1200/m`");
    assert_eq!(
        wrong("ATTRSYNC_TIMEOUT", "2"),
        "ATTRSYNC_TIMEOUT: `2` needs a unit: write `2s`, `2m` or `2h`"
    );
    let by_variable = Place::ready().variable("ATTRSYNC_RATE", "fast");
    assert_eq!(by_variable.error(&[]), format!("ATTRSYNC_RATE: {rate}"));
    let by_file = Place::ready().file("attrsync.toml", "# so\n\nrate = 'fast'");
    assert_eq!(by_file.error(&[]), format!("attrsync.toml:3: rate: {rate}"));
    let named = Place::ready().file("other.toml", "layout = 'tall'");
    assert_eq!(
        named.error(&["--config=other.toml"]),
        "other.toml:1: layout: `tall` is not one of `long`, `wide`, `auto`"
    );
    for (name, value) in EACH.iter().filter(|(name, _)| !["null_token", "summary"].contains(name)) {
        let message = Place::ready().variable(&variable(name), "~").error(&[]);
        assert!(message.starts_with(&format!("{}: `~` is n", variable(name))), "{name}, {value}: {message}");
    }
}

#[test]
fn a_wrong_value_is_an_error_even_where_a_flag_hides_it() {
    let place = Place::ready().file("attrsync.toml", "batch_size = 0");
    assert!(place.error(&["--batch-size=5"]).starts_with("attrsync.toml:1: batch_size: `0` is not valid"));
}

#[test]
fn an_unknown_key_is_an_error_that_names_its_neighbour() {
    let error = |text: &str| Place::ready().file("attrsync.toml", text).error(&[]);
    assert_eq!(
        error("rate = '5/s'\nbatchsize = 5"),
        "attrsync.toml:2: batchsize: unknown key\nhint: write `batch_size` if that is meant"
    );
    assert_eq!(
        error("xyzzy = 1"),
        "attrsync.toml:1: xyzzy: unknown key\nhint: see `config.example.toml` for every key there is"
    );
    assert_eq!(
        error("inputs = []"),
        "attrsync.toml:1: inputs: unknown key\nhint: name inputs on the command line"
    );
    assert!(error("config = 'a'").contains("hint: name the file by `--config`"));
    assert_eq!(
        error("[attributes.gender]\ntyp = 'integer'"),
        "attrsync.toml:2: attributes.gender.typ: unknown key\nhint: write `type` if that is meant"
    );
}

#[test]
fn a_file_that_is_not_as_it_should_be_is_an_error_with_its_line() {
    let error = |text: &str| Place::ready().file("attrsync.toml", text).error(&[]);
    assert!(error("rate = '5/s'\nbatch_size = ").starts_with("attrsync.toml:2: "));
    assert_eq!(error("rate = '5/s'\nrate = '6/s'"), "attrsync.toml:2: duplicate key");
    assert_eq!(error("\u{feff}# so\n\nlayout"), "attrsync.toml:3: key with no value, expected `=`");
    assert_eq!(
        error("rate = ['5/s']"),
        "attrsync.toml:1: rate: expected a string, a number or a boolean, found an array"
    );
    assert_eq!(
        error("columns = 'a'"),
        "attrsync.toml:1: columns: expected a section `[columns]`, found a string"
    );
    assert_eq!(
        error("[columns]\nemail = 1"),
        "attrsync.toml:2: columns.email: expected the name of a column of the inputs, as `\"E-mail\"`"
    );
    assert_eq!(
        error("[attributes.score]\ntype = 'int'"),
        "attrsync.toml:2: attributes.score.type: expected `\"string\"`, `\"integer\"`, `\"float\"` or `\"boolean\"`"
    );
}

#[test]
fn a_name_that_no_row_can_have_is_an_error_unless_custom_attributes_are_allowed() {
    let error = |text: &str, flags: &[&str]| Place::ready().file("attrsync.toml", text).error(flags);
    assert_eq!(
        error("\n[attributes.gendr]", &[]),
        "attrsync.toml:2: attributes: `gendr` is not a standard attribute\n\
         hint: write `gender` if that is meant, or set `--allow-custom`"
    );
    assert_eq!(
        error("[attributes.shoe_size]", &[]),
        "attrsync.toml:1: attributes: `shoe_size` is not a standard attribute\n\
         hint: set `--allow-custom` if it is a custom attribute"
    );
    assert_eq!(
        error("[columns]\nemial = 'E-mail'", &[]),
        "attrsync.toml:2: columns.emial: `emial` is neither `user_id`, `attribute` nor `value`, nor a standard \
         attribute\nhint: write `email` if that is meant, or set `--allow-custom`"
    );
    assert_eq!(
        error("[columns]\n'Customer no.' = 'user_id'", &[]),
        "attrsync.toml:2: columns.Customer no.: `Customer no.` is neither `user_id`, `attribute` nor `value`, nor a \
         standard attribute\nhint: the attrsync name comes first, as in `--columns`: write `user_id = \"Customer no.\"`"
    );
    assert!(error("", &["--columns", "contry=Land"]).starts_with("--columns: `contry` is neither"));
    let custom = "allow_custom = true\n[attributes.shoe_size]\n[columns]\nshoe_size = 'Size'";
    assert!(Place::ready().file("attrsync.toml", custom).sync(&["--columns=hat_size=Hat"]).is_ok());
    assert!(Place::ready().sync(&["--columns=User_ID=A,CITY=B,value=C"]).is_ok());
}

#[test]
fn what_is_sent_instead_of_a_value_must_be_of_the_attributes_type() {
    let gender = |rule: &str| Place::ready().file("attrsync.toml", &format!("[attributes.gender]\n{rule}"));
    assert_eq!(
        gender("map = { male = \"x\" }\ntype = \"integer\"").error(&[]),
        "attrsync.toml:2: attributes.gender.map.\"male\": `x` is not of the attribute's `type`"
    );
    for fine in [
        "type = 'integer'\nmap = { a = '2', b = 2 }",
        "type = 'float'\nmap = { a = 1.0 }",
        "map = { a = 'x' }",
    ] {
        assert!(gender(fine).sync(&[]).is_ok(), "{fine}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let message = Place::ready().error(&["--config=gone.toml"]);
    assert!(message == "gone.toml: no such file", "{message}");
    let by_variable = Place::ready().variable("ATTRSYNC_CONFIG", "gone.toml").error(&[]);
    assert_eq!(by_variable, message);
}

#[test]
fn a_named_file_is_read_instead_of_the_usual_one() {
    let place = Place::ready().file("attrsync.toml", "nonsense").file("other.toml", "log_format = 'json'");
    assert_eq!(place.settings(&["--config", "other.toml"]).log_format, LogFormat::Json);
}

#[test]
fn columns_go_from_ours_to_theirs_and_a_flag_replaces_what_it_names() {
    let file = "[columns]\nemail = 'E-mail address'\nuser_id = 'No.'\n'-' = ['Notes', 'Old']\n[attributes.gender]\ntype = 'integer'\nmap = { male = 2 }";
    let place = Place::ready().file("attrsync.toml", file);
    let settings = place.settings(&["--columns", "-=Age,user_id=ID"]);
    let columns: Vec<_> =
        settings.input.columns.iter().map(|(theirs, ours)| format!("{theirs} = {ours}")).collect();
    assert_eq!(columns, ["Age = -", "E-mail address = email", "ID = user_id", "Notes = -", "Old = -"]);
    assert_eq!(settings.input.required, ["ID".to_owned()].into());
    let gender = &settings.input.attributes["gender"];
    assert_eq!((gender.json, gender.map["male"].as_str()), (JsonType::Integer, "2"));
}

#[test]
fn a_variable_that_sets_nothing_is_warned_of() {
    let settings = Place::ready().variable("ATTRSYNC_BATCHSIZE", "5").settings(&[]);
    assert_eq!(settings.warnings, ["ATTRSYNC_BATCHSIZE: sets nothing; `ATTRSYNC_BATCH_SIZE` would"]);
    let settings = Place::ready().variable("ATTRSYNC_XYZZY", "5").settings(&[]);
    assert_eq!(settings.warnings, ["ATTRSYNC_XYZZY: sets nothing"]);
}

#[test]
fn without_inputs_standard_input_is_read_unless_somebody_types() {
    let mut place = Place::ready();
    assert_eq!(place.settings(&[]).inputs, [Source::Stdin]);
    assert_eq!(place.settings(&["a.csv", "-"]).inputs, [Source::File("a.csv".into()), Source::Stdin]);
    assert_eq!(place.error(&["-", "-"]), "-: standard input can be read only once");
    place.environment.stdin = attrsync::config::Stdin::Terminal;
    assert!(place.error(&[]).contains("no input is given"));
}

#[test]
fn planning_needs_no_address_and_no_key() {
    let settings = Place::bare().file("attrsync.toml", "timeout = '5s'").plan(&["--rate=5/s"]).unwrap();
    assert_eq!(settings.delivery.rate.to_string(), "5/s");
    assert_eq!(settings.delivery.timeout, Duration::from_secs(5));
}

#[test]
fn too_many_invalid_rows_are_all_or_more_than_the_limit_or_one() {
    let refuses =
        |flags: &[&str], invalid, read| Place::ready().settings(flags).tolerance.refuses(invalid, read);
    assert!(!refuses(&[], 9, 10) && refuses(&[], 10, 10) && !refuses(&[], 0, 0));
    assert!(!refuses(&["--max-invalid=10%"], 1, 10) && refuses(&["--max-invalid=10%"], 2, 10));
    assert!(!refuses(&["--strict"], 0, 10) && refuses(&["--strict", "--max-invalid=5"], 1, 10));
}

#[test]
fn no_more_requests_are_in_flight_than_files_may_be_open() {
    let mut place = Place::ready();
    place.environment.open_files = Some(128);
    let settings = place.settings(&["--concurrency=10000"]);
    assert_eq!(settings.delivery.concurrency.get(), 80);
    assert_eq!(
        settings.warnings,
        [
            "--concurrency: lowered from 10000 to 80, because this process may have only 128 files open (`ulimit -n`)"
        ]
    );
    assert_eq!(place.settings(&["--concurrency=80"]).warnings, [""; 0]);
    place.environment.open_files = Some(16);
    assert_eq!(place.settings(&["--sandbox"]).delivery.concurrency.get(), 1);
    place.environment.open_files = None;
    assert_eq!(place.settings(&["--concurrency=10000"]).delivery.concurrency.get(), 10_000);
}
