//! The HTTP cache, as others test caches: the public tests of the npm package `http-cache-tests`, and scripts for Varnish's
//! `varnishtest`. What is not there is skipped, unless `REHEARSAL_REQUIRE` names it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::origin::Proxy;

const REFERENCE: &str = env!("CARGO_BIN_EXE_reference");
/// The tests wait for answers to age by whole seconds, which a machine that stalls turns into other ages; so what has failed
/// may pass another time.
const ATTEMPTS: usize = 3;
/// The least that are to be passed of the 165 required tests.
const LEAST_PASSED: usize = 135;

fn conformance(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(file)
}

/// Says that a test is skipped, unless it must not be.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(what: &str, why: &str) {
    let required = std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == what));
    assert!(!required, "{what}: {why}, though REHEARSAL_REQUIRE names it");
    eprintln!("SKIPPED: {what}: {why}");
}

#[test]
fn the_public_tests_are_passed_but_for_those_that_the_table_explains() {
    let Some(package) = std::env::var_os("HTTP_CACHE_TESTS") else {
        return skip("http-cache-tests", "HTTP_CACHE_TESTS does not name the directory of the npm package");
    };
    let explained: Value = serde_json::from_slice(
        &std::fs::read(conformance("not-passed.json"))
            .expect("the list of tests that are not passed is there"),
    )
    .expect("it is JSON");
    let explained = explained["tests"].as_object().expect("it has tests");
    let mut failed: BTreeMap<String, String> = BTreeMap::new();
    for attempt in 1..=ATTEMPTS {
        let output = Command::new("node")
            .arg("--no-warnings")
            .args([conformance("http-cache-tests.mjs"), PathBuf::from(&package), REFERENCE.into()])
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) => return skip("http-cache-tests", &format!("node: {error}")),
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let results: Vec<Value> = serde_json::from_slice(&output.stdout).expect("results are JSON");
        assert_eq!(results.len(), 165, "the required tests");
        let now: BTreeMap<String, String> = results
            .iter()
            .filter(|result| result["passed"] == false)
            .map(|result| (result["id"].to_string().replace('"', ""), result["message"].to_string()))
            .collect();
        if attempt == 1 {
            failed = now;
        } else {
            failed.retain(|id, _| now.contains_key(id));
        }
        let unexplained: Vec<_> = failed.iter().filter(|(id, _)| !explained.contains_key(*id)).collect();
        if unexplained.is_empty() {
            let passed = 165 - failed.len();
            assert!(passed >= LEAST_PASSED, "{passed} of 165 passed");
            println!("{passed} of 165 passed");
            return;
        }
    }
    failed.retain(|id, _| !explained.contains_key(id));
    panic!("failed in each of {ATTEMPTS} attempts, and not in not-passed.json: {failed:#?}");
}

/// A port of this machine's that is free, and stays so for those who allow its reuse.
fn reserve() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    (socket, address)
}

fn varnishtest(script: &str, origins: usize) {
    let reserved: Vec<(Socket, SocketAddr)> = (0..origins).map(|_| reserve()).collect();
    let origins: Vec<SocketAddr> = reserved.iter().map(|(_, address)| *address).collect();
    let cache = Proxy::of(&conformance("cache.toml"), "cache", &origins);
    let mut command = Command::new("varnishtest");
    command.arg(format!("-Dcache={}", cache.address));
    for (number, origin) in origins.iter().enumerate() {
        command.arg(format!("-Dorigin{}={origin}", number + 1));
    }
    match command.arg(conformance("vtc").join(script)).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => skip("varnishtest", &error.to_string()),
    }
}

#[test]
fn varnishtest_finds_that_simultaneous_misses_are_one_fetch() {
    varnishtest("coalescing.vtc", 1);
}

#[test]
fn varnishtest_finds_that_uncacheable_answers_do_not_wait_for_each_other() {
    varnishtest("hit-for-miss.vtc", 2);
}

#[test]
fn varnishtest_finds_that_stale_answers_serve_in_their_grace() {
    varnishtest("grace.vtc", 1);
}
