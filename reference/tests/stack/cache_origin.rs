//! The HTTP cache before servers that are slow, broken, or more than it can hold.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::origin::{Act, Origin, Proxy, ok, status};
use crate::room::{connect, eventually, get, receive, send};

pub(crate) fn cache(origin: &Origin) -> Proxy {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/cache.toml");
    Proxy::of(&scenario, "cache", &[origin.address])
}

/// An answer that may be kept, with these further lines.
pub(crate) fn kept(lines: &str, body: &str) -> Act {
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
            "<<esi:include src=\"/self\" onerror=\"continue\"/>|<esi:include src=\"/self\" onerror=\"continue\"/>>",
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
fn parts_fall_back_and_leave_gaps_where_that_is_allowed_and_fail_their_pages_else() {
    let origin = Origin::start(|head| {
        let page = match head.split(' ').nth(1).unwrap_or("") {
            "/gap" => {
                "a<esi:include src=\"/bad\" alt=\"/good\"/>b<esi:include src=\"/bad\" onerror=\"continue\"/>c<esi:remove>x</esi:remove>"
            }
            "/strict" => "a<esi:include src=\"/bad\"/>b",
            "/within" => {
                "a<esi:include src=\"/strict\" onerror=\"continue\"/>b<esi:include src=\"/strict\" alt=\"/good\"/>"
            }
            "/deep" => "<esi:include src=\"/deep\"/>",
            "/bad" => return Act::Answer(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops".to_vec()),
            _ => return ok("GOOD"),
        };
        kept("Surrogate-Control: content=\"ESI/1.0\"\r\n", page)
    });
    let cache = cache(&origin);
    let body =
        |path: &str| Some(get(cache.address, path).expect("answered")).filter(|a| a.0 == 200).map(|a| a.1);
    assert_eq!(body("/gap").as_deref(), Some("aGOODbc"));
    assert_eq!(body("/within").as_deref(), Some("abGOOD"), "a page that fails is a part that fails");
    for path in ["/strict", "/deep"] {
        assert_eq!(get(cache.address, path).expect("answered").0, 502, "{path}");
    }
    let answer = cache.tell(b"HEAD /strict HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&answer), "200", "no part is asked for");
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
fn a_confirmation_does_not_undo_a_purge_that_makes_stale() {
    const SOFT: &[u8] = b"PURGE / HTTP/1.1\r\nHost: h\r\nxkey-softpurge: a\r\nConnection: close\r\n\r\n";
    static CACHE: OnceLock<SocketAddr> = OnceLock::new();
    static PURGED: AtomicBool = AtomicBool::new(false);
    let origin = Origin::start(|head| {
        if !head.to_ascii_lowercase().contains("if-none-match") {
            return kept("Cache-Control: stale-while-revalidate=60\r\nETag: \"1\"\r\nxkey: a\r\n", "a page");
        }
        if !PURGED.swap(true, Ordering::SeqCst) {
            let mut stream = connect(*CACHE.get().expect("it runs")).expect("accepted");
            stream.write_all(SOFT).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            assert_eq!(status(&answer), "200");
        }
        let fields = "Cache-Control: max-age=60, stale-while-revalidate=60";
        Act::Answer(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n\r\n").into_bytes())
    });
    let cache = cache(&origin);
    CACHE.set(cache.address).expect("set once");
    let page = || cache.tell(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").to_ascii_lowercase();
    assert!(page().contains("x-cache: miss"));
    assert_eq!(status(&cache.tell(SOFT)), "200");
    assert!(page().contains("x-cache: stale"), "it is fetched in the background");
    eventually("it is fresh again", || page().contains("x-cache: hit"));
    assert_eq!(origin.requests().len(), 3, "what was purged while it was confirmed is asked for once more");
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
fn the_order_of_a_query_makes_a_difference_where_the_file_says_so() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/cache.toml"));
    let text = text.expect("it is there").replacen("memory = ", "normalise = false\nmemory = ", 1);
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let origin = Origin::start(|head| kept("", head.split(' ').nth(1).unwrap_or("")));
    let (alike, apart) = (cache(&origin), Proxy::of(file.path(), "cache", &[origin.address]));
    let (one, other) = ("/a?x=1&y=2", "/a?y=2&x=1");
    for target in [one, other] {
        assert_eq!(get(alike.address, target).expect("answered").1, one, "the first is for both");
    }
    for target in [one, other, one, other] {
        assert_eq!(get(apart.address, target).expect("answered").1, target);
    }
    assert_eq!(origin.requests().len(), 3, "each is kept");
}

#[test]
fn a_change_throws_out_what_its_answer_names_and_one_that_fails_throws_out_nothing() {
    let origin = Origin::start(|head| {
        let answer = match head.split(' ').next().unwrap_or("") {
            "POST" => "201 Created\r\nLocation: /made\r\nContent-Location: http://test/list",
            "PUT" => "200 OK\r\nLocation: http://elsewhere/made",
            "DELETE" => "409 Conflict\r\nLocation: /made",
            _ => return kept("", "page"),
        };
        Act::Answer(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    });
    let cache = cache(&origin);
    let is_hit = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        ask(&cache, &request).0.contains("x-cache: HIT")
    };
    for (method, stays) in [
        ("POST", [false, false, false, true]),
        ("PUT", [false, true, true, true]),
        ("DELETE", [true; 4]),
        ("OPTIONS", [true; 4]),
    ] {
        let paths = ["/form", "/made", "/list", "/other"];
        // What the change before has thrown out is fetched again.
        let _ = paths.map(is_hit);
        assert_eq!(paths.map(is_hit), [true; 4]);
        let change = "HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b";
        ask(&cache, &format!("{method} /form {change}"));
        assert_eq!(paths.map(is_hit), stays, "{method}");
    }
}

#[test]
fn a_head_that_finds_nothing_fetches_for_all_who_come_after_it() {
    let origin = Origin::start(|_| kept("", "whole"));
    let cache = cache(&origin);
    let (head, body) = ask(&cache, "HEAD /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(head.contains("content-length: 5\r\n") && head.contains("x-cache: MISS"), "{head}");
    assert_eq!(body, "");
    assert_eq!(get(cache.address, "/a").expect("answered"), (200, "whole".to_owned()));
    assert!(origin.requests().len() == 1 && origin.requests()[0].starts_with("GET /a "));
}

#[test]
fn a_change_that_the_back_end_may_have_made_is_not_asked_for_again() {
    let origin = Origin::start(|head| match head.starts_with("POST") {
        true => Act::AnswerAndClose(Vec::new()),
        false => ok("fine"),
    });
    let cache = cache(&origin);
    // Its connection is there for the next.
    assert_eq!(get(cache.address, "/a").expect("answered"), (200, "fine".to_owned()));
    let post = "POST /a HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b";
    assert_eq!(status(&cache.tell(post.as_bytes())), "502");
    assert_eq!(origin.requests().iter().filter(|request| request.starts_with("POST")).count(), 1);
}

#[test]
fn pages_that_include_one_another_many_times_over_hold_nobody_up() {
    const PARTS: usize = 100;
    let origin = Origin::start(|head| {
        let level = head.split(' ').nth(1).and_then(|path| path[1..].parse::<u32>().ok()).unwrap_or(9);
        let include = format!("<esi:include src=\"/{}\" onerror=\"continue\"/>", level + 1);
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
