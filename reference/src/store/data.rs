//! Records with their expiry and their memory.

use std::collections::HashMap;
use std::rc::Rc;

use scenarios::memory;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Eviction;
use scenarios::units::Seed;

use super::eviction::Pool;
use super::prefill::FILLER;
use super::standing::Standing;
use crate::emulated::clock::now_nanos;

/// No expiry.
const NEVER: u64 = u64::MAX;
/// Not among the keys with a TTL.
const NOT_VOLATILE: u32 = u32::MAX;
/// Keys looked at per round of the active cycle (Redis's ACTIVE_EXPIRE_CYCLE_KEYS_PER_LOOP at the default effort).
const KEYS_PER_ROUND: usize = 20;

/// The store's limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_memory: Option<u64>,
    pub(crate) eviction: Eviction,
    pub(crate) samples: u32,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
}

/// A value. Load tests write padding, so a repeated byte is kept as one: the memory that counts is the accounted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Run(u8, usize),
    Bytes(Box<[u8]>),
}

impl Value {
    /// From its bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match bytes.first() {
            // No early exit: this way the compiler compares many bytes at once.
            Some(first) if bytes.iter().fold(0, |differs, b| differs | (b ^ first)) == 0 => {
                Self::Run(*first, bytes.len())
            }
            _ => Self::Bytes(bytes.into()),
        }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Run(_, len) => *len,
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: Rc<[u8]>,
    value: Value,
    expires_ms: u64,
    /// Redis's LRU clock at the last access: it ticks in seconds.
    touched_s: u32,
    /// The place among the keys with a TTL.
    volatile_at: u32,
}

impl Entry {
    /// What it takes of memory, as Redis would count it.
    fn bytes(&self) -> u64 {
        let has_lifetime = self.volatile_at != NOT_VOLATILE;
        memory::record_bytes(self.key.len() as u64, self.value.len() as u64, has_lifetime)
    }
}

/// A value as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents<'a> {
    Run(u8, usize),
    Bytes(&'a [u8]),
}

impl Contents<'_> {
    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Run(_, len) => len,
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// When a key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    /// What the record had before.
    Keep,
    /// This long from now, in milliseconds.
    In(u64),
}

fn machine_ms() -> u64 {
    now_nanos() / 1_000_000
}

/// All records.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) limits: Limits,
    /// Looked at where the index knows nothing.
    standing: Vec<Standing>,
    index: HashMap<Rc<[u8]>, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    volatile: Vec<u32>,
    /// Memory of the records, and of the tables of all keys and of those with a TTL.
    memory: u64,
    tables: [u64; 2],
    counts: Counts,
    pool: Pool,
    stream: Stream,
    now_ms: u64,
    /// How far the machine's clock is ahead of the store's; none as long as the store's stands still.
    ahead_ms: Option<u64>,
}

impl Data {
    /// An empty store. The seed decides what sampling looks at.
    pub(crate) fn new(limits: Limits, seed: Seed) -> Self {
        let mut data = Self {
            limits,
            standing: Vec::new(),
            index: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            volatile: Vec::new(),
            memory: 0,
            tables: [0; 2],
            counts: Counts::default(),
            pool: Pool::default(),
            stream: Stream::new(seed, Purpose::named("store-sampling"), 0),
            now_ms: 0,
            ahead_ms: Some(0),
        };
        data.tick();
        data
    }

    /// Reads the clock; commands of one batch share a reading.
    pub(crate) fn tick(&mut self) {
        if let Some(ahead) = self.ahead_ms {
            self.now_ms = machine_ms() - ahead;
        }
    }

    /// Lets no time pass until [`Data::start_clock`].
    pub(super) fn stop_clock(&mut self) {
        self.ahead_ms = None;
    }

    /// Lets time pass again, if it does not; from where it stood.
    #[inline]
    pub(crate) fn start_clock(&mut self) {
        if self.ahead_ms.is_none() {
            self.ahead_ms = Some(machine_ms() - self.now_ms);
        }
    }

    #[cfg(test)]
    pub(crate) fn advance_ms(&mut self, by: u64) {
        self.now_ms += by;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Records, those that are expired and not found out yet included.
    pub(crate) fn len(&self) -> u64 {
        self.index.len() as u64 + self.standing.iter().map(Standing::len).sum::<u64>()
    }

    /// Adds records that are there without having been written.
    pub(super) fn stand(&mut self, standing: Standing) {
        self.memory += standing.bytes();
        self.standing.push(standing);
        self.note_tables();
    }

    /// Makes room for so many further records.
    pub(super) fn reserve(&mut self, records: usize) {
        self.index.reserve(records);
        self.entries.reserve(records);
    }

    /// The record among those that stand: in which keyspace, which number.
    fn find_standing(&self, key: &[u8]) -> Option<(usize, u64)> {
        self.standing.iter().enumerate().find_map(|(i, standing)| Some((i, standing.find(key)?)))
    }

    /// Records with a TTL.
    pub(crate) fn volatile_len(&self) -> usize {
        self.volatile.len()
    }

    /// Accounted memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.memory + self.tables[0] + self.tables[1]
    }

