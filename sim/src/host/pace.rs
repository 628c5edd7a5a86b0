//! What a machine's speed is made of, and when that changes.
//!
//! The speed is the machine's own, times the share that its hypervisor leaves it, times what slows everything on it for
//! the time being (swapping, a fault). Burst credits limit how many cores' time there is, not how fast a core is.

use scenarios::law::DurationLaw;
use scenarios::rng::Stream;

use super::Due;
use super::credits::Credits;
use super::processor::Processor;
use crate::world::World;

/// What slows everything on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slowness {
    /// Pages that are fetched back from the swap.
    Swap,
    /// A fault.
    Fault,
}

/// Time that other guests of the same hypervisor take.
#[derive(Clone, Debug)]
pub(crate) struct Steal {
    share: f64,
    /// How long it is taken and how long not, in turn; none for always.
    bursts: Option<(DurationLaw, DurationLaw)>,
    taking: bool,
    stream: Stream,
}

impl Steal {
    pub(crate) fn new(share: f64, bursts: Option<(DurationLaw, DurationLaw)>, stream: Stream) -> Self {
        Self { share, taking: bursts.is_none(), bursts, stream }
    }
}

/// What the speed is made of.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) own: f64,
    pub(crate) steal: Option<Steal>,
    pub(crate) credits: Option<Credits>,
    swap: f64,
    fault: f64,
    cores: f64,
    speed: f64,
    capacity: f64,
}

impl Pace {
    pub(crate) fn new(cores: u32) -> Self {
        let cores = f64::from(cores);
        Self {
            own: 1.0,
            steal: None,
            credits: None,
            swap: 1.0,
            fault: 1.0,
            cores,
            speed: 1.0,
            capacity: cores,
        }
    }

    /// Sets what slows everything: each core does `factor` times the work.
    pub(crate) fn slow(&mut self, what: Slowness, factor: f64) {
        match what {
            Slowness::Swap => self.swap = factor,
            Slowness::Fault => self.fault = factor,
        }
    }

    /// Brings the balance of credits up to date, for whoever reads it. A machine that has saved enough again goes at full
    /// speed only from the next job on.
    pub(crate) fn settle_credits(&mut self, processor: &Processor, now: u64) {
        if let Some(credits) = &mut self.credits {
            credits.update(now, processor.total_used());
        }
    }

    /// Tells the processor, whose clock has run up to now, what has changed.
    pub(crate) fn apply(&mut self, processor: &mut Processor, now: u64) {
        let stolen = self.steal.as_ref().filter(|steal| steal.taking).map_or(0.0, |steal| steal.share);
        let speed = self.own * (1.0 - stolen) * self.swap * self.fault;
        if speed != self.speed {
            self.speed = speed;
            processor.set_speed(speed);
        }
        if let Some(credits) = &mut self.credits {
            let capacity = credits.update(now, processor.total_used()).unwrap_or(self.cores);
            if capacity != self.capacity {
                self.capacity = capacity;
                processor.limit_capacity(capacity);
            }
        }
    }
}

impl World {
    /// The hypervisor takes time from a machine, or gives it back.
    pub(crate) fn steal_turns(&mut self, host: u16) {
        let now = self.now;
        let special = self.special(host);
        special.processor.advance(now);
        let Some(steal) = &mut special.pace.steal else { return };
        let Some((burst, gap)) = steal.bursts else { return };
        steal.taking = !steal.taking;
        let law = if steal.taking { burst } else { gap };
        let next = now + law.sample(&mut steal.stream).as_nanos().max(1);
        let timer = special.timer(Due::Steal);
        self.events.schedule(next, timer);
        self.pace_changed(host);
    }

    /// Makes everything on a machine slower (or faster) by a factor, until it is set again.
    pub(crate) fn slow_host(&mut self, host: u16, what: Slowness, factor: f64) {
        let now = self.now;
        let special = self.special(host);
        special.processor.advance(now);
        special.pace.slow(what, factor);
        self.pace_changed(host);
    }
}
