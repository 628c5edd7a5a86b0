//! Who makes runs for others: takes a task from the queue, makes the run, keeps what came out, and says so. It writes nothing but what
//! scenarios are read with, into a directory of its own, and starts no program, whatever a scenario says.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use fleet::StreamExt as _;
use fleet::async_nats::jetstream::consumer::PullConsumer;
use fleet::async_nats::jetstream::{AckKind, Message};
use futures_util::future::{join, join_all};
use programs::{Problem, interrupt};
use scenarios::units::{Bytes, Seed, SimTime};
use scenarios::{Scenario, derive};
use sim::Simulation;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::store::{Failure, Store, patiently};
use super::task::{BEATS, Beat, Kept, News, Task, Text};
use super::{ENDED, identity, parcel, unconnected};
use crate::arguments::threads;

/// A task that was given to workers so often, and never came to an end, is not tried again: it is what they die of.
const MOST_DELIVERIES: i64 = 5;
/// How often the server hears that a task is being worked at: several times before it takes the worker for dead.
const PROGRESS: Duration = Duration::from_millis(2_500);
/// How often it is told that a worker is there, and looked for whether it is to end.
const BEAT: Duration = Duration::from_secs(1);
/// How long a task is waited for before it is looked for whether to end.
const WAIT: Duration = Duration::from_secs(2);
/// Until a server that did not give a task is asked for one again.
const PAUSE: Duration = Duration::from_millis(500);
/// Parts of a run that are told apart.
const PARTS: f64 = 1e6;

/// What a worker does.
#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    #[command(flatten)]
    options: fleet::Options,
    /// How many runs it makes at once; by default as many as there are cores
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Ends after so long without a task, such as 5m; else it waits until it is told to end
    #[arg(long, value_name = "DURATION", value_parser = str::parse::<SimTime>)]
    idle: Option<SimTime>,
    /// Refuses scenarios that are larger, the files that they are read with included
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = str::parse::<Bytes>)]
    max_scenario: Bytes,
    /// Gives a run up that takes longer
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = str::parse::<SimTime>)]
    max_time: SimTime,
    /// Says nothing
    #[arg(long, short)]
    quiet: bool,
}

/// Makes runs for others until it is told to end, or has had nothing to do for long enough; the exit code.
pub(crate) fn run(arguments: &WorkerArguments) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    fleet::runtime()?.block_on(async {
        let link = arguments.options.connect("sim worker").await.map_err(unconnected)?;
        let store = Store::open(link).await?;
        let worker = Worker {
            arguments,
            store,
            name: fleet::own_name(),
            build: identity::build()?,
            threads: threads(arguments.threads),
            stop,
            directory: OnceCell::new(),
            fetched: RefCell::default(),
            busy: Cell::new(0),
            made: Cell::new(0),
            refused: Cell::new(0),
            last: Cell::new(Instant::now()),
        };
        worker.say(|| {
            let (threads, place) = (worker.threads, worker.store.link().place());
            format!("{}: makes {threads} runs at once for {place}; program {}", worker.name, worker.build)
        });
        join(worker.beat(), join_all((0..worker.threads).map(|_| worker.lane()))).await;
        // What was said last is to be heard; where it is not, the server finds out.
        let _ = worker.store.link().flush().await;
        worker.say(|| {
            format!("{}: made {} runs and refused {}", worker.name, worker.made.get(), worker.refused.get())
        });
        Ok(ENDED)
    })
}

struct Worker<'a> {
    arguments: &'a WorkerArguments,
    store: Store,
    name: String,
    build: String,
    threads: usize,
    stop: Arc<AtomicBool>,
    /// Where the files are that scenarios are read with, by their hashes; made when the first one comes.
    directory: OnceCell<TempDir>,
    /// One at a time fetches a file; it is there when the lock is free and says so.
    fetched: RefCell<BTreeMap<String, Rc<tokio::sync::Mutex<bool>>>>,
    busy: Cell<usize>,
    made: Cell<u64>,
    refused: Cell<u64>,
    /// When a task was last taken, or given back.
    last: Cell<Instant>,
}

/// What there is of a run: what it left, why there is none; nothing where somebody else is to make it.
type Made = Option<Result<Vec<u8>, Failure>>;

