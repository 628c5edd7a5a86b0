//! Machines, and whether what runs on them fits.

use super::Validator;
use super::record_bytes;
use crate::scenario::{
    Component, ComponentKind, CpuCredits, Disk, Host, Job, Keyspace, KvStore, RequestClass, Steal,
};
use crate::units::Bytes;
use crate::wire;

/// What a disk is.
fn disk(file: &wire::DiskChoice) -> Option<Disk> {
    match file {
        wire::DiskChoice::Class(class) => Some(Disk::of(*class)),
        wire::DiskChoice::Numbers(numbers) => Some(Disk {
            read: numbers.read?,
            write: numbers.write.or(numbers.read)?,
            parallel: numbers.parallel.0 as u32,
            throughput: numbers.throughput,
        }),
    }
}

impl Validator<'_> {
    pub(super) fn hosts(&mut self) -> Vec<Host> {
        let files: Vec<(String, wire::Host)> =
            self.file.hosts.iter().flat_map(|hosts| &hosts.0).cloned().collect();
        let hosts: Vec<Host> = files.iter().map(|(name, file)| self.host(name, file)).collect();
        if hosts.is_empty() && self.file.hosts.is_some() {
            self.problem("hosts", "at least one host", Some("add [hosts.app]".to_owned()));
        }
        hosts
    }

    fn host(&mut self, name: &str, file: &wire::Host) -> Host {
        let at = format!("hosts.{name}");
        if file.speed.0 <= 0.0 {
            self.problem(&format!("{at}.speed"), "a speed above zero", None);
        }
        let swap_at = format!("{at}.swap");
        if file.swap.get() > 0 && file.memory.is_none() {
            let hint = "add memory = \"8GiB\"".to_owned();
            self.problem(&swap_at, "swap beside a memory", hint);
        }
        if file.swap.get() > 0 && file.disk.is_none() {
            let hint =
                "add disk = \"ssd\", \"sata\" or \"nvme\": its reads are what swapping waits for".to_owned();
            self.problem(&swap_at, "swap on a host with a disk", hint);
        }
        let breakdowns = self.breakdowns(&at, file.breakdowns.as_ref());
        Host {
            name: name.to_owned(),
            breakdowns,
            count: file.count.0 as u32,
            cores: file.cores.0 as u32,
            memory: file.memory,
            swap: file.swap,
            nic: file.nic,
            zone: file.zone.clone(),
            price: file.price.clone(),
            disk: file.disk.as_ref().and_then(disk),
            scheduling: file.scheduling,
            cpu: file.cpu,
            speed: file.speed.0,
            steal: file.steal.as_ref().and_then(|steal| self.steal(&format!("{at}.steal"), steal)),
            cpu_credits: file
                .cpu_credits
                .as_ref()
                .and_then(|cpu_credits| self.cpu_credits(&format!("{at}.cpu_credits"), cpu_credits)),
        }
    }

    fn steal(&mut self, at: &str, file: &wire::Steal) -> Option<Steal> {
        let share = file.share?;
        // All of it is a machine that stands still, which has to end.
        if share.get() >= 1.0 && file.bursts.is_none() {
            let hint = Some("a machine that stands still at times has bursts and gaps".to_owned());
            self.problem(&format!("{at}.share"), "a share below 100%", hint);
        }
        match (file.bursts, file.gaps) {
            (None, None) => return Some(Steal { share, bursts: None }),
            (Some(bursts), Some(gaps)) => {
                for (key, law) in [("bursts", bursts), ("gaps", gaps)] {
                    if law.mean() < super::SHORTEST {
                        let expected = "a duration of 1ms or more on average";
                        self.problem(&format!("{at}.{key}"), expected, None);
                    }
                }
                return Some(Steal { share, bursts: Some((bursts, gaps)) });
            }
            (Some(_), None) => {
                self.problem(&format!("{at}.gaps"), "how long nothing is stolen between", None)
            }
            (None, Some(_)) => self.problem(&format!("{at}.bursts"), "how long it is stolen", None),
        }
        None
    }

    fn cpu_credits(&mut self, at: &str, file: &wire::CpuCredits) -> Option<CpuCredits> {
        let per_hour = file.per_hour?.0;
        if per_hour <= 0.0 {
            self.problem(&format!("{at}.per_hour"), "more than no credits", None);
        }
        let at_most = file.at_most.map_or(24.0 * per_hour, |most| most.0);
        Some(CpuCredits { per_hour, at_most, launch: file.launch.0 })
    }

    /// A priority means something only where a host schedules by it.
    pub(super) fn priorities(
        &mut self,
        hosts: &[Host],
        components: &[Component],
        jobs: &[Job],
        requests: &[RequestClass],
    ) {
        let hint =
            || Some("write scheduling = \"priority\" or \"preemptive-priority\" at the host".to_owned());
        let of_components = components.iter().map(|c| ("components", &c.name, c.host, c.priority));
        let of_jobs = jobs.iter().map(|job| ("jobs", &job.name, job.host, job.priority));
        for (table, name, host, _) in of_components.chain(of_jobs).filter(|(.., priority)| *priority > 0) {
            if hosts.get(host.index()).is_some_and(|host| !host.scheduling.has_priorities()) {
                let at = format!("{table}.{name}.priority");
                self.problem(&at, "a host that schedules by priority", hint());
            }
        }
        for component in components.iter().filter(|component| component.priority > 0) {
            if !component.kind.takes_processor_time() {
                let at = format!("components.{}.priority", component.name);
                self.problem(
                    &at,
                    "a component that works on cores: a service, an http-cache or an sql-store",
                    None,
                );
            }
        }
        if !hosts.iter().any(|host| host.scheduling.has_priorities()) {
            for class in requests.iter().filter(|class| class.priority > 0) {
                let at = format!("requests.{}.priority", class.name);
                self.problem(&at, "some host that schedules by priority", hint());
            }
        }
    }

    /// What processes and jobs hold counts only where a host says how much memory it has.
    pub(super) fn counted(&mut self, at: &str, held: Bytes, host: Option<&Host>) {
        if held.get() > 0 && host.is_some_and(|host| host.memory.is_none()) {
            let hint = "add memory = \"8GiB\" to the host".to_owned();
            self.problem(at, "a host that says how much memory it has", hint);
        }
    }

    /// Stores must fit their hosts, and persistent keys their store.
    pub(super) fn memory(&mut self, hosts: &[Host], components: &[Component], keyspaces: &[Keyspace]) {
        for (i, host) in hosts.iter().enumerate() {
            let Some(memory) = host.memory else { continue };
            let mut sum = 0_u64;
            for component in components.iter().filter(|c| c.host.index() == i) {
                let ComponentKind::KvStore(KvStore { max_memory: Some(limit), .. }) = component.kind else {
                    continue;
                };
                sum = sum.saturating_add(limit.get());
                if sum > memory.get() {
                    let all = if sum > limit.get() { " for all stores on it" } else { "" };
                    let expected = format!("at most the {memory} of host \"{}\"{all}", host.name);
                    self.problem(&format!("components.{}.max_memory", component.name), expected, None);
                }
            }
        }
        for (i, component) in components.iter().enumerate() {
            let ComponentKind::KvStore(KvStore { max_memory: Some(limit), .. }) = component.kind else {
                continue;
            };
            let shards = hosts.get(component.host.index()).map_or(1, |host| host.count.max(1));
            let persistent = keyspaces.iter().filter(|k| k.persistent && k.store.index() == i);
            let need: f64 = persistent.map(|k| record_bytes(k) * k.keys as f64).sum();
            let need = need / f64::from(shards);
            if need > limit.get() as f64 {
                let need = Bytes::new((need / 1e6).ceil() as u64 * 1_000_000);
                let expected = format!("at least the {need} or so that its persistent keys take");
                self.problem(&format!("components.{}.max_memory", component.name), expected, None);
            }
        }
    }
}
