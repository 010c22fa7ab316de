//! The API key: finds it, and checks what it looks like.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::error::ConfigError;
use super::file::unreadable;
use super::layer::{Layer, OptionSource};
use super::secret_file;

const VARIABLE: &str = "ATTRSYNC_TOKEN";

/// Finds the key. A file that was named by a flag outranks the variable, which outranks a file that was not.
pub(super) fn find(
    layer: &Layer,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<SecretString, ConfigError> {
    let file = layer.text("token_file").map(Path::new);
    let text = variable(layer, environment).and_then(|name| environment.variables.get(name));
    let (place, token) = match (file, text) {
        (Some(path), None) => {
            let shown = shown(path, layer);
            let token = read(path, &shown, environment, warnings)?;
            (shown, token)
        }
        (_, Some(text)) => {
            let text = text.to_str().ok_or_else(|| ConfigError::at(VARIABLE, "is not UTF-8 text"))?;
            (VARIABLE.to_owned(), SecretString::from(text.trim()))
        }
        (None, None) => {
            return Err(ConfigError::new("no API key is given").with_hint(
                "set the variable `ATTRSYNC_TOKEN`, name a file that holds it with `--token-file`, or rehearse with `--sandbox`",
            ));
        }
    };
    warnings.extend(judge(&place, token.expose_secret())?);
    Ok(token)
}

/// The variable that holds the key, if that is where it comes from.
pub(super) fn variable(layer: &Layer, environment: &Environment) -> Option<&'static str> {
    let is_set = environment.variables.get(VARIABLE).is_some();
    (is_set && layer.source("token_file") != Some(&OptionSource::Flag)).then_some(VARIABLE)
}

/// How messages name the file: by the option and its path, unless that is the key itself by mistake.
fn shown(path: &Path, layer: &Layer) -> String {
    let place = layer.place("token_file");
    if looks_like_key(path) { place } else { format!("{place}: `{}`", path.display()) }
}

/// Whether what should be a path has as many letters and digits as a key, or half of one, and nothing of a path.
pub(super) fn looks_like_key(path: &Path) -> bool {
    const FEWEST: usize = 32;
    let text = path.to_string_lossy();
    let is_of_path = |character| character == '.' || std::path::is_separator(character);
    !text.contains(is_of_path)
        && text.chars().filter(|character| character.is_alphanumeric()).count() >= FEWEST
}

fn read(
    path: &Path,
    shown: &str,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Result<SecretString, ConfigError> {
    let at = environment.directory.join(path);
    let wrong = |reason: String| {
        let error = ConfigError::at(shown, reason);
        if looks_like_key(path) {
            return error.with_hint("give the path of a file that holds the key, not the key itself");
        }
        error
    };
    let bytes = secret_file::bytes(&at).map_err(|error| wrong(unreadable(&error)))?;
    // Editors on Windows begin a file with a byte-order mark, and may write UTF-16.
    let (text, _, malformed) = encoding_rs::UTF_8.decode(&bytes);
    if malformed {
        return Err(wrong("is not UTF-8 text".to_owned()));
    }
    let token = match text {
        Cow::Borrowed(text) => SecretString::from(text.trim()),
        Cow::Owned(text) => SecretString::from(Zeroizing::new(text).trim()),
    };
    if is_open_to_others(&at).map_err(|error| wrong(unreadable(&error)))? {
        warnings.push(format!("{shown}: others can read the API key: `chmod 600` keeps it yours"));
    }
    Ok(token)
}

/// Whether others can read the file, as far as its owner can change that. A file of another owner, such as a secret that
/// systemd or Kubernetes mounts, may be readable by the group of this process: that is how the process reads it.
pub(super) fn is_open_to_others(path: &Path) -> io::Result<bool> {
    let metadata = fs::metadata(path)?;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    Ok(metadata.mode() & if is_own { 0o077 } else { 0o007 } != 0)
}

/// Rejects text that can't be a key, and warns of text that is probably not one. Messages never show any of it.
fn judge(place: &str, token: &str) -> Result<Option<String>, ConfigError> {
    if token.is_empty() {
        return Err(ConfigError::at(place, "the API key is empty"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "the API key has characters in it that no HTTP header can carry";
        return Err(ConfigError::at(place, message).with_hint("copy the key again, and nothing beside it"));
    }
    let is_usual = token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Ok((!is_usual).then(|| format!("{place}: an API key has 64 letters and digits, this one does not")))
}
