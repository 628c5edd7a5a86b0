//! What cannot be played is said before anything is started, with exit code 104.

use std::net::TcpListener;

use crate::support::{Place, errors};

const FAULT: &str = "[[faults]]\nat = \"1s\"\nfor = \"1s\"\nkill = \"host:app[1]\"";

/// The message of a command that ends with 104 and leaves no run.
fn refused(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output =
        place.command(arguments).envs(environment.iter().copied()).output().expect("it can be started");
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(104), "{errors}");
    assert_eq!(place.runs(), Vec::<std::path::PathBuf>::new(), "{errors}");
    errors
}

#[test]
fn a_public_target_needs_a_word() {
    let place = Place::new();
    place.shop("1s", "");
    // An address that is kept for documentation: nothing would answer.
    let message = refused(&place, &["run", "shop.toml", "--target", "http://203.0.113.7/"], &[]);
    assert!(
        message.contains("203.0.113.7, a public address") && message.contains("--i-am-authorised"),
        "{message}"
    );
}

#[test]
fn faults_are_not_for_targets() {
    let place = Place::new();
    place.shop("5s", FAULT);
    let message = refused(&place, &["run", "shop.toml", "--target", "http://127.0.0.1:9/"], &[]);
    assert!(message.contains("shop.toml:42:1: faults[1]:"), "{message}");
    assert!(message.contains("kill host:app[1]") && message.contains("--skip-faults"), "{message}");
}

#[test]
fn a_target_without_a_server_is_named() {
    let place = Place::new();
    place.shop("5s", FAULT);
    let free = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let target = format!("http://{}", free.local_addr().expect("a bound socket has an address"));
    drop(free);
    let message = refused(&place, &["run", "shop.toml", "--skip-faults", "--target", &target], &[]);
    assert!(message.contains("traffic.shoppers: nothing accepts connections at 127.0.0.1:"), "{message}");
}

#[test]
fn a_broken_scenario_is_shown_with_its_place() {
    let place = Place::new();
    place.shop("5 parsecs", "");
    let message = refused(&place, &["run", "shop.toml"], &[]);
    assert!(message.contains("shop.toml:3:12: run.duration: found \"5 parsecs\""), "{message}");
}

#[test]
fn the_surroundings_limit_rate_and_duration() {
    let place = Place::new();
    place.shop("5s", "");
    let message = refused(&place, &["run", "shop.toml"], &[("REHEARSAL_MAX_RATE", "99")]);
    assert!(message.contains("reaches 100/s, the limit REHEARSAL_MAX_RATE is 99/s"), "{message}");
    let message = refused(&place, &["run", "shop.toml"], &[("REHEARSAL_MAX_DURATION", "5")]);
    assert!(message.contains("takes 6 s, the limit REHEARSAL_MAX_DURATION is 5 s"), "{message}");
}

#[test]
fn a_file_runs_no_command() {
    let place = Place::new();
    for (lines, found) in [
        ("[hooks]\nbefore = \"touch ran\"", "hooks"),
        ("[run.hooks]\nafter = \"touch ran\"", "run.hooks"),
        (
            "[components.more]\nkind = \"service\"\nhost = \"app\"\ncommand = \"touch ran\"",
            "components.more.command",
        ),
        (
            "[components.more]\nkind = \"kv-store\"\nhost = \"data\"\nengine = \"/bin/touch\"",
            "components.more.engine",
        ),
    ] {
        place.shop("1s", lines);
        let message = refused(&place, &["run", "shop.toml"], &[]);
        assert!(message.contains(&format!(": {found}: found ")), "{message}");
    }
    assert!(!place.directory.path().join("ran").exists());
}

#[test]
fn a_file_alone_sends_load_to_no_other_machine() {
    let place = Place::new();
    let archive = |url: &str| {
        format!(
            "[components.archive]\nkind = \"sql-store\"\nhost = \"data\"\nread = \"2ms\"\nwrite = \"2ms\"\nengine = \"{url}\""
        )
    };
    // Addresses that are kept for documentation, and of a private network: nothing is asked there.
    for (url, what) in [
        ("mysql://me:secret@203.0.113.7/shop", "203.0.113.7, a public address"),
        ("mysql://me:secret@10.255.0.1:3306/shop", "10.255.0.1, another machine's"),
    ] {
        place.shop("1s", &archive(url));
        let message = refused(&place, &["run", "shop.toml"], &[]);
        assert!(message.contains("components.archive.engine: found a server at "), "{message}");
        assert!(message.contains(what) && message.contains("--i-am-authorised"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    place.shop("1s", &archive("mysql://me:secret@127.0.0.1?@203.0.113.7/shop"));
    let message = refused(&place, &["run", "shop.toml"], &[]);
    assert!(message.contains("found a URL without a clear host"), "{message}");
    // Named again on the command line, one of a private network may be asked; a public one may not.
    place.shop("1s", &archive("embedded"));
    let chosen = "archive=mysql://203.0.113.7/shop";
    let message = refused(&place, &["run", "shop.toml", "--engine", chosen], &[]);
    assert!(message.contains("203.0.113.7, a public address"), "{message}");
}

#[test]
fn every_thread_needs_a_connection() {
    let place = Place::new();
    place.shop("5s", "");
    let message = refused(&place, &["run", "shop.toml", "--threads", "11"], &[]);
    assert!(message.contains("found 11 threads, expected at most 10"), "{message}");
}

#[test]
fn help_shows_examples() {
    let place = Place::new();
    for arguments in [&["--help"][..], &["run", "--help"], &["completions", "--help"]] {
        let output = place.run(arguments);
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && help.contains("Example"), "{help}");
    }
    let output = place.run(&["completions", "bash"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("_loadgen()"));
}
