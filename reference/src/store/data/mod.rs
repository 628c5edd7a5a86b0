//! All records: where they are, and when they were used.
//!
//! - [`hashes`]: records that have fields; [`lifetimes`]: when records expire, [`volatile`]: the order of those that do; [`accounting`]: what of memory they take
//! - [`sampling`]: some of them by chance; [`scan`]: visiting all of them; [`log`]: what copies and watchers must be told

mod accounting;
mod hashes;
mod lifetimes;
mod log;
mod sampling;
mod scan;
mod volatile;

use std::collections::HashMap;

use scenarios::memory;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Eviction;
use scenarios::units::Seed;

use super::clock::Clock;
use super::eviction::Pool;
use super::expiry::Walk;
use super::fields::Fields;
use super::index::{Hasher, Index, Tag};
use super::lfu;
use super::record::{Content, Record, Value};
use super::save::Moment;
use super::standing::Standing;

use log::{Log, Watched};
use volatile::Volatiles;

/// Not among the keys with a TTL.
const NOT_VOLATILE: u32 = u32::MAX;
/// The end of the list of free slots.
const NO_SLOT: u32 = u32::MAX;

/// The store's limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_memory: Option<u64>,
    pub(crate) eviction: Eviction,
    pub(crate) samples: u32,
    pub(crate) lfu_log_factor: u32,
    pub(crate) lfu_decay_minutes: u32,
}

impl Limits {
    /// Redis's defaults for what the file does not say.
    pub(crate) const fn new(max_memory: Option<u64>, eviction: Eviction, samples: u32) -> Self {
        Self { max_memory, eviction, samples, lfu_log_factor: 10, lfu_decay_minutes: 1 }
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
}

/// The key holds something that the command is not for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongType;

/// When a key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    /// What the record had before.
    Keep,
    /// This long from now, in milliseconds.
    In(u64),
}

#[derive(Debug)]
struct Slot {
    record: Record,
    /// When or how often it was used, as the policy has it. In a free slot, the next free one.
    touched: u32,
    /// The place among the keys with a TTL.
    volatile_at: u32,
}

/// All records.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) limits: Limits,
    pub(super) clock: Clock,
    pub(super) pool: Pool,
    pub(super) walk: Walk,
    /// Whether there was no time to evict all that has to go.
    pub(super) is_evicting: bool,
    /// Looked at where the index knows nothing.
    standing: Vec<Standing>,
    hasher: Hasher,
    index: Index,
    slots: Vec<Slot>,
    /// The first free slot.
    free: u32,
    volatile: Volatiles,
    /// Hashes by their slot.
    hashes: HashMap<u32, Fields>,
    /// Memory of the records, and of the tables of all keys and of those with a TTL.
    records_bytes: u64,
    tables_bytes: [u64; 2],
    counts: Counts,
    /// Writes so far.
    changes: u64,
    /// What was changed since the copies were told; none where there are no copies.
    log: Option<Log>,
    pub(super) watched: Watched,
    /// The records that are being saved, as they were when that began.
    pub(super) moment: Option<Box<Moment>>,
    /// Whether the records are another store's, which alone says what expires and what has to go …
    pub(super) is_copy: bool,
    /// … and does so just now.
    pub(super) is_applying: bool,
    stream: Stream,
}

impl Data {
    /// An empty store. The seed decides what sampling looks at.
    pub(crate) fn new(limits: Limits, seed: Seed) -> Self {
        Self {
            limits,
            clock: Clock::new(),
            pool: Pool::default(),
            walk: Walk::default(),
            is_evicting: false,
            standing: Vec::new(),
            hasher: Hasher::new(),
            index: Index::new(),
            slots: Vec::new(),
            free: NO_SLOT,
            volatile: Volatiles::new(),
            hashes: HashMap::new(),
            records_bytes: 0,
            tables_bytes: [0; 2],
            counts: Counts::default(),
            changes: 0,
            log: None,
            watched: Watched::default(),
            moment: None,
            is_copy: false,
            is_applying: false,
            stream: Stream::new(seed, Purpose::named("store-sampling"), 0),
        }
    }

