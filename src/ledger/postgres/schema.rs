//! The tables in the database, and their earlier forms.

use super::address::Address;
use super::error::DatabaseError;
use super::parameter::Parameter;
use super::session::Session;
use crate::ledger::rows::{LedgerState, Record};

/// The newest form. The numbers are those of a file with the same tables, so the first form in a database has number 2.
pub(super) const NEWEST: usize = 2;

/// What makes a form out of the one before, by its number. Never changed once it was released, only added to.
const FORMS: [(usize, &str); 1] = [(2, FORM_2)];

/// Times are milliseconds since 1970, but for those of the lease, which are the server's. Every row of the ledger has a checksum of
/// all its other fields.
const FORM_2: &str = "
    -- One row each.
    CREATE TABLE {schema}.form (id int8 PRIMARY KEY, number int8 NOT NULL);
    CREATE TABLE {schema}.lease (
        id int8 PRIMARY KEY,
        epoch int8 NOT NULL,             -- grows with each holder
        token text NOT NULL,             -- random
        host text NOT NULL,
        process int8 NOT NULL,
        taken_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        request_timeout interval NOT NULL, -- a request that began before the end may arrive this much later
        quiet_until timestamptz NOT NULL, -- until then, requests of the holder before may arrive
        newest int8 NOT NULL             -- the newest entry of the journal
    );
    CREATE TABLE {schema}.state (
        id int8 PRIMARY KEY, identity int8 NOT NULL, merged int8 NOT NULL, expired int8 NOT NULL, sum int8 NOT NULL
    );

    CREATE TABLE {schema}.target (
        id int8 PRIMARY KEY, base_url text NOT NULL, users text NOT NULL, sum int8 NOT NULL
    );
    CREATE TABLE {schema}.run (
        id int8 PRIMARY KEY, target int8 NOT NULL, continues int8 NOT NULL, begun int8 NOT NULL, after int8 NOT NULL,
        started int8 NOT NULL, settings text NOT NULL, inputs text NOT NULL, content text NOT NULL,
        finished int8 NOT NULL, outcome text, rows text, sum int8 NOT NULL
    );
    CREATE TABLE {schema}.attribute (
        id int8 PRIMARY KEY, target int8 NOT NULL, name text NOT NULL, parts int8 NOT NULL, generation int8 NOT NULL,
        facts int8 NOT NULL, sum int8 NOT NULL
    );
    CREATE TABLE {schema}.journal (
        entry int8 PRIMARY KEY, run int8 NOT NULL, attribute int8 NOT NULL, at int8 NOT NULL, facts int8 NOT NULL,
        heading int8 NOT NULL, groups bytea NOT NULL, sum int8 NOT NULL
    );
    CREATE TABLE {schema}.known (place int8 PRIMARY KEY, groups bytea NOT NULL, sum int8 NOT NULL);
    CREATE TABLE {schema}.pull (
        run int8 PRIMARY KEY, begun int8 NOT NULL, last int8 NOT NULL, started int8 NOT NULL, custom int8 NOT NULL,
        complete int8 NOT NULL, next text NOT NULL, pages int8 NOT NULL, users int8 NOT NULL, sum int8 NOT NULL
    );
    CREATE TABLE {schema}.prior (
        id int8 PRIMARY KEY, run int8 NOT NULL, attribute int8 NOT NULL, groups bytea NOT NULL, sum int8 NOT NULL
    );
    CREATE INDEX prior_of_run ON {schema}.prior (run, attribute);

    -- What a run may have sent after it lost its lease. It is written without one.
    CREATE TABLE {schema}.doubt (
        id int8 PRIMARY KEY, run int8 NOT NULL, target int8 NOT NULL, attribute text NOT NULL, facts int8 NOT NULL,
        groups bytea NOT NULL, sum int8 NOT NULL
    );

    -- Groups are small already: it would take longer to compress them than to write them.
    ALTER TABLE {schema}.journal ALTER COLUMN groups SET STORAGE EXTERNAL;
    ALTER TABLE {schema}.known ALTER COLUMN groups SET STORAGE EXTERNAL;
    ALTER TABLE {schema}.prior ALTER COLUMN groups SET STORAGE EXTERNAL;
