//! The message queue: keeps what services publish and hands it to consumers, again where they fail.
//!
//! A message is a call of nobody's at the queue's instance, so that it waits in the slab like any other. Its delivery is
//! a call of the consumer, with the message as its parent: the consumer's answer is its acknowledgement. The page
//! `docs/queue.md` has the rules and their sources.

pub(crate) mod build;
mod heartbeat;

use scenarios::plan::RequestId;
use scenarios::scenario::ClassId;

use crate::call::{Call, Fifo, NOBODY, Phase};
use crate::connect::Target;
use crate::conservation::Border;
use crate::gauge::Gauge;
use crate::instance::{Answer, Back, Continuation};
use crate::program::Range;
use crate::world::World;
use heartbeat::Hearing;

/// What makes a message's draws others than those of the request that published it: any odd number with many bits.
const MESSAGE: u64 = 0x9e6c_63d0_876a_8b35;

#[derive(Debug)]
pub(crate) struct Queue {
    /// The instance.
    pub(crate) at: u16,
    /// Who takes the messages, and what is done for each.
    pub(crate) consumers: Target,
    pub(crate) class: ClassId,
    pub(crate) steps: Range,
    /// How many messages a consumer has at most without having acknowledged them.
    pub(crate) prefetch: u32,
    /// By consumer.
    pub(crate) unacknowledged: Vec<u32>,
    /// Whose turn it is.
    pub(crate) turn: u16,
    pub(crate) most: u32,
    pub(crate) rejects: bool,
    pub(crate) durable: bool,
    pub(crate) deliveries: u16,
    /// For how long a consumer may be silent before its messages go to another.
    pub(crate) heartbeat: u64,
    /// Whether each consumer is heard of, and the timer of those that are not.
    hearing: Vec<Hearing>,
    timer: u32,
    /// The instance of the queue for messages that were delivered too often.
    pub(crate) dead_letters: Option<u16>,
    pub(crate) waiting: Fifo,
    pub(crate) ready: Gauge,
    pub(crate) in_hand: Gauge,
    /// The messages that came into it, and those that left it for good.
    pub(crate) messages: Border,
    pub(crate) counts: QueueCounts,
    /// What is on disk while the process is dead: messages, and how often each was delivered.
    stored: Vec<(RequestId, u16)>,
}

/// What happened since the last sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueCounts {
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    pub(crate) redelivered: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) dropped: u64,
}

impl World {
    fn queue_of(&mut self, at: u16) -> &mut Queue {
        let index = self.instances[usize::from(at)].index;
        &mut self.queues[usize::from(index)]
    }

    /// A publisher's message is there. It is confirmed once it stands in the queue.
    pub(crate) fn queue_arrive(&mut self, slot: u32) {
        let (at, id) = (self.calls[slot].at, self.calls[slot].id);
        let instance = &mut self.instances[usize::from(at)];
        if instance.disk_full > 0 {
            // Publishers are blocked until there is room again.
            instance.arriving.up(self.now);
            return self.park(slot, Continuation::Arrive);
        }
        let queue = self.queue_of(at);
        let full = queue.waiting.len() >= queue.most;
        queue.counts.published += 1;
        if full && queue.rejects {
            queue.counts.dropped += 1;
            return self.answer(slot, Answer::Error);
        }
        let id = RequestId((id.0 ^ MESSAGE).wrapping_mul(MESSAGE));
        let kept = self.enqueue(at, id, 0);
        if full {
            self.drop_oldest(at);
        }
        self.answer(slot, if kept { Answer::Good } else { Answer::Error });
        self.hand_out(at);
    }

    /// Puts a message at the end of a queue; whether there was room for another call.
    fn enqueue(&mut self, at: u16, id: RequestId, deliveries: u16) -> bool {
        let class = self.queue_of(at).class;
        let mut message = Call::new(id, class, NOBODY, self.now);
        (message.at, message.phase, message.attempts) = (at, Phase::Queued, deliveries);
        let inserted = self.calls.insert(message);
        let (now, index) = (self.now, usize::from(self.instances[usize::from(at)].index));
        let queue = &mut self.queues[index];
        match inserted {
            Some(slot) => {
                queue.waiting.push(&mut self.calls, slot);
                queue.ready.up(now);
                queue.messages.enter(now);
            }
            None => queue.counts.dropped += 1,
        }
        inserted.is_some()
    }

    fn drop_oldest(&mut self, at: u16) {
        let (now, index) = (self.now, usize::from(self.instances[usize::from(at)].index));
        let queue = &mut self.queues[index];
        if let Some(oldest) = queue.waiting.pop(&self.calls) {
            queue.ready.down(now);
            queue.messages.leave(now, false);
            queue.counts.dropped += 1;
            self.forget(oldest);
        }
    }

    /// Hands messages to consumers that may have more, in turn.
    pub(crate) fn hand_out(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        if instance.killed > 0 || instance.stopped > 0 {
            return;
        }
        let queue = &mut self.queues[usize::from(instance.index)];
        let count = queue.consumers.count;
        let mut passed = 0;
        while queue.waiting.len() > 0 && passed < count {
            let number = queue.turn % count;
            let consumer = queue.consumers.base + number;
            queue.turn = (number + 1) % count;
            let instance = &self.instances[usize::from(consumer)];
            let there = instance.killed == 0 && !instance.absent;
            let there = there && queue.hearing[usize::from(number)] != Hearing::Gone;
            if !there || queue.unacknowledged[usize::from(number)] >= queue.prefetch {
                passed += 1;
                continue;
            }
            passed = 0;
            let Some(message) = queue.waiting.pop(&self.calls) else { return };
            queue.unacknowledged[usize::from(number)] += 1;
            queue.ready.down(self.now);
            queue.in_hand.up(self.now);
            self.calls[message].leaf = consumer;
            self.ready.push_back(message);
        }
    }

