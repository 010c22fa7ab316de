//! Wraps text to the width of the screen.

/// Parts with a separator between them, in lines of at most this many columns. A part that is longer than a line stands on
/// lines of its own.
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
                let letters: Vec<char> = part.chars().collect();
                lines.extend(letters.chunks(columns).map(|piece| piece.iter().collect::<String>()));
            }
        }
    }
    lines
}

/// A text in lines of at most this many columns, divided between words; the second line and those after it are indented.
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
    let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
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

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_line_is_too_wide(text in "[a-zż ]{0,80}", indent in 0_usize..20, columns in 1_usize..60) {
            let lines = wrapped(&text, indent, Some(columns));
            prop_assert!(lines.iter().all(|line| line.chars().count() <= columns), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
