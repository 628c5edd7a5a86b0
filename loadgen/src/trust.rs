//! Whom a run over TLS trusts, and by which name it calls the other end.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::engine::Tls;

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// The authorities that this machine trusts.
    #[default]
    System,
    /// The authorities of a file in PEM.
    File(PathBuf),
    /// Everybody: nothing is checked.
    Anybody,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file of authorities cannot be read, or has none.
    #[error("{path}: {problem}\nhint: it must hold certificates of authorities in PEM")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// This machine trusts nobody.
    #[error("this machine has no certificates of authorities\nhint: give --ca-file, or --insecure")]
    Nobody,
    /// No server can be called so.
    #[error("{name:?} is no name of a server")]
    Name {
        /// The name.
        name: String,
    },
}

/// TLS to a server of this name (which is also its SNI), without HTTP/2.
///
/// # Errors
/// What is wrong with the authorities or the name.
pub fn tls(host: &str, trust: &Trust) -> Result<Tls, TrustError> {
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| TrustError::Name { name: host.to_owned() })?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3");
    let mut config = match trust {
        Trust::System => config.with_root_certificates(system()?).with_no_client_auth(),
        Trust::File(path) => config.with_root_certificates(of_file(path)?).with_no_client_auth(),
        Trust::Anybody => config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), name })
}

fn system() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TrustError::Nobody) } else { Ok(roots) }
}

fn of_file(path: &Path) -> Result<RootCertStore, TrustError> {
    let wrong = |problem: String| TrustError::File { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(roots) }
}

/// Believes every certificate: for `--insecure`, which says so.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
