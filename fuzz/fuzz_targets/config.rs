//! Any settings file, with flags and variables: settings or an error that names a place. Secrets appear in no message and in
//! nothing that is shown. The flags that a follow-up command has to repeat mean the same once more.
#![no_main]

mod choices;

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use attrsync::config::{
    self, ConfigError, Endpoint, Environment, PlanFiles, PlanOptions, PullOptions, RerunFlags, Settings,
    Stdin, SyncMode, SyncOptions, Typed, Variables,
};
use clap::Parser;
use libfuzzer_sys::fuzz_target;

use choices::Choices;

/// A key of the usual form. It stands wherever a secret may be, also by mistake.
const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZab";

const TOKEN: &str = "ATTRSYNC_TOKEN";

/// The flags that decide what is sent, how fast and where it is recorded, and that a follow-up command repeats.
const REPEATED: [&str; 15] = [
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
    "base_url",
    "subdomain",
    "token_file",
];

#[derive(Debug, Parser)]
#[command(no_binary_name = true, args_override_self = true)]
struct Sync {
    #[command(flatten)]
    typed: Typed<SyncOptions>,
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true, args_override_self = true)]
struct Plan {
    #[command(flatten)]
    typed: Typed<PlanOptions>,
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true, args_override_self = true)]
struct Pull {
    #[command(flatten)]
    typed: Typed<PullOptions, false>,
}

/// Where a secret is put.
#[derive(Clone, Copy)]
enum Secret {
    None,
    /// In the password of a ledger's address.
    Ledger,
    /// The same in a file.
    LedgerFile,
    Ping,
    Metrics,
    /// Where it doesn't belong.
    BaseUrl,
    Subdomain,
    TokenFile,
    Token,
}

#[derive(Clone, Copy)]
enum Place {
    File,
    Variable,
    Flag,
}

#[derive(Clone, Copy)]
enum Command {
    Sync,
    Plan,
    Pull,
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    let command = choices.among(&[Command::Sync, Command::Sync, Command::Plan, Command::Pull]);
    let secret = choices.among(&[
        Secret::None,
        Secret::Ledger,
        Secret::LedgerFile,
        Secret::Ping,
        Secret::Metrics,
        Secret::BaseUrl,
        Secret::Subdomain,
        Secret::TokenFile,
        Secret::Token,
    ]);
    let place = choices.among(&[Place::File, Place::Variable, Place::Flag]);
    let flag_name = choices.among(&REPEATED);
    let flag_place = choices.among(&[None, Some(Place::Variable), Some(Place::Flag)]);
    let mut lines = choices.rest().splitn(3, |byte| *byte == b'\n');
    let [around, flag_value] = [(); 2].map(|()| lines.next().unwrap_or_default());
    let around = String::from_utf8_lossy(around);
    let flag_value = String::from_utf8_lossy(flag_value).replace('\0', "");
    // A mutator that has seen the key writes it anywhere. As the value of any other option, it is shown as it was typed.
    if flag_value.contains(SECRET) || around.contains(SECRET) {
        return;
    }

    let directory = tempfile::tempdir().expect("there is room");
    let mut variables = Variables::default();
    variables.set(TOKEN, SECRET);
    let mut case = Case {
        file: Vec::new(),
        flags: Vec::new(),
        environment: Environment {
            variables,
            directory: directory.path().to_owned(),
            temp_dir: directory.path().to_owned(),
            stdin: Stdin::Piped,
            threads: NonZeroUsize::MIN,
            memory: Some(8_000_000_000),
            open_files: Some(1024),
        },
    };
    if let Some((name, value)) = hidden(secret, &around.replace('\0', "")) {
        let value = if name == "ledger_file" || name == "ping_file" {
            fs::write(directory.path().join("secret"), value).expect("there is room");
            "secret".to_owned()
        } else {
            value
        };
        case.set(place, name, &value);
    }
    if let Some(place) = flag_place {
        case.set(place, flag_name, &flag_value);
    }
    // A file is only read, and only this one: what it names must not be a device.
    let rest = lines.next().unwrap_or_default();
    if rest.windows(5).any(|window| window.eq_ignore_ascii_case(b"/dev/")) || flag_value.contains("/dev/") {
        return;
    }
    case.file.extend_from_slice(rest);
    fs::write(directory.path().join("attrsync.toml"), &case.file).expect("there is room");
    fs::write(directory.path().join("key"), SECRET).expect("there is room");
    case.check(command);
});

/// An option with a secret in it.
fn hidden(secret: Secret, around: &str) -> Option<(&'static str, String)> {
    Some(match secret {
        Secret::None => return None,
        Secret::Ledger => ("ledger", format!("postgres://ada:{around}{SECRET}@h/crm")),
        Secret::LedgerFile => ("ledger_file", format!("postgres://ada:{around}{SECRET}@h/crm")),
        Secret::Ping => ("ping", format!("https://{around}/{SECRET}")),
        Secret::Metrics => ("metrics", format!("https://ada:{around}{SECRET}@h/")),
        Secret::BaseUrl => {
            // With one of these, what follows is a path, and not a password.
            let around = around.split(['/', '\\', '?', '#']).next().unwrap_or_default();
            ("base_url", format!("https://ada:{around}{SECRET}@h/"))
        }
        Secret::Subdomain => ("subdomain", SECRET.to_owned()),
        Secret::TokenFile => ("token_file", SECRET.to_owned()),
        Secret::Token => ("token", SECRET.to_owned()),
    })
}

