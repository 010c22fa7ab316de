//! Addresses and keys.

use std::fs;

use attrsync::config::{ConfigError, Endpoint, Settings};
use clap::Parser;
use secrecy::ExposeSecret;

use super::{Place, Sync, TOKEN};

fn with_token() -> Place {
    Place::bare().variable("ATTRSYNC_TOKEN", TOKEN)
}

/// The address and the key that requests go by.
fn api(settled: Result<(Settings, Endpoint), ConfigError>) -> (String, String) {
    match settled.unwrap().1 {
        Endpoint::Api { base_url, token } => (base_url.to_string(), token.expose_secret().to_owned()),
        Endpoint::Sandbox => panic!("no sandbox was asked for"),
    }
}

#[test]
fn a_subdomain_stands_for_an_address() {
    assert_eq!(api(with_token().sync(&["--subdomain=acme"])).0, "https://acme.user.com/api/public/");
    for name in ["acme.user.com", "", "-a", "a b", "a/b", "a@b"] {
        let message = with_token().error(&[&format!("--subdomain={name}")]);
        assert!(message.starts_with("--subdomain: "), "{name}: {message}");
    }
}

#[test]
fn an_address_ends_in_a_slash() {
    let address = |url: &str| api(with_token().sync(&["--base-url", url])).0;
    assert_eq!(address("https://acme.user.com/api/public"), "https://acme.user.com/api/public/");
    assert_eq!(address("https://acme.user.com/api/public/"), "https://acme.user.com/api/public/");
    assert_eq!(address("https://acme.user.com"), "https://acme.user.com/");
}

#[test]
fn plain_http_goes_to_this_machine_alone() {
    for host in ["127.0.0.1:8080", "127.9.8.7", "[::1]:80", "localhost:1", "LOCALHOST"] {
        assert!(with_token().sync(&["--base-url", &format!("http://{host}/api/")]).is_ok(), "{host}");
    }
    for host in
        ["acme.user.com", "10.0.0.1", "[::2]", "localhost.example.com", "127.0.0.1.example.com", "0.0.0.0"]
    {
        let message = with_token().error(&["--base-url", &format!("http://{host}/api/")]);
        assert!(message.starts_with("--base-url: plain http would show the API key"), "{host}: {message}");
    }
}

#[test]
fn what_is_no_address_is_refused_without_showing_it() {
    for url in [
        "acme",
        "https://",
        "ftp://a/",
        "https://a:secret@b/",
        "https://secret@b/",
        "https://b/?token=secret",
        "https://b/#secret",
    ] {
        let message = with_token().error(&["--base-url", url]);
        assert!(message.starts_with("--base-url: ") && !message.contains("secret"), "{url}: {message}");
    }
    let place = with_token().file("attrsync.toml", "base_url = 'http://a/'");
    assert!(place.error(&[]).starts_with("attrsync.toml:1: base_url: plain http"));
}

#[test]
fn one_address_is_given_or_the_outer_place_decides() {
    let place = with_token().file("attrsync.toml", "base_url = 'https://file.user.com/'");
    assert_eq!(api(place.sync(&["--subdomain=flag"])).0, "https://flag.user.com/api/public/");
    let message = with_token().error(&["--subdomain=a", "--base-url=https://b/"]);
    assert_eq!(message, "--base-url: conflicts with `--subdomain`\nhint: give one of the two");
    let message = with_token().error(&[]);
    assert!(message.contains("no account is named\nhint: add `--subdomain NAME`"), "{message}");
}

#[test]
fn the_key_comes_from_the_outermost_place() {
    let key = |letter: &str| letter.repeat(64);
    let place = || {
        Place::bare()
            .variable("ATTRSYNC_SUBDOMAIN", "acme")
            .file("a", &key("a"))
            .file("b", &format!(" {}\r\n", key("b")))
    };
    let written = "token_file = 'a'";
    assert_eq!(api(place().file("attrsync.toml", written).sync(&[])).1, key("a"));
    assert_eq!(api(place().file("attrsync.toml", written).sync(&["--token-file=b"])).1, key("b"));
    let with_variable = || place().variable("ATTRSYNC_TOKEN", TOKEN);
    assert_eq!(api(with_variable().file("attrsync.toml", written).sync(&[])).1, TOKEN);
    assert_eq!(api(with_variable().sync(&["--token-file=b"])).1, key("b"));
}

