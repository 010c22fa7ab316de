//! What another user has put where everyone may put files, as in `/tmp`, leads nowhere.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

use super::Workdir;

/// Any user but the one who runs the tests: `nobody` on most systems.
const ANOTHER_USER: u32 = 65_534;

const PRECIOUS: &str = "precious";

/// With a directory in which everyone may put files, and in it a link to a file of this user.
fn with_link(link: &str) -> Workdir {
    let workdir = Workdir::with_cities(1);
    workdir.file("victim", PRECIOUS);
    fs::set_permissions(workdir.path("victim"), Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(workdir.path("shared")).unwrap();
    fs::set_permissions(workdir.path("shared"), Permissions::from_mode(0o1777)).unwrap();
    symlink(workdir.path("victim"), workdir.path("shared").join(link)).unwrap();
    workdir
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
        let workdir = with_link(link);
        match lchown(workdir.path("shared").join(link), Some(ANOTHER_USER), None) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                eprintln!("not tested: only root can make links of another user");
                return;
            }
            result => result.unwrap(),
        }
        workdir.run(&format!("{arguments} users.csv")).exits(2).says("hint: ");
        let mode = fs::metadata(workdir.path("victim")).unwrap().permissions().mode();
        assert_eq!((workdir.read("victim").as_str(), mode & 0o777), (PRECIOUS, 0o644), "{arguments}");
    }
}

#[test]
fn ones_own_links_are_followed() {
    let workdir = with_link("failures.csv");
    workdir.run("sync --sandbox users.csv --failures shared/failures.csv").exits(0);
    assert!(workdir.read("victim").starts_with("user_id,attribute,value,fate"));
    assert!(workdir.path("shared/failures.csv").is_symlink());
}
