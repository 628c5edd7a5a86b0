//! A keyspace as its store sees it: numbers of keys, and what each takes of memory.
//!
//! Keys of cache keyspaces are followed one by one, or one in so many of them (see `sampled`). Persistent keyspaces are
//! always complete while the store is up, so they need no identity: they hold a fixed amount of memory, summed exactly up
//! to a million keys and beyond that estimated from a million of them.

use std::sync::Arc;

use scenarios::memory;
use scenarios::plan::{Draws, RequestId};
use scenarios::scenario::{Keyspace, KeyspaceId};
use scenarios::units::Seed;

use super::contents::{Contents, Rules};
use super::ring::Ring;
use super::sampled::Space;
use super::wide::{Found, name};

/// Where only some keys are followed, for how many keys there must be room for each one of the head.
const ROOM_PER_HEAD: u64 = 16;

/// Persistent keyspaces up to this size have their memory summed key by key; of larger ones, so many keys are looked at.
const SUMMED_KEYS: u64 = 1_000_000;

/// A keyspace.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: KeyspaceId,
    pub(crate) keyspace: Keyspace,
    /// How its keys are spread over the shards of its store, where that has any.
    pub(crate) ring: Option<Arc<Ring>>,
}

impl Keys {
    /// The number by which a store knows a key.
    #[inline]
    pub(crate) fn name(&self, key: u64) -> u64 {
        name(self.id.index(), key)
    }

    /// The length of `name:key`.
    fn name_bytes(&self, key: u64) -> u64 {
        self.keyspace.name.len() as u64 + 2 + u64::from(key.checked_ilog10().unwrap_or(0))
    }

    pub(crate) fn record_bytes(&self, draws: &Draws, key: u64) -> u64 {
        let value = draws.value_size(self.id, key, &self.keyspace.value);
        memory::record_bytes(self.name_bytes(key), value, self.keyspace.ttl.is_some())
    }

    /// Whether a key lives on a shard; on a store without any, all do.
    fn lives_on(&self, shard: u16, key: u64) -> bool {
        self.ring.as_ref().is_none_or(|ring| ring.shard(key) == shard)
    }

    /// All keys of a shard, and their memory.
    fn total(&self, draws: &Draws, shard: u16) -> (u64, u64) {
        let keys = self.keyspace.keys;
        let looked_at = keys.min(SUMMED_KEYS);
        // Evenly spread over the numbers, so that names of each length have their share.
        let spread = |i: u64| (u128::from(i) * u128::from(keys) / u128::from(looked_at)) as u64;
        let own = (0..looked_at).map(spread).filter(|&key| self.lives_on(shard, key));
        let (count, sum) =
            own.fold((0, 0), |(count, sum), key| (count + 1, sum + self.record_bytes(draws, key)));
        let scaled = |sum: u64| (u128::from(sum) * u128::from(keys) / u128::from(looked_at)) as u64;
        (scaled(count), scaled(sum))
    }

    /// Puts a keyspace's persistent keys, or its prefilled ones, in place before the run: those of a shard.
    pub(crate) fn prefill(&self, contents: &mut Contents, draws: &Draws, shard: u16) {
        if self.keyspace.persistent {
            let (keys, bytes) = self.total(draws, shard);
            contents.stand(keys, bytes);
            return;
        }
        // The most popular ones, as popularity is at the run's start.
        let start = draws.churn(self.id).map(|churn| churn.at(churn.start_nanos()));
        let fill = |contents: &mut Contents, key| {
            let expires = draws.prefill_ttl(self.id, &self.keyspace, key).map(|ttl| ttl.as_nanos());
            // A store that is full before it has a key to evict keeps what it has.
            contents.write(self.name(key), self.record_bytes(draws, key), expires, 0);
        };
        let followed: Option<Vec<u64>> = contents
            .space(self.id.index())
            .map(|space| space.followed_below(self.keyspace.prefill).collect());
        match followed {
            Some(followed) => followed.into_iter().for_each(|key| fill(contents, key)),
            None => {
                let keys = (0..self.keyspace.prefill).rev();
                let keys = keys.map(|rank| start.map_or(rank, |moment| moment.key(rank)));
                let own = keys.filter(|&key| self.lives_on(shard, key));
                own.for_each(|key| fill(contents, key));
            }
        }
    }

    /// Has the store follow one key in so many, where that is more than one. What stands is there already.
    pub(crate) fn follow(
        &self,
        contents: &mut Contents,
        rules: &Rules,
        one_in: u64,
        seed: Seed,
        draws: &Draws,
        shard: u16,
    ) {
        if one_in == 1 {
            return;
        }
        // A key of the head must be far too popular to be evicted.
        let record = (0..100).map(|key| self.record_bytes(draws, key)).sum::<u64>() / 100;
        let room = rules.max_bytes.saturating_sub(contents.used_bytes()) / record;
        let part = self.ring.clone().map(|ring| (ring, shard));
        let head = room / ROOM_PER_HEAD;
        let mut space = Space::new(&self.keyspace, self.id.index() as u64, one_in, head, seed, part);
        if let Some(churn) = draws.churn(self.id) {
            space.drift(churn);
        }
        contents.follow(self.id.index(), space, one_in);
    }

