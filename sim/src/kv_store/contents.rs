//! What a store holds and the rules by which it changes: reads, writes, lifetimes, memory. Knows no time but what it is
//! told, no clients and no costs.

use scenarios::rng::Stream;
use scenarios::scenario::Eviction;

use super::deadlines::Deadlines;
use super::dict::{Dict, Entry};
use super::expiry::Cycle;
use super::sampled::Space;
use super::table::Table;
use crate::eviction::Policy;

/// How many keys one command evicts at most: what Redis gets done within the 500 µs of `maxmemory-eviction-tenacity 10`
/// (evict.c: `evictionTimeLimitUs`) at about 1.5 µs each, in sixteens. What is still too much waits for the next command.
const EVICTIONS_PER_COMMAND: u64 = 320;

/// Counts since they were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvCounts {
    /// Keys asked for and found.
    pub hits: u64,
    /// Keys asked for and not found.
    pub misses: u64,
    /// Keys evicted to make room.
    pub evictions: u64,
    /// Keys removed because their time was over.
    pub expired: u64,
}

/// What decides about a store's keys.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The limit on records and their tables, in bytes.
    pub max_bytes: u64,
    /// What happens at the limit.
    pub eviction: Eviction,
    /// Keys sampled per eviction.
    pub samples: u32,
    /// How far the server's clock is ahead of the run's, in nanoseconds: it decides when seconds and minutes turn.
    pub clock_offset_nanos: u64,
}

/// The keys of a store.
///
/// A key is a number above zero; what it takes of memory comes with it. Times are nanoseconds of the run.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The keys that the policy may evict, and those that expire.
    pub(super) evictable: Dict,
    /// Keys of cache keyspaces that the policy passes over, as they have no lifetime.
    pub(super) kept: Dict,
    /// The table that no dictionary here stands for: of all keys, where only those with a lifetime may go, and else of
    /// those with one.
    pub(super) other_table: Table,
    with_lifetime: u64,
    persistent_keys: u64,
    persistent_bytes: u64,
    /// Records' memory without tables.
    pub(super) record_bytes: u64,
    pub(crate) max_bytes: u64,
    /// For how many keys each one in the dictionaries stands; 1 where every key is followed.
    pub(crate) one_in: u64,
    /// The keyspaces of which some keys are followed, by their place in the scenario.
    pub(super) spaces: Vec<Option<Box<Space>>>,
    pub(super) deadlines: Deadlines,
    clock_offset_nanos: u64,
    pub(super) policy: Policy,
    pub(super) cycle: Cycle,
    /// What happened.
    pub counts: KvCounts,
}

impl Contents {
    /// An empty store with memory for so many keys. The stream decides what sampling looks at.
    pub fn new(rules: &Rules, keys: usize, stream: Stream) -> Self {
        Self {
            evictable: Dict::with_room(keys),
            kept: Dict::default(),
            other_table: Table::default(),
            with_lifetime: 0,
            persistent_keys: 0,
            persistent_bytes: 0,
            record_bytes: 0,
            max_bytes: rules.max_bytes,
            one_in: 1,
            spaces: Vec::new(),
            deadlines: Deadlines::default(),
            clock_offset_nanos: rules.clock_offset_nanos,
            policy: Policy::new(rules.eviction, rules.samples, stream),
            cycle: Cycle::default(),
            counts: KvCounts::default(),
        }
    }

    /// Memory of records and tables, in bytes.
    #[inline]
    pub fn used_bytes(&self) -> u64 {
        self.record_bytes + 8 * self.one_in * self.evictable.buckets() as u64 + self.other_table.bytes()
    }

    /// All keys, those that have expired and are not found out yet included.
    pub fn keys(&self) -> u64 {
        let heads: u64 = self.spaces.iter().flatten().map(|space| space.heads()).sum();
        self.persistent_keys + heads + self.one_in * (self.evictable.len() + self.kept.len()) as u64
    }

    /// Keys with a lifetime.
    pub fn keys_with_ttl(&self) -> u64 {
        self.with_lifetime
    }

    /// Adds keys that are always there while the store is up: so many, of so many bytes together. They come before any
    /// other, and no policy evicts them.
    pub fn stand(&mut self, keys: u64, bytes: u64) {
        self.persistent_keys += keys;
        self.persistent_bytes += bytes;
        self.record_bytes += bytes;
        if !self.policy.all_keys {
            self.other_table = Table::loaded(self.persistent_keys);
        }
    }

