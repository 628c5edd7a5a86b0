//! The queue: RabbitMQ's role. Publishers and consumers speak RESP: `PUBLISH request` is answered once the queue has the message;
//! after `CONSUME` the connection carries messages (`+MESSAGE serial request`), each of which the consumer answers with
//! `ACK serial` or `NACK serial`, and now and then a `+PING`, answered with `PONG`.
//!
//! - [`broker`]: the rules; [`journal`]: what outlives the process; `elsewhere` and `rabbit`: messages that RabbitMQ keeps; `front`: the
//!   same in the process that keeps that RabbitMQ

mod broker;
#[cfg(feature = "rabbitmq")]
mod elsewhere;
#[cfg(feature = "rabbitmq")]
mod front;
mod journal;
#[cfg(feature = "rabbitmq")]
mod rabbit;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::{Engine, Queue as Settings};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::component::{Context, Figures, Metrics};
use crate::emulated::Level;
use crate::process::complain;
use crate::resp::guests::{Ended, Guest, Guests, Rules};
use crate::resp::request::{Limits, Range};
use crate::resp::{Client, Failed, Writer, integer};
use broker::{Broker, Fate, Message};
#[cfg(feature = "rabbitmq")]
pub(crate) use front::Front;
use journal::{Entry, Journal};

/// Makes a message draw other numbers than the request that published it: any odd number with many bits. The simulator has the
/// same, so that a message means the same in both worlds.
const MESSAGE: u64 = 0x9e6c_63d0_876a_8b35;
/// How long the queue for what was delivered too often is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a full disk is looked at.
const DISK_LOOK: Duration = Duration::from_millis(10);

/// The queue's state.
#[derive(Debug)]
struct Server {
    context: Rc<Context>,
    settings: Settings,
    broker: RefCell<Broker>,
    /// Of a durable queue.
    journal: RefCell<Option<Journal>>,
    /// What consumers are to be sent, by their numbers.
    outlets: RefCell<BTreeMap<u64, Rc<Outlet>>>,
    next_consumer: Cell<u64>,
    guests: Rc<Guests>,
    waiting: Level,
    in_hand: Level,
    /// RabbitMQ, where it keeps the messages.
    #[cfg(feature = "rabbitmq")]
    elsewhere: Option<elsewhere::Elsewhere>,
}

/// What a consumer is to be sent.
#[derive(Debug, Default)]
struct Outlet {
    bytes: RefCell<Vec<u8>>,
    filled: Notify,
}

impl Outlet {
    fn push(&self, line: &str) {
        Writer::new(&mut self.bytes.borrow_mut(), false).simple(line);
        self.filled.notify_one();
    }
}

/// Starts the queue on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on, or what is durable cannot be read.
pub(crate) fn start(context: &Rc<Context>, settings: &Settings) -> io::Result<Metrics> {
    let engine = &context.scenario.component(context.component).engine;
    let url = match engine {
        Engine::Url(url) => Some(url.clone()),
        _ => None,
    };
    let mut broker = Broker::new(settings);
    let mut journal = None;
    if let Some(disk) = context.disk.as_ref().filter(|_| settings.durable && *engine == Engine::Embedded) {
        let file = OpenOptions::new().read(true).write(true).open(disk)?;
        let (opened, there) = Journal::open(file)?;
        there.into_iter().for_each(|message| broker.restore(message));
        journal = Some(opened);
    }
    let server = Rc::new(Server::new(context, settings, broker, journal, url));
    #[cfg(feature = "rabbitmq")]
    if server.elsewhere.is_some() {
        tokio::task::spawn_local(Rc::clone(&server).pull(false));
    }
    server.look();
    server.listen()?;
    Ok(Box::new(move |figures| server.tell(figures)))
}

async fn serve(server: Rc<Server>, guest: Guest) {
    let mut peer = Peer { guest, consumer: None };
    let ended = peer.converse(&server).await;
    if let Some((number, _)) = peer.consumer {
        server.leave(number);
    }
    if let Err(ended) = ended {
        peer.guest.leave(ended).await;
    }
}

/// A connection of a publisher or a consumer.
#[derive(Debug)]
struct Peer {
    guest: Guest,
    /// The number of the consumer, and what it is to be sent.
    consumer: Option<(u64, Rc<Outlet>)>,
}

