//! From a scenario's queues to the world's.

use scenarios::Scenario;
use scenarios::scenario::{ComponentId, Overflow, Queue as Meant};

use super::heartbeat::Hearing;
use super::{Queue, QueueCounts};
use crate::call::Fifo;
use crate::conservation::Border;
use crate::gauge::Gauge;
use crate::world::{Timer, World};

/// One queue. Its consumers' steps are known later.
pub(crate) fn add(world: &mut World, places: &dyn Fn(ComponentId) -> (u16, u16), meant: &Meant) {
    let at = world.instances.len() as u16;
    let consumers = world.pools.add((at, 1), places(meant.to));
    let timer = world.add_timer(Timer::Heartbeat(world.queues.len() as u32));
    world.queues.push(Queue {
        at,
        consumers,
        class: meant.class,
        steps: (0, 0),
        prefetch: meant.prefetch,
        unacknowledged: vec![0; usize::from(consumers.count)],
        turn: 0,
        most: meant.max_length.unwrap_or(u32::MAX),
        rejects: meant.overflow == Overflow::RejectPublish,
        durable: meant.durable,
        deliveries: meant.deliveries.min(u32::from(u16::MAX)) as u16,
        heartbeat: meant.heartbeat.as_nanos(),
        hearing: vec![Hearing::Heard; usize::from(consumers.count)],
        timer,
        dead_letters: meant.dead_letters.map(|to| places(to).0),
        waiting: Fifo::new(),
        ready: Gauge::default(),
        in_hand: Gauge::default(),
        messages: Border::default(),
        counts: QueueCounts::default(),
        stored: Vec::new(),
    });
}

/// What consumers do for each message: the steps of the queues' classes.
pub(crate) fn scenario_classes(scenario: &Scenario) -> impl Iterator<Item = &Meant> {
    scenario.components.iter().filter_map(|component| match &component.kind {
        scenarios::scenario::ComponentKind::Queue(queue) => Some(queue),
        _ => None,
    })
}
