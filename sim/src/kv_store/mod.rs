//! The key-value store: one thread, commands in order, Redis's rules for memory and lifetimes.
//!
//! Owns the thread, its queue and what commands cost; what is held, and by which rules, is [`Contents`]' matter.

mod binomial;
mod contents;
mod deadlines;
pub(crate) mod dict;
mod drift;
mod expiry;
mod fan;
mod keyspace;
mod md5;
mod pause;
mod replica;
mod ring;
mod sampled;
mod save;
mod shares;
mod table;
mod wide;
mod zeta;

use results::sample::{EVICTIONS, EXPIRED, HITS, KEYS, KEYS_WITH_TTL, LOST_WRITES, MEMORY_BYTES, MISSES};
use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{ComponentCalibration, ComponentId};

use crate::call::{DEAD, Fifo, NONE, Phase};
use crate::gauge::Gauge;
use crate::instance::{Continuation, Flow, Parked};
use crate::program::{Miss, Op};
use crate::world::{Timer, World};

pub use contents::{Contents, KvCounts, Rules};
pub use expiry::EXPIRY_NANOS;
pub(crate) use keyspace::{Keys, Lists};
use pause::Pauses;
use replica::Replication;
pub(crate) use ring::Ring;
use save::Saves;

#[derive(Debug)]
pub(crate) struct KvStore {
    /// Time that a command takes of the thread, and each of its keys on top.
    pub(crate) command: u64,
    pub(crate) key: u64,
    pub(crate) contents: Contents,
    pub(crate) running: bool,
    pub(crate) busy: Gauge,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
    pub(crate) expiry_timer: u32,
    pub(crate) replication: Replication,
    pub(crate) pauses: Pauses,
    pub(crate) saves: Saves,
}

const EVICTION: Purpose = Purpose::named("sim-eviction");

/// How far a read with misses is: they are known, the database is asked, they are being written back.
const MISSED: u8 = 1;
const ASKED: u8 = 2;
const FILLING: u8 = 3;
/// Where keys are spread over shards, what a command is about stands in a list: a read, a write, a read that missed nothing.
pub(crate) const READING: u8 = 4;
pub(crate) const SETTING: u8 = 5;
pub(crate) const READ: u8 = 6;

impl KvStore {
    /// The store as it is before the run, with the timer of its expiry cycle.
    pub(crate) fn new(
        world: &mut World,
        scenario: &Scenario,
        id: ComponentId,
        number: u16,
        store: &scenarios::scenario::KvStore,
        calibration: &ComponentCalibration,
    ) -> Self {
        let at = world.instances.len() as u32;
        let mine = |k: &&Keys| k.keyspace.store == id;
        let beside = calibration.memory.map_or(0, |bytes| bytes.get());
        let rules = Rules {
            max_bytes: store.max_memory.map_or(u64::MAX, |b| b.get().saturating_sub(beside)),
            eviction: store.eviction,
            samples: store.samples,
            clock_offset_nanos: 0,
        };
        let prefilled: usize = world.keys.iter().filter(mine).map(|k| k.keyspace.prefill as usize).sum();
        let stream = Stream::new(world.seed, EVICTION, id.index() as u64 | u64::from(number) << 16);
        let prefilled = prefilled / scenario.instances(id).max(1) as usize;
        let one_in = world.sampling.one_in(world.keys.iter().filter(mine).map(|k| &k.keyspace));
        let mut contents = Contents::new(&rules, prefilled / one_in as usize, stream);
        let (persistent, cached): (Vec<&Keys>, Vec<&Keys>) =
            world.keys.iter().filter(mine).partition(|k| k.keyspace.persistent);
        for keys in persistent {
            keys.prefill(&mut contents, &world.draws, number);
        }
        for keys in &cached {
            keys.follow(&mut contents, &rules, one_in, world.seed, &world.draws, number);
        }
        for keys in cached {
            keys.prefill(&mut contents, &world.draws, number);
        }
        // Evictions of the prefill are no part of the run.
        contents.counts = KvCounts::default();
        let expires = scenario.keyspaces.iter().any(|k| k.store == id && k.ttl.is_some());
        let expiry_timer = world.add_timer(Timer::Expiry(at));
        if expires {
            world.events.schedule(EXPIRY_NANOS, expiry_timer);
        }
        let failover = world.add_timer(Timer::Failover(at));
        let mut pauses = Pauses::default();
        pauses.timer = world.add_timer(Timer::Pause(at));
        let mut saves = Saves::default();
        if let Some(snapshot) = store.snapshot {
            pauses.fork_nanos_per_gb = snapshot.fork_per_gb.as_nanos();
            pauses.snapshot_every_nanos = snapshot.every.as_nanos();
            pauses.snapshot_timer = world.add_timer(Timer::Snapshot(at));
            saves.timer = world.add_timer(Timer::Save(at));
            world.events.schedule(pauses.snapshot_every_nanos, pauses.snapshot_timer);
        }
        Self {
            replication: Replication::new(store, failover),
            pauses,
            saves,
            command: calibration.command.map_or(0, |t| t.as_nanos()),
            key: calibration.key.map_or(0, |t| t.as_nanos()),
            contents,
            running: false,
            busy: Gauge::default(),
            waiting: Fifo::new(),
            queue: Gauge::default(),
            expiry_timer,
        }
    }
}

