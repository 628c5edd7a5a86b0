//! What a command line says of the connection. Secrets come from files: a command line stands in records and in the lists of
//! processes.

use std::error::Error as _;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use async_nats::rustls;
use async_nats::rustls::crypto::ring;
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr, ServerError};

use crate::error::Error;
use crate::link::Link;

/// A server that does not answer in this time is not there.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection on which nothing comes for two of these is taken for broken.
const PING: Duration = Duration::from_secs(2);
/// Files with secrets are short.
const MOST_SECRET_BYTES: u64 = 64 << 10;
/// What stands in a credentials file of `nsc`.
const JWT_MARK: &str = "BEGIN NATS USER JWT";

/// Where the NATS server is, who we are to it, and whom we trust.
// Without a group of its own: programs have options of that name, too.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// The NATS server over which the machines meet, such as nats://10.0.0.5:4222 or tls://nats.example:4222
    #[arg(long, value_name = "URL", help_heading = "NATS", value_parser = str::parse::<Place>)]
    pub nats: Option<Place>,
    /// Who we are to it: a file of nsc's (.creds), or one with user:password or a token in its only line
    #[arg(long, value_name = "FILE", help_heading = "NATS", requires = "nats")]
    pub nats_credentials: Option<PathBuf>,
    /// Trusts the authorities of this file, in PEM, instead of the machine's
    #[arg(long, value_name = "FILE", help_heading = "NATS", requires = "nats")]
    pub nats_ca_file: Option<PathBuf>,
    /// Our own certificate, in PEM, for a server that asks for one
    #[arg(long, value_name = "FILE", help_heading = "NATS", requires_all = ["nats", "nats_key"])]
    pub nats_certificate: Option<PathBuf>,
    /// The key of our certificate, in PEM
    #[arg(long, value_name = "FILE", help_heading = "NATS", requires_all = ["nats", "nats_certificate"])]
    pub nats_key: Option<PathBuf>,
}

/// Where a server is: `nats://host:port`, or `tls://host:port` where nothing may be said in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    address: ServerAddr,
    text: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected nats://host:port or tls://host:port";
        if !text.starts_with("nats://") && !text.starts_with("tls://") {
            return Err(format!("found {text:?}, {expected}"));
        }
        // A password here would stand in records and in the list of processes; it is not repeated either.
        if text.contains('@') {
            return Err(format!(
                "found a user in the URL, {expected}; hint: write user:password into a file, for --nats-credentials"
            ));
        }
        let address = text.parse::<ServerAddr>().map_err(|error| format!("{error}, {expected}"))?;
        if address.host().is_empty() {
            return Err(format!("found no host in {text:?}, {expected}"));
        }
        Ok(Self { address, text: text.to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A file that names who we are.
#[derive(Debug, PartialEq, Eq)]
enum Secret {
    Jwt(String),
    User(String, String),
    Token(String),
}

impl Options {
    /// Connects under a name that the server's own tools show.
    ///
    /// # Errors
    /// Where no server was named, none is there, it does not want us, or a file cannot be used.
    pub async fn connect(&self, name: &str) -> Result<Link, Error> {
        let place = self.nats.clone().ok_or(Error::Nowhere)?;
        // One provider of cryptography for all of a program; one that was chosen before is as good.
        let _ = ring::default_provider().install_default();
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(PATIENCE)
            .ping_interval(PING)
            .request_timeout(Some(PATIENCE));
        if let Some(path) = &self.nats_credentials {
            options = match secret(path)? {
                Secret::Jwt(text) => {
                    options.credentials(&text).map_err(|error| unfit(path, error.to_string(), CREDENTIALS))?
                }
                Secret::User(user, password) => options.user_and_password(user, password),
                Secret::Token(token) => options.token(token),
            };
        }
        if let Some(path) = &self.nats_ca_file {
            holds(path, CERTIFICATE)?;
            options = options.add_root_certificates(path.clone());
        }
        if let (Some(certificate), Some(key)) = (&self.nats_certificate, &self.nats_key) {
            holds(certificate, CERTIFICATE)?;
            holds(key, KEY)?;
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        // The client takes tls:// for a wish of the URL's; said so, nothing is sent in the clear to a server that only offers it.
        options = options.require_tls(place.text.starts_with("tls://"));
        match options.connect(place.address.clone()).await {
            Ok(client) => Ok(Link::new(client, place)),
            Err(error) => Err(Error::Unreachable {
                place: place.to_string(),
                problem: error.to_string(),
                hint: self.hint(&error),
            }),
        }
    }

    /// What to do about a server that cannot be reached, or does not want us.
    fn hint(&self, error: &ConnectError) -> &'static str {
        match error.kind() {
            ConnectErrorKind::Dns | ConnectErrorKind::ServerParse => "check the host's name",
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                match self.nats_credentials {
                    None => "--nats-credentials names a file that says who you are",
                    Some(_) => "the file of --nats-credentials must be of a user that this server knows",
                }
            }
            ConnectErrorKind::Tls => TLS,
            ConnectErrorKind::Io if self.is_of_tls(error) => TLS,
            _ => "start nats-server there first, and check host, port, and whether it asks for TLS (tls://)",
        }
    }

    /// Whether a connection ended for what TLS asks. A server that wants a certificate says so after the client takes the handshake for
    /// done; where it hangs up before that is read, all that is seen is an end.
    fn is_of_tls(&self, error: &ConnectError) -> bool {
        let Some(cause) = error.source() else { return false };
        let ended = match cause.downcast_ref::<io::Error>() {
            Some(cause) if cause.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) => return true,
            Some(cause) => matches!(
                cause.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
            ),
            None => !cause.is::<ServerError>(),
        };
        ended && self.nats.as_ref().is_some_and(|place| place.text.starts_with("tls://"))
    }
}

