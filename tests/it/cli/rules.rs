//! What decides what is sent: a run that was cut short is continued only with the same, and each option does what it says.

use super::{Server, Workdir};

/// A run of these rows that stops after one of them; then one with other settings.
#[track_caller]
fn check(settings: [&str; 2], arguments: [&str; 2], words: &str) {
    let rows = ["1,city,Oslo", "2,city,NULL", "3,country,Poland", "4,region,"];
    let (workdir, server) = (Workdir::with_rows(&rows), Server::stopping_after(1));
    workdir.file("attrsync.toml", settings[0]);
    let first = server.remember(&workdir, &format!("users.csv --concurrency 1 {}", arguments[0])).exits(4);
    assert_eq!(first.rows("acknowledged"), 1);
    workdir.file("attrsync.toml", settings[1]);
    let second = server.remember(&workdir, &format!("users.csv {}", arguments[1]));
    assert_eq!((second.rows("resumed"), second.rows("unsent")), (0, 0), "{arguments:?}: {}", second.stderr);
    assert!(!second.stderr.contains("continuing"), "{}", second.stderr);
    second.says("note: run 1, begun ").says(words);
}

#[test]
fn a_run_is_not_continued_with_other_rules_and_the_note_names_them() {
    let same = ["", ""];
    check(same, ["", "--null-token NULL"], "`--null-token` differs");
    check(same, ["--empty skip", "--empty send"], "`--empty` differs");
    let map = ["", "[attributes.country]\nmap = { Poland = 'PL' }"];
    check(map, same, "differ");
    let columns = ["[columns]\ncity = 'Town'", "[columns]\nvalue = 'attribute'\nattribute = 'value'"];
    let rows = Workdir::with_rows(&["1,city,Oslo"]);
    rows.file("attrsync.toml", columns[1]);
    // What stands in other columns is other rows.
    rows.run("plan users.csv").exits(3);
}

#[test]
fn ids_of_another_type_start_anew() {
    let (workdir, server) = (Workdir::with_cities(4), Server::stopping_after(1));
    server.remember(&workdir, "users.csv --concurrency 1").exits(4);
    let run = server.remember(&workdir, "users.csv --id-type custom-id").exits(0);
    assert_eq!((run.rows("resumed"), run.rows("acknowledged")), (0, 4));
}

#[test]
fn a_strict_run_refuses_a_column_that_it_would_not_send() {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    workdir.file("wide.csv", "user_id,city,ctiy\n1,Oslo,Bergen\n");
    server.sync(&workdir, "wide.csv --strict").exits(3).says("no such attribute: `ctiy`");
    assert_eq!(server.counters().requests, 0);
    workdir.run("plan wide.csv --strict").exits(3);
    let run = server.sync(&workdir, "wide.csv --strict --columns -=ctiy").exits(0);
    assert!(!run.stderr.contains("ctiy"), "{}", run.stderr);
    assert_eq!(server.state(), "user_id,attribute,value\n1,city,Oslo\n");
    server.sync(&workdir, "wide.csv --strict --allow-custom").exits(0);
    assert_eq!(server.state(), "user_id,attribute,value\n1,city,Oslo\n1,ctiy,Bergen\n");
}

