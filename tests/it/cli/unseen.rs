//! What others wrote, in file names, inputs and answers, steers no terminal and hides in no log.

use attrsync::report::is_invisible;
use attrsync::sandbox::{Options, Reject};
use serde_json::Value;

use super::{Server, Workdir, ended};

/// Clears the screen, rings, turns the direction, takes no width.
const TRICKS: &str = "\u{1b}[2J\u{7}\u{9b}\u{202e}\u{200b}";

/// Lines of text that show all that they hold.
#[track_caller]
fn check(text: &str) {
    let hidden = text.chars().find(|&c| is_invisible(c) && c != '\n');
    assert_eq!(hidden, None, "{}", text.escape_debug());
}

fn tricky() -> (Workdir, String) {
    let workdir = Workdir::new();
    let rows = ["c1,city,Oslo", "c2,gender,X", "c3,first_name,X", "c4,email,X", "c5,city,", "cX,city,Bergen"];
    let rows = rows.map(|row| row.replace('X', TRICKS)).join("\n");
    let name = format!("users{TRICKS}.csv");
    workdir.file(&name, format!("user_id,attribute,value\n{rows}\n"));
    (workdir, name)
}

#[test]
fn screens_and_logs_show_all_that_they_say() {
    for format in ["text", "json"] {
        let (workdir, name) = tricky();
        let options = Options {
            reject_ids: [format!("c{TRICKS}")].into(),
            reject: Reject::Naming,
            ..Options::default()
        };
        let server = Server::new(options);
        let mut command =
            server.command(&workdir, &format!("-vv --id-type custom-id --log-format {format} --summary -"));
        command.arg(&name).env_remove("ATTRSYNC_NO_LEDGER");
        let run = ended(command).exits(1);
        check(&run.stdout);
        check(&run.stderr);
        assert!(run.summary()["sources"][0].as_str() == Some(&name));
        check(&workdir.run("history").exits(0).stdout);
        check(&workdir.run("history show 1").exits(0).stdout);
        check(&workdir.run("history user c3 --id-type custom-id").exits(0).stdout);
        check(&workdir.run("history show 1 --format json").exits(0).stdout);
    }
}

#[test]
fn plans_show_all_that_they_say_and_bodies_stay_the_same_data() {
    let (workdir, name) = tricky();
    for arguments in ["", "--format json", "--bodies -"] {
        let mut command = workdir.attrsync(&format!("plan --id-type custom-id {arguments}"));
        let run = ended({
            command.arg(&name);
            command
        })
        .exits(1);
        check(&run.stdout);
        check(&run.stderr);
        if arguments == "--bodies -" {
            let bodies = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            assert!(bodies.into_iter().any(|body| body["value"] == TRICKS));
        }
    }
    let mut command = workdir.attrsync("plan --id-type custom-id --bodies bodies.json");
    command.arg(&name);
    ended(command).exits(1);
    assert!(workdir.read("bodies.json").contains('\u{202e}'), "a file has the bytes that are sent");
}

#[test]
fn wrong_arguments_are_shown_whole() {
    let workdir = Workdir::new();
    let mut command = workdir.attrsync("sync");
    command.arg(format!("--{TRICKS}"));
    check(&ended(command).exits(2).stderr);
}
