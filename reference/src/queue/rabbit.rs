//! RabbitMQ, by URL: it keeps the messages, and confirms those that are published. What consumers may have in hand is taken from it
//! ahead and handed out by this process, and acknowledged there once it is done with. When this process dies, RabbitMQ delivers
//! what was not acknowledged again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqprs::callbacks::{ChannelCallback, DefaultConnectionCallback};
use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicPublishArguments, BasicQosArguments, Channel,
    ConfirmSelectArguments, ConsumerMessage, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, FieldTable, FieldValue, Nack, Return};
use scenarios::scenario::Queue as Settings;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::engines::{overflow, queue_name};

/// AMQP's own port.
const PORT: u16 = 5672;
/// How long a confirmation is waited for: RabbitMQ writes to its disk at most every few hundred milliseconds before it confirms.
const CONFIRMATION: Duration = Duration::from_secs(10);
/// How often a connection that delivers nothing is looked at: the client's library closes no channel when the socket is lost.
const LOOK: Duration = Duration::from_millis(500);

/// A message that RabbitMQ has delivered to this process: by which number it is acknowledged, and its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivered {
    pub(super) tag: u64,
    pub(super) id: u64,
}

/// What RabbitMQ has of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Messages that it has not delivered, or that were given back.
    pub(super) ready: u32,
    /// Who takes messages from it, which is this process.
    pub(super) consumers: u32,
}

/// Publishers who wait for a confirmation, by the number of their message.
type Unconfirmed = Arc<Mutex<BTreeMap<u64, oneshot::Sender<bool>>>>;

/// A connection to RabbitMQ.
pub(super) struct Link {
    /// Open as long as it is kept.
    _connection: Connection,
    publishing: Channel,
    consuming: Channel,
    /// One of its own, as RabbitMQ closes a channel on which what is not there is asked for.
    looking: Channel,
    queue: String,
    is_durable: bool,
    /// Numbers follow the order of publishing.
    next: tokio::sync::Mutex<u64>,
    unconfirmed: Unconfirmed,
    deliveries: RefCell<Option<mpsc::UnboundedReceiver<ConsumerMessage>>>,
    is_broken: Cell<bool>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.queue)
    }
}

impl Link {
    /// Connects, makes the queue if it is missing, and begins to take messages, at most `ahead` that are not acknowledged.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) async fn open(url: &str, name: &str, settings: &Settings, ahead: u32) -> Result<Self, String> {
        let arguments = address(url)?;
        let connection = Connection::open(&arguments).await.map_err(told)?;
        connection.register_callback(DefaultConnectionCallback).await.map_err(told)?;
        let unconfirmed = Unconfirmed::default();
        let publishing = connection.open_channel(None).await.map_err(told)?;
        publishing.register_callback(Confirmations(Arc::clone(&unconfirmed))).await.map_err(told)?;
        publishing.confirm_select(ConfirmSelectArguments::default()).await.map_err(told)?;
        let consuming = connection.open_channel(None).await.map_err(told)?;
        let looking = connection.open_channel(None).await.map_err(told)?;
        let queue = queue_name(name);
        let mut declare = QueueDeclareArguments::new(&queue);
        let declare = declare.durable(settings.durable).arguments(limits(settings)?).finish();
        consuming.queue_declare(declare).await.map_err(told)?;
        let ahead = u16::try_from(ahead).unwrap_or(u16::MAX);
        consuming.basic_qos(BasicQosArguments::new(0, ahead, false)).await.map_err(told)?;
        let consume = BasicConsumeArguments::new(&queue, "").manual_ack(true).finish();
        let (_, deliveries) = consuming.basic_consume_rx(consume).await.map_err(told)?;
        Ok(Self {
            _connection: connection,
            publishing,
            consuming,
            looking,
            queue,
            is_durable: settings.durable,
            next: tokio::sync::Mutex::new(1),
            unconfirmed,
            deliveries: RefCell::new(Some(deliveries)),
            is_broken: Cell::new(false),
        })
    }

    /// Whether it has to be opened again.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get() || !self._connection.is_open()
    }

    /// Publishes a message, and waits until RabbitMQ has it; false where it takes no more.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub(super) async fn publish(&self, id: u64) -> Result<bool, String> {
        let (confirmed, confirmation) = oneshot::channel();
        {
            let mut next = self.next.lock().await;
            lock(&self.unconfirmed).insert(*next, confirmed);
            *next += 1;
            let properties = BasicProperties::default().with_persistence(self.is_durable).finish();
            let arguments = BasicPublishArguments::new("", &self.queue);
            let content = format!("{id:016x}").into_bytes();
            self.publishing.basic_publish(properties, content, arguments).await.map_err(|error| {
                self.is_broken.set(true);
                told(error)
            })?;
        }
        let gone = || "the connection to RabbitMQ is gone".to_owned();
        let Ok(confirmed) = timeout(CONFIRMATION, confirmation).await else {
            self.is_broken.set(true);
            return Err(gone());
        };
        confirmed.map_err(|_| gone())
    }

    /// Nothing comes from this connection any more: whoever waits for a confirmation hears of it.
    pub(super) fn give_up(&self) {
        self.is_broken.set(true);
        lock(&self.unconfirmed).clear();
    }

    /// The next message that RabbitMQ delivers; none where the connection is gone. For one caller.
    pub(super) async fn next(&self) -> Option<Delivered> {
        let mut deliveries = self.deliveries.borrow_mut().take()?;
        let message = loop {
            let message = match timeout(LOOK, deliveries.recv()).await {
                Ok(Some(message)) => message,
                Err(_) if !self.is_broken() => continue,
                Ok(None) | Err(_) => {
                    self.is_broken.set(true);
                    return None;
                }
            };
            let id = message
                .content
                .as_deref()
                .and_then(|text| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok());
            let tag = message.deliver.map(|deliver| deliver.delivery_tag());
            match (tag, id) {
                (Some(tag), Some(id)) => break Delivered { tag, id },
                // Somebody else's, which nobody here can work on.
                (Some(tag), None) => self.acknowledge(tag).await,
                _ => {}
            }
        };
        *self.deliveries.borrow_mut() = Some(deliveries);
        Some(message)
    }

    /// What RabbitMQ has: a declaration that makes nothing is answered by that. None where it does not say.
    pub(super) async fn look(&self) -> Option<Seen> {
        let mut declare = QueueDeclareArguments::new(&self.queue);
        let declare = declare.passive(true).finish();
        let said = timeout(CONFIRMATION, self.looking.queue_declare(declare)).await.ok()?.ok()?;
        said.map(|(_, ready, consumers)| Seen { ready, consumers })
    }

    /// Tells RabbitMQ that a message is done with.
    pub(super) async fn acknowledge(&self, tag: u64) {
        if self.consuming.basic_ack(BasicAckArguments::new(tag, false)).await.is_err() {
            self.is_broken.set(true);
        }
    }
}

