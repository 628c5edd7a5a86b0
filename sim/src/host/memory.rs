//! A machine's memory: what its processes hold, what of it is swapped out, whom the kernel kills.
//!
//! Owns the sums and their consequences; what a process holds is its component's to say. Rules and sources:
//! `docs/host.md`, "Memory".

use super::pace::Slowness;
use crate::instance::Kind;
use crate::world::World;

/// Between two looks at a machine whose processes could hold more than it has.
pub(crate) const LOOK_NANOS: u64 = 1_000_000_000;
/// Work between two reads of the swap where everything is swapped out.
const WORK_A_READ_NANOS: f64 = 100_000.0;

/// The memory of a machine that says how much it has.
#[derive(Debug)]
pub(crate) struct Memory {
    physical: u64,
    swap: u64,
    /// How long the disk takes for a read, in nanoseconds on average, and how many it does at once for each core.
    read_nanos: f64,
    reads_a_core: f64,
    /// The instances on the machine.
    instances: Vec<u16>,
    /// Processes killed since the last sample.
    kills: u64,
    /// What is left of the machine's speed.
    speed: f64,
}

impl Memory {
    /// With bytes of memory and of swap, and the disk's mean time of a read and how many it does at once for each core.
    pub(crate) fn new(
        physical: u64,
        swap: u64,
        (read_nanos, reads_a_core): (f64, f64),
        instances: Vec<u16>,
    ) -> Self {
        Self { physical, swap, read_nanos, reads_a_core, instances, kills: 0, speed: 1.0 }
    }

    /// What is left of a core's speed when so many bytes are held.
    ///
    /// A core that works for a second waits for `share` × 10,000 reads (the effective access time of Denning, "Thrashing: its
    /// causes and prevention", AFIPS 1968); all cores together get no more of them than the disk does (the bound of the
    /// busiest device: Denning and Buzen, "The operational analysis of queueing network models", ACM Computing Surveys
    /// 10(3), 1978).
    fn speed_with(&self, held: u64) -> f64 {
        let share = held.saturating_sub(self.physical) as f64 / held.max(1) as f64;
        if share == 0.0 {
            return 1.0;
        }
        let waiting = share * self.read_nanos / WORK_A_READ_NANOS;
        (1.0 / (1.0 + waiting)).min(self.reads_a_core / waiting)
    }
}

impl World {
    /// What an instance's processes hold, in bytes; nothing while they are dead.
    fn held_bytes(&self, at: u16) -> u64 {
        let instance = &self.instances[usize::from(at)];
        if instance.killed > 0 {
            return 0;
        }
        let index = usize::from(instance.index);
        match instance.kind {
            Kind::Service => self.services[index].memory_bytes(),
            Kind::Store => self.store_bytes(instance.index),
            Kind::Database => self.databases[index].pool_bytes(),
            Kind::Cache => {
                self.caches[index].contents.used_bytes() + self.caches[index].contents.transient_bytes()
            }
            Kind::Job => self.jobs[index].memory_bytes(),
            Kind::Balancer | Kind::Cdn | Kind::Queue => 0,
        }
    }

    /// The most that an instance's processes could come to hold, as far as is known.
    fn most_bytes(&self, at: u16) -> u64 {
        let instance = &self.instances[usize::from(at)];
        let index = usize::from(instance.index);
        match instance.kind {
            Kind::Service => self.services[index].most_memory_bytes(),
            Kind::Store => {
                let store = &self.stores[index];
                // While it saves, each page may be there twice.
                store.contents.max_bytes.saturating_mul(1 + u64::from(store.saves.configured()))
            }
            Kind::Job => self.jobs[index].most_memory_bytes(),
            Kind::Cache => self.caches[index].contents.settings.memory_bytes,
            _ => self.held_bytes(at),
        }
    }

    /// Whether a machine's processes could come to hold more than it has: otherwise nobody need look.
    pub(crate) fn memory_could_run_out(&self, memory: &Memory) -> bool {
        let most = memory.instances.iter().fold(0_u64, |sum, &at| sum.saturating_add(self.most_bytes(at)));
        most > memory.physical
    }

    /// A second is over on a machine whose memory could run out.
    pub(crate) fn look_at_memory_again(&mut self, host: u16, timer: u32) {
        self.look_at_memory(host);
        self.events.schedule(self.now + LOOK_NANOS, timer);
    }

