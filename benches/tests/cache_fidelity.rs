//! The models of Varnish's storage and of InnoDB's buffer pool against the real ones, on a short trace each. The long ones
//! are in `benches/tables/cache-fidelity.md`.
//!
//! Where a server is not installed its test says so and passes, unless `REHEARSAL_REQUIRE` names the server.
#![allow(clippy::print_stderr, reason = "a test that skips says so")]

use benches::{innodb, varnish};

fn installed(server: &str) -> bool {
    let there = std::process::Command::new(server).arg("--version").output().is_ok();
    let required = std::env::var("REHEARSAL_REQUIRE").unwrap_or_default();
    assert!(
        there || !required.split(',').any(|name| name == server),
        "{server} is required and not installed"
    );
    if !there {
        eprintln!("skipped: {server} is not installed");
    }
    there
}

#[test]
fn varnish_and_its_model_meet_the_same() {
    if !installed("varnishd") {
        return;
    }
    let cell =
        varnish::Cell { requests: 60_000, exponent: 1.0, share: 0.1, ttl_seconds: 3600, grace_seconds: 0 };
    let outcome = varnish::play(&cell).expect("varnishd starts and answers");
    assert!((outcome.real_ratio - outcome.model_ratio).abs() < 0.003, "{outcome:?}");
    assert!(outcome.alike > 0.99, "{outcome:?}");
}

#[test]
fn innodb_and_its_model_read_the_same() {
    if !installed("mariadbd") {
        return;
    }
    let table = innodb::Table::load().expect("mariadbd starts and makes a table");
    let cell =
        innodb::Cell { requests: 40_000, exponent: 1.0, pool_mebibytes: 16, reserve: 100, old_millis: 20 };
    let outcome = innodb::play(&table, &cell).expect("mariadbd answers");
    assert!((outcome.real_ratio - outcome.model_ratio).abs() < 0.01, "{outcome:?}");
}
