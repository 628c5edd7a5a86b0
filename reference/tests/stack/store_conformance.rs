//! The store held against a real redis-server: one trace of keys, played to both batch by batch, so that their clocks, which
//! tick in seconds, see the same.
//!
//! Skipped with a message where there is no redis-server, unless `REHEARSAL_REQUIRE` names it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::Connection;
use scenarios::memory::{record_bytes, table_bytes};
use scenarios::plan::zipf::Zipf;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

use crate::room::{BOUND, shop, start};

const TRACE: Purpose = Purpose::named("store-conformance");
const BATCH: usize = 100;
const KEYS: u64 = 100_000;
/// Keys for which there is room.
const ROOM: u64 = 10_000;
const REQUESTS: usize = 200_000;
/// Requests a second: the clocks' ticks must mean the same on a slow machine.
const RATE: f64 = 60_000.0;
const VALUE_BYTES: u64 = 100;
const NAME_BYTES: u64 = 9;

/// Two comparisons at a time: with more, a small machine gives the servers too little of itself to keep their clocks' pace.
static GATES: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

/// Waits for the turn of a comparison. Another one that failed is no reason not to make this one.
fn pass(gate: usize) -> MutexGuard<'static, ()> {
    GATES[gate].lock().unwrap_or_else(PoisonError::into_inner)
}

/// A redis-server of our own.
pub(crate) struct Real {
    process: Child,
    _directory: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether a program must be there.
pub(crate) fn is_required(program: &str) -> bool {
    std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name == program))
}

