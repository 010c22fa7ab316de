//! Where requests go.

use std::net::IpAddr;

use reqwest::Url;
use secrecy::SecretString;

use super::environment::Environment;
use super::error::ConfigError;
use super::flags::{AddressFlags, TargetFlags};
use super::layer::{Layer, OptionSource};
use super::{proxy, token};

/// Where requests go.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// To the API.
    Api {
        /// Ends in a slash. `https`, or else a loopback address.
        base_url: Url,
        /// The API key.
        token: SecretString,
    },
    /// To a sandbox that this process starts.
    Sandbox,
}

impl Endpoint {
    pub(super) fn resolve(
        flags: &TargetFlags,
        layer: &Layer,
        environment: &Environment,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        if flags.sandbox {
            let typed = |name: &&str| layer.source(name) == Some(&OptionSource::Flag);
            return match ["base_url", "subdomain"].into_iter().find(typed) {
                Some(name) => Err(ConfigError::at(layer.place(name), "a sandbox has an address of its own")
                    .with_hint("leave out either the address or `--sandbox`")),
                None => Ok(Self::Sandbox),
            };
        }
        let Some(base_url) = base_url(&flags.account.address, layer)? else {
            return Err(ConfigError::new("no account is named")
                .with_hint("add `--subdomain NAME`, or try it out with `--sandbox`"));
        };
        proxy::check(&base_url, environment)?;
        Ok(Self::Api { base_url, token: token::find(layer, environment, warnings)? })
    }
}

/// The address of the API, if one is given.
pub(super) fn base_url(flags: &AddressFlags, layer: &Layer) -> Result<Option<Url>, ConfigError> {
    let (name, base_url) = match (&flags.base_url, &flags.subdomain) {
        (Some(url), _) => ("base_url", address(url)),
        (None, Some(subdomain)) => ("subdomain", address_of_subdomain(subdomain)),
        (None, None) => return Ok(None),
    };
    base_url.map(Some).map_err(|message| ConfigError::at(layer.place(name), message))
}

/// Messages leave the address out: what is wrong with it may be the password in it.
fn address(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text.trim()).map_err(|error| {
        format!(
            "the address cannot be understood ({error}): write for instance `https://<subdomain>.user.com/api/public/`"
        )
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user's name or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with the path: no `?` and no `#`".to_owned());
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("plain http would show the API key to the network: write `https://`".to_owned()),
        scheme => return Err(format!("`{scheme}` is not supported: write `https://`")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Whether requests to this address stay on the machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

/// The address of an API in one spelling.
pub fn canonical(base_url: &Url) -> String {
    let mut url = base_url.clone();
    if url.host_str() == Some("localhost") {
        // The name can resolve to other addresses, but hardly ever does.
        return url.set_host(Some("127.0.0.1")).map_or_else(|_| base_url.to_string(), |()| url.to_string());
    }
    url.to_string()
}

fn address_of_subdomain(name: &str) -> Result<Url, String> {
    let is_label = (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !is_label && name.len() >= 32 {
        // It may be the key, put in the wrong place.
        return Err("that is not a subdomain: write `acme` for `https://acme.user.com`".to_owned());
    }
    if !is_label {
        return Err(format!("`{name}` is not a subdomain: write `acme` for `https://acme.user.com`"));
    }
    address(&format!("https://{name}.user.com/api/public/"))
}
