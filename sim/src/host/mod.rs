//! A machine: the cores that all on it share, and what changes their speed.
//!
//! First come, first served at speed 1 is the common case, a [`Line`]; everything else is a [`Processor`]'s.
//!
//! - [`line`]: first come, first served
//! - [`processor`]: processor sharing, priorities, changing speeds, exactly
//! - [`pace`]: what a machine's speed is made of: its own, what is stolen, burst credits
//! - [`disk`]: reads and writes that wait for one another
//! - [`memory`]: what processes hold, swapping, the out-of-memory kill
//! - [`build`]: machines as a scenario states them

pub(crate) mod build;
pub(crate) mod credits;
pub(crate) mod disk;
pub(crate) mod line;
pub(crate) mod memory;
pub(crate) mod pace;
pub(crate) mod processor;

use crate::call::{Fifo, ON_CORE, Phase, TRACED};
use crate::event::Token;
use crate::gauge::Gauge;
use crate::instance::Kind;
use crate::world::{Timer, World};

use line::Line;
use pace::Pace;
use processor::{Arrival, Order, Processor};

/// The cores of one machine.
#[derive(Debug)]
pub(crate) struct Cores {
    pub(crate) total: u32,
    pub(crate) line: Line,
    /// Those for whom there is no room in the line.
    pub(crate) queue: Fifo,
    /// What schedules instead, where there is more to it than first come, first served.
    pub(crate) special: Option<Box<Special>>,
}

/// What a machine has whose cores are not simply first come, first served at speed 1.
#[derive(Debug)]
pub(crate) struct Special {
    pub(crate) processor: Processor,
    pub(crate) pace: Pace,
    /// By what comes due.
    timers: [u32; 3],
    /// The event that is pending for the next end of a job, and when that is.
    pending: Token,
    pending_at: u64,
}

impl Special {
    pub(crate) fn timer(&self, due: Due) -> u32 {
        self.timers[due as usize]
    }
}

/// What comes due at a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The end of a job.
    Job,
    /// The end of its credits.
    Credits,
    /// The begin or the end of a time in which the hypervisor takes some of it away.
    Steal,
}

/// A component's share of its host's cores.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// Cores in use; jobs that run, where they share cores.
    pub(crate) busy: Gauge,
    /// Waiting for one.
    pub(crate) queue: Gauge,
}

impl World {
    /// Has a call take a core of an instance's host for `work` nanoseconds, as soon as there is one; then it wakes in `phase`.
    #[inline(always)]
    pub(crate) fn take_core(&mut self, at: u16, slot: u32, work: u64, phase: Phase) {
        let instance = &mut self.instances[usize::from(at)];
        let work = instance.slowed(work);
        let cores = &mut self.cores[usize::from(instance.host)];
        let call = &mut self.calls[slot];
        call.phase = phase;
        if cores.special.is_some() || cores.queue.len() > 0 || !cores.line.has_room(self.now) {
            return self.wait_for_core(at, slot, work);
        }
        let (begin, end) = cores.line.join(self.now, slot, work);
        instance.share.queue.up_until(self.now, begin);
        instance.share.busy.up(begin);
        self.run_on_core(slot, begin, end);
    }

    /// A call has a core from a moment on that is known, until another.
    #[inline(always)]
    fn run_on_core(&mut self, slot: u32, begin: u64, end: u64) {
        let call = &mut self.calls[slot];
        call.run_until(end, self.events.schedule(end, slot));
        if call.is(TRACED) {
            self.note_begin(slot, begin);
        }
    }

    /// The same where there is more to it than to get in line.
    #[inline(never)]
    fn wait_for_core(&mut self, at: u16, slot: u32, work: u64) {
        let instance = &mut self.instances[usize::from(at)];
        let cores = &mut self.cores[usize::from(instance.host)];
        if cores.special.is_some() {
            return self.take_special_core(at, slot, work);
        }
        instance.share.queue.up(self.now);
        cores.queue.push(&mut self.calls, slot);
        self.calls[slot].work = work;
    }

    /// A followed call has a core from a moment on that is known.
    #[cold]
    fn note_begin(&mut self, slot: u32, begin: u64) {
        if let Some(tracer) = &mut self.tracer {
            tracer.begins(slot, begin);
        }
    }

    /// A call's work is done.
    #[inline(always)]
    pub(crate) fn release_core(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        call.flags &= !ON_CORE;
        let at = call.core_of();
        let instance = &mut self.instances[usize::from(at)];
        instance.share.busy.down(self.now);
        let host = instance.host;
        if self.cores[usize::from(host)].queue.len() > 0 {
            self.fill_line(host);
        }
    }