impl Peer {
    /// Obeys command by command until the peer leaves. Why it is to go, where it does not by itself.
    async fn converse(&mut self, server: &Rc<Server>) -> Result<(), Ended> {
        let mut out = Vec::new();
        let mut heard = Instant::now();
        loop {
            while let Some(len) = match self.guest.read() {
                Ok(read) => read,
                Err(ended) => {
                    // What came before it was obeyed, and is answered.
                    self.guest.answer(&mut out).await?;
                    return Err(ended);
                }
            } {
                let (input, arguments) = self.guest.command();
                let command = Command::read(input, arguments);
                self.guest.consume(len);
                // RabbitMQ's alarm: publishers are blocked until there is room on the disk again.
                while matches!(command, Command::Publish { .. }) && server.context.is_disk_full() {
                    tokio::time::sleep(DISK_LOOK).await;
                }
                #[cfg(feature = "rabbitmq")]
                if let (Command::Publish { id, is_dead }, Some(_)) = (command, &server.elsewhere) {
                    server.publish_elsewhere(id, is_dead, &mut out).await;
                    continue;
                }
                self.execute(server, command, &mut out);
            }
            self.guest.answer(&mut out).await?;
            let Some((_, outlet)) = &self.consumer else {
                if !self.guest.more().await? {
                    return Ok(());
                }
                continue;
            };
            let heartbeat = server.settings.heartbeat.as_duration();
            tokio::select! {
                more = self.guest.more_in_time() => {
                    if !more? {
                        return Ok(());
                    }
                    heard = Instant::now();
                }
                () = outlet.filled.notified() => out.append(&mut outlet.bytes.borrow_mut()),
                () = tokio::time::sleep(heartbeat / 3) => {
                    if heard.elapsed() >= heartbeat {
                        return Err(Ended::Silent(heartbeat));
                    }
                    Writer::new(&mut out, false).simple("PING");
                }
            }
        }
    }

    fn execute(&mut self, server: &Rc<Server>, command: Command, out: &mut Vec<u8>) {
        let mut reply = Writer::new(out, false);
        match (command, &self.consumer) {
            (Command::Empty | Command::Pong, _) => {}
            (Command::Ping, _) => reply.simple("PONG"),
            (Command::Publish { id, is_dead }, _) => match server.publish(id, is_dead) {
                Published::Taken => reply.simple("OK"),
                Published::Full => reply.error("FULL the queue takes no more messages"),
                Published::NotKept => reply.error("ERR the message could not be written: the log says why"),
            },
            (Command::Consume, None) => {
                reply.simple("OK");
                self.consumer = Some(server.enter());
            }
            (Command::Settle { serial, good }, Some((number, _))) => server.settle(*number, serial, good),
            (Command::Consume | Command::Settle { .. } | Command::Malformed, _) => {
                reply.error("ERR expected PUBLISH request, CONSUME, or ACK and NACK of a consumer")
            }
        }
    }
}

/// What a peer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Empty,
    Ping,
    Pong,
    /// From a publisher, or from another queue that delivered it too often.
    Publish {
        id: u64,
        is_dead: bool,
    },
    Consume,
    Settle {
        serial: u64,
        good: bool,
    },
    Malformed,
}

impl Command {
    fn read(input: &[u8], arguments: &[Range]) -> Self {
        let argument = |index: usize| {
            arguments.get(index).map_or(&[][..], |range| &input[range.0 as usize..range.1 as usize])
        };
        let hexadecimal = |text: &[u8]| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
        let serial = || integer(argument(1)).and_then(|serial| u64::try_from(serial).ok());
        match (argument(0), arguments.len()) {
            (_, 0) => Self::Empty,
            (b"PING", 1) => Self::Ping,
            (b"PONG", 1) => Self::Pong,
            (b"CONSUME", 1) => Self::Consume,
            (verb @ (b"PUBLISH" | b"DEAD"), 2) => match hexadecimal(argument(1)) {
                Some(id) => Self::Publish { id, is_dead: verb == b"DEAD" },
                None => Self::Malformed,
            },
            (verb @ (b"ACK" | b"NACK"), 2) => match serial() {
                Some(serial) => Self::Settle { serial, good: verb == b"ACK" },
                None => Self::Malformed,
            },
            _ => Self::Malformed,
        }
    }
}

/// What became of a message that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Published {
    Taken,
    /// There was no room for it.
    Full,
    /// It is to outlive the process, and could not be written down.
    NotKept,
}

impl Server {
    /// A queue that nobody can reach yet. `url`: of the RabbitMQ that keeps its messages, if one does.
    fn new(
        context: &Rc<Context>,
        settings: &Settings,
        broker: Broker,
        journal: Option<Journal>,
        url: Option<String>,
    ) -> Self {
        #[cfg(not(feature = "rabbitmq"))]
        debug_assert!(url.is_none(), "refused before anything is started");
        Self {
            settings: settings.clone(),
            broker: RefCell::new(broker),
            journal: RefCell::new(journal),
            outlets: RefCell::default(),
            next_consumer: Cell::new(1),
            guests: Guests::new(Rules::new(&context.scenario), &Limits::MESSAGE),
            waiting: Level::default(),
            in_hand: Level::default(),
            #[cfg(feature = "rabbitmq")]
            elsewhere: url.map(elsewhere::Elsewhere::new),
            context: Rc::clone(context),
        }
    }

    /// Lets publishers and consumers in from now on.
    fn listen(self: &Rc<Self>) -> io::Result<()> {
        let listener = self.context.listen(1024)?;
        let server = Rc::clone(self);
        tokio::task::spawn_local(async move {
            loop {
                if let Some(guest) = server.guests.enter(listener.accept().await) {
                    tokio::task::spawn_local(serve(Rc::clone(&server), guest));
                }
            }
        });
        Ok(())
    }

