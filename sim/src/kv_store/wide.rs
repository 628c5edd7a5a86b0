//! Reads and writes of stores in which only some keys are followed: see [`super::sampled`].

use super::contents::Contents;
use super::dict::Entry;
use super::drift::Record;
use super::sampled::Space;
use crate::eviction::Rule;

/// The place of a key's keyspace in the scenario, and its number there.
const fn split(name: u64) -> (usize, u64) {
    ((name >> 48) as usize - 1, name & ((1 << 48) - 1))
}

/// What a read of several keys found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) hits: u32,
    /// Keys that are not there and not followed either: they cost commands, and no memory of their own.
    pub(crate) others: u32,
}

impl Contents {
    /// From now on one key in so many is followed in this keyspace, and each in the store stands for as many. The store is
    /// empty yet.
    pub(crate) fn follow(&mut self, place: usize, space: Space, one_in: u64) {
        self.one_in = one_in;
        self.spaces.resize_with(self.spaces.len().max(place + 1), || None);
        self.spaces[place] = Some(Box::new(space));
    }

    /// Of a keyspace, if only some of its keys are followed.
    #[inline]
    pub(crate) fn space(&self, place: usize) -> Option<&Space> {
        self.spaces.get(place)?.as_deref()
    }

    #[inline]
    fn space_mut(&mut self, place: usize) -> &mut Space {
        self.spaces[place].as_deref_mut().expect("all keyspaces of such a store have followed keys")
    }

    /// MGET of so many keys by a request, after [`Contents::come_to`]. The numbers of those that are not there and that are followed are pushed to
    /// `missed`.
    pub(crate) fn read_some(
        &mut self,
        place: usize,
        request: u64,
        count: u32,
        now: u64,
        missed: &mut Vec<u64>,
    ) -> Found {
        let space = self.space_mut(place);
        let mut draw = space.draw(request, count);
        let others = space.missed(&mut draw, missed);
        let mut hits = draw.others - others - missed.len() as u32;
        for _ in 0..draw.followed {
            let key = self.space_mut(place).next_followed(&mut draw);
            if self.read(name(place, key), now) {
                hits += 1;
            } else {
                missed.push(key);
            }
        }
        Found { hits, others }
    }

    /// GET of one key, as [`Contents::read_some`].
    pub(crate) fn read_one(&mut self, place: usize, key: u64, now: u64, missed: &mut Vec<u64>) -> Found {
        let space = self.space_mut(place);
        if space.is_head(key) {
            let there = space.has_head(key);
            if !there {
                missed.push(key);
            }
            return Found { hits: u32::from(there), others: 0 };
        }
        let follower = space.follower(key);
        if follower == key {
            let there = self.read(name(place, key), now);
            if !there {
                missed.push(key);
            }
            return Found { hits: u32::from(there), others: 0 };
        }
        let there = self.is_there(name(place, follower), now);
        Found { hits: u32::from(there), others: u32::from(!there) }
    }

    /// Which keys a SET of so many keys writes that count in memory: they are pushed to `written`.
    pub(crate) fn choose_written(&self, place: usize, request: u64, count: u32, written: &mut Vec<u64>) {
        let Some(space) = self.space(place) else { return };
        let mut draw = space.draw(request, count);
        space.heads_among(&mut draw, written);
        for _ in 0..draw.followed {
            written.push(space.next_followed(&mut draw));
        }
    }

    /// The key that has a rank now, where only some are followed.
    #[inline]
    pub(super) fn key_of_rank(&mut self, place: usize, rank: u64) -> u64 {
        self.space_mut(place).of_rank(rank)
    }

    /// The key that has a rank now, if it counts in memory.
    pub(super) fn followed_of_rank(&mut self, place: usize, rank: u64) -> Option<u64> {
        let space = self.space_mut(place);
        let key = space.of_rank(rank);
        (space.is_head(key) || space.follower(key) == key).then_some(key)
    }

    /// A followed key came in, or has a new deadline.
    pub(super) fn note_come(&mut self, key: u64, expires: u64) {
        if expires < self.deadlines.until {
            return;
        }
        let (place, number) = split(key);
        self.space_mut(place).comes(number);
        self.note_deadline(key, expires);
    }

    fn note_deadline(&mut self, key: u64, expires: u64) {
        if expires == Entry::NEVER {
            return;
        }
        self.deadlines.push(expires, key);
        if self.deadlines.is_stale(self.evictable.len() + 4_096) {
            let until = self.deadlines.until;
            let entries = self.evictable.entries().map(|e| (e.expires, e.key));
            let heads = self.spaces.iter().enumerate().flat_map(|(place, space)| {
                let space = space.as_deref();
                let numbers = 0..space.map_or(0, |s| s.head());
                numbers.map(move |k| (space.map_or(0, |s| s.head_expires(k)), name(place, k)))
            });
            let live = |(expires, _): &(u64, u64)| *expires >= until && *expires != Entry::NEVER;
            self.deadlines.replace(entries.chain(heads).filter(live));
        }
    }

    /// A followed key went, or had another deadline before.
    pub(super) fn note_gone(&mut self, entry: &Entry) {
        if entry.expires >= self.deadlines.until {
            let (place, number) = split(entry.key);
            self.space_mut(place).goes(number);
        }
    }

