//! How the program connects, and what it says when it can't.

use std::time::Duration;

use attrsync::ledger::postgres::{Access, Address, Background, DatabaseError, Session};

use super::{Cut, Relay, database};

/// A session, and the thread that it runs on.
struct Connected {
    background: Background,
    session: Option<Session>,
}

impl Connected {
    fn to(address: &str) -> Self {
        let address = Address::parse(address, None).unwrap_or_else(|error| panic!("{address}: {error}"));
        let session = Some(Session::new(address, Access::Write));
        Self { background: Background::start().unwrap(), session }
    }

    /// The number that a statement returns.
    fn number(&mut self, sql: &'static str) -> Result<i64, DatabaseError> {
        let mut session = self.session.take().unwrap();
        let (session, result) = self.background.run(async move {
            let rows = session.query_within(Duration::from_secs(2), sql, Vec::new()).await;
            (session, rows.map(|rows| rows[0].get(0)))
        });
        self.session = Some(session);
        result
    }

    fn generation(&self) -> u64 {
        self.session.as_ref().unwrap().generation()
    }
}

fn error(address: &str) -> DatabaseError {
    Connected::to(address).number("SELECT 1::int8").unwrap_err()
}

#[test]
fn every_way_to_the_server_works() {
    let Some(database) = database() else { return };
    for address in [&database.direct, &database.pooled, &database.socket, &database.tls] {
        let mut connected = Connected::to(address);
        for _ in 0..3 {
            assert_eq!(connected.number("SELECT 7::int8"), Ok(7), "{address}");
        }
        assert_eq!(connected.generation(), 1);
    }
    let encrypted = "SELECT ssl::int::int8 FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(Connected::to(&database.tls).number(encrypted), Ok(1));
}

#[test]
fn a_certificate_has_to_be_trusted_and_to_name_the_host() {
    let Some(database) = database() else { return };
    let (untrusted, _) = database.tls.split_once('?').unwrap();
    let refused = error(&format!("{untrusted}?sslmode=verify-full"));
    assert!(matches!(refused, DatabaseError::Refused(_)), "{refused:?}");
    let refused = error(&database.tls.replacen("@localhost:", "@127.0.0.1:", 1)).to_string();
    assert!(refused.contains("the certificate of `127.0.0.1` is for `localhost`"), "{refused}");
}

#[test]
fn of_several_hosts_one_that_may_come_back_is_waited_for() {
    let Some(database) = database() else { return };
    let (authority, _) = database.direct.rsplit_once('/').unwrap();
    let (user, host) = authority.rsplit_once('@').unwrap();
    let of_hosts = |hosts: &[&str]| error(&format!("{user}@{}/nowhere", hosts.join(",")));
    // Nobody listens on the discard port.
    let away = "127.0.0.1:9";
    for hosts in [[away, host], [host, away]] {
        let error = of_hosts(&hosts);
        assert!(matches!(error, DatabaseError::Away(_)), "{hosts:?}: {error:?}");
        assert!(error.to_string().contains(away), "{error}");
    }
    // The first one says most.
    let (_, port) = host.rsplit_once(':').unwrap();
    let other = format!("localhost:{port}");
    for hosts in [[host, other.as_str()], [other.as_str(), host]] {
        let error = of_hosts(&hosts);
        assert!(matches!(error, DatabaseError::Refused(_)), "{hosts:?}: {error:?}");
        assert!(error.to_string().contains(hosts[0]), "{error}");
    }
}

#[test]
fn what_waiting_can_not_help_is_refused_in_plain_words_without_the_password() {
    let Some(database) = database() else { return };
    let (_, host) = database.direct.split_once('@').unwrap();
    for (address, words) in [
        (
            format!("postgres://attrsync:hunter2@{host}"),
            "the server refuses the password of the user `attrsync`",
        ),
        (format!("postgres://attrsync@{host}"), "set the variable `PGPASSWORD`"),
        (database.direct.replace(&database.name, "hunter3"), "database \"hunter3\" does not exist"),
        (format!("{}?sslmode=require", database.direct.replace("127.0.0.1", "localhost")), ""),
    ] {
        let error = error(&address);
        assert!(matches!(error, DatabaseError::Refused(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_broken_connection_is_made_again_for_the_next_statement() {
    let Some(database) = database() else { return };
    let relay = Relay::to(&database.direct);
    let mut connected = Connected::to(&relay.address(&database.direct));
    assert_eq!(connected.number("SELECT 1::int8"), Ok(1));
    let cuts = [Cut::BeforeRequest, Cut::HalfRequest, Cut::BeforeReply, Cut::HalfReply, Cut::HoldReply];
    for (generation, cut) in (1..).zip(cuts) {
        assert_eq!(connected.generation(), generation);
        relay.next(cut);
        let error = connected.number("SELECT 2::int8").unwrap_err();
        assert!(error.is_away(), "{cut:?}: {error:?}");
        assert_eq!(connected.number("SELECT 3::int8"), Ok(3), "{cut:?}");
    }
    relay.refuse();
    assert!(connected.number("SELECT 4::int8").unwrap_err().is_away());
    relay.pass();
    assert_eq!(connected.number("SELECT 5::int8"), Ok(5));
}

#[test]
fn a_second_host_is_tried_where_the_first_one_does_not_answer() {
    let Some(database) = database() else { return };
    let relay = Relay::to(&database.direct);
    relay.refuse();
    let (user, rest) = database.direct.split_once('@').unwrap();
    let away = relay.address(&database.direct);
    let (first, _) = away.split_once('@').unwrap().1.split_once('/').unwrap();
    let mut connected = Connected::to(&format!("{user}@{first},{rest}"));
    assert_eq!(connected.number("SELECT 1::int8"), Ok(1));
}

#[test]
fn what_ends_the_connection_is_waited_for_and_what_a_statement_does_wrong_is_not() {
    let Some(database) = database() else { return };
    let mut connected = Connected::to(&database.direct);
    let ends = connected.number("SELECT pg_terminate_backend(pg_backend_pid())::int::int8").unwrap_err();
    assert!(ends.is_away() && ends.to_string().contains("terminating connection"), "{ends:?}");
    let wrong = connected.number("SELECT 1::int8 / 0").unwrap_err();
    assert!(matches!(wrong, DatabaseError::Refused(_)) && wrong.to_string().contains("(22012)"), "{wrong:?}");
}
