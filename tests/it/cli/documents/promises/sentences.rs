//! The sentences of a page: those of its prose, its tables, and its help screens.

use super::super::Page;

/// All sentences, each once. Blocks of code and headings have none.
pub(super) fn of(page: &Page) -> Vec<String> {
    let mut found: Vec<String> = prose(&page.text).iter().flat_map(|text| divide(text)).collect();
    for block in page.blocks() {
        if block.shows.is_some_and(|shows| shows.starts_with("attrsync ") && shows.ends_with("--help")) {
            found.extend(help(block.content).iter().flat_map(|text| divide(text)));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|sentence| seen.insert(sentence.clone()));
    found
}

/// Paragraphs, items of lists and rows of tables below their header, each on one line.
fn prose(text: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), String::new());
    let mut is_code = false;
    // A line that ends a paragraph, so that the last one ends as well.
    for line in text.lines().chain([""]) {
        let line = line.trim();
        if line.starts_with("```") {
            is_code = !is_code;
        }
        let is_below_header = line.starts_with("|--");
        if is_below_header {
            open.clear();
        }
        let is_other = is_code
            || is_below_header
            || line.is_empty()
            || line.starts_with(['#', '<', '!'])
            || line.starts_with("```");
        let item = line.strip_prefix("- ").or_else(|| numbered(line));
        let starts = item.is_some() || line.starts_with('|');
        if is_other || starts {
            found.push(std::mem::take(&mut open));
        }
        if !is_other {
            open.push_str(item.unwrap_or(line));
            open.push(' ');
        }
    }
    let plain = |text: &String| without_links(text).replace("**", "");
    found.iter().map(plain).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// What follows `1. `.
fn numbered(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(". ")?;
    number.parse::<u8>().is_ok().then_some(rest)
}

/// The words of links, without where they lead.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((start, words)) = before.rsplit_once('[') else { break };
        let Some((_, end)) = after.split_once(')') else { break };
        plain.extend([start, words]);
        rest = end;
    }
    plain + rest
}

/// What a help screen says of each option, command and exit code, and its paragraphs.
fn help(screen: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_example = false;
    let mut goes_on = false;
    for line in screen.lines().filter(|line| !line.starts_with("Usage:")) {
        let text = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_indented = line.starts_with(' ');
        if text.is_empty() {
            goes_on &= is_example || found.last().is_some_and(|last| last.starts_with('-'));
        } else if !is_indented && text.ends_with(':') {
            is_example = text.starts_with("Example") || text.starts_with("In another");
            goes_on = false;
        } else if is_example && is_indented {
            // A command line.
        } else {
            is_example = false;
            // Descriptions stand further to the right than what they describe.
            let depth = line.len() - line.trim_start().len();
            let starts = is_indented && (depth <= 2 || (text.starts_with('-') && depth <= 6));
            match found.last_mut() {
                Some(last) if goes_on && !starts => *last = format!("{last} {text}"),
                _ => found.push(text),
            }
            goes_on = true;
        }
    }
    found
}

/// A text by its sentences.
fn divide(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(end) = end_of_sentence(rest) {
        let (sentence, later) = rest.split_at(end);
        found.push(sentence.trim().to_owned());
        rest = later;
    }
    found.push(rest.trim().to_owned());
    // In help, `-` stands for standard input, and before the values of an option.
    for sentence in &mut found {
        *sentence = sentence.trim_start_matches("- ").to_owned();
    }
    found.retain(|sentence| sentence.chars().filter(|c| c.is_alphabetic()).count() > 2);
    found
}

/// Where the first of several sentences ends: after a full stop, and what closes after it.
fn end_of_sentence(text: &str) -> Option<usize> {
    let ends = text.match_indices(['.', '?', '!']);
    let ends = ends.map(|(at, end)| {
        let rest = text.split_at(at + end.len()).1;
        let closed = rest.trim_start_matches([')', '"', '*']);
        (text.len() - closed.len(), closed)
    });
    let is_end = |(_, rest): &(usize, &str)| rest.starts_with(' ') && !rest.trim().is_empty();
    ends.into_iter().find(is_end).map(|(at, _)| at)
}

#[test]
fn a_page_is_read_by_its_sentences() {
    let text = "# A. Heading\n\nOne [link](to.md#x) here. **Two**\ngoes on (so it is).\n\n- Item one? Yes!\n- Item two\n\n\
                | head |\n|---|---|\n| here | one. Two. |\n\n1. First.\n\n```sh\ncode. code.\n```\nLast of 0.2.\n";
    let found: Vec<String> = prose(text).iter().flat_map(|text| divide(text)).collect();
    let expected = [
        "One link here.",
        "Two goes on (so it is).",
        "Item one?",
        "Yes!",
        "Item two",
        "| here | one.",
        "Two.",
        "First.",
        "Last of 0.2.",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_help_screen_is_read_by_its_options() {
    let screen = "Do it. All of it\n\nUsage: x [OPTIONS]\n\nCommands:\n  one  First\n  two  Second\n\nOptions:\n  -q, --quiet\n          \
                  Be quiet. Really\n\n          [default: no]\n\n      --top <N>  How\n                 many\n\nExamples:\n  x one\n\n\
                  Exit codes:\n  0  good\n  1  bad\n\nEvery option\ncan.\n";
    let found = help(screen);
    let expected = [
        "Do it. All of it",
        "one First",
        "two Second",
        "-q, --quiet Be quiet. Really [default: no]",
        "--top <N> How many",
        "0 good",
        "1 bad",
        "Every option can.",
    ];
    assert_eq!(found, expected);
}
