//! `postgres://user:password@host:5432/database?schema=…`: where the ledger is, and how to connect to it.
//!
//! The text holds a password, so no error quotes it: what looks like a host may be a part of a badly written password.

mod host;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

pub use self::host::Host;

/// The schema of a ledger whose address names none.
pub const DEFAULT_SCHEMA: &str = "attrsync";

/// The schema of the quotas, which can't be a ledger's.
const QUOTA_SCHEMA: &str = "attrsync_quota";

/// How long a lease holds without renewal, unless the address says otherwise.
const DEFAULT_LEASE: Duration = Duration::from_secs(30);

const SHORTEST_LEASE: Duration = Duration::from_secs(1);
const LONGEST_LEASE: Duration = Duration::from_mins(10);

const DEFAULT_PORT: u16 = 5432;

/// The longest name that the server keeps whole.
const LONGEST_NAME: usize = 63;

/// A connection without traffic is tested after this time, …
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);

/// … this often, …
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// … and closed after this many tests without an answer, …
const KEEPALIVES: u32 = 3;

/// … or when what was sent is not confirmed for this long.
const UNCONFIRMED: Duration = Duration::from_secs(20);

/// What may stand in a part of an address as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Parameters of libpq that have no meaning here. As they are no secrets, errors can name them.
const NOT_SUPPORTED: [&str; 23] = [
    "application_name",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "load_balance_hosts",
    "options",
    "passfile",
    "pgbouncer",
    "pool_mode",
    "requirepeer",
    "require_auth",
    "search_path",
    "service",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslnegotiation",
    "statement_timeout",
];

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Any server will do.
    Read,
    /// Only a server that accepts changes.
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    /// For all but connections within the machine.
    WhereNeeded,
    Always,
    Never,
}

/// Where a ledger in a database is. Shown, it has no password.
#[derive(Clone, Debug)]
pub struct Address {
    user: String,
    password: Option<SecretString>,
    has_password_in_text: bool,
    hosts: Vec<Host>,
    database: String,
    schema: String,
    lease: Duration,
    encryption: Encryption,
    root_certificate: Option<PathBuf>,
}

impl Address {
    /// Whether a ledger named like this is in a database, and not a file.
    pub fn is_one(text: &str) -> bool {
        without_scheme(text).is_some()
    }

