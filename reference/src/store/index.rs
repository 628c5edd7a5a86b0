//! Where the record of a key is: an extendible hash table (Fagin, Nievergelt, Pippenger and Strong, "Extendible hashing", ACM
//! TODS 4, 1979), whose segments split one at a time, so that no command ever waits until a whole table has moved.
//!
//! It knows numbers of slots and a part of each key's hash, never the keys.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Entries of a segment: 8 KiB, which take a few microseconds to split.
const SIZE: usize = 1024;
const MASK: usize = SIZE - 1;
/// A segment with more entries than this splits: probing stays short at seven eighths.
const MOST: u16 = (SIZE - SIZE / 8) as u16;
/// The hash gives 32 bits. This many segments would hold more records than slots have numbers.
const DEEPEST: u32 = 26;

/// A directory grows to this many times (as a power of two) as many entries as there are segments. Among a billion random
/// tags it never comes near that.
const SPARSEST: u32 = 8;

/// 32 bits of a key's hash. Upper bits choose the segment, lower bits the place in it, all of them tell keys apart.
pub(super) type Tag = u32;

/// Hashes keys by folded multiplication, as wyhash does. Every factor is joined with a number that nobody outside can know:
/// a factor that a client can make zero would wipe out all that came before it, and all such keys would be one.
#[derive(Debug)]
pub(super) struct Hasher {
    seed: u64,
    secrets: [u64; 2],
}

impl Hasher {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        // Odd, so that none of them is zero.
        Self { seed: random.hash_one(0), secrets: [random.hash_one(1) | 1, random.hash_one(2) | 1] }
    }

    /// The tag of a key.
    #[inline]
    pub(super) fn tag(&self, key: &[u8]) -> Tag {
        const LENGTHS: u64 = 0xe703_7ed1_a0b4_28db;
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            (product as u64) ^ (product >> 64) as u64
        };
        let wide = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let narrow = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
        let [first, last] = self.secrets;
        // Spread, as a length that only changes low bits can be undone by a character.
        let mut hash = self.seed ^ (key.len() as u64).wrapping_mul(LENGTHS);
        let mut rest = key;
        while let Some((a, tail)) = rest.split_first_chunk::<8>() {
            if let Some((b, tail)) = tail.split_first_chunk::<8>() {
                hash = fold(wide(a) ^ first, wide(b) ^ hash);
                rest = tail;
            } else {
                break;
            }
        }
        let (a, b) = match (rest.first_chunk(), rest.last_chunk(), rest.first_chunk(), rest.last_chunk()) {
            (Some(a), Some(b), ..) => (wide(a), wide(b)),
            (_, _, Some(a), Some(b)) => (narrow(a), narrow(b)),
            _ => (rest.iter().fold(0, |a, b| a << 8 | u64::from(*b)), 0),
        };
        (fold(fold(a ^ first, b ^ hash) ^ last, first) >> 32) as Tag
    }
}

/// The table.
pub(super) struct Index {
    /// The segment for each value of the first `depth` bits of a tag.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    /// Entries whose segment was full and no deeper split was worth its directory: more tags are alike than chance allows.
    overflow: BTreeSet<u64>,
    len: usize,
}

struct Segment {
    /// Tag and slot plus one; zero where there is none. Linear probing without gaps.
    entries: Box<[u64; SIZE]>,
    used: u16,
    /// How many bits of the tag all of its entries share.
    depth: u8,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("len", &self.len)
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

const fn tag_of(entry: u64) -> Tag {
    (entry >> 32) as Tag
}

impl Segment {
    fn new(depth: u8) -> Self {
        let entries = vec![0; SIZE].into_boxed_slice();
        Self { entries: entries.try_into().expect("that many entries were made"), used: 0, depth }
    }

    fn place(&mut self, entry: u64) {
        let mut at = tag_of(entry) as usize & MASK;
        while self.entries[at] != 0 {
            at = (at + 1) & MASK;
        }
        self.entries[at] = entry;
        self.used += 1;
    }

