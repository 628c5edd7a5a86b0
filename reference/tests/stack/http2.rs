//! TLS and HTTP/2 at the client's side: what is passed on, and what clients can not do with it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::origin::{Act, Origin, Proxy, ok, status};
use crate::room::{BOUND, connect};

/// Runs what a client does, within bounds.
fn bounded<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(BOUND, client).await.expect("within bounds") })
}

type Sender = h2::client::SendRequest<Bytes>;

async fn client_over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Sender {
    let (sender, connection) = h2::client::handshake(io).await.expect("the preface is taken");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender
}

async fn client(address: SocketAddr) -> Sender {
    client_over(tokio::net::TcpStream::connect(address).await.expect("the proxy accepts")).await
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://shop.test{path}"))
}

/// Sends a request with a body, where there is one, and reads the answer to its end.
async fn ask(
    sender: &Sender,
    request: http::request::Builder,
    body: Option<Vec<u8>>,
) -> Result<(Response<()>, Vec<u8>), h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (answer, mut stream) = sender.send_request(request.body(()).expect("well-formed"), body.is_none())?;
    if let Some(body) = body {
        // The connection buffers what the window has no room for yet.
        stream.send_data(body.into(), true)?;
    }
    let (head, mut body) = answer.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok((Response::from_parts(head, ()), bytes))
}

