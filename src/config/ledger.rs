//! The settings of the ledger.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

use super::environment::Environment;
use super::error::ConfigError;
use super::file::unreadable;
use super::flags::{LedgerFlags, LedgerPathFlags, SyncOptions};
use super::layer::{Layer, OptionSource};
use super::values::Limit;
use super::{endpoint, secret_file, token};
use crate::ledger::{LedgerLocation, SkipScope};

/// Where the ledger is, and how a run uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// Where it is.
    pub location: LedgerLocation,
    /// All runs whose ledgers are in one database and that name the same quota share one rate. `None` for a ledger in a file.
    pub quota: Option<String>,
    /// Which rows are skipped.
    pub skip: SkipScope,
    /// How many known values may change: if there are more, nothing is sent.
    pub max_changes: Option<Limit>,
    /// How old what is known may be; what is older counts as unknown.
    pub max_age: Option<Duration>,
    /// Whether an interrupted run goes on.
    pub resume: Resume,
    /// How long to keep what was sent when.
    pub history_days: u64,
    /// The API whose values it records; `None` for a sandbox that starts with the run.
    pub base_url: Option<Url>,
}

/// Whether an interrupted run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// If there is one, of the same inputs and settings.
    IfInterrupted,
    /// Never.
    Never,
}

impl LedgerSettings {
    /// The ledger of a run, if it has one. A rehearsal with a sandbox in this process has none, unless the user names one.
    pub(super) fn resolve(
        flags: &LedgerFlags,
        layer: &Layer,
        environment: &Environment,
        base_url: Option<Url>,
    ) -> Result<Option<Self>, ConfigError> {
        let LedgerFlags { known, keeping } = flags;
        let is_named = ["ledger", "ledger_file"].iter().any(|name| layer.text(name).is_some());
        let rehearsal = base_url.is_none() && !is_named;
        if known.no_ledger || rehearsal {
            let needing = [
                ("only_changed", known.only_changed),
                ("max_changes", known.max_changes.is_some()),
                ("max_age", known.max_age.is_some()),
            ];
            if let Some((name, _)) = needing.into_iter().find(|(_, is_set)| *is_set) {
                let message = "there is no ledger to know what changed";
                return Err(ConfigError::at(layer.place(name), message)
                    .with_hint("leave it out, or name a ledger with `--ledger`"));
            }
            if layer.source("quota") == Some(&OptionSource::Flag) {
                return Err(no_database(layer));
            }
            return Ok(None);
        }
        let location = location(&known.path, layer, environment)?;
        Ok(Some(Self {
            quota: quota(keeping.quota.as_deref(), &location, layer, base_url.as_ref())?,
            location,
            max_age: known.max_age.map(|age| age.0),
            max_changes: known.max_changes,
            skip: if known.only_changed { SkipScope::EveryRun } else { SkipScope::ContinuedRun },
            resume: if keeping.no_resume { Resume::Never } else { Resume::IfInterrupted },
            history_days: keeping.history_days,
            base_url,
        }))
    }

    /// The ledger that a reading of the account is recorded in.
    pub(super) fn of_pull(
        flags: &LedgerFlags,
        layer: &Layer,
        environment: &Environment,
        base_url: Url,
    ) -> Result<Self, ConfigError> {
        let LedgerFlags { known, keeping } = flags;
        let location = location(&known.path, layer, environment)?;
        Ok(Self {
            quota: quota(keeping.quota.as_deref(), &location, layer, Some(&base_url))?,
            location,
            max_changes: None,
            max_age: None,
            skip: SkipScope::ContinuedRun,
            resume: if keeping.no_resume { Resume::Never } else { Resume::IfInterrupted },
            history_days: keeping.history_days,
            base_url: Some(base_url),
        })
    }

    /// The ledger that a plan needs: only what has changed depends on it, and what is saved for later.
    pub(super) fn resolve_plan(
        options: &SyncOptions,
        layer: &Layer,
        environment: &Environment,
        save: Option<&Path>,
    ) -> Result<Option<Self>, ConfigError> {
        let known = &options.ledger.known;
        let name = if known.only_changed {
            "only_changed"
        } else if known.max_changes.is_some() {
            "max_changes"
        } else if save.is_some() {
            "save"
        } else {
            return Ok(None);
        };
        let base_url = if options.target.sandbox {
            None
        } else {
            endpoint::base_url(&options.target.account.address, layer)?
        };
        if base_url.is_none() && !options.target.sandbox {
            return Err(ConfigError::at(
                layer.place(name),
                "what has changed depends on the account, and no account is named",
            )
            .with_hint("add `--subdomain NAME`"));
        }
        Self::resolve(&options.ledger, layer, environment, base_url)
    }
}

