//! What the HTTP cache does with fetches that are under way.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::cache_origin::{cache, kept};
use crate::origin::{Act, Origin, Proxy, status};
use crate::room::{BOUND, connect, get, receive, send};

/// An origin that says when it is asked for `/slow`, and holds the answer back until it is told.
fn patient(answer: fn(&str) -> Act) -> (Origin, Receiver<()>, Sender<()>) {
    let (go, wait) = channel();
    let (asked, arrived) = channel();
    let ends = Mutex::new((wait, asked));
    let origin = Origin::start(move |head| {
        if head.contains("/slow") {
            let (wait, asked) = &*ends.lock().expect("no holder panics");
            let _ = asked.send(());
            let _ = wait.recv_timeout(BOUND);
        }
        answer(head)
    });
    (origin, arrived, go)
}

#[test]
fn what_was_thrown_out_while_it_was_fetched_is_not_kept() {
    for purge in [
        "PURGE /slow HTTP/1.1\r\n",
        "PURGE / HTTP/1.1\r\nxkey-purge: list\r\n",
        "PURGE / HTTP/1.1\r\nxkey-softpurge: list\r\n",
        "BAN /sl HTTP/1.1\r\n",
        "POST /change HTTP/1.1\r\nContent-Length: 0\r\n",
        "PURGE /elsewhere HTTP/1.1\r\n",
    ] {
        let (origin, arrived, go) = patient(|head| {
            let is_change = head.starts_with("POST");
            kept(if is_change { "Location: /slow\r\n" } else { "xkey: list page\r\n" }, "old")
        });
        let cache = cache(&origin);
        let mut stream = connect(cache.address).expect("accepted");
        send(&mut stream, "/slow").expect("sent");
        arrived.recv_timeout(BOUND).expect("it is fetched");
        let answer = cache.tell(format!("{purge}Host: test\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(["200", "404"].contains(&status(&answer)), "{answer}");
        go.send(()).expect("it waits");
        assert_eq!(receive(&mut stream).expect("answered").1, "old", "who asked before gets it all the same");
        go.send(()).expect("it may wait again");
        assert_eq!(get(cache.address, "/slow").expect("answered").0, 200);
        let fetches = origin.requests().iter().filter(|request| request.contains("/slow")).count();
        assert_eq!(fetches, if purge.contains("elsewhere") { 1 } else { 2 }, "{purge}");
    }
}

#[test]
fn the_answer_to_a_post_is_put_together_too() {
    let origin = Origin::start(|head| match head.split(' ').nth(1) {
        Some("/part") => kept("", "part"),
        _ => {
            let body = "[<esi:include src=\"/part\"/>]";
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nSurrogate-Control: content=\"ESI/1.0\"\r\nContent-Length: {length}\r\n\r\n"
            );
            Act::Answer((head + body).into_bytes())
        }
    });
    let cache = cache(&origin);
    let request = "POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b";
    for _ in 0..2 {
        let answer = cache.tell(request.as_bytes());
        assert!(answer.ends_with("\r\n\r\n[part]") && answer.contains("x-cache: PASS"), "{answer}");
    }
    let requests = origin.requests();
    let part = requests.iter().find(|r| r.contains("/part")).expect("it was asked for");
    assert!(part.starts_with("GET ") && !part.to_lowercase().contains("content-length"), "{part}");
    assert_eq!(requests.len(), 3, "the part is kept");
}

#[test]
fn fetches_under_way_take_no_more_memory_than_they_may_together() {
    const EACH: usize = 8 << 20;
    let origin = Origin::start(|head| {
        if head.contains("/other") {
            return kept("", "other");
        }
        // All but the last byte, so that none of them ends.
        let head =
            format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n", EACH + 1);
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + EACH, b'x');
        Act::Answer(answer)
    });
    let cache = cache(&origin);
    let before = cache.peak_memory_kib();
    let mut streams = Vec::new();
    for i in 0..40 {
        let mut stream = connect(cache.address).expect("accepted");
        send(&mut stream, &format!("/big/{i}")).expect("sent");
        streams.push(stream);
    }
    let start = Instant::now();
    while origin.requests().len() < 40 {
        assert!(start.elapsed() < BOUND, "all are fetched");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Some are collected, the others are passed on as they come, to clients that read nothing.
    assert_eq!(get(cache.address, "/other").expect("answered").1, "other");
    std::thread::sleep(Duration::from_millis(300));
    let more = cache.peak_memory_kib() - before;
    assert!(more < 100 << 10, "{more} KiB more for 40 answers of {} KiB", EACH >> 10);
}

/// Connections of others to an address of this process's on 127.0.0.1: those in the state 01 of the kernel's table (proc(5)).
fn connections_to(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel has a table");
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes([127, 0, 0, 1]), address.port());
    let is_one = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(1).is_some_and(|column| *column == local)
            && columns.get(3).is_some_and(|state| *state == "01")
    };
    table.lines().filter(is_one).count()
}

