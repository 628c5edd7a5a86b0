//! Purges by tag: steps of services that throw objects out of caches, at once or later.

use scenarios::law::DurationLaw;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Purge;

use super::rules::TagRule;
use crate::world::{Timer, World};

const PURGE: Purpose = Purpose::named("sim-cache-purge");

/// A purge as a step of some class: out of so many instances from the first on.
#[derive(Clone, Debug)]
pub(crate) struct PurgeRule {
    pub(crate) caches: (u16, u16),
    pub(crate) tags: Vec<TagRule>,
    pub(crate) soft: bool,
    pub(crate) delay: Option<DurationLaw>,
}

/// A purge that is under way: of which rule, for which tags, and the timer that it comes with. Idle without tags.
#[derive(Clone, Debug)]
pub(crate) struct Purging {
    rule: u16,
    tags: Vec<u64>,
    timer: u32,
}

impl PurgeRule {
    pub(crate) fn new(purge: &Purge, caches: (u16, u16)) -> Self {
        let tags = purge.tags.iter().map(TagRule::new).collect();
        Self { caches, tags, soft: purge.soft, delay: purge.delay }
    }
}

impl World {
    /// A service's step throws objects out of a cache, now or later.
    pub(crate) fn start_purge(&mut self, slot: u32, rule: u16, draw: u16) {
        let id = self.calls[slot].id;
        let PurgeRule { tags, delay, .. } = &self.purge_rules[usize::from(rule)];
        let path = self.calls.path(slot);
        let tags: Vec<u64> = tags.iter().map(|tag| tag.name(&self.draws, id, path)).collect();
        if tags.is_empty() {
            return;
        }
        let Some(delay) = delay else { return self.purge(rule, &tags) };
        let nanos = delay.sample(&mut Stream::new(self.seed, PURGE.of(u64::from(draw)), id.0)).as_nanos();
        let idle = self.purging.iter().position(|purging| purging.tags.is_empty());
        let index = idle.unwrap_or_else(|| {
            let timer = self.add_timer(Timer::Purge(self.purging.len() as u32));
            self.purging.push(Purging { rule, tags: Vec::new(), timer });
            self.purging.len() - 1
        });
        let purging = &mut self.purging[index];
        (purging.rule, purging.tags) = (rule, tags);
        self.events.schedule(self.now + nanos, purging.timer);
    }

    /// The time of a purge has come.
    pub(crate) fn purge_later(&mut self, index: u32) {
        let purging = &mut self.purging[index as usize];
        let (rule, tags) = (purging.rule, std::mem::take(&mut purging.tags));
        self.purge(rule, &tags);
    }

    /// Purges every instance that can be reached. One that cannot keeps what it has.
    fn purge(&mut self, rule: u16, tags: &[u64]) {
        let PurgeRule { caches: (base, count), soft, .. } = self.purge_rules[usize::from(rule)];
        for at in base..base + count {
            let instance = &self.instances[usize::from(at)];
            if instance.killed + instance.stopped == 0 {
                let contents = &mut self.caches[usize::from(instance.index)].contents;
                for tag in tags {
                    contents.purge(*tag, soft, self.now);
                }
            }
        }
    }
}
