//! One trace of keys, played against a real redis-server and through the simulator's contents of a store.
//!
//! The trace is Zipf's law over a universe of keys, read with GETs in small pipelined batches at a steady pace; what was
//! missed is written with SETs right after each batch. Redis's clocks tick in seconds and minutes, so the pace and the
//! phase matter: the simulator plays each batch at the time, and at the time of day, at which the server got it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use scenarios::memory::{record_bytes, table_bytes};
use scenarios::plan::zipf::Zipf;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Eviction;
use scenarios::units::Seed;
use sim::kv_store::{Contents, EXPIRY_NANOS, Rules};

const TRACE: Purpose = Purpose::named("redis-fidelity-trace");
const SAMPLING: Purpose = Purpose::named("redis-fidelity-sampling");
const VALUE_BYTES: u64 = 100;
/// All names have a number of this many digits.
const NAME_BYTES: u64 = 9;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) policy: Eviction,
    pub(crate) samples: u32,
    /// How many cache keys there are, and for how many there is room.
    pub(crate) keys: u64,
    pub(crate) room: u64,
    /// Keys without a lifetime beside them, which policies of lifetimes pass over.
    pub(crate) standing: u64,
    pub(crate) exponent: f64,
    pub(crate) requests: u64,
    pub(crate) rate: u64,
    pub(crate) batch: u64,
    /// The shortest and the longest lifetime, in seconds.
    pub(crate) lifetime: (u64, u64),
}

impl Cell {
    /// The limit on records and tables.
    fn max_bytes(&self) -> u64 {
        let cached = self.room * record_bytes(NAME_BYTES, VALUE_BYTES, true);
        let standing = self.standing * record_bytes(NAME_BYTES, VALUE_BYTES, false);
        cached + standing + table_bytes(self.room + self.standing) + table_bytes(self.room)
    }

    /// The key of each request.
    fn trace(&self) -> impl Iterator<Item = u64> {
        let zipf = Zipf::new(self.keys, self.exponent);
        let mut stream = Stream::new(Seed(1), TRACE, 0);
        std::iter::repeat_with(move || zipf.sample(&mut stream)).take(self.requests as usize)
    }

