//! What this machine can do as a generator, before a run asks for more.

mod null;

use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use results::{Provenance, Scope};
use rustix::process::{Resource, getrlimit};
use scenarios::Scenario;

use self::null::NullServer;
use crate::clock::{monotonic_nanos, process_cpu_nanos};
use crate::engine::poller::Poller;
use crate::evidence::Meter;
use crate::{Entries, Entry, Error, Job, Options};

/// Waits that the timer is tried with, and how long each is.
const WAITS: usize = 500;
const WAIT_NANOS: u64 = 1_000_000;
/// Connections of the trial against the null server.
const CONNECTIONS: u32 = 50;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub good: bool,
    /// What it is, with its value.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

fn finding(good: bool, what: String, hint: &str) -> Finding {
    Finding { good, what, hint: (!good).then(|| hint.to_owned()) }
}

/// Looks at the machine; takes about four seconds, in which it should have nothing else to do. `directory` is for files that
/// are gone at the end.
///
/// # Errors
/// Where a trial could not be made.
pub fn examine(directory: &Path) -> Result<Vec<Finding>, Error> {
    let engine = |source| Error::Engine { source };
    let mut findings = vec![files(), ports()];
    findings.extend(congestion());
    let mut meter = Meter::new();
    findings.push(timer().map_err(engine)?);
    let used = meter.read();
    findings.push(finding(
        used.stolen_cores < 0.02,
        format!("{:.1}% of a core stolen by the host of this virtual machine", used.stolen_cores * 100.0),
        "figures will carry its noise: prefer a machine of your own",
    ));
    findings.push(finding(
        used.machine < 0.2,
        format!("processors {:.0}% busy with other work", used.machine * 100.0),
        "stop what else runs, or its queueing will be measured as the server's",
    ));
    findings.push(ceiling(directory)?);
    Ok(findings)
}

fn files() -> Finding {
    let limit = getrlimit(Resource::Nofile).current;
    let shown = limit.map_or_else(|| "no limit to".to_owned(), |n| n.to_string());
    finding(limit.is_none_or(|n| n >= 10_000), format!("{shown} open files"), "raise it: ulimit -n 65536")
}

/// Ports from which connections to one address can be made.
fn ports() -> Finding {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ends: Vec<u32> = range.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let number = if let [from, to] = ends[..] { to.saturating_sub(from) + 1 } else { 0 };
    let hint = "widen it: sysctl net.ipv4.ip_local_port_range='1024 65535'; it limits reuse = \"never\"";
    finding(number >= 20_000, format!("{number} local ports for connections to one address"), hint)
}

fn congestion() -> Option<Finding> {
    let path = "/proc/sys/net/ipv4/tcp_available_congestion_control";
    let available = fs::read_to_string(path).ok()?;
    let hint = "a congestion control that paces packets (BBR) delays answers on the loopback interface";
    let reno = available.split_whitespace().any(|name| name == "reno");
    Some(finding(reno, "loopback connections use Reno".to_owned(), hint))
}

/// How late the engine's own wait returns.
fn timer() -> io::Result<Finding> {
    let mut poller = Poller::new()?;
    let mut late = Vec::with_capacity(WAITS);
    for _ in 0..WAITS {
        let until = monotonic_nanos() + WAIT_NANOS;
        poller.wait(until)?;
        late.push(monotonic_nanos().saturating_sub(until));
        while poller.next().is_some() {}
    }
    late.sort_unstable();
    let micros = |share: f64| late[((WAITS - 1) as f64 * share) as usize] as f64 / 1e3;
    Ok(finding(
        micros(0.5) < 100.0,
        format!(
            "timer late by {:.0} µs in the median, {:.0} µs at the 99th percentile",
            micros(0.5),
            micros(0.99)
        ),
        "a busy or a virtual machine wakes late; response times carry it",
    ))
}

/// The greatest rate against a server that does nothing.
fn ceiling(directory: &Path) -> Result<Finding, Error> {
    let server = NullServer::start().map_err(|source| Error::Engine { source })?;
    let text = format!(
        "title = \"Doctor\"\n[run]\nduration = \"2s\"\n[hosts.a]\n[components.null]\nkind = \"service\"\nhost = \"a\"\n\
         workers = 1\n[requests.r]\npath = \"/\"\n[traffic.t]\nto = \"null\"\nexecutor = \"constant-vus\"\n\
         vus = {CONNECTIONS}\nthink = \"0s\"\nmix = {{ r = 1 }}\n"
    );
    let scenario = Scenario::parse("doctor.toml", text).expect("this scenario is tested");
    let entry = Entry { address: server.address.into(), host: server.address.to_string() };
    let directory = directory.join(format!("rehearsal-doctor-{}", std::process::id()));
    let job = Job {
        scenario: &scenario,
        entries: &Entries { by_traffic: vec![vec![entry]], base_path: String::new(), tls: None },
        options: Options { threads: NonZeroU32::MIN, ..Options::default() },
        directory: &directory,
        provenance: Provenance::here("loadgen doctor"),
        stop: &AtomicBool::new(false),
    };
    let (before, server_before) = (process_cpu_nanos(), server.cpu_nanos());
    let record = crate::run(job, None, &mut |_| {});
    // The server says what it has used when it looks up.
    std::thread::sleep(Duration::from_millis(100));
    let used = process_cpu_nanos() - before;
    let own = used.saturating_sub(server.cpu_nanos() - server_before);
    // It is in a directory for such things.
    let _ = fs::remove_dir_all(&directory);
    let answered = record?.tally(Scope::Run, None).ok;
    let micros = own as f64 / 1e3 / (answered.max(1) as f64);
    Ok(finding(
        micros < 40.0,
        format!(
            "{:.0} requests/s over {CONNECTIONS} connections from one thread against a null server; {micros:.1} µs of \
             processor time each, so at most {:.0}/s a core",
            answered as f64 / 2.0,
            1e6 / micros
        ),
        "this machine is slow as a generator: use several",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_examination_finds_what_the_machine_can_do() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let findings = examine(directory.path()).expect("sockets can be made");
        let has = |what: &str| findings.iter().any(|f| f.what.contains(what));
        assert!(has("open files") && has("local ports") && has("timer late") && has("requests/s over"));
        assert!(findings.iter().all(|f| f.good || f.hint.is_some()));
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0);
    }
}
