//! The ledger's part in a run: what it spares the run, what it is told, and how the run ends in it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _};

use super::sync::Failed;
use crate::clock;
use crate::config::{LedgerFile, Memory, Resume, Settings, Target};
use crate::ledger::{
    Description, Extent, Input, Ledger, LedgerError, Outcome, Recorder, RowCounts, RunId, TargetKey, Told,
    Unfinished,
};
use crate::plan::{Plan, Spared};
use crate::report::{ExitCode, Fates, Message};

/// An open ledger, before the run begins.
pub(super) struct Books {
    ledger: Ledger,
    file: LedgerFile,
    target: TargetKey,
}

/// A run that has begun.
pub(super) struct Begun {
    ledger: Ledger,
    run: RunId,
    file: LedgerFile,
}

/// What is left to send, and why it is not more.
pub(super) struct Spare {
    pub(super) plan: Plan,
    pub(super) spared: Spared,
    /// The run that this one continues.
    pub(super) continued: Option<Unfinished>,
}

impl Books {
    /// Opens the ledger that the settings name, if any. From now on no other run uses it.
    pub(super) fn open(settings: &Settings, target: &Target) -> Result<Option<Self>, Failed> {
        let Some(mut file) = settings.ledger.clone() else { return Ok(None) };
        check_place(&file.path)?;
        // Its lock lies beside it: who comes by a link has to find the same one. A link to nothing is followed when the
        // file is made.
        if file.path.is_symlink()
            && let Ok(linked) = file.path.canonicalize()
        {
            file.path = linked;
        }
        let base_url = match target {
            Target::Api { base_url, .. } => base_url.to_string(),
            // Nobody will meet this one again.
            Target::Sandbox => format!("sandbox of {}", clock::today()),
        };
        let target = TargetKey { base_url, id_type: settings.input.id_type };
        let ledger = Ledger::open(&file.path, &target, clock::today()).map_err(|error| failed(&error))?;
        Ok(Some(Self { ledger, file, target }))
    }

    /// Takes out of the plan what need not be sent, and begins the run.
    pub(super) fn begin(mut self, plan: Plan, settings: &Settings) -> Result<(Spare, Begun), LedgerError> {
        let description = Description {
            settings: fingerprint(settings),
            inputs: settings.inputs.iter().map(ToString::to_string).collect(),
            content: plan.fingerprint(),
        };
        let reader = self.ledger.reader();
        let continued = match self.file.resume {
            Resume::IfInterrupted => reader.unfinished(&self.target, &description)?,
            Resume::Never => None,
        };
        let extent = match self.file.memory {
            Memory::ContinuedRun => Extent::ContinuedRun,
            Memory::EveryRun => Extent::EveryRun,
        };
        let recall = reader.recall(&self.target, &description.content, extent, continued.as_ref())?;
        let (plan, spared) =
            plan.without(settings.input.threads, |attribute| recall.of(&attribute.name), Told::tell)?;
        drop(recall);
        let run = self.ledger.begin(&description, continued.as_ref(), clock::today())?;
        Ok((Spare { plan, spared, continued }, Begun { ledger: self.ledger, run, file: self.file }))
    }
}

impl Begun {
    /// Somebody to stand between delivery and those who count. What is left of this is for the end.
    pub(super) fn recorder(self, plan: &Arc<Plan>) -> (Recorder, Ending) {
        let ending = Ending { run: self.run, history_days: self.file.history_days };
        (Recorder::new(self.ledger, self.run, Arc::clone(plan)), ending)
    }
}

/// How to end a run.
pub(super) struct Ending {
    run: RunId,
    history_days: u32,
}

impl Ending {
    /// Records how the run ended, and forgets what is too old.
    pub(super) fn record(self, mut ledger: Ledger, exit: ExitCode, fates: &Fates) -> Result<(), LedgerError> {
        let now = clock::today();
        ledger.finish(self.run, outcome(exit), &counts(fates), now)?;
        ledger.compact(now.checked_sub((i64::from(self.history_days) * 24).hours()).unwrap_or(Timestamp::MIN))
    }
}

/// Refuses a path where no ledger can be: that is a wrong setting, and no fault of the disk's. A device above all is not
/// even to be opened, because a ledger's file is taken away from all but its owner.
fn check_place(path: &Path) -> Result<(), Failed> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let (what, hint) = match (parent.filter(|parent| !parent.is_dir()), path.metadata()) {
        (Some(missing), _) => (
            format!("there is no directory `{}`", missing.display()),
            "create the directory first, or name another path with `--ledger`",
        ),
        (None, Ok(there)) if there.is_dir() => ("it is a directory".to_owned(), "name a file in it"),
        (None, Ok(there)) if !there.is_file() => (
            "it is no regular file".to_owned(),
            "name another path with `--ledger`, or keep none with `--no-ledger`",
        ),
        (None, _) => return Ok(()),
    };
    let message = Message::error(format!("cannot keep a ledger at `{}`: {what}", path.display()));
    Err((message.with_hint(hint.to_owned()), ExitCode::Usage))
}

/// A ledger that can't be used, as a message. It may be the wrong one, or in use; else the disk failed.
pub(super) fn failed(error: &LedgerError) -> Failed {
    let code = match error {
        LedgerError::Held { .. }
        | LedgerError::Missing { .. }
        | LedgerError::NoLedger { .. }
        | LedgerError::TooNew { .. } => ExitCode::Usage,
        LedgerError::Damaged { .. } | LedgerError::NoTemporaryFile { .. } | LedgerError::Unusable { .. } => {
            ExitCode::Internal
        }
    };
    (Message::from_error(error).with_hint(error.hint().to_owned()), code)
}

/// What continuing a run means, in a sentence.
pub(super) fn continuing(continued: &Unfinished, spared: Spared) -> Message {
    let Unfinished { run, started, input } = continued;
    let begun = started.strftime("%Y-%m-%d %H:%M:%S UTC");
    let changed = match input {
        Input::Same => "",
        Input::Changed => {
            "; its input has changed since, so that only rows that are still the same are skipped"
        }
    };
    Message::note(format!("continuing run {run}, begun {begun}: {} rows are done{changed}", spared.resumed))
}

/// The same for all settings that send the same for the same inputs.
fn fingerprint(settings: &Settings) -> String {
    let input = &settings.input;
    let mut hasher = DefaultHasher::new();
    let decisive = (&input.columns, &input.null_token, &input.attributes);
    format!("{decisive:?}").hash(&mut hasher);
    let modes = (input.layout, input.id_type, input.vocabulary, input.empty, settings.on_conflict);
    format!("{modes:?}").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn outcome(exit: ExitCode) -> Outcome {
    match exit {
        ExitCode::Complete => Outcome::Complete,
        ExitCode::Incomplete => Outcome::Incomplete,
        ExitCode::Stopped => Outcome::Stopped,
        ExitCode::Interrupted | ExitCode::Terminated => Outcome::Interrupted,
        ExitCode::Usage | ExitCode::Refused | ExitCode::Internal => Outcome::Internal,
    }
}

fn counts(fates: &Fates) -> RowCounts {
    let Fates { read, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent } =
        *fates;
    RowCounts { read, invalid, skipped, superseded, unchanged, resumed, acknowledged, failed, unsent }
}
