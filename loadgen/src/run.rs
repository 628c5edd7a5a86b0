//! A whole run: engine threads, the watchdog, the control thread, and the journal that they all report to.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use results::{
    Delta, Frame, Provenance, RunRecord, RunWriter, Sample, Segment, Status, Validity, World, sample,
};
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

use crate::abort::Aborts;
use crate::clock::{Clock, day_nanos};
use crate::control::Control;
use crate::engine::ledger::{Account, Pulse};
use crate::engine::{
    Clients, Entries, Left, Options, Ready, Report, Retryings, Share, Shared, longest_wait, most_threads,
    play, sources,
};
use crate::error::Error;
use crate::evidence::{Meter, Watchdog};
pub use crate::standing::Snapshot;
use crate::standing::Standing;
use crate::supports;
use crate::system::System;
use crate::validity::judge;

/// Between the moment when all connections are open and the run's start.
const PREPARATION: Duration = Duration::from_millis(50);
/// Connections are opened this long before a start that was agreed on.
pub const AHEAD: Duration = Duration::from_secs(3);
/// How often whoever watches is told.
const LOOK: Duration = Duration::from_millis(200);
/// Answers are waited for at the end for as long as the longest timeout, with all that is sent again, and this.
pub(crate) const GRACE: SimTime = SimTime::from_secs(1);
/// Metric of the generator's samples: the longest time that the machine stood still, in seconds.
pub const STALL_MAX_S: &str = "stall_max_s";
/// Metric of the generator's samples: how long its threads waited for a processor in the interval's last second, in seconds.
pub const CPU_WAIT_S: &str = "cpu_wait_s";
/// Metric of the generator's samples: requests under way.
pub const IN_FLIGHT: &str = "in_flight";

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

/// What was recorded in a second of a run.
#[derive(Debug)]
pub struct Second<'a> {
    /// The counts.
    pub delta: &'a Delta,
    /// The evidence of the generator.
    pub samples: &'a [Sample],
    /// How its threads stand.
    pub pulse: Pulse,
    /// Where the run's zero lies by CLOCK_REALTIME, in nanoseconds.
    pub zero_of_day_nanos: u64,
}

/// Who is told of every second of a run.
pub type Tell<'a> = dyn FnMut(&Second<'_>) + 'a;

/// What threads tell the journal.
#[derive(Debug)]
pub(crate) enum Event {
    Report(Box<Report>),
    Samples(Vec<Sample>),
    /// Something that makes the run invalid.
    Unsound(String),
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
        let journal = Journal::new(&frame, clock, writer, threads, &watchdog, aborts);
        let is_retrying = job.scenario.traffic.iter().any(|traffic| traffic.retries.is_some());
        let mut journal = Journal { is_retrying, ..journal };
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
                account.sent = account.planned;
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

/// Tells the helping threads that the run is over, however it ends.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Lanes<'scope> = Vec<ScopedJoinHandle<'scope, Result<Vec<Account>, Error>>>;

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

/// A figure of the generator's own.
fn of_generator(interval: usize, metric: &'static str, value: f64) -> Sample {
    Sample { interval, component: sample::GENERATOR.to_owned(), instance: 0, metric: metric.into(), value }
}

/// Writes down what happens, as it happens.
struct Journal<'a> {
    frame: &'a Frame,
    clock: Clock,
    writer: RunWriter,
    watchdog: &'a Watchdog,
    standing: Standing<'a>,
    pulses: Vec<Pulse>,
    evidence: Evidence,
    /// Whether anything that fails is sent again.
    is_retrying: bool,
    /// What was used over the whole run.
    whole: Meter,
    unsound: Vec<String>,
    aborts: Aborts<'a>,
    told: Option<Told<'a>>,
}

/// Whoever else is told, and of what they are still to be.
struct Told<'a> {
    tell: &'a mut Tell<'a>,
    delta: Option<Delta>,
}

/// What is noted about the generator in the current interval.
struct Evidence {
    interval: usize,
    meter: Meter,
    wakeup_lag_nanos: u64,
    stall: SimTime,
    /// How often requests had been sent again before it.
    retries_before: u64,
}

impl<'a> Journal<'a> {
    fn new(
        frame: &'a Frame,
        clock: Clock,
        writer: RunWriter,
        threads: usize,
        watchdog: &'a Watchdog,
        aborts: Aborts<'a>,
    ) -> Self {
        Self {
            frame,
            clock,
            writer,
            watchdog,
            standing: Standing::new(frame),
            pulses: vec![Pulse::default(); threads],
            evidence: Evidence {
                interval: 0,
                meter: Meter::new(),
                wakeup_lag_nanos: 0,
                stall: SimTime::ZERO,
                retries_before: 0,
            },
            is_retrying: false,
            whole: Meter::new(),
            unsound: Vec::new(),
            aborts,
            told: None,
        }
    }

