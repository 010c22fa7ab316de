//! The hosts of an address.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::{DEFAULT_PORT, decoded, encoded};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Reached over the network.
    Tcp {
        /// A name or an address, without the brackets of IPv6.
        name: String,
        /// Its port.
        port: u16,
    },
    /// Reached over a socket on this machine.
    Socket {
        /// Where the socket is.
        folder: PathBuf,
        /// A part of the socket's name.
        port: u16,
    },
}

impl Host {
    /// Whether connections stay on this machine.
    pub(super) fn is_within_machine(&self) -> bool {
        let Self::Tcp { name, .. } = self else { return true };
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
    }

    pub(super) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket { .. })
    }

    /// Whether the parameter `host` can name it, where a comma divides hosts, and the parameter `port` is for all of them.
    pub(super) fn fits_parameter(&self, port: u16) -> bool {
        self.port() == port && !self.place().contains("%2C")
    }

    pub(super) fn port(&self) -> u16 {
        let (Self::Tcp { port, .. } | Self::Socket { port, .. }) = self;
        *port
    }

    /// What a certificate names.
    pub(in crate::ledger::postgres) fn name(&self) -> &str {
        match self {
            Self::Tcp { name, .. } => name,
            Self::Socket { .. } => "localhost",
        }
    }

    /// As the parameter `host` names it.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Tcp { name, .. } => encoded(name).to_string(),
            Self::Socket { folder, .. } => encoded(&folder.to_string_lossy()).to_string().replace("%2F", "/"),
        }
    }

    /// As the part of an address before the database names it.
    pub(super) fn place_and_port(&self) -> String {
        match self {
            Self::Tcp { .. } => self.to_string(),
            Self::Socket { folder, port } => format!("{}:{port}", encoded(&folder.to_string_lossy())),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Tcp { name, port } => write!(f, "{}:{port}", encoded(name)),
            Self::Socket { port, .. } => write!(f, "{}/.s.PGSQL.{port}", self.place()),
        }
    }
}

/// Hosts with their ports: `a,b:5433,[::1]:5434`; none if the text is empty.
pub(super) fn parse(hosts: &str) -> Result<Vec<Host>, String> {
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    hosts.split(',').map(with_port).collect()
}

fn with_port(text: &str) -> Result<Host, String> {
    let wrong = || "a host is not valid: write `host`, `host:port` or `[IPv6 address]:port`".to_owned();
    let (name, after) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (name, after) = bracketed.split_once(']').ok_or_else(wrong)?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_error| wrong())?;
            (name, after)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let number = match after.strip_prefix(':') {
        Some(number) => port(number)?,
        None if after.is_empty() => DEFAULT_PORT,
        None => return Err(wrong()),
    };
    plain(&decoded(name, "a host")?, number)
}

/// A host without its port. A folder is that of a socket.
pub(super) fn plain(name: &str, port: u16) -> Result<Host, String> {
    if name.starts_with('/') {
        return Ok(Host::Socket { folder: name.into(), port });
    }
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if name.is_empty()
        || !name.bytes().all(is_name)
        || (name.contains(':') && name.parse::<IpAddr>().is_err())
    {
        return Err("a host is not valid: write a name, an IP address or the folder of a socket".to_owned());
    }
    Ok(Host::Tcp { name: name.to_owned(), port })
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse::<u16>().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "a port is not a number from 1 to 65535".to_owned())
}
