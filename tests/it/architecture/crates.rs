//! The crates are those that `deny.toml` allows.
//!
//! cargo-deny checks this and more. What can be checked at once and without a network is checked here, so that a second
//! TLS library or a crate from elsewhere fails on the machine where it was added.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use toml::{Table, Value};

use super::{assert_none, root};

/// The only place that crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn table(name: &str) -> Table {
    fs::read_to_string(root().join(name)).unwrap().parse().unwrap()
}

fn text<'a>(table: &'a Table, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn tables<'a>(table: &'a Table, key: &str) -> Vec<&'a Table> {
    table[key].as_array().unwrap().iter().map(|item| item.as_table().unwrap()).collect()
}

/// The bans of `deny.toml`, or the versions that it excuses: a crate and a reason each.
fn listed(key: &str) -> Vec<(String, String)> {
    let deny = table("deny.toml");
    let listed = tables(deny["bans"].as_table().unwrap(), key);
    listed.into_iter().map(|one| (text(one, "crate").to_owned(), text(one, "reason").to_owned())).collect()
}

/// All packages of `Cargo.lock` but this one.
fn locked() -> Vec<Table> {
    let lock = table("Cargo.lock");
    let packages = tables(&lock, "package").into_iter().filter(|package| text(package, "name") != "attrsync");
    packages.cloned().collect()
}

/// Whether `base64@0.22`, as `deny.toml` writes it, is this version.
fn is_version(listed: &str, name: &str, version: &str) -> bool {
    let (listed_name, start) = listed.split_once('@').unwrap_or((listed, ""));
    listed_name == name && (version == start || version.starts_with(&format!("{start}.")))
}

/// The versions of each crate that is built on this machine, for the program, its tests and its build.
fn built() -> BTreeMap<String, BTreeSet<String>> {
    let arguments = ["tree", "--locked", "--offline", "--all-features", "--prefix=none", "--format={p}"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        versions.entry(name.to_owned()).or_default().insert(version.to_owned());
    }
    versions
}

#[test]
fn no_crate_is_banned_and_each_ban_has_a_reason() {
    let (bans, packages) = (listed("deny"), locked());
    for name in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"] {
        assert!(bans.iter().any(|(banned, _)| banned == name), "{name} is not banned");
    }
    let unreasoned = bans.iter().filter(|(_, reason)| reason.is_empty());
    let mut offences: Vec<_> =
        unreasoned.map(|(name, _)| format!("deny.toml: why is {name} banned?")).collect();
    for (name, reason) in &bans {
        if packages.iter().any(|package| text(package, "name") == name) {
            offences.push(format!("Cargo.lock: {name} is banned: {reason}"));
        }
    }
    assert_none(&offences);
}

#[test]
fn every_crate_comes_from_the_registry_with_its_checksum() {
    let packages = locked();
    assert!(packages.len() > 100, "{}", packages.len());
    let is_foreign =
        |package: &&Table| text(package, "source") != REGISTRY || text(package, "checksum").len() != 64;
    let offences = packages.iter().filter(is_foreign).map(|package| {
        let (name, source) = (text(package, "name"), text(package, "source"));
        format!("Cargo.lock: {name} comes from `{source}`: only crates.io is allowed, with a checksum")
    });
    assert_none(&offences.collect::<Vec<_>>());
}

#[test]
fn second_versions_of_a_crate_are_explained() {
    let (excused, built) = (listed("skip"), built());
    assert!(built.len() > 100, "{}", built.len());
    let is_excused =
        |name: &str, version: &str| excused.iter().any(|(listed, _)| is_version(listed, name, version));
    let mut offences = Vec::new();
    for (name, versions) in &built {
        let left: Vec<_> = versions.iter().filter(|version| !is_excused(name, version)).collect();
        if versions.len() > 1 && left.len() > 1 {
            let advice = "see whether one can go (`cargo tree -d`), or explain it in `skip` of deny.toml";
            offences.push(format!("{name} is built in versions {left:?}: {advice}"));
        }
    }
    let packages = locked();
    for (listed, reason) in &excused {
        let is_this = |package: &&Table| is_version(listed, text(package, "name"), text(package, "version"));
        if reason.is_empty() || !packages.iter().any(|package| is_this(&package)) {
            offences.push(format!("deny.toml: {listed} has no reason, or is no longer there: drop it"));
        }
    }
    assert_none(&offences);
}

#[test]
fn a_listed_version_stands_for_its_patches_alone() {
    assert!(is_version("base64@0.22", "base64", "0.22.1") && is_version("syn@2", "syn", "2.0.119"));
    assert!(!is_version("base64@0.2", "base64", "0.22.1") && !is_version("syn@2", "synstructure", "2.0.1"));
}