const CREDENTIALS: &str =
    "it must be a credentials file of nsc's, or have user:password or a token in its only line";
/// What a server over TLS and a client may lack of each other.
const TLS: &str = "--nats-ca-file trusts the authorities of a file; --nats-certificate and --nats-key are ours, for a server that asks \
                   for one; nats:// is for a server without TLS";

/// What a file in PEM is to hold, and how that is marked there.
struct Held {
    what: &'static str,
    marks: &'static [&'static str],
    hint: &'static str,
}

const CERTIFICATE: Held =
    Held { what: "certificate", marks: &["BEGIN CERTIFICATE"], hint: "it must hold certificates in PEM" };
const KEY: Held = Held {
    what: "private key",
    marks: &["BEGIN PRIVATE KEY", "BEGIN RSA PRIVATE KEY", "BEGIN EC PRIVATE KEY"],
    hint: "it must hold the key of the certificate in PEM, without a password",
};

fn unfit(path: &Path, problem: String, hint: &'static str) -> Error {
    Error::File { path: path.to_owned(), problem, hint }
}

/// Reads a file with a secret; what is in it is never repeated.
fn secret(path: &Path) -> Result<Secret, Error> {
    let wrong = |problem: String| unfit(path, problem, CREDENTIALS);
    let size = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MOST_SECRET_BYTES {
        return Err(wrong(format!("found {size} bytes, expected at most {MOST_SECRET_BYTES}")));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    if text.contains(JWT_MARK) {
        return Ok(Secret::Jwt(text));
    }
    let line = text.trim();
    match (line.lines().count(), line.split_once(':')) {
        (1, Some((user, password))) => Ok(Secret::User(user.to_owned(), password.to_owned())),
        (1, None) => Ok(Secret::Token(line.to_owned())),
        (lines, _) => Err(wrong(format!("found {lines} lines, expected one"))),
    }
}

/// Whether a file can be one of these: the client itself takes an empty one for nobody to trust, in silence, and names no file that it
/// cannot read. What is in it is never repeated.
fn holds(path: &Path, held: Held) -> Result<(), Error> {
    let Held { what, marks, hint } = held;
    let text = fs::read_to_string(path).map_err(|error| unfit(path, error.to_string(), hint))?;
    match marks.iter().any(|mark| text.contains(mark)) {
        true => Ok(()),
        false => Err(unfit(path, format!("found no {what} in it"), hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_without_a_user() {
        let place = |text: &str| text.parse::<Place>();
        assert_eq!(place("nats://127.0.0.1:4222").expect("a place").to_string(), "nats://127.0.0.1:4222");
        assert!(place("tls://nats.example").is_ok());
        for wrong in ["127.0.0.1:4222", "http://127.0.0.1", "nats://", "nats://a:b:c"] {
            let refused = place(wrong).expect_err(wrong);
            assert!(refused.contains("expected nats://host:port"), "{refused}");
        }
        let refused = place("nats://me:hush@127.0.0.1").expect_err("a password in a record");
        assert!(refused.contains("--nats-credentials") && !refused.contains("hush"), "{refused}");
    }

    #[test]
    fn a_secret_is_read_by_its_form_and_never_repeated() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join("secret");
        let read = |text: &str| {
            fs::write(&path, text).expect("it can be written");
            secret(&path)
        };
        let user = Secret::User("me".to_owned(), "hu:sh".to_owned());
        assert_eq!(read("me:hu:sh\n").expect("a user"), user);
        assert_eq!(read("t0ken").expect("a token"), Secret::Token("t0ken".to_owned()));
        assert!(matches!(read("-----BEGIN NATS USER JWT-----\nx\n").expect("a jwt"), Secret::Jwt(_)));
        for wrong in ["", "me:hush\nyou:loud\n"] {
            let refused = read(wrong).expect_err("neither").to_string();
            assert!(refused.contains("expected one") && !refused.contains("hush"), "{refused}");
        }
        let long = "x".repeat(1 << 17);
        assert!(read(&long).expect_err("too long").to_string().contains("expected at most 65536"));
    }

    #[test]
    fn a_server_that_is_not_there_is_told_with_its_place() {
        // Nobody listens on a port that was free a moment ago.
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let place = format!("nats://127.0.0.1:{port}").parse().expect("a place");
        let options = Options { nats: Some(place), ..Options::default() };
        let runtime = crate::runtime().expect("a runtime");
        let refused = runtime.block_on(options.connect("test")).expect_err("nobody is there").to_string();
        assert!(refused.starts_with(&format!("NATS at nats://127.0.0.1:{port}: ")), "{refused}");
        assert!(refused.contains("start nats-server there first"), "{refused}");
        let nowhere = runtime.block_on(Options::default().connect("test")).expect_err("nowhere");
        assert!(matches!(nowhere, Error::Nowhere));
    }
}