    /// The address that a text stands for. `password` counts if the text has none.
    ///
    /// # Errors
    /// It says what is wrong and what to write, without a part of the text.
    pub fn parse(text: &str, password: Option<&str>) -> Result<Self, String> {
        let example = "write for instance `postgres://user@host:5432/database`";
        let rest = without_scheme(text)
            .ok_or_else(|| format!("an address of a database starts with `postgres://`: {example}"))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if rest.contains('@') || (rest.contains('#') && !authority.contains('@')) {
            return Err(
                "an `@` stands after a `/` or a `?`: in the user's name, the password and the parameters, write `%40` for `@`, \
                 `%2F` for `/`, `%3F` for `?`, `%23` for `#` and `%25` for `%`"
                    .to_owned(),
            );
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password_in_text) = match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(Zeroizing::new(decoded(password, "the password")?))),
            None => (userinfo, None),
        };
        let user = decoded(user, "the user's name")?;
        if user.is_empty() {
            return Err(format!("the user's name is missing: {example}"));
        }
        let database = decoded(path.trim_start_matches('/'), "the database's name")?;
        if database.is_empty() {
            return Err(format!("the database's name is missing: {example}"));
        }
        let has_password_in_text = password_in_text.is_some();
        let password = password_in_text
            .as_ref()
            .map(|text| text.as_str())
            .or(password)
            .filter(|password| !password.is_empty());
        let mut address = Self {
            user,
            password: password.map(SecretString::from),
            has_password_in_text,
            hosts: host::parse(hosts)?,
            database,
            schema: DEFAULT_SCHEMA.to_owned(),
            lease: DEFAULT_LEASE,
            encryption: Encryption::WhereNeeded,
            root_certificate: None,
        };
        address.take_parameters(query)?;
        if address.hosts.is_empty() {
            return Err(format!("the host is missing: {example}, or `?host=/folder` for a socket"));
        }
        Ok(address)
    }

    fn take_parameters(&mut self, query: &str) -> Result<(), String> {
        let (mut hosts, mut port) = (None, None);
        let mut seen = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if seen.contains(&name) {
                return Err("a parameter stands twice in the address".to_owned());
            }
            seen.push(name);
            let value = decoded(value, "a parameter")?;
            match name {
                "schema" => self.schema = schema(value)?,
                "lease" => self.lease = lease(&value)?,
                "sslmode" => self.encryption = encryption(&value)?,
                "sslrootcert" if value.is_empty() => {
                    return Err("`sslrootcert` names no file: write `sslrootcert=/path/to/ca.pem`".to_owned());
                }
                // As libpq calls what is trusted without a file.
                "sslrootcert" if value == "system" => self.root_certificate = None,
                "sslrootcert" => self.root_certificate = Some(value.into()),
                "host" => hosts = Some(value),
                "port" => port = Some(value),
                "channel_binding" => channel_binding(&value)?,
                "target_session_attrs" => target_session_attrs(&value)?,
                name => return Err(unknown(name)),
            }
        }
        match (hosts, port) {
            (None, None) => Ok(()),
            (None, Some(_)) => {
                Err("`port` belongs to the parameter `host`: write `host:port` instead".to_owned())
            }
            (Some(_), _) if !self.hosts.is_empty() => {
                Err("there are hosts before the `/` and in the parameter `host`: leave one of them out"
                    .to_owned())
            }
            (Some(hosts), port) => {
                let port = match port {
                    Some(port) => host::port(&port)?,
                    None => DEFAULT_PORT,
                };
                let hosts = hosts.split(',').map(|host| host::plain(host, port));
                self.hosts = hosts.collect::<Result<_, _>>()?;
                Ok(())
            }
        }
    }

    /// The user that connects.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The name of the ledger's schema: lower case letters, digits and `_`. It may be a keyword of SQL, so quote it.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The schema's name as SQL text: it may be a word that SQL uses for something else.
    pub(super) fn quoted_schema(&self) -> String {
        format!("\"{}\"", self.schema)
    }

    /// How long a lease holds without renewal.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Whether the text that it was parsed from has a password, which must not be in a list of processes.
    pub fn has_password_in_text(&self) -> bool {
        self.has_password_in_text
    }

    /// The servers, in the order in which they are tried.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// What may be a mistake.
    pub fn warnings(&self) -> Vec<String> {
        let open = |host: &&Host| self.encryption == Encryption::Never && !host.is_within_machine();
        let warning = |host: &Host| {
            format!(
                "the connection to `{host}` is not encrypted, because of `sslmode=disable`: others on the network can read the ledger and change it"
            )
        };
        self.hosts.iter().filter(open).map(warning).collect()
    }

    /// The certificates to trust, if it is not those that the system trusts.
    pub(super) fn root_certificate(&self) -> Option<&Path> {
        self.root_certificate.as_deref()
    }

    /// Whether the connection to this host is encrypted, and the host's certificate checked.
    pub(super) fn uses_tls(&self, host: &Host) -> bool {
        match (host, self.encryption) {
            (Host::Socket { .. }, _) | (_, Encryption::Never) => false,
            (_, Encryption::Always) => true,
            (host, Encryption::WhereNeeded) => !host.is_within_machine(),
        }
    }

    /// How to connect to one of the hosts.
    pub(super) fn config(&self, host: &Host, access: Access, connect_timeout: Duration) -> Config {
        let mut config = Config::new();
        match host {
            Host::Tcp { name, port } => config.host(name).port(*port),
            Host::Socket { folder, port } => config.host_path(folder).port(*port),
        };
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        config
            .user(&self.user)
            .dbname(&self.database)
            .ssl_mode(if self.uses_tls(host) { SslMode::Require } else { SslMode::Disable })
            // The library for TLS can't do it.
            .channel_binding(ChannelBinding::Disable)
            .target_session_attrs(match access {
                Access::Read => TargetSessionAttrs::Any,
                Access::Write => TargetSessionAttrs::ReadWrite,
            })
            .connect_timeout(connect_timeout)
            .keepalives_idle(KEEPALIVE_AFTER)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVES)
            .tcp_user_timeout(UNCONFIRMED);
        config
    }

    fn exposed_password(&self) -> Option<&str> {
        self.password.as_ref().map(ExposeSecret::expose_secret)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
            && self.exposed_password() == other.exposed_password()
            && self.has_password_in_text == other.has_password_in_text
            && (self.lease, self.encryption, &self.root_certificate)
                == (other.lease, other.encryption, &other.root_certificate)
    }
}

impl Eq for Address {}

