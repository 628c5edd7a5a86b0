//! What breaks.

use super::Validator;
use crate::quantity::selector::{Target, TargetOf, Which};
use crate::scenario::{
    Breakdowns, Component, ComponentId, ComponentKind, Deploy, Fault, FaultKind, FaultTarget, Host, HostId,
    Run,
};
use crate::units::{Ratio, SimTime};
use crate::wire;
use crate::wire::decode::List;

/// The keys of a fault that say what breaks.
const KINDS: [&str; 13] = [
    "kill",
    "hang",
    "unplug",
    "serve_500",
    "slow",
    "error_rate",
    "cpu_steal",
    "partition",
    "delay",
    "loss",
    "flush",
    "disk_full",
    "deploy",
];

/// What a fault needs to know of the stack.
struct Stack<'a> {
    hosts: &'a [Host],
    components: &'a [Component],
}

/// What breaks, and its name.
type Hit = (FaultKind, Vec<FaultTarget>, String);

impl Validator<'_> {
    pub(super) fn breakdowns(&mut self, at: &str, file: Option<&wire::Breakdowns>) -> Option<Breakdowns> {
        let file = file?;
        let (up, down) = (file.up?, file.down?);
        for (key, law) in [("up", up), ("down", down)] {
            if law.mean() < super::SHORTEST {
                let expected = "a duration of 1ms or more on average";
                self.problem(&format!("{at}.breakdowns.{key}"), expected, None);
            }
        }
        Some(Breakdowns { up, down })
    }

    pub(super) fn faults(&mut self, run: &Run, hosts: &[Host], components: &[Component]) -> Vec<Fault> {
        let files = self.file.faults.0.clone();
        let stack = Stack { hosts, components };
        let mut faults = Vec::new();
        for (i, file) in &files {
            let at = format!("faults[{i}]");
            let written: Vec<&str> = KINDS
                .into_iter()
                .filter(|key| self.d.locations.get(&format!("{at}.{key}")).is_some())
                .collect();
            let [key] = written[..] else {
                let found = if written.is_empty() { "none".to_owned() } else { written.join(" and ") };
                let expected = format!("exactly one of {} in a fault", KINDS.join(", "));
                self.d.problem(&at, found, expected, None);
                continue;
            };
            let lasting = !["flush", "deploy"].contains(&key);
            let length_at = format!("{at}.for");
            let written = file.length.map(|l| self.positive(&length_at, l));
            if written.is_none() && lasting && self.d.locations.get(&length_at).is_none() {
                let hint = Some("add for = \"10m\"".to_owned());
                self.d.problem(&length_at, "nothing", "the key \"for\"", hint);
            } else if written.is_some() && !lasting {
                self.problem(
                    &length_at,
                    format!("no such key beside {key}"),
                    Some("leave for out".to_owned()),
                );
            }
            let Some((kind, targets, name)) = self.hit(&format!("{at}.{key}"), key, file, &stack) else {
                continue;
            };
            let length = match kind {
                FaultKind::Deploy(deploy) => {
                    Some(SimTime::from_nanos(deploy.turn().as_nanos().saturating_mul(targets.len() as u64)))
                }
                FaultKind::Flush => Some(SimTime::ZERO),
                _ => written,
            };
            let (Some(start), Some(length)) = (file.at, length) else { continue };
            // On the run's axis the timeline's `from` comes at the end of the warm-up.
            let shift = run.timeline_nanos(SimTime::ZERO);
            let from = (start.as_nanos() as i64).saturating_sub(shift);
            let until = from.saturating_add(length.as_nanos() as i64);
            if until < 0 || (until == 0 && lasting) || from >= run.total().as_nanos() as i64 {
                continue;
            }
            faults.push(Fault {
                name: format!("{} {name}", kind.name()),
                place: at,
                from: SimTime::from_nanos(from.max(0) as u64),
                until: SimTime::from_nanos(until as u64),
                started_nanos: from,
                kind,
                targets,
            });
        }
        // Stable: faults of the same moment stay in the file's order.
        faults.sort_by_key(|f| f.from);
        faults
    }

    /// What one fault is and hits.
    fn hit(&mut self, at: &str, key: &str, file: &wire::Fault, stack: &Stack<'_>) -> Option<Hit> {
        let target_at = format!("{at}.target");
        let plain = |kind: FaultKind, text: &Option<String>| Some((kind, text.clone()?, at.to_owned()));
        let (kind, text, at) = match key {
            "kill" => plain(FaultKind::Kill, &file.kill)?,
            "hang" => plain(FaultKind::Hang, &file.hang)?,
            "unplug" => plain(FaultKind::Unplug, &file.unplug)?,
            "serve_500" => plain(FaultKind::Serve500, &file.serve_500)?,
            "flush" => plain(FaultKind::Flush, &file.flush)?,
            "disk_full" => plain(FaultKind::DiskFull, &file.disk_full)?,
            "slow" => {
                let slow = file.slow.as_ref()?;
                (FaultKind::Slow { times: slow.times?.0 }, slow.target.clone()?, target_at)
            }
            "error_rate" => {
                let part = file.error_rate.as_ref()?;
                let share = self.share(&format!("{at}.share"), part.share?, true);
                (FaultKind::ErrorRate { share }, part.target.clone()?, target_at)
            }
            "cpu_steal" => {
                let part = file.cpu_steal.as_ref()?;
                let share = self.share(&format!("{at}.share"), part.share?, false);
                (FaultKind::CpuSteal { share }, part.target.clone()?, target_at)
            }
            "partition" => return self.way(at, FaultKind::Partition, file.partition.as_ref()?, stack),
            "delay" => {
                let delay = file.delay.as_ref()?;
                let kind = FaultKind::PacketDelay { added: delay.added? };
                return self.way(&format!("{at}.between"), kind, delay.between.as_ref()?, stack);
            }
            "loss" => {
                let loss = file.loss.as_ref()?;
                let share = self.share(&format!("{at}.share"), loss.share?, false);
                return self.way(
                    &format!("{at}.between"),
                    FaultKind::PacketLoss { share },
                    loss.between.as_ref()?,
                    stack,
                );
            }
            _ => return self.deploy(at, file.deploy.as_ref()?, stack),
        };
        let target = self.d.read(&text, &at, Target::read)?;
        let (targets, name) = self.target(&at, &target, stack)?;
        self.fits(&at, kind, &targets, stack);
        Some((kind, targets, name))
    }

    /// A share of at most, or below, the whole.
    fn share(&mut self, at: &str, share: Ratio, whole: bool) -> Ratio {
        if share.get() > 1.0 || (share.get() == 1.0 && !whole) {
            self.problem(at, if whole { "at most 100%" } else { "a share below 100%" }, None);
        }
        share
    }

    fn way(&mut self, at: &str, kind: FaultKind, between: &List<String>, stack: &Stack<'_>) -> Option<Hit> {
        let (a, b) = self.ends(at, between, stack.hosts)?;
        let pairs = a.places.iter().flat_map(|x| b.places.iter().map(|y| FaultTarget::Way(*x, *y)));
        Some((kind, pairs.collect(), format!("{} - {}", a.name, b.name)))
    }

    fn deploy(&mut self, at: &str, file: &wire::Deploy, stack: &Stack<'_>) -> Option<Hit> {
        let component_at = format!("{at}.component");
        let id = self.resolve(|v| &v.components, &component_at, file.component.as_ref()?)?;
        let component = &stack.components[usize::from(id)];
        let count = stack.hosts.get(component.host.index())?.count;
        let down = self.positive(&format!("{at}.down"), file.down?);
        let deploy = Deploy { drain: file.drain, down, warm_up: file.warm_up, slower: file.slower.0 };
        let targets = (0..count).map(|i| FaultTarget::Component(ComponentId(id), i)).collect();
        Some((FaultKind::Deploy(deploy), targets, format!("component:{}", component.name)))
    }

    /// The machines or instances that a target means, and how it is called.
    fn target(&mut self, at: &str, target: &Target, stack: &Stack<'_>) -> Option<(Vec<FaultTarget>, String)> {
        let whole = |name: &str| Target { name: name.to_owned(), ..target.clone() }.to_string();
        let machines = |host: HostId| {
            let count = stack.hosts[host.index()].count;
            (0..count).map(move |i| FaultTarget::Host(host, i))
        };
        let (one, count): (Box<dyn Fn(u32) -> FaultTarget>, u32) = match target.of {
            TargetOf::Zone => {
                let hosts = self.zone(at, &target.name, stack.hosts)?;
                return Some((hosts.into_iter().flat_map(machines).collect(), target.to_string()));
            }
            TargetOf::Component => {
                let id = self.resolve_in(|v| &v.components, at, &target.name, whole)?;
                let component = &stack.components[usize::from(id)];
                let count = stack.hosts.get(component.host.index())?.count;
                (Box::new(move |i| FaultTarget::Component(ComponentId(id), i)), count)
            }
            TargetOf::Host => {
                let id = self.resolve_in(|v| &v.hosts, at, &target.name, whole)?;
                (Box::new(move |i| FaultTarget::Host(HostId(id), i)), stack.hosts[usize::from(id)].count)
            }
        };
        let number = match target.instance {
            Which::All => return Some(((0..count).map(one).collect(), target.to_string())),
            Which::Number(n) if n <= count => n,
            Which::Number(_) => {
                let hint = Some(format!("there are {count}, counted from 1"));
                self.problem(at, format!("a number from 1 to {count}"), hint);
                return None;
            }
            Which::Unsaid if count == 1 => 1,
            Which::Unsaid => {
                self.problem(
                    at,
                    "which one",
                    Some(format!("write \"{target}[1]\", or \"{target}[*]\" for all")),
                );
                return None;
            }
        };
        let name = Target { instance: Which::Number(number), ..target.clone() }.to_string();
        Some((vec![one(number - 1)], name))
    }

    /// Reports a target that such a fault does nothing to.
    fn fits(&mut self, at: &str, kind: FaultKind, targets: &[FaultTarget], stack: &Stack<'_>) {
        let stores = |c: &Component| matches!(c.kind, ComponentKind::KvStore(_) | ComponentKind::SqlStore(_));
        let writes = |c: &Component| match &c.kind {
            ComponentKind::SqlStore(_) | ComponentKind::Queue(_) => true,
            ComponentKind::KvStore(store) => store.snapshot.is_some(),
            _ => false,
        };
        let on_target = |fits: &dyn Fn(&Component) -> bool| {
            targets.iter().any(|target| match *target {
                FaultTarget::Component(id, _) => fits(&stack.components[id.index()]),
                FaultTarget::Host(host, _) => stack.components.iter().any(|c| c.host == host && fits(c)),
                FaultTarget::Way(..) => false,
            })
        };
        let (good, expected, hint) = match kind {
            FaultKind::Serve500 | FaultKind::ErrorRate { .. } => (
                on_target(&|c| !stores(c)),
                "a target that answers HTTP requests",
                "name a service or a load-balancer",
            ),
            FaultKind::Flush => (
                on_target(&|c| {
                    !matches!(
                        c.kind,
                        ComponentKind::SqlStore(_)
                            | ComponentKind::Service(_)
                            | ComponentKind::LoadBalancer(_)
                    )
                }),
                "a target that keeps a cache",
                "name a kv-store",
            ),
            FaultKind::DiskFull => {
                let hint = "name an sql-store, a queue, or a kv-store that has a snapshot";
                (on_target(&writes), "a target that writes to a disk", hint)
            }
            FaultKind::CpuSteal { .. } => (
                !matches!(targets, [FaultTarget::Component(..), ..]),
                "a host: its cores are what is stolen",
                "write \"host:NAME[N]\"",
            ),
            _ => return,
        };
        if !good {
            self.problem(at, expected, Some(hint.to_owned()));
        }
    }
}
