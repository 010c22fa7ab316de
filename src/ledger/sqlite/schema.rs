//! The schema of the file, and its earlier versions.

/// Tells a ledger from other databases: `atts`.
pub(super) const APPLICATION: i64 = 0x6174_7473;

/// By form, from 1: what makes it out of the form before. Never changed once it was released, only added to.
pub(super) const FORMS: [&str; 2] = [FORM_1, FORM_2];

/// Times are milliseconds since 1970. Every row has a checksum of all its other fields.
const FORM_1: &str = "
    -- One row.
    CREATE TABLE state (
        id INTEGER PRIMARY KEY,
        identity INTEGER NOT NULL,   -- random
        merged INTEGER NOT NULL,     -- `known` has what the journal said up to this entry
        expired INTEGER NOT NULL,    -- the journal has every entry after this one
        sum INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE target (
        id INTEGER PRIMARY KEY,
        base_url TEXT NOT NULL,
        users TEXT NOT NULL,         -- what names them: `id` or `custom-id`
        sum INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        target INTEGER NOT NULL,
        continues INTEGER NOT NULL,  -- another run, or 0
        begun INTEGER NOT NULL,      -- the entry before the first one of the first run that it continues
        after INTEGER NOT NULL,      -- the entry before its own first one
        started INTEGER NOT NULL,
        settings TEXT NOT NULL,
        inputs TEXT NOT NULL,        -- their names, as JSON
        content TEXT NOT NULL,       -- a fingerprint of what was read
        finished INTEGER NOT NULL,   -- 0: not yet, or never
        outcome TEXT,
        rows TEXT,                   -- by fate, as JSON
        sum INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE attribute (
        id INTEGER PRIMARY KEY,
        target INTEGER NOT NULL,
        name TEXT NOT NULL,
        parts INTEGER NOT NULL,      -- in `known`, numbered from 0
        generation INTEGER NOT NULL, -- the entry up to which they were last merged
        facts INTEGER NOT NULL,      -- pairs of user and value in them
        sum INTEGER NOT NULL
    ) STRICT;

    -- What was acknowledged, a row for each commit and attribute, numbered without gaps.
    CREATE TABLE journal (
        entry INTEGER PRIMARY KEY,
        run INTEGER NOT NULL,
        attribute INTEGER NOT NULL,
        at INTEGER NOT NULL,
        facts INTEGER NOT NULL,
        heading INTEGER NOT NULL,    -- a checksum of the fields above
        groups BLOB NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;

    -- What the API holds, but for what the journal says since: every user of an attribute once.
    CREATE TABLE known (
        place INTEGER PRIMARY KEY,   -- attribute and part, 32 bits each
        groups BLOB NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;
";

/// Adds what was read from the account, and what undoing a run needs.
const FORM_2: &str = "
    -- Runs that read the list of users. All fields are about the reading as a whole, which may have begun in an earlier run.
    CREATE TABLE pull (
        run INTEGER PRIMARY KEY,
        begun INTEGER NOT NULL,      -- the entry before its first one
        last INTEGER NOT NULL,       -- its last entry
        started INTEGER NOT NULL,
        custom INTEGER NOT NULL,     -- whether custom attributes were read, 0 or 1
        complete INTEGER NOT NULL,   -- whether the list was read to its end, 0 or 1
        next TEXT NOT NULL,          -- the cursor of the next page; empty if there is none
        pages INTEGER NOT NULL,
        users INTEGER NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;

    -- What was known before a run of the values that it set, kept when the journal is compacted.
    CREATE TABLE prior (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL,
        attribute INTEGER NOT NULL,
        groups BLOB NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX prior_of_run ON prior (run, attribute);
";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::clock;
    use crate::ledger::database::Database;
    use crate::ledger::rows::{LedgerState, Record};
    use crate::ledger::{LedgerLocation, Waits};

    #[test]
    fn a_file_of_the_first_form_is_read_as_it_is_and_changed_when_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let location = LedgerLocation::from(folder.path().join("ledger"));
        let path = location.path().unwrap();
        let old = Connection::open(path).unwrap();
        old.execute_batch(FORMS[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let LedgerState { identity, merged, expired } = LedgerState::new();
        let sum = LedgerState { identity, merged, expired }.sum();
        old.execute("INSERT INTO state VALUES (1, ?, ?, ?, ?)", (identity, merged, expired, sum)).unwrap();
        drop(old);

        let database = Database::open_to_read(&location).unwrap();
        assert!(database.pulls().unwrap().is_empty());
        database.each_prior(1, 1, |_| panic!("nothing is in it")).unwrap();
        drop(database);
        let database = Database::open_to_write(&location, Waits::default(), clock::utc_now()).unwrap();
        database.add_prior(1, 1, b"groups").unwrap();
        let mut seen = Vec::new();
        let see = |groups: &[u8]| {
            seen.push(groups.to_vec());
            Ok(())
        };
        database.each_prior(1, 1, see).unwrap();
        assert_eq!(seen, [b"groups"]);
        assert_eq!(database.state().unwrap().identity, identity);
    }
}
