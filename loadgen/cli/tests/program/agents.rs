//! One run by many machines, here by many processes: agents and a coordinator over a NATS server of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fleet::server::{self, Server};
use jiff::Timestamp;
use results::{RunRecord, Scope, Status};
use rustix::process::{Pid, Signal, kill_process};
use scenarios::Scenario;
use scenarios::plan::Plan;

use crate::support::{Place, errors, until};

/// A shop without faults, to be played against a target.
const TARGET: &str = r#"title = "A target"
[run]
duration = "DURATION"
warmup = "1s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 8
[requests.product]
path = "/product"
[[requests.product.steps]]
work = "1ms"
[requests.order]
path = "/order"
[[requests.order.steps]]
work = "1ms"
[traffic.shoppers]
to = "shop"
executor = "constant-arrival-rate"
arrivals = "poisson"
rate = "240/s"
mix = { product = 3, order = 1 }
connections = 16
[thresholds]
failed = ["rate<50%"]
"#;

/// When each request was received, by its number.
type Received = Arc<Mutex<BTreeMap<u64, Vec<Timestamp>>>>;

/// A server that answers everything, and notes the number of each request.
fn target() -> (SocketAddr, Received) {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let noted = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let noted = Arc::clone(&noted);
            thread::spawn(move || answer(stream, &noted));
        }
    });
    (address, received)
}

fn answer(mut stream: TcpStream, received: &Received) {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    stream.set_nodelay(true).expect("a connected socket takes options");
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            return;
        }
        text.extend_from_slice(&buffer[..read]);
        if text.ends_with(b"\r\n\r\n") {
            let request = String::from_utf8_lossy(&std::mem::take(&mut text)).into_owned();
            let number = request.lines().find_map(|line| line.strip_prefix("x-rehearsal-request: "));
            let number = u64::from_str_radix(number.expect("each says its number"), 16).expect("a number");
            received.lock().expect("nobody panics with it").entry(number).or_default().push(Timestamp::now());
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }
}

/// A NATS server, a directory, and what was started in it.
struct Fleet {
    place: Place,
    server: Server,
    _stored: tempfile::TempDir,
    agents: Vec<Child>,
}

impl Fleet {
    /// None where there is no server to be had.
    fn new() -> Option<Self> {
        if !server::is_there() {
            return None;
        }
        let stored = tempfile::tempdir().expect("a temporary directory can be made");
        let server = Server::start(stored.path(), &[]).expect("it starts");
        Some(Self { place: Place::new(), server, _stored: stored, agents: Vec::new() })
    }

    /// Starts agents `a1`, `a2` … with further arguments.
    fn start_agents(&mut self, number: usize, arguments: &[&str]) {
        let nats = self.server.place();
        for name in (1..=number).map(|i| format!("a{i}")) {
            let mut all = vec!["agent", "--nats", &nats, "--name", &name, "--no-doctor", "--out", "parts"];
            all.extend(arguments);
            self.agents.push(self.place.start(&all));
        }
    }

    /// The command of a run by so many agents, with further arguments.
    fn run_of(&self, agents: usize, arguments: &[&str]) -> Vec<String> {
        let (agents, nats) = (agents.to_string(), self.server.place());
        let all = ["run", "shop.toml", "--no-report", "--agents", &agents, "--nats", &nats];
        all.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect()
    }