    /// GET or MGET of a request's first `count` keys. Keys that are not there are pushed to `missed`, but for those that
    /// are not followed.
    #[inline]
    pub(crate) fn read(
        &self,
        contents: &mut Contents,
        draws: &Draws,
        id: RequestId,
        count: u32,
        now: u64,
        missed: &mut Vec<u64>,
    ) -> Found {
        let place = self.id.index();
        if contents.come_to(place, now) {
            return match count {
                1 => {
                    let rank = draws.ranks(id, self.id).next().expect("keys have no end");
                    let key = contents.key_of_rank(place, rank);
                    contents.read_one(place, key, now, missed)
                }
                _ => contents.read_some(place, id.0, count, now, missed),
            };
        }
        missed.extend(draws.keys(id, self.id).take(count as usize));
        contents.touch(missed.iter().map(|&key| self.name(key)));
        missed.retain(|&key| !contents.read(self.name(key), now));
        Found { hits: count - missed.len() as u32, others: 0 }
    }

    /// GET or MGET of the keys in a list, of a shard: those that are there leave it. How many those are.
    pub(crate) fn read_listed(
        &self,
        contents: &mut Contents,
        id: RequestId,
        list: &mut Missed,
        now: u64,
    ) -> u32 {
        let place = self.id.index();
        if self.keyspace.persistent {
            list.keys.clear();
        } else if !contents.come_to(place, now) {
            contents.touch(list.keys.iter().map(|&key| self.name(key)));
            list.keys.retain(|&key| !contents.read(self.name(key), now));
        } else if let [key] = list.keys[..] {
            list.keys.clear();
            list.others = contents.read_one(place, key, now, &mut list.keys).others;
        } else {
            list.others = contents.read_some(place, id.0, list.asked, now, &mut list.keys).others;
        }
        list.asked - list.keys.len() as u32 - list.others
    }

    /// Leaves in a list, of keys of a shard that are to be written, those that count in memory.
    pub(crate) fn choose_listed(&self, contents: &mut Contents, id: RequestId, list: &mut Missed, now: u64) {
        let place = self.id.index();
        if self.keyspace.persistent {
            list.keys.clear();
        } else if contents.come_to(place, now) {
            // Popularity does not churn where there are shards, so that a key is its rank.
            if let [key] = list.keys[..] {
                list.keys.clear();
                list.keys.extend(contents.followed_of_rank(place, key));
            } else {
                contents.choose_written(place, id.0, list.asked, &mut list.keys);
            }
        }
    }

    /// Those of a request's first `count` keys that count in memory, in order.
    pub(crate) fn chosen(
        &self,
        contents: &mut Contents,
        draws: &Draws,
        id: RequestId,
        count: u32,
        now: u64,
        chosen: &mut Vec<u64>,
    ) {
        let place = self.id.index();
        if self.keyspace.persistent {
            // They are there, and of the same size as before.
        } else if contents.come_to(place, now) {
            if count > 1 {
                contents.choose_written(place, id.0, count, chosen);
            } else {
                let rank = draws.ranks(id, self.id).next().expect("keys have no end");
                chosen.extend(contents.followed_of_rank(place, rank));
            }
        } else {
            chosen.extend(draws.keys(id, self.id).take(count as usize));
        }
    }

    /// SET of a key by a request; false where memory does not allow it.
    pub(crate) fn write(
        &self,
        contents: &mut Contents,
        draws: &Draws,
        id: RequestId,
        key: u64,
        now: u64,
    ) -> bool {
        let ttl = draws.ttl(id, &self.keyspace, key);
        let expires = ttl.map(|ttl| now + ttl.as_nanos());
        contents.write(self.name(key), self.record_bytes(draws, key), expires, now)
    }
}

/// What a call missed; or what it asks a shard for, and then what of that was missed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missed {
    /// Keys, by number.
    pub(crate) keys: Vec<u64>,
    /// Further keys, which are not followed.
    pub(crate) others: u32,
    /// How many keys a shard was asked for.
    pub(crate) asked: u32,
    /// Of which shards the further keys are, where there are any.
    pub(crate) others_by_shard: Vec<(u16, u32)>,
}

impl Missed {
    pub(crate) fn len(&self) -> u64 {
        self.keys.len() as u64 + u64::from(self.others)
    }
}

/// Lists of what calls missed, used again and again.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    lists: Vec<Missed>,
    free: Vec<u32>,
}

impl Lists {
    /// An empty list.
    pub(crate) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.lists.push(Missed::default());
            self.lists.len() as u32 - 1
        })
    }

    pub(crate) fn give_back(&mut self, list: u32) {
        let old = &mut self.lists[list as usize];
        old.keys.clear();
        old.others_by_shard.clear();
        (old.others, old.asked) = (0, 0);
        self.free.push(list);
    }

    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.lists.len() - self.free.len()
    }

    pub(crate) fn look(&self, list: u32) -> &Missed {
        &self.lists[list as usize]
    }

    pub(crate) fn get(&mut self, list: u32) -> &mut Missed {
        &mut self.lists[list as usize]
    }
}
