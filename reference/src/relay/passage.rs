//! One connection through the relay: what each side sends is with the other when the way between them has let it through.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use scenarios::rng::{Purpose, Stream};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Relay;
use super::door::Door;
use super::network::{self, Flow, Machine};
use crate::emulated::clock::now_nanos;

/// Bytes on their way in one direction, beyond which no more are taken: as much as Linux lets a window grow to
/// (`tcp_rmem`, 6 MB of which a part is room for heads).
const UNDER_WAY_LIMIT: usize = 4 << 20;
/// The same to a client who has said his last word, as he may have gone: what a new connection may have under way (RFC 6928). The
/// first of it that is there brings back that nobody wants it (RFC 9293, section 3.10.7).
const UNHEARD_LIMIT: usize = 10 * 1_448;
/// Taken at once.
const READ_SIZE: usize = 64 << 10;
/// An instance whose kernel has not answered for so long does not answer.
const STUCK: Duration = Duration::from_millis(20);
/// How often an instance that does not answer is tried again.
const LOOK: Duration = Duration::from_millis(50);

/// What both directions know.
#[derive(Debug)]
struct Talk {
    /// Whether the client spoke last; none where nobody has spoken yet.
    client_spoke: Cell<Option<bool>>,
    /// Whether the client has said his last word.
    client_ended: Cell<bool>,
    /// Before that the client does not know that it is connected.
    ready_at: u64,
    /// The connection was reset.
    over: watch::Sender<bool>,
}

#[derive(Debug)]
enum What {
    Bytes(Vec<u8>),
    /// No more follows.
    End,
    Reset,
}

/// Something on its way.
#[derive(Debug)]
struct Piece {
    what: What,
    sent: u64,
    /// When it is there; none while nothing gets through.
    due: Option<u64>,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    relay: Rc<Relay>,
    talk: Rc<Talk>,
    way: (Machine, Machine),
    /// The instance that the client talks to.
    instance: (usize, u32),
    from_client: bool,
    flow: Flow,
    stream: Stream,
    under_way: VecDeque<Piece>,
    bytes_under_way: usize,
    /// Messages begun.
    messages: u64,
    /// Whether the source may say more.
    is_open: bool,
    /// Whether the sink takes anything.
    is_heard: bool,
}

/// Carries a connection to its end.
pub(super) async fn serve(relay: Rc<Relay>, door: Rc<Door>, client: TcpStream) {
    let number = relay.connections.replace(relay.connections.get() + 1);
    let mut stream = relay.stream("relay-handshake", number);
    let accepted = now_nanos();
    let (there, back) = relay.network.borrow().handshake(door.from, door.to, &mut stream);
    if there > 0 {
        relay.timer.sleep_until(accepted + there).await;
    }
    let Some(server) = connect(&relay, &door, &client, accepted + there).await else {
        // Its end is heard of at once, as that of a connection that nobody would have.
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
        // Some machines' default (BBR) spaces packets by a timer; the delays are to be ours.
        let _ = SockRef::from(stream).set_tcp_congestion(b"reno");
    }
    let talk = Talk {
        client_spoke: Cell::new(None),
        client_ended: Cell::new(false),
        ready_at: accepted + there + back,
        over: watch::Sender::new(false),
    };
    let (talk, client, server) = (Rc::new(talk), Rc::new(client), Rc::new(server));
    let lane = |from_client, way, purpose| Lane {
        talk: Rc::clone(&talk),
        way,
        instance: door.instance,
        from_client,
        flow: Flow::new(),
        stream: relay.stream(purpose, number),
        under_way: VecDeque::new(),
        bytes_under_way: 0,
        messages: 0,
        is_open: true,
        is_heard: true,
        relay: Rc::clone(&relay),
    };
    let there = lane(true, (door.from, door.to), "relay-there");
    let back = lane(false, (door.to, door.from), "relay-back");
    tokio::task::spawn_local(there.run(Rc::clone(&client), Rc::clone(&server)));
    tokio::task::spawn_local(back.run(server, client));
}

/// A connection to whom the door stands for, for a client whose SYN is there at that moment; none where there is nobody, or the
/// client has gone before.
async fn connect(relay: &Relay, door: &Rc<Door>, client: &TcpStream, syn_at: u64) -> Option<TcpStream> {
    if let Ok(connected) = timeout(STUCK, open(door, client)).await {
        return connected.ok();
    }
    let stuck = door.stuck();
    loop {
        // A SYN of this machine's would be repeated after a second. Others, who come as soon as there is room, must not wait for that.
        if let Ok(connected) = timeout(LOOK, open(door, client)).await {
            drop(stuck);
            // But this client's own SYN was lost.
            let waited = now_nanos().saturating_sub(syn_at);
            relay.timer.sleep_until(syn_at + network::repeated_syn(waited)).await;
            return connected.ok();
        }
        let ready = timeout(Duration::ZERO, client.ready(Interest::READABLE)).await;
        if ready.is_ok_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed())) {
            return None;
        }
    }
}

/// Connects from where the client does, as some look at where a connection comes from.
async fn open(door: &Door, client: &TcpStream) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let peer = client.peer_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
    if peer != IpAddr::V4(Ipv4Addr::LOCALHOST) {
        let _ = socket.bind(SocketAddr::new(peer, 0));
    }
    socket.connect(door.target).await
}

