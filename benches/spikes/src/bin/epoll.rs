//! httparse on a loop of our own over `epoll`: no futures, a state machine a pair of connections.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, Socket, Type};
use spikes::{CACHED, arguments, object};

/// What a socket is, by the upper half of its token; the lower half says which.
const LISTENER: u64 = 0;
const CLIENT: u64 = 1 << 32;
const UPSTREAM: u64 = 2 << 32;

struct Client {
    fd: OwnedFd,
    input: Vec<u8>,
}

struct Upstream {
    fd: OwnedFd,
    /// The client that it works for, and how much of the answer is to come.
    client: usize,
    input: Vec<u8>,
}

struct Loop {
    epoll: OwnedFd,
    listener: Socket,
    upstream: SocketAddr,
    clients: Vec<Option<Client>>,
    upstreams: Vec<Upstream>,
    idle: Vec<usize>,
    object: Vec<u8>,
    piece: Vec<u8>,
    out: Vec<u8>,
}

fn write_field(field: &httparse::Header<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(field.name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(field.value);
    out.extend_from_slice(b"\r\n");
}

impl Loop {
    fn watch(&self, fd: &OwnedFd, token: u64) {
        let flags = EventFlags::IN | EventFlags::RDHUP;
        epoll::add(&self.epoll, fd, EventData::new_u64(token), flags).expect("watched");
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true).expect("an open socket");
            socket.set_tcp_nodelay(true).expect("an open socket");
            let fd = OwnedFd::from(socket);
            self.watch(&fd, CLIENT + self.clients.len() as u64);
            self.clients.push(Some(Client { fd, input: Vec::with_capacity(8192) }));
        }
    }

    fn from_client(&mut self, index: usize) {
        let Some(client) = &mut self.clients[index] else { return };
        let n = match recv(&client.fd, &mut self.piece[..], RecvFlags::empty()) {
            Ok((n, _)) => n,
            Err(Errno::AGAIN) => return,
            Err(_) => 0,
        };
        if n == 0 {
            self.clients[index] = None;
            return;
        }
        client.input.extend_from_slice(&self.piece[..n]);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(used)) = request.parse(&client.input) else { return };
        self.out.clear();
        if request.path == Some(CACHED) {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1024\r\n\r\n";
            self.out.extend_from_slice(head);
            self.out.extend_from_slice(&self.object);
            client.input.drain(..used);
            let _ = send(&client.fd, &self.out, SendFlags::NOSIGNAL);
            return;
        }
        self.out.extend_from_slice(request.method.unwrap_or("").as_bytes());
        self.out.push(b' ');
        self.out.extend_from_slice(request.path.unwrap_or("").as_bytes());
        self.out.extend_from_slice(b" HTTP/1.1\r\n");
        request.headers.iter().for_each(|field| write_field(field, &mut self.out));
        self.out.extend_from_slice(b"x-forwarded-for: 127.0.0.1\r\n\r\n");
        client.input.drain(..used);
        let to = self.idle.pop().unwrap_or_else(|| self.connect());
        self.upstreams[to].client = index;
        // A spike: what does not fit into the socket's buffer at once is not sent.
        let _ = send(&self.upstreams[to].fd, &self.out, SendFlags::NOSIGNAL);
    }

    fn connect(&mut self) -> usize {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.connect(&self.upstream.into()).expect("the upstream listens");
        socket.set_nonblocking(true).expect("an open socket");
        socket.set_tcp_nodelay(true).expect("an open socket");
        let fd = OwnedFd::from(socket);
        self.watch(&fd, UPSTREAM + self.upstreams.len() as u64);
        self.upstreams.push(Upstream { fd, client: 0, input: Vec::with_capacity(8192) });
        self.upstreams.len() - 1
    }

    fn from_upstream(&mut self, index: usize) {
        let upstream = &mut self.upstreams[index];
        let n = match recv(&upstream.fd, &mut self.piece[..], RecvFlags::empty()) {
            Ok((n, _)) => n,
            Err(Errno::AGAIN) => return,
            Err(_) => 0,
        };
        assert!(n > 0, "an upstream of the spike stays");
        upstream.input.extend_from_slice(&self.piece[..n]);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(head)) = response.parse(&upstream.input) else { return };
        let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
        let length = length.map_or(0, |h| {
            std::str::from_utf8(h.value).expect("digits").parse::<usize>().expect("a length")
        });
        if upstream.input.len() < head + length {
            return;
        }
        self.out.clear();
        self.out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        let passed = response.headers.iter().filter(|h| !h.name.eq_ignore_ascii_case("connection"));
        passed.for_each(|field| write_field(field, &mut self.out));
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(&upstream.input[head..head + length]);
        upstream.input.clear();
        self.idle.push(index);
        if let Some(client) = &self.clients[upstream.client] {
            let _ = send(&client.fd, &self.out, SendFlags::NOSIGNAL);
        }
    }
}

fn main() {
    let (listen, upstream) = arguments();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.set_reuse_address(true).expect("an open socket");
    listener.bind(&listen.into()).expect("the address is free");
    listener.listen(4096).expect("it listens");
    listener.set_nonblocking(true).expect("an open socket");
    let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll descriptor");
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).expect("watched");
    let mut this = Loop {
        epoll,
        listener,
        upstream,
        clients: Vec::new(),
        upstreams: Vec::new(),
        idle: Vec::new(),
        object: object(),
        piece: vec![0; 65536],
        out: Vec::new(),
    };
    let mut events = vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 256];
    loop {
        let n = match epoll::wait(&this.epoll, &mut events[..], None) {
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(error) => panic!("epoll: {error}"),
        };
        for event in &events[..n] {
            let token = event.data.u64();
            let index = (token & 0xffff_ffff) as usize;
            match token >> 32 {
                0 => this.accept(),
                1 => this.from_client(index),
                _ => this.from_upstream(index),
            }
        }
    }
}
