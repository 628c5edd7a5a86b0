//! First come, first served, ahead of time: when a job comes, the cores' present jobs have known ends, so its own start and
//! end are known as well (Kiefer and Wolfowitz, "On the theory of queues with many servers", 1955).
//!
//! A job that waits for a core then costs no more than one that does not, and no event but that of its end. What disturbs
//! the line (a process that dies, a machine whose speed changes) undoes what has not begun yet.

/// So many jobs that have not begun may be in line; what comes then waits outside of it, where it costs no memory.
pub(crate) const AHEAD: usize = 16;

/// So few cores are held in order, so very few, and as few as most machines have.
const FEW: usize = 16;
const VERY_FEW: usize = 8;
const FEWEST: usize = 4;

/// When each core of a machine is free.
#[derive(Debug)]
enum Free {
    /// In order. What stands for no core is never free.
    Fewest([u64; FEWEST]),
    VeryFew([u64; VERY_FEW]),
    Few([u64; FEW]),
    /// As a heap with the first one at its root.
    Many(Vec<u64>),
}

impl Free {
    fn new(mut ends: Vec<u64>) -> Self {
        // What is in order is a heap as well.
        ends.sort_unstable();
        let padded = |most: usize| ends.iter().copied().chain(std::iter::repeat(u64::MAX)).take(most);
        if ends.len() <= FEWEST {
            let mut all = [0; FEWEST];
            all.iter_mut().zip(padded(FEWEST)).for_each(|(place, end)| *place = end);
            Self::Fewest(all)
        } else if ends.len() <= VERY_FEW {
            let mut all = [0; VERY_FEW];
            all.iter_mut().zip(padded(VERY_FEW)).for_each(|(place, end)| *place = end);
            Self::VeryFew(all)
        } else if ends.len() <= FEW {
            let mut all = [0; FEW];
            all.iter_mut().zip(padded(FEW)).for_each(|(place, end)| *place = end);
            Self::Few(all)
        } else {
            Self::Many(ends)
        }
    }

    /// Has the core that is free first begin a job at that time or now, if that is later: when it does.
    #[inline(always)]
    fn take_first(&mut self, now: u64, work: u64) -> u64 {
        match self {
            Self::Fewest(ends) => put_in_order(ends, now, work),
            Self::VeryFew(ends) => put_in_order(ends, now, work),
            Self::Few(ends) => put_in_order(ends, now, work),
            Self::Many(ends) => {
                let begin = now.max(ends[0]);
                sift(ends, begin + work);
                begin
            }
        }
    }
}

/// Takes the first end of those that are in order out, and puts that of its next job in, where each takes the middle one of
/// itself, its next and the new one: nothing to guess about.
#[inline(always)]
fn put_in_order<const N: usize>(ends: &mut [u64; N], now: u64, work: u64) -> u64 {
    let begin = now.max(ends[0]);
    let end = begin + work;
    for place in 0..N - 1 {
        ends[place] = ends[place].max(end.min(ends[place + 1]));
    }
    // Where as many cores are there as places. Else nothing is later than the last.
    ends[N - 1] = ends[N - 1].max(end);
    begin
}

fn sift(ends: &mut [u64], end: u64) {
    let mut hole = 0;
    while let Some(&left) = ends.get(2 * hole + 1) {
        let (mut child, mut first) = (2 * hole + 1, left);
        if let Some(&right) = ends.get(child + 1) {
            (child, first) = if right < first { (child + 1, right) } else { (child, first) };
        }
        if end <= first {
            break;
        }
        ends[hole] = first;
        hole = child;
    }
    ends[hole] = end;
}

/// When the cores of a machine are free, and the jobs that are to begin.
#[derive(Debug)]
pub(crate) struct Line {
    free: Free,
    cores: usize,
    /// The latest jobs in line, as a ring: when each begins, and its slot. Most have begun long ago.
    latest: [(u64, u32); AHEAD],
    next: usize,
}

impl Line {
    pub(crate) fn new(cores: u32) -> Self {
        let cores = cores.max(1) as usize;
        Self { free: Free::new(vec![0; cores]), cores, latest: [(0, 0); AHEAD], next: 0 }
    }

    /// Whether another job may get in line.
    #[inline]
    pub(crate) fn has_room(&self, now: u64) -> bool {
        self.latest[self.next % AHEAD].0 <= now
    }

