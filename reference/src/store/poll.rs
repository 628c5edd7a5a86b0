//! The clients' sockets: one loop over an epoll descriptor of its own, which stands in the runtime's as any descriptor. A
//! wake-up reads what each client has sent, executes it, and answers with one write.
//!
//! Idle clients cost no buffer: input is read into one that all share, and only what is left of it is kept for a client.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::clients::{Awaited, Client, Partial};
use super::commands::execute;
use super::server::Server;
use crate::resp::Writer;
use crate::resp::request::{Limits, Parser};
use crate::socket::Listener;

/// Read at once from a client, before others have their turn.
const READ_SIZE: usize = 64 << 10;
/// Answers of a pipeline above which they are sent before the next command is executed.
const OUTPUT_SIZE: usize = 1 << 20;
/// Clients of a wake-up.
const EVENTS: usize = 256;
/// Wake-ups after which the rest of the process has its turn.
const ROUNDS: u32 = 32;

/// The loop's own.
#[derive(Debug)]
pub(super) struct Poll {
    epoll: AsyncFd<OwnedFd>,
    server: Rc<RefCell<Server>>,
}

/// What is used for one client after the other.
#[derive(Debug)]
struct Buffers {
    input: Vec<u8>,
    out: Vec<u8>,
    parser: Parser,
    /// Clients of which there is more to read or to execute without an event.
    again: Vec<usize>,
}

impl Poll {
    pub(super) fn new(server: Rc<RefCell<Server>>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe because of descriptors that change; an OwnedFd does not"
        )]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll, server })
    }

    /// Accepts clients until the end of the process.
    pub(super) async fn accept(self: Rc<Self>, listener: Rc<Listener>) {
        loop {
            let stream = listener.accept().await;
            // A connection that is broken already concerns its client alone.
            if let Ok(stream) = stream.into_std() {
                let _ = self.welcome(stream);
            }
        }
    }

    fn welcome(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut server = self.server.borrow_mut();
        let server = &mut *server;
        if server.clients.len() >= server.settings.max_clients {
            server.totals.rejected += 1;
            return stream.write_all(b"-ERR max number of clients reached\r\n");
        }
        stream.set_nodelay(true)?;
        // Some machines' default (BBR) spaces packets by a timer, which has no place on a loopback interface. Reno is
        // part of every kernel.
        let _ = SockRef::from(&stream).set_tcp_congestion(b"reno");
        server.totals.connections += 1;
        let now = server.data.clock.now_ms();
        let stranger = !server.settings.password.is_empty();
        let address = stream.peer_addr().ok();
        let index = server.clients.insert(Client::new(Some(stream), address, stranger, now));
        let Some(stream) = server.clients.get(index).and_then(|client| client.stream.as_ref()) else {
            return Ok(());
        };
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let added = epoll::add(&self.epoll, stream, epoll::EventData::new_u64(index as u64), flags);
        if let Err(error) = added {
            server.close(index);
            return Err(error.into());
        }
        Ok(())
    }

    /// Serves clients until the end of the process.
    pub(super) async fn serve(self: Rc<Self>) {
        let mut events = Vec::with_capacity(EVENTS);
        let mut buffers = Buffers {
            input: vec![0; READ_SIZE],
            out: Vec::new(),
            parser: Parser::default(),
            again: Vec::new(),
        };
        let nudge = Rc::clone(&self.server.borrow().nudge);
        let mut rounds = 0;
        loop {
            events.clear();
            let found = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec::default()));
            // An interrupted look is repeated like one that found nothing.
            let found = found.unwrap_or(0);
            let goes_on = self.turn(&events, &mut buffers);
            if found == 0 && buffers.again.is_empty() && !goes_on {
                rounds = 0;
                tokio::select! {
                    ready = self.epoll.readable() => match ready {
                        // The next look takes all that has happened until then.
                        Ok(mut ready) => ready.clear_ready(),
                        Err(_) => return,
                    },
                    () = nudge.notified() => {}
                }
                continue;
            }
            rounds += 1;
            if rounds == ROUNDS {
                rounds = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Serves whoever has something; whether there is more to do without an event.
    fn turn(&self, events: &[epoll::Event], buffers: &mut Buffers) -> bool {
        let mut server = self.server.borrow_mut();
        let server = &mut *server;
        server.data.tick();
        if !(events.is_empty() && buffers.again.is_empty()) {
            for index in std::mem::take(&mut buffers.again) {
                // Its end may have been announced already.
                server.read(index, true, buffers);
            }
            for event in events {
                let (index, flags) = (event.data.u64() as usize, event.flags);
                let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                if flags.contains(epoll::EventFlags::OUT) {
                    server.write_on(index, buffers);
                }
                if flags.intersects(epoll::EventFlags::IN | ends) {
                    server.read(index, flags.intersects(ends), buffers);
                }
                let broken = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                if flags.intersects(broken) && server.clients.get(index).is_some_and(|client| client.stalled)
                {
                    // It waits for somebody who will read nothing any more.
                    server.close(index);
                }
            }
        }
        server.cron_if_due();
        server.data.expire_briefly();
        let evicts = server.data.go_on_evicting();
        server.replicate();
        let sends = server.send_records();
        let saves = server.go_on_saving();
        server.release_waiting(buffers);
        server.write_addressed(buffers);
        evicts || sends || saves
    }
}