";

/// The number of the form; 0 if there is no ledger.
pub(super) async fn read_form(session: &mut Session) -> Result<usize, DatabaseError> {
    let (name, schema) = (session.address().schema().to_owned(), session.address().quoted_schema());
    let exists =
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = $1 AND c.relname = 'form'";
    let found = session.query(exists, vec![Parameter::from(name)]).await?;
    if found.first().is_none_or(|row| row.get::<_, i64>(0) == 0) {
        return Ok(0);
    }
    let rows = session.query(&format!("SELECT number FROM {schema}.form"), Vec::new()).await?;
    Ok(rows.first().map_or(0, |row| usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX)))
}

/// Brings the tables to the newest form, in one transaction. Does nothing if they have it, or a later one. Returns the form that
/// they have.
pub(super) async fn migrate(session: &mut Session, address: &Address) -> Result<usize, DatabaseError> {
    let form = read_form(session).await?;
    if form >= NEWEST {
        return Ok(form);
    }
    session.batch("BEGIN").await?;
    session.pin();
    let migrated = migrate_locked(session, address).await;
    session.unpin();
    if migrated.is_err() {
        session.close();
    }
    migrated
}

async fn migrate_locked(session: &mut Session, address: &Address) -> Result<usize, DatabaseError> {
    let (name, schema) = (address.schema(), &address.quoted_schema());
    // Several runs may start at the same moment. The lock ends with the transaction.
    let lock =
        "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('attrsync ledger ' || $1, 0))";
    session.query(lock, vec![Parameter::from(name)]).await?;
    let form = read_form(session).await?;
    if form >= NEWEST {
        session.batch("COMMIT").await?;
        return Ok(form);
    }
    // A role that may not create schemas may not use `IF NOT EXISTS` either.
    let exists = "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1";
    let found = session.query(exists, vec![Parameter::from(name)]).await?;
    if found.first().is_none_or(|row| row.get::<_, i64>(0) == 0) {
        session.batch(&format!("CREATE SCHEMA {schema}")).await?;
    }
    for (_, step) in FORMS.iter().filter(|(number, _)| *number > form) {
        session.batch(&step.replace("{schema}", schema)).await?;
    }
    let number = format!(
        "INSERT INTO {schema}.form VALUES (1, {NEWEST}) ON CONFLICT (id) DO UPDATE SET number = excluded.number"
    );
    session.batch(&number).await?;
    if form == 0 {
        let state = LedgerState::new();
        let values = [1, state.identity, state.merged, state.expired, state.sum().into()]
            .map(|number| number.to_string());
        session.batch(&format!("INSERT INTO {schema}.state VALUES ({})", values.join(", "))).await?;
    }
    session.batch("COMMIT").await?;
    Ok(NEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rows::{
        AttributeRow, FieldType, JournalEntry, KNOWN, PriorPart, PullRow, RunRow, Table, TargetRow,
    };

    /// The columns of a table, as the last form that changed it has them.
    fn columns(table: &str) -> String {
        let start = format!("CREATE TABLE {{schema}}.{table} (");
        let (_, text) = FORM_2.split_once(&start).unwrap();
        let (text, _) = text.split_once(");").unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn expected(table: &Table) -> String {
        let column = |(place, (name, kind)): (usize, &(&str, FieldType))| {
            let kind = match kind {
                FieldType::Number if place == 0 => "int8 PRIMARY KEY",
                FieldType::Number => "int8 NOT NULL",
                FieldType::Text => "text NOT NULL",
                FieldType::OptionalText => "text",
                FieldType::Bytes => "bytea NOT NULL",
            };
            format!("{name} {kind}")
        };
        table.columns.iter().enumerate().map(column).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn tables_are_what_the_rows_need() {
        for table in [
            LedgerState::TABLE,
            TargetRow::TABLE,
            RunRow::TABLE,
            AttributeRow::TABLE,
            JournalEntry::TABLE,
            KNOWN,
            PullRow::TABLE,
            PriorPart::TABLE,
            crate::ledger::rows::Doubt::TABLE,
        ] {
            assert_eq!(columns(table.name), expected(&table), "{}", table.name);
        }
    }
}