impl Worker<'_> {
    fn goes_on(&self) -> bool {
        let has_time = |idle: SimTime| self.busy.get() > 0 || self.last.get().elapsed() < idle.as_duration();
        !self.stop.load(Ordering::Relaxed) && self.arguments.idle.is_none_or(has_time)
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if !self.arguments.quiet {
            // What nobody can read is no reason to end.
            let _ = writeln!(io::stderr().lock(), "{}", text());
        }
    }

    /// Tells now and then that it is there.
    async fn beat(&self) {
        while self.goes_on() {
            let (name, build) = (self.name.clone(), self.build.clone());
            let beat = Beat { name, build, threads: self.threads, busy: self.busy.get() };
            let _ = self.store.link().send("a worker's beat", BEATS, &beat).await;
            sleep(BEAT).await;
        }
    }

    /// Takes one task after the other.
    async fn lane(&self) {
        let mut tasks: Option<PullConsumer> = None;
        while self.goes_on() {
            let taken = match &tasks {
                Some(tasks) => next(tasks).await,
                None => match self.store.tasks(&self.build).await {
                    Ok(queue) => next(tasks.insert(queue)).await,
                    Err(error) => Err(error),
                },
            };
            match taken {
                Ok(Some(message)) => {
                    self.busy.set(self.busy.get() + 1);
                    self.take(&message).await;
                    self.busy.set(self.busy.get() - 1);
                    self.last.set(Instant::now());
                }
                Ok(None) => {}
                Err(error) => {
                    self.say(|| format!("{}: no task to be had: {error:#}", self.name));
                    // The queue may have to be made anew.
                    tasks = None;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Sees to a task: there is an answer afterwards, or it is given back.
    async fn take(&self, message: &Message) {
        let key = message.subject.as_str().rsplit('.').next().unwrap_or_default().to_owned();
        if !fleet::is_token(&key) {
            // Nobody asked for it who waits for an answer.
            let _ = message.ack_with(AckKind::Term).await;
            return;
        }
        let share = Arc::new(AtomicU64::new(0));
        let work = self.answer(&key, message, &share);
        let answered = self.meanwhile(&key, message, &share, work).await;
        match answered {
            Ok(true) => {
                self.store.tell(&key, News::Answered).await;
                // What is not heard is delivered again, and found answered.
                let _ = message.double_ack().await;
            }
            Ok(false) => self.give_back(message).await,
            Err(error) => {
                self.say(|| format!("{}: {key} is given back: {error:#}", self.name));
                self.give_back(message).await;
            }
        }
    }

    async fn give_back(&self, message: &Message) {
        // Not before this worker's other threads, where it is told to end, do not take it any more.
        let _ = message.ack_with(AckKind::Nak(Some(2 * WAIT))).await;
    }

    /// Works at a task, while the server and whoever asked hear of it.
    async fn meanwhile<T>(
        &self,
        key: &str,
        message: &Message,
        share: &AtomicU64,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            match timeout(PROGRESS, &mut work).await {
                Ok(done) => return done,
                Err(_) => {
                    // A server that does not hear it gives the task to another, which costs time and nothing else.
                    let _ = message.ack_with(AckKind::Progress).await;
                    let share = share.load(Ordering::Relaxed) as f64 / PARTS;
                    self.store.tell(key, News::Running(share)).await;
                }
            }
        }
    }

    /// Sees to it that there is an answer; whether there is.
    async fn answer(&self, key: &str, message: &Message, share: &Arc<AtomicU64>) -> anyhow::Result<bool> {
        match patiently(&self.stop, async || self.store.is_made(key).await).await? {
            Some(true) => return Ok(true),
            Some(false) => {}
            None => return Ok(false),
        }
        let kept = match self.make(key, message, share).await? {
            None => None,
            Some(Ok(made)) => {
                self.made.set(self.made.get() + 1);
                patiently(&self.stop, async || self.store.keep(key, &made).await).await?
            }
            Some(Err(failure)) => {
                self.refused.set(self.refused.get() + 1);
                self.say(|| format!("{}: {}", self.name, failure.problem));
                patiently(&self.stop, async || self.store.keep_failure(key, &failure).await).await?
            }
        };
        Ok(kept.is_some())
    }

    /// Makes the run.
    async fn make(&self, key: &str, message: &Message, share: &Arc<AtomicU64>) -> anyhow::Result<Made> {
        let delivered = message.info().map_err(|error| anyhow!(error))?.delivered;
        if delivered > MOST_DELIVERIES {
            let why = format!(
                "it was given to workers {MOST_DELIVERIES} times and none came to an end of it\n  hint: it may take more memory \
                 than they have"
            );
            return Ok(Some(Err(self.failure(why))));
        }
        let task = fleet::read::<Task>("a task", &message.payload).map_err(anyhow::Error::from);
        let checked = task.and_then(|task| {
            task.check(&self.build, key, self.arguments.max_scenario.get())?;
            Ok(task)
        });
        let task = match checked {
            Ok(task) => task,
            Err(error) => return Ok(Some(Err(self.failure(format!("{error:#}"))))),
        };
        let gone = || {
            let why = "what it needs is not in the store any more\n  hint: start the command again";
            Ok(Some(Err(self.failure(why.to_owned()))))
        };
        let text = match &task.text {
            Text::Here(text) => text.clone(),
            Text::Kept(kept) => match self.fetch(kept).await? {
                None => return Ok(None),
                Some(None) => return gone(),
                Some(Some(bytes)) => String::from_utf8(bytes).context("a scenario is text in UTF-8")?,
            },
        };
        for file in &task.files {
            match self.has_file(file).await? {
                None => return Ok(None),
                Some(false) => return gone(),
                Some(true) => {}
            }
        }
        if let Err(error) = names_only(&text, &task.files) {
            return Ok(Some(Err(self.failure(format!("{}: {error}", task.name)))));
        }
        let name = Path::new(&task.name).file_name().unwrap_or_default();
        let path: PathBuf = if task.files.is_empty() { name.into() } else { self.directory()?.join(name) };
        let limit = self.arguments.max_time.as_duration();
        let (stop, share, worker) = (Arc::clone(&self.stop), Arc::clone(share), self.name.clone());
        let made = tokio::task::spawn_blocking(move || {
            let made = simulated(&text, &path, task.seed, limit, &stop, &share);
            made.map(|made| made.map_err(|problem| problem.by(worker)))
        });
        match made.await {
            Ok(made) => Ok(made),
            Err(panic) if panic.is_panic() => {
                let why = format!("the simulator broke a rule of its own: {}", words(&*panic.into_panic()));
                Ok(Some(Err(self.failure(why))))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn failure(&self, problem: String) -> Failure {
        Failure { of_scenario: false, problem, worker: self.name.clone() }
    }

    fn directory(&self) -> anyhow::Result<&Path> {
        if self.directory.get().is_none() {
            let made = tempfile::tempdir().context("no directory for the files of scenarios can be made")?;
            let _ = self.directory.set(made);
        }
        Ok(self.directory.get().expect("it was just made").path())
    }

    /// Something large; none where it is not there, and none at all where it was stopped before.
    async fn fetch(&self, kept: &Kept) -> anyhow::Result<Option<Option<Vec<u8>>>> {
        patiently(&self.stop, async || self.store.fetch(kept).await).await
    }

    /// Sees to it that a file is in the worker's directory; whether it is, and nothing where it was stopped before.
    async fn has_file(&self, file: &Kept) -> anyhow::Result<Option<bool>> {
        if !fleet::is_token(&file.hash) {
            bail!("{:?} is no hash", file.hash);
        }
        let lock = Rc::clone(self.fetched.borrow_mut().entry(file.hash.clone()).or_default());
        let mut is_there = lock.lock().await;
        if !*is_there {
            match self.fetch(file).await? {
                None => return Ok(None),
                Some(None) => return Ok(Some(false)),
                Some(Some(bytes)) => fs::write(self.directory()?.join(&file.hash), bytes)?,
            }
            *is_there = true;
        }
        Ok(Some(true))
    }
}

/// The next task; none where there is none for a while.
async fn next(tasks: &PullConsumer) -> anyhow::Result<Option<Message>> {
    let mut batch = tasks.batch().max_messages(1).expires(WAIT).messages().await?;
    match batch.next().await {
        Some(Ok(message)) => Ok(Some(message)),
        Some(Err(error)) => Err(anyhow!(error)),
        None => Ok(None),
    }
}

/// A text may be read with what came with it, and with no other file of this machine.
fn names_only(text: &str, files: &[Kept]) -> anyhow::Result<()> {
    let Some(named) = derive::named_files(text) else { return Ok(()) };
    match named.iter().find(|name| files.iter().all(|file| file.hash != **name)) {
        Some(name) => bail!("it names the file {name:?}, which did not come with it"),
        None => Ok(()),
    }
}

/// Why a simulation left nothing.
enum Refused {
    Scenario(String),
    Other(String),
}

impl Refused {
    fn by(self, worker: String) -> Failure {
        match self {
            Self::Scenario(problem) => Failure { of_scenario: true, problem, worker },
            Self::Other(problem) => Failure { of_scenario: false, problem, worker },
        }
    }
}

/// Simulates a scenario and packs what it left; none where it was stopped.
fn simulated(
    text: &str,
    path: &Path,
    seed: u64,
    limit: Duration,
    stop: &AtomicBool,
    share: &AtomicU64,
) -> Option<Result<Vec<u8>, Refused>> {
    let refused = |problems: scenarios::Diagnostics| Some(Err(Refused::Scenario(problems.to_string())));
    let mut scenario = match Scenario::parse(path, text) {
        Ok(scenario) => scenario,
        Err(problems) => return refused(problems),
    };
    scenario.run.seed = Seed(seed);
    let mut simulation = match Simulation::with_threads(&scenario, 1) {
        Ok(simulation) => simulation,
        Err(problems) => return refused(problems),
    };
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    let outcome = simulation.run(
        &mut |progress| {
            share.store((progress.share() * PARTS) as u64, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) || begun.elapsed() > limit {
                is_over.store(true, Ordering::Relaxed);
            }
        },
        &is_over,
    );
    if outcome.complete {
        return Some(parcel::pack(&outcome).map_err(|error| Refused::Other(format!("{error:#}"))));
    }
    let is_late = begun.elapsed() > limit && !stop.load(Ordering::Relaxed);
    is_late.then(|| {
        let limit = limit.as_secs_f64();
        Err(Refused::Other(format!(
            "it takes longer than {limit} s\n  hint: start workers with a larger --max-time"
        )))
    })
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str, limit: Duration, stop: bool) -> Option<Result<Vec<u8>, Failure>> {
        let (stop, share) = (AtomicBool::new(stop), AtomicU64::new(0));
        let made = simulated(text, Path::new("shop.toml"), 7, limit, &stop, &share);
        made.map(|made| made.map_err(|problem| problem.by("me".to_owned())))
    }

    #[test]
    fn what_a_worker_makes_is_the_run_of_the_seed() {
        let text = scenarios::library::QUICKSTART;
        let packed =
            made(text, Duration::from_secs(600), false).expect("it was not stopped").expect("it is made");
        let mut scenario = Scenario::parse("shop.toml", text).expect("it is tested");
        scenario.run.seed = Seed(7);
        let mut own = Simulation::with_threads(&scenario, 1).expect("the simulator takes it");
        let own = own.run(&mut |_| {}, &AtomicBool::new(false));
        assert_eq!(packed, parcel::pack(&own).expect("it can be packed"));
    }

    #[test]
    fn a_run_that_takes_too_long_is_refused_and_one_that_is_stopped_left_to_others() {
        let text = scenarios::library::QUICKSTART;
        let late = made(text, Duration::ZERO, false).expect("it was not stopped").expect_err("too long");
        assert!(!late.of_scenario && late.problem.contains("--max-time"), "{late:?}");
        assert!(made(text, Duration::from_secs(600), true).is_none());
    }

    #[test]
    fn what_is_no_scenario_is_the_scenarios_fault() {
        let text = scenarios::library::QUICKSTART.replace("[run]", "[ran]");
        let refused = made(&text, Duration::from_secs(600), false)
            .expect("it was not stopped")
            .expect_err("no scenario");
        assert!(refused.of_scenario && refused.problem.contains("shop.toml:"), "{refused:?}");
    }

    #[test]
    fn a_text_is_read_with_what_came_with_it_alone() {
        let kept = [Kept::of(b"rows")];
        let text = |file: &str| format!("[feeds.people]\nfile = \"{file}\"\n");
        assert!(names_only(&text(&kept[0].hash), &kept).is_ok());
        let refused = names_only(&text("/etc/passwd"), &kept).expect_err("none of ours").to_string();
        assert!(refused.contains("\"/etc/passwd\", which did not come with it"), "{refused}");
        assert!(names_only("[calibration]\ninclude = \"here.toml\"\n", &[]).is_err());
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let text = |panic: Box<dyn Any + Send>| words(&*panic).to_owned();
        assert_eq!(text(Box::new("a rule")), "a rule");
        assert_eq!(text(Box::new("a rule".to_owned())), "a rule");
        assert_eq!(text(Box::new(7)), "without a word");
    }
}
