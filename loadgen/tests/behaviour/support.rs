//! Small servers with chosen manners, scenarios for them, and a run that leaves its record in a temporary directory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use loadgen::{Address, Entries, Entry, Error, Job, Options, Snapshot};
use results::{Failure, Provenance, RunRecord, Scope};
use scenarios::Scenario;

/// What a server does with one request: writes what it likes; `false` closes the connection.
pub(crate) type Manner = dyn Fn(&mut TcpStream, u64) -> bool + Send + Sync;

/// A server in a thread of this process. Its threads end with the process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Server {
    /// A server that is shown each request, without a body.
    pub(crate) fn noting(manner: impl Fn(&mut TcpStream, &str) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let manner = Arc::new(manner);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let manner = Arc::clone(&manner);
                thread::spawn(move || {
                    stream.set_nodelay(true).expect("a connected socket takes options");
                    while let Some(request) = read_request(&mut stream) {
                        if !manner(&mut stream, &request) {
                            break;
                        }
                    }
                });
            }
        });
        Self { address }
    }

    pub(crate) fn start(manner: impl Fn(&mut TcpStream, u64) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let counter = Arc::new(AtomicU64::new(0));
        let manner: Arc<Manner> = Arc::new(manner);
        thread::spawn(move || accept(&listener, &manner, &counter));
        Self { address }
    }
}

fn accept(listener: &TcpListener, manner: &Arc<Manner>, counter: &Arc<AtomicU64>) {
    for stream in listener.incoming().flatten() {
        let (manner, counter) = (Arc::clone(manner), Arc::clone(counter));
        thread::spawn(move || {
            let mut stream = stream;
            stream.set_nodelay(true).expect("a connected socket takes options");
            while read_request(&mut stream).is_some() {
                let number = counter.fetch_add(1, Ordering::Relaxed);
                if !manner(&mut stream, number) {
                    break;
                }
            }
        });
    }
}

/// Reads a request without a body; none at the connection's end.
pub(crate) fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8(request).ok()
}

/// Reads a request: its head, and the body that its length announces.
pub(crate) fn read_with_body(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut body = vec![0; field(&head, "content-length").parse().expect("a length")];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

/// A field of a request.
pub(crate) fn field(request: &str, name: &str) -> String {
    let start = format!("{name}: ");
    let line = request.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in {request}")).to_owned()
}

/// A good answer.
pub(crate) fn answer(stream: &mut TcpStream) -> bool {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").is_ok()
}

/// A server in a process of its own, which can be stopped and which ends with this one.
pub(crate) struct ServerProcess {
    pub(crate) address: SocketAddr,
    child: Child,
}

const SERVE: &str = "REHEARSAL_TEST_SERVE";

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Plain,
    #[cfg(feature = "tls")]
    Tls,
    #[cfg(feature = "http2")]
    Http2,
}

impl Protocol {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Plain,
        #[cfg(feature = "tls")]
        Self::Tls,
        #[cfg(feature = "http2")]
        Self::Http2,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "HTTP/1.1",
            #[cfg(feature = "tls")]
            Self::Tls => "HTTP/1.1 over TLS",
            #[cfg(feature = "http2")]
            Self::Http2 => "HTTP/2",
        }
    }

    /// A good server in this process.
    fn serve(self) -> SocketAddr {
        match self {
            Self::Plain => Server::start(|stream, _| answer(stream)).address,
            #[cfg(feature = "tls")]
            Self::Tls => crate::tls::server(5),
            #[cfg(feature = "http2")]
            Self::Http2 => {
                use crate::http2_server::{Act, Http2Server};
                Http2Server::start(|_, _| Act::good()).address
            }
        }
    }

    /// Where its requests go.
    pub(crate) fn entries(self, address: SocketAddr) -> Entries {
        let entries = entries(address);
        match self {
            #[cfg(feature = "tls")]
            Self::Tls => Entries { tls: Some(crate::tls::anybody()), ..entries },
            _ => entries,
        }
    }
}

