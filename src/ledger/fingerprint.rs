//! The fingerprint of a command, as readable text. A run continues another one with the same fingerprint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the format. A run with another version is never continued, so after a change of this number, an update in
/// the middle of a run makes it send rows again.
const VERSION: u32 = 1;

/// Longer values are stored as their checksum and length.
const LONGEST: usize = 200;

/// The settings that decide which values a run sends to which users. Settings with their default value are left out, so that
/// writing a default down, or adding a setting in a later version, doesn't change the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    version: u32,
    settings: BTreeMap<String, String>,
    /// Whether the inputs are failures reports of earlier runs: what it sends counts for these, too.
    #[serde(default, skip_serializing_if = "is_false")]
    reports: bool,
    /// Whether it may change what names a user.
    #[serde(default, skip_serializing_if = "is_false")]
    renames: bool,
}

/// The name under which the inputs stand among the settings.
pub const INPUTS: &str = "inputs";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Default for Fingerprint {
    /// Of no settings.
    fn default() -> Self {
        Self::of([])
    }
}

impl Fingerprint {
    /// Of these settings, of which those without a value say what holds anyway.
    pub fn of<'a>(settings: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Self {
        let kept = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), short(value?))));
        Self { version: VERSION, settings: kept.collect(), reports: false, renames: false }
    }

    /// The same of a run that reads failures reports alone.
    #[must_use]
    pub fn of_reports(self) -> Self {
        Self { reports: true, ..self }
    }

    /// The same of a run that may change what names a user.
    #[must_use]
    pub fn that_renames(self) -> Self {
        Self { renames: true, ..self }
    }

    /// Whether it is of a run that reads failures reports alone.
    pub fn is_of_reports(&self) -> bool {
        self.reports
    }

    /// Whether it is of a run that may change what names a user.
    pub(super) fn renames(&self) -> bool {
        self.renames
    }

    /// As the ledger keeps it.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("texts are JSON")
    }

    /// From what the ledger keeps; `None` if another version wrote it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|found: &Self| found.version == VERSION)
    }

    /// The names of settings that are not the same, in alphabetical order.
    pub(super) fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.settings.keys().chain(other.settings.keys());
        let mut differing: Vec<String> =
            names.filter(|name| self.settings.get(*name) != other.settings.get(*name)).cloned().collect();
        differing.sort_unstable();
        differing.dedup();
        differing
    }
}

fn short(value: String) -> String {
    if value.len() <= LONGEST {
        return value;
    }
    format!("crc32 {:08x} of {} bytes", crc32fast::hash(value.as_bytes()), value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> Fingerprint {
        Fingerprint::of(settings.iter().map(|(name, value)| (*name, Some((*value).to_owned()))))
    }

    #[test]
    fn what_is_kept_stays_readable_for_later_versions() {
        let long = "x".repeat(1000);
        let fingerprint =
            of(&[("inputs", "[\"/srv/users.csv\"]"), ("null_token", "NULL"), ("attributes", &long)]);
        let kept = concat!(
            r#"{"version":1,"settings":{"attributes":"crc32 3b41c9e6 of 1000 bytes","#,
            r#""inputs":"[\"/srv/users.csv\"]","null_token":"NULL"}}"#,
        );
        assert_eq!(fingerprint.text(), kept);
        assert_eq!(Fingerprint::parse(kept), Some(fingerprint.clone()));
        let flags = fingerprint.of_reports().that_renames();
        let kept = kept.replace("}}", r#"},"reports":true,"renames":true}"#);
        assert_eq!(flags.text(), kept);
        assert_eq!(Fingerprint::parse(&kept), Some(flags));
    }

    #[test]
    fn what_another_version_kept_is_not_guessed_at() {
        for kept in
            ["", "00f3a9", r#"{"version":2,"settings":{}}"#, r#"{"version":1,"settings":{},"more":1}"#]
        {
            assert_eq!(Fingerprint::parse(kept), None, "{kept}");
        }
    }

    #[test]
    fn settings_differ_by_value_and_by_being_there() {
        let one = of(&[("columns", "a"), ("empty", "send"), ("inputs", "x")]);
        let other = of(&[("columns", "b"), ("inputs", "x"), ("null_token", "-")]);
        assert_eq!(one.differing(&other), ["columns", "empty", "null_token"]);
        assert!(one.differing(&one).is_empty());
        assert_eq!(Fingerprint::of([("empty", None)]), of(&[]));
    }
}
