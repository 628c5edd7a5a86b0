//! TLS, ended here: what comes out of it is HTTP/1.1 or HTTP/2, as the client and its ALPN have it (RFC 7301).

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scenarios::scenario::Tls;
use tokio_rustls::TlsAcceptor;

/// What HTTP/2 is called in a handshake.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Makes ready to end TLS with the certificate that the file names, beside which relative paths start; with one of our own for
/// `localhost` and the addresses of loopback, where it names none.
///
/// # Errors
/// Where there is no usable certificate or key.
pub(super) fn acceptor(settings: &Tls, file: &Path, http2: bool) -> io::Result<TlsAcceptor> {
    let (certificates, key) = match &settings.files {
        Some((certificate, key)) => {
            let beside = |name: &str| file.parent().unwrap_or(Path::new("")).join(name);
            (chain(&beside(certificate))?, private_key(&beside(key))?)
        }
        None => own().map_err(io::Error::other)?,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| io::Error::other(format!("the certificate and its key: {error}")))?;
    let protocols = [http2.then_some(HTTP2), Some(HTTP1)];
    config.alpn_protocols = protocols.into_iter().flatten().map(<[u8]>::to_vec).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn chain(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let chain = read().map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    if chain.is_empty() {
        return Err(io::Error::other(format!("{}: no certificate in it", path.display())));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// A certificate that nobody vouches for.
fn own() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    Ok((vec![made.cert.der().clone()], key))
}
