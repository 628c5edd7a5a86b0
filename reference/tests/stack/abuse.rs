//! What a whole stack takes from clients that mean it no good: endless bodies, endless heads, and noise on every port.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

use crate::lifetime::{descendants, parent_of};
use crate::origin::status;
use crate::room::{BOUND, connect, crowd_size, eventually, get, receive, start};
use crate::schedules;

/// The most memory that a process has had, in KiB.
fn peak_memory_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

/// All processes of a stack, the supervisor among them.
fn family(stack: &Stack) -> BTreeSet<u32> {
    let supervisor = parent_of(stack.listeners()[0].pid).expect("it lives");
    descendants(supervisor).into_iter().chain([supervisor]).collect()
}

/// The addresses on which a process listens: its sockets of `/proc/net/tcp` in the state 0A (proc(5)).
fn ports(pid: u32) -> Vec<SocketAddr> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let own: BTreeSet<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel has a table");
    let listening = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = columns.get(1)?.split_once(':')?;
        let ours = *columns.get(3)? == "0A" && own.contains(&format!("socket:[{}]", columns.get(9)?));
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        ours.then_some(SocketAddr::new(address.into(), u16::from_str_radix(port, 16).ok()?))
    });
    listening.collect()
}

/// Sends what the other side takes, says that this is all, and reads what comes back.
fn tell(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address).expect("the kernel accepts");
    stream.set_write_timeout(Some(BOUND)).expect("a timeout can be set");
    // One that refuses early may have closed its side already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The stack of the schedules. A machine that stands still for a while is not to be taken for a server that does.
fn patient(cached: bool) -> Stack {
    let text = schedules::stack(cached, "").source.text;
    let patient = text.replace("_timeout = \"300ms\"", "_timeout = \"30s\"");
    assert_ne!(text, patient);
    start(&Scenario::parse("patient.toml", patient).unwrap_or_else(|problems| panic!("{problems}")))
}

