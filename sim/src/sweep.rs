//! Stations that are swept one after the other, without events.
//!
//! Where requests only take processor time, at one service after the other, first come, first served, and turn back to
//! none, what happens at a station depends on nothing behind it. So a slice of time is played station by station: all
//! arrivals at the first in their order, then those at the next, which are the first one's departures; and the order of
//! these comes out of the cores by itself ([`row`]). No list of events is kept, and statistics are sums over the slice.
//!
//! It is another order of the same computation, and no other model: times, counts and what is observed are those that
//! events give, and a sweep leaves the world as they would. Only which of two goes first that leave a station at the same
//! nanosecond may differ. A slice ends before the next timer; one in which a limit, a timeout, a long line, or anything
//! else comes into play is given up before it changed anything, and played by events.

use std::collections::BTreeMap;

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::scenario::Executor;

use crate::call::{CLIENT, Call, INSIDE, NONE, ON_CORE, Phase};
use crate::client::Client;
use crate::client::connections::Connections;
use crate::companion::Noted;
use crate::event::Token;
use crate::front::Due;
use crate::gauge::Moments;
use crate::instance::{Instance, Kind};
use crate::program::{Op, Step};
use crate::service::Service;
use crate::world::{Delay, TIMER_BASE, World};
use row::{Few, MOMENT_LIMIT, Many, Mark, NOBODY};
use station::Passage;

mod row;
mod station;
#[cfg(test)]
mod tests;

/// So many requests are swept at once at most: what is known of them stays near.
const MOST: usize = 1024;
/// Fewer are not worth it.
const FEWEST: usize = 32;
/// So many are played by events before a sweep is tried again that could not be done.
const PAUSE: usize = 128;
/// Work that takes so many nanoseconds, nine minutes, is left to events.
const LONG_WORK: u64 = 1 << 39;

/// A step of processor time at one station.
#[derive(Clone, Copy, Debug)]
struct Visit {
    instance: u16,
    /// Its place among the stations.
    station: usize,
    /// The step that makes it, and by which number and law the time is drawn.
    step: u16,
    draw: u16,
    law: DurationLaw,
    /// The pool of connections to it, where it is not the service that users ask.
    pool: Option<u32>,
}

/// Whom the sweep is about.
#[derive(Clone, Copy, Debug)]
struct Customer {
    /// Its call, if it has one: it was there before the sweep, or is still there after it.
    slot: u32,
    /// The present one of the visits, and the one after its last.
    visit: u16,
    end: u16,
}

/// A machine's cores with the one service on it that is asked.
#[derive(Debug, Default)]
struct Station {
    instance: u16,
    host: u16,
    cores: usize,
    workers: usize,
    pool: Option<u32>,
    /// Who comes, and when.
    inbox: Vec<Mark>,
    /// Who is at it when the sweep begins, by the ends of their jobs.
    present: Vec<Mark>,
    /// What cores have last.
    ends: Vec<Mark>,
    /// When each begins that had to wait, those that are in line when the sweep begins included.
    begins: Vec<u64>,
    /// Who is still to begin when it ends, and when.
    waiting: Vec<(u64, usize)>,
    arrived: Moments,
    begun: Moments,
    left: Moments,
    /// When somebody left last.
    last_left: u64,
    /// Connections to it, those that are idle included: as many as were ever in use at once.
    connections: usize,
}

/// What a traffic's clients do in a sweep.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    sent: Moments,
    answered: Moments,
}

/// Sweeps the stations of a scenario that has no other components.
#[derive(Debug)]
pub(crate) struct Sweeper {
    /// The service that users ask.
    entry: u16,
    /// Of each class the first of its visits and the one after its last.
    classes: Vec<(u16, u16)>,
    visits: Vec<Visit>,
    /// None of them is visited after one behind it.
    stations: Vec<Station>,
    customers: Vec<Customer>,
    /// Who has been answered, and when.
    exits: Vec<Mark>,
    /// Who is at a station when the sweep ends, with the end of the present job.
    pending: Vec<Mark>,
    flows: Vec<Flow>,
    /// How many requests came due in sweeps.
    pub(crate) swept: u64,
}

