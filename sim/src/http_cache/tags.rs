//! Which objects carry which tag, for purges by tag.
//!
//! After Varnish's vmod `xkey` (varnish-modules, `vmod_xkey.c`): a tree of tags, each with the list of its objects, each of
//! which knows its tags; a purge walks the list. A pair of object and tag takes 20 bytes.

use crate::ids::Ids;

const NONE: u32 = u32::MAX;

/// An object carries a tag.
#[derive(Clone, Copy, Debug)]
struct Pair {
    object: u32,
    tag: u32,
    /// In the tag's list.
    next: u32,
    previous: u32,
    /// In the object's list; in the list of free pairs.
    beside: u32,
}

/// A tag that some object carries: its name, any 64 bits, and its first pair.
#[derive(Clone, Copy, Debug)]
struct Tag {
    name: u64,
    first: u32,
}

/// The pairs of objects and tags.
#[derive(Clone, Debug)]
pub(crate) struct Tags {
    pairs: Vec<Pair>,
    free_pairs: Vec<u32>,
    tags: Vec<Tag>,
    free_tags: Vec<u32>,
    ids: Ids,
    /// The first pair of each object, by its number; shorter than the objects where none has tags.
    objects: Vec<u32>,
}

impl Tags {
    pub(crate) fn new() -> Self {
        Self {
            pairs: Vec::new(),
            free_pairs: Vec::new(),
            tags: Vec::new(),
            free_tags: Vec::new(),
            ids: Ids::new(),
            objects: Vec::new(),
        }
    }

    fn find(&self, name: u64) -> Option<u32> {
        self.ids.find(name, |id| self.tags[id as usize].name == name)
    }

    /// The object carries the tag from now on.
    pub(crate) fn add(&mut self, object: u32, name: u64) {
        let tag = self.find(name).unwrap_or_else(|| {
            let tag = put(&mut self.tags, &mut self.free_tags, Tag { name, first: NONE });
            self.ids.insert(name, tag);
            tag
        });
        if self.objects.len() <= object as usize {
            self.objects.resize(object as usize + 1, NONE);
        }
        let next = self.tags[tag as usize].first;
        let beside = self.objects[object as usize];
        let pair =
            put(&mut self.pairs, &mut self.free_pairs, Pair { object, tag, next, previous: NONE, beside });
        if next != NONE {
            self.pairs[next as usize].previous = pair;
        }
        self.tags[tag as usize].first = pair;
        self.objects[object as usize] = pair;
    }

    /// The object is gone.
    pub(crate) fn forget(&mut self, object: u32) {
        let Some(first) = self.objects.get_mut(object as usize) else { return };
        let mut at = std::mem::replace(first, NONE);
        while at != NONE {
            let pair = self.pairs[at as usize];
            match pair.previous {
                NONE => self.tags[pair.tag as usize].first = pair.next,
                previous => self.pairs[previous as usize].next = pair.next,
            }
            if pair.next != NONE {
                self.pairs[pair.next as usize].previous = pair.previous;
            }
            let tag = self.tags[pair.tag as usize];
            if tag.first == NONE {
                self.ids.remove(tag.name, pair.tag);
                self.free_tags.push(pair.tag);
            }
            self.free_pairs.push(at);
            at = pair.beside;
        }
    }

    /// The objects that carry a tag, the newest first.
    pub(crate) fn objects(&self, name: u64) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = self.find(name).map_or(NONE, |tag| self.tags[tag as usize].first);
        while at != NONE {
            found.push(self.pairs[at as usize].object);
            at = self.pairs[at as usize].next;
        }
        found
    }
}

fn put<T>(things: &mut Vec<T>, free: &mut Vec<u32>, thing: T) -> u32 {
    match free.pop() {
        Some(id) => {
            things[id as usize] = thing;
            id
        }
        None => {
            things.push(thing);
            things.len() as u32 - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn tags_agree_with_sets(actions in proptest::collection::vec((0_u32..20, 0_u64..8, 0_u64..8), 0..200)) {
            let mut tags = Tags::new();
            let mut sets = BTreeMap::<u64, BTreeSet<u32>>::new();
            for (object, one, other) in actions {
                tags.forget(object);
                for set in sets.values_mut() {
                    set.remove(&object);
                }
                // Equal names stand for an object that is gone.
                if one != other {
                    for name in [one, other] {
                        tags.add(object, name);
                        sets.entry(name).or_default().insert(object);
                    }
                }
                for (name, set) in &sets {
                    prop_assert_eq!(&tags.objects(*name).into_iter().collect::<BTreeSet<_>>(), set);
                }
            }
            let pairs = sets.values().map(BTreeSet::len).sum::<usize>();
            prop_assert_eq!(tags.pairs.len() - tags.free_pairs.len(), pairs);
            let used = sets.values().filter(|set| !set.is_empty()).count();
            prop_assert_eq!(tags.tags.len() - tags.free_tags.len(), used);
        }
    }
}
