//! `attrsync undo`: the values from before a run, as an input for `sync`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::console::Console;
use super::failure::Failure;
use super::output::Output;
use crate::config::{Destination, Environment, check_output, ledger_flag, ledger_secret, resolve_ledger};
use crate::input::IdType;
use crate::ledger::{LedgerError, LedgerReader, RunId, TargetKey, UndoCounts, UndoError, UndoRun};
use crate::plan::SentValue;
use crate::report::{ExitCode, Message, command_line, counted, is_formula};

/// About how many bytes of memory it takes, however much the run sent. With more, it would be a little faster.
const MEMORY: u64 = 64 << 20;

#[derive(Args, Debug)]
pub(super) struct UndoFlags {
    /// Number of the run, as attrsync history lists it
    run: u64,
    /// Ledger to read: a file, the address of a database, or @ and a file that holds such an address [default: the one that
    /// sync uses in this directory]
    #[arg(long, value_name = "LEDGER")]
    ledger: Option<PathBuf>,
    /// Where to write the values, as CSV [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Text to write for an attribute that was empty before, such as NULL. Without it, such rows are left out
    #[arg(long, value_name = "TEXT")]
    null_token: Option<String>,
}

/// Rows that were left out for how they would be written.
#[derive(Default)]
struct LeftOut {
    /// They were empty before, and there is no null token.
    nulls: u64,
    /// Their value is the null token.
    tokens: u64,
    /// The value is empty, which `sync` sends only if it is told to.
    empty: u64,
    /// Not left out: a spreadsheet would run what they hold as a formula.
    formulas: u64,
}

/// Why rows can't be written.
enum WriteFailure {
    Ledger(LedgerError),
    Io(io::Error),
}

impl From<LedgerError> for WriteFailure {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// Prints what was asked for.
pub(super) fn run(flags: &UndoFlags, environment: &Environment) -> ExitCode {
    Console::plain().end(undo(flags, environment).map(|()| ExitCode::Complete))
}

fn undo(flags: &UndoFlags, environment: &Environment) -> Result<(), Failure> {
    let ledger = resolve_ledger(flags.ledger.as_deref(), environment)?;
    if let Some(output) = &flags.output {
        check_output("output", output, &ledger, environment)?;
    }
    let reader = LedgerReader::open(&ledger)?;
    let run = reader.undo(RunId(flags.run)).map_err(failure)?;
    let to = flags.output.clone().map_or(Destination::Stdout, Destination::from);
    let output = Output::create(&to)?;
    let (mut left_out, mut counts, mut unread) = (LeftOut::default(), UndoCounts::default(), None);
    output
        .write(|out| {
            let mut out = io::BufWriter::with_capacity(1 << 16, out);
            match write_rows(&run, flags.null_token.as_deref(), &mut out, &mut left_out) {
                Ok(found) => {
                    counts = found;
                    out.flush()
                }
                Err(WriteFailure::Io(error)) => Err(error),
                Err(WriteFailure::Ledger(error)) => {
                    unread = Some(error);
                    Err(io::Error::other("the ledger cannot be read"))
                }
            }
        })
        .map_err(|failure| unread.map_or(failure, Failure::from))?;
    tell(flags, &run, counts, &left_out);
    Ok(())
}

fn failure(error: UndoError) -> Failure {
    match error {
        UndoError::Ledger(error) => error.into(),
        other => {
            let hint = "`attrsync history` lists all runs".to_owned();
            Failure::usage(Message::from_error(&other).with_hint(hint))
        }
    }
}

fn write_rows(
    run: &UndoRun<'_>,
    null_token: Option<&str>,
    out: &mut dyn Write,
    left_out: &mut LeftOut,
) -> Result<UndoCounts, WriteFailure> {
    let mut out = csv::Writer::from_writer(out);
    let failed = |error: csv::Error| WriteFailure::Io(cause(error));
    out.write_record(["user_id", "attribute", "value"]).map_err(failed)?;
    let counts = run.each(MEMORY, |user, attribute, value| {
        let text = match (value, null_token) {
            (SentValue::Null, Some(token)) => token,
            (SentValue::Null, None) => {
                left_out.nulls += 1;
                return Ok(());
            }
            (SentValue::Text(text) | SentValue::Json(text), Some(token)) if **text == *token => {
                left_out.tokens += 1;
                return Ok(());
            }
            (SentValue::Text(text) | SentValue::Json(text), _) => &**text,
        };
        left_out.empty += u64::from(text.is_empty());
        let user = user.to_string();
        let record = [user.as_str(), attribute, text];
        left_out.formulas += u64::from(record.into_iter().any(is_formula));
        out.write_record(record).map_err(failed)
    })?;
    out.flush().map_err(WriteFailure::Io)?;
    Ok(counts)
}

/// The error of the output. A conversion would lose its kind, and with it whether the disk is full or the reader is gone.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Says what is in the output, what isn't, and how to send it.
fn tell(flags: &UndoFlags, run: &UndoRun<'_>, counts: UndoCounts, left_out: &LeftOut) {
    let console = Console::plain();
    let UndoCounts { acknowledged, undone, unknown, changed } = counts;
    let written = undone - left_out.nulls - left_out.tokens;
    let of = format!("of {} that run {} got acknowledged", counted(acknowledged, "row"), flags.run);
    console.warning(&Message::note(format!("{} written, {of}", counted(written, "row"))));
    let reasons = [
        (unknown, "nothing was known before", None),
        (changed, "the value has changed again since, or may have", None),
        (left_out.nulls, "the attribute was empty", Some("`--null-token NULL` writes them as `NULL`")),
        (left_out.tokens, "the value is the null token itself", Some("choose another `--null-token`")),
    ];
    for (rows, why, hint) in reasons.into_iter().filter(|(rows, ..)| *rows > 0) {
        let message = Message::warning(format!("{} left out: {why}", counted(rows, "row")));
        console.warning(&message.with_hint(hint.map(str::to_owned)));
    }
    console.warn_of_formulas(left_out.formulas, flags.output.as_deref());
    if let Some(earlier) = run.continued() {
        let text = format!("run {} continued run {earlier}: what that one sent is not in here", flags.run);
        let hint = format!("undo it as well, with `attrsync undo {earlier}`");
        console.warning(&Message::warning(text).with_hint(hint));
    }
    if written > 0 {
        let secret = flags.ledger.as_deref().and_then(|typed| ledger_secret(&typed.to_string_lossy()));
        let secret = secret.map(|name| format!(" (the password of the ledger comes from `{name}`)"));
        let command = next(flags, run, left_out);
        console.warning(&Message::note(format!("send it with `{command}`{}", secret.unwrap_or_default())));
    }
}

/// The command that sends the output.
fn next(flags: &UndoFlags, run: &UndoRun<'_>, left_out: &LeftOut) -> String {
    let TargetKey { base_url, id_type } = run.target();
    let mut words = vec!["attrsync".into(), "sync".into(), format!("--base-url={base_url}")];
    if id_type == IdType::CustomId {
        words.extend(["--id-type".into(), "custom-id".into()]);
    }
    if run.has_custom() {
        words.push("--allow-custom".into());
    }
    if left_out.empty > 0 {
        words.extend(["--empty".into(), "send".into()]);
    }
    words.extend(flags.null_token.iter().map(|token| format!("--null-token={token}")));
    let ledger = flags.ledger.iter().map(|typed| ledger_flag(&typed.to_string_lossy()));
    words.extend(ledger);
    let input = flags.output.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
    let is_like_a_flag = input.starts_with('-') && input != "-";
    words.push(if is_like_a_flag { format!("./{input}") } else { input });
    command_line(&words)
}