    /// Reads where keys would be, and nothing else: a wide read's cache misses then overlap instead of following each
    /// other.
    #[inline]
    pub fn touch(&self, keys: impl Iterator<Item = u64> + Clone) {
        self.evictable.touch(keys);
    }

    /// GET: whether the key is there. Counts nothing but what expired.
    #[inline]
    pub fn read(&mut self, key: u64, now: u64) -> bool {
        self.other_table.move_buckets(self.one_in);
        if let Some(place) = self.evictable.find(key) {
            let clock = now + self.clock_offset_nanos;
            let entry = self.evictable.at_mut(place);
            if entry.expires >= now {
                entry.used = self.policy.accessed(entry.used, clock);
                return true;
            }
            self.drop_evictable(place);
            self.counts.expired += self.one_in;
            return false;
        }
        !self.kept.is_empty() && self.kept.find(key).is_some()
    }

    /// Whether a key is there, without counting as a use of it.
    pub(super) fn is_there(&self, key: u64, now: u64) -> bool {
        match self.evictable.look(key) {
            Some(place) => self.evictable.at(place).expires >= now,
            None => self.kept.look(key).is_some(),
        }
    }

    pub(super) fn drop_evictable(&mut self, place: u32) {
        let entry = self.evictable.remove(place);
        self.record_bytes -= u64::from(entry.bytes);
        let lives = entry.expires != Entry::NEVER;
        if lives {
            self.with_lifetime -= self.one_in;
        }
        if !self.policy.all_keys || lives {
            self.other_table.remove(self.one_in);
        }
        if self.one_in > 1 {
            self.note_gone(&entry);
        }
    }

    /// What Redis does before every command; false where there is nothing to evict and writes are refused.
    #[inline]
    pub fn make_room(&mut self, now: u64) -> bool {
        self.used_bytes() <= self.max_bytes || self.evict(now)
    }

    #[cold]
    fn evict(&mut self, now: u64) -> bool {
        for _ in 0..EVICTIONS_PER_COMMAND.div_ceil(self.one_in) {
            let clock = now + self.clock_offset_nanos;
            let Some(victim) = self.policy.victim(&mut self.evictable, clock) else { return false };
            let expires = self.evictable.at(victim).expires;
            self.drop_evictable(victim);
            self.counts.evictions += self.one_in;
            if self.one_in > 1 {
                self.evict_heads(expires);
            }
            if self.used_bytes() <= self.max_bytes {
                break;
            }
        }
        true
    }

    /// SET of a record that takes so many bytes, with the time when it expires; false where memory does not allow it.
    pub fn write(&mut self, key: u64, bytes: u64, expires: Option<u64>, now: u64) -> bool {
        if !self.make_room(now) {
            return false;
        }
        let expires = expires.unwrap_or(Entry::NEVER);
        if self.one_in > 1 && self.write_head(key, bytes, expires) {
            return true;
        }
        self.put(key, bytes, expires, now);
        true
    }

