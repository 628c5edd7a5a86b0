//! Nothing outlives the one who wanted it.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reference::client::{Options, Stack};
use rustix::process::geteuid;
use scenarios::Scenario;

use crate::room::{eventually, get, shop, start};
use crate::schedules;

/// A process that holds a stack, and the lines that it prints until one contains `until`.
pub(crate) fn holder(
    scenario: &Scenario,
    options: &[&str],
    until: &str,
) -> (Child, Vec<String>, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("scenario.toml");
    let mut text = std::fs::File::create(&file).expect("a file");
    text.write_all(scenario.source.text.as_bytes()).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference"));
    let (child, lines) = hold(command.arg("up").arg(&file).args(options), until);
    (child, lines, directory)
}

/// Starts it; the lines that it prints until one contains `until`.
fn hold(command: &mut Command, until: &str) -> (Child, Vec<String>) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        lines.push(line.expect("text"));
        if lines.last().is_some_and(|line| line.contains(until)) {
            break;
        }
    }
    (child, lines)
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

/// The user as whom a process acts.
pub(crate) fn user_of(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("the kernel says it");
    line.split_whitespace().nth(1).and_then(|user| user.parse().ok()).expect("a number")
}

/// A process of an ordinary user that holds a stack, the lines that it prints until it is up, and what it has its files in.
pub(crate) fn ordinary_holder(scenario: &Scenario) -> (Child, Vec<String>, tempfile::TempDir) {
    // Whoever is root becomes nobody, who can read neither this crate nor what was built of it.
    const NOBODY: u32 = 65_534;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let everybodys = |name: &str, mode: u32| {
        let path = directory.path().join(name);
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
        path
    };
    std::fs::write(directory.path().join("scenario.toml"), &*scenario.source.text).expect("written");
    std::fs::copy(env!("CARGO_BIN_EXE_reference"), directory.path().join("reference")).expect("copied");
    everybodys("", 0o755);
    let (program, file) = (everybodys("reference", 0o755), everybodys("scenario.toml", 0o644));
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
        command.args(ids).arg(program);
        command
    } else {
        Command::new(program)
    };
    let (child, lines) = hold(command.arg("up").arg(file).current_dir(directory.path()), "Ctrl-C");
    (child, lines, directory)
}

#[test]
fn it_runs_as_an_ordinary_user() {
    let scenario = shop("", "workers = 4", &["wait = \"1ms\""], &[]);
    let (mut child, lines, _directory) = ordinary_holder(&scenario);
    let line = lines.iter().find(|line| line.contains("balancer[1]")).expect("it is named");
    let address = line.split_whitespace().find_map(|word| word.parse().ok()).expect("with its address");
    assert_eq!(get(address, "/item/1").expect("answered").0, 200);
    let family = descendants(child.id());
    assert_eq!(family.len(), 6, "a supervisor and five components");
    assert!(family.iter().all(|pid| user_of(*pid) != 0), "none of them is root's");
    let term = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
    assert!(term.success() && child.wait().expect("reaped").success());
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
    let text = shop("", "workers = 4", &["wait = \"1ms\""], &[]).source.text.clone();
    let text = text.replace("[hosts.db]", "[hosts.db]\nscheduling = \"priority\"");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("priority.toml");
    std::fs::write(&file, &text).expect("written");
    let output =
        Command::new(env!("CARGO_BIN_EXE_reference")).arg("check").arg(&file).output().expect("it runs");
    assert_eq!(output.status.code(), Some(104));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("hosts.db.scheduling"), "{message}");
    assert!(message.contains("priority.toml:"), "{message}");
}

#[test]
fn a_check_says_as_how_many_processes_the_stack_runs() {
    let cut = "[[faults]]\nat = \"1s\"\nfor = \"1s\"\npartition = [\"clients\", \"edge\"]\n";
    let (mut child, _, directory) = holder(&schedules::stack(true, cut), &[], "Ctrl-C");
    let file = directory.path().join("scenario.toml");
    let output =
        Command::new(env!("CARGO_BIN_EXE_reference")).arg("check").arg(&file).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let processes = descendants(child.id()).len();
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(interrupt.success() && child.wait().expect("reaped").success());
    assert_eq!(processes, 10, "a supervisor, seven instances, a copy and the network");
    assert!(told.contains(&format!("{processes} processes")), "{told}");
}

#[test]
fn an_interrupted_start_leaves_nothing() {
    // Filling it takes seconds.
    let text = shop("", "workers = 4", &["wait = \"1ms\""], &[]).source.text.clone();
    let text = text
        .replace("keys = 50", "keys = 8_000_000")
        .replace("max_memory = \"1MiB\"", "max_memory = \"4GiB\"");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("large.toml");
    std::fs::write(&file, text).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_reference"))
        .arg("up")
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    eventually("it has started its processes", || descendants(child.id()).len() == 6);
    let family = descendants(child.id());
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(interrupt.success());
    child.wait().expect("reaped");
    for pid in family {
        eventually("a descendant is gone", || is_gone(pid));
    }
}

