//! Varnish, and the model of its storage.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sim::http_cache::contents::{Answer, Lifetime};
use sim::http_cache::{Contents, Lookup, Settings};

use crate::trace;

const OBJECTS: u64 = 20_000;
/// Requests under way on the one connection.
const BATCH: usize = 32;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Requests in the trace.
    pub requests: usize,
    /// Of Zipf's law.
    pub exponent: f64,
    /// Share of all bodies that the storage holds.
    pub share: f64,
    /// How long an object is fresh.
    pub ttl_seconds: u64,
    /// How long it is served after that.
    pub grace_seconds: u64,
}

/// The rows of the table.
pub fn cells() -> Vec<Cell> {
    let lasting = Cell { requests: 400_000, exponent: 0.8, share: 0.0, ttl_seconds: 3600, grace_seconds: 0 };
    let mut cells = Vec::new();
    for exponent in [0.8, 1.0] {
        for share in [0.05, 0.2, 0.5] {
            cells.push(Cell { exponent, share, ..lasting });
        }
    }
    // Lifetimes that end within the trace.
    cells.push(Cell { requests: 800_000, share: 0.5, ttl_seconds: 11, ..lasting });
    cells.push(Cell { requests: 800_000, share: 0.2, ttl_seconds: 3, grace_seconds: 30, ..lasting });
    cells
}

/// What both made of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Of hits over the second half, in the server.
    pub real_ratio: f64,
    /// The same in the model.
    pub model_ratio: f64,
    /// Share of requests that met the same on both sides.
    pub alike: f64,
    real_evictions: u64,
    model_evictions: u64,
}

/// Plays a cell and makes its row.
///
/// # Errors
/// Where the server cannot be started or does not answer.
pub fn compare(cell: &Cell) -> std::io::Result<String> {
    let outcome = play(cell)?;
    Ok(format!(
        "| {} | {} | {:.0}% | {} s, {} s | {:.4} | {:.4} | {:+.4} | {:.4} | {}, {} |",
        cell.requests,
        cell.exponent,
        cell.share * 100.0,
        cell.ttl_seconds,
        cell.grace_seconds,
        outcome.real_ratio,
        outcome.model_ratio,
        outcome.model_ratio - outcome.real_ratio,
        outcome.alike,
        outcome.real_evictions,
        outcome.model_evictions,
    ))
}

/// Plays a cell's trace through Varnish, then with the same instants through the model.
///
/// # Errors
/// Where the server cannot be started or does not answer.
pub fn play(cell: &Cell) -> std::io::Result<Outcome> {
    let all: u64 = (0..OBJECTS).map(trace::body_bytes).sum();
    let memory_bytes = (all as f64 * cell.share) as u64;
    let ranks = trace::ranks(OBJECTS, cell.exponent, cell.requests);
    let directory = tempfile::tempdir()?;
    let back_end = serve()?;
    let varnish = Varnish::start(directory.path(), back_end, memory_bytes, cell)?;
    let (met, head_bytes) = varnish.ask(&ranks)?;
    let real_evictions = varnish.counter("MAIN.n_lru_nuked")?;
    drop(varnish);

    let settings = Settings { head_bytes, ..Settings::varnish(memory_bytes, 0) };
    let lifetime = Lifetime { grace_nanos: cell.grace_seconds * 1_000_000_000, keep_nanos: 0 };
    let mut model = Contents::new(settings, &[lifetime]);
    let ttl_nanos = cell.ttl_seconds * 1_000_000_000;
    let (mut hits, mut modelled, mut alike, mut counted) = (0, 0, 0, 0);
    for (i, (rank, (hit, at))) in ranks.iter().zip(&met).enumerate() {
        let now = at.as_nanos() as u64;
        let answer = Answer { ttl_nanos, lifetime: 0, body_bytes: trace::body_bytes(*rank), tags: &[] };
        let modelled_hit = match model.lookup(*rank, now) {
            Lookup::Hit(_) | Lookup::Stale { refresh: false, .. } => true,
            Lookup::Stale { object, refresh: true } => {
                model.keep(object, &answer, now);
                true
            }
            Lookup::Miss { object, .. } => {
                model.keep(object, &answer, now);
                false
            }
            met => return Err(std::io::Error::other(format!("one after the other, nobody meets {met:?}"))),
        };
        if i >= ranks.len() / 2 {
            counted += 1;
            hits += u64::from(*hit);
            modelled += u64::from(modelled_hit);
            alike += u64::from(*hit == modelled_hit);
        }
    }
    let share = |n: u64| n as f64 / counted as f64;
    Ok(Outcome {
        real_ratio: share(hits),
        model_ratio: share(modelled),
        alike: share(alike),
        real_evictions,
        model_evictions: model.counts().evictions,
    })
}