    /// Writes until all lanes have ended.
    fn keep(
        &mut self,
        received: &Receiver<Event>,
        lanes: &Lanes<'_>,
        observe: &mut dyn FnMut(&Snapshot),
    ) -> Result<(), Error> {
        loop {
            match received.recv_timeout(LOOK) {
                Ok(event) => self.write(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.standing.snapshot.at = self.clock.now();
            observe(&self.standing.snapshot);
            if lanes.iter().all(ScopedJoinHandle::is_finished) {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Report(report) => {
                let Report { thread, delta, pulse } = *report;
                self.standing.add(&delta);
                self.pulses[thread as usize] = pulse;
                let samples = if thread == 0 { self.second() } else { Vec::new() };
                self.writer.append(&delta, &samples)?;
                self.tell(delta, &samples, thread == 0);
                if thread == 0 {
                    self.aborts.look(self.clock.now(), &self.writer);
                }
            }
            Event::Samples(samples) => {
                let nothing = results::Recorder::new(self.frame).take();
                self.writer.append(&nothing, &samples)?;
            }
            // A lane that lacks something says so every second.
            Event::Unsound(reason) if self.unsound.contains(&reason) => {}
            Event::Unsound(reason) => self.unsound.push(reason),
        }
        Ok(())
    }

    /// Tells whoever else is to know: all threads' counts of a second at once.
    fn tell(&mut self, delta: Delta, samples: &[Sample], now: bool) {
        let Some(told) = &mut self.told else { return };
        let all = match told.delta.take() {
            None => delta,
            Some(mut before) => {
                before.merge(&delta);
                before
            }
        };
        if now {
            let (pulse, zero_of_day_nanos) = (self.standing.snapshot.pulse, self.clock.zero_of_day());
            (told.tell)(&Second { delta: &all, samples, pulse, zero_of_day_nanos });
        } else {
            told.delta = Some(all);
        }
    }

    /// Another second is over: what is to be shown, and the evidence.
    fn second(&mut self) -> Vec<Sample> {
        let now = self.clock.now();
        let mut pulse = Pulse::default();
        self.pulses.iter().for_each(|thread| pulse.add(thread));
        let retries_before = self.standing.snapshot.pulse.retries;
        let then = self.standing.second(now, pulse);
        // The second that ended, not the one that begins.
        let interval = self.frame.interval_of(SimTime::from_nanos((then.as_nanos() + now.as_nanos()) / 2));
        let evidence = &mut self.evidence;
        if interval != evidence.interval {
            (evidence.interval, evidence.wakeup_lag_nanos, evidence.stall) = (interval, 0, SimTime::ZERO);
            evidence.retries_before = retries_before;
        }
        evidence.wakeup_lag_nanos = evidence.wakeup_lag_nanos.max(pulse.wakeup_lag_nanos);
        evidence.stall = evidence.stall.max(self.watchdog.recent());
        let used = evidence.meter.read();
        let values = [
            (sample::CPU, used.own_cores),
            (sample::STEAL, used.stolen_cores),
            (sample::MACHINE_BUSY, used.machine),
            (sample::QUEUE, pulse.queue as f64),
            (IN_FLIGHT, pulse.under_way as f64),
            (sample::CONNECTIONS, pulse.connections as f64),
            (sample::WAKEUP_LAG_MAX_S, evidence.wakeup_lag_nanos as f64 / 1e9),
            (CPU_WAIT_S, pulse.delayed_nanos as f64 / 1e9),
            (STALL_MAX_S, evidence.stall.as_secs_f64()),
        ];
        let samples = values.into_iter().map(|(metric, value)| of_generator(interval, metric, value));
        samples.chain(self.retries()).collect()
    }

    /// How often requests were sent again in the present interval, where any are.
    fn retries(&self) -> Option<Sample> {
        let all: u64 = self.pulses.iter().map(|thread| thread.retries).sum();
        let Evidence { interval, retries_before, .. } = self.evidence;
        let value = (all - retries_before) as f64;
        self.is_retrying.then(|| of_generator(interval, sample::RETRIES, value))
    }

    /// Writes what is left, judges the run and closes the record.
    fn finish(
        mut self,
        received: &Receiver<Event>,
        accounts: &[Account],
        stopped: bool,
    ) -> Result<RunRecord, Error> {
        // The control threads drop their senders when they see that the run is over.
        while let Ok(event) = received.recv() {
            self.write(event)?;
        }
        // One thread tells of a second for all of them; others may have ended later.
        let retries: Vec<Sample> = self.retries().into_iter().collect();
        if !retries.is_empty() {
            self.writer.append(&results::Recorder::new(self.frame).take(), &retries)?;
        }
        if let Some(told) = &mut self.told
            && let Some(delta) = told.delta.take()
        {
            let (pulse, zero_of_day_nanos) = (self.standing.snapshot.pulse, self.clock.zero_of_day());
            (told.tell)(&Second { delta: &delta, samples: &retries, pulse, zero_of_day_nanos });
        }
        let mut reasons = self.unsound;
        reasons.extend(judge(self.frame, accounts, self.watchdog.worst(), self.whole.read()));
        let status = match stopped {
            true if self.aborts.aborted => Status::Aborted,
            true => Status::Interrupted,
            false => Status::Complete,
        };
        Ok(self.writer.finish(status, Validity { reasons })?)
    }
}
