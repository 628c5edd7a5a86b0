//! The clients of a server that speaks RESP and is not the store: how many there are, how long each may be silent, how much of
//! theirs is held. Who passes a limit is told which, and is sent away; the others are served on.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use scenarios::Scenario;
use scenarios::scenario::ComponentKind;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::request::{Limits, Parser, Range};
use super::{Malformed, Writer};
use crate::http::{Connection, Patience};

/// What all clients together are held to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many there may be.
    clients: u64,
    /// How long one may be silent between two commands.
    idle: Duration,
    /// How long a command may take to come, and an answer to go.
    patience: Duration,
    /// Bytes of commands that have not come entirely and of answers that are not sent yet, beyond [`FREE`] of each client.
    held: usize,
}

/// Clients there may be, where a scenario's own are fewer (Redis's `maxclients`).
const CLIENTS: u64 = 10_000;
/// Silence between two commands. Who keeps connections opens another when this one has ended.
const IDLE: Duration = Duration::from_secs(600);
/// As MariaDB's `net_read_timeout`; its `net_write_timeout` is twice as long.
const PATIENCE: Duration = Duration::from_secs(30);
const HELD: usize = 512 << 20;
/// What each client may have held without its counting, so that ordinary commands are answered whatever others do.
const FREE: usize = 64 << 10;
/// What is read of one who is sent away, and how long, so that he gets to read why (a socket that is closed with unread input
/// resets its connection).
const FAREWELL: (usize, Duration) = (16 << 20, Duration::from_secs(1));

impl Rules {
    /// Room for all who may come by the scenario: each of a service's workers has one connection at most, and each of its
    /// instances one more for the messages that it consumes.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let own = scenario.component_ids().map(|id| match &scenario.component(id).kind {
            ComponentKind::Service(service) => {
                u64::from(scenario.instances(id)) * (u64::from(service.workers) + 1)
            }
            _ => 0,
        });
        Self { clients: own.sum::<u64>().max(CLIENTS), idle: IDLE, patience: PATIENCE, held: HELD }
    }
}

/// All clients.
#[derive(Debug)]
pub(crate) struct Guests {
    rules: Rules,
    limits: &'static Limits,
    count: Cell<u64>,
    held: Cell<usize>,
    refused: Cell<u64>,
}

