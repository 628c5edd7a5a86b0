//! Who asks workers for runs: each run is asked for on a thread of its own, which waits for what it came to. What is there from an
//! earlier time, whoever asked then, is not made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use fleet::async_nats::Subscriber;
use fleet::{Link, Options, StreamExt as _};
use programs::Problem;
use scenarios::Scenario;
use sim::SimOutcome;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use super::store::{Answer, Failure, Store, patiently};
use super::task::{Asked, BEATS, Beat, News, Task, news};
use super::{identity, parcel, unconnected};
use crate::executor::Executor;

/// So many runs are asked for at a time: as many threads of workers are of use.
const AT_ONCE: usize = 256;
/// How often it is looked for whether to stop.
const LOOK: Duration = Duration::from_millis(200);
/// After so long without news it is looked whether there is an answer: news may be lost.
const LOOK_FOR_ANSWER: Duration = Duration::from_secs(5);
/// After so long the task is put into the queue again, in case a server lost it; where it is there nothing changes.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// A worker that was not heard of for so long is not there.
const SILENCE: Duration = Duration::from_secs(5);
/// Who is asked to stop takes its tasks out of the queue, if that takes no longer.
const LEAVING: Duration = Duration::from_secs(2);

/// The machine that asks.
pub(crate) struct Coordinator {
    runtime: Runtime,
    store: Store,
    build: String,
    /// What is in the store of that which tasks need.
    provided: tokio::sync::Mutex<BTreeSet<String>>,
    heard: Arc<Mutex<Heard>>,
}

/// The workers, by their names: when each was heard of, and which program it is.
type Heard = BTreeMap<String, (Instant, String)>;

impl Coordinator {
    /// Connects to the server.
    ///
    /// # Errors
    /// Where it is not there, or has no JetStream.
    pub(crate) fn connect(options: &Options) -> Result<Self, Problem> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let build = identity::build()?;
        let store = runtime.block_on(async {
            let link = options.connect("sim").await.map_err(unconnected)?;
            Store::open(link).await
        })?;
        let heard = Arc::new(Mutex::new(Heard::new()));
        runtime.spawn(listen(store.link().clone(), Arc::clone(&heard)));
        Ok(Self { runtime, store, build, provided: tokio::sync::Mutex::default(), heard })
    }

    /// What a task came to; none where it was stopped.
    async fn obtain(
        &self,
        asked: &Asked,
        observe: &mut dyn FnMut(f64),
        stop: &AtomicBool,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let (task, key) = (&asked.task, asked.task.key());
        let subscribed = self.store.link().client().subscribe(news(&key)).await;
        let mut heard = subscribed.map_err(|error| Problem::Failure(error.into()))?;
        let mut last_asked: Option<Instant> = None;
        let mut share = 0.0;
        while !stop.load(Ordering::Relaxed) {
            match patiently(stop, async || self.store.answer(&key).await).await? {
                Some(Some(Answer::Made(made))) => return Ok(Some(made)),
                Some(Some(Answer::Failed(failure))) if last_asked.is_some() => {
                    return Err(problem(task, failure));
                }
                // It failed when somebody asked before; the cause may be mended.
                Some(Some(Answer::Failed(_))) => {
                    patiently(stop, async || self.store.forget(&key).await).await?;
                }
                Some(None) | None => {}
            }
            if last_asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
                self.provide(asked, stop).await?;
                patiently(stop, async || self.store.ask(task).await).await?;
                last_asked = Some(Instant::now());
            }
            wait(&mut heard, &mut share, observe, stop).await;
        }
        if last_asked.is_some() {
            // Whoever is at it comes to an end, and what comes out is kept.
            let _ = timeout(LEAVING, self.store.withdraw(task)).await;
        }
        Ok(None)
    }

    /// Puts into the store what a task needs.
    async fn provide(&self, asked: &Asked, stop: &AtomicBool) -> Result<(), Problem> {
        // One after the other: the same is needed by many.
        let mut provided = self.provided.lock().await;
        for contents in &asked.contents {
            let kept = contents.kept();
            if !provided.contains(&kept.hash) {
                let bytes = contents.read().map_err(Problem::Configuration)?;
                patiently(stop, async || self.store.put(kept, &bytes).await).await?;
                provided.insert(kept.hash.clone());
            }
        }
        Ok(())
    }
}

/// Waits until there is probably an answer, or it is time to look, or to stop.
async fn wait(heard: &mut Subscriber, share: &mut f64, observe: &mut dyn FnMut(f64), stop: &AtomicBool) {
    let until = Instant::now() + LOOK_FOR_ANSWER;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        match timeout(LOOK, heard.next()).await {
            Ok(Some(message)) => match fleet::read("how a task stands", &message.payload) {
                Ok(News::Answered) => return,
                Ok(News::Running(done)) => *share = done.clamp(0.0, 1.0),
                // Whoever says something else does not keep us from looking for ourselves.
                Err(_) => {}
            },
            // The connection is gone for good: the next request tells.
            Ok(None) => sleep(LOOK).await,
            Err(_) => {}
        }
        observe(*share);
    }
}

/// Listens to workers.
async fn listen(link: Link, heard: Arc<Mutex<Heard>>) {
    let Ok(mut beats) = link.client().subscribe(BEATS).await else { return };
    while let Some(message) = beats.next().await {
        if let Ok(Beat { name, build, .. }) = fleet::read("a worker's beat", &message.payload) {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.retain(|_, (at, _)| at.elapsed() < SILENCE);
            heard.insert(name, (Instant::now(), build));
        }
    }
}

/// Why there is no run.
fn problem(task: &Task, failure: Failure) -> Problem {
    let Failure { of_scenario, problem, worker } = failure;
    if of_scenario {
        return Problem::configuration(anyhow!(problem));
    }
    Problem::Failure(anyhow!(
        "{}, seed {}: the worker {worker} did not make it: {problem}",
        task.name,
        task.seed
    ))
}

impl Executor for Coordinator {
    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn run(
        &self,
        scenario: &Scenario,
        observe: &mut dyn FnMut(f64),
        stop: &AtomicBool,
    ) -> Result<Option<SimOutcome>, Problem> {
        let asked =
            Asked::new(&self.build, scenario, self.store.most_here()).map_err(Problem::Configuration)?;
        let made = self.runtime.block_on(self.obtain(&asked, observe, stop))?;
        let Some(made) = made else { return Ok(None) };
        observe(1.0);
        Ok(Some(parcel::unpack(&made, scenario)?))
    }

    fn told(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let there = || heard.values().filter(|(at, _)| at.elapsed() < SILENCE);
        let own = there().filter(|(_, build)| *build == self.build).count();
        match (own, there().count()) {
            (0, 0) => format!(", no worker heard of yet: sim worker --nats {}", self.store.link().place()),
            (0, 1) => ", one worker of another version of the program".to_owned(),
            (0, others) => format!(", {others} workers, all of other versions of the program"),
            (1, _) => ", 1 worker".to_owned(),
            (own, _) => format!(", {own} workers"),
        }
    }
}
