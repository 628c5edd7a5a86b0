//! Commands to a store of several shards: its keys' names say where each goes, the parts go out at once, and the request
//! goes on when the slowest has answered.
//!
//! Each part is a branch of the call that sends the command: a call at the same instance that holds no worker. What it asks
//! for, and then what of that was missed, stands in its list. Where all keys live on one shard, the call sends the command
//! itself. A part that fails fails the command, as clients that read from several nodes report an error.

use crate::call::{NOBODY, NONE, SHARD};
use crate::instance::{Answer, Back, Flow};
use crate::program::Op;
use crate::world::World;

use super::binomial::binomial;
use super::keyspace::{Lists, Missed};
use super::{ASKED, FILLING, MISSED, READ, READING, SETTING};
use scenarios::rng::{Purpose, Stream};

const SPLIT: Purpose = Purpose::named("sim-shards");

impl World {
    /// Sends the command of a call's present step and stage to where its keys live.
    #[inline]
    pub(crate) fn send_command(&mut self, slot: u32, keyspace: u16) -> Flow {
        if self.keys[usize::from(keyspace)].ring.is_none() {
            return self.call_store(slot);
        }
        self.call_shards(slot)
    }

    fn call_shards(&mut self, slot: u32) -> Flow {
        let (stage, parts) = match (self.steps[usize::from(self.calls[slot].step)].op, self.calls[slot].stage)
        {
            (Op::Get { keyspace, .. }, ASKED) => (FILLING, self.split_missed(slot, keyspace)),
            (Op::Get { keyspace, count, .. }, _) => (READING, self.split(slot, keyspace, count)),
            (Op::Set { keyspace, count, .. }, _) => (SETTING, self.split(slot, keyspace, count)),
            (op, _) => unreachable!("{op:?} sends no command"),
        };
        let base = self.calls[slot].leaf;
        if let [(shard, list)] = parts[..] {
            let call = &mut self.calls[slot];
            (call.leaf, call.missed, call.stage) = (base + shard, list, stage);
            return self.call_store(slot);
        }
        let parent = &mut self.calls[slot];
        parent.await_branches(parts.len() as u16);
        parent.stage = stage;
        let parent = *parent;
        for (shard, list) in parts {
            let mut call = parent.new_branch(slot, self.now);
            call.flags |= SHARD;
            (call.step, call.end) = (parent.step, parent.step + 1);
            (call.leaf, call.missed, call.stage) = (base + shard, list, stage);
            match self.calls.insert(call) {
                Some(child) => {
                    self.follow_child(child, slot);
                    let flow = self.call_store(child);
                    if flow != Flow::Suspended {
                        self.part_done(child, flow);
                    }
                }
                None => {
                    self.missed.give_back(list);
                    self.shard_answered(slot, Back::new(&call, NONE, Answer::Refused));
                }
            }
        }
        Flow::Suspended
    }

    /// A request's first `count` keys by shard.
    fn split(&mut self, slot: u32, keyspace: u16, count: u32) -> Vec<(u16, u32)> {
        let id = self.calls[slot].id;
        let base = usize::from(self.calls[slot].leaf);
        let keys = &self.keys[usize::from(keyspace)];
        let ring = keys.ring.as_deref().expect("only stores with shards are split");
        let mut parts: Vec<(u16, u32)> = Vec::new();
        let place = keys.id.index();
        let first = &self.stores[usize::from(self.instances[base].index)].contents;
        if count > 1 && first.space(place).is_some() {
            // Which keys is not known where only some are followed: how many of each shard, by its popularity.
            let mut stream = Stream::new(self.seed, SPLIT.of(place as u64), id.0);
            let popularity = |shard: u16| {
                let store = &self.stores[usize::from(self.instances[base + usize::from(shard)].index)];
                store.contents.space(place).map_or(0.0, |space| space.popularity())
            };
            let (mut left, mut rest) = (count, (0..ring.shards()).map(popularity).sum::<f64>());
            for shard in 0..ring.shards() {
                let own = popularity(shard);
                let last = shard + 1 == ring.shards();
                let asked = if last { left } else { binomial(&mut stream, left, own / rest) };
                (left, rest) = (left - asked, rest - own);
                if asked > 0 {
                    let list = self.missed.take();
                    self.missed.get(list).asked = asked;
                    parts.push((shard, list));
                }
            }
            return parts;
        }
        for key in self.draws.keys(id, keys.id).take(count as usize) {
            let list = part(&mut parts, ring.shard(key), &mut self.missed);
            list.keys.push(key);
            list.asked += 1;
        }
        parts
    }

