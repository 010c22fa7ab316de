//! What the README says of nights, and of how long runs take.

use std::fs;
use std::num::NonZeroUsize;

use attrsync::sandbox::Options;
use serde_json::Value;

use super::{KEY, Server, Workdir, project};

/// Those that an account of five users has.
const PAGES: u64 = 3;

/// The commands in the README's crontab, without `cd`.
fn crontab() -> Vec<String> {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    let (_, block) = readme.split_once("```crontab\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let commands = block.lines().filter_map(|line| line.split_once("&& attrsync "));
    commands.map(|(_, arguments)| arguments.to_owned()).collect()
}

#[test]
fn the_crontab_of_the_readme_says_nothing_while_all_is_well_and_corrects_what_others_changed() {
    let page_size = NonZeroUsize::new(2).unwrap();
    let server = Server::new(Options { users: Some(5), page_size, ..Options::default() });
    let workdir = Workdir::new();
    let address = server.sandbox.base_url();
    let settings = format!("base_url = '{address}'\ntoken_file = 'user-com.token'\nrate = '100000/s'\n");
    workdir.file("attrsync.toml", settings);
    workdir.file("user-com.token", KEY);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(workdir.path("user-com.token"), private).unwrap();
    let contacts = |cities: [&str; 3]| {
        let rows = (1..).zip(cities).map(|(user, city)| format!("{user},{city}\n"));
        workdir.file("contacts.csv", format!("user_id,city\n{}", rows.collect::<String>()));
    };
    let night = || {
        let commands = crontab();
        assert_eq!(commands.len(), 2, "{commands:?}");
        let before = server.counters().requests;
        for arguments in commands {
            let run = workdir.run(&arguments).exits(0);
            assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{arguments}");
        }
        server.counters().requests - before
    };

    contacts(["Oslo", "Rome", "Lima"]);
    assert_eq!(night(), PAGES + 3);
    assert_eq!(night(), PAGES, "nothing has changed");
    contacts(["Oslo", "Rome", "Bern"]);
    assert_eq!(night(), PAGES + 1);
    server.sync(&Workdir::with_rows(&["1,city,Paris"]), "users.csv").exits(0);
    assert_eq!(night(), PAGES + 1);
    assert!(server.state().contains("\n1,city,Oslo\n"), "{}", server.state());

    // What needs attention is said.
    workdir.file("contacts.csv", "user_id,city\n1,Oslo\nx,Rome\n");
    let run = workdir.run(&crontab()[1]).exits(1);
    assert!(run.stdout.is_empty() && run.stderr.contains("invalid"), "{}", run.stderr);
}

/// Users who share this many values in the worst way: all but one value have one user.
fn shared(attribute: &str, values: u32) -> String {
    let row = |user: u32| format!("{user},v{}@example.com\n", user.min(values));
    format!("user_id,{attribute}\n{}", (1..=80_000).map(row).collect::<String>())
}

#[test]
fn as_many_requests_and_as_much_time_are_planned_as_the_readme_says() {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    for (row, attribute, values, most, seconds) in [
        ("| a country (50 different ones) | at most 130 | 13 seconds |", "country", 50, 130, 13.0),
        ("| a city (2,000 different ones) | at most 2,080 | 3½ minutes |", "city", 2000, 2080, 210.0),
        ("| an e-mail address of their own | 80,000 | 2¼ hours |", "email", 80_000, 80_000, 8100.0),
    ] {
        assert!(readme.contains(row), "{row}");
        let workdir = Workdir::new();
        workdir.file("contacts.csv", shared(attribute, values));
        let plan = workdir.run("plan contacts.csv --format json").exits(0);
        let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
        let requests = plan["requests"].as_u64().unwrap();
        assert!(requests <= most && requests * 100 > most * 95, "{row}: {requests}");
        let takes = plan["duration_seconds"].as_f64().unwrap();
        assert!((takes / seconds - 1.0).abs() < 0.05, "{row}: {takes} seconds");
    }
}
