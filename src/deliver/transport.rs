//! The interface to the network: sends a request, returns the answer or why there is none.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::input::Operation;

/// Identifies one request among all that the API ever gets. It is sent with the request and stands in the log, so that a user
/// can ask the support of the API about a request. A repeated request has an id of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    run: Arc<str>,
    number: u64,
}

impl RequestId {
    /// The id of the request with this number in the run, from 1. `run` identifies the run, see
    /// [`Options::run`](super::Options::run).
    pub fn new(run: &Arc<str>, number: u64) -> Self {
        Self { run: Arc::clone(run), number }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.number)
    }
}

/// One mass update, ready to go.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which operation.
    pub operation: Operation,
    /// The JSON body, as the plan rendered it.
    pub body: Bytes,
}

/// An answer of the server, uninterpreted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// How long the server asks to wait (`retry-after`, in any of its forms).
    pub retry_after: Option<Duration>,
    /// Where the server redirects the request to (`location`).
    pub location: Option<String>,
    /// The body, or its beginning: never more than [`Reply::MOST_BODY`] bytes, or [`Reply::MOST_PAGE`] of a page of users.
    pub body: Bytes,
    /// How long the request may have waited for a connection, from its start. Zero on an open one.
    pub connecting: Duration,
}

impl Reply {
    /// The most of a body that is read. The API's own answers have some 16 bytes, and a user some thousands; an error
    /// page of some proxy may have any number.
    pub const MOST_BODY: usize = 256 * 1024;

    /// The most of a page of users that is read: a hundred users with 160 KiB each.
    pub const MOST_PAGE: usize = 16 * 1024 * 1024;
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// Whether the request may have reached the server.
    pub delivered: Delivered,
    /// What kind of failure it was.
    pub cause: SendErrorCause,
    /// A message that names the host or the proxy.
    pub error: String,
}

impl SendError {
    /// Whether waiting can help. A certificate, a protocol or a proxy stays as it is until someone changes it.
    pub fn heals(&self) -> bool {
        !matches!(self.cause, SendErrorCause::Certificate | SendErrorCause::Protocol | SendErrorCause::Proxy)
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendErrorCause {
    /// The server's certificate is not accepted.
    Certificate,
    /// The two sides have no TLS version or cipher in common, or the server doesn't speak TLS or HTTP at all.
    Protocol,
    /// The proxy refuses, or can't be used.
    Proxy,
    /// The host's name was not resolved.
    Lookup,
    /// Nothing listens on the port.
    Refused,
    /// There was no answer in time.
    Timeout,
    /// The server had closed an idle connection when the request was sent on it, so that it was not processed: no byte of an
    /// answer came. It can be sent again on a new connection, at once.
    IdleConnection,
    /// Anything else: a connection that broke, an answer that ended too early.
    Other,
}

/// Whether a request reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// No: there was no connection.
    No,
    /// Perhaps: it was sent, at least in part, and may have been applied.
    Maybe,
}

/// Sends requests. The real one is [`Http`](super::Http); tests script their own.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request once. Only the caller repeats it.
    fn send(&self, id: RequestId, request: Request) -> impl Future<Output = Result<Reply, SendError>> + Send;

    /// Gets a user once, by the type of id that the run uses.
    fn fetch(&self, id: RequestId, user: &str) -> impl Future<Output = Result<Reply, SendError>> + Send;

    /// Sends one GET to the operation's address, which changes nothing. Any status except 404 and 410 shows that the address
    /// exists.
    fn probe(
        &self,
        id: RequestId,
        operation: Operation,
    ) -> impl Future<Output = Result<Reply, SendError>> + Send;

    /// Gets a page of the list of all users once: the first one, or the one with this cursor, which is the query of its
    /// address ([`Page::next`](super::Page::next)). The list is the same one for both types of ids.
    fn page(
        &self,
        id: RequestId,
        cursor: Option<&str>,
    ) -> impl Future<Output = Result<Reply, SendError>> + Send;
}
