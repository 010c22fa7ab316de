//! The configuration file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::layer::{Entry, Layer, OptionSource};
use super::names::{NameUse, Subject};
use super::options::names;
use crate::input::{AttributeRule, JsonType, ReadOptions};

/// The content of a configuration file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Where it is; `None` if there is none.
    pub(super) path: Option<PathBuf>,
    /// Options.
    pub(super) layer: Layer,
    /// `[columns]`, reversed: from the names in the inputs' headers to attrsync's names.
    pub(super) columns: BTreeMap<String, String>,
    /// `[attributes.NAME]`
    pub(super) attributes: BTreeMap<String, AttributeRule>,
    /// Names of attributes and columns in these two.
    pub(super) uses: Vec<NameUse>,
}

impl File {
    /// Reads the file, which messages call `shown`.
    pub(super) fn read(path: &Path, shown: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ConfigError::at(shown.display(), "is not UTF-8 text"),
            _ => ConfigError::at(shown.display(), unreadable(&error)),
        })?;
        let file = Parser { shown, text: &text }.read()?;
        Ok(Self { path: Some(path.to_owned()), ..file })
    }

    /// Every key that may stand at the top of the file.
    pub(super) fn keys() -> Vec<String> {
        let options = names().into_iter().filter(|name| name != "config");
        options.chain(["columns", "attributes"].map(str::to_owned)).collect()
    }
}

struct Parser<'a> {
    shown: &'a Path,
    text: &'a str,
}

