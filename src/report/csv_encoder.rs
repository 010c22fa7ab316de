//! Encodes CSV fields into memory.

use csv_core::{WriteResult, Writer};

/// Encodes the fields of CSV records, one by one. A `csv::Writer` takes whole records only; with this, fields that many
/// records have in common are encoded once.
#[derive(Debug, Default)]
pub(super) struct CsvEncoder(Writer);

impl CsvEncoder {
    /// Appends a field and the comma behind it.
    pub(super) fn field(&mut self, field: &[u8], out: &mut Vec<u8>) {
        self.append(field, Writer::delimiter, out);
    }

    /// Appends the last field of a record and the end of the line.
    pub(super) fn last_field(&mut self, field: &[u8], out: &mut Vec<u8>) {
        self.append(field, Writer::terminator, out);
    }

    fn append(
        &mut self,
        field: &[u8],
        end: fn(&mut Writer, &mut [u8]) -> (WriteResult, usize),
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        // There is room for all of it: two bytes for each quote in the field, a quote at both ends, and one byte more.
        out.resize(start + 2 * field.len() + 3, 0);
        let (_all, _read, written) = self.0.field(field, &mut out[start..]);
        let (_all, ended) = end(&mut self.0, &mut out[start + written..]);
        out.truncate(start + written + ended);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_are_those_of_a_csv_writer(
            records in prop::collection::vec(prop::collection::vec("[a,\"\r\n ]{0,5}", 2..5), 1..5),
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            let (mut encoder, mut encoded) = (CsvEncoder::default(), Vec::new());
            for record in &records {
                writer.write_record(record).unwrap();
                let (last, fields) = record.split_last().unwrap();
                for field in fields {
                    encoder.field(field.as_bytes(), &mut encoded);
                }
                encoder.last_field(last.as_bytes(), &mut encoded);
            }
            prop_assert_eq!(writer.into_inner().unwrap(), encoded);
        }
    }
}