impl KvStore {
    /// Whether commands take no time of its thread.
    #[inline]
    fn is_free(&self) -> bool {
        self.command == 0 && self.key == 0
    }

    /// Tells each metric's value in the interval that ends here.
    pub(crate) fn sample(&mut self, put: &mut dyn FnMut(&'static str, f64)) {
        let counts = std::mem::take(&mut self.contents.counts);
        put(HITS, counts.hits as f64);
        put(MISSES, counts.misses as f64);
        put(EVICTIONS, counts.evictions as f64);
        put(EXPIRED, counts.expired as f64);
        put(KEYS, self.contents.keys() as f64);
        put(KEYS_WITH_TTL, self.contents.keys_with_ttl() as f64);
        put(MEMORY_BYTES, self.contents.used_bytes() as f64);
        if self.replication.has_copies() {
            put(LOST_WRITES, std::mem::take(&mut self.replication.lost_writes) as f64);
        }
    }
}

impl World {
    fn store(&mut self, slot: u32) -> &mut KvStore {
        let instance = &self.instances[usize::from(self.calls[slot].leaf)];
        &mut self.stores[usize::from(instance.index)]
    }

    /// Sends the command of a call's present step and stage.
    #[inline]
    pub(crate) fn call_store(&mut self, slot: u32) -> Flow {
        let at = usize::from(self.calls[slot].leaf);
        let instance = &self.instances[at];
        if instance.killed > 0 {
            return Flow::Failed;
        }
        if !self.is_at_once(&instance.latency) && self.delay(slot, self.instances[at].latency, Phase::ToStore)
        {
            return Flow::Suspended;
        }
        self.arrive_at_store(slot)
    }

    #[inline]
    pub(crate) fn arrive_at_store(&mut self, slot: u32) -> Flow {
        let at = usize::from(self.calls[slot].leaf);
        if self.instances[at].unplugged > 0 && self.is_leaf_lost(slot, Phase::ToStore) {
            return Flow::Suspended;
        }
        let instance = &self.instances[at];
        if instance.killed > 0 {
            return Flow::Failed;
        }
        let store = &self.stores[usize::from(instance.index)];
        if store.is_free() && !store.running && instance.stopped == 0 {
            let flow = self.execute_at_once(slot);
            self.instances[at].border.visit(flow != Flow::Failed);
            return flow;
        }
        let (cost, now) = (self.command_cost(slot), self.now);
        let instance = &mut self.instances[at];
        instance.border.enter(now);
        let store = &mut self.stores[usize::from(instance.index)];
        if store.running || instance.stopped > 0 {
            self.calls[slot].phase = Phase::StoreQueue;
            store.waiting.push(&mut self.calls, slot);
            store.queue.up(self.now);
            return Flow::Suspended;
        }
        if cost == 0 {
            let flow = self.execute(slot);
            self.instances[at].border.leave(now, flow != Flow::Failed);
            return flow;
        }
        self.run_command(slot, cost);
        Flow::Suspended
    }

    /// Executes a command that takes no time. Most of these read, and write nothing.
    #[inline]
    fn execute_at_once(&mut self, slot: u32) -> Flow {
        let call = &self.calls[slot];
        match self.steps[usize::from(call.step)].op {
            Op::Get { keyspace, count, miss, .. } if call.stage == 0 => {
                self.read_first(slot, keyspace, count, miss.is_some())
            }
            _ => self.execute(slot),
        }
    }

    /// GET or MGET of a request's first keys. What is missed stands in a list of the call's, where it is wanted.
    #[inline(never)]
    fn read_first(&mut self, slot: u32, keyspace: u16, count: u32, wants_missed: bool) -> Flow {
        let call = &self.calls[slot];
        let instance = &self.instances[usize::from(call.leaf)];
        let contents = &mut self.stores[usize::from(instance.index)].contents;
        contents.expire_before_sleep(self.now);
        contents.make_room(self.now);
        let keys = &self.keys[usize::from(keyspace)];
        if keys.keyspace.persistent {
            contents.counts.hits += u64::from(count);
            return Flow::Done;
        }
        self.scratch.clear();
        let found = keys.read(contents, &self.draws, call.id, count, self.now, &mut self.scratch);
        contents.counts.hits += u64::from(found.hits);
        contents.counts.misses += u64::from(count - found.hits);
        if found.hits < count && wants_missed {
            let list = self.missed.take();
            let missed = self.missed.get(list);
            missed.keys.extend_from_slice(&self.scratch);
            missed.others = found.others;
            let call = &mut self.calls[slot];
            (call.missed, call.stage) = (list, MISSED);
        }
        Flow::Done
    }