    fn run(&self, agents: usize, arguments: &[&str]) -> Output {
        let all = self.run_of(agents, arguments);
        self.place.run(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start_run(&self, agents: usize, arguments: &[&str]) -> Child {
        let all = self.run_of(agents, arguments);
        self.place.start(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// How all agents that are left ended.
    fn ended(&mut self) -> Vec<Output> {
        let agents = std::mem::take(&mut self.agents);
        agents.into_iter().map(|agent| agent.wait_with_output().expect("it was started here")).collect()
    }

    /// The records of the agents' own parts.
    fn parts(&self) -> Vec<RunRecord> {
        let entries =
            fs::read_dir(self.place.directory.path().join("parts")).expect("agents keep them there");
        entries.flatten().map(|entry| RunRecord::read(entry.path()).expect("a record")).collect()
    }

    fn record(&self) -> RunRecord {
        RunRecord::read(self.place.runs().pop().expect("there is a run")).expect("it has a record")
    }

    /// Writes the scenario that is played against a target, lasting so long.
    fn scenario(&self, duration: &str) -> Scenario {
        let text = TARGET.replace("DURATION", duration);
        fs::write(self.place.directory.path().join("shop.toml"), &text).expect("it can be written");
        Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            // It may have ended by itself.
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// How often each request was received.
fn received(received: &Received) -> BTreeMap<u64, usize> {
    let received = received.lock().expect("nobody panics with it");
    received.iter().map(|(number, times)| (*number, times.len())).collect()
}

#[test]
fn four_agents_send_every_request_of_the_plan_once_and_their_histograms_are_one() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, seen) = target();
    let scenario = fleet.scenario("4s");
    fleet.start_agents(4, &["--allow", &url(address)]);
    let output = fleet.run(4, &["--target", &url(address)]);
    // A machine that stood still makes the run invalid, which is no fault of the fleet's.
    assert!([Some(0), Some(111)].contains(&output.status.code()), "{}", errors(&output));
    let planned: BTreeMap<u64, usize> =
        Plan::new(&scenario).requests().map(|planned| (planned.id.0, 1)).collect();
    assert_eq!(received(&seen), planned, "every request once, and no other");

    let whole = fleet.record();
    assert_eq!(whole.status, Status::Complete);
    assert_eq!(whole.tallies.all_due(), planned.len() as u64);
    let reasons = whole.validity.reasons.join("\n");
    assert!(!reasons.contains("lost") && !reasons.contains("apart"), "{reasons}");
    for ended in fleet.ended() {
        assert!([Some(0), Some(111)].contains(&ended.status.code()), "{}", errors(&ended));
    }
    let parts = fleet.parts();
    assert_eq!(parts.len(), 4);
    let union = results::join(parts, whole.provenance.clone()).expect("they are one run's");
    assert_eq!(whole.tallies, union.tallies);
    let times = |record: &RunRecord| {
        let all = record.tally(Scope::Run, None);
        let both = [all.response_times(), all.service_times()];
        both.map(|times| [50.0, 90.0, 99.0, 99.9, 100.0].map(|percent| times.percentile(percent)))
    };
    assert_eq!(times(&whole), times(&union));

    // What the agents say of their start is what the server saw: the most punctual request of each was as late as that, and the way.
    let start = whole.provenance.segments[0].start;
    let arrived = seen.lock().expect("nobody panics with it").clone();
    let plan = Plan::new(&scenario);
    for segment in 0..4 {
        let late = plan.segment(segment, 4).map(|planned| {
            let came = arrived[&planned.id.0][0].as_nanosecond() - start.as_nanosecond();
            came - i128::from(planned.due.as_nanos())
        });
        let least = late.min().expect("each has requests");
        assert!((0..5_000_000).contains(&least), "segment {segment}: {least} ns");
    }

    let agents = &whole.provenance.agents;
    assert_eq!(agents.iter().map(|agent| agent.segment).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for agent in agents {
        let skew = agent.start_skew_s.expect("it is reported");
        assert!(skew.abs() < 0.005 && agent.clock_error_s > 0.0, "{agent:?}");
        assert!(agent.lost.is_none() && agent.requests > 100 && agent.cpu_cores.is_some(), "{agent:?}");
        let told = whole.series("generator", "cpu").filter(|series| series.instance + 1 == agent.segment);
        assert!(told.flat_map(|series| series.values.iter().flatten()).count() >= 3, "{agent:?}");
    }
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(summary.contains("\nAgents\n") && summary.contains("a4"), "{summary}");
    fleet.place.all_gone();
}

#[test]
fn an_agent_refuses_a_target_that_its_own_command_line_does_not_allow() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, seen) = target();
    fleet.scenario("2s");
    fleet.start_agents(1, &["--allow", "http://127.0.0.1:1", "--i-am-authorised"]);
    let output = fleet.run(1, &["--target", &url(address), "--i-am-authorised"]);
    let why = format!("asked for the target {:?}, allowed here: http://127.0.0.1:1", url(address));
    assert_eq!(output.status.code(), Some(104));
    assert!(errors(&output).contains(&format!("agent a1: {why}")), "{}", errors(&output));
    let agent = fleet.ended().pop().expect("there was one");
    assert_eq!(agent.status.code(), Some(104));
    assert!(errors(&agent).contains(&why), "{}", errors(&agent));
    assert!(received(&seen).is_empty() && fleet.place.runs().is_empty());
}

#[test]
fn an_agent_that_is_killed_makes_the_run_invalid_with_its_part_named_and_nobody_plays_it_again() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, seen) = target();
    fleet.scenario("12s");
    fleet.start_agents(3, &[]);
    let program = fleet.start_run(3, &["--target", &url(address)]);
    until("some requests are received", || (received(&seen).len() > 400).then_some(()));
    fleet.agents[1].kill().expect("it is running");
    let output = program.wait_with_output().expect("it was started here");
    assert_eq!(output.status.code(), Some(111), "{}", errors(&output));
    let record = fleet.record();
    let lost = record.provenance.agents.iter().find(|agent| agent.name == "a2").expect("it took part");
    assert!(lost.lost.is_some() && lost.requests > 0, "{lost:?}");
    let named = format!("segment {}/3 (agent a2) is lost", lost.segment);
    let reasons = record.validity.reasons.join("\n");
    assert!(reasons.contains(&named) && reasons.contains("silent for 5 s"), "{reasons}");
    let others = record.provenance.agents.iter().filter(|agent| agent.name != "a2");
    assert!(others.clone().count() == 2 && others.clone().all(|agent| agent.lost.is_none()));
    assert!(others.clone().all(|agent| agent.requests > 2 * lost.requests), "{:?}", record.provenance.agents);
    let seen = received(&seen);
    assert!(seen.values().all(|times| *times == 1), "no request twice");
    assert!(seen.len() as u64 >= record.tallies.all_due());
}

#[test]
fn a_coordinator_that_is_interrupted_stops_its_agents_and_leaves_a_record() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, seen) = target();
    fleet.scenario("600s");
    fleet.start_agents(2, &[]);
    let program = fleet.start_run(2, &["--target", &url(address)]);
    until("some requests are received", || (received(&seen).len() > 400).then_some(()));
    kill_process(Pid::from_child(&program), Signal::INT).expect("it is running");
    let output = program.wait_with_output().expect("it was started here");
    assert_eq!(output.status.code(), Some(105), "{}", errors(&output));
    let record = fleet.record();
    assert_eq!(record.status, Status::Interrupted);
    assert!(record.tallies.all_due() > 0);
    for ended in fleet.ended() {
        assert_eq!(ended.status.code(), Some(0), "{}", errors(&ended));
    }
    // What an agent sent last may still be on its way to the server.
    let all = record.tallies.all_due();
    until("all that was told of is received", || (received(&seen).len() as u64 == all).then_some(()));
}

