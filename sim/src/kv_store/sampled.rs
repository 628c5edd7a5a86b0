//! Following one key in so many: what makes a store of a hundred million keys and reads of a hundred of them cheap.
//!
//! After spatial sampling (Waldspurger et al., "Efficient MRC construction with SHARDS", FAST 2015), with two changes for
//! laws of popularity as steep as Zipf's. The most popular keys, the *head*, are all known by themselves: such a key is
//! there whenever its time is not over, as it is asked for far too often to be evicted for lack of use. The others, in
//! order of popularity, form blocks of `one_in` neighbours, of which one, the *followed* key, lives in the store under the
//! full rules, weighing as much as its whole block. The rest of a block is there when its followed key is.
//!
//! A request of n keys then draws how many of them are followed ones, which, and how many of the others are missed: their
//! chance is the share of popularity that is not there. All of it comes from the request's own stream. Exact are the
//! policy's rules, the followed keys' reads and memory; what sampling costs is the noise of a store of 1/`one_in` of the
//! keys, and that neighbours are missed together. Which keys a request of several asks for is not what another world
//! draws for it; a request for a single key asks for the very one.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use scenarios::plan::churn::Churn;
use scenarios::rng::{Purpose, Stream, Streams};
use scenarios::scenario::{Keyspace, Popularity};
use scenarios::units::Seed;

use super::binomial::{Binomial, binomial};
use super::dict::Entry;
use super::drift::{Change, Drift, Record};
use super::ring::Ring;
use super::shares::Shares;
use super::zeta::Zeta;

const KEYS: Purpose = Purpose::named("sim-sampled-keys");
const FOLLOWED: Purpose = Purpose::named("sim-followed-key");
/// The head has this many keys for each key that a followed one stands for, at most.
const HEAD_BLOCKS: u64 = 64;
/// Shares of popularity are counted in units of 2^-62, so that sums are exact.
const UNIT: f64 = (1_u64 << 62) as f64;
/// For so many numbers of keys a request, more or less, what follows from them is kept.
const LAWS: usize = 8;
/// A key of the head that is not there.
const ABSENT: u64 = 0;
/// A block whose followed key is not drawn yet.
const UNDRAWN: u32 = u32::MAX;

/// What the law of missed keys follows from: the part of the tail that is there, what of the head is not, and how many keys.
type Missing = (u64, u64, u32);

/// A keyspace of which some keys are followed.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    zeta: Zeta,
    keys: u64,
    head: u64,
    one_in: u64,
    seed: Seed,
    place: u64,
    /// From which requests draw their keys.
    draws: Streams,
    /// Of which shard these are the keys, where the store has any; its share of the tail, and how much popularity all
    /// its keys have.
    part: Option<(Arc<Ring>, u16)>,
    share: f64,
    popularity: f64,
    /// How many keys of any shard a block has, for `one_in` of its own.
    width: u64,
    /// How many keys of the head live here.
    own_heads: u64,
    /// The chance that a draw is of a followed key.
    followed: f64,
    /// How many of a draw's keys are followed ones, for as many keys as were drawn last; how many of the others are not
    /// there, for that part of the tail which is there, what of the head is not, and as many others. By the number of keys, as classes
    /// that ask for different ones come by turns.
    followed_laws: [Cell<Binomial>; LAWS],
    missed_laws: [Cell<(Missing, Binomial)>; LAWS],
    /// How many of so many missed keys are keys of the head; and the chance of that, for the popularity that is there of the tail
    /// and is not there of the head.
    head_laws: [Cell<Binomial>; LAWS],
    head_chance: Cell<(u64, u64, f64)>,
    /// The popularity of the tail, and of that part of it which is there.
    tail_share: u64,
    held_share: u64,
    /// When each key of the head expires; its memory, if it is there; its popularity; that of all, and of those which are not
    /// there, and how many those are.
    head_expires: Vec<u64>,
    /// The keys of the head that are there and expire, by when they do.
    expiring_heads: BTreeSet<(u64, u64)>,
    head_bytes: Vec<u32>,
    head_shares: Vec<u64>,
    heads: Shares,
    absent: Shares,
    absent_heads: u64,
    /// Where there are shards, how far behind its block's first key each followed key is, once that was drawn.
    followers: Vec<Cell<u32>>,
    /// Which block has which place, where popularity churns.
    drift: Option<Box<Drift>>,
}

