//! A rolling deployment: instance after instance is sent nothing new, ends, is started again, and is cold for a while. It
//! goes its way from the beginning of its fault, beside whatever else breaks.

use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::{ComponentKind, Deploy};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Supervisor;
use super::instance::Instance;
use crate::message::Order;
use crate::process::complain;

/// Where an instance stands in a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Phase {
    /// As it was.
    #[default]
    None,
    /// Balancers send it nothing new.
    Drained,
    /// Its process is gone, and balancers were told of it or not.
    Down { held: bool },
    /// Its component does without it at present.
    Absent,
    /// It is there again, and its work takes so many times as long.
    Cold { times: f64 },
}

impl Phase {
    pub(super) fn is_down(self) -> bool {
        matches!(self, Self::Down { .. } | Self::Absent)
    }

    /// How many times as long work takes.
    pub(super) fn times(self) -> f64 {
        match self {
            Self::Cold { times } => times,
            _ => 1.0,
        }
    }

    fn is_held(self) -> bool {
        matches!(self, Self::Drained | Self::Down { held: true } | Self::Absent)
    }
}

/// A deployment under way.
#[derive(Debug)]
pub(super) struct Deployment {
    fault: usize,
    cancel: Rc<Notify>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Begins a deployment, which then goes on by itself.
    pub(super) fn begin_deployment(self: &Rc<Self>, fault: usize, deploy: Deploy) -> Result<(), String> {
        let instances = self.concerned(fault)?;
        let cancel = Rc::<Notify>::default();
        let (supervisor, cancelled) = (Rc::clone(self), Rc::clone(&cancel));
        let task = tokio::task::spawn_local(async move {
            supervisor.deploy(&instances, deploy, &cancelled).await;
        });
        self.deployments.borrow_mut().push(Deployment { fault, cancel, task });
        Ok(())
    }

    /// Ends a deployment, wherever it stands; false where this fault is none that was begun.
    pub(super) async fn end_deployment(&self, fault: usize) -> Result<bool, String> {
        let begun = self.deployments.borrow().iter().position(|deployment| deployment.fault == fault);
        let Some(place) = begun else { return Ok(false) };
        let deployment = self.deployments.borrow_mut().remove(place);
        deployment.cancel.notify_one();
        // It has nothing to return; that it panicked would have been heard.
        let _ = deployment.task.await;
        let mut done = Ok(true);
        for instance in self.concerned(fault)? {
            done = done.and(self.enter(&instance, Phase::None).await.map(|()| true));
        }
        done
    }

    /// Cancelled, it stops between two phases, never in the middle of a start. Who does not answer keeps it from nothing.
    async fn deploy(&self, instances: &[Rc<Instance>], deploy: Deploy, cancelled: &Notify) {
        let [drain, down, warm_up] =
            [deploy.drain, deploy.down, deploy.warm_up].map(|span| span.as_duration());
        let held = drain > Duration::ZERO;
        let phases = [
            (Phase::Drained, drain),
            (Phase::Down { held }, down),
            (Phase::Cold { times: deploy.slower }, warm_up),
            (Phase::None, Duration::ZERO),
        ];
        // What telling and starting takes adds up to nothing: every phase has its time.
        let mut moment = Instant::now();
        for instance in instances {
            for (phase, span) in phases {
                if phase == Phase::None || span > Duration::ZERO {
                    let entered = self.enter(instance, phase).await;
                    if let Err(message) = entered {
                        complain(&format!("a deployment goes on, though {message}"));
                    }
                }
                moment += span;
                if timeout_at(moment, cancelled.notified()).await.is_ok() {
                    return;
                }
            }
        }
    }

    /// Brings an instance into a phase, and tells balancers before it is gone, or once it is there.
    ///
    /// # Errors
    /// The first thing that went wrong. All else is done.
    pub(super) async fn enter(&self, instance: &Instance, phase: Phase) -> Result<(), String> {
        instance.phase.set(phase);
        if phase.is_held() {
            let told = self.tell_balancers(instance).await;
            return told.and(self.apply(instance).await);
        }
        self.apply(instance).await.and(self.tell_balancers(instance).await)
    }

    async fn tell_balancers(&self, instance: &Instance) -> Result<(), String> {
        let mut told = Ok(());
        for balancer in self.instances.iter().filter(|other| self.sends_to(other, instance)) {
            told = told.and(self.tell_holds(balancer).await);
        }
        told
    }

    /// Whether one is a balancer and the other a server of it.
    fn sends_to(&self, balancer: &Instance, server: &Instance) -> bool {
        match &self.scenario.component(balancer.component).kind {
            ComponentKind::LoadBalancer(settings) => settings.to == server.component,
            _ => false,
        }
    }

    /// Tells a balancer which servers are to be sent nothing new, as far as it does not know. One that is silent or dead
    /// is told when it is back.
    pub(super) async fn tell_holds(&self, balancer: &Instance) -> Result<(), String> {
        for server in self.instances.iter().filter(|server| self.sends_to(balancer, server)) {
            let held = server.phase.get().is_held();
            let knows = balancer.holds.borrow().contains(&server.number) == held;
            if knows || !balancer.child.is_alive() || balancer.state.get().is_silent() {
                continue;
            }
            // An order that is not answered may be followed later: the server is held until the contrary is heard.
            if held {
                balancer.holds.borrow_mut().insert(server.number);
            }
            Self::tell(balancer, Order::Hold { server: server.number, held }).await?;
            if !held {
                balancer.holds.borrow_mut().remove(&server.number);
            }
        }
        Ok(())
    }
}
