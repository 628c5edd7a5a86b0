//! What is kept: answers and what is known of those that cannot be, by address and variant, within so many bytes, the
//! least recently used going first.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use httparse::Header;

use super::ban::Ban;
use super::freshness::{Now, Phase};
use super::lru::{Ends, Links, List};
use super::normalise::Normaliser;
use super::object::Object;
use super::purges::{Purge, Purges, Since};
use super::tags::Tags;
use super::vary::{self, Names};

/// What a mark takes of the memory: as an object without anything.
const MARK_BYTES: usize = 512;
/// An entry stays where it is in the order for so long after it was moved, as Varnish's `lru_interval`.
const MOVED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The most variants of an address: whoever asks chooses the fields that tell them apart.
const VARIANTS_LIMIT: usize = 16_384;

/// What is kept for an address and a variant.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    /// An answer.
    Object(Rc<Object>),
    /// The answer could not be kept: whoever asks fetches for himself, and nobody waits (`hit_for_miss`).
    MissMark,
    /// The same, and what is fetched meanwhile is not kept either (`hit_for_pass`).
    PassMark,
    /// A fetch that others waited for failed with this status just now.
    Failure(u16),
}

/// Counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) evictions: u64,
    pub(super) expired: u64,
    pub(super) purged: u64,
}

#[derive(Debug)]
struct Slot {
    kept: Kept,
    address: Rc<[u8]>,
    variant: Rc<[u8]>,
    size: usize,
    /// When it goes by itself, since the start of the process.
    end: Duration,
    moved_at: Duration,
}

/// The variants of an address. What tells them apart is what the latest answer said.
#[derive(Debug, Default)]
struct Variants {
    names: Option<Names>,
    /// By variant, in order.
    slots: Vec<(Rc<[u8]>, u32)>,
    /// In the order of their use.
    by_use: Ends,
}

/// The store.
#[derive(Debug)]
pub(super) struct Store {
    limit: usize,
    least_head_bytes: usize,
    normaliser: Normaliser,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    index: HashMap<Rc<[u8]>, Variants>,
    order: List,
    /// The order of use among the variants of each address.
    among_variants: Links,
    by_end: BTreeSet<(Duration, u32)>,
    tags: Tags,
    purges: Purges,
    bytes: usize,
    scratch: Vec<u8>,
    pub(super) counts: Counts,
}

