//! Runs made by workers: the answer of one machine, whoever dies meanwhile. Each test starts a `nats-server` of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fleet::StreamExt as _;
use fleet::async_nats::jetstream::consumer::PullConsumer;
use fleet::async_nats::jetstream::{self, AckKind, Context};
use fleet::server::{Server, is_there};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::plan::{PLAN, shop};
use crate::support::{only_run, page, stack, write};

/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(10);
/// What the server calls the answers and the queue.
const ANSWERS: &str = "KV_rehearsal-sim-answers";
const QUEUE: &str = "rehearsal-sim-tasks";

/// A program that runs beside the test, and ends with it.
struct Running(Child);

impl Running {
    /// Starts it; what it says goes into files.
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let file = |name| File::create(directory.join(name)).expect("a temporary directory can be written");
        let child = Command::new(env!("CARGO_BIN_EXE_sim"))
            .current_dir(directory)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file("told"))
            .stderr(file("said"))
            .spawn();
        Self(child.expect("the binary under test starts"))
    }

    /// Ends it at once, as SIGKILL does.
    fn kill(&mut self) {
        self.0.kill().expect("it still runs");
        self.0.wait().expect("it was started here");
    }

    fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.0.try_wait().expect("it was started here") {
                return status;
            }
            sleep(LOOK);
        }
        panic!("it did not end in {PATIENCE:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that is gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    /// On standard output.
    told: String,
    /// On standard error.
    said: String,
}

/// Runs the program to its end, which comes in time.
fn ended(directory: &Path, arguments: &[&str]) -> Ended {
    let status = Running::start(directory, arguments).end();
    let read = |name| fs::read_to_string(directory.join(name)).expect("it was made");
    Ended { code: status.code(), told: read("told"), said: read("said") }
}

/// A server with what it stores, and somebody who looks at it.
struct Place {
    server: Server,
    stored: TempDir,
    runtime: Runtime,
    jetstream: Context,
}

/// A server of the test's own; none where there is no `nats-server`.
fn place(configuration: &str) -> Option<Place> {
    if !is_there() {
        return None;
    }
    let stored = directory();
    let file = write(stored.path(), "nats.conf", configuration);
    let server = Server::start(stored.path(), &["-js", "-c", file.to_str().expect("a plain path")]);
    let server = server.expect("it starts");
    let runtime = fleet::runtime().expect("a runtime");
    let jetstream = runtime.block_on(async {
        let link = server.options().connect("test").await.expect("it is there");
        jetstream::new(link.client().clone())
    });
    Some(Place { server, stored, runtime, jetstream })
}

