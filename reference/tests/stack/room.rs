//! A machine room for a test, and a plain HTTP client.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reference::client::Stack;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scenarios::Scenario;

/// Nothing in these tests takes as long on a machine that works.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Steps that take next to no time.
pub(crate) const WAIT: &[&str] = &["wait = \"1ms\""];

/// Two application nodes behind a balancer, with a store and an SQL tier. `balancer` and `shop` are further lines of
/// these components; `steps` are those of the one class, `GET /item/N`; `faults` stand at the end of the file.
pub(crate) fn shop(balancer: &str, shop: &str, steps: &[&str], faults: &[&str]) -> Scenario {
    let steps: String = steps.iter().map(|s| format!("[[requests.item.steps]]\n{s}\n")).collect();
    let faults: String =
        faults.iter().map(|f| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\n{f}\n")).collect();
    let text = format!(
        r#"
title = "A shop for a test"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = 2
cores = 2
[hosts.data]
[hosts.db]
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
{balancer}
[components.shop]
kind = "service"
host = "app"
{shop}
[components.objects]
kind = "kv-store"
host = "data"
max_memory = "1MiB"
eviction = "volatile-lru"
[components.archive]
kind = "sql-store"
host = "db"
connections = 4
read = "200us"
write = "200us"
[keyspaces.items]
in = "objects"
keys = 1000
ttl = {{ base = "10m", jitter = "10%" }}
popularity = "uniform"
value = "200B"
prefill = 100
[keyspaces.carts]
in = "objects"
keys = 50
persistent = true
value = "100B"
[requests.item]
path = "/item/{{items}}"
response = "500B"
{steps}
[traffic.shoppers]
to = "balancer"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ item = 1 }}
{faults}
"#
    );
    Scenario::parse(Path::new("test.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Starts it, in processes of the binary.
pub(crate) fn start(scenario: &Scenario) -> Stack {
    Stack::start_hosted(scenario, Path::new(env!("CARGO_BIN_EXE_reference"))).expect("the stack starts")
}

/// A connection to a server; waits for an answer at most as long as [`BOUND`].
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, BOUND)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How many clients a crowd has: 5,000, or fewer where this process may not have so many files open. It says so then, and
/// fails where `REHEARSAL_REQUIRE` names `open-files`.
#[allow(clippy::print_stderr, reason = "a test of less than it is about says so")]
pub(crate) fn crowd_size() -> usize {
    const WANTED: u64 = 5_000;
    /// For everything else that tests have open meanwhile.
    const SPARE: u64 = 1_000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("the soft limit may rise");
    let most = limit.maximum.unwrap_or(u64::MAX);
    let count = WANTED.min(most.saturating_sub(SPARE));
    if count < WANTED {
        let fewer = format!("{count} connections instead of {WANTED}: at most {most} files may be open");
        let required = std::env::var("REHEARSAL_REQUIRE").unwrap_or_default();
        let is_required = required.split(',').any(|name| name == "open-files");
        assert!(!is_required, "{fewer}, though REHEARSAL_REQUIRE names open-files: raise `ulimit -Hn`");
        eprintln!("SKIPPED in part: {fewer} (`ulimit -Hn`)");
    }
    count as usize
}

/// Sends a request without a body.
pub(crate) fn send(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())
}

/// Reads an answer: its status and its body.
pub(crate) fn receive(stream: &mut TcpStream) -> io::Result<(u16, String)> {
    let (head, body) = receive_whole(stream)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Ok((status.expect("a status in the first line"), body))
}

/// Reads an answer: its head and its body.
pub(crate) fn receive_whole(stream: &mut TcpStream) -> io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if Some(body.len()) == length {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            // A read with a limit is interrupted where this process is stopped for a while (signal(7)).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// One request over a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = connect(address)?;
    send(&mut stream, path)?;
    receive(&mut stream)
}

/// The node that an answer names.
pub(crate) fn node(body: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(body).expect("answers are JSON");
    answer["node"].as_str().expect("answers name their node").to_owned()
}

/// A figure of an instance, counted from one.
pub(crate) fn figure(stack: &Stack, component: &str, instance: u32, name: &str) -> f64 {
    let all = stack.stats().expect("the supervisor answers");
    let one = all.iter().find(|s| s.component == component && s.instance == instance);
    one.expect("the instance is listed").metrics[name]
}

/// Looks again and again until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < BOUND, "{what}: not within {BOUND:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// So many deaths are looked at until one of them costs no more than what was in hand: a machine that stands still while a
/// process dies, so that a client is cut off twice, does not do so each time.
pub(crate) const DEATHS: usize = 3;
/// Clients that ask at once while something dies.
pub(crate) const CLIENTS: usize = 8;

/// Has clients ask for these paths, in turn, over standing connections, and begins and ends the first fault, which kills, meanwhile:
/// how many requests it cost.
pub(crate) fn kill_under_load(stack: &Stack, address: SocketAddr, paths: &[&'static str]) -> usize {
    let (over, good) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Of a test that fails meanwhile, they end by themselves.
    let end = Instant::now() + 4 * BOUND;
    let client = |path: &'static str| {
        let mut stream = connect(address).expect("it accepts");
        let mut failed = Vec::new();
        while !over.load(Ordering::Relaxed) && Instant::now() < end {
            let sent = Instant::now();
            send(&mut stream, path).expect("the connection stays open");
            match receive(&mut stream).expect("answered").0 {
                200 => _ = good.fetch_add(1, Ordering::Relaxed),
                _ => failed.push(sent),
            }
        }
        failed
    };
    let answered = |more: usize| {
        let wanted = good.load(Ordering::Relaxed) + more;
        eventually("good answers", || good.load(Ordering::Relaxed) >= wanted);
    };
    let (failed, killing, dead) = thread::scope(|scope| {
        let clients: Vec<_> =
            paths.iter().cycle().take(CLIENTS).map(|path| scope.spawn(|| client(path))).collect();
        answered(100);
        let killing = Instant::now();
        stack.begin_fault(0).expect("killed");
        let dead = Instant::now();
        answered(100);
        stack.end_fault(0).expect("restarted");
        answered(100);
        over.store(true, Ordering::Relaxed);
        let failed = clients.into_iter().flat_map(|client| client.join().expect("a client does not panic"));
        (failed.collect::<Vec<Instant>>(), killing, dead)
    });
    // One request of each client was in hand when the death began. The kernel closes a dying process's connections one by
    // one, so that a client that was cut off can be cut off once more before it is dead.
    let count = failed.len();
    let in_hand = failed.iter().filter(|sent| **sent < killing).count();
    assert!(in_hand <= CLIENTS && count - in_hand <= CLIENTS, "{in_hand} of {count} failed were in hand");
    let later = failed.iter().filter(|sent| **sent > dead).count();
    assert_eq!(later, 0, "{later} of {count} were sent when it was dead");
    count
}
