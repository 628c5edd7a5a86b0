//! A machine's cores where they are more than first come, first served at one speed: processor sharing, priorities, a
//! speed that changes, a limit below the number of cores.
//!
//! All running jobs of a machine advance alike, so one virtual clock serves them: it counts the work, in units of 2^-32 ns,
//! that a job which ran all the time would have got. A job is done when the clock reaches its tag: the clock's reading at
//! its start plus its work (Nagle 1987; Parekh and Gallager, IEEE/ACM Trans. Networking 1(3), 1993, for the idea). So a
//! change of speed or of the number of jobs touches no job, and one event is pending for the whole machine. The clock is
//! integer, with an error below 2^-32 ns at each change; a job ends at the first whole nanosecond at which it is done.
//!
//! Knows jobs by their slots; what they are for is the world's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::call::{Calls, Fifo};

/// The virtual clock's unit and that of speeds: 2^-32.
const SPEED_BITS: u32 = 32;
/// The unit of capacities: 2^-16 cores.
const CAPACITY_BITS: u32 = 16;

/// In which order jobs get cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All run at once: n jobs on c cores each at the share min(1, c/n).
    Sharing,
    /// One job to a core; by rank, and within a rank as they came. A job that runs is not interrupted.
    Waiting,
    /// As `Waiting`, but a job of a better rank takes the core of the worst, which goes on later where it was.
    Preempting,
}

/// A job that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    tag: u128,
    /// Which of two jobs came first.
    number: u64,
    slot: u32,
    rank: u8,
    /// Whom it runs for: a place in `accounts`.
    account: u16,
}

/// Whom jobs run for, and what that took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) instance: u16,
    running: u32,
    /// Core time since it was last read, in nanoseconds.
    used_nanos: f64,
}

/// What a newcomer makes happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It runs.
    Runs,
    /// It waits.
    Waits,
    /// It runs instead of this one, which waits with that much work left, in nanoseconds.
    Replaces(u32, u64),
}

/// The cores of one machine.
#[derive(Debug)]
pub(crate) struct Processor {
    order: Order,
    cores: u32,
    /// In cores of 2^-16; below `cores` where it is throttled.
    capacity: u64,
    speed: u64,
    clock: u128,
    /// When the clock was read last.
    at: u64,
    running: BinaryHeap<Reverse<Job>>,
    /// By rank, the best first.
    waiting: Vec<Fifo>,
    number: u64,
    accounts: Vec<Account>,
    /// Core time used so far, in nanoseconds.
    used_nanos: f64,
}

impl Processor {
    pub(crate) fn new(order: Order, cores: u32, ranks: usize) -> Self {
        Self {
            order,
            cores,
            capacity: u64::from(cores) << CAPACITY_BITS,
            speed: 1 << SPEED_BITS,
            clock: 0,
            at: 0,
            running: BinaryHeap::new(),
            waiting: vec![Fifo::new(); ranks.max(1)],
            number: 0,
            accounts: Vec::new(),
            used_nanos: 0.0,
        }
    }

    pub(crate) fn cores(&self) -> u32 {
        self.cores
    }

    pub(crate) fn running(&self) -> u32 {
        self.running.len() as u32
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.iter().map(Fifo::len).sum()
    }

    /// Cores in use, at most the capacity.
    pub(crate) fn busy_cores(&self) -> f64 {
        f64::from(self.running()).min(self.capacity as f64 / f64::from(1 << CAPACITY_BITS))
    }

    /// The core time used so far, in nanoseconds, as of the clock's time.
    pub(crate) fn total_used(&self) -> f64 {
        self.used_nanos
    }

    /// How fast the clock runs, as a fraction: its units a nanosecond.
    fn pace(&self) -> (u128, u128) {
        let jobs = u64::from(self.running()) << CAPACITY_BITS;
        if jobs <= self.capacity {
            (u128::from(self.speed), 1)
        } else {
            (u128::from(self.speed) * u128::from(self.capacity), u128::from(jobs))
        }
    }

    /// Lets the clock run up to now. Whatever changes its pace comes after this.
    pub(crate) fn advance(&mut self, now: u64) {
        let nanos = now - self.at;
        if nanos == 0 {
            return;
        }
        self.at = now;
        if self.running.is_empty() {
            return;
        }
        let (numerator, denominator) = self.pace();
        self.clock += u128::from(nanos) * numerator / denominator;
        let used = nanos as f64 * self.busy_cores();
        self.used_nanos += used;
        let each = used / f64::from(self.running());
        for account in &mut self.accounts {
            account.used_nanos += f64::from(account.running) * each;
        }
    }

    /// Whether all jobs run at once.
    pub(crate) fn shares(&self) -> bool {
        self.order == Order::Sharing
    }

    /// How fast a core is against one of speed 1; the clock has run up to now.
    pub(crate) fn set_speed(&mut self, speed: f64) {
        self.speed = (speed * (1_u64 << SPEED_BITS) as f64).round() as u64;
    }