impl Server {
    /// Reads from a client and executes what came.
    fn read(&mut self, index: usize, ends: bool, buffers: &mut Buffers) {
        loop {
            let Some(client) = self.clients.get_mut(index) else { return };
            if client.stalled || client.waits_for.is_some() {
                return;
            }
            let Some(stream) = client.stream.as_mut() else { return };
            let count = match stream.read(&mut buffers.input) {
                Ok(0) => return self.close(index),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.close(index),
            };
            client.last_ms = self.data.clock.now_ms();
            self.data.clock.start();
            self.totals.bytes_in += count as u64;
            self.take_in(index, count, buffers);
            if count == READ_SIZE {
                // There may be more, after the others.
                buffers.again.push(index);
                return;
            }
            // Less than there was room for was all there was; only the end may follow, which has an event already.
            if !ends {
                return;
            }
        }
    }

    /// Executes what was read, and keeps what is not a whole command yet.
    fn take_in(&mut self, index: usize, count: usize, buffers: &mut Buffers) {
        let Some(client) = self.clients.get_mut(index) else { return };
        match client.partial.take() {
            None => {
                let (input, mut parser) =
                    (std::mem::take(&mut buffers.input), std::mem::take(&mut buffers.parser));
                let used = self.execute_all(index, &input[..count], &mut parser, buffers);
                if let Some(used) = used
                    && used < count
                    && let Some(client) = self.clients.get_mut(index)
                {
                    let input = input[used..count].to_vec();
                    client.partial = Some(Box::new(Partial { input, parser: std::mem::take(&mut parser) }));
                }
                (buffers.input, buffers.parser) = (input, parser);
            }
            Some(mut partial) => {
                partial.input.extend_from_slice(&buffers.input[..count]);
                self.go_on(index, partial, buffers);
            }
        }
    }

    /// Executes what is kept of a client.
    fn go_on(&mut self, index: usize, mut partial: Box<Partial>, buffers: &mut Buffers) {
        let used = self.execute_all(index, &partial.input, &mut partial.parser, buffers);
        let Some(used) = used else { return };
        if used == partial.input.len() {
            return;
        }
        partial.input.drain(..used);
        if partial.input.capacity() > 4 * READ_SIZE && partial.input.len() < partial.input.capacity() / 4 {
            partial.input.shrink_to(READ_SIZE);
        }
        let is_large = partial.input.len() > READ_SIZE;
        if let Some(client) = self.clients.get_mut(index) {
            client.partial = Some(partial);
        }
        if is_large {
            self.bound_buffers();
        }
    }