    /// Draws the consequences of what is held on a machine now.
    pub(crate) fn look_at_memory(&mut self, host: u16) {
        let Some(memory) = &self.memories[usize::from(host)] else { return };
        let room = memory.physical.saturating_add(memory.swap);
        let mut sum: u64 = memory.instances.iter().map(|&at| self.held_bytes(at)).sum();
        while sum > room {
            let Some(memory) = &self.memories[usize::from(host)] else { return };
            let processes = memory.instances.iter().map(|&at| (self.largest_process(at), at));
            // The first among equals.
            let Some(((bytes, is_worker), worst)) = processes.rev().max_by_key(|((bytes, _), _)| *bytes)
            else {
                break;
            };
            sum = sum.saturating_sub(if is_worker { bytes } else { self.held_bytes(worst) });
            self.kill_for_memory(host, worst, is_worker);
            if !is_worker {
                // One at a look, as it may be back at once.
                break;
            }
        }
        let Some(memory) = &mut self.memories[usize::from(host)] else { return };
        let speed = memory.speed_with(sum);
        if speed != memory.speed {
            memory.speed = speed;
            let stores: Vec<u16> = memory.instances.clone();
            self.slow_host(host, Slowness::Swap, speed);
            // A store's thread has a core of its own.
            for at in stores {
                self.take_stock(at);
            }
        }
    }

    /// How many times as long an instance's own thread takes because its machine swaps.
    pub(crate) fn swapping(&self, at: u16) -> f64 {
        let instance = &self.instances[usize::from(at)];
        match &self.memories[usize::from(instance.host)] {
            Some(memory) if instance.kind == Kind::Store => 1.0 / memory.speed,
            _ => 1.0,
        }
    }

    /// The end of an interval, at which every machine's memory is looked at.
    pub(crate) fn look_at_all_memory(&mut self) {
        for host in 0..self.memories.len() as u16 {
            self.look_at_memory(host);
        }
    }

    /// What the processes of a machine hold, and how many of them were killed since this was last asked; nothing where it
    /// does not say how much memory it has.
    pub(crate) fn memory_sample(&mut self, host: usize) -> Option<(u64, u64)> {
        let memory = self.memories[host].as_ref()?;
        let held = memory.instances.iter().map(|&at| self.held_bytes(at)).sum();
        let kills = self.memories[host].as_mut().map_or(0, |memory| std::mem::take(&mut memory.kills));
        Some((held, kills))
    }

    /// What the largest process of an instance holds, and whether that is one of several workers.
    fn largest_process(&self, at: u16) -> (u64, bool) {
        let instance = &self.instances[usize::from(at)];
        match instance.kind {
            Kind::Service if self.held_bytes(at) > 0 => {
                self.services[usize::from(instance.index)].largest_process()
            }
            _ => (self.held_bytes(at), false),
        }
    }

    fn kill_for_memory(&mut self, host: u16, at: u16, is_worker: bool) {
        if let Some(memory) = &mut self.memories[usize::from(host)] {
            memory.kills += 1;
        }
        if is_worker {
            let index = self.instances[usize::from(at)].index;
            return self.services[usize::from(index)].kill_worker();
        }
        self.instances[usize::from(at)].killed += 1;
        self.kill(at);
        self.note_death(at);
        let (now, start) = (self.now, self.restart_nanos(at));
        let restarting = self.instances[usize::from(at)].restarting.as_mut();
        let Some(pause) = restarting.map_or(Some(0), |restarting| restarting.died(now, start)) else {
            return;
        };
        self.restart_store(at);
        self.start_process(at, pause);
        if self.instances[usize::from(at)].killed == 0 {
            self.note_life(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_swapped_costs_reads_up_to_what_the_disk_can_do() {
        let of = |reads_a_core| Memory::new(900, 1_000, (100_000.0, reads_a_core), Vec::new());
        assert_eq!(of(10.0).speed_with(900), 1.0);
        // A tenth of 10,000 reads of 100 µs are 100 ms a second of work.
        assert!((of(10.0).speed_with(1_000) - 1.0 / 1.1).abs() < 1e-12);
        // A disk for a hundred cores that does one at once: 100 reads a second for each core, where 1,000 are wanted.
        assert!((of(0.01).speed_with(1_000) - 0.1).abs() < 1e-12);
    }
}
