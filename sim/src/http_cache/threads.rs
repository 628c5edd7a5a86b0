//! The threads of a cache's process: one for each request that is worked on, and another for each fetch.
//!
//! By Varnish 7's `bin/varnishd/cache/cache_wrk.c` (`Pool_Task`, `pool_getidleworker`, `pool_reserve`) and
//! `cache_fetch.c` (`VBF_Fetch`): a task takes an idle thread if more are idle than are kept for tasks that matter more: a
//! fetch that somebody waits for goes before a request that waited for another's fetch, that before a new request, and last
//! comes a fetch in the background. The first two queue without a limit, new requests up to one, and those above are dropped:
//! their connection is closed. A background fetch does not queue, it fails. Pools are taken together, so that threads of one
//! are never idle while another's requests queue; threads start in no time (`thread_pool_add_delay` is 0).

use scenarios::scenario::CacheThreads;

use crate::call::{Fifo, HAS_THREAD, Phase};
use crate::gauge::Gauge;
use crate::instance::Answer;
use crate::world::World;

/// What a thread is wanted for; in the order of `enum task_prio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A fetch that somebody waits for (`TASK_QUEUE_BO`).
    Fetch = 0,
    /// A request that waited for another's fetch (`TASK_QUEUE_RUSH`).
    Again = 1,
    /// A new request (`TASK_QUEUE_REQ`).
    Request = 2,
    /// A fetch that nobody waits for (`TASK_QUEUE_BG`).
    Background = 5,
}

/// `TASK_QUEUE_RESERVE`.
const RESERVE: u32 = Task::Background as u32;

#[derive(Debug)]
pub(crate) struct Threads {
    most: u32,
    reserve: u32,
    queue_limit: u32,
    pub(crate) busy: Gauge,
    /// Those that wait for a thread, by task.
    waiting: [Fifo; 3],
    pub(crate) queue: Gauge,
    /// Connections closed, since the last sample.
    pub(crate) dropped: u64,
}

impl Threads {
    pub(crate) fn new(rules: &CacheThreads) -> Self {
        let least = rules.min.min(rules.max);
        Self {
            most: rules.pools * rules.max,
            reserve: rules.pools * (least / 20 + 1).max(RESERVE),
            queue_limit: rules.pools * rules.queue,
            busy: Gauge::default(),
            waiting: [Fifo::new(); 3],
            queue: Gauge::default(),
            dropped: 0,
        }
    }

    /// Whether a thread is idle for a task.
    fn is_idle(&self, task: Task) -> bool {
        self.most - self.busy.level() > self.reserve * task as u32 / RESERVE
    }

    /// The process died.
    pub(super) fn lose(&mut self, now: u64) {
        self.busy.set(now, 0);
        self.queue.set(now, 0);
        self.waiting = [Fifo::new(); 3];
    }

    #[cfg(test)]
    pub(crate) fn at_rest(&self) -> bool {
        self.busy.level() == 0 && self.queue.level() == 0 && self.waiting.iter().all(|queue| queue.len() == 0)
    }
}

impl World {
    #[inline]
    fn threads(&mut self, at: u16) -> Option<&mut Threads> {
        let index = self.instances[usize::from(at)].index;
        self.caches[usize::from(index)].threads.as_deref_mut()
    }

    /// Takes a thread for a call's task; false where it has to wait for one, or is dropped for it.
    #[inline]
    pub(super) fn take_thread(&mut self, slot: u32, task: Task) -> bool {
        // Mostly they are not counted.
        self.threads(self.calls[slot].at).is_none() || self.take_counted_thread(slot, task)
    }

    fn take_counted_thread(&mut self, slot: u32, task: Task) -> bool {
        let (at, now) = (self.calls[slot].at, self.now);
        let Some(threads) = self.threads(at) else { return true };
        if threads.is_idle(task) {
            threads.busy.up(now);
            if matches!(task, Task::Again | Task::Request) {
                self.calls[slot].flags |= HAS_THREAD;
            }
            return true;
        }
        if task == Task::Request && threads.queue.level() >= threads.queue_limit {
            threads.dropped += 1;
            self.cache_answers(slot, Answer::Reset);
            return false;
        }
        threads.queue.up(now);
        let index = usize::from(self.instances[usize::from(at)].index);
        self.calls[slot].phase = Phase::Queued;
        let threads = self.caches[index].threads.as_mut().expect("it has threads");
        threads.waiting[task as usize].push(&mut self.calls, slot);
        false
    }

    /// Takes a thread for a fetch that nobody waits for, if one is idle.
    pub(super) fn take_background_thread(&mut self, at: u16) -> bool {
        let now = self.now;
        let Some(threads) = self.threads(at) else { return true };
        let idle = threads.is_idle(Task::Background);
        if idle {
            threads.busy.up(now);
        }
        idle
    }

    /// A thread has nothing to do any more: it takes up what waits.
    #[inline]
    pub(super) fn release_thread(&mut self, at: u16) {
        if self.threads(at).is_some() {
            self.release_counted_thread(at);
        }
    }

    fn release_counted_thread(&mut self, at: u16) {
        let (now, index) = (self.now, usize::from(self.instances[usize::from(at)].index));
        let Some(threads) = self.caches[index].threads.as_mut() else { return };
        threads.busy.down(now);
        for task in [Task::Fetch, Task::Again, Task::Request] {
            while threads.is_idle(task) {
                let Some(slot) = threads.waiting[task as usize].pop(&self.calls) else { break };
                threads.queue.down(now);
                threads.busy.up(now);
                if task != Task::Fetch {
                    self.calls[slot].flags |= HAS_THREAD;
                }
                self.ready.push_back(slot);
            }
        }
    }

    /// A request gives its thread back, if it has one.
    #[inline]
    pub(super) fn leave_thread(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        if call.is(HAS_THREAD) {
            call.flags &= !HAS_THREAD;
            let at = call.at;
            self.release_thread(at);
        }
    }
}