#[test]
fn a_key_that_an_editor_on_windows_saved_is_that_key() {
    let utf_16: Vec<u8> = format!("\u{feff}{TOKEN}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [format!("\u{feff}{TOKEN}\r\n").into_bytes(), utf_16] {
        let place = Place::bare().variable("ATTRSYNC_SUBDOMAIN", "acme");
        fs::write(place.environment.directory.join("key"), bytes).unwrap();
        assert_eq!(api(place.sync(&["--token-file=key"])).1, TOKEN);
    }
    let place = Place::ready();
    fs::write(place.environment.directory.join("key"), b"\xff\x00\xd8").unwrap();
    assert_eq!(place.error(&["--token-file=key"]), "--token-file: `key`: is not UTF-8 text");
}

#[test]
fn a_missing_key_is_an_error_that_tells_the_ways_to_give_one() {
    let message = Place::bare().error(&["--subdomain=acme"]);
    for way in ["`ATTRSYNC_TOKEN`", "`--token-file`", "`--sandbox`"] {
        assert!(message.contains(way), "{message}");
    }
}

#[test]
fn a_key_that_cannot_be_sent_is_an_error() {
    let error = |token: &str| Place::ready().variable("ATTRSYNC_TOKEN", token).error(&[]);
    assert_eq!(error(" \n"), "ATTRSYNC_TOKEN: the API key is empty");
    for token in ["secret\nsecret", "secret secret", "secrét", "sec\u{0}ret"] {
        let message = error(token);
        assert!(message.starts_with("ATTRSYNC_TOKEN: the API key has characters in it"), "{message}");
        assert!(!message.contains("sec"), "{message}");
    }
    assert_eq!(
        Place::ready().file("empty", "\n").error(&["--token-file=empty"]),
        "--token-file: `empty`: the API key is empty"
    );
    assert_eq!(Place::ready().error(&["--token-file=gone"]), "--token-file: `gone`: no such file");
}

