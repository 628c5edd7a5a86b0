//! Copies of a store: of ours, and of a real Redis and by one.

use std::net::SocketAddr;
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
    let plain =
        ["--rdbcompression", "no", "--hash-max-listpack-entries", "0", "--repl-diskless-sync-delay", "0"];
    let Some(real) = real(&plain) else { return };
    let (_stack, address) = room();
    let (mut original, mut copy) = (connect(real.address), connect(address));
    write(&mut original, 0);
    follow(&mut copy, real.address);
    eventually("the copy is linked", || is_linked(&mut copy));
    write(&mut original, 1);
    eventually("it caught up", || caught_up(&mut original, &mut copy));
    assert_same(&mut original, &mut copy);
}

/// Replication is asynchronous: what the original acknowledged in its last moment may be lost, and nothing from before.
#[test]
fn a_failover_loses_the_writes_of_the_last_moment_at_most() {
    let ((stack, address), (_other, copy_address)) = (room(), room());
    let (mut original, mut copy) = (connect(address), connect(copy_address));
    follow(&mut copy, address);
    eventually("the copy is linked", || is_linked(&mut copy));
    let mut acknowledged = Vec::new();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let killed = Instant::now();
        drop(stack);
        killed
    });
    while original.set(format!("write:{}", acknowledged.len()), 1).is_ok() {
        acknowledged.push(Instant::now());
    }
    let killed = killer.join().expect("the killer lives");
    eventually("the copy notices", || !is_linked(&mut copy));
    lead(&mut copy);
    let kept =
        (0..acknowledged.len()).take_while(|n| copy.exists(format!("write:{n}")).expect("EXISTS")).count();
    let lost = acknowledged.len() - kept;
    let earliest = acknowledged.get(kept);
    println!("{} writes were acknowledged, {lost} of them lost", acknowledged.len());
    assert!(acknowledged.len() > 100, "only {} writes", acknowledged.len());
    assert!(
        earliest.is_none_or(|at| killed.saturating_duration_since(*at) < Duration::from_millis(200)),
        "a write was lost that was older than any lag"
    );
}