    /// Lets those in line for whom there is room now.
    #[inline(never)]
    fn fill_line(&mut self, host: u16) {
        loop {
            let cores = &mut self.cores[usize::from(host)];
            if !cores.line.has_room(self.now) {
                return;
            }
            let Some(next) = cores.queue.pop(&self.calls) else { return };
            let (begin, end) = cores.line.join(self.now, next, self.calls[next].work);
            let at = self.core_of(next);
            let share = &mut self.instances[usize::from(at)].share;
            share.queue.down(begin);
            share.busy.up(begin);
            self.run_on_core(next, begin, end);
        }
    }

    /// Takes those in line who have not begun out of it again, and has them wait before all others.
    fn undo_line(&mut self, host: u16) {
        let waiting: Vec<_> = self.cores[usize::from(host)].line.waiting(self.now).collect();
        for &(begin, slot) in waiting.iter().rev() {
            let at = self.core_of(slot);
            let share = &mut self.instances[usize::from(at)].share;
            share.queue.up(begin);
            share.busy.down(begin);
            let call = &mut self.calls[slot];
            call.work -= begin;
            call.awaits = Token::NONE;
            call.flags &= !ON_CORE;
            self.cores[usize::from(host)].queue.push_front(&mut self.calls, slot);
        }
    }

    /// Lets all who wait get in line again, behind those on cores.
    fn remake_line(&mut self, host: u16) {
        let mut ends = Vec::new();
        for (slot, call) in self.calls.iter() {
            // What ends at this very instant, and is only not taken off its core yet, is in nobody's way.
            let works = call.is(ON_CORE) && call.work > self.now;
            if works && self.instances[usize::from(self.core_of(slot))].host == host {
                ends.push(call.work);
            }
        }
        self.cores[usize::from(host)].line.restart(self.now, ends);
        self.fill_line(host);
    }

    fn core_of(&self, slot: u32) -> u16 {
        self.calls[slot].core_of()
    }

    /// Takes calls off the cores that they hold or wait for.
    pub(crate) fn leave_cores(&mut self, slots: &[u32]) {
        let host_of = |world: &Self, slot| world.instances[usize::from(world.core_of(slot))].host;
        let mut hosts: Vec<u16> = slots.iter().map(|&slot| host_of(self, slot)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            let here: Vec<u32> = slots.iter().copied().filter(|&slot| host_of(self, slot) == host).collect();
            if self.cores[usize::from(host)].special.is_some() {
                self.leave_special_cores(host, &here);
            } else {
                self.leave_plain_cores(host, &here);
            }
        }
    }

    fn leave_plain_cores(&mut self, host: u16, slots: &[u32]) {
        self.undo_line(host);
        let (running, waiting): (Vec<u32>, Vec<u32>) =
            slots.iter().copied().partition(|&slot| self.calls[slot].is(ON_CORE));
        for &slot in &waiting {
            let at = self.core_of(slot);
            self.instances[usize::from(at)].share.queue.down(self.now);
        }
        let queue = &mut self.cores[usize::from(host)].queue;
        queue.take_out(&mut self.calls, |slot| waiting.contains(&slot));
        for slot in running {
            let at = self.core_of(slot);
            self.instances[usize::from(at)].share.busy.down(self.now);
            let call = &mut self.calls[slot];
            call.awaits = Token::NONE;
            call.flags &= !ON_CORE;
        }
        self.remake_line(host);
    }

    /// The special part of a machine's cores, made where there is none yet: from now on they are scheduled by it.
    pub(crate) fn special(&mut self, host: u16) -> &mut Special {
        if self.cores[usize::from(host)].special.is_none() {
            let special = self.new_special(host, Order::Waiting, 1);
            self.cores[usize::from(host)].special = Some(Box::new(special));
            self.move_to_special(host);
        }
        self.cores[usize::from(host)].special.as_mut().expect("it was made just now")
    }

    pub(crate) fn new_special(&mut self, host: u16, order: Order, ranks: usize) -> Special {
        let timers = [Due::Job, Due::Credits, Due::Steal].map(|due| self.add_timer(Timer::Host(host, due)));
        let cores = self.cores[usize::from(host)].total;
        let mut processor = Processor::new(order, cores, ranks);
        processor.advance(self.now);
        Special { processor, pace: Pace::new(cores), timers, pending: Token::NONE, pending_at: u64::MAX }
    }

