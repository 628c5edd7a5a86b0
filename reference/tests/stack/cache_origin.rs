//! The HTTP cache before servers that are slow, broken, or more than it can hold.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::origin::{Act, Origin, Proxy, ok, status};
use crate::room::{BOUND, connect, get, receive, send};

fn cache(origin: &Origin) -> Proxy {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/cache.toml");
    Proxy::of(&scenario, "cache", &[origin.address])
}

/// An answer that may be kept, with these further lines.
fn kept(lines: &str, body: &str) -> Act {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{lines}Content-Length: {length}\r\n\r\n");
    Act::Answer((head + body).into_bytes())
}

#[test]
fn half_an_answer_is_none_and_is_not_kept() {
    let origin = Origin::start(|head| {
        if head.contains("/half") {
            let text = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 99\r\n\r\nhalf";
            return Act::AnswerAndClose(text.as_bytes().to_vec());
        }
        kept("", "whole")
    });
    let cache = cache(&origin);
    for _ in 0..2 {
        assert_eq!(get(cache.address, "/half").expect("answered").0, 502);
    }
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(get(cache.address, "/a").expect("answered"), (200, "whole".to_owned()));
}

#[test]
fn a_connection_that_the_back_end_closed_meanwhile_costs_nobody_an_answer() {
    // It does not say that it closes, so that the next fetch finds out, or does not.
    let origin =
        Origin::start(|_| Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()));
    let cache = cache(&origin);
    let mut stream = connect(cache.address).expect("accepted");
    for _ in 0..50 {
        send(&mut stream, "/a").expect("sent");
        assert_eq!(receive(&mut stream).expect("answered"), (200, "ok".to_owned()));
    }
}

#[test]
fn an_answer_that_is_too_long_to_keep_is_passed_on_in_little_memory() {
    const BYTES: usize = 200 << 20;
    let origin = Origin::start(|_| {
        let head = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {BYTES}\r\n\r\n");
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + BYTES, b'x');
        Act::Answer(answer)
    });
    let cache = cache(&origin);
    let before = cache.peak_memory_kib();
    let mut stream = connect(cache.address).expect("accepted");
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
    let (mut sum, mut piece) = (0, vec![0; 1 << 16]);
    loop {
        match stream.read(&mut piece).expect("it goes on") {
            0 => break,
            n => sum += n,
        }
    }
    assert!(sum > BYTES, "{sum} bytes came");
    let more = cache.peak_memory_kib() - before;
    assert!(more < 16 << 10, "{more} KiB more for an answer of {} KiB", BYTES >> 10);
}

#[test]
fn what_comes_slowly_goes_on_at_once() {
    let origin = Origin::start(|_| {
        let text = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 99\r\n\r\nbegin";
        Act::Answer(text.as_bytes().to_vec())
    });
    let cache = cache(&origin);
    let mut stream = connect(cache.address).expect("accepted");
    send(&mut stream, "/a").expect("sent");
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while !text.ends_with(b"begin") {
        let n = stream.read(&mut piece).expect("the beginning is here, though the end is not");
        assert!(n > 0, "closed");
        text.extend_from_slice(&piece[..n]);
    }
}

#[test]
fn requests_that_two_readers_could_see_differently_are_refused() {
    let origin = Origin::start(|_| kept("", "fine"));
    let cache = cache(&origin);
    for nasty in [
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n folded\r\n\r\n",
        "GET /\r\n\r\n",
    ] {
        let answer = cache.tell(nasty.as_bytes());
        assert!(["400", "501"].contains(&status(&answer)), "{nasty:?}: {answer:?}");
    }
    assert_eq!(origin.requests(), [""; 0]);
}