    /// How many cores' time the jobs may take together, where that is less than all; the clock has run up to now.
    pub(crate) fn limit_capacity(&mut self, cores: f64) {
        let most = u64::from(self.cores) << CAPACITY_BITS;
        self.capacity = ((cores * f64::from(1 << CAPACITY_BITS)).round() as u64).clamp(1, most);
    }

    fn account(&mut self, instance: u16) -> u16 {
        let place = self.accounts.iter().position(|a| a.instance == instance).unwrap_or_else(|| {
            self.accounts.push(Account { instance, running: 0, used_nanos: 0.0 });
            self.accounts.len() - 1
        });
        place as u16
    }

    /// A job comes at the clock's time; where it waits, its work is kept in its call.
    pub(crate) fn arrive(
        &mut self,
        calls: &mut Calls,
        slot: u32,
        instance: u16,
        rank: u8,
        work: u64,
    ) -> Arrival {
        // Where ranks mean nothing there is one queue.
        let rank = rank.min(self.waiting.len() as u8 - 1);
        if self.order == Order::Sharing || self.running() < self.cores {
            self.run(slot, instance, rank, work);
            return Arrival::Runs;
        }
        if self.order == Order::Preempting
            && let Some(worst) = self.running.iter().map(|job| job.0).max_by_key(|job| (job.rank, job.number))
            && worst.rank > rank
        {
            self.running.retain(|job| job.0.slot != worst.slot);
            self.accounts[usize::from(worst.account)].running -= 1;
            let left = worst.tag.saturating_sub(self.clock).div_ceil(1 << SPEED_BITS) as u64;
            calls[worst.slot].work = left;
            self.waiting[usize::from(worst.rank)].push_front(calls, worst.slot);
            self.run(slot, instance, rank, work);
            return Arrival::Replaces(worst.slot, left);
        }
        calls[slot].work = work;
        self.waiting[usize::from(rank)].push(calls, slot);
        Arrival::Waits
    }

    fn run(&mut self, slot: u32, instance: u16, rank: u8, work: u64) {
        let account = self.account(instance);
        self.accounts[usize::from(account)].running += 1;
        self.number += 1;
        let tag = self.clock + (u128::from(work) << SPEED_BITS);
        self.running.push(Reverse(Job { tag, number: self.number, slot, rank, account }));
    }

    /// When the next job is done, if nothing changes before; never where there is none or it stands still.
    pub(crate) fn next_end(&self) -> u64 {
        let Some(Reverse(job)) = self.running.peek() else { return u64::MAX };
        let (numerator, denominator) = self.pace();
        if numerator == 0 {
            return u64::MAX;
        }
        let nanos = (job.tag.saturating_sub(self.clock) * denominator).div_ceil(numerator);
        u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(self.at)
    }

    /// Takes out a job that is done at the clock's time: its slot.
    pub(crate) fn take_done(&mut self) -> Option<u32> {
        let job = self.running.peek()?.0;
        if job.tag > self.clock {
            return None;
        }
        self.running.pop();
        self.accounts[usize::from(job.account)].running -= 1;
        Some(job.slot)
    }

    /// Takes the best of those who wait, if a core is free: its slot and its rank. It comes back by `start`.
    pub(crate) fn admit(&mut self, calls: &Calls) -> Option<(u32, u8)> {
        if self.running() >= self.cores {
            return None;
        }
        let rank = self.waiting.iter().position(|queue| queue.len() > 0)?;
        Some((self.waiting[rank].pop(calls)?, rank as u8))
    }

    /// Starts one that waited.
    pub(crate) fn start(&mut self, calls: &Calls, slot: u32, instance: u16, rank: u8) {
        self.run(slot, instance, rank, calls[slot].work);
    }

    /// Takes out those of some jobs that run: their slots, in no order.
    pub(crate) fn drop_running(&mut self, gone: &[u32]) -> Vec<u32> {
        let mut found = Vec::new();
        for Reverse(job) in &self.running {
            if gone.contains(&job.slot) {
                self.accounts[usize::from(job.account)].running -= 1;
                found.push(job.slot);
            }
        }
        self.running.retain(|job| !found.contains(&job.0.slot));
        found
    }

    /// Takes out jobs that wait, by their slots.
    pub(crate) fn drop_waiting(&mut self, calls: &mut Calls, gone: &[u32]) {
        for queue in &mut self.waiting {
            queue.take_out(calls, |slot| gone.contains(&slot));
        }
    }

    /// The core time that an instance's jobs have used since it was last taken, in nanoseconds; the clock has run up to now.
    pub(crate) fn used(&self, instance: u16) -> f64 {
        self.accounts.iter().find(|account| account.instance == instance).map_or(0.0, |a| a.used_nanos)
    }

    /// An instance's jobs have used so much core time already, in nanoseconds, before they came here.
    pub(crate) fn hand_over(&mut self, instance: u16, used_nanos: f64) {
        let account = self.account(instance);
        self.accounts[usize::from(account)].used_nanos += used_nanos;
    }

