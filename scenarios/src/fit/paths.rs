//! Paths become patterns: `/products/17` and `/products/18` are both `/products/{..}`.
//!
//! A tree of path segments. A segment that looks like an identifier, and any segment at a place that has seen too many, is
//! the place's *key*; the tree's size is bounded so. Each key is counted, in a sample of the keys by their hash where there
//! are too many (spatial sampling).

use std::collections::BTreeMap;

use super::sizes::Sizes;
use crate::rng::{Purpose, Stream};
use crate::units::Seed;

const KEY: Purpose = Purpose::named("fit-key");

/// More segments than this at one place are keys.
const CHILDREN_LIMIT: usize = 40;
/// Segments of a path that are told apart; the rest is one.
const DEPTH_LIMIT: usize = 8;
/// Places in the tree, above which no new segment gets one.
const NODES_LIMIT: usize = 20_000;
/// Keys that are counted at once; above, half of them are left out, again and again.
const KEYS_LIMIT: usize = 2_000_000;

/// What is known of the requests of one pattern.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    pub(super) requests: u64,
    /// Answers of 500 and above.
    pub(super) errors: u64,
    /// Answers of 400 to 499.
    pub(super) refusals: u64,
    pub(super) sizes: Sizes,
}

impl Class {
    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.refusals += other.refusals;
        self.sizes.merge(&other.sizes);
    }
}

#[derive(Clone, Debug, Default)]
struct Node {
    class: Class,
    /// Requests here and below.
    passed: u64,
    children: BTreeMap<Box<[u8]>, usize>,
    /// Where its keys lead; it then has no other children.
    keys: Option<usize>,
}

/// The tree.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The first nodes are the roots of the methods.
    nodes: Vec<Node>,
    methods: BTreeMap<Box<[u8]>, usize>,
    /// Where a node that was merged into another went.
    merged: BTreeMap<usize, usize>,
    /// How often each key of a node was asked for, by the key's hash.
    counts: BTreeMap<(usize, u64), u64>,
    /// Only keys whose hash has this many leading zeros are counted.
    halvings: u32,
}

/// A pattern and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) method: String,
    /// The segments; none stands for keys, with the place whose keys they are.
    pub(super) segments: Vec<Segment>,
    pub(super) class: Class,
}

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Segment {
    Text(String),
    /// A key of this place.
    Key(usize),
}

/// Sixty-four well-mixed bits of a text: FNV-1a, and a stream's first draw.
pub(super) fn hash(text: &[u8]) -> u64 {
    let fnv = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Stream::new(Seed(0), KEY, fnv).next_bits()
}

/// Whether a segment is an identifier by its look: a number, or hexadecimal digits of some length as in a UUID.
fn is_identifier(segment: &[u8]) -> bool {
    let digits = segment.iter().filter(|b| b.is_ascii_digit()).count();
    let hexadecimal = segment.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    digits > 0 && (digits == segment.len() || (hexadecimal && segment.len() >= 8))
}

impl Paths {
    /// Counts a request.
    pub(super) fn add(&mut self, method: &[u8], path: &[u8], status: u16, bytes: u64) {
        let mut at = match self.methods.get(method) {
            Some(root) => *root,
            None => {
                let root = self.new_node();
                self.methods.insert(method.into(), root);
                root
            }
        };
        self.nodes[at].passed += 1;
        for segment in path[1..].splitn(DEPTH_LIMIT, |b| *b == b'/') {
            at = self.child(at, segment);
            self.nodes[at].passed += 1;
        }
        let class = &mut self.nodes[at].class;
        class.requests += 1;
        class.errors += u64::from(status >= 500);
        class.refusals += u64::from((400..500).contains(&status));
        if status < 400 {
            class.sizes.add(bytes);
        }
    }

    fn new_node(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len() - 1
    }

    fn child(&mut self, at: usize, segment: &[u8]) -> usize {
        let known = self.nodes[at].children.get(segment);
        if let Some(child) = known {
            return *child;
        }
        let full = self.nodes[at].children.len() >= CHILDREN_LIMIT || self.nodes.len() >= NODES_LIMIT;
        if self.nodes[at].keys.is_none() && !full && !is_identifier(segment) {
            let child = self.new_node();
            self.nodes[at].children.insert(segment.into(), child);
            return child;
        }
        let keys = match self.nodes[at].keys {
            Some(keys) => keys,
            None => {
                let keys = self.new_node();
                self.nodes[at].keys = Some(keys);
                keys
            }
        };
        if full {
            self.collapse(at, keys);
        }
        self.count(keys, hash(segment), 1);
        keys
    }

    /// The other segments of a place turn out to be keys.
    fn collapse(&mut self, at: usize, keys: usize) {
        for (segment, child) in std::mem::take(&mut self.nodes[at].children) {
            let passed = self.nodes[child].passed;
            self.count(keys, hash(&segment), passed);
            self.merge(child, keys);
        }
    }

    fn merge(&mut self, from: usize, into: usize) {
        self.merged.insert(from, into);
        let node = std::mem::take(&mut self.nodes[from]);
        self.nodes[into].passed += node.passed;
        self.nodes[into].class.merge(node.class);
        for (segment, child) in node.children {
            match self.nodes[into].children.get(&segment).copied() {
                Some(other) => self.merge(child, other),
                None => drop(self.nodes[into].children.insert(segment, child)),
            }
        }
        if let Some(keys) = node.keys {
            match self.nodes[into].keys {
                Some(other) => self.merge(keys, other),
                None => self.nodes[into].keys = Some(keys),
            }
        }
    }

    fn count(&mut self, keys: usize, hash: u64, requests: u64) {
        if hash.leading_zeros() < self.halvings {
            return;
        }
        *self.counts.entry((keys, hash)).or_default() += requests;
        while self.counts.len() > KEYS_LIMIT {
            self.halvings += 1;
            let halvings = self.halvings;
            self.counts.retain(|(_, hash), _| hash.leading_zeros() >= halvings);
        }
    }

    /// All patterns, those with the most requests first.
    pub(super) fn patterns(&self) -> Vec<Pattern> {
        let mut all = Vec::new();
        for (method, root) in &self.methods {
            self.walk(*root, &String::from_utf8_lossy(method), &mut Vec::new(), &mut all);
        }
        all.sort_by_key(|pattern| std::cmp::Reverse(pattern.class.requests));
        all
    }

    fn walk(&self, at: usize, method: &str, segments: &mut Vec<Segment>, all: &mut Vec<Pattern>) {
        let node = &self.nodes[at];
        if node.class.requests > 0 {
            let (method, segments, class) = (method.to_owned(), segments.clone(), node.class.clone());
            all.push(Pattern { method, segments, class });
        }
        let texts = node
            .children
            .iter()
            .map(|(segment, child)| (Segment::Text(String::from_utf8_lossy(segment).into_owned()), *child));
        for (segment, child) in texts.chain(node.keys.map(|keys| (Segment::Key(keys), keys))) {
            segments.push(segment);
            self.walk(child, method, segments, all);
            segments.pop();
        }
    }

    /// How often each key of a place was asked for, and the share of the keys that were counted.
    pub(super) fn keys(&self, place: usize) -> (Vec<u64>, f64) {
        let mut by_key: BTreeMap<u64, u64> = BTreeMap::new();
        for ((keys, hash), count) in &self.counts {
            let mut at = *keys;
            while let Some(next) = self.merged.get(&at) {
                at = *next;
            }
            if at == place {
                *by_key.entry(*hash).or_default() += count;
            }
        }
        (by_key.into_values().collect(), 0.5_f64.powi(self.halvings as i32))
    }
}
