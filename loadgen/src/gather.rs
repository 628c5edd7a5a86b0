//! One run that several machines play: what they tell comes together here, and is judged here alone.
//!
//! How they tell is not known here, nor how they are told to stop: whoever carries the messages looks at the flag `stop`. Segments are
//! exact shares of the plan, so counts add up and histograms merge. An agent of which nothing is heard for a while is lost, and
//! with it the run's validity; its segment is nobody else's, and what it tells later is not counted.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use results::agents::send_lag_p99_s;
use results::evidence::ModelNote;
use results::{
    Agent, Delta, Evidence, Frame, Piece, Provenance, Recorder, RunRecord, RunWriter, Sample, Segment,
    Status, Validity, World, sample, segments,
};
use scenarios::Scenario;
use scenarios::units::SimTime;

use crate::abort::Aborts;
use crate::clock::Clock;
use crate::control::Control;
use crate::engine::{Pulse, longest_wait};
use crate::error::Error;
use crate::journal::{CPU_WAIT_S, Event, IN_FLIGHT, STALL_MAX_S};
use crate::run::{GRACE, Over, day_nanos_of};
use crate::standing::{Snapshot, Standing};
use crate::system::System;

/// An agent of which nothing was heard for this long is lost.
pub const SILENCE: Duration = Duration::from_secs(5);
/// Agents that were told to stop, or whose last answers are due, have so long to say how they ended.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked at what does not come by itself.
const LOOK: Duration = Duration::from_millis(100);
/// What agents tell is written down this often.
const SECOND: SimTime = SimTime::from_secs(1);
/// Faults are prepared this long before the start.
const BEFORE: Duration = Duration::from_millis(500);
/// What an agent may say of itself; a system's figures are not its to tell.
const SAID: [&str; 10] = [
    sample::CPU,
    sample::STEAL,
    sample::MACHINE_BUSY,
    sample::QUEUE,
    sample::CONNECTIONS,
    sample::RETRIES,
    sample::WAKEUP_LAG_MAX_S,
    IN_FLIGHT,
    CPU_WAIT_S,
    STALL_MAX_S,
];

/// A run that others play.
#[derive(Debug)]
pub struct Gathering<'a> {
    /// What is played.
    pub scenario: &'a Scenario,
    /// Where the record is written.
    pub directory: &'a Path,
    /// Where the record comes from.
    pub provenance: Provenance,
    /// Ends the run early when set; a threshold sets it as well.
    pub stop: &'a AtomicBool,
    /// The run's zero by this machine's clock.
    pub start: Timestamp,
    /// Who plays: that at place i the segment i + 1 of as many as there are.
    pub agents: Vec<Agent>,
}

/// What an agent tells.
#[derive(Debug)]
pub struct Told {
    /// Its place among the agents.
    pub agent: usize,
    /// What it says.
    pub word: Word,
}

/// What an agent says.
#[derive(Debug)]
pub enum Word {
    /// That it is there.
    Alive,
    /// What it recorded since it said so last.
    Second {
        /// That.
        piece: Box<Piece>,
        /// How its threads stand.
        pulse: Pulse,
        /// How much later than agreed its run began by this machine's clock, in seconds.
        start_skew_s: f64,
    },
    /// That it has told everything.
    Done(Ending),
    /// That it plays nothing, and why.
    Failed(String),
}

/// How an agent's part ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// How.
    pub status: Status,
    /// Why its figures must not be believed.
    pub reasons: Vec<String>,
    /// Requests that became due on it: as many as it must have told of.
    pub requests: u64,
    /// The 99th percentile of its send lag, in seconds.
    pub send_lag_p99_s: Option<f64>,
    /// Cores that its generator used on average.
    pub cpu_cores: Option<f64>,
}

