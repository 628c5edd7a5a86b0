//! Servers that ask for a certificate of ours.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use fleet::Options;
use fleet::server::Server;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::{configured, connect};

/// The hint wherever TLS is why there is no connection.
const MEND: &str = "--nats-certificate and --nats-key are ours";

/// Who signs certificates, which lie beside its own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

fn called(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).expect("they are names or addresses");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut parameters = called("authority", &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let own = parameters.self_signed(&key).expect("a certificate of its own");
        fs::write(directory.path().join("authority.pem"), own.pem()).expect("it can be written");
        Self { issuer: Issuer::new(parameters, key), directory }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Writes NAME.pem and NAME.key.
    fn issue(&self, name: &str, hosts: &[&str], purpose: ExtendedKeyUsagePurpose) {
        let mut parameters = called(name, hosts);
        parameters.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("it is signed");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("it can be written");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("it can be written");
    }

    /// An authority with a client's certificate.
    fn with_client() -> Self {
        let authority = Self::new();
        authority.issue("client", &[], ExtendedKeyUsagePurpose::ClientAuth);
        authority
    }
}

/// A server that lets in whose certificate this authority signed; none where there is no program.
fn asking(authority: &Authority) -> Option<(Server, TempDir)> {
    authority.issue("server", &["127.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth);
    let [own, key, known] = ["server.pem", "server.key", "authority.pem"].map(|file| authority.path(file));
    configured(&format!(
        "tls {{\n  cert_file: {own:?}\n  key_file: {key:?}\n  ca_file: {known:?}\n  verify: true\n  timeout: 20\n}}\n"
    ))
}

/// Options that lead to it over TLS, and trust its authority.
fn trusting(server: &Server, authority: &Authority) -> Options {
    let place = server.place().replace("nats://", "tls://").parse().expect("a place");
    Options { nats: Some(place), nats_ca_file: Some(authority.path("authority.pem")), ..Options::default() }
}

fn shown(options: Options, certificate: &Path, key: &Path) -> Options {
    Options { nats_certificate: Some(certificate.to_owned()), nats_key: Some(key.to_owned()), ..options }
}

#[test]
fn a_certificate_lets_in_and_without_it_the_server_is_closed() {
    let authority = Authority::with_client();
    let Some((server, _directory)) = asking(&authority) else { return };
    let options = trusting(&server, &authority);
    let refused = connect(&options).expect_err("it asks for a certificate").to_string();
    assert!(refused.starts_with("NATS at tls://127.0.0.1:") && refused.contains(MEND), "{refused}");
    let unknown = Options { nats_ca_file: None, ..options.clone() };
    let refused = connect(&unknown).expect_err("nobody here trusts its authority").to_string();
    assert!(refused.contains("--nats-ca-file trusts the authorities of a file"), "{refused}");
    connect(&shown(options, &authority.path("client.pem"), &authority.path("client.key")))
        .expect("its authority signed it");
}

#[test]
fn a_certificate_of_another_authority_does_not_let_in() {
    let (authority, other) = (Authority::new(), Authority::with_client());
    let Some((server, _directory)) = asking(&authority) else { return };
    let options = shown(trusting(&server, &authority), &other.path("client.pem"), &other.path("client.key"));
    let refused = connect(&options).expect_err("nobody that the server trusts signed it").to_string();
    assert!(refused.starts_with("NATS at tls://127.0.0.1:") && refused.contains(MEND), "{refused}");
}

#[test]
fn a_file_without_a_key_is_named() {
    let authority = Authority::with_client();
    // Nobody is asked: the files are read before.
    let nats = Some("tls://127.0.0.1:4222".parse().expect("a place"));
    let certificate = authority.path("client.pem");
    let options = shown(Options { nats, ..Options::default() }, &certificate, &certificate);
    let refused = connect(&options).expect_err("a certificate is no key").to_string();
    assert!(refused.starts_with(&format!("{}: ", certificate.display())), "{refused}");
    assert!(refused.contains("found no private key in it"), "{refused}");
    let missing = authority.path("nobody.key");
    let refused = connect(&shown(options, &certificate, &missing)).expect_err("it is not there").to_string();
    assert!(refused.starts_with(&format!("{}: ", missing.display())), "{refused}");
}

/// A program with the connection's options.
#[derive(Debug, clap::Parser)]
struct Program {
    #[command(flatten)]
    nats: Options,
}

#[test]
fn a_certificate_and_its_key_are_named_together() {
    let parsed = |arguments: &[&str]| {
        let all = ["program", "--nats", "tls://127.0.0.1"].iter().chain(arguments);
        Program::try_parse_from(all).map(|program| program.nats)
    };
    let both = parsed(&["--nats-certificate", "a.pem", "--nats-key", "a.key"]).expect("both are there");
    assert_eq!(both.nats_key.as_deref(), Some(Path::new("a.key")));
    let alone = parsed(&["--nats-certificate", "a.pem"]).expect_err("its key is missing").to_string();
    assert!(alone.contains("--nats-key"), "{alone}");
    let alone = parsed(&["--nats-key", "a.key"]).expect_err("its certificate is missing").to_string();
    assert!(alone.contains("--nats-certificate"), "{alone}");
}