    /// What a call missed by shard: it is written back there.
    fn split_missed(&mut self, slot: u32, keyspace: u16) -> Vec<(u16, u32)> {
        let keys = &self.keys[usize::from(keyspace)];
        let ring = keys.ring.as_deref().expect("only stores with shards are split");
        let missed = std::mem::replace(&mut self.calls[slot].missed, NONE);
        let mut parts: Vec<(u16, u32)> = Vec::new();
        let numbers = std::mem::take(&mut self.missed.get(missed).keys);
        for &key in &numbers {
            part(&mut parts, ring.shard(key), &mut self.missed).keys.push(key);
        }
        let by_shard = std::mem::take(&mut self.missed.get(missed).others_by_shard);
        for &(shard, others) in &by_shard {
            part(&mut parts, shard, &mut self.missed).others += others;
        }
        // Their memory is used again.
        let list = self.missed.get(missed);
        (list.keys, list.others_by_shard) = (numbers, by_shard);
        self.missed.give_back(missed);
        parts
    }

    /// The store has executed a part, or cannot: what it missed is its request's.
    pub(crate) fn part_done(&mut self, slot: u32, flow: Flow) {
        let call = &mut self.calls[slot];
        let (parent, stage) = (call.parent, call.stage);
        let list = std::mem::replace(&mut call.missed, NONE);
        if list != NONE {
            if stage == MISSED && parent < NOBODY {
                self.add_missed(parent, list);
            }
            self.missed.give_back(list);
        }
        self.answer(slot, if flow == Flow::Done { Answer::Good } else { Answer::Error });
    }

    fn add_missed(&mut self, parent: u32, list: u32) {
        if self.calls[parent].missed == NONE {
            self.calls[parent].missed = self.missed.take();
        }
        let (keys, others, by_shard) = {
            let list = self.missed.get(list);
            (std::mem::take(&mut list.keys), list.others, list.others_by_shard.first().copied())
        };
        let all = self.missed.get(self.calls[parent].missed);
        all.keys.extend_from_slice(&keys);
        all.others += others;
        all.others_by_shard.extend(by_shard);
        self.missed.get(list).keys = keys;
    }

    /// How many keys a command is about: a request's first `count`, or what one shard is asked for.
    pub(crate) fn asked(&self, slot: u32, count: u32) -> u64 {
        let call = &self.calls[slot];
        let asked = if call.missed == NONE { 0 } else { self.missed.look(call.missed).asked };
        u64::from(if asked > 0 { asked } else { count })
    }

    /// A part has answered: the command is done with the last.
    pub(crate) fn shard_answered(&mut self, slot: u32, back: Back) {
        let call = &mut self.calls[slot];
        let Some(good) = call.branch_done(&back) else { return };
        let flow = if good { Flow::Done } else { Flow::Failed };
        call.stage = if call.missed == NONE { READ } else { MISSED };
        self.service_leaf_done(slot, flow);
    }
}

/// The list of a shard's keys, made when it is asked for first.
fn part<'a>(parts: &mut Vec<(u16, u32)>, shard: u16, lists: &'a mut Lists) -> &'a mut Missed {
    let known = parts.iter().find(|(s, _)| *s == shard);
    let list = known.map_or_else(|| lists.take(), |(_, list)| *list);
    if known.is_none() {
        parts.push((shard, list));
    }
    lists.get(list)
}
