//! Where a run reports to monitoring systems: metrics, and a dead-man switch.

use std::path::{Path, PathBuf};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::endpoint::is_loopback;
use super::environment::Environment;
use super::error::ConfigError;
use super::file::unreadable;
use super::flags::ReportFlags;
use super::layer::Layer;
use super::secret_file;

/// The path for a Pushgateway whose address has none.
const PUSH_PATH: &str = "/metrics/job/attrsync";

/// Where metrics go.
#[derive(Clone, Debug)]
pub enum MetricsTarget {
    /// To a file, for the textfile collector of the Prometheus node exporter.
    File(PathBuf),
    /// To a Pushgateway. The address may hold a password.
    Pushgateway(SecretString),
}

/// The address of a dead-man switch. Who knows it can report a run, so it is a secret.
#[derive(Clone, Debug)]
pub struct PingUrl(SecretString);

impl MetricsTarget {
    pub(super) fn resolve(flags: &ReportFlags, layer: &Layer) -> Result<Option<Self>, ConfigError> {
        let Some(path) = &flags.metrics else { return Ok(None) };
        if path.as_os_str() == "-" {
            let message = "metrics can't go to standard output, because they are written again and again";
            return Err(ConfigError::at(layer.place("metrics"), message).with_hint("name a file"));
        }
        let text = path.to_str().unwrap_or_default();
        if !["http://", "https://"].iter().any(|start| starts_with_ignore_case(text, start)) {
            return Ok(Some(Self::File(path.clone())));
        }
        let place = layer.place("metrics");
        let mut url = Url::parse(text).map_err(|error| {
            ConfigError::at(&place, format!("the address cannot be understood ({error})"))
        })?;
        if url.scheme() == "http" && url.password().is_some() && !is_loopback(&url) {
            let message = "plain http would show the password to the network: write `https://`";
            return Err(ConfigError::at(&place, message));
        }
        if url.path() == "/" {
            url.set_path(PUSH_PATH);
        }
        Ok(Some(Self::Pushgateway(SecretString::from(String::from(url)))))
    }

    /// The file, if it goes to one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Pushgateway(_) => None,
        }
    }
}

impl PingUrl {
    /// Messages leave the address out.
    pub(super) fn resolve(
        flags: &ReportFlags,
        layer: &Layer,
        environment: &Environment,
    ) -> Result<Option<Self>, ConfigError> {
        let (place, text) = match (&flags.ping, &flags.ping_file) {
            (Some(text), _) => (layer.place("ping"), Zeroizing::new(text.expose_secret().to_owned())),
            (None, Some(path)) => {
                let place = format!("{}: `{}`", layer.place("ping_file"), path.display());
                let text = secret_file::text(&environment.directory.join(path))
                    .map_err(|error| ConfigError::at(&place, unreadable(&error)))?;
                (place, text)
            }
            (None, None) => return Ok(None),
        };
        let url = Url::parse(text.trim()).map_err(|error| {
            ConfigError::at(&place, format!("the address cannot be understood ({error})"))
        })?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            _ => {
                let message = "the address is a secret, which only https:// keeps";
                return Err(ConfigError::at(&place, message).with_hint("write `https://`"));
            }
        }
        Ok(Some(Self(SecretString::from(text.trim()))))
    }

    /// The address for a part of a run, such as `start` or the exit code: it follows the path, before what follows `?`.
    pub fn with(&self, part: &str, run: &str) -> Option<Url> {
        let mut url = Url::parse(self.0.expose_secret()).ok()?;
        url.path_segments_mut().ok()?.pop_if_empty().push(part);
        url.query_pairs_mut().append_pair("rid", run);
        Some(url)
    }
}

fn starts_with_ignore_case(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_a_run_goes_to_the_end_of_the_path() {
        let ping = |text: &str| PingUrl(SecretString::from(text));
        let with = |text: &str| ping(text).with("start", "r-1").unwrap().to_string();
        assert_eq!(with("https://hc.example/abc"), "https://hc.example/abc/start?rid=r-1");
        assert_eq!(with("https://hc.example/abc/"), "https://hc.example/abc/start?rid=r-1");
        assert_eq!(with("https://hc.example/abc?create=1"), "https://hc.example/abc/start?create=1&rid=r-1");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", PingUrl(SecretString::from("https://hc.example/abc")));
        assert!(!shown.contains("abc"), "{shown}");
    }
}