    /// Reads the clock; commands of one batch share a reading.
    pub(crate) fn tick(&mut self) {
        self.clock.tick();
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Forgets what happened so far.
    pub(crate) fn reset_counts(&mut self) {
        self.counts = Counts::default();
    }

    /// Writes so far; only their difference means something.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Records, those that are expired and not found out yet included.
    pub(crate) fn len(&self) -> u64 {
        self.index.len() as u64 + self.standing.iter().map(Standing::len).sum::<u64>()
    }

    /// Records without those that only stand.
    pub(super) fn written_len(&self) -> usize {
        self.index.len()
    }

    /// Adds records that are there without having been written.
    pub(super) fn stand(&mut self, standing: Standing) {
        self.records_bytes += standing.bytes();
        self.standing.push(standing);
        self.note_tables();
    }

    /// The record among those that stand: in which keyspace, which number.
    fn find_standing(&self, key: &[u8]) -> Option<(usize, u64)> {
        self.standing.iter().enumerate().find_map(|(i, standing)| Some((i, standing.find(key)?)))
    }

    fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    pub(super) fn key(&self, slot: u32) -> &[u8] {
        self.slot(slot).record.key()
    }

    pub(super) fn touched(&self, slot: u32) -> u32 {
        self.slot(slot).touched
    }

    /// Seconds since the last use, by Redis's clock.
    pub(super) fn idle_seconds(&self, slot: u32) -> u32 {
        self.clock.lru_seconds().wrapping_sub(self.slot(slot).touched) & 0xff_ffff
    }

    /// How often a key was used, as Redis reckons it.
    pub(super) fn frequency(&self, slot: u32) -> u8 {
        lfu::decayed(self.slot(slot).touched, self.clock.lfu_minutes(), self.limits.lfu_decay_minutes)
    }

    /// Whether keys' uses are counted rather than timed.
    pub(super) fn counts_uses(&self) -> bool {
        matches!(self.limits.eviction, Eviction::AllkeysLfu | Eviction::VolatileLfu)
    }

    /// The slot of a key, without any consequence.
    #[inline]
    pub(super) fn peek(&self, key: &[u8]) -> Option<u32> {
        self.index.find(self.hasher.tag(key), |slot| self.slots[slot as usize].record.key() == key)
    }

    /// The slot of a key that is alive; an expired one is removed on the way, one that only stood is written.
    pub(super) fn find(&mut self, key: &[u8]) -> Option<u32> {
        let Some(slot) = self.peek(key) else {
            let (keyspace, number) = self.find_standing(key)?;
            if self.moment.is_some() {
                self.keep_standing_for_moment(key, self.place_of_standing(keyspace, number));
            }
            let size = self.standing[keyspace].size(number);
            self.standing[keyspace].take(number);
            self.records_bytes -= memory::record_bytes(key.len() as u64, size as u64, false);
            return Some(self.insert(key, Content::String(Value::Padding(size))));
        };
        if self.is_expired(slot) {
            if self.is_copy {
                return self.is_applying.then_some(slot);
            }
            self.remove_slot(slot);
            self.counts.expired += 1;
            return None;
        }
        Some(slot)
    }

    /// Notes that a key was used.
    #[inline]
    pub(super) fn touch(&mut self, slot: u32) {
        let now = if self.counts_uses() {
            let limits = self.limits;
            lfu::used(
                self.slots[slot as usize].touched,
                self.clock.lfu_minutes(),
                limits.lfu_decay_minutes,
                limits.lfu_log_factor,
                &mut self.stream,
            )
        } else {
            self.clock.lru_seconds()
        };
        let slot = self.slot_mut(slot);
        // A line of memory that is not written need not be written back.
        if slot.touched != now {
            slot.touched = now;
        }
    }

    /// Reads a string, counts a hit or a miss, and marks the record as used now.
    ///
    /// # Errors
    /// Where the key holds something else.
    #[inline]
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Value<'_>>, WrongType> {
        let slot = match self.peek(key) {
            Some(slot) if self.slot(slot).volatile_at == NOT_VOLATILE => Some(slot),
            None => {
                if let Some((keyspace, number)) = self.find_standing(key) {
                    self.counts.hits += 1;
                    return Ok(Some(Value::Padding(self.standing[keyspace].size(number))));
                }
                None
            }
            Some(_) => self.find(key),
        };
        let Some(slot) = slot else {
            self.counts.misses += 1;
            return Ok(None);
        };
        self.counts.hits += 1;
        self.touch(slot);
        match self.slot(slot).record.content() {
            Content::String(value) => Ok(Some(value)),
            Content::Hash => Err(WrongType),
        }
    }

    /// Counts a hit or a miss of a command that reads, and marks the record as used now.
    pub(super) fn look_up(&mut self, key: &[u8]) -> Option<u32> {
        let slot = self.look_up_quietly(key);
        if let Some(slot) = slot {
            self.touch(slot);
        }
        slot
    }

    /// Counts a hit or a miss of a command that only asks about a record, which does not use it (`LOOKUP_NOTOUCH`).
    pub(super) fn look_up_quietly(&mut self, key: &[u8]) -> Option<u32> {
        let slot = self.find(key);
        match slot {
            Some(_) => self.counts.hits += 1,
            None => self.counts.misses += 1,
        }
        slot
    }

    /// Whether a key is there.
    pub(crate) fn contains(&mut self, key: &[u8]) -> bool {
        self.find(key).is_some()
    }