impl Parser<'_> {
    fn read(&self) -> Result<File, ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let place = format!("{}:{}", self.shown.display(), self.line(error.span().unwrap_or(0..0)));
            ConfigError::at(place, error.message().trim())
        })?;
        let keys = File::keys();
        let mut file = File::default();
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "columns" => file.columns = self.columns(value, &mut file.uses)?,
                "attributes" => file.attributes = self.attributes(value, &mut file.uses)?,
                name if keys.iter().any(|known| known == name) => {
                    let texts = vec![OsString::from(self.scalar(name, value)?)];
                    let source =
                        OptionSource::File { path: self.shown.to_owned(), line: self.line(key.span()) };
                    file.layer.set(name, Entry { texts, source });
                }
                "token" => {
                    let message = "the API key does not belong in this file";
                    return Err(ConfigError::at(self.place(key.span(), "token"), message).with_hint(
                        "set the variable `ATTRSYNC_TOKEN`, or name a file that holds it with `token_file`",
                    ));
                }
                name => return Err(explained(self.unknown(key, name), name, &keys)),
            }
        }
        file.layer.check()?;
        Ok(file)
    }

    fn columns(
        &self,
        table: &Spanned<DeValue<'_>>,
        uses: &mut Vec<NameUse>,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut columns = BTreeMap::new();
        for (ours, theirs) in self.table("columns", table)? {
            let (name, ours) = (format!("columns.{}", ours.get_ref()), ours.get_ref().to_string());
            let is_ignored = ours == ReadOptions::IGNORED;
            let names: Option<Vec<&str>> = match theirs.get_ref() {
                DeValue::Array(names) if is_ignored => {
                    names.iter().map(|name| name.get_ref().as_str()).collect()
                }
                name => name.as_str().map(|name| vec![name]),
            };
            let Some(names) = names.filter(|names| names.iter().all(|name| !name.trim().is_empty())) else {
                let expected = "expected the name of a column of the inputs, as `\"E-mail\"`";
                return Err(self.wrong(theirs, &name, expected));
            };
            for column in names {
                if columns.insert(column.to_owned(), ours.clone()).is_some() {
                    return Err(self.wrong(theirs, &name, format!("column `{column}` is named twice")));
                }
                if !is_ignored {
                    let (place, theirs) = (self.place(theirs.span(), &name), column.to_owned());
                    let subject = Subject::Column { theirs: Some(theirs) };
                    uses.push(NameUse { name: ours.clone(), place, subject });
                }
            }
        }
        Ok(columns)
    }

    fn attributes(
        &self,
        table: &Spanned<DeValue<'_>>,
        uses: &mut Vec<NameUse>,
    ) -> Result<BTreeMap<String, AttributeRule>, ConfigError> {
        let mut rules = BTreeMap::new();
        for (key, rule) in self.table("attributes", table)? {
            let name = key.get_ref().to_string();
            rules.insert(name.clone(), self.rule(&name, rule)?);
            let place = self.place(key.span(), "attributes");
            uses.push(NameUse { name, place, subject: Subject::Attribute });
        }
        Ok(rules)
    }

    fn rule(&self, attribute: &str, table: &Spanned<DeValue<'_>>) -> Result<AttributeRule, ConfigError> {
        let mut rule = AttributeRule::default();
        let mut sent = Vec::new();
        for (key, value) in self.table(&format!("attributes.{attribute}"), table)? {
            let name = format!("attributes.{attribute}.{}", key.get_ref());
            match key.get_ref().as_ref() {
                "type" => {
                    rule.json = match value.get_ref().as_str() {
                        Some("string") => JsonType::String,
                        Some("integer") => JsonType::Integer,
                        Some("float") => JsonType::Float,
                        Some("boolean") => JsonType::Boolean,
                        _ => {
                            let types = "expected `\"string\"`, `\"integer\"`, `\"float\"` or `\"boolean\"`";
                            return Err(self.wrong(value, &name, types));
                        }
                    }
                }
                "map" => {
                    for (from, to) in self.table(&name, value)? {
                        let name = format!("{name}.{:?}", from.get_ref());
                        let text = self.scalar(&name, to)?;
                        rule.map.insert(from.get_ref().to_string(), text.clone());
                        sent.push((name, to, text));
                    }
                }
                _ => {
                    let known = ["map".to_owned(), "type".to_owned()];
                    return Err(with_nearest(self.unknown(key, &name), key.get_ref(), &known));
                }
            }
        }
        match sent.iter().find(|(.., text)| !rule.json.admits(text)) {
            Some((name, value, text)) => {
                Err(self.wrong(value, name, format!("`{text}` is not of the attribute's `type`")))
            }
            None => Ok(rule),
        }
    }

    fn table<'v, 'i>(
        &self,
        name: &str,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Result<&'v DeTable<'i>, ConfigError> {
        value.get_ref().as_table().ok_or_else(|| {
            let found = article(value.get_ref().type_str());
            let message = format!("expected a section `[{name}]`, found {found}");
            self.wrong(value, name, message)
        })
    }

    /// A value as it would be typed.
    fn scalar(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.to_string()),
            DeValue::Float(number) => Ok(number.to_string()),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            other => {
                let found = article(other.type_str());
                Err(self.wrong(
                    value,
                    name,
                    format!("expected a string, a number or a boolean, found {found}"),
                ))
            }
        }
    }

    fn wrong(&self, value: &Spanned<DeValue<'_>>, name: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.place(value.span(), name), message)
    }

    fn unknown(&self, key: &Spanned<Cow<'_, str>>, name: &str) -> ConfigError {
        ConfigError::at(self.place(key.span(), name), "unknown key")
    }

    fn place(&self, span: Range<usize>, name: &str) -> String {
        OptionSource::File { path: self.shown.to_owned(), line: self.line(span) }.place(name)
    }

    fn line(&self, span: Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|&byte| byte == b'\n').count()
    }
}

/// Why a file can't be read, without the system's number of the error.
pub(super) fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read: permission denied".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}

/// What to do about an unknown key at the top.
fn explained(error: ConfigError, name: &str, known: &[String]) -> ConfigError {
    match name {
        "input" | "inputs" => error.with_hint("name inputs on the command line"),
        "config" => error.with_hint("name the file by `--config` or `ATTRSYNC_CONFIG`"),
        _ => with_nearest(error, name, known),
    }
}

fn with_nearest(error: ConfigError, name: &str, known: &[String]) -> ConfigError {
    error.with_hint(match nearest(name, known) {
        Some(near) => format!("write `{near}` if that is meant"),
        None => "see `config.example.toml` for every key there is".to_owned(),
    })
}

fn article(kind: &str) -> String {
    if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {kind}") } else { format!("a {kind}") }
}

/// The known name that a wrong one was probably meant to be.
pub(super) fn nearest<'a>(wrong: &str, known: &'a [String]) -> Option<&'a str> {
    let similarity = |name: &str| strsim::jaro_winkler(wrong, name);
    let best = known.iter().max_by(|one, other| similarity(one).total_cmp(&similarity(other)))?;
    (similarity(best) > 0.8).then_some(best)
}