/// Hears what RabbitMQ confirms.
struct Confirmations(Unconfirmed);

impl Confirmations {
    fn tell(&self, tag: u64, multiple: bool, good: bool) {
        let mut waiting = lock(&self.0);
        let from = if multiple { 0 } else { tag };
        let told: Vec<u64> = waiting.range(from..=tag).map(|(tag, _)| *tag).collect();
        for tag in told {
            if let Some(waiting) = waiting.remove(&tag) {
                // Who gave up does not listen.
                let _ = waiting.send(good);
            }
        }
    }
}

#[async_trait::async_trait]
impl ChannelCallback for Confirmations {
    async fn close(&mut self, _: &Channel, _: CloseChannel) -> Result<(), amqprs::error::Error> {
        lock(&self.0).clear();
        Ok(())
    }
    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        Ok(())
    }
    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }
    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.tell(ack.delivery_tag(), ack.mutiple(), true);
    }
    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.tell(nack.delivery_tag(), nack.multiple(), false);
    }
    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {}
}

fn lock(unconfirmed: &Unconfirmed) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<bool>>> {
    unconfirmed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RabbitMQ's names for the limits of a queue.
fn limits(settings: &Settings) -> Result<FieldTable, String> {
    let mut table = FieldTable::new();
    let short = |name: &str| name.try_into().map_err(|_| format!("{name} is too long"));
    if let Some(most) = settings.max_length {
        let overflow = overflow(settings).try_into().map_err(|_| "a word is too long".to_owned())?;
        table.insert(short("x-max-length")?, FieldValue::l(i64::from(most)));
        table.insert(short("x-overflow")?, FieldValue::S(overflow));
    }
    Ok(table)
}

/// Where `amqp://user:password@host:port/virtual-host` leads.
fn address(url: &str) -> Result<OpenConnectionArguments, String> {
    let rest = url.strip_prefix("amqp://").unwrap_or(url);
    let (authority, virtual_host) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| format!("{port} is no port"))?),
        None => (host, PORT),
    };
    let mut arguments = OpenConnectionArguments::new(host, port, user, password);
    if !virtual_host.is_empty() {
        arguments.virtual_host(&virtual_host.replace("%2F", "/").replace("%2f", "/"));
    }
    Ok(arguments)
}

fn told(error: amqprs::error::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_parts_or_their_defaults() {
        let of = |url| {
            let arguments = address(url).expect("a good one");
            let host = arguments.get_host().to_owned();
            (host, arguments.get_port(), arguments.get_virtual_host().to_owned())
        };
        assert_eq!(of("amqp://a:b@mail:7000/shop"), ("mail".to_owned(), 7000, "shop".to_owned()));
        assert_eq!(of("amqp://mail"), ("mail".to_owned(), PORT, "/".to_owned()));
        assert!(address("amqp://mail:x").is_err());
    }
}