impl Space {
    /// A keyspace, the `place`-th of the scenario, with one key in `one_in` followed and a head of at most `head` keys; or
    /// the part of it on one shard of a store.
    pub(crate) fn new(
        keyspace: &Keyspace,
        place: u64,
        one_in: u64,
        head: u64,
        seed: Seed,
        part: Option<(Arc<Ring>, u16)>,
    ) -> Self {
        let exponent = match keyspace.popularity {
            Popularity::Zipf { exponent } => exponent,
            _ => 0.0,
        };
        let keys = keyspace.keys;
        let head = head.min(HEAD_BLOCKS * one_in).min(keys);
        let zeta = Zeta::new(keys, head, exponent);
        let owns = |key: u64| part.as_ref().is_none_or(|(ring, shard)| ring.shard(key) == *shard);
        let whole_head: f64 = (0..head).map(|rank| zeta.share(rank as f64)).sum();
        let own = |rank: u64| if owns(rank) { (zeta.share(rank as f64) * UNIT) as u64 } else { 0 };
        let head_shares: Vec<u64> = (0..head).map(own).collect();
        let own_heads = (0..head).filter(|&key| owns(key)).count() as u64;
        let share = part.as_ref().map_or(1.0, |(ring, shard)| ring.share(*shard));
        let shard = part.as_ref().map_or(0, |(_, shard)| u64::from(*shard));
        let mut space = Self {
            draws: Streams::new(seed, KEYS.of(place | shard << 32)),
            tail_share: 0,
            held_share: 0,
            followed: 0.0,
            followed_laws: [const { Cell::new(Binomial::NONE) }; LAWS],
            missed_laws: [const { Cell::new(((0, 0, 0), Binomial::NONE)) }; LAWS],
            head_laws: [const { Cell::new(Binomial::NONE) }; LAWS],
            head_chance: Cell::new((u64::MAX, u64::MAX, 0.0)),
            head_expires: vec![ABSENT; head as usize],
            expiring_heads: BTreeSet::new(),
            head_bytes: vec![0; head as usize],
            heads: Shares::new(&head_shares),
            absent: Shares::new(&head_shares),
            absent_heads: own_heads,
            own_heads,
            head_shares,
            followers: Vec::new(),
            popularity: 1.0,
            width: (one_in as f64 / share.max(1e-9)).round() as u64,
            share,
            part,
            drift: None,
            zeta,
            keys,
            head,
            one_in,
            seed,
            place,
        };
        let tail = (1.0 - whole_head).max(0.0) * share;
        space.tail_share = (tail * UNIT) as u64;
        if space.part.is_some() {
            space.popularity = tail + space.absent.total() as f64 / UNIT;
            let blocks = (keys - head).div_ceil(space.width);
            space.followers = vec![Cell::new(UNDRAWN); blocks as usize];
        }
        space.followed = tail / space.popularity / one_in as f64;
        space
    }

    /// From a run's start on, blocks change their places.
    pub(crate) fn drift(&mut self, churn: &Churn) {
        let blocks = (self.keys - self.head).div_ceil(self.width);
        self.drift = Some(Box::new(Drift::new(churn, self.head, self.width, blocks)));
    }

    /// The next key of the head, and the key with which it swaps ranks, before a nanosecond of the run; what else changes
    /// places until then is noted.
    #[inline]
    pub(super) fn next_swap(&mut self, now: u64) -> Option<(u64, u64)> {
        loop {
            match self.drift.as_mut()?.next(now)? {
                Change::Ranks(head, other) => return Some((head, self.of_rank(other))),
                Change::Places(one, other) => self.places_changed(one, other),
            }
        }
    }

    fn places_changed(&mut self, one: u64, other: u64) {
        let Some(drift) = &self.drift else { return };
        // What each place's block was before, the other has now.
        for (place, before) in [(one, other), (other, one)] {
            if drift.is_held_at(place) {
                self.held_share = self.held_share - self.weight_at(before) + self.weight_at(place);
            }
        }
    }

    /// The key by the numbers that are used here, which are ranks at the run's start, that has a rank now.
    #[inline]
    pub(crate) fn of_rank(&self, rank: u64) -> u64 {
        match &self.drift {
            Some(drift) if rank >= self.head => {
                let (place, rest) = ((rank - self.head) / self.width, (rank - self.head) % self.width);
                (self.head + drift.block_at(place) * self.width + rest).min(self.keys - 1)
            }
            _ => rank,
        }
    }

    pub(crate) fn is_head(&self, key: u64) -> bool {
        key < self.head
    }

    /// The followed key of a key's block.
    #[inline]
    pub(crate) fn follower(&self, key: u64) -> u64 {
        let block = (key - self.head) / self.width;
        let first = self.head + block * self.width;
        if let Some((ring, shard)) = &self.part {
            let known = &self.followers[block as usize];
            if known.get() == UNDRAWN {
                // Names take long to hash, so that each block's key is drawn once.
                known.set((self.draw_follower(block, first, |key| ring.shard(key) == *shard) - first) as u32);
            }
            return first + u64::from(known.get());
        }
        self.draw_follower(block, first, |_| true)
    }

