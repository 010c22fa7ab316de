//! A checksum over the fields of a row, to detect a damaged ledger.

use crc32fast::Hasher;

/// The checksum of a row, computed field by field.
#[derive(Debug)]
pub(super) struct Checksum(Hasher);

impl Checksum {
    /// Of a row of the table of this name.
    pub(super) fn of(table: &str) -> Self {
        Self(Hasher::new()).text(table)
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut with_len = self.number(bytes.len() as u64);
        with_len.0.update(bytes);
        with_len
    }

    pub(super) fn finish(self) -> u32 {
        self.0.finalize()
    }
}
