//! Keeps invalid rows for the failures report.

use std::io::{self, Seek, SeekFrom};
use std::path::PathBuf;

use tempfile::SpooledTempFile;

/// The most bytes that stay in memory. With more, all rows go to a temporary file.
const IN_MEMORY: usize = 4 << 20;

/// The size of the writer's buffer. Each time it is full, the writer scans the rest of the field, which is slow for a
/// record that cannot be parsed and is as long as the input.
const BUFFER: usize = 1 << 20;

/// An invalid row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvalidRow {
    /// As in the input. If the record cannot be parsed, this and the next two are empty.
    pub user_id: String,
    /// As in the input.
    pub attribute: String,
    /// As in the input.
    pub value: String,
    /// What is wrong. If the record cannot be parsed, this includes its text.
    pub error: String,
    /// The name of the input.
    pub source: String,
    /// The line of the decoded text where the record starts, from 1.
    pub line: u64,
}

/// All invalid rows, in the order of the input. A few are kept in memory, many in a temporary file without a name.
#[derive(Debug)]
pub struct InvalidRows {
    file: SpooledTempFile,
    len: u64,
}

impl Default for InvalidRows {
    /// No rows.
    fn default() -> Self {
        Self { file: tempfile::spooled_tempfile(IN_MEMORY), len: 0 }
    }
}

impl InvalidRows {
    /// The number of rows.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All rows, from the first one each time. Fails if the temporary file cannot be read.
    pub fn iter(&mut self) -> impl Iterator<Item = io::Result<InvalidRow>> + '_ {
        let lost = self.file.seek(SeekFrom::Start(0)).err();
        let readable = if lost.is_none() { usize::MAX } else { 0 };
        let records = csv::ReaderBuilder::new().has_headers(false).from_reader(&mut self.file).into_records();
        lost.into_iter().map(Err).chain(records.take(readable).map(|record| parse(&record?)))
    }
}

fn parse(record: &csv::StringRecord) -> io::Result<InvalidRow> {
    let line = record.get(0).and_then(|line| line.parse().ok());
    let field = |number| record.get(number).unwrap_or_default().to_owned();
    Ok(InvalidRow {
        user_id: field(1),
        attribute: field(2),
        value: field(3),
        error: field(4),
        source: field(5),
        line: line.ok_or_else(|| io::Error::other("the temporary file was changed"))?,
    })
}

/// Writes invalid rows.
#[derive(Debug)]
pub(super) struct InvalidRowsWriter {
    rows: csv::Writer<SpooledTempFile>,
    directory: Option<PathBuf>,
    len: u64,
}

impl InvalidRowsWriter {
    /// A writer whose temporary file, if it needs one, is in this directory; with `None`, in the system's.
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        let file = match &directory {
            Some(directory) => tempfile::spooled_tempfile_in(IN_MEMORY, directory),
            None => tempfile::spooled_tempfile(IN_MEMORY),
        };
        let mut rows = csv::WriterBuilder::new();
        let rows = rows.has_headers(false).buffer_capacity(BUFFER).from_writer(file);
        Self { rows, directory, len: 0 }
    }

    pub(super) fn fork(&self) -> Self {
        Self::new(self.directory.clone())
    }

    pub(super) fn push(&mut self, row: &InvalidRow) -> io::Result<()> {
        let line = row.line.to_string();
        // The line comes first. The reader would strip a byte-order mark from a text at the start.
        self.rows.write_record([&line, &row.user_id, &row.attribute, &row.value, &row.error, &row.source])?;
        self.len += 1;
        Ok(())
    }

    /// Appends the rows of a fork, and adds `lines` to their lines.
    pub(super) fn join(&mut self, later: Self, lines: u64) -> io::Result<()> {
        for row in later.finish()?.iter() {
            let row = row?;
            self.push(&InvalidRow { line: row.line + lines, ..row })?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<InvalidRows> {
        let file = self.rows.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(InvalidRows { file, len: self.len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_than_fit_in_memory_come_back_in_order_and_twice() {
        let mut writer = InvalidRowsWriter::new(None);
        let mut later = writer.fork();
        let row = |line: u64| InvalidRow {
            user_id: "\u{feff}".to_owned(),
            value: "\r\n\"\0,".repeat(100),
            error: format!("{line}"),
            line,
            ..InvalidRow::default()
        };
        (1..=10_000).try_for_each(|line| writer.push(&row(line))).unwrap();
        (1..=10_000).try_for_each(|line| later.push(&row(line))).unwrap();
        writer.join(later, 10_000).unwrap();
        let mut rows = writer.finish().unwrap();
        assert_eq!(rows.len(), 20_000);
        for _ in 0..2 {
            for (line, found) in (1..).zip(rows.iter()) {
                let found = found.unwrap();
                assert_eq!(found, InvalidRow { error: found.error.clone(), ..row(line) });
            }
        }
    }

    #[test]
    fn a_directory_that_is_not_there_loses_no_row_silently() {
        let mut writer = InvalidRowsWriter::new(Some("/nonexistent".into()));
        let row = InvalidRow { value: "x".repeat(IN_MEMORY), ..InvalidRow::default() };
        assert!((0..3).try_for_each(|_| writer.push(&row)).is_err());
    }
}
