//! From command line, environment and file to settings.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

mod endpoint;
mod example;
mod layers;
#[cfg(feature = "postgres")]
mod ledger;
mod memory;
mod reports;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use attrsync::config::{
    self, ConfigError, Endpoint, Environment, PlanFiles, PlanOptions, Settings, Stdin, SyncMode, SyncOptions,
    Typed, Variables,
};
use clap::Parser;
use tempfile::TempDir;

/// A key of the usual form.
const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZab";

#[derive(Debug, Parser)]
#[command(no_binary_name = true, args_override_self = true)]
struct Sync {
    #[command(flatten)]
    typed: Typed<SyncOptions>,
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true, about = "Say what sync would do")]
struct Plan {
    #[command(flatten)]
    typed: Typed<PlanOptions>,
    /// Of the command alone
    #[arg(long)]
    bodies: bool,
}

/// A directory and an environment to resolve settings in.
struct Place {
    directory: TempDir,
    environment: Environment,
}

impl Place {
    /// An empty directory, and no variables.
    fn bare() -> Self {
        let directory = TempDir::new().unwrap();
        let environment = Environment {
            variables: Variables::default(),
            directory: directory.path().to_owned(),
            temp_dir: "/system/temp".into(),
            stdin: Stdin::Piped,
            threads: NonZeroUsize::MIN,
            memory: Some(8_000_000_000),
            open_files: Some(1024),
        };
        Self { directory, environment }
    }

    /// One with a key and an address, so that nothing is missing.
    fn ready() -> Self {
        Self::bare().variable("ATTRSYNC_TOKEN", TOKEN).variable("ATTRSYNC_SUBDOMAIN", "acme")
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.variables.set(name, value);
        self
    }

    fn file(self, name: impl AsRef<Path>, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn sync(&self, flags: &[&str]) -> Result<(Settings, Endpoint), ConfigError> {
        let typed = Sync::try_parse_from(flags).unwrap().typed;
        config::resolve_sync(&typed, &self.environment, None).map(|job| match job {
            SyncMode::Send(settings, target, _) => (settings, target),
            SyncMode::DryRun(_) => panic!("nobody asked for a plan"),
        })
    }

    /// The flags that a follow-up command repeats, and the variable that has to hold what is secret about the ledger.
    #[cfg(feature = "postgres")]
    fn rerun_flags(&self, flags: &[&str]) -> (String, Option<&'static str>) {
        let typed = Sync::try_parse_from(flags).unwrap().typed;
        match config::resolve_sync(&typed, &self.environment, None).unwrap() {
            SyncMode::Send(_, _, rerun) => {
                let words: Vec<_> = rerun.flags.iter().map(|word| word.to_string_lossy()).collect();
                (words.join(" "), rerun.ledger_secret)
            }
            SyncMode::DryRun(_) => panic!("nobody asked for a plan"),
        }
    }

    fn settings(&self, flags: &[&str]) -> Settings {
        self.sync(flags).unwrap().0
    }

    fn plan(&self, flags: &[&str]) -> Result<Settings, ConfigError> {
        self.resolve_plan(&Plan::try_parse_from(flags).unwrap().typed)
    }

    fn resolve_plan(&self, typed: &Typed<PlanOptions>) -> Result<Settings, ConfigError> {
        config::resolve_plan(typed, &self.environment, PlanFiles::default(), None)
    }

    fn error(&self, flags: &[&str]) -> String {
        let error = self.sync(flags).unwrap_err();
        let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("{error}{hint}")
    }
}
