//! Threads as Varnish has them, one for each request and one for each fetch at work: there are none here, but as many requests
//! are at work as it would have threads for.
//!
//! By `Pool_Task`, `pool_getidleworker` and `pool_reserve` of its `cache_wrk.c`: a task takes an idle thread if more are idle than
//! are kept for those that matter more. A fetch that somebody waits for goes before a request that waited for another's
//! fetch, that before a new request, and last comes a fetch in the background. The first two queue without a limit, new
//! requests up to one, and the connections of others are closed. A background fetch does not queue. Pools are taken together.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use scenarios::scenario::CacheThreads;
use tokio::sync::oneshot;

use crate::emulated::Level;

/// What a thread is wanted for; in the order of Varnish's `enum task_prio`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A fetch that somebody waits for.
    Fetch = 0,
    /// A request that waited for another's fetch.
    Again = 1,
    /// A new request.
    Request = 2,
    /// A fetch that nobody waits for.
    Background = 5,
}

/// The parts in which the reserve is counted (`TASK_QUEUE_RESERVE`).
const RESERVE_PARTS: usize = 5;

/// All threads of a cache.
#[derive(Debug)]
pub(super) struct Threads {
    most: usize,
    reserve: usize,
    queue_limit: usize,
    pub(super) busy: Level,
    waiting: [RefCell<VecDeque<oneshot::Sender<Thread>>>; 3],
    pub(super) queue: Level,
    pub(super) dropped: Cell<u64>,
}

/// A thread at work, idle again when dropped.
#[derive(Debug)]
pub(super) struct Thread(Rc<Threads>);

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.busy.add(-1);
        Threads::offer(&self.0);
    }
}

tokio::task_local! {
    /// The thread of the conversation that this is done for, while it has one.
    static OWN: RefCell<Option<Thread>>;
}

/// Does all of a conversation, which may have a thread.
pub(super) async fn scope<T>(conversation: impl Future<Output = T>) -> T {
    OWN.scope(RefCell::default(), conversation).await
}

/// Puts a thread in the place of the conversation's, if this is done for one.
fn exchange(thread: Option<Thread>) -> Option<Thread> {
    OWN.try_with(|own| own.replace(thread)).ok().flatten()
}

impl Threads {
    /// By what the scenario says.
    pub(super) fn new(rules: &CacheThreads) -> Rc<Self> {
        let times = |count: u32| (rules.pools * count) as usize;
        Rc::new(Self {
            most: times(rules.max),
            // A twentieth of those that are always there, and never fewer than there are priorities.
            reserve: times((rules.min / 20 + 1).max(RESERVE_PARTS as u32)),
            queue_limit: times(rules.queue),
            busy: Level::default(),
            waiting: Default::default(),
            queue: Level::default(),
            dropped: Cell::new(0),
        })
    }

    fn is_idle(&self, task: Task) -> bool {
        let idle = self.most.saturating_sub(self.busy.get() as usize);
        idle > self.reserve * task as usize / RESERVE_PARTS
    }

    fn start(self: &Rc<Self>) -> Thread {
        self.busy.add(1);
        Thread(Rc::clone(self))
    }

    /// Gives idle threads to those who wait, in the order of what they wait for.
    fn offer(this: &Rc<Self>) {
        for task in [Task::Fetch, Task::Again, Task::Request] {
            while this.is_idle(task) {
                let Some(waiting) = this.waiting[task as usize].borrow_mut().pop_front() else { break };
                // One who has given up is passed over: his thread comes back, and is offered to the next.
                let _given_up = waiting.send(this.start());
            }
        }
    }

    /// A thread, now or later; none for a new request when too many wait, and for a fetch in the background when none is idle.
    pub(super) async fn take(self: &Rc<Self>, task: Task) -> Option<Thread> {
        if self.is_idle(task) {
            return Some(self.start());
        }
        if task == Task::Background {
            return None;
        }
        if task == Task::Request && self.queue.get() as usize >= self.queue_limit {
            self.dropped.set(self.dropped.get() + 1);
            return None;
        }
        let (sender, thread) = oneshot::channel();
        self.waiting[task as usize].borrow_mut().push_back(sender);
        let _queued = self.queue.hold();
        thread.await.ok()
    }

