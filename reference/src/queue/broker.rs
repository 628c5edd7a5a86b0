//! The rules of a queue, without sockets: what waits, who has what in hand, what goes back and what goes for good.
//!
//! RabbitMQ's, as its documentation has them: messages go to consumers in turn while each has fewer than `prefetch` that it has not
//! acknowledged; what is not acknowledged goes back to the head of the queue, until it was delivered so often as the limit of
//! quorum queues says.

use std::collections::{BTreeMap, VecDeque};

use scenarios::scenario::{Overflow, Queue as Settings};

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Tells messages of this queue apart.
    pub(super) serial: u64,
    /// The request that it stands for: what is done for it draws by this number.
    pub(super) id: u64,
    /// How often it was delivered in vain.
    pub(super) deliveries: u32,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) acknowledged: u64,
    pub(super) redelivered: u64,
    pub(super) dead_lettered: u64,
    /// Thrown away, or refused, for want of room.
    pub(super) dropped: u64,
}

/// What became of a message that somebody had in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is done.
    Done,
    /// It waits again.
    Again(Message),
    /// It was delivered too often.
    Dead(Message),
}

/// A queue.
#[derive(Debug)]
pub(super) struct Broker {
    prefetch: usize,
    most_waiting: usize,
    rejects: bool,
    deliveries: u32,
    next_serial: u64,
    waiting: VecDeque<Message>,
    /// What each consumer has in hand, by its number.
    consumers: BTreeMap<u64, BTreeMap<u64, Message>>,
    /// Whoever got the last message.
    last: u64,
    pub(super) counts: Counts,
}

impl Broker {
    /// An empty queue without consumers.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            prefetch: settings.prefetch as usize,
            most_waiting: settings.max_length.map_or(usize::MAX, |most| most as usize),
            rejects: settings.overflow == Overflow::RejectPublish,
            deliveries: settings.deliveries,
            next_serial: 0,
            waiting: VecDeque::new(),
            consumers: BTreeMap::new(),
            last: 0,
            counts: Counts::default(),
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many consumers have in hand.
    pub(super) fn in_hand(&self) -> usize {
        self.consumers.values().map(BTreeMap::len).sum()
    }

    /// Takes a message from a publisher: itself, and the oldest that had to make room for it; none where it is refused.
    pub(super) fn publish(&mut self, id: u64) -> Option<(Message, Option<Message>)> {
        self.counts.published += 1;
        let is_full = self.waiting.len() >= self.most_waiting;
        if is_full {
            self.counts.dropped += 1;
            if self.rejects {
                return None;
            }
        }
        let message = self.put(id, 0);
        Some((message, if is_full { self.waiting.pop_front() } else { None }))
    }

    /// Puts a message at the end, whatever the limits.
    pub(super) fn put(&mut self, id: u64, deliveries: u32) -> Message {
        let message = Message { serial: self.next_serial, id, deliveries };
        self.next_serial += 1;
        self.waiting.push_back(message);
        message
    }

    /// Puts a message that outlived another process at the end, with the number that it had.
    pub(super) fn restore(&mut self, message: Message) {
        self.next_serial = self.next_serial.max(message.serial + 1);
        self.waiting.push_back(message);
    }

    /// Takes the newest message back that could not be kept, and the oldest that had to make room for it, too.
    pub(super) fn take_back(&mut self, message: Message, oldest: Option<Message>) {
        self.waiting.retain(|waiting| waiting.serial != message.serial);
        // Where one had to go, it was counted already.
        self.counts.dropped += u64::from(oldest.is_none());
        oldest.into_iter().for_each(|oldest| self.waiting.push_front(oldest));
    }

    /// Forgets all that waits: it is kept elsewhere, and comes again.
    #[cfg(feature = "rabbitmq")]
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    /// All messages, those in hand first, as they stood.
    pub(super) fn all(&self) -> impl Iterator<Item = &Message> {
        self.consumers.values().flat_map(BTreeMap::values).chain(&self.waiting)
    }

    /// A consumer of this number is there.
    pub(super) fn enter(&mut self, consumer: u64) {
        self.consumers.insert(consumer, BTreeMap::new());
    }

    /// The next message, and who gets it; none where nothing waits or nobody may have more.
    pub(super) fn hand_out(&mut self) -> Option<(u64, Message)> {
        let after = self.consumers.range(self.last + 1..).chain(self.consumers.range(..=self.last));
        let mut free = after.filter(|(_, in_hand)| in_hand.len() < self.prefetch).map(|(number, _)| *number);
        let (consumer, message) = (free.next()?, self.waiting.pop_front()?);
        self.last = consumer;
        self.consumers.get_mut(&consumer)?.insert(message.serial, message);
        Some((consumer, message))
    }

    /// A consumer has acknowledged a message, or given it back; none where it does not have it.
    pub(super) fn settle(&mut self, consumer: u64, serial: u64, good: bool) -> Option<Fate> {
        let message = self.consumers.get_mut(&consumer)?.remove(&serial)?;
        if good {
            self.counts.acknowledged += 1;
            return Some(Fate::Done);
        }
        Some(self.deliver_again(message))
    }