    /// The lifetime of what the n-th SET writes, in milliseconds.
    fn lifetime_millis(&self, n: u64) -> u64 {
        let (shortest, longest) = (self.lifetime.0 * 1_000, self.lifetime.1 * 1_000);
        let mut stream = Stream::new(Seed(1), TRACE.of(1), n);
        shortest + stream.below((longest - shortest).max(1))
    }
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Played {
    /// Hits over the second half of the requests, as a share.
    pub(crate) hit_ratio: f64,
    /// Cache keys at the end.
    pub(crate) keys: u64,
    /// When each batch was sent, in nanoseconds since the start; the prefill's batches come first.
    pub(crate) batches: Vec<u64>,
    /// What the clock said at the start, in nanoseconds since 1970.
    pub(crate) clock_offset_nanos: u64,
}

/// A server of its own, on a socket in a directory of its own.
pub(crate) struct Server {
    process: Child,
    _directory: tempfile::TempDir,
    stream: BufReader<UnixStream>,
    out: Vec<u8>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts `redis-server`; none where there is none to be found.
    pub(crate) fn start(cell: &Cell) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("redis.sock");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(directory.path())
            .args(["--maxmemory-policy", cell.policy.name()])
            .args(["--maxmemory-samples", &cell.samples.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => panic!("redis-server does not listen: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let stream = BufReader::with_capacity(1 << 16, stream);
        Some(Self { process, _directory: directory, stream, out: Vec::new() })
    }

    fn command(&mut self, words: &[&str]) {
        let _ = write!(self.out, "*{}\r\n", words.len());
        for word in words {
            let _ = write!(self.out, "${}\r\n{word}\r\n", word.len());
        }
    }

    fn send(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next reply: the text of a bulk string, none of a null, else the line without its first character.
    fn reply(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let text = line.trim_end();
        match text.split_at_checked(1) {
            Some(("$", "-1")) => Ok(None),
            Some(("$", length)) => {
                let length: usize = length.parse().map_err(io::Error::other)?;
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(length);
                String::from_utf8(bytes).map(Some).map_err(io::Error::other)
            }
            Some(("+" | ":", rest)) => Ok(Some(rest.to_owned())),
            _ => Err(io::Error::other(format!("the server said {text:?}"))),
        }
    }

    fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        self.command(words);
        self.send()?;
        self.reply().map(Option::unwrap_or_default)
    }

    fn used_memory(&mut self) -> io::Result<u64> {
        let info = self.ask(&["INFO", "memory"])?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.parse().ok()).ok_or_else(|| io::Error::other("no used_memory"))
    }

    /// Writes keys in one batch; `lifetimes` gives that of each, in milliseconds.
    fn set(&mut self, keys: &[u64], mut lifetimes: impl FnMut() -> Option<u64>) -> io::Result<()> {
        let value = "v".repeat(VALUE_BYTES as usize);
        for &key in keys {
            let name = name(key);
            match lifetimes() {
                Some(millis) => self.command(&["SET", &name, &value, "PX", &millis.to_string()]),
                None => self.command(&["SET", &name, &value]),
            }
        }
        self.send()?;
        for _ in keys {
            self.reply()?;
        }
        Ok(())
    }

    /// Reads keys in one batch; says of each whether it was there.
    fn get(&mut self, keys: &[u64], mut found: impl FnMut(u64, bool)) -> io::Result<()> {
        for &key in keys {
            self.command(&["GET", &name(key)]);
        }
        self.send()?;
        for &key in keys {
            let there = self.reply()?.is_some();
            found(key, there);
        }
        Ok(())
    }

    /// Plays the trace in real time.
    pub(crate) fn play(&mut self, cell: &Cell) -> io::Result<Played> {
        let batch = cell.batch as usize;
        // After this the connection's buffers are of their lasting size, and each command has the histogram of its latency
        // that Redis makes at its first call: the base holds them.
        let warm: Vec<u64> = (0..cell.batch).map(|i| STANDING + i).collect();
        for _ in 0..20 {
            self.set(&warm, || None)?;
            self.get(&warm, |_, _| {})?;
        }
        self.ask(&["CONFIG", "SET", "maxmemory", "0"])?;
        self.ask(&["DBSIZE"])?;
        self.used_memory()?;
        self.ask(&["FLUSHALL"])?;
        let base = self.used_memory()?;
        let standing: Vec<u64> = (0..cell.standing).map(|i| STANDING + i).collect();
        for keys in standing.chunks(batch) {
            self.set(keys, || None)?;
        }
        self.ask(&["CONFIG", "SET", "maxmemory", &(base + cell.max_bytes()).to_string()])?;
        let mut played = Played::default();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        played.clock_offset_nanos = since_1970.as_nanos() as u64;
        let start = Instant::now();
        let mut sets = 0;
        let mut lifetime = || {
            sets += 1;
            Some(cell.lifetime_millis(sets))
        };
        let prefill: Vec<u64> = (0..cell.room).rev().collect();
        for (n, keys) in prefill.chunks(batch).enumerate() {
            wait(start, PREFILL_EVERY * (n as u32) * (batch as u32));
            played.batches.push(start.elapsed().as_nanos() as u64);
            self.set(keys, &mut lifetime)?;
        }
        let first = start.elapsed();
        let every = Duration::from_nanos(cell.batch * 1_000_000_000 / cell.rate);
        let (mut trace, mut hits, mut asked) = (cell.trace(), 0_u64, 0_u64);
        for n in 0.. {
            let keys: Vec<u64> = trace.by_ref().take(batch).collect();
            if keys.is_empty() {
                break;
            }
            wait(start, first + every * n);
            played.batches.push(start.elapsed().as_nanos() as u64);
            let mut missed = Vec::new();
            self.get(&keys, |key, there| {
                if !there {
                    missed.push(key);
                }
            })?;
            if asked >= cell.requests / 2 {
                hits += (keys.len() - missed.len()) as u64;
            }
            asked += keys.len() as u64;
            if !missed.is_empty() {
                self.set(&missed, &mut lifetime)?;
            }
        }
        played.hit_ratio = hits as f64 / (cell.requests - cell.requests / 2) as f64;
        let keys: u64 = self.ask(&["DBSIZE"])?.parse().map_err(io::Error::other)?;
        played.keys = keys - cell.standing;
        Ok(played)
    }
}

/// Between two keys of the prefill: it takes several of the clock's seconds where it is large, so that it matters little
/// which part of a second the server's clock lags behind (its timer reads it ten times a second).
const PREFILL_EVERY: Duration = Duration::from_micros(20);

fn wait(start: Instant, until: Duration) {
    if let Some(early) = until.checked_sub(start.elapsed()) {
        std::thread::sleep(early);
    }
}

/// Keys from here on have no lifetime.
const STANDING: u64 = 5_000_000;

fn name(key: u64) -> String {
    format!("k:{:07}", key + 1_000_000)
}

/// Plays the trace through the simulator's contents, batch by batch as the server got it. What a server's connection takes
/// moves by some kilobytes, so `more_keys` more (or fewer) are given room.
pub(crate) fn replay(cell: &Cell, real: &Played, seed: u64, more_keys: i64) -> Played {
    let more = more_keys * record_bytes(NAME_BYTES, VALUE_BYTES, true) as i64;
    let rules = Rules {
        max_bytes: cell.max_bytes().saturating_add_signed(more),
        eviction: cell.policy,
        samples: cell.samples,
        clock_offset_nanos: real.clock_offset_nanos,
    };
    let mut contents = Contents::new(&rules, cell.room as usize, Stream::new(Seed(seed), SAMPLING, 0));
    contents.stand(cell.standing, cell.standing * record_bytes(NAME_BYTES, VALUE_BYTES, false));
    let bytes = record_bytes(NAME_BYTES, VALUE_BYTES, true);
    let batch = cell.batch as usize;
    let prefill: Vec<u64> = (0..cell.room).rev().collect();
    let mut prefill = prefill.chunks(batch);
    let (mut trace, mut hits, mut asked, mut sets) = (cell.trace(), 0_u64, 0_u64, 0_u64);
    let mut ticks = EXPIRY_NANOS;
    for &now in &real.batches {
        while ticks <= now {
            contents.tick(ticks);
            ticks += EXPIRY_NANOS;
        }
        contents.expire_before_sleep(now);
        let mut set = |contents: &mut Contents, key: u64| {
            sets += 1;
            let expires = now + cell.lifetime_millis(sets) * 1_000_000;
            contents.write(key + 1, bytes, Some(expires), now);
        };
        if let Some(keys) = prefill.next() {
            keys.iter().for_each(|key| set(&mut contents, *key));
            continue;
        }
        let keys = trace.by_ref().take(batch);
        let mut missed = Vec::new();
        let mut count = 0;
        for key in keys {
            count += 1;
            contents.make_room(now);
            if !contents.read(key + 1, now) {
                missed.push(key);
            }
        }
        if asked >= cell.requests / 2 {
            hits += count - missed.len() as u64;
        }
        asked += count;
        missed.iter().for_each(|key| set(&mut contents, *key));
    }
    let hit_ratio = hits as f64 / (cell.requests - cell.requests / 2) as f64;
    Played { hit_ratio, keys: contents.keys() - cell.standing, ..Played::default() }
}
