//! Why a saved plan is not accepted.

use std::io;

/// Why a saved plan is not accepted. Completes a sentence that starts with the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedPlanError {
    /// It is some other file.
    #[error("is not a plan that `attrsync plan --save` has written")]
    NotAPlan,
    /// A later version of the program has written it.
    #[error("was written by attrsync {attrsync}, whose plans this version cannot read")]
    TooNew {
        /// The version that has written it.
        attrsync: String,
    },
    /// Its end is missing.
    #[error("is cut off: its end is missing")]
    CutOff,
    /// It is not as it was written.
    #[error("is damaged: its checksum is wrong")]
    Damaged,
    /// It is as it was written, and this version of the program would send something else.
    #[error("was written by attrsync {attrsync}, and this version would not send exactly the same")]
    Unfit {
        /// The version that has written it.
        attrsync: String,
    },
    /// It can't be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// A temporary file can't be written or read.
    #[error("does not fit in memory, and a temporary file failed: {0}")]
    TemporaryFile(io::Error),
}
