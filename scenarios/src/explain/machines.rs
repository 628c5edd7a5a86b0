//! What machines' memory is asked for, and the jobs that run on them.

use std::fmt::Write as _;

use super::rounded;
use crate::scenario::{ComponentKind, HostId, Scenario};
use crate::units::SimTime;

/// What the processes of one machine of a host hold at least and at most, in bytes; a store without a limit counts as empty.
fn held(scenario: &Scenario, host: HostId) -> (f64, f64) {
    let (mut least, mut most) = (0.0, 0.0);
    for component in scenario.components.iter().filter(|component| component.host == host) {
        let (low, high) = match &component.kind {
            ComponentKind::Service(service) => {
                let workers = |count: u32| {
                    service.memory_base.get() as f64
                        + service.memory_per_worker.get() as f64 * f64::from(count)
                };
                let first = service.pool.as_ref().map_or(service.workers, |pool| pool.start);
                (workers(first), workers(service.workers))
            }
            ComponentKind::KvStore(store) => (0.0, store.max_memory.map_or(0.0, |limit| limit.get() as f64)),
            ComponentKind::SqlStore(store) => {
                let pool = store.buffer_pool.map_or(0.0, |bytes| bytes.get() as f64);
                (pool, pool)
            }
            ComponentKind::HttpCache(cache) => (0.0, cache.memory.get() as f64),
            _ => continue,
        };
        least += low;
        most += high;
    }
    let jobs = scenario.jobs.iter().filter(|job| job.host == host && job.first.is_some());
    (least, most + jobs.map(|job| job.memory.get() as f64).sum::<f64>())
}

/// The memory of machines that say how much they have, and the jobs.
pub(super) fn write(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    let mut head = "\nMemory of machines (what their processes may hold)\n";
    for (host, id) in scenario.hosts.iter().zip(scenario.host_ids()) {
        let (Some(memory), (least, most)) = (host.memory, held(scenario, id)) else { continue };
        if most == 0.0 {
            continue;
        }
        write!(out, "{}  {}: ", std::mem::take(&mut head), host.name)?;
        if least > 0.0 && least < most {
            write!(out, "{} to ", rounded(least))?;
        }
        write!(out, "{} of {memory}", rounded(most))?;
        if host.swap.get() > 0 {
            write!(out, " and {} of swap", host.swap)?;
        }
        writeln!(out)?;
    }
    if !scenario.jobs.is_empty() {
        writeln!(out, "\nJobs")?;
    }
    for job in &scenario.jobs {
        write!(out, "  {} on {}:", job.name, scenario.host(job.host).name)?;
        match (job.first, job.every) {
            (None, _) => write!(out, " not in this run")?,
            (Some(first), None) => write!(out, " after {first} of the run")?,
            (Some(first), Some(every)) => write!(out, " after {first} of the run and every {every}")?,
        }
        if let Some(work) = job.work {
            // To the millisecond.
            let mean = SimTime::from_millis((work.mean().as_secs_f64() * 1e3).round() as u64);
            let cores =
                if job.cores == 1 { "1 core".to_owned() } else { format!("each of {} cores", job.cores) };
            write!(out, ", {mean} of {cores}")?;
        }
        for (bytes, what) in [(job.memory, "memory"), (job.disk, "the disk")] {
            if bytes.get() > 0 {
                write!(out, ", {bytes} of {what}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Machines whose processes hold more than there is, or can come to.
pub(super) fn shortages(scenario: &Scenario) -> Vec<String> {
    let shortage = |id: HostId| {
        let host = scenario.host(id);
        let room = host.memory?.get().saturating_add(host.swap.get()) as f64;
        let (least, most) = held(scenario, id);
        let (when, bytes) = match (least > room, most > room) {
            (true, _) => ("hold", least),
            (false, true) => ("can come to hold", most),
            (false, false) => return None,
        };
        let (name, bytes, room) = (&host.name, rounded(bytes), rounded(room));
        Some(format!("host {name}: its processes {when} {bytes} of {room}: the largest will be killed"))
    };
    scenario.host_ids().filter_map(shortage).collect()
}
