//! A queue whose messages RabbitMQ keeps: published there, taken from there ahead of the consumers, acknowledged there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::rabbit::{Link, Seen};
use super::{MESSAGE, Server};
use crate::component::Figures;
use crate::process::complain;
use crate::resp::Writer;

/// How soon a RabbitMQ that cannot be reached is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often RabbitMQ is asked what it has: more often than figures are taken.
const LOOK: Duration = Duration::from_millis(500);

/// What is known of RabbitMQ.
#[derive(Debug)]
pub(super) struct Elsewhere {
    url: String,
    link: RefCell<Option<Rc<Link>>>,
    /// By which number a message is acknowledged there, by its serial number here.
    tags: RefCell<BTreeMap<u64, u64>>,
    /// What it said last that it has.
    seen: Cell<Seen>,
    /// Messages that it has delivered.
    delivered: Cell<u64>,
}

impl Elsewhere {
    /// Not connected yet.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            link: RefCell::default(),
            tags: RefCell::default(),
            seen: Cell::default(),
            delivered: Cell::default(),
        }
    }

    pub(super) fn link(&self) -> Option<Rc<Link>> {
        self.link.borrow().as_ref().filter(|link| !link.is_broken()).cloned()
    }

    /// How many messages wait there that nobody has taken.
    pub(super) fn ready(&self) -> usize {
        self.seen.get().ready as usize
    }

    /// Writes down what RabbitMQ itself says, and what was taken from it.
    pub(super) fn tell(&self, figures: &mut Figures) {
        let Seen { ready, consumers } = self.seen.get();
        figures.set("messages_ready", f64::from(ready));
        figures.set("messages_unacknowledged", self.tags.borrow().len() as f64);
        figures.set("consumers", f64::from(consumers));
        figures.set("delivered", self.delivered.get() as f64);
    }
}

impl Server {
    /// Takes messages from RabbitMQ for ever. `is_starting`: it is to be expected that it cannot be reached yet.
    pub(super) async fn pull(self: Rc<Self>, is_starting: bool) {
        let Some(elsewhere) = &self.elsewhere else { return };
        let consumers = self.context.scenario.instances(self.settings.to);
        let ahead = self.settings.prefetch.saturating_mul(consumers);
        let name = &self.context.scenario.component(self.context.component).name;
        let mut is_told = is_starting;
        loop {
            match Link::open(&elsewhere.url, name, &self.settings, ahead).await {
                Ok(link) => {
                    is_told = false;
                    let link = Rc::new(link);
                    *elsewhere.link.borrow_mut() = Some(Rc::clone(&link));
                    let watching = tokio::task::spawn_local(Rc::clone(&self).watch(Rc::clone(&link)));
                    while let Some(delivered) = link.next().await {
                        elsewhere.delivered.set(elsewhere.delivered.get() + 1);
                        let message = self.broker.borrow_mut().put(delivered.id, 0);
                        elsewhere.tags.borrow_mut().insert(message.serial, delivered.tag);
                        self.hand_out();
                    }
                    watching.abort();
                    link.give_up();
                }
                Err(error) if !is_told => {
                    complain(&format!("{} cannot reach RabbitMQ: {error}", self.context.name()));
                    is_told = true;
                }
                Err(_) => {}
            }
            // Whatever was not acknowledged is delivered again.
            *elsewhere.link.borrow_mut() = None;
            elsewhere.tags.borrow_mut().clear();
            self.broker.borrow_mut().forget_waiting();
            self.look();
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Asks RabbitMQ again and again what it has.
    async fn watch(self: Rc<Self>, link: Rc<Link>) {
        let Some(elsewhere) = &self.elsewhere else { return };
        loop {
            if let Some(seen) = link.look().await {
                elsewhere.seen.set(seen);
                self.look();
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Publishes a message to RabbitMQ, and answers the publisher.
    pub(super) async fn publish_elsewhere(&self, id: u64, is_dead: bool, out: &mut Vec<u8>) {
        let mut reply = Writer::new(out, false);
        let Some(link) = self.elsewhere.as_ref().and_then(Elsewhere::link) else {
            return reply.error("ERR RabbitMQ cannot be reached");
        };
        let id = if is_dead { id } else { (id ^ MESSAGE).wrapping_mul(MESSAGE) };
        let published = link.publish(id).await;
        let counts = &mut self.broker.borrow_mut().counts;
        counts.published += u64::from(!is_dead);
        match published {
            Ok(true) => reply.simple("OK"),
            Ok(false) => {
                counts.dropped += 1;
                reply.error("FULL the queue takes no more messages");
            }
            Err(error) => reply.error(&format!("ERR {}", error.replace(['\r', '\n'], " "))),
        }
    }

    /// Tells RabbitMQ that a message is done with, if it has it from there.
    pub(super) fn acknowledge_elsewhere(&self, serial: u64) {
        let Some(elsewhere) = &self.elsewhere else { return };
        let tag = elsewhere.tags.borrow_mut().remove(&serial);
        if let Some((tag, link)) = tag.zip(elsewhere.link()) {
            tokio::task::spawn_local(async move { link.acknowledge(tag).await });
        }
    }
}
