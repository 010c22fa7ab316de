//! The failures report: rows that were not accepted, as a CSV file that is a valid input.

use std::fmt::{Display, Write as _};
use std::io;
use std::path::Path;

use super::{AtomicFile, Discard, WriteError};
use crate::deliver::Reason;
use crate::input::{FAILURES_HEADER, InvalidRow, InvalidRows, ReadOptions};
use crate::plan::{Batch, Plan};

/// Large, because the CSV writer scans the rest of a field each time its buffer is full, and the error of a record that
/// can't be parsed may be as long as the input.
const BUFFER: usize = 1 << 20;

/// The failures report: a row for each invalid, failed and unsent row, and a valid input itself. Rows are written as
/// they come; the file takes its place when it is published, so an input may be the very file that it replaces.
#[derive(Debug)]
pub struct FailuresReport {
    rows: csv::Writer<AtomicFile>,
    null_token: String,
    field: String,
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
            rows: csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(draft),
            null_token: options.null_token.clone().unwrap_or_default(),
            field: String::new(),
        };
        report.rows.write_record(FAILURES_HEADER).map_err(|error| report.write_error(error))?;
        Ok(report)
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        self.rows.get_ref().path()
    }

    /// The handle that removes the unfinished report, if there is one.
    pub fn discard(&self) -> Option<Discard> {
        self.rows.get_ref().discard()
    }

    /// Adds a row.
    pub fn add<User: Display>(&mut self, row: &ReportRow<'_, User>) -> Result<(), WriteError> {
        self.write(row).map_err(|error| self.write_error(error))
    }

    /// Adds every invalid row.
    pub fn add_invalid(&mut self, rows: &mut InvalidRows) -> Result<(), WriteError> {
        let path = self.rows.get_ref().path().to_owned();
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

    /// Adds the rows of a batch.
    pub fn add_batch(
        &mut self,
        plan: &Plan,
        batch: Batch,
        fate: NotAccepted,
        reason: &Reason,
        attempts: u32,
    ) -> Result<(), WriteError> {
        let (attribute, value) = (plan.attribute(batch.group).name.as_str(), plan.value(batch.group));
        let value = value.as_deref();
        let row = |user| ReportRow { user, attribute, value, fate, reason, attempts, place: None };
        plan.users(batch).try_for_each(|user| self.add(&row(user)))
    }

    /// Puts the report in its place. If every row was accepted, it has a header and no rows.
    pub fn publish(self) -> Result<(), WriteError> {
        let path = self.rows.get_ref().path().to_owned();
        let draft = self.rows.into_inner().map_err(|stuck| WriteError::writing(&path, stuck.into_error()))?;
        draft.publish()
    }

    fn write<User: Display>(&mut self, row: &ReportRow<'_, User>) -> csv::Result<()> {
        self.write_shown(&row.user)?;
        self.rows.write_field(row.attribute)?;
        self.rows.write_field(row.value.unwrap_or(&self.null_token))?;
        self.rows.write_field(row.fate.name())?;
        match row.reason.status {
            Some(status) => self.write_shown(status)?,
            None => self.rows.write_field("")?,
        }
        self.rows.write_field(&row.reason.error)?;
        self.write_shown(row.attempts)?;
        if let Some((source, line)) = row.place {
            self.rows.write_field(source)?;
            self.write_shown(line)?;
        } else {
            self.rows.write_field("")?;
            self.rows.write_field("")?;
        }
        self.rows.write_record(None::<&[u8]>)
    }

    fn write_shown(&mut self, shown: impl Display) -> csv::Result<()> {
        self.field.clear();
        write!(self.field, "{shown}").expect("a string takes all that is written to it");
        self.rows.write_field(&self.field)
    }

    fn write_error(&self, error: csv::Error) -> WriteError {
        let error = match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        };
        WriteError::writing(self.rows.get_ref().path(), error)
    }
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