#[test]
fn a_threshold_that_fails_over_all_agents_stops_them_all() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, _) = target();
    let limit = "response_time = [{ condition = \"p(99)<1us\", abort_on_fail = true, delay = \"1s\" }]";
    let text = TARGET.replace("DURATION", "600s").replace("failed = [\"rate<50%\"]", limit);
    assert!(text.contains(limit));
    fs::write(fleet.place.directory.path().join("shop.toml"), text).expect("it can be written");
    fleet.start_agents(2, &[]);
    let began = Instant::now();
    let output = fleet.run(2, &["--target", &url(address)]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    // A machine that stood still makes the run invalid, which is said first.
    assert!([Some(99), Some(111)].contains(&output.status.code()), "{}", errors(&output));
    let record = fleet.record();
    assert_eq!(record.status, Status::Aborted);
    assert_eq!(record.thresholds[0].passed, Some(false));
    let reasons = record.validity.reasons.join("\n");
    assert!(!reasons.contains("lost"), "{reasons}");
    // Each did as it was told, and judged nothing.
    for ended in fleet.ended() {
        assert_eq!(ended.status.code(), Some(0), "{}", errors(&ended));
    }
    assert!(fleet.parts().iter().all(|part| part.status == Status::Interrupted));
}

#[test]
fn agents_that_lose_their_coordinator_stop_sending() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, seen) = target();
    fleet.scenario("600s");
    fleet.start_agents(2, &[]);
    let mut program = fleet.start_run(2, &["--target", &url(address)]);
    until("some requests are received", || (received(&seen).len() > 400).then_some(()));
    program.kill().expect("it is running");
    program.wait().expect("it was started here");
    let killed = Instant::now();
    for ended in fleet.ended() {
        assert_eq!(ended.status.code(), Some(105), "{}", errors(&ended));
        assert!(errors(&ended).contains("the coordinator was silent for 5 s"), "{}", errors(&ended));
    }
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    // Their own records say what they did.
    assert!(fleet.parts().iter().all(|part| part.status == Status::Interrupted));
}

