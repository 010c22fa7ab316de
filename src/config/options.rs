//! The options as clap knows them, and what each is called as a flag and as a variable.

use clap::builder::Resettable;
use clap::{ArgAction, Args, Command};

use super::flags::SyncOptions;
use super::values::switch;

/// The flag that sets the option of this name.
pub(super) fn flag(name: &str) -> String {
    format!("--{}", name.replace('_', "-"))
}

/// The variable that sets the option of this name.
pub(super) fn variable(name: &str) -> String {
    format!("ATTRSYNC_{}", name.to_ascii_uppercase())
}

/// The names of all options.
pub(super) fn names() -> Vec<String> {
    every_option().get_arguments().map(|option| option.get_id().to_string()).collect()
}

/// A command that has every option and nothing else.
pub(super) fn every_option() -> Command {
    options_of::<SyncOptions>(Command::new("attrsync").no_binary_name(true).disable_help_flag(true))
}

/// Adds the options of `G`. A switch takes `=false`, too, because a variable or the file may have turned it on. The
/// command keeps its own description.
pub(super) fn options_of<G: Args>(command: Command) -> Command {
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    let command =
        G::augment_args(command).about(Resettable::from(about)).long_about(Resettable::from(long_about));
    command.mut_args(|option| match option.get_action() {
        ArgAction::SetTrue => option
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .value_name("BOOL")
            .value_parser(switch)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true),
        _ => option,
    })
}
