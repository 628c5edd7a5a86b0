//! Background jobs: work that no request asks for, on the emulated cores of their machines, where it competes with that of
//! services and databases. By the simulator's rules (`sim/docs/host.md`, "Background jobs"), written a second time.
//!
//! They run in the supervisor's process: all that they do is to hold cores, which they do in their machine's book, or to burn them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Cpu, FaultKind, FaultTarget};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Supervisor;
use super::machine::{Machine, Machines};
use crate::emulated::{Cores, Timer};
use crate::message::InstanceFigures;

/// For how long a job keeps a core that others may want (Linux's `sysctl_sched_base_slice` on eight processors and more,
/// `kernel/sched/fair.c`: 0.75 ms × (1 + log2 of their number)).
const SLICE_NANOS: u64 = 3_000_000;

/// The purpose of the simulator's stream, so that a job has as much to do in both worlds.
const JOB: Purpose = Purpose::named("sim-job");

/// A job on one of its machines.
#[derive(Debug)]
struct OnMachine {
    /// Its number in the scenario.
    job: usize,
    machine: Machine,
    cores: Cores,
    /// Cores that are at a run which goes on.
    parts: Cell<u32>,
    /// How often its machine died.
    deaths: Cell<u64>,
    /// The faults of its machine that last.
    faults: RefCell<Vec<usize>>,
    is_broken_down: Cell<bool>,
    /// The share of its cores that the hypervisor leaves it at present.
    left: Cell<f64>,
    /// Told when any of these changes.
    changed: Notify,
}

/// What ails a machine.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ailment {
    is_dead: bool,
    /// Whether nothing goes on there.
    is_stopped: bool,
    /// For how many times as long a core is held.
    times: f64,
}

impl OnMachine {
    fn ailment(&self, scenario: &Scenario) -> Ailment {
        let mut all = Ailment { is_dead: self.is_broken_down.get(), is_stopped: false, times: 1.0 };
        for fault in self.faults.borrow().iter() {
            match scenario.faults[*fault].kind {
                FaultKind::Kill => all.is_dead = true,
                FaultKind::Hang | FaultKind::Unplug => all.is_stopped = true,
                FaultKind::Slow { times } => all.times *= times,
                _ => {}
            }
        }
        all
    }

    /// How fast the cores of its machine go.
    fn speed(&self, scenario: &Scenario) -> f64 {
        let whole = scenario.host(scenario.jobs[self.job].host).speed * self.left.get();
        let faults = self.faults.borrow();
        let stolen = faults.iter().map(|fault| match scenario.faults[*fault].kind {
            FaultKind::CpuSteal { share } => share.get(),
            _ => 0.0,
        });
        stolen.fold(whole, |speed, share| speed * (1.0 - share))
    }

    /// Has the cores go as fast as they do. In the supervisor's process nobody else says it, and those who share a book may have
    /// died, or stand still.
    fn set_pace(&self, scenario: &Scenario) {
        self.cores.set_speed(self.speed(scenario));
    }

