//! `user_id=A,attribute=B,value=C`

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::input::ReadOptions;

/// Which column of the inputs holds what, ours to theirs, and which are to be ignored: `-=D`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    theirs: BTreeMap<String, String>,
    ignored: BTreeSet<String>,
}

impl Columns {
    /// Our names.
    pub(in crate::config) fn ours(&self) -> impl Iterator<Item = &str> {
        self.theirs.keys().map(String::as_str)
    }

    /// The inputs' names, which were asked for so that each input should have them.
    pub fn theirs(&self) -> BTreeSet<String> {
        self.theirs.values().cloned().collect()
    }

    /// Lays these names over a mapping of theirs to ours: what they speak of is looked for nowhere else.
    pub fn lay_over(self, mut theirs_to_ours: BTreeMap<String, String>) -> BTreeMap<String, String> {
        theirs_to_ours.retain(|_, ours| !self.theirs.contains_key(ours));
        theirs_to_ours.extend(self.theirs.into_iter().map(|(ours, theirs)| (theirs, ours)));
        theirs_to_ours
            .extend(self.ignored.into_iter().map(|theirs| (theirs, ReadOptions::IGNORED.to_owned())));
        theirs_to_ours
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut columns = Self::default();
        for pair in text.split(',') {
            let named = pair.split_once('=').map(|(ours, theirs)| (ours.trim(), theirs.trim()));
            let Some((ours, theirs)) = named.filter(|(ours, theirs)| !ours.is_empty() && !theirs.is_empty())
            else {
                return Err(format!("`{pair}` names no column: write `user_id=A,attribute=B,value=C`"));
            };
            if columns.ignored.contains(theirs) || columns.theirs.values().any(|taken| taken == theirs) {
                return Err(format!("column `{theirs}` is named twice"));
            }
            if ours == ReadOptions::IGNORED {
                columns.ignored.insert(theirs.to_owned());
            } else if columns.theirs.insert(ours.to_owned(), theirs.to_owned()).is_some() {
                return Err(format!("`{ours}` is named twice"));
            }
        }
        Ok(columns)
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
    fn columns_can_be_ignored_and_need_not_be_there() {
        let flag: Columns = "-=Notes,user_id=ID,-=Old e-mail".parse().unwrap();
        assert_eq!(flag.theirs(), ["ID".to_owned()].into());
        let expected = map(&[("Notes", "-"), ("ID", "user_id"), ("Old e-mail", "-")]);
        assert_eq!(flag.lay_over(BTreeMap::new()), expected);
    }

    #[test]
    fn each_column_is_named_once() {
        for text in [
            "",
            "user_id",
            "user_id=",
            "=A",
            "user_id=A,",
            "user_id=A,user_id=B",
            "user_id=A,value=A",
            "-=A,value=A",
        ] {
            assert!(text.parse::<Columns>().is_err(), "{text}");
        }
    }
}
