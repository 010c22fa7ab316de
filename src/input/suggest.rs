//! Suggests what was probably meant by a name.

use std::collections::HashMap;

use super::{Layout, ReadOptions, STANDARD};

/// Names that these columns often have.
const USUAL: [(&str, &[&str]); 3] = [
    ("user_id", &["user_id", "userid", "user", "id", "custom_id", "customer_id", "client_id", "uid"]),
    ("attribute", &["attribute", "attributes", "attribute_name", "attr", "field", "key", "property", "name"]),
    ("value", &["value", "values", "val", "new_value", "attribute_value", "content"]),
];

/// How similar a name must be to be suggested, from 0 to 1. Lower values suggest names that have little in common.
const LIKE: f64 = 0.8;

/// In a name with fewer characters, one typo may make a different word.
const SHORTEST: usize = 4;

/// The longest name that is compared with others, in bytes.
const LONGEST: usize = 64;

/// A cache of suggestions. Finding one takes a hundred times as long as reading a row, and an input with a wrong name
/// usually has it in many rows.
#[derive(Debug, Default)]
pub(super) struct SuggestionCache {
    standard: HashMap<String, Option<&'static str>>,
}

impl SuggestionCache {
    /// The most names in the cache.
    const MOST: usize = 4096;

    /// The standard attribute that was probably meant.
    pub(super) fn standard(&mut self, name: &str) -> Option<&'static str> {
        if let Some(&known) = self.standard.get(name) {
            return known;
        }
        let nearest = nearest_standard(name);
        if self.standard.len() < Self::MOST && name.len() <= LONGEST {
            self.standard.insert(name.to_owned(), nearest);
        }
        nearest
    }
}

/// What to do about a header with these columns.
pub(super) fn columns(found: &[String], options: &ReadOptions) -> String {
    let mut left: Vec<&String> = found.iter().collect();
    let mut mapping = Vec::new();
    let mut is_long = true;
    for (wanted, usual) in USUAL {
        let likeness = |name: &&String| usual.iter().map(|usual| like(name, usual)).fold(0.0, f64::max);
        let best = (0..left.len()).max_by(|a, b| likeness(&left[*a]).total_cmp(&likeness(&left[*b])));
        if let Some(best) = best.filter(|best| likeness(&left[*best]) >= LIKE) {
            let name = left.remove(best);
            is_long &= name.eq_ignore_ascii_case(wanted);
            if !name.eq_ignore_ascii_case(wanted) {
                mapping.push(format!("{wanted}={name}"));
            }
        } else {
            is_long = false;
        }
    }
    if is_long {
        return "leave out `--layout`".to_owned();
    }
    if mapping.is_empty() || found.len() < 2 {
        let line = if options.layout == Layout::Wide { "user_id,city" } else { "user_id,attribute,value" };
        return format!("start the input with a header, as `{line}`, or name its columns with `--columns`");
    }
    format!("rename the columns, or add `--columns {}`", as_typed(&mapping.join(",")))
}

/// Quoted for a shell, if necessary.
fn as_typed(text: &str) -> String {
    if text.contains(|c: char| !(c.is_alphanumeric() || "_,=-.".contains(c))) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        text.to_owned()
    }
}

/// Lists columns that are not attributes, and what was probably meant.
pub(super) fn unknown(names: &[String]) -> String {
    let one = |name: &String| match nearest_standard(name) {
        Some(meant) => format!("`{name}` (did you mean `{meant}`?)"),
        None => format!("`{name}`"),
    };
    names.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What to do about a header that has these columns, and not the one that the options name.
pub(super) fn column(named: &str, ours: &str, found: &[String]) -> String {
    match nearest(named, found.iter().map(String::as_str)) {
        Some(meant) => format!("write `{ours}={meant}` if that is meant"),
        None => {
            "correct `--columns`, or name the column under `[columns]` if not all inputs have it".to_owned()
        }
    }
}

/// The standard attribute that was probably meant by a name.
pub fn nearest_standard(name: &str) -> Option<&'static str> {
    nearest(name, STANDARD.into_iter())
}

/// The one of these names that was probably meant.
pub(super) fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let name = plain(name);
    let ranked = among.map(|known| (likeness(&name, &plain(known)), known));
    ranked.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(like, _)| *like >= LIKE).map(|(_, known)| known)
}

fn like(name: &str, known: &str) -> f64 {
    likeness(&plain(name), &plain(known))
}

/// A name without what people write differently: case, spaces, hyphens and underscores.
fn plain(name: &str) -> String {
    name.to_lowercase().replace([' ', '-', '_'], "")
}

/// How similar two plain names are, from 0 to 1; 0 if their lengths alone make them less similar than [`LIKE`].
fn likeness(name: &str, known: &str) -> f64 {
    let (name_chars, known_chars) = (name.chars().count(), known.chars().count());
    // Each extra character is an insertion. With more than a fifth of them, the names are not similar enough.
    if name_chars.abs_diff(known_chars) * 5 > name_chars.max(known_chars) {
        return 0.0;
    }
    let like = strsim::normalized_damerau_levenshtein(name, known);
    // In a short name, one typo weighs more than it should: `ctiy`.
    let is_one_slip = name_chars >= SHORTEST && strsim::damerau_levenshtein(name, known) == 1;
    if is_one_slip { like.max(LIKE) } else { like }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &[&str], expected: &str) {
        let found: Vec<String> = found.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(columns(&found, &ReadOptions::default()), expected);
    }

    #[test]
    fn the_likeliest_columns_are_suggested() {
        check(
            &["User ID", "Key", "Val"],
            "rename the columns, or add `--columns 'user_id=User ID,attribute=Key,value=Val'`",
        );
        check(&["custom_id", "city"], "rename the columns, or add `--columns user_id=custom_id`");
    }

    #[test]
    fn nothing_is_suggested_where_nothing_is_like_it() {
        let none = "start the input with a header, as `user_id,attribute,value`, or name its columns with `--columns`";
        check(&["10", "city", "Kraków"], none);
    }

    #[test]
    fn a_slip_finds_its_name() {
        assert_eq!(nearest("contry", ["city", "country"].into_iter()), Some("country"));
        assert_eq!(nearest("ctiy", ["city", "country"].into_iter()), Some("city"));
        assert_eq!(nearest("City", ["city", "country"].into_iter()), Some("city"));
        assert_eq!(nearest("shoe_size", ["city", "country"].into_iter()), None);
    }

    #[test]
    fn what_is_remembered_is_what_would_be_found() {
        let mut meant = SuggestionCache::default();
        let long = "x".repeat(LONGEST + 1);
        for name in ["contry", "contry", "e-mail", "colour", "colour", "", &long, "gendre"] {
            assert_eq!(meant.standard(name), nearest_standard(name), "{name}");
        }
        assert_eq!(meant.standard.len(), 5);
        for number in 0..2 * SuggestionCache::MOST {
            meant.standard(&format!("contry {number}"));
        }
        assert_eq!(
            (meant.standard.len(), meant.standard("cuntry")),
            (SuggestionCache::MOST, Some("country"))
        );
    }

    #[test]
    fn lengths_rule_out_nothing_that_is_like_enough() {
        let names = [
            "a",
            "",
            "city",
            "cty",
            "citys",
            "żółć",
            "country",
            "phone number",
            "unsubscribedd",
            "twitter",
            "gravatar_ur",
        ];
        for name in names {
            for known in STANDARD {
                let full = strsim::normalized_damerau_levenshtein(&plain(name), &plain(known));
                assert_eq!(like(name, known) >= LIKE, full >= LIKE, "{name}, {known}");
            }
        }
    }
}
