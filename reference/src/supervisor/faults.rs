//! What breaks, and how it is mended. Faults can overlap, so an instance's state follows from the set of those that
//! concern it.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustix::process::Signal;
use scenarios::scenario::{ComponentKind, FaultKind, FaultTarget};

use super::Supervisor;
use super::instance::Instance;
use crate::message::{InstanceFigures, Order, Word};

/// How an instance is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    killed: bool,
    hung: bool,
    unplugged: bool,
    failing: bool,
    /// How many thousandths of its time work takes; none where it takes its time.
    slower: Option<u32>,
}

impl State {
    /// Whether nobody gets an answer from it.
    pub(super) fn is_down(self) -> bool {
        self.killed || self.is_silent()
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
        if let Some(FaultKind::Deploy(deploy)) = self.scenario.faults.get(fault).map(|fault| fault.kind) {
            self.begin_deployment(fault, deploy)?;
            return Ok(());
        }
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
        }
        Ok(())
    }

    /// Ends a fault; returns when everything answers again.
    pub(super) async fn end_fault(&self, fault: usize) -> Result<(), String> {
        if self.end_deployment(fault).await? {
            return Ok(());
        }
        for instance in self.concerned(fault)? {
            // Whoever was hit may not lead any more.
            for member in self.copies.members(&instance) {
                if member.faults.borrow().contains(&fault) {
                    member.faults.borrow_mut().retain(|f| *f != fault);
                    self.apply(&member).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn concerned(&self, fault: usize) -> Result<Vec<Rc<Instance>>, String> {
        let faults = &self.scenario.faults;
        let fault = faults.get(fault).ok_or_else(|| format!("there are {} faults", faults.len()))?;
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
        let has = |kind| instance.faults.borrow().iter().any(|f| self.scenario.faults[*f].kind == kind);
        let wanted = State {
            killed: has(FaultKind::Kill) || instance.phase.get().is_down(),
            hung: has(FaultKind::Hang),
            unplugged: has(FaultKind::Unplug),
            failing: has(FaultKind::Serve500) && self.speaks_http(instance),
            slower: instance.phase.get().slower(),
        };
        let mut now = instance.state.replace(wanted);
        if wanted.is_down() && !now.is_down() {
            instance.outages.set(instance.outages.get() + 1);
        }
        if wanted.killed {
            instance.kill();
            instance.gone().await;
            return Ok(());
        }
        if now.killed {
            instance.set_leads(self.copies.leads(instance));
            instance.restart().await.map_err(|error| format!("{}: {error}", instance.name))?;
            now = State::default();
            instance.holds.borrow_mut().clear();
        }
        // A process that is stopped can be told nothing, so it runs while it is told.
        if now.hung {
            instance.signal(Signal::CONT);
        }
        if now.unplugged
            && (!wanted.unplugged || now.failing != wanted.failing || now.slower != wanted.slower)
        {
            Self::tell(instance, Order::Plug).await?;
            now.unplugged = false;
        }
        if now.failing != wanted.failing {
            Self::tell(instance, Order::Fail(wanted.failing)).await?;
        }
        if now.slower != wanted.slower {
            Self::tell(instance, Order::Slower(wanted.slower.unwrap_or(1000))).await?;
        }
        if !wanted.is_silent() {
            self.tell_holds(instance).await?;
        }
        if wanted.unplugged && !now.unplugged {
            Self::tell(instance, Order::Unplug).await?;
        }
        if wanted.hung {
            instance.pause().await;
        }
        Ok(())
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
            other => Err(format!("{}: {order:?} was answered by {other:?}", instance.name)),
        }
    }

    /// The figures of all instances. One that cannot answer shows its last ones, and that it is not up.
    pub(super) async fn figures(&self) -> Vec<InstanceFigures> {
        let mut all = Vec::with_capacity(self.instances.len());
        for instance in &self.instances {
            let figures = match self.copies.leader(instance).figures().await {
                Some(figures) => {
                    instance.last_figures.borrow_mut().clone_from(&figures);
                    figures
                }
                None => not_up(instance),
            };
            all.push(InstanceFigures {
                component: instance.component.index(),
                instance: instance.number,
                figures,
            });
        }
        all
    }
}

fn not_up(instance: &Instance) -> BTreeMap<String, f64> {
    let mut figures = instance.last_figures.borrow().clone();
    figures.insert("up".to_owned(), 0.0);
    figures
}
