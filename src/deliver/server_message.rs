//! The message in a server's answer, made fit for a report: one line, of limited length, and all of it can be seen.

use serde_json::Value;

use crate::input::is_invisible;

/// Longer messages are cut, because a report repeats them for each failed row.
const MOST_CHARS: usize = 500;

/// The message in a body, as one line; empty if there is none.
///
/// It understands the errors of Django REST framework, `{"detail": "…"}` and `{"field": ["…"]}`. Of an HTML page it
/// takes the title.
pub(super) fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let mut said = Vec::new();
            flatten("", &value, &mut said);
            said.join("; ")
        }
        Err(_) => page(&String::from_utf8_lossy(body)),
    };
    one_line(&text)
}

/// Each text of a nested error with the path to it: `ids.0: A valid integer is required.`
fn flatten(path: &str, value: &Value, said: &mut Vec<String>) {
    let below = |name: &str| match (path, name) {
        ("", name) => name.to_owned(),
        (path, name) => format!("{path}.{name}"),
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() && name == "detail" { String::new() } else { below(name) };
                flatten(&path, value, said);
            }
        }
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            said.push(labelled(path, &items.join(", ")));
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                flatten(&below(&place.to_string()), item, said);
            }
        }
        value => said.push(labelled(path, &plain(value))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn labelled(path: &str, text: &str) -> String {
    if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") }
}

/// The title of an HTML page; any other text as it is.
fn page(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        let end = start + lower.get(start..)?.find("</title>")?;
        text.get(start..end)
    });
    match title {
        Some(title) => format!("an HTML page, `{}`", title.trim()),
        None if lower.trim_start().starts_with('<') => "an HTML page".to_owned(),
        None => text.to_owned(),
    }
}

/// One line, with what can't be seen escaped, of at most [`MOST_CHARS`] characters and, where it is cut, how many there were.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        for character in word.chars() {
            if is_invisible(character) {
                line.extend(character.escape_unicode());
            } else {
                line.push(character);
            }
        }
    }
    let Some((end, _)) = line.char_indices().nth(MOST_CHARS) else { return line };
    let chars = line.chars().count();
    line.truncate(end);
    // Not within a word, since the first half of an id is another's id; unless it is all one word.
    let whole = line.trim_end_matches(char::is_alphanumeric).trim_end().len();
    if whole > end / 2 {
        line.truncate(whole);
    }
    // Without separators, so that reasons which differ by the number alone count as one.
    format!("{line} … ({chars} characters in all)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_framework_says() {
        assert_eq!(message(br#"{"detail":"Not found."}"#), "Not found.");
        assert_eq!(
            message(br#"{"ids":["Invalid pk \"42\""],"value":["too long","odd"]}"#),
            r#"ids: Invalid pk "42"; value: too long, odd"#
        );
        assert_eq!(
            message(br#"{"ids": {"0": ["A valid integer is required."]}, "errors": [{"code": "x"}, "y"]}"#),
            "ids.0: A valid integer is required.; errors.0.code: x; errors.1: y"
        );
    }

    #[test]
    fn survives_pages_garbage_and_silence() {
        assert_eq!(
            message(b"<html><head><TITLE> 502 Bad\nGateway </title>"),
            "an HTML page, `502 Bad Gateway`"
        );
        assert_eq!(message(b"<!doctype html><p>no"), "an HTML page");
        assert_eq!(message(b"\xff\x00a\x1b[31mb"), "\u{fffd} a [31mb");
        assert_eq!(message("a\u{202e}b\u{9b}c".as_bytes()), "a\\u{202e}b c");
        assert_eq!(message(b""), "");
    }

    #[test]
    fn cuts_what_is_too_long_between_characters() {
        let cut = one_line(&"ż".repeat(1000));
        assert_eq!(cut, format!("{} … (1000 characters in all)", "ż".repeat(MOST_CHARS)));
        assert_eq!(one_line(&"ż".repeat(MOST_CHARS)), "ż".repeat(MOST_CHARS));
    }

    #[test]
    fn cuts_within_a_word_that_is_most_of_the_text() {
        let (half, word) = ("a".repeat(MOST_CHARS / 2), "x".repeat(MOST_CHARS));
        for (first, kept) in [("id", MOST_CHARS), (&half, MOST_CHARS), (&format!("{half}a"), half.len() + 1)]
        {
            let cut = one_line(&format!("{first} {word}"));
            assert_eq!(cut.split_once(" … ").unwrap().0.len(), kept);
        }
    }

    #[test]
    fn cuts_between_words_wherever_the_limit_falls() {
        for first in 1..30 {
            let ids = " 1234567".repeat(6000);
            let cut = one_line(&format!("{}{ids}", "x".repeat(first)));
            let (kept, mark) = cut.split_once(" … ").unwrap();
            assert_eq!(mark, format!("({} characters in all)", first + ids.len()));
            assert!((MOST_CHARS - 8..=MOST_CHARS).contains(&kept.len()), "{first}: {}", kept.len());
            assert!(kept.ends_with(" 1234567"), "{first}: {kept}");
        }
    }
}
