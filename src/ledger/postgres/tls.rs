//! Which certificates a server may show. Its name is checked as well, as `verify-full` of libpq does.

use std::io;
use std::path::Path;

use rustls::Error as TlsError;
use rustls::crypto::ring;
use rustls::pki_types::pem;
use rustls_tokio_postgres::{CaCertError, MakeRustlsConnect, config_from_ca_cert, config_platform_verifier};

use super::error::DatabaseError;

/// TLS that trusts the certificates in this file, or else those that the system trusts.
///
/// # Errors
/// When there are no such certificates.
pub(super) fn tls(root_certificate: Option<&Path>) -> Result<MakeRustlsConnect, DatabaseError> {
    // Asking twice is fine: a second provider is refused, and the first one serves. The API's transport sets the same one.
    drop(ring::default_provider().install_default());
    let config = match root_certificate {
        Some(path) => config_from_ca_cert(path).map_err(|error| unusable(path, &error))?,
        None => config_platform_verifier().map_err(|error| no_certificates(&error))?,
    };
    Ok(MakeRustlsConnect::new(config))
}

fn unusable(path: &Path, error: &CaCertError) -> DatabaseError {
    let what = match error {
        CaCertError::Pem(pem::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            "there is no such file".to_owned()
        }
        CaCertError::Pem(pem::Error::Io(error)) => error.to_string(),
        CaCertError::NoCertificates | CaCertError::Pem(_) => "holds no certificate in PEM form".to_owned(),
        error => format!("holds a certificate that can't be used: {error}"),
    };
    DatabaseError::refused(&format!("`sslrootcert`, `{}`: {what}", path.display()))
}

fn no_certificates(error: &TlsError) -> DatabaseError {
    if error.to_string().contains("No CA certificates") {
        return DatabaseError::refused(
            "no CA certificates were found on this machine: install the package `ca-certificates`, or name the server's \
             with `sslrootcert=FILE` in the address",
        );
    }
    DatabaseError::refused(&format!("can't set up TLS: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The error for a file with this text.
    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, text).unwrap();
        let Err(error) = tls(Some(&path)) else { panic!("`{text}` is a certificate") };
        error.to_string().replace(&path.display().to_string(), "ca.pem")
    }

    #[test]
    fn says_what_is_wrong_with_the_file_of_certificates() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA"] {
            assert_eq!(refused(text), "`sslrootcert`, `ca.pem`: holds no certificate in PEM form");
        }
        let wrong = refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(wrong.starts_with("`sslrootcert`, `ca.pem`: holds a certificate that can't be used: "));
        let Err(absent) = tls(Some(Path::new("/nowhere/ca.pem"))) else { panic!("there is one") };
        assert_eq!(absent.to_string(), "`sslrootcert`, `/nowhere/ca.pem`: there is no such file");
        let Err(folder) = tls(Some(Path::new("/"))) else { panic!("a folder holds no certificate") };
        assert!(folder.to_string().contains("directory"), "{folder}");
    }
}