    /// Hands what runs and what waits to the special part: a fault has changed the machine's speed for the first time.
    fn move_to_special(&mut self, host: u16) {
        self.undo_line(host);
        // Nobody gets in line any more, and what stood there begins when the processor says.
        self.cores[usize::from(host)].line.restart(self.now, Vec::new());
        self.hand_over_usage(host);
        let mut running: Vec<(u64, u32)> = Vec::new();
        for (slot, call) in self.calls.iter() {
            let at = self.core_of(slot);
            if call.is(ON_CORE) && self.instances[usize::from(at)].host == host {
                running.push((call.work, slot));
            }
        }
        // By the order of their ends, which does not depend on slots unless two end at once.
        running.sort_unstable();
        let now = self.now;
        for (end, slot) in running {
            let at = self.core_of(slot);
            self.calls[slot].awaits = Token::NONE;
            self.calls[slot].flags &= !ON_CORE;
            self.instances[usize::from(at)].share.busy.down(now);
            self.take_special_core(at, slot, end - now);
        }
        while let Some(slot) = self.cores[usize::from(host)].queue.pop(&self.calls) {
            let at = self.core_of(slot);
            self.instances[usize::from(at)].share.queue.down(now);
            let work = self.calls[slot].work;
            self.take_special_core(at, slot, work);
        }
    }

    /// Of the interval so far the gauges of a machine's instances say what they used; from now on its processor does.
    fn hand_over_usage(&mut self, host: u16) {
        let special = self.cores[usize::from(host)].special.as_mut().expect("the caller made it");
        for (at, instance) in (0..).zip(&self.instances).filter(|(_, instance)| instance.host == host) {
            special.processor.hand_over(at, instance.share.busy.area_nanos(self.now));
        }
    }

    fn take_special_core(&mut self, at: u16, slot: u32, work: u64) {
        let rank = self.rank(at, slot);
        let instance = &mut self.instances[usize::from(at)];
        let host = instance.host;
        let special = self.cores[usize::from(host)].special.as_mut().expect("the caller looked");
        special.processor.advance(self.now);
        match special.processor.arrive(&mut self.calls, slot, at, rank, work) {
            Arrival::Runs => instance.share.busy.up(self.now),
            Arrival::Waits => return instance.share.queue.up(self.now),
            Arrival::Replaces(other, _) => {
                instance.share.busy.up(self.now);
                let of_other = self.core_of(other);
                let share = &mut self.instances[usize::from(of_other)].share;
                share.busy.down(self.now);
                share.queue.up(self.now);
            }
        }
        self.pace_changed(host);
    }

    /// A machine's cores, whose clock has run up to now, have other jobs or another speed than before.
    pub(crate) fn pace_changed(&mut self, host: u16) {
        let special = self.cores[usize::from(host)].special.as_mut().expect("only special cores change");
        special.pace.apply(&mut special.processor, self.now);
        let end = special.processor.next_end();
        // An event that comes too early only looks again; one that comes too late would be wrong.
        if end < special.pending_at {
            special.pending_at = end;
            special.pending = self.events.schedule(end, special.timers[Due::Job as usize]);
        }
        let busy = special.processor.running() > 0;
        if let Some(credits) =
            special.pace.credits.as_mut().filter(|credits| busy && credits.look_at == u64::MAX)
        {
            credits.look_at = credits.gone_at(f64::from(special.processor.cores()));
            if credits.look_at < u64::MAX {
                self.events.schedule(credits.look_at, special.timers[Due::Credits as usize]);
            }
        }
    }

    /// Something came due at a machine.
    pub(crate) fn host_due(&mut self, host: u16, due: Due, token: Token) {
        match due {
            Due::Job => self.processor_due(host, token),
            Due::Credits => {
                let now = self.now;
                let special = self.special(host);
                if let Some(credits) = &mut special.pace.credits {
                    credits.look_at = u64::MAX;
                }
                special.processor.advance(now);
                self.pace_changed(host);
            }
            Due::Steal => self.steal_turns(host),
        }
    }

    /// The next job of a machine may be done.
    fn processor_due(&mut self, host: u16, token: Token) {
        let special = self.cores[usize::from(host)].special.as_mut().expect("its timer is set");
        if special.pending != token {
            return;
        }
        special.pending_at = u64::MAX;
        special.processor.advance(self.now);
        let done = special.processor.take_done();
        if let Some(slot) = done {
            let at = self.core_of(slot);
            self.instances[usize::from(at)].share.busy.down(self.now);
            self.admit_to_special(host);
        }
        self.pace_changed(host);
        if let Some(slot) = done {
            match self.calls[slot].phase {
                Phase::Statement => self.statement_executed(slot),
                Phase::LentWork => self.lent_work_done(slot),
                _ => self.wake(slot),
            }
        }
    }

