//! What of a scenario's classes a cache keeps, under which keys and tags: resolved once, used for every request.

use scenarios::Scenario;
use scenarios::law::SizeLaw;
use scenarios::plan::{Draws, RequestId};
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{ClassId, HttpCache, KeyspaceId, Method, PathPart, RequestClass, Tag};
use scenarios::units::Seed;

use super::settings::Lifetime;
use crate::front::PathKey;

/// What is done with a class's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// They are passed on: they are no GET.
    Pass,
    /// They are looked up, and their answers turn out not to be cacheable.
    Look,
    /// Their answers are kept for so long, in nanoseconds.
    Keep(u64),
}

/// A part of a tag.
#[derive(Clone, Copy, Debug)]
enum TagPart {
    Text(u64),
    Key(KeyspaceId),
}

/// A tag whose keys are still to be filled in.
#[derive(Clone, Debug)]
pub(crate) struct TagRule(Vec<TagPart>);

/// A class as caches see it.
#[derive(Clone, Debug)]
pub(crate) struct ClassRule {
    pub(crate) what: Use,
    keys: Vec<KeyspaceId>,
    tags: Vec<TagRule>,
    vary: Vec<Dimension>,
    response: SizeLaw,
    /// The class of the parts of an answer, and how many there are.
    pub(crate) include: Option<(ClassId, u16)>,
}

/// Something beside the path that tells objects apart.
#[derive(Clone, Copy, Debug)]
struct Dimension {
    purpose: Purpose,
    values: u64,
    raw: u64,
}

impl Dimension {
    /// How many values tell objects apart.
    fn count(self, normalise: bool) -> u64 {
        if normalise { self.values } else { self.raw }
    }
}

/// Mixes a number into a name of 64 bits (the finaliser of MurmurHash3).
#[inline]
fn mix(name: u64, number: u64) -> u64 {
    let mut z = name.rotate_left(23) ^ number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}

impl TagRule {
    pub(crate) fn new(tag: &Tag) -> Self {
        let part = |part: &PathPart| match part {
            PathPart::Text(text) => TagPart::Text(
                text.bytes().fold(0xcbf2_9ce4_8422_2325, |name, byte| mix(name, u64::from(byte))),
            ),
            PathPart::Key(keyspace) => TagPart::Key(*keyspace),
            PathPart::Kept(_) => unreachable!("a tag has keys alone: validation reads no other name"),
        };
        Self(tag.parts.iter().map(part).collect())
    }

    /// Its name for the keys of a request.
    pub(crate) fn name(&self, draws: &Draws, id: RequestId, path: PathKey) -> u64 {
        self.0.iter().fold(0, |name, part| match part {
            TagPart::Text(text) => mix(name, *text),
            TagPart::Key(keyspace) => mix(name, path.first(draws, id, *keyspace)),
        })
    }
}

impl ClassRule {
    pub(crate) fn new(class: &RequestClass) -> Self {
        let rule = class.cache.as_ref();
        let key = |part: &PathPart| match part {
            PathPart::Key(keyspace) => Some(*keyspace),
            PathPart::Text(_) | PathPart::Kept(_) => None,
        };
        let dimension = |vary: &scenarios::scenario::Vary| Dimension {
            purpose: vary.purpose(),
            values: u64::from(vary.values),
            raw: u64::from(vary.raw),
        };
        Self {
            what: match rule {
                Some(rule) => Use::Keep(rule.ttl.as_nanos()),
                None if class.method == Method::Get => Use::Look,
                None => Use::Pass,
            },
            keys: class.path.parts.iter().filter_map(key).collect(),
            tags: rule.map(|r| r.tags.iter().map(TagRule::new).collect()).unwrap_or_default(),
            vary: rule.map(|r| r.vary.iter().map(dimension).collect()).unwrap_or_default(),
            response: class.response,
            include: class.esi.map(|esi| (esi.include, esi.count as u16)),
        }
    }

    /// The key of the object that a request asks for. What it varies by is the client's, `asker`, who for a part of a
    /// page is the one that asks for the page.
    #[expect(clippy::too_many_arguments, reason = "all that a key is made of, on the way of every request")]
    pub(crate) fn key(
        &self,
        class: ClassId,
        id: RequestId,
        path: PathKey,
        asker: RequestId,
        normalise: bool,
        seed: Seed,
        draws: &Draws,
    ) -> u64 {
        let mut key = mix(0, class.index() as u64);
        for keyspace in &self.keys {
            key = mix(key, path.first(draws, id, *keyspace));
        }
        for dimension in &self.vary {
            let raw = Stream::new(seed, dimension.purpose, asker.0).below(dimension.raw);
            key = mix(key, if normalise { raw % dimension.values } else { raw });
        }
        key
    }

    /// The first keyspace in its path.
    pub(crate) fn keyspace(&self) -> Option<KeyspaceId> {
        self.keys.first().copied()
    }

    /// How many objects there are of a path.
    pub(crate) fn variants(&self, normalise: bool) -> u64 {
        self.vary.iter().map(|dimension| dimension.count(normalise)).fold(1, u64::saturating_mul)
    }

    /// The key of an object by that of its path, which has one keyspace at most, and the number of its variant: what
    /// [`ClassRule::key`] says of the requests for it.
    pub(crate) fn object(&self, class: ClassId, key: u64, variant: u64, normalise: bool) -> u64 {
        let mut name = mix(0, class.index() as u64);
        for _ in &self.keys {
            name = mix(name, key);
        }
        let mut rest = variant;
        for dimension in &self.vary {
            let count = dimension.count(normalise);
            name = mix(name, rest % count);
            rest /= count;
        }
        name
    }

    /// Objects have no tags: nothing purges by them.
    pub(crate) fn forget_tags(&mut self) {
        self.tags.clear();
    }

    /// The size of the body of the object that a request asks for: the same whenever it is fetched.
    pub(crate) fn body_bytes(&self, class: ClassId, id: RequestId, path: PathKey, draws: &Draws) -> u64 {
        let keys = self.keys.iter().map(|keyspace| path.first(draws, id, *keyspace));
        draws.object_size(class, keys, &self.response)
    }

    pub(crate) fn tags<'a>(
        &'a self,
        draws: &'a Draws,
        id: RequestId,
        path: PathKey,
    ) -> impl Iterator<Item = u64> + 'a {
        self.tags.iter().map(move |tag| tag.name(draws, id, path))
    }
}

/// The request that a part of a page stands for: named by the page's key, so that a page has the same parts whoever asks.
/// Its name looks like one of the last of all traffics that there could be.
pub(crate) fn part_of(page: u64, number: u16) -> RequestId {
    RequestId(mix(page, u64::from(number)) | 63 << 58)
}

/// What becomes of each class's objects after their TTL in a cache.
pub(crate) fn lifetimes(scenario: &Scenario, cache: &HttpCache) -> Vec<Lifetime> {
    let lifetime = |class: &RequestClass| {
        let (grace, keep) = class.cache.as_ref().map_or((None, None), |rule| (rule.grace, rule.keep));
        Lifetime {
            grace_nanos: grace.unwrap_or(cache.grace).as_nanos(),
            keep_nanos: keep.unwrap_or(cache.keep).as_nanos(),
        }
    };
    scenario.requests.iter().map(lifetime).collect()
}
