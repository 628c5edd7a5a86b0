//! A server that does nothing but answer: what a generator reaches against it is the generator's own limit.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::clock::{monotonic_nanos, thread_cpu_nanos};
use crate::engine::poller::Poller;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// What the listener's edges are known by.
const LISTENER: u64 = u64::MAX - 1;
/// How soon the end is noticed.
const LOOK_NANOS: u64 = 50_000_000;

/// A null server in a thread of its own, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct NullServer {
    pub(super) address: SocketAddr,
    stop: Arc<AtomicBool>,
    cpu_nanos: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl NullServer {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, cpu_nanos) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, used) = (Arc::clone(&stop), Arc::clone(&cpu_nanos));
        let thread = std::thread::Builder::new().name("null-server".to_owned());
        let thread = thread.spawn(move || serve(&listener, &stopped, &used))?;
        Ok(Self { address, stop, cpu_nanos, thread: Some(thread) })
    }

    /// Processor time that it has used, in nanoseconds, as of some milliseconds ago.
    pub(super) fn cpu_nanos(&self) -> u64 {
        self.cpu_nanos.load(Ordering::Relaxed)
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it served was counted by the client; its own end is no news.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool, used: &AtomicU64) -> io::Result<()> {
    let mut poller = Poller::new()?;
    poller.add(listener, LISTENER)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    while !stop.load(Ordering::Relaxed) {
        poller.wait(monotonic_nanos() + LOOK_NANOS)?;
        while let Some(edge) = poller.next() {
            if edge.token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    poller.add(&stream, streams.len() as u64)?;
                    streams.push(Some(stream));
                }
                continue;
            }
            let place = &mut streams[edge.token as usize];
            if edge.readable && place.as_mut().is_some_and(|stream| !answer(stream, &mut buffer)) {
                *place = None;
            }
        }
        used.store(thread_cpu_nanos(), Ordering::Relaxed);
    }
    Ok(())
}

/// Answers what has come; `false` where the connection is over. Clients have one short request under way at a time, which
/// comes in one piece.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(_) => stream.write_all(ANSWER).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}
