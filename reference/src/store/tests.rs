//! The store's rules, without a socket: time moves when the test says so.

use scenarios::memory;
use scenarios::plan::zipf::Zipf;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Eviction;
use scenarios::units::Seed;

use super::command::{Session, execute};
use super::data::{Contents, Data, Expiry, Limits, Value};
use super::standing::Standing;
use crate::emulated::clock::now_nanos;
use crate::resp::request::parse_command;

fn store(max_memory: Option<u64>, eviction: Eviction) -> Data {
    Data::new(Limits { max_memory, eviction, samples: 5 }, Seed(1))
}

fn run(data: &mut Data, command: &str) -> String {
    let input = format!("{command}\r\n").into_bytes();
    let mut ranges = Vec::new();
    parse_command(&input, &mut ranges).expect("an inline command").expect("a whole line");
    let mut out = Vec::new();
    execute(data, &mut Session::default(), &input, &ranges, &mut out);
    String::from_utf8(out).expect("a reply in ASCII")
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
        ("INCR text", "-ERR value is not an integer or out of range\r\n"),
        ("MSET x 1 y 2", "+OK\r\n"),
        ("MSET x 1 y", "-ERR wrong number of arguments for 'mset' command\r\n"),
        ("MGET x y z", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"),
        ("EXISTS x y z", ":2\r\n"),
        ("DEL x y z", ":2\r\n"),
        ("EXPIRE a 0", ":1\r\n"),
        ("EXISTS a", ":0\r\n"),
        ("SET a 1 EX 0", "-ERR invalid expire time in 'set' command\r\n"),
        ("SET a 1 EX 5 PX 5", "-ERR syntax error\r\n"),
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
        ("NOSUCH a", "-ERR unknown command 'NOSUCH'\r\n"),
        ("FLUSHALL", "+OK\r\n"),
        ("DBSIZE", ":0\r\n"),
    ] {
        assert_eq!(run(&mut data, command), reply, "{command}");
    }
    assert_eq!(data.memory(), 0);
}

#[test]
fn a_reply_beyond_the_limit_is_an_error_instead() {
    let mut data = store(None, Eviction::NoEviction);
    data.set(b"big", Value::Run(b'v', 60 << 20), Expiry::Never);
    let reply = run(&mut data, &format!("MGET{}", " big".repeat(5)));
    assert!(reply.starts_with("-ERR the reply would be longer"), "{} bytes", reply.len());
    assert_eq!(run(&mut data, "MGET a").len(), "*1\r\n$-1\r\n".len());
}

#[test]
fn keys_expire_when_they_are_looked_at_and_when_they_are_not() {
    let mut data = store(None, Eviction::NoEviction);
    for i in 0..1000 {
        data.set(format!("short:{i}").as_bytes(), Value::new(b"v"), Expiry::In(100));
    }
    data.set(b"long", Value::new(b"v"), Expiry::In(1_000_000));
    data.advance_ms(99);
    assert!(data.contains(b"short:0"));
    data.advance_ms(1);
    assert_eq!(data.get(b"short:0"), None, "lazily, on access");
    assert_eq!((data.len(), data.counts().expired), (1000, 1));
    data.expire_cycle(u64::MAX);
    assert!(data.len() < 200, "one cycle leaves no more than about a tenth, not {}", data.len());
    assert!(data.contains(b"long"));
}

#[test]
fn lifetimes_do_not_run_while_the_clock_stands() {
    let mut data = store(None, Eviction::NoEviction);
    data.stop_clock();
    data.set(b"short", Value::new(b"v"), Expiry::In(1));
    let start = now_nanos();
    while now_nanos() - start < 5_000_000 {
        data.tick();
        data.expire_cycle(u64::MAX);
    }
    assert_eq!(run(&mut data, "PTTL short"), ":1\r\n");
    data.start_clock();
    let start = now_nanos();
    while now_nanos() - start < 5_000_000 {
        data.tick();
    }
    assert_eq!(run(&mut data, "PTTL short"), ":-2\r\n");
}

