//! One station in a sweep: who comes, who leaves when, and what of it the world is told.

use super::row::{Cores, Mark, NOBODY};
use super::{Customer, LONG_WORK, Station, Sweep, Visit};
use crate::gauge::Moments;
use crate::host::line::AHEAD;
use crate::world::World;

/// The way through one station.
pub(super) struct Passage<'a> {
    pub(super) sweep: Sweep<'a>,
    pub(super) visits: &'a [Visit],
    pub(super) customers: &'a mut [Customer],
    pub(super) exits: &'a mut Vec<Mark>,
    pub(super) pending: &'a mut Vec<Mark>,
    /// The stations behind it.
    pub(super) behind: &'a mut [Station],
    pub(super) first_behind: usize,
}

impl Passage<'_> {
    /// Plays a station; false where that cannot be done without events.
    pub(super) fn through<C: Cores>(&mut self, station: &mut Station) -> bool {
        let Sweep { from, until, .. } = self.sweep;
        // Where several ways lead to it, their orders are mixed.
        if !station.inbox.is_sorted() {
            station.inbox.sort_unstable();
        }
        let (gone, on_cores) = station.split_present();
        let mut cores = C::new(&on_cores);
        for mark in gone {
            self.leave(mark, station);
        }
        let counts = station.connections < station.cores || station.workers < station.cores;
        let inbox = std::mem::take(&mut station.inbox);
        for &mark in &inbox {
            let (at, who) = (mark.at(), mark.who());
            let work = self.work(who);
            if work >= LONG_WORK {
                return false;
            }
            let (begin, first) = cores.put(at, work, who);
            station.arrived.add(from + at);
            station.begun.add(from + begin);
            if from + begin >= until {
                station.waiting.push((begin, who));
            }
            if begin > at || counts {
                let busy = if begin > at { station.in_line(at, begin) } else { cores.busy_after(at) };
                if busy > station.workers {
                    return false;
                }
                station.connections = station.connections.max(busy);
            }
            if first.who() != NOBODY {
                self.leave(first, station);
            }
        }
        let ends = cores.rest();
        for &mark in ends.iter().filter(|mark| mark.who() != NOBODY) {
            self.leave(mark, station);
        }
        (station.ends, station.inbox) = (ends, inbox);
        let line = &self.sweep.world.cores[usize::from(station.host)].line;
        station.waiting.len() + line.waiting(until - 1).count() <= AHEAD
    }

    /// How long the present visit takes.
    #[inline(always)]
    fn work(&self, who: usize) -> u64 {
        let visit = &self.visits[usize::from(self.customers[who].visit)];
        let place = usize::from(visit.draw);
        let ahead = self.sweep.due.get(who).and_then(|due| due.nanos.get(place));
        ahead.copied().unwrap_or_else(|| self.draw(who, visit))
    }

    #[inline(never)]
    fn draw(&self, who: usize, visit: &Visit) -> u64 {
        let world = self.sweep.world;
        match self.sweep.due.get(who) {
            Some(due) => world.draws.step(due.planned.id, usize::from(visit.draw), &visit.law).as_nanos(),
            None => world.step_nanos(self.customers[who].slot, visit.draw, &visit.law),
        }
    }

    /// Somebody's job ends: before the sweep does, or else it is pending.
    #[inline(always)]
    fn leave(&mut self, mark: Mark, station: &mut Station) {
        let at = self.sweep.from + mark.at();
        if at >= self.sweep.until {
            return self.pending.push(mark);
        }
        station.left.add(at);
        station.last_left = at;
        let customer = &mut self.customers[mark.who()];
        customer.visit += 1;
        if customer.visit == customer.end {
            return self.exits.push(mark);
        }
        let next = self.visits[usize::from(customer.visit)].station;
        self.behind[next - self.first_behind].inbox.push(mark);
    }
}

impl Station {
    pub(super) fn begin(&mut self, world: &World) {
        let instance = &world.instances[usize::from(self.instance)];
        let service = &world.services[usize::from(instance.index)];
        let line = &world.cores[usize::from(self.host)].line;
        for list in [&mut self.inbox, &mut self.present, &mut self.ends] {
            list.clear();
        }
        self.waiting.clear();
        self.begins.clear();
        self.begins.extend(line.waiting(world.now).map(|(begin, _)| begin - world.now));
        [self.arrived, self.begun, self.left] = [Moments::default(); 3];
        // The service that users ask has its own workers and connections counted by the request.
        let lent = self.pool.is_some();
        self.workers = if lent { service.workers as usize } else { usize::MAX };
        let idle = self.pool.map_or(u32::MAX / 2, |pool| world.pools.idle(pool));
        self.connections = idle as usize + if lent { service.in_service.level() as usize } else { 0 };
    }

    /// Of those that are there: who is before others on the same core, and the last on each core.
    fn split_present(&mut self) -> (Vec<Mark>, Vec<Mark>) {
        self.present.sort_unstable();
        let others = self.present.len().saturating_sub(self.cores);
        let idle = self.cores.saturating_sub(self.present.len());
        let mut on_cores = vec![Mark::IDLE; idle];
        on_cores.extend_from_slice(&self.present[others..]);
        on_cores.sort_unstable();
        (self.present[..others].to_vec(), on_cores)
    }

    /// How many are there when somebody comes who is to begin later: all cores have one, and the others wait.
    fn in_line(&mut self, at: u64, begin: u64) -> usize {
        self.begins.push(begin);
        let waiting = self.begins.iter().rev().take_while(|begin| **begin > at).count();
        self.cores + waiting
    }

    pub(super) fn commit(&mut self, world: &mut World, customers: &[Customer], (from, until): (u64, u64)) {
        let line = &mut world.cores[usize::from(self.host)].line;
        let mut waiting: Vec<(u64, u32)> = line.waiting(until - 1).collect();
        waiting.extend(self.waiting.iter().map(|&(begin, who)| (from + begin, customers[who].slot)));
        line.resume(self.ends.iter().map(|end| from + end.at()).collect(), &waiting);
        let instance = &mut world.instances[usize::from(self.instance)];
        instance.share.queue.pass(self.arrived, self.begun);
        instance.share.busy.pass(self.begun, self.left);
        if let Some(pool) = self.pool {
            let service = &mut world.services[usize::from(instance.index)];
            service.in_service.pass(self.arrived, self.left);
            instance.border.pass(self.arrived, self.left);
            world.pools.set_idle(pool, (self.connections as u32).saturating_sub(service.in_service.level()));
        }
    }
}