#[test]
fn requests_and_answers_of_all_kinds_are_passed_on() {
    let origin = Origin::start(|head| {
        match head.split(' ').nth(1) {
        Some("/big") => ok(&"x".repeat(1 << 20)),
        Some("/chunks") => Act::Answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
        ),
        Some("/head") => Act::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n".to_vec()),
        Some("/none") => Act::Answer(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        Some("/until-close") => Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrest".to_vec()),
        _ => ok("one"),
    }
    });
    let proxy = Proxy::start("http2 = true", &[origin.address]);
    bounded(async {
        let sender = client(proxy.address).await;
        let get = |path| ask(&sender, request(Method::GET, path), None);
        let (answer, body) = get("/plain?a=b").await.expect("answered");
        assert_eq!((answer.status(), &body[..]), (StatusCode::OK, &b"one"[..]));
        assert_eq!(answer.headers()["content-length"], "3");
        assert_eq!(get("/big").await.expect("answered").1.len(), 1 << 20);
        let (answer, body) = get("/chunks").await.expect("answered");
        assert_eq!(body, b"hello");
        assert!(
            ["transfer-encoding", "connection", "x-hop"].iter().all(|n| !answer.headers().contains_key(*n))
        );
        assert_eq!(get("/none").await.expect("answered").0.status(), StatusCode::NO_CONTENT);
        assert_eq!(get("/until-close").await.expect("answered").1, b"rest");
        let (answer, body) = ask(&sender, request(Method::HEAD, "/head"), None).await.expect("answered");
        assert_eq!((answer.headers()["content-length"].as_bytes(), body.len()), (&b"77"[..], 0));
        let post = request(Method::POST, "/post").header("cookie", "a=b").header("cookie", "c=d");
        ask(&sender, post, Some(vec![b'y'; 300_000])).await.expect("answered");
        let sized = request(Method::PUT, "/sized").header("content-length", "4");
        ask(&sender, sized, Some(b"body".to_vec())).await.expect("answered");
        ask(&sender, request(Method::POST, "/empty"), Some(Vec::new())).await.expect("answered");
    });
    let requests = origin.requests();
    let of = |path: &str| requests.iter().find(|r| r.contains(&format!(" {path} "))).expect("it was asked");
    let plain = of("/plain?a=b");
    assert!(plain.starts_with("GET /plain?a=b HTTP/1.1\r\nhost: shop.test\r\n"), "{plain}");
    assert!(plain.contains("x-forwarded-for: 127.0.0.1\r\n") && !plain.contains("connection"), "{plain}");
    let post = of("/post");
    assert!(
        post.contains("cookie: a=b; c=d\r\n") && post.contains("transfer-encoding: chunked\r\n"),
        "{}",
        &post[..300]
    );
    assert_eq!(post.matches('y').count(), 300_000);
    assert!(of("/sized").ends_with("\r\n\r\nbody"));
    // HTTP/1.1 is understood at the same door.
    assert_eq!(status(&proxy.tell(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), "200");
    assert_eq!(status(&proxy.tell(b"PRI * HTTP/2.1\r\nHost: h\r\nConnection: close\r\n\r\n")), "505");
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let origin = Origin::start(|head| {
        if head.contains("/slow") {
            std::thread::sleep(Duration::from_millis(300));
        }
        ok("one")
    });
    let proxy = Proxy::start("http2 = true", &[origin.address]);
    bounded(async {
        let sender = client(proxy.address).await;
        // From the first answer on a client knows how many streams it may have.
        ask(&sender, request(Method::GET, "/"), None).await.expect("answered");
        let began = Instant::now();
        let mut all = Vec::new();
        for i in 0..150 {
            let (sender, path) = (sender.clone(), format!("/slow/{i}"));
            all.push(tokio::spawn(async move { ask(&sender, request(Method::GET, &path), None).await }));
        }
        for one in all {
            let (answer, body) = one.await.expect("no panic").expect("answered");
            assert_eq!((answer.status(), &body[..]), (StatusCode::OK, &b"one"[..]));
        }
        // One after another they would take 45 seconds.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    });
}

/// A certificate for loopback with its key, as files; and who trusts it.
fn certificate(directory: &std::path::Path, http2: bool) -> (String, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key) = (directory.join("shop.pem"), directory.join("shop.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let settings = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\" }}\nhttp2 = {http2}",
        certificate.display(),
        key.display()
    );
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it is one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("the provider has them").with_root_certificates(roots).with_no_client_auth();
    (settings, Arc::new(config))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").expect("an address is one")
}

#[test]
fn tls_ends_here_and_clients_choose_what_they_speak_in_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (settings, config) = certificate(directory.path(), true);
    let origin =
        Origin::start(|head| if head.contains("/big") { ok(&"x".repeat(1 << 21)) } else { ok("one") });
    let proxy = Proxy::start(&settings, &[origin.address]);
    // A client that says nothing of HTTP/2.
    let connection = ClientConnection::new(Arc::clone(&config), name()).expect("a client");
    let mut stream = StreamOwned::new(connection, connect(proxy.address).expect("the proxy accepts"));
    for _ in 0..2 {
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
        let mut answer = vec![0; 256];
        let count = stream.read(&mut answer).expect("answered");
        let text = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("one"), "{text}");
    }
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it ends in order");
    assert!(answer.len() > 1 << 20, "{}", answer.len());
    // One that does.
    bounded(async {
        let mut config = (*config).clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = tokio::net::TcpStream::connect(proxy.address).await.expect("the proxy accepts");
        let stream = TlsConnector::from(Arc::new(config)).connect(name(), stream).await.expect("trusted");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let sender = client_over(stream).await;
        let (answer, body) = ask(&sender, request(Method::GET, "/b"), None).await.expect("answered");
        assert_eq!((answer.status(), &body[..]), (StatusCode::OK, &b"one"[..]));
    });
    // And one that speaks no TLS at all.
    assert!(!proxy.tell(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP"));
}

#[test]
fn without_files_a_certificate_is_made() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("tls = {}", &[origin.address]);
    let directory = tempfile::tempdir().expect("a directory");
    let (_, config) = certificate(directory.path(), false);
    let connection = ClientConnection::new(config, name()).expect("a client");
    let mut stream = StreamOwned::new(connection, connect(proxy.address).expect("the proxy accepts"));
    let error = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect_err("nobody vouches for it");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let scenario = crate::room::shop(
        "tls = { certificate = \"no-such.pem\", key = \"no-such.key\" }",
        "workers = 4",
        crate::room::WAIT,
        &[],
    );
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(scenario.source.text.as_bytes()).expect("written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reference"));
    command.arg("proxy").arg(file.path()).args([
        "balancer",
        "--listen",
        "127.0.0.1:0",
        "--to",
        "127.0.0.1:9",
    ]);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("no-such.pem"), "{said}");
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A client that sends frames byte by byte as a test has them.
struct Raw(TcpStream);

impl Raw {
    fn new(address: SocketAddr) -> Self {
        let mut stream = connect(address).expect("the proxy accepts");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
        let mut raw = Self(stream);
        raw.send(SETTINGS, 0, 0, &[]).expect("sent");
        raw
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&frame(kind, flags, stream, payload))
    }

    /// The kinds of the frames that come until one of this kind, or until the end, and that one's payload.
    fn until(&mut self, kind: u8) -> (Vec<u8>, Vec<u8>) {
        let mut kinds = Vec::new();
        let mut head = [0; 9];
        while self.0.read_exact(&mut head).is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if self.0.read_exact(&mut payload).is_err() {
                break;
            }
            kinds.push(head[3]);
            if head[3] == kind {
                return (kinds, payload);
            }
        }
        (kinds, Vec::new())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field that nobody's table remembers (RFC 7541, section 6.2.2); names and values are shorter than 127 bytes.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0, name.len() as u8], name, &[value.len() as u8], value].concat()
}

/// `GET http://h/` with these further fields.
fn get(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84];
    block.extend(field(b":authority", b"h"));
    block.extend(fields.iter().flat_map(|(name, value)| field(name, value)));
    block
}