    #[inline]
    fn draw_follower(&self, block: u64, first: u64, owns: impl Fn(u64) -> bool) -> u64 {
        let width = self.width.min(self.keys - first);
        let mut stream = Stream::new(self.seed, FOLLOWED.of(self.place), block);
        let first_drawn = first + stream.below(width);
        let (mut drawn, mut tries) = (first_drawn, 32 * width);
        while !owns(drawn) {
            tries -= 1;
            if tries == 0 {
                // The last block may have none of this shard's; the first draw then stands for it.
                return first_drawn;
            }
            drawn = first + stream.below(width);
        }
        drawn
    }

    /// How much of all popularity the keys have that live here.
    pub(crate) fn popularity(&self) -> f64 {
        self.popularity
    }

    /// The followed keys and the head below a number, from the highest on.
    pub(crate) fn followed_below(&self, keys: u64) -> impl Iterator<Item = u64> + '_ {
        let blocks = keys.saturating_sub(self.head).div_ceil(self.width);
        let tail = (0..blocks).rev().map(|block| self.follower(self.head + block * self.width));
        let own = |key: &u64| self.part.as_ref().is_none_or(|(ring, shard)| ring.shard(*key) == *shard);
        tail.filter(move |key| *key < keys).chain((0..self.head.min(keys)).rev().filter(own))
    }

    /// What the popularity of a followed key's block is.
    #[inline]
    fn weight(&self, key: u64) -> u64 {
        let block = (key - self.head) / self.width;
        self.weight_at(self.drift.as_ref().map_or(block, |drift| drift.place_of(block)))
    }

    fn weight_at(&self, place: u64) -> u64 {
        let first = self.head + place * self.width;
        let width = self.width.min(self.keys - first) as f64;
        (self.zeta.share(first as f64 + (width - 1.0) / 2.0) * width * self.share * UNIT) as u64
    }

    /// A followed key has come.
    #[inline]
    pub(crate) fn comes(&mut self, key: u64) {
        self.held_share += self.weight(key);
        if let Some(drift) = &mut self.drift {
            drift.hold((key - self.head) / self.width, true);
        }
    }

    /// A followed key has gone, or its time is over.
    #[inline]
    pub(crate) fn goes(&mut self, key: u64) {
        self.held_share -= self.weight(key);
        if let Some(drift) = &mut self.drift {
            drift.hold((key - self.head) / self.width, false);
        }
    }

    /// Whether a key of the head is there.
    #[inline]
    pub(crate) fn has_head(&self, key: u64) -> bool {
        self.head_expires[key as usize] != ABSENT
    }

    pub(crate) fn head_expires(&self, key: u64) -> u64 {
        self.head_expires[key as usize]
    }

    /// Whether popularity churns here.
    #[inline]
    pub(super) fn drifts(&self) -> bool {
        self.drift.is_some()
    }

    pub(super) fn drifting(&mut self) -> Option<&mut Drift> {
        self.drift.as_deref_mut()
    }

    pub(super) fn head_record(&self, key: u64) -> Record {
        self.has_head(key).then(|| (self.head_expires[key as usize], self.head_bytes[key as usize]))
    }

    /// A key of the head is written; what it took of memory before.
    pub(crate) fn write_head(&mut self, key: u64, expires: u64, bytes: u32) -> u32 {
        if !self.has_head(key) {
            self.absent.take(key as usize, self.head_shares[key as usize]);
            self.absent_heads -= 1;
        }
        self.head_expires_at(key, expires);
        std::mem::replace(&mut self.head_bytes[key as usize], bytes)
    }

    /// A key of the head goes; what it took of memory.
    pub(crate) fn lose_head(&mut self, key: u64) -> u32 {
        self.head_expires_at(key, ABSENT);
        self.absent.add(key as usize, self.head_shares[key as usize]);
        self.absent_heads += 1;
        std::mem::take(&mut self.head_bytes[key as usize])
    }

    fn head_expires_at(&mut self, key: u64, expires: u64) {
        let before = std::mem::replace(&mut self.head_expires[key as usize], expires);
        if expires != before {
            self.expiring_heads.remove(&(before, key));
            if expires != ABSENT && expires != Entry::NEVER {
                self.expiring_heads.insert((expires, key));
            }
        }
    }

    /// The key of the head that expires first, if that is before this.
    pub(crate) fn head_before(&self, expires: u64) -> Option<u64> {
        self.expiring_heads.first().filter(|(at, _)| *at < expires).map(|(_, key)| *key)
    }

    /// All keys go.
    pub(crate) fn lose_all(&mut self) {
        self.held_share = 0;
        if let Some(drift) = &mut self.drift {
            drift.lose_all();
        }
        self.head_expires.fill(ABSENT);
        self.expiring_heads.clear();
        self.head_bytes.fill(0);
        self.absent = Shares::new(&self.head_shares);
        self.absent_heads = self.own_heads;
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// What the keys of the head that are there take of memory.
    #[cfg(test)]
    pub(crate) fn held_head_bytes(&self) -> u64 {
        let held = (0..self.head).filter(|key| self.has_head(*key));
        held.map(|key| u64::from(self.head_bytes[key as usize])).sum()
    }

    /// How many of the head are there.
    pub(crate) fn heads(&self) -> u64 {
        self.own_heads - self.absent_heads
    }

    /// What a request of `count` keys draws.
    #[inline]
    pub(crate) fn draw(&self, request: u64, count: u32) -> Draw {
        let mut stream = self.draws.open(request);
        let followed = kept_law(&self.followed_laws, count, self.followed).draw(&mut stream);
        Draw { stream, followed, others: count - followed }
    }

    /// The next followed key of a draw, by popularity.
    #[inline]
    pub(crate) fn next_followed(&self, draw: &mut Draw) -> u64 {
        let rank = self.zeta.tail_rank(draw.stream.unit());
        self.follower(self.of_rank(rank.clamp(self.head, self.keys - 1)))
    }

    /// The keys of the head among a draw's other keys, by popularity.
    pub(crate) fn heads_among(&self, draw: &mut Draw, heads: &mut Vec<u64>) {
        let total = self.heads.total();
        let chance = total as f64 / UNIT / self.popularity / (1.0 - self.followed);
        let count = binomial(&mut draw.stream, draw.others, chance);
        heads.extend((0..count).map(|_| self.heads.find(draw.stream.below(total)) as u64));
    }

    /// How many of a draw's other keys are not there; those of the head among them are pushed to `heads`, and not counted.
    #[inline]
    pub(crate) fn missed(&self, draw: &mut Draw, heads: &mut Vec<u64>) -> u32 {
        let state = (self.held_share, self.absent.total(), draw.others);
        let known = &self.missed_laws[draw.others as usize % LAWS];
        let (known_state, mut law) = known.get();
        if known_state != state {
            let (tail, head) = self.missing();
            law = Binomial::new(draw.others, (tail + head) / self.popularity / (1.0 - self.followed));
            known.set((state, law));
        }
        let missed = law.draw(&mut draw.stream);
        if missed == 0 || self.absent.total() == 0 {
            return missed;
        }
        let of_head = kept_law(&self.head_laws, missed, self.head_chance()).draw(&mut draw.stream);
        // Each by its popularity.
        let total = self.absent.total();
        heads.extend((0..of_head).map(|_| self.absent.find(draw.stream.below(total)) as u64));
        missed - of_head
    }

    /// The chance that a missed key is one of the head, where one of those is not there.
    #[inline]
    fn head_chance(&self) -> f64 {
        let (held, absent, mut chance) = self.head_chance.get();
        if (held, absent) != (self.held_share, self.absent.total()) {
            let (tail, head) = self.missing();
            chance = head / (tail + head);
            self.head_chance.set((self.held_share, self.absent.total(), chance));
        }
        chance
    }

    /// The popularity of what is not there, of keys that are not followed and of keys of the head.
    fn missing(&self) -> (f64, f64) {
        let unfollowed = 1.0 - 1.0 / self.one_in as f64;
        let tail = self.tail_share.saturating_sub(self.held_share) as f64 / UNIT * unfollowed;
        (tail, self.absent.total() as f64 / UNIT)
    }

    /// Any key of the head that is there.
    pub(crate) fn any_head(&self, stream: &mut Stream) -> Option<u64> {
        if self.heads() == 0 {
            return None;
        }
        loop {
            let key = stream.below(self.head);
            if self.has_head(key) {
                return Some(key);
            }
        }
    }
}

/// The law of so many trials with this chance: the kept one of as many trials, or a new one, which is kept.
#[inline]
fn kept_law(laws: &[Cell<Binomial>; LAWS], trials: u32, chance: f64) -> Binomial {
    let known = &laws[trials as usize % LAWS];
    let mut law = known.get();
    if law.trials != trials || law.chance != chance {
        law = Binomial::new(trials, chance);
        known.set(law);
    }
    law
}

/// What a request draws of a keyspace: how many of its keys are followed ones, and how many are not.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    stream: Stream,
    pub(crate) followed: u32,
    pub(crate) others: u32,
}

#[cfg(test)]
#[path = "sampled_tests.rs"]
mod tests;
