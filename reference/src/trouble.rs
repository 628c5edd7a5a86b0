//! What an instance suffers from for a while: what faults, and the cold after a deployment, do to a process that goes on.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use crate::emulated::clock::process_cpu_nanos;

/// All of it, as the supervisor tells it to the process. The default is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    /// Every request is answered by a 500; of those that speak HTTP.
    pub(crate) failing: bool,
    /// This share of the requests is, drawn for each.
    pub(crate) error_share: f64,
    /// Work takes so many times as long.
    pub(crate) times: f64,
    /// The cores of the host do so much of their work, by what others steal of their time.
    pub(crate) speed: f64,
    /// What is to be written to the disk is refused.
    pub(crate) disk_full: bool,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { failing: false, error_share: 0.0, times: 1.0, speed: 1.0, disk_full: false }
    }
}

/// Makes work longer that is done and not emulated: so much time is slept through for the processor time that it took.
#[derive(Debug)]
pub(crate) struct Drag {
    times: Cell<f64>,
    /// The processor time of which the delay was paid.
    paid_nanos: Cell<u64>,
    /// What is still to be slept; negative where a sleep was too long.
    owed_nanos: Cell<f64>,
}

/// Shorter sleeps would be mostly the kernel's delay in waking; what is owed adds up until then.
const SHORTEST_SLEEP_NANOS: f64 = 20_000.0;

impl Drag {
    /// Work takes its time.
    pub(crate) fn none() -> Self {
        Self { times: Cell::new(1.0), paid_nanos: Cell::new(0), owed_nanos: Cell::new(0.0) }
    }

    /// Work takes so many times as long from now on.
    pub(crate) fn set(&self, times: f64) {
        self.times.set(times);
        self.paid_nanos.set(process_cpu_nanos());
        self.owed_nanos.set(0.0);
    }

    /// Stands still for what was worked since the last time. Nothing else of the process goes on meanwhile, as nothing would
    /// while it works.
    #[inline]
    pub(crate) fn pull(&self) {
        if self.times.get() > 1.0 {
            self.stand_still();
        }
    }

    #[cold]
    #[allow(clippy::disallowed_methods, reason = "the one thread works no faster than that")]
    fn stand_still(&self) {
        let used = process_cpu_nanos();
        let worked = used.saturating_sub(self.paid_nanos.replace(used)) as f64;
        let mut owed = self.owed_nanos.get() + worked * (self.times.get() - 1.0);
        if owed >= SHORTEST_SLEEP_NANOS {
            let began = std::time::Instant::now();
            std::thread::sleep(std::time::Duration::from_nanos(owed as u64));
            owed -= began.elapsed().as_nanos() as f64;
            self.paid_nanos.set(process_cpu_nanos());
        }
        self.owed_nanos.set(owed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn work_takes_so_many_times_as_long_on_average() {
        let drag = Drag::none();
        let worked = || {
            let until = process_cpu_nanos() + 20_000;
            while process_cpu_nanos() < until {}
        };
        (0..10).for_each(|_| drag.pull());
        drag.set(11.0);
        let (began, cpu) = (Instant::now(), process_cpu_nanos());
        for _ in 0..100 {
            worked();
            drag.pull();
        }
        let took = began.elapsed();
        let own = Duration::from_nanos(process_cpu_nanos() - cpu);
        // Other tests of this process work meanwhile, and a busy machine wakes late, but nothing makes it earlier.
        assert!(took >= Duration::from_millis(20), "{took:?} with {own:?} of processor time");
    }
}