impl Sweeper {
    /// Of a world in which there is nothing else than such stations.
    pub(crate) fn new(world: &World, scenario: &Scenario) -> Option<Box<Self>> {
        let entry = world.clients.first()?.entry.base;
        let open = |executor: &Executor| matches!(executor, Executor::Requests | Executor::Replay(_));
        let client = |client: &Client| {
            client.entry.base == entry
                && client.entry.count == 1
                && client.retrying.is_none()
                && matches!(client.latency, Delay::None)
        };
        let instance = |instance: &Instance| {
            instance.kind == Kind::Service
                && instance.vip.is_none()
                && matches!(instance.latency, Delay::None)
        };
        let service = |service: &Service| service.managed.is_none() && service.holding.is_none();
        let plain = scenario.traffic.iter().all(|traffic| open(&traffic.executor))
            && world.clients.iter().all(client)
            && world.instances.iter().all(instance)
            && world.services.iter().all(service)
            && world.fleets.is_empty()
            && !world.users.any_kept
            && !world.records.any();
        if !plain {
            return None;
        }
        let (mut visits, mut classes) = (Vec::new(), Vec::new());
        for &(first, end) in &world.classes {
            let start = visits.len() as u16;
            for step in first..end {
                visits.push(visit(world, entry, step)?);
            }
            classes.push((start, visits.len() as u16));
        }
        let stations = stations(world, &classes, &mut visits)?;
        let flows = vec![Flow::default(); world.clients.len()];
        let (customers, exits, pending) = (Vec::new(), Vec::new(), Vec::new());
        Some(Box::new(Self { entry, classes, visits, stations, customers, exits, pending, flows, swept: 0 }))
    }

    /// Plays the first requests that come due before a moment: how many it were. Where that cannot be done, `Err` says how
    /// many are to be played by events before it is tried again, and nothing has changed.
    pub(crate) fn sweep(&mut self, world: &mut World, due: &[Due], until: u64) -> Result<usize, usize> {
        let until = due.get(MOST).map_or(until, |due| due.planned.due.as_nanos());
        let until = until.min(world.events.first_from(TIMER_BASE));
        let due = &due[..due.len().min(MOST)];
        let due = &due[..due.partition_point(|due| due.planned.due.as_nanos() < until)];
        if due.len() < FEWEST {
            // The timer comes with the one after these.
            return Err(due.len() + 1);
        }
        if !self.is_plain(world, due.len() as u32) {
            return Err(PAUSE);
        }
        let events = world.events.take_below(TIMER_BASE);
        self.begin(world);
        let sweep = Sweep { world, due, from: world.now, until };
        if self.enter(sweep, &events) && self.play(sweep) && self.is_in_time(sweep) {
            self.commit(world, due, until);
            self.swept += due.len() as u64;
            return Ok(due.len());
        }
        events.into_iter().for_each(|(at, token)| world.events.put_back(at, token));
        Err(PAUSE)
    }

    /// Whether nothing but the stations' lines can matter to so many requests more.
    fn is_plain(&self, world: &World, more: u32) -> bool {
        let client = |client: &Client| {
            client.waiting.len() == 0
                && client.in_flight.saturating_add(more) <= client.max_in_flight
                && matches!(client.connections, Connections::Alike { open, lost: 0 } if open >= more)
        };
        let well = |at: u16| {
            let instance = &world.instances[usize::from(at)];
            let service = &world.services[usize::from(instance.index)];
            instance.killed | instance.stopped | instance.unplugged | instance.broken == 0
                && instance.error_share == 0.0
                && instance.slow == 1.0
                && service.waiting.len() == 0
        };
        let free = |host: u16| {
            let cores = &world.cores[usize::from(host)];
            cores.special.is_none() && cores.queue.len() == 0
        };
        let entry = &world.services[usize::from(world.instances[usize::from(self.entry)].index)];
        !world.network.active
            && world.tracer.is_none()
            && world.ready.is_empty()
            && world.clients.iter().all(client)
            && well(self.entry)
            && self.stations.iter().all(|station| well(station.instance) && free(station.host))
            && entry.occupied().saturating_add(more) <= entry.workers
    }

    fn begin(&mut self, world: &World) {
        self.customers.clear();
        self.exits.clear();
        self.pending.clear();
        self.flows.fill(Flow::default());
        for station in &mut self.stations {
            station.begin(world);
        }
    }

    /// Who comes, and who is there already.
    fn enter(&mut self, sweep: Sweep<'_>, events: &[(u64, Token)]) -> bool {
        let Sweep { world, due, from, .. } = sweep;
        for (who, Due { planned, .. }) in due.iter().enumerate() {
            let (visit, end) = self.classes[planned.class.index()];
            self.customers.push(Customer { slot: NONE, visit, end });
            let at = planned.due.as_nanos();
            self.flows[planned.traffic.index()].sent.add(at);
            let first = self.visits[usize::from(visit)].station;
            self.stations[first].inbox.push(Mark::new(at - from, who));
        }
        for &(at, token) in events {
            let call = &world.calls[token.slot()];
            // Some events are those of calls that have gone on since.
            if call.awaits == token && !self.join(call, token.slot(), at - from) {
                return false;
            }
        }
        self.customers.len() - due.len() == world.in_flight as usize
    }