#[test]
fn options_for_inputs_have_the_effect_that_they_promise() {
    let table = [
        ("Contact no.;Town\n1;Oslo\n", "--columns user_id=Contact#no.,city=Town", "1,city,Oslo"),
        ("user_id|city\n1|Oslo;x\n", "--delimiter |", "1,city,Oslo;x"),
        ("user_id,attribute,value\n1,city,Oslo\n", "--layout long", "1,city,Oslo"),
        ("user_id,city\n1,Oslo\n", "--layout wide", "1,city,Oslo"),
        ("user_id,attribute,value\nA-1,city,Oslo\n", "--id-type custom-id", "A-1,city,Oslo"),
        ("user_id,attribute,value\n1,city,\n", "--empty send", "1,city,"),
        ("user_id,attribute,value\n1,city,\n2,city,Oslo\n", "--empty skip", "2,city,Oslo"),
        ("user_id,attribute,value\n1,tier,gold\n", "--allow-custom", "1,tier,gold"),
    ];
    for (text, option, expected) in table {
        let (workdir, server) = (Workdir::new(), Server::friendly());
        workdir.file("contacts.csv", text);
        let mut command = server.command(&workdir, "contacts.csv");
        command.args(option.split(' ').map(|word| word.replace('#', " ")));
        super::ended(command).exits(0);
        assert_eq!(server.state(), format!("user_id,attribute,value\n{expected}\n"), "{option}");
    }
    // What is asked for by hand has to be there.
    let wrong =
        [("--delimiter ;", "user_id,city"), ("--layout long", "`attribute`"), ("--layout wide", "attribute")];
    for (option, words) in wrong {
        let (workdir, server) = (Workdir::new(), Server::friendly());
        let header = if option.ends_with("wide") { "user_id,attribute,value" } else { "user_id,city" };
        workdir.file("contacts.csv", format!("{header}\n1,city,Oslo\n"));
        server.sync(&workdir, &format!("contacts.csv {option}")).exits(3).says(words);
        assert_eq!(server.counters().requests, 0, "{option}");
    }
    let (workdir, server) = (Workdir::new(), Server::friendly());
    workdir.file("contacts.csv", b"user_id,attribute,value\n1,city,\xa3\xf3d\x9f\n");
    server.sync(&workdir, "contacts.csv --encoding windows-1250").exits(0);
    assert_eq!(server.state(), "user_id,attribute,value\n1,city,Łódź\n");
    workdir.file("wide.csv", "user_id,city\n1,\n2,Oslo\n");
    let run = server.sync(&workdir, "wide.csv --empty reject --summary -").exits(1);
    assert_eq!((run.rows("invalid"), run.rows("acknowledged")), (1, 1));
}

#[test]
fn several_inputs_are_read_one_after_the_other_and_the_last_row_wins() {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    workdir.file("north.csv", "user_id,attribute,value\n1,city,Oslo\n2,city,Oslo\n");
    workdir.file("south.csv", "user_id;city\n1;Rome\n3;Rome\n");
    let run = server.sync(&workdir, "north.csv south.csv --summary -").exits(0);
    assert_eq!((run.rows("read"), run.rows("superseded")), (4, 1));
    assert_eq!(server.state(), "user_id,attribute,value\n1,city,Rome\n2,city,Oslo\n3,city,Rome\n");
    server.sync(&workdir, "south.csv north.csv").exits(0);
    assert!(server.state().contains("\n1,city,Oslo\n"), "{}", server.state());
}

#[test]
fn a_dry_run_says_what_a_plan_says_and_sends_and_writes_nothing() {
    let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
    let plan = workdir.run("plan users.csv").exits(0);
    let mut command = server.remembering(&workdir, "users.csv --dry-run");
    command.env_remove("ATTRSYNC_RATE");
    let dry = super::ended(command).exits(0);
    assert_eq!((dry.stdout, dry.stderr), (plan.stdout, plan.stderr));
    assert_eq!((server.counters().requests, workdir.names()), (0, vec!["users.csv".to_owned()]));
}

#[test]
fn paths_in_the_settings_file_are_relative_to_the_working_directory() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,Oslo", "x,city,Oslo"]), Server::friendly());
    std::fs::create_dir(workdir.path("settings")).unwrap();
    let settings = "token_file = 'key'\nfailures = 'lost.csv'\nsummary = 'run.json'\nledger = 'l'\n";
    workdir.file("settings/attrsync.toml", settings);
    workdir.file("key", super::KEY);
    let mut command = server.command(&workdir, "users.csv --config settings/attrsync.toml");
    command.env_remove("ATTRSYNC_NO_LEDGER").env_remove("ATTRSYNC_TOKEN");
    super::ended(command).exits(1);
    assert_eq!(workdir.names(), ["key", "l", "l-lock", "lost.csv", "run.json", "settings", "users.csv"]);
}