impl ServerProcess {
    /// Starts this test binary again, in which the test below then serves.
    pub(crate) fn start(protocol: Protocol) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args([
                "--exact",
                "support::serves_when_it_is_the_helper_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(SERVE, protocol.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let output = child.stdout.take().expect("the output is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let found = lines.find_map(|line| line.split_once("listens at ")?.1.trim().parse().ok());
        Self { address: found.expect("the helper process says where it listens"), child }
    }

    /// nginx in one process on the second processor: first come, first served, and the generator's processor is left alone. Its files
    /// are in this directory, which has to outlast it.
    pub(crate) fn nginx(protocol: Protocol, directory: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = free.local_addr().expect("a bound socket has an address");
        drop(free);
        let speaks = match protocol {
            Protocol::Plain => "",
            #[cfg(feature = "tls")]
            Protocol::Tls => " ssl",
            #[cfg(feature = "http2")]
            Protocol::Http2 => " http2",
        };
        let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
        let (site, certificates) = (directory.display(), certificates.display());
        let text = format!(
            "daemon off; master_process off; pid {site}/nginx.pid; error_log /dev/null;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {site}/body; proxy_temp_path {site}/proxy; fastcgi_temp_path {site}/fastcgi;
  uwsgi_temp_path {site}/uwsgi; scgi_temp_path {site}/scgi;
  ssl_certificate {certificates}/server.pem; ssl_certificate_key {certificates}/server.key;
  server {{ listen {address}{speaks}; location / {{ return 200 'hello'; }} }}
}}
"
        );
        let configuration = directory.join("nginx.conf");
        std::fs::write(&configuration, text).expect("it is writable");
        let mut child = Command::new("taskset")
            .args(["-c", "1", "nginx", "-e", "/dev/null", "-p"])
            .arg(directory)
            .arg("-c")
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("taskset is there");
        // Nothing tells when it listens.
        while TcpStream::connect(address).is_err() {
            let ended = child.try_wait().expect("it was started here");
            assert!(ended.is_none(), "nginx on the second processor: {ended:?}");
            thread::sleep(Duration::from_millis(10));
        }
        Self { address, child }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("the helper process is there until it is dropped");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serves_when_it_is_the_helper_process() {
    let Ok(name) = std::env::var(SERVE) else { return };
    let protocol = Protocol::ALL.iter().find(|protocol| protocol.name() == name).expect("a known protocol");
    let address = protocol.serve();
    let mut out = std::io::stdout().lock();
    writeln!(out, "listens at {address}").and_then(|()| out.flush()).expect("the parent reads this");
    // Whoever started it holds the other end of its input.
    let _ = std::io::stdin().read(&mut [0]);
}

/// A scenario of one class, `rate` requests a second for `seconds` s, evenly spaced unless the further lines of its
/// traffic table say otherwise.
pub(crate) fn scenario(rate: u32, seconds: u32, traffic: &str) -> Scenario {
    let arrivals = if traffic.contains("arrivals") { "" } else { "arrivals = \"uniform\"" };
    let executor = "executor = \"constant-arrival-rate\"\nmix = { product = 1 }";
    scenario_of(seconds, &format!("{executor}\nrate = \"{rate}/s\"\n{arrivals}\n{traffic}"), "", "")
}

/// A scenario of one class with these further lines in its traffic and in its class, and these further tables.
pub(crate) fn scenario_of(seconds: u32, traffic: &str, class: &str, tables: &str) -> Scenario {
    let text = text_of(seconds, traffic, class, tables);
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    loadgen::supports::check(&scenario).unwrap_or_else(|problems| panic!("{problems}"));
    scenario
}

/// The text of such a scenario.
pub(crate) fn text_of(seconds: u32, traffic: &str, class: &str, tables: &str) -> String {
    format!(
        r#"
title = "A test"
[run]
duration = "{seconds}s"
[hosts.app]
cores = 1
[components.shop]
kind = "service"
host = "app"
workers = 8
backlog = 100
[requests.product]
path = "/product"
steps = [{{ work = "1ms" }}]
{class}
[traffic.shops]
to = "shop"
{traffic}
{tables}
"#
    )
}

/// Every request of a scenario with one traffic goes to one address.
pub(crate) fn entries(address: SocketAddr) -> Entries {
    entries_at(&[(address.into(), &address.to_string())])
}

/// Every request of a scenario with one traffic goes to one of these, which have these names.
pub(crate) fn entries_at(addresses: &[(Address, &str)]) -> Entries {
    let entry =
        |(address, host): &(Address, &str)| Entry { address: address.clone(), host: (*host).to_owned() };
    let instances = addresses.iter().map(entry).collect();
    Entries { by_traffic: vec![instances], base_path: String::new(), tls: None }
}

/// Plays a scenario against an address.
pub(crate) fn play(scenario: &Scenario, address: SocketAddr, options: Options) -> RunRecord {
    let stop = AtomicBool::new(false);
    play_until(scenario, address, options, &stop, &mut |_| {})
}

pub(crate) fn play_until(
    scenario: &Scenario,
    address: SocketAddr,
    options: Options,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Snapshot),
) -> RunRecord {
    play_at(scenario, &entries(address), options, stop, observe)
}

pub(crate) fn play_at(
    scenario: &Scenario,
    entries: &Entries,
    options: Options,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Snapshot),
) -> RunRecord {
    try_at(scenario, entries, options, stop, observe).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, where there may be no run.
pub(crate) fn try_at(
    scenario: &Scenario,
    entries: &Entries,
    options: Options,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<RunRecord, Error> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let provenance = Provenance::here("loadgen test");
    let job = Job { scenario, entries, options, directory: directory.path(), provenance, stop };
    loadgen::run(job, None, observe)
}

/// Plays a scenario against a socket in the file system.
pub(crate) fn play_at_path(scenario: &Scenario, path: &Path) -> RunRecord {
    let entries = entries_at(&[(Address::Unix(path.to_owned()), "localhost")]);
    play_at(scenario, &entries, Options::default(), &AtomicBool::new(false), &mut |_| {})
}

/// A socket in the file system whose backlog has room for one.
pub(crate) fn listening_for_one(path: &Path) -> UnixListener {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let descriptor = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("sockets can be made");
    bind(&descriptor, &SocketAddrUnix::new(path).expect("a short path")).expect("the directory is new");
    listen(&descriptor, 1).expect("a bound socket listens");
    UnixListener::from(descriptor)
}

/// A server that counts its connections.
pub(crate) fn counting() -> (SocketAddr, Arc<AtomicU64>) {
    counting_at(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A server at this address that counts its connections.
pub(crate) fn counting_at(address: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind(address).expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let accepted = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&accepted);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || while read_request(&mut stream).is_some() && answer(&mut stream) {});
        }
    });
    (address, accepted)
}

/// Planned, good and failed requests of a run, warm-up included.
pub(crate) fn counts(record: &RunRecord) -> (u64, u64, u64) {
    let all = record.tally(Scope::Run, None);
    (all.due(), all.ok, all.failed())
}

/// Failures of one kind.
pub(crate) fn failures(record: &RunRecord, kind: Failure) -> u64 {
    record.tally(Scope::Run, None).failures[kind.index()]
}

/// How many requests a scenario plans.
pub(crate) fn planned(scenario: &Scenario) -> u64 {
    scenarios::plan::Plan::new(scenario).requests().count() as u64
}

/// Waits long enough for a client to notice that nothing comes.
pub(crate) fn silence() {
    thread::sleep(Duration::from_secs(3600));
}
