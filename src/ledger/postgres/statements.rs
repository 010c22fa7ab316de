//! Rows and changes, as statements and their parameters.

use std::collections::HashSet;

use tokio_postgres::Row;

use super::session::Statement;
use crate::ledger::rows::{Field, FieldType, JournalEntry, Record, Table};
use crate::ledger::store::Change;

/// At most about this many bytes are sent in one statement, and wait in memory until then. A transaction that is larger can't be repeated.
pub(super) const MOST_BYTES: usize = 8 << 20;

/// The statements that make changes, several rows of a table at once.
pub(super) fn statements(schema: &str, changes: &[Change]) -> Vec<Statement> {
    let (mut rest, mut statements) = (changes, Vec::new());
    while let Some(first) = rest.first() {
        let count = match first {
            Change::Put(table, _) => {
                let count = run_of_puts(table, rest);
                statements.push(put(schema, table, &rest[..count]));
                count
            }
            Change::Remove { table, column, first, last } => {
                let sql = format!("DELETE FROM {schema}.{} WHERE {column} BETWEEN $1 AND $2", table.name);
                statements.push((sql, vec![first.cast_signed().into(), last.cast_signed().into()]));
                1
            }
        };
        rest = &rest[count..];
    }
    statements
}

/// How many of the changes, from the first one on, put rows with different keys into this table.
fn run_of_puts(table: &Table, changes: &[Change]) -> usize {
    let mut keys = HashSet::new();
    let mut bytes = 0;
    let is_of_run = |change: &&Change| match change {
        Change::Put(other, fields) => {
            bytes += size(change);
            let is_new = matches!(fields.first(), Some(Field::Number(key)) if keys.insert(*key));
            other.name == table.name && is_new && (keys.len() == 1 || bytes <= MOST_BYTES)
        }
        Change::Remove { .. } => false,
    };
    changes.iter().take_while(is_of_run).count().max(1)
}

/// The statement that puts rows into a table.
fn put(schema: &str, table: &Table, changes: &[Change]) -> Statement {
    let rows = || {
        changes.iter().filter_map(|change| match change {
            Change::Put(_, fields) => Some(fields),
            Change::Remove { .. } => None,
        })
    };
    let column = |place: usize| rows().map(move |fields| &fields[place]);
    let parameters = table.columns.iter().enumerate().map(|(place, (_, kind))| match kind {
        FieldType::Number => column(place).map(number).collect::<Vec<i64>>().into(),
        FieldType::Text | FieldType::OptionalText => column(place).map(text).collect::<Vec<_>>().into(),
        FieldType::Bytes => column(place).map(bytes).collect::<Vec<_>>().into(),
    });
    let kinds = table.columns.iter().zip(1..).map(|((_, kind), place)| match kind {
        FieldType::Number => format!("${place}::int8[]"),
        FieldType::Text | FieldType::OptionalText => format!("${place}::text[]"),
        FieldType::Bytes => format!("${place}::bytea[]"),
    });
    let updates = table.columns.iter().skip(1).map(|(name, _)| format!("{name} = excluded.{name}"));
    let sql = format!(
        "INSERT INTO {schema}.{} ({}) SELECT * FROM unnest({}) ON CONFLICT ({}) DO UPDATE SET {}",
        table.name,
        names(table),
        kinds.collect::<Vec<_>>().join(", "),
        table.key(),
        updates.collect::<Vec<_>>().join(", ")
    );
    (sql, parameters.collect())
}

pub(super) fn names(table: &Table) -> String {
    table.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn number(field: &Field) -> i64 {
    match field {
        Field::Number(number) => *number,
        _ => unreachable!("the table says that it is a number"),
    }
}

fn text(field: &Field) -> Option<String> {
    match field {
        Field::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn bytes(field: &Field) -> Vec<u8> {
    match field {
        Field::Bytes(bytes) => bytes.clone(),
        _ => unreachable!("the table says that it is bytes"),
    }
}

pub(super) fn fields(table: &Table, row: &Row) -> Vec<Field> {
    let kinds = table.columns.iter().enumerate();
    kinds
        .map(|(place, (_, kind))| match kind {
            FieldType::Number => Field::Number(row.get(place)),
            FieldType::Text => Field::Text(row.get(place)),
            FieldType::OptionalText => row.get::<_, Option<String>>(place).map_or(Field::None, Field::Text),
            FieldType::Bytes => Field::Bytes(row.get(place)),
        })
        .collect()
}

/// The newest entry of the journal among these changes.
pub(super) fn newest(changes: &[Change]) -> Option<u64> {
    let entry = |change: &Change| match change {
        Change::Put(table, fields) if table.name == JournalEntry::TABLE.name => {
            fields.first().map(|field| number(field).cast_unsigned())
        }
        _ => None,
    };
    changes.iter().filter_map(entry).max()
}

/// About how many bytes a change has.
pub(super) fn size(change: &Change) -> usize {
    const OVERHEAD: usize = 64;
    match change {
        Change::Put(_, fields) => {
            let bytes = fields.iter().map(|field| match field {
                Field::Text(text) => text.len(),
                Field::Bytes(bytes) => bytes.len(),
                Field::Number(_) | Field::None => 8,
            });
            bytes.sum::<usize>() + OVERHEAD
        }
        Change::Remove { .. } => OVERHEAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rows::KNOWN;

    /// What a row has beside its bytes: two numbers, and what it takes to store it.
    const OTHERS: usize = 8 + 8 + 64;

    fn row(table: Table, key: i64, bytes: usize) -> Change {
        Change::Put(table, vec![Field::Number(key), Field::Bytes(vec![0; bytes]), Field::Number(0)])
    }

    #[test]
    fn rows_of_a_table_are_put_by_one_statement_unless_it_gets_too_large() {
        let known = |key, bytes| row(KNOWN, key, bytes);
        let other = |key| row(Table { name: "other", ..KNOWN }, key, 1);
        let remove = Change::Remove { table: KNOWN, column: "place", first: 1, last: 2 };
        let half = MOST_BYTES / 2 - OTHERS;
        for (what, changes, count) in [
            ("several rows", vec![known(1, 1), known(2, 1), known(3, 1)], 1),
            ("a key twice", vec![known(1, 1), known(2, 1), known(1, 2)], 2),
            ("two tables", vec![known(1, 1), other(2), other(3)], 2),
            ("a removal", vec![known(1, 1), remove, known(2, 1)], 3),
            ("as much as fits", vec![known(1, half), known(2, half)], 1),
            ("a byte more", vec![known(1, half), known(2, half + 1)], 2),
            ("a row that is too large", vec![known(1, MOST_BYTES), known(2, 1)], 2),
        ] {
            assert_eq!(statements("night", &changes).len(), count, "{what}");
        }
    }

    #[test]
    fn the_newest_entry_is_that_of_the_journal() {
        let entry = |number| Change::Put(JournalEntry::TABLE, vec![Field::Number(number)]);
        assert_eq!(newest(&[entry(3), entry(5), entry(4), row(KNOWN, 9, 1)]), Some(5));
        assert_eq!(newest(&[row(KNOWN, 9, 1)]), None);
    }
}