impl Lane {
    async fn run(mut self, source: Rc<TcpStream>, sink: Rc<TcpStream>) {
        let mut over = self.talk.over.subscribe();
        let mut changed = self.relay.changed.subscribe();
        while self.is_open || !self.under_way.is_empty() {
            let relay = Rc::clone(&self.relay);
            let due = self.under_way.front().map(|piece| piece.due);
            tokio::select! {
                biased;
                _ = over.changed() => return,
                () = relay.timer.sleep_until(due.flatten().unwrap_or(0)), if matches!(due, Some(Some(_))) => {
                    self.deliver(&sink).await;
                }
                ready = source.readable(), if self.is_open && self.room() > 0 => {
                    if ready.is_err() {
                        return;
                    }
                    if self.is_unheard(&sink) {
                        return self.hang_up(&source);
                    }
                    self.take(&source, &sink);
                }
                _ = changed.changed(), if matches!(due, Some(None)) => self.go_on(),
            }
        }
    }

    /// How much more may be under way.
    fn room(&self) -> usize {
        let to_client_who_ended = !self.from_client && self.talk.client_ended.get();
        let limit = if to_client_who_ended { UNHEARD_LIMIT } else { UNDER_WAY_LIMIT };
        limit.saturating_sub(self.bytes_under_way)
    }

    /// Whether the client had gone when the first of what was sent to him after his last word was there: his kernel has said so
    /// since, and nobody reads it from the direction that has ended.
    fn is_unheard(&self, sink: &TcpStream) -> bool {
        let may_have_gone = !self.from_client && self.talk.client_ended.get();
        may_have_gone && (!self.is_heard || !matches!(sink.take_error(), Ok(None)))
    }

    /// The source learns that nobody listens: what it has said and is not taken yet is never sent.
    fn hang_up(&self, source: &TcpStream) {
        let _ = SockRef::from(source).set_linger(Some(Duration::ZERO));
        self.talk.over.send_replace(true);
    }

    /// Takes what the source says.
    fn take(&mut self, source: &TcpStream, sink: &TcpStream) {
        // The client may have ended since there was room.
        let room = self.room().min(READ_SIZE);
        if room == 0 {
            return;
        }
        let relay = Rc::clone(&self.relay);
        let mut buffer = relay.buffer.borrow_mut();
        buffer.resize(READ_SIZE, 0);
        match source.try_read(&mut buffer[..room]) {
            Ok(0) => {
                self.talk.client_ended.set(self.talk.client_ended.get() || self.from_client);
                self.send(What::End, 0);
            }
            Ok(count) => {
                let due = self.due(count);
                let mut bytes = &buffer[..count];
                // Most often it is there already, where the way takes no time at present.
                if self.under_way.is_empty() && due.is_some_and(|due| due <= now_nanos()) && self.is_heard {
                    match sink.try_write(bytes) {
                        Ok(written) => bytes = &bytes[written..],
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => self.is_heard = false,
                    }
                }
                if !bytes.is_empty() {
                    self.bytes_under_way += bytes.len();
                    let what = What::Bytes(bytes.to_vec());
                    self.under_way.push_back(Piece { what, sent: now_nanos(), due });
                }
                return;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => self.send(What::Reset, 0),
        }
        self.is_open = false;
    }

    fn send(&mut self, what: What, count: usize) {
        let due = self.due(count);
        self.under_way.push_back(Piece { what, sent: now_nanos(), due });
    }

    /// When what is sent now is there; none where nothing gets through.
    fn due(&mut self, count: usize) -> Option<u64> {
        let begins = self.talk.client_spoke.replace(Some(self.from_client)) != Some(self.from_client);
        self.messages += u64::from(begins);
        if self.messages > 1 {
            self.flow.warm();
        }
        let mut network = self.relay.network.borrow_mut();
        if network.is_silent(self.way, self.instance)
            || self.under_way.back().is_some_and(|p| p.due.is_none())
        {
            return None;
        }
        let now = now_nanos().max(self.talk.ready_at);
        Some(network.arrival(self.way, &mut self.flow, begins, count, now, &mut self.stream))
    }

    /// Something gets through again, perhaps: the first that was lost is repeated, at times that are further and further apart,
    /// and the rest follows it.
    fn go_on(&mut self) {
        let network = self.relay.network.borrow();
        if network.is_silent(self.way, self.instance) {
            return;
        }
        let mut lost = self.under_way.iter_mut().filter(|piece| piece.due.is_none()).peekable();
        let Some(first) = lost.peek().map(|piece| piece.sent) else { return };
        let due = first + network.after_cut(&self.flow, now_nanos().saturating_sub(first));
        lost.for_each(|piece| piece.due = Some(due));
        self.flow.not_before(due);
    }

    /// Hands the first piece over.
    async fn deliver(&mut self, sink: &TcpStream) {
        let Some(Piece { what, .. }) = self.under_way.pop_front() else { return };
        match what {
            What::Bytes(bytes) => {
                self.bytes_under_way -= bytes.len();
                let mut over = self.talk.over.subscribe();
                let mut rest = &bytes[..];
                while !rest.is_empty() && self.is_heard {
                    match sink.try_write(rest) {
                        Ok(written) => rest = &rest[written..],
                        Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::select! {
                            ready = sink.writable() => self.is_heard = ready.is_ok(),
                            _ = over.changed() => return,
                        },
                        // The other direction hears of it, and says so.
                        Err(_) => self.is_heard = false,
                    }
                }
            }
            What::End => {
                let _ = SockRef::from(sink).shutdown(Shutdown::Write);
            }
            What::Reset => {
                let _ = SockRef::from(sink).set_linger(Some(Duration::ZERO));
                self.talk.over.send_replace(true);
            }
        }
    }
}

impl Relay {
    fn stream(&self, purpose: &'static str, number: u64) -> Stream {
        Stream::new(self.seed, Purpose::named(purpose), number)
    }
}