#[test]
fn what_dies_without_being_told_to_is_started_again_at_its_address() {
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let before: Vec<_> = stack.listeners().iter().filter(|l| l.component == "shop").cloned().collect();
    for _ in 0..2 {
        let supervisor = parent_of(stack.listeners()[0].pid).expect("it lives");
        let named = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "shop[1]")
        };
        let pid = descendants(supervisor).into_iter().find(named).expect("it is there").to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status().expect("kill runs");
        assert!(killed.success());
        eventually("it is gone", || is_gone(pid.parse().expect("a number")));
        eventually("it answers again", || {
            get(before[0].address, "/item/1").is_ok_and(|(status, _)| status == 200)
        });
    }
}

/// The process of an instance, by the name that the list of processes has.
fn process_of(stack: &Stack, name: &str) -> Option<u32> {
    let supervisor = parent_of(stack.listeners()[0].pid)?;
    let named = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    descendants(supervisor).into_iter().find(|pid| named(pid) && !is_gone(*pid))
}

#[test]
fn what_dies_too_often_is_left_dead_until_a_fault_of_it_ends() {
    let rules = "workers = 4\nrestarts = { after = \"1ms\", at_most = \"1ms\", times = 1, within = \"1h\" }";
    let stack = start(&shop("", rules, &["wait = \"1ms\""], &["kill = \"component:shop[1]\""]));
    let [one, other] = [0, 1].map(|instance| stack.entry("shop")[instance]);
    let answers = |address| get(address, "/item/1").is_ok_and(|(status, _)| status == 200);
    let kill = |name: &str| {
        let pid = process_of(&stack, name).expect("it is there");
        let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
        assert!(killed.success());
        eventually("it is gone", || is_gone(pid));
    };
    kill("shop[1]");
    eventually("it is started again once", || answers(one));
    kill("shop[1]");
    // Whatever is started again is there by the time that another is, which died later.
    kill("shop[2]");
    eventually("the other is started again", || answers(other));
    assert!(!answers(one) && process_of(&stack, "shop[1]").is_none(), "it is left dead");
    stack.begin_fault(0).expect("it is dead already");
    stack.end_fault(0).expect("started");
    assert!(answers(one), "the end of a fault starts it");
}

#[test]
fn what_breaks_down_by_chance_is_started_again_and_takes_its_time() {
    let text = shop("", "workers = 4\nrestart = \"300ms\"", &["wait = \"1ms\""], &[]).source.text.clone();
    let text = text
        .replace("count = 2\ncores", "count = 2\nbreakdowns = { up = \"700ms\", down = \"100ms\" }\ncores");
    let scenario = Scenario::parse(Path::new("breakdowns.toml"), text).unwrap_or_else(|p| panic!("{p}"));
    let stack = start(&scenario);
    let shop = stack.entry("shop")[0];
    // A machine that stands still notices a death late.
    let took = (0..5).map(|_| {
        eventually("it is dead", || get(shop, "/item/1").is_err());
        let began = Instant::now();
        eventually("it answers again", || get(shop, "/item/1").is_ok_and(|(status, _)| status == 200));
        began.elapsed()
    });
    let longest = took.max().expect("five of them");
    assert!(longest >= Duration::from_millis(250), "the longest of five took {longest:?}");
}

#[test]
fn ports_can_be_fixed_and_logs_are_kept_apart() {
    let text =
        shop("", "workers = 4", &["wait = \"1ms\""], &["kill = \"component:shop[1]\""]).source.text.clone();
    let scenario = Scenario::parse(Path::new("ports.toml"), text).unwrap_or_else(|p| panic!("{p}"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let logs = directory.path().join("logs");
    // A range that is free now, most likely; who else wants it is gone soon.
    let started = (0..20).find_map(|attempt: u16| {
        let first = 21_000 + (std::process::id() % 500) as u16 * 20 + attempt;
        let mut options = Options::default();
        options.executable = Some(env!("CARGO_BIN_EXE_reference").into());
        options.logs = Some(logs.clone());
        options.first_port = Some(first);
        Stack::start_with(&scenario, &options).ok().map(|stack| (stack, first))
    });
    let (stack, first) = started.expect("one of twenty ranges is free");
    let ports: Vec<u16> = stack.listeners().iter().map(|listener| listener.address.port() - first).collect();
    assert_eq!(ports, [0, 1, 1, 2, 3], "in the file's order");
    let mut names: Vec<_> = std::fs::read_dir(&logs)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["archive-1.log", "balancer-1.log", "objects-1.log", "shop-1.log", "shop-2.log"]);
    drop(stack);
    let log = std::fs::read_to_string(logs.join("shop-1.log")).expect("a log");
    let first: serde_json::Value =
        serde_json::from_str(log.lines().next().expect("it has a line")).expect("lines are JSON");
    assert_eq!((first["level"].as_str(), first["channel"].as_str()), (Some("info"), Some("process")));
}
