//! Where a command writes data: to standard output, or to a file that appears when it is complete.

use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;

use super::failure::Failure;
use crate::config::Destination;
use crate::report::{AtomicFile, Discard, WriteError};

/// An output that is open.
#[derive(Debug)]
pub(super) enum Output {
    Stdout,
    File(AtomicFile),
}

impl Output {
    /// Opens it, so that a path that can't be written fails before anything is read or sent.
    pub(super) fn create(to: &Destination) -> Result<Self, Failure> {
        Ok(match to {
            Destination::Stdout => Self::Stdout,
            Destination::File(path) => Self::File(AtomicFile::create(path)?),
        })
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::File(draft) => Some(draft.path()),
        }
    }

    pub(super) fn discard(&self) -> Option<Discard> {
        match self {
            Self::Stdout => None,
            Self::File(draft) => draft.discard(),
        }
    }

    /// Writes all of it. A file then replaces what was at its path.
    pub(super) fn write(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        match self {
            Self::Stdout => write(&mut io::stdout().lock()).map_err(|error| Failure::of_stdout(&error)),
            Self::File(mut draft) => {
                write(&mut draft).map_err(|error| WriteError::writing(draft.path(), error))?;
                Ok(draft.publish()?)
            }
        }
    }
}

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    // No help of their own: the option's line says what they are for.
    #[default]
    Text,
    Json,
}
