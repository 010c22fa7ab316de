//! Where temporary files go.

use std::path::Path;

use super::error::ConfigError;

/// Refuses a directory in which no file can be made, before a long reading ends for it. Messages call it `shown`, and
/// what set it `place`.
pub(super) fn check(path: &Path, shown: &Path, place: &str) -> Result<(), ConfigError> {
    let shown = shown.display();
    let message = match tempfile::tempfile_in(path) {
        Ok(_) => return Ok(()),
        Err(_) if !path.is_dir() => format!("`{shown}` is not a directory"),
        Err(error) => format!("no file can be made in `{shown}`: {error}"),
    };
    Err(ConfigError::at(place, message).with_hint("name a directory that is there and can be written"))
}