impl Ending {
    /// How a part ended, from the agent's own record of it.
    pub fn of(record: &RunRecord) -> Self {
        let used = record.series(sample::GENERATOR, sample::CPU).next();
        let used: Vec<f64> = used.iter().flat_map(|series| series.values.iter().flatten().copied()).collect();
        Self {
            status: record.status,
            reasons: record.validity.reasons.clone(),
            requests: record.tallies.all_due(),
            send_lag_p99_s: send_lag_p99_s(record),
            cpu_cores: (!used.is_empty()).then(|| used.iter().sum::<f64>() / used.len() as f64),
        }
    }
}

/// Gathers what the agents tell until all have ended, and writes the record of the whole; none where it was stopped before it
/// began. `system` carries out the scenario's faults, as in [`crate::run()`].
///
/// # Errors
/// Where an agent cannot play before anything has begun, or the record cannot be written. A run with bad results is none.
pub fn gather(
    run: Gathering<'_>,
    told: &Receiver<Told>,
    system: Option<&dyn System>,
    observe: &mut dyn FnMut(&Snapshot),
) -> Result<Option<RunRecord>, Error> {
    let frame = Frame::new(run.scenario);
    let start = run.start;
    let clock = Clock::starting_at(day_nanos_of(start)).ok_or(Error::Late { start })?;
    let mut parts: Vec<Part> = run.agents.into_iter().map(Part::new).collect();
    if !wait(&mut parts, told, clock, run.stop)? {
        return Ok(None);
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _at_the_end = Over(&over);
        let (events, happened) = mpsc::channel();
        if let Some(system) = system {
            let control = Control { scenario: run.scenario, frame: &frame, clock, system, over: &over };
            let (faults, figures) = (events.clone(), events.clone());
            scope.spawn(move || control.faults(&faults));
            scope.spawn(move || control.figures(&figures));
        }
        drop(events);
        let writer = RunWriter::create(run.directory, run.scenario, World::Loadgen, run.provenance)?;
        let classes = run.scenario.requests.iter().map(|class| class.name.clone()).collect();
        let mut whole = Whole {
            frame: &frame,
            classes,
            clock,
            writer,
            parts,
            standing: Standing::new(&frame),
            pending: Recorder::new(&frame).take(),
            samples: Vec::new(),
            reasons: Vec::new(),
            aborts: Aborts::new(run.scenario, &frame, run.stop),
        };
        let longest = run.scenario.traffic.iter().map(longest_wait).max().unwrap_or_default();
        let end = frame.total + longest + GRACE;
        whole.keep((told, &happened), run.stop, end, observe)?;
        over.store(true, Ordering::Relaxed);
        whole.finish(&happened, run.stop.load(Ordering::Relaxed), start).map(Some)
    })
}