#[test]
fn connections_to_the_back_end_that_nobody_needs_are_closed() {
    const AT_ONCE: usize = 6;
    // None is answered before all are asked, so that each fetch has a connection of its own.
    let together = Barrier::new(AT_ONCE);
    let origin = Origin::start(move |_| {
        together.wait();
        kept("", "one")
    });
    let cache = cache(&origin);
    let mut streams: Vec<_> = (0..AT_ONCE)
        .map(|i| {
            let mut stream = connect(cache.address).expect("accepted");
            send(&mut stream, &format!("/{i}")).expect("sent");
            stream
        })
        .collect();
    for stream in &mut streams {
        assert_eq!(receive(stream).expect("answered"), (200, "one".to_owned()));
    }
    let start = Instant::now();
    while connections_to(origin.address) >= AT_ONCE {
        assert!(start.elapsed() < BOUND, "half of them are closed, the second time that it is looked");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_long_answer_is_the_same_each_time_whole_and_in_part() {
    let body: String = (0..40_000).map(|n| format!("{n:>9} ")).collect();
    let answered = body.clone();
    let origin = Origin::start(move |_| kept("", &answered));
    let cache = cache(&origin);
    let mut stream = connect(cache.address).expect("accepted");
    // First as it was fetched, and then out of the store, by the kernel's own copy.
    for _ in 0..4 {
        send(&mut stream, "/long").expect("sent");
        assert!(receive(&mut stream).expect("answered") == (200, body.clone()));
        for (first, last) in [(0, 9), (70_001, 199_999), (399_999, 399_999)] {
            let lines = format!("Host: test\r\nRange: bytes={first}-{last}\r\n\r\n");
            stream.write_all(format!("GET /long HTTP/1.1\r\n{lines}").as_bytes()).expect("sent");
            assert!(receive(&mut stream).expect("answered") == (206, body[first..=last].to_owned()));
        }
    }
    assert_eq!(origin.requests().len(), 1);
    // What takes its place is not the old one's copy.
    let purged = cache.tell(b"PURGE /long HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&purged), "200");
    for _ in 0..2 {
        assert!(get(cache.address, "/long").expect("answered") == (200, body.clone()));
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn as_many_requests_are_at_work_as_there_are_threads_for() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/cache.toml"));
    let text = text.expect("it is there").replacen(
        "memory = ",
        "threads = { pools = 1, min = 5, max = 7, queue = 2 }\nmemory = ",
        1,
    );
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |head| {
        if head.contains("/slow") {
            let _ = wait.lock().expect("no holder panics").recv_timeout(BOUND);
        }
        kept("", "one")
    });
    let cache = Proxy::of(file.path(), "cache", &[origin.address]);
    assert_eq!(get(cache.address, "/other").expect("answered").0, 200);
    // A request and its fetch take two of seven, and a new request wants more than two idle ones: three are at work, two wait, and
    // the connections of the others are closed.
    let mut streams: Vec<_> = (0..8)
        .map(|i| {
            let mut stream = connect(cache.address).expect("accepted");
            send(&mut stream, &format!("/slow/{i}")).expect("sent");
            stream
        })
        .collect();
    let start = Instant::now();
    while streams.len() > 5 {
        assert!(start.elapsed() < BOUND, "three are closed");
        streams.retain(|stream| {
            stream.set_nonblocking(true).expect("it is a socket");
            let is_open = stream.peek(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
            stream.set_nonblocking(false).expect("it is a socket");
            is_open
        });
        std::thread::sleep(Duration::from_millis(5));
    }
    (0..5).for_each(|_| go.send(()).expect("the origin waits"));
    for stream in &mut streams {
        assert_eq!(receive(stream).expect("its turn comes"), (200, "one".to_owned()));
    }
    assert_eq!(get(cache.address, "/other").expect("threads are idle again").0, 200);
}
