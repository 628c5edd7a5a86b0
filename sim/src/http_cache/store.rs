//! Objects by key, the bytes that they take, and the list by which they are evicted.
//!
//! After Varnish 7.1's `storage_lru.c`, `storage_simple.c` and `storage_malloc.c`. An allocation that does not fit the
//! store's bytes evicts from the list's head, the object that was moved last the longest ago, until it does, and at most
//! `nuke_limit` objects for one fetch. A hit moves its object to the list's tail only where it was not moved within
//! `lru_interval`, so the list is not exactly in the order of use. An object that is being fetched again is in use, and
//! passed over.
//!
//! Not in the model: objects that are being sent at the instant of an eviction, which Varnish passes over too.

use super::contents::Settings;
use crate::ids::Ids;
use crate::prefetch::prefetch;

pub(crate) const NONE: u32 = u32::MAX;
/// A step of [`Object::moved`]: 2^24 ns, 17 ms, so that 32 bits last two years.
const TICK_BITS: u32 = 24;

/// Names an object while it is in the store, or being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) u32);

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing yet: it is being fetched.
    Nothing,
    /// An object.
    Object,
    /// An error that was kept for those who waited for it.
    Error,
    /// A mark that the answer cannot be cached, so that nobody waits for another's.
    HitForMiss,
    /// A mark that requests are to be passed on.
    HitForPass,
}

/// An entry: 48 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) key: u64,
    /// The end of its TTL, in nanoseconds.
    pub(crate) fresh_until: u64,
    /// Towards the head of the list, where objects are evicted.
    older: u32,
    newer: u32,
    /// What it takes of the store's bytes.
    pub(crate) bytes: u32,
    /// When it was last moved, in ticks.
    moved: u32,
    /// Which of the contents that its place has had, one after the other, is there.
    pub(crate) content: u32,
    /// Its grace and keep: the number of a lifetime.
    pub(crate) lifetime: u16,
    /// Fetches under way.
    pub(crate) fetches: u16,
    pub(crate) kind: Kind,
    /// Whether it is in the list: transient objects are not.
    listed: bool,
}

/// The objects.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    settings: Settings,
    objects: Vec<Object>,
    free: Vec<u32>,
    ids: Ids,
    /// Where the next object to evict is.
    head: u32,
    tail: u32,
    /// Bytes allocated, as `SMA.s0.g_bytes` counts them.
    pub(crate) used_bytes: u64,
    /// Bytes of objects that live too short to be worth an eviction, and of marks; they have no limit.
    pub(crate) transient_bytes: u64,
}