    /// Deals with the keys whose time is over by now.
    #[inline]
    pub(super) fn pass_deadlines(&mut self, now: u64) {
        while let Some((expires, key)) = self.deadlines.next(now) {
            let (place, number) = split(key);
            if self.space_mut(place).is_head(number) {
                if self.space_mut(place).head_expires(number) == expires {
                    self.drop_head(place, number);
                    self.counts.expired += 1;
                }
            } else if self.evictable.find(key).is_some_and(|at| self.evictable.at(at).expires == expires) {
                self.space_mut(place).goes(number);
            }
        }
        self.deadlines.until = self.deadlines.until.max(now);
    }

    /// Deals with the keys whose time is over by now and has popularity churn up to now, which comes before any command's
    /// keys are known; false where all keys are followed.
    #[inline]
    pub(super) fn come_to(&mut self, place: usize, now: u64) -> bool {
        let Some(space) = self.space(place) else { return false };
        if self.deadlines.are_due(now) || space.drifts() {
            self.catch_up(place, now);
        } else {
            // Mostly nothing has happened.
            self.deadlines.until = self.deadlines.until.max(now);
        }
        true
    }

    /// Deals with what has happened in a keyspace up to now.
    #[inline(never)]
    fn catch_up(&mut self, place: usize, now: u64) {
        self.pass_deadlines(now);
        while let Some((head, other)) = self.space_mut(place).next_swap(now) {
            self.swap_ranks(place, head, other, now);
        }
    }

    /// A key of the head and another one swap ranks. The head's new key is there if the other one was, as its block says.
    /// What was the head's until now is one of a block that is not followed, unless the other one was followed: then it is
    /// that block's followed key from now on, so that on the average as much comes to the blocks as goes.
    fn swap_ranks(&mut self, place: usize, head: u64, other: u64, now: u64) {
        let space = self.space_mut(place);
        let old = space.head_record(head);
        if space.is_head(other) {
            let new = space.head_record(other);
            self.put_head(place, other, old);
            return self.put_head(place, head, new);
        }
        let follower = space.follower(other);
        let before_swap = space.drifting().and_then(|drift| drift.before_swap(follower));
        let new = before_swap.unwrap_or_else(|| self.followed_record(name(place, follower)));
        if follower == other {
            if let Some(drift) = self.space_mut(place).drifting() {
                drift.replace(follower, new);
            }
            match old {
                Some((expires, bytes)) => self.put(name(place, other), u64::from(bytes), expires, now),
                None => self.remove(name(place, other)),
            }
        }
        self.put_head(place, head, new.filter(|(expires, _)| *expires >= now));
    }

    /// Of one key of a followed key's block.
    fn followed_record(&self, key: u64) -> Record {
        let dicts = [&self.evictable, &self.kept];
        let entry = dicts.into_iter().find_map(|dict| dict.look(key).map(|at| dict.at(at)))?;
        Some((entry.expires, (u64::from(entry.bytes) / self.one_in) as u32))
    }

    fn put_head(&mut self, place: usize, number: u64, record: Record) {
        if let Some((expires, bytes)) = record {
            self.write_head(name(place, number), u64::from(bytes), expires);
        } else if self.space_mut(place).has_head(number) {
            self.drop_head(place, number);
        }
    }

    /// Writes a key of a head; whether it is one. Keys of a head weigh as much as any one key.
    pub(super) fn write_head(&mut self, key: u64, bytes: u64, expires: u64) -> bool {
        let (place, number) = split(key);
        let space = self.space_mut(place);
        if !space.is_head(number) {
            return false;
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let before = space.write_head(number, expires, bytes);
        self.record_bytes = self.record_bytes + u64::from(bytes) - u64::from(before);
        self.note_deadline(key, expires);
        true
    }

    fn drop_head(&mut self, place: usize, number: u64) {
        let bytes = self.space_mut(place).lose_head(number);
        self.record_bytes -= u64::from(bytes);
    }

    /// What an eviction of followed keys means for the heads: policies that look at use never come to them, the others do.
    pub(super) fn evict_heads(&mut self, victim_expires: u64) {
        match self.policy.rule {
            Rule::Refuse | Rule::Lru | Rule::Lfu => {}
            // While a followed key goes for each one that it stands for, so many of a head go.
            Rule::Random => {
                for place in 0..self.spaces.len() {
                    let Some(space) = self.spaces[place].as_deref() else { continue };
                    let chance = (self.one_in * space.heads()) as f64 / self.keys().max(1) as f64;
                    if self.policy.stream.unit() < chance
                        && let Some(number) = space.any_head(&mut self.policy.stream)
                    {
                        self.drop_head(place, number);
                        self.counts.evictions += 1;
                    }
                }
            }
            // Keys of a head that expire before the victim went before it.
            Rule::Ttl => {
                for place in 0..self.spaces.len() {
                    while let Some(number) =
                        self.spaces[place].as_deref().and_then(|s| s.head_before(victim_expires))
                    {
                        self.drop_head(place, number);
                        self.counts.evictions += 1;
                    }
                }
            }
        }
    }
}

/// The number by which a store knows a key.
#[inline]
pub(crate) const fn name(place: usize, key: u64) -> u64 {
    (place as u64 + 1) << 48 | key
}