#[test]
fn a_key_of_an_unusual_form_is_warned_of_without_showing_it() {
    let settings = Place::ready().variable("ATTRSYNC_TOKEN", "hunter2").settings(&[]);
    assert_eq!(
        settings.warnings,
        ["ATTRSYNC_TOKEN: an API key has 64 letters and digits, this one does not"]
    );
    assert_eq!(Place::ready().settings(&[]).warnings, [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::ready().file("key", TOKEN);
    let path = place.environment.directory.join("key");
    let warnings = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        place.settings(&["--token-file=key"]).warnings
    };
    assert_eq!(warnings(0o600), [""; 0]);
    assert_eq!(
        warnings(0o640),
        ["--token-file: `key`: others can read the API key: `chmod 600` keeps it yours"]
    );
}

#[test]
fn a_key_in_place_of_its_files_path_is_not_shown() {
    let half = "0123456789abcdefghijklmnopqrstuvwxyz";
    let by_variable =
        Place::bare().variable("ATTRSYNC_SUBDOMAIN", "a").variable("ATTRSYNC_TOKEN_FILE", TOKEN).error(&[]);
    for (key, message) in [
        (TOKEN, Place::ready().error(&["--token-file", TOKEN])),
        (half, Place::ready().error(&["--token-file", &format!("Token {half}")])),
        (TOKEN, by_variable),
    ] {
        assert!(message.contains(": no such file") && !message.contains(key), "{message}");
        let hint = "hint: give the path of a file that holds the key, not the key itself";
        assert!(message.ends_with(hint), "{message}");
    }
    let path = format!("keys/{TOKEN}");
    assert_eq!(
        Place::ready().error(&["--token-file", &path]),
        format!("--token-file: `{path}`: no such file")
    );
}

#[test]
fn a_key_in_place_of_a_path_that_is_not_needed_is_not_shown() {
    for place in [
        Place::ready().variable("ATTRSYNC_TOKEN_FILE", TOKEN),
        Place::ready().file("attrsync.toml", &format!("token_file = '{TOKEN}'")),
    ] {
        let shown = place.settings(&["rows.csv"]).shown;
        assert!(shown.iter().all(|(_, text)| text != TOKEN), "{shown:?}");
    }
    let shown = Place::ready().variable("ATTRSYNC_TOKEN_FILE", "keys/user-com").settings(&["rows.csv"]).shown;
    assert!(shown.contains(&("token_file".to_owned(), "keys/user-com".to_owned())), "{shown:?}");
}

#[test]
fn an_address_that_cannot_be_understood_is_told_in_a_sentence() {
    assert_eq!(
        with_token().error(&["--base-url=nonsense"]),
        "--base-url: the address cannot be understood (relative URL without a base): \
         write for instance `https://<subdomain>.user.com/api/public/`"
    );
}

#[test]
fn a_key_in_the_configuration_file_is_refused_without_showing_it() {
    let message = Place::ready().file("attrsync.toml", "token = 'hunter2'").error(&[]);
    assert_eq!(
        message,
        "attrsync.toml:1: token: the API key does not belong in this file\n\
         hint: set the variable `ATTRSYNC_TOKEN`, or name a file that holds it with `token_file`"
    );
}

#[test]
fn a_key_that_is_typed_after_all_is_not_shown() {
    for typed in [vec!["--token=hunter2"], vec!["--token", "hunter2"]] {
        let message = Sync::try_parse_from(typed).unwrap_err().to_string();
        assert!(message.contains("--token-file") && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn no_debug_output_shows_the_key() {
    let place = Place::ready();
    let shown = format!("{:?} {:?}", place.sync(&["rows.csv"]).unwrap(), place.environment);
    assert!(!shown.contains(TOKEN), "{shown}");
}

#[test]
fn a_sandbox_needs_neither_address_nor_key() {
    assert!(matches!(Place::bare().sync(&["--sandbox"]).unwrap().1, Endpoint::Sandbox));
    let configured = Place::ready().file("attrsync.toml", "base_url = 'https://a/'");
    assert!(matches!(configured.sync(&["--sandbox"]).unwrap().1, Endpoint::Sandbox));
    for flag in ["--base-url=https://a/", "--subdomain=a"] {
        let message = Place::bare().error(&["--sandbox", flag]);
        assert!(message.contains(": a sandbox has an address of its own\nhint: "), "{message}");
    }
}

#[test]
fn a_proxy_that_can_not_be_used_is_refused_and_not_passed_by() {
    let proxied = |name: &str, value: &str| with_token().variable(name, value);
    for value in ["::::", "http://", "ftp://proxy:21", "user:secret@"] {
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            let message = proxied(name, value).error(&["--subdomain=acme"]);
            let want = format!("the variable `{name}` does not hold the address of a proxy");
            assert!(message.starts_with(&want) && !message.contains("secret"), "{message}");
        }
    }
    let message = proxied("ALL_PROXY", "socks5://proxy:1080").error(&["--subdomain=acme"]);
    assert!(message.starts_with("the variable `ALL_PROXY` names a SOCKS proxy"), "{message}");
    for value in ["http://proxy:3128", "https://user:secret@proxy", "proxy:3128", ""] {
        assert!(proxied("HTTPS_PROXY", value).sync(&["--subdomain=acme"]).is_ok(), "{value}");
    }
    // Where it isn't used it doesn't matter.
    let except = proxied("HTTPS_PROXY", "::::").variable("NO_PROXY", "user.com");
    assert!(except.sync(&["--subdomain=acme"]).is_ok());
    assert!(proxied("HTTPS_PROXY", "::::").sync(&["--base-url=http://127.0.0.1:8080/"]).is_ok());
}
