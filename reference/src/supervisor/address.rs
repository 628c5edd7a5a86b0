//! Virtual addresses: which instance listens on one that several share. They elect it among themselves (see [`crate::vrrp`]);
//! here it is made sure that there is one holder at a time, and a dead one's machine gives up what it held.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{ComponentId, FaultKind, FaultTarget, Vip};
use socket2::Socket;

use super::Supervisor;
use super::instance::Instance;
use super::network;
use crate::message::{Order, Stage, Word};
use crate::process::complain;
use crate::{addresses, socket, vrrp};

const PHASE: Purpose = Purpose::named("reference-vip-phase");

/// An address, and who has it.
#[derive(Debug)]
struct Shared {
    rules: Vip,
    address: SocketAddr,
    /// The port stays ours while nobody listens.
    _reservation: Socket,
    /// The names of the sockets on which the instances hear each other.
    names: Vec<String>,
    holder: Cell<u32>,
}

/// All of them, by component.
#[derive(Debug)]
pub(super) struct SharedAddresses(BTreeMap<ComponentId, Shared>);

impl SharedAddresses {
    /// The first instances hold them. `secret` is known to this stack alone.
    pub(super) fn new(scenario: &Scenario, stage: &Stage, secret: &str) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for id in scenario.component_ids() {
            let component = scenario.component(id);
            let Some(rules) = vrrp::of(&component.kind) else { continue };
            let port = if network::clients_have_door(scenario, id) { 0 } else { stage.port(id.index())? };
            let wanted = SocketAddr::new(addresses::shared(component.host.index()), port);
            let reserved = socket::reserve(wanted).and_then(|socket| Ok((socket.local_addr()?, socket)));
            let (address, reservation) = reserved.map_err(|error| format!("no port at {wanted}: {error}"))?;
            let address = address.as_socket().ok_or("a virtual address has no address")?;
            let name = |number| format!("rehearsal-{secret}-{}-{number}", id.index());
            let names = (0..scenario.instances(id)).map(name).collect();
            let holder = Cell::new(0);
            all.insert(id, Shared { rules, address, _reservation: reservation, names, holder });
        }
        Ok(Self(all))
    }

    /// The address that the instances of a component share.
    pub(super) fn of(&self, component: ComponentId) -> Option<SocketAddr> {
        self.0.get(&component).map(|shared| shared.address)
    }

    /// The names of the sockets on which they hear each other.
    pub(super) fn names(&self, component: ComponentId) -> Vec<String> {
        self.0.get(&component).map_or_else(Vec::new, |shared| shared.names.clone())
    }

    /// Whether clients find this instance at its address, or at least no other.
    pub(super) fn holds(&self, instance: &Instance) -> bool {
        self.0.get(&instance.component).is_none_or(|shared| shared.holder.get() == instance.number)
    }
}

impl Supervisor {
    /// Hears the claims of an instance that shares its address, as long as it is there.
    pub(super) async fn hear_claims(self: Rc<Self>, instance: Rc<Instance>) {
        let claims = instance.child.claims();
        loop {
            claims.notified().await;
            let _one_at_a_time = self.applying.lock().await;
            if let Err(error) = self.hand_over(&instance).await {
                complain(&format!("{} does not get its address: {error}", instance.name()));
            }
        }
    }

    /// Gives an instance the address that it claims, after it was taken from the one that has it. A holder that is well, and
    /// would not follow, keeps it: its advertisements were only late. One that claims what it is to have already does not
    /// listen there yet.
    async fn hand_over(&self, claimant: &Rc<Instance>) -> Result<(), String> {
        let Some(shared) = self.shared.0.get(&claimant.component) else { return Ok(()) };
        let holder = shared.holder.get();
        if claimant.state.get().is_down() || !claimant.child.is_alive() {
            return Ok(());
        }
        if holder == claimant.number {
            return self.have_it_listen(claimant).await;
        }
        let has_it = |i: &&Rc<Instance>| i.component == claimant.component && i.number == holder;
        let Some(before) = self.instances.iter().find(has_it) else { return Ok(()) };
        let is_up = before.child.is_alive() && !before.state.get().is_down();
        // It may hang by itself, which only shows when it is asked.
        let follows = shared.rules.preempt && claimant.number < holder;
        if is_up && !follows && before.figures().await.is_some() {
            return Ok(());
        }
        // It might speak again, or be speaking to clients still; and these are to hear that it is over.
        before.child.kill();
        before.child.gone().await;
        before.state.set(before.state.get().fenced());
        shared.holder.set(claimant.number);
        let taken = self.have_it_listen(claimant).await;
        if is_up {
            self.adjust(before).await?;
        }
        taken
    }

    /// Has the holder of an address listen there. One that cannot, or does not answer, is started again, as a process that
    /// holds the address from its start.
    async fn have_it_listen(&self, holder: &Instance) -> Result<(), String> {
        match holder.order(Order::Lead).await {
            Some(Word::Done) => self.network.set_down(holder, false).await,
            other => {
                let name = holder.name();
                complain(&format!("{name} starts again: the order to listen was answered by {other:?}"));
                holder.child.kill();
                holder.child.gone().await;
                holder.state.set(holder.state.get().fenced());
                self.adjust(holder).await
            }
        }
    }

    /// A process died that may hold an address. Its machine notices that it is gone, if it is not gone itself, and gives the
    /// address up.
    pub(super) fn note_death(self: &Rc<Self>, instance: &Rc<Instance>) {
        let Some(shared) = self.shared.0.get(&instance.component) else { return };
        let is_machine = |fault: &usize| {
            let fault = &self.scenario.faults[*fault];
            fault.kind == FaultKind::Kill && matches!(fault.targets[..], [FaultTarget::Host(..), ..])
        };
        let machine_lives = !instance.is_machine_down() && !instance.faults.borrow().iter().any(is_machine);
        if shared.holder.get() != instance.number || !machine_lives || instance.child.is_alive() {
            return;
        }
        let outage = instance.outages.get();
        let phase = Stream::new(self.scenario.run.seed, PHASE.of(u64::from(instance.number)), outage).unit();
        let wait = shared.rules.check.as_duration().mul_f64(phase);
        let (supervisor, instance) = (Rc::clone(self), Rc::clone(instance));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(wait).await;
            if !instance.child.is_alive() && instance.outages.get() == outage {
                supervisor.resign(&instance);
            }
        });
    }

    /// Says in the name of a dead holder that it gives its address up.
    fn resign(&self, instance: &Instance) {
        let Some(shared) = self.shared.0.get(&instance.component) else { return };
        if let Ok(speaker) = UnixDatagram::unbound().and_then(|s| s.set_nonblocking(true).map(|()| s)) {
            for name in &shared.names {
                // Who is not there hears nothing.
                let _ = vrrp::socket_address(name).and_then(|to| speaker.send_to_addr(&[vrrp::RESIGNS], &to));
            }
        }
    }
}
