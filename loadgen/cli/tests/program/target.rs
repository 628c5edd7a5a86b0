//! A server of the test's own, and a scenario to play against it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::Place;

/// A hundred requests a second.
const SCENARIO: &str = r#"title = "A target"
[run]
duration = "DURATION"
warmup = "500ms"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 8
[requests.page]
path = "/"
[[requests.page.steps]]
work = "1ms"
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
arrivals = "uniform"
rate = "100/s"
mix = { page = 1 }
connections = 16
timeout = "2s"
"#;

/// A server that answers everything. Its threads end with the process.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Target {
    /// One that answers at once.
    pub(crate) fn quick() -> Self {
        Self::taking(Duration::ZERO)
    }

    /// One that takes so long for each request, one after the other.
    pub(crate) fn taking(time: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let answered = Arc::new(AtomicU64::new(0));
        let (counted, turn) = (Arc::clone(&answered), Arc::new(Mutex::new(())));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counted, turn) = (Arc::clone(&counted), Arc::clone(&turn));
                thread::spawn(move || answer(stream, &counted, (&turn, time)));
            }
        });
        Self { address, answered }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same through a socket in the file system.
    pub(crate) fn through(&self, socket: &Path) {
        let (listener, address) = (UnixListener::bind(socket).expect("a free name"), self.address);
        thread::spawn(move || {
            for mut near in listener.incoming().flatten() {
                let mut far = TcpStream::connect(address).expect("it listens");
                let mut back = near.try_clone().expect("a socket can be shared");
                let mut answers = far.try_clone().expect("a socket can be shared");
                thread::spawn(move || std::io::copy(&mut answers, &mut back));
                thread::spawn(move || std::io::copy(&mut near, &mut far));
            }
        });
    }

    /// How many requests it has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream, answered: &AtomicU64, (turn, time): (&Mutex<()>, Duration)) {
    stream.set_nodelay(true).expect("a connected socket takes options");
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..read]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        if !time.is_zero() {
            let _turn = turn.lock().expect("nobody panics with it");
            thread::sleep(time);
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Place {
    /// Writes the scenario, lasting so long, with further lines.
    pub(crate) fn target(&self, duration: &str, more: &str) {
        let text = SCENARIO.replace("DURATION", duration) + more;
        fs::write(self.directory.path().join("target.toml"), text).expect("it can be written");
    }

    /// The same with another executor.
    pub(crate) fn target_with(&self, duration: &str, executor: &str) {
        let (before, _) = SCENARIO.split_once("executor").expect("it has one");
        let text = before.replace("DURATION", duration) + executor + "\n";
        fs::write(self.directory.path().join("target.toml"), text).expect("it can be written");
    }
}