/// The server's name for itself.
///
/// # Errors
/// Where it is not installed.
pub fn version() -> std::io::Result<String> {
    let output = Command::new("varnishd").arg("-V").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    Ok(text.split([' ', '(', ')']).find(|word| word.starts_with("varnish-")).unwrap_or("Varnish").to_owned())
}

/// A back end that gives each `/key` a body of its size. Ends with the process.
fn serve() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_all(stream));
        }
    });
    Ok(port)
}

fn answer_all(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut key = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("GET /") {
            key = rest.split(' ').next().and_then(|key| key.parse().ok()).unwrap_or(0);
        }
        if line == "\r\n" {
            let size = trace::body_bytes(key);
            // The length is padded, so that all heads are equally long.
            let pad = 10 - size.to_string().len();
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nX-Pad: {:x<pad$}\r\nContent-Length: {size}\r\n\r\n", "");
            answer.extend(std::iter::repeat_n('x', size as usize));
            writer.write_all(answer.as_bytes())?;
        }
    }
}

/// A running server; killed when dropped.
struct Varnish {
    process: Child,
    directory: String,
    port: u16,
}

impl Drop for Varnish {
    fn drop(&mut self) {
        // The manager ends its child when it is asked to.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
    }
}

impl Varnish {
    fn start(directory: &Path, back_end: u16, memory_bytes: u64, cell: &Cell) -> std::io::Result<Self> {
        let vcl = directory.join("test.vcl");
        std::fs::write(
            &vcl,
            format!(
                "vcl 4.1;\nbackend default {{ .host = \"127.0.0.1\"; .port = \"{back_end}\"; }}\n\
                 sub vcl_backend_response {{ set beresp.ttl = {}s; set beresp.grace = {}s; set beresp.keep = 0s; \
                 return (deliver); }}\n",
                cell.ttl_seconds, cell.grace_seconds
            ),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let state = directory.join("state");
        let process = Command::new("varnishd")
            .arg("-F")
            .args(["-j", "none", "-f"])
            .arg(&vcl)
            .arg("-n")
            .arg(&state)
            .args(["-a", &format!("127.0.0.1:{port}"), "-s", &format!("malloc,{memory_bytes}")])
            .args(["-p", "thread_pools=1", "-p", "feature=+http2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let varnish = Self { process, directory: state.display().to_string(), port };
        let patience = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > patience {
                return Err(std::io::Error::other("varnishd did not start within 30 s"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(varnish)
    }

    /// Asks for each in turn: whether it was a hit, and when the answer came; and what an object's head takes.
    fn ask(&self, ranks: &[u64]) -> std::io::Result<(Vec<(bool, Duration)>, u64)> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::with_capacity(1 << 20, stream);
        let start = Instant::now();
        let mut met = Vec::with_capacity(ranks.len());
        // The trace's first alone, to see what it takes.
        let first = &ranks[..1];
        let rest = &ranks[1..];
        let mut head_bytes = 0;
        for batch in std::iter::once(first).chain(rest.chunks(BATCH)) {
            let text: String =
                batch.iter().map(|rank| format!("GET /{rank} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
            writer.write_all(text.as_bytes())?;
            for _ in batch {
                let hit = read_answer(&mut reader)?;
                met.push((hit, start.elapsed()));
            }
            if head_bytes == 0 {
                std::thread::sleep(Duration::from_millis(1500));
                head_bytes = self.counter("SMA.s0.g_bytes")?.saturating_sub(trace::body_bytes(ranks[0]));
                if head_bytes == 0 {
                    return Err(std::io::Error::other("the first object is not in the storage"));
                }
            }
        }
        Ok((met, head_bytes))
    }

    fn counter(&self, name: &str) -> std::io::Result<u64> {
        let output = Command::new("varnishstat").args(["-1", "-n", &self.directory, "-f", name]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.split_whitespace()
            .nth(1)
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| std::io::Error::other(format!("varnishstat does not know {name}: {text}")))
    }
}

/// Reads an answer; whether the cache had it: `X-Varnish` then names the request that fetched it too.
fn read_answer(reader: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    let (mut hit, mut length, mut line) = (false, 0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other("Varnish closed the connection"));
        }
        if let Some(ids) = line.strip_prefix("X-Varnish: ") {
            hit = ids.trim().contains(' ');
        } else if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        } else if line.starts_with("HTTP/1.1 5") {
            return Err(std::io::Error::other(format!("Varnish answers {}", line.trim())));
        } else if line == "\r\n" {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
            return Ok(hit);
        }
    }
}