impl Place {
    /// How many messages a stream holds; none where there is no such stream, or the server is away.
    fn messages(&self, stream: &str) -> Option<u64> {
        let found = self.runtime.block_on(self.jetstream.get_stream(stream));
        found.ok().map(|stream| stream.cached_info().state.messages)
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(
                Instant::now() < until,
                "{what}: not in {PATIENCE:?}; {:?} answers",
                self.messages(ANSWERS)
            );
            sleep(LOOK);
        }
    }

    /// Takes tasks so often, and gives each back at once, as workers do that die.
    fn take_and_give_back(&self, times: usize) {
        self.runtime.block_on(async {
            let queue = self.jetstream.get_stream(QUEUE).await.expect("there is a queue");
            let name =
                queue.consumer_names().next().await.expect("a worker was there").expect("it has a name");
            let tasks: PullConsumer = queue.get_consumer(&name).await.expect("it is there");
            let taken = tasks.batch().max_messages(times).expires(PATIENCE).messages().await;
            let mut taken = taken.expect("tasks are to be had");
            for _ in 0..times {
                let task = taken.next().await.expect("there is one").expect("it is to be had");
                task.ack_with(AckKind::Nak(None)).await.expect("it can be given back");
            }
        });
    }

    /// Starts a worker with further arguments.
    fn worker(&self, directory: &Path, arguments: &[&str]) -> Running {
        let nats = self.server.place();
        Running::start(directory, &[&["worker", "--nats", &nats], arguments].concat())
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn same(own: &BTreeMap<String, String>, other: &BTreeMap<String, String>) {
    assert_eq!(own.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (name, text) in own {
        assert!(*text == other[name], "{name} is not that of one machine");
    }
}

/// All that a run left in its directory but where it comes from, by file.
fn left(directory: &Path) -> BTreeMap<String, String> {
    let run = only_run(directory);
    let names = fs::read_dir(&run).expect("the run left a directory");
    let names =
        names.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned());
    let mut left: BTreeMap<String, String> = names
        .map(|name| {
            let text = fs::read_to_string(run.join(&name)).expect("it is text");
            (name, text)
        })
        .collect();
    let record = left.get_mut("run.json").expect("there is a record");
    let mut value: serde_json::Value = serde_json::from_str(record).expect("it is JSON");
    let provenance = value.as_object_mut().and_then(|object| object.remove("provenance"));
    assert!(provenance.is_some(), "{value}");
    *record = value.to_string();
    left
}

#[test]
fn a_sweep_has_the_answer_of_one_machine_though_a_worker_the_server_and_the_coordinator_die() {
    const RUNS: u64 = 200;
    let Some(mut place) = place("") else { return };
    let text = page("20s", "2000/s", "p(99)<1s");
    let sweep = ["run", "page.toml", "--quiet", "--replications", "200"];
    let [alone, first, second] = [(); 3].map(|()| directory());
    for directory in [&alone, &first, &second] {
        write(directory.path(), "page.toml", &text);
    }
    let own = ended(alone.path(), &sweep);
    assert_eq!(own.code, Some(0), "{own:?}");
    let machines = [(); 3].map(|()| directory());
    let mut workers: Vec<Running> =
        machines.iter().map(|machine| place.worker(machine.path(), &["--threads", "1"])).collect();
    let nats = place.server.place();
    let elsewhere = [&sweep[..], &["--nats", &nats]].concat();
    let mut coordinator = Running::start(first.path(), &elsewhere);
    let reached = |place: &Place, count: u64| {
        place.wait_until("the sweep goes on", |place| place.messages(ANSWERS) >= Some(count));
        let answers = place.messages(ANSWERS);
        assert!(answers < Some(RUNS), "{answers:?} answers: it was to be mid-sweep");
    };
    reached(&place, 10);
    workers[0].kill();
    reached(&place, 40);
    place.server.restart().expect("it starts again");
    reached(&place, 80);
    coordinator.kill();
    reached(&place, 81);
    let mut coordinator = Running::start(second.path(), &elsewhere);
    let status = coordinator.end();
    let said = fs::read_to_string(second.path().join("said")).unwrap_or_default();
    assert_eq!(status.code(), Some(0), "{said}");
    let (own, other) = (left(alone.path()), left(second.path()));
    same(&own, &other);
    place.wait_until("there is one answer a run", |place| place.messages(ANSWERS) == Some(RUNS));
}

#[test]
fn a_single_run_and_what_stands_beside_it_are_those_of_one_machine() {
    let Some(place) = place("") else { return };
    let machine = directory();
    let _worker = place.worker(machine.path(), &["--threads", "2"]);
    let nats = place.server.place();
    let fault = "[[faults]]\nat = \"8s\"\nfor = \"4s\"\nkill = \"host:app[1]\"\n";
    let text = stack("200/s", "exponential(mean=2ms)") + fault;
    let made = |arguments: &[&str]| {
        let asked = directory();
        write(asked.path(), "page.toml", &text);
        let command = ["run", "page.toml", "--quiet", "--replications", "3", "--replication-scale", "50%"];
        let ended = ended(asked.path(), &[&command[..], arguments].concat());
        assert!(matches!(ended.code, Some(0 | 99)), "{ended:?}");
        left(asked.path())
    };
    same(&made(&[]), &made(&["--nats", &nats]));
}

#[test]
fn capacities_and_plans_are_those_of_one_machine() {
    let Some(place) = place("") else { return };
    let machine = directory();
    let _worker = place.worker(machine.path(), &["--threads", "2"]);
    let nats = place.server.place();
    let shop = shop(PLAN);
    let page = stack("100/s", "exponential(mean=2ms)").replace("p(99)<10s", "p(99)<50ms");
    let asked = directory();
    write(asked.path(), "shop.toml", &shop);
    write(asked.path(), "page.toml", &page);
    for command in [
        &["capacity", "page.toml", "--quiet", "--json", "--precision", "20%", "--replications", "2"][..],
        &["plan", "shop.toml", "--quiet", "--out", "plan.json"],
    ] {
        let answer = |arguments: &[&str]| {
            let ended = ended(asked.path(), &[command, arguments].concat());
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let plan = fs::read_to_string(asked.path().join("plan.json")).unwrap_or_default();
            (ended.told, plan)
        };
        assert_eq!(answer(&["--nats", &nats]), answer(&[]), "{command:?}");
    }
}

/// A server that takes small messages only: the text, the file that is replayed and what the runs left go through its object store.
#[test]
fn what_is_too_large_for_a_message_goes_through_the_store() {
    let Some(place) = place("max_payload: 16384\n") else { return };
    let (text, rows) = replay();
    let answers: Vec<BTreeMap<String, String>> = [false, true]
        .into_iter()
        .map(|elsewhere| {
            let (asked, machine) = (directory(), directory());
            write(asked.path(), "log.csv", &rows);
            write(asked.path(), "page.toml", &text);
            let nats = place.server.place();
            let worker = elsewhere.then(|| place.worker(machine.path(), &["--threads", "2"]));
            let more = if elsewhere { vec!["--nats", nats.as_str()] } else { Vec::new() };
            let command = ["run", "page.toml", "--quiet", "--replications", "3"];
            let ended = ended(asked.path(), &[&command[..], &more].concat());
            assert_eq!(ended.code, Some(0), "{ended:?}");
            drop(worker);
            let mut left = left(asked.path());
            // The two stand in different directories; the file that they replay is the same.
            for text in left.values_mut() {
                *text = text.replace(&*asked.path().to_string_lossy(), "");
            }
            left
        })
        .collect();
    same(&answers[0], &answers[1]);
    // A text, a log and answers, each with its pieces.
    place.wait_until("large things are in the store", |place| {
        place.messages("OBJ_rehearsal-sim-large") > Some(8)
    });
}

/// A scenario with a long text that replays a file, and the file.
fn replay() -> (String, String) {
    let traffic = "executor = \"replay\"\nfile = \"log.csv\"";
    let text = page("20s", "1/s", "p(99)<10s")
        .replace("mix = { page = 1 }\n", "")
        .replace("executor = \"constant-arrival-rate\"\nrate = \"1/s\"", traffic);
    let comment = "# A text that is too long for a message of a small server.\n".repeat(200);
    let rows = (0..4_000).map(|i| format!("{}.{:03},page\n", i / 250, i % 250 * 4));
    (format!("{text}{comment}"), format!("time_s,class\n{}", rows.collect::<String>()))
}

#[test]
fn a_worker_says_why_it_does_not_make_a_run_and_another_may() {
    let Some(place) = place("") else { return };
    let (asked, small, large) = (directory(), directory(), directory());
    write(asked.path(), "page.toml", &page("2s", "100/s", "p(99)<1s"));
    let nats = place.server.place();
    let sweep = ["run", "page.toml", "--quiet", "--replications", "2", "--nats", &nats];
    let mut worker = place.worker(small.path(), &["--max-scenario", "100B"]);
    let refused = ended(asked.path(), &sweep);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in ["page.toml", "expected at most 100", "--max-scenario", "the worker "] {
        assert!(refused.said.contains(part), "{part}: {refused:?}");
    }
    place.wait_until("both were answered or withdrawn", |place| place.messages(QUEUE) == Some(0));
    worker.kill();
    // What failed is asked for anew by who starts again.
    let mut worker = place.worker(large.path(), &["--idle", "6s"]);
    let made = ended(asked.path(), &sweep);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(worker.end().code(), Some(0), "it ends when there is nothing to do");
    let said = fs::read_to_string(large.path().join("said")).expect("it said something");
    assert!(said.contains("made 2 runs and refused 0"), "{said}");
    assert!(
        place.stored.path().join("jetstream").is_dir(),
        "the server stores where the test looks after it"
    );
}

#[test]
fn a_task_that_workers_only_die_of_is_told_to_who_asked() {
    let Some(place) = place("") else { return };
    let (asked, machine) = (directory(), directory());
    write(asked.path(), "page.toml", &page("2s", "100/s", "p(99)<1s"));
    let status = place.worker(machine.path(), &["--idle", "1s"]).end();
    assert_eq!(status.code(), Some(0), "it has made the queue and ended");
    let nats = place.server.place();
    let sweep = ["run", "page.toml", "--quiet", "--replications", "2", "--nats", &nats];
    let mut coordinator = Running::start(asked.path(), &sweep);
    place.wait_until("both are asked for", |place| place.messages(QUEUE) == Some(2));
    // One of the two is taken five times at least.
    place.take_and_give_back(10);
    let _worker = place.worker(machine.path(), &[]);
    assert_eq!(coordinator.end().code(), Some(1));
    let said = fs::read_to_string(asked.path().join("said")).expect("it said something");
    assert!(said.contains("page.toml, seed ") && said.contains("given to workers 5 times"), "{said}");
}

#[test]
fn a_server_without_queues_and_a_run_that_is_to_be_followed_are_told_what_to_do() {
    if !is_there() {
        return;
    }
    let (stored, asked) = (directory(), directory());
    let server = Server::start(stored.path(), &[]).expect("it starts");
    write(asked.path(), "page.toml", &page("2s", "100/s", "p(99)<1s"));
    let nats = server.place();
    let refused = ended(asked.path(), &["run", "page.toml", "--replications", "2", "--nats", &nats]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.said.contains("nats-server -js"), "{refused:?}");
    let refused = ended(asked.path(), &["run", "page.toml", "--nats", &nats, "--trace", "1"]);
    assert_eq!(refused.code, Some(104), "{refused:?}");
    assert!(refused.said.contains("leave --nats out"), "{refused:?}");
    assert!(!asked.path().join("runs").exists(), "nothing is left on the disk");
}
