//! The ways that calls, commands and statements take through the network, there and back.
//!
//! Nothing here is asked where no way differs from none.

use scenarios::rng::{Purpose, Stream};

use crate::call::{CHECK, CONNECT_ONLY, Call, FRESH, NOBODY, NONE, NOWHERE, Phase, REUSED};
use crate::http_cache::rules::Use;
use crate::instance::{Answer, Flow};
use crate::network::{Machine, again_after};
use crate::program::Op;
use crate::world::{Delay, World};

const NETWORK: Purpose = Purpose::named("sim-network");
const ERROR_RATE: Purpose = Purpose::named("sim-error-rate");

/// What a request, a command or a statement takes on the wire beside values: a segment's worth of head at most.
const HEAD_BYTES: u64 = 400;

/// What of an answer is sent to a caller who has closed his connection: as much as a new one may have under way (RFC 6928), for the
/// first of it that is there brings back that nobody wants it (RFC 9293, 3.10.7).
const UNHEARD_BYTES: u64 = 10 * 1_448;

/// The legs of a call's way, each of which draws for itself.
#[derive(Clone, Copy)]
enum Leg {
    Handshake = 0,
    There = 1,
    Back = 2,
    LeafThere = 3,
    LeafBack = 4,
    Syn = 5,
}

impl World {
    fn machine(&self, at: u16) -> Machine {
        (at != NOWHERE).then(|| self.instances[usize::from(at)].host)
    }

    /// Both ends of a call.
    fn ends(&self, slot: u32) -> (Machine, Machine) {
        let call = &self.calls[slot];
        (self.machine(call.from), self.machine(call.at))
    }

    /// The randomness of one leg: it follows from who asks whom for what and how often, and not from what else happens.
    fn leg_stream(&self, slot: u32, leg: Leg) -> Stream {
        let call = &self.calls[slot];
        let attempt =
            u64::from(call.tries) << 28 ^ u64::from(call.attempts) << 20 ^ u64::from(call.syns) << 12;
        let place = u64::from(call.at) << 48 ^ u64::from(call.step) << 32 ^ u64::from(call.stage) << 4;
        // Shards are asked for the same request at once.
        let shard = match leg {
            Leg::LeafThere | Leg::LeafBack => u64::from(self.instances[usize::from(call.leaf)].number),
            _ => 0,
        };
        let passage = place ^ attempt ^ leg as u64 ^ shard.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Stream::new(self.seed, NETWORK.of(passage), call.id.0)
    }

    /// A cache's call goes on its way, which takes longer by what the cache's fetches take.
    pub(super) fn go_for_cache(&mut self, slot: u32, fetch: Delay) {
        let latency = self.instances[usize::from(self.calls[slot].at)].latency;
        let way = if self.network.active { self.way_there(slot, Phase::InTransit) } else { None };
        let nanos = way.unwrap_or(0) + self.delay_nanos(slot, latency) + self.delay_nanos(slot, fetch);
        self.wait_until(slot, self.now + nanos, Phase::InTransit);
    }

    /// A call goes over a connection that was idle.
    fn reuse(&mut self, slot: u32) {
        if self.any_holding {
            self.calls[slot].flags |= REUSED;
        }
        self.connected(slot);
    }

    /// As `connect`, where the network has a say.
    pub(super) fn connect_by_way(&mut self, slot: u32) {
        let pool = self.calls[slot].pool;
        let at = self.calls[slot].at;
        let (from, to) = self.ends(slot);
        let pooled = self.instances[usize::from(at)].killed == 0 && self.pools.take(pool);
        if pooled {
            self.reuse(slot);
        } else if self.network.is_cut(from, to, self.now) || !self.syn_gets_through(slot) {
            self.wait_for_syn(slot);
        } else if self.instances[usize::from(at)].killed > 0 {
            self.answer(slot, Answer::Refused);
        } else if self.accepts(at) {
            self.open(slot);
        } else {
            self.wait_for_syn(slot);
        }
    }

    /// Whether a SYN and its answer arrive.
    pub(crate) fn syn_gets_through(&self, slot: u32) -> bool {
        let (from, to) = self.ends(slot);
        !self.network.is_cut(from, to, self.now)
            && !self.network.loses_handshake(from, to, &mut self.leg_stream(slot, Leg::Syn))
    }

