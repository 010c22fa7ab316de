//! What other programs leave in values: none of it is ever meant, and none of it keeps a row back.

use super::rules::Rule;

/// What spreadsheets show instead of a value.
const ERRORS: [&str; 10] = [
    "#N/A",
    "#REF!",
    "#VALUE!",
    "#DIV/0!",
    "#NAME?",
    "#NULL!",
    "#NUM!",
    "#SPILL!",
    "#CALC!",
    "#GETTING_DATA",
];

/// What programs write for the lack of a value.
const NOTHING: [&str; 11] =
    ["NULL", "null", "NaN", "nan", "NaT", "None", "nil", "undefined", "\\N", "<NA>", "#NULL"];

/// What is odd about a value, if anything is.
pub(super) fn find(text: &str) -> Option<Rule> {
    match text.bytes().next()? {
        b'#' if ERRORS.contains(&text) => return Some(Rule::SpreadsheetError),
        b'=' if text.starts_with("=\"") && text.ends_with('"') => return Some(Rule::Formula),
        // Names may start with an apostrophe, as `'t Hooft`.
        b'\''
            if text.as_bytes().get(1).is_some_and(|byte| byte.is_ascii_digit() || b"+-=@".contains(byte)) =>
        {
            return Some(Rule::Apostrophe);
        }
        b' ' | b'\t' if text.trim_start().starts_with('"') && text.trim_end().ends_with('"') => {
            return Some(Rule::QuotesInside);
        }
        b'N' | b'n' | b'u' | b'\\' | b'<' | b'#' if NOTHING.contains(&text) => return Some(Rule::Nothing),
        first if first.is_ascii_graphic() && is_plain(text) => return None,
        _ => {}
    }
    if text.trim().is_empty() {
        return Some(Rule::Blank);
    }
    if is_escaped(text) {
        return Some(Rule::Html);
    }
    text.chars().find_map(|character| match character {
        '\u{fffd}' => Some(Rule::Replaced),
        '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Rule::Invisible)
        }
        '\n' | '\r' | '\t' => None,
        control if control.is_control() => Some(Rule::Control),
        _ => None,
    })
}

/// Whether a text is printable ASCII that HTML would write as it is. Most are, and they need no closer look.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'&')
}

/// Whether a character stands there as HTML writes it.
fn is_escaped(text: &str) -> bool {
    text.split('&').skip(1).any(|rest| {
        ["amp;", "lt;", "gt;", "quot;", "apos;", "nbsp;"].iter().any(|name| rest.starts_with(name))
            || rest.strip_prefix('#').and_then(|rest| rest.split_once(';')).is_some_and(|(code, _)| {
                let digits = code.trim_start_matches(['x', 'X']);
                !digits.is_empty() && digits.len() < 7 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_leave_is_found_and_what_people_write_is_not() {
        for (text, rule) in [
            ("#N/A", Some(Rule::SpreadsheetError)),
            ("#REF!", Some(Rule::SpreadsheetError)),
            ("=\"0012\"", Some(Rule::Formula)),
            ("'0012", Some(Rule::Apostrophe)),
            ("'+48123", Some(Rule::Apostrophe)),
            (" \"Rome\"", Some(Rule::QuotesInside)),
            ("NaN", Some(Rule::Nothing)),
            ("NULL", Some(Rule::Nothing)),
            ("\\N", Some(Rule::Nothing)),
            ("  ", Some(Rule::Blank)),
            ("\u{a0}", Some(Rule::Blank)),
            ("Smith &amp; Sons", Some(Rule::Html)),
            ("O&#39;Brien", Some(Rule::Html)),
            ("\u{fffd}\u{f3}d\u{fffd}", Some(Rule::Replaced)),
            ("a\u{200b}@b.pl", Some(Rule::Invisible)),
            ("a\0b", Some(Rule::Control)),
            ("a\u{85}b", Some(Rule::Control)),
            ("", None),
            ("Kraków", None),
            ("'t Hooft", None),
            ("#1", None),
            ("= 5", None),
            ("6\" pipe", None),
            ("Bed & Breakfast; cheap", None),
            ("Null Island", None),
            ("a\nb\tc", None),
            ("\u{1f468}\u{200d}\u{1f469}", None),
        ] {
            assert_eq!(find(text), rule, "{text:?}");
        }
    }
}
