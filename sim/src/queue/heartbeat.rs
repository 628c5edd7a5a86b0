//! Heartbeats: a consumer of whom a queue hears nothing counts as gone after a while, and what it had in hand goes to others.
//!
//! RabbitMQ's server closes the connection of a peer that misses its heartbeats ("Detecting Dead TCP Connections with Heartbeats
//! and TCP Keepalives" in its documentation), and puts back what that consumer had not acknowledged. Clients send heartbeats
//! beside their work, so that a process which runs and can be reached is always heard of, however busy it is.

use crate::call::{Call, NOBODY};
use crate::world::World;

/// What a queue hears of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    Heard,
    /// Nothing; from this time on it counts as gone.
    SilentUntil(u64),
    /// Its connection is closed, and it has not opened another.
    Gone,
}

impl World {
    /// Something broke, or is mended: queues may hear of other consumers than before.
    pub(crate) fn listen_to_consumers(&mut self) {
        for index in 0..self.queues.len() {
            self.listen(index);
        }
    }

    fn listen(&mut self, index: usize) {
        let (own, consumers) = (self.queues[index].at, self.queues[index].consumers);
        let is_dead = self.instances[usize::from(own)].killed > 0;
        let mut is_one_back = false;
        for number in 0..consumers.count {
            let silent = self.is_silent(own, consumers.base + number);
            let (now, queue) = (self.now, &mut self.queues[index]);
            let before = queue.hearing[usize::from(number)];
            let after = match before {
                _ if !silent => Hearing::Heard,
                // It does not connect to a queue that has started anew.
                _ if is_dead => Hearing::Gone,
                Hearing::Heard => Hearing::SilentUntil(now.saturating_add(queue.heartbeat)),
                known => known,
            };
            queue.hearing[usize::from(number)] = after;
            is_one_back |= before == Hearing::Gone && after == Hearing::Heard;
            // A queue that stood still itself at that time looks now.
            if let Hearing::SilentUntil(at) = after
                && (before != after || at <= now)
            {
                self.events.schedule(at.max(now), queue.timer);
            }
        }
        if is_one_back {
            self.hand_out(own);
        }
    }

    /// Whether a consumer that lives cannot be heard of: it stands still, or the way between them is cut.
    fn is_silent(&self, queue: u16, consumer: u16) -> bool {
        let [queue, consumer] = [queue, consumer].map(|at| &self.instances[usize::from(at)]);
        let is_cut = self.network.is_cut(Some(queue.host), Some(consumer.host), self.now);
        consumer.killed == 0 && (consumer.stopped > 0 || is_cut)
    }

    /// Consumers of a queue may have been silent for too long.
    pub(crate) fn heartbeats_missed(&mut self, index: u32) {
        let index = index as usize;
        let (own, consumers) = (self.queues[index].at, self.queues[index].consumers);
        let instance = &self.instances[usize::from(own)];
        if instance.killed > 0 || instance.stopped > 0 {
            return;
        }
        for number in 0..consumers.count {
            let hearing = &mut self.queues[index].hearing[usize::from(number)];
            if matches!(*hearing, Hearing::SilentUntil(at) if at <= self.now) {
                *hearing = Hearing::Gone;
                self.take_back(index, number);
            }
        }
        self.hand_out(own);
    }

    /// Closes a consumer's connection: what it had in hand waits again, the oldest first. It may still work on that.
    fn take_back(&mut self, index: usize, number: u16) {
        let (own, consumers) = (self.queues[index].at, self.queues[index].consumers);
        let consumer = consumers.base + number;
        let pool = consumers.pool(own, consumer);
        self.pools.close(pool);
        self.hang_up(pool, u32::MAX);
        let is_delivery = |c: &Call| c.from == own && c.at == consumer && c.parent < NOBODY;
        let mut messages = Vec::new();
        for delivery in self.calls.slots_where(is_delivery) {
            messages.push(self.calls[delivery].parent);
            self.leave(delivery);
        }
        messages.sort_by_key(|slot| (self.calls[*slot].due, self.calls[*slot].id.0));
        for message in messages.into_iter().rev() {
            let queue = &mut self.queues[index];
            queue.unacknowledged[usize::from(number)] -= 1;
            queue.in_hand.down(self.now);
            self.deliver_again(message);
        }
    }
}
