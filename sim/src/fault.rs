//! What breaks and what that does to the requests under way.
//!
//! A kill loses everything in the process at once and resets its connections. A stop (`hang`, `unplug`) lets clocks run
//! and work in progress end, but nothing goes on to its next step, is answered or is begun until it is over; unplugged
//! instances answer no SYN either. After an unplugged cable is back, lost segments are taken to arrive at once.

use results::Failure;
use scenarios::scenario::FaultKind;

use crate::event::Token;
use crate::health::Health;
use crate::request::{ABANDONED, CHECK, CUT, Fifo, NONE, NOWHERE, ON_CORE, ORPHAN, Phase};
use crate::world::World;

/// One process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Process {
    Balancer(u16),
    Service(u16),
    Store(u16),
    Database(u16),
}

/// All faults of the run: how, and which processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan(pub(crate) Vec<(FaultKind, Vec<Process>)>);

impl World {
    pub(crate) fn break_(&mut self, fault: u32) {
        let (kind, processes) = self.faults.0[fault as usize].clone();
        for process in processes {
            match kind {
                FaultKind::Kill => self.kill(process),
                FaultKind::Serve500 => self.broken(process, |count| *count += 1),
                _ => {
                    *self.stopped(process) += 1;
                    if let (Process::Service(i), FaultKind::Unplug) = (process, kind) {
                        self.services[usize::from(i)].unplugged += 1;
                    }
                }
            }
            self.note_up(process);
            // What got ready must not be found half-way by the next kill.
            self.drain();
        }
    }

    pub(crate) fn mend(&mut self, fault: u32) {
        let (kind, processes) = self.faults.0[fault as usize].clone();
        for process in processes {
            match kind {
                FaultKind::Kill => *self.killed(process) -= 1,
                FaultKind::Serve500 => self.broken(process, |count| *count -= 1),
                _ => {
                    if let (Process::Service(i), FaultKind::Unplug) = (process, kind) {
                        self.services[usize::from(i)].unplugged -= 1;
                    }
                    *self.stopped(process) -= 1;
                    if *self.stopped(process) == 0 {
                        self.resume(process);
                    }
                }
            }
            self.note_up(process);
            self.drain();
        }
    }

    fn killed(&mut self, process: Process) -> &mut u32 {
        match process {
            Process::Balancer(i) => &mut self.balancers[usize::from(i)].killed,
            Process::Service(i) => &mut self.services[usize::from(i)].killed,
            Process::Store(i) => &mut self.stores[usize::from(i)].killed,
            Process::Database(i) => &mut self.databases[usize::from(i)].killed,
        }
    }

    fn stopped(&mut self, process: Process) -> &mut u32 {
        match process {
            Process::Balancer(_) => unreachable!("stopping a balancer is refused before the run"),
            Process::Service(i) => &mut self.services[usize::from(i)].stopped,
            Process::Store(i) => &mut self.stores[usize::from(i)].stopped,
            Process::Database(i) => &mut self.databases[usize::from(i)].stopped,
        }
    }

    /// Counts the faults that make a process answer 500; stores speak no HTTP.
    fn broken(&mut self, process: Process, change: impl FnOnce(&mut u32)) {
        match process {
            Process::Balancer(i) => change(&mut self.balancers[usize::from(i)].broken),
            Process::Service(i) => change(&mut self.services[usize::from(i)].broken),
            Process::Store(_) | Process::Database(_) => {}
        }
    }

    /// Lets a process go on after a stop.
    fn resume(&mut self, process: Process) {
        match process {
            Process::Balancer(_) => {}
            Process::Service(i) => {
                for slot in std::mem::take(&mut self.services[usize::from(i)].parked) {
                    if self.requests[slot].phase == Phase::RemoteWait {
                        self.remote_done(slot);
                    } else {
                        self.ready.push_back(slot);
                    }
                }
                while self.grant_worker(i) {}
            }
            Process::Store(i) => {
                for slot in std::mem::take(&mut self.stores[usize::from(i)].parked) {
                    self.command_done(slot);
                }
                self.start_next_command(i);
            }
            Process::Database(i) => {
                for slot in std::mem::take(&mut self.databases[usize::from(i)].parked) {
                    self.answer_statement(slot);
                }
                while self.start_next_statement(i) {}
            }
        }
    }

    fn kill(&mut self, process: Process) {
        let killed = self.killed(process);
        *killed += 1;
        if *killed > 1 {
            return;
        }
        self.lose_connections(process);
        match process {
            Process::Balancer(i) => self.kill_balancer(i),
            Process::Service(i) => self.kill_service(i),
            Process::Store(i) => self.kill_store(i),
            Process::Database(i) => self.kill_database(i),
        }
    }

    /// All requests of a kind, in no order that means anything but always the same.
    pub(crate) fn slots_where(&self, mut holds: impl FnMut(&crate::request::Request) -> bool) -> Vec<u32> {
        self.requests.slots().filter(|(_, r)| holds(r)).map(|(slot, _)| slot).collect()
    }

