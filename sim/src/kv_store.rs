//! The key-value store: one thread, commands in order, Redis's rules for memory and lifetimes.
//!
//! Keys of cache keyspaces are followed one by one. Persistent keyspaces are always complete while the store is up, so
//! they need no identity: they hold a fixed amount of memory, summed exactly up to a million keys and beyond that taken as
//! the mean value size times the number of keys. Not modelled: Redis's fast expiry cycle between events.

use results::sample::{EVICTIONS, EXPIRED, HITS, KEYS, KEYS_WITH_TTL, MEMORY_BYTES, MISSES};
use scenarios::law::SizeLaw;
use scenarios::plan::Draws;
use scenarios::scenario::{Keyspace, KeyspaceId};

use crate::call::{DEAD, Fifo, NONE, Phase};
use crate::eviction::volatile_lru::VolatileLru;
use crate::gauge::Gauge;
use crate::instance::{Continuation, Flow, Parked};
use crate::program::{Miss, Op};
use crate::table::{Entry, Table};
use crate::world::World;

/// What a record takes beside its key and its value.
const RECORD_BYTES: u64 = 96;
/// Persistent keyspaces up to this size have their memory summed key by key.
const SUMMED_KEYS: u64 = 1_000_000;
/// Redis's active expiry (expire.c): every 100 ms, keys by twenties, again while more than a tenth had expired.
pub(crate) const EXPIRY_NANOS: u64 = 100_000_000;
const EXPIRY_KEYS: usize = 20;
/// Stands for Redis's limit of a quarter of the processor's time, at about a microsecond a key.
const EXPIRY_ROUNDS: usize = 1_000;

/// A keyspace as its store sees it.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: KeyspaceId,
    pub(crate) keyspace: Keyspace,
}

impl Keys {
    fn name(&self, key: u64) -> u64 {
        (self.id.index() as u64 + 1) << 48 | key
    }

    fn law(&self) -> &SizeLaw {
        &self.keyspace.value
    }

    /// The length of `name:key`.
    fn name_bytes(&self, key: u64) -> u64 {
        self.keyspace.name.len() as u64 + 2 + u64::from(key.checked_ilog10().unwrap_or(0))
    }

    fn record_bytes(&self, draws: &Draws, key: u64) -> u64 {
        self.name_bytes(key) + draws.value_size(self.id, key, self.law()) + RECORD_BYTES
    }

    /// Memory of the whole keyspace.
    pub(crate) fn total_bytes(&self, draws: &Draws) -> u64 {
        let keys = self.keyspace.keys;
        if keys <= SUMMED_KEYS {
            return (0..keys).map(|key| self.record_bytes(draws, key)).sum();
        }
        // Keys of each number of digits, up to and including that of the greatest.
        let (mut digits, mut from, mut names) = (1_u32, 0_u64, 0_u64);
        while from < keys {
            let until = 10_u64.saturating_pow(digits).min(keys);
            names += (until - from) * (self.keyspace.name.len() as u64 + 1 + u64::from(digits));
            (from, digits) = (until, digits + 1);
        }
        names + (keys as f64 * self.law().mean()) as u64 + keys * RECORD_BYTES
    }
}

/// Counts since the last sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KvCounts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evictions: u64,
    pub(crate) expired: u64,
}

/// What the store holds, and the rules by which it changes.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Keys with a TTL.
    pub(crate) volatile: Table,
    /// Keys of cache keyspaces without one.
    pub(crate) lasting: Table,
    pub(crate) persistent_keys: u64,
    pub(crate) persistent_bytes: u64,
    /// Records' memory, all told.
    pub(crate) used_bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) policy: Option<VolatileLru>,
    pub(crate) counts: KvCounts,
    /// Where active expiry goes on.
    cursor: usize,
}