    /// Writes a record whatever the limit says.
    pub(super) fn put(&mut self, key: u64, bytes: u64, expires: u64, now: u64) {
        let clock = now + self.clock_offset_nanos;
        let bytes = u32::try_from(bytes * self.one_in).unwrap_or(u32::MAX);
        let lives = expires != Entry::NEVER;
        // A SET goes to the dictionary of all keys four times and to that of lifetimes twice (t_string.c, db.c), and
        // moves a bucket each time; the rest of it does so once, or twice.
        if self.policy.all_keys {
            self.evictable.move_buckets(2);
            self.other_table.move_buckets(self.one_in);
        } else {
            self.other_table.move_buckets(3 * self.one_in);
        }
        if let Some(place) = self.evictable.find(key) {
            let old = *self.evictable.at(place);
            if old.expires < now || !lives && !self.policy.all_keys {
                // A key that has expired is deleted first; one without a lifetime moves to where nothing evicts it.
                self.drop_evictable(place);
                if old.expires < now {
                    self.counts.expired += self.one_in;
                }
            } else {
                let used = self.policy.overwritten(old.used, clock);
                let entry = self.evictable.at_mut(place);
                (entry.expires, entry.bytes, entry.used) = (expires, bytes, used);
                self.record_bytes = self.record_bytes + u64::from(bytes) - u64::from(old.bytes);
                let lived = old.expires != Entry::NEVER;
                if lives != lived {
                    self.with_lifetime =
                        self.with_lifetime + self.one_in * u64::from(lives) - self.one_in * u64::from(lived);
                    if self.policy.all_keys {
                        self.note_in_other_table(lives);
                    }
                }
                if self.one_in > 1 {
                    self.note_gone(&old);
                    self.note_come(key, expires);
                }
                return;
            }
        } else if !self.kept.is_empty()
            && let Some(place) = self.kept.find(key)
        {
            let old = self.kept.remove(place);
            self.record_bytes -= u64::from(old.bytes);
            self.other_table.remove(self.one_in);
            if self.one_in > 1 {
                self.note_gone(&old);
            }
        }
        let room = self.max_bytes.saturating_sub(self.used_bytes()) / self.one_in;
        let entry = Entry::new(key, expires, bytes, self.policy.created(clock));
        if lives || self.policy.all_keys {
            self.evictable.insert(entry, |more| more <= room);
        } else {
            self.kept.insert(entry, |_| true);
        }
        self.record_bytes += u64::from(bytes);
        if lives {
            self.with_lifetime += self.one_in;
        }
        if !self.policy.all_keys || lives {
            self.note_in_other_table(true);
        }
        if self.one_in > 1 {
            self.note_come(key, expires);
        }
    }

    /// Takes a key out, if it is there.
    pub(crate) fn remove(&mut self, key: u64) {
        if let Some(place) = self.evictable.find(key) {
            self.drop_evictable(place);
        } else if let Some(place) = self.kept.find(key) {
            let old = self.kept.remove(place);
            self.record_bytes -= u64::from(old.bytes);
            self.other_table.remove(self.one_in);
            if self.one_in > 1 {
                self.note_gone(&old);
            }
        }
    }

    fn note_in_other_table(&mut self, comes: bool) {
        if comes {
            let room = self.max_bytes.saturating_sub(self.used_bytes());
            self.other_table.insert(self.one_in, |more| more <= room);
        } else {
            self.other_table.remove(self.one_in);
        }
    }

    /// Whether the counts are those of what is held.
    #[cfg(test)]
    pub(crate) fn adds_up(&self) -> bool {
        let entries = || self.evictable.entries().chain(self.kept.entries());
        let heads = || self.spaces.iter().flatten();
        let bytes: u64 = entries().map(|e| u64::from(e.bytes)).sum();
        let bytes = bytes + heads().map(|space| space.held_head_bytes()).sum::<u64>();
        let lives = entries().filter(|e| e.expires != Entry::NEVER).count() as u64 * self.one_in;
        let held = entries().count() as u64 * self.one_in + heads().map(|space| space.heads()).sum::<u64>();
        bytes + self.persistent_bytes == self.record_bytes
            && (held, lives) == (self.keys() - self.persistent_keys, self.with_lifetime)
    }

    /// A process that was started has read what was saved: the keys of then whose time is not over, with their last uses. What
    /// is drawn and what is counted are the run's, and go on.
    pub(super) fn load(&mut self, saved: &Self, now: u64) {
        let counts = self.counts;
        let mut loaded = saved.clone();
        std::mem::swap(&mut loaded.policy, &mut self.policy);
        *self = loaded;
        self.policy.forget();
        self.cycle = Cycle::default();
        // No key whose time is over comes from a file (rdb.c, `rdbLoadRioWithLoadingCtx`).
        let over: Vec<u64> = self.evictable.entries().filter(|e| e.expires < now).map(|e| e.key).collect();
        over.into_iter().for_each(|key| self.remove(key));
        self.pass_deadlines(now);
        self.counts = counts;
    }

    /// The process died: only what is on disk comes back.
    pub fn lose_all(&mut self) {
        self.evictable = Dict::default();
        self.kept = Dict::default();
        self.with_lifetime = 0;
        self.record_bytes = self.persistent_bytes;
        self.other_table = Table::loaded(if self.policy.all_keys { 0 } else { self.persistent_keys });
        self.cycle = Cycle::default();
        self.policy.forget();
        self.spaces.iter_mut().flatten().for_each(|space| space.lose_all());
        self.deadlines = Deadlines::default();
    }
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
