//! Where a run writes its reports, and which files they must not overwrite.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::ConfigError;
use super::flags::ReportFlags;
use super::layer::Layer;
use super::monitoring::{MetricsTarget, PingUrl};
use super::options::flag;
use crate::input::{Source, is_failures_report};
use crate::ledger::BESIDE;

/// Standard output, as a path that can be written.
const STDOUT: &str = "/dev/stdout";

/// Standard input, as a path that leads to the file that it may come from.
const STDIN: &str = "/dev/stdin";

/// The reports of a run.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// The failures report. Standard output is `/dev/stdout`.
    pub failures: Option<PathBuf>,
    /// The run as JSON.
    pub summary: Option<Destination>,
    /// The run as an HTML page.
    pub page: Option<PathBuf>,
    /// The run as Prometheus metrics.
    pub metrics: Option<MetricsTarget>,
    /// The dead-man switch.
    pub ping: Option<PingUrl>,
    /// What GitHub Actions offers, if the run is a step there.
    pub github: Option<GithubFiles>,
}

/// Files of a step of GitHub Actions.
#[derive(Clone, Debug, Default)]
pub struct GithubFiles {
    /// What is shown on the run's page, in Markdown.
    pub step_summary: Option<PathBuf>,
    /// The step's outputs, a `name=value` in each line.
    pub output: Option<PathBuf>,
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

/// Where `plan` writes what it alone can write.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanFiles<'a> {
    /// The bodies of requests, if they go to a file.
    pub bodies: Option<&'a Path>,
    /// The plan itself.
    pub save: Option<&'a Path>,
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
    /// Where the options say, `-` being standard output.
    pub(super) fn resolve(
        failures: Option<PathBuf>,
        flags: &ReportFlags,
        layer: &Layer,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let page = flags.report.clone();
        if page.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            let message = "the page can't go to standard output";
            return Err(ConfigError::at(layer.place("report"), message).with_hint("name a file"));
        }
        Ok(Self {
            failures: failures.map(|path| if path.as_os_str() == "-" { STDOUT.into() } else { path }),
            summary: flags.summary.clone().map(Destination::from),
            page,
            metrics: MetricsTarget::resolve(flags, layer)?,
            ping: PingUrl::resolve(flags, layer, environment)?,
            github: environment.github(),
        })
    }

    /// Whether the failures report goes to standard output.
    pub(super) fn prints_failures(&self) -> bool {
        self.failures.as_deref() == Some(Path::new(STDOUT))
    }

    /// Rejects a report that would overwrite another one, or a file that the run needs. Only the failures report may
    /// replace an input, and only one that is a failures report itself. `plan_files` is what `plan` writes.
    pub(super) fn check(
        &self,
        plan_files: PlanFiles<'_>,
        protected: &ProtectedFiles<'_>,
    ) -> Result<(), ConfigError> {
        let mut written: Vec<_> = self.files().collect();
        let PlanFiles { bodies, save } = plan_files;
        written.extend(bodies.map(|path| ("bodies", path)));
        written.extend(save.map(|path| ("save", path)));
        (1..=written.len())
            .try_for_each(|count| protected.check_last(written.get(..count).unwrap_or_default()))
    }

    /// Leaves out the reports that would overwrite another one, or a file that the run needs.
    pub(super) fn drop_harmful(&mut self, protected: &ProtectedFiles<'_>) {
        let written: Vec<_> = self.files().collect();
        let is_harmful =
            |count: &usize| protected.check_last(written.get(..*count).unwrap_or_default()).is_err();
        let harmful: Vec<_> =
            (1..=written.len()).filter(is_harmful).map(|count| written[count - 1].0).collect();
        for name in harmful {
            match name {
                "summary" => self.summary = None,
                "report" => self.page = None,
                "metrics" => self.metrics = None,
                _ => {}
            }
        }
    }

    /// The files that are written, each with the option that names it.
    fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let summary = self.summary.as_ref().map(|to| match to {
            Destination::Stdout => Path::new(STDOUT),
            Destination::File(path) => path,
        });
        let files = [
            ("failures", self.failures.as_deref()),
            ("summary", summary),
            ("report", self.page.as_deref()),
            ("metrics", self.metrics.as_ref().and_then(MetricsTarget::file)),
        ];
        files.into_iter().filter_map(|(name, path)| Some((name, path?)))
    }
}

impl ProtectedFiles<'_> {
    /// Rejects the last one of these files if it is one of the others, or a file that the run needs.
    fn check_last(&self, written: &[(&str, &Path)]) -> Result<(), ConfigError> {
        let Some(((name, path), others)) = written.split_last() else { return Ok(()) };
        if let Some((other, _)) = others.iter().find(|(_, other)| self.is_same(other, path)) {
            let message = format!("{} is already written by `{}`", shown(path), flag(other));
            return Err(ConfigError::at(self.layer.place(name), message));
        }
        self.spare(name, path)
    }

    /// Rejects a report that would overwrite a file that is needed.
    pub(super) fn spare(&self, name: &str, path: &Path) -> Result<(), ConfigError> {
        let is = |other: &Path| self.is_same(path, other);
        let is_input = || {
            self.inputs.iter().any(|input| match input {
                Source::File(input) => is(input),
                Source::Stdin => is(Path::new(STDIN)),
            })
        };
        let is_in = |option: &str| self.layer.text(option).is_some_and(|file| is(Path::new(file)));
        let lost = if is_in("token_file") {
            "holds the API key"
        } else if is_in("ping_file") {
            "holds the address for `--ping`"
        } else if self.config.is_some_and(is) {
            "holds the settings"
        } else if self.ledger.is_some_and(is) {
            "is the ledger"
        } else if self.ledger.is_some_and(|ledger| BESIDE.iter().any(|end| is(&beside(ledger, end)))) {
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