    /// What a slot holds.
    pub(super) fn content(&self, slot: u32) -> Content<'_> {
        self.slot(slot).record.content()
    }

    /// Writes a string.
    pub(crate) fn set(&mut self, key: &[u8], value: Value<'_>, expiry: Expiry) {
        self.changes += 1;
        let slot = match self.find(key) {
            Some(slot) => {
                self.note(slot);
                let old = self.bytes(slot);
                self.hashes.remove(&slot);
                self.slot_mut(slot).record.replace(value);
                self.touch(slot);
                let new = self.bytes(slot);
                self.records_bytes = self.records_bytes - old + new;
                slot
            }
            None => self.insert(key, Content::String(value)),
        };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => self.leave_volatile(slot),
            Expiry::In(ms) => self.set_deadline(slot, ms),
        }
    }

    /// Gives what a key holds another name, under which nothing stays.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8], expiry: Expiry) {
        self.changes += 1;
        if let Some(old) = self.find(to) {
            self.remove_slot(old);
        }
        let Some(slot) = self.find(from) else { return };
        self.note(slot);
        let touched = self.slot(slot).touched;
        let value = match self.content(slot) {
            Content::String(value) => Some(value.to_vec()),
            Content::Hash => None,
        };
        let fields = self.hashes.get_mut(&slot).map(std::mem::take);
        self.leave_volatile(slot);
        // What was taken out must be counted as it was.
        let new = match (value, fields) {
            (Some(value), _) => {
                self.remove_slot(slot);
                self.insert(to, Content::String(Value::new(&value)))
            }
            (None, fields) => {
                let taken = fields.as_ref().map_or(0, Fields::bytes) - Fields::default().bytes();
                self.records_bytes -= taken;
                self.remove_slot(slot);
                let new = self.insert(to, Content::Hash);
                self.records_bytes += taken;
                self.hashes.insert(new, fields.unwrap_or_default());
                new
            }
        };
        self.slot_mut(new).touched = touched;
        if let Expiry::In(ms) = expiry {
            self.set_deadline(new, ms);
        }
    }

    fn insert(&mut self, key: &[u8], content: Content<'_>) -> u32 {
        let touched =
            if self.counts_uses() { lfu::start(self.clock.lfu_minutes()) } else { self.clock.lru_seconds() };
        let occupied = Slot { record: Record::new(key, content), touched, volatile_at: NOT_VOLATILE };
        let slot = self.free;
        let slot = if slot == NO_SLOT {
            self.slots.push(occupied);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 records fit in memory")
        } else {
            self.free = self.slot(slot).touched;
            *self.slot_mut(slot) = occupied;
            slot
        };
        if content == Content::Hash {
            self.hashes.insert(slot, Fields::default());
        }
        self.index.insert(self.hasher.tag(key), slot);
        if self.moment.is_some() {
            self.leave_out_of_moment(slot);
        }
        self.note(slot);
        self.records_bytes += self.bytes(slot);
        self.note_tables();
        slot
    }

    /// Removes a key; whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let found = self.find(key);
        if let Some(slot) = found {
            self.changes += 1;
            self.remove_slot(slot);
        }
        found.is_some()
    }

    fn remove_slot(&mut self, slot: u32) {
        self.note(slot);
        self.leave_volatile(slot);
        self.records_bytes -= self.bytes(slot);
        self.index.remove(self.hasher.tag(self.key(slot)), slot);
        self.hashes.remove(&slot);
        let next = self.free;
        *self.slot_mut(slot) = Slot { record: Record::default(), touched: next, volatile_at: NOT_VOLATILE };
        self.free = slot;
    }

    /// Removes a key for want of room.
    pub(super) fn evict(&mut self, slot: u32) {
        self.counts.evicted += 1;
        self.remove_slot(slot);
    }

    /// The size of a record that stands.
    pub(super) fn standing_size(&self, key: &[u8]) -> Option<usize> {
        self.find_standing(key).map(|(keyspace, number)| self.standing[keyspace].size(number))
    }

    /// Removes everything but what only stands, and lets all of that stand again.
    pub(super) fn start_over(&mut self) {
        let mut standing = std::mem::take(&mut self.standing);
        self.clear();
        for mut keyspace in standing.drain(..) {
            keyspace.restore();
            self.stand(keyspace);
        }
    }

    /// Removes whatever is not of a persistent keyspace.
    pub(crate) fn flush_caches(&mut self) {
        for slot in 0..self.slots.len() as u32 {
            let record = &self.slot(slot).record;
            if !record.is_none() && !self.standing.iter().any(|standing| standing.owns(record.key())) {
                self.changes += 1;
                self.remove_slot(slot);
            }
        }
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        self.changes += 1;
        self.moment = None;
        self.watched.note_all();
        if let Some(log) = self.log.as_mut() {
            *log = Log { cleared: true, keys: Vec::new() };
        }
        self.standing.clear();
        self.index = Index::new();
        self.slots = Vec::new();
        self.free = NO_SLOT;
        self.volatile = Volatiles::new();
        self.hashes.clear();
        self.records_bytes = 0;
        self.tables_bytes = [0; 2];
        self.pool = Pool::default();
    }
}
