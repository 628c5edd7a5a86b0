//! Requests over clients of the library's user: a database, a queue, whatever has a driver.
//!
//! Every connection is a thread of its own, so that a driver may block. Pacing, queueing, counting and judging are the same as
//! over sockets; only the last step, from the lane to the driver, takes a hand-over between threads (some microseconds).

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use results::Failure;
use rustix::event::{EventfdFlags, eventfd};
use scenarios::Scenario;
use scenarios::plan::{Draws, Planned, RequestId};
use scenarios::scenario::{KeyspaceId, Method, TrafficId};

use super::poller::Poller;
use super::transport::{Happening, Transport};
use crate::http::{Jar, path_of};

/// Threads whose calls have not returned although they were given up, beyond as many as there are connections: then no more are
/// started.
const STUCK: usize = 64;

/// One request, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Its name in the plan: the same in every world.
    pub id: RequestId,
    /// How often it was sent before.
    pub attempt: u16,
    /// Its class.
    pub class: String,
    /// The method of its class.
    pub method: Method,
    /// The path of its class with the keys in their places.
    pub path: String,
    /// Its first key of each keyspace of the scenario, in their order.
    pub keys: Vec<u64>,
    /// How long an answer is waited for. The client should give up by then; its answer counts for nothing later.
    pub timeout: Duration,
}

/// One connection to whatever is tested.
pub trait Client: Send {
    /// Makes a request and waits for its answer. A call that does not return keeps its thread, beyond the run's end, and a
    /// run with too many of them is invalid.
    ///
    /// # Errors
    /// How the request failed; the client is then replaced by a new one, unless it was [`Failure::Status`] or
    /// [`Failure::Check`].
    fn call(&mut self, request: &Request) -> Result<(), Failure>;
}

/// Makes clients.
pub trait Clients: Send + Sync + fmt::Debug {
    /// Connects a client for requests of a traffic; called on the client's own thread.
    ///
    /// # Errors
    /// Why there is none: most often [`Failure::Refused`].
    fn connect(&self, traffic: TrafficId) -> Result<Box<dyn Client>, Failure>;
}

/// One slot's thread.
#[derive(Debug)]
struct Worker {
    traffic: TrafficId,
    timeout: Duration,
    requests: Option<Sender<Request>>,
    /// Threads so far: what an earlier one says counts for nothing.
    generation: u32,
}

/// What every thread has in common.
#[derive(Clone, Debug)]
struct Common {
    clients: Arc<dyn Clients>,
    /// Generation and happening.
    happened: Sender<(u32, Happening)>,
    bell: Arc<OwnedFd>,
    /// Threads that have not ended.
    alive: Arc<AtomicUsize>,
}

/// A thread that is there until this is dropped.
struct Alive {
    common: Common,
    slot: u32,
    generation: u32,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.common.alive.fetch_sub(1, Ordering::Relaxed);
        if thread::panicking() {
            self.common.say(self.generation, Happening::Closed(self.slot, Failure::Reset));
        }
    }
}

