//! Reads Rust as tokens, not types.
//!
//! It sees every path that starts at the crate's root, in imports and in code, and passes over comments, literals and
//! `#[cfg(test)]` items. What a macro puts together it does not see.

/// A name at the crate's root that a path leads through.
pub(super) struct Use<'a> {
    pub(super) line: usize,
    pub(super) name: &'a str,
}

/// Every path from the crate's root, by whichever way it gets there.
pub(super) fn uses<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<Use<'a>> {
    let mut found = Vec::new();
    let mut braces = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut next = at + 1;
        match token.text {
            "{" => braces.push(at >= 2 && tokens[at - 2].text == "mod"),
            "}" => drop(braces.pop()),
            "crate" | "attrsync" | "super" if starts_with(&tokens[next..], &["::"]) => {
                next += 1;
                let mut climbed = usize::from(token.text == "super");
                while starts_with(&tokens[next..], &["super", "::"]) {
                    climbed += 1;
                    next += 2;
                }
                let modules = depth + braces.iter().filter(|is_module| **is_module).count();
                if token.text != "super" || climbed == modules {
                    found.extend(first_names(&tokens[next..]));
                }
            }
            _ => {}
        }
        at = next;
    }
    found
}

/// What a path goes on with: one name, or in braces several.
fn first_names<'a>(tokens: &[Token<'a>]) -> Vec<Use<'a>> {
    let name = |token: &Token<'a>| Use { line: token.line, name: token.text };
    if !starts_with(tokens, &["{"]) {
        return tokens.first().map(name).into_iter().collect();
    }
    let mut depth = 0;
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        match pair[0].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0].text, "{" | ",") && pair[1].text != "}" {
            found.push(name(&pair[1]));
        }
    }
    found
}

/// A word, a `::`, or any other character.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

pub(crate) fn starts_with(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// The tokens of blanked code, without its tests.
pub(super) fn tokens(code: &str) -> Vec<Token<'_>> {
    without_tests(&all_tokens(code))
}

/// The tokens of blanked code.
pub(crate) fn all_tokens(code: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    for (number, mut rest) in code.lines().enumerate() {
        while let Some(c) = rest.chars().next() {
            let length = if is_word(c) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                c.len_utf8()
            };
            let (text, later) = rest.split_at(length);
            rest = later;
            if !c.is_whitespace() {
                tokens.push(Token { text, line: number + 1 });
            }
        }
    }
    tokens
}

fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((token, later)) = rest.split_first() {
        let is_for_tests = starts_with(rest, &["#", "[", "cfg", "(", "test", ")", "]"])
            || starts_with(rest, &["#", "[", "cfg", "(", "all", "(", "test"]);
        if is_for_tests {
            rest = rest.split_at(item_len(rest)).1;
        } else {
            kept.push(*token);
            rest = later;
        }
    }
    kept
}

/// How many tokens an item takes: up to the end of its first braces, or to its semicolon.
fn item_len(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0;
    let end = tokens.iter().position(|token| {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && matches!(token.text, "}" | ";")
    });
    end.map_or(tokens.len(), |end| end + 1)
}

/// The source with spaces for comments and literals, line for line.
pub(crate) fn blank(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let prose = prose_len(rest);
        let (taken, later) = rest.split_at(prose.max(c.len_utf8()));
        if prose == 0 {
            code.push(c);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = later;
    }
    code
}

/// How many bytes of comment or literal the text starts with.
fn prose_len(text: &str) -> usize {
    let through = |start: usize, end: &str| {
        let found = text.get(start..).and_then(|rest| rest.find(end));
        found.map_or(text.len(), |at| start + at + end.len())
    };
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        block_comment_len(text)
    } else if text.starts_with('"') {
        quoted_len(text, '"')
    } else if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let is_string = raw.trim_start_matches('#').starts_with('"');
        if is_string { through(hashes + 2, &format!("\"{}", "#".repeat(hashes))) } else { 0 }
    } else if let Some(inside) = text.strip_prefix('\'') {
        let is_character = inside.starts_with('\\') || inside.chars().nth(1) == Some('\'');
        if is_character { quoted_len(text, '\'') } else { 0 }
    } else {
        0
    }
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let is_end = !escaped && *c == quote;
        escaped = !escaped && *c == '\\';
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

#[test]
fn blanking_keeps_lines_where_they_are() {
    assert_eq!(blank("a /* ż\n*/ b // c\n'd' \"e\n\" f"), "a     \n   b     \n      \n  f");
}
