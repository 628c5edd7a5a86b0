//! Plays a scenario's traffic against an address that is not the scenario's own stack, and prints what came of it.
//!
//! `cargo run --release -p loadgen --example play -- scenarios/library/quickstart.toml 127.0.0.1:8080`

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use loadgen::{Entries, Entry, Job, Options};
use results::{Provenance, Scope};
use scenarios::plan::Plan;
use scenarios::{Scenario, derive};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: play FILE ADDRESS".into());
    };
    let address: SocketAddr = address.parse()?;
    let scenario = derive::without_faults(&Scenario::load(file.as_ref())?)?.scenario;
    loadgen::supports::check(&scenario)?;
    let entry = Entry { address: address.into(), host: address.to_string() };
    let by_traffic = scenario.traffic.iter().map(|_| vec![entry.clone()]).collect();
    let directory = std::env::temp_dir().join(format!("rehearsal-play-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let job = Job {
        scenario: &scenario,
        entries: &Entries { by_traffic, base_path: String::new(), tls: None },
        options: Options::default(),
        directory: &directory,
        provenance: Provenance::here("loadgen example"),
        stop: &AtomicBool::new(false),
    };
    let record = loadgen::run(job, None, &mut |_| {});
    std::fs::remove_dir_all(&directory)?;
    let record = record?;
    let all = record.tally(Scope::Run, None);
    let milliseconds = |seconds: Option<f64>| seconds.unwrap_or(f64::NAN) * 1e3;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} due, {} good, {} failed", all.due(), all.ok, all.failed())?;
    // What users do who wait for answers is no matter of the plan's.
    let planned = Plan::new(&scenario).window(scenario.run.warmup, scenario.run.total(), 0, 1).count();
    writeln!(out, "{planned} planned")?;
    for (name, times) in [("response_time", all.response_times()), ("service_time", all.service_times())] {
        let [p50, p99] = [50.0, 99.0].map(|p| milliseconds(times.percentile(p)));
        writeln!(out, "{name}: p50 {p50:.3} ms, p99 {p99:.3} ms")?;
    }
    for (index, _) in record.frame.windows.iter().enumerate().filter(|(_, window)| window.is_measured()) {
        let lag = record.tallies.window_send_lag(index);
        let [p50, p99] = [50.0, 99.0].map(|p| milliseconds(lag.percentile(p)));
        writeln!(out, "send lag: p50 {p50:.4} ms, p99 {p99:.4} ms")?;
        let within = lag.at_most(50e-6) as f64 / lag.len().max(1) as f64;
        writeln!(out, "within 50 us of due: {:.2}%", within * 100.0)?;
    }
    for reason in &record.validity.reasons {
        writeln!(out, "invalid: {reason}")?;
    }
    Ok(())
}
