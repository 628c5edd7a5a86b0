//! What the proxy makes of messages that are cut, long, slow, contradictory or hostile (RFC 9112).

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::abuse::hold_unfinished_heads;
use crate::origin::{Act, Origin, Proxy, ok, status};
use crate::room::{BOUND, connect, get, receive, send};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n";

#[test]
fn what_two_readers_could_see_differently_reaches_no_server() {
    let origin = Origin::start(|_| ok("hidden"));
    let proxy = Proxy::start("", &[origin.address]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}{smuggled}");
    for (request, expected) in [
        (post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400"),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n"), "400"),
        (post("Content-Length: 0\r\nContent-Length: 38\r\n", ""), "400"),
        (post("Content-Length: 0, 38\r\n", ""), "400"),
        (post("Content-Length: +0\r\n", ""), "400"),
        (post("Content-Length : 0\r\n", ""), "400"),
        (post("Content-Length: 0\r\n Transfer-Encoding: chunked\r\n", ""), "400"),
        (post("Transfer-Encoding: xchunked\r\n", ""), "501"),
        (post("Transfer-Encoding: chunked, identity\r\n", ""), "501"),
        (post("Transfer-Encoding : chunked\r\n", ""), "400"),
        (post("Transfer-Encoding:\u{b}chunked\r\n", ""), "400"),
        (post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400"),
        (post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"), "400"),
        (format!("GET / HTTP/1.1\r\n\r\n{smuggled}"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{smuggled}"), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "505"),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "501"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(), "400"),
    ] {
        let answer = proxy.tell(request.as_bytes());
        assert_eq!(status(&answer), expected, "{request:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?}: answered once and closed");
    }
    assert_eq!(origin.requests(), [""; 0]);
}

#[test]
fn chunks_that_are_no_chunks_end_the_connections() {
    let origin = Origin::start(|_| ok("hidden"));
    let proxy = Proxy::start("", &[origin.address]);
    for chunks in
        ["x\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "5\r\nhello!", "0\r\nX: y\n\r\n", "ffffffffffffffffff\r\n"]
    {
        let answer = proxy.tell(
            format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes(),
        );
        assert_eq!(status(&answer), "400", "{chunks:?}: {answer:?}");
    }
    assert_eq!(origin.requests(), [""; 0], "no request was whole");
}

#[test]
fn heads_have_a_limit_in_bytes_and_in_fields() {
    let origin = Origin::start(|_| ok("fine"));
    let proxy = Proxy::start("", &[origin.address]);
    let fits = format!("{GET}X: {}\r\nConnection: close\r\n\r\n", "y".repeat(30_000));
    assert_eq!(status(&proxy.tell(fits.as_bytes())), "200");
    let long = format!("{GET}X: {}\r\n\r\n", "y".repeat(100_000));
    assert_eq!(status(&proxy.tell(long.as_bytes())), "431");
    let many = format!("{GET}{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(status(&proxy.tell(many.as_bytes())), "431");
    let endless = vec![b'y'; 1 << 20];
    assert!(["400", "431"].contains(&status(&proxy.tell(&endless))));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn who_is_slow_or_silent_is_sent_away_in_time() {
    let origin = Origin::start(|_| ok("fine"));
    let proxy = Proxy::start("client_timeout = \"200ms\"", &[origin.address]);
    let start = Instant::now();
    let mut silent = connect(proxy.address).expect("the proxy accepts");
    assert_eq!(silent.read(&mut [0]).expect("closed in order"), 0);
    for begun in [
        "G",
        "GET / HTTP/1.1\r\nHost: h\r\nX:",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let mut slow = connect(proxy.address).expect("the proxy accepts");
        slow.write_all(begun.as_bytes()).expect("sent");
        let mut answer = String::new();
        slow.read_to_string(&mut answer).expect("closed in order");
        assert_eq!(status(&answer), "408", "{begun:?}: {answer:?}");
    }
    // A byte now and then does not help.
    let mut dripping = connect(proxy.address).expect("the proxy accepts");
    let mut sent = 0;
    while dripping.write_all(b"G").is_ok() && start.elapsed() < BOUND {
        sent += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(start.elapsed() < BOUND, "sent {sent} bytes and was still listened to");
    let mut kept = connect(proxy.address).expect("the proxy accepts");
    send(&mut kept, "/").expect("sent");
    assert_eq!(receive(&mut kept).expect("answered"), (200, "fine".to_owned()));
}

#[test]
fn thousands_who_never_finish_their_heads_keep_nobody_else_waiting() {
    let origin = Origin::start(|_| ok("fine"));
    let proxy = Proxy::start("", &[origin.address]);
    hold_unfinished_heads(proxy.address, "/", || proxy.peak_memory_kib());
}

#[test]
fn requests_that_are_sent_together_or_byte_by_byte_are_answered_in_order() {
    let origin = Origin::start(|head| ok(head.split(' ').nth(1).unwrap_or("")));
    let proxy = Proxy::start("", &[origin.address]);
    let bodies = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbodyPOST /c HTTP/1.1\r\nHost: h\r\n\
                  Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let all = format!(
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n{bodies}\r\nGET /d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    );
    for piece in [1, 7, all.len()] {
        let mut stream = connect(proxy.address).expect("the proxy accepts");
        for bytes in all.as_bytes().chunks(piece) {
            stream.write_all(bytes).expect("sent");
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("closed in order");
        let bodies: Vec<&str> =
            answer.split("\r\n\r\n").skip(1).map(|b| b.split("HTTP").next().unwrap_or("")).collect();
        assert_eq!(bodies, ["/a", "/b", "/c", "/d"], "in pieces of {piece}: {answer}");
    }
    assert!(
        origin
            .requests()
            .iter()
            .filter(|r| r.ends_with("body") || r.ends_with("4\r\nbody\r\n0\r\n\r\n"))
            .count()
            == 6
    );
}

#[test]
fn large_bodies_pass_in_both_directions_and_are_kept_nowhere() {
    const LENGTH: usize = 50_000_000;
    let large = "z".repeat(LENGTH);
    let origin = Origin::start(|_| ok(&"y".repeat(LENGTH)));
    let proxy = Proxy::start("", &[origin.address]);
    let mut stream = connect(proxy.address).expect("the proxy accepts");
    stream
        .write_all(
            format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{large}", large.len())
                .as_bytes(),
        )
        .expect("sent");
    let mut answer = vec![0; LENGTH];
    stream.read_exact(&mut answer).expect("answered");
    assert!(origin.requests()[0].ends_with(&large));
    send(&mut stream, "/").expect("sent");
    let mut rest = vec![0; LENGTH];
    stream.read_exact(&mut rest).expect("answered");
    let peak = proxy.peak_memory_kib();
    assert!(peak < 30_000, "{peak} KiB");
}

#[test]
fn a_client_that_waits_for_a_go_ahead_gets_it() {
    let origin = Origin::start(|_| ok("fine"));
    let proxy = Proxy::start("", &[origin.address]);
    let mut stream = connect(proxy.address).expect("the proxy accepts");
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .expect("sent");
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).expect("answered");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").expect("sent");
    assert_eq!(receive(&mut stream).expect("answered"), (200, "fine".to_owned()));
    assert!(!origin.requests()[0].to_lowercase().contains("expect"));
}

#[test]
fn what_concerns_one_hop_stays_there() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Inner, close\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nX-Outer: 2\r\n\
                  Content-Length: 0\r\n\r\n";
    let origin = Origin::start(move |_| Act::AnswerAndClose(answer.into()));
    let proxy = Proxy::start("", &[origin.address]);
    let request = format!(
        "{GET}Connection: close, X-Mine\r\nX-Mine: 1\r\nX-Forwarded-For: 1.2.3.4\r\nTE: trailers\r\nUpgrade: h2c\r\n\r\n"
    );
    let answer = proxy.tell(request.as_bytes());
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nX-Outer: 2\r\nContent-Length: 0\r\nconnection: close\r\n\r\n");
    let seen = &origin.requests()[0];
    assert_eq!(seen, "GET / HTTP/1.1\r\nHost: h\r\nx-forwarded-for: 1.2.3.4, 127.0.0.1\r\n\r\n");
}

#[test]
fn answers_that_are_none_become_502() {
    let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20);
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let answers: Vec<String> = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "220 smtp\r\n",
        "HTTP/1.1 200",
        &interim,
        &endless,
    ]
    .map(str::to_owned)
    .into();
    let count = answers.len();
    let origin = Origin::start(move |head| {
        let which: usize = head.split(['/', ' ']).nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
        Act::AnswerAndClose(answers[which].clone().into_bytes())
    });
    let proxy = Proxy::start("", &[origin.address]);
    for which in 0..count {
        assert_eq!(get(proxy.address, &format!("/{which}")).expect("answered").0, 502, "answer {which}");
    }
}

#[test]
fn an_answer_that_ends_too_early_is_cut_and_not_filled_up() {
    let origin =
        Origin::start(|_| Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()));
    let proxy = Proxy::start("", &[origin.address]);
    let answer = proxy.tell(format!("{GET}\r\n").as_bytes());
    assert!(answer.ends_with("\r\n\r\nhalf"), "{answer}");
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection() {
    let origin = Origin::start(|_| Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".into()));
    let proxy = Proxy::start("", &[origin.address]);
    let answer = proxy.tell(format!("{GET}\r\n").as_bytes());
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end");
}

#[test]
fn who_refuses_a_body_before_it_came_is_heard() {
    let refusal = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmuch";
    let origin = Origin::start(|_| Act::AnswerEarly(refusal.into()));
    let proxy = Proxy::start("", &[origin.address]);
    let request =
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n{}", "z".repeat(3_000_000));
    let answer = proxy.tell(request.as_bytes());
    assert_eq!(status(&answer), "413", "{answer}");
    assert_eq!(get(proxy.address, "/").expect("others are served").0, 413);
}

#[test]
fn no_request_follows_half_a_body_to_a_server() {
    let refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?";
    let origin = Origin::start(|head| match head.starts_with("POST") {
        true => Act::AnswerAndStop(refusal.into()),
        false => ok("fine"),
    });
    let proxy = Proxy::start("server_timeout = \"200ms\"", &[origin.address]);
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n";
    let answer = proxy.tell(format!("{head}{}", "z".repeat(20_000_000)).as_bytes());
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(answer.contains("connection: close\r\n"), "the rest of the body is not waited for: {answer}");
    assert_eq!(get(proxy.address, "/").expect("answered"), (200, "fine".to_owned()));
}

#[test]
fn what_a_server_may_have_got_is_sent_to_no_other() {
    let origins = [(); 2].map(|()| Origin::start(|_| Act::AnswerAndClose(Vec::new())));
    let servers: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let proxy = Proxy::start("retries = 3\nredispatch = true", &servers);
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    for request in [post, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"] {
        assert_eq!(status(&proxy.tell(request.as_bytes())), "502", "{request}");
    }
    assert_eq!(origins.iter().map(|origin| origin.requests().len()).sum::<usize>(), 2, "each once");
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    let origin = Origin::start(|_| Act::Answer(chunked.into()));
    let proxy = Proxy::start("", &[origin.address]);
    let answer = proxy.tell(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello world");
    let answer = proxy.tell(format!("{GET}Connection: close\r\n\r\n").as_bytes());
    assert!(answer.ends_with("\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "{answer}");
}

#[test]
fn the_answer_to_head_has_no_body_whoever_gives_it() {
    let origin = Origin::start(|_| Act::Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".into()));
    let proxy = Proxy::start("", &[origin.address]);
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(proxy.tell(head.as_bytes()).ends_with("Content-Length: 5\r\nconnection: close\r\n\r\n"));
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let proxy = Proxy::start("retries = 0", &[nobody]);
    let answer = proxy.tell(head.as_bytes());
    assert!(status(&answer) == "503" && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_costs_no_request() {
    let origin =
        Origin::start(|_| Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()));
    let proxy = Proxy::start("", &[origin.address]);
    let mut stream = connect(proxy.address).expect("the proxy accepts");
    let mut good = 0;
    for _ in 0..20 {
        send(&mut stream, "/").expect("sent");
        good += u32::from(receive(&mut stream).expect("answered").0 == 200);
        // Time for the end of the server's connection to arrive; without it, the request may be lost rightly.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(good, 20);
}