impl Common {
    fn say(&self, generation: u32, happening: Happening) {
        // Nobody listens any more where the run is over.
        if self.happened.send((generation, happening)).is_ok() {
            // The count cannot overflow: each request adds one.
            let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Serves a slot until its channel is closed or its client is of no further use.
    fn serve(&self, (slot, generation): (u32, u32), traffic: TrafficId, requests: &Receiver<Request>) {
        let mut client = match self.clients.connect(traffic) {
            Ok(client) => client,
            Err(failure) => return self.say(generation, Happening::Closed(slot, failure)),
        };
        self.say(generation, Happening::Opened(slot));
        while let Ok(request) = requests.recv() {
            let result = client.call(&request);
            let open = matches!(result, Ok(()) | Err(Failure::Status | Failure::Check));
            let happening = match result {
                Err(failure) if !open => Happening::Closed(slot, failure),
                result => Happening::Answered { slot, result, arrived_nanos: None, open },
            };
            self.say(generation, happening);
            if !open {
                return;
            }
        }
    }
}

/// The clients of one thread of the engine.
#[derive(Debug)]
pub(super) struct Workers {
    common: Common,
    happenings: Receiver<(u32, Happening)>,
    /// One that was taken before it was asked for.
    taken: Option<(u32, Happening)>,
    poller: Poller,
    draws: Draws,
    keyspaces: Vec<KeyspaceId>,
    scenario: Arc<Scenario>,
    workers: Vec<Worker>,
    lacked: Option<String>,
}

impl Workers {
    pub(super) fn new(scenario: &Scenario, clients: Arc<dyn Clients>) -> io::Result<Self> {
        let poller = Poller::new()?;
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        poller.add(&*bell, 0)?;
        let (happened, happenings) = mpsc::channel();
        Ok(Self {
            common: Common { clients, happened, bell, alive: Arc::default() },
            happenings,
            taken: None,
            poller,
            draws: Draws::new(scenario),
            keyspaces: scenario.keyspace_ids().collect(),
            scenario: Arc::new(scenario.clone()),
            workers: Vec::new(),
            lacked: None,
        })
    }

    /// A place for one more slot.
    pub(super) fn add(&mut self, traffic: TrafficId) {
        let timeout = self.scenario.traffic[traffic.index()].timeout.as_duration();
        self.workers.push(Worker { traffic, timeout, requests: None, generation: 0 });
    }
}

impl Transport for Workers {
    fn open(&mut self, slot: u32) {
        self.close(slot);
        let most = 2 * self.workers.len() + STUCK;
        let worker = &mut self.workers[slot as usize];
        let alive = self.common.alive.load(Ordering::Relaxed);
        if alive >= most {
            self.lacked = Some(format!("threads: calls of the client do not return, {alive} are waited for"));
            return self.common.say(worker.generation, Happening::Closed(slot, Failure::Refused));
        }
        let (requests, asked) = mpsc::channel();
        worker.requests = Some(requests);
        let (common, generation, traffic) = (self.common.clone(), worker.generation, worker.traffic);
        let thread = thread::Builder::new().name(format!("client-{slot}"));
        self.common.alive.fetch_add(1, Ordering::Relaxed);
        let alive = Alive { common, slot, generation };
        // What was not started drops what it was given.
        let served = thread.spawn(move || alive.common.serve((slot, generation), traffic, &asked));
        if served.is_err() {
            self.lacked = Some("threads for clients".to_owned());
            self.common.say(generation, Happening::Closed(slot, Failure::Refused));
        }
    }

    fn send(&mut self, slot: u32, (planned, attempt): (&Planned, u16), _: Option<&Jar>) {
        let worker = &self.workers[slot as usize];
        let class = self.scenario.class(planned.class);
        let key = |keyspace: &KeyspaceId| {
            self.draws.keys(planned.id, *keyspace).next().expect("a request's keys have no end")
        };
        let request = Request {
            id: planned.id,
            attempt,
            class: class.name.clone(),
            method: class.method,
            path: path_of(class, planned, &self.draws),
            keys: self.keyspaces.iter().map(key).collect(),
            timeout: worker.timeout,
        };
        let sent = worker.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        if !sent {
            self.common.say(worker.generation, Happening::Closed(slot, Failure::Reset));
        }
    }

    fn close(&mut self, slot: u32) {
        // A thread that is within a call ends after it.
        let worker = &mut self.workers[slot as usize];
        worker.requests = None;
        worker.generation = worker.generation.wrapping_add(1);
    }

    fn has_begun(&self, _: u32) -> bool {
        false
    }

    fn remember(&mut self, _: u32, _: &mut Jar) {}

    fn lacked(&mut self) -> Option<String> {
        self.lacked.take()
    }

    fn wait(&mut self, until_nanos: u64) -> io::Result<()> {
        self.taken = self.taken.take().or_else(|| self.happenings.try_recv().ok());
        if self.taken.is_some() {
            return Ok(());
        }
        // Whatever is said from here on rings the bell after it was sent.
        while self.poller.next().is_some() {}
        self.poller.wait(until_nanos)
    }

    fn next(&mut self) -> Option<Happening> {
        while let Some((generation, happening)) =
            self.taken.take().or_else(|| self.happenings.try_recv().ok())
        {
            let (Happening::Opened(slot) | Happening::Answered { slot, .. } | Happening::Closed(slot, _)) =
                happening;
            if self.workers[slot as usize].generation == generation {
                return Some(happening);
            }
        }
        None
    }
}
