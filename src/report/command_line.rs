//! Quotes commands so that they can be pasted into a shell.

use std::ffi::OsStr;
use std::fmt::Write as _;

use super::visible::is_invisible;

/// Words as a command line for a POSIX shell, each quoted where it needs to be. What can't be seen is escaped, which takes
/// quotes that all but the oldest shells know (`$'…'`).
pub fn command_line<Word: AsRef<OsStr>>(words: impl IntoIterator<Item = Word>) -> String {
    words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Some(text) if !text.contains(is_invisible) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => escaped(word.as_encoded_bytes()),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    // A digit behind an escape would be taken for a part of it by some shells.
    let mut is_behind_escape = false;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let is_escaped = is_invisible(character) || (is_behind_escape && character.is_ascii_hexdigit());
            match character {
                _ if is_escaped => escape(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
                '\'' | '\\' => text.extend(['\\', character]),
                _ => text.push(character),
            }
            is_behind_escape = is_escaped;
        }
        escape(chunk.invalid(), &mut text);
        is_behind_escape |= !chunk.invalid().is_empty();
    }
    format!("$'{text}'")
}

fn escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        write!(text, "\\x{byte:02x}").expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_needs_quotes_has_them() {
        let words = ["attrsync", "sync", "--rate", "10/s", "--null-token", "it's", "--empty=", "", "a b.csv"];
        assert_eq!(
            command_line(words),
            r"attrsync sync --rate 10/s --null-token 'it'\''s' --empty= '' 'a b.csv'"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(command_line(["x\u{1b}[2J"]), r"$'x\x1b[2J'");
        assert_eq!(command_line([OsStr::from_bytes(b"\xff1f")]), r"$'\xff\x31\x66'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_shell_reads_what_was_written(words in prop::collection::vec(prop::collection::vec(1_u8.., 0..12), 1..5)) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
            let script = format!("printf '%s\\0' {}", command_line(&words));
            let output = Command::new("bash").args(["-c", &script]).output().unwrap();
            let read: Vec<_> = output.stdout.split(|&byte| byte == 0).map(OsStr::from_bytes).collect();
            prop_assert_eq!(&read[..words.len()], &words[..]);
        }
    }
}
