//! A run that several generators play, gathered while it goes on.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use loadgen::gather::{Ending, Told, Word};
use loadgen::{Gathering, Job, Options, Share, gather, run_told};
use results::{Agent, Piece, Provenance, RunRecord, Scope, Status};
use scenarios::Scenario;
use scenarios::plan::Plan;

use crate::support::{Server, answer, entries, field, scenario};

/// The segments of agents of which one, if any, falls silent after its first second.
struct Fleet<'a> {
    scenario: &'a Scenario,
    server: &'a Server,
    of: u32,
    silent: Option<usize>,
}

impl Fleet<'_> {
    /// Plays it: the gathered record, and those of the agents.
    fn play(&self) -> (RunRecord, Vec<RunRecord>) {
        let (stop, start) = (AtomicBool::new(false), Timestamp::now() + SignedDuration::from_millis(1_500));
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (sender, told) = mpsc::channel();
        thread::scope(|scope| {
            let agent = |place: usize| {
                let (sender, stop) = (sender.clone(), &stop);
                scope.spawn(move || self.agent(place, start, &sender, stop))
            };
            let agents: Vec<_> = (0..self.of as usize).map(agent).collect();
            let facts = |segment| Agent { name: format!("agent-{segment}"), segment, ..Agent::default() };
            let run = Gathering {
                scenario: self.scenario,
                directory: directory.path(),
                provenance: Provenance::here("loadgen test"),
                stop: &stop,
                start,
                agents: (1..=self.of).map(facts).collect(),
            };
            let whole = gather(run, &told, None, &mut |_| {}).expect("it is gathered").expect("it began");
            assert_eq!(RunRecord::read(directory.path()).expect("it is written").tallies, whole.tallies);
            let parts = agents.into_iter().map(|agent| agent.join().expect("no panic"));
            (whole, parts.collect())
        })
    }

    fn agent(&self, place: usize, start: Timestamp, told: &Sender<Told>, stop: &AtomicBool) -> RunRecord {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut options = Options::default();
        options.share = Share::parse(&format!("{}/{}", place + 1, self.of)).expect("it is one");
        options.start = Some(start);
        let job = Job {
            scenario: self.scenario,
            entries: &entries(self.server.address),
            options,
            directory: directory.path(),
            provenance: Provenance::here("loadgen test"),
            stop,
        };
        let classes: Vec<String> = self.scenario.requests.iter().map(|class| class.name.clone()).collect();
        let mut words = 0;
        let silent = self.silent == Some(place);
        let mut say = |word| {
            words += 1;
            if !silent || words == 1 {
                // Who gathers may have ended before.
                let _ = told.send(Told { agent: place, word });
            }
        };
        let record = run_told(
            job,
            &mut |second| {
                let piece = Box::new(Piece::new(second.delta, second.samples, &classes));
                let zero = second.zero_of_day_nanos as i128 - start.as_nanosecond();
                say(Word::Second { piece, pulse: second.pulse, start_skew_s: zero as f64 / 1e9 });
            },
            &mut |_| {},
        );
        let record = record.expect("it is played");
        say(Word::Done(Ending::of(&record)));
        record
    }
}

/// A server that counts how often it was asked for each request.
fn counting() -> (Server, Arc<Mutex<BTreeMap<u64, u32>>>) {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let noted = Arc::clone(&seen);
    let server = Server::noting(move |stream, request| {
        if let Ok(id) = u64::from_str_radix(&field(request, "x-rehearsal-request"), 16) {
            *noted.lock().expect("nobody panics with it").entry(id).or_insert(0) += 1;
        }
        answer(stream)
    });
    (server, seen)
}

#[test]
fn what_is_gathered_is_what_the_agents_records_join_to() {
    let scenario = scenario(300, 3, "arrivals = \"poisson\"\nconnections = 20");
    let (server, seen) = counting();
    let (whole, parts) = Fleet { scenario: &scenario, server: &server, of: 4, silent: None }.play();
    let planned: BTreeMap<u64, u32> =
        Plan::new(&scenario).requests().map(|planned| (planned.id.0, 1)).collect();
    assert_eq!(*seen.lock().expect("all have ended"), planned, "every request once");
    let joined = results::join(parts, Provenance::here("loadgen test")).expect("they are one run's");
    assert_eq!(whole.status, Status::Complete);
    assert_eq!(whole.tallies, joined.tallies);
    assert_eq!(whole.tally(Scope::Run, None).due(), planned.len() as u64);
    let agents = &whole.provenance.agents;
    assert_eq!(agents.iter().map(|agent| agent.requests).sum::<u64>(), planned.len() as u64);
    for agent in agents {
        assert!(agent.requests > 0 && agent.send_lag_p99_s.is_some() && agent.lost.is_none(), "{agent:?}");
        let skew = agent.start_skew_s.expect("it said when it began");
        assert!(skew.abs() < 0.005, "{agent:?}");
    }
    assert_eq!(whole.provenance.segments.len(), 4);
}

#[test]
fn an_agent_that_falls_silent_makes_the_run_invalid_and_is_named() {
    let scenario = scenario(100, 9, "connections = 20");
    let (server, _) = counting();
    let (whole, parts) = Fleet { scenario: &scenario, server: &server, of: 2, silent: Some(1) }.play();
    assert_eq!((whole.status, whole.exit_code()), (Status::Complete, 111), "{:?}", whole.validity);
    let reasons = whole.validity.reasons.join("\n");
    assert!(
        reasons.contains("segment 2/2 (agent agent-2) is lost") && reasons.contains("silent for 5 s"),
        "{reasons}"
    );
    let agents = &whole.provenance.agents;
    assert!(agents[0].lost.is_none() && agents[1].lost.is_some(), "{agents:?}");
    let told = parts[0].tallies.all_due() + agents[1].requests;
    assert_eq!(whole.tallies.all_due(), told, "what it told of counts, and no more");
    assert!(agents[1].requests < parts[1].tallies.all_due());
}

#[test]
fn a_run_that_lost_all_of_its_agents_is_invalid() {
    let scenario = scenario(100, 9, "connections = 20");
    let (server, _) = counting();
    let (whole, _) = Fleet { scenario: &scenario, server: &server, of: 1, silent: Some(0) }.play();
    assert_eq!((whole.status, whole.exit_code()), (Status::Complete, 111), "{:?}", whole.validity);
    assert!(whole.provenance.agents[0].lost.is_some(), "{:?}", whole.provenance.agents);
}

#[test]
fn a_threshold_that_stops_the_run_is_judged_over_all_agents() {
    let limit = "{ condition = \"rate<40%\", abort_on_fail = true, delay = \"1s\" }";
    let scenario = crate::support::scenario_of(
        20,
        "executor = \"constant-arrival-rate\"\nmix = { product = 1 }\nrate = \"200/s\"\nconnections = 20",
        "",
        &format!("[thresholds]\nfailed = [{limit}]"),
    );
    // Half of the requests fail whoever asks: each agent knows it of its own, and none of them may judge.
    let server = Server::start(|stream, number| {
        use std::io::Write as _;
        match number % 2 {
            0 => answer(stream),
            _ => stream.write_all(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n").is_ok(),
        }
    });
    let began = std::time::Instant::now();
    let (whole, parts) = Fleet { scenario: &scenario, server: &server, of: 2, silent: None }.play();
    assert_eq!(whole.status, Status::Aborted, "{:?}", whole.validity);
    assert!(began.elapsed().as_secs() < 15, "it went on for {:?}", began.elapsed());
    assert!(parts.iter().all(|part| part.status == Status::Interrupted));
    assert_eq!(whole.thresholds[0].passed, Some(false));
}