    /// A call is at a station, until its job there ends; false where it is no plain one.
    fn join(&mut self, call: &Call, slot: u32, end: u64) -> bool {
        let Some(&(first, last)) = self.classes.get(call.class.index()) else { return false };
        let visits = &self.visits[usize::from(first)..usize::from(last)];
        let Some(place) = visits.iter().position(|visit| visit.step == call.step) else { return false };
        let visit = visits[place];
        let phase = if visit.pool.is_some() { Phase::LentWork } else { Phase::Work };
        let plain = call.parent == CLIENT && call.flags == INSIDE | ON_CORE && call.tries == 0;
        let who = self.customers.len();
        if !plain || call.phase != phase || who >= NOBODY || end >= MOMENT_LIMIT / 2 {
            return false;
        }
        self.customers.push(Customer { slot, visit: first + place as u16, end: last });
        self.stations[visit.station].present.push(Mark::new(end, who));
        true
    }

    fn play(&mut self, sweep: Sweep<'_>) -> bool {
        (0..self.stations.len()).all(|place| {
            let (before, behind) = self.stations.split_at_mut(place + 1);
            let station = &mut before[place];
            let mut passage = Passage {
                sweep,
                visits: &self.visits,
                customers: &mut self.customers,
                exits: &mut self.exits,
                pending: &mut self.pending,
                first_behind: place + 1,
                behind,
            };
            match station.cores {
                0..=8 => passage.through::<Few<8>>(station),
                9..=16 => passage.through::<Few<16>>(station),
                _ => passage.through::<Many>(station),
            }
        })
    }

    /// Whether nobody is under way for as long as clients wait.
    fn is_in_time(&mut self, sweep: Sweep<'_>) -> bool {
        let Sweep { world, due, from, until } = sweep;
        // Where all come from one station they are in order.
        if !self.exits.is_sorted() {
            self.exits.sort_unstable();
        }
        let patience = world.clients.iter().map(|client| client.timeouts.span()).min().unwrap_or(0);
        let sent = |who: usize| match due.get(who) {
            Some(due) => due.planned.due.as_nanos(),
            None => world.calls[self.customers[who].slot].sent,
        };
        let longest = self.exits.iter().map(|exit| from + exit.at() - sent(exit.who())).max().unwrap_or(0);
        // Of those that were there before, the timer is known.
        let new = self.pending.iter().filter(|pending| pending.who() < due.len());
        let oldest = new.map(|pending| until - sent(pending.who())).max().unwrap_or(0);
        longest.max(oldest) < patience
    }

    /// The world is as events would have left it.
    fn commit(&mut self, world: &mut World, due: &[Due], until: u64) {
        let from = world.now;
        self.settle(world, due);
        self.keep_pending(world, due, from);
        for station in &mut self.stations {
            station.commit(world, &self.customers, (from, until));
            if station.left.count > 0 {
                world.now = world.now.max(station.last_left);
            }
        }
        if let Some(last) = due.last() {
            world.now = world.now.max(last.planned.due.as_nanos());
        }
        let (sent, answered) =
            (total(&self.flows, |flow| flow.sent), total(&self.flows, |flow| flow.answered));
        let entry = &mut world.instances[usize::from(self.entry)];
        entry.border.pass(sent, answered);
        world.services[usize::from(entry.index)].in_service.pass(sent, answered);
        world.counts.due += u64::from(sent.count);
        world.counts.ok += u64::from(answered.count);
        world.in_flight = world.in_flight + u64::from(sent.count) - u64::from(answered.count);
        for (client, Flow { sent, answered }) in world.clients.iter_mut().zip(&self.flows) {
            client.in_flight = client.in_flight + sent.count - answered.count;
            client.border.pass(*sent, *answered);
            client.busy.pass(*sent, *answered);
            if let Connections::Alike { open, .. } = &mut client.connections {
                *open = *open + answered.count - sent.count;
            }
        }
    }

    /// Notes what became of those that were answered.
    fn settle(&mut self, world: &mut World, due: &[Due]) {
        let from = world.now;
        for exit in &self.exits {
            let done = from + exit.at();
            let (came, sent, class, traffic) = match due.get(exit.who()) {
                Some(Due { planned, .. }) => {
                    let due = planned.due.as_nanos();
                    (due, due, planned.class, planned.traffic.index())
                }
                None => {
                    let slot = self.customers[exit.who()].slot;
                    let Call { due, sent, class, traffic, .. } = world.calls[slot];
                    world.forget(slot);
                    (due, sent, class, usize::from(traffic))
                }
            };
            self.flows[traffic].answered.add(done);
            world.noted.push(Noted { due: came, sent, done, class, result: Ok(()) });
        }
    }

