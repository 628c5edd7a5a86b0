//! Services that grow and shrink with their load, by the rules of Kubernetes' horizontal autoscaler (kubernetes.io, "Horizontal Pod
//! Autoscaling", algorithm details). The instances that there can be have their addresses from the start; balancers are told which
//! of them are to be sent nothing.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::{Autoscale, ComponentId, ComponentKind, ScaleMetric};
use tokio::time::{Instant, sleep_until};

use super::Supervisor;
use super::deployment::Phase;
use super::instance::Instance;
use crate::process::complain;

/// So close to its target the load changes nothing.
const TOLERANCE: f64 = 0.1;
/// How often it is looked after those that boot and those that end what they have.
const LOOK: Duration = Duration::from_millis(50);

/// An instance's part in its fleet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    /// It is not there, and costs nothing.
    Absent,
    Boots {
        until: Instant,
    },
    Serves {
        since: Instant,
    },
    /// It ends what it has.
    Drains {
        until: Instant,
    },
}

#[derive(Debug)]
struct Member {
    instance: Rc<Instance>,
    part: Part,
    /// What it had used when it was last asked, and when; none where it cannot tell.
    used: Option<(Instant, f64)>,
}

/// What was wanted, and when: fewer only once nobody has wanted more for a while.
#[derive(Debug)]
struct Wishes {
    rules: Autoscale,
    lately: VecDeque<(Instant, u32)>,
}

impl Wishes {
    /// How many there should be, where so many serve at this load and others boot.
    fn decide(&mut self, now: Instant, serving: u32, booting: u32, load: f64) -> u32 {
        let Autoscale { least, most, step, .. } = self.rules;
        let present = serving + booting;
        let ratio = load / self.rules.target.get();
        // Those that boot count as idle where more are wanted, which never makes that fewer than there are.
        let wanted = if (ratio - 1.0).abs() <= TOLERANCE {
            present
        } else if ratio > 1.0 {
            ((ratio * f64::from(serving)).ceil().min(f64::from(most)) as u32).max(present)
        } else {
            (ratio * f64::from(present)).ceil() as u32
        };
        let wanted = wanted.clamp(least, most);
        self.lately.push_back((now, wanted));
        let window = self.rules.down_after.as_duration();
        while self.lately.front().is_some_and(|(at, _)| now.duration_since(*at) > window) {
            self.lately.pop_front();
        }
        let highest = self.lately.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        if wanted > present {
            wanted.min(present + step)
        } else {
            highest.clamp(present.saturating_sub(step), present)
        }
    }
}

/// How many instances there are of components that grow and shrink, those that boot and drain included.
#[derive(Debug, Default)]
pub(super) struct Fleets(BTreeMap<ComponentId, Cell<u32>>);

impl Fleets {
    pub(super) fn new(supervised: &[Rc<Instance>], scenario: &scenarios::Scenario) -> Self {
        let mut all = BTreeMap::new();
        for instance in supervised {
            let Some(rules) = rules(&scenario.component(instance.component).kind) else { continue };
            all.insert(instance.component, Cell::new(rules.least));
            if instance.number >= rules.least {
                instance.phase.set(Phase::Absent);
            }
        }
        Self(all)
    }

    /// Of the first instance's component.
    pub(super) fn present(&self, instance: &Instance) -> Option<u32> {
        (instance.number == 0).then(|| self.0.get(&instance.component).map(Cell::get)).flatten()
    }
}

fn rules(kind: &ComponentKind) -> Option<Autoscale> {
    match kind {
        ComponentKind::Service(service) => service.autoscale,
        _ => None,
    }
}

impl Supervisor {
    /// Has components grow and shrink, from now on.
    pub(super) fn scale_all(self: &Rc<Self>) {
        for id in self.scenario.component_ids() {
            if let Some(rules) = rules(&self.scenario.component(id).kind) {
                tokio::task::spawn_local(Rc::clone(self).scale(id, rules));
            }
        }
    }

    async fn scale(self: Rc<Self>, component: ComponentId, rules: Autoscale) {
        let start = Instant::now();
        let of_it = self.those(|id, _, _| id == component);
        let mut fleet: Vec<Member> = of_it
            .into_iter()
            .map(|instance| {
                let is_there = instance.phase.get() != Phase::Absent;
                let part = if is_there { Part::Serves { since: start } } else { Part::Absent };
                Member { instance, part, used: None }
            })
            .collect();
        let mut wishes = Wishes { rules, lately: VecDeque::new() };
        let mut decision = start + rules.interval.as_duration();
        self.load(&mut fleet, &rules).await;
        loop {
            sleep_until((Instant::now() + LOOK).min(decision)).await;
            if let Err(error) = self.follow(&mut fleet).await {
                complain(&error);
            }
            let now = Instant::now();
            if now >= decision {
                decision += rules.interval.as_duration();
                let load = self.load(&mut fleet, &rules).await;
                let count = |is: fn(&Part) -> bool| fleet.iter().filter(|m| is(&m.part)).count() as u32;
                let serving = count(|part| matches!(part, Part::Serves { .. }));
                let booting = count(|part| matches!(part, Part::Boots { .. }));
                if let Some(load) = load {
                    let wanted = wishes.decide(now, serving, booting, load);
                    if let Err(error) = self.resize(&mut fleet, wanted, serving + booting, &rules).await {
                        complain(&error);
                    }
                }
            }
            if let Some(present) = self.fleets.0.get(&component) {
                present.set(fleet.iter().filter(|member| member.part != Part::Absent).count() as u32);
            }
        }
    }