impl LedgerSettings {
    /// What the user should know about a ledger in a database.
    pub(super) fn warnings(&self, layer: &Layer, environment: &Environment) -> Vec<String> {
        let mut warnings = self.location.warnings();
        if self.location.has_password() && layer.source("ledger") == Some(&OptionSource::Flag) {
            warnings.push(format!(
                "--ledger: others on this computer can see the password in the list of processes: name a file with \
                 `--ledger-file`, or set the variable `{PASSWORD}`"
            ));
        }
        let file = layer.text("ledger_file").filter(|_| self.location.has_password());
        if let Some(file) = file.map(Path::new)
            && token::is_open_to_others(&environment.directory.join(file)).unwrap_or(false)
        {
            let place = layer.place("ledger_file");
            warnings.push(format!(
                "{place}: `{}`: others can read the password: `chmod 600` keeps it yours",
                file.display()
            ));
        }
        if let Some(OptionSource::File { path, .. }) = layer.source("ledger")
            && self.location.has_password()
            && token::is_open_to_others(&environment.directory.join(path)).unwrap_or(false)
        {
            let place = layer.place("ledger");
            warnings.push(format!("{place}: others can read the password: `chmod 600` keeps it yours"));
        }
        warnings
    }
}

/// Where the ledger is: a path or the address of a database, in an option or in the file that an option names.
pub(super) fn location(
    flags: &LedgerPathFlags,
    layer: &Layer,
    environment: &Environment,
) -> Result<LedgerLocation, ConfigError> {
    let Some(file) = &flags.ledger_file else {
        return parse(&layer.place("ledger"), flags.ledger.as_os_str(), environment);
    };
    read(&format!("{}: `{}`", layer.place("ledger_file"), file.display()), file, environment)
}

/// The location that is written in a file.
pub(super) fn read(
    place: &str,
    file: &Path,
    environment: &Environment,
) -> Result<LedgerLocation, ConfigError> {
    let text = secret_file::text(&environment.directory.join(file))
        .map_err(|error| ConfigError::at(place, unreadable(&error)))?;
    // Editors on Windows begin a file with a byte-order mark.
    parse(place, text.trim_start_matches('\u{feff}').trim().as_ref(), environment)
}

/// A location as it is written. Messages leave the text out if it is the address of a database: a password may stand in it.
pub(super) fn parse(
    place: &str,
    text: &OsStr,
    environment: &Environment,
) -> Result<LedgerLocation, ConfigError> {
    if text.is_empty() {
        return Err(
            ConfigError::at(place, "is empty").with_hint("write a path, or the address of a database")
        );
    }
    let Some(address) = text.to_str().filter(|text| is_address(text)) else {
        return Ok(PathBuf::from(text).into());
    };
    let password = environment.variables.get(PASSWORD).and_then(OsStr::to_str);
    LedgerLocation::of_database(address, password).map_err(|error| ConfigError::at(place, error))
}

/// The variable for the password of a database, as other programs use it.
pub(super) const PASSWORD: &str = "PGPASSWORD";

/// Whether a location is the address of a database and not a path. What is nearly one is refused as an address, because a path
/// would be shown, with the password in it.
pub(super) fn is_address(text: &str) -> bool {
    ["postgres:", "postgresql:"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        || text.contains("://")
        || text.contains("password=")
        || (text.contains('@') && text.contains(':'))
}

/// Whether an address has a password in it.
pub(super) fn has_password(address: &str) -> bool {
    LedgerLocation::of_database(address, None).is_ok_and(|location| location.has_password())
}

/// A location as it may be shown: without what is secret in the address of a database.
pub(super) fn shown(text: &str) -> String {
    if !is_address(text) {
        return text.to_owned();
    }
    LedgerLocation::of_database(text, None)
        .map_or_else(|_| "a database".to_owned(), |location| location.to_string())
}

fn no_database(layer: &Layer) -> ConfigError {
    ConfigError::at(layer.place("quota"), "runs share a quota only through a database")
        .with_hint("leave it out, or name a database with `--ledger postgres://…`")
}

/// The quota of a run: the one that is named, or the account's.
fn quota(
    named: Option<&str>,
    location: &LedgerLocation,
    layer: &Layer,
    base_url: Option<&Url>,
) -> Result<Option<String>, ConfigError> {
    match (location.path(), named) {
        (Some(_), Some(_)) => Err(no_database(layer)),
        (Some(_), None) => Ok(None),
        (None, Some("")) => Err(ConfigError::at(layer.place("quota"), "is empty")),
        (None, Some(name)) => Ok(Some(name.to_owned())),
        // The account is the same for both kinds of ids. A sandbox that starts with the run is nobody else's.
        (None, None) => Ok(base_url.map(endpoint::canonical)),
    }
}