    /// A new connection stands as soon as the answer to its SYN is there.
    pub(crate) fn open(&mut self, slot: u32) {
        let (from, to) = self.ends(slot);
        if !self.network.active || !self.network.joins(from, to) {
            return self.connected(slot);
        }
        let wait = self.network.round_trip(from, to, &mut self.leg_stream(slot, Leg::Handshake));
        self.calls[slot].flags |= FRESH;
        self.wait_until(slot, self.now + wait, Phase::Handshake);
    }

    /// The answer to the SYN is there.
    pub(crate) fn shake_hands(&mut self, slot: u32) {
        if self.instances[usize::from(self.calls[slot].at)].killed > 0 {
            return self.answer(slot, Answer::Refused);
        }
        self.connected(slot);
    }

    /// How long what a call sends is on its way; none where the network has no part in it.
    pub(crate) fn way_there(&mut self, slot: u32, phase: Phase) -> Option<u64> {
        let call = &self.calls[slot];
        let (ends, bytes, leg, fresh) = match phase {
            Phase::InTransit => (self.ends(slot), HEAD_BYTES, Leg::There, call.is(FRESH)),
            Phase::ToStore | Phase::ToSql => {
                let ends = (self.machine(call.at), self.machine(call.leaf));
                (ends, self.leaf_bytes(slot, true), Leg::LeafThere, false)
            }
            _ => return None,
        };
        if !self.network.joins(ends.0, ends.1) {
            return None;
        }
        let mut stream = self.leg_stream(slot, leg);
        Some(self.network.transit(ends, bytes, fresh, self.now, &mut stream))
    }

    /// Sends an answer on its way, where there is one; it is heard when it is there, if anybody listens.
    pub(super) fn sends_back(&mut self, slot: u32, answer: Answer) -> bool {
        let call = &self.calls[slot];
        let (is_heard, fresh) = (call.parent != NOBODY, call.is(FRESH));
        // What no client's request stands behind is small.
        let travels = matches!(answer, Answer::Good | Answer::Error)
            && call.has_arrived()
            && (is_heard || call.root != NONE)
            && !call.is(CONNECT_ONLY);
        let (from, to) = self.ends(slot);
        if !travels || !self.network.joins(to, from) {
            return false;
        }
        let bytes = match answer {
            Answer::Good => HEAD_BYTES + self.body_bytes(slot),
            _ => HEAD_BYTES,
        };
        let bytes = if is_heard { bytes } else { bytes.min(UNHEARD_BYTES) };
        let mut stream = self.leg_stream(slot, Leg::Back);
        let nanos = self.network.transit((to, from), bytes, fresh, self.now, &mut stream);
        if !is_heard {
            return false;
        }
        self.calls[slot].stage = u8::from(answer == Answer::Good);
        self.wait_until(slot, self.now + nanos, Phase::Returning);
        true
    }

    /// What the body of a good answer weighs. That of an object which caches keep is of one size for all, and that of a page with
    /// the parts that were put into it; that of a check is none.
    fn body_bytes(&self, slot: u32) -> u64 {
        let Call { parent, class, id, .. } = self.calls[slot];
        if parent == CHECK {
            return 0;
        }
        let rule = &self.cache_rules[class.index()];
        if self.caches.is_empty() || !matches!(rule.what, Use::Keep(_)) {
            return self.draws.response_size(id, &self.response_sizes[class.index()]);
        }
        let path = self.calls.path(slot);
        let own = match path.object {
            Some(_) => path.body_bytes,
            None => rule.body_bytes(class, id, path, &self.draws),
        };
        own + self.parts_bytes(slot)
    }

    /// An answer is there.
    pub(crate) fn deliver(&mut self, slot: u32) {
        let good = self.calls[slot].stage == 1;
        self.answer(slot, if good { Answer::Good } else { Answer::Error });
    }

    /// Sends what a command or a statement brought on its way back, where there is one.
    pub(super) fn leaf_sends_back(&mut self, slot: u32, flow: Flow) -> bool {
        let call = &self.calls[slot];
        let (store, caller) = (self.machine(call.leaf), self.machine(call.at));
        if call.phase == Phase::FromLeaf || call.phase == Phase::Parked || !self.network.joins(store, caller)
        {
            return false;
        }
        let bytes = self.leaf_bytes(slot, false);
        let mut stream = self.leg_stream(slot, Leg::LeafBack);
        let nanos = self.network.transit((store, caller), bytes, false, self.now, &mut stream);
        self.calls[slot].syns = u8::from(flow == Flow::Done);
        self.wait_until(slot, self.now + nanos, Phase::FromLeaf);
        true
    }

