//! What is wrong when the database doesn't do what it is asked to, and whether waiting can help.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;

use rustls::CertificateError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::address::{Address, Host};
use crate::deliver::certificate_error;
use crate::input::is_invisible;

/// Longer messages of the server are cut.
const MOST_CHARS: usize = 300;

/// Messages of `PgBouncer` that say that waiting can't help, some of them passed on from the server. It gives all of its
/// messages the same code.
const REFUSED_BY_POOLER: [&str; 6] = [
    "no such database",
    "does not exist",
    "permission denied",
    "no such user",
    "not allowed",
    "unsupported startup parameter",
];

/// Those about the password.
const PASSWORD_REFUSED_BY_POOLER: [&str; 2] = ["authentication failed", "auth failed"];

/// Why the database didn't do what it was asked to. Each holds one line without secrets, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// It is away, and waiting can help.
    #[error("{0}")]
    Away(String),
    /// A schema or a table isn't there.
    #[error("{0}")]
    Absent(String),
    /// The user lacks a right. It says what to ask the owner for.
    #[error("{0}")]
    Denied(String),
    /// Anything else that waiting can't help.
    #[error("{0}")]
    Refused(String),
}

impl DatabaseError {
    pub(super) fn away(what: &str) -> Self {
        Self::Away(visible(what))
    }

    pub(super) fn refused(what: &str) -> Self {
        Self::Refused(visible(what))
    }

    /// Whether waiting can help.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// The same with the place of the server.
    pub(super) fn at(self, place: &str) -> Self {
        match self {
            Self::Away(what) => Self::Away(format!("{place}: {what}")),
            Self::Absent(what) => Self::Absent(format!("{place}: {what}")),
            Self::Denied(what) => Self::Denied(format!("{place}: {what}")),
            Self::Refused(what) => Self::Refused(format!("{place}: {what}")),
        }
    }

    /// What an error of the client means for one who uses this address.
    pub(super) fn of(error: &Error, address: &Address, host: &Host) -> Self {
        if let Some(said) = error.as_db_error() {
            return of_server(said, address);
        }
        if let Some(error) = find::<rustls::Error>(error) {
            return of_tls(error, address, host.name());
        }
        if error.is_closed() {
            return Self::away("the connection was closed");
        }
        if let Some(error) = find::<io::Error>(error) {
            return of_system(error);
        }
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        match cause.as_str() {
            "server does not support TLS" => Self::refused(
                "the server doesn't offer TLS: set it up there, or add `sslmode=disable` to the address to show everything \
                 to the network",
            ),
            "password missing" => Self::refused(
                "the server asks for a password, and there is none: set the variable `PGPASSWORD`, or write it in the \
                 address after the user, in a file that only you can read",
            ),
            "" => Self::refused(&error.to_string()),
            cause => Self::refused(&format!("{error}: {cause}")),
        }
    }
}

