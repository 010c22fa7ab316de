//! Where a run writes its reports, and which files they must not overwrite.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::layer::Layer;
use super::options::flag;
use crate::input::{Source, is_failures_report};

/// Standard output, as a path that can be written.
const STDOUT: &str = "/dev/stdout";

/// Standard input, as a path that leads to the file that it may come from.
const STDIN: &str = "/dev/stdin";

/// How the names of files end that belong to a ledger, after its own.
const SIBLINGS: [&str; 4] = ["-wal", "-shm", "-journal", "-lock"];

/// The reports of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The failures report. Standard output is `/dev/stdout`.
    pub failures: Option<PathBuf>,
    /// The run as JSON.
    pub summary: Option<Destination>,
}

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To standard output.
    Stdout,
    /// To a file.
    File(PathBuf),
}

impl From<PathBuf> for Destination {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdout } else { Self::File(path) }
    }
}

/// Files that no report may overwrite.
#[derive(Debug)]
pub(super) struct ProtectedFiles<'a> {
    pub(super) inputs: &'a [Source],
    /// The configuration file, if there is one.
    pub(super) config: Option<&'a Path>,
    /// The ledger.
    pub(super) ledger: Option<&'a Path>,
    /// All options, for the file of the key and for places.
    pub(super) layer: &'a Layer,
    /// What relative paths are relative to.
    pub(super) directory: &'a Path,
}

impl Reports {
    /// The failures report goes where this says, `-` being standard output.
    pub(super) fn of(failures: Option<PathBuf>, summary: Option<PathBuf>) -> Self {
        let failures = failures.map(|path| if path.as_os_str() == "-" { STDOUT.into() } else { path });
        Self { failures, summary: summary.map(Destination::from) }
    }

    /// Whether the failures report goes to standard output.
    pub(super) fn prints_failures(&self) -> bool {
        self.failures.as_deref() == Some(Path::new(STDOUT))
    }

    /// Rejects a report that would overwrite another one, or a file that the run needs. Only the failures report may
    /// replace an input, and only one that is a failures report itself.
    pub(super) fn check(&self, protected: &ProtectedFiles<'_>) -> Result<(), ConfigError> {
        if let Some(path) = &self.failures {
            protected.spare("failures", path)?;
        }
        self.check_summary(protected)
    }

    /// The same for the summary alone.
    pub(super) fn check_summary(&self, protected: &ProtectedFiles<'_>) -> Result<(), ConfigError> {
        let path = match &self.summary {
            Some(Destination::Stdout) => Path::new(STDOUT),
            Some(Destination::File(path)) => path,
            None => return Ok(()),
        };
        if self.failures.as_ref().is_some_and(|failures| protected.is_same(failures, path)) {
            let message = format!("{} is already written by `{}`", shown(path), flag("failures"));
            return Err(ConfigError::at(protected.layer.place("summary"), message));
        }
        protected.spare("summary", path)
    }
}

impl Reports {
    /// The same for the request bodies, which have no place in the settings.
    pub(super) fn check_bodies(
        &self,
        path: &Path,
        protected: &ProtectedFiles<'_>,
    ) -> Result<(), ConfigError> {
        if self.failures.as_ref().is_some_and(|failures| protected.is_same(failures, path)) {
            let message = format!("{} is already written by `{}`", shown(path), flag("failures"));
            return Err(ConfigError::at(flag("bodies"), message));
        }
        protected.spare("bodies", path)
    }
}

impl ProtectedFiles<'_> {
    /// Rejects a report that would overwrite a file that is needed.
    fn spare(&self, name: &str, path: &Path) -> Result<(), ConfigError> {
        let is = |other: &Path| self.is_same(path, other);
        let is_input = || {
            self.inputs.iter().any(|input| match input {
                Source::File(input) => is(input),
                Source::Stdin => is(Path::new(STDIN)),
            })
        };
        let lost = if self.layer.text("token_file").is_some_and(|file| is(Path::new(file))) {
            "holds the API key"
        } else if self.config.is_some_and(is) {
            "holds the settings"
        } else if self.ledger.is_some_and(is) {
            "is the ledger"
        } else if self.ledger.is_some_and(|ledger| SIBLINGS.iter().any(|end| is(&beside(ledger, end)))) {
            "belongs to the ledger"
        } else if is_input() && !self.may_be_replaced(name, path) {
            "is an input"
        } else {
            return Ok(());
        };
        let message = format!("{} {lost} and would be lost", shown(path));
        let hint = format!("name another file with `{}`", flag(name));
        Err(ConfigError::at(self.layer.place(name), message).with_hint(hint))
    }

    /// Whether a report may be written to the path of an input. It may if the input is a failures report, or not a file, as
    /// that is never replaced. An input that can't be read is an error later.
    fn may_be_replaced(&self, name: &str, path: &Path) -> bool {
        let path = self.directory.join(path);
        (path.exists() && !path.is_file())
            || (name == "failures" && is_failures_report(&path).unwrap_or(true))
    }

    fn is_same(&self, one: &Path, other: &Path) -> bool {
        if [one, other].contains(&Path::new(STDOUT)) {
            return one == other;
        }
        same_file(&self.directory.join(one), &self.directory.join(other))
    }
}

fn beside(ledger: &Path, end: &str) -> PathBuf {
    let mut path = ledger.as_os_str().to_owned();
    path.push(end);
    path.into()
}

fn shown(path: &Path) -> String {
    if path == Path::new(STDOUT) { "standard output".to_owned() } else { format!("`{}`", path.display()) }
}

/// Whether two paths lead to one file, however they are written and whether or not it is there.
pub fn same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((resolved(one), resolved(other)), (Some(one), Some(other)) if one == other)
}

/// The one way to write a path. `None` where not even its directory is there.
fn resolved(path: &Path) -> Option<PathBuf> {
    let of_directory = || {
        let directory = match path.parent()? {
            empty if empty.as_os_str().is_empty() => Path::new("."),
            directory => directory,
        };
        Some(directory.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(of_directory)
}