    /// The conversation has a new request: whether there is a thread for it.
    pub(super) async fn begin(self: &Rc<Self>) -> bool {
        let thread = self.take(Task::Request).await;
        let has_one = thread.is_some();
        drop(exchange(thread));
        has_one
    }

    /// The conversation has nothing to do until its next request.
    pub(super) fn end(&self) {
        drop(exchange(None));
    }

    /// Waits for something without a thread.
    pub(super) async fn park<T>(this: Option<&Rc<Self>>, wait: impl Future<Output = T>) -> T {
        let Some(threads) = this else { return wait.await };
        let had_one = exchange(None).is_some();
        let done = wait.await;
        if had_one {
            drop(exchange(threads.take(Task::Again).await));
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(text: &str) -> Rc<Threads> {
        let file = include_str!("../../conformance/cache.toml");
        let file = file.replacen("memory = ", &format!("threads = {text}\nmemory = "), 1);
        let scenario = scenarios::Scenario::parse("cache.toml", file).expect("it is good");
        let kinds = scenario.components.iter().map(|component| &component.kind);
        let mut rules = kinds.filter_map(|kind| match kind {
            scenarios::scenario::ComponentKind::HttpCache(cache) => cache.threads,
            _ => None,
        });
        Threads::new(&rules.next().expect("it has threads"))
    }

    /// What comes of it at once.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn threads_are_kept_for_what_matters_more() {
        let threads = threads("{ pools = 1, min = 5, max = 10, queue = 0 }");
        let mut held = Vec::new();
        // Five in reserve: none for fetches in the background, two of them for new requests, one for those that waited.
        for (task, idle_left) in
            [(Task::Background, 5), (Task::Request, 2), (Task::Again, 1), (Task::Fetch, 0)]
        {
            let mut refused = false;
            while !refused && threads.is_idle(task) {
                match at_once(threads.take(task)).flatten() {
                    Some(thread) => held.push(thread),
                    None => refused = true,
                }
            }
            assert_eq!(10 - held.len(), idle_left, "{task:?}");
        }
        assert!(matches!(at_once(threads.take(Task::Request)), Some(None)), "nobody queues");
        assert_eq!(threads.dropped.get(), 1);
        held.clear();
        assert_eq!(threads.busy.get(), 0);
    }

    #[test]
    fn whoever_matters_most_is_served_first_and_who_gave_up_not_at_all() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        let threads = threads("{ pools = 1, min = 5, max = 5, queue = 9 }");
        let mut held: Vec<Thread> = (0..5).map(|_| threads.start()).collect();
        let order = Rc::<RefCell<Vec<Task>>>::default();
        local.block_on(&runtime, async {
            for task in [Task::Request, Task::Again, Task::Fetch] {
                let (threads, order) = (Rc::clone(&threads), Rc::clone(&order));
                tokio::task::spawn_local(async move {
                    let thread = threads.take(task).await.expect("it is its turn some day");
                    order.borrow_mut().push(task);
                    std::mem::forget(thread);
                });
            }
            let mut given_up = Box::pin(threads.take(Task::Fetch));
            assert!(at_once(given_up.as_mut()).is_none());
            drop(given_up);
            tokio::task::yield_now().await;
            assert_eq!(threads.queue.get(), 3);
            for expected in [1, 2, 2, 2, 3] {
                drop(held.pop());
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                assert!(order.borrow().len() <= expected, "{order:?}");
            }
        });
        assert_eq!(*order.borrow(), [Task::Fetch, Task::Again, Task::Request]);
        assert_eq!((threads.queue.get(), threads.busy.get()), (0, 3));
    }
}