/// Waits until the run is about to begin, with all who are to play it; `false` where it is stopped before.
fn wait(parts: &mut [Part], told: &Receiver<Told>, clock: Clock, stop: &AtomicBool) -> Result<bool, Error> {
    while clock.until_start() > BEFORE {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let failed = |part: &Part, problem| Err(Error::Agent { name: part.facts.name.clone(), problem });
        match told.recv_timeout(LOOK.min(clock.until_start())) {
            Ok(Told { agent, word }) => {
                let Some(part) = parts.get_mut(agent) else { continue };
                part.heard = Instant::now();
                match word {
                    Word::Failed(problem) => return failed(part, problem),
                    Word::Done(_) => return failed(part, "it ended before the run began".to_owned()),
                    Word::Alive | Word::Second { .. } => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
        if let Some(part) = parts.iter().find(|part| part.heard.elapsed() > SILENCE) {
            return failed(part, format!("{} before the run began", silent()));
        }
    }
    Ok(true)
}

fn silent() -> String {
    format!("silent for {} s", SILENCE.as_secs())
}

/// One of those who play.
#[derive(Debug)]
struct Part {
    facts: Agent,
    heard: Instant,
    pulse: Pulse,
    /// How it ended; lost ones are [`Status::Killed`].
    ended: Option<Status>,
}

impl Part {
    fn new(facts: Agent) -> Self {
        Self { facts, heard: Instant::now(), pulse: Pulse::default(), ended: None }
    }
}

/// All that was told so far.
struct Whole<'a> {
    frame: &'a Frame,
    classes: Vec<String>,
    clock: Clock,
    writer: RunWriter,
    parts: Vec<Part>,
    standing: Standing<'a>,
    /// What was told since it was written down last.
    pending: Delta,
    samples: Vec<Sample>,
    reasons: Vec<String>,
    aborts: Aborts<'a>,
}

impl Whole<'_> {
    /// Listens until all have ended, or nobody can be expected to say so any more.
    fn keep(
        &mut self,
        (told, happened): (&Receiver<Told>, &Receiver<Event>),
        stop: &AtomicBool,
        end: SimTime,
        observe: &mut dyn FnMut(&Snapshot),
    ) -> Result<(), Error> {
        let mut written = SimTime::ZERO;
        let mut stopped = None;
        loop {
            match told.recv_timeout(LOOK) {
                Ok(first) => std::iter::once(first).chain(told.try_iter()).for_each(|told| self.hear(told)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.lose_if(|_| true, "nobody carries its words any more");
                }
            }
            happened.try_iter().for_each(|event| self.note(event));
            self.lose_if(|part| part.heard.elapsed() > SILENCE, &silent());
            let now = self.clock.now();
            if now >= written + SECOND {
                written = now;
                self.write(now)?;
            }
            self.standing.snapshot.at = now;
            observe(&self.standing.snapshot);
            if stop.load(Ordering::Relaxed) {
                let since = *stopped.get_or_insert_with(Instant::now);
                self.lose_if(|_| since.elapsed() > PATIENCE, "it did not end when it was told to");
            }
            let late = SimTime::from_nanos(PATIENCE.as_nanos() as u64);
            self.lose_if(|_| now > end + late, "it did not say how it ended");
            if self.parts.iter().all(|part| part.ended.is_some()) {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, Told { agent, word }: Told) {
        // What a lost agent tells after all is not counted.
        let Some(part) = self.parts.get_mut(agent).filter(|part| part.ended.is_none()) else { return };
        part.heard = Instant::now();
        match word {
            Word::Alive => {}
            Word::Failed(problem) => self.lose(agent, &problem),
            Word::Done(ending) => self.end(agent, ending),
            Word::Second { piece, pulse, start_skew_s } => match piece.read(self.frame, &self.classes) {
                Err(problem) => self.lose(agent, &format!("what it told is not of this run: {problem}")),
                Ok((delta, samples)) => {
                    part.pulse = pulse;
                    part.facts.start_skew_s = Some(start_skew_s);
                    part.facts.requests += delta.tallies().all_due();
                    self.pending.merge(&delta);
                    let of_itself = samples.into_iter().filter(|sample| {
                        sample.component == sample::GENERATOR && SAID.contains(&&*sample.metric)
                    });
                    let instance = agent as u32;
                    self.samples.extend(of_itself.map(|sample| Sample { instance, ..sample }));
                }
            },
        }
    }

    /// What the threads say that break and ask the system.
    fn note(&mut self, event: Event) {
        match event {
            Event::Samples(samples) => self.samples.extend(samples),
            Event::Unsound(reason) => self.reasons.push(reason),
            Event::Report(_) => unreachable!("there are no engine threads here"),
        }
    }

    /// Loses those who have not ended and of whom this is true.
    fn lose_if(&mut self, lost: impl Fn(&Part) -> bool, why: &str) {
        for agent in 0..self.parts.len() {
            if self.parts[agent].ended.is_none() && lost(&self.parts[agent]) {
                self.lose(agent, why);
            }
        }
    }

    fn lose(&mut self, agent: usize, why: &str) {
        let at = self.clock.now().as_secs_f64();
        let called = self.called(agent);
        let part = &mut self.parts[agent];
        (part.ended, part.pulse) = (Some(Status::Killed), Pulse::default());
        part.facts.lost = Some(format!("{why}, {at:.0} s into the run"));
        self.reasons.push(format!(
            "{called} is lost, {at:.0} s into the run: {why}; what it sent and did not tell of is not counted, and nobody plays it again"
        ));
    }

    /// An agent has told everything.
    fn end(&mut self, agent: usize, ending: Ending) {
        let called = self.called(agent);
        let part = &mut self.parts[agent];
        part.ended = Some(ending.status);
        (part.facts.send_lag_p99_s, part.facts.cpu_cores) = (ending.send_lag_p99_s, ending.cpu_cores);
        let told = part.facts.requests;
        self.reasons.extend(ending.reasons.iter().map(|reason| format!("{called}: {reason}")));
        if told != ending.requests {
            self.reasons.push(format!(
                "{called}: it counted {} requests and told of {told}: messages were lost",
                ending.requests
            ));
        }
    }

    /// How an agent's part is called in sentences.
    fn called(&self, agent: usize) -> String {
        let facts = &self.parts[agent].facts;
        format!("segment {}/{} (agent {})", facts.segment, self.parts.len(), facts.name)
    }

    /// Writes down what was told since the last time, and looks at the thresholds that stop the run.
    fn write(&mut self, now: SimTime) -> Result<(), Error> {
        let delta = std::mem::replace(&mut self.pending, Recorder::new(self.frame).take());
        let mut pulse = Pulse::default();
        self.parts.iter().for_each(|part| pulse.add(&part.pulse));
        self.standing.add(&delta);
        self.standing.second(now, pulse);
        self.writer.append(&delta, &std::mem::take(&mut self.samples))?;
        self.aborts.look(now, &self.writer);
        Ok(())
    }

    /// Judges the run and closes the record.
    fn finish(
        mut self,
        happened: &Receiver<Event>,
        stopped: bool,
        start: Timestamp,
    ) -> Result<RunRecord, Error> {
        // The control threads drop their senders when they see that the run is over.
        while let Ok(event) = happened.recv() {
            self.note(event);
        }
        let now = self.clock.now();
        self.write(now)?;
        let complete = self.parts.iter().filter(|part| part.ended == Some(Status::Complete)).count();
        let status = match stopped && complete < self.parts.len() {
            true if self.aborts.aborted => Status::Aborted,
            true => Status::Interrupted,
            false => Status::Complete,
        };
        if status == Status::Complete {
            for agent in 0..self.parts.len() {
                if let Some(ended) = self.parts[agent].ended
                    && !matches!(ended, Status::Complete | Status::Killed)
                {
                    let called = self.called(agent);
                    self.reasons.push(format!("{called} did not come to its end: {}", ended.name()));
                    self.parts[agent].facts.lost = Some(ended.name().to_owned());
                }
            }
        }
        let Self { mut writer, parts, mut reasons, .. } = self;
        let of = parts.len() as u32;
        let segments = (1..=of).map(|index| Segment { index, of, start }).collect();
        let agents: Vec<Agent> = parts.into_iter().map(|part| part.facts).collect();
        reasons.extend(together(&agents, &mut writer));
        writer.played_by(segments, agents);
        Ok(writer.finish(status, Validity { reasons })?)
    }
}

/// How far apart the agents began, as a note of the record; a reason against the run where it was too far.
fn together(agents: &[Agent], writer: &mut RunWriter) -> Option<String> {
    let skews = || agents.iter().filter_map(|agent| agent.start_skew_s);
    let apart = skews().reduce(f64::max)? - skews().reduce(f64::min)?;
    let error = agents.iter().map(|agent| agent.clock_error_s).fold(0.0, f64::max);
    let note = ModelNote::new(
        "start of the segments",
        format!(
            "{} of {}, {:.3} ms apart by the coordinator's clock",
            skews().count(),
            agents.len(),
            apart * 1e3
        ),
        format!("clocks known to ± {:.3} ms", error * 1e3),
    );
    writer.add_evidence(Evidence { model: vec![note], ..Evidence::default() });
    let limit = segments::APART.as_secs_f64();
    (apart > limit).then(|| {
        format!(
            "the segments started {apart:.1} s apart (limit {limit:.0} s): together they are not the plan's load"
        )
    })
}