    fn now_s(&self) -> u32 {
        (self.now_ms / 1000) as u32
    }

    fn entry(&self, slot: u32) -> &Entry {
        self.entries[slot as usize].as_ref().expect("the index names occupied slots")
    }

    fn entry_mut(&mut self, slot: u32) -> &mut Entry {
        self.entries[slot as usize].as_mut().expect("the index names occupied slots")
    }

    /// The slot of a key that is alive; an expired one is removed on the way, one that only stood is written.
    fn find(&mut self, key: &[u8]) -> Option<u32> {
        let Some(&slot) = self.index.get(key) else {
            let (keyspace, number) = self.find_standing(key)?;
            let size = self.standing[keyspace].size(number);
            self.standing[keyspace].take(number);
            self.memory -= memory::record_bytes(key.len() as u64, size as u64, false);
            return Some(self.insert(key, Value::Run(FILLER, size), self.now_s()));
        };
        if self.entry(slot).expires_ms <= self.now_ms {
            self.remove_slot(slot);
            self.counts.expired += 1;
            return None;
        }
        Some(slot)
    }

    /// Reads a value, counts a hit or a miss, and marks the record as used now.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<Contents<'_>> {
        if !self.index.contains_key(key)
            && let Some((keyspace, number)) = self.find_standing(key)
        {
            self.counts.hits += 1;
            return Some(Contents::Run(FILLER, self.standing[keyspace].size(number)));
        }
        let Some(slot) = self.find(key) else {
            self.counts.misses += 1;
            return None;
        };
        self.counts.hits += 1;
        let now = self.now_s();
        let entry = self.entry_mut(slot);
        entry.touched_s = now;
        Some(match &entry.value {
            Value::Run(byte, len) => Contents::Run(*byte, *len),
            Value::Bytes(bytes) => Contents::Bytes(bytes),
        })
    }

    /// Whether a key is there.
    pub(crate) fn contains(&mut self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// Writes a record.
    pub(crate) fn set(&mut self, key: &[u8], value: Value, expiry: Expiry) {
        let now = self.now_s();
        let slot = match self.find(key) {
            Some(slot) => {
                let entry = self.entry_mut(slot);
                let old = entry.bytes();
                entry.value = value;
                entry.touched_s = now;
                let new = entry.bytes();
                self.memory = self.memory - old + new;
                slot
            }
            None => self.insert(key, value, now),
        };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => self.set_deadline(slot, NEVER),
            Expiry::In(ms) => self.set_deadline(slot, self.now_ms.saturating_add(ms).min(NEVER - 1)),
        }
    }

    fn insert(&mut self, key: &[u8], value: Value, now: u32) -> u32 {
        let key: Rc<[u8]> = key.into();
        let entry = Entry {
            key: Rc::clone(&key),
            value,
            expires_ms: NEVER,
            touched_s: now,
            volatile_at: NOT_VOLATILE,
        };
        self.memory += entry.bytes();
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 records fit in memory")
            }
        };
        self.index.insert(key, slot);
        self.note_tables();
        slot
    }

    /// Removes a key; whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let found = self.find(key);
        if let Some(slot) = found {
            self.remove_slot(slot);
        }
        found.is_some()
    }

    fn remove_slot(&mut self, slot: u32) {
        self.leave_volatile(slot);
        let entry = self.entries[slot as usize].take().expect("the index names occupied slots");
        self.index.remove(&entry.key);
        self.free.push(slot);
        self.memory -= entry.bytes();
    }

    fn set_deadline(&mut self, slot: u32, deadline_ms: u64) {
        if deadline_ms == NEVER {
            self.leave_volatile(slot);
        } else if self.entry(slot).volatile_at == NOT_VOLATILE {
            let place = u32::try_from(self.volatile.len()).expect("fewer than 2^32 records fit in memory");
            self.volatile.push(slot);
            self.change_lifetime(slot, place);
            self.note_tables();
        }
        self.entry_mut(slot).expires_ms = deadline_ms;
    }

    /// Notes where among the keys with a TTL a record is, and what of memory that changes.
    fn change_lifetime(&mut self, slot: u32, volatile_at: u32) {
        let entry = self.entry_mut(slot);
        let old = entry.bytes();
        entry.volatile_at = volatile_at;
        let new = entry.bytes();
        self.memory = self.memory - old + new;
    }

    /// Lets the tables of the dictionaries that Redis would have grow with what is in them, though past the limit of
    /// memory only where they are crowded. They do not shrink: Redis's do so below a tenth.
    fn note_tables(&mut self) {
        for (table, keys) in [(0, self.len()), (1, self.volatile.len() as u64)] {
            let grown = memory::table_bytes(keys);
            let fits = self.limits.max_memory.is_none_or(|limit| self.memory() + grown <= limit);
            let crowded = keys as f64 > memory::MOST_LOAD * (self.tables[table] / 8) as f64;
            if grown > self.tables[table] && (fits || crowded) {
                self.tables[table] = grown;
            }
        }
    }

    fn leave_volatile(&mut self, slot: u32) {
        let place = self.entry(slot).volatile_at;
        if place == NOT_VOLATILE {
            return;
        }
        self.change_lifetime(slot, NOT_VOLATILE);
        self.volatile.swap_remove(place as usize);
        if let Some(&moved) = self.volatile.get(place as usize) {
            self.entry_mut(moved).volatile_at = place;
        }
    }

    /// Gives a key an expiry; whether it is there. One that is already past removes it.
    pub(crate) fn expire(&mut self, key: &[u8], in_ms: i64) -> bool {
        let Some(slot) = self.find(key) else { return false };
        match u64::try_from(in_ms) {
            Ok(ms) if ms > 0 => self.set_deadline(slot, self.now_ms.saturating_add(ms).min(NEVER - 1)),
            _ => self.remove_slot(slot),
        }
        true
    }

    /// Takes a key's expiry away; whether it had one.
    pub(crate) fn persist(&mut self, key: &[u8]) -> bool {
        let Some(slot) = self.find(key) else { return false };
        let had = self.entry(slot).volatile_at != NOT_VOLATILE;
        self.set_deadline(slot, NEVER);
        had
    }

    /// How long a key has left in milliseconds: none where there is no key, `Some(None)` where it has no expiry.
    pub(crate) fn remaining_ms(&mut self, key: &[u8]) -> Option<Option<u64>> {
        let slot = self.find(key)?;
        let deadline = self.entry(slot).expires_ms;
        Some((deadline != NEVER).then(|| deadline - self.now_ms))
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        self.standing.clear();
        self.index.clear();
        self.entries.clear();
        self.free.clear();
        self.volatile.clear();
        self.memory = 0;
        self.tables = [0; 2];
        self.pool = Pool::default();
    }

    /// Evicts until memory is within its limit, as Redis does before each command; false where nothing can be evicted
    /// any more.
    pub(crate) fn make_room(&mut self) -> bool {
        let Some(limit) = self.limits.max_memory else { return true };
        while self.memory() > limit {
            if self.limits.eviction != Eviction::VolatileLru {
                return false;
            }
            let Some(slot) = self.choose_victim() else { return false };
            self.remove_slot(slot);
            self.counts.evicted += 1;
        }
        true
    }

    /// One round of sampling into the pool at a time, until the pool names a key that is still there.
    fn choose_victim(&mut self) -> Option<u32> {
        while !self.volatile.is_empty() {
            let now = self.now_s();
            for _ in 0..(self.limits.samples as usize).min(self.volatile.len()) {
                let place = self.stream.below(self.volatile.len() as u64) as usize;
                let entry = self.entry(self.volatile[place]);
                let (idle, key) = (now.saturating_sub(entry.touched_s), Rc::clone(&entry.key));
                self.pool.offer(idle, key);
            }
            while let Some(key) = self.pool.take_best() {
                // A key that was deleted or made persistent since it was sampled is a ghost.
                if let Some(&slot) = self.index.get(&key)
                    && self.entry(slot).volatile_at != NOT_VOLATILE
                {
                    return Some(slot);
                }
            }
        }
        None
    }

    /// Redis's active expiry (expire.c, the slow cycle): rounds of a few random keys with a TTL, as long as more than a
    /// tenth of a round was expired, within a limit of time.
    pub(crate) fn expire_cycle(&mut self, limit_nanos: u64) {
        let start = now_nanos();
        loop {
            let looked_at = KEYS_PER_ROUND.min(self.volatile.len());
            let mut expired = 0;
            for _ in 0..looked_at {
                if self.volatile.is_empty() {
                    break;
                }
                let place = self.stream.below(self.volatile.len() as u64) as usize;
                let slot = self.volatile[place];
                if self.entry(slot).expires_ms <= self.now_ms {
                    self.remove_slot(slot);
                    expired += 1;
                }
            }
            self.counts.expired += expired;
            if expired * 10 <= looked_at as u64 || now_nanos() - start > limit_nanos {
                return;
            }
        }
    }
}
