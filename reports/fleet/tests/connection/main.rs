//! Whom a server lets in, and whom we let be the server.

mod accounts;
mod certificates;

use std::fs;
use std::path::{Path, PathBuf};

use fleet::server::{self, Server};
use fleet::{Error, Link, Options};
use tempfile::TempDir;

/// A server with these arguments and a directory, or none where there is no program.
fn started(arguments: &[&str]) -> Option<(Server, TempDir)> {
    if !server::is_there() {
        return None;
    }
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let server = Server::start(directory.path(), arguments).expect("it starts");
    Some((server, directory))
}

/// A server with this configuration.
fn configured(configuration: &str) -> Option<(Server, TempDir)> {
    let written = tempfile::tempdir().expect("a temporary directory can be made");
    let path = written.path().join("nats.conf");
    fs::write(&path, configuration).expect("it can be written");
    started(&["-c", &path.to_string_lossy()])
}

fn connect(options: &Options) -> Result<Link, Error> {
    let runtime = fleet::runtime().expect("a runtime");
    runtime.block_on(async {
        let link = options.connect("test").await?;
        link.flush().await.map(|()| link)
    })
}

/// The generator's own test has an authority, and a certificate of it for localhost.
fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../loadgen/tests/certificates").join(name)
}

#[test]
fn a_user_is_let_in_by_a_file_and_told_of_it_without_one() {
    let Some((server, directory)) = started(&["--user", "me", "--pass", "hu:sh"]) else { return };
    let refused = connect(&server.options()).expect_err("nobody said who we are").to_string();
    assert!(refused.contains("--nats-credentials names a file"), "{refused}");
    let path = directory.path().join("secret");
    let options = Options { nats_credentials: Some(path.clone()), ..server.options() };
    fs::write(&path, "me:wrong").expect("it can be written");
    let refused = connect(&options).expect_err("a wrong password").to_string();
    assert!(refused.contains("a user that this server knows") && !refused.contains("wrong"), "{refused}");
    fs::write(&path, "me:hu:sh\n").expect("it can be written");
    connect(&options).expect("who we are is known");
}

#[test]
fn a_token_is_let_in() {
    let Some((server, directory)) = started(&["--auth", "t0ken"]) else { return };
    let path = directory.path().join("secret");
    fs::write(&path, "t0ken\n").expect("it can be written");
    connect(&Options { nats_credentials: Some(path), ..server.options() }).expect("the token is known");
}

#[test]
fn a_server_is_trusted_by_its_authority_and_by_nobody_else() {
    let (own, key) = (certificate("server.pem"), certificate("server.key"));
    let (own, key) = (own.to_string_lossy(), key.to_string_lossy());
    let Some((server, directory)) = started(&["--tls", "--tlscert", &own, "--tlskey", &key]) else { return };
    let place = server.place().replace("nats://127.0.0.1", "tls://localhost").parse().expect("a place");
    let options = Options { nats: Some(place), ..Options::default() };
    let refused = connect(&options).expect_err("no authority of this machine's").to_string();
    assert!(refused.starts_with("NATS at tls://localhost:"), "{refused}");
    connect(&Options { nats_ca_file: Some(certificate("authority.pem")), ..options.clone() })
        .expect("it is trusted");
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "").expect("it can be written");
    let refused =
        connect(&Options { nats_ca_file: Some(empty), ..options }).expect_err("an empty file").to_string();
    assert!(refused.contains("found no certificate in it"), "{refused}");
}

#[test]
fn a_server_without_tls_is_refused_where_the_url_asks_for_it() {
    let Some((server, _directory)) = started(&[]) else { return };
    let place = server.place().replace("nats://", "tls://").parse().expect("a place");
    let options = Options { nats: Some(place), ..Options::default() };
    let refused = connect(&options).expect_err("nothing may be said in the clear").to_string();
    assert!(refused.contains("nats:// is for a server without TLS"), "{refused}");
}
