//! CSV files hold values as they are, and whoever may open them in a spreadsheet is warned of formulas.

use super::{Ended, KEY, Server, Workdir, ended};
use attrsync::sandbox::{Options, Reject};

const WARNING: &str = "text that a spreadsheet would run as a formula";

const FORMULAS: [&str; 4] =
    ["=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0"];

/// One user with each value, and a server that knows none of them.
fn refused(values: &[&str], arguments: &str) -> (Workdir, Ended) {
    let rows: Vec<String> =
        (1..).zip(values).map(|(user, value)| format!("{user},city,\"{value}\"")).collect();
    let workdir = Workdir::with_rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let reject_ids = (1..=values.len()).map(|user| user.to_string()).collect();
    let server = Server::new(Options { reject_ids, reject: Reject::Naming, ..Options::default() });
    let run = server.sync(&workdir, &format!("users.csv {arguments}")).exits(1);
    (workdir, run)
}

#[test]
fn a_failures_report_with_formulas_is_warned_of_and_holds_them_unchanged() {
    let (workdir, run) = refused(&FORMULAS, "--quiet");
    run.says(&format!("warning: 4 rows in `failures.csv` hold {WARNING}")).says("columns as text");
    let mut values: Vec<String> = workdir.failures().into_iter().map(|lost| lost.row[2].clone()).collect();
    values.sort();
    let mut expected = FORMULAS;
    expected.sort_unstable();
    assert_eq!(values, expected);
    let run = refused(&FORMULAS[..1], "--log-format json").1.says(WARNING);
    run.says("\"level\":\"WARN\"");
    // Invalid rows are in the report of a plan as well.
    workdir.file("bad.csv", "user_id,attribute,value\n=1+1,city,x\n2,city,Oslo\n");
    workdir.run("plan bad.csv --failures f.csv").exits(1).says(&format!("1 row in `f.csv` holds {WARNING}"));
}

#[test]
fn numbers_and_names_are_not_warned_of() {
    let (_, run) = refused(&["-5", "+48 123 456 789", "@anna", "- none", "Oslo"], "");
    assert!(!run.stderr.contains(WARNING), "{}", run.stderr);
}

#[test]
fn a_report_without_formulas_is_not_warned_of_though_the_input_has_some() {
    let workdir = Workdir::with_rows(&["1,city,=1+1"]);
    let run = workdir.run("sync --sandbox users.csv").exits(0);
    assert!(!run.stderr.contains(WARNING), "{}", run.stderr);
}

#[test]
fn undone_values_with_formulas_are_warned_of() {
    let (workdir, server) = (Workdir::with_rows(&["1,city,=1+1", "2,city,Oslo"]), Server::friendly());
    let run = |arguments: &str| {
        let mut command = workdir.attrsync(arguments);
        command.env("ATTRSYNC_BASE_URL", server.sandbox.base_url()).env("ATTRSYNC_TOKEN", KEY);
        ended(command)
    };
    run("sync users.csv").exits(0);
    workdir.file("next.csv", "user_id,attribute,value\n1,city,Bergen\n2,city,Bergen\n");
    run("sync next.csv").exits(0);
    let undone = run("undo 2").exits(0);
    assert!(undone.stdout.contains("1,city,=1+1\n"), "{}", undone.stdout);
    undone.says(&format!("1 row in the output holds {WARNING}"));
    run("undo 2 --output undo.csv").exits(0).says(&format!("1 row in `undo.csv` holds {WARNING}"));
}
