//! The process manager of an instance, in the world: its maintenance each second, workers that start.

use super::workers::{Change, MAINTENANCE_NANOS};
use crate::instance::Kind;
use crate::world::{Timer, World};

impl World {
    /// Starts the managers of the instances of a service.
    pub(crate) fn start_managers(&mut self) {
        for at in 0..self.instances.len() as u16 {
            let instance = &self.instances[usize::from(at)];
            let index = usize::from(instance.index);
            if instance.kind == Kind::Service && self.services[index].managed.is_some() {
                let (manager, booted) =
                    (self.add_timer(Timer::Workers(at)), self.add_timer(Timer::WorkersReady(at)));
                let service = &mut self.services[index];
                (service.manager, service.booted) = (manager, booted);
                self.events.schedule(MAINTENANCE_NANOS, manager);
            }
        }
    }

    /// A second is over for an instance's process manager.
    pub(crate) fn maintain_workers(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        let (index, goes_on) = (instance.index, instance.killed == 0 && instance.stopped == 0);
        let service = &mut self.services[usize::from(index)];
        self.events.schedule(self.now + MAINTENANCE_NANOS, service.manager);
        let occupied = service.occupied();
        let Some(workers) = service.managed.as_mut().filter(|_| goes_on) else { return };
        match workers.maintain(self.now, occupied) {
            Change::Start(count) => self.start_workers(at, count),
            Change::End => service.workers = workers.ready(),
            Change::Keep => {}
        }
    }

    /// A call waits: where workers are started on demand, one is.
    pub(crate) fn start_on_demand(&mut self, slot: u32) {
        let at = self.calls[slot].at;
        let index = usize::from(self.instances[usize::from(at)].index);
        let starts = self.services[index].managed.as_mut().is_some_and(|workers| workers.start_on_demand());
        if starts && self.instances[usize::from(at)].stopped == 0 {
            self.start_workers(at, 1);
        }
    }

    /// New workers boot.
    fn start_workers(&mut self, at: u16, count: u32) {
        let index = usize::from(self.instances[usize::from(at)].index);
        let Some(workers) = &self.services[index].managed else { return };
        let boot = workers.boot_nanos();
        if boot == 0 {
            return self.workers_started(at, count, workers.era());
        }
        let booting = (count, workers.era());
        let service = &mut self.services[index];
        service.booting.push_back(booting);
        self.events.schedule(self.now + boot, service.booted);
    }

    /// The workers that have booted the longest are ready.
    pub(crate) fn workers_booted(&mut self, at: u16) {
        let index = usize::from(self.instances[usize::from(at)].index);
        if let Some((count, era)) = self.services[index].booting.pop_front() {
            self.workers_started(at, count, era);
        }
    }

    /// New workers are ready, unless their instance died meanwhile.
    fn workers_started(&mut self, at: u16, count: u32, era: u32) {
        let index = usize::from(self.instances[usize::from(at)].index);
        let service = &mut self.services[index];
        let Some(workers) = service.managed.as_mut().filter(|workers| workers.era() == era) else { return };
        workers.started(self.now, count);
        service.workers = workers.ready();
        while self.grant_worker(at) {}
    }
}