fn well(proxy: &Proxy) {
    bounded(async {
        let sender = client(proxy.address).await;
        assert_eq!(ask(&sender, request(Method::GET, "/"), None).await.expect("answered").1, b"one");
    });
}

#[test]
fn who_resets_streams_as_fast_as_he_opens_them_is_sent_away() {
    let origin = Origin::start(|head| {
        if head.contains("x-attack") {
            std::thread::sleep(Duration::from_millis(200));
        }
        ok("one")
    });
    let proxy = Proxy::start("http2 = true", &[origin.address]);
    let mut raw = Raw::new(proxy.address);
    let mut bytes = Vec::new();
    for i in 0..5_000_u32 {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, &get(&[(b"x-attack", b"1")])));
        bytes.extend(frame(RESET, 0, 2 * i + 1, &8_u32.to_be_bytes()));
    }
    // It may be sent away in the middle.
    let _ = raw.0.write_all(&bytes);
    let (_, payload) = raw.until(GOAWAY);
    assert_eq!(payload.get(4..8), Some(&11_u32.to_be_bytes()[..]), "enhance your calm");
    well(&proxy);
    let attacks = origin.requests().iter().filter(|request| request.contains("x-attack")).count();
    assert!(attacks <= 110, "{attacks} requests reached the server");
}

#[test]
fn endless_fields_are_not_collected() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("http2 = true", &[origin.address]);
    well(&proxy);
    let before = proxy.peak_memory_kib();
    let mut raw = Raw::new(proxy.address);
    raw.send(HEADERS, END_STREAM, 1, &get(&[])).expect("sent");
    let many: Vec<u8> = (0..150).flat_map(|_| field(b"x-endless", &[b'x'; 90])).collect();
    // 200 MB in all, if it listened.
    let sent = (0..14_000).take_while(|_| raw.send(CONTINUATION, 0, 1, &many).is_ok()).count();
    let (kinds, _) = raw.until(GOAWAY);
    assert!(sent < 14_000 || kinds.contains(&GOAWAY), "{sent} frames were taken: {kinds:?}");
    let grown = proxy.peak_memory_kib() - before;
    assert!(grown < 8 << 10, "{grown} KiB more");
    assert!(origin.requests().len() <= 1);
    well(&proxy);
}

#[test]
fn too_many_fields_are_refused_and_the_connection_stays() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("http2 = true", &[origin.address]);
    bounded(async {
        let sender = client(proxy.address).await;
        for (count, size) in [(100, 100), (10, 10_000)] {
            let mut large = request(Method::GET, "/large");
            for i in 0..count {
                large = large.header(format!("x-{i}"), "y".repeat(size));
            }
            if let Ok((answer, _)) = ask(&sender, large, None).await {
                assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            }
        }
    });
    assert!(origin.requests().is_empty());
    well(&proxy);
}

#[test]
fn what_would_be_another_request_in_http_1_is_refused() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("http2 = true", &[origin.address]);
    let attacks: [&[(&[u8], &[u8])]; 7] = [
        &[(b"transfer-encoding", b"chunked")],
        &[(b"connection", b"close")],
        &[(b"x-a", b"b\r\nx-smuggled: 1")],
        &[(b"x-a", b"b\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")],
        &[(b"x-a: b\r\nx-smuggled", b"1")],
        &[(b"content-length", b"10")],
        &[(b":path", b"/smuggled HTTP/1.1\r\nx: y")],
    ];
    for fields in attacks {
        let mut raw = Raw::new(proxy.address);
        raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &get(fields)).expect("sent");
        let shown = String::from_utf8_lossy(fields[0].1).into_owned();
        // A reset stream, an end of the connection, or an answer that refuses it.
        let (kinds, _) = raw.until(RESET);
        assert!(kinds.contains(&RESET) || kinds.contains(&GOAWAY), "{shown:?}: {kinds:?}");
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
    well(&proxy);
}

#[test]
fn who_reads_nothing_costs_no_more_than_a_window() {
    let origin = Origin::start(|_| ok(&"x".repeat(8 << 20)));
    let proxy = Proxy::start("http2 = true", &[origin.address]);
    let mut raw = Raw::new(proxy.address);
    let before = proxy.peak_memory_kib();
    for i in 0..50_u32 {
        raw.send(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, &get(&[])).expect("sent");
    }
    let start = Instant::now();
    while origin.requests().len() < 50 {
        assert!(start.elapsed() < BOUND, "they are asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let grown = proxy.peak_memory_kib() - before;
    // 400 MB were asked for.
    assert!(grown < 40 << 10, "{grown} KiB more");
}