    /// What ails its machine is different. A run whose machine died is over.
    fn change(&self, scenario: &Scenario, change: impl FnOnce()) {
        change();
        self.set_pace(scenario);
        if self.ailment(scenario).is_dead {
            self.deaths.set(self.deaths.get() + 1);
            self.parts.set(0);
        }
        self.changed.notify_waiters();
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Jobs {
    all: Vec<Rc<OnMachine>>,
    have_begun: Cell<bool>,
}

impl Jobs {
    /// None of them goes on yet.
    pub(super) fn new(scenario: &Scenario, machines: &Machines) -> Result<Self, String> {
        let mut all = Vec::new();
        let mut timer = None;
        for (number, job) in scenario.jobs.iter().enumerate() {
            let host = scenario.host(job.host);
            for machine in (0..host.count).map(|machine| (job.host.index(), machine)) {
                let Some(book) = machines.book_of(machine) else { continue };
                let timer = match &timer {
                    Some(timer) => timer,
                    None => timer.insert(Timer::start().map_err(|error| format!("no timer: {error}"))?),
                };
                let cores = match host.cpu {
                    Cpu::Burn => Cores::burning(job.cores, timer.clone()),
                    _ => Cores::shared(host.cores, &book, timer.clone()),
                };
                let cores = cores.map_err(|error| format!("no cores for {}: {error}", job.name))?;
                let on = Rc::new(OnMachine {
                    job: number,
                    machine,
                    cores,
                    parts: Cell::new(0),
                    deaths: Cell::new(0),
                    faults: RefCell::default(),
                    is_broken_down: Cell::new(false),
                    left: Cell::new(machines.left(machine)),
                    changed: Notify::new(),
                });
                on.set_pace(scenario);
                all.push(on);
            }
        }
        Ok(Self { all, have_begun: Cell::new(false) })
    }

    /// A fault begins or ends: those are concerned whose machine it hits.
    pub(super) fn trouble(&self, scenario: &Scenario, fault: usize, lasts: bool) {
        let targets = &scenario.faults[fault].targets;
        for job in &self.all {
            let hits = |target: &FaultTarget| matches!(*target, FaultTarget::Host(host, number) if (host.index(), number) == job.machine);
            if targets.iter().any(hits) {
                job.change(scenario, || {
                    let mut faults = job.faults.borrow_mut();
                    faults.retain(|other| *other != fault);
                    faults.extend(lasts.then_some(fault));
                });
            }
        }
    }

    /// A machine breaks down by chance, or is there again.
    pub(super) fn break_down(&self, scenario: &Scenario, machine: Machine, is_down: bool) {
        for job in self.on(machine) {
            job.change(scenario, || job.is_broken_down.set(is_down));
        }
    }

    /// The hypervisor leaves a machine this share of its cores from now on.
    pub(super) fn leave(&self, scenario: &Scenario, machine: Machine, left: f64) {
        for job in self.on(machine) {
            job.change(scenario, || job.left.set(left));
        }
    }

    fn on(&self, machine: Machine) -> impl Iterator<Item = &Rc<OnMachine>> {
        self.all.iter().filter(move |job| job.machine == machine)
    }

    /// Whether one is at work on a machine.
    pub(super) fn are_at_work(&self, machine: Machine) -> bool {
        self.on(machine).any(|job| job.parts.get() > 0)
    }

    /// The book of a machine is new: how fast its cores go is written down again.
    pub(super) fn begin_book(&self, scenario: &Scenario, machine: Machine) {
        self.on(machine).for_each(|job| job.set_pace(scenario));
    }

    /// What all of them have used of a machine's cores, in seconds.
    pub(super) fn busy_seconds(&self, machine: Machine) -> f64 {
        self.on(machine).map(|job| job.cores.busy_seconds()).sum()
    }

    /// Their figures; they are numbered on from the components.
    pub(super) fn figures(&self, scenario: &Scenario) -> impl Iterator<Item = InstanceFigures> {
        self.all.iter().map(|job| {
            let cores = scenario.host(scenario.jobs[job.job].host).cores;
            let figures = [
                ("cores", f64::from(cores)),
                ("busy_core_seconds", job.cores.busy_seconds()),
                ("queue_seconds", job.cores.waited_seconds()),
                ("up", f64::from(u8::from(!job.ailment(scenario).is_dead))),
            ];
            InstanceFigures {
                component: scenario.components.len() + job.job,
                instance: job.machine.1,
                figures: figures
                    .map(|(name, value)| (name.to_owned(), value))
                    .into_iter()
                    .collect::<BTreeMap<_, _>>(),
            }
        })
    }
}

impl Supervisor {
    /// The run begins, on whose timeline jobs are due. It begins once.
    pub(super) fn begin(self: &Rc<Self>) {
        if self.jobs.have_begun.replace(true) {
            return;
        }
        let now = Instant::now();
        for job in &self.jobs.all {
            tokio::task::spawn_local(Rc::clone(self).start_when_due(Rc::clone(job), now));
        }
    }

    async fn start_when_due(self: Rc<Self>, on: Rc<OnMachine>, begun: Instant) {
        let job = &self.scenario.jobs[on.job];
        let (Some(first), Some(law)) = (job.first, job.work) else { return };
        let mut stream = Stream::new(self.scenario.run.seed, JOB.of(on.job as u64), on.machine.1.into());
        let mut due = begun + first.as_duration();
        loop {
            sleep_until(due).await;
            // Drawn whether this run takes place or not, so that a fault does not change later ones.
            let work = law.sample(&mut stream).as_nanos();
            let ailment = on.ailment(&self.scenario);
            if !ailment.is_dead && !ailment.is_stopped && on.parts.get() == 0 {
                on.parts.set(job.cores);
                for _ in 0..job.cores {
                    tokio::task::spawn_local(Rc::clone(&self).do_part(Rc::clone(&on), work));
                }
            }
            let Some(every) = job.every else { return };
            due += every.as_duration();
        }
    }

    /// What one core has to do of a run.
    async fn do_part(self: Rc<Self>, on: Rc<OnMachine>, mut nanos: u64) {
        let deaths = on.deaths.get();
        while nanos > 0 {
            let ailment = on.ailment(&self.scenario);
            if ailment.is_stopped && !ailment.is_dead {
                on.changed.notified().await;
            } else {
                let slice = SLICE_NANOS.min(nanos);
                on.cores.work((slice as f64 * ailment.times) as u64).await;
                nanos -= slice;
            }
            if on.deaths.get() != deaths {
                return;
            }
        }
        on.parts.set(on.parts.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(host: &str) -> Scenario {
        let text = format!(
            r#"
title = "A job"
[run]
duration = "10s"
[hosts.app]
{host}
[components.shop]
kind = "service"
host = "app"
workers = 1
[requests.page]
path = "/page"
steps = [{{ work = "1ms" }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
[jobs.backup]
host = "app"
at = "0s"
work = "1s"
[[faults]]
at = "1s"
for = "1s"
cpu_steal = {{ target = "host:app[1]", share = "50%" }}
"#
        );
        Scenario::parse("job.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn jobs_go_as_fast_as_their_machine_whether_its_cores_are_held_or_burnt() {
        // Their timer wants one.
        let runtime = crate::child::runtime().expect("a runtime can be built");
        runtime.block_on(async {
            for cpu in ["emulated", "burn"] {
                let host = format!("cpu = \"{cpu}\"\nspeed = 0.5\nsteal = {{ share = \"50%\" }}");
                let scenario = scenario(&host);
                let machines = Machines::new(&scenario).expect("there is room for a book");
                let jobs = Jobs::new(&scenario, &machines).expect("there are threads");
                let speed = || jobs.all[0].cores.speed();
                assert_eq!(speed(), 0.25, "{cpu}");
                jobs.trouble(&scenario, 0, true);
                assert_eq!(speed(), 0.125, "{cpu}");
                jobs.leave(&scenario, (0, 0), 1.0);
                assert_eq!(speed(), 0.25, "{cpu}");
                jobs.trouble(&scenario, 0, false);
                assert_eq!(speed(), 0.5, "{cpu}");
            }
        });
    }
}
