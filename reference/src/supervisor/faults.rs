//! What breaks, and how it is mended. Faults can overlap, so an instance's state follows from the set of those that
//! concern it.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustix::process::Signal;
use scenarios::scenario::{ComponentKind, FaultKind, FaultTarget};

use super::Supervisor;
use super::instance::Instance;
use crate::message::{InstanceFigures, Order, Word};
use crate::trouble::Trouble;

/// How an instance is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct State {
    killed: bool,
    hung: bool,
    unplugged: bool,
    trouble: Trouble,
}

impl State {
    /// Whether nobody gets an answer from it.
    pub(super) fn is_down(self) -> bool {
        self.killed || self.is_silent()
    }

    /// Whether its process is dead.
    pub(super) fn is_killed(self) -> bool {
        self.killed
    }

    /// Whether it is no more dead than it is to be.
    pub(super) fn is_mended(self, wanted: &Self) -> bool {
        !self.killed || wanted.killed
    }

    /// It was killed to be sure that it is down.
    pub(super) fn fenced(self) -> Self {
        Self { killed: true, hung: false, unplugged: false, ..self }
    }

    /// Whether it cannot be talked to.
    pub(super) fn is_silent(self) -> bool {
        self.hung || self.unplugged
    }
}

impl Supervisor {
    /// Begins a fault; returns when it is so.
    pub(super) async fn begin_fault(self: &Rc<Self>, fault: usize) -> Result<(), String> {
        let kind = self.kind(fault)?;
        if let FaultKind::Deploy(deploy) = kind {
            return self.begin_deployment(fault, deploy);
        }
        if self.network.trouble(fault, kind, true).await? {
            return Ok(());
        }
        self.jobs.trouble(&self.scenario, fault, true);
        for instance in self.concerned(fault)? {
            // A store is where its clients find it.
            let instance = self.copies.leader(&instance);
            if self.scenario.faults[fault].kind == FaultKind::Flush {
                // It is over at once. What is dead holds nothing, and what is silent keeps what it has.
                if !instance.state.get().is_down() {
                    Self::tell(&instance, Order::Flush).await?;
                }
                continue;
            }
            if !instance.faults.borrow().contains(&fault) {
                instance.faults.borrow_mut().push(fault);
            }
            self.apply(&instance).await?;
            self.await_failover(&instance);
            self.note_death(&instance);
        }
        Ok(())
    }

    /// Ends a fault; returns when everything answers again.
    pub(super) async fn end_fault(self: &Rc<Self>, fault: usize) -> Result<(), String> {
        if self.end_deployment(fault).await? || self.network.trouble(fault, self.kind(fault)?, false).await? {
            return Ok(());
        }
        self.jobs.trouble(&self.scenario, fault, false);
        for instance in self.concerned(fault)? {
            // Whoever was hit may not lead any more.
            for member in self.copies.members(&instance) {
                if member.faults.borrow().contains(&fault) {
                    member.faults.borrow_mut().retain(|f| *f != fault);
                    self.mend(&member).await?;
                }
            }
        }
        Ok(())
    }

    fn kind(&self, fault: usize) -> Result<FaultKind, String> {
        let faults = &self.scenario.faults;
        let found = faults.get(fault).map(|fault| fault.kind);
        found.ok_or_else(|| format!("there are {} faults", faults.len()))
    }

    pub(super) fn concerned(&self, fault: usize) -> Result<Vec<Rc<Instance>>, String> {
        self.kind(fault)?;
        let fault = &self.scenario.faults[fault];
        Ok(self.those(|component, host, number| {
            fault.targets.iter().any(|target| match *target {
                FaultTarget::Host(h, n) => h.index() == host && n == number,
                FaultTarget::Component(c, n) => c == component && n == number,
                FaultTarget::Way(..) => false,
            })
        }))
    }

    /// Brings an instance into the state that its faults demand.
    pub(super) async fn apply(&self, instance: &Instance) -> Result<(), String> {
        // A deployment goes its own way beside the other faults.
        let _one_at_a_time = self.applying.lock().await;
        self.adjust(instance).await
    }

