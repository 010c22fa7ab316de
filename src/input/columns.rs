//! Decides from a header which column holds what.

use super::dictionary::AttributeError;
use super::invisible::{trim, trim_text};
use super::record::{Record, SyntaxError};
use super::rules::STANDARD_ATTRIBUTES;
use super::{AttributeId, Dictionary, Layout, ReadOptions, Vocabulary};

/// The columns of an input.
#[derive(Clone, Debug)]
pub(super) struct InputColumns {
    /// The header as it is, to recognize repetitions of it.
    pub(super) names: Vec<Vec<u8>>,
    pub(super) row_layout: RowLayout,
    /// Columns of a wide input that are neither attributes nor ignored by the options.
    pub(super) unknown: Vec<usize>,
    /// Columns of a wide input without a name. Spreadsheets add such columns, and leave them empty.
    pub(super) nameless: Vec<usize>,
}

/// Which columns hold the parts of a row.
#[derive(Clone, Debug)]
pub(super) enum RowLayout {
    Long { user: usize, attribute: usize, value: usize },
    Wide { user: usize, attributes: Vec<AttributeColumn> },
}

/// A column of the wide layout that holds an attribute.
#[derive(Clone, Debug)]
pub(super) struct AttributeColumn {
    pub(super) column: usize,
    pub(super) name: String,
    /// 0 until [`InputColumns::resolve_attributes`] is called.
    pub(super) attribute: AttributeId,
}

/// Why a header is not valid.
#[derive(Debug)]
pub(super) enum HeaderError {
    /// What is missing, as the words after `no`.
    Missing(&'static str),
    /// The line is not valid CSV.
    SyntaxError(SyntaxError),
    /// The options require a column with this name.
    MissingRequired(String),
    Duplicate {
        first: usize,
        second: usize,
        meaning: String,
    },
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    User,
    Attribute,
    Value,
    Named(String),
    Ignored,
}

impl InputColumns {
    pub(super) fn from_header(names: &[Vec<u8>], options: &ReadOptions) -> Result<Self, HeaderError> {
        if let Some(name) =
            options.required.iter().find(|name| !names.iter().any(|found| is_called(found, name)))
        {
            return Err(HeaderError::MissingRequired(name.clone()));
        }
        let roles = roles(names, options);
        let all = |role: &Role| -> Vec<usize> { (0..roles.len()).filter(|at| roles[*at] == *role).collect() };
        let user = single(&all(&Role::User), "user_id");
        let (attribute, value) = (all(&Role::Attribute), all(&Role::Value));
        let is_long = !attribute.is_empty() && !value.is_empty() && options.layout != Layout::Wide;
        let (mut unknown, mut nameless) = (Vec::new(), Vec::new());
        let row_layout = if is_long {
            RowLayout::Long {
                user: user?,
                attribute: single(&attribute, "attribute")?,
                value: single(&value, "value")?,
            }
        } else if options.layout == Layout::Long {
            user?;
            let missing = if attribute.is_empty() { "`attribute` column" } else { "`value` column" };
            return Err(HeaderError::Missing(missing));
        } else {
            let user = user?;
            let mut attributes: Vec<AttributeColumn> = Vec::new();
            for (column, role) in roles.iter().enumerate().filter(|(column, _)| *column != user) {
                match attribute_name(role, options.vocabulary) {
                    Some(name) => {
                        attributes.push(AttributeColumn { column, name, attribute: AttributeId(0) });
                    }
                    None if *role == Role::Ignored => {}
                    None if trim(&names[column]).is_empty() => nameless.push(column),
                    None => unknown.push(column),
                }
            }
            find_duplicate(&attributes)?;
            if attributes.is_empty() {
                return Err(HeaderError::Missing(match options.layout {
                    Layout::Wide => "column that is called as an attribute",
                    _ => "`attribute` and `value` columns, nor one that is called as an attribute",
                }));
            }
            RowLayout::Wide { user, attributes }
        };
        Ok(Self { names: names.to_vec(), row_layout, unknown, nameless })
    }

