//! Copies of a store: of ours, and of a real Redis and by one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::{Connection, TypedCommands};
use reference::client::Stack;

use crate::room::{eventually, shop, start};
use crate::store_conformance::{connect, figure, real};

fn room() -> (Stack, SocketAddr) {
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let store = stack.entry("objects")[0];
    (stack, store)
}

fn follow(copy: &mut Connection, original: SocketAddr) {
    let (host, port) = (original.ip().to_string(), original.port());
    let _: () = redis::cmd("REPLICAOF").arg(host).arg(port).query(copy).expect("REPLICAOF");
}

fn lead(copy: &mut Connection) {
    let _: () = redis::cmd("REPLICAOF").arg(&["NO", "ONE"]).query(copy).expect("REPLICAOF");
}

fn info(connection: &mut Connection, name: &str) -> String {
    let text: String = redis::cmd("INFO").arg("replication").query(connection).expect("INFO");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::to_owned).unwrap_or_default()
}

fn is_linked(copy: &mut Connection) -> bool {
    info(copy, "master_link_status") == "up"
}

fn caught_up(original: &mut Connection, copy: &mut Connection) -> bool {
    is_linked(copy) && info(original, "master_repl_offset") == info(copy, "slave_repl_offset")
}

fn all(connection: &mut Connection) -> std::collections::BTreeSet<String> {
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(connection).expect("KEYS");
    keys.into_iter().collect()
}

/// Keys of all kinds; `round` makes them differ.
fn write(connection: &mut Connection, round: usize) {
    let mut pipe = redis::pipe();
    for n in 0..1000 {
        pipe.cmd("SET").arg(format!("key:{n}")).arg(format!("{round}-{n}"));
        match n % 4 {
            0 => pipe.arg("PX").arg(1_000_000).ignore(),
            _ => pipe.ignore(),
        };
    }
    pipe.cmd("INCR").arg("counter").ignore();
    pipe.cmd("HSET").arg(&["session", "user", &round.to_string(), "name", "Ann"]).ignore();
    pipe.cmd("PEXPIRE").arg(&["session", "500000"]).ignore();
    pipe.cmd("DEL").arg(format!("key:{}", 3 + round)).ignore();
    let _: () = pipe.query(connection).expect("writes");
}

fn assert_same(original: &mut Connection, copy: &mut Connection) {
    assert_eq!(all(original), all(copy));
    for name in ["key:0", "key:1", "key:999", "counter", "carts:1"] {
        assert_eq!(original.get(name).expect("GET"), copy.get(name).expect("GET"), "{name}");
    }
    for name in ["key:0", "key:1", "session"] {
        let ttl = |c: &mut Connection| redis::cmd("PTTL").arg(name).query::<i64>(c).expect("PTTL");
        assert!((ttl(original) - ttl(copy)).abs() < 1000, "{name}");
    }
    let fields = |c: &mut Connection| c.hgetall("session").expect("HGETALL");
    assert_eq!(fields(original), fields(copy));
}

#[test]
fn a_copy_has_what_the_original_has_and_takes_over() {
    let ((_stack, address), (_other, copy_address)) = (room(), room());
    let (mut original, mut copy) = (connect(address), connect(copy_address));
    write(&mut original, 0);
    copy.set("own", 1).expect("SET");
    follow(&mut copy, address);
    eventually("the copy is linked", || is_linked(&mut copy));
    write(&mut original, 1);
    eventually("it caught up", || caught_up(&mut original, &mut copy));
    assert_same(&mut original, &mut copy);
    assert!(copy.set("key:1", "x").is_err(), "a copy takes no writes");
    // What expires and what is evicted at the original goes at the copy too.
    let _: () = redis::cmd("SET").arg(&["brief", "1", "PX", "20"]).query(&mut original).expect("SET");
    eventually("it expired", || !all(&mut original).contains("brief"));
    eventually("it caught up", || caught_up(&mut original, &mut copy));
    assert!(!all(&mut copy).contains("brief"));
    // A connection that broke is taken up where it broke.
    let killed: i64 =
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "replica"]).query(&mut original).expect("KILL");
    assert_eq!(killed, 1);
    write(&mut original, 2);
    eventually("it caught up", || caught_up(&mut original, &mut copy));
    assert_same(&mut original, &mut copy);
    assert_eq!((figure(&mut original, "sync_full"), figure(&mut original, "sync_partial_ok")), (1, 1));
    lead(&mut copy);
    copy.set("key:1", "x").expect("it is the store now");
    // The former original finds its place in the new history.
    follow(&mut original, copy_address);
    eventually("it caught up", || caught_up(&mut copy, &mut original));
    assert_same(&mut copy, &mut original);
    assert_eq!(figure(&mut copy, "sync_full"), 0, "it needs only what it missed");
}

