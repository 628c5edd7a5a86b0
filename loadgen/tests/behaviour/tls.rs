//! Runs over TLS, against a server of rustls's own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use loadgen::trust::{Trust, tls};
use loadgen::{Entries, Entry, Error, Job, Options, Tls};
use results::{Provenance, RunRecord};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use scenarios::Scenario;

use crate::support::{counts, planned, scenario};

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// A server whose certificate is for `localhost`; bodies have this many bytes.
pub(crate) fn server(body: usize) -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(certificate("server.pem")).expect("it is there");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("they are certificates");
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key);
    let config = Arc::new(config.expect("key and certificate belong together"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("the configuration is right");
                let mut stream = StreamOwned::new(connection, stream);
                let mut buffer = [0; 4096];
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n{}", "x".repeat(body));
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Trusts every server.
pub(crate) fn anybody() -> Tls {
    tls("localhost", &Trust::Anybody).expect("nothing is read")
}

fn play(scenario: &Scenario, address: SocketAddr, tls: Option<Tls>) -> Result<RunRecord, Error> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let entry = Entry { address: address.into(), host: "localhost".to_owned() };
    let job = Job {
        scenario,
        entries: &Entries { by_traffic: vec![vec![entry]], base_path: String::new(), tls },
        options: Options::default(),
        directory: directory.path(),
        provenance: Provenance::here("loadgen test"),
        stop: &AtomicBool::new(false),
    };
    loadgen::run(job, None, &mut |_| {})
}

#[test]
fn requests_go_over_tls_to_whom_the_file_trusts() {
    let scenario = scenario(200, 1, "connections = 5");
    let trusted = tls("localhost", &Trust::File(certificate("authority.pem"))).expect("it is an authority");
    let record = play(&scenario, server(100), Some(trusted)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(counts(&record), (planned(&scenario), planned(&scenario), 0), "{:?}", record.validity);
}

#[test]
fn long_answers_come_whole_over_tls() {
    let scenario = scenario(20, 1, "connections = 3");
    let record =
        play(&scenario, server(3_000_000), Some(anybody())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(counts(&record), (20, 20, 0), "{:?}", record.tally(results::Scope::Run, None).failures);
}

#[test]
fn a_certificate_for_another_name_or_of_another_authority_is_refused() {
    let scenario = scenario(10, 1, "connections = 1");
    let other = tls("shop.test", &Trust::File(certificate("authority.pem"))).expect("it is an authority");
    let error = play(&scenario, server(1), Some(other)).expect_err("the name is another");
    assert!(matches!(error, Error::Handshake { .. }) && error.to_string().contains("certificate"), "{error}");
    let file = Trust::File(certificate("server.key"));
    assert!(tls("localhost", &file).is_err(), "a key is no certificate");
}

#[test]
fn a_server_without_tls_is_named_as_such() {
    let scenario = scenario(10, 1, "connections = 1");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        // What is dropped with bytes unread is reset before it can be understood.
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it fits the buffer");
            kept.push(stream);
        }
    });
    let error = play(&scenario, address, Some(anybody())).expect_err("it speaks no TLS");
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
}