impl Store {
    /// With room for so many bytes.
    pub(super) fn new(limit: usize, least_head_bytes: usize, normaliser: Normaliser) -> Self {
        Self {
            limit,
            least_head_bytes,
            normaliser,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            order: List::default(),
            among_variants: Links::default(),
            by_end: BTreeSet::new(),
            tags: Tags::default(),
            purges: Purges::default(),
            bytes: 0,
            scratch: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Answers and marks in it.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// What is kept for a request, which counts as its use.
    pub(super) fn find(&mut self, address: &[u8], headers: &[Header<'_>], now: Now) -> Option<Kept> {
        let variants = self.index.get(address)?;
        self.scratch.clear();
        if let Some(names) = &variants.names {
            vary::variant(names, headers, &self.normaliser, &mut self.scratch);
        }
        let at = variants.position(&self.scratch).ok()?;
        let id = variants.slots[at].1;
        let slot = self.slots[id as usize].as_mut().expect("the index names slots in use");
        if slot.end <= now.running {
            self.remove(id);
            self.counts.expired += 1;
            return None;
        }
        if now.running.saturating_sub(slot.moved_at) >= MOVED_AGAIN_AFTER {
            slot.moved_at = now.running;
            self.order.move_to_end(id);
            let variants = self.index.get_mut(address).expect("it was found there just now");
            self.among_variants.move_to_end(&mut variants.by_use, id);
        }
        Some(slot.kept.clone())
    }

    /// Whether this very object is what is kept for a request.
    pub(super) fn holds(&self, address: &[u8], headers: &[Header<'_>], object: &Rc<Object>) -> bool {
        let Some(variants) = self.index.get(address) else { return false };
        let mut variant = Vec::new();
        if let Some(names) = &variants.names {
            vary::variant(names, headers, &self.normaliser, &mut variant);
        }
        let slot = variants.position(&variant).ok().and_then(|at| {
            let id = variants.slots[at].1;
            self.slots[id as usize].as_ref()
        });
        slot.is_some_and(|slot| matches!(&slot.kept, Kept::Object(kept) if Rc::ptr_eq(kept, object)))
    }

    /// What the latest answer of this address varied by; nothing where there is none.
    pub(super) fn names(&self, address: &[u8]) -> Names {
        self.index.get(address).and_then(|variants| variants.names.clone()).unwrap_or_else(|| Names::from([]))
    }

    /// Appends what tells requests apart that could be answered with one fetch: the address, and the variant as far as it
    /// is known what varies.
    pub(super) fn write_flight(&self, address: &[u8], headers: &[Header<'_>], out: &mut Vec<u8>) {
        out.extend_from_slice(address);
        out.push(b'\n');
        if let Some(names) = self.index.get(address).and_then(|variants| variants.names.as_ref()) {
            vary::variant(names, headers, &self.normaliser, out);
        }
    }

    /// Keeps something until `end` in the place of what there was. `headers` are the request's, `names` what the answer
    /// varies by. Without room it is not kept.
    pub(super) fn put(
        &mut self,
        address: &[u8],
        names: &Names,
        headers: &[Header<'_>],
        kept: Kept,
        end: Duration,
        now: Now,
    ) {
        self.scratch.clear();
        vary::variant(names, headers, &self.normaliser, &mut self.scratch);
        let size = address.len()
            + self.scratch.len()
            + match &kept {
                Kept::Object(object) => object.size(self.least_head_bytes),
                _ => MARK_BYTES,
            };
        let variant: Rc<[u8]> = self.scratch.as_slice().into();
        // What there was is out of date in any case.
        if let Some(id) =
            self.index.get(address).and_then(|v| v.position(&variant).ok().map(|at| v.slots[at].1))
        {
            self.remove(id);
        }
        if size > self.limit {
            return;
        }
        let crowded = self.index.get(address).filter(|variants| variants.slots.len() >= VARIANTS_LIMIT);
        if let Some(oldest) = crowded.and_then(|variants| variants.by_use.first()) {
            self.remove(oldest);
            self.counts.evictions += 1;
        }
        while self.bytes + size > self.limit {
            let oldest = self.order.first().expect("bytes are in use, so there is an entry");
            self.remove(oldest);
            self.counts.evictions += 1;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("memory ends before four billion entries")
        });
        if !self.index.contains_key(address) {
            self.index.insert(Rc::from(address), Variants::default());
        }
        let (shared, _) = self.index.get_key_value(address).expect("it was put there just now");
        let address = Rc::clone(shared);
        let variants = self.index.get_mut(&address).expect("it was put there just now");
        if variants.names.as_ref() != Some(names) {
            variants.names = Some(Rc::clone(names));
        }
        let at = variants.position(&variant).expect_err("what there was is gone");
        variants.slots.insert(at, (Rc::clone(&variant), id));
        self.among_variants.push(&mut variants.by_use, id);
        if let Kept::Object(object) = &kept {
            object.tags.iter().for_each(|tag| self.tags.add(tag, id));
        }
        self.bytes += size;
        self.by_end.insert((end, id));
        self.order.push(id);
        self.slots[id as usize] = Some(Slot { kept, address, variant, size, end, moved_at: now.running });
    }

    /// A fetch begins that wants to put what it brings here.
    pub(super) fn begin_fetch(&self) -> Since {
        self.purges.begin()
    }

    /// Whether what a fetch brought would have been thrown out since it began.
    pub(super) fn threw_out(&self, since: &Since, address: &[u8], object: &Object) -> bool {
        // What a ban says of times, it says of the moment at which the answer came.
        self.purges.concern(since, address, &object.tags, |ban| ban.hits(address, object, object.born))
    }

    /// Throws all variants of an address out; how many there were.
    pub(super) fn remove_address(&mut self, address: &[u8]) -> usize {
        self.purges.note(|| Purge::Address(address.into()));
        self.take_address(address)
    }

    fn take_address(&mut self, address: &[u8]) -> usize {
        let Some(variants) = self.index.remove(address) else { return 0 };
        variants.slots.iter().for_each(|(_, id)| drop(self.take(*id)));
        variants.slots.len()
    }

    /// Throws all variants of an address out because somebody says so.
    pub(super) fn purge_address(&mut self, address: &[u8]) -> usize {
        let count = self.remove_address(address);
        self.counts.purged += count as u64;
        count
    }

    /// Throws out all addresses that begin so; a walk through all that there are.
    pub(super) fn purge_beginning(&mut self, start: &[u8]) -> usize {
        self.purges.note(|| Purge::Beginning(start.into()));
        let found: Vec<Rc<[u8]>> =
            self.index.keys().filter(|address| address.starts_with(start)).map(Rc::clone).collect();
        let count = found.iter().map(|address| self.take_address(address)).sum();
        self.counts.purged += count as u64;
        count
    }

    /// Throws out what an expression means; a walk through all that there is.
    pub(super) fn ban(&mut self, ban: &Ban, now: Now) -> usize {
        self.purges.note(|| Purge::Ban(ban.clone()));
        let is_meant = |slot: &Slot| match &slot.kept {
            Kept::Object(object) => ban.hits(&slot.address, object, now.running),
            _ => false,
        };
        let ids = (0..).zip(&self.slots).filter(|&(_, slot)| slot.as_ref().is_some_and(is_meant));
        let ids: Vec<u32> = ids.map(|(id, _)| id).collect();
        ids.iter().for_each(|id| self.remove(*id));
        self.counts.purged += ids.len() as u64;
        ids.len()
    }

    /// Throws out what has this tag, or makes it stale (`soft`); how much there was.
    pub(super) fn purge_tag(&mut self, tag: &[u8], soft: bool, now: Now) -> usize {
        self.purges.note(|| Purge::Tag(tag.into()));
        let ids = self.tags.of(tag);
        for id in &ids {
            if soft {
                self.make_stale(*id, now);
            } else {
                self.remove(*id);
            }
        }
        self.counts.purged += ids.len() as u64;
        ids.len()
    }

    /// Ends an answer's freshness now; its grace and its keep begin.
    fn make_stale(&mut self, id: u32, now: Now) {
        let slot = self.slots[id as usize].as_mut().expect("tags name slots in use");
        let Kept::Object(object) = &slot.kept else { return };
        if object.phase(now) != Phase::Fresh {
            return;
        }
        let mut life = object.life;
        life.ttl = life.initial_age.saturating_add(object.resident(now));
        let stale = object.with_life(life);
        self.by_end.remove(&(slot.end, id));
        slot.end = stale.born.saturating_add(life.stays());
        self.by_end.insert((slot.end, id));
        slot.kept = Kept::Object(Rc::new(stale));
    }

    /// Throws out what has come to its end.
    pub(super) fn expire(&mut self, now: Now) {
        while let Some((end, id)) = self.by_end.first().copied() {
            if end > now.running {
                break;
            }
            self.remove(id);
            self.counts.expired += 1;
        }
    }

    /// Throws everything out.
    pub(super) fn flush(&mut self) {
        self.purges.note(|| Purge::All);
        while let Some(id) = self.order.first() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u32) {
        let slot = self.take(id);
        if let Some(variants) = self.index.get_mut(&slot.address) {
            if let Ok(at) = variants.position(&slot.variant) {
                variants.slots.remove(at);
            }
            self.among_variants.remove(&mut variants.by_use, id);
            if variants.slots.is_empty() {
                self.index.remove(&slot.address);
            }
        }
    }

    /// Takes an entry out of everything but the index.
    fn take(&mut self, id: u32) -> Slot {
        let slot = self.slots[id as usize].take().expect("only slots in use are removed");
        self.free.push(id);
        self.bytes -= slot.size;
        self.by_end.remove(&(slot.end, id));
        self.order.remove(id);
        if let Kept::Object(object) = &slot.kept {
            object.tags.iter().for_each(|tag| self.tags.remove(tag, id));
        }
        slot
    }
}

impl Variants {
    fn position(&self, variant: &[u8]) -> Result<usize, usize> {
        self.slots.binary_search_by(|(other, _)| (**other).cmp(variant))
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
