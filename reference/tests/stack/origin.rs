//! A server that a test writes byte by byte, and a proxy alone before it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::room::{WAIT, connect, shop};

/// Answers what the test says, and remembers what it was asked.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What an origin does for a request.
pub(crate) enum Act {
    /// Answers so.
    Answer(Vec<u8>),
    /// Answers so, and closes the connection without having said that it would.
    AnswerAndClose(Vec<u8>),
    /// Answers so before the body came, ends its side, and reads the rest away: if it closed at once, the reset could
    /// overtake the answer.
    AnswerEarly(Vec<u8>),
    /// Answers so before the body came, and reads no more, but leaves the connection open.
    AnswerAndStop(Vec<u8>),
}

/// An answer of this body.
pub(crate) fn ok(body: &str) -> Act {
    Act::Answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

impl Origin {
    /// Listens; every request is answered by what its head says.
    pub(crate) fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (act, seen) = (Arc::new(act), Arc::clone(&requests));
        // The threads end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, seen) = (Arc::clone(&act), Arc::clone(&seen));
                std::thread::spawn(move || serve(&stream, &*act, &seen));
            }
        });
        Self { address, requests }
    }

    /// The heads of the requests so far, with their bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no holder panics").clone()
    }
}

/// Serves a connection; none at its end.
fn serve(stream: &TcpStream, act: &dyn Fn(&str) -> Act, seen: &Mutex<Vec<String>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let what = act(&head);
        if let Act::AnswerEarly(bytes) = &what {
            writer.write_all(bytes).ok()?;
            stream.shutdown(Shutdown::Write).ok()?;
            std::io::copy(&mut reader, &mut std::io::sink()).ok()?;
            return None;
        }
        if let Act::AnswerAndStop(bytes) = &what {
            writer.write_all(bytes).ok()?;
            loop {
                std::thread::park();
            }
        }
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        if lower.contains("transfer-encoding: chunked") {
            while !body.ends_with(b"0\r\n\r\n") {
                body.push(0);
                let last = body.len() - 1;
                reader.read_exact(&mut body[last..]).ok()?;
            }
        }
        seen.lock().expect("no holder panics").push(head + &String::from_utf8_lossy(&body));
        match what {
            Act::Answer(bytes) => writer.write_all(&bytes).ok()?,
            Act::AnswerAndClose(bytes) | Act::AnswerEarly(bytes) | Act::AnswerAndStop(bytes) => {
                writer.write_all(&bytes).ok()?;
                return stream.shutdown(Shutdown::Both).ok();
            }
        }
    }
}

/// A proxy or a cache that runs alone.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    /// Before these servers; `settings` are further lines of the balancer.
    pub(crate) fn start(settings: &str, servers: &[SocketAddr]) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let scenario = shop(settings, "workers = 4", WAIT, &[]);
        file.write_all(scenario.source.text.as_bytes()).expect("written");
        Self::of(file.path(), "balancer", servers)
    }

    /// A component of a scenario before these servers. It has read the file when this returns.
    pub(crate) fn of(scenario: &Path, component: &str, servers: &[SocketAddr]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference"));
        command.arg("proxy").arg(scenario).args([component, "--listen", "127.0.0.1:0"]);
        for server in servers {
            command.args(["--to", &server.to_string()]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the proxy starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        Self { child, address: address.expect("an address at the end") }
    }

    /// The most memory that it has had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says it");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// Sends bytes over a connection of its own and reads all that comes back, until the proxy closes it.
    pub(crate) fn tell(&self, bytes: &[u8]) -> String {
        let mut stream = connect(self.address).expect("the proxy accepts");
        // One that refuses early may have closed its side already.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status in the first line of an answer.
pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}
