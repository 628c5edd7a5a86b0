//! What breaks.

use super::Validator;
use crate::quantity::selector::Target;
use crate::scenario::{
    Component, ComponentId, ComponentKind, Fault, FaultKind, FaultTarget, Host, HostId, Run,
};
use crate::units::SimTime;

impl Validator<'_> {
    pub(super) fn faults(&mut self, run: &Run, hosts: &[Host], components: &[Component]) -> Vec<Fault> {
        let files = self.file.faults.0.clone();
        let mut faults = Vec::new();
        for (i, file) in &files {
            let at = format!("faults[{i}]");
            let kinds = [
                ("kill", FaultKind::Kill, &file.kill),
                ("hang", FaultKind::Hang, &file.hang),
                ("unplug", FaultKind::Unplug, &file.unplug),
                ("serve_500", FaultKind::Serve500, &file.serve_500),
            ];
            let written: Vec<&str> = kinds
                .iter()
                .map(|(key, ..)| *key)
                .filter(|key| self.d.locations.get(&format!("{at}.{key}")).is_some())
                .collect();
            if written.len() != 1 {
                let found = if written.is_empty() { "none".to_owned() } else { written.join(" and ") };
                self.d.problem(&at, found, "exactly one of kill, hang, unplug, serve_500 in a fault", None);
                continue;
            }
            let length = file.length.map(|l| self.positive(&format!("{at}.for"), l));
            let Some((key, kind, Some(text))) = kinds.into_iter().find(|(.., text)| text.is_some()) else {
                continue;
            };
            let target_at = format!("{at}.{key}");
            let Some(target) = self.d.read(text, &target_at, Target::read) else { continue };
            let Some((target, name)) = self.target(&target_at, &target, kind, hosts, components) else {
                continue;
            };
            let (Some(start), Some(length)) = (file.at, length) else { continue };
            // On the run's axis the timeline's `from` comes at the end of the warm-up.
            let shift = run.timeline_nanos(SimTime::ZERO);
            let from = (start.as_nanos() as i64).saturating_sub(shift);
            let until = from.saturating_add(length.as_nanos() as i64);
            if until <= 0 || from >= run.total().as_nanos() as i64 {
                continue;
            }
            faults.push(Fault {
                name: format!("{} {name}", kind.name()),
                place: at,
                from: SimTime::from_nanos(from.max(0) as u64),
                until: SimTime::from_nanos(until as u64),
                kind,
                target,
            });
        }
        // Stable: faults of the same moment stay in the file's order.
        faults.sort_by_key(|f| f.from);
        faults
    }

    fn target(
        &mut self,
        at: &str,
        target: &Target,
        kind: FaultKind,
        hosts: &[Host],
        components: &[Component],
    ) -> Option<(FaultTarget, String)> {
        let whole = |name: &str| Target { name: name.to_owned(), ..target.clone() }.to_string();
        let (id, count) = if target.component {
            let id = self.resolve_in(|v| &v.components, at, &target.name, whole)?;
            let component = &components[usize::from(id)];
            (id, hosts.get(component.host.index())?.count)
        } else {
            let id = self.resolve_in(|v| &v.hosts, at, &target.name, whole)?;
            (id, hosts[usize::from(id)].count)
        };
        let instance = match target.instance {
            Some(n) if n <= count => n,
            Some(_) => {
                let hint = Some(format!("there are {count}, counted from 1"));
                self.problem(at, format!("a number from 1 to {count}"), hint);
                return None;
            }
            None if count == 1 => 1,
            None => {
                self.problem(at, "which one", Some(format!("write \"{target}[1]\"")));
                return None;
            }
        };
        if kind == FaultKind::Serve500 {
            let http =
                |c: &Component| matches!(c.kind, ComponentKind::Service(_) | ComponentKind::LoadBalancer(_));
            let speaks = match target.component {
                true => http(&components[usize::from(id)]),
                false => components.iter().any(|c| c.host.index() == usize::from(id) && http(c)),
            };
            if !speaks {
                let expected = "a target that answers HTTP requests";
                self.problem(at, expected, Some("name a service or a load-balancer".to_owned()));
            }
        }
        let name = Target { instance: Some(instance), ..target.clone() }.to_string();
        let target = match target.component {
            true => FaultTarget::Component(ComponentId(id), instance - 1),
            false => FaultTarget::Host(HostId(id), instance - 1),
        };
        Some((target, name))
    }
}
