//! Clients that mean the store no good: it goes on serving the others, within bounds of memory.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

use crate::room::{BOUND, connect, crowd_size, eventually, shop, start};

fn room() -> (Stack, SocketAddr) {
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let store = stack.entry("objects")[0];
    (stack, store)
}

/// Sends a line and reads an answer of one or more lines, as far as it comes at once.
fn ask(stream: &mut TcpStream, command: &str) -> String {
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("sent");
    let mut answer = vec![0; 1 << 16];
    let count = stream.read(&mut answer).expect("answered");
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

fn figure(stream: &mut TcpStream, name: &str) -> u64 {
    let text = ask(stream, "INFO");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Sends what the other side takes within a moment; it may close at any time.
fn throw(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(address).expect("accepted");
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout can be set");
    let _ = stream.write_all(bytes);
    stream
}

#[test]
fn bombs_are_answered_with_an_error_and_closed() {
    let (_stack, store) = room();
    let mut witness = connect(store).expect("accepted");
    let nested = b"*1\r\n".repeat(100_000);
    let endless = vec![b'a'; 200_000];
    let digits = [&b"*"[..], &[b'9'; 200_000]].concat();
    let sign = [&b"*-"[..], &[b'9'; 200_000]].concat();
    let bulk = [&b"*2\r\n$3\r\nGET\r\n$"[..], &[b'0'; 200_000]].concat();
    let bombs: [&[u8]; 9] = [
        &nested,
        &endless,
        &digits,
        &sign,
        &bulk,
        b"*1048577\r\n",
        b"*1\r\n$67108865\r\n",
        b"*2\r\n$3\r\nGET\r\n$18446744073709551617\r\n",
        b"*1\r\n$4\r\nPINGxx",
    ];
    for bomb in bombs {
        let mut stream = throw(store, bomb);
        let mut answer = Vec::new();
        // What it never read makes the kernel say "reset" instead of "end", and may take the answer along.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        } else {
            assert!(answer.starts_with(b"-ERR Protocol error"), "{}", String::from_utf8_lossy(&answer));
        }
        assert_eq!(ask(&mut witness, "PING"), "+PONG\r\n");
    }
}

#[test]
fn garbage_kills_nobody_but_its_sender() {
    let (_stack, store) = room();
    let mut witness = connect(store).expect("accepted");
    let commands =
        ["SET", "GET", "MGET", "EXPIRE", "HSET", "SCAN", "OBJECT", "CLIENT", "CONFIG", "EXEC", "MULTI"];
    for seed in 0..200 {
        let mut random = Stream::new(Seed(seed), Purpose::named("store-garbage"), 0);
        let mut bytes = Vec::new();
        for _ in 0..20 {
            match random.below(3) {
                0 => {
                    bytes.extend((0..random.below(50)).map(|_| random.next_bits() as u8).collect::<Vec<_>>())
                }
                _ => {
                    // Real commands with arguments of no sense.
                    let count = 1 + random.below(5);
                    bytes.extend(format!("*{count}\r\n").bytes());
                    let command = commands[random.below(commands.len() as u64) as usize];
                    bytes.extend(format!("${}\r\n{command}\r\n", command.len()).bytes());
                    for _ in 1..count {
                        let word: Vec<u8> = (0..random.below(12)).map(|_| random.next_bits() as u8).collect();
                        bytes.extend(format!("${}\r\n", word.len()).bytes());
                        bytes.extend(&word);
                        bytes.extend(b"\r\n");
                    }
                }
            }
        }
        drop(throw(store, &bytes));
        assert_eq!(ask(&mut witness, "PING"), "+PONG\r\n", "seed {seed}");
    }
}

#[test]
fn commands_that_never_end_and_answers_that_nobody_reads_are_bounded() {
    let (_stack, store) = room();
    let mut witness = connect(store).expect("accepted");
    assert_eq!(ask(&mut witness, "CONFIG SET maxmemory-clients 32mb"), "+OK\r\n");
    let before = figure(&mut witness, "used_memory_rss");
    let mut piece = b"*2\r\n$4\r\nECHO\r\n$60000000\r\n".to_vec();
    piece.resize(8 << 20, b'x');
    let unfinished: Vec<TcpStream> = (0..16).map(|_| throw(store, &piece)).collect();
    assert!(figure(&mut witness, "evicted_clients") >= 8, "128 MiB came, a quarter of it may stay");
    // A megabyte, asked for again and again by one who never reads.
    let set = [format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", 1 << 20).into_bytes(), vec![b'y'; 1 << 20]]
        .concat();
    let mut writer = connect(store).expect("accepted");
    writer.write_all(&set).expect("sent");
    writer.write_all(b"\r\n").expect("sent");
    let mut ok = [0; 5];
    writer.read_exact(&mut ok).expect("answered");
    let deaf: Vec<TcpStream> = (0..4).map(|_| throw(store, &b"GET big\r\n".repeat(100_000))).collect();
    let grown = figure(&mut witness, "used_memory_rss").saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB", grown >> 20);
    assert_eq!(ask(&mut witness, "PING"), "+PONG\r\n");
    drop((unfinished, deaf));
}

#[test]
fn who_dies_without_reading_its_answers_is_closed() {
    let (_stack, store) = room();
    let mut witness = connect(store).expect("accepted");
    let set = [format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", 1 << 20).into_bytes(), vec![b'y'; 1 << 20]]
        .concat();
    drop(throw(store, &[&set[..], b"\r\n"].concat()));
    eventually("the value is there", || ask(&mut witness, "EXISTS big") == ":1\r\n");
    let deaf: Vec<TcpStream> = (0..4).map(|_| throw(store, &b"GET big\r\n".repeat(100_000))).collect();
    eventually("all have answers waiting", || {
        ask(&mut witness, "CLIENT LIST").matches(" omem=0 ").count() <= 1
    });
    drop(deaf);
    eventually("only the witness is left", || figure(&mut witness, "connected_clients") == 1);
}

#[test]
fn five_thousand_idle_connections_disturb_nobody() {
    let count = crowd_size();
    let (_stack, store) = room();
    let mut witness = connect(store).expect("accepted");
    let before = figure(&mut witness, "used_memory_rss");
    let idle: Vec<TcpStream> = (0..count).map(|_| connect(store).expect("accepted")).collect();
    eventually("all are accepted", || figure(&mut witness, "connected_clients") > count as u64);
    let grown = figure(&mut witness, "used_memory_rss").saturating_sub(before);
    assert!(grown < 4096 * count as u64, "{} bytes a connection", grown / count as u64);
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(ask(&mut witness, "PING"), "+PONG\r\n");
    }
    assert!(start.elapsed() < BOUND / 10, "a thousand commands took {:?}", start.elapsed());
    drop(idle);
    eventually("all are gone", || figure(&mut witness, "connected_clients") < 10);
}

#[test]
fn clients_beyond_the_limit_are_told_so() {
    let (_stack, store) = room();
    let mut witness = connect(store).expect("accepted");
    assert_eq!(ask(&mut witness, "CONFIG SET maxclients 3"), "+OK\r\n");
    let mut more: Vec<TcpStream> = (0..2).map(|_| connect(store).expect("accepted")).collect();
    more.iter_mut().for_each(|stream| assert_eq!(ask(stream, "PING"), "+PONG\r\n"));
    let mut answer = String::new();
    connect(store).expect("accepted").read_to_string(&mut answer).expect("closed");
    assert_eq!(answer, "-ERR max number of clients reached\r\n");
    assert_eq!(ask(&mut witness, "CONFIG SET timeout 1"), "+OK\r\n");
    eventually("the idle ones are closed", || figure(&mut witness, "connected_clients") == 1);
}