    fn run_command(&mut self, slot: u32, cost: u64) {
        let now = self.now;
        let cost = self.instances[usize::from(self.calls[slot].leaf)].slowed(cost);
        let store = self.store(slot);
        store.running = true;
        store.busy.up(now);
        self.wait_until(slot, now + cost, Phase::StoreRun);
    }

    fn command_cost(&mut self, slot: u32) -> u64 {
        let call = &self.calls[slot];
        let instance = &self.instances[usize::from(call.leaf)];
        let store = &self.stores[usize::from(instance.index)];
        if store.is_free() {
            return 0;
        }
        let (commands, keys) = match self.steps[usize::from(call.step)].op {
            Op::Get { .. } if call.stage == FILLING => {
                let fills = self.missed.get(call.missed).len();
                (fills, fills)
            }
            Op::Get { .. } if call.stage == READING => (1, u64::from(self.missed.get(call.missed).asked)),
            Op::Set { .. } if call.stage == SETTING => {
                let keys = u64::from(self.missed.get(call.missed).asked);
                (keys, keys)
            }
            Op::Get { count, .. } => (1, u64::from(count)),
            Op::Set { count, .. } => (u64::from(count), u64::from(count)),
            Op::Session { .. } => (1, 1),
            op => unreachable!("{op:?} sends no command"),
        };
        commands * store.command + keys * store.key
    }

    /// The thread has done a command; a stopped one says so when it goes on.
    pub(crate) fn command_done(&mut self, slot: u32) {
        let at = self.calls[slot].leaf;
        let instance = &mut self.instances[usize::from(at)];
        if instance.stopped > 0 {
            let generation = self.calls[slot].generation;
            return instance.parked.push(Parked { slot, generation, what: Continuation::StoreDone });
        }
        let store = &mut self.stores[usize::from(instance.index)];
        store.running = false;
        store.busy.down(self.now);
        // Effects come at a command's end, before the next starts.
        let flow = if self.calls[slot].is(DEAD) { Flow::Done } else { self.execute(slot) };
        self.instances[usize::from(at)].border.leave(self.now, flow != Flow::Failed);
        self.start_next_command(at);
        self.leaf_done(slot, flow);
    }

    pub(crate) fn start_next_command(&mut self, at: u16) {
        loop {
            let instance = &self.instances[usize::from(at)];
            let store = &mut self.stores[usize::from(instance.index)];
            if store.running || instance.stopped > 0 {
                return;
            }
            if store.pauses.is_due() {
                return self.start_pause(at);
            }
            let Some(next) = store.waiting.pop(&self.calls) else { return };
            store.queue.down(self.now);
            let cost = self.command_cost(next);
            if cost > 0 {
                return self.run_command(next, cost);
            }
            let flow = if self.calls[next].is(DEAD) { Flow::Done } else { self.execute(next) };
            self.instances[usize::from(at)].border.leave(self.now, flow != Flow::Failed);
            self.leaf_done(next, flow);
        }
    }

