//! What a database refuses ends a run before its first request, with words that say what to do.

use std::fs;

use super::super::cli::{Server, Workdir, ended, project};
use super::runs::{attrsync, password, recorded, sync, syncing, with};
use super::{Database, Session, database, server, unused_name};

/// That a run with this ledger is refused with these words, and nobody is shown the password.
#[track_caller]
fn check(ledger: &str, words: &[&str]) {
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    let run = sync(&server, &workdir, ledger, "-vv").exits(2);
    assert_eq!((run.summary()["reason"].as_str(), server.counters().requests), (Some("usage"), 0));
    assert_eq!(workdir.names(), ["users.csv"]);
    let secret = password(ledger);
    assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{}", run.stderr);
    for words in words {
        assert!(run.stderr.contains(words), "`{words}` is not in:\n{}", run.stderr);
    }
    assert!(run.stderr.contains("hint: see to the database, its rights, or the address in `--ledger`"));
}

/// A database that belongs to the superuser, with the role that the schemas are for.
fn of_another_owner() -> Option<Database> {
    let cluster = server()?;
    let name = unused_name();
    Session::open(cluster.value("POSTGRES_ADMIN")).execute(&format!("CREATE DATABASE {name}"));
    Some(cluster.database_named(name))
}

#[test]
fn a_wrong_password_is_said_to_be_wrong() {
    let Some(database) = database() else { return };
    for address in [&database.direct, &database.pooled, &database.socket, &database.tls] {
        let wrong = address.replace(password(address), "not-the-password");
        check(&wrong, &["the server refuses the password of the user `attrsync`, or doesn't know the user"]);
    }
}

#[test]
fn a_missing_password_is_asked_for() {
    let Some(database) = database() else { return };
    let ledger = database.direct.replace(&format!(":{}", password(&database.direct)), "");
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    let run = sync(&server, &workdir, &ledger, "").exits(2);
    run.says("the server asks for a password, and there is none: set the variable `PGPASSWORD`");
    let mut command = syncing(&server, &workdir, &ledger, "");
    command.env("PGPASSWORD", password(&database.direct));
    ended(command).exits(0);
}

#[test]
fn an_unknown_database_is_named() {
    let Some(database) = database() else { return };
    let unknown = |address: &str| address.replace(&format!("/{}", database.name), "/nowhere");
    check(
        &unknown(&database.direct),
        &["database \"nowhere\" does not exist: create it, or name another one"],
    );
    check(&unknown(&database.pooled), &["database \"nowhere\" does not exist"]);
}

#[test]
fn a_missing_right_is_named_with_the_statement_that_gives_it() {
    let Some(database) = of_another_owner() else { return };
    for address in [&database.direct, &database.pooled] {
        let right = format!("`GRANT CREATE ON DATABASE {} TO attrsync`", database.name);
        check(address, &["permission denied", &right]);
    }
    let admin = Session::open(&database.admin);
    admin.execute("CREATE SCHEMA attrsync");
    check(&database.direct, &["`GRANT USAGE, CREATE ON SCHEMA attrsync TO attrsync`"]);
    // The rate has a schema of its own.
    admin.execute("ALTER SCHEMA attrsync OWNER TO attrsync");
    let right = format!("`GRANT CREATE ON DATABASE {} TO attrsync`", database.name);
    check(&database.direct, &["permission denied", &right]);
    admin.execute(&format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database.name));
    check(&database.direct, &[&format!("`GRANT CONNECT ON DATABASE {} TO attrsync`", database.name)]);
}

#[test]
fn a_server_has_to_prove_who_it_is() {
    let (Some(database), Some(cluster)) = (database(), server()) else { return };
    let (workdir, server) = (Workdir::with_cities(2), Server::friendly());
    sync(&server, &workdir, &database.tls, "").exits(0);
    assert_eq!(server.counters().requests, 2);

    check(&database.tls.replace("localhost", "127.0.0.1"), &["certificate", "127.0.0.1", "localhost"]);
    let other = cluster.value("POSTGRES_OTHER_CA");
    let distrusted = database.tls.replace(cluster.value("POSTGRES_CA"), other);
    check(&distrusted, &["is not trusted (unknown issuer): `sslrootcert` names a file that did not sign it"]);
    let (without, _) = database.tls.split_once("&sslrootcert").unwrap();
    check(without, &["name the file of the authority that signed it with `sslrootcert=FILE` in the address"]);
    check(&with(without, "sslrootcert=/nowhere/ca.crt"), &["/nowhere/ca.crt"]);
}

#[test]
fn a_role_without_the_right_to_create_schemas_is_enough() {
    for pooled in [false, true] {
        let Some(database) = of_another_owner() else { return };
        let sql = fs::read_to_string(project("packaging/postgres/schema.sql")).unwrap();
        Session::open(&database.admin).execute(&sql);
        let address = if pooled { &database.pooled } else { &database.direct };
        let (workdir, server) = (Workdir::with_cities(3), Server::friendly());
        sync(&server, &workdir, address, "").exits(0);
        let run = sync(&server, &workdir, address, "--only-changed").exits(0);
        assert_eq!((run.rows("unchanged"), recorded(address)), (3, 3));
        ended(attrsync(&server, &workdir, address, "pull")).exits(0);
        let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'attrsync%'";
        assert_eq!(database.query(schemas), [["2"]]);
    }
}
