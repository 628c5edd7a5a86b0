//! Whom targets over TLS are trusted by, at the command line.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use results::{RunRecord, Scope};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Place, errors};

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/certificates").join(name)
}

/// By which names a server was asked; none of those who said no name.
type Asked = Arc<Mutex<Vec<Option<String>>>>;

/// A server whose certificate is for `localhost` and 127.0.0.1, by an authority of the tests' own. Its threads end with the process.
fn server() -> (String, Asked) {
    let chain = CertificateDer::pem_file_iter(certificate("server.pem")).expect("it is there");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("they are certificates");
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key);
    let config = Arc::new(config.expect("key and certificate belong together"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, noted) = (Arc::clone(&config), Arc::clone(&noted));
            thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("the configuration is right");
                let mut stream = StreamOwned::new(connection, stream);
                let (mut buffer, mut is_first) = ([0; 4096], true);
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                    if std::mem::take(&mut is_first) {
                        let name = stream.conn.server_name().map(str::to_owned);
                        noted.lock().expect("nobody panics with it").push(name);
                    }
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (format!("https://{address}"), asked)
}

/// The scenario, played over TLS with these arguments: exit code, what was said, and by which name the server was asked.
fn play(arguments: &[&str]) -> (Option<i32>, String, Vec<Option<String>>) {
    let place = Place::new();
    place.target("1s", "");
    let (url, asked) = server();
    let all = [&["run", "target.toml", "--no-report", "--target", &url][..], arguments].concat();
    let output = place.run(&all);
    if let Some(run) = place.runs().pop() {
        let tally = RunRecord::read(run).expect("it has a record").tally(Scope::Run, None);
        assert!(tally.due() > 50 && tally.failed() == 0, "{:?}: {}", tally.failures, errors(&output));
    }
    let asked = asked.lock().expect("nobody panics with it").clone();
    (output.status.code(), errors(&output), asked)
}

fn plays(arguments: &[&str], name: Option<&str>) {
    let (code, told, asked) = play(arguments);
    // A machine that stood still makes the run invalid, which is no fault of TLS's.
    assert!([Some(0), Some(111)].contains(&code), "{told}");
    assert!(!asked.is_empty() && asked.iter().all(|by| by.as_deref() == name), "{asked:?}");
}

fn refused(arguments: &[&str], why: &str) {
    let (code, told, asked) = play(arguments);
    assert_eq!(code, Some(104), "{told}");
    assert!(told.contains(why), "{told}");
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_file_of_authorities_is_trusted_instead_of_the_machines() {
    let authority = certificate("authority.pem");
    let authority = authority.to_str().expect("a path in text");
    // An address is no name, so none is sent.
    plays(&["--ca-file", authority], None);
    plays(&["--ca-file", authority, "--sni", "localhost"], Some("localhost"));
    refused(&["--ca-file", authority, "--sni", "shop.test"], "certificate");
    // Without it, nobody whom this machine trusts vouches for the server.
    refused(&[], "certificate");
}

#[test]
fn everybody_is_trusted_where_that_is_asked_for() {
    plays(&["--insecure"], None);
    plays(&["--insecure", "--sni", "shop.test"], Some("shop.test"));
}

#[test]
fn what_is_no_authority_and_no_name_is_told() {
    let key = certificate("server.key");
    let key = key.to_str().expect("a path in text");
    refused(&["--ca-file", key], "it must hold certificates of authorities in PEM");
    refused(&["--ca-file", "nowhere.pem"], "nowhere.pem: ");
    refused(&["--insecure", "--sni", "no name"], "\"no name\" is no name of a server");
    let place = Place::new();
    place.target("1s", "");
    for more in [&["--insecure"][..], &["--target", "http://127.0.0.1:9", "--sni", "shop.test"]] {
        let output = place.run(&[&["run", "target.toml"][..], more].concat());
        assert_eq!(output.status.code(), Some(104));
        assert!(errors(&output).contains("expected a target over TLS"), "{}", errors(&output));
    }
    let both = place.run(&["run", "target.toml", "--insecure", "--ca-file", key]);
    assert_eq!(both.status.code(), Some(2), "{}", errors(&both));
}
