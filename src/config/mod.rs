//! From flags, variables and the configuration file to settings, in three steps.
//!
//! [`Typed`] holds what the command line says, and nothing else. It is laid over what the environment says, and that over
//! the configuration file: all three are text by option name, so that one parser (clap's, of the fields in
//! [`flags`]) reads them, fills in defaults, and each message can name the place that a wrong value came from. What is
//! left is to check values against each other and to hand them to the stages: [`Settings`].

mod endpoint;
mod environment;
mod error;
mod file;
mod flags;
mod layer;
mod ledger;
mod memory_limit;
mod monitoring;
mod names;
mod options;
mod proxy;
mod reports;
mod rerun_flags;
mod saved_plan;
mod secret_file;
mod settings;
mod temp_dir;
mod token;
mod typed;
mod values;

use std::ffi::OsStr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

pub use endpoint::{Endpoint, canonical};
pub use environment::{Environment, Stdin, Variables};
pub use error::ConfigError;
pub use flags::{PlanOptions, PullOptions, SyncOptions};
pub use ledger::{LedgerSettings, Resume};
pub use memory_limit::peak_memory;
pub use monitoring::{MetricsTarget, PingUrl};
pub use reports::{Destination, GithubFiles, PlanFiles, Reports, same_file};
pub use rerun_flags::{RerunFlags, SettingsFile};
pub use saved_plan::saved_plan;
pub use settings::{PlanFile, Settings, Tolerance, Verbosity};
pub use typed::{OTHER_PLACES, Typed};
pub use values::{Columns, Delimiter, Encoding, Limit, LogFormat, Period, ProgressMode, Share, Size};

use file::File;
use flags::ReportFlags;
use layer::{Layer, OptionSource};
use names::{NameUse, Subject};
use reports::ProtectedFiles;

use crate::input::Source;
use crate::ledger::{LedgerLocation, is_foreign};
use crate::plan::SavedHeader;

/// Most ids in one request, unless the user says otherwise.
const BATCH_SIZE: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not 0");

/// The configuration file that is read if it exists and no other one is named.
const FILE: &str = "attrsync.toml";

/// The ledger, unless the user says otherwise.
const LEDGER: &str = "attrsync.ledger";

/// The failures report of a run, unless the user says otherwise.
const FAILURES: &str = "failures.csv";

/// What `attrsync sync` is asked to do.
#[derive(Clone, Debug)]
pub enum SyncMode {
    /// To send: where to, and which flags a follow-up command has to repeat.
    Send(Settings, Endpoint, RerunFlags),
    /// With `--dry-run`: to say what would be sent.
    DryRun(Settings),
}

/// Resolves the settings of a run, and where its requests go. `saved` is the plan that it sends, if that was saved before
/// ([`saved_plan()`] says where it is).
pub fn resolve_sync(
    typed: &Typed<SyncOptions>,
    environment: &Environment,
    saved: Option<&SavedHeader>,
) -> Result<SyncMode, ConfigError> {
    let (mut layer, mut file) = merge(&typed.layer, environment)?;
    let settings_file = match saved {
        Some(plan) => {
            let sent = layer.text("dry_run").is_none();
            saved_plan::lay_over(plan, sent, &mut layer, &mut file)?
        }
        None => SettingsFile::OfThisCommand,
    };
    let options = layer.parse()?;
    if options.dry_run {
        let files = PlanFiles::default();
        return planning(&typed.inputs, (layer, file), environment, files).map(SyncMode::DryRun);
    }
    let mut warnings = environment.unknown_variables();
    let target = Endpoint::resolve(&options.target, &layer, environment, &mut warnings)?;
    let inputs = inputs(&typed.inputs, &layer, environment)?;
    let base_url = match &target {
        Endpoint::Api { base_url, .. } => Some(base_url.clone()),
        Endpoint::Sandbox => None,
    };
    let ledger = LedgerSettings::resolve(&options.ledger, &layer, environment, base_url)?;
    warnings.extend(ledger.iter().flat_map(|ledger| ledger.warnings(&layer, environment)));
    let config = file.path.clone();
    let failures = options.failures.failures.clone().unwrap_or_else(|| FAILURES.into());
    let reports = Reports::resolve(Some(failures), &options.reports, &layer, environment)?;
    let mut settings = Settings::of(inputs, options, file, reports, environment, warnings);
    settings.ledger = ledger;
    settings.shown = layer.shown();
    check_places(&settings, config.as_deref(), &layer, environment, PlanFiles::default())?;
    limit_concurrency(&mut settings, &target, &layer, environment);
    let rerun_flags = RerunFlags { settings: settings_file, ..RerunFlags::of(&layer, &target, environment) };
    Ok(SyncMode::Send(settings, target, rerun_flags))
}

