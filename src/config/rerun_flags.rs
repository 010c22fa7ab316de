//! The flags that a follow-up command has to repeat so that it does the same as this one.

use std::ffi::{OsStr, OsString};

use super::endpoint::Endpoint;
use super::environment::Environment;
use super::layer::{Entry, Layer, OptionSource};
use super::options::{flag, names};
use super::{ledger, token};

/// The options that decide what is sent, how fast, and where it is recorded.
const DECISIVE: [&str; 13] = [
    "config",
    "sandbox",
    "rate",
    "on_conflict",
    "empty",
    "null_token",
    "id_type",
    "allow_custom",
    "ledger",
    "ledger_file",
    "no_ledger",
    "quota",
    "failures",
];

/// The options that decide where it is sent. A sandbox has no use for them.
const ACCOUNT: [&str; 3] = ["base_url", "subdomain", "token_file"];

/// The options that are on or off.
const SWITCHES: [&str; 3] = ["sandbox", "allow_custom", "no_ledger"];

/// What a follow-up command has to repeat. Options in the configuration file need not be repeated, because the file is
/// named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RerunFlags {
    /// Flags, also for what a variable has set: the command may be given where it isn't set.
    pub flags: Vec<OsString>,
    /// The variable that holds the API key, if the key came from there: the key itself is never shown.
    pub variable: Option<&'static str>,
    /// The variable that has to hold the password of the ledger's database, or its whole address: neither is shown.
    pub ledger_secret: Option<&'static str>,
    /// Which settings file the command has to be given.
    pub settings: SettingsFile,
}

/// Which settings file a follow-up command has to be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SettingsFile {
    /// The one of this command, which the flags name unless it is found without.
    #[default]
    OfThisCommand,
    /// The one that the plan was saved with: settings that no flag can set are others here.
    OfSavedPlan,
}

impl RerunFlags {
    pub(super) fn of(layer: &Layer, target: &Endpoint, environment: &Environment) -> Self {
        let key = token::variable(layer, environment);
        let account = matches!(target, Endpoint::Api { .. });
        let ledger_secret = ledger_secret(layer);
        let is_wanted = |name: &str| match name {
            "token_file" => account && key.is_none(),
            "ledger" if ledger_secret == Some(LEDGER_VARIABLE) => false,
            _ => DECISIVE.contains(&name) || (account && ACCOUNT.contains(&name)),
        };
        let names = names();
        let flags =
            names.iter().filter(|name| is_wanted(name)).filter_map(|name| match layer.entry(name)? {
                Entry { source: OptionSource::File { .. }, .. } => None,
                Entry { texts, .. } => Some(words(name, texts.last()?)),
            });
        let flags = flags.flatten().collect();
        Self { flags, variable: key.filter(|_| account), ledger_secret, settings: SettingsFile::default() }
    }
}

/// The flags that the command which sends a saved plan has to repeat. What the plan decides is in the plan.
pub(super) fn of_plan(layer: &Layer) -> Vec<OsString> {
    const REPEATED: [&str; 8] =
        ["config", "base_url", "subdomain", "rate", "ledger", "ledger_file", "no_ledger", "quota"];
    let typed = REPEATED.into_iter().filter_map(|name| match layer.entry(name)? {
        Entry { source: OptionSource::Flag, texts } => Some(words(name, texts.last()?)),
        _ => None,
    });
    typed.flatten().collect()
}

const LEDGER_VARIABLE: &str = "ATTRSYNC_LEDGER";

/// The variable that has to hold what is secret about the ledger's database, if anything is that is not in a file.
fn ledger_secret(layer: &Layer) -> Option<&'static str> {
    let Entry { texts, source } = layer.entry("ledger")?;
    let address = texts.last()?.to_str().filter(|text| ledger::is_address(text))?;
    match source {
        OptionSource::File { .. } => None,
        OptionSource::Variable => Some(LEDGER_VARIABLE),
        OptionSource::Flag => ledger::has_password(address).then_some(ledger::PASSWORD),
    }
}

/// An option as it is typed: `--id-type custom-id`, `--sandbox`, `--null-token=-`.
fn words(name: &str, text: &OsStr) -> Vec<OsString> {
    let flag = OsString::from(flag(name));
    let text = match text.to_str() {
        Some(address) if name == "ledger" => &OsString::from(ledger::shown(address)),
        _ => text,
    };
    let is_switch = SWITCHES.contains(&name);
    if is_switch && (text == "true" || text == "1") {
        return vec![flag];
    }
    if is_switch || text.is_empty() || text.as_encoded_bytes().starts_with(b"-") {
        let mut word = flag;
        word.push("=");
        word.push(text);
        return vec![word];
    }
    vec![flag, text.to_owned()]
}
