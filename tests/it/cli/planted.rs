//! What another user has put where everyone may put files, as in `/tmp`, leads nowhere.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

use super::Desk;

/// Any user but the one who runs the tests: `nobody` on most systems.
const ANOTHER_USER: u32 = 65_534;

const PRECIOUS: &str = "precious";

/// With a directory in which everyone may put files, and in it a link to a file of this user.
fn with_link(link: &str) -> Desk {
    let desk = Desk::with_cities(1);
    desk.file("victim", PRECIOUS);
    fs::set_permissions(desk.path("victim"), Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(desk.path("shared")).unwrap();
    fs::set_permissions(desk.path("shared"), Permissions::from_mode(0o1777)).unwrap();
    symlink(desk.path("victim"), desk.path("shared").join(link)).unwrap();
    desk
}

#[test]
fn links_of_another_user_are_not_followed() {
    for (link, arguments) in [
        ("failures.csv", "sync --sandbox --failures shared/failures.csv"),
        (".failures.csv.attrsync", "sync --sandbox --failures shared/failures.csv"),
        ("failures.csv", "plan --failures shared/failures.csv"),
        ("summary.json", "sync --sandbox --summary shared/summary.json"),
        ("bodies", "plan --bodies shared/bodies"),
        ("some.ledger", "sync --sandbox --ledger shared/some.ledger"),
        ("some.ledger-lock", "sync --sandbox --ledger shared/some.ledger"),
    ] {
        let desk = with_link(link);
        match lchown(desk.path("shared").join(link), Some(ANOTHER_USER), None) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                eprintln!("not tested: only root can make links of another user");
                return;
            }
            result => result.unwrap(),
        }
        desk.run(&format!("{arguments} users.csv")).exits(2).says("hint: ");
        let mode = fs::metadata(desk.path("victim")).unwrap().permissions().mode();
        assert_eq!((desk.read("victim").as_str(), mode & 0o777), (PRECIOUS, 0o644), "{arguments}");
    }
}

#[test]
fn ones_own_links_are_followed() {
    let desk = with_link("failures.csv");
    desk.run("sync --sandbox users.csv --failures shared/failures.csv").exits(0);
    assert!(desk.read("victim").starts_with("user_id,attribute,value,fate"));
    assert!(desk.path("shared/failures.csv").is_symlink());
}
