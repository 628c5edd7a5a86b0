//! Background jobs: work that no request asks for, in competition with what requests do.
//!
//! A job is an instance whose calls nobody made: one for each core that it works on, one for the disk. Rules and sources:
//! `docs/host.md`, "Background jobs".

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::plan::RequestId;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{ClassId, Job as Meant};

use crate::call::{Call, NOBODY, Phase};
use crate::world::{Timer, World};

/// For how long a job keeps a core that others may want (Linux's `sysctl_sched_base_slice` on eight processors and more,
/// `kernel/sched/fair.c`: 0.75 ms × (1 + log2 of their number)).
const SLICE_NANOS: u64 = 3_000_000;
/// How much of what a job reads or writes it asks for at once (Linux's `read_ahead_kb`, 128 KiB by default).
const PART_BYTES: u64 = 128 << 10;

const JOB: Purpose = Purpose::named("sim-job");

/// A job on one machine.
#[derive(Debug)]
pub(crate) struct Job {
    work: Option<DurationLaw>,
    cores: u32,
    memory_bytes: u64,
    disk_bytes: u64,
    every: Option<u64>,
    timer: u32,
    /// What its calls pass for where classes have ranks.
    class: ClassId,
    stream: Stream,
    /// What a run that goes on has left, by call.
    parts: Vec<Part>,
}

/// What one call of a run still has to do.
#[derive(Clone, Copy, Debug)]
struct Part {
    slot: u32,
    left: Left,
}

#[derive(Clone, Copy, Debug)]
enum Left {
    /// Nanoseconds of a core, and those of them that the call is busy with.
    Work { nanos: u64, slice: u64 },
    /// Bytes of the disk.
    Disk { bytes: u64 },
}

impl Job {
    /// As it is before the run, on a machine of its host, as the instance `at`; its first start is scheduled.
    pub(crate) fn new(
        world: &mut World,
        scenario: &Scenario,
        (number, meant): (usize, &Meant),
        (machine, at): (u16, u16),
    ) -> Self {
        let timer = world.add_timer(Timer::Job(at));
        if let Some(first) = meant.first {
            world.events.schedule(first.as_nanos(), timer);
        }
        Self {
            work: meant.work,
            cores: meant.cores,
            memory_bytes: meant.memory.get(),
            disk_bytes: meant.disk.get(),
            every: meant.every.map(|every| every.as_nanos()),
            timer,
            class: scenario.traffic[0].mix[0].0,
            stream: Stream::new(world.seed, JOB.of(number as u64), u64::from(machine)),
            parts: Vec::new(),
        }
    }

    /// What it holds in memory now.
    pub(crate) fn memory_bytes(&self) -> u64 {
        if self.parts.is_empty() { 0 } else { self.memory_bytes }
    }

    /// What it holds while it runs.
    pub(crate) fn most_memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.parts.is_empty()
    }
}

impl World {
    /// A job is due.
    pub(crate) fn start_job(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        let alive = instance.killed == 0 && instance.stopped == 0;
        let index = usize::from(instance.index);
        let job = &mut self.jobs[index];
        if let Some(every) = job.every {
            self.events.schedule(self.now + every, job.timer);
        }
        // The last run's work is drawn whether this one takes place or not, so that a fault does not change later runs.
        let work = job.work.map_or(0, |law| law.sample(&mut job.stream).as_nanos());
        if !alive || !job.parts.is_empty() {
            return;
        }
        let (cores, bytes, class) = (if work > 0 { job.cores } else { 0 }, job.disk_bytes, job.class);
        let works = (0..cores).map(|_| Left::Work { nanos: work, slice: 0 });
        let parts: Vec<Left> = works.chain((bytes > 0).then_some(Left::Disk { bytes })).collect();
        for left in parts {
            let mut call = Call::new(RequestId(0), class, NOBODY, self.now);
            (call.at, call.phase) = (at, Phase::Timed);
            // Where there is no room for another call, the machine has other worries.
            if let Some(slot) = self.calls.insert(call) {
                self.jobs[index].parts.push(Part { slot, left });
            }
        }
        for place in 0..self.jobs[index].parts.len() {
            self.go_on_with_job(at, place);
        }
        self.look_at_memory(self.instances[usize::from(at)].host);
    }

    /// A call of a job has had its slice, or its part of the disk.
    pub(crate) fn job_wake(&mut self, slot: u32) {
        let at = self.calls[slot].at;
        let instance = &self.instances[usize::from(at)];
        let host = instance.host;
        let job = &mut self.jobs[usize::from(instance.index)];
        let place =
            job.parts.iter().position(|part| part.slot == slot).expect("a job's call has a part of it");
        let done = match &mut job.parts[place].left {
            Left::Work { nanos, slice } => {
                *nanos -= *slice;
                *nanos == 0
            }
            Left::Disk { bytes } => {
                *bytes = bytes.saturating_sub(PART_BYTES);
                *bytes == 0
            }
        };
        if !done {
            return self.go_on_with_job(at, place);
        }
        job.parts.swap_remove(place);
        let over = job.parts.is_empty();
        self.forget(slot);
        if over {
            self.look_at_memory(host);
        }
    }

    fn go_on_with_job(&mut self, at: u16, place: usize) {
        let instance = &self.instances[usize::from(at)];
        let host = usize::from(instance.host);
        let job = &mut self.jobs[usize::from(instance.index)];
        let Part { slot, left } = &mut job.parts[place];
        let slot = *slot;
        match left {
            Left::Work { nanos, slice } => {
                let shared =
                    self.cores[host].special.as_ref().is_some_and(|special| special.processor.shares());
                *slice = if shared { *nanos } else { SLICE_NANOS.min(*nanos) };
                let slice = *slice;
                self.take_core(at, slot, slice, Phase::Work);
            }
            Left::Disk { bytes } => {
                let disk = self.disks[host].as_mut().expect("validation saw to it that there is a disk");
                let end = disk.go_on(self.now, PART_BYTES.min(*bytes));
                self.wait_until(slot, end, Phase::Timed);
            }
        }
    }

    /// Its machine died, or it was killed: the run is over.
    pub(crate) fn job_lose(&mut self, index: u16) {
        self.jobs[usize::from(index)].parts.clear();
    }
}