impl Store {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            objects: Vec::new(),
            free: Vec::new(),
            ids: Ids::new(),
            head: NONE,
            tail: NONE,
            used_bytes: 0,
            transient_bytes: 0,
        }
    }

    /// How many entries there are, those being fetched included.
    pub(crate) fn len(&self) -> usize {
        self.objects.len() - self.free.len()
    }

    /// All entries' numbers, with those that are free.
    pub(crate) fn ids(&self) -> std::ops::Range<u32> {
        0..self.objects.len() as u32
    }

    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<u32> {
        self.ids.find(key, |id| self.objects[id as usize].key == key)
    }

    /// Asks for the memory that tells whether a key is there.
    #[inline]
    pub(crate) fn prefetch(&self, key: u64) {
        self.ids.prefetch(key);
    }

    /// Asks for the memory of what a key has, where the memory that tells of it is at hand.
    #[inline]
    pub(crate) fn prefetch_object(&self, key: u64) {
        if let Some(id) = self.ids.guess(key) {
            self.prefetch_entry(id);
        }
    }

    /// Asks for the memory of an entry that is about to go.
    #[inline]
    pub(crate) fn prefetch_entry(&self, id: u32) {
        prefetch(&self.objects, id as usize);
    }

    /// Asks for what else is touched when an entry goes whose own memory is at hand.
    #[inline]
    pub(crate) fn prefetch_links(&self, id: u32) {
        let Object { key, older, newer, .. } = self.objects[id as usize];
        self.ids.prefetch(key);
        prefetch(&self.objects, older as usize);
        prefetch(&self.objects, newer as usize);
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> &Object {
        &self.objects[id as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> &mut Object {
        &mut self.objects[id as usize]
    }

    /// An entry for a key that has none, without content.
    pub(crate) fn add(&mut self, key: u64) -> u32 {
        let mut object = Object {
            key,
            fresh_until: 0,
            older: NONE,
            newer: NONE,
            bytes: 0,
            moved: 0,
            content: 0,
            lifetime: 0,
            fetches: 0,
            kind: Kind::Nothing,
            listed: false,
        };
        let id = match self.free.pop() {
            Some(id) => {
                let place = &mut self.objects[id as usize];
                object.content = place.content;
                *place = object;
                id
            }
            None => {
                self.objects.push(object);
                self.objects.len() as u32 - 1
            }
        };
        self.ids.insert(key, id);
        id
    }

    /// Takes an entry's content away and gives its bytes back.
    pub(crate) fn empty(&mut self, id: u32) {
        let Object { bytes, listed, .. } = self.objects[id as usize];
        if listed {
            self.unlink(id);
            self.used_bytes -= u64::from(bytes);
        } else {
            self.transient_bytes -= u64::from(bytes);
        }
        let object = &mut self.objects[id as usize];
        (object.bytes, object.listed, object.kind) = (0, false, Kind::Nothing);
    }

    /// Forgets an entry without content.
    pub(crate) fn remove(&mut self, id: u32) {
        let key = self.objects[id as usize].key;
        self.ids.remove(key, id);
        // Of what comes later, no entry is told from this one by its end.
        let object = &mut self.objects[id as usize];
        object.fresh_until = 0;
        object.kind = Kind::Nothing;
        object.content = object.content.wrapping_add(1);
        self.free.push(id);
    }

    /// `LRU_Touch`.
    #[inline]
    pub(crate) fn touch(&mut self, id: u32, now: u64) {
        let object = &self.objects[id as usize];
        let moved = u64::from(object.moved) << TICK_BITS;
        if object.listed && now.saturating_sub(moved) >= self.settings.lru_interval_nanos {
            self.unlink(id);
            self.link_last(id, now);
        }
    }

    /// Gives an entry its bytes in the store and the last place in the list.
    pub(crate) fn list(&mut self, id: u32, bytes: u64, now: u64) {
        let object = &mut self.objects[id as usize];
        (object.bytes, object.listed) = (bytes as u32, true);
        self.link_last(id, now);
    }

    /// Gives an entry bytes outside the store.
    pub(crate) fn keep_transient(&mut self, id: u32, bytes: u64) {
        self.objects[id as usize].bytes = bytes as u32;
        self.transient_bytes += bytes;
    }

    fn link_last(&mut self, id: u32, now: u64) {
        let tail = std::mem::replace(&mut self.tail, id);
        let object = &mut self.objects[id as usize];
        (object.older, object.newer, object.moved) = (tail, NONE, (now >> TICK_BITS) as u32);
        match tail {
            NONE => self.head = id,
            _ => self.objects[tail as usize].newer = id,
        }
    }

    fn unlink(&mut self, id: u32) {
        let Object { older, newer, .. } = self.objects[id as usize];
        match older {
            NONE => self.head = newer,
            _ => self.objects[older as usize].newer = newer,
        }
        match newer {
            NONE => self.tail = older,
            _ => self.objects[newer as usize].older = older,
        }
    }

    /// The next to evict: the first of the list that is not being fetched again.
    fn victim(&self) -> Option<u32> {
        let mut at = self.head;
        while at != NONE {
            let object = &self.objects[at as usize];
            if object.fetches == 0 {
                return Some(at);
            }
            at = object.newer;
        }
        None
    }

    /// Allocates an object's head and its body as Varnish does, handing what must go to `evicted`; false where
    /// `nuke_limit` or the list's end came first, and then nothing is allocated.
    ///
    /// A body is asked for whole, then by halves down to `fetch_chunksize` (`sml_stv_alloc`), and only when not even
    /// that is free is an object evicted: a large body fills the holes that there are. The head of an evicted object
    /// is given back by another thread, `cache_expire.c`'s, and so only after this fetch.
    pub(crate) fn allocate(&mut self, head_bytes: u64, body_bytes: u64, evicted: &mut Vec<u32>) -> bool {
        // Mostly there is room.
        let all = head_bytes + body_bytes;
        if all <= self.settings.memory_bytes.saturating_sub(self.used_bytes) {
            self.used_bytes += all;
            return true;
        }
        let mut later = 0;
        let mut held = 0;
        let mut wanted = head_bytes;
        let mut whole = true;
        let fitted = loop {
            let space = self.settings.memory_bytes.saturating_sub(self.used_bytes + later + held);
            let piece = if whole { (wanted <= space).then_some(wanted) } else { self.piece(wanted, space) };
            match piece {
                Some(piece) => {
                    held += piece;
                    wanted -= piece;
                    if wanted == 0 {
                        if !whole || body_bytes == 0 {
                            break true;
                        }
                        (whole, wanted) = (false, body_bytes);
                    }
                }
                None => {
                    if evicted.len() as u32 >= self.settings.nuke_limit {
                        break false;
                    }
                    let Some(victim) = self.victim() else { break false };
                    later += self.settings.head_bytes.min(u64::from(self.objects[victim as usize].bytes));
                    self.empty(victim);
                    evicted.push(victim);
                }
            }
        };
        if fitted {
            self.used_bytes += held;
        }
        fitted
    }

    /// What can be had of a body at once.
    fn piece(&self, wanted: u64, space: u64) -> Option<u64> {
        let mut piece = wanted;
        while piece > space {
            if piece <= self.settings.chunk_bytes {
                return None;
            }
            piece /= 2;
        }
        Some(piece)
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.objects.iter().enumerate().all(|(id, o)| o.fetches == 0 || self.free.contains(&(id as u32)))
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        let (mut at, mut older, mut bytes, mut listed) = (self.head, NONE, 0, 0);
        while at != NONE {
            let object = &self.objects[at as usize];
            assert!(object.listed && object.older == older);
            bytes += u64::from(object.bytes);
            listed += 1;
            (older, at) = (at, object.newer);
        }
        assert_eq!((older, bytes), (self.tail, self.used_bytes));
        assert_eq!(self.objects.iter().filter(|o| o.listed).count(), listed);
        assert!(self.used_bytes <= self.settings.memory_bytes);
    }
}