    fn kill_service(&mut self, index: u16) {
        use Phase::*;
        let callees = self.slots_where(|r| {
            r.remote == index && matches!(r.phase, ToRemote | RemoteWorker | RemoteWork | RemoteWait)
        });
        let inside = self.slots_where(|r| {
            r.service == index
                && !r.is(ORPHAN)
                && !matches!(r.phase, Connection | ToEntry | InBalancer | TurnAround | Connecting)
        });
        let mut on_cores: Vec<u32> =
            callees.iter().copied().filter(|&s| self.requests[s].phase == RemoteWork).collect();
        on_cores.extend(inside.iter().copied().filter(|&s| self.requests[s].phase == Work));
        self.leave_cores(&on_cores);
        let service = &mut self.services[usize::from(index)];
        service.waiting = Fifo::new();
        service.queue.set(self.now, 0);
        service.in_service.set(self.now, 0);
        service.parked.clear();
        service.idle.fill(0);
        for caller in &mut self.services {
            caller.idle[usize::from(index)] = 0;
        }
        for balancer in &mut self.balancers {
            for server in balancer.servers.iter_mut().filter(|s| s.service == index) {
                server.idle = 0;
            }
        }
        for slot in inside {
            let request = &self.requests[slot];
            let downstream =
                matches!(request.phase, RemoteWorker | RemoteWork | RemoteWait | StoreQueue | StoreRun)
                    || matches!(request.phase, SqlQueue | Statement | StatementDone);
            // A service that calls itself took the whole call down with it.
            let downstream = downstream && request.remote != index;
            if !request.is(ABANDONED) {
                let direct = request.balancer == NOWHERE;
                self.settle(slot, Err(if direct { Failure::Reset } else { Failure::Status }));
            }
            if downstream {
                self.requests[slot].flags |= ABANDONED | ORPHAN;
            } else {
                self.forget(slot);
            }
        }
        for slot in callees {
            let request = &mut self.requests[slot];
            if request.phase != Free && request.remote == index {
                request.remote = NOWHERE;
                self.go_on(slot, crate::world::Flow::Failed);
            }
        }
    }

    fn kill_store(&mut self, index: u16) {
        use Phase::*;
        let inside =
            self.slots_where(|r| r.store == index && matches!(r.phase, ToStore | StoreQueue | StoreRun));
        let store = &mut self.stores[usize::from(index)];
        store.waiting = Fifo::new();
        store.queue.set(self.now, 0);
        store.busy.set(self.now, 0);
        store.running = false;
        store.parked.clear();
        store.contents.lose_all();
        for slot in inside {
            self.go_on(slot, crate::world::Flow::Failed);
        }
    }

    fn kill_database(&mut self, index: u16) {
        use Phase::*;
        let inside = self.slots_where(|r| {
            r.store == index && matches!(r.phase, ToSql | SqlQueue | Statement | StatementDone)
        });
        let on_cores: Vec<u32> =
            inside.iter().copied().filter(|&s| self.requests[s].phase == Statement).collect();
        self.leave_cores(&on_cores);
        let database = &mut self.databases[usize::from(index)];
        database.waiting = Fifo::new();
        database.queue.set(self.now, 0);
        database.in_service.set(self.now, 0);
        database.parked.clear();
        for slot in inside {
            self.go_on(slot, crate::world::Flow::Failed);
        }
    }

    fn kill_balancer(&mut self, index: u16) {
        use Phase::*;
        for slot in self.slots_where(|r| r.balancer == index) {
            let request = &self.requests[slot];
            let at_a_server = !matches!(request.phase, InBalancer | TurnAround | Connecting);
            if !request.is(ABANDONED) {
                if request.origin == CHECK {
                    let check = &mut self.checks[request.connection as usize];
                    check.pending = NONE;
                    check.times_out = Token::NONE;
                } else {
                    self.settle(slot, Err(Failure::Reset));
                }
            }
            if at_a_server {
                self.requests[slot].flags |= ABANDONED | CUT;
            } else {
                self.requests.remove(slot);
            }
        }
        for server in &mut self.balancers[usize::from(index)].servers {
            server.idle = 0;
            server.health = Health::UP;
        }
    }

    /// Takes requests off the cores that they hold or wait for.
    fn leave_cores(&mut self, slots: &[u32]) {
        let now = self.now;
        for &slot in slots {
            if !self.requests[slot].is(ON_CORE) {
                self.share(slot).queue.down(now);
            }
        }
        let mut hosts: Vec<u16> = slots.iter().map(|&s| self.core_host(s)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            let queue = &mut self.cores[usize::from(host)].queue;
            queue.take_out(&mut self.requests, |s| slots.contains(&s));
        }
        for &slot in slots {
            if self.requests[slot].is(ON_CORE) {
                let host = self.core_host(slot);
                self.requests[slot].awaits = Token::NONE;
                self.release_core(host, slot);
            }
        }
    }

    /// Keeps account of which processes answer, with whatever status.
    pub(crate) fn note_up(&mut self, process: Process) {
        let (up, kept_from) = match process {
            Process::Balancer(i) => {
                let balancer = &mut self.balancers[usize::from(i)];
                (&mut balancer.up, balancer.killed)
            }
            Process::Service(i) => {
                let service = &mut self.services[usize::from(i)];
                (&mut service.up, service.killed + service.stopped)
            }
            Process::Store(i) => {
                let store = &mut self.stores[usize::from(i)];
                (&mut store.up, store.killed + store.stopped)
            }
            Process::Database(i) => {
                let database = &mut self.databases[usize::from(i)];
                (&mut database.up, database.killed + database.stopped)
            }
        };
        up.set(self.now, u32::from(kept_from == 0));
    }
}