    /// Executes the commands at the start of `input` and answers; how much of it they were, or none where the client is
    /// gone.
    fn execute_all(
        &mut self,
        index: usize,
        input: &[u8],
        parser: &mut Parser,
        buffers: &mut Buffers,
    ) -> Option<usize> {
        let mut used = 0;
        loop {
            let (mut over, mut waits) = (false, false);
            while buffers.out.len() < OUTPUT_SIZE {
                let limits =
                    if self.clients.get(index)?.stranger { &Limits::STRANGER } else { &Limits::STORE };
                match parser.read(&input[used..], limits) {
                    Ok(None) => break,
                    Ok(Some(length)) => {
                        if !parser.arguments().is_empty() {
                            execute(self, index, &input[used..], parser.arguments(), &mut buffers.out);
                        }
                        used += length;
                        let client = self.clients.get(index);
                        over = client.is_none_or(|client| client.over);
                        waits = client.is_some_and(|client| client.waits_for.is_some());
                        if over || waits {
                            break;
                        }
                    }
                    Err(error) => {
                        // It is another client's next.
                        *parser = Parser::default();
                        Writer::new(&mut buffers.out, false).error(&format!("ERR {error}"));
                        over = true;
                        break;
                    }
                }
            }
            let is_full = buffers.out.len() >= OUTPUT_SIZE;
            self.drag.pull();
            self.answer(index, &mut buffers.out);
            if over {
                self.close(index);
                return None;
            }
            let client = self.clients.get_mut(index)?;
            if !is_full || waits {
                return Some(used);
            }
            if !client.pending.is_empty() {
                client.stalled = true;
                return Some(used);
            }
        }
    }

    /// Writes answers, as far as the client takes them; what it does not take is pending.
    fn answer(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(client) = self.clients.get_mut(index) else { return out.clear() };
        let mut written = 0;
        if client.pending.is_empty()
            && let Some(stream) = client.stream.as_mut()
        {
            match write(stream, out) {
                Ok(count) => written = count,
                Err(_) => {
                    out.clear();
                    return self.close(index);
                }
            }
        }
        self.totals.bytes_out += written as u64;
        client.pending.extend_from_slice(&out[written..]);
        let is_owed = written < out.len();
        let is_large = is_owed && client.pending.len() > OUTPUT_SIZE;
        out.clear();
        // One wide answer must not keep its memory for ever.
        out.shrink_to(OUTPUT_SIZE);
        if is_owed {
            self.bound_output(index);
        }
        if is_large {
            self.bound_buffers();
        }
    }

    /// Writes what is pending, and goes on with the client if it had to wait for that.
    fn write_on(&mut self, index: usize, buffers: &mut Buffers) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if client.pending.is_empty() {
            return;
        }
        if let Some(stream) = client.stream.as_mut() {
            let Ok(written) = write(stream, &client.pending[client.written..]) else {
                return self.close(index);
            };
            self.totals.bytes_out += written as u64;
            client.written += written;
        }
        if client.written < client.pending.len() {
            return;
        }
        client.pending = Vec::new();
        client.written = 0;
        client.over_soft_limit_since_ms = None;
        if std::mem::take(&mut client.stalled) {
            if let Some(partial) = client.partial.take() {
                self.go_on(index, partial, buffers);
            }
            buffers.again.push(index);
        }
    }

    /// Answers those that waited for copies long enough, and goes on with them.
    fn release_waiting(&mut self, buffers: &mut Buffers) {
        for index in std::mem::take(&mut self.waiting) {
            let awaited = self.clients.get(index).and_then(|client| client.waits_for);
            let Some(Awaited { offset, wanted, until_ms }) = awaited else { continue };
            let have = self.copies_with(offset) as u64;
            if have < wanted && until_ms.is_none_or(|until| self.data.clock.now_ms() < until) {
                self.waiting.push(index);
                continue;
            }
            self.send(index, format!(":{have}\r\n").as_bytes());
            let Some(client) = self.clients.get_mut(index) else { continue };
            client.waits_for = None;
            if let Some(partial) = client.partial.take() {
                self.go_on(index, partial, buffers);
            }
            buffers.again.push(index);
        }
    }

    /// Writes to clients what others gave them to send, and closes those that do not keep up.
    fn write_addressed(&mut self, buffers: &mut Buffers) {
        for index in std::mem::take(&mut self.addressed) {
            self.write_on(index, buffers);
            self.bound_output(index);
        }
    }
}

/// How much the kernel took.
///
/// # Errors
/// Where the connection is broken.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