#[allow(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn real(options: &[&str]) -> Option<Real> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The port is free when we look; where somebody else takes it, the server says so by dying.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let process = Command::new("redis-server")
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(directory.path())
        .args(["--latency-tracking", "no"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    match process {
        Ok(process) => Some(Real { process, _directory: directory, address }),
        Err(error) => {
            assert!(!is_required("redis-server"), "redis-server: {error}");
            println!("SKIPPED: there is no redis-server: {error}");
            None
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> Connection {
    let client = redis::Client::open(format!("redis://{address}")).expect("an address");
    let start = Instant::now();
    loop {
        match client.get_connection() {
            Ok(connection) => return connection,
            Err(error) => assert!(start.elapsed() < BOUND, "{error}"),
        }
        sleep(Duration::from_millis(10));
    }
}

/// A figure of `INFO`.
pub(crate) fn figure(connection: &mut Connection, name: &str) -> u64 {
    let text: String = redis::cmd("INFO").query(connection).expect("INFO");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("INFO has no {name}"))
}

fn configure(connection: &mut Connection, name: &str, value: &str) {
    let _: () = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query(connection).expect(name);
}

fn name(key: u64) -> String {
    format!("k:{:07}", key + 1_000_000)
}

/// How long a key lives after the n-th write.
type Lifetime = fn(u64, u64) -> Option<u64>;

/// All live long, but every other one for as short as eviction lets it anyway.
fn some_short(key: u64, n: u64) -> Option<u64> {
    Some(if key.is_multiple_of(2) { short(key, n).unwrap_or(0) } else { 86_400_000 })
}

/// All live for 0.2 to 0.6 seconds.
fn short(_: u64, n: u64) -> Option<u64> {
    Some(200 + n * 7919 % 400)
}

/// Every other key has none.
fn half_endless(key: u64, n: u64) -> Option<u64> {
    if key.is_multiple_of(2) { None } else { some_short(key / 2, n) }
}

/// A day.
fn long(_: u64, _: u64) -> Option<u64> {
    Some(86_400_000)
}

/// A day for every other key, the others for ever.
fn half_long(key: u64, _: u64) -> Option<u64> {
    (!key.is_multiple_of(2)).then_some(86_400_000)
}

/// Between 200 and 1,000 seconds.
fn various(_: u64, n: u64) -> Option<u64> {
    Some(200_000 + n * 7919 % 800_000)
}

fn set(connection: &mut Connection, keys: &[u64], lifetime: Lifetime, written: u64) {
    if keys.is_empty() {
        return;
    }
    let mut pipe = redis::pipe();
    let value = "v".repeat(VALUE_BYTES as usize);
    for (n, key) in (written..).zip(keys) {
        pipe.cmd("SET").arg(name(*key)).arg(&value);
        if let Some(millis) = lifetime(*key, n) {
            pipe.arg("PX").arg(millis);
        }
        pipe.ignore();
    }
    let _: () = pipe.query(connection).expect("SETs");
}

/// Reads keys; those that were missed.
fn get(connection: &mut Connection, keys: &[u64]) -> Vec<u64> {
    let mut pipe = redis::pipe();
    keys.iter().for_each(|key| {
        pipe.cmd("GET").arg(name(*key));
    });
    let values: Vec<Option<Vec<u8>>> = pipe.query(connection).expect("GETs");
    keys.iter().zip(values).filter(|(_, value)| value.is_none()).map(|(key, _)| *key).collect()
}

/// Plays the trace to both, at its pace.
fn play(both: &mut [Connection; 2], written: u64, lifetime: Lifetime) {
    let zipf = Zipf::new(KEYS, 1.0);
    let mut stream = Stream::new(Seed(1), TRACE, 0);
    let mut writes = [written; 2];
    let began = Instant::now();
    for batch in 0..REQUESTS / BATCH {
        let due = Duration::from_secs_f64((batch * BATCH) as f64 / RATE);
        sleep(due.saturating_sub(began.elapsed()));
        let keys: Vec<u64> = (0..BATCH).map(|_| zipf.sample(&mut stream)).collect();
        for (server, written) in both.iter_mut().zip(&mut writes) {
            let missed = get(server, &keys);
            set(server, &missed, lifetime, *written);
            *written += missed.len() as u64;
        }
    }
}

/// Plays a trace to both under a policy, and compares what they say of it.
fn compare(policy: &str, lifetime: Lifetime) {
    let _gate = pass(usize::from(policy.starts_with("allkeys")));
    let Some(real) = real(&[]) else { return };
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let mut both = [connect(real.address), connect(stack.entry("objects")[0])];
    let limit = ROOM * record_bytes(NAME_BYTES, VALUE_BYTES, true) + 2 * table_bytes(ROOM);
    for server in &mut both {
        let _: () = redis::cmd("FLUSHALL").query(server).expect("FLUSHALL");
        configure(server, "maxmemory-policy", policy);
        // Buffers come to their lasting size before the limit is set on top.
        get(server, &[0; BATCH]);
        let taken = figure(server, "used_memory");
        configure(server, "maxmemory", &(taken + limit).to_string());
    }
    let prefill: Vec<u64> = (0..ROOM + ROOM / 4).rev().collect();
    let mut written = 0;
    for keys in prefill.chunks(BATCH) {
        // Nothing expires before both were found to hold the same.
        let long: Lifetime = if lifetime(0, 0).is_none() { half_long } else { long };
        both.iter_mut().for_each(|server| set(server, keys, long, written));
        written += keys.len() as u64;
    }
    // A server's buffers come and go, so it has room for a few keys more or fewer: ours gets as much.
    let [theirs, ours] = &mut both;
    let keys = |server: &mut Connection| redis::cmd("DBSIZE").query::<i64>(server).expect("DBSIZE");
    let more = (keys(theirs) - keys(ours)) * record_bytes(NAME_BYTES, VALUE_BYTES, true) as i64;
    assert!(more.abs() < limit as i64 / 50, "memory is counted as the server counts it: {more} bytes off");
    configure(ours, "maxmemory", &limit.saturating_add_signed(more).to_string());
    for server in &mut both {
        let _: () = redis::cmd("CONFIG").arg("RESETSTAT").query(server).expect("CONFIG RESETSTAT");
    }
    play(&mut both, written, lifetime);
    let [theirs, ours] = both.map(|mut server| {
        ["keyspace_hits", "evicted_keys", "expired_keys"].map(|name| figure(&mut server, name) as f64)
    });
    let difference = (ours[0] - theirs[0]) / REQUESTS as f64;
    assert!(difference.abs() < 0.005, "{policy}: the hit ratio is off by {difference:+.4}");
    assert!(
        (ours[1] - theirs[1]).abs() <= 0.02 * theirs[1],
        "{policy}: evicted: {} and {}",
        theirs[1],
        ours[1]
    );
    // Which of the keys that expire are evicted before depends on the moments at which the cycles come, ten times a second on
    // either side; how many expire where nothing is evicted is compared below, to two percent.
    let tolerance = 0.2 * theirs[2] + 10.0;
    assert!((ours[2] - theirs[2]).abs() <= tolerance, "{policy}: expired: {} and {}", theirs[2], ours[2]);
}

#[test]
fn volatile_lru_is_that_of_redis() {
    compare("volatile-lru", some_short);
}

#[test]
fn volatile_lfu_is_that_of_redis() {
    compare("volatile-lfu", some_short);
}

#[test]
fn volatile_random_is_that_of_redis() {
    compare("volatile-random", some_short);
}

#[test]
fn volatile_ttl_is_that_of_redis() {
    compare("volatile-ttl", various);
}

#[test]
fn allkeys_lru_is_that_of_redis() {
    compare("allkeys-lru", half_endless);
}

#[test]
fn allkeys_lfu_is_that_of_redis() {
    compare("allkeys-lfu", half_endless);
}

#[test]
fn allkeys_random_is_that_of_redis() {
    compare("allkeys-random", half_endless);
}

/// Without a limit of memory, lifetimes alone decide; how many keys are left says how well they are cleared away unasked.
#[test]
fn as_many_keys_expire_as_in_redis() {
    let _gate = pass(1);
    let Some(real) = real(&[]) else { return };
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let mut both = [connect(real.address), connect(stack.entry("objects")[0])];
    for server in &mut both {
        let _: () = redis::cmd("FLUSHALL").query(server).expect("FLUSHALL");
        configure(server, "maxmemory", "0");
        let _: () = redis::cmd("CONFIG").arg("RESETSTAT").query(server).expect("CONFIG RESETSTAT");
    }
    play(&mut both, 0, short);
    let keys = |server: &mut Connection| redis::cmd("DBSIZE").query::<f64>(server).expect("DBSIZE");
    let left = both.each_mut().map(keys);
    // A lifetime later there is little left that could expire.
    sleep(Duration::from_millis(700));
    let [theirs, ours] =
        both.map(|mut server| ["keyspace_hits", "expired_keys"].map(|name| figure(&mut server, name) as f64));
    assert!((ours[0] - theirs[0]).abs() < 0.005 * REQUESTS as f64, "hits: {} and {}", theirs[0], ours[0]);
    assert!((ours[1] - theirs[1]).abs() < 0.02 * theirs[1], "expired: {} and {}", theirs[1], ours[1]);
    // How many depends on how long ago the last cycle was.
    assert!((left[1] - left[0]).abs() < 0.35 * left[0], "left at the end: {} and {}", left[0], left[1]);
}
