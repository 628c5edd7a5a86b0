//! What a request meets when it looks an object up, and what a fetch leaves behind.
//!
//! After Varnish 7.1's `cache_hash.c` (`HSH_Lookup`, `HSH_Unbusy`, `HSH_Purge`), `cache_expire.c` and `cache_fetch.c`. An
//! object is fresh until the end of its TTL; then stale, but good enough while another fetches it, until the end of its
//! grace; then kept for a conditional fetch, until the end of its keep; then it goes. Who finds nothing, and finds
//! somebody fetching it, waits for that fetch.
//!
//! Where several objects of one key can live side by side in Varnish, only the newest counts here. Those who wait for an
//! object all go on at the instant it is there; Varnish wakes them by threes (`rush_exponent`), each waking three more.

use std::collections::BTreeMap;

use results::sample;

pub use super::counts::Counts;
use super::expiry::Expiry;
pub use super::settings::{Lifetime, Settings};
use super::store::{Kind, ObjectId, Store};
use super::tags::{Content, Tags};

/// The page that Varnish makes up when a fetch fails: `vcl_builtin_backend_error`.
const ERROR_BODY_BYTES: u64 = 280;
/// For how long a failure is kept for those who waited for it, and that failure's grace and keep: `vbf_stp_error`.
const ERROR_TTL_NANOS: u64 = 1_000_000_000;
const ERROR_LIFETIME: Lifetime = Lifetime { grace_nanos: 5_000_000_000, keep_nanos: 5_000_000_000 };
/// Marks go at the end of their TTL.
const MARK_LIFETIME: Lifetime = Lifetime { grace_nanos: 0, keep_nanos: 0 };

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It is there and fresh.
    Hit(ObjectId),
    /// It is there and stale, and may be served; with `refresh`, the caller starts a fetch in the background.
    Stale {
        /// The object.
        object: ObjectId,
        /// Whether nobody fetches it yet.
        refresh: bool,
    },
    /// The caller fetches it; with `conditional`, the answer may be that what is kept is still good.
    Miss {
        /// Where it will be.
        object: ObjectId,
        /// Whether an old one is kept.
        conditional: bool,
    },
    /// Somebody is fetching it: [`Contents::wait`].
    Busy(ObjectId),
    /// It is known not to be cacheable, and the caller fetches it for itself; the answer may turn out otherwise.
    HitForMiss(ObjectId),
    /// It is known not to be cacheable, and the caller fetches it for itself, without reporting back.
    HitForPass,
}

/// A good answer of the back end, to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// How long it is fresh; above zero.
    pub ttl_nanos: u64,
    /// The number of its grace and keep.
    pub lifetime: u16,
    /// Its body.
    pub body_bytes: u64,
    /// The names of its tags.
    pub tags: &'a [u64],
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is an object now.
    Kept,
    /// It lives too short for the storage, and is kept beside it.
    Transient,
    /// The evictions allowed for one fetch were not enough: Varnish breaks the delivery off.
    NoRoom,
}

/// What a cache holds. Keys and tags are any 64 bits; times are nanoseconds and may not decrease.
#[derive(Clone, Debug)]
pub struct Contents {
    pub(crate) settings: Settings,
    lifetimes: Vec<Lifetime>,
    store: Store,
    expiry: Expiry,
    tags: Tags,
    /// Who waits for an object: numbers that mean something to the caller.
    waiting: BTreeMap<u32, Vec<u32>>,
    counts: Counts,
    /// Scratch.
    evicted: Vec<u32>,
    carriers: Vec<Content>,
}

impl Contents {
    /// An empty cache whose objects have these lifetimes.
    pub fn new(settings: Settings, lifetimes: &[Lifetime]) -> Self {
        let mut lifetimes = lifetimes.to_vec();
        lifetimes.extend([ERROR_LIFETIME, MARK_LIFETIME]);
        Self {
            settings,
            lifetimes,
            store: Store::new(settings),
            expiry: Expiry::default(),
            tags: Tags::new(),
            waiting: BTreeMap::new(),
            counts: Counts::default(),
            evicted: Vec::new(),
            carriers: Vec::new(),
        }
    }

    /// How many objects there are, marks and those being fetched included.
    pub fn objects(&self) -> usize {
        self.store.len()
    }