impl Contents {
    pub(crate) fn new(max_bytes: u64, policy: Option<VolatileLru>) -> Self {
        Self {
            volatile: Table::with_room(0),
            lasting: Table::with_room(0),
            persistent_keys: 0,
            persistent_bytes: 0,
            used_bytes: 0,
            max_bytes,
            policy,
            counts: KvCounts::default(),
            cursor: 0,
        }
    }

    /// Reads where keys would be, and nothing else: a wide read's cache misses then overlap instead of following each
    /// other.
    #[inline]
    fn touch(&self, names: impl Iterator<Item = u64>) {
        let sum = names.fold(0_u64, |sum, name| sum.wrapping_add(self.volatile.first_probe(name)));
        std::hint::black_box(sum);
    }

    /// GET: whether the key is there.
    #[inline]
    fn read(&mut self, key: u64, now: u64) -> bool {
        if let Some(slot) = self.volatile.find(key) {
            let entry = self.volatile.at_mut(slot);
            if entry.expires > now {
                entry.used = seconds(now);
                return true;
            }
            self.drop_volatile(slot);
            self.counts.expired += 1;
            return false;
        }
        self.lasting.find(key).is_some()
    }

    fn drop_volatile(&mut self, slot: usize) {
        self.used_bytes -= u64::from(self.volatile.remove(slot).bytes);
    }

    /// What Redis does before every command; false where it stays above the limit, and writes are refused.
    #[inline]
    fn make_room(&mut self, now: u64) -> bool {
        while self.used_bytes > self.max_bytes {
            let Some(policy) = &mut self.policy else { return false };
            let Some(victim) = policy.victim(&self.volatile, seconds(now)) else { return false };
            self.drop_volatile(victim);
            self.counts.evictions += 1;
        }
        true
    }

    /// SET: false where memory does not allow it.
    fn write(&mut self, key: u64, bytes: u64, expires: Option<u64>, now: u64) -> bool {
        if !self.make_room(now) {
            return false;
        }
        let table = if expires.is_some() { &mut self.volatile } else { &mut self.lasting };
        let entry =
            Entry { key, expires: expires.unwrap_or(u64::MAX), used: seconds(now), bytes: bytes as u32 };
        let replaced = table.insert(entry).map_or(0, |old| u64::from(old.bytes));
        self.used_bytes = self.used_bytes + bytes - replaced;
        true
    }

    /// Active expiry.
    fn expire_some(&mut self, now: u64) {
        for _ in 0..EXPIRY_ROUNDS {
            if self.volatile.is_empty() {
                return;
            }
            let (mut seen, mut expired) = (0, 0);
            for _ in 0..20 * EXPIRY_KEYS {
                if seen == EXPIRY_KEYS {
                    break;
                }
                self.cursor &= self.volatile.capacity() - 1;
                let entry = self.volatile.at(self.cursor);
                if entry.key == 0 {
                    self.cursor += 1;
                    continue;
                }
                seen += 1;
                if entry.expires <= now {
                    expired += 1;
                    // Another entry may have moved here: the cursor stays.
                    self.drop_volatile(self.cursor);
                } else {
                    self.cursor += 1;
                }
            }
            self.counts.expired += expired as u64;
            if expired * 10 <= seen {
                return;
            }
        }
    }

    /// The process died: only what is on disk comes back.
    pub(crate) fn lose_all(&mut self) {
        self.volatile = Table::with_room(0);
        self.lasting = Table::with_room(0);
        self.used_bytes = self.persistent_bytes;
        if let Some(policy) = &mut self.policy {
            policy.forget();
        }
    }

    /// Puts a keyspace's persistent keys, or its prefilled ones, in place before the run.
    pub(crate) fn prefill(&mut self, keys: &Keys, draws: &Draws) {
        if keys.keyspace.persistent {
            let bytes = keys.total_bytes(draws);
            self.persistent_bytes += bytes;
            self.used_bytes += bytes;
            self.persistent_keys += keys.keyspace.keys;
            return;
        }
        for key in (0..keys.keyspace.prefill).rev() {
            let expires = draws.prefill_ttl(keys.id, &keys.keyspace, key).map(|ttl| ttl.as_nanos());
            // A store that is full before it has a key to evict keeps what it has.
            self.write(keys.name(key), keys.record_bytes(draws, key), expires, 0);
        }
    }

