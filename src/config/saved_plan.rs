//! The settings of a plan that was saved: those that decide what is sent come from the plan.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::Typed;
use super::environment::Environment;
use super::error::ConfigError;
use super::file::File;
use super::layer::{Entry, Layer, OptionSource};
use super::options::flag;
use super::rerun_flags::SettingsFile;
use crate::input::{AttributeRule, IdType};
use crate::plan::SavedHeader;

/// The options that decide what is sent, or whether it may be. The plan has decided all of that.
const DECIDED: [&str; 14] = [
    "batch_size",
    "on_conflict",
    "strict",
    "max_invalid",
    "columns",
    "layout",
    "delimiter",
    "encoding",
    "empty",
    "null_token",
    "id_type",
    "allow_custom",
    "only_changed",
    "max_age",
];

/// The file that a saved plan is to be read from, if the options name one. Variables and the configuration file may set what
/// the plan decides, for other commands; a flag would be for this one, and is an error. So are inputs.
pub fn saved_plan<G>(typed: &Typed<G>, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    let (layer, _) = super::merge(&typed.layer, environment)?;
    let Some(path) = layer.text("plan") else { return Ok(None) };
    let place = layer.place("plan");
    if path == "-" {
        let message = "a plan can't be read from standard input";
        return Err(ConfigError::at(place, message).with_hint("name a file"));
    }
    if let Some(input) = typed.inputs.first() {
        let hint = format!("leave out either `{input}` or the plan");
        return Err(ConfigError::at(place, "a saved plan takes no inputs").with_hint(hint));
    }
    let is_typed = |name: &&str| layer.source(name) == Some(&OptionSource::Flag);
    if let Some(name) = DECIDED.into_iter().find(is_typed) {
        let hint = format!("leave it out, or save another plan with `{}`", flag(name));
        return Err(ConfigError::at(flag(name), "the saved plan has decided this already").with_hint(hint));
    }
    Ok(Some(path.into()))
}

/// Takes what a saved plan has decided from the plan. Its address counts where no other is given; if the key is `sent` there, it
/// has to be at user.com. Returns which settings file a command needs that sends rows of the plan again.
pub(super) fn lay_over(
    plan: &SavedHeader,
    sent: bool,
    layer: &mut Layer,
    file: &mut File,
) -> Result<SettingsFile, ConfigError> {
    let settings = &plan.settings;
    let needed = settings_file(plan, layer, file);
    for name in DECIDED {
        layer.remove(name);
    }
    let mut set = |name: &str, text: String| {
        let entry = Entry { texts: vec![OsString::from(text)], source: OptionSource::Flag };
        layer.set(name, entry);
    };
    set("batch_size", settings.batch_size.to_string());
    if let Some(token) = &settings.null_token {
        set("null_token", token.clone());
    }
    if settings.send_empty {
        set("empty", "send".to_owned());
    }
    if plan.target.id_type == IdType::CustomId {
        set("id_type", "custom-id".to_owned());
    }
    if settings.allow_custom {
        set("allow_custom", "true".to_owned());
    }
    file.attributes.clone_from(&settings.attributes);
    file.columns.clear();
    let is_given = layer.text("base_url").is_some() || layer.text("subdomain").is_some();
    match &plan.target.base_url {
        Some(base_url) if !is_given && !layer.parse()?.target.sandbox => {
            if sent {
                check_address(base_url, &layer.place("plan"))?;
            }
            let texts = vec![OsString::from(base_url)];
            layer.set("base_url", Entry { texts, source: OptionSource::Flag });
        }
        _ => {}
    }
    Ok(needed)
}

/// Whether values of the plan mean the same with these settings, but for what flags can set.
fn settings_file(plan: &SavedHeader, layer: &Layer, file: &File) -> SettingsFile {
    let settings = &plan.settings;
    let summary = plan.figures.summary(0);
    let has_same_rule = |name: &str| {
        let rule = |rules: &BTreeMap<String, AttributeRule>| rules.get(name).cloned().unwrap_or_default();
        rule(&settings.attributes) == rule(&file.attributes)
    };
    let has_same_rules = summary.attributes.iter().all(|attribute| has_same_rule(attribute.name));
    let has_other_null = settings.null_token.is_none() && layer.text("null_token").is_some();
    let has_other_ids =
        plan.target.id_type == IdType::Id && layer.text("id_type").is_some_and(|id| id != "id");
    if has_same_rules && !has_other_null && !has_other_ids {
        SettingsFile::OfThisCommand
    } else {
        SettingsFile::OfSavedPlan
    }
}

/// Rejects an address to which the key must not go because of what a file says. At one of this computer, any of its users may
/// listen.
fn check_address(base_url: &str, place: &str) -> Result<(), ConfigError> {
    let is_of_user_com = reqwest::Url::parse(base_url).is_ok_and(|url| {
        url.scheme() == "https" && url.host_str().is_some_and(|host| host.ends_with(".user.com"))
    });
    if is_of_user_com {
        return Ok(());
    }
    let message = format!("the plan goes to `{base_url}`, which is not at user.com");
    let hint = format!("if the key may go there, say so with `--base-url {base_url}`");
    Err(ConfigError::at(place, message).with_hint(hint))
}