/// The first attempt may come before the other listens or while it prepares: it is made again.
#[test]
fn a_real_redis_is_a_copy_of_ours() {
    let Some(real) = real(&[]) else { return };
    let (_stack, address) = room();
    let (mut original, mut copy) = (connect(address), connect(real.address));
    write(&mut original, 0);
    follow(&mut copy, address);
    eventually("the copy is linked", || is_linked(&mut copy));
    write(&mut original, 1);
    eventually("it caught up", || caught_up(&mut original, &mut copy));
    assert_same(&mut original, &mut copy);
}

#[test]
fn ours_is_a_copy_of_a_real_redis() {
    let Some(real) = real(&["--repl-diskless-sync-delay", "0"]) else { return };
    let (_stack, address) = room();
    let (mut original, mut copy) = (connect(real.address), connect(address));
    write(&mut original, 0);
    follow(&mut copy, real.address);
    eventually("the copy is linked", || is_linked(&mut copy));
    write(&mut original, 1);
    eventually("it caught up", || caught_up(&mut original, &mut copy));
    assert_same(&mut original, &mut copy);
}

#[test]
fn clients_wait_for_copies_as_long_as_they_want_to() {
    let ((_stack, address), (_other, copy_address)) = (room(), room());
    let (mut original, mut copy) = (connect(address), connect(copy_address));
    let wait = |client: &mut Connection, copies: &str, ms: &str| {
        redis::cmd("WAIT").arg(&[copies, ms]).query::<i64>(client).expect("WAIT")
    };
    assert_eq!(wait(&mut original, "0", "0"), 0, "nobody is waited for");
    let began = Instant::now();
    assert_eq!(wait(&mut original, "1", "150"), 0, "there is none");
    assert!(began.elapsed() >= Duration::from_millis(140));
    follow(&mut copy, address);
    eventually("the copy is linked", || is_linked(&mut copy));
    for round in 0..20 {
        // What comes after it in a pipeline waits too.
        let mut pipe = redis::pipe();
        pipe.set("round", round).ignore().cmd("WAIT").arg(&["1", "20000"]).cmd("INCR").arg("n");
        let (copies, n): (i64, i64) = pipe.query(&mut original).expect("a pipeline");
        assert_eq!((copies, n), (1, round + 1));
        assert_eq!(copy.get("round").expect("GET"), Some(round.to_string()), "it has what was waited for");
    }
    assert!(redis::cmd("WAIT").arg(&["1", "0"]).query::<i64>(&mut copy).is_err(), "copies have none here");
}

/// How far the copy of [`with_copy`] is behind.
const LAG: Duration = Duration::from_millis(20);

/// A shop whose store has a copy that takes over after 0.3 seconds, and is [`LAG`] behind.
fn with_copy(fault: &str) -> Stack {
    let text = shop("", "workers = 4", &["wait = \"1ms\""], &[fault]).source.text;
    let copies = "eviction = \"volatile-lru\"\nreplicas = 1\nreplication_lag = \"20ms\"\n\
                  failover = { detect = \"200ms\", switch = \"100ms\" }";
    let text = text.replace("eviction = \"volatile-lru\"", copies);
    let scenario =
        scenarios::Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    start(&scenario)
}

/// A write: its number, when it was sent and when it was acknowledged.
type Write = (usize, Instant, Instant);

/// What became of writes: those that were acknowledged, how many nobody knows about, and when the last one failed.
struct Written {
    acknowledged: Vec<Write>,
    doubtful: usize,
    failed: Instant,
}

/// The key of a write.
fn written(number: usize) -> String {
    format!("write:{number}")
}

