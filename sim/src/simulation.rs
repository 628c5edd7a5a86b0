//! A run from outside: built from a scenario, advanced in slices of simulated time, read out as it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use results::{Delta, Evidence, Frame, Recorder, Sample};
use scenarios::Scenario;
use scenarios::diagnostic::Diagnostics;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

use crate::companion::Companion;
use crate::front::{Due, Planner};
use crate::prefetch::prefetch;
use crate::sweep::Sweeper;
use crate::topology;
use crate::trace::{Follow, Tracer};
use crate::world::{Counts, World};

/// Answers are waited for at the end for as long as the longest timeout, and this.
const GRACE: SimTime = SimTime::from_secs(1);
/// How many requests are planned at once, and simulated between two looks at the outside.
const REQUESTS_PER_SLICE: f64 = 4_096.0;
/// So many requests before one comes due, the memory that it will need is asked for.
const FORESIGHT: usize = 8;
/// Below this many requests a second thread costs more than it saves.
const REQUESTS_WORTH_A_THREAD: f64 = 50_000.0;

/// A simulated run of a scenario.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// # let text = r#"
/// # title = "One worker"
/// # [run]
/// # duration = "10s"
/// # [hosts.app]
/// # [components.shop]
/// # kind = "service"
/// # host = "app"
/// # workers = 8
/// # [requests.page]
/// # path = "/"
/// # [[requests.page.steps]]
/// # work = "exponential(mean=5ms)"
/// # [traffic.users]
/// # to = "shop"
/// # mix = { page = 1 }
/// # executor = "constant-arrival-rate"
/// # rate = "100/s"
/// # "#;
/// let scenario = scenarios::Scenario::parse("page.toml", text)?;
/// let mut simulation = sim::Simulation::new(&scenario)?;
/// let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
/// assert!(outcome.complete);
/// assert_eq!(outcome.counts.due, outcome.counts.ok + outcome.counts.failed);
/// # Ok::<(), scenarios::diagnostic::Diagnostics>(())
/// ```
#[derive(Debug)]
pub struct Simulation {
    companion: Companion,
    pub(crate) world: World,
    /// Plays without events what needs none, where the scenario is of that kind.
    pub(crate) sweeper: Option<Box<Sweeper>>,
    /// The names of the classes.
    classes: Vec<String>,
    total: SimTime,
    /// When what is still unanswered is given up.
    end: SimTime,
    /// Up to where requests have come due.
    reached: SimTime,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The simulated time reached.
    pub reached: SimTime,
    /// The run's length.
    pub total: SimTime,
    /// What became of the requests so far.
    pub counts: Counts,
}

impl Progress {
    /// The share of the run that is done, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.reached.as_secs_f64() / self.total.as_secs_f64().max(1e-9)
    }
}

/// What a run leaves.
#[derive(Debug)]
pub struct SimOutcome {
    /// Whether it came to its end; else it was cancelled.
    pub complete: bool,
    /// What became of the requests.
    pub counts: Counts,
    /// What was recorded and not taken before.
    pub delta: Delta,
    /// What was observed of the components and not taken before.
    pub samples: Vec<Sample>,
    /// What the simulator says of the run.
    pub evidence: Evidence,
}

/// How long after it came due a request can still be answered: all its attempts time out.
fn longest_wait(traffic: &scenarios::scenario::Traffic) -> SimTime {
    let again = traffic.retries.as_ref().map_or(SimTime::ZERO, |retries| {
        let round = traffic.timeout.saturating_add(retries.backoff.cap);
        SimTime::from_nanos(round.as_nanos().saturating_mul(u64::from(retries.times)))
    });
    traffic.timeout.saturating_add(again)
}

impl Simulation {
    /// Builds the world of a scenario, prefill included. A long run plans ahead and records on a second thread.
    ///
    /// # Errors
    /// With every field that the simulator does not implement, and where it stands.
    pub fn new(scenario: &Scenario) -> Result<Self, Diagnostics> {
        let more = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        Self::with_threads(scenario, if more { 2 } else { 1 })
    }

    /// The same on one thread or on two. The outcome does not depend on it.
    ///
    /// # Errors
    /// As [`Simulation::new`].
    pub fn with_threads(scenario: &Scenario, threads: u32) -> Result<Self, Diagnostics> {
        let mut world = topology::build(scenario)?;
        let plan = Arc::new(Plan::new(scenario));
        world.start_users(scenario, &plan);
        let total = scenario.run.total();
        let longest = scenario.traffic.iter().map(longest_wait).max().unwrap_or_default();
        let end = total.saturating_add(longest).saturating_add(GRACE);
        let expected = plan.expected(SimTime::ZERO, total).max(1.0);
        let slices = (expected / REQUESTS_PER_SLICE).clamp(1000.0, 1e7);
        let slice = SimTime::from_nanos(((total.as_nanos() as f64 / slices) as u64).max(1));
        let ahead = threads > 1 && expected >= REQUESTS_WORTH_A_THREAD;
        let planner = Planner::new(scenario, plan, slice);
        let companion = Companion::new(planner, Recorder::new(&Frame::new(scenario)), ahead);
        let classes = scenario.requests.iter().map(|r| r.name.clone()).collect();
        let sweeper = Sweeper::new(&world, scenario);
        Ok(Self { companion, world, sweeper, classes, total, end, reached: SimTime::ZERO })
    }

