//! Says why there was no answer, from the errors of reqwest, hyper, rustls and the system.

use std::error::Error;
use std::fmt;
use std::io;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError};

use crate::deliver::transport::{Delivered, SendError, SendErrorCause};

/// Where requests are sent to.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    /// The host, without its port: what a certificate names.
    pub(super) host: String,
    /// The host and its port.
    pub(super) address: String,
    /// The proxy's host and port, if there is one.
    pub(super) proxy: Option<String>,
}

/// Which connection a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionUse {
    /// An idle one, which broke sooner than any answer ever came.
    Idle,
    /// Any other.
    Other,
}

/// Why there was no answer.
pub(super) fn send_error(
    error: &reqwest::Error,
    place: &Destination,
    connection_use: ConnectionUse,
) -> SendError {
    let delivered = if error.is_connect() { Delivered::No } else { Delivered::Maybe };
    let causes: Vec<&(dyn Error + 'static)> = causes(error).collect();
    let (cause, words) = tunnel(&causes, place)
        .or_else(|| tls(&causes, place))
        .or_else(|| connection(error, &causes, place))
        .or_else(|| (connection_use == ConnectionUse::Idle).then(|| idle(&causes)).flatten())
        .unwrap_or_else(|| (SendErrorCause::Other, innermost(&causes)));
    SendError { delivered, cause, error: words }
}

/// An error and what it was caused by.
pub(super) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    /// A system's error hides what it wraps.
    fn cause<'e>(error: &&'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
        let error: &'e (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), cause)
}

fn find<'e, E: Error + 'static>(causes: &[&'e (dyn Error + 'static)]) -> Option<&'e E> {
    causes.iter().find_map(|cause| cause.downcast_ref())
}