    /// The mean load since the last time of those that served through all of it.
    async fn load(&self, fleet: &mut [Member], rules: &Autoscale) -> Option<f64> {
        let mut loads = Vec::new();
        for member in fleet.iter_mut() {
            let (now, used) = match (member.part, rules.metric) {
                (Part::Serves { .. }, ScaleMetric::Cpu) => {
                    (Instant::now(), self.cores_used(&member.instance).await)
                }
                (Part::Serves { .. }, _) => (Instant::now(), workers_used(&member.instance).await),
                _ => (Instant::now(), None),
            };
            let before = std::mem::replace(&mut member.used, used.map(|used| (now, used)));
            if let (Some((then, before)), Some(used), Part::Serves { since }) = (before, used, member.part)
                && since <= then
                // One that was started again counts from zero.
                && used >= before
            {
                loads.push((used - before) / now.duration_since(then).as_secs_f64().max(1e-3));
            }
        }
        (!loads.is_empty()).then(|| loads.iter().sum::<f64>() / loads.len() as f64)
    }

    /// What all that runs on an instance's machine has used of its cores, in seconds of all of them.
    async fn cores_used(&self, instance: &Instance) -> Option<f64> {
        let mut used = self.jobs.busy_seconds(instance.machine());
        let mut cores = 0.0;
        for other in self.instances.iter().filter(|other| other.machine() == instance.machine()) {
            if let Some(figures) = other.figures().await {
                used += figures.get("busy_core_seconds").copied().unwrap_or(0.0);
                cores = figures.get("cores").copied().unwrap_or(cores);
            }
        }
        (cores > 0.0).then_some(used / cores)
    }

    /// Brings those forward whose time has come.
    async fn follow(&self, fleet: &mut [Member]) -> Result<(), String> {
        for member in fleet {
            let now = Instant::now();
            match member.part {
                Part::Boots { until } if until <= now => {
                    self.enter(&member.instance, Phase::None).await?;
                    member.part = Part::Serves { since: Instant::now() };
                }
                Part::Drains { until } => {
                    let figures = member.instance.figures().await.unwrap_or_default();
                    let inside =
                        ["in_service", "waiting"].iter().filter_map(|name| figures.get(*name)).sum::<f64>();
                    if inside == 0.0 || until <= now {
                        self.enter(&member.instance, Phase::Absent).await?;
                        member.instance.lose_disk()?;
                        member.part = Part::Absent;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds or takes away. Those that boot go first, then the youngest.
    async fn resize(
        &self,
        fleet: &mut [Member],
        wanted: u32,
        present: u32,
        rules: &Autoscale,
    ) -> Result<(), String> {
        for _ in present..wanted {
            let until = Instant::now() + rules.boot.as_duration();
            if let Some(absent) = fleet.iter_mut().find(|member| member.part == Part::Absent) {
                absent.part = Part::Boots { until };
            }
        }
        for _ in wanted..present {
            let age = |member: &&mut Member| match member.part {
                Part::Boots { until } => Some((1, until)),
                Part::Serves { since } => Some((0, since)),
                _ => None,
            };
            let Some(youngest) = fleet.iter_mut().filter(|m| age(m).is_some()).max_by_key(age) else { break };
            if matches!(youngest.part, Part::Boots { .. }) {
                youngest.part = Part::Absent;
            } else {
                self.enter(&youngest.instance, Phase::Drained).await?;
                youngest.part = Part::Drains { until: Instant::now() + rules.drain.as_duration() };
            }
        }
        Ok(())
    }
}

/// What the workers of an instance have worked, in seconds of all of them.
async fn workers_used(instance: &Instance) -> Option<f64> {
    let figures = instance.figures().await?;
    let workers = figures.get("workers").copied().filter(|workers| *workers > 0.0)?;
    Some(figures.get("busy_worker_seconds")? / workers)
}

#[cfg(test)]
mod tests {
    use scenarios::units::{Ratio, SimTime};

    use super::*;

    fn wishes(step: u32) -> Wishes {
        let times = [15, 60, 30, 300].map(SimTime::from_secs);
        let rules = Autoscale::new([2, 10], ScaleMetric::Cpu, Ratio::new(0.5), times, step);
        Wishes { rules, lately: VecDeque::new() }
    }

    #[test]
    fn more_are_wanted_in_proportion_and_fewer_only_after_a_while() {
        let start = Instant::now();
        assert_eq!(wishes(10).decide(start, 3, 0, 0.8), 5, "3 × 0.8 / 0.5 = 4.8");
        assert_eq!(wishes(1).decide(start, 3, 0, 0.8), 4, "one at a time");
        assert_eq!(wishes(10).decide(start, 3, 2, 0.8), 5, "what boots is not ordered again");
        assert_eq!(wishes(10).decide(start, 9, 0, 1.0), 10, "the most there can be");
        assert_eq!(wishes(10).decide(start, 4, 0, 0.54), 4, "within a tenth of the target");
        let mut idle = wishes(10);
        assert_eq!(idle.decide(start, 6, 0, 0.5), 6);
        assert_eq!(idle.decide(start + Duration::from_secs(200), 6, 0, 0.1), 6, "six were wanted lately");
        assert_eq!(idle.decide(start + Duration::from_secs(301), 6, 0, 0.1), 2);
    }
}