    /// Executes the command; what a read missed is in its list, and its stage says so.
    fn execute(&mut self, slot: u32) -> Flow {
        let call = &self.calls[slot];
        let instance = &self.instances[usize::from(call.leaf)];
        if self.stores[usize::from(instance.index)].saves.failed
            && let Some(flow) = self.refuse_write(slot)
        {
            return flow;
        }
        let call = &self.calls[slot];
        let instance = &self.instances[usize::from(call.leaf)];
        let KvStore { contents, replication, .. } = &mut self.stores[usize::from(instance.index)];
        let id = call.id;
        match self.steps[usize::from(call.step)].op {
            Op::Session { record, writes } => self.execute_session(slot, record, writes),
            Op::Get { keyspace, miss, .. } if call.stage == READING => {
                contents.expire_before_sleep(self.now);
                contents.make_room(self.now);
                let keys = &self.keys[usize::from(keyspace)];
                let list = self.missed.get(call.missed);
                let hits = keys.read_listed(contents, call.id, list, self.now);
                if list.others > 0 {
                    // The call may have sent the whole command here: it is to know where that was when it writes back.
                    list.others_by_shard.push((instance.number, list.others));
                }
                contents.counts.hits += u64::from(hits);
                contents.counts.misses += u64::from(list.asked - hits);
                self.calls[slot].stage = if hits < list.asked && miss.is_some() { MISSED } else { READ };
                Flow::Done
            }
            Op::Set { keyspace, .. } if call.stage == SETTING => {
                let keys = &self.keys[usize::from(keyspace)];
                let list = self.missed.get(call.missed);
                keys.choose_listed(contents, id, list, self.now);
                self.calls[slot].stage = READ;
                if !contents.make_room(self.now) {
                    return Flow::Failed;
                }
                for &key in &list.keys {
                    if !keys.write(contents, &self.draws, id, key, self.now) {
                        return Flow::Failed;
                    }
                    replication.note_writes(self.now, keys.name(key), 1);
                }
                replication.note_writes(self.now, 0, list.asked - list.keys.len() as u32);
                Flow::Done
            }
            Op::Get { keyspace, count, miss, .. } if call.stage != FILLING => {
                self.read_first(slot, keyspace, count, miss.is_some())
            }
            Op::Get { keyspace, .. } => {
                let keys = &self.keys[usize::from(keyspace)];
                let missed = self.missed.look(call.missed);
                // Keys that are not followed are refused as the others are; neither is a failure of the request.
                let others = if contents.make_room(self.now) { missed.others } else { 0 };
                for &key in &missed.keys {
                    if keys.write(contents, &self.draws, call.id, key, self.now) {
                        replication.note_writes(self.now, keys.name(key), 1);
                    }
                }
                replication.note_writes(self.now, 0, others);
                self.forget_missed(slot);
                Flow::Done
            }
            Op::Set { keyspace, count, .. } => {
                let keys = &self.keys[usize::from(keyspace)];
                self.scratch.clear();
                keys.chosen(contents, &self.draws, call.id, count, self.now, &mut self.scratch);
                // Where nothing is written that counts, the limit does all the same.
                if !contents.make_room(self.now) {
                    return Flow::Failed;
                }
                for &key in &self.scratch {
                    if !keys.write(contents, &self.draws, call.id, key, self.now) {
                        return Flow::Failed;
                    }
                    replication.note_writes(self.now, keys.name(key), 1);
                }
                replication.note_writes(self.now, 0, count - self.scratch.len() as u32);
                Flow::Done
            }
            op => unreachable!("{op:?} is no command"),
        }
    }

    /// A command or a statement is done, and the service may go on: asks the database for what is missing, then writes
    /// back what it said, where that is wanted.
    #[inline]
    pub(crate) fn go_on_with_misses(&mut self, slot: u32) -> Flow {
        // Mostly nothing was missed.
        if self.calls[slot].stage == 0 { Flow::Done } else { self.go_on_with_missed(slot) }
    }

    fn go_on_with_missed(&mut self, slot: u32) -> Flow {
        loop {
            let call = &mut self.calls[slot];
            let flow = match (call.stage, self.steps[usize::from(call.step)].op) {
                (MISSED, Op::Get { miss: Some(miss), .. }) => {
                    call.stage = ASKED;
                    self.call_database(slot, miss.database)
                }
                (ASKED, Op::Get { store, keyspace, miss: Some(Miss { fill: true, .. }), .. }) => {
                    call.leaf = store;
                    if self.keys[usize::from(keyspace)].ring.is_none() {
                        self.calls[slot].stage = FILLING;
                    }
                    self.send_command(slot, keyspace)
                }
                (ASKED | READ, _) => {
                    self.forget_missed(slot);
                    Flow::Done
                }
                _ => return Flow::Done,
            };
            if flow != Flow::Done {
                return flow;
            }
        }
    }

    fn forget_missed(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        call.stage = 0;
        let list = std::mem::replace(&mut call.missed, NONE);
        if list != NONE {
            self.missed.give_back(list);
        }
    }

    pub(crate) fn expire_some(&mut self, at: u32) {
        let instance = &self.instances[at as usize];
        let store = &mut self.stores[usize::from(instance.index)];
        self.events.schedule(self.now + EXPIRY_NANOS, store.expiry_timer);
        if instance.killed == 0 && instance.stopped == 0 {
            let took = store.contents.tick(self.now);
            self.pause_store(at as u16, took);
        }
    }

    /// The process died: what waited is gone, and what is not on disk.
    pub(crate) fn store_lose(&mut self, index: u16) {
        let store = &mut self.stores[usize::from(index)];
        store.waiting = Fifo::new();
        store.queue.set(self.now, 0);
        store.busy.set(self.now, 0);
        store.running = false;
        store.pauses.forget(self.now);
        store.saves.forget();
        store.replication.lose(&mut store.contents, self.now);
    }
}