fn io_kind(causes: &[&(dyn Error + 'static)]) -> Option<io::ErrorKind> {
    causes.iter().rev().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

/// hyper-util doesn't export its type for these.
fn tunnel(causes: &[&(dyn Error + 'static)], place: &Destination) -> Option<(SendErrorCause, String)> {
    let proxy = place.proxy.as_deref()?;
    let text = causes.iter().map(ToString::to_string).find(|text| text.starts_with("tunnel error: "))?;
    let words = match text.trim_start_matches("tunnel error: ") {
        "proxy authorization required" => {
            format!("the proxy `{proxy}` asks for a user name and a password, or refuses those it got (407)")
        }
        "unsuccessful" | "proxy response headers too long" => {
            format!("the proxy `{proxy}` refuses to connect to `{}`", place.address)
        }
        _ => return None,
    };
    Some((SendErrorCause::Proxy, words))
}

fn tls(causes: &[&(dyn Error + 'static)], place: &Destination) -> Option<(SendErrorCause, String)> {
    // A proxy that is reached by TLS has a certificate of its own.
    let to_proxy = causes.iter().any(|cause| cause.to_string().starts_with("tunnel error: "));
    let (host, address) = match &place.proxy {
        Some(proxy) if to_proxy => (proxy, proxy),
        _ => (&place.host, &place.address),
    };
    let (cause, words) = match find::<rustls::Error>(causes)? {
        rustls::Error::InvalidCertificate(error) => (SendErrorCause::Certificate, certificate(error, host)),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => {
            (SendErrorCause::Protocol, format!("`{address}` speaks neither TLS 1.2 nor TLS 1.3"))
        }
        rustls::Error::InvalidMessage(_) => (
            SendErrorCause::Protocol,
            format!("`{address}` doesn't speak TLS: `https` needs another port there"),
        ),
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity
            | AlertDescription::UnrecognisedName
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied
            | AlertDescription::NoApplicationProtocol),
        ) => {
            (SendErrorCause::Protocol, format!("`{address}` refuses the TLS connection ({})", spaced(alert)))
        }
        _ => return None,
    };
    Some((cause, words))
}

/// `HandshakeFailure` as `handshake failure`, without what the variant holds.
fn spaced(variant: &impl fmt::Debug) -> String {
    let mut words = String::new();
    for letter in format!("{variant:?}").chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// What is wrong with the certificate of this host.
pub(crate) fn certificate(error: &CertificateError, host: &str) -> String {
    let date = |time: &rustls::pki_types::UnixTime| {
        i64::try_from(time.as_secs())
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .map(|time| time.to_string().split('T').next().unwrap_or_default().to_owned())
            .unwrap_or_default()
    };
    let untrusted = |why| {
        format!(
            "is not trusted ({why}); if your network inspects TLS, set `SSL_CERT_FILE` to a file with its CA \
             certificate"
        )
    };
    let what = match error {
        CertificateError::UnknownIssuer => untrusted("unknown issuer"),
        // rustls has no name of its own for it.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            untrusted("self-signed")
        }
        CertificateError::ExpiredContext { not_after, .. } => format!("expired on {}", date(not_after)),
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {}; check the clock of this machine", date(not_before))
        }
        CertificateError::NotValidYet => "is not valid yet; check the clock of this machine".to_owned(),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<String> = presented.iter().map(|name| format!("`{}`", plain_name(name))).collect();
            if names.is_empty() {
                "is for no name".to_owned()
            } else {
                format!("is for {} only", names.join(", "))
            }
        }
        CertificateError::NotValidForName => "is for another name".to_owned(),
        CertificateError::Revoked => "is revoked".to_owned(),
        CertificateError::Other(other) => format!("is not valid ({other})"),
        other => format!("is not valid ({})", spaced(other)),
    };
    format!("the certificate of `{host}` {what}")
}

/// rustls gives names as `DnsName("example.com")`.
fn plain_name(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_kind, name)| name.trim_end_matches(')').trim_matches('"'))
}

/// There was no connection, or no answer on it in time.
fn connection(
    error: &reqwest::Error,
    causes: &[&(dyn Error + 'static)],
    place: &Destination,
) -> Option<(SendErrorCause, String)> {
    let to = match &place.proxy {
        Some(proxy) => format!("the proxy `{proxy}`"),
        None => format!("`{}`", place.address),
    };
    if !error.is_connect() {
        return error.is_timeout().then(|| (SendErrorCause::Timeout, "no answer in time".to_owned()));
    }
    if error.is_timeout() {
        return Some((SendErrorCause::Timeout, format!("no connection to {to} in time")));
    }
    if causes.iter().any(|cause| cause.to_string() == "dns error") {
        let host = place
            .proxy
            .as_deref()
            .map_or(place.host.as_str(), |proxy| proxy.rsplit_once(':').map_or(proxy, |(host, _port)| host));
        return Some((SendErrorCause::Lookup, format!("the name `{host}` was not found")));
    }
    match io_kind(causes) {
        Some(io::ErrorKind::ConnectionRefused) => {
            Some((SendErrorCause::Refused, format!("{to} refused the connection")))
        }
        _ => Some((SendErrorCause::Other, format!("no connection to {to}: {}", innermost(causes)))),
    }
}

/// The errors of a request on an idle connection that the server was just closing. With HTTP/2 the server says so.
fn idle(causes: &[&(dyn Error + 'static)]) -> Option<(SendErrorCause, String)> {
    let closed = find::<hyper::Error>(causes)
        .is_some_and(|error| error.is_incomplete_message() || error.is_canceled() || error.is_closed());
    let reset = matches!(
        io_kind(causes),
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted)
    );
    let unprocessed = find::<h2::Error>(causes).is_some_and(|error| {
        error.is_remote() && matches!(error.reason(), Some(h2::Reason::NO_ERROR | h2::Reason::REFUSED_STREAM))
    });
    let words = "the server had closed the idle connection".to_owned();
    (closed || reset || unprocessed).then_some((SendErrorCause::IdleConnection, words))
}

/// The innermost cause, which is the most specific one: `connection reset by peer`.
fn innermost(causes: &[&(dyn Error + 'static)]) -> String {
    let text = causes.last().map(ToString::to_string).unwrap_or_default();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper_util::rt::TokioIo;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    #[test]
    fn certificates_are_refused_in_plain_words() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let words = |error| certificate(&error, "acme.user.com");
        assert_eq!(
            words(CertificateError::UnknownIssuer),
            "the certificate of `acme.user.com` is not trusted (unknown issuer); if your network inspects TLS, set \
             `SSL_CERT_FILE` to a file with its CA certificate"
        );
        let expired =
            CertificateError::ExpiredContext { time: at(1_795_637_319), not_after: at(1_609_459_200) };
        assert_eq!(words(expired), "the certificate of `acme.user.com` expired on 2021-01-01");
        let other = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("acme.user.com").unwrap(),
            presented: vec!["DnsName(\"other.example\")".into(), "IpAddress(127.0.0.1)".into()],
        };
        assert_eq!(
            words(other),
            "the certificate of `acme.user.com` is for `other.example`, `127.0.0.1` only"
        );
        assert_eq!(
            words(CertificateError::BadSignature),
            "the certificate of `acme.user.com` is not valid (bad signature)"
        );
        assert_eq!(words(CertificateError::Revoked), "the certificate of `acme.user.com` is revoked");
        let other = rustls::OtherError(Arc::new(io::Error::other("no such curve")));
        assert_eq!(
            words(CertificateError::Other(other)),
            "the certificate of `acme.user.com` is not valid (no such curve)"
        );
    }

    #[test]
    fn the_most_specific_cause_is_told_without_its_number() {
        let reset = io::Error::from_raw_os_error(104);
        assert!(reset.to_string().ends_with("(os error 104)"));
        let error = io::Error::other(reset);
        let all: Vec<_> = causes(&error).collect();
        let whole = format!("{} (os error 104)", innermost(&all));
        assert_eq!(whole, io::Error::from_raw_os_error(104).to_string());
    }

    #[tokio::test]
    async fn each_way_in_which_a_server_closes_an_idle_connection_is_known() {
        let is_idle = |error: &(dyn Error + 'static)| idle(&causes(error).collect::<Vec<_>>()).is_some();
        for (kind, expected) in [
            (io::ErrorKind::ConnectionReset, true),
            (io::ErrorKind::BrokenPipe, true),
            (io::ErrorKind::ConnectionAborted, true),
            (io::ErrorKind::TimedOut, false),
        ] {
            assert_eq!(is_idle(&io::Error::from(kind)), expected, "{kind}");
        }
        // A stream that this side gave up was not refused by the server.
        assert!(!is_idle(&h2::Error::from(h2::Reason::REFUSED_STREAM)));
        // It was closed before the request, and before there was anything to send.
        let (stream, _server) = tokio::io::duplex(64);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
        drop(connection);
        assert!(is_idle(&sender.ready().await.unwrap_err()));
        let canceled = sender.send_request(hyper::Request::new(Empty::new())).await.unwrap_err();
        assert!(canceled.is_canceled() && is_idle(&canceled), "{canceled:?}");
    }

    #[test]
    fn protocols_that_do_not_fit_are_named_with_their_place() {
        let place =
            Destination { host: "acme.user.com".into(), address: "acme.user.com:443".into(), proxy: None };
        let words = |error: rustls::Error| {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            tls(&causes(&error).collect::<Vec<_>>(), &place)
        };
        let alert = |alert| words(rustls::Error::AlertReceived(alert));
        assert_eq!(
            alert(AlertDescription::ProtocolVersion),
            Some((SendErrorCause::Protocol, "`acme.user.com:443` speaks neither TLS 1.2 nor TLS 1.3".into()))
        );
        assert_eq!(
            alert(AlertDescription::HandshakeFailure).unwrap().1,
            "`acme.user.com:443` refuses the TLS connection (handshake failure)"
        );
        assert_eq!(alert(AlertDescription::InternalError), None, "another try may go well");
        let untrusted = words(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(untrusted.unwrap().0, SendErrorCause::Certificate);
    }

    #[derive(Debug)]
    struct Tunnel(rustls::Error);

    impl fmt::Display for Tunnel {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("tunnel error: failed to create underlying connection")
        }
    }

    impl Error for Tunnel {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_certificate_is_that_of_the_proxy_if_there_is_no_way_through_it() {
        let place = |proxy: Option<&str>| Destination {
            host: "acme.user.com".into(),
            address: "acme.user.com:443".into(),
            proxy: proxy.map(str::to_owned),
        };
        let error = || rustls::Error::InvalidCertificate(CertificateError::Revoked);
        let words = |error: &(dyn Error + 'static), proxy: Option<&str>| {
            tls(&causes(error).collect::<Vec<_>>(), &place(proxy)).unwrap().1
        };
        let of = |host: &str| format!("the certificate of `{host}` is revoked");
        assert_eq!(words(&Tunnel(error()), Some("proxy.test:3128")), of("proxy.test:3128"));
        assert_eq!(words(&error(), Some("proxy.test:3128")), of("acme.user.com"));
        assert_eq!(words(&Tunnel(error()), None), of("acme.user.com"));
    }
}