impl Guests {
    /// Nobody is here yet. What each sends is held to `limits`.
    pub(crate) fn new(rules: Rules, limits: &'static Limits) -> Rc<Self> {
        Rc::new(Self {
            rules,
            limits,
            count: Cell::default(),
            held: Cell::default(),
            refused: Cell::default(),
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// How many passed a limit since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Takes a client in, unless there are too many.
    pub(crate) fn enter(self: &Rc<Self>, stream: TcpStream) -> Option<Guest> {
        if self.count.get() >= self.rules.clients {
            self.refused.set(self.refused.get() + 1);
            let text = format!("-ERR max number of clients reached: {}\r\n", self.rules.clients);
            // It is new, so that its buffer has room.
            let _ = stream.into_std().and_then(|mut stream| stream.write_all(text.as_bytes()));
            return None;
        }
        self.count.set(self.count.get() + 1);
        Some(Guest {
            connection: Connection::new(stream),
            parser: Parser::default(),
            seat: Seat { all: Rc::clone(self), held: Cell::new(0) },
            heard: Instant::now(),
            begun: None,
            waits: Patience::new(None),
            writes: Patience::new(Some(self.rules.patience)),
        })
    }
}

/// A client's place among the others, which is free again when it is dropped.
#[derive(Debug)]
struct Seat {
    all: Rc<Guests>,
    held: Cell<usize>,
}

impl Seat {
    /// Whether so many bytes may be held of this client, in place of what was before.
    fn holds(&self, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(FREE);
        let others = self.all.held.get() - self.held.get();
        let has_room = bytes == 0 || others + bytes <= self.all.rules.held;
        if has_room {
            self.held.set(bytes);
            self.all.held.set(others + bytes);
        }
        has_room
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all.count.set(self.all.count.get() - 1);
        self.all.held.set(self.all.held.get() - self.held.get());
    }
}

/// Why a client goes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// Its connection is broken.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// What it sent is no command, or too long a one.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// It was silent for too long.
    #[error("silent for more than {0:?}")]
    Silent(Duration),
    /// Too much of all clients' is held.
    #[error("more than {0} bytes of unfinished commands and unread answers are held")]
    Held(usize),
}

/// A client.
#[derive(Debug)]
pub(crate) struct Guest {
    connection: Connection,
    parser: Parser,
    seat: Seat,
    /// When its last command had come entirely, or was answered.
    heard: Instant,
    /// When it began the command that has not come entirely.
    begun: Option<Instant>,
    waits: Patience,
    writes: Patience,
}

impl Guest {
    /// The length of the command at the start of what came, if all of it is there.
    ///
    /// # Errors
    /// Where it never can be a command, or passes a limit.
    pub(crate) fn read(&mut self) -> Result<Option<usize>, Ended> {
        let input = self.connection.input();
        let read = self.parser.read(input, self.seat.all.limits)?;
        if read.is_some() {
            (self.heard, self.begun) = (Instant::now(), None);
        } else if !input.is_empty() {
            self.begun.get_or_insert_with(Instant::now);
            self.hold(input.len())?;
        }
        Ok(read)
    }

    /// What came and was not consumed, and where in it the strings of the command are that was read last.
    pub(crate) fn command(&self) -> (&[u8], &[Range]) {
        (self.connection.input(), self.parser.arguments())
    }

    /// Is done with the command that was read last.
    pub(crate) fn consume(&mut self, length: usize) {
        self.connection.consume(length);
    }

    /// Waits for more to read, as long as a client may take for a command that it has begun, or for its next; whether there is.
    ///
    /// # Errors
    /// Where it was silent for too long, or the connection is broken.
    pub(crate) async fn more(&mut self) -> Result<bool, Ended> {
        let Rules { idle, patience, .. } = self.seat.all.rules;
        let (since, span) = self.begun.map_or((self.heard, idle), |begun| (begun, patience));
        match self.waits.until(|| since + span, self.connection.fill()).await {
            Ok(read) => Ok(read > 0),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Ended::Silent(span)),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Guest::more`], of one whose silence is somebody else's matter.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub(crate) async fn more_in_time(&mut self) -> io::Result<bool> {
        Ok(self.connection.fill().await? > 0)
    }

    /// Counts what is held of this client, in place of what was before.
    ///
    /// # Errors
    /// Where it is too much, with that of all others.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), Ended> {
        if self.seat.holds(bytes) { Ok(()) } else { Err(Ended::Held(self.seat.all.rules.held)) }
    }

    /// Sends an answer, which is empty then.
    ///
    /// # Errors
    /// Where the client does not take it in time, or the connection is broken.
    pub(crate) async fn answer(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if !out.is_empty() {
            self.writes.limit(self.connection.write_all(out)).await?;
            out.clear();
            // One large answer is not to be paid for as long as the connection lasts.
            out.shrink_to(FREE);
            self.heard = Instant::now();
        }
        self.seat.holds(0);
        Ok(())
    }

    /// Sends a client away; one that passed a limit is told which.
    pub(crate) async fn leave(self, ended: Ended) {
        if matches!(ended, Ended::Broken(_)) {
            return;
        }
        let Self { mut connection, seat, .. } = self;
        seat.all.refused.set(seat.all.refused.get() + 1);
        let mut out = Vec::new();
        Writer::new(&mut out, false).error(&format!("ERR {ended}"));
        // What it sent is of no use any more.
        connection.consume(connection.input().len());
        let farewell = async {
            if connection.write_all(&out).await.is_ok() {
                connection.finish(FAREWELL.0).await;
            }
        };
        let _ = timeout(FAREWELL.1, farewell).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::pin::pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    const RULES: Rules = Rules {
        clients: 4,
        idle: Duration::from_secs(600),
        patience: Duration::from_secs(30),
        held: 256 << 10,
    };

    /// Answers whatever comes.
    async fn serve(mut guest: Guest) {
        let ended = loop {
            match guest.read() {
                Ok(Some(length)) => {
                    guest.consume(length);
                    if let Err(error) = guest.answer(&mut b"+OK\r\n".to_vec()).await {
                        break error.into();
                    }
                }
                Ok(None) => match guest.more().await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(ended) => break ended,
                },
                Err(ended) => break ended,
            }
        };
        guest.leave(ended).await;
    }

    /// Serves by these rules, and runs a test against it, which is given what connects to it.
    fn with(rules: Rules, test: impl AsyncFnOnce(SocketAddr)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            spawn_local(async move {
                let guests = Guests::new(rules, &Limits::STORE);
                loop {
                    let (stream, _) = listener.accept().await.expect("it accepts");
                    if let Some(guest) = guests.enter(stream) {
                        spawn_local(serve(guest));
                    }
                }
            });
            timeout(Duration::from_secs(20), test(address)).await.expect("nothing here takes so long");
        });
    }

    async fn ask(client: &mut TcpStream) -> String {
        client.write_all(b"PING\r\n").await.expect("sent");
        let mut answer = vec![0; 5];
        client.read_exact(&mut answer).await.expect("answered");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What is said to one who is sent away.
    async fn farewell(mut client: TcpStream) -> String {
        let mut said = String::new();
        client.read_to_string(&mut said).await.expect("closed in order");
        said
    }

    #[test]
    fn one_too_many_is_told_so_and_comes_in_when_another_has_left() {
        with(Rules { clients: 2, ..RULES }, async |address| {
            let connect = async || TcpStream::connect(address).await.expect("connected");
            let (mut first, mut second) = (connect().await, connect().await);
            assert_eq!([ask(&mut first).await, ask(&mut second).await], ["+OK\r\n"; 2]);
            assert_eq!(farewell(connect().await).await, "-ERR max number of clients reached: 2\r\n");
            assert_eq!(ask(&mut first).await, "+OK\r\n");
            second.shutdown().await.expect("it leaves");
            assert_eq!(farewell(second).await, "");
            assert_eq!(ask(&mut connect().await).await, "+OK\r\n");
        });
    }

    #[test]
    fn who_is_silent_or_never_ends_a_command_is_told_so() {
        let short = Duration::from_millis(50);
        with(Rules { idle: short, ..RULES }, async |address| {
            let mut silent = TcpStream::connect(address).await.expect("connected");
            assert_eq!(ask(&mut silent).await, "+OK\r\n");
            assert_eq!(farewell(silent).await, "-ERR silent for more than 50ms\r\n");
        });
        with(Rules { patience: short, ..RULES }, async |address| {
            let mut slow = TcpStream::connect(address).await.expect("connected");
            let dripping = async {
                loop {
                    if slow.write_all(b"P").await.is_err() {
                        break;
                    }
                    tokio::time::sleep(short / 10).await;
                }
            };
            let _ = timeout(4 * short, dripping).await;
            assert_eq!(farewell(slow).await, "-ERR silent for more than 50ms\r\n");
        });
    }

    #[test]
    fn what_is_held_of_all_is_bounded_and_short_commands_are_answered() {
        with(RULES, async |address| {
            let mut piece = b"*2\r\n$4\r\nECHO\r\n$1000000\r\n".to_vec();
            piece.resize(250 << 10, b'x');
            let fill = async || {
                let mut client = TcpStream::connect(address).await.expect("connected");
                client.write_all(&piece).await.expect("sent");
                farewell(client).await
            };
            let (mut first, mut second) = (pin!(fill()), pin!(fill()));
            let said = tokio::select! { said = &mut first => said, said = &mut second => said };
            assert!(said.contains("more than 262144 bytes"), "{said}");
            assert_eq!(ask(&mut TcpStream::connect(address).await.expect("connected")).await, "+OK\r\n");
        });
    }
}