    /// Puts a job of `work` nanoseconds in line, where there is room: when it begins and when it ends.
    #[inline]
    pub(crate) fn join(&mut self, now: u64, slot: u32, work: u64) -> (u64, u64) {
        let begin = self.free.take_first(now, work);
        self.latest[self.next % AHEAD] = (begin, slot);
        // The place is overwritten by the next where nothing has to be undone.
        self.next += usize::from(begin > now);
        (begin, begin + work)
    }

    /// The jobs that have not begun, in their order: when they are to, and their slots.
    pub(crate) fn waiting(&self, now: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        let in_order = (self.next..self.next + AHEAD).map(|place| self.latest[place % AHEAD]);
        in_order.filter(move |(begin, _)| *begin > now)
    }

    /// Starts anew with jobs on cores that end at these times, all later than now, and nobody waiting.
    pub(crate) fn restart(&mut self, now: u64, mut ends: Vec<u64>) {
        debug_assert!(ends.len() <= self.cores, "no core has two jobs");
        ends.resize(self.cores, now);
        self.resume(ends, &[]);
    }

    /// Goes on with cores that are free at these times, those in line included: when each of these begins, and its slot.
    pub(crate) fn resume(&mut self, ends: Vec<u64>, waiting: &[(u64, u32)]) {
        debug_assert!(ends.len() == self.cores && waiting.len() <= AHEAD, "as many as there is room for");
        self.free = Free::new(ends);
        self.latest = [(0, 0); AHEAD];
        self.next = waiting.len();
        self.latest[..waiting.len()].copy_from_slice(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against cores that are looked at one by one.
        #[test]
        fn job_begins_when_the_first_core_is_free(
            cores in prop_oneof![1_u32..12, 16_u32..20],
            jobs in proptest::collection::vec((0_u64..40, 0_u64..100), 1..200),
        ) {
            let mut line = Line::new(cores);
            let mut free = vec![0; cores as usize];
            let (mut now, mut waiting) = (0, Vec::new());
            for (slot, (gap, work)) in jobs.into_iter().enumerate() {
                now += gap;
                waiting.retain(|(begin, _)| *begin > now);
                if waiting.len() >= AHEAD {
                    prop_assert!(!line.has_room(now));
                    continue;
                }
                prop_assert!(line.has_room(now));
                let first = free.iter_mut().min().expect("there is a core");
                let begin = now.max(*first);
                *first = begin + work;
                prop_assert_eq!(line.join(now, slot as u32, work), (begin, begin + work));
                if begin > now {
                    waiting.push((begin, slot as u32));
                }
                prop_assert_eq!(line.waiting(now).collect::<Vec<_>>(), waiting.clone());
            }
        }
    }

    #[test]
    fn death_at_the_very_end_of_a_job_leaves_as_many_cores_as_there_are() {
        let text = r#"
title = "Two services on one core"
[run]
duration = "5s"
[hosts.app]
cores = 1
[components.shop]
kind = "service"
host = "app"
workers = 1000
backlog = 10000
[components.blog]
kind = "service"
host = "app"
workers = 10
[requests.page]
path = "/"
steps = [{ work = "10ms" }]
[traffic.users]
to = "shop"
mix = { page = 1 }
executor = "constant-arrival-rate"
rate = "200/s"
arrivals = "uniform"
connections = 2000
max_in_flight = 10000
timeout = "1s"
[traffic.readers]
to = "blog"
mix = { page = 1 }
executor = "constant-arrival-rate"
rate = "20/s"
arrivals = "uniform"
[[faults]]
at = "1002500us"
for = "1s"
kill = "component:blog"
"#;
        let scenario = scenarios::Scenario::parse("two.toml", text).expect("the test's scenario is good");
        let mut simulation = crate::Simulation::new(&scenario).expect("the simulator takes it");
        while !simulation.advance() {
            let now = simulation.world.now;
            let line = &simulation.world.cores[0].line;
            let Free::Fewest([first, others @ ..]) = &line.free else { panic!("it is one core") };
            assert_eq!(others, &[u64::MAX; FEWEST - 1]);
            // With twice as much to do as it can, the one core has the work of all that waits before it.
            let waiting = line.waiting(now).count() as u64;
            assert!(waiting == 0 || *first >= now + (waiting * 10_000_000), "{waiting} at {now}");
        }
    }
}
