//! Options from one place, as text, and how layers of them become one.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use zeroize::Zeroize as _;

use super::environment::Variables;
use super::error::ConfigError;
use super::flags::SyncOptions;
use super::options::{every_option, flag, names, variable};

/// Where a value was found. The later ones outrank the earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OptionSource {
    /// In the configuration file.
    File {
        /// As the user named it.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// In the environment.
    Variable,
    /// On the command line.
    Flag,
}

impl OptionSource {
    /// How messages name an option that was found here.
    pub(super) fn place(&self, name: &str) -> String {
        match self {
            Self::File { path, line } => format!("{}:{line}: {name}", path.display()),
            Self::Variable => variable(name),
            Self::Flag => flag(name),
        }
    }

    /// The precedence of the place: the higher rank wins.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::File { .. } => 0,
            Self::Variable => 1,
            Self::Flag => 2,
        }
    }
}

/// The value of one option in one place.
#[derive(Clone)]
pub(super) struct Entry {
    /// Its value, or each where the option was repeated.
    pub(super) texts: Vec<OsString>,
    /// The place.
    pub(super) source: OptionSource,
}

impl fmt::Debug for Entry {
    /// Leaves out the value: the address of a ledger or of `--ping` is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.texts.drain(..).for_each(|text| text.into_encoded_bytes().zeroize());
    }
}

/// Options by name, each with its value as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(BTreeMap<String, Entry>);

impl Layer {
    /// The options that the environment sets. An empty variable sets nothing.
    pub(super) fn of_variables(variables: &Variables) -> Self {
        let mut layer = Self::default();
        for name in names() {
            if let Some(text) = variables.get(&variable(&name)).filter(|text| !text.is_empty()) {
                layer.set(&name, Entry { texts: vec![text.to_owned()], source: OptionSource::Variable });
            }
        }
        layer
    }

    /// Sets an option.
    pub(super) fn set(&mut self, name: &str, entry: Entry) {
        self.0.insert(name.to_owned(), entry);
    }

    /// What is said of an option, if anything is.
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    /// Where an option is set, if it is.
    pub(super) fn source(&self, name: &str) -> Option<&OptionSource> {
        self.0.get(name).map(|entry| &entry.source)
    }

    /// How messages name an option: with the place where it is set, or as a flag.
    pub(super) fn place(&self, name: &str) -> String {
        self.source(name).map_or_else(|| flag(name), |source| source.place(name))
    }

    /// The value of an option that takes one.
    pub(super) fn text(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name)?.texts.first().map(OsString::as_os_str)
    }

    /// Both layers' options; this one's where both have one.
    pub(super) fn over(mut self, mut lower: Self) -> Self {
        lower.0.append(&mut self.0);
        lower
    }

    /// Drops an option.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Drops an option unless a flag sets it.
    pub(super) fn keep_if_typed(&mut self, name: &str) {
        self.0.retain(|set, entry| set != name || entry.source == OptionSource::Flag);
    }

    /// Of two options that exclude each other, drops the one that the other one outranks.
    pub(super) fn decide_between(&mut self, one: &str, other: &str) -> Result<(), ConfigError> {
        if let (Some(here), Some(there)) = (self.source(one), self.source(other)) {
            match here.rank().cmp(&there.rank()) {
                std::cmp::Ordering::Less => self.0.remove(one),
                std::cmp::Ordering::Greater => self.0.remove(other),
                std::cmp::Ordering::Equal => {
                    let (place, other) = (here.place(one), there.place(other));
                    return Err(ConfigError::at(place, format!("conflicts with `{other}`"))
                        .with_hint("give one of the two"));
                }
            };
        }
        Ok(())
    }

    /// The options in use as text, by name, also those that have their default value. Left out are secrets, places of
    /// reports, and what is switched off.
    pub(super) fn shown(&self) -> Vec<(String, String)> {
        const LEFT_OUT: [&str; 6] = ["failures", "metrics", "ping", "ping_file", "report", "summary"];
        let command = every_option();
        let text = |option: &clap::Arg| {
            let name = option.get_id().as_str();
            let default = option.get_default_values().first().map(|text| text.to_string_lossy().into_owned());
            let set = self.0.get(name).and_then(|entry| entry.texts.last());
            let text = set.map(|text| text.to_string_lossy().into_owned()).or(default)?;
            let text = if name == "ledger" { super::ledger::shown(&text) } else { text };
            let is_key = name == "token_file" && super::token::looks_like_key(text.as_ref());
            let is_shown = !LEFT_OUT.contains(&name) && !["false", "0"].contains(&text.as_str()) && !is_key;
            is_shown.then(|| (name.to_owned(), text))
        };
        command.get_arguments().filter_map(text).collect()
    }

    /// Checks each value by itself, so that a message can name its place; also those that a higher layer hides.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut command = every_option();
        for (name, entry) in &self.0 {
            command
                .try_get_matches_from_mut(arguments(name, entry))
                .map_err(|error| ConfigError::at(entry.source.place(name), reason(&error)))?;
        }
        Ok(())
    }

    /// The typed values, with defaults for what is not set.
    pub(super) fn parse(&self) -> Result<SyncOptions, ConfigError> {
        let arguments = self.0.iter().flat_map(|(name, entry)| arguments(name, entry));
        every_option()
            .try_get_matches_from(arguments)
            .and_then(|matches| SyncOptions::from_arg_matches(&matches))
            .map_err(|error| ConfigError::new(reason(&error)))
    }
}

/// The command line that sets an option.
fn arguments(name: &str, entry: &Entry) -> impl Iterator<Item = OsString> {
    let flag = flag(name);
    entry.texts.iter().map(move |text| {
        let mut argument = OsString::from(format!("{flag}="));
        argument.push(text);
        argument
    })
}

/// Why clap rejects a value, without the name of the flag: the value may come from a variable or the file.
fn reason(error: &clap::Error) -> String {
    let strings = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    match error.kind() {
        ErrorKind::InvalidValue => {
            let quoted =
                |texts: Vec<String>| texts.iter().map(|t| format!("`{t}`")).collect::<Vec<_>>().join(", ");
            let (wrong, words) = (strings(ContextKind::InvalidValue), strings(ContextKind::ValidValue));
            // Any value is valid, except none.
            if words.is_empty() {
                return "is empty: write a value, or leave it out".to_owned();
            }
            format!("{} is not one of {}", quoted(wrong), quoted(words))
        }
        ErrorKind::ValueValidation => {
            std::error::Error::source(error).map_or_else(|| error.kind().to_string(), ToString::to_string)
        }
        ErrorKind::InvalidUtf8 => "is not UTF-8 text".to_owned(),
        kind => kind.to_string(),
    }
}