/// Begins 5,000 heads and never ends them, while others are answered on this path, and the memory that `peak_kib` tells of stays
/// what it was, but for a little for each.
pub(crate) fn hold_unfinished_heads(address: SocketAddr, path: &str, peak_kib: impl Fn() -> u64) {
    assert_eq!(get(address, path).expect("answered").0, 200);
    let before = peak_kib();
    let slow: Vec<TcpStream> = (0..crowd_size())
        .map(|_| {
            let mut stream = connect(address).expect("it accepts");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nX: ").expect("sent");
            stream
        })
        .collect();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(get(address, path).expect("answered").0, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let each = (peak_kib() - before) / slow.len().max(1) as u64;
    assert!(each < 32, "{each} KiB for each of {} connections", slow.len());
}

#[test]
fn thousands_who_never_finish_their_heads_keep_nobody_waiting_at_a_cache_and_a_service() {
    let stack = patient(true);
    for component in ["cache", "shop"] {
        let all = stack.listeners();
        let first = all.iter().find(|l| l.component == component && l.instance == 1).expect("it is listed");
        hold_unfinished_heads(first.address, "/cart/1", || peak_memory_kib(first.pid));
    }
}

#[test]
fn a_gigabyte_in_chunks_passes_and_is_kept_nowhere() {
    const CHUNK: usize = 1 << 20;
    for cached in [false, true] {
        let stack = patient(cached);
        let balancer = stack.entry("balancer")[0];
        let mut stream: TcpStream = connect(balancer).expect("the proxy accepts");
        let chunk = [format!("{CHUNK:x}\r\n").as_bytes(), &vec![b'z'; CHUNK], b"\r\n"].concat();
        stream
            .write_all(b"GET /cart/1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            .expect("sent");
        for number in 0..1024 {
            stream.write_all(&chunk).expect("it is taken");
            if number % 256 == 128 {
                eventually("others are served", || schedules::status(balancer, "/cart/2") == Some(200));
            }
        }
        stream.write_all(b"0\r\n\r\n").expect("sent");
        assert_eq!(receive(&mut stream).expect("answered").0, 200);
        for listener in stack.listeners().iter().filter(|listener| listener.component != "objects") {
            let peak = peak_memory_kib(listener.pid);
            assert!(peak < 20_000, "{}: {peak} KiB", listener.component);
        }
    }
}

#[test]
fn a_head_of_100_000_bytes_is_refused_by_all_who_speak_http() {
    let stack = start(&schedules::stack(true, ""));
    let one = format!("GET /cart/1 HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET /cart/1 HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: yyyyy\r\n".repeat(10_000));
    for component in ["balancer", "cache", "shop"] {
        let address = stack.entry(component)[0];
        for head in [&one, &many] {
            assert_eq!(status(&tell(address, head.as_bytes())), "431", "{component}");
        }
        assert_eq!(schedules::status(address, "/cart/1"), Some(200), "{component}");
    }
}

/// The stack of the schedules with a database and a queue beside it.
fn with_data() -> Stack {
    let text = schedules::stack(true, "").source.text;
    let data = r#"
[hosts.db]
[components.archive]
kind = "sql-store"
host = "db"
connections = 4
read = "200us"
write = "200us"
[components.mail]
kind = "queue"
host = "db"
to = "shop"
class = "letter"
[requests.letter]
path = "/letter"
steps = [{ wait = "1ms" }]
[keyspaces.carts]"#;
    let more = text.replace("[keyspaces.carts]", data);
    assert_ne!(text, more);
    start(&Scenario::parse("data.toml", more).unwrap_or_else(|problems| panic!("{problems}")))
}

/// A command of RESP.
fn command(strings: &[&str]) -> String {
    let strings = strings.iter().map(|string| format!("${}\r\n{string}\r\n", string.len()));
    format!("*{}\r\n{}", strings.len(), strings.collect::<String>())
}

/// A read of so many rows.
fn select(rows: usize) -> String {
    command(&[&["SELECT", "carts", "0", "0"], &vec!["7"; rows][..]].concat())
}

#[test]
fn bombs_at_the_database_and_the_queue_are_refused_by_limits_that_are_named() {
    let stack = with_data();
    let [archive, mail] = ["archive", "mail"].map(|component| stack.entry(component)[0]);
    let long = "x".repeat(1_000);
    let serve = || {
        assert!(tell(archive, select(1).as_bytes()).starts_with("*1\r\n$100\r\n"));
        assert!(tell(mail, b"PING\r\n").starts_with("+PONG"));
    };
    for (address, bomb, said) in [
        (archive, select(1_000_000), "10000 keys"),
        (archive, select(10_001), "10000 keys"),
        (archive, command(&["SELECT", &"x".repeat(2_000)]), "1024 bytes"),
        (archive, command(&vec![&long[..]; 2_000]), "1 MiB"),
        (mail, command(&["PUBLISH", "1", "2"]), "2 strings"),
        (mail, command(&["PUBLISH", &long]), "64 bytes"),
        (mail, command(&vec!["ACK"; 1 << 20]), "2 strings"),
    ] {
        let answer = tell(address, bomb.as_bytes());
        assert!(answer.starts_with("-ERR") && answer.contains(said), "{answer:?} instead of {said}");
        serve();
    }
    assert!(
        tell(archive, select(10_000).as_bytes()).starts_with("*10000\r\n"),
        "its own clients ask for as many"
    );
    // Commands that never end.
    let unfinished = command(&vec![&long[..]; 1_000]).replace("*1000\r\n", "*1001\r\n");
    let held: Vec<TcpStream> = (0..32)
        .map(|_| {
            let mut stream = connect(archive).expect("accepted");
            stream.write_all(unfinished.as_bytes()).expect("it is taken");
            stream
        })
        .collect();
    serve();
    for listener in stack.listeners().iter().filter(|l| ["archive", "mail"].contains(&&*l.component)) {
        let peak = peak_memory_kib(listener.pid);
        assert!(peak < 128 << 10, "{}: {peak} KiB", listener.component);
    }
    drop(held);
}

#[test]
fn noise_on_every_port_kills_nobody() {
    let stack = with_data();
    let processes = family(&stack);
    let all: BTreeSet<SocketAddr> = processes.iter().flat_map(|pid| ports(*pid)).collect();
    // A pair has one address.
    let known: BTreeSet<SocketAddr> = stack.listeners().iter().map(|listener| listener.address).collect();
    assert!(all.is_superset(&known), "{all:?}");
    assert!(all.len() > known.len(), "the supervisor has a port of its own: {all:?}");
    let mut noises: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\0".repeat(10_000),
        b"\xff".repeat(200_000),
        b"\r\n".repeat(10_000),
        b"*1\r\n".repeat(50_000),
        select(1_000_000).into_bytes(),
        format!("*2\r\n$7\r\nPUBLISH\r\n$67108864\r\n{}", "x".repeat(1 << 20)).into_bytes(),
        b"{\"a\":".repeat(50_000),
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
    ];
    for seed in 0..24 {
        let mut random = Stream::new(Seed(seed), Purpose::named("noise"), 0);
        noises.push((0..1 + random.below(2_000)).map(|_| random.next_bits() as u8).collect());
    }
    for address in &all {
        for noise in &noises {
            tell(*address, noise);
        }
    }
    assert_eq!(family(&stack), processes, "the same processes live");
    for component in ["balancer", "cache", "shop"] {
        for address in stack.entry(component) {
            eventually(component, || schedules::status(address, "/cart/1") == Some(200));
        }
    }
    for component in ["objects", "archive", "mail"] {
        assert!(tell(stack.entry(component)[0], b"PING\r\n").starts_with("+PONG"), "{component}");
    }
    assert!(stack.stats().is_ok_and(|all| all.iter().all(|one| one.metrics["up"] > 0.5)));
}