    /// Whether a record repeats the header, in the columns that matter.
    pub(super) fn is_header(&self, record: &Record<'_>) -> bool {
        let same = |column: usize| self.names[column] == record.get(column);
        match &self.row_layout {
            RowLayout::Long { user, attribute, value } => same(*user) && same(*attribute) && same(*value),
            RowLayout::Wide { user, attributes } => {
                same(*user) && attributes.iter().all(|attribute| same(attribute.column))
            }
        }
    }

    pub(super) fn width(&self) -> usize {
        self.names.len()
    }

    pub(super) fn layout(&self) -> Layout {
        match self.row_layout {
            RowLayout::Long { .. } => Layout::Long,
            RowLayout::Wide { .. } => Layout::Wide,
        }
    }

    /// Looks up the numbers of the attributes of the wide layout.
    pub(super) fn resolve_attributes(&mut self, dictionary: &mut Dictionary) -> Result<(), AttributeError> {
        let RowLayout::Wide { attributes, .. } = &mut self.row_layout else { return Ok(()) };
        for attribute in attributes {
            attribute.attribute = dictionary.find_attribute(attribute.name.as_bytes())?;
        }
        Ok(())
    }
}

/// The roles of all columns. A name that the options map takes precedence over a column that has our name for that
/// role.
fn roles(names: &[Vec<u8>], options: &ReadOptions) -> Vec<Role> {
    let mapped: Vec<Option<Role>> = names
        .iter()
        .map(|name| {
            let same = |(from, _): &(&String, &String)| is_called(name, from);
            options.columns.iter().find(same).map(|(_, to)| match trim_text(to) {
                ReadOptions::IGNORED => Role::Ignored,
                ours => role(ours),
            })
        })
        .collect();
    let names: Vec<String> =
        names.iter().map(|name| String::from_utf8_lossy(trim(name)).into_owned()).collect();
    let plain = |name: &String| {
        let role = role(name);
        let is_taken = !matches!(role, Role::Named(_)) && mapped.contains(&Some(role.clone()));
        if is_taken { Role::Named(name.to_lowercase()) } else { role }
    };
    names.iter().zip(&mapped).map(|(name, mapped)| mapped.clone().unwrap_or_else(|| plain(name))).collect()
}

/// Whether a column has this name, ignoring case and surrounding white space.
fn is_called(column: &[u8], name: &str) -> bool {
    String::from_utf8_lossy(trim(column)).to_lowercase() == trim_text(name).to_lowercase()
}

fn role(name: &str) -> Role {
    match name.to_lowercase().as_str() {
        "user_id" => Role::User,
        "attribute" => Role::Attribute,
        "value" => Role::Value,
        _ => Role::Named(name.to_owned()),
    }
}

/// The attribute that a column of the wide layout sets. The names of standard attributes ignore case.
fn attribute_name(role: &Role, vocabulary: Vocabulary) -> Option<String> {
    let name = match role {
        Role::Named(name) => name,
        Role::Attribute => "attribute",
        Role::Value => "value",
        Role::User | Role::Ignored => return None,
    };
    let standard = STANDARD_ATTRIBUTES.iter().find(|(standard, _)| standard.eq_ignore_ascii_case(name));
    match standard {
        Some((standard, _)) => Some((*standard).to_owned()),
        None if vocabulary == Vocabulary::Custom && (1..=255).contains(&name.chars().count()) => {
            Some(name.to_owned())
        }
        None => None,
    }
}

fn single(columns: &[usize], meaning: &str) -> Result<usize, HeaderError> {
    match *columns {
        // The other parts are looked up only if they have a column.
        [] => Err(HeaderError::Missing("`user_id` column")),
        [column] => Ok(column),
        [first, second, ..] => Err(HeaderError::Duplicate { first, second, meaning: meaning.to_owned() }),
    }
}

fn find_duplicate(attributes: &[AttributeColumn]) -> Result<(), HeaderError> {
    let mut seen = std::collections::HashMap::new();
    for attribute in attributes {
        if let Some(first) = seen.insert(&attribute.name, attribute.column) {
            return Err(HeaderError::Duplicate {
                first,
                second: attribute.column,
                meaning: attribute.name.clone(),
            });
        }
    }
    Ok(())
}