    /// Runs to the end, or until `cancel` is set, where it is given up; says now and then how far it has come.
    pub fn run(&mut self, observe: &mut dyn FnMut(Progress), cancel: &AtomicBool) -> SimOutcome {
        let mut complete = self.is_done();
        while !complete && !cancel.load(Ordering::Relaxed) {
            complete = self.advance();
            observe(self.progress());
        }
        if !complete {
            self.give_up();
        }
        let (delta, samples) = self.take();
        SimOutcome { complete, counts: self.world.counts, delta, samples, evidence: self.evidence() }
    }

    /// Simulates the next slice of time; whether the run is over. After the last due time, answers are waited for as long
    /// as the longest timeout and a second more; what waits for a connection even then counts as dropped.
    pub fn advance(&mut self) -> bool {
        if let Some(mut batch) = self.companion.next() {
            self.play(&batch.due, batch.until.as_nanos());
            // What nobody planned, such as what users do, goes on meanwhile.
            self.events_until(batch.until.as_nanos());
            self.reached = batch.until;
            std::mem::swap(&mut batch.noted, &mut self.world.noted);
            self.companion.give_back(batch);
        }
        if self.reached == self.total {
            let until = self.total;
            self.events_until(until.as_nanos());
            let end = self.end.as_nanos();
            while self.world.in_flight > 0
                && let Some((at, token)) = self.world.events.pop_until(end)
            {
                self.world.handle(at, token);
            }
            if self.world.in_flight > 0 {
                self.world.now = end;
                self.give_up();
            }
        }
        self.is_done()
    }

    /// Plays what comes due, in a sweep where it can.
    fn play(&mut self, due: &[Due], until: u64) {
        let mut next = 0;
        while next < due.len() {
            let swept = match &mut self.sweeper {
                Some(sweeper) => sweeper.sweep(&mut self.world, &due[next..], until),
                None => Err(due.len()),
            };
            next = match swept {
                Ok(count) => next + count,
                Err(count) => self.play_by_events(due, next, due.len().min(next + count)),
            }
        }
    }

    /// Plays some of what comes due event by event; returns where that ends.
    fn play_by_events(&mut self, all: &[Due], first: usize, end: usize) -> usize {
        for (i, due) in all.iter().enumerate().take(end).skip(first) {
            // It was written by another thread.
            prefetch(all, i + 4 * FORESIGHT);
            if let Some(ahead) = all.get(i + FORESIGHT) {
                self.world.foresee(ahead, FORESIGHT as u16);
            }
            if let Some(ahead) = all.get(i + FORESIGHT / 2) {
                self.world.foresee_object(ahead, FORESIGHT as u16 / 2);
            }
            self.events_until(due.planned.due.as_nanos());
            self.world.come_due(due);
        }
        end
    }

    /// Ends the run where it is: what waits for a connection is dropped, what is under way has timed out, so that every
    /// request that came due has an outcome.
    pub fn give_up(&mut self) {
        self.world.sample_rest();
        self.world.give_up();
    }

    /// Handles all events up to and including a moment.
    #[inline(never)]
    fn events_until(&mut self, moment: u64) {
        while let Some((at, token)) = self.world.events.pop_until(moment) {
            self.world.handle(at, token);
        }
    }

    fn is_done(&self) -> bool {
        self.reached == self.total && self.world.in_flight == 0
    }

    /// How far the run has come.
    pub fn progress(&self) -> Progress {
        Progress { reached: self.reached, total: self.total, counts: self.world.counts }
    }

    /// What the simulator says of its own run, complete once the run is over.
    pub fn evidence(&mut self) -> Evidence {
        self.world.sample_rest();
        let laws = self.world.sampler.laws.clone().unwrap_or_default();
        let traces = self.world.tracer.as_ref().map(|tracer| tracer.traces()).unwrap_or_default();
        Evidence { model: self.world.model_notes(), laws, traces }
    }

    /// Follows single requests from here on. It changes nothing about the run.
    pub fn follow(&mut self, follow: Follow) {
        let tracer = Tracer::new(follow, self.world.sampler.names.clone(), self.classes.clone());
        self.world.tracer = Some(Box::new(tracer));
    }

    /// The numbers of the slowest requests so far, the slowest first, where they were to be remembered.
    pub fn slowest(&self) -> Vec<u64> {
        self.world.tracer.as_ref().map(|tracer| tracer.slowest()).unwrap_or_default()
    }

    /// What was recorded and observed since the last call.
    pub fn take(&mut self) -> (Delta, Vec<Sample>) {
        let noted = std::mem::take(&mut self.world.noted);
        (self.companion.take(noted), std::mem::take(&mut self.world.sampler.samples))
    }
}
