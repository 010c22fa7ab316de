//! Any address of a ledger in a database: no error and nothing that is shown has the password, and what is shown means the same.
#![no_main]

mod choices;

use attrsync::ledger::LedgerLocation;
use attrsync::ledger::postgres::Address;
use libfuzzer_sys::fuzz_target;

use choices::Choices;

/// Stands for the password in an input, so that it takes no luck to find it.
const MARK: char = '\u{1}';

/// No name of a schema, which an error may show, has such letters.
const PASSWORD: &str = "hUnTeR-2";

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::of(input);
    let is_after_user = choices.among(&[false, true]);
    let from_variable = choices.among(&[None, Some("other"), Some("")]);
    let text = String::from_utf8_lossy(choices.rest());
    if is_after_user {
        // What stands before the last `@` is the password, or the address is refused.
        let (password, rest) = text.split_once('\n').unwrap_or((&text, "h/crm"));
        let password = format!("{password}{PASSWORD}").replace(MARK, "");
        let rest = rest.replace(MARK, "");
        if let Some(address) = parse(&format!("postgres://ada:{password}@{rest}"), from_variable) {
            assert!(address.has_password_in_text());
            let warnings = address.warnings().concat();
            for shown in [address.to_string(), format!("{address:?}"), warnings] {
                assert!(!shown.contains(PASSWORD), "{shown}");
            }
        }
    } else if let Some(address) = parse(&text.replace(MARK, PASSWORD), from_variable) {
        assert!(LedgerLocation::of_database(&text.replace(MARK, PASSWORD), None).is_ok());
        assert!(!address.hosts().is_empty() && !address.user().is_empty());
    }
});

/// The address, if it is one.
fn parse(text: &str, password: Option<&str>) -> Option<Address> {
    match Address::parse(text, password) {
        Ok(address) => {
            assert!(Address::is_one(text));
            let shown = address.to_string();
            let again = Address::parse(&shown, password);
            let again = again.unwrap_or_else(|error| panic!("`{text}` is shown as `{shown}`: {error}"));
            assert_eq!(again.to_string(), shown);
            let parts = |address: &Address| {
                (
                    address.user().to_owned(),
                    address.hosts().to_vec(),
                    address.schema().to_owned(),
                    address.lease().as_millis(),
                    address.warnings(),
                )
            };
            assert_eq!(parts(&again), parts(&address), "`{text}` is shown as `{shown}`");
            assert!(!again.has_password_in_text());
            Some(address)
        }
        Err(message) => {
            assert!(!message.contains(PASSWORD), "`{text}`: {message}");
            assert!(message.len() < 300 && !message.chars().any(char::is_control), "`{text}`: {message}");
            None
        }
    }
}
