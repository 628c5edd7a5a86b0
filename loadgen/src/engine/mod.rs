//! The engine: threads that each play a segment of the plan over connections of their own.
//!
//! - `pacer`, `upcoming`, `aim`: due times, and nothing else, decide when a request is handed over
//! - `users`: when those are due who wait for answers
//! - `lane`, `traffic`, `slot`: where a request goes; `retry`: which go again; `sources`: where it comes from
//! - `transport`, `sockets`, `connecting`, `tls`, `poller`, `arrivals`: how it gets there, and when its answer came; `streams`,
//!   `line`, `exchange`, `wire`: over HTTP/2; `clients`: over whatever else; `goose`: a loop that is not ours
//! - `ledger`: what was done of the plan, for the judgement of the run's validity

mod aim;
mod arrivals;
mod clients;
mod connecting;
#[cfg(feature = "http2")]
mod exchange;
#[cfg(feature = "goose")]
mod goose;
mod lane;
pub(crate) mod ledger;
#[cfg(feature = "http2")]
mod line;
mod pacer;
pub(crate) mod poller;
mod retry;
mod share;
mod slot;
mod sockets;
pub(crate) mod sources;
#[cfg(feature = "http2")]
mod streams;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "without_tls.rs"]
mod tls;
mod traffic;
mod transport;
mod upcoming;
mod users;
#[cfg(feature = "http2")]
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use jiff::Timestamp;
use results::{Delta, Frame, Recorder};
use scenarios::Scenario;
use scenarios::plan::{Plan, SEGMENTS};
use scenarios::scenario::{Executor, TrafficId};
use scenarios::units::SimTime;

use self::clients::Workers;
pub use self::clients::{Client, Clients, Request};
use self::lane::Lane;
pub use self::ledger::Pulse;
use self::ledger::{Account, Ledger};
pub(crate) use self::retry::{Retryings, longest_wait};
pub use self::share::Share;
use self::slot::Slot;
use self::sockets::Sockets;
#[cfg(feature = "http2")]
use self::streams::Streams;
pub use self::tls::Tls;
use self::traffic::TrafficLane;
use self::transport::Transport;
pub(crate) use self::users::Left;
use self::users::Users;
use crate::clock::{Clock, monotonic_nanos};
use crate::error::Error;
use crate::http::{Limits, ROOM_BYTES, Room};
use crate::journal::Event;
use crate::named::Named;

/// How long the start of a run waits for connections that neither open nor fail.
const OPENING: Duration = Duration::from_secs(5);

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On a port.
    Tcp(SocketAddr),
    /// On a port of a host whose address may change.
    Named(Arc<Named>),
    /// At a socket in the file system.
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Named(named) => named.current().fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One instance of a traffic's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it listens.
    pub address: Address,
    /// What the `Host` field says, with the port where it is not the scheme's own.
    pub host: String,
}

/// Where a scenario's requests go.
#[derive(Clone, Debug)]
pub struct Entries {
    /// The instances that each traffic meets, in the scenario's order of traffic.
    pub by_traffic: Vec<Vec<Entry>>,
    /// What stands before every path: empty, or starting with a slash and not ending with one.
    pub base_path: String,
    /// How connections are encrypted; not at all where there is none.
    pub tls: Option<Tls>,
}

/// How the engine works.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Engine threads; each plays a segment of the plan with its share of every traffic's connections and of its
    /// `max_in_flight`. At most as many as the least traffic has connections.
    pub threads: NonZeroU32,
    /// How much of an answer is accepted.
    pub limits: Limits,
    /// Which share of the plan is played, with the same share of every traffic's connections and of its `max_in_flight`.
    pub share: Share,
    /// When the run begins by this machine's clock, which those who play the other shares have in common; as soon as it can
    /// where there is none.
    pub start: Option<Timestamp>,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: NonZeroU32::MIN, limits: Limits::default(), share: Share::WHOLE, start: None }
    }
}

/// What a thread did in a second.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) thread: u32,
    pub(crate) delta: Delta,
    pub(crate) pulse: Pulse,
}

/// What the threads of a run have in common.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) plan: &'a Plan,
    pub(crate) frame: &'a Frame,
    pub(crate) entries: &'a Entries,
    pub(crate) options: Options,
    /// The run's end, and how long after it answers are waited for.
    pub(crate) total: SimTime,
    pub(crate) grace: SimTime,
    pub(crate) stop: &'a AtomicBool,
    /// What closed loops have left.
    pub(crate) left: &'a Left,
    /// How what failed is sent again.
    pub(crate) retryings: &'a Retryings,
    /// What requests go over instead of sockets.
    pub(crate) clients: Option<Arc<dyn Clients>>,
}

impl Shared<'_> {
    /// Which segment of the plan a thread plays, and how many there are in all.
    fn seat(&self, thread: u32) -> (u32, u32) {
        self.options.share.seat(thread, self.options.threads.get())
    }
}

/// A thread whose connections are open, or have failed to.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Open connections by traffic.
    pub(crate) open: Vec<u32>,
    /// Why a connection could not be opened, where that says more than that it could not.
    pub(crate) problem: Option<String>,
    /// Starts it.
    pub(crate) start: Sender<Clock>,
}

/// The greatest number of threads that a scenario can use.
pub fn most_threads(scenario: &Scenario) -> u32 {
    let connections = scenario.traffic.iter().map(|t| t.connections.min(t.max_in_flight)).min();
    connections.unwrap_or(1).clamp(1, SEGMENTS)
}

