//! A whole run: engine threads, the watchdog, the control thread, and the journal that they all report to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use results::{Frame, Provenance, RunRecord, RunWriter, Segment, World};
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

use crate::abort::Aborts;
use crate::clock::{Clock, day_nanos};
use crate::control::Control;
use crate::engine::ledger::Account;
use crate::engine::{
    Clients, Entries, Left, Options, Ready, Retryings, Share, Shared, longest_wait, most_threads, play,
    sources,
};
use crate::error::Error;
use crate::evidence::Watchdog;
pub use crate::journal::{CPU_WAIT_S, IN_FLIGHT, STALL_MAX_S, Second, Tell};
use crate::journal::{Event, Journal, Told};
pub use crate::standing::Snapshot;
use crate::supports;
use crate::system::System;

/// Between the moment when all connections are open and the run's start.
const PREPARATION: Duration = Duration::from_millis(50);
/// Connections are opened this long before a start that was agreed on.
pub const AHEAD: Duration = Duration::from_secs(3);
/// How often whoever watches is told.
pub(crate) const LOOK: Duration = Duration::from_millis(200);
/// Answers are waited for at the end for as long as the longest timeout, with all that is sent again, and this.
pub(crate) const GRACE: SimTime = SimTime::from_secs(1);
/// A run to be made.
#[derive(Debug)]
pub struct Job<'a> {
    /// What is played.
    pub scenario: &'a Scenario,
    /// Where its requests go.
    pub entries: &'a Entries,
    /// How the engine works.
    pub options: Options,
    /// Where the record is written.
    pub directory: &'a Path,
    /// Where the record comes from.
    pub provenance: Provenance,
    /// Ends the run early when set.
    pub stop: &'a AtomicBool,
}

