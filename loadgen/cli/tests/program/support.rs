//! Starts the program, marked so that whatever it starts can be found, and looks after what is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take that should happen soon.
const PATIENCE: Duration = Duration::from_secs(30);
const MARK: &str = "REHEARSAL_TEST_MARK";

/// A small shop: a balancer before two nodes, a store and an archive.
pub(crate) const SHOP: &str = r#"title = "A small shop"
[run]
duration = "DURATION"
warmup = "1s"
[hosts.edge]
cores = 1
[hosts.app]
count = 2
cores = 2
[hosts.data]
cores = 1
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
[components.shop]
kind = "service"
host = "app"
workers = 16
backlog = 64
[components.objects]
kind = "kv-store"
host = "data"
[keyspaces.products]
in = "objects"
keys = 1_000
persistent = true
value = "100B"
[requests.product]
path = "/products/{products}"
[[requests.product.steps]]
get = { keyspace = "products" }
[[requests.product.steps]]
work = "1ms"
[traffic.shoppers]
to = "balancer"
executor = "constant-arrival-rate"
rate = "100/s"
mix = { product = 1 }
connections = 10
timeout = "2s"
FAULTS
"#;

/// A directory of its own, for one test.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    mark: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self { directory, mark: format!("{}-{number}", std::process::id()) }
    }

    /// Writes the small shop's file, lasting so long, with these faults.
    pub(crate) fn shop(&self, duration: &str, faults: &str) -> PathBuf {
        let path = self.directory.path().join("shop.toml");
        fs::write(&path, SHOP.replace("DURATION", duration).replace("FAULTS", faults))
            .expect("it can be written");
        path
    }

    /// The program with these arguments, in this directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        command.args(arguments).current_dir(self.directory.path()).env(MARK, &self.mark);
        command.env_remove(loadgen::limits::MAX_RATE).env_remove(loadgen::limits::MAX_DURATION);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the program can be started")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program can be started")
    }

    /// The directories of all runs so far, in order of their names.
    pub(crate) fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("runs")).into_iter().flatten();
        let mut runs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        runs.sort();
        runs
    }

    /// The run that is being journalled, once it has told of some seconds.
    pub(crate) fn journalled(&self) -> PathBuf {
        until("a run is journalled", || {
            let run = self.runs().pop()?;
            let journal = fs::read_to_string(run.join(results::writer::JOURNAL)).ok()?;
            (journal.lines().count() > 4).then_some(run)
        })
    }

    /// Living processes that the program started, itself included.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let wanted = format!("{MARK}={}", self.mark);
        let marked = |process: &Path| {
            // A process that is gone, or a zombie, has no environment.
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        let processes = fs::read_dir("/proc").expect("this is Linux").flatten();
        let numbered = processes.filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            marked(&entry.path()).then_some(number)
        });
        numbered.collect()
    }

    /// Waits until none of them is left.
    pub(crate) fn all_gone(&self) {
        until("no process is left", || self.processes().is_empty().then_some(()));
    }
}

/// Asks until there is an answer; panics when that takes too long.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Standard error as text.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