    /// Makes calls of those that are under way, and has their events come.
    fn keep_pending(&mut self, world: &mut World, due: &[Due], from: u64) {
        // As they came, so that their timeouts are in order.
        self.pending.sort_unstable_by_key(|pending| pending.who());
        for pending in &self.pending {
            let customer = &mut self.customers[pending.who()];
            if let Some(due) = due.get(pending.who()) {
                customer.slot = new_call(world, due, self.entry);
            }
            let visit = &self.visits[usize::from(customer.visit)];
            let call = &mut world.calls[customer.slot];
            call.step = visit.step;
            (call.phase, call.leaf) = match visit.pool {
                Some(_) => (Phase::LentWork, visit.instance),
                None => (Phase::Work, call.leaf),
            };
            let end = from + pending.at();
            call.run_until(end, world.events.schedule(end, customer.slot));
        }
    }
}

/// The call of a request that is still under way.
fn new_call(world: &mut World, due: &Due, entry: u16) -> u32 {
    let (planned, at) = (&due.planned, due.planned.due.as_nanos());
    let mut call = Call::new(planned.id, planned.class, CLIENT, at);
    call.traffic = planned.traffic.index() as u16;
    call.at = entry;
    call.end = world.classes[planned.class.index()].1;
    call.flags = INSIDE;
    let slot = world.calls.insert(call).expect("there are far more slots than a sweep has requests");
    world.calls.keep_drawn(slot, due);
    let client = &mut world.clients[planned.traffic.index()];
    if let Some(deadline) = client.timeouts.start(&world.calls, at, slot) {
        world.events.schedule(deadline, client.timer);
    }
    slot
}

fn total(flows: &[Flow], part: impl Fn(&Flow) -> Moments) -> Moments {
    flows.iter().map(part).fold(Moments::default(), Moments::and)
}

/// What a step of a class comes to, if it is processor time at one instance.
fn visit(world: &World, entry: u16, step: u16) -> Option<Visit> {
    let Step { op, draw } = world.steps[usize::from(step)];
    match op {
        Op::Work(law) => Some(Visit { instance: entry, station: 0, step, draw, law, pool: None }),
        Op::Call { target, steps: (first, end) } if target.count == 1 && end - first == 1 => {
            let Step { op: Op::Work(law), draw } = world.steps[usize::from(first)] else { return None };
            let (instance, pool) = (target.base, Some(target.pool(entry, target.base)));
            (instance != entry).then_some(Visit { instance, station: 0, step, draw, law, pool })
        }
        _ => None,
    }
}

/// The stations, each before all that are visited after it. None where there is no such order, where two share a machine, or
/// where a class visits none.
fn stations(world: &World, classes: &[(u16, u16)], visits: &mut [Visit]) -> Option<Vec<Station>> {
    if classes.iter().any(|(first, end)| first == end) {
        return None;
    }
    let shared: &[Visit] = visits;
    let mut ranks: BTreeMap<u16, usize> = shared.iter().map(|visit| (visit.instance, 0)).collect();
    let ways = |&(first, end): &(u16, u16)| {
        let pairs = shared[usize::from(first)..usize::from(end)].windows(2);
        pairs.map(|pair| (pair[0].instance, pair[1].instance))
    };
    let ways: Vec<(u16, u16)> = classes.iter().flat_map(ways).collect();
    while let Some(&(from, to)) = ways.iter().find(|(from, to)| ranks[to] <= ranks[from]) {
        let rank = ranks[&from] + 1;
        if rank >= ranks.len() {
            return None;
        }
        ranks.insert(to, rank);
    }
    let mut order: Vec<u16> = ranks.keys().copied().collect();
    order.sort_by_key(|instance| ranks[instance]);
    let mut hosts: Vec<u16> = order.iter().map(|&at| world.instances[usize::from(at)].host).collect();
    let station = |&instance: &u16| {
        let host = world.instances[usize::from(instance)].host;
        let pool = shared.iter().find(|visit| visit.instance == instance).and_then(|visit| visit.pool);
        let cores = world.cores[usize::from(host)].total as usize;
        Station { instance, host, cores, pool, ..Station::default() }
    };
    let stations: Vec<Station> = order.iter().map(station).collect();
    for visit in visits.iter_mut() {
        visit.station = order.iter().position(|instance| *instance == visit.instance)?;
    }
    hosts.sort_unstable();
    hosts.dedup();
    (hosts.len() == stations.len()).then_some(stations)
}

/// What a sweep is over: it begins now and ends before `until`.
#[derive(Clone, Copy)]
struct Sweep<'a> {
    world: &'a World,
    due: &'a [Due],
    from: u64,
    until: u64,
}