    /// A message goes to the consumer that it was given to.
    pub(crate) fn queue_ready(&mut self, message: u32) {
        let (at, consumer) = (self.calls[message].at, self.calls[message].leaf);
        let now = self.now;
        let queue = self.queue_of(at);
        let (target, steps, deadline) = (queue.consumers, queue.steps, now.saturating_add(queue.heartbeat));
        self.call(message, target, consumer, steps, deadline);
    }

    /// A consumer has answered: acknowledged the message, or not.
    pub(crate) fn queue_answered(&mut self, message: u32, back: Back) {
        let (at, now) = (self.calls[message].at, self.now);
        let queue = self.queue_of(at);
        let number = usize::from(back.at - queue.consumers.base);
        queue.unacknowledged[number] -= 1;
        queue.in_hand.down(now);
        if matches!(back.answer, Answer::Good | Answer::Error) {
            self.pools.give_back(back.pool);
        }
        if back.answer == Answer::Good {
            let queue = self.queue_of(at);
            queue.counts.acknowledged += 1;
            queue.messages.leave(now, true);
            self.forget(message);
        } else {
            self.deliver_again(message);
        }
        self.hand_out(at);
    }

    /// Puts a message back where it was, before those that came later, unless it was delivered too often.
    fn deliver_again(&mut self, message: u32) {
        let call = &mut self.calls[message];
        call.attempts += 1;
        call.phase = Phase::Queued;
        let (at, id, deliveries) = (call.at, call.id, call.attempts);
        let (now, index) = (self.now, usize::from(self.instances[usize::from(at)].index));
        let queue = &mut self.queues[index];
        if deliveries < queue.deliveries {
            queue.counts.redelivered += 1;
            queue.ready.up(now);
            queue.waiting.push_front(&mut self.calls, message);
            return;
        }
        queue.counts.dead_lettered += 1;
        queue.messages.leave(now, false);
        let to = queue.dead_letters;
        self.forget(message);
        if let Some(to) = to.filter(|to| self.instances[usize::from(*to)].killed == 0) {
            self.enqueue(to, id, 0);
            self.hand_out(to);
        }
    }

    /// An instance is up again, or goes on: queues that it consumes, or is, have someone to deliver to.
    pub(crate) fn look_after_queues(&mut self, at: u16) {
        for index in 0..self.queues.len() {
            let queue = &self.queues[index];
            let (own, consumers) = (queue.at, queue.consumers);
            if own == at && self.instances[usize::from(at)].killed == 0 {
                for (id, deliveries) in std::mem::take(&mut self.queues[index].stored) {
                    self.enqueue(own, id, deliveries);
                }
            }
            if own == at || (consumers.base..consumers.base + consumers.count).contains(&at) {
                self.hand_out(own);
            }
        }
    }

    /// The process died. What is durable is delivered again when it is back, whatever consumers make of what they have.
    pub(crate) fn queue_lose(&mut self, index: u16) {
        let queue = &mut self.queues[usize::from(index)];
        let at = queue.at;
        queue.waiting = Fifo::new();
        queue.ready.set(self.now, 0);
        queue.in_hand.set(self.now, 0);
        // What is on the disk comes in again when the process is back.
        queue.messages.lose(self.now);
        queue.unacknowledged.fill(0);
        let mut messages =
            self.calls.slots_where(|c| c.at == at && c.parent == NOBODY && c.from == crate::call::NOWHERE);
        // Oldest first: those in the hands of consumers stood before those that waited.
        messages.sort_by_key(|slot| (self.calls[*slot].due, self.calls[*slot].id.0));
        for slot in messages {
            let (id, deliveries) = (self.calls[slot].id, self.calls[slot].attempts);
            let queue = &mut self.queues[usize::from(index)];
            if queue.durable {
                queue.stored.push((id, deliveries));
            } else {
                queue.counts.dropped += 1;
            }
            self.lost_messages.push(slot);
        }
    }

    /// After the queue's death nobody waits for what its messages asked of consumers.
    pub(crate) fn forget_lost_messages(&mut self) {
        for slot in std::mem::take(&mut self.lost_messages) {
            self.forget(slot);
        }
    }
}

impl Queue {
    /// Says what happened since the last sample.
    pub(crate) fn sample(&mut self, now: u64, nanos: u64, put: &mut dyn FnMut(&'static str, f64)) {
        use results::sample;
        let counts = std::mem::take(&mut self.counts);
        let (ready, in_hand) = (self.ready.read(now, nanos), self.in_hand.read(now, nanos));
        self.messages.observe(ready + in_hand, now, nanos);
        put(sample::QUEUE, ready);
        put(sample::IN_SERVICE, in_hand);
        put(sample::PUBLISHED, counts.published as f64);
        put(sample::ACKNOWLEDGED, counts.acknowledged as f64);
        put(sample::REDELIVERED, counts.redelivered as f64);
        put(sample::DEAD_LETTERED, counts.dead_lettered as f64);
        put(sample::DROPPED, counts.dropped as f64);
    }
}
