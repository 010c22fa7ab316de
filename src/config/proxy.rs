//! Checks the proxy that the environment names.
//!
//! The HTTP client reads the same variables, but ignores a value that it can't parse. Requests would then bypass the proxy.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::environment::Environment;
use super::error::ConfigError;

/// Refuses a proxy for this address that can't be used. A value is never shown: it may hold a password.
pub(super) fn check(address: &Url, environment: &Environment) -> Result<(), ConfigError> {
    let value = |name: &str| environment.variables.get(name)?.to_str();
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, value(name)?)));
    let named = |names| first(names).filter(|(_, value)| !value.is_empty());
    let proxy = named(["HTTPS_PROXY", "https_proxy"]).or_else(|| named(["ALL_PROXY", "all_proxy"]));
    let Some((name, proxy)) = proxy.filter(|_| address.scheme() == "https") else { return Ok(()) };
    let except = first(["NO_PROXY", "no_proxy"]).map_or("", |(_, value)| value);
    let taken = |proxy: &str| {
        let matcher = Matcher::builder().https(proxy.to_owned()).no(except.to_owned()).build();
        matcher.intercept(&address.as_str().parse().ok()?)
    };
    // Whether there is a proxy for this address at all.
    if taken("http://proxy").is_none() {
        return Ok(());
    }
    match taken(proxy) {
        None => Err(ConfigError::new(format!("the variable `{name}` does not hold the address of a proxy"))
            .with_hint("write it as `http://proxy.example.com:3128`, or unset the variable")),
        Some(proxy) if proxy.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks")) => {
            Err(ConfigError::new(format!("the variable `{name}` names a SOCKS proxy, which can't be used"))
                .with_hint("name an HTTP proxy, as `http://proxy.example.com:3128`, or unset the variable"))
        }
        Some(_) => Ok(()),
    }
}