/// Resolves the settings of a plan. The other options have no effect, though their values are checked. A failures report must be
/// asked for by a flag: one that the file names is a run's, and may still be needed. `files` are what it writes besides, and
/// `saved` is the plan that it shows, if that was saved before.
pub fn resolve_plan(
    typed: &Typed<PlanOptions>,
    environment: &Environment,
    files: PlanFiles<'_>,
    saved: Option<&SavedHeader>,
) -> Result<Settings, ConfigError> {
    let (mut layer, mut file) = merge(&typed.layer, environment)?;
    if let Some(plan) = saved {
        if layer.source("failures") == Some(&OptionSource::Flag) {
            let message = "a saved plan has only rows that are sent";
            return Err(ConfigError::at(layer.place("failures"), message).with_hint("leave it out"));
        }
        saved_plan::lay_over(plan, false, &mut layer, &mut file)?;
    }
    planning(&typed.inputs, (layer, file), environment, files)
}

/// Resolves the settings of a reading of the account, and which account it is. The other options have no effect, though their
/// values are checked.
pub fn resolve_pull(
    typed: &Typed<PullOptions, false>,
    environment: &Environment,
) -> Result<(Settings, Endpoint), ConfigError> {
    let (mut layer, file) = merge(&typed.layer, environment)?;
    for name in ["sandbox", "no_ledger"] {
        layer.keep_if_typed(name);
    }
    let options = layer.parse()?;
    let mut warnings = environment.unknown_variables();
    let target = Endpoint::resolve(&options.target, &layer, environment, &mut warnings)?;
    let Endpoint::Api { base_url, .. } = &target else {
        return Err(ConfigError::new("a sandbox that starts with the command has no users to read"));
    };
    let ledger = LedgerSettings::of_pull(&options.ledger, &layer, environment, base_url.clone())?;
    warnings.extend(ledger.warnings(&layer, environment));
    let config = file.path.clone();
    let reports = Reports::resolve(None, &ReportFlags::default(), &layer, environment)?;
    let mut settings = Settings::of(Vec::new(), options, file, reports, environment, warnings);
    settings.ledger = Some(ledger);
    check_places(&settings, config.as_deref(), &layer, environment, PlanFiles::default())?;
    Ok((settings, target))
}

fn planning(
    typed: &[Source],
    (mut layer, file): (Layer, File),
    environment: &Environment,
    files: PlanFiles<'_>,
) -> Result<Settings, ConfigError> {
    layer.keep_if_typed("failures");
    let inputs = inputs(typed, &layer, environment)?;
    let config = file.path.clone();
    let options = layer.parse()?;
    let save = files.save.map(|path| plan_file(path, &options, &layer)).transpose()?;
    let ledger = LedgerSettings::resolve_plan(&options, &layer, environment, files.save)?;
    let no_run = ReportFlags::default();
    let reports = Reports::resolve(options.failures.failures.clone(), &no_run, &layer, environment)?;
    let mut warnings = environment.unknown_variables();
    warnings.extend(ledger.iter().flat_map(|ledger| ledger.warnings(&layer, environment)));
    let mut settings = Settings::of(inputs, options, file, reports, environment, warnings);
    (settings.ledger, settings.save) = (ledger, save);
    if settings.reports.prints_failures() {
        return Err(ConfigError::at(layer.place("failures"), "standard output is for the plan")
            .with_hint("name a file"));
    }
    check_places(&settings, config.as_deref(), &layer, environment, files)?;
    Ok(settings)
}

/// Where a plan is saved, and for which account.
fn plan_file(path: &Path, options: &SyncOptions, layer: &Layer) -> Result<PlanFile, ConfigError> {
    let place = layer.place("save");
    if path.as_os_str() == "-" {
        let message = "a plan can't be saved to standard output, which is for its screen";
        return Err(ConfigError::at(place, message).with_hint("name a file"));
    }
    let sandbox = options.target.sandbox;
    let base_url = if sandbox { None } else { endpoint::base_url(&options.target.account.address, layer)? };
    if base_url.is_none() && !sandbox {
        let message = "a plan is saved for an account, and no account is named";
        return Err(ConfigError::at(place, message).with_hint("add `--subdomain NAME`"));
    }
    Ok(PlanFile { path: path.to_owned(), base_url, flags: rerun_flags::of_plan(layer) })
}