#[test]
fn a_server_that_comes_back_costs_no_agent_and_what_it_did_not_deliver_is_told() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, seen) = target();
    let scenario = fleet.scenario("10s");
    fleet.start_agents(2, &[]);
    let program = fleet.start_run(2, &["--target", &url(address)]);
    until("some requests are received", || (received(&seen).len() > 400).then_some(()));
    fleet.server.restart().expect("it starts again");
    let output = program.wait_with_output().expect("it was started here");
    assert!([Some(0), Some(111)].contains(&output.status.code()), "{}", errors(&output));
    let record = fleet.record();
    assert_eq!(record.status, Status::Complete, "{}", errors(&output));
    let agents = &record.provenance.agents;
    assert!(agents.iter().all(|agent| agent.lost.is_none()), "{agents:?}");
    let planned: BTreeMap<u64, usize> =
        Plan::new(&scenario).requests().map(|planned| (planned.id.0, 1)).collect();
    assert_eq!(received(&seen), planned, "every request once, and no other");
    // What was on its way to the server when it died is gone, which must not pass for the whole.
    let reasons = record.validity.reasons.join("\n");
    let all_told = record.tallies.all_due() == planned.len() as u64;
    assert!(all_told || reasons.contains("messages were lost"), "{reasons}");
    fleet.ended();
}

#[test]
fn agents_that_do_not_come_are_told_of_in_time() {
    let Some(mut fleet) = Fleet::new() else { return };
    let (address, _) = target();
    fleet.scenario("2s");
    fleet.start_agents(1, &[]);
    let output = fleet.run(2, &["--target", &url(address), "--wait", "4s"]);
    assert_eq!(output.status.code(), Some(104));
    assert!(errors(&output).contains("found 1 of 2 agents (a1)"), "{}", errors(&output));
    let agent = fleet.ended().pop().expect("there was one");
    assert!(errors(&agent).contains("the run was called off"), "{}", errors(&agent));
}

#[test]
fn agents_of_one_machine_play_its_own_stack_and_recovery_is_judged_over_all_of_them() {
    let Some(mut fleet) = Fleet::new() else { return };
    let fault = "[[faults]]\nat = \"4s\"\nfor = \"2s\"\nkill = \"host:app[1]\"";
    fleet.place.shop("12s", fault);
    fleet.start_agents(2, &[]);
    let output = fleet.run(2, &[]);
    assert!([Some(0), Some(111)].contains(&output.status.code()), "{}", errors(&output));
    let record = fleet.record();
    assert_eq!(record.status, Status::Complete, "{}", errors(&output));
    assert_eq!(record.recoveries.len(), 1, "{:?}", record.recoveries);
    let up = record.series("shop", "up").find(|series| series.instance == 0).expect("the stack was asked");
    assert!(up.values.contains(&Some(0.0)), "{up:?}");
    let scenario = Scenario::load(&fleet.place.directory.path().join("shop.toml")).expect("it is one");
    assert_eq!(record.tallies.all_due(), Plan::new(&scenario).requests().count() as u64);
    fleet.ended();
    fleet.place.all_gone();
}
