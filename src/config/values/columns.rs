//! `user_id=A,attribute=B,value=C`

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

/// Which column of the inputs holds what: ours to theirs, as `--columns` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(BTreeMap<String, String>);

impl Columns {
    /// Our names.
    pub(in crate::config) fn ours(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The inputs' names, which were asked for so that each input should have them.
    pub fn theirs(&self) -> BTreeSet<String> {
        self.0.values().cloned().collect()
    }

    /// Lays these names over a mapping of theirs to ours: what they speak of is looked for nowhere else.
    pub fn lay_over(self, mut theirs_to_ours: BTreeMap<String, String>) -> BTreeMap<String, String> {
        theirs_to_ours.retain(|_, ours| !self.0.contains_key(ours));
        theirs_to_ours.extend(self.0.into_iter().map(|(ours, theirs)| (theirs, ours)));
        theirs_to_ours
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut columns = BTreeMap::new();
        for pair in text.split(',') {
            let named = pair.split_once('=').map(|(ours, theirs)| (ours.trim(), theirs.trim()));
            let Some((ours, theirs)) = named.filter(|(ours, theirs)| !ours.is_empty() && !theirs.is_empty())
            else {
                return Err(format!("`{pair}` names no column: write `user_id=A,attribute=B,value=C`"));
            };
            if columns.values().any(|taken| taken == theirs) {
                return Err(format!("column `{theirs}` is named twice"));
            }
            if columns.insert(ours.to_owned(), theirs.to_owned()).is_some() {
                return Err(format!("`{ours}` is named twice"));
            }
        }
        Ok(Self(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_a_flag_names_replaces_what_the_file_says_of_the_same() {
        let file = map(&[("Kunde", "user_id"), ("E-mail address", "email")]);
        let flag: Columns = "user_id=ID, value=Neu".parse().unwrap();
        let expected = map(&[("ID", "user_id"), ("Neu", "value"), ("E-mail address", "email")]);
        assert_eq!(flag.lay_over(file), expected);
    }

    #[test]
    fn each_column_is_named_once() {
        for text in
            ["", "user_id", "user_id=", "=A", "user_id=A,", "user_id=A,user_id=B", "user_id=A,value=A"]
        {
            assert!(text.parse::<Columns>().is_err(), "{text}");
        }
    }
}