#[test]
fn volatile_lru_keeps_persistent_keys_and_the_limit() {
    // 100 records and the tables for them.
    let record = memory::record_bytes(3, 100, true) + 2 * 8 * 128 / 100 + 1;
    let mut data = store(Some(100 * record), Eviction::VolatileLru);
    for i in 0..50 {
        data.set(format!("p{i:02}").as_bytes(), Value::new(&[b'v'; 100]), Expiry::Never);
    }
    for i in 0..1000 {
        assert!(data.make_room());
        data.set(format!("{i:03}").as_bytes(), Value::new(&[b'v'; 100]), Expiry::In(1_000_000));
        assert!(data.memory() <= 101 * record);
    }
    assert!((0..50).all(|i| data.contains(format!("p{i:02}").as_bytes())));
    assert!(data.volatile_len() >= 50 && data.counts().evicted >= 930);
    // Once the cache is gone, there is nothing left to evict.
    let mut refused = 0;
    for i in 50..150 {
        refused += u32::from(run(&mut data, &format!("SET p{i:02} {}", "v".repeat(100))).starts_with("-OOM"));
    }
    assert_eq!(data.volatile_len(), 0);
    assert!(refused > 0);
    assert!(run(&mut data, "GET p00").starts_with("$100"), "reading goes on");
}

#[test]
fn noeviction_refuses_writes_at_the_limit() {
    let mut data = store(Some(250), Eviction::NoEviction);
    assert_eq!(run(&mut data, "SET a 1 EX 100"), "+OK\r\n");
    assert_eq!(run(&mut data, "SET b 1 EX 100"), "+OK\r\n", "Redis looks before it writes");
    assert!(run(&mut data, "SET c 1").starts_with("-OOM"));
    assert_eq!(run(&mut data, "DEL b"), ":1\r\n");
    assert_eq!(run(&mut data, "SET c 1"), "+OK\r\n");
}

#[test]
fn records_that_stand_behave_like_written_ones() {
    let mut data = store(None, Eviction::NoEviction);
    data.stand(Standing::new("carts", 12, Box::new(|number| 10 + number as usize)));
    let memory = data.memory();
    let record = |n: u64| memory::record_bytes(format!("carts:{n}").len() as u64, 10 + n, false);
    let expected = (0..12).map(record).sum::<u64>() + memory::table_bytes(12);
    assert_eq!((data.len(), memory), (12, expected));
    assert_eq!(data.get(b"carts:11"), Some(Contents::Run(b'x', 21)));
    for stranger in ["carts:12", "carts:", "carts:01", "carts:+1", "cart:1", "carts:99999999999999999999999"]
    {
        assert_eq!(data.get(stranger.as_bytes()), None, "{stranger}");
    }
    for (command, reply) in [
        ("TTL carts:3", ":-1\r\n"),
        ("EXISTS carts:3 carts:12", ":1\r\n"),
        ("SET carts:3 1", "+OK\r\n"),
        ("GET carts:3", "$1\r\n1\r\n"),
        ("DBSIZE", ":12\r\n"),
        ("DEL carts:3 carts:4", ":2\r\n"),
        ("MGET carts:3 carts:4 carts:0", "*3\r\n$-1\r\n$-1\r\n$10\r\nxxxxxxxxxx\r\n"),
        ("DBSIZE", ":10\r\n"),
    ] {
        assert_eq!(run(&mut data, command), reply, "{command}");
    }
    assert_eq!(data.memory(), memory - record(3) - record(4));
}

/// Redis 7.0 itself, on a Zipf(1.0) trace over 500,000 cache keys at 20,000 requests a second, with room for 99,525 of
/// them, samples 5: hit ratio 0.8322 over the second half of two million requests; exact LRU 0.8343.
#[test]
fn sampled_lru_has_the_hit_ratio_of_redis() {
    let mut stream = Stream::new(Seed(5), Purpose::named("store-test"), 0);
    let zipf = Zipf::new(500_000, 1.0);
    let limit = 99_525 * memory::record_bytes(6, 100, true) + 2 * memory::table_bytes(99_525);
    let mut data = store(Some(limit), Eviction::VolatileLru);
    let (requests, mut hits) = (2_000_000, 0);
    for i in 0..requests {
        if i % 20 == 0 {
            data.advance_ms(1);
        }
        let key = format!("{:06}", zipf.sample(&mut stream));
        data.make_room();
        if data.get(key.as_bytes()).is_some() {
            hits += u32::from(i >= requests / 2);
        } else {
            data.make_room();
            data.set(key.as_bytes(), Value::Run(b'v', 100), Expiry::In(1_000_000_000));
        }
    }
    let ratio = f64::from(hits) / (f64::from(requests) / 2.0);
    assert!((ratio - 0.8322).abs() < 0.0015, "hit ratio {ratio}");
}