    /// As [`Supervisor::apply`], for whoever holds the lock.
    pub(super) async fn adjust(&self, instance: &Instance) -> Result<(), String> {
        let wanted = self.wanted(instance);
        let mut now = instance.state.replace(wanted);
        if wanted.is_down() && !now.is_down() {
            instance.outages.set(instance.outages.get() + 1);
        }
        if wanted.killed || instance.is_starting() {
            instance.state.set(State { killed: true, ..wanted });
            instance.child.kill();
            instance.child.gone().await;
            self.clear_book(instance);
            return self.tell_network(instance).await;
        }
        if now.killed {
            instance.set_leads(self.copies.leads(instance) && self.shared.holds(instance));
            if let Err(error) = instance.restart().await {
                instance.state.set(wanted.fenced());
                return Err(format!("{}: {error}", instance.name()));
            }
            self.tell_network(instance).await?;
            now = State::default();
            instance.holds.borrow_mut().clear();
        }
        // A process that is stopped can be told nothing, so it runs while it is told.
        if now.hung {
            instance.child.signal(Signal::CONT);
        }
        if now.unplugged && (!wanted.unplugged || now.trouble != wanted.trouble) {
            Self::tell(instance, Order::Plug).await?;
            now.unplugged = false;
        }
        if now.trouble != wanted.trouble {
            Self::tell(instance, Order::Suffer(wanted.trouble)).await?;
        }
        if !wanted.is_silent() {
            self.tell_holds(instance).await?;
            self.tell_switches(instance).await?;
        }
        if wanted.unplugged && !now.unplugged {
            Self::tell(instance, Order::Unplug).await?;
            self.cut_off_copies(instance).await;
        }
        if wanted.hung {
            instance.child.pause().await;
        }
        Ok(())
    }

    /// The state that an instance's faults demand. Several that slow multiply, and errors are independent of each other.
    pub(super) fn wanted(&self, instance: &Instance) -> State {
        let killed = instance.phase.get().is_down() || instance.is_broken_down() || instance.left_dead.get();
        let mut state = State { killed, ..State::default() };
        let mut trouble = Trouble { times: instance.phase.get().times(), ..Trouble::default() };
        let imposed = instance.imposed.get();
        trouble.speed = self.machines.speed(&self.scenario, instance);
        let mut good = 1.0;
        if self.speaks_http(instance) {
            trouble.failing = imposed.failing;
            good -= imposed.error_share;
        }
        trouble.times *= imposed.times;
        trouble.disk_full = imposed.disk_full;
        for fault in instance.faults.borrow().iter() {
            match self.scenario.faults[*fault].kind {
                FaultKind::Kill => state.killed = true,
                FaultKind::Hang => state.hung = true,
                FaultKind::Unplug => state.unplugged = true,
                FaultKind::Serve500 => trouble.failing |= self.speaks_http(instance),
                FaultKind::ErrorRate { share } if self.speaks_http(instance) => good *= 1.0 - share.get(),
                FaultKind::Slow { times } => trouble.times *= times,
                FaultKind::CpuSteal { share } => trouble.speed *= 1.0 - share.get(),
                FaultKind::DiskFull => trouble.disk_full = true,
                _ => {}
            }
        }
        trouble.error_share = 1.0 - good;
        State { trouble, ..state }
    }

    fn speaks_http(&self, instance: &Instance) -> bool {
        let kind = &self.scenario.component(instance.component).kind;
        matches!(
            kind,
            ComponentKind::LoadBalancer(_) | ComponentKind::HttpCache(_) | ComponentKind::Service(_)
        )
    }

    pub(super) async fn tell(instance: &Instance, order: Order) -> Result<(), String> {
        match instance.order(order).await {
            Some(Word::Done) => Ok(()),
            other => Err(format!("{}: {order:?} was answered by {other:?}", instance.name())),
        }
    }

    /// Tells the network whether somebody listens at an instance's address.
    pub(super) async fn tell_network(&self, instance: &Instance) -> Result<(), String> {
        // The death of a copy, or of who waits for an address, changes nothing there.
        if self.copies.leads(instance) && self.shared.holds(instance) {
            self.network.set_down(instance, !instance.child.is_alive()).await?;
        }
        Ok(())
    }

    /// The figures of all instances, and of the jobs. One that cannot answer shows its last ones, and that it is not up.
    pub(super) async fn figures(&self) -> Vec<InstanceFigures> {
        let mut all = Vec::with_capacity(self.instances.len());
        for instance in &self.instances {
            let leader = self.copies.leader(instance);
            let figures = match leader.figures().await {
                Some(mut figures) => {
                    if let Some(lag) = self.lag(&leader, &figures).await {
                        figures.insert("replication_lag_bytes".to_owned(), lag);
                    }
                    instance.last_figures.borrow_mut().clone_from(&figures);
                    figures
                }
                None => not_up(instance),
            };
            let mut figures = figures;
            if let Some(present) = self.fleets.present(instance) {
                figures.insert("instances".to_owned(), f64::from(present));
            }
            all.push(InstanceFigures {
                component: instance.component.index(),
                instance: instance.number,
                figures,
            });
        }
        all.extend(self.jobs.figures(&self.scenario));
        all
    }
}

fn not_up(instance: &Instance) -> BTreeMap<String, f64> {
    let mut figures = instance.last_figures.borrow().clone();
    figures.insert("up".to_owned(), 0.0);
    figures
}
