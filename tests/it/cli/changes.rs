//! What a run would change, according to the ledger, and the guard against too many changes.

use serde_json::{Value, json};

use super::{Server, Workdir};

/// Ten users with a country, of whom some get another one, and their cities.
fn rows(poland: u32) -> Vec<String> {
    let country = |user| if user <= poland { "Poland" } else { "USA" };
    let countries = (1..=10).map(|user| format!("{user},country,{}", country(user)));
    countries.chain((1..=4).map(|user| format!("{user},city,City {user}"))).collect()
}

fn write(workdir: &Workdir, name: &str, rows: &[String]) {
    workdir.file(name, format!("user_id,attribute,value\n{}\n", rows.join("\n")));
}

/// An account in which seven users live in Poland, as the ledger knows.
fn known() -> (Workdir, Server) {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    write(&workdir, "users.csv", &rows(7));
    server.remember(&workdir, "users.csv").exits(0);
    (workdir, server)
}

#[test]
fn the_plan_says_what_is_equal_would_change_and_is_new() {
    let (workdir, server) = known();
    let mut next = rows(4);
    next.extend(["11,country,Peru".to_owned(), "1,score,5".to_owned()]);
    write(&workdir, "next.csv", &next);
    let plan = |format: &str| {
        let address = server.sandbox.base_url();
        workdir
            .run(&format!("plan next.csv --only-changed --base-url {address} --format {format}"))
            .exits(0)
            .stdout
    };
    let text = plan("text");
    let section = text.split_once("\nchanges").unwrap().1;
    let lines: Vec<String> =
        section.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[..4], ["city 4 0 0", "country 7 3 1", "score 0 0 1", "total 11 3 2"], "{text}");
    assert!(text.contains("most frequent changes\n  country: `Poland` to `USA`: 3 users\n"), "{text}");

    let json: Value = serde_json::from_str(&plan("json")).unwrap();
    let country = json!({ "name": "country", "equal": 7, "changed": 3, "new": 1, "missing": 0 });
    assert_eq!(json["changes"]["attributes"][1], country);
    let change = json!({ "attribute": "country", "from": "Poland", "to": "USA", "users": 3 });
    assert_eq!(json["changes"]["most_frequent"], json!([change]));
}

#[test]
fn too_many_changes_send_nothing_and_say_what_would_let_them_through() {
    let (workdir, server) = known();
    write(&workdir, "next.csv", &rows(4));
    let before = (server.counters().requests, server.state());
    for limit in ["2", "20%"] {
        for also in ["", "--only-changed"] {
            let run = server.remember(&workdir, &format!("next.csv --max-changes {limit} {also}")).exits(3);
            assert_eq!(run.summary()["reason"], "too_many_changes");
            assert_eq!(run.rows("unsent") + run.rows("unchanged"), 14);
            let run = run
                .says(&format!("3 of 14 known values (21%) would change, more than `--max-changes {limit}`"));
            run.says("country: 3 of 10 known values (30%)").says("give `--max-changes 3`");
        }
    }
    assert_eq!((server.counters().requests, server.state()), before);
    assert_eq!(workdir.failures().len(), 3);

    let run = server.remember(&workdir, "next.csv --max-changes 3").exits(0);
    assert_eq!(run.rows("acknowledged"), 14, "it is a guard, and skips nothing");
    server.remember(&workdir, "next.csv --max-changes 0").exits(0);
}

#[test]
fn the_guard_passes_what_is_new_and_needs_a_ledger() {
    let (workdir, server) = (Workdir::new(), Server::friendly());
    write(&workdir, "users.csv", &rows(7));
    server.remember(&workdir, "users.csv --max-changes 0").exits(0);
    let run = server.remember(&workdir, "users.csv --max-changes 0 --no-ledger").exits(2);
    run.says("--max-changes: there is no ledger to know what changed");
}

#[test]
fn the_guard_counts_what_a_run_that_was_cut_short_has_sent_as_equal() {
    let (workdir, server) = known();
    write(&workdir, "next.csv", &rows(4));
    server.remember(&workdir, "next.csv --max-changes 3 --max-duration 0s").exits(4);
    server.remember(&workdir, "next.csv --max-changes 2").exits(3).says("3 of 14 known values");
    let run = server.remember(&workdir, "next.csv --max-changes 3").exits(0);
    assert_eq!(run.rows("acknowledged") + run.rows("resumed"), 14);
}
