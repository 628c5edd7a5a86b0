//! Services' workers and instances that come and go: rules that look at more than one key.

use super::Validator;
use crate::scenario::{Autoscale, ComponentKind, Host, Manager, WorkerPool};
use crate::units::SimTime;
use crate::wire::workers as wire;

impl Validator<'_> {
    /// The most workers of an instance, and their manager's rules if it has one.
    pub(super) fn workers(&mut self, at: &str, file: &wire::Workers) -> (u32, Option<WorkerPool>) {
        let file = match file {
            wire::Workers::Fixed(count) => return (count.0 as u32, None),
            wire::Workers::Managed(table) => table,
        };
        let most = file.max.map_or(1, |max| max.0 as u32);
        let (min_spare, mut max_spare) = (file.min_spare.0 as u32, file.max_spare.0 as u32);
        let on_demand = file.manager == Manager::OnDemand;
        for key in ["start", "min_spare", "max_spare"] {
            let path = format!("{at}.{key}");
            if on_demand && self.d.locations.get(&path).is_some() {
                self.problem(&path, format!("no {key} with manager = \"ondemand\""), None::<String>);
            }
        }
        let idle_timeout_at = format!("{at}.idle_timeout");
        if !on_demand && self.d.locations.get(&idle_timeout_at).is_some() {
            let hint = "the other managers keep min_spare to max_spare idle workers".to_owned();
            self.problem(&idle_timeout_at, "idle_timeout with manager = \"ondemand\" only", hint);
        }
        if !on_demand && max_spare < min_spare {
            let expected = format!("at least min_spare, which is {min_spare}");
            self.problem(&format!("{at}.max_spare"), expected, None::<String>);
        }
        if !on_demand && min_spare > most && file.max.is_some() {
            let expected = format!("at most max, which is {most}");
            self.problem(&format!("{at}.min_spare"), expected, None::<String>);
        }
        if file.manager == Manager::Prefork {
            // Apache corrects it in the same way, so that it does not start what it ends the next second.
            max_spare = max_spare.max(min_spare + 1);
        }
        let start = match file.start {
            Some(start) => start.0 as u32,
            None if on_demand => 0,
            None => (min_spare + (max_spare.saturating_sub(min_spare)) / 2).min(most),
        };
        if start > most && file.max.is_some() {
            self.problem(&format!("{at}.start"), format!("at most max, which is {most}"), None::<String>);
        }
        if start == 0 && file.start.is_some() && !on_demand {
            self.problem(&format!("{at}.start"), "at least one worker", None::<String>);
        }
        let spare = [min_spare, max_spare];
        let pool = WorkerPool::new(file.manager, start, most, spare, file.idle_timeout, file.boot);
        (most, Some(pool))
    }

    /// Clients' connections last, so they would never lead to new instances.
    pub(super) fn never_scaled(&mut self, at: &str, kind: &ComponentKind) {
        if matches!(kind, ComponentKind::Service(service) if service.autoscale.is_some()) {
            let hint = "put a load-balancer between: it knows which instances there are".to_owned();
            self.problem(at, "a component without autoscale", hint);
        }
    }

    /// When instances of a component on a host come and go.
    pub(super) fn autoscale(&mut self, at: &str, file: &wire::Autoscale, host: Option<&Host>) -> Autoscale {
        let most = host.map_or(u32::MAX, |host| host.count);
        let least = file.min.0 as u32;
        if let Some(host) = host.filter(|host| least > host.count) {
            let expected = format!("at most the count of host \"{}\", which is {most}", host.name);
            self.problem(&format!("{at}.min"), expected, "the host's count is the most instances".to_owned());
        }
        let target_at = format!("{at}.target");
        let target = file.target.unwrap_or(crate::units::Ratio::new(0.5));
        if target.get() <= 0.0 || target.get() > 1.0 {
            self.problem(&target_at, "a share above 0% and at most 100%", None::<String>);
        }
        let interval = file.interval.max(SimTime::from_millis(100));
        if file.interval < interval {
            self.problem(&format!("{at}.interval"), "at least 100ms", None::<String>);
        }
        let times = [interval, file.boot, file.drain, file.down_after];
        Autoscale::new([least.min(most), most], file.metric, target, times, file.step.0 as u32)
    }
}