/// What the settings come from.
struct Case {
    /// The settings file.
    file: Vec<u8>,
    flags: Vec<OsString>,
    environment: Environment,
}

impl Case {
    fn set(&mut self, place: Place, name: &str, value: &str) {
        match place {
            Place::File => {
                // JSON's strings are strings of TOML, too.
                let value = serde_json::Value::from(value);
                self.file.extend_from_slice(format!("{name} = {value}\n").as_bytes());
            }
            Place::Variable => {
                let variable = format!("ATTRSYNC_{}", name.to_ascii_uppercase());
                self.environment.variables.set(variable, value);
            }
            Place::Flag => self.flags.push(format!("--{}={value}", name.replace('_', "-")).into()),
        }
    }

    fn check(&self, command: Command) {
        let environment = &self.environment;
        match command {
            Command::Sync => match Sync::try_parse_from(&self.flags) {
                Ok(Sync { typed }) => {
                    drop(config::reports_of_wrong_settings(&typed, environment));
                    match config::resolve_sync(&typed, environment, None) {
                        Ok(SyncMode::Send(settings, target, rerun)) => {
                            check_settings(&settings);
                            assert!(!format!("{target:?}{rerun:?}").contains(SECRET), "{rerun:?}");
                            self.check_again(&settings, &target, &rerun);
                        }
                        Ok(SyncMode::DryRun(settings)) => check_settings(&settings),
                        Err(error) => check_error(&error),
                    }
                }
                Err(error) => check_flag_error(&error),
            },
            Command::Plan => match Plan::try_parse_from(&self.flags) {
                Ok(Plan { typed }) => {
                    match config::resolve_plan(&typed, environment, PlanFiles::default(), None) {
                        Ok(settings) => check_settings(&settings),
                        Err(error) => check_error(&error),
                    }
                }
                Err(error) => check_flag_error(&error),
            },
            Command::Pull => match Pull::try_parse_from(&self.flags) {
                Ok(Pull { typed }) => match config::resolve_pull(&typed, environment) {
                    Ok((settings, target)) => {
                        check_settings(&settings);
                        assert!(!format!("{target:?}").contains(SECRET));
                    }
                    Err(error) => check_error(&error),
                },
                Err(error) => check_flag_error(&error),
            },
        }
    }

    /// The flags of a follow-up command, in an environment that has nothing else but the secrets.
    fn check_again(&self, settings: &Settings, target: &Endpoint, rerun: &RerunFlags) {
        let mut environment = self.environment.clone();
        environment.variables = Variables::default();
        for name in [rerun.variable, rerun.ledger_secret].into_iter().flatten() {
            if let Some(value) = self.environment.variables.get(name) {
                environment.variables.set(name, value);
            }
        }
        if rerun.ledger_secret == Some("PGPASSWORD") {
            environment.variables.set("PGPASSWORD", SECRET);
        }
        let typed =
            Sync::try_parse_from(&rerun.flags).unwrap_or_else(|error| panic!("{rerun:?}: {error}")).typed;
        let again = config::resolve_sync(&typed, &environment, None);
        let Ok(SyncMode::Send(again_settings, again_target, again)) = again else {
            panic!("{rerun:?}: {again:?}");
        };
        assert_eq!(decisive(&again_settings, &again_target), decisive(settings, target), "{rerun:?}");
        assert_eq!((again.flags, again.variable), (rerun.flags.clone(), rerun.variable));
    }
}

/// What must not differ between a run and the command that follows it.
fn decisive(settings: &Settings, target: &Endpoint) -> Vec<String> {
    let input = &settings.input;
    let target = match target {
        Endpoint::Api { base_url, .. } => base_url.to_string(),
        Endpoint::Sandbox => "sandbox".to_owned(),
    };
    let ledger = settings.ledger.as_ref().map(|ledger| (ledger.location.to_string(), ledger.quota.clone()));
    vec![
        target,
        format!("{ledger:?}"),
        format!("{:?} {:?}", settings.delivery.rate, settings.on_conflict),
        format!("{:?} {:?} {:?} {:?}", input.id_type, input.vocabulary, input.empty, input.null_token),
        format!("{:?} {:?}", input.columns, input.attributes),
        format!("{:?}", settings.reports.failures.as_ref().map(PathBuf::from)),
    ]
}

fn check_settings(settings: &Settings) {
    assert!(!settings.inputs.is_empty() || settings.ledger.is_some());
    let shown = format!("{settings:?}");
    assert!(!shown.contains(SECRET), "{shown}");
}

fn check_error(error: &ConfigError) {
    let message = format!("{error}\n{}", error.hint().unwrap_or_default());
    assert!(!message.contains(SECRET), "{message}");
    assert!(!error.to_string().is_empty());
}

/// The parser of flags may repeat a value that is not one of its words.
fn check_flag_error(error: &clap::Error) {
    let message = error.to_string();
    assert!(!message.contains(SECRET), "{message}");
}
