//! The failures report: rows that were not accepted, as a CSV file that is a valid input.

use std::fmt::{Display, Write as _};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::csv_encoder::CsvEncoder;
use super::formulas::is_formula;
use super::{AtomicFile, Discard, WriteError};
use crate::deliver::Reason;
use crate::input::{FAILURES_HEADER, InvalidRow, InvalidRows, ReadOptions};
use crate::plan::{Batch, Plan, User};

/// How many bytes are written to the file at a time.
const BUFFER: usize = 256 << 10;

/// The failures report: a row for each invalid, failed and unsent row, and a valid input itself. Rows are written as
/// they come; the file takes its place when it is published, so an input may be the very file that it replaces.
///
/// A run that is stopped early may have millions of rows to report, and little time. So what the rows of a batch have in
/// common is encoded once.
#[derive(Debug)]
pub struct FailuresReport {
    out: BufWriter<AtomicFile>,
    null_token: String,
    encoder: CsvEncoder,
    /// A field as text.
    text: String,
    /// Fields, encoded: the user, …
    user: Vec<u8>,
    /// … attribute and value, …
    value: Vec<u8>,
    /// … and all others.
    rest: Vec<u8>,
    /// Whether attribute or value, or one of all others, is a formula for a spreadsheet.
    has_formula: [bool; 2],
    /// How many rows have one.
    formulas: u64,
}

/// Why a row is in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// The row is not valid.
    Invalid,
    /// The API refused it for good, or attempts ran out.
    Failed,
    /// The run stopped before it was finished.
    Unsent,
}

/// One row of the report.
#[derive(Debug)]
pub struct ReportRow<'a, User> {
    /// The user's id, as the input has it.
    pub user: User,
    /// The attribute, as the input has it.
    pub attribute: &'a str,
    /// The value, as the input has it; `None`: it clears the attribute.
    pub value: Option<&'a str>,
    /// Why it is here.
    pub fate: NotAccepted,
    /// What the last answer was, or what is wrong with the row.
    pub reason: &'a Reason,
    /// How many requests carried it.
    pub attempts: u32,
    /// Which input it is from, and on which line, where that is known.
    pub place: Option<(&'a str, u64)>,
}

impl FailuresReport {
    /// Begins the report. A path that can't be written fails here, before anything is sent.
    ///
    /// It is written so that it reads back with the options that the inputs were read with: a value that clears its
    /// attribute is their null token. It is always UTF-8, also if the inputs are not. Its header says so.
    pub fn create(path: &Path, options: &ReadOptions) -> Result<Self, WriteError> {
        let draft = AtomicFile::create(path)?;
        let mut report = Self {
            out: BufWriter::with_capacity(BUFFER, draft),
            null_token: options.null_token.clone().unwrap_or_default(),
            encoder: CsvEncoder::default(),
            text: String::new(),
            user: Vec::new(),
            value: Vec::new(),
            rest: Vec::new(),
            has_formula: [false; 2],
            formulas: 0,
        };
        let header = format!("{}\n", FAILURES_HEADER.join(","));
        report.out.write_all(header.as_bytes()).map_err(|error| report.write_error(error))?;
        Ok(report)
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        self.out.get_ref().path()
    }

    /// The handle that removes the unfinished report, if there is one.
    pub fn discard(&self) -> Option<Discard> {
        self.out.get_ref().discard()
    }

    /// Adds a row.
    pub fn add<User: Display>(&mut self, row: &ReportRow<'_, User>) -> Result<(), WriteError> {
        self.encode_value(row.attribute, row.value);
        self.encode_rest(row.fate, row.reason, row.attempts, row.place);
        self.user.clear();
        let user = shown(&mut self.text, &row.user);
        self.encoder.field(user.as_bytes(), &mut self.user);
        let is_formula = is_formula(user);
        self.write(is_formula)?;
        // The error of a record that can't be parsed may be as long as the input.
        self.rest.shrink_to(BUFFER);
        Ok(())
    }