/// What a write takes in the stream to the copies, in bytes: it is the command as the client sends it.
fn length_in_stream(number: usize) -> u64 {
    let key = written(number);
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\n1\r\n", key.len()).len() as u64
}

/// About 2,000 writes a second, until one fails after it may.
fn write_until_it_fails(address: SocketAddr, may_fail: &AtomicBool) -> Written {
    let impatient = || {
        let client = connect(address);
        client.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout can be set");
        client
    };
    let (mut client, mut acknowledged, mut doubtful) = (impatient(), Vec::new(), 0);
    for number in 0.. {
        let sent = Instant::now();
        match client.set(written(number), 1) {
            Ok(()) => acknowledged.push((number, sent, Instant::now())),
            Err(_) if may_fail.load(Ordering::SeqCst) => {
                return Written { acknowledged, doubtful, failed: Instant::now() };
            }
            // This machine stood still: nobody knows what became of the write.
            Err(_) => {
                doubtful += 1;
                client = impatient();
            }
        }
        std::thread::sleep(Duration::from_micros(400));
    }
    unreachable!("somebody ends it")
}

/// How much longer than it asks for this machine lets a thread sleep, at most, until told to stop.
fn worst_stall(is_over: &AtomicBool) -> Duration {
    let mut worst = Duration::ZERO;
    while !is_over.load(Ordering::SeqCst) {
        let asleep = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        worst = worst.max(asleep.elapsed());
    }
    worst
}

/// How many of these writes the copy lacked when it took over, by what its original's stream was at before the first and by how
/// much of the stream it had.
fn lacking(acknowledged: &[Write], before: u64, copy: &mut Connection) -> usize {
    // It names the first byte that it did not have, and counts from one.
    let known = info(copy, "second_repl_offset").parse::<u64>().expect("it took over") - 1;
    let last = acknowledged.last().map_or(0, |write| write.0);
    let mut ends = Vec::new();
    let mut end = before;
    for number in 0..=last {
        end += length_in_stream(number);
        ends.push(end);
    }
    acknowledged.iter().filter(|write| ends[write.0] > known).count()
}

/// Replication is asynchronous: what the store acknowledged in its last moment may be lost, and nothing from before. What is lost
/// is counted, and held against what the copy lacked.
#[allow(clippy::print_stdout, reason = "how many were lost is worth knowing")]
fn lose_the_last_moment_only(fault: &str) {
    let stack = with_copy(fault);
    let address = stack.entry("objects")[0];
    let mut client = connect(address);
    let _: () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).query(&mut client).expect("CONFIG SET");
    eventually("the copy is linked", || info(&mut client, "connected_slaves") == "1");
    let _: () = redis::cmd("SET").arg(&["timed", "1", "PX", "1000000"]).query(&mut client).expect("SET");
    let timed = Instant::now();
    let before = info(&mut client, "master_repl_offset").parse().expect("a number");
    let (may_fail, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (broken, Written { acknowledged, doubtful, failed }, stall) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until_it_fails(address, &may_fail));
        let watch = scope.spawn(|| worst_stall(&is_over));
        std::thread::sleep(Duration::from_millis(400));
        let broken = Instant::now();
        may_fail.store(true, Ordering::SeqCst);
        stack.begin_fault(0).expect("the fault begins");
        let written = writer.join().expect("the writer lives");
        is_over.store(true, Ordering::SeqCst);
        (broken, written, watch.join().expect("the watch lives"))
    });
    assert!(acknowledged.len() > 20, "only {} writes", acknowledged.len());
    let (last_number, _, last) = *acknowledged.last().expect("some were acknowledged before");
    // At the same address, as clients know no other.
    let mut client = connect(address);
    let took = broken.elapsed();
    assert!(took >= Duration::from_millis(300), "somebody took over after {took:?} only");
    let is_there = |client: &mut Connection, n: usize| client.exists(written(n)).expect("EXISTS");
    let lost: Vec<Write> = acknowledged.iter().filter(|w| !is_there(&mut client, w.0)).copied().collect();
    println!("{fault}: {} writes, {} of them lost, back after {took:?}", acknowledged.len(), lost.len());
    let oldest = lost.first().map(|write| last.saturating_duration_since(write.1));
    if fault.starts_with("hang") {
        // What a store sent before it hung comes to the copy in time, as with real ones. It answers first, and tells its copies in
        // the same turn: if it hangs in between, that one write is lost.
        let others = lost.iter().filter(|write| write.0 != last_number).count();
        assert_eq!(others, 0, "{} writes of {last_number} are lost", lost.len());
    } else if fault.starts_with("unplug") {
        // The order to lose what is on the wire comes just after that to fall silent.
        assert!(oldest.is_some() || stall > Duration::from_millis(5), "the wire was 20 ms long");
    } else if failed.saturating_duration_since(last) < Duration::from_millis(15) {
        // The copy was 20 ms behind when the last one was acknowledged, at least.
        assert!(oldest.is_some(), "the copy was 20 ms behind");
    }
    let lacked = lacking(&acknowledged, before, &mut client);
    assert!(
        lost.len().abs_diff(lacked) <= doubtful,
        "{} are lost, and the copy lacked {lacked} ({doubtful} unknown)",
        lost.len()
    );
    // Beside the lag there is the time that this machine takes until the fault is there and its processes had their turn.
    let most = LAG + Duration::from_millis(20) + 4 * stall;
    let outstanding = acknowledged.iter().filter(|write| write.2 + most > last).count();
    assert!(
        lost.len() <= outstanding,
        "{} are lost, the oldest of {oldest:?} before the end; {outstanding} were outstanding for {most:?}, the worst stall being {stall:?}",
        lost.len()
    );
    assert_eq!(client.get("carts:1").expect("GET").map(|v| v.len()), Some(100), "persistent keys are there");
    let left: i64 = redis::cmd("PTTL").arg("timed").query(&mut client).expect("PTTL");
    let late = left + timed.elapsed().as_millis() as i64 - 1_000_000;
    let slack = 50 + 4 * stall.as_millis() as i64;
    assert!(late.abs() <= slack, "a key expires {late} ms too late");
    client.set("after", 1).expect("it takes writes");
    stack.end_fault(0).expect("the fault ends");
    eventually("the old store is a copy", || info(&mut client, "connected_slaves") == "1");
    assert_eq!(client.get("after").expect("GET").as_deref(), Some("1"));
}

