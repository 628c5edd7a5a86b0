//! Machines: how fast their cores go, and what several processes on one share of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Component, ComponentKind};
use tokio::time::{Instant, sleep_until};

use super::instance::Instance;
use super::{Supervisor, disk};
use crate::process::complain;

/// The purpose of the simulator's stream, so that time is stolen at the same times in both worlds.
const STEAL: Purpose = Purpose::named("sim-steal");

/// A machine: a host and a number there.
pub(super) type Machine = (usize, u32);

/// All of them.
#[derive(Debug)]
pub(super) struct Machines {
    /// Where several components or jobs hold cores of one machine: what these are at.
    books: BTreeMap<Machine, File>,
    /// The share of its cores that a machine is left at present, where the hypervisor takes some.
    left: RefCell<BTreeMap<Machine, f64>>,
}

/// Whether a component holds cores of its host.
pub(crate) fn works(component: &Component) -> bool {
    matches!(component.kind, ComponentKind::Service(_) | ComponentKind::SqlStore(_))
}

impl Machines {
    pub(super) fn new(scenario: &Scenario) -> Result<Self, String> {
        let mut books = BTreeMap::new();
        let mut left = BTreeMap::new();
        for (id, host) in scenario.host_ids().zip(&scenario.hosts) {
            let workers = scenario.components.iter().filter(|c| c.host == id && works(c)).count();
            let has_job = scenario.jobs.iter().any(|job| job.host == id && job.work.is_some());
            for machine in (0..host.count).map(|number| (id.index(), number)) {
                if workers > 1 || has_job {
                    let book =
                        disk::create().map_err(|error| format!("no file for {}: {error}", host.name))?;
                    books.insert(machine, book);
                }
                if let Some(steal) = host.steal.filter(|steal| steal.bursts.is_none()) {
                    left.insert(machine, 1.0 - steal.share.get());
                }
            }
        }
        Ok(Self { books, left: RefCell::new(left) })
    }

    /// The book that an instance's process keeps together with others, where there are others.
    pub(super) fn book(&self, instance: &Instance) -> Option<PathBuf> {
        self.book_of(instance.machine())
    }

    /// The book of a machine whose cores several hold.
    pub(super) fn book_of(&self, machine: Machine) -> Option<PathBuf> {
        self.books.get(&machine).map(disk::path)
    }

    /// The share of its cores that the hypervisor leaves a machine.
    pub(super) fn left(&self, machine: Machine) -> f64 {
        self.left.borrow().get(&machine).copied().unwrap_or(1.0)
    }

    /// How fast the cores of an instance's machine go.
    pub(super) fn speed(&self, scenario: &Scenario, instance: &Instance) -> f64 {
        scenario.host(scenario.component(instance.component).host).speed * self.left(instance.machine())
    }
}

impl Supervisor {
    /// Has hypervisors take time from machines in bursts, from now on.
    pub(super) fn steal(self: &Rc<Self>) {
        let mut all = 0;
        for (id, host) in self.scenario.host_ids().zip(&self.scenario.hosts) {
            for number in 0..host.count {
                let stream = Stream::new(self.scenario.run.seed, STEAL, all);
                all += 1;
                let Some(steal) = host.steal else { continue };
                if let Some(bursts) = steal.bursts {
                    let machine = (id.index(), number);
                    let left = 1.0 - steal.share.get();
                    tokio::task::spawn_local(Rc::clone(self).steal_from(machine, left, bursts, stream));
                }
            }
        }
    }

    async fn steal_from(
        self: Rc<Self>,
        machine: Machine,
        left: f64,
        (burst, gap): (DurationLaw, DurationLaw),
        mut stream: Stream,
    ) {
        let mut moment = Instant::now();
        for takes in [true, false].into_iter().cycle() {
            let law = if takes { gap } else { burst };
            moment += law.sample(&mut stream).as_duration();
            sleep_until(moment).await;
            let left = if takes { left } else { 1.0 };
            self.machines.left.borrow_mut().insert(machine, left);
            self.jobs.leave(&self.scenario, machine, left);
            for instance in self.those(|_, host, number| (host, number) == machine) {
                if let Err(error) = self.apply(&instance).await {
                    complain(&error);
                }
            }
        }
    }

    /// The cores of a machine are idle again once nothing lives there and no job is at work.
    pub(super) fn clear_book(&self, instance: &Instance) {
        let Some(book) = self.machines.books.get(&instance.machine()) else { return };
        if self.jobs.are_at_work(instance.machine()) {
            return;
        }
        let on_it = self.instances.iter().filter(|other| other.machine() == instance.machine());
        if on_it.filter(|other| works(self.scenario.component(other.component))).all(|i| !i.child.is_alive())
        {
            // What cannot be cleared was not written either.
            let _ = book.set_len(0);
            self.jobs.begin_book(&self.scenario, instance.machine());
        }
    }
}
