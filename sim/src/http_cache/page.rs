//! Pages that are put together from parts (ESI): Varnish takes parts one after the other (`cache_esi_deliver.c`).

use scenarios::rng::Stream;

use crate::call::{Call, Phase};
use crate::front::PathKey;
use crate::instance::Answer;
use crate::world::World;

use super::contents::Lookup;
use super::instance::{CONFIRMING, FETCHING, LOOKING, PASSING, REQUEST, SENDING};
use super::rules::{Use, part_of};

impl World {
    /// Puts parts into a page until one has to be waited for. A part that fails leaves a gap, as in Varnish.
    pub(super) fn include(&mut self, page: u32) {
        let Call { at, class, .. } = self.calls[page];
        let Some((part_class, count)) = self.cache_rules[class.index()].include else {
            return self.cache_answers(page, Answer::Good);
        };
        let page_key = self.object_key(page);
        while self.calls[page].attempts < count {
            let call = &mut self.calls[page];
            call.attempts += 1;
            let (asker, id) = (call.id, part_of(page_key, call.attempts));
            let now = self.now;
            let rule = &self.cache_rules[part_class.index()];
            let cache = &mut self.caches[usize::from(self.instances[usize::from(at)].index)];
            if rule.what == Use::Pass {
                continue;
            }
            let path = PathKey::NONE;
            let key = rule.key(part_class, id, path, asker, cache.normalise, self.seed, &self.draws);
            let (object, stage) = match cache.contents.lookup(key, now) {
                Lookup::Hit(_) | Lookup::Stale { refresh: false, .. } => continue,
                Lookup::Stale { object, refresh: true } => {
                    self.refresh(at, id, part_class, object);
                    continue;
                }
                Lookup::Miss { object, conditional: true } => (Some(object), CONFIRMING),
                Lookup::Miss { object, .. } | Lookup::HitForMiss(object) => (Some(object), FETCHING),
                Lookup::Busy(object) => (Some(object), LOOKING),
                Lookup::HitForPass => (None, PASSING),
            };
            let Some(part) = self.own_call(at, id, part_class, page) else {
                if let Some(object) = object.filter(|_| stage != LOOKING) {
                    self.end_in_vain(at, object);
                }
                continue;
            };
            self.calls[page].phase = Phase::Calling;
            match object {
                Some(object) if stage == LOOKING => self.wait_for_object(part, object),
                Some(object) => self.fetch(part, object, stage),
                None => self.pass_on(part),
            }
            return;
        }
        self.send_page(page, count);
    }

    /// What the parts of a page weigh that a call is answered with, where it comes out of a cache: before, they are not in it.
    pub(crate) fn parts_bytes(&self, slot: u32) -> u64 {
        let Call { at, class, .. } = self.calls[slot];
        let Some((part_class, count)) = self.cache_rules[class.index()].include else { return 0 };
        let Some(cache) = self.page_makers[usize::from(self.instances[usize::from(at)].component)] else {
            return 0;
        };
        let rule = &self.cache_rules[part_class.index()];
        if rule.what == Use::Pass || !self.asks_for_page(slot) {
            return 0;
        }
        let page = self.object_key_in(slot, &self.caches[usize::from(cache)]);
        let bytes = |part| rule.body_bytes(part_class, part_of(page, part), PathKey::NONE, &self.draws);
        (1..=count).map(bytes).sum()
    }

    /// A page is complete: its parts take processor time, each as a request does.
    fn send_page(&mut self, page: u32, parts: u16) {
        self.calls[page].stage = SENDING;
        let Call { at, id, .. } = self.calls[page];
        match self.cache(page).request {
            Some(law) => {
                let draw = |part| law.sample(&mut Stream::new(self.seed, REQUEST.of(part), id.0)).as_nanos();
                let work = (1..=u64::from(parts)).map(draw).sum();
                self.take_core(at, page, work, Phase::Work);
            }
            None => self.cache_answers(page, Answer::Good),
        }
    }
}
