//! Wraps text to the width of the screen.

/// Parts with a separator between them, in lines of at most this many columns. A part that is longer than a line stands on
/// lines of its own, or on one line if it has something in backticks.
pub(super) fn filled(
    parts: impl IntoIterator<Item = String>,
    separator: &str,
    columns: usize,
) -> Vec<String> {
    let columns = columns.max(1);
    let wide = |text: &str| text.chars().count();
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        // What ends a line when another follows: the separator, without its space.
        let ends = separator.trim_end().len();
        match lines.last_mut() {
            Some(line) if wide(line) + separator.len() + wide(&part) + ends <= columns => {
                line.push_str(separator);
                line.push_str(&part);
            }
            last => {
                if let Some(line) = last {
                    line.push_str(separator.trim_end());
                }
                if part.contains('`') {
                    lines.push(part);
                } else {
                    let letters: Vec<char> = part.chars().collect();
                    lines.extend(letters.chunks(columns).map(|piece| piece.iter().collect::<String>()));
                }
            }
        }
    }
    lines
}

/// A text in lines of at most this many columns, divided between words; the second line and those after it are indented.
/// What stands in backticks is not divided, so that it can be copied: if it is longer than a line, the terminal wraps it.
pub(super) fn wrapped(text: &str, indent: usize, columns: Option<usize>) -> Vec<String> {
    let Some(columns) = columns.filter(|columns| text.chars().count() > *columns) else {
        return vec![text.to_owned()];
    };
    // Very narrow screens have no room for an indent.
    let indent = if columns > indent + LEAST { indent } else { 0 };
    let start: String = text.chars().take(indent).collect();
    let rest: String = text.chars().skip(indent).collect();
    // Spaces at the start align numbers.
    let (spaces, words) = rest.split_at(rest.len() - rest.trim_start_matches(' ').len());
    let mut words = words_of(words);
    if let Some(first) = words.first_mut() {
        first.insert_str(0, spaces);
    }
    let mut lines = filled(words, " ", columns - indent);
    for (number, line) in lines.iter_mut().enumerate() {
        let before = if number == 0 { start.clone() } else { " ".repeat(indent) };
        line.insert_str(0, &before);
        line.truncate(line.trim_end().len());
    }
    lines
}

/// The words of a text. What stands between two backticks is part of one word.
fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_quoted = false;
    for piece in text.split(' ') {
        match words.last_mut() {
            Some(word) if is_quoted => {
                word.push(' ');
                word.push_str(piece);
            }
            _ => words.push(piece.to_owned()),
        }
        is_quoted ^= piece.matches('`').count() % 2 == 1;
    }
    // A backtick without a second one quotes nothing.
    if is_quoted {
        let open = words.pop().unwrap_or_default();
        words.extend(open.split(' ').map(str::to_owned));
    }
    words
}

/// The least room for words.
const LEAST: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_not_divided_and_keep_their_commas() {
        let parts = |count| (0..count).map(|_| "a".repeat(5));
        assert!(filled(parts(0), ", ", 13).is_empty());
        assert_eq!(filled(parts(3), ", ", 13), ["aaaaa, aaaaa,", "aaaaa"]);
    }

    #[test]
    fn lines_after_the_first_stand_below_its_text() {
        assert_eq!(
            wrapped("failed      25 rows: 404 Not Found: no such user", 10, Some(30)),
            ["failed      25 rows: 404 Not", "          Found: no such user"]
        );
        assert_eq!(wrapped("it fits", 3, Some(7)), ["it fits"]);
        assert_eq!(wrapped("no screen at all", 3, None), ["no screen at all"]);
    }

    #[test]
    fn what_can_be_copied_is_not_divided() {
        let lines = |text, columns| wrapped(text, 6, Some(columns));
        assert_eq!(
            lines("hint: run `attrsync sync --sandbox` or `ls`, please", 30),
            ["hint: run", "      `attrsync sync --sandbox`", "      or `ls`, please"]
        );
        assert_eq!(
            lines("hint: correct `/a/path with spaces/that/is/long`: it is wrong", 20),
            ["hint: correct", "      `/a/path with spaces/that/is/long`:", "      it is wrong"]
        );
        let lone = lines("hint: a lone ` quotes none of the words", 20);
        assert_eq!(lone, ["hint: a lone `", "      quotes none of", "      the words"]);
    }

    proptest! {
        #[test]
        fn nothing_in_backticks_is_divided_or_lost(text in "[a`ż ]{0,80}", indent in 0_usize..20, columns in 1_usize..60) {
            let lines = wrapped(&text, indent, Some(columns));
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }

        #[test]
        fn nothing_is_lost_and_no_line_is_too_wide(text in "[a-zż ]{0,80}", indent in 0_usize..20, columns in 1_usize..60) {
            let lines = wrapped(&text, indent, Some(columns));
            prop_assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
