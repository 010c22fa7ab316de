//! The faults that the sandbox can inject.

/// A fault that one request meets. Without it, the request would have been served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Whether it happens before or after the update is applied.
    pub moment: Moment,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An answer with this status.
    Error(u16, ErrorBody),
    /// The connection is closed without an answer.
    Drop,
    /// No answer is sent, and the connection stays open.
    Stall,
}

/// The body of an error answer that isn't the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorBody {
    /// A JSON object, as the API writes it.
    Json,
    /// An HTML page, as a proxy in front of the API writes it.
    Html,
    /// Nothing.
    Empty,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the request is processed.
    BeforeApplying,
    /// After the update was applied: only the answer is missing.
    AfterApplying,
}
