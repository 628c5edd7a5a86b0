//! Message queues, as written.

use crate::scenario::Overflow;
use crate::units::SimTime;

use super::prelude::*;

table! {
    /// Keeps messages for consumers (RabbitMQ's role). Steps publish to it: `publish = { to = "invalidations" }`.
    Queue {
        /// The service whose instances consume it.
        required to: String,
        /// The request class whose steps a consumer takes for each message.
        required class: String,
        /// How many messages a consumer's instance has at most without having acknowledged them.
        default prefetch: Some1M = Count(10),
        /// How many messages wait at most; by default any number.
        optional max_length: Count<1, 8_000_000>,
        /// What happens to a message that finds so many: the oldest goes, or the publisher is refused.
        default overflow: Overflow = Overflow::DropHead,
        /// Whether messages outlive the queue's process.
        default durable: bool = true,
        /// How often a message is delivered at most.
        default deliveries: Count<1, 60_000> = Count(20),
        /// The queue to which messages go that were delivered so often; without it they are gone.
        optional dead_letters: String,
        /// For how long a consumer that cannot be reached may be silent before its message goes to another.
        default heartbeat: SimTime = SimTime::from_secs(60),
    }
}

table! {
    /// A message to a queue.
    Publish {
        /// The queue.
        required to: String,
    }
}

words!(Overflow { "drop-head" => DropHead, "reject-publish" => RejectPublish });
