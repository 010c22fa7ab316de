//! Checks names of attributes and columns in the settings: rows must be able to have them.

use super::error::ConfigError;
use crate::input::{STANDARD, Vocabulary, nearest_standard};

/// The name of an attribute or column, and where the settings use it.
#[derive(Clone, Debug)]
pub(super) struct NameUse {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) subject: Subject,
}

/// What a name is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// An attribute, as rows have it.
    Attribute,
    /// What a column holds, in any case.
    Column {
        /// What the inputs call it, where the file says so.
        theirs: Option<String>,
    },
}

/// Rejects the first name that no row can have.
pub(super) fn check(uses: &[NameUse], vocabulary: Vocabulary) -> Result<(), ConfigError> {
    if vocabulary == Vocabulary::Custom {
        return Ok(());
    }
    let Some(NameUse { name, place, subject }) = uses.iter().find(|name_use| !name_use.is_known()) else {
        return Ok(());
    };
    let what = match subject {
        Subject::Attribute => "is not a standard attribute",
        Subject::Column { .. } => "is neither `user_id`, `attribute` nor `value`, nor a standard attribute",
    };
    if let Subject::Column { theirs: Some(theirs) } = subject
        && is_column(theirs)
    {
        let hint = format!("the attrsync name comes first, as in `--columns`: write `{theirs} = {name:?}`");
        return Err(ConfigError::at(place, format!("`{name}` {what}")).with_hint(hint));
    }
    let hint = match nearest_standard(name) {
        Some(near) => format!("write `{near}` if that is meant, or set `--allow-custom`"),
        None => "set `--allow-custom` if it is a custom attribute".to_owned(),
    };
    Err(ConfigError::at(place, format!("`{name}` {what}")).with_hint(hint))
}

impl NameUse {
    fn is_known(&self) -> bool {
        match self.subject {
            Subject::Attribute => STANDARD.contains(&self.name.as_str()),
            Subject::Column { .. } => is_column(&self.name),
        }
    }
}

/// Whether a column can have this name without custom attributes.
fn is_column(name: &str) -> bool {
    let mut known = ["attribute", "value"].into_iter().chain(STANDARD);
    known.any(|known| known.eq_ignore_ascii_case(name.trim()))
}
