//! Which objects carry which tag, for purges by tag.
//!
//! Varnish's vmod `xkey` (varnish-modules, `vmod_xkey.c`) has a tree of tags, each with the list of its objects, each of
//! which knows its tags; a purge walks the list. Here tags are chains behind a table of hashes, made at the first purge, and
//! an object that goes does not take its pairs along: they name the content that carried the tag, and an object's next
//! content is another. Pairs of what is gone are swept out when they are three times as many as the others, so that what is
//! kept and never purged, which is nearly everything, costs little. A pair of object and tag takes 24 bytes.

const NONE: u32 = u32::MAX;
/// Below this many pairs, those of what is gone are not worth looking for.
const SMALL: usize = 1024;

/// What a tag is put on: the number of an object, and which of its contents, one after the other, it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) object: u32,
    pub(crate) number: u32,
}

/// An object's content carries a tag.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// Any 64 bits.
    tag: u64,
    content: Content,
    /// The next of the same chain, which came earlier.
    next: u32,
}

/// The pairs of objects and tags.
#[derive(Clone, Debug)]
pub(crate) struct Tags {
    /// In the order in which they came.
    pairs: Vec<Pair>,
    /// The first pair of each chain; a power of two, or none as long as nobody has asked.
    chains: Vec<u32>,
    /// With so many pairs they are swept.
    sweep_at: usize,
}

impl Tags {
    pub(crate) fn new() -> Self {
        Self { pairs: Vec::new(), chains: Vec::new(), sweep_at: SMALL }
    }

    /// Tags are well mixed numbers already, but for those of tests.
    fn chain(&self, tag: u64) -> usize {
        (tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.chains.len() - 1)
    }

    /// The content carries the tag from now on, as long as `is_there` says so of it.
    pub(crate) fn add(&mut self, content: Content, tag: u64, is_there: impl Fn(Content) -> bool) {
        if self.pairs.len() >= self.sweep_at {
            self.sweep(is_there);
        }
        self.pairs.push(Pair { tag, content, next: NONE });
        if !self.chains.is_empty() {
            self.chain_up(self.pairs.len() - 1);
        }
    }

    fn chain_up(&mut self, at: usize) {
        let chain = self.chain(self.pairs[at].tag);
        self.pairs[at].next = std::mem::replace(&mut self.chains[chain], at as u32);
    }

    fn make_chains(&mut self) {
        self.chains.clear();
        self.chains.resize(self.sweep_at.next_power_of_two(), NONE);
        (0..self.pairs.len()).for_each(|at| self.chain_up(at));
    }

    /// Throws out the pairs of what is gone.
    #[cold]
    fn sweep(&mut self, is_there: impl Fn(Content) -> bool) {
        self.pairs.retain(|pair| is_there(pair.content));
        self.sweep_at = SMALL.max(4 * self.pairs.len());
        if !self.chains.is_empty() {
            self.make_chains();
        }
    }

    /// The contents that carry a tag, the newest first, with those that are gone.
    pub(crate) fn carriers(&mut self, tag: u64) -> impl Iterator<Item = Content> + '_ {
        if self.chains.is_empty() {
            self.make_chains();
        }
        self.carriers_in_chains(tag)
    }

    fn carriers_in_chains(&self, tag: u64) -> impl Iterator<Item = Content> + '_ {
        let pair = |at: u32| (at != NONE).then(|| &self.pairs[at as usize]);
        let chain = std::iter::successors(pair(self.chains[self.chain(tag)]), move |p| pair(p.next));
        chain.filter(move |pair| pair.tag == tag).map(|pair| pair.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn tags_agree_with_sets(actions in proptest::collection::vec((0_u32..20, 0_u64..8, 0_u64..8), 0..3_000)) {
            let mut tags = Tags::new();
            let mut numbers = [0; 20];
            let mut sets = BTreeMap::<u64, BTreeSet<u32>>::new();
            for (object, one, other) in actions {
                // What it was is gone.
                numbers[object as usize] += 1;
                for set in sets.values_mut() {
                    set.remove(&object);
                }
                let is_there = |c: Content| numbers[c.object as usize] == c.number;
                // Equal names stand for an object that carries none.
                if one != other {
                    for tag in [one, other] {
                        tags.add(Content { object, number: numbers[object as usize] }, tag, is_there);
                        sets.entry(tag).or_default().insert(object);
                    }
                }
                for (tag, set) in &sets {
                    let carriers = tags.carriers(*tag).filter(|c| is_there(*c));
                    prop_assert_eq!(&carriers.map(|c| c.object).collect::<BTreeSet<_>>(), set);
                }
            }
            prop_assert!(tags.pairs.len() <= SMALL.max(2 * 40), "what is gone is swept out");
        }
    }
}
