//! The gate's canary: a candidate that is half as slow again must not pass, and the base itself must not be accused.

use std::path::Path;

use benches::programs::{binaries, run};

/// A block of a third of a second: the canary is no close call.
const BLOCK: &str = r#"
title = "A short block"
[run]
duration = "300ms"
warmup = "100ms"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
steps = [{ work = "200us" }]
[traffic.users]
to = "shop"
mix = { page = 1 }
executor = "constant-arrival-rate"
rate = "500/s"
connections = 8
timeout = "5s"
"#;

/// Rounds of arithmetic that a request costs: some 200 µs.
const ROUNDS: u64 = 150_000;
/// The machine may disturb a session.
const ATTEMPTS: usize = 3;

/// The exit code of a session, and what it said; the code is none where the machine was disturbed each time.
fn gate(report: &Path, server: &Path, blocks: &[&str], rounds: u64) -> (Option<i32>, String) {
    let side = |rounds: u64| format!("{} {{port}} {rounds}", server.display());
    let (base, candidate) = (side(ROUNDS), side(rounds));
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        let sides = ["--base", &base, "--candidate", &candidate, "--budget", "60s"];
        let done = run(report, &[&["gate"][..], blocks, &sides].concat());
        said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        match done.status.code() {
            // Disturbed: another attempt.
            Some(111) => {}
            code => return (code, said),
        }
    }
    (None, said)
}

#[test]
fn a_slower_candidate_is_found_and_the_base_is_not_accused() {
    let Some([report, _loadgen]) = binaries(["report", "loadgen"]) else {
        return println!("SKIPPED: the binaries are not built; cargo test --workspace builds them");
    };
    let server = report.with_file_name("examples").join("answering");
    assert!(server.is_file(), "{}: an example of this package, built with its tests", server.display());
    let here = tempfile::tempdir().expect("a temporary directory");
    let written = |name: &str, text: &str| {
        let file = here.path().join(name);
        std::fs::write(&file, text).expect("it can be written");
        file.into_os_string().into_string().expect("the path is text")
    };
    // As much as the server can do for four users who do not think.
    let open = "executor = \"constant-arrival-rate\"\nrate = \"500/s\"\nconnections = 8\n";
    let saturated = BLOCK.replace(open, "executor = \"constant-vus\"\nvus = 4\nthink = \"0ms\"\n");
    assert_ne!(saturated, BLOCK);
    let (block, saturated) = (written("block.toml", BLOCK), written("saturated.toml", &saturated));
    match gate(&report, &server, &[&saturated, &block], ROUNDS + ROUNDS / 2) {
        (Some(code), said) => {
            assert_eq!(code, 112, "{said}");
            assert!(said.contains("cpu_per_request of block is worse"), "{said}");
            // On a machine that leaves few rounds these may stay open; they must not pass.
            for quantity in ["p50 of block", "throughput of saturated"] {
                let row = said.lines().find(|line| line.trim_start().starts_with(&format!("{quantity}  ")));
                let finding = row.and_then(|row| row.split_whitespace().last());
                assert!(matches!(finding, Some("regressed" | "open")), "{quantity}: {said}");
            }
        }
        (None, said) => {
            let required = std::env::var("REHEARSAL_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|what| what == "canary"), "it must be found here:\n{said}");
            return println!("SKIPPED: this machine disturbed each of {ATTEMPTS} sessions");
        }
    }
    if let (Some(code), said) = gate(&report, &server, &[&block, "--in-turn"], ROUNDS) {
        assert_ne!(code, 112, "{said}");
    }
}
