//! Runs in the browser.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use crate::served::Served;
use crate::synthetic::{Play, SHOP, record, scenario};

fn serve(directory: &Path) -> Served {
    Served::start(env!("CARGO_BIN_EXE_report"), directory)
}

/// A directory `runs` with two runs, a log, a secret beside it and links to the secret.
fn runs(at: &Path) -> Served {
    let runs = at.join("runs");
    record(&runs.join("one-sim"), &scenario(SHOP), Play::SIM);
    record(&runs.join("two-loadgen"), &scenario(SHOP), Play::LOADGEN);
    record(&at.join("secret"), &scenario(&SHOP.replace("A small shop", "A secret shop")), Play::SIM);
    std::fs::copy(runs.join("one-sim/latency.hlog"), runs.join("of another & tool.hlog"))
        .expect("it can be copied");
    std::fs::write(runs.join("notes.md"), "no run").expect("it can be written");
    std::os::unix::fs::symlink(at.join("secret"), runs.join("a-link")).expect("it can be made");
    std::fs::create_dir(runs.join("half")).expect("it can be made");
    std::os::unix::fs::symlink(at.join("secret/run.json"), runs.join("half/run.json"))
        .expect("it can be made");
    serve(&runs)
}

#[test]
fn runs_are_listed_drawn_and_compared() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let served = runs(directory.path());
    assert!(served.address.starts_with("127.0.0.1:"), "{}", served.address);
    let list = served.get("/");
    assert!(
        list.starts_with("HTTP/1.1 200 OK\r\n")
            && list.contains("content-security-policy: default-src 'none'")
    );
    for text in
        ["/run?name=one-sim", "A small shop loses a node", "✗ not good", "of%20another%20%26%20tool.hlog"]
    {
        assert!(list.contains(text), "{text} is in the list:\n{list}");
    }
    assert!(!list.contains("notes.md") && !list.contains("a-link") && !list.contains("half"), "{list}");
    assert!(served.get("/run?name=one-sim").contains("By phase"));
    assert!(served.get("/run?name=of%20another%20%26%20tool.hlog").contains("An interval log"));
    assert!(served.get("/compare?a=one-sim&b=two-loadgen").contains("Prediction error"));
    assert!(served.get("/compare?a=one-sim").contains("Choose one run as A"));
    // Browsers ask for it by themselves, and would complain.
    assert!(served.get("/favicon.ico").starts_with("HTTP/1.1 204 "));
    let head = served.say(&format!("HEAD / HTTP/1.1\r\nhost: {}\r\n\r\n", served.address));
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn nothing_outside_the_directory_is_shown_to_nobody_from_elsewhere() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let served = runs(directory.path());
    for name in [
        "..%2Fsecret",
        "../secret",
        "a-link",
        "half",
        "%2e%2e",
        ".",
        "",
        "notes.md",
        "one-sim%2Frun.json",
        "one-sim%00",
    ] {
        let answer = served.get(&format!("/run?name={name}"));
        assert!(answer.starts_with("HTTP/1.1 404"), "{name}: {answer}");
        assert!(!answer.contains("secret shop"), "{name}");
    }
    let named = |host: &str| served.say(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    assert!(named("evil.example").starts_with("HTTP/1.1 403"), "a name that was pointed here");
    assert!(named(&served.address.replace("127.0.0.1", "localhost")).starts_with("HTTP/1.1 200"));
    let posted =
        served.say(&format!("POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n", served.address));
    assert!(posted.starts_with("HTTP/1.1 405") && posted.contains("\r\nallow: GET, HEAD\r\n"), "{posted}");
    assert!(served.say("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400"));
    let text = served.get("/run?name=%3Cscript%3E");
    assert!(text.contains("404") && !text.contains("<script>"), "{text}");
}

#[test]
fn a_head_without_end_is_cut_off() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let served = serve(directory.path());
    let mut stream = TcpStream::connect(&served.address).expect("it listens");
    // It may close while this is still being written, and the rest of it may reset the connection.
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(9_000)).as_bytes());
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(read.is_err() || answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
}