fn of_server(said: &DbError, address: &Address) -> DatabaseError {
    let code = said.code().code();
    let message = said.message();
    let is_of_pooler = |messages: &[&str]| {
        said.code() == &SqlState::PROTOCOL_VIOLATION && messages.iter().any(|said| message.contains(said))
    };
    match said.code() {
        code if code == &SqlState::INVALID_PASSWORD || is_of_pooler(&PASSWORD_REFUSED_BY_POOLER) => {
            DatabaseError::refused(&format!(
                "the server refuses the password of the user `{}`, or doesn't know the user",
                address.user()
            ))
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => denied(said, address),
        &SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME => {
            DatabaseError::Absent(visible(message))
        }
        &SqlState::INVALID_CATALOG_NAME => {
            DatabaseError::refused(&format!("{message}: create it, or name another one"))
        }
        _ if is_of_pooler(&REFUSED_BY_POOLER) => DatabaseError::refused(message),
        &SqlState::READ_ONLY_SQL_TRANSACTION
        | &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE
        | &SqlState::QUERY_CANCELED
        | &SqlState::ADMIN_SHUTDOWN
        | &SqlState::CRASH_SHUTDOWN
        | &SqlState::CANNOT_CONNECT_NOW => DatabaseError::away(message),
        // The connection, the server's resources, its disk.
        _ if ["08", "53", "58"].iter().any(|class| code.starts_with(class)) => DatabaseError::away(message),
        _ => DatabaseError::refused(&format!("{message} ({code})")),
    }
}

/// Which right to ask the owner for. If the server speaks another language than English, it is not known what for.
fn denied(said: &DbError, address: &Address) -> DatabaseError {
    let message = said.message();
    let user = identifier(address.user());
    let object = message.strip_prefix("permission denied for ").and_then(|object| object.split_once(' '));
    let connects = said.detail().is_some_and(|detail| detail.contains("CONNECT"));
    let ask = match object.map(|(kind, name)| (kind, identifier(name.trim_matches('"')))) {
        Some(("database", name)) if connects => format!("`GRANT CONNECT ON DATABASE {name} TO {user}`"),
        Some(("database", name)) => format!("`GRANT CREATE ON DATABASE {name} TO {user}`"),
        Some(("schema", name)) => format!("`GRANT USAGE, CREATE ON SCHEMA {name} TO {user}`"),
        Some(("table", name)) if name == "quota" => {
            format!("`GRANT SELECT, INSERT, UPDATE ON attrsync_quota.{name} TO {user}`")
        }
        Some(("table", name)) => {
            format!("`GRANT SELECT, INSERT, UPDATE, DELETE ON {}.{name} TO {user}`", address.schema())
        }
        _ => "that right".to_owned(),
    };
    DatabaseError::Denied(visible(&format!("{message}: ask its owner for {ask}")))
}

/// As SQL text names it.
fn identifier(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn of_tls(error: &rustls::Error, address: &Address, host: &str) -> DatabaseError {
    DatabaseError::refused(&match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let advice = if address.root_certificate().is_some() {
                "`sslrootcert` names a file that did not sign it"
            } else {
                "name the file of the authority that signed it with `sslrootcert=FILE` in the address"
            };
            format!("the certificate of `{host}` is not trusted (unknown issuer): {advice}")
        }
        rustls::Error::InvalidCertificate(error) => certificate_error(error, host),
        error => format!("TLS fails: {error}"),
    })
}

fn of_system(error: &io::Error) -> DatabaseError {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    // Lower case, as all of our messages begin.
    let words = match words.split_at_checked(1) {
        Some((first, rest)) => format!("{}{rest}", first.to_lowercase()),
        None => words.to_owned(),
    };
    let is_read_only = words == "database does not allow writes";
    match error.kind() {
        _ if is_read_only => DatabaseError::away("the server is a standby, which can only be read"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            DatabaseError::refused(&words)
        }
        _ => DatabaseError::away(&words),
    }
}

/// The first cause of this type.
fn find<T: StdError + 'static>(error: &Error) -> Option<&T> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An I/O error hides what it was made of from `source`.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<T>()) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// One line of limited length in which nothing steers a terminal.
fn visible(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for character in word.chars() {
            if is_invisible(character) {
                write!(line, "{}", character.escape_unicode()).expect("a string takes everything");
            } else {
                line.push(character);
            }
        }
    }
    if let Some((end, _)) = line.char_indices().nth(MOST_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_one_line_without_escape_sequences() {
        let check = |text: &str, shown: &str| assert_eq!(DatabaseError::away(text).to_string(), shown);
        check("no\n such\tthing ", "no such thing");
        check("a\u{1b}[31mb\u{202e}", r"a\u{1b}[31mb\u{202e}");
        assert_eq!(visible(&"ż".repeat(1000)).chars().count(), MOST_CHARS + 1);
    }

    #[test]
    fn names_are_quoted_as_sql_wants_it() {
        assert_eq!(identifier("attrsync_1"), "attrsync_1");
        assert_eq!(identifier("Night\"job"), "\"Night\"\"job\"");
    }

    #[test]
    fn the_system_speaks_in_lower_case_and_says_whether_to_wait() {
        let of = |kind, text: &str| of_system(&io::Error::new(kind, text.to_owned()));
        let refused = of(io::ErrorKind::ConnectionRefused, "Connection refused (os error 111)");
        assert_eq!(refused, DatabaseError::Away("connection refused".to_owned()));
        let denied = of(io::ErrorKind::PermissionDenied, "Permission denied (os error 13)");
        assert_eq!(denied, DatabaseError::Refused("permission denied".to_owned()));
        assert!(!denied.is_away());
        assert!(of(io::ErrorKind::PermissionDenied, "database does not allow writes").is_away());
    }
}