    /// Bytes allocated from the storage, as Varnish's `SMA.s0.g_bytes`.
    pub fn used_bytes(&self) -> u64 {
        self.store.used_bytes
    }

    /// Bytes of what is kept beside the storage, as `SMA.Transient.g_bytes`.
    pub fn transient_bytes(&self) -> u64 {
        self.store.transient_bytes
    }

    /// What was counted since the last [`Contents::take_counts`].
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What was counted, which starts again from nothing.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Hands over what is observed at the end of an interval.
    pub(crate) fn sample(&mut self, now: u64, put: &mut impl FnMut(&'static str, f64)) {
        self.expire(now);
        self.take_counts().put(put);
        put(sample::KEYS, self.objects() as f64);
        put(sample::MEMORY_BYTES, (self.used_bytes() + self.transient_bytes()) as f64);
    }

    /// Whether an object is an error that was kept for those who waited for it.
    pub fn is_error(&self, object: ObjectId) -> bool {
        self.store.get(object.0).kind == Kind::Error
    }

    /// What an object was looked up by.
    pub fn key(&self, object: ObjectId) -> u64 {
        self.store.get(object.0).key
    }

    /// The size of an object's body.
    pub fn body_bytes(&self, object: ObjectId) -> u64 {
        u64::from(self.store.get(object.0).bytes).saturating_sub(self.settings.head_bytes)
    }

    /// Asks for the memory that a lookup of this key will look at.
    #[inline]
    pub(crate) fn prefetch(&self, key: u64) {
        self.store.prefetch(key);
    }

    /// Asks for the memory of what it will find there, where that of [`Contents::prefetch`] has come.
    #[inline]
    pub(crate) fn prefetch_object(&self, key: u64) {
        self.store.prefetch_object(key);
    }

    /// Looks a key up: `HSH_Lookup`. Whoever is told to fetch must end that by one of [`Contents::keep`],
    /// [`Contents::confirm`], [`Contents::mark`] and [`Contents::fail`].
    #[inline]
    pub fn lookup(&mut self, key: u64, now: u64) -> Lookup {
        self.expire(now);
        let Some(id) = self.store.find(key) else {
            self.counts.misses += 1;
            let id = self.store.add(key);
            self.store.get_mut(id).fetches = 1;
            return Lookup::Miss { object: ObjectId(id), conditional: false };
        };
        let entry = self.store.get(id);
        let object = ObjectId(id);
        match entry.kind {
            Kind::Object | Kind::Error if entry.fresh_until > now => {
                self.counts.hits += 1;
                self.store.touch(id, now);
                Lookup::Hit(object)
            }
            Kind::Object | Kind::Error => self.look_at_stale(object, now),
            Kind::Nothing => self.join(object, false),
            Kind::HitForMiss => {
                self.counts.passes += 1;
                self.start(id);
                Lookup::HitForMiss(object)
            }
            Kind::HitForPass => {
                self.counts.passes += 1;
                Lookup::HitForPass
            }
        }
    }

    fn look_at_stale(&mut self, object: ObjectId, now: u64) -> Lookup {
        let entry = self.store.get(object.0);
        let grace = self.lifetimes[usize::from(entry.lifetime)].grace_nanos;
        if now > entry.fresh_until.saturating_add(grace) {
            let conditional = entry.kind == Kind::Object;
            return self.join(object, conditional);
        }
        let refresh = entry.fetches == 0 || !self.settings.coalesce;
        self.counts.grace_hits += 1;
        self.store.touch(object.0, now);
        if refresh {
            self.start(object.0);
        }
        Lookup::Stale { object, refresh }
    }

    /// Fetches, or waits for who does.
    fn join(&mut self, object: ObjectId, conditional: bool) -> Lookup {
        if self.settings.coalesce && self.store.get(object.0).fetches > 0 {
            self.counts.coalesced += 1;
            return Lookup::Busy(object);
        }
        self.counts.misses += 1;
        self.start(object.0);
        Lookup::Miss { object, conditional }
    }

    fn start(&mut self, id: u32) {
        let fetches = &mut self.store.get_mut(id).fetches;
        *fetches = fetches.saturating_add(1);
    }

    /// Waits for an object that is being fetched.
    pub fn wait(&mut self, object: ObjectId, waiter: u32) {
        self.waiting.entry(object.0).or_default().push(waiter);
    }

    /// Whether anybody waits for anything.
    #[inline]
    pub(crate) fn anybody_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Those who waited for an object, in their order, to look it up again: to be asked for after each fetch that ends.
    pub fn take_waiting(&mut self, object: ObjectId) -> Vec<u32> {
        // Mostly nobody waits for anything.
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.waiting.remove(&object.0).unwrap_or_default()
    }

    /// A waiter has gone.
    pub fn leave(&mut self, object: ObjectId, waiter: u32) {
        if let Some(waiting) = self.waiting.get_mut(&object.0) {
            waiting.retain(|w| *w != waiter);
        }
    }

    /// A fetch ends with an answer that can be kept.
    pub fn keep(&mut self, object: ObjectId, answer: &Answer<'_>, now: u64) -> Stored {
        self.expire(now);
        let id = object.0;
        let head = self.settings.head_bytes;
        let bytes = head + answer.body_bytes;
        let lifetime = self.lifetimes[usize::from(answer.lifetime)];
        let transient =
            answer.ttl_nanos.saturating_add(lifetime.grace_nanos).saturating_add(lifetime.keep_nanos)
                < self.settings.shortlived_nanos;
        if !transient && !self.make_room(head, answer.body_bytes) {
            self.counts.limited += 1;
            self.end(id);
            return Stored::NoRoom;
        }
        self.clear(id);
        if transient {
            self.store.keep_transient(id, bytes);
        } else {
            self.store.list(id, bytes, now);
        }
        let content = Content { object: id, number: self.store.get(id).content };
        for tag in answer.tags {
            self.tags.add(content, *tag, |c| self.store.get(c.object).content == c.number);
        }
        self.set(id, Kind::Object, now.saturating_add(answer.ttl_nanos), answer.lifetime);
        self.end(id);
        if transient { Stored::Transient } else { Stored::Kept }
    }

    /// A fetch ends with the news that what is kept is still good (304): Varnish copies it into a new object.
    pub fn confirm(&mut self, object: ObjectId, ttl_nanos: u64, now: u64) -> Stored {
        self.expire(now);
        let id = object.0;
        let entry = *self.store.get(id);
        if entry.kind != Kind::Object {
            // It was purged in the meantime: there is nothing to copy, and the next request fetches it.
            self.end(id);
            return Stored::NoRoom;
        }
        self.counts.confirmed += 1;
        let body = self.body_bytes(object);
        if !self.make_room(self.settings.head_bytes, body) {
            self.counts.limited += 1;
            self.end(id);
            return Stored::NoRoom;
        }
        self.store.empty(id);
        self.store.list(id, u64::from(entry.bytes), now);
        self.set(id, Kind::Object, now.saturating_add(ttl_nanos), entry.lifetime);
        self.end(id);
        Stored::Kept
    }

    /// A fetch ends with an answer that cannot be cached, which is remembered for a while: hit-for-miss, or hit-for-pass
    /// with `pass`.
    pub fn mark(&mut self, object: ObjectId, ttl_nanos: u64, pass: bool, now: u64) {
        let id = object.0;
        self.clear(id);
        if ttl_nanos > 0 {
            self.store.keep_transient(id, self.settings.head_bytes);
            let kind = if pass { Kind::HitForPass } else { Kind::HitForMiss };
            self.set(id, kind, now.saturating_add(ttl_nanos), self.lifetimes.len() as u16 - 1);
        }
        self.end(id);
    }

    /// A fetch ends without an answer. What was there stays; where nothing was and others wait, they are to find the error.
    pub fn fail(&mut self, object: ObjectId, now: u64) {
        let id = object.0;
        let kind = self.store.get(id).kind;
        let head = self.settings.head_bytes;
        if kind == Kind::Nothing && self.waiting.contains_key(&id) && self.make_room(head, ERROR_BODY_BYTES) {
            self.store.list(id, head + ERROR_BODY_BYTES, now);
            let lifetime = self.lifetimes.len() as u16 - 2;
            self.set(id, Kind::Error, now.saturating_add(ERROR_TTL_NANOS), lifetime);
        }
        self.end(id);
    }

    /// Purges what carries a tag: at once, or with `soft` by making it stale. How many objects that were.
    pub fn purge(&mut self, tag: u64, soft: bool, now: u64) -> u64 {
        self.expire(now);
        let mut purged = 0;
        let mut carriers = std::mem::take(&mut self.carriers);
        carriers.extend(self.tags.carriers(tag));
        for Content { object: id, number } in carriers.drain(..) {
            let entry = *self.store.get(id);
            if entry.content != number || entry.kind == Kind::Nothing || soft && entry.fresh_until <= now {
                continue;
            }
            if soft {
                self.set(id, entry.kind, now, entry.lifetime);
            } else {
                self.clear(id);
                self.drop_if_idle(id);
            }
            purged += 1;
        }
        self.carriers = carriers;
        self.counts.purged += purged;
        purged
    }

    /// Throws out all that there is. What is being fetched comes in after it.
    pub fn flush(&mut self) {
        for id in self.store.ids() {
            if self.store.get(id).kind != Kind::Nothing {
                self.clear(id);
                self.drop_if_idle(id);
            }
        }
    }

    /// The process died: nothing is left, and nobody waits or fetches.
    pub fn lose_all(&mut self) {
        let counts = self.counts;
        let lifetimes = &self.lifetimes[..self.lifetimes.len() - 2];
        *self = Self::new(self.settings, lifetimes);
        self.counts = counts;
    }

    /// Lets go what is past its end. Whatever looks at what is there does so first.
    #[inline]
    pub fn expire(&mut self, now: u64) {
        while self.expiry.due(now) {
            self.expire_one();
        }
    }

    #[inline(never)]
    fn expire_one(&mut self) {
        let Some((end, id)) = self.expiry.pop() else { return };
        // Those that go next are found in memory by then.
        let ahead = |places| self.expiry.ahead(places);
        ahead(8).inspect(|id| self.store.prefetch_entry(*id));
        ahead(4).inspect(|id| self.store.prefetch_links(*id));
        if self.end_of(id) == Some(end) {
            self.counts.expired += 1;
            self.clear(id);
            self.drop_if_idle(id);
        }
    }

    /// When an object goes of itself.
    fn end_of(&self, id: u32) -> Option<u64> {
        end_of(&self.store, &self.lifetimes, id)
    }

    fn set(&mut self, id: u32, kind: Kind, fresh_until: u64, lifetime: u16) {
        let entry = self.store.get_mut(id);
        (entry.kind, entry.fresh_until, entry.lifetime) = (kind, fresh_until, lifetime);
        if let Some(end) = self.end_of(id) {
            let (store, lifetimes) = (&self.store, &self.lifetimes);
            self.expiry.add(end, id, lifetime, store.len(), |id| end_of(store, lifetimes, id));
        }
    }

    fn make_room(&mut self, head: u64, body: u64) -> bool {
        let mut evicted = std::mem::take(&mut self.evicted);
        let fitted = self.store.allocate(head, body, &mut evicted);
        self.counts.evictions += evicted.len() as u64;
        for id in evicted.drain(..) {
            self.store.remove(id);
        }
        self.evicted = evicted;
        fitted
    }

    /// Takes an entry's content away, if it has any.
    fn clear(&mut self, id: u32) {
        if self.store.get(id).kind != Kind::Nothing {
            self.store.empty(id);
            let content = &mut self.store.get_mut(id).content;
            *content = content.wrapping_add(1);
        }
    }

    /// A fetch is over.
    fn end(&mut self, id: u32) {
        let fetches = &mut self.store.get_mut(id).fetches;
        *fetches = fetches.saturating_sub(1);
        self.drop_if_idle(id);
    }

    fn drop_if_idle(&mut self, id: u32) {
        let entry = self.store.get(id);
        if entry.kind == Kind::Nothing && entry.fetches == 0 {
            self.store.remove(id);
        }
    }

    /// Whether no fetch is under way, and nobody waits for one.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.store.is_idle()
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.store.check();
    }
}

fn end_of(store: &Store, lifetimes: &[Lifetime], id: u32) -> Option<u64> {
    let entry = store.get(id);
    let lifetime = lifetimes[usize::from(entry.lifetime)];
    (entry.kind != Kind::Nothing)
        .then(|| entry.fresh_until.saturating_add(lifetime.grace_nanos).saturating_add(lifetime.keep_nanos))
}
