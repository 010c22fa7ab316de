//! Cells of CSV files that a spreadsheet would run as a formula. They are written as they are, because the files are inputs
//! again: whoever opens one is warned.

use super::Message;
use super::format::counted;

/// Whether a spreadsheet would take a cell for a formula that does something.
///
/// A formula begins with `=`, `+`, `-` or `@`; some programs drop white space before it. Numbers, phone numbers, lists and
/// names do so, too. They run nothing, so all but `=` need what a function or a command has: a letter, and `(`, `|` or `!`.
pub fn is_formula(cell: &str) -> bool {
    // Nearly all cells end here.
    if !matches!(cell.as_bytes().first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r')) {
        return false;
    }
    let text = cell.trim_start_matches(['\t', '\r', '\n', ' ']);
    let Some(rest) = text.strip_prefix(['=', '+', '-', '@']) else { return false };
    if text.starts_with('=') {
        return !rest.is_empty();
    }
    rest.contains(|c: char| c.is_ascii_alphabetic()) && rest.contains(['(', '|', '!'])
}

/// The warning for a file in which this number of rows has formulas.
pub fn formula_warning(rows: u64, file: &str) -> Option<Message> {
    if rows == 0 {
        return None;
    }
    let holds = if rows == 1 { "holds" } else { "hold" };
    let text =
        format!("{} in {file} {holds} text that a spreadsheet would run as a formula", counted(rows, "row"));
    let hint = "in a spreadsheet, import the file with all columns as text";
    Some(Message::warning(text).with_hint(hint.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_a_formula() {
        for cell in [
            "=1+1",
            "=cmd|' /C calc'!A0",
            "=HYPERLINK(\"http://example.com\")",
            "+cmd|' /C calc'!A0",
            "-2+3+cmd|' /C calc'!A0",
            "@SUM(1+1)*cmd|' /C calc'!A0",
            "\t=1+1",
            "\r=1+1",
            "\t+SUM(A1)",
        ] {
            assert!(is_formula(cell), "{cell:?}");
        }
    }

    #[test]
    fn numbers_names_and_lists_are_none() {
        for cell in [
            "",
            "Oslo",
            "a=b",
            "-5",
            "-5.5",
            "+48 123 456 789",
            "+48 (22) 123-45-67",
            "-",
            "=",
            "@anna",
            "- one",
            "-n/a",
            "\tx",
            "1=1",
            " =1",
        ] {
            assert!(!is_formula(cell), "{cell:?}");
        }
    }

    #[test]
    fn only_files_with_formulas_are_warned_of() {
        assert_eq!(formula_warning(0, "`failures.csv`"), None);
        let warning = formula_warning(2, "`failures.csv`").unwrap();
        assert_eq!(
            warning.text(),
            "2 rows in `failures.csv` hold text that a spreadsheet would run as a formula"
        );
    }
}
