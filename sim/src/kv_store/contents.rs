//! What a store holds and the rules by which it changes: reads, writes, lifetimes, memory. Knows no time but what it is
//! told, no clients and no costs.

use scenarios::rng::Stream;
use scenarios::scenario::Eviction;

use super::dict::{Dict, Entry};
use super::expiry::Cycle;
use super::table::Table;
use crate::eviction::Policy;

/// How many keys one command evicts at most: what Redis gets done within the 500 µs of `maxmemory-eviction-tenacity 10`
/// (evict.c: `evictionTimeLimitUs`) at about 1.5 µs each, in sixteens. What is still too much waits for the next command.
const EVICTIONS_PER_COMMAND: usize = 320;

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
    kept: Dict,
    /// The table that no dictionary here stands for: of all keys, where only those with a lifetime may go, and else of
    /// those with one.
    pub(super) other_table: Table,
    with_lifetime: u64,
    persistent_keys: u64,
    persistent_bytes: u64,
    /// Records' memory without tables.
    record_bytes: u64,
    max_bytes: u64,
    clock_offset_nanos: u64,
    policy: Policy,
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
            clock_offset_nanos: rules.clock_offset_nanos,
            policy: Policy::new(rules.eviction, rules.samples, stream),
            cycle: Cycle::default(),
            counts: KvCounts::default(),
        }
    }

    /// Memory of records and tables, in bytes.
    #[inline]
    pub fn used_bytes(&self) -> u64 {
        self.record_bytes + 8 * self.evictable.buckets() as u64 + self.other_table.bytes()
    }

    /// All keys, those that have expired and are not found out yet included.
    pub fn keys(&self) -> u64 {
        self.persistent_keys + (self.evictable.len() + self.kept.len()) as u64
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
        self.other_table.move_buckets(1);
        if let Some(place) = self.evictable.find(key) {
            let clock = now + self.clock_offset_nanos;
            let entry = self.evictable.at_mut(place);
            if entry.expires >= now {
                entry.used = self.policy.accessed(entry.used, clock);
                return true;
            }
            self.drop_evictable(place);
            self.counts.expired += 1;
            return false;
        }
        !self.kept.is_empty() && self.kept.find(key).is_some()
    }

    pub(super) fn drop_evictable(&mut self, place: u32) {
        let entry = self.evictable.remove(place);
        self.record_bytes -= u64::from(entry.bytes);
        let lives = entry.expires != Entry::NEVER;
        self.with_lifetime -= u64::from(lives);
        if !self.policy.all_keys || lives {
            self.other_table.remove();
        }
    }

    /// What Redis does before every command; false where there is nothing to evict and writes are refused.
    #[inline]
    pub fn make_room(&mut self, now: u64) -> bool {
        self.used_bytes() <= self.max_bytes || self.evict(now)
    }

    #[cold]
    fn evict(&mut self, now: u64) -> bool {
        for _ in 0..EVICTIONS_PER_COMMAND {
            let clock = now + self.clock_offset_nanos;
            let Some(victim) = self.policy.victim(&mut self.evictable, clock) else { return false };
            self.drop_evictable(victim);
            self.counts.evictions += 1;
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
        let clock = now + self.clock_offset_nanos;
        let bytes = u32::try_from(bytes).expect("no value is larger than 64 MiB");
        let expires = expires.unwrap_or(Entry::NEVER);
        let lives = expires != Entry::NEVER;
        // A SET goes to the dictionary of all keys four times and to that of lifetimes twice (t_string.c, db.c), and
        // moves a bucket each time; the rest of it does so once, or twice.
        if self.policy.all_keys {
            self.evictable.move_buckets(2);
            self.other_table.move_buckets(1);
        } else {
            self.other_table.move_buckets(3);
        }
        if let Some(place) = self.evictable.find(key) {
            let old = *self.evictable.at(place);
            if old.expires < now || !lives && !self.policy.all_keys {
                // A key that has expired is deleted first; one without a lifetime moves to where nothing evicts it.
                self.drop_evictable(place);
                self.counts.expired += u64::from(old.expires < now);
            } else {
                let used = self.policy.overwritten(old.used, clock);
                let entry = self.evictable.at_mut(place);
                (entry.expires, entry.bytes, entry.used) = (expires, bytes, used);
                self.record_bytes = self.record_bytes + u64::from(bytes) - u64::from(old.bytes);
                let lived = old.expires != Entry::NEVER;
                self.with_lifetime = self.with_lifetime + u64::from(lives) - u64::from(lived);
                if self.policy.all_keys && lives != lived {
                    self.note_in_other_table(lives);
                }
                return true;
            }
        } else if !self.kept.is_empty()
            && let Some(place) = self.kept.find(key)
        {
            let old = self.kept.remove(place);
            self.record_bytes -= u64::from(old.bytes);
            self.other_table.remove();
        }
        let room = self.max_bytes.saturating_sub(self.used_bytes());
        let entry = Entry::new(key, expires, bytes, self.policy.created(clock));
        if lives || self.policy.all_keys {
            self.evictable.insert(entry, |more| more <= room);
        } else {
            self.kept.insert(entry, |_| true);
        }
        self.record_bytes += u64::from(bytes);
        self.with_lifetime += u64::from(lives);
        if !self.policy.all_keys || lives {
            self.note_in_other_table(true);
        }
        true
    }

    fn note_in_other_table(&mut self, comes: bool) {
        if comes {
            let room = self.max_bytes.saturating_sub(self.used_bytes());
            self.other_table.insert(|more| more <= room);
        } else {
            self.other_table.remove();
        }
    }

    /// Whether the counts are those of what is held.
    #[cfg(test)]
    pub(crate) fn adds_up(&self) -> bool {
        let entries = || self.evictable.entries().chain(self.kept.entries());
        let bytes: u64 = entries().map(|e| u64::from(e.bytes)).sum();
        let lives = entries().filter(|e| e.expires != Entry::NEVER).count() as u64;
        let keys = (entries().count() as u64, self.with_lifetime);
        bytes + self.persistent_bytes == self.record_bytes
            && keys == ((self.keys() - self.persistent_keys), lives)
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
    }
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