    /// A consumer is gone: what becomes of all that it had in hand.
    pub(super) fn leave(&mut self, consumer: u64) -> Vec<(Message, Fate)> {
        let in_hand = self.consumers.remove(&consumer).unwrap_or_default();
        // The oldest is put back last, and stands first.
        in_hand.into_values().rev().map(|message| (message, self.deliver_again(message))).collect()
    }

    fn deliver_again(&mut self, message: Message) -> Fate {
        let again = Message { deliveries: message.deliveries + 1, ..message };
        if again.deliveries < self.deliveries {
            self.counts.redelivered += 1;
            self.waiting.push_front(again);
            return Fate::Again(again);
        }
        self.counts.dead_lettered += 1;
        Fate::Dead(again)
    }
}

#[cfg(test)]
mod tests {
    use scenarios::Scenario;
    use scenarios::scenario::ComponentKind;

    use super::*;

    /// A queue with these lines, and consumers 1 and 2.
    fn broker(lines: &str) -> Broker {
        let text = format!(
            r#"
title = "A queue"
[run]
duration = "10s"
[hosts.app]
[hosts.bus]
[components.shop]
kind = "service"
host = "app"
[components.mail]
kind = "queue"
host = "bus"
to = "shop"
class = "letter"
{lines}
[requests.letter]
path = "/letter"
steps = [{{ work = "1ms" }}]
[requests.page]
path = "/"
steps = [{{ publish = {{ to = "mail" }} }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
"#
        );
        let scenario = Scenario::parse("queue.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let ComponentKind::Queue(settings) = &scenario.components[1].kind else { panic!("a queue") };
        let mut broker = Broker::new(settings);
        (1..=2).for_each(|consumer| broker.enter(consumer));
        broker
    }

    fn ids(broker: &mut Broker) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| broker.hand_out()).map(|(consumer, message)| (consumer, message.id)).collect()
    }

    #[test]
    fn consumers_get_messages_in_turn_and_no_more_than_they_may_have() {
        let mut broker = broker("prefetch = 2");
        assert!((0..6).all(|id| broker.publish(id).is_some()));
        assert_eq!(ids(&mut broker), [(1, 0), (2, 1), (1, 2), (2, 3)]);
        assert_eq!(broker.settle(2, 1, true), Some(Fate::Done));
        assert_eq!(broker.settle(2, 1, true), None, "once");
        assert_eq!(ids(&mut broker), [(2, 4)]);
        assert_eq!((broker.waiting(), broker.in_hand()), (1, 4));
    }

    #[test]
    fn what_a_consumer_had_in_hand_stands_first_again_and_dies_after_so_many_deliveries() {
        let mut broker = broker("prefetch = 2\ndeliveries = 2");
        assert!((0..5).all(|id| broker.publish(id).is_some()));
        ids(&mut broker);
        broker.leave(1);
        assert_eq!(broker.settle(2, 1, false).map(|fate| matches!(fate, Fate::Again(_))), Some(true));
        assert_eq!(ids(&mut broker), [(2, 1)], "it was given back last");
        assert!(matches!(broker.settle(2, 1, false), Some(Fate::Dead(Message { id: 1, deliveries: 2, .. }))));
        assert_eq!(broker.settle(2, 3, true), Some(Fate::Done));
        assert_eq!(ids(&mut broker), [(2, 0), (2, 2)]);
        let Counts { redelivered, dead_lettered, .. } = broker.counts;
        assert_eq!((redelivered, dead_lettered), (3, 1));
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let mut broker = broker("max_length = 2\noverflow = \"drop-head\"");
        (1..=2).for_each(|consumer| assert_eq!(broker.leave(consumer), []));
        for id in 0..2 {
            let (message, oldest) = broker.publish(id).expect("there is room");
            if id == 1 {
                broker.take_back(message, oldest);
            }
        }
        broker.publish(2).expect("there is room again");
        let (message, oldest) = broker.publish(3).expect("the oldest goes");
        broker.take_back(message, oldest);
        assert_eq!(broker.all().map(|message| message.id).collect::<Vec<u64>>(), [0, 2]);
        assert_eq!((broker.counts.published, broker.counts.dropped), (4, 2));
        broker.restore(Message { serial: 40, id: 9, deliveries: 1 });
        assert_eq!(broker.put(10, 0).serial, 41);
    }

    #[test]
    fn a_full_queue_throws_the_oldest_away_or_refuses_the_newest() {
        for (overflow, waiting) in [("drop-head", [1, 2]), ("reject-publish", [0, 1])] {
            let mut broker = broker(&format!("max_length = 2\noverflow = \"{overflow}\""));
            for consumer in 1..=2 {
                assert_eq!(broker.leave(consumer), []);
            }
            let taken = (0..3).filter(|id| broker.publish(*id).is_some()).count();
            assert_eq!(taken, if overflow == "drop-head" { 3 } else { 2 });
            assert_eq!(broker.all().map(|message| message.id).collect::<Vec<u64>>(), waiting);
            assert_eq!(broker.counts.dropped, 1);
        }
    }
}
