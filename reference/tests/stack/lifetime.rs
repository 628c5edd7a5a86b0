//! Nothing outlives the one who wanted it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use scenarios::Scenario;

use crate::room::{eventually, shop, start};

/// A process that holds a stack, and the lines that it prints until one contains `until`.
fn holder(scenario: &Scenario, options: &[&str], until: &str) -> (Child, Vec<String>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("scenario.toml");
    let mut text = std::fs::File::create(&file).expect("a file");
    text.write_all(scenario.source.text.as_bytes()).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_reference"))
        .arg("up")
        .arg(&file)
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        lines.push(line.expect("text"));
        if lines.last().is_some_and(|line| line.contains(until)) {
            break;
        }
    }
    (child, lines, directory)
}

/// The processes that started by this one.
pub(crate) fn descendants(parent: u32) -> Vec<u32> {
    let children = std::fs::read_dir("/proc").expect("a /proc").filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (parent_of(pid)? == parent).then_some(pid)
    });
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// The process that started this one.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state parent …
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Whether a process is dead.
pub(crate) fn is_gone(pid: u32) -> bool {
    // A zombie that nobody reaps yet is dead too.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

#[test]
fn nothing_survives_the_sudden_death_of_the_holder_not_even_the_stopped() {
    let scenario = shop("", "workers = 4", &["wait = \"1ms\""], &["hang = \"host:app[1]\""]);
    let (mut child, lines, _directory) = holder(&scenario, &["--faults"], "begins");
    assert!(lines.last().is_some_and(|line| line.contains("hang host:app[1] begins")), "{lines:?}");
    let family = descendants(child.id());
    assert_eq!(family.len(), 6, "a supervisor and five components");
    child.kill().expect("SIGKILL");
    child.wait().expect("reaped");
    for pid in family {
        eventually("a descendant is gone", || is_gone(pid));
    }
}

#[test]
fn a_request_to_terminate_ends_in_order() {
    let scenario = shop("", "workers = 4", &["wait = \"1ms\""], &[]);
    let (mut child, lines, _directory) = holder(&scenario, &[], "Ctrl-C");
    assert!(
        lines.iter().any(|line| line.contains("balancer[1]") && line.contains("127.0.1.1:")),
        "{lines:?}"
    );
    let family = descendants(child.id());
    let term = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
    assert!(term.success());
    assert!(child.wait().expect("reaped").success());
    assert!(family.into_iter().all(is_gone), "all are gone before it ends");
}

#[test]
fn the_components_do_not_survive_their_supervisor() {
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let pids: Vec<u32> = stack.listeners().iter().map(|l| l.pid).collect();
    let supervisor = parent_of(pids[0]).expect("it lives");
    let killed = Command::new("kill").args(["-KILL", &supervisor.to_string()]).status().expect("kill runs");
    assert!(killed.success());
    for pid in pids {
        eventually("a component is gone", || is_gone(pid));
    }
    assert!(stack.stats().is_err());
    stack.stop();
}

#[test]
fn a_dropped_stack_is_gone_and_the_next_starts() {
    let scenario = shop("", "workers = 4", &["wait = \"1ms\""], &[]);
    for _ in 0..2 {
        let stack = start(&scenario);
        let pids: Vec<u32> = stack.listeners().iter().map(|l| l.pid).collect();
        assert!(pids.iter().all(|pid| Path::new(&format!("/proc/{pid}")).exists()));
        drop(stack);
        assert!(pids.into_iter().all(is_gone));
    }
}

#[test]
fn what_the_stack_cannot_run_is_an_error_with_its_place() {
    let scenario = shop("", "workers = 4\nworker_holds = \"connection\"", &["wait = \"1ms\""], &[]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("connection.toml");
    std::fs::write(&file, &scenario.source.text).expect("written");
    let output =
        Command::new(env!("CARGO_BIN_EXE_reference")).arg("check").arg(&file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(104));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("components.shop.worker_holds"), "{message}");
    assert!(message.contains("connection.toml:"), "{message}");
}