    /// Writes its figures down.
    fn tell(&self, figures: &mut Figures) {
        #[cfg(feature = "rabbitmq")]
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.tell(figures);
        }
        let counts = self.broker.borrow().counts;
        figures.set("queue_seconds", self.waiting.seconds());
        figures.set("waiting", self.waiting.get() as f64);
        figures.set("busy_worker_seconds", self.in_hand.seconds());
        figures.set("in_service", self.in_hand.get() as f64);
        figures.set("connections", self.guests.count() as f64);
        figures.set("refused", self.guests.refused() as f64);
        figures.set("published", counts.published as f64);
        figures.set("acknowledged", counts.acknowledged as f64);
        figures.set("redelivered", counts.redelivered as f64);
        figures.set("dead_lettered", counts.dead_lettered as f64);
        figures.set("dropped", counts.dropped as f64);
    }

    /// Takes a message, if there is room for it and it can be kept.
    fn publish(&self, id: u64, is_dead: bool) -> Published {
        let (message, oldest) = if is_dead {
            (self.broker.borrow_mut().put(id, 0), None)
        } else {
            let taken = self.broker.borrow_mut().publish((id ^ MESSAGE).wrapping_mul(MESSAGE));
            let Some(taken) = taken else { return Published::Full };
            taken
        };
        if !self.note(Entry::There(message)) {
            self.broker.borrow_mut().take_back(message, oldest);
            return Published::NotKept;
        }
        oldest.into_iter().for_each(|oldest| _ = self.note(Entry::Gone(oldest)));
        self.hand_out();
        Published::Taken
    }

    fn enter(&self) -> (u64, Rc<Outlet>) {
        let number = self.next_consumer.replace(self.next_consumer.get() + 1);
        let outlet = Rc::new(Outlet::default());
        self.outlets.borrow_mut().insert(number, Rc::clone(&outlet));
        self.broker.borrow_mut().enter(number);
        self.hand_out();
        (number, outlet)
    }

    fn leave(&self, consumer: u64) {
        self.outlets.borrow_mut().remove(&consumer);
        let left = self.broker.borrow_mut().leave(consumer);
        left.into_iter().for_each(|(message, fate)| self.follow(message, fate));
        self.hand_out();
    }

    fn settle(&self, consumer: u64, serial: u64, good: bool) {
        let fate = self.broker.borrow_mut().settle(consumer, serial, good);
        if let Some(fate) = fate {
            self.follow(Message { serial, id: 0, deliveries: 0 }, fate);
        }
        self.hand_out();
    }

    /// Writes down what became of a message, and passes on what was delivered too often.
    fn follow(&self, message: Message, fate: Fate) {
        #[cfg(feature = "rabbitmq")]
        if !matches!(fate, Fate::Again(_)) {
            self.acknowledge_elsewhere(message.serial);
        }
        match fate {
            // What cannot be written here is delivered once more to whoever comes after this process, as RabbitMQ allows itself.
            Fate::Done => _ = self.note(Entry::Gone(message)),
            Fate::Again(message) => _ = self.note(Entry::There(message)),
            Fate::Dead(message) => {
                self.note(Entry::Gone(message));
                if let Some(to) = self.settings.dead_letters {
                    let address = self.context.addresses[to.index()][0];
                    tokio::task::spawn_local(async move {
                        // Where that queue is dead, so is the message.
                        let _ = timeout(PATIENCE, pass_on(address, message.id)).await;
                    });
                }
            }
        }
    }

    /// Writes down what happened, where messages are kept; whether that could be done.
    fn note(&self, entry: Entry) -> bool {
        let mut journal = self.journal.borrow_mut();
        let Some(journal) = journal.as_mut() else { return true };
        let told = |error: io::Error| {
            complain(&format!("{} cannot keep its messages: {error}", self.context.name()));
        };
        let is_noted = journal.note(entry).map_err(told).is_ok();
        if is_noted && journal.is_long() {
            // What stands there still counts where this fails.
            let _ = journal.rewrite(self.broker.borrow().all()).map_err(told);
        }
        is_noted
    }

    fn hand_out(&self) {
        let outlets = self.outlets.borrow();
        loop {
            let next = self.broker.borrow_mut().hand_out();
            let Some((consumer, message)) = next else { break };
            if let Some(outlet) = outlets.get(&consumer) {
                outlet.push(&format!("MESSAGE {} {:016x}", message.serial, message.id));
            }
        }
        drop(outlets);
        self.look();
    }

    /// Brings the levels up to date.
    fn look(&self) {
        let waiting = self.broker.borrow().waiting();
        #[cfg(feature = "rabbitmq")]
        let waiting = waiting + self.elsewhere.as_ref().map_or(0, elsewhere::Elsewhere::ready);
        self.waiting.add(waiting as i64 - self.waiting.get());
        self.in_hand.add(self.broker.borrow().in_hand() as i64 - self.in_hand.get());
    }
}

/// Hands a message to another queue.
async fn pass_on(address: std::net::SocketAddr, id: u64) -> Result<(), Failed> {
    let mut client = Client::connect(address).await?;
    client.command(2);
    client.argument(b"DEAD");
    client.argument(format!("{id:016x}").as_bytes());
    client.send().await?;
    client.reply(|_| Some(())).await
}