/// Plays one thread's segment from connecting to the last answer. Ends early where it is never started.
pub(crate) fn play(
    shared: &Shared<'_>,
    thread: u32,
    ready: Sender<Ready>,
    events: &Sender<Event>,
) -> Result<Vec<Account>, Error> {
    let engine = |source| Error::Engine { source };
    match &shared.clients {
        #[cfg(feature = "goose")]
        None if goose::plays(shared.scenario) => goose::play(shared, thread, ready, events),
        #[cfg(feature = "http2")]
        None if shared.scenario.traffic.iter().any(|traffic| traffic.http2_streams.is_some()) => {
            let (entries, limits) = (shared.entries, shared.options.limits);
            let room = Room::new(ROOM_BYTES / shared.options.threads.get() as usize);
            let mut streams = Streams::new(shared.scenario, entries, room).map_err(engine)?;
            let mut links = std::collections::BTreeMap::new();
            let slots = slots(shared, thread, |traffic, number| {
                // One place after another on each connection in turn, so that requests spread over them.
                let connection = number % shared.scenario.traffic[traffic.index()].connections;
                let link = *links.entry((traffic, connection)).or_insert_with(|| {
                    let instances = &entries.by_traffic[traffic.index()];
                    let entry = &instances[connection as usize % instances.len()];
                    streams.link(entry.address.clone(), Rc::from(entry.host.as_str()))
                });
                streams.add(link, limits);
            });
            play_over(streams, slots, shared, thread, ready, events)
        }
        None => {
            let (entries, limits) = (shared.entries, shared.options.limits);
            let room = Room::new(ROOM_BYTES / shared.options.threads.get() as usize);
            let mut sockets = Sockets::new(shared.scenario, entries, room).map_err(engine)?;
            let slots = slots(shared, thread, |traffic, number| {
                let instances = &entries.by_traffic[traffic.index()];
                let entry = &instances[number as usize % instances.len()];
                // Whoever waits for an answer before the next request reads it at once, and a stamp would cost as much.
                let open_loop =
                    !matches!(shared.scenario.traffic[traffic.index()].executor, Executor::Users(_));
                let slot =
                    sockets.add(entry.address.clone(), Rc::from(entry.host.as_str()), limits, open_loop);
                if let Some(source) = sources::of_connection(shared.scenario, traffic, instances, number) {
                    sockets.come_from(slot, source);
                }
            });
            play_over(sockets, slots, shared, thread, ready, events)
        }
        Some(clients) => {
            let mut workers = Workers::new(shared.scenario, Arc::clone(clients)).map_err(engine)?;
            let slots = slots(shared, thread, |traffic, _| workers.add(traffic));
            play_over(workers, slots, shared, thread, ready, events)
        }
    }
}

fn play_over<T: Transport>(
    transport: T,
    slots: (Vec<Slot>, Vec<TrafficLane>),
    shared: &Shared<'_>,
    thread: u32,
    ready: Sender<Ready>,
    events: &Sender<Event>,
) -> Result<Vec<Account>, Error> {
    let engine = |source| Error::Engine { source };
    let users = Users::new(shared.scenario, shared.plan, shared.left, shared.options.threads.get());
    let closed = shared.scenario.traffic.iter().any(|t| matches!(t.executor, Executor::Users(_)));
    let (recorder, ledger) = (Recorder::new(shared.frame), Ledger::new(shared.frame, closed));
    let clock = Clock::starting_in(Duration::ZERO);
    let (slots, traffic) = slots;
    let mut lane = Lane::new((clock, transport), recorder, ledger, users, traffic, slots);
    lane.open_all();
    let give_up = monotonic_nanos() + OPENING.as_nanos() as u64;
    loop {
        let now = monotonic_nanos();
        lane.expire(now);
        if lane.all_tried() || now > give_up {
            break;
        }
        lane.transport.wait(now + 1_000_000).map_err(engine)?;
        while let Some(happening) = lane.transport.next() {
            lane.happened(happening);
        }
    }
    let (start, started) = mpsc::channel();
    // Whoever started this thread may have given up; then `started` says so.
    let _ = ready.send(Ready { open: lane.open_by_traffic(), problem: lane.transport.problem(), start });
    // The starter waits until every sender has spoken or is gone.
    drop(ready);
    let Ok(clock) = started.recv() else { return Ok(Vec::new()) };
    lane.begin(clock);
    let seat = shared.seat(thread);
    lane.users.start(shared.scenario, seat);
    let segment = shared.plan.segment(seat.0, seat.1);
    pacer::pace(&mut lane, segment, shared, (thread, events)).map_err(engine)?;
    Ok(lane.ledger.accounts())
}

/// A thread's share: connection k belongs to seat k mod n; `add` is told of each, with its number.
fn slots(
    shared: &Shared<'_>,
    thread: u32,
    mut add: impl FnMut(TrafficId, u32),
) -> (Vec<Slot>, Vec<TrafficLane>) {
    let (seat, seats) = shared.seat(thread);
    let (mut slots, mut traffic) = (Vec::new(), Vec::new());
    for (id, source) in shared.scenario.traffic_ids().zip(&shared.scenario.traffic) {
        let own = matches!(source.executor, Executor::Users(_)).then_some((slots.len() as u32, seats));
        // Several places on each connection of HTTP/2 are numbered through the connections again and again.
        for round in 0..source.http2_streams.unwrap_or(1) {
            for number in (seat..source.connections).step_by(seats as usize) {
                slots.push(Slot::new(id.index()));
                add(id, round * source.connections + number);
            }
        }
        let share = share::part(source.max_in_flight.into(), (seat.into(), seats.into()));
        let addressed = shared.clients.is_none()
            && sources::are_own(shared.scenario, id, &shared.entries.by_traffic[id.index()]);
        let retrying = shared.retryings.of(id.index());
        traffic.push(TrafficLane::new(source, share as u32, own, addressed, retrying));
    }
    (slots, traffic)
}
