//! The store's rules, without a socket: time moves when the test says so.

use scenarios::memory;
use scenarios::plan::zipf::Zipf;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Eviction;
use scenarios::units::Seed;

use super::clients::Client;
use super::commands::execute;
use super::data::{Data, Expiry, Limits};
use super::eviction::Room;
use super::record::Value;
use super::server::Server;
use super::standing::Standing;
use crate::emulated::clock::now_nanos;
use crate::resp::request::{self, Parser};

fn records(max_memory: Option<u64>, eviction: Eviction) -> Data {
    Data::new(Limits::new(max_memory, eviction, 5), Seed(1))
}

/// A store with one client that is connected to nothing.
fn store(max_memory: Option<u64>, eviction: Eviction) -> Server {
    let mut server = Server::new(records(max_memory, eviction), 0);
    join(&mut server);
    server
}

fn join(server: &mut Server) -> usize {
    server.clients.insert(Client::new(None, None, false, 0))
}

fn run_as(server: &mut Server, client: usize, command: &str) -> String {
    let input = format!("{command}\r\n").into_bytes();
    let mut parser = Parser::default();
    parser.read(&input, &request::Limits::STORE).expect("an inline command").expect("a whole line");
    let mut out = Vec::new();
    execute(server, client, &input, parser.arguments(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn run(server: &mut Server, command: &str) -> String {
    run_as(server, 0, command)
}

/// A store with a copy that wants everything and takes nothing.
fn store_with_copy() -> (Server, usize) {
    let mut server = store(None, Eviction::NoEviction);
    let copy = join(&mut server);
    run_as(&mut server, copy, "PSYNC ? -1");
    (server, copy)
}

#[test]
fn a_copy_that_takes_nothing_is_closed_at_the_limit() {
    let (mut server, copy) = store_with_copy();
    let value = vec![b'x'; 1 << 20];
    for round in 0..256 {
        assert!(server.clients.get(copy).is_some(), "{round}");
        server.data.set(b"large", Value::Bytes(&value), Expiry::Never);
        server.cron(10);
    }
    assert!(server.clients.get(copy).is_none());
}

#[test]
fn a_copy_that_says_nothing_is_closed() {
    let (mut server, copy) = store_with_copy();
    server.send_records();
    server.data.clock.stop();
    for _ in 0..3 {
        server.data.clock.advance_ms(50_000);
        run_as(&mut server, copy, "REPLCONF ACK 0");
        server.cron(10);
    }
    assert!(server.clients.get(copy).is_some());
    server.data.clock.advance_ms(60_001);
    server.cron(10);
    assert!(server.clients.get(copy).is_none());
}

#[test]
fn copies_are_told_once_of_a_key_that_was_changed_often_and_not_of_one_that_was_not() {
    let (mut server, _) = store_with_copy();
    run(&mut server, "SET a 1");
    server.replicate();
    let before = server.replication.offset;
    (0..400).for_each(|_| assert_eq!(run(&mut server, "PERSIST a"), ":0\r\n"));
    (0..400).for_each(|_| assert_eq!(run(&mut server, "HDEL nothing field"), ":0\r\n"));
    server.replicate();
    assert_eq!(server.replication.offset, before);
    (0..400).for_each(|_| assert_eq!(run(&mut server, "SET a 2"), "+OK\r\n"));
    server.replicate();
    let told = server.replication.offset - before;
    assert!(told > 0 && told < 40, "{told}");
}

#[test]
fn a_transaction_answers_no_more_than_the_limit() {
    let mut server = store(None, Eviction::NoEviction);
    server.data.set(b"large", Value::Padding(100 << 20), Expiry::Never);
    run(&mut server, "MULTI");
    (0..5).for_each(|_| assert_eq!(run(&mut server, "GET large"), "+QUEUED\r\n"));
    run(&mut server, "SET small 1");
    let reply = run(&mut server, "EXEC");
    assert!(reply.len() < 201 << 20, "{}", reply.len());
    let end = "-ERR the reply would be longer than 256 MiB\r\n".repeat(3) + "+OK\r\n";
    assert!(reply.ends_with(&end), "{}", &reply[reply.len() - 200..]);
}

#[test]
fn names_that_are_kept_for_a_client_count_as_its_buffers() {
    let mut server = store(None, Eviction::NoEviction);
    let empty = server.clients.get(0).expect("it is there").buffers();
    for (begin, end) in [
        ("SUBSCRIBE channel channel other", "UNSUBSCRIBE"),
        ("PSUBSCRIBE channel* other*", "PUNSUBSCRIBE other* channel* third*"),
        ("WATCH key", "UNWATCH"),
    ] {
        run(&mut server, begin);
        assert!(server.clients.get(0).expect("it is there").buffers() > empty + 100, "{begin}");
        run(&mut server, end);
        assert_eq!(server.clients.get(0).expect("it is there").buffers(), empty, "{end}");
    }
    run(&mut server, "SUBSCRIBE channel");
    run(&mut server, "RESET");
    assert_eq!(server.clients.get(0).expect("it is there").buffers(), empty);
}

#[test]
fn who_only_says_that_it_will_be_a_copy_is_closed_when_idle() {
    let mut server = store(None, Eviction::NoEviction);
    let client = join(&mut server);
    run_as(&mut server, client, "REPLCONF capa eof");
    server.settings.timeout_s = 1;
    server.data.clock.stop();
    server.data.clock.advance_ms(1_000_000);
    server.cron(10);
    assert!(server.clients.get(client).is_none());
}

#[test]
fn a_transaction_is_refused_where_room_has_gone_since_it_was_queued() {
    let mut server = store(Some(1 << 20), Eviction::NoEviction);
    run(&mut server, "MULTI");
    run(&mut server, "SET a 1");
    server.data.set(b"large", Value::Padding(2 << 20), Expiry::Never);
    let reply = run(&mut server, "EXEC");
    assert!(reply.starts_with("-EXECABORT Transaction discarded because of: OOM"), "{reply}");
    assert_eq!(run(&mut server, "EXISTS a"), ":0\r\n");
}

#[test]
fn asking_whether_a_key_is_there_does_not_use_it() {
    let mut server = store(None, Eviction::AllkeysLru);
    run(&mut server, "SET a 1");
    server.data.clock.stop();
    server.data.clock.advance_ms(100_000);
    ["EXISTS a", "TTL a", "TYPE a"].iter().for_each(|ask| drop(run(&mut server, ask)));
    assert_eq!(run(&mut server, "OBJECT IDLETIME a"), ":100\r\n");
    run(&mut server, "TOUCH a");
    assert_eq!(run(&mut server, "OBJECT IDLETIME a"), ":0\r\n");
}

#[test]
fn uses_are_counted_where_the_policy_is_by_them_and_fade() {
    let mut server = store(None, Eviction::AllkeysLfu);
    server.data.clock.stop();
    run(&mut server, "SET a 1");
    let frequency = |server: &mut Server| {
        let told = run(server, "OBJECT FREQ a");
        told.trim_end().strip_prefix(':').and_then(|number| number.parse::<i32>().ok()).expect("a number")
    };
    assert_eq!(frequency(&mut server), 5, "of a new key");
    assert_eq!(frequency(&mut server), 5, "asking is no use");
    (0..1000).for_each(|_| drop(run(&mut server, "GET a")));
    let used = frequency(&mut server);
    assert!((14..25).contains(&used), "redis.conf has 18 after 1,000 hits: {used}");
    server.data.clock.advance_ms(3 * 60_000);
    assert_eq!(frequency(&mut server), used - 3, "one a minute");
    assert_eq!(run(&mut server, "OBJECT FREQ nothing"), "$-1\r\n");
    assert!(run(&mut server, "OBJECT IDLETIME a").starts_with("-ERR An LFU maxmemory policy is selected"));
    run(&mut server, "CONFIG SET maxmemory-policy allkeys-lru");
    assert!(run(&mut server, "OBJECT FREQ a").starts_with("-ERR An LFU maxmemory policy is not selected"));
}

#[test]
fn tables_shrink_when_nearly_all_keys_are_gone() {
    let mut server = store(None, Eviction::NoEviction);
    (0..10_000).for_each(|n| server.data.set(format!("{n}").as_bytes(), Value::new(b"1"), Expiry::Never));
    let full = server.data.tables_bytes();
    (0..9_990).for_each(|n| assert!(server.data.remove(format!("{n}").as_bytes())));
    assert_eq!(server.data.tables_bytes(), full);
    server.cron(10);
    assert_eq!(server.data.tables_bytes(), memory::table_bytes(10));
}

#[test]
fn large_hashes_go_to_copies_in_several_commands() {
    let (mut server, copy) = store_with_copy();
    assert!(!server.send_records());
    let fields: String = (0..2500).map(|n| format!(" field:{n} 1")).collect();
    run(&mut server, &format!("HSET hash{fields}"));
    server.replicate();
    let sent = String::from_utf8_lossy(&server.clients.get(copy).expect("it is there").pending).into_owned();
    assert_eq!(sent.matches("HSET").count(), 3);
    assert_eq!(sent.matches("field:").count(), 2500);
}

#[test]
fn records_for_a_copy_are_made_as_it_takes_them() {
    let mut server = store(None, Eviction::NoEviction);
    let value = vec![b'x'; 1 << 20];
    for n in 0..20 {
        server.data.set(format!("{n}").as_bytes(), Value::Bytes(&value), Expiry::Never);
    }
    let copy = join(&mut server);
    run_as(&mut server, copy, "PSYNC ? -1");
    assert!(server.send_records());
    assert!(server.clients.get(copy).expect("it is there").pending.len() < 3 << 20);
}

#[test]
fn replies_are_those_of_redis() {
    let mut data = store(None, Eviction::NoEviction);
    for (command, reply) in [
        ("GET a", "$-1\r\n"),
        ("SET a 1", "+OK\r\n"),
        ("GET a", "$1\r\n1\r\n"),
        ("SET a 2 NX", "$-1\r\n"),
        ("SET b 2 XX", "$-1\r\n"),
        ("SET a 2 XX PX 5000", "+OK\r\n"),
        ("PTTL a", ":5000\r\n"),
        ("TTL a", ":5\r\n"),
        ("SET a 3 KEEPTTL", "+OK\r\n"),
        ("PTTL a", ":5000\r\n"),
        ("SET a 3", "+OK\r\n"),
        ("TTL a", ":-1\r\n"),
        ("TTL nothing", ":-2\r\n"),
        ("EXPIRE a 10", ":1\r\n"),
        ("PERSIST a", ":1\r\n"),
        ("PERSIST a", ":0\r\n"),
        ("INCR n", ":1\r\n"),
        ("INCR n", ":2\r\n"),
        ("SET text abc", "+OK\r\n"),
        ("INCRBY n +5", "-ERR value is not an integer or out of range\r\n"),
        ("INCRBY n 007", "-ERR value is not an integer or out of range\r\n"),
        ("INCRBY n -0", "-ERR value is not an integer or out of range\r\n"),
        ("INCRBY n 0", ":2\r\n"),
        ("INCR text", "-ERR value is not an integer or out of range\r\n"),
        ("INCRBYFLOAT text 1", "-ERR value is not a valid float\r\n"),
        ("INCRBYFLOAT float 5000.1", "$22\r\n5000.10000000000000009\r\n"),
        ("HINCRBYFLOAT hash float 0.1", "$3\r\n0.1\r\n"),
        ("HINCRBYFLOAT hash float x", "-ERR value is not a valid float\r\n"),
        ("MSET x 1 y 2", "+OK\r\n"),
        ("MSET x 1 y", "-ERR wrong number of arguments for 'mset' command\r\n"),
        ("MGET x y z", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"),
        ("EXISTS x y z", ":2\r\n"),
        ("DEL x y z", ":2\r\n"),
        ("EXPIRE a 0", ":1\r\n"),
        ("EXISTS a", ":0\r\n"),
        ("SET a 1 EX 0", "-ERR invalid expire time in command\r\n"),
        ("SET a 1 EX 5 PX 5", "-ERR syntax error\r\n"),
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("NOSUCH a", "-ERR unknown command 'NOSUCH'\r\n"),
        ("FLUSHALL", "+OK\r\n"),
        ("DBSIZE", ":0\r\n"),
    ] {
        assert_eq!(run(&mut data, command), reply, "{command}");
    }
    assert_eq!(data.data.memory(), 0);
}

#[test]
fn what_took_long_is_remembered_by_kind_and_second() {
    let mut server = store(None, Eviction::NoEviction);
    server.data.clock.stop();
    server.note_latency("command", 9_000_000);
    assert_eq!(run(&mut server, "LATENCY LATEST"), "*0\r\n", "nobody wants to know");
    run(&mut server, "CONFIG SET latency-monitor-threshold 5");
    for nanos in [4_999_999, 7_000_000, 6_000_000] {
        server.note_latency("command", nanos);
    }
    server.data.clock.advance_ms(1000);
    server.note_latency("command", 5_000_000);
    server.note_latency("expire-cycle", 5_000_000);
    let latest = run(&mut server, "LATENCY LATEST");
    let second = server.data.clock.unix_ms() / 1000;
    let first = format!("*4\r\n$7\r\ncommand\r\n:{second}\r\n:5\r\n:7\r\n");
    assert!(latest.starts_with(&format!("*2\r\n{first}")), "{latest}");
    let history = run(&mut server, "LATENCY HISTORY command");
    let before = second - 1;
    assert_eq!(history, format!("*2\r\n*2\r\n:{before}\r\n:7\r\n*2\r\n:{second}\r\n:5\r\n"));
    assert!(run(&mut server, "LATENCY DOCTOR").contains("7 ms at most"));
    assert_eq!(run(&mut server, "LATENCY RESET expire-cycle other"), ":1\r\n");
    assert_eq!(run(&mut server, "LATENCY RESET"), ":1\r\n");
    assert_eq!(run(&mut server, "LATENCY HISTORY command"), "*0\r\n");
}

#[test]
fn clients_are_listed_by_number_and_kind() {
    let mut server = store(None, Eviction::NoEviction);
    let other = join(&mut server);
    run_as(&mut server, other, "SUBSCRIBE channel");
    let lines = |reply: String| reply.matches("id=").count();
    assert_eq!(lines(run(&mut server, "CLIENT LIST")), 2);
    assert_eq!(lines(run(&mut server, "CLIENT LIST ID 2 7")), 1);
    assert_eq!(lines(run(&mut server, "CLIENT LIST TYPE pubsub")), 1);
    assert_eq!(run(&mut server, "CLIENT LIST ID x"), "-ERR Invalid client ID\r\n");
    assert_eq!(run(&mut server, "CLIENT KILL TYPE pubsub ID 1"), ":0\r\n", "all conditions must hold");
    assert_eq!(run(&mut server, "CLIENT KILL TYPE pubsub ID 2"), ":1\r\n");
    assert_eq!(lines(run(&mut server, "CLIENT LIST")), 1);
}

#[test]
fn a_reply_beyond_the_limit_is_an_error_instead() {
    let mut data = store(None, Eviction::NoEviction);
    data.data.set(b"big", Value::Padding(60 << 20), Expiry::Never);
    let reply = run(&mut data, &format!("MGET{}", " big".repeat(5)));
    assert!(reply.starts_with("-ERR the reply would be longer"), "{} bytes", reply.len());
    assert_eq!(run(&mut data, "MGET a").len(), "*1\r\n$-1\r\n".len());
}

#[test]
fn keys_expire_when_they_are_looked_at_and_when_they_are_not() {
    let mut data = records(None, Eviction::NoEviction);
    for i in 0..1000 {
        data.set(format!("short:{i}").as_bytes(), Value::new(b"v"), Expiry::In(100));
    }
    data.set(b"long", Value::new(b"v"), Expiry::In(1_000_000));
    data.clock.stop();
    data.clock.advance_ms(100);
    assert!(data.contains(b"short:0"), "at its deadline it is there");
    data.clock.advance_ms(1);
    assert_eq!(data.get(b"short:0"), Ok(None), "lazily, on access");
    assert_eq!((data.len(), data.counts().expired), (1000, 1));
    data.expire_cycle(10);
    assert!(data.len() < 200, "one cycle leaves no more than about a tenth, not {}", data.len());
    assert!(data.contains(b"long"));
}

#[test]
fn lifetimes_do_not_run_while_the_clock_stands() {
    let mut data = store(None, Eviction::NoEviction);
    data.data.clock.stop();
    data.data.set(b"short", Value::new(b"v"), Expiry::In(1));
    let start = now_nanos();
    while now_nanos() - start < 5_000_000 {
        data.data.tick();
        data.data.expire_cycle(10);
    }
    assert_eq!(run(&mut data, "PTTL short"), ":1\r\n");
    data.data.clock.start();
    let start = now_nanos();
    while now_nanos() - start < 5_000_000 {
        data.data.tick();
    }
    assert_eq!(run(&mut data, "PTTL short"), ":-2\r\n");
}

#[test]
fn volatile_lru_keeps_persistent_keys_and_the_limit() {
    // 100 records and the tables for them.
    let record = memory::record_bytes(3, 100, true) + 2 * 8 * 128 / 100 + 1;
    let mut data = store(Some(100 * record), Eviction::VolatileLru);
    for i in 0..50 {
        data.data.set(format!("p{i:02}").as_bytes(), Value::new(&[b'v'; 100]), Expiry::Never);
    }
    for i in 0..1000 {
        assert_ne!(data.data.make_room(), Room::None);
        data.data.set(format!("{i:03}").as_bytes(), Value::new(&[b'v'; 100]), Expiry::In(1_000_000));
        assert!(data.data.memory() <= 101 * record);
    }
    assert!((0..50).all(|i| data.data.contains(format!("p{i:02}").as_bytes())));
    assert!(data.data.volatile_len() >= 50 && data.data.counts().evicted >= 930);
    // Once the cache is gone, there is nothing left to evict.
    let mut refused = 0;
    for i in 50..150 {
        refused += u32::from(run(&mut data, &format!("SET p{i:02} {}", "v".repeat(100))).starts_with("-OOM"));
    }
    assert_eq!(data.data.volatile_len(), 0);
    assert!(refused > 0);
    assert!(run(&mut data, "GET p00").starts_with("$100"), "reading goes on");
}

#[test]
fn noeviction_refuses_writes_at_the_limit() {
    let mut data = store(Some(250), Eviction::NoEviction);
    assert_eq!(run(&mut data, "SET a v EX 100"), "+OK\r\n");
    assert_eq!(run(&mut data, "SET b v EX 100"), "+OK\r\n", "Redis looks before it writes");
    assert!(run(&mut data, "SET c v").starts_with("-OOM"));
    assert_eq!(run(&mut data, "DEL b"), ":1\r\n");
    assert_eq!(run(&mut data, "SET c v"), "+OK\r\n");
}

#[test]
fn records_that_stand_behave_like_written_ones() {
    let mut data = store(None, Eviction::NoEviction);
    data.data.stand(Standing::new("carts", 12, Box::new(|number| 10 + number as usize)));
    let memory = data.data.memory();
    let record = |n: u64| memory::record_bytes(format!("carts:{n}").len() as u64, 10 + n, false);
    let expected = (0..12).map(record).sum::<u64>() + memory::table_bytes(12);
    assert_eq!((data.data.len(), memory), (12, expected));
    assert_eq!(data.data.get(b"carts:11"), Ok(Some(Value::Padding(21))));
    for stranger in ["carts:12", "carts:", "carts:01", "carts:+1", "cart:1", "carts:99999999999999999999999"]
    {
        assert_eq!(data.data.get(stranger.as_bytes()), Ok(None), "{stranger}");
    }
    for (command, reply) in [
        ("TTL carts:3", ":-1\r\n"),
        ("EXISTS carts:3 carts:12", ":1\r\n"),
        ("SET carts:3 1", "+OK\r\n"),
        ("GET carts:3", "$1\r\n1\r\n"),
        ("DBSIZE", ":12\r\n"),
        ("DEL carts:3 carts:4", ":2\r\n"),
        ("MGET carts:3 carts:4 carts:0", "*3\r\n$-1\r\n$-1\r\n$10\r\n..........\r\n"),
        ("DBSIZE", ":10\r\n"),
    ] {
        assert_eq!(run(&mut data, command), reply, "{command}");
    }
    assert_eq!(data.data.memory(), memory - record(3) - record(4));
}

/// Redis 7.0 itself, on a Zipf(1.0) trace over 500,000 cache keys at 20,000 requests a second, with room for 99,525 of
/// them, samples 5: hit ratio 0.8322 over the second half of two million requests; exact LRU 0.8343.
#[test]
fn sampled_lru_has_the_hit_ratio_of_redis() {
    let mut stream = Stream::new(Seed(5), Purpose::named("store-test"), 0);
    let zipf = Zipf::new(500_000, 1.0);
    let limit = 99_525 * memory::record_bytes(6, 100, true) + 2 * memory::table_bytes(99_525);
    let mut data = records(Some(limit), Eviction::VolatileLru);
    let (requests, mut hits) = (2_000_000, 0);
    for i in 0..requests {
        if i % 20 == 0 {
            data.clock.advance_ms(1);
        }
        let key = format!("{:06}", zipf.sample(&mut stream));
        data.make_room();
        if data.get(key.as_bytes()).expect("a string").is_some() {
            hits += u32::from(i >= requests / 2);
        } else {
            data.make_room();
            data.set(key.as_bytes(), Value::Padding(100), Expiry::In(1_000_000_000));
        }
    }
    let ratio = f64::from(hits) / (f64::from(requests) / 2.0);
    assert!((ratio - 0.8322).abs() < 0.0015, "hit ratio {ratio}");
}