    fn remove(&mut self, entry: u64) {
        let mut hole = tag_of(entry) as usize & MASK;
        while self.entries[hole] != entry {
            assert!(self.entries[hole] != 0, "only what was inserted is removed");
            hole = (hole + 1) & MASK;
        }
        // What was pushed on by the entry that leaves moves up, so that there never is a gap.
        let mut next = hole;
        loop {
            next = (next + 1) & MASK;
            let moved = self.entries[next];
            if moved == 0 {
                break;
            }
            let home = tag_of(moved) as usize & MASK;
            if next.wrapping_sub(home) & MASK >= next.wrapping_sub(hole) & MASK {
                self.entries[hole] = moved;
                hole = next;
            }
        }
        self.entries[hole] = 0;
        self.used -= 1;
    }
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            directory: vec![0],
            depth: 0,
            segments: vec![Segment::new(0)],
            overflow: BTreeSet::new(),
            len: 0,
        }
    }

    /// How many slots are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn segment(&self, tag: Tag) -> usize {
        self.directory[((u64::from(tag) << self.depth) >> 32) as usize] as usize
    }

    /// The slot with this tag of which `is_it` says that it has the key.
    #[inline]
    pub(super) fn find(&self, tag: Tag, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let entries = &self.segments[self.segment(tag)].entries;
        let mut at = tag as usize & MASK;
        loop {
            let entry = entries[at];
            if entry == 0 {
                return if self.overflow.is_empty() { None } else { self.find_overflow(tag, is_it) };
            }
            if tag_of(entry) == tag && is_it(entry as u32 - 1) {
                return Some(entry as u32 - 1);
            }
            at = (at + 1) & MASK;
        }
    }

    #[cold]
    fn find_overflow(&self, tag: Tag, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let first = u64::from(tag) << 32;
        let alike = self.overflow.range(first..=first | u64::from(u32::MAX));
        alike.map(|entry| *entry as u32 - 1).find(|slot| is_it(*slot))
    }

    /// Adds a slot, which must not be in it yet.
    pub(super) fn insert(&mut self, tag: Tag, slot: u32) {
        let entry = u64::from(tag) << 32 | u64::from(slot + 1);
        loop {
            let segment = self.segment(tag);
            if self.segments[segment].used < MOST {
                self.segments[segment].place(entry);
                self.len += 1;
                return;
            }
            let deepest = (self.segments.len().ilog2() + SPARSEST).min(DEEPEST);
            if u32::from(self.segments[segment].depth) >= deepest {
                self.overflow.insert(entry);
                self.len += 1;
                return;
            }
            self.split(segment, tag);
        }
    }

    /// Takes a slot out, which must be in it with this tag.
    pub(super) fn remove(&mut self, tag: Tag, slot: u32) {
        let entry = u64::from(tag) << 32 | u64::from(slot + 1);
        if self.overflow.is_empty() || !self.overflow.remove(&entry) {
            let segment = self.segment(tag);
            self.segments[segment].remove(entry);
        }
        self.len -= 1;
    }

    /// The slots of a bucket: those whose tags share the bits that choose the segment and the place in it; those that came last
    /// first, as in a chain. Any number names a bucket; there are as many as a table of so many keys has in Redis, or up to
    /// twice as many.
    pub(super) fn bucket_slots(&self, bucket: Tag) -> impl Iterator<Item = u32> {
        let entries = &self.segments[self.segment(bucket)].entries;
        let home = bucket as usize & MASK;
        let run = (home..home + SIZE).take_while(|at| entries[at & MASK] != 0).count();
        let run = (home..home + run).rev().map(|at| entries[at & MASK]);
        run.filter(move |entry| tag_of(*entry) as usize & MASK == home).map(|entry| entry as u32 - 1)
    }

    /// The bucket after a bucket.
    pub(super) fn next_bucket(&self, bucket: Tag) -> Tag {
        if bucket as usize & MASK < MASK {
            return bucket + 1;
        }
        let depth = u32::from(self.segments[self.segment(bucket)].depth);
        // Of the next segment, the first; of all others, the first again after the last.
        let next = (u64::from(bucket) >> (32 - depth)) + 1;
        (next << (32 - depth)) as Tag
    }

    /// Splits a segment, of whose entries `tag` could be one, by the next bit.
    fn split(&mut self, segment: usize, tag: Tag) {
        let shared = u32::from(self.segments[segment].depth);
        if shared == self.depth {
            self.directory = self.directory.iter().flat_map(|s| [*s, *s]).collect();
            self.depth += 1;
        }
        let depth = shared + 1;
        let new = u32::try_from(self.segments.len()).expect("there are fewer segments than slots");
        let both = [Segment::new(depth as u8), Segment::new(depth as u8)];
        let [mut low, mut high] = both;
        for &entry in self.segments[segment].entries.iter().filter(|entry| **entry != 0) {
            let half = if tag_of(entry) >> (32 - depth) & 1 == 0 { &mut low } else { &mut high };
            half.place(entry);
        }
        self.segments[segment] = low;
        self.segments.push(high);
        // All entries of the directory that lead to one segment are neighbours.
        let first = ((u64::from(tag) << shared) >> 32 << (self.depth - shared)) as usize;
        let half = 1 << (self.depth - depth);
        self.directory[first + half..first + 2 * half].fill(new);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use scenarios::rng::{Purpose, Stream};
    use scenarios::units::Seed;

    use super::*;

    #[test]
    fn it_finds_what_was_inserted_and_not_removed() {
        let mut stream = Stream::new(Seed(7), Purpose::named("index-test"), 0);
        let (mut index, mut model) = (Index::new(), BTreeMap::new());
        let hasher = Hasher::new();
        for round in 0..60_000_u32 {
            // More go in than out at first, and the other way round later.
            let number = stream.below(20_000) as u32;
            let tag = hasher.tag(format!("key:{number}").as_bytes());
            if stream.below(60_000) as u32 > round {
                if model.insert(number, tag).is_none() {
                    index.insert(tag, number);
                }
            } else if model.remove(&number).is_some() {
                index.remove(tag, number);
            }
        }
        assert!(model.len() > 1000 && index.segments.len() > 8, "{} {}", model.len(), index.segments.len());
        assert_eq!(index.len(), model.len());
        for number in 0..20_000 {
            let tag = hasher.tag(format!("key:{number}").as_bytes());
            assert_eq!(index.find(tag, |slot| slot == number).is_some(), model.contains_key(&number));
        }
    }

    #[test]
    fn the_buckets_in_turn_have_every_slot_once() {
        let (mut index, hasher) = (Index::new(), Hasher::new());
        let tags: Vec<Tag> = (0..9000).map(|n| hasher.tag(format!("key:{n}").as_bytes())).collect();
        for (slot, tag) in tags.iter().enumerate() {
            index.insert(*tag, slot as u32);
        }
        let (mut bucket, mut seen) = (0, BTreeSet::new());
        loop {
            for slot in index.bucket_slots(bucket) {
                assert!(seen.insert(slot), "{slot}");
            }
            bucket = index.next_bucket(bucket);
            if bucket == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), 9000);
        assert!(index.bucket_slots(tags[17]).any(|slot| slot == 17), "a key's tag names its bucket");
    }

    #[test]
    fn any_number_of_equal_tags_can_be_inserted_and_removed() {
        let mut index = Index::new();
        (0..5000).for_each(|slot| index.insert(7, slot));
        assert_eq!(index.len(), 5000);
        assert!(index.directory.len() < 100_000, "{}", index.directory.len());
        assert!((0..5000).all(|wanted| index.find(7, |slot| slot == wanted) == Some(wanted)));
        assert_eq!(index.find(7, |_| false), None);
        (0..5000).for_each(|slot| index.remove(7, slot));
        assert_eq!((index.len(), index.find(7, |_| true)), (0, None));
    }

    #[test]
    fn no_part_of_a_key_wipes_out_the_others() {
        let hasher = Hasher::new();
        let wyhash: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];
        for (chunk, first) in wyhash.into_iter().flat_map(|chunk| [(chunk, true), (chunk, false)]) {
            let key = |n: u64| {
                let parts = if first { [chunk, n] } else { [n, chunk] };
                parts.map(u64::to_le_bytes).concat()
            };
            let tags: BTreeSet<_> = (0..1000).map(|n| hasher.tag(&key(n))).collect();
            assert!(tags.len() > 990, "{chunk:x}: {}", tags.len());
        }
    }

    #[test]
    fn tags_of_similar_keys_differ() {
        let hasher = Hasher::new();
        let tags: BTreeSet<_> = (0..100_000).map(|n| hasher.tag(format!("k:{n}").as_bytes())).collect();
        // The birthday of 100,000 in 2^32: about one pair.
        assert!(tags.len() > 99_980, "{}", tags.len());
        let lengths: BTreeSet<_> = (0..100).map(|n| hasher.tag(&vec![0; n])).collect();
        assert_eq!(lengths.len(), 100);
    }
}
