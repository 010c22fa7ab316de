//! The command line as it was typed, without defaults.

use std::ffi::OsString;
use std::marker::PhantomData;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::layer::{Entry, Layer, OptionSource};
use super::options::options_of;
use crate::input::Source;

/// Where options can be set, beside the command line.
pub const OTHER_PLACES: &str = "\
Every option can also be set by an environment variable, named like ATTRSYNC_BATCH_SIZE, and in the settings file, as \
batch_size. A flag overrides a variable, and a variable overrides the file. To turn off a switch that one of them turns \
on, give the flag with =false, as in --strict=false.";

/// The options that `-h` shows. All others are for `--help`.
const FOR_A_FIRST_RUN: [&str; 13] = [
    "config",
    "subdomain",
    "token_file",
    "sandbox",
    "max_duration",
    "verify",
    "max_invalid",
    "columns",
    "id_type",
    "allow_custom",
    "only_changed",
    "failures",
    "quiet",
];

/// The inputs, if the command has `INPUTS`, and those of the options in `G` that were typed. Flatten it into a subcommand.
#[derive(Clone, Debug)]
pub struct Typed<G, const INPUTS: bool = true> {
    pub(super) inputs: Vec<Source>,
    pub(super) layer: Layer,
    options: PhantomData<G>,
}

impl<G: Args, const INPUTS: bool> Args for Typed<G, INPUTS> {
    fn augment_args(command: Command) -> Command {
        let inputs = Arg::new("input")
            .value_name("INPUT")
            .num_args(0..)
            .value_parser(clap::value_parser!(PathBuf))
            .help("CSV files, read one after the other. - or no file reads standard input");
        let command = if INPUTS { command.arg(inputs) } else { command };
        options_of::<G>(command).after_long_help(OTHER_PLACES).mut_args(|option| {
            let is_shown = option.is_positional() || FOR_A_FIRST_RUN.contains(&option.get_id().as_str());
            option.hide_short_help(!is_shown)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<G: Args, const INPUTS: bool> FromArgMatches for Typed<G, INPUTS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let paths = if INPUTS { matches.get_many::<PathBuf>("input") } else { None };
        let paths = paths.into_iter().flatten();
        let inputs = paths
            .map(|path| if path.as_os_str() == "-" { Source::Stdin } else { Source::File(path.clone()) });
        let mut layer = Layer::default();
        for option in options_of::<G>(Command::new("")).get_arguments() {
            let name = option.get_id().as_str();
            if matches.value_source(name) == Some(ValueSource::CommandLine) {
                let texts = matches.get_raw(name).into_iter().flatten().map(OsString::from).collect();
                layer.set(name, Entry { texts, source: OptionSource::Flag });
            }
        }
        Ok(Self { inputs: inputs.collect(), layer, options: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