/// Where a run reports to whose settings are wrong, and its inputs. What could do harm is left out.
pub fn reports_of_wrong_settings(
    typed: &Typed<SyncOptions>,
    environment: &Environment,
) -> Option<(Reports, Vec<Source>)> {
    let named = typed.layer.clone().over(Layer::of_variables(&environment.variables));
    let directory = environment.directory.as_path();
    let config = directory.join(named.text("config").map_or(Path::new(FILE), Path::new));
    let file = match named.text("config") {
        // Its author must not decide where reports go.
        None if is_foreign(&config) => File::default(),
        _ => File::read(&config, &config).unwrap_or_default(),
    };
    let layer = named.over(file.layer);
    if layer.text("dry_run").is_some() {
        return None;
    }
    let text = |name: &str| layer.text(name).filter(|text| !text.is_empty());
    let path = |name: &str| text(name).map(PathBuf::from);
    let flags = ReportFlags {
        summary: path("summary"),
        report: path("report"),
        metrics: path("metrics"),
        ping: text("ping").and_then(OsStr::to_str).map(SecretString::from),
        ping_file: path("ping_file"),
    };
    let failures = path("failures").unwrap_or_else(|| FAILURES.into());
    let ledger = ledger_path(&layer);
    let mut inputs = typed.inputs.clone();
    inputs.extend(path("plan").map(Source::File));
    let protected = ProtectedFiles {
        inputs: &inputs,
        config: Some(&config),
        ledger: Some(ledger),
        layer: &layer,
        directory,
    };
    let mut reports = Reports {
        failures: Some(failures),
        summary: flags.summary.clone().map(Destination::from),
        page: flags.report.clone(),
        metrics: MetricsTarget::resolve(&flags, &layer).ok().flatten(),
        ping: PingUrl::resolve(&flags, &layer, environment).ok().flatten(),
        github: environment.github(),
    };
    reports.drop_harmful(&protected);
    Some((reports, inputs))
}

/// Checks that the temporary directory can be written, and that no report would overwrite a file that is needed.
fn check_places(
    settings: &Settings,
    config: Option<&Path>,
    layer: &Layer,
    environment: &Environment,
    files: PlanFiles<'_>,
) -> Result<(), ConfigError> {
    let directory = environment.directory.as_path();
    // The system's temporary directory is checked when it is needed, which is rare.
    if let (Some(path), Some(source)) = (&settings.input.resources.temp_dir, layer.source("temp_dir")) {
        temp_dir::check(&directory.join(path), path, &source.place("temp_dir"))?;
    }
    // A ledger is protected even if this run doesn't use it.
    let ledger = ledger_path(layer);
    if settings.ledger.as_ref().is_some_and(|ledger| ledger.location.path().is_some())
        && is_foreign(&directory.join(ledger))
    {
        let message =
            format!("`{}` was put there by another user, where everyone may put files", ledger.display());
        return Err(ConfigError::at(layer.place("ledger"), message).with_hint("name another file"));
    }
    let protected =
        ProtectedFiles { inputs: &settings.inputs, config, ledger: Some(ledger), layer, directory };
    settings.reports.check(files, &protected)
}

/// Lowers the number of requests in flight to what the limit on open files allows. A run that can't open another file
/// can't write its reports.
fn limit_concurrency(settings: &mut Settings, target: &Endpoint, layer: &Layer, environment: &Environment) {
    /// For inputs, temporary files, the ledger, reports and standard streams.
    const RESERVED: u64 = 48;
    let Some(limit) = environment.open_files else { return };
    let each = if matches!(target, Endpoint::Sandbox) { 2 } else { 1 };
    let most = usize::try_from(limit.saturating_sub(RESERVED) / each).unwrap_or(usize::MAX);
    let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
    if settings.delivery.concurrency > most {
        settings.warnings.push(format!(
            "{}: lowered from {} to {most}, because this process may have only {limit} files open (`ulimit -n`)",
            layer.place("concurrency"),
            settings.delivery.concurrency
        ));
        settings.delivery.concurrency = most;
    }
}

/// The path of the ledger, or of the one in a file that there would be.
fn ledger_path(layer: &Layer) -> &Path {
    let named = layer.text("ledger").filter(|text| !text.to_str().is_some_and(ledger::is_address));
    named.map_or(Path::new(LEDGER), Path::new)
}

/// A ledger as it is typed: a path, the address of a database, or `@` and the file that holds such an address.
pub fn parse_ledger(
    place: &str,
    text: &OsStr,
    environment: &Environment,
) -> Result<LedgerLocation, ConfigError> {
    match text.to_str().and_then(|text| text.strip_prefix('@')) {
        Some(file) => ledger::read(&format!("{place}: `{file}`"), Path::new(file), environment),
        None => ledger::parse(place, text, environment),
    }
}