    fn admit_to_special(&mut self, host: u16) {
        loop {
            let special = self.cores[usize::from(host)].special.as_mut().expect("the caller looked");
            let Some((slot, rank)) = special.processor.admit(&self.calls) else { return };
            let at = self.core_of(slot);
            let special = self.cores[usize::from(host)].special.as_mut().expect("the caller looked");
            special.processor.start(&self.calls, slot, at, rank);
            let share = &mut self.instances[usize::from(at)].share;
            share.queue.down(self.now);
            share.busy.up(self.now);
        }
    }

    fn leave_special_cores(&mut self, host: u16, slots: &[u32]) {
        let special = self.cores[usize::from(host)].special.as_mut().expect("the caller looked");
        special.processor.advance(self.now);
        let running = special.processor.drop_running(slots);
        special.processor.drop_waiting(&mut self.calls, slots);
        for slot in slots {
            let at = self.core_of(*slot);
            let share = &mut self.instances[usize::from(at)].share;
            if running.contains(slot) { share.busy.down(self.now) } else { share.queue.down(self.now) }
        }
        self.admit_to_special(host);
        self.pace_changed(host);
    }

    /// How long an instance's process takes from its start until it answers: its own time, and for a key-value store that of
    /// reading its data from the disk in one go.
    pub(crate) fn restart_nanos(&self, at: u16) -> u64 {
        let instance = &self.instances[usize::from(at)];
        let disk = self.disks[usize::from(instance.host)].as_ref();
        let data = match instance.kind {
            Kind::Store => self.stores[usize::from(instance.index)].contents.used_bytes(),
            _ => 0,
        };
        instance.restart + disk.map_or(0, |disk| (data as f64 / disk.throughput * 1e9) as u64)
    }

    /// Which rank a call has among those that want the cores of an instance's host: zero is the best.
    fn rank(&self, at: u16, slot: u32) -> u8 {
        let instance = &self.instances[usize::from(at)];
        let class = self.calls[slot].class.index();
        let place = usize::from(instance.component) * self.classes.len() + class;
        self.ranks.get(place).copied().unwrap_or(0)
    }

    /// When jobs of an instance that have not begun are to.
    fn ahead(&self, at: u16) -> Vec<u64> {
        let cores = &self.cores[usize::from(self.instances[usize::from(at)].host)];
        let waiting = cores.line.waiting(self.now);
        waiting.filter(|(_, slot)| self.core_of(*slot) == at).map(|(begin, _)| begin).collect()
    }

    /// For how long cores were busy with an instance's jobs since its gauges were last read, in nanoseconds of one core.
    pub(crate) fn busy_nanos_of(&mut self, at: u16) -> f64 {
        let instance = &self.instances[usize::from(at)];
        match &mut self.cores[usize::from(instance.host)].special {
            None => {
                let ahead: u64 = self.ahead(at).iter().map(|begin| begin - self.now).sum();
                self.instances[usize::from(at)].share.busy.area_nanos_and(self.now, ahead)
            }
            Some(special) => {
                special.processor.advance(self.now);
                special.processor.used(at)
            }
        }
    }

    /// Cores that an instance used, and jobs of it that waited for one, on average over the `nanos` that end now.
    pub(crate) fn usage(&mut self, at: usize, nanos: u64) -> (f64, f64) {
        // Who has not begun by now waits, whatever is known of when it will.
        let ahead = self.ahead(at as u16);
        let instance = &mut self.instances[at];
        for &begin in &ahead {
            instance.share.queue.up(begin);
            instance.share.busy.down(begin);
        }
        let busy = instance.share.busy.read(self.now, nanos);
        let queue = instance.share.queue.read(self.now, nanos);
        for begin in ahead {
            instance.share.queue.down(begin);
            instance.share.busy.up(begin);
        }
        match &mut self.cores[usize::from(instance.host)].special {
            None => (busy, queue),
            Some(special) => {
                special.processor.advance(self.now);
                special.pace.settle_credits(&special.processor, self.now);
                let used = special.processor.take_used(at as u16) / nanos.max(1) as f64;
                // Where jobs share cores, each waits for the part that it does not get.
                (used, queue + (busy - used).max(0.0))
            }
        }
    }
}
