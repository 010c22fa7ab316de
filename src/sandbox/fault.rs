//! What can go wrong with a request.

/// Something that goes wrong with one request, which would else have been served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub mishap: Mishap,
    /// When, from the state's point of view.
    pub moment: Moment,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// An answer with this status.
    Error(u16, ErrorBody),
    /// The connection breaks instead of an answer.
    Drop,
    /// No answer ever comes, and the connection stays open.
    Stall,
}

/// What stands in the body of an error that isn't the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorBody {
    /// An object as the API itself writes it.
    Json,
    /// A page as the server in front of the API writes it.
    Html,
    /// Nothing.
    Empty,
}

/// When something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the request was looked at.
    BeforeApplying,
    /// When the request was valid and is applied, and only the answer is missing.
    AfterApplying,
}
