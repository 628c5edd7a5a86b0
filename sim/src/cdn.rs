//! A content delivery network: answers a part of the requests at its edge and passes the others on. Rules: `docs/cdn.md`.

use std::collections::BTreeMap;

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::EdgeRule;

use crate::call::Phase;
use crate::connect::Target;
use crate::instance::{Answer, Back};
use crate::world::World;

const HIT: Purpose = Purpose::named("sim-cdn-hit");
const LATENCY: Purpose = Purpose::named("sim-cdn-latency");

/// What a call's stage says while it is here.
const ANSWERED_HERE: u8 = 1;
const PASSED_ON: u8 = 2;

#[derive(Debug)]
pub(crate) struct Cdn {
    target: Target,
    /// By class; none for what is never answered here.
    rules: Vec<Option<EdgeRule>>,
    latency: DurationLaw,
    /// Until when the answer for a path is fresh.
    kept: BTreeMap<u64, u64>,
    /// Whose turn it is at the origin.
    turn: u16,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Cdn {
    pub(crate) fn new(scenario: &Scenario, rules: &scenarios::scenario::Cdn, target: Target) -> Self {
        let mut by_class = vec![None; scenario.requests.len()];
        for (class, rule) in &rules.serves {
            by_class[class.index()] = Some(*rule);
        }
        let (kept, turn, hits, misses) = (BTreeMap::new(), 0, 0, 0);
        Self { target, rules: by_class, latency: rules.latency, kept, turn, hits, misses }
    }

    /// Its edges are emptied.
    pub(crate) fn flush(&mut self) {
        self.kept.clear();
    }
}

impl World {
    fn cdn(&mut self, at: u16) -> &mut Cdn {
        let index = self.instances[usize::from(at)].index;
        &mut self.cdns[usize::from(index)]
    }

    /// A request is there.
    pub(crate) fn cdn_arrive(&mut self, slot: u32) {
        let call = self.calls[slot];
        if self.instances[usize::from(call.at)].broken > 0 {
            return self.answer(slot, Answer::Error);
        }
        let path = self.path_key(slot);
        let (now, seed) = (self.now, self.seed);
        let cdn = self.cdn(call.at);
        let hit = match cdn.rules[call.class.index()] {
            None => None,
            Some(EdgeRule::Share(share)) => {
                let place = u64::from(call.at) << 8 ^ u64::from(call.tries);
                Some(Stream::new(seed, HIT.of(place), call.id.0).unit() < share.get())
            }
            Some(EdgeRule::Kept(_)) => Some(cdn.kept.get(&path).is_some_and(|until| *until > now)),
        };
        match hit {
            Some(true) => cdn.hits += 1,
            Some(false) => cdn.misses += 1,
            None => {}
        }
        let latency = cdn.latency;
        self.calls[slot].stage = if hit == Some(true) { ANSWERED_HERE } else { PASSED_ON };
        if latency == DurationLaw::ZERO {
            return self.cdn_wake(slot);
        }
        let nanos = latency.sample(&mut Stream::new(seed, LATENCY, call.id.0)).as_nanos();
        self.wait_until(slot, now + nanos, Phase::Timed);
    }

    /// The edge's own time is over.
    pub(crate) fn cdn_wake(&mut self, slot: u32) {
        let call = &self.calls[slot];
        if call.stage == ANSWERED_HERE {
            return self.answer(slot, Answer::Good);
        }
        let (at, steps) = (call.at, (call.step, call.end));
        let Cdn { target, turn, .. } = *self.cdn(at);
        let (origin, next) = self.in_turn(target, turn);
        self.cdn(at).turn = next;
        let origin = self.holder(origin);
        self.call(slot, target, origin, steps, u64::MAX);
    }

    /// The origin has answered, or could not be asked.
    pub(crate) fn cdn_answered(&mut self, slot: u32, back: Back) {
        let answer = match back.answer {
            Answer::Good | Answer::Error => {
                self.pools.give_back(back.pool);
                back.answer
            }
            // A gateway that hears nothing good says so itself: 502 or 504.
            _ => Answer::Error,
        };
        if answer == Answer::Good {
            let (path, call, now) = (self.path_key(slot), self.calls[slot], self.now);
            let cdn = self.cdn(call.at);
            if let Some(EdgeRule::Kept(ttl)) = cdn.rules[call.class.index()] {
                cdn.kept.insert(path, now.saturating_add(ttl.as_nanos()));
            }
        }
        self.answer(slot, answer);
    }
}