/// Makes a run and writes its record. `system` carries out the scenario's faults and is asked for its components'
/// state; without one there are neither.
///
/// # Errors
/// Where nothing could be played or recorded. A run with bad results is none.
///
/// # Panics
/// If an engine thread does.
pub fn run(
    job: Job<'_>,
    system: Option<&dyn System>,
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<RunRecord, Error> {
    make(job, None, (system, None), observe)
}

/// A run of which somebody else is told second by second, and whose thresholds are somebody else's to judge: none of them
/// stops it.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`].
pub fn run_told(
    job: Job<'_>,
    tell: &mut Tell<'_>,
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<RunRecord, Error> {
    make(job, None, (None, Some(tell)), observe)
}

/// The same over clients of the caller's instead of sockets: of the job's entries nothing is used.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`].
pub fn run_over(
    job: Job<'_>,
    clients: Arc<dyn Clients>,
    system: Option<&dyn System>,
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<RunRecord, Error> {
    make(job, Some(clients), (system, None), observe)
}

fn make(
    job: Job<'_>,
    clients: Option<Arc<dyn Clients>>,
    (system, tell): (Option<&dyn System>, Option<&mut Tell<'_>>),
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<RunRecord, Error> {
    match &clients {
        None => {
            supports::check(job.scenario)?;
            sources::check(job.scenario, &job.entries.by_traffic)?;
        }
        Some(_) => supports::check_over_clients(job.scenario)?,
    }
    let (share, most) = (job.options.share, most_threads(job.scenario));
    match (job.options.threads.get(), share.of()) {
        (threads, _) if threads > most => return Err(Error::Threads { found: threads, most }),
        (threads, of) if threads.saturating_mul(of) > most => {
            return Err(Error::Segments { of, threads, most });
        }
        _ => {}
    }
    let frame = Frame::new(job.scenario);
    let plan = Plan::new(job.scenario);
    let left = Left::new(job.scenario, share);
    let retryings = Retryings::new(job.scenario, share);
    let longest = job.scenario.traffic.iter().map(longest_wait).max();
    let shared = Shared {
        scenario: job.scenario,
        plan: &plan,
        frame: &frame,
        entries: job.entries,
        options: job.options,
        total: frame.total,
        grace: longest.unwrap_or_default() + GRACE,
        stop: job.stop,
        left: &left,
        retryings: &retryings,
        clients,
    };
    let watchdog = Watchdog::default();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (events, received) = mpsc::channel();
        let _at_the_end = Over(&over);
        if let Some(start) = job.options.start {
            wait_for(start, job.stop)?;
        }
        let (lanes, ready) = start(scope, &shared, &events)?;
        reachable(&job, &ready)?;
        let mut provenance = job.provenance;
        if share != Share::WHOLE {
            let start = job.options.start.unwrap_or_else(Timestamp::now);
            provenance.segments = vec![Segment { index: share.number(), of: share.of(), start }];
        }
        let writer = RunWriter::create(job.directory, job.scenario, World::Loadgen, provenance)?;
        let clock = match job.options.start {
            Some(start) => Clock::starting_at(day_nanos_of(start)).ok_or(Error::Late { start })?,
            None => Clock::starting_in(PREPARATION),
        };
        for thread in ready {
            // A thread that is gone is found when it is joined.
            let _ = thread.start.send(clock);
        }
        scope.spawn(|| watchdog.watch(&over));
        if let Some(system) = system {
            let control = Control { scenario: job.scenario, frame: &frame, clock, system, over: &over };
            let (faults, figures) = (events.clone(), events.clone());
            scope.spawn(move || control.faults(&faults));
            scope.spawn(move || control.figures(&figures));
        }
        drop(events);
        let threads = job.options.threads.get() as usize;
        let aborts = match tell {
            None => Aborts::new(job.scenario, &frame, job.stop),
            Some(_) => Aborts::none(job.stop),
        };
        let mut journal = Journal::new(&frame, clock, writer, threads, &watchdog, aborts);
        journal.is_retrying = job.scenario.traffic.iter().any(|traffic| traffic.retries.is_some());
        journal.told = tell.map(|tell| Told { tell, delta: None });
        let result = journal.keep(&received, &lanes, observe);
        if result.is_err() {
            job.stop.store(true, Ordering::Relaxed);
        }
        let mut accounts = join(lanes)?;
        result?;
        let stopped = job.stop.load(Ordering::Relaxed);
        for (account, window) in accounts.iter_mut().zip(&frame.windows) {
            if stopped {
                // What a run that was stopped did not deliver says nothing about the generator; how late it was does.
                account.sent = account.planned.saturating_sub(account.dropped);
            } else {
                // What was planned is asked of the plan itself: the lanes' own count could only agree with what they did.
                let planned =
                    plan.window(window.from, window.until, share.number() - 1, share.of()).count() as u64;
                account.planned = planned + account.followed;
            }
        }
        over.store(true, Ordering::Relaxed);
        journal.finish(&received, &accounts, stopped)
    })
}

/// Waits until connections are to be opened for a start at this time; at once where it is near, or the run is stopped.
fn wait_for(start: Timestamp, stop: &AtomicBool) -> Result<(), Error> {
    let open_at = day_nanos_of(start).saturating_sub(AHEAD.as_nanos() as u64);
    while day_nanos() < open_at && !stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK.min(Duration::from_nanos(open_at.saturating_sub(day_nanos()))));
    }
    // Whoever comes so late that connections cannot be opened before would be late with requests.
    if day_nanos() > day_nanos_of(start) { Err(Error::Late { start }) } else { Ok(()) }
}

/// A time as CLOCK_REALTIME tells it; zero before 1970.
pub(crate) fn day_nanos_of(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

/// Tells helping threads that the run is over, however it ends.
#[derive(Debug)]
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) type Lanes<'scope> = Vec<ScopedJoinHandle<'scope, Result<Vec<Account>, Error>>>;

/// Starts the engine's threads and waits until their connections are open or have failed.
fn start<'scope, 'a: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'a Shared<'a>,
    events: &Sender<Event>,
) -> Result<(Lanes<'scope>, Vec<Ready>), Error> {
    let threads = shared.options.threads.get();
    let (ready, all_ready) = mpsc::channel();
    let lanes: Lanes<'scope> = (0..threads)
        .map(|thread| {
            let (ready, events) = (ready.clone(), events.clone());
            let name = format!("engine-{thread}");
            let started = thread::Builder::new().name(name);
            started.spawn_scoped(scope, move || play(shared, thread, ready, &events))
        })
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Engine { source })?;
    drop(ready);
    let ready: Vec<Ready> = all_ready.iter().collect();
    if ready.len() < threads as usize {
        // The threads that are ready end when `ready` is dropped.
        drop(ready);
        join(lanes)?;
        unreachable!("a thread that is never ready has an error to tell");
    }
    Ok((lanes, ready))
}

/// Every traffic must have a connection to begin with.
fn reachable(job: &Job<'_>, ready: &[Ready]) -> Result<(), Error> {
    for (index, traffic) in job.scenario.traffic.iter().enumerate() {
        if ready.iter().all(|thread| thread.open[index] == 0) {
            let addresses: Vec<_> =
                job.entries.by_traffic[index].iter().map(|e| e.address.to_string()).collect();
            if let Some(problem) = ready.iter().find_map(|thread| thread.problem.clone()) {
                return Err(Error::Handshake { address: addresses.join(", "), problem });
            }
            return Err(Error::Unreachable { traffic: traffic.name.clone(), address: addresses.join(", ") });
        }
    }
    Ok(())
}

/// The accounts of all threads together, by window.
fn join(lanes: Lanes<'_>) -> Result<Vec<Account>, Error> {
    let mut total = Vec::new();
    for lane in lanes {
        let accounts = lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        total.resize(accounts.len().max(total.len()), Account::default());
        for (sum, account) in total.iter_mut().zip(&accounts) {
            sum.add(account);
        }
    }
    Ok(total)
}
