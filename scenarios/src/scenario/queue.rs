//! Message queues.

use super::{ClassId, ComponentId};
use crate::units::SimTime;

/// RabbitMQ's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Queue {
    /// The service whose instances consume it.
    pub to: ComponentId,
    /// The class whose steps a consumer takes for each message.
    pub class: ClassId,
    /// How many messages a consumer's instance has at most without having acknowledged them.
    pub prefetch: u32,
    /// How many messages wait at most.
    pub max_length: Option<u32>,
    /// What happens to a message that finds so many.
    pub overflow: Overflow,
    /// Whether messages outlive the queue's process.
    pub durable: bool,
    /// How often a message is delivered at most.
    pub deliveries: u32,
    /// The queue to which messages go that were delivered so often.
    pub dead_letters: Option<ComponentId>,
    /// For how long a consumer that cannot be reached may be silent.
    pub heartbeat: SimTime,
}

/// What happens at a queue that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest message goes.
    DropHead,
    /// The publisher is refused.
    RejectPublish,
}
