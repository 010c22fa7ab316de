//! What is written down of a run, and where.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::layer::{Layer, flag};
use crate::input::Source;

/// What to write down of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// The failures report.
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

impl Destination {
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::File(path) => Some(path),
        }
    }
}

impl Reports {
    /// Refuses a report that would take the place of another one, or of an input. The failures report alone may replace
    /// an input: it holds the rows of it that are left to do.
    pub(super) fn check(&self, inputs: &[Source], layer: &Layer) -> Result<(), ConfigError> {
        let mut taken: Vec<(&str, &Path)> =
            self.failures.iter().map(|path| ("failures", path.as_path())).collect();
        let others = [("summary", self.summary.as_ref().and_then(Destination::file))];
        for (name, path) in others.into_iter().filter_map(|(name, path)| Some((name, path?))) {
            if let Some((other, _)) = taken.iter().find(|(_, other)| same_file(other, path)) {
                let message = format!("`{}` is already written by `{}`", path.display(), flag(other));
                return Err(ConfigError::at(layer.place(name), message));
            }
            if inputs.iter().any(|input| matches!(input, Source::File(input) if same_file(input, path))) {
                let message = format!("`{}` is an input and would be lost", path.display());
                return Err(ConfigError::at(layer.place(name), message));
            }
            taken.push((name, path));
        }
        Ok(())
    }
}

/// Whether two paths lead to one file, however they are written.
pub fn same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