    /// The core time that an instance's jobs have used since this was last asked, in nanoseconds; the clock has run up to now.
    pub(crate) fn take_used(&mut self, instance: u16) -> f64 {
        let account = self.accounts.iter_mut().find(|account| account.instance == instance);
        account.map_or(0.0, |account| std::mem::take(&mut account.used_nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CLIENT, Call};
    use scenarios::Scenario;
    use scenarios::plan::{Plan, RequestId};

    fn calls(count: u32) -> Calls {
        let scenario = Scenario::parse("q.toml", scenarios::library::QUICKSTART).expect("it is tested");
        let class = scenario.traffic[0].mix[0].0;
        let _ = Plan::new(&scenario);
        let mut calls = Calls::new(1000);
        (0..count).for_each(|i| {
            calls.insert(Call::new(RequestId(u64::from(i)), class, CLIENT, 0)).expect("there is room");
        });
        calls
    }

    /// Runs jobs (arrival, work, rank), sorted by arrival, to their ends; changes of speed (when, speed) between.
    fn ends(mut processor: Processor, jobs: &[(u64, u64, u8)], speeds: &[(u64, f64)]) -> Vec<u64> {
        let mut calls = calls(jobs.len() as u32);
        let mut ends = vec![0; jobs.len()];
        let (mut next, mut change) = (0, 0);
        while ends.contains(&0) {
            let arrival = jobs.get(next).map_or(u64::MAX, |job| job.0);
            let speed = speeds.get(change).map_or(u64::MAX, |speed| speed.0);
            let now = processor.next_end().min(arrival).min(speed);
            assert!(now < u64::MAX, "something happens");
            processor.advance(now);
            if now == speed {
                processor.set_speed(speeds[change].1);
                change += 1;
            }
            while let Some(slot) = processor.take_done() {
                ends[slot as usize] = now;
            }
            if processor.order != Order::Sharing {
                while let Some((slot, rank)) = processor.admit(&calls) {
                    processor.start(&calls, slot, 0, rank);
                }
            }
            if now == arrival {
                let (_, work, rank) = jobs[next];
                processor.arrive(&mut calls, next as u32, 0, rank, work);
                next += 1;
            }
        }
        ends
    }

    #[test]
    fn three_jobs_share_two_cores_exactly() {
        let processor = Processor::new(Order::Sharing, 2, 1);
        // Three at 2/3 each: the shortest has its 4 ns after 6; then two at full speed.
        assert_eq!(ends(processor, &[(10, 4, 0), (10, 5, 0), (10, 9, 0)], &[]), [16, 17, 21]);
    }

    #[test]
    fn a_third_of_a_core_loses_nothing_over_a_week() {
        let week = 604_800_000_000_000;
        let jobs = [(1, week / 3, 0), (1, week / 3, 0), (1, week / 3, 0)];
        assert_eq!(ends(Processor::new(Order::Sharing, 1, 1), &jobs, &[]), [week + 1; 3]);
    }

    #[test]
    fn a_change_of_speed_reaches_jobs_that_run() {
        let processor = Processor::new(Order::Waiting, 1, 1);
        // 60 ns at full speed, then 40 at half; the second waits and has 10 at half and 5 at double speed.
        let speeds = [(60, 0.5), (160, 2.0)];
        assert_eq!(ends(processor, &[(0, 100, 0), (0, 20, 0)], &speeds), [140, 165]);
    }

    #[test]
    fn the_better_rank_goes_first_and_interrupts_only_where_that_is_the_rule() {
        let jobs = [(0, 100, 1), (10, 50, 1), (20, 30, 0)];
        assert_eq!(ends(Processor::new(Order::Waiting, 1, 2), &jobs, &[]), [100, 180, 130]);
        assert_eq!(ends(Processor::new(Order::Preempting, 1, 2), &jobs, &[]), [130, 180, 50]);
    }

    #[test]
    fn a_limit_below_the_cores_is_shared_by_those_who_run() {
        let mut processor = Processor::new(Order::Waiting, 2, 1);
        processor.limit_capacity(0.5);
        // Alone at half a core; from 20 on two at a quarter each.
        assert_eq!(ends(processor, &[(0, 30, 0), (20, 30, 0)], &[]), [100, 120]);
    }

    #[test]
    fn a_stopped_processor_ends_nothing_until_it_goes_on() {
        let processor = Processor::new(Order::Sharing, 1, 1);
        assert_eq!(ends(processor, &[(0, 10, 0)], &[(5, 0.0), (1_000, 1.0)]), [1_005]);
    }

    #[test]
    fn core_time_is_counted_for_whom_it_was_used() {
        let mut calls = calls(3);
        let mut processor = Processor::new(Order::Sharing, 1, 1);
        processor.arrive(&mut calls, 0, 7, 0, 100);
        processor.arrive(&mut calls, 1, 7, 0, 100);
        processor.arrive(&mut calls, 2, 8, 0, 100);
        processor.advance(90);
        assert!((processor.take_used(7) - 60.0).abs() < 1e-9);
        assert!((processor.take_used(8) - 30.0).abs() < 1e-9);
    }
}
