//! The journal of a run: what engine threads and helpers tell is written into the record, and shown, as it happens.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::ScopedJoinHandle;

use results::{Delta, Frame, Recorder, RunRecord, RunWriter, Sample, Status, Validity, sample};
use scenarios::units::SimTime;

use crate::abort::Aborts;
use crate::clock::Clock;
use crate::engine::Report;
use crate::engine::ledger::{Account, Pulse};
use crate::error::Error;
use crate::evidence::{Meter, Watchdog};
use crate::run::{LOOK, Lanes};
use crate::standing::{Snapshot, Standing};
use crate::validity::judge;

/// Metric of the generator's samples: the longest time that the machine stood still, in seconds.
pub const STALL_MAX_S: &str = "stall_max_s";
/// Metric of the generator's samples: how long its threads waited for a processor in the interval's last second, in seconds.
pub const CPU_WAIT_S: &str = "cpu_wait_s";
/// Metric of the generator's samples: requests under way.
pub const IN_FLIGHT: &str = "in_flight";

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

/// A figure of the generator's own.
fn of_generator(interval: usize, metric: &'static str, value: f64) -> Sample {
    Sample { interval, component: sample::GENERATOR.to_owned(), instance: 0, metric: metric.into(), value }
}

/// Writes down what happens, as it happens.
pub(crate) struct Journal<'a> {
    frame: &'a Frame,
    clock: Clock,
    writer: RunWriter,
    watchdog: &'a Watchdog,
    standing: Standing<'a>,
    pulses: Vec<Pulse>,
    evidence: Evidence,
    /// Whether anything that fails is sent again.
    pub(crate) is_retrying: bool,
    /// What was used over the whole run.
    whole: Meter,
    unsound: Vec<String>,
    aborts: Aborts<'a>,
    pub(crate) told: Option<Told<'a>>,
}

/// Whoever else is told, and of what they are still to be.
pub(crate) struct Told<'a> {
    pub(crate) tell: &'a mut Tell<'a>,
    pub(crate) delta: Option<Delta>,
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
    pub(crate) fn new(
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
    pub(crate) fn keep(
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
                let nothing = Recorder::new(self.frame).take();
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
    pub(crate) fn finish(
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
        let nothing = Recorder::new(self.frame).take();
        let retries: Vec<Sample> = self.retries().into_iter().collect();
        if !retries.is_empty() {
            self.writer.append(&nothing, &retries)?;
        }
        self.tell(nothing, &retries, true);
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