/// The flag of `sync` for a ledger that was typed like this, without a password.
pub fn ledger_flag(typed: &str) -> String {
    match typed.strip_prefix('@') {
        Some(file) => format!("--ledger-file={file}"),
        None => format!("--ledger={}", ledger::shown(typed)),
    }
}

/// The variable that has to hold the password which [`ledger_flag`] leaves out, if it leaves one out.
pub fn ledger_secret(typed: &str) -> Option<&'static str> {
    ledger::has_password(typed).then_some(ledger::PASSWORD)
}

/// The ledger for a command that only reads it: the one that was named, or the one that a run would use.
pub fn resolve_ledger(
    named: Option<&Path>,
    environment: &Environment,
) -> Result<LedgerLocation, ConfigError> {
    if let Some(named) = named {
        return parse_ledger("--ledger", named.as_os_str(), environment);
    }
    let (layer, _) = merge(&Layer::default(), environment)?;
    ledger::location(&layer.parse()?.ledger.known.path, &layer, environment)
}

/// Rejects an output of a command that reads this ledger, if it would overwrite a ledger, the settings or a secret.
pub fn check_output(
    option: &str,
    output: &Path,
    ledger: &LedgerLocation,
    environment: &Environment,
) -> Result<(), ConfigError> {
    let directory = environment.directory.as_path();
    let variables = Layer::of_variables(&environment.variables);
    let config = variables.text("config").map_or(Path::new(FILE), Path::new);
    // Settings that can't be used say nothing of other files, and are not overwritten either.
    let layer =
        merge(&Layer::default(), environment).map_or_else(|_unusable| variables.clone(), |(layer, _)| layer);
    [ledger.path(), Some(ledger_path(&layer))].into_iter().flatten().try_for_each(|ledger| {
        let (config, ledger) = (Some(config), Some(ledger));
        ProtectedFiles { inputs: &[], config, ledger, layer: &layer, directory }.spare(option, output)
    })
}

/// Lays flags over variables, and both over the file that they name.
fn merge(typed: &Layer, environment: &Environment) -> Result<(Layer, File), ConfigError> {
    let variables = Layer::of_variables(&environment.variables);
    variables.check()?;
    let named = typed.clone().over(variables);
    let usual = environment.directory.join(FILE);
    let mut file = match named.text("config").map(Path::new) {
        Some(path) => File::read(&environment.directory.join(path), path)?,
        // Its address would get the key, and its paths would be written.
        None if is_foreign(&usual) => {
            let message = "another user put it there, in a directory that everyone may write to";
            return Err(ConfigError::at(FILE, message).with_hint(
                "work in a directory of your own; if you trust the file, name it with `--config`",
            ));
        }
        None if usual.exists() => File::read(&usual, Path::new(FILE))?,
        None => File::default(),
    };
    let mut layer = named.over(std::mem::take(&mut file.layer));
    layer.decide_between("base_url", "subdomain")?;
    layer.decide_between("ledger", "ledger_file")?;
    let options = layer.parse()?;
    if options.ledger.known.no_ledger {
        layer.decide_between("ledger", "no_ledger")?;
        layer.decide_between("ledger_file", "no_ledger")?;
    }
    if options.logging.quiet {
        layer.decide_between("quiet", "verbose")?;
    }
    let columns = options.input.columns.iter().flat_map(Columns::ours);
    file.uses.extend(columns.map(|name| NameUse {
        name: name.to_owned(),
        place: layer.place("columns"),
        subject: Subject::Column { theirs: None },
    }));
    names::check(&file.uses, options.input.names.vocabulary())?;
    Ok((layer, file))
}

fn inputs(typed: &[Source], layer: &Layer, environment: &Environment) -> Result<Vec<Source>, ConfigError> {
    if let Some(plan) = layer.text("plan") {
        return Ok(vec![Source::File(plan.into())]);
    }
    let piped = typed.iter().filter(|&source| *source == Source::Stdin).count();
    match (typed, environment.stdin) {
        ([], Stdin::Terminal) => {
            Err(ConfigError::new("no input is given")
                .with_hint("name a file, or pipe rows into standard input"))
        }
        ([], Stdin::Piped) => Ok(vec![Source::Stdin]),
        _ if piped > 1 => Err(ConfigError::at("-", "standard input can be read only once")),
        _ => Ok(typed.to_vec()),
    }
}
