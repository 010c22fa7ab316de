//! Where the ledger is, and what is secret about it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::Place;

const ADDRESS: &str = "postgres://ada:hunter2@db.example/crm";
const SHOWN: &str = "postgres://ada@db.example:5432/crm";

fn location(place: &Place, flags: &[&str]) -> String {
    place.settings(flags).ledger.unwrap().location.to_string()
}

#[test]
fn an_address_is_found_in_a_flag_a_variable_or_a_file() {
    let place = || Place::ready().file("address", &format!("\u{feff}{ADDRESS}\r\n"));
    assert_eq!(location(&place(), &["--ledger", ADDRESS]), SHOWN);
    assert_eq!(location(&place(), &["--ledger-file=address"]), SHOWN);
    assert_eq!(location(&place().variable("ATTRSYNC_LEDGER", ADDRESS), &[]), SHOWN);
    assert_eq!(location(&place().variable("ATTRSYNC_LEDGER_FILE", "address"), &[]), SHOWN);
    let written = format!("ledger = '{ADDRESS}'");
    assert_eq!(location(&place().file("attrsync.toml", &written), &[]), SHOWN);
    let stronger = place().variable("ATTRSYNC_LEDGER", "attrsync.ledger");
    assert_eq!(location(&stronger, &["--ledger-file=address"]), SHOWN);
    assert_eq!(location(&place().variable("ATTRSYNC_LEDGER", ADDRESS), &["--ledger=l"]), "l");
}

#[test]
fn a_wrong_address_is_told_without_the_password() {
    for wrong in [
        "postgres://ada:hunter2@h",
        "postgres:ada:hunter2@h/crm",
        "postgres//ada:hunter2@h/crm",
        "mysql://ada:hunter2@h/crm",
        "ada:hunter2@h:5432",
        "host=h user=ada password=hunter2",
    ] {
        let message = Place::ready().error(&["--ledger", wrong]);
        assert!(message.starts_with("--ledger: ") && !message.contains("hunter2"), "{message}");
    }
    let message = Place::ready().error(&["--ledger-file=nowhere"]);
    assert_eq!(message, "--ledger-file: `nowhere`: no such file");
}

#[test]
fn a_password_that_others_can_see_is_warned_of() {
    let place = Place::ready().file("address", ADDRESS);
    let path = place.directory.path().join("address");
    let warnings = |mode, flags: &[&str]| {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        place.settings(flags).warnings.join("\n")
    };
    assert_eq!(warnings(0o600, &["--ledger-file=address"]), "");
    let open = warnings(0o644, &["--ledger-file=address"]);
    assert!(open.contains("--ledger-file: `address`: others can read the password"), "{open}");
    let typed = warnings(0o600, &["--ledger", ADDRESS]);
    assert!(typed.contains("in the list of processes") && !typed.contains("hunter2"), "{typed}");
}

#[test]
fn a_quota_is_the_accounts_unless_it_is_named_and_needs_a_database() {
    let quota = |flags: &[&str]| Place::ready().settings(flags).ledger.unwrap().quota;
    assert_eq!(quota(&["--ledger", ADDRESS]).as_deref(), Some("https://acme.user.com/api/public/"));
    assert_eq!(quota(&["--ledger", ADDRESS, "--quota=night"]).as_deref(), Some("night"));
    assert_eq!(quota(&[]), None);
    for flags in [["--quota=night", "--ledger=l"], ["--quota=night", "--no-ledger"]] {
        let message = Place::ready().error(&flags);
        assert!(message.starts_with("--quota: runs share a quota only through a database"), "{message}");
    }
}

#[test]
fn a_follow_up_command_has_no_password_and_names_where_it_comes_from() {
    let place = || Place::ready().file("address", ADDRESS);
    let flags = |place: Place, flags: &[&str]| place.rerun_flags(flags);
    let (words, secret) = flags(place(), &["--ledger", ADDRESS, "--quota=night"]);
    assert!(words.contains(&format!("--ledger {SHOWN}")) && words.contains("--quota night"), "{words}");
    assert_eq!(secret, Some("PGPASSWORD"));
    let (words, secret) = flags(place(), &["--ledger-file=address"]);
    assert!(words.contains("--ledger-file address"), "{words}");
    assert_eq!(secret, None);
    let (words, secret) = flags(place().variable("ATTRSYNC_LEDGER", ADDRESS), &[]);
    assert!(!words.contains("--ledger"), "{words}");
    assert_eq!(secret, Some("ATTRSYNC_LEDGER"));
}