    /// Tells each metric's value in the interval that ends here.
    pub(crate) fn sample(&mut self, put: &mut dyn FnMut(&'static str, f64)) {
        let counts = std::mem::take(&mut self.counts);
        put(HITS, counts.hits as f64);
        put(MISSES, counts.misses as f64);
        put(EVICTIONS, counts.evictions as f64);
        put(EXPIRED, counts.expired as f64);
        let keys = self.persistent_keys + (self.volatile.len() + self.lasting.len()) as u64;
        put(KEYS, keys as f64);
        put(KEYS_WITH_TTL, self.volatile.len() as f64);
        put(MEMORY_BYTES, self.used_bytes as f64);
    }

    /// Makes the tables large enough from the start.
    pub(crate) fn reserve(&mut self, keys: usize) {
        self.volatile = Table::with_room(keys);
    }
}

fn seconds(now: u64) -> u32 {
    (now / 1_000_000_000) as u32
}

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
}

/// How far a read with misses is: they are known, the database is asked, they are being written back.
const MISSED: u8 = 1;
const ASKED: u8 = 2;
const FILLING: u8 = 3;

impl World {
    fn store(&mut self, slot: u32) -> &mut KvStore {
        let instance = &self.instances[usize::from(self.calls[slot].leaf)];
        &mut self.stores[usize::from(instance.index)]
    }

    /// Sends the command of a call's present step and stage.
    #[inline]
    pub(crate) fn call_store(&mut self, slot: u32) -> Flow {
        let instance = &self.instances[usize::from(self.calls[slot].leaf)];
        if instance.killed > 0 {
            return Flow::Failed;
        }
        let latency = instance.latency;
        if self.delay(slot, latency, Phase::ToStore) { Flow::Suspended } else { self.arrive_at_store(slot) }
    }

    #[inline]
    pub(crate) fn arrive_at_store(&mut self, slot: u32) -> Flow {
        let cost = self.command_cost(slot);
        let instance = &self.instances[usize::from(self.calls[slot].leaf)];
        if instance.killed > 0 {
            return Flow::Failed;
        }
        let store = &mut self.stores[usize::from(instance.index)];
        if store.running || instance.stopped > 0 {
            self.calls[slot].phase = Phase::StoreQueue;
            store.waiting.push(&mut self.calls, slot);
            store.queue.up(self.now);
            return Flow::Suspended;
        }
        if cost == 0 {
            return self.execute(slot);
        }
        self.run_command(slot, cost);
        Flow::Suspended
    }

    fn run_command(&mut self, slot: u32, cost: u64) {
        let now = self.now;
        let store = self.store(slot);
        store.running = true;
        store.busy.up(now);
        self.wait_until(slot, now + cost, Phase::StoreRun);
    }

    fn command_cost(&mut self, slot: u32) -> u64 {
        let call = &self.calls[slot];
        let instance = &self.instances[usize::from(call.leaf)];
        let store = &self.stores[usize::from(instance.index)];
        if store.command == 0 && store.key == 0 {
            return 0;
        }
        let (commands, keys) = match self.steps[usize::from(call.step)].op {
            Op::Get { .. } if call.stage == FILLING => {
                let fills = self.missed.get(call.missed).len() as u64;
                (fills, fills)
            }
            Op::Get { count, .. } => (1, u64::from(count)),
            Op::Set { count, .. } => (u64::from(count), u64::from(count)),
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
            let Some(next) = store.waiting.pop(&self.calls) else { return };
            store.queue.down(self.now);
            let cost = self.command_cost(next);
            if cost > 0 {
                return self.run_command(next, cost);
            }
            let flow = if self.calls[next].is(DEAD) { Flow::Done } else { self.execute(next) };
            self.leaf_done(next, flow);
        }
    }

