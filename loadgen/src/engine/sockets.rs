//! HTTP/1.1 over sockets, in the thread's own loop: in the common case a request costs one write, one read, and its share of
//! a wait for many.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use results::Failure;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, sockopt};
use scenarios::Scenario;
use scenarios::plan::Planned;

use super::arrivals::Arrivals;
use super::connecting::{Backlogged, connect, is_backlogged, lacked, of_connecting};
use super::poller::{Edge, Poller};
use super::tls::{Session, Tls};
use super::transport::{Happening, Transport};
use super::{Address, Entries};
use crate::http::{
    Answer, Composer, Jar, Judge, LACKED, Limits, Progress, Reader, Room, Site, Violation, Wanted, cookies,
    tells_of_loss,
};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Longer answers are read as they come: less than what a socket takes in before its sender has to wait (the least that
/// `tcp_rmem` begins with is 64 KiB of payload).
const SMALL_BYTES: usize = 32 << 10;
/// Reads in a row from one socket before others, and what is due, have their turn.
const READS: u32 = 4;
/// Sockets with more to read that have their turn at once.
const TURNS: usize = 4;

/// One slot's socket.
#[derive(Debug)]
struct Socket {
    address: Address,
    /// The `Host` field for this address.
    host: Rc<str>,
    /// Where it comes from; from wherever the kernel likes where there is none.
    source: Option<Ipv4Addr>,
    descriptor: Option<OwnedFd>,
    /// Where connections are encrypted.
    session: Option<Session>,
    /// Sockets so far, so that an edge meant for an earlier one is known.
    generation: u32,
    connecting: bool,
    /// What comes in is stamped.
    stamped: bool,
    /// A request is under way, of this class.
    busy: bool,
    class: usize,
    /// It has more to read, and no edge will tell.
    again: bool,
    /// The other end has closed its side, or the connection is broken.
    ended: bool,
    reader: Reader,
    /// The request's bytes and how many of them are written.
    out: Vec<u8>,
    written: usize,
    /// Bytes read of the answer.
    read: usize,
}

impl Socket {
    /// Whether bytes of the request are still to be written.
    #[inline]
    fn has_rest(&self) -> bool {
        self.written < self.out.len() || self.session.as_ref().is_some_and(Session::has_rest)
    }

    /// The other end takes no more: what it said before still counts.
    fn give_up_writing(&mut self) {
        self.written = self.out.len();
        self.ended = true;
    }

    /// What it means that the connection is lost.
    fn lost(&self) -> Failure {
        if self.busy && self.reader.has_begun() { Failure::Truncated } else { Failure::Reset }
    }

    /// Writes as much as the kernel takes.
    fn write(&mut self) -> io::Result<()> {
        let Some(descriptor) = &self.descriptor else { return Ok(()) };
        if let Some(session) = &mut self.session {
            session.take(&self.out[self.written..]);
            self.written = self.out.len();
            return Ok(session.flush(descriptor)?);
        }
        while self.written < self.out.len() {
            match rustix::net::send(descriptor, &self.out[self.written..], SendFlags::NOSIGNAL) {
                Ok(written) => self.written += written,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The sockets of one thread.
#[derive(Debug)]
pub(super) struct Sockets {
    composer: Composer,
    /// By request class.
    judges: Vec<Judge>,
    /// What was extracted of the last answer.
    kept: Vec<(u16, String)>,
    poller: Poller,
    sockets: Vec<Socket>,
    /// What sockets are read into; nothing in it outlives a call.
    buffer: Box<[u8]>,
    arrivals: Arrivals,
    /// Whether all answers so far were small and are stamped.
    patient: bool,
    /// What came last was to be stamped, and was not.
    unstamped: bool,
    /// What happened without an edge, with the socket's generation.
    at_once: VecDeque<(u32, Happening)>,
    /// Sockets with more to read.
    again: VecDeque<u32>,
    /// Sockets that found a backlog full, with their generations.
    backlogged: Backlogged<(u32, u32)>,
    room: Room,
    lacked: Option<String>,
    tls: Option<Tls>,
    problem: Option<String>,
}

impl Sockets {
    pub(super) fn new(scenario: &Scenario, entries: &Entries, room: Room) -> io::Result<Self> {
        Ok(Self {
            composer: Composer::new(scenario, &entries.base_path),
            judges: scenario.requests.iter().map(Judge::new).collect(),
            kept: Vec::new(),
            poller: Poller::new()?,
            sockets: Vec::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            arrivals: Arrivals::new(),
            patient: true,
            unstamped: false,
            at_once: VecDeque::new(),
            again: VecDeque::new(),
            backlogged: Backlogged::default(),
            room,
            lacked: None,
            tls: entries.tls.clone(),
            problem: None,
        })
    }

    /// A place for one more slot; `stamped` where the kernel is to say when bytes come in, if it can.
    pub(super) fn add(&mut self, address: Address, host: Rc<str>, limits: Limits, stamped: bool) -> u32 {
        let stamped = stamped && self.tls.is_none() && matches!(address, Address::Tcp(_));
        self.patient &= stamped;
        self.sockets.push(Socket {
            address,
            host,
            source: None,
            descriptor: None,
            session: None,
            generation: 0,
            connecting: false,
            stamped,
            busy: false,
            class: 0,
            again: false,
            ended: false,
            reader: Reader::sharing(limits, self.room.clone()),
            out: Vec::new(),
            written: 0,
            read: 0,
        });
        self.sockets.len() as u32 - 1
    }

    fn connect(&mut self, slot: u32) -> Result<(), Errno> {
        let socket = &mut self.sockets[slot as usize];
        let (descriptor, begun) = connect(&socket.address, socket.source)?;
        match begun {
            // Where it is connected at once, the edge says so as well.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(error) if is_backlogged(&socket.address, error) => {
                self.backlogged.push((slot, socket.generation));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if socket.stamped && !Arrivals::stamp(&descriptor) {
            (socket.stamped, self.patient) = (false, false);
        }
        let token = u64::from(socket.generation) << 32 | u64::from(slot);
        self.poller
            .add(&descriptor, token)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOMEM))?;
        socket.descriptor = Some(descriptor);
        socket.connecting = true;
        Ok(())
    }

    /// Closes a slot's socket; what was kept of its last answer can still be asked for, and what that was to.
    fn disconnect(&mut self, slot: u32) {
        let socket = &mut self.sockets[slot as usize];
        // The kernel forgets a descriptor's edges with its last reference; those already taken show an old generation.
        (socket.descriptor, socket.session) = (None, None);
        socket.generation = socket.generation.wrapping_add(1);
        (socket.connecting, socket.busy, socket.ended) = (false, false, false);
        socket.written = socket.out.len();
    }

    /// Says later that a slot is closed; `send` and `open` cannot.
    fn fail(&mut self, slot: u32, failure: Failure) {
        self.close(slot);
        let generation = self.sockets[slot as usize].generation;
        self.at_once.push_back((generation, Happening::Closed(slot, failure)));
    }

    /// What became of a slot whose socket has something to say.
    fn look(&mut self, slot: u32, edge: Edge) -> Option<Happening> {
        let socket = &mut self.sockets[slot as usize];
        socket.ended |= edge.ended;
        if socket.connecting {
            if !edge.writable {
                return None;
            }
            let descriptor = socket.descriptor.as_ref()?;
            let error = sockopt::socket_error(descriptor).and_then(|result| result).err();
            if let Some(error) = error {
                self.close(slot);
                return Some(Happening::Closed(slot, of_connecting(error)));
            }
            if let Err(happening) = self.shake(slot)? {
                return Some(happening);
            }
            let socket = &mut self.sockets[slot as usize];
            socket.connecting = false;
            if edge.readable {
                // The edge of an end that came with the connection is not shown again.
                self.look_again(slot);
            }
            return Some(Happening::Opened(slot));
        }
        if edge.writable && socket.has_rest() && socket.write().is_err() {
            // Whoever takes no more may have answered before.
            socket.give_up_writing();
            return self.read(slot, true);
        }
        if edge.readable { self.read(slot, false) } else { None }
    }

    /// Goes on with the handshake where connections are encrypted; none while it lasts.
    fn shake(&mut self, slot: u32) -> Option<Result<(), Happening>> {
        let Some(tls) = &self.tls else { return Some(Ok(())) };
        let socket = &mut self.sockets[slot as usize];
        let descriptor = socket.descriptor.as_ref()?;
        let session = match &mut socket.session {
            Some(session) => Ok(session),
            none => Session::new(tls).map(|session| none.insert(session)).map_err(|error| error.to_string()),
        };
        match session.and_then(|session| session.shake(descriptor)) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(problem) => {
                self.problem = Some(problem);
                self.close(slot);
                Some(Err(Happening::Closed(slot, Failure::Refused)))
            }
        }
    }

    fn look_again(&mut self, slot: u32) {
        let socket = &mut self.sockets[slot as usize];
        if !socket.again {
            socket.again = true;
            self.again.push_back(slot);
        }
    }

    /// Reads until the request has its answer or there is no more; `again` where there may be more than the last edge said.
    fn read(&mut self, slot: u32, again: bool) -> Option<Happening> {
        for _ in 0..READS {
            let socket = &mut self.sockets[slot as usize];
            let descriptor = socket.descriptor.as_ref()?;
            let encrypted = socket.session.is_some();
            let read = match &mut socket.session {
                None if socket.stamped => self.arrivals.receive(descriptor, &mut self.buffer),
                None => rustix::net::recv(descriptor, &mut *self.buffer, RecvFlags::empty())
                    .map(|(read, _)| (read, None)),
                Some(session) => session.read(descriptor, &mut self.buffer).map(|read| (read, None)),
            };
            let (read, arrived_nanos) = match read {
                Ok(read) => read,
                Err(Errno::AGAIN) => return None,
                Err(Errno::INTR) => continue,
                Err(_) => {
                    let failure = socket.lost();
                    self.close(slot);
                    return Some(Happening::Closed(slot, failure));
                }
            };
            socket.read += read;
            if socket.stamped && read > 0 {
                // Then it came when it was read, so that the next one is read at once.
                self.unstamped = arrived_nanos.is_none();
            }
            self.patient &= socket.read <= SMALL_BYTES;
            let progress = if !socket.busy {
                // The other end closed a free connection, or spoke unasked.
                Err(Failure::Reset)
            } else if read == 0 {
                socket.reader.end().ok_or_else(|| socket.lost())
            } else {
                socket.reader.feed(&self.buffer[..read]).map_err(of_violation)
            };
            match progress {
                // What is less than was asked for is all there is, unless its end is still to be read.
                Ok(Progress::More) if read < READ_BYTES && !again && !socket.ended && !encrypted => {
                    return None;
                }
                Ok(Progress::More) => {}
                Ok(Progress::Done { status, keep_alive }) => {
                    let open = keep_alive && !socket.ended && !socket.has_rest();
                    self.kept.clear();
                    let answer = Answer { status, head: socket.reader.head(), body: socket.reader.body() };
                    let result = self.judges[socket.class].judge(answer, &mut self.kept);
                    socket.reader.forget_body();
                    let result = match result {
                        Ok(()) if cookies(socket.reader.head()).any(tells_of_loss) => {
                            Err(Failure::LostSession)
                        }
                        other => other,
                    };
                    socket.busy = false;
                    if !open {
                        self.disconnect(slot);
                    } else if encrypted {
                        // The kernel may hold more records, of which no edge will tell.
                        self.look_again(slot);
                    }
                    return Some(Happening::Answered { slot, result, arrived_nanos, open });
                }
                Err(failure) => {
                    self.close(slot);
                    return Some(Happening::Closed(slot, failure));
                }
            }
        }
        self.look_again(slot);
        None
    }
}

impl Transport for Sockets {
    fn open(&mut self, slot: u32) {
        self.close(slot);
        if let Err(error) = self.connect(slot) {
            if let Some(lacked) = lacked(error) {
                self.lacked = Some(lacked);
            }
            self.fail(slot, of_connecting(error));
        }
    }

    fn come_from(&mut self, slot: u32, source: Ipv4Addr) {
        self.sockets[slot as usize].source = Some(source);
    }

    fn send(&mut self, slot: u32, (planned, attempt): (&Planned, u16), jar: Option<&Jar>) {
        let socket = &mut self.sockets[slot as usize];
        socket.class = planned.class.index();
        let wanted = self.judges[socket.class].wanted;
        let cookies = jar.is_some_and(Jar::keeps_cookies);
        socket.reader.keep(Wanted { head: wanted.head || cookies, ..wanted });
        self.composer.compose((planned, attempt), &socket.host, jar, &mut socket.out);
        (socket.written, socket.read, socket.busy) = (0, 0, true);
        if socket.write().is_err() {
            // Whoever takes no more may have said something before: what that is, reading tells.
            socket.give_up_writing();
            self.look_again(slot);
        }
    }

    fn close(&mut self, slot: u32) {
        self.disconnect(slot);
        self.sockets[slot as usize].reader.reset();
    }

    fn has_begun(&self, slot: u32) -> bool {
        self.sockets[slot as usize].reader.has_begun()
    }

    fn remember(&mut self, slot: u32, jar: &mut Jar) {
        let socket = &self.sockets[slot as usize];
        let site = Site::of(&socket.host, &socket.out);
        if !jar.remember(site, socket.reader.head(), &mut self.kept) {
            self.lacked = Some(LACKED.to_owned());
        }
    }

    fn wait(&mut self, until_nanos: u64) -> io::Result<()> {
        if self.poller.has_edges() {
            return Ok(());
        }
        let until_nanos = if self.at_once.is_empty() && self.again.is_empty() { until_nanos } else { 0 };
        self.poller.wait(self.backlogged.until(until_nanos))
    }

    fn next(&mut self) -> Option<Happening> {
        for (slot, generation) in self.backlogged.due() {
            if self.sockets[slot as usize].generation == generation {
                self.open(slot);
            }
        }
        while let Some((generation, happening)) = self.at_once.pop_front() {
            let Happening::Closed(slot, _) = happening else { continue };
            if self.sockets[slot as usize].generation == generation {
                return Some(happening);
            }
        }
        while let Some(edge) = self.poller.next() {
            let (slot, generation) = (edge.token as u32, (edge.token >> 32) as u32);
            let socket = &self.sockets[slot as usize];
            if socket.generation != generation || socket.descriptor.is_none() {
                continue;
            }
            let happening = self.look(slot, edge);
            if happening.is_some() {
                return happening;
            }
        }
        for _ in 0..self.again.len().min(TURNS) {
            let slot = self.again.pop_front()?;
            let socket = &mut self.sockets[slot as usize];
            socket.again = false;
            if !socket.connecting
                && let Some(happening) = self.read(slot, true)
            {
                return Some(happening);
            }
        }
        None
    }

    fn is_patient(&self) -> bool {
        self.patient && !self.unstamped && self.at_once.is_empty() && self.again.is_empty()
    }

    fn problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    fn lacked(&mut self) -> Option<String> {
        self.lacked.take()
    }
}

/// What it means that an answer breaks the rules.
fn of_violation(violation: Violation) -> Failure {
    match violation {
        Violation::HeadTooLong | Violation::BodyTooLong | Violation::NoRoom => Failure::TooLarge,
        _ => Failure::Malformed,
    }
}