    /// What a command or a statement brought is there.
    pub(crate) fn leaf_heard(&mut self, slot: u32) {
        let good = self.calls[slot].syns == 1;
        self.leaf_done(slot, if good { Flow::Done } else { Flow::Failed });
    }

    /// The bytes of a command or a statement, or of what it brings; values count with their mean.
    fn leaf_bytes(&self, slot: u32, there: bool) -> u64 {
        let call = &self.calls[slot];
        let value = |keyspace: u16| self.keys[usize::from(keyspace)].keyspace.value.mean() as u64;
        // A name of a key takes about as much as its length and an overhead of the protocol: 30 bytes.
        HEAD_BYTES
            + match self.steps[usize::from(call.step)].op {
                Op::Get { keyspace, count, .. } if !there => self.asked(slot, count) * value(keyspace),
                Op::Get { count, .. } => self.asked(slot, count) * 30,
                Op::Session { record, writes } if writes == there => value(self.records.get(record).keyspace),
                Op::Session { .. } => 30,
                Op::Set { keyspace, count, .. } if there => self.asked(slot, count) * value(keyspace),
                _ => 0,
            }
    }

    /// When what an unplugged instance was just sent is there: with TCP's first repetition after the cable is back. None from its
    /// own machine, whose messages take no cable.
    fn comes_again(&self, slot: u32, from: u16, at: u16, leg: Leg) -> Option<u64> {
        let (sender, receiver) = (self.machine(from), self.machine(at));
        if sender == receiver {
            return None;
        }
        let round_trip = self.network.round_trip(sender, receiver, &mut self.leg_stream(slot, leg));
        let cut = self.instances[usize::from(at)].cable_back.saturating_sub(self.now).max(1);
        Some(self.now + again_after(cut, round_trip))
    }

    /// Whether a call is lost at its instance, whose cable is out; it is sent again.
    #[cold]
    pub(super) fn is_lost(&mut self, slot: u32) -> bool {
        let Call { from, at, .. } = self.calls[slot];
        if self.instances[usize::from(at)].killed > 0 {
            return false;
        }
        let again = self.comes_again(slot, from, at, Leg::There);
        if let Some(again) = again {
            self.wait_until(slot, again, Phase::InTransit);
        }
        again.is_some()
    }

    /// Whether an answer is lost at its caller, whose cable is out; it is sent again.
    #[cold]
    pub(super) fn is_answer_lost(&mut self, slot: u32, answer: Answer) -> bool {
        let Call { from, at, .. } = self.calls[slot];
        if !matches!(answer, Answer::Good | Answer::Error) {
            return false;
        }
        let again = self.comes_again(slot, at, from, Leg::Back);
        if let Some(again) = again {
            self.calls[slot].stage = u8::from(answer == Answer::Good);
            self.wait_until(slot, again, Phase::Returning);
        }
        again.is_some()
    }

    /// Whether a command or a statement is lost at its store, whose cable is out; it is sent again.
    #[cold]
    pub(crate) fn is_leaf_lost(&mut self, slot: u32, phase: Phase) -> bool {
        let Call { at, leaf, .. } = self.calls[slot];
        if self.instances[usize::from(leaf)].killed > 0 {
            return false;
        }
        let again = self.comes_again(slot, at, leaf, Leg::LeafThere);
        if let Some(again) = again {
            self.wait_until(slot, again, phase);
        }
        again.is_some()
    }

    /// Whether what a command or a statement brought is lost at its caller, whose cable is out; it is sent again.
    #[cold]
    pub(super) fn is_result_lost(&mut self, slot: u32, flow: Flow) -> bool {
        let Call { at, leaf, .. } = self.calls[slot];
        if flow != Flow::Done {
            return false;
        }
        let again = self.comes_again(slot, leaf, at, Leg::LeafBack);
        if let Some(again) = again {
            self.calls[slot].syns = 1;
            self.wait_until(slot, again, Phase::FromLeaf);
        }
        again.is_some()
    }

    /// Whether a fault makes an instance answer this call with a 500.
    pub(super) fn fails_for_no_reason(&self, slot: u32) -> bool {
        let call = &self.calls[slot];
        let place = u64::from(call.at) << 32 | u64::from(call.step) << 16;
        let place = place ^ u64::from(call.tries) << 8 ^ u64::from(call.attempts);
        let unit = Stream::new(self.seed, ERROR_RATE.of(place), call.id.0).unit();
        unit < self.instances[usize::from(call.at)].error_share
    }
}