#[test]
fn answers_of_nonsense_reach_nobody() {
    let nonsense: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\nfffffffffffffffff\r\n",
    ];
    let origin = Origin::start(move |head| {
        let number = head.split(' ').nth(1).and_then(|path| path[1..].parse::<usize>().ok()).unwrap_or(0);
        Act::AnswerAndClose(nonsense[number].to_vec())
    });
    let cache = cache(&origin);
    for number in 0..nonsense.len() {
        let answer =
            cache.tell(format!("GET /{number} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes());
        let is_cut =
            answer.is_empty() || answer.starts_with("HTTP/1.1 200") && !answer.ends_with("0\r\n\r\n");
        assert!(status(&answer) == "502" || is_cut, "{number}: {answer:?}");
        assert!(!answer.contains("abcde"), "{number}: {answer:?}");
    }
    assert_eq!(status(&cache.tell(b"PURGE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), "404");
}

#[test]
fn a_page_that_includes_itself_ends() {
    let origin = Origin::start(|_| {
        kept(
            "Surrogate-Control: content=\"ESI/1.0\"\r\n",
            "<<esi:include src=\"/self\"/>|<esi:include src=\"/self\"/>>",
        )
    });
    let cache = cache(&origin);
    let start = Instant::now();
    let (code, body) = get(cache.address, "/self").expect("answered");
    assert!(code == 200 && body.starts_with("<<<") && body.len() < 1000, "{body}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(origin.requests().len(), 1, "it was kept");
}

#[test]
fn parts_fall_back_and_leave_gaps() {
    let origin = Origin::start(|head| match head.split(' ').nth(1).unwrap_or("") {
        "/page" => kept(
            "Surrogate-Control: content=\"ESI/1.0\"\r\n",
            "a<esi:include src=\"/bad\" alt=\"/good\"/>b<esi:include src=\"/bad\" onerror=\"continue\"/>c<esi:remove>x</esi:remove>",
        ),
        "/bad" => Act::Answer(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops".to_vec()),
        _ => ok("GOOD"),
    });
    let cache = cache(&origin);
    assert_eq!(get(cache.address, "/page").expect("answered"), (200, "aGOODbc".to_owned()));
}

/// An application whose users are of two groups, by the last digit of their cookie.
fn groups(head: &str) -> Act {
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let group = field("cookie").map(|cookie| if cookie.ends_with(['0', '2', '4']) { "even" } else { "odd" });
    if head.starts_with("GET /_fos_user_context_hash ") {
        let hash = group.expect("only those with a cookie are asked for");
        return kept(&format!("Vary: Cookie\r\nX-User-Context-Hash: {hash}\r\n"), "");
    }
    let seen_as = field("x-user-context-hash").or(group.map(|group| format!("{group}, by cookie")));
    kept("Vary: X-User-Context-Hash\r\n", seen_as.as_deref().unwrap_or("anybody"))
}

#[test]
fn users_of_one_group_share_answers_and_nobody_chooses_his_group() {
    let origin = Origin::start(groups);
    let cache = cache(&origin);
    let ask = |lines: &str| {
        let answer =
            cache.tell(format!("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n").as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.contains("x-cache: HIT"), body.to_owned())
    };
    // The first one shows that there are groups; his own answer is for nobody else.
    assert_eq!(ask("Cookie: user=1\r\n"), (false, "odd, by cookie".to_owned()));
    assert_eq!(ask("Cookie: user=1\r\n"), (false, "odd".to_owned()));
    assert_eq!(ask("Cookie: user=3\r\n"), (true, "odd".to_owned()));
    assert_eq!(ask("Cookie: user=2\r\n"), (false, "even".to_owned()));
    assert_eq!(ask("Cookie: user=4\r\n"), (true, "even".to_owned()));
    assert_eq!(ask(""), (false, "anybody".to_owned()));
    assert_eq!(ask(""), (true, "anybody".to_owned()));
    assert_eq!(ask("X-User-Context-Hash: even\r\n"), (true, "anybody".to_owned()), "it is not his to say");
    let hashes = origin.requests().iter().filter(|r| r.contains("/_fos_user_context_hash")).count();
    assert_eq!(hashes, 4, "each user's is found out once");
    ask("Cookie: user=3\r\n");
    assert_eq!(origin.requests().iter().filter(|r| r.contains("/_fos")).count(), hashes, "and kept");
}

#[test]
fn a_confirmation_neither_undoes_a_purge_nor_forgets_for_whom_the_answer_is() {
    static CACHE: OnceLock<SocketAddr> = OnceLock::new();
    let origin = Origin::start(|head| {
        if head.to_ascii_lowercase().contains("if-none-match") {
            let mut stream = connect(*CACHE.get().expect("it runs")).expect("accepted");
            stream.write_all(b"PURGE /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            assert_eq!(status(&answer), "200");
            return Act::Answer(b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n".to_vec());
        }
        let body = if head.contains("X-G: a") { "for a" } else { "for others" };
        let head = "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nETag: \"1\"\r\nVary: X-G\r\n";
        Act::Answer(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    let cache = cache(&origin);
    CACHE.set(cache.address).expect("set once");
    let ask = |lines: &str| {
        let request = format!("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n");
        let answer = cache.tell(request.as_bytes());
        answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
    };
    assert_eq!(ask("X-G: a\r\n"), "for a");
    assert_eq!(ask("X-G: a\r\n"), "for a", "confirmed, and thrown out meanwhile");
    assert_eq!(ask("X-G: b\r\n"), "for others");
    assert_eq!(ask("X-G: a\r\n"), "for a");
    assert_eq!(origin.requests().len(), 4, "nothing was there after the purge");
}

#[test]
fn nobody_takes_a_field_out_of_the_fetch_that_the_answer_is_found_by() {
    let origin = Origin::start(|head| {
        let group = if head.contains("X-Group: 1") { "one" } else { "none" };
        kept("Vary: X-Group\r\n", group)
    });
    let cache = cache(&origin);
    let ask = |lines: &str| {
        let answer = cache.tell(format!("GET /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n").as_bytes());
        answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
    };
    assert_eq!(ask("X-Group: 1\r\nConnection: close, x-group\r\n"), "none");
    assert_eq!(ask("X-Group: 1\r\nConnection: close\r\n"), "one");
    assert_eq!(ask("Connection: close\r\n"), "none");
    assert_eq!(origin.requests().len(), 2);
    let origin = Origin::start(groups);
    let cache = self::cache(&origin);
    let ask = |lines: &str| {
        let answer = cache.tell(format!("GET /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n").as_bytes());
        answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
    };
    ask("Cookie: user=1\r\nConnection: close\r\n");
    assert_eq!(ask("Cookie: user=2\r\nConnection: close, x-user-context-hash\r\n"), "even");
}

/// Asks on a connection of its own; the head and the body that come back.
fn ask(cache: &Proxy, request: &str) -> (String, String) {
    let answer = cache.tell(request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

#[test]
fn pages_that_include_one_another_many_times_over_hold_nobody_up() {
    const PARTS: usize = 100;
    let origin = Origin::start(|head| {
        let level = head.split(' ').nth(1).and_then(|path| path[1..].parse::<u32>().ok()).unwrap_or(9);
        let include = format!("<esi:include src=\"/{}\"/>", level + 1);
        let body = if level < 4 { include.repeat(PARTS) } else { "x".to_owned() };
        kept("Surrogate-Control: content=\"ESI/1.0\"\r\n", &body)
    });
    let cache = cache(&origin);
    let start = Instant::now();
    let (code, body) = get(cache.address, "/1").expect("answered");
    // All of it would be a million parts.
    assert!(code == 200 && (5_000..10_000).contains(&body.len()), "{} bytes", body.len());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_page_that_is_not_kept_is_put_together_too() {
    let origin = Origin::start(|head| {
        if head.contains("/part") {
            return ok("PART");
        }
        let body = "a<esi:include src=\"/part\"/>b";
        let head = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n";
        Act::Answer(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    let cache = cache(&origin);
    for _ in 0..2 {
        assert_eq!(get(cache.address, "/page").expect("answered"), (200, "aPARTb".to_owned()));
    }
    assert_eq!(origin.requests().iter().filter(|r| r.contains("/page")).count(), 2, "it is not kept");
}

#[test]
fn a_client_of_the_old_version_gets_neither_chunks_nor_interim_answers() {
    let origin = Origin::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
        Act::Answer(format!("{head}2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n").into_bytes())
    });
    let cache = cache(&origin);
    let (head, body) = ask(&cache, "GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
    assert!(body == "abcde" && !head.to_lowercase().contains("chunked"), "{head}: {body}");
    // One that was collected at first, and is too long to be kept.
    let long = Origin::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
        Act::Answer(format!("{head}{}0\r\n\r\n", chunk.repeat(20)).into_bytes())
    });
    let (_, body) = ask(&self::cache(&long), "GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
    assert!(body.len() == 20 << 20 && body.bytes().all(|b| b == b'x'), "{} bytes", body.len());
    let request = "POST /a HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
    let (head, body) = ask(&cache, request);
    assert!(head.starts_with("HTTP/1.1 200") && body == "abcde", "{head}: {body}");
}

#[test]
fn interim_answers_without_end_are_not_read_to_their_end() {
    let origin = Origin::start(|_| {
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
        Act::Answer((interim + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").into_bytes())
    });
    assert_eq!(get(cache(&origin).address, "/a").expect("answered").0, 502);
}

#[test]
fn those_who_wait_for_a_fetch_that_fails_share_what_is_good_enough_for_that() {
    let origin = Origin::start(|head| {
        if head.to_ascii_lowercase().contains("if-none-match") {
            // Long enough for all to come meanwhile.
            std::thread::sleep(Duration::from_millis(500));
            return Act::Answer(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec());
        }
        let head =
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60, stale-if-error=60\r\nETag: \"1\"\r\nxkey: t\r\n";
        Act::Answer(format!("{head}Content-Length: 4\r\n\r\nkept").into_bytes())
    });
    let cache = cache(&origin);
    assert_eq!(get(cache.address, "/a").expect("answered"), (200, "kept".to_owned()));
    ask(&cache, "PURGE /a HTTP/1.1\r\nHost: h\r\nxkey-softpurge: t\r\n\r\n");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(get(cache.address, "/a").expect("answered"), (200, "kept".to_owned())));
        }
    });
    assert!(origin.requests().len() < 5, "one after the other: {:?}", origin.requests());
}

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
        "PURGE /elsewhere HTTP/1.1\r\n",
    ] {
        let (origin, arrived, go) = patient(|_| kept("xkey: list page\r\n", "old"));
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
