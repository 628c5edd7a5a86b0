//! Ten gigabytes of answer: cut at the limit, or when their time is over, and never in memory.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use results::{Failure, RunRecord, Scope};

use crate::support::{Place, until};

const BODY_BYTES: u64 = 10_000_000_000;
/// Zeros sent at once.
const PIECE_BYTES: usize = 1 << 20;
/// The most memory that the generator may take, whatever a server does: 200 MB.
const MOST_KIB: u64 = 200_000_000 / 1024;

/// How a server says its ten gigabytes.
#[derive(Clone, Copy, Debug)]
struct Saying {
    fields: &'static str,
    /// What stands around each piece.
    around: (&'static str, &'static str),
    /// After each piece.
    pause: Duration,
}

impl Saying {
    /// Answers until the client has had enough, or all of it is said; how much of the body that was.
    fn say(self, stream: &mut TcpStream) -> u64 {
        let piece = [self.around.0, &"\0".repeat(PIECE_BYTES), self.around.1].concat();
        let mut said = 0;
        let mut written = stream.write_all(format!("HTTP/1.1 200 OK\r\n{}\r\n", self.fields).as_bytes());
        while written.is_ok() && said < BODY_BYTES {
            written = stream.write_all(piece.as_bytes());
            said += PIECE_BYTES as u64;
            thread::sleep(self.pause);
        }
        said
    }
}

/// A server in threads that end with the process, and the most that it has said to anybody.
fn server(saying: Saying) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let most = Arc::new(AtomicU64::new(0));
    let noted = Arc::clone(&most);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let noted = Arc::clone(&noted);
            thread::spawn(move || {
                // A request fits into one read: nothing of it is looked at.
                if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    noted.fetch_max(saying.say(&mut stream), Ordering::Relaxed);
                }
            });
        }
    });
    (address, most)
}

/// The most memory that a process had so far; none where it is gone.
fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// All answers of a run fail so, with this timeout and these arguments more; the most that was said to anybody.
fn all_fail(kind: Failure, saying: Saying, timeout: &str, more: &[&str]) -> u64 {
    let place = Place::new();
    place.target("1s", "");
    let path = place.directory.path().join("target.toml");
    let text = fs::read_to_string(&path).expect("it was written");
    let text = text.replace("100/s", "4/s").replace("timeout = \"2s\"", &format!("timeout = \"{timeout}\""));
    fs::write(&path, text).expect("it is writable");
    let (address, most) = server(saying);
    let url = format!("http://{address}");
    let arguments = ["run", "target.toml", "--quiet", "--no-report", "--target", &url];
    let mut program = place.start(&[&arguments[..], more].concat());
    let mut peak = 0;
    let status = until("the run is over", || {
        peak = peak.max(peak_kib(program.id()).unwrap_or(0));
        program.try_wait().expect("it was started here")
    });
    // A machine that stood still makes the run invalid.
    assert!(matches!(status.code(), Some(0 | 111)), "{saying:?}: {status}");
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let tally = record.tally(Scope::Run, None);
    assert!((3..=5).contains(&tally.due()), "{saying:?}: {} due", tally.due());
    assert_eq!(tally.failures[kind.index()], tally.due(), "{saying:?}: {:?}", tally.failures);
    assert!((1..MOST_KIB).contains(&peak), "{saying:?}: the generator took {peak} KiB");
    until("the server has noticed", || Some(most.load(Ordering::Relaxed)).filter(|most| *most > 0))
}

#[test]
fn ten_gigabytes_of_answer_are_cut_at_the_limit_and_take_no_memory() {
    let pause = Duration::ZERO;
    for saying in [
        Saying { fields: "", around: ("", ""), pause },
        Saying { fields: "transfer-encoding: chunked\r\n", around: ("100000\r\n", "\r\n"), pause },
    ] {
        let most = all_fail(Failure::TooLarge, saying, "20s", &[]);
        // The limit is 64 MiB; what the kernel holds for both ends is beside it.
        assert!((60_000_000..BODY_BYTES / 10).contains(&most), "{saying:?}: {most} bytes");
    }
}

#[test]
fn ten_gigabytes_that_are_accepted_take_no_memory_until_their_time_is_over() {
    let saying = Saying {
        fields: "content-length: 10000000000\r\n",
        around: ("", ""),
        // Fifty megabytes a second at most.
        pause: Duration::from_millis(20),
    };
    let most = all_fail(Failure::Stalled, saying, "2s", &["--max-body", "20GB"]);
    assert!(most < BODY_BYTES / 10, "{most} bytes");
}
