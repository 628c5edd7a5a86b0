//! How a run stands, for Prometheus to scrape while it goes on.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use loadgen::Snapshot;

/// A reader that is slower is sent away: one at a time is served.
const PATIENCE: Duration = Duration::from_secs(1);

/// An endpoint that shows the last snapshot it was given.
#[derive(Debug)]
pub(crate) struct Metrics {
    last: Arc<Mutex<Snapshot>>,
    address: SocketAddr,
}

impl Metrics {
    /// Listens; the thread that answers ends with the process.
    pub(crate) fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let last = Arc::new(Mutex::new(Snapshot::default()));
        let shown = Arc::clone(&last);
        thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let text = text(&shown.lock().expect("no thread panics with the lock"));
                // Whoever asked may have gone.
                let _ = answer(stream, &text);
            }
        })?;
        Ok(Self { last, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes a snapshot to show.
    pub(crate) fn show(&self, snapshot: &Snapshot) {
        *self.last.lock().expect("no thread panics with the lock") = *snapshot;
    }
}

/// Whatever is asked for is answered with the metrics.
fn answer(mut stream: TcpStream, text: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = [0; 4096];
    let mut read = 0;
    while read < request.len() && !request[..read].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[read..])? {
            0 => return Ok(()),
            n => read += n,
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}

/// The text format of Prometheus, version 0.0.4.
fn text(snapshot: &Snapshot) -> String {
    let pulse = &snapshot.pulse;
    let counts = [
        ("rehearsal_requests_due_total", "Requests that became due.", pulse.planned),
        ("rehearsal_requests_good_total", "Good answers.", pulse.ok),
        ("rehearsal_requests_failed_total", "Failed requests, dropped ones included.", pulse.failed),
        ("rehearsal_retries_total", "Requests sent again after they had failed.", pulse.retries),
    ];
    let states = [
        ("rehearsal_in_flight", "Requests under way.", pulse.under_way),
        ("rehearsal_waiting", "Due requests that wait for a connection.", pulse.queue),
        ("rehearsal_connections", "Open connections.", pulse.connections),
    ];
    let mut text = String::new();
    let counts = counts.iter().map(|(name, help, value)| (name, help, value, "counter"));
    for (name, help, value, kind) in counts.chain(states.iter().map(|(n, h, v)| (n, h, v, "gauge"))) {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            .expect("writing to a string does not fail");
    }
    let name = "rehearsal_response_time_seconds";
    writeln!(text, "# HELP {name} Response times so far, from the due time.\n# TYPE {name} gauge")
        .expect("writing to a string does not fail");
    for (quantile, value) in [("0.5", snapshot.p50), ("0.99", snapshot.p99)] {
        let value = match value {
            Some(seconds) if seconds.is_infinite() => "+Inf".to_owned(),
            Some(seconds) => seconds.to_string(),
            None => "NaN".to_owned(),
        };
        writeln!(text, "{name}{{quantile=\"{quantile}\"}} {value}")
            .expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_snapshot_is_served() {
        let metrics =
            Metrics::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a loopback port is free");
        let mut snapshot = Snapshot { p50: Some(0.005), p99: Some(f64::INFINITY), ..Snapshot::default() };
        (snapshot.pulse.ok, snapshot.pulse.retries) = (17, 3);
        metrics.show(&snapshot);
        let mut stream = TcpStream::connect(metrics.address()).expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").expect("it fits");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is text");
        assert!(answer.contains("\nrehearsal_requests_good_total 17\n"), "{answer}");
        assert!(answer.contains("\nrehearsal_retries_total 3\n"), "{answer}");
        assert!(
            answer.contains("{quantile=\"0.5\"} 0.005") && answer.contains("{quantile=\"0.99\"} +Inf"),
            "{answer}"
        );
    }
}