#[test]
fn a_killed_store_loses_the_writes_of_the_last_moment_at_most() {
    lose_the_last_moment_only("kill = \"component:objects[1]\"");
}

#[test]
fn a_hung_store_is_replaced_for_good() {
    lose_the_last_moment_only("hang = \"component:objects[1]\"");
}

#[test]
fn an_unplugged_store_loses_what_was_on_the_wire() {
    lose_the_last_moment_only("unplug = \"component:objects[1]\"");
}

#[test]
fn how_far_a_copy_is_behind_is_told() {
    let stack = with_copy("kill = \"component:objects[1]\"");
    let mut client = connect(stack.entry("objects")[0]);
    let lag = || crate::room::figure(&stack, "objects", 1, "replication_lag_bytes");
    eventually("the copy is linked", || info(&mut client, "connected_slaves") == "1");
    eventually("it has not yet what was just written", || {
        write(&mut client, 0);
        lag() > 0.5
    });
    eventually("it has all of it", || lag() < 0.5);
    stack.begin_fault(0).expect("the fault begins");
    // The one that has taken over tells of the one that is dead.
    drop(connect(stack.entry("objects")[0]));
    eventually("who is dead has nothing", || lag() > 0.5);
}

#[test]
fn the_second_kill_hits_whoever_leads_and_the_first_store_takes_over_again() {
    let stack = with_copy("kill = \"component:objects[1]\"");
    let address = stack.entry("objects")[0];
    let mut client = connect(address);
    for round in 0..3 {
        let name = format!("round:{round}");
        client.set(&name, 1).expect("SET");
        eventually("the copy has it", || {
            let end = format!("offset={},", info(&mut client, "master_repl_offset"));
            info(&mut client, "slave0").contains(&end)
        });
        stack.begin_fault(0).expect("the fault begins");
        assert!(client.get(&name).is_err(), "it is dead");
        client = connect(address);
        assert_eq!(client.get(&name).expect("GET").as_deref(), Some("1"), "another took over");
        stack.end_fault(0).expect("the fault ends");
        eventually("the dead one is a copy", || info(&mut client, "connected_slaves") == "1");
    }
}
