use super::*;

fn parse(text: &str) -> Address {
    Address::parse(text, None).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn refused(text: &str) -> String {
    Address::parse(text, None).expect_err(text)
}

#[test]
fn is_shown_without_the_password() {
    let check = |text: &str, shown: &str| {
        let address = parse(text);
        assert_eq!(address.to_string(), shown);
        assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
        let again = parse(shown);
        assert_eq!(again.to_string(), shown, "what is shown means the same");
        assert_eq!(again.hosts(), address.hosts());
    };
    check("postgres://ada@db.example/crm", "postgres://ada@db.example:5432/crm");
    check("postgresql://ada:hunter2@db.example:6432/crm", "postgres://ada@db.example:6432/crm");
    check(
        "POSTGRES://ada:hunter2@db.example/crm?schema=night_1",
        "postgres://ada@db.example:5432/crm?schema=night_1",
    );
    check("postgres://ada:hunter2@[::1]:5433/crm", "postgres://ada@[::1]:5433/crm");
    check("postgres://ada:hunter2@a,b:5433,[fe80::1]/crm", "postgres://ada@a:5432,b:5433,[fe80::1]:5432/crm");
    check("postgres://ada@/crm?host=/var/run/postgresql", "postgres://ada@/crm?host=/var/run/postgresql");
    check("postgres://ada@%2Fvar%2Frun:5433/crm", "postgres://ada@/crm?host=/var/run&port=5433");
    check("postgres://ada@a:5433,%2Frun:5434/crm", "postgres://ada@a:5433,%2Frun:5434/crm");
    check("postgres://ada@%2Frun%2Ca/crm", "postgres://ada@%2Frun%2Ca:5432/crm");
    check("postgres://ada@h/crm?lease=1m0.0005s", "postgres://ada@h:5432/crm?lease=60000ms");
    check("postgres://ada%40corp:hunter2@h/my%20crm", "postgres://ada%40corp@h:5432/my%20crm");
    check("postgres://ada:hunter2@h/crm#1", "postgres://ada@h:5432/crm%231");
    check("  postgres://ada:hunter2@h/crm?sslmode=disable \n", "postgres://ada@h:5432/crm?sslmode=disable");
    check(
        "postgres://ada:hunter2@h/crm?sslrootcert=/etc/my%20ca.pem&sslmode=require&lease=1m",
        "postgres://ada@h:5432/crm?lease=60000ms&sslmode=verify-full&sslrootcert=/etc/my%20ca.pem",
    );
}

#[test]
fn passwords_may_have_any_characters() {
    let check = |text: &str, password: Option<&str>| {
        let address = parse(text);
        assert_eq!(address.exposed_password(), password, "{text}");
        assert_eq!(address.has_password_in_text(), text.matches(':').count() > 1, "{text}");
    };
    check("postgres://ada:a%40b%2Fc%3Fd%23e%25f%3Ag@h/crm", Some("a@b/c?d#e%f:g"));
    check("postgres://ada:p%C5%82ot@h/crm", Some("płot"));
    check("postgres://ada:a@b:c#d@h/crm", Some("a@b:c#d"));
    check("postgres://ada:a+b@h/crm", Some("a+b"));
    check("postgres://ada:@h/crm", None);
    check("postgres://ada@h/crm", None);
}

#[test]
fn the_password_can_come_from_elsewhere() {
    let of = |text| Address::parse(text, Some("hunter2")).unwrap();
    assert_eq!(of("postgres://ada@h/crm").exposed_password(), Some("hunter2"));
    assert!(!of("postgres://ada@h/crm").has_password_in_text());
    assert_eq!(of("postgres://ada:other@h/crm").exposed_password(), Some("other"));
    assert_eq!(of("postgres://ada:other@h/crm"), parse("postgres://ada:other@h/crm"));
    assert_ne!(of("postgres://ada@h/crm"), parse("postgres://ada@h/crm"));
}

#[test]
fn what_is_wrong_is_said_without_the_text() {
    let check = |text: &str, what: &str| {
        let error = refused(text);
        assert!(error.contains(what), "`{text}`: {error}");
        for secret in ["hunter2", "hun", "ter2", "secret"] {
            assert!(!error.contains(secret), "`{text}`: {error}");
        }
    };
    check("mysql://ada:hunter2@h/crm", "starts with `postgres://`");
    check("ada:hunter2@h/crm", "starts with `postgres://`");
    check("postgres://ada:hun/ter2@h/crm", "`%2F` for `/`");
    check("postgres://ada:hun?ter2@h/crm", "`%3F` for `?`");
    check("postgres://ada:h@hun/ter2@h/crm", "`%40` for `@`");
    check("postgres://ada:hun/ter2#secret", "`%23` for `#`");
    check("postgres://ada:hunter2%@h/crm", "the password holds a `%`");
    check("postgres://ada:hunter2%4@h/crm", "write `%25`");
    check("postgres://ada:%FFhunter2@h/crm", "the password is not UTF-8");
    check("postgres://ada:hunter2%00@h/crm", "`%00`");
    check("postgres://h/crm", "the user's name is missing");
    check("postgres://:hunter2@h/crm", "the user's name is missing");
    check("postgres://ada:hunter2@h", "the database's name is missing");
    check("postgres://ada:hunter2@h/?schema=a", "the database's name is missing");
    check("postgres://ada:hunter2@/crm", "the host is missing");
    check("postgres://ada:hunter2@h:secret/crm", "a port is not");
    check("postgres://ada:hunter2@h:0/crm", "a port is not");
    check("postgres://ada:hunter2@h,/crm", "a host is not valid");
    check("postgres://ada:hunter2@[::1/crm", "a host is not valid");
    check("postgres://ada:hunter2@[secret]/crm", "a host is not valid");
    check("postgres://ada:hunter2@[::1]secret/crm", "a host is not valid");
    check("postgres://ada:hunter2@::1/crm", "a port is not");
    check("postgres://ada:hunter2@se cret/crm", "a host is not valid");
    check("postgres://ada@h/crm?secret=1", "an unknown parameter; the parameters are `schema`");
    check("postgres://ada@h/crm?password=hunter2", "write it before the host");
    check("postgres://ada@h/crm?options=-c%20secret", "`options` is not supported");
    check("postgres://ada@h/crm?schema=a&schema=b", "twice");
    check("postgres://ada@h/crm?channel_binding=require", "`channel_binding=require` is not supported");
    check("postgres://ada@h/crm?target_session_attrs=standby", "only be `read-write`");
    check("postgres://ada@h/crm?sslmode=prefer", "`sslmode=verify-full`");
    check("postgres://ada@h/crm?sslmode=allow", "`sslmode=verify-full`");
    check("postgres://ada@h/crm?sslmode=secret", "`disable`");
    check("postgres://ada@h/crm?sslrootcert=", "names no file");
    check("postgres://ada@h/crm?host=/run", "leave one of them out");
    check("postgres://ada@h/crm?port=5433", "write `host:port`");
}

#[test]
fn a_schema_is_a_plain_name() {
    let of = |name: &str| Address::parse(&format!("postgres://ada@h/crm?schema={name}"), None);
    for good in ["a", "_x", "user", "night_2", &"a".repeat(63)] {
        assert_eq!(of(good).unwrap().schema(), good);
    }
    assert_eq!(parse("postgres://ada@h/crm").schema(), "attrsync");
    let long = "a".repeat(64);
    for bad in [
        "",
        "A",
        "1a",
        "a-b",
        "a%22b",
        "a;b",
        "%C5%82",
        "pg_x",
        "information_schema",
        "attrsync_quota",
        &long,
    ] {
        assert!(of(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_lease_lasts_from_a_second_to_ten_minutes() {
    let of = |lease: &str| Address::parse(&format!("postgres://ada@h/crm?lease={lease}"), None);
    for (text, seconds) in [("1s", 1), ("45s", 45), ("10m", 600), ("1m30s", 90)] {
        assert_eq!(of(text).unwrap().lease(), Duration::from_secs(seconds));
    }
    assert_eq!(parse("postgres://ada@h/crm").lease(), Duration::from_secs(30));
    for bad in ["", "0s", "900ms", "11m", "30", "-30s", "soon"] {
        assert!(of(bad).is_err(), "{bad}");
    }
}

#[test]
fn connections_are_encrypted_unless_they_stay_on_the_machine() {
    let check = |hosts: &str, mode: &str, encrypted: &[bool]| {
        let address = parse(&format!("postgres://ada@{hosts}/crm{mode}"));
        let found: Vec<bool> = address.hosts().iter().map(|host| address.uses_tls(host)).collect();
        assert_eq!(found, encrypted, "{hosts}{mode}");
        let is_warned = mode == "?sslmode=disable" && !address.hosts().iter().all(Host::is_within_machine);
        assert_eq!(!address.warnings().is_empty(), is_warned);
    };
    for mode in ["", "?sslrootcert=/ca.pem", "?channel_binding=prefer", "?target_session_attrs=read-write"] {
        check("db.example,10.0.0.1,[fe80::1]", mode, &[true; 3]);
        check("localhost,127.0.0.2,[::1],[::ffff:127.0.0.1],%2Frun", mode, &[false; 5]);
        check("localhost,db.example", mode, &[false, true]);
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        check("localhost,db.example,%2Frun", &format!("?sslmode={mode}"), &[true, true, false]);
    }
    check("localhost,db.example", "?sslmode=disable", &[false, false]);
    check("localhost", "?sslmode=disable", &[false]);
}

#[test]
fn a_certificate_can_be_named() {
    assert_eq!(parse("postgres://ada@h/crm").root_certificate(), None);
    assert_eq!(parse("postgres://ada@h/crm?sslrootcert=system").root_certificate(), None);
    let named = parse("postgres://ada@h/crm?sslmode=verify-full&sslrootcert=%2Fetc/my%20ca.pem");
    assert_eq!(named.root_certificate(), Some(Path::new("/etc/my ca.pem")));
}

#[test]
fn only_a_session_that_writes_asks_for_a_server_that_can() {
    let address = parse("postgres://ada:hunter2@h:5433/crm");
    let config = |access| address.config(&address.hosts()[0], access, Duration::from_secs(5));
    assert_eq!(config(Access::Read).get_target_session_attrs(), TargetSessionAttrs::Any);
    let config = config(Access::Write);
    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(config.get_ssl_mode(), SslMode::Require);
    assert_eq!((config.get_user(), config.get_dbname()), (Some("ada"), Some("crm")));
    assert_eq!((config.get_password(), config.get_ports()), (Some("hunter2".as_bytes()), &[5433][..]));
    assert_eq!((config.get_options(), config.get_application_name()), (None, None));
}

#[test]
fn files_are_told_from_addresses() {
    assert!(Address::is_one("postgres://ada@h/crm") && Address::is_one("PostgreSQL://"));
    for file in ["attrsync.ledger", "/postgres/ledger", "postgres:ledger", "file://postgres://"] {
        assert!(!Address::is_one(file), "{file}");
    }
}