    /// Executes the command; what a read missed is in its list, and its stage says so.
    fn execute(&mut self, slot: u32) -> Flow {
        let call = &self.calls[slot];
        let instance = &self.instances[usize::from(call.leaf)];
        let contents = &mut self.stores[usize::from(instance.index)].contents;
        match self.steps[usize::from(call.step)].op {
            Op::Get { keyspace, count, miss, .. } if call.stage != FILLING => {
                contents.make_room(self.now);
                let keys = &self.keys[usize::from(keyspace)];
                if keys.keyspace.persistent {
                    contents.counts.hits += u64::from(count);
                    return Flow::Done;
                }
                let mut list = NONE;
                let mut hits = 0;
                self.scratch.clear();
                self.scratch.extend(self.draws.keys(call.id, keys.id).take(count as usize));
                contents.touch(self.scratch.iter().map(|&key| keys.name(key)));
                for &key in &self.scratch {
                    if contents.read(keys.name(key), self.now) {
                        hits += 1;
                    } else if miss.is_some() {
                        if list == NONE {
                            list = self.missed.take();
                        }
                        self.missed.get(list).push(key);
                    }
                }
                contents.counts.hits += hits;
                contents.counts.misses += u64::from(count) - hits;
                if list != NONE {
                    self.calls[slot].missed = list;
                    self.calls[slot].stage = MISSED;
                }
                Flow::Done
            }
            Op::Get { keyspace, .. } => {
                let keys = &self.keys[usize::from(keyspace)];
                for &key in self.missed.get(call.missed).iter() {
                    let ttl = self.draws.ttl(call.id, &keys.keyspace, key);
                    let expires = ttl.map(|ttl| self.now + ttl.as_nanos());
                    // A fill that the store refuses is no failure of the request.
                    contents.write(keys.name(key), keys.record_bytes(&self.draws, key), expires, self.now);
                }
                self.forget_missed(slot);
                Flow::Done
            }
            Op::Set { keyspace, count, .. } => {
                let keys = &self.keys[usize::from(keyspace)];
                for key in self.draws.keys(call.id, keys.id).take(count as usize) {
                    let good = if keys.keyspace.persistent {
                        // The same size as before.
                        contents.make_room(self.now)
                    } else {
                        let ttl = self.draws.ttl(call.id, &keys.keyspace, key);
                        let expires = ttl.map(|ttl| self.now + ttl.as_nanos());
                        contents.write(keys.name(key), keys.record_bytes(&self.draws, key), expires, self.now)
                    };
                    if !good {
                        return Flow::Failed;
                    }
                }
                Flow::Done
            }
            op => unreachable!("{op:?} is no command"),
        }
    }

    /// A command or a statement is done, and the service may go on: asks the database for what is missing, then writes
    /// back what it said, where that is wanted.
    #[inline]
    pub(crate) fn go_on_with_misses(&mut self, slot: u32) -> Flow {
        loop {
            let call = &mut self.calls[slot];
            let flow = match (call.stage, self.steps[usize::from(call.step)].op) {
                (MISSED, Op::Get { miss: Some(miss), .. }) => {
                    call.stage = ASKED;
                    self.call_database(slot, miss.database)
                }
                (ASKED, Op::Get { store, miss: Some(Miss { fill: true, .. }), .. }) => {
                    call.stage = FILLING;
                    call.leaf = store;
                    self.call_store(slot)
                }
                (ASKED, _) => {
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
        if instance.killed == 0 && instance.stopped == 0 {
            store.contents.expire_some(self.now);
        }
        self.events.schedule(self.now + EXPIRY_NANOS, store.expiry_timer);
    }

    /// The process died: what waited is gone, and what is not on disk.
    pub(crate) fn store_lose(&mut self, index: u16) {
        let store = &mut self.stores[usize::from(index)];
        store.waiting = Fifo::new();
        store.queue.set(self.now, 0);
        store.busy.set(self.now, 0);
        store.running = false;
        store.contents.lose_all();
    }
}
