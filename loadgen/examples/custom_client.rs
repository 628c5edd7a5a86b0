//! Drives something that does not speak HTTP: a key-value store by Redis's protocol, over a client of the example's own. The
//! pacing and the record are those of every run, and so `report render` draws it.
//!
//! `cargo run --release -p loadgen --example custom_client -- 127.0.0.1:6379`; without an address it brings a small store along.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;

use loadgen::{Client, Clients, Entries, Job, Options, Request};
use results::{Failure, Provenance, Scope};
use scenarios::Scenario;
use scenarios::scenario::TrafficId;

const SCENARIO: &str = r#"
title = "Reads and writes of a store"
[run]
duration = "3s"
[hosts.data]
[components.store]
kind = "kv-store"
host = "data"
[components.front]
kind = "service"
host = "data"
workers = 1
[keyspaces.products]
in = "store"
keys = 10_000
popularity = "zipf(0.9)"
[requests.read]
path = "/products/{products}"
[requests.write]
method = "PUT"
path = "/products/{products}"
[traffic.shoppers]
to = "front"
executor = "constant-arrival-rate"
rate = "500/s"
mix = { read = 9, write = 1 }
connections = 8
timeout = "1s"
[thresholds]
response_time = ["p(99)<50ms"]
"#;

#[derive(Debug)]
struct Stores(SocketAddr);

impl Clients for Stores {
    fn connect(&self, _: TrafficId) -> Result<Box<dyn Client>, Failure> {
        let stream = TcpStream::connect(self.0).map_err(|_| Failure::Refused)?;
        stream.set_nodelay(true).map_err(|_| Failure::Refused)?;
        Ok(Box::new(Store(BufReader::new(stream))))
    }
}

struct Store(BufReader<TcpStream>);

impl Client for Store {
    fn call(&mut self, request: &Request) -> Result<(), Failure> {
        let lost = |_| Failure::Reset;
        let key = request.keys[0];
        self.0.get_ref().set_read_timeout(Some(request.timeout)).map_err(lost)?;
        let command = match request.class.as_str() {
            "read" => format!("GET products:{key}\r\n"),
            _ => format!("SET products:{key} {}\r\n", request.id.0),
        };
        self.0.get_mut().write_all(command.as_bytes()).map_err(lost)?;
        let mut line = String::new();
        if self.0.read_line(&mut line).map_err(|_| Failure::Timeout)? == 0 {
            return Err(Failure::Reset);
        }
        match line.split_at_checked(1) {
            Some(("+", _)) | Some(("$", "-1\r\n")) => Ok(()),
            Some(("$", length)) => {
                let length: usize = length.trim().parse().map_err(|_| Failure::Malformed)?;
                let mut value = vec![0; length + 2];
                self.0.read_exact(&mut value).map_err(|_| Failure::Truncated)
            }
            Some(("-", _)) => Err(Failure::Status),
            _ => Err(Failure::Malformed),
        }
    }
}

/// A store that is as small as can be: a map, and a thread per client.
fn small_store() -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let values: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let values = Arc::clone(&values);
            thread::spawn(move || {
                let mut lines = BufReader::new(stream);
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    let mut values = values.lock().expect("no thread panics with the lock");
                    let answer = match words[..] {
                        ["GET", key] => match values.get(key) {
                            Some(value) => format!("${}\r\n{value}\r\n", value.len()),
                            None => "$-1\r\n".to_owned(),
                        },
                        ["SET", key, value] => {
                            values.insert(key.to_owned(), value.to_owned());
                            "+OK\r\n".to_owned()
                        }
                        _ => "-ERR unknown command\r\n".to_owned(),
                    };
                    drop(values);
                    if lines.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    Ok(address)
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).map_or_else(small_store, |text| Ok(text.parse()?))?;
    let scenario = Scenario::parse("store.toml", SCENARIO)?;
    let directory = std::env::temp_dir().join(format!("rehearsal-custom-client-{}", std::process::id()));
    let job = Job {
        scenario: &scenario,
        entries: &Entries { by_traffic: vec![Vec::new()], base_path: String::new(), tls: None },
        options: Options::default(),
        directory: &directory,
        provenance: Provenance::here("a client of the library"),
        stop: &AtomicBool::new(false),
    };
    let record = loadgen::run_over(job, Arc::new(Stores(address)), None, &mut |_| {})?;
    let all = record.tally(Scope::Run, None);
    let p99 = all.response_times().percentile(99.0).unwrap_or(f64::NAN) * 1e3;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} due, {} good, {} failed; response_time p99 {p99:.3} ms",
        all.due(),
        all.ok,
        all.failed()
    )?;
    writeln!(out, "exit code {}, record in {}", record.exit_code(), directory.display())?;
    Ok(())
}