/// What may be shown: all but the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", encoded(&self.user))?;
        let mut parameters = Vec::new();
        let port = self.hosts.first().map_or(DEFAULT_PORT, Host::port);
        if self.hosts.iter().any(Host::is_socket) && self.hosts.iter().all(|host| host.fits_parameter(port)) {
            let hosts: Vec<String> = self.hosts.iter().map(Host::place).collect();
            parameters.push(format!("host={}", hosts.join(",")));
            if port != DEFAULT_PORT {
                parameters.push(format!("port={port}"));
            }
        } else {
            let hosts: Vec<String> = self.hosts.iter().map(Host::place_and_port).collect();
            f.write_str(&hosts.join(","))?;
        }
        write!(f, "/{}", encoded(&self.database))?;
        if self.schema != DEFAULT_SCHEMA {
            parameters.push(format!("schema={}", self.schema));
        }
        if self.lease != DEFAULT_LEASE {
            parameters.push(format!("lease={}ms", self.lease.as_millis()));
        }
        match self.encryption {
            Encryption::WhereNeeded => {}
            Encryption::Always => parameters.push("sslmode=verify-full".to_owned()),
            Encryption::Never => parameters.push("sslmode=disable".to_owned()),
        }
        if let Some(path) = &self.root_certificate {
            let path = encoded(&path.to_string_lossy()).to_string().replace("%2F", "/");
            parameters.push(format!("sslrootcert={path}"));
        }
        if parameters.is_empty() { Ok(()) } else { write!(f, "?{}", parameters.join("&")) }
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.trim().split_once("://")?;
    ["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}

fn encoded(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, &PLAIN)
}

fn decoded(text: &str, what: &str) -> Result<String, String> {
    let is_hex = |digit: Option<&u8>| digit.is_some_and(u8::is_ascii_hexdigit);
    let mut bytes = text.bytes().enumerate().filter(|(_, byte)| *byte == b'%').map(|(at, _)| at);
    let text_bytes = text.as_bytes();
    if !bytes.all(|at| is_hex(text_bytes.get(at + 1)) && is_hex(text_bytes.get(at + 2))) {
        return Err(format!("{what} holds a `%` without two digits after it: write `%25` for a `%`"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_error| format!("{what} is not UTF-8 once its `%` are decoded"))?;
    if decoded.contains('\0') {
        return Err(format!("{what} holds a `%00`, which no name and no password has"));
    }
    Ok(decoded.into_owned())
}

fn schema(name: String) -> Result<String, String> {
    let is_plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let starts_well = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if !is_plain || !starts_well || name.len() > LONGEST_NAME {
        return Err(format!(
            "`schema` is not a name that this program can use: write lower case letters, digits and `_`, a letter first, at \
             most {LONGEST_NAME} of them"
        ));
    }
    if name.starts_with("pg_") || name == "information_schema" || name == QUOTA_SCHEMA {
        return Err(format!("`schema={name}` is taken: name another schema"));
    }
    Ok(name)
}

fn lease(text: &str) -> Result<Duration, String> {
    // In whole milliseconds, as it is shown.
    let millis = |lease: Duration| u64::try_from(lease.as_millis()).ok().map(Duration::from_millis);
    let lease = text.parse::<SignedDuration>().ok().and_then(|lease| Duration::try_from(lease).ok());
    lease.and_then(millis).filter(|lease| (SHORTEST_LEASE..=LONGEST_LEASE).contains(lease)).ok_or_else(|| {
        "`lease` is not a time from one second to ten minutes: write for instance `lease=30s`".to_owned()
    })
}

fn encryption(mode: &str) -> Result<Encryption, String> {
    match mode {
        "require" | "verify-ca" | "verify-full" => Ok(Encryption::Always),
        "disable" => Ok(Encryption::Never),
        "allow" | "prefer" => Err(format!(
            "`sslmode={mode}` would send everything in clear if the server, or someone between, asks for that: write \
             `sslmode=verify-full`, or leave it out"
        )),
        _ => {
            Err("`sslmode` is neither `verify-full` nor `disable`: write one of them, or leave it out"
                .to_owned())
        }
    }
}

/// Nothing is bound to the channel, because the library for TLS can't do it.
fn channel_binding(mode: &str) -> Result<(), String> {
    match mode {
        "disable" | "prefer" => Ok(()),
        "require" => Err(
            "`channel_binding=require` is not supported: leave it out; the server's certificate is checked \
                          anyway"
                .to_owned(),
        ),
        _ => Err("`channel_binding` is neither `prefer` nor `disable`: leave it out".to_owned()),
    }
}

/// A ledger that is written needs a server that can write, whatever the address says.
fn target_session_attrs(attributes: &str) -> Result<(), String> {
    match attributes {
        "any" | "read-write" | "primary" => Ok(()),
        _ => Err("`target_session_attrs` can only be `read-write` here: leave it out".to_owned()),
    }
}

fn unknown(name: &str) -> String {
    let what = match name {
        "password" | "user" => {
            format!(
                "`{name}` is not a parameter here: write it before the host, as `postgres://user:password@host/database`"
            )
        }
        name if NOT_SUPPORTED.contains(&name) => format!("the parameter `{name}` is not supported"),
        // It may be a part of a password.
        _ => "the address has an unknown parameter".to_owned(),
    };
    format!("{what}; the parameters are `schema`, `lease`, `sslmode`, `sslrootcert`, `host` and `port`")
}
