//! Background jobs: when they first start, and whether they do anything.

use super::Validator;
use crate::scenario::{Host, HostId, Job, Run};
use crate::units::{Bytes, SimTime};
use crate::wire;

impl Validator<'_> {
    pub(super) fn jobs(&mut self, run: &Run, hosts: &[Host]) -> Vec<Job> {
        let files: Vec<(String, wire::Job)> = self.file.jobs.0.clone();
        files.iter().filter_map(|(name, file)| self.job(name, file, run, hosts)).collect()
    }

    fn job(&mut self, name: &str, file: &wire::Job, run: &Run, hosts: &[Host]) -> Option<Job> {
        let at = format!("jobs.{name}");
        let every = file.every.map(|every| self.positive(&format!("{at}.every"), every));
        let disk = file.disk.unwrap_or(Bytes::new(0));
        if file.work.is_none() && disk.get() == 0 && !self.written(&format!("{at}.work")) {
            let hint = "add work = \"20m\", or disk = \"50GB\"".to_owned();
            self.problem(&at, "a job that works or uses the disk", hint);
        }
        let host = self.resolve(|v| &v.hosts, &format!("{at}.host"), file.host.as_ref()?)?;
        if disk.get() > 0 && hosts.get(usize::from(host)).is_some_and(|host| host.disk.is_none()) {
            let hint = "add disk = \"ssd\", \"sata\" or \"nvme\" to the host".to_owned();
            self.problem(&format!("{at}.disk"), "a host with a disk", hint);
        }
        self.counted(&format!("{at}.memory"), file.memory, hosts.get(usize::from(host)));
        for key in ["cores", "priority"].map(|key| format!("{at}.{key}")) {
            if !self.written(&format!("{at}.work")) && disk.get() > 0 && self.written(&key) {
                let hint = "add work = \"20m\", or leave it out".to_owned();
                self.problem(&key, "a job that works: this one only uses the disk", hint);
            }
        }
        Some(Job {
            name: name.to_owned(),
            host: HostId(host),
            first: first(run, file.at?, every),
            every,
            work: file.work,
            cores: file.cores.0 as u32,
            memory: file.memory,
            disk,
            priority: file.priority.0 as u8,
        })
    }
}

/// When a job starts for the first time in a run: what would still go on from before is left out.
fn first(run: &Run, at: SimTime, every: Option<SimTime>) -> Option<SimTime> {
    let start = at.as_nanos() as i128 - i128::from(run.timeline_nanos(SimTime::ZERO));
    let first = match every.map(|every| i128::from(every.as_nanos().max(1))) {
        Some(every) if start < 0 => start.rem_euclid(every),
        _ => start,
    };
    let first = u64::try_from(first).ok().map(SimTime::from_nanos)?;
    (first < run.total()).then_some(first)
}
