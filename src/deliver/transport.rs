//! The one door to the network: bytes out, an answer or its absence back.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::input::Operation;

/// One mass update, ready to go.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which operation.
    pub operation: Operation,
    /// The JSON body, as the plan rendered it.
    pub body: Bytes,
}

/// What the server answered, whatever it means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// How long the server asks to be left alone (`retry-after`, in whichever form it came).
    pub retry_after: Option<Duration>,
    /// Where the server would rather have the request (`location`).
    pub location: Option<String>,
    /// The body, or its beginning: never more than [`Reply::MOST_BODY`] bytes.
    pub body: Bytes,
}

impl Reply {
    /// The most of a body that is read. The API's own answers have some 16 bytes, and a user some thousands; an error
    /// page of some proxy may have any number.
    pub const MOST_BODY: usize = 256 * 1024;
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Whether the server may have seen the request.
    pub reach: Reach,
    /// What went wrong, without the address.
    pub error: String,
}

/// How far a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// There was no connection to send it on.
    Nowhere,
    /// It was sent, at least in part: it may have been applied.
    Perhaps,
}

/// Sends requests. The real one is [`Http`](super::Http); tests script their own.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request, once: repeating is the caller's decision alone.
    fn send(&self, request: Request) -> impl Future<Output = Result<Reply, Lost>> + Send;

    /// Asks, once, for what the API holds of a user, by the kind of id that the run goes by.
    fn fetch(&self, user: &str) -> impl Future<Output = Result<Reply, Lost>> + Send;
}