    /// Adds every invalid row.
    pub fn add_invalid(&mut self, rows: &mut InvalidRows) -> Result<(), WriteError> {
        let path = self.out.get_ref().path().to_owned();
        let unread = |error: io::Error| {
            let words = format!("the invalid rows cannot be read back: {error}");
            WriteError::writing(&path, io::Error::new(error.kind(), words))
        };
        for row in rows.iter() {
            let InvalidRow { user_id, attribute, value, error, source, line } = row.map_err(unread)?;
            self.add(&ReportRow {
                user: user_id,
                attribute: &attribute,
                value: Some(&value),
                fate: NotAccepted::Invalid,
                reason: &Reason { status: None, error },
                attempts: 0,
                place: Some((&source, line)),
            })?;
        }
        Ok(())
    }

    /// Adds the rows of batches, all of them for the same reason.
    pub fn add_batches(
        &mut self,
        plan: &Plan,
        batches: impl IntoIterator<Item = Batch>,
        fate: NotAccepted,
        reason: &Reason,
        attempts: u32,
    ) -> Result<(), WriteError> {
        self.encode_rest(fate, reason, attempts, None);
        for batch in batches {
            self.encode_value(&plan.attribute(batch.group).name, plan.value(batch.group).as_deref());
            for user in plan.users(batch) {
                self.user.clear();
                let is_formula = match user {
                    User::Id(id) => {
                        write!(self.user, "{id},").map_err(|error| self.write_error(error))?;
                        false
                    }
                    User::Custom(id) => {
                        self.encoder.field(id.as_bytes(), &mut self.user);
                        is_formula(&id)
                    }
                };
                self.write(is_formula)?;
            }
        }
        Ok(())
    }

    /// Puts the report in its place. If every row was accepted, it has a header and no rows.
    pub fn publish(self) -> Result<(), WriteError> {
        let path = self.out.get_ref().path().to_owned();
        let draft = self.out.into_inner().map_err(|stuck| WriteError::writing(&path, stuck.into_error()))?;
        draft.publish()
    }

    fn encode_value(&mut self, attribute: &str, value: Option<&str>) {
        let Self { encoder, null_token, value: out, .. } = self;
        out.clear();
        encoder.field(attribute.as_bytes(), out);
        let value = value.unwrap_or(null_token);
        encoder.field(value.as_bytes(), out);
        self.has_formula[0] = is_formula(attribute) || is_formula(value);
    }

    fn encode_rest(&mut self, fate: NotAccepted, reason: &Reason, attempts: u32, place: Option<(&str, u64)>) {
        let Self { encoder, text, rest: out, .. } = self;
        out.clear();
        encoder.field(fate.name().as_bytes(), out);
        encoder.field(reason.status.map_or("", |status| shown(text, status)).as_bytes(), out);
        encoder.field(reason.error.as_bytes(), out);
        encoder.field(shown(text, attempts).as_bytes(), out);
        encoder.field(place.map_or("", |(source, _)| source).as_bytes(), out);
        encoder.last_field(place.map_or("", |(_, line)| shown(text, line)).as_bytes(), out);
        self.has_formula[1] =
            is_formula(&reason.error) || place.is_some_and(|(source, _)| is_formula(source));
    }

    /// How many rows hold what a spreadsheet would run as a formula.
    pub fn formulas(&self) -> u64 {
        self.formulas
    }

    /// Writes the row that is encoded. `is_formula`: its user is one.
    fn write(&mut self, is_formula: bool) -> Result<(), WriteError> {
        self.formulas += u64::from(is_formula || self.has_formula.contains(&true));
        let Self { out, user, value, rest, .. } = self;
        let written = out.write_all(user).and_then(|()| out.write_all(value));
        let written = written.and_then(|()| out.write_all(rest));
        written.map_err(|error| self.write_error(error))
    }

    fn write_error(&self, error: io::Error) -> WriteError {
        WriteError::writing(self.path(), error)
    }
}

fn shown(text: &mut String, shown: impl Display) -> &str {
    text.clear();
    write!(text, "{shown}").expect("a string takes all that is written to it");
    text
}

impl NotAccepted {
    /// The fate's name, as in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
        }
    }
}
