//! The environment of the process: variables, directories, terminal and limits.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use zeroize::Zeroize as _;

use super::file::nearest;
use super::memory_limit;
use super::options::{names, variable};
use super::reports::GithubFiles;
use super::values::LEAST_MEMORY;
use crate::deliver;

/// Memory in bytes to assume if the system doesn't say how much there is.
const UNKNOWN_MEMORY: u64 = 2_000_000_000;

/// How long requests in flight may take after a signal on GitHub Actions. A job that is cancelled gets SIGINT, 7.5 seconds
/// later SIGTERM, and is killed after another 2.5 seconds. So the reports are written before the second signal.
const GITHUB_GRACE: Duration = Duration::from_secs(6);

/// Everything outside the command line that settings depend on. Tests use made-up values.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The environment.
    pub variables: Variables,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// Where temporary files go unless the user says otherwise.
    pub temp_dir: PathBuf,
    /// What standard input is.
    pub stdin: Stdin,
    /// How many threads can run at the same time.
    pub threads: NonZeroUsize,
    /// How many bytes of memory the process can have, if that is known.
    pub memory: Option<u64>,
    /// How many files the process may have open at a time, if there is a limit.
    pub open_files: Option<u64>,
}

/// Variables by name. They are overwritten when they are dropped: one of them may be the key, another one a password.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<OsString, OsString>);

impl Variables {
    /// Its value, if it is set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        if let Some(replaced) = self.0.insert(name.into(), value.into()) {
            overwrite(replaced);
        }
    }

    fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.keys().map(OsString::as_os_str)
    }
}

impl fmt::Debug for Variables {
    /// Leaves out the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Drop for Variables {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_values().for_each(overwrite);
    }
}

fn overwrite(value: OsString) {
    value.into_encoded_bytes().zeroize();
}

/// What standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// A person typing.
    Terminal,
    /// A file, or another program.
    Piped,
}

impl Environment {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            variables: Variables(env::vars_os().collect()),
            // As `.`: a directory that was deleted has no other name, and no file to find there.
            directory: PathBuf::from("."),
            temp_dir: env::temp_dir(),
            stdin: if io::stdin().is_terminal() { Stdin::Terminal } else { Stdin::Piped },
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory: memory_limit::memory(Path::new("/")),
            open_files: getrlimit(Resource::Nofile).current,
        }
    }

    /// The default memory for planning. The other half is for other processes, and for the system's cache of the inputs.
    pub(super) fn half_of_memory(&self) -> u64 {
        (self.memory.unwrap_or(UNKNOWN_MEMORY) / 2).max(LEAST_MEMORY.get())
    }

    /// What GitHub Actions offers, if this process is part of a step there.
    pub(super) fn github(&self) -> Option<GithubFiles> {
        if !self.is_github() {
            return None;
        }
        let path = |name: &str| self.variables.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        Some(GithubFiles { step_summary: path("GITHUB_STEP_SUMMARY"), output: path("GITHUB_OUTPUT") })
    }

    /// How long requests in flight may take after a signal.
    pub(super) fn grace(&self) -> Duration {
        if self.is_github() { GITHUB_GRACE } else { deliver::Options::GRACE }
    }

    fn is_github(&self) -> bool {
        self.variables.get("GITHUB_ACTIONS").is_some_and(|text| text == "true")
    }

    /// A warning for each variable that looks like ours but sets nothing.
    pub(super) fn unknown_variables(&self) -> Vec<String> {
        let mut known = names();
        known.push("token".to_owned());
        let ours = self.variables.names().filter_map(|name| name.to_str()?.strip_prefix("ATTRSYNC_"));
        let unknown = ours.filter(|name| !known.iter().any(|known| known.to_ascii_uppercase() == *name));
        unknown
            .map(|name| match nearest(&name.to_ascii_lowercase(), &known) {
                Some(near) => format!("ATTRSYNC_{name}: sets nothing; `{}` would", variable(near)),
                None => format!("ATTRSYNC_{name}: sets nothing"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_variable_is_shown() {
        let mut variables = Variables::default();
        variables.set("ATTRSYNC_TOKEN", "first");
        variables.set("ATTRSYNC_TOKEN", "secret");
        assert_eq!(variables.get("ATTRSYNC_TOKEN"), Some(OsStr::new("secret")));
        assert_eq!(format!("{variables:?}"), r#"{"ATTRSYNC_TOKEN"}"#);
    }
}
