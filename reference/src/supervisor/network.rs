//! The network between the machines: the relay's process, and which addresses lead through it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

use scenarios::Scenario;
use scenarios::scenario::{ComponentId, ComponentKind, FaultKind};
use socket2::Socket;

use super::child::Child;
use super::instance::Instance;
use crate::message::{DoorSetup, RelayOrder, RelaySetup, Stage, Word};
use crate::process::Role;
use crate::relay::network::{Machine, matters};
use crate::{addresses, socket, vrrp};

/// The most addresses that lead through the relay.
pub(crate) const DOORS_LIMIT: usize = 4000;

/// A machine, as the relay is told of it.
type Spot = Option<(usize, u32)>;

/// The network.
#[derive(Debug)]
pub(super) struct Network {
    /// None where no way differs from none.
    relay: Option<Relay>,
    /// By from where, which component and which instance of it.
    doors: BTreeMap<(Spot, usize, u32), SocketAddr>,
    /// Components whose instances share an address.
    shared: BTreeSet<usize>,
}

#[derive(Debug)]
struct Relay {
    child: Child,
    doors: Vec<DoorSetup>,
    /// The ports stay ours while a door refuses.
    _reservations: Vec<Socket>,
}

/// Every pair of a machine and an instance that it may connect to by a way that matters; more than [`DOORS_LIMIT`] are not
/// all told.
pub(crate) fn ways(scenario: &Scenario) -> Vec<(Machine, ComponentId, u32)> {
    let mut ways = BTreeSet::new();
    let mut add = |from: Machine, to: ComponentId| {
        let host = scenario.component(to).host;
        for number in 0..scenario.instances(to) {
            if ways.len() <= DOORS_LIMIT && matters(scenario, from, Some((host, number))) {
                ways.insert((from, to, number));
            }
        }
    };
    for traffic in &scenario.traffic {
        add(None, traffic.to);
    }
    for id in scenario.component_ids() {
        let component = scenario.component(id);
        let called: Vec<ComponentId> = match (&component.kind, component.kind.forwards_to()) {
            (_, Some(to)) => vec![to],
            (ComponentKind::KvStore(_) | ComponentKind::SqlStore(_), _) => continue,
            _ => scenario.component_ids().collect(),
        };
        for number in 0..scenario.instances(id) {
            called.iter().for_each(|to| add(Some((component.host, number)), *to));
        }
    }
    ways.into_iter().collect()
}

/// Whether clients find a component by addresses of the relay's.
pub(super) fn clients_have_door(scenario: &Scenario, component: ComponentId) -> bool {
    let to = Some((scenario.component(component).host, 0));
    scenario.traffic.iter().any(|traffic| traffic.to == component) && matters(scenario, None, to)
}

impl Network {
    /// Nothing of it runs yet.
    pub(super) fn new(
        scenario: &Scenario,
        stage: &Stage,
        instances: &[Rc<Instance>],
    ) -> Result<Self, String> {
        let is_shared = |id: &ComponentId| vrrp::of(&scenario.component(*id).kind).is_some();
        let shared = scenario.component_ids().filter(is_shared).map(|id| id.index()).collect();
        let mut network = Self { relay: None, doors: BTreeMap::new(), shared };
        let (mut doors, mut reservations) = (Vec::new(), Vec::new());
        for (from, to, number) in ways(scenario) {
            if number > 0 && vrrp::of(&scenario.component(to).kind).is_some() {
                // All that share an address are found through one door.
                continue;
            }
            let is_it = |i: &&Rc<Instance>| i.component == to && i.number == number;
            let Some(instance) = instances.iter().find(is_it) else { continue };
            let from = from.map(|(host, number)| (host.index(), number));
            let port = if from.is_none() { stage.port(to.index())? } else { 0 };
            let wanted = SocketAddr::new(addresses::machine(instance.host, number), port);
            let reserved = socket::reserve(wanted).and_then(|socket| Ok((socket.local_addr()?, socket)));
            let (address, reservation) = reserved.map_err(|error| format!("no port at {wanted}: {error}"))?;
            let address = address.as_socket().ok_or("a door has no address")?;
            doors.push(DoorSetup {
                from,
                to: (instance.host, number),
                instance: (to.index(), number),
                address,
                target: instance.address,
            });
            reservations.push(reservation);
            network.doors.insert((from, to.index(), number), address);
        }
        if !doors.is_empty() {
            let child = Child::new("network".to_owned(), Role::Relay);
            network.relay = Some(Relay { child, doors, _reservations: reservations });
        }
        Ok(network)
    }

    /// Starts it; returns when it listens.
    pub(super) async fn start(&self, stage: &Stage) -> Result<(), String> {
        let Some(relay) = &self.relay else { return Ok(()) };
        let setup =
            RelaySetup { path: stage.path.clone(), text: stage.text.clone(), doors: relay.doors.clone() };
        relay.child.spawn(&setup).map_err(|error| error.to_string())?;
        relay.child.ready().await
    }

    pub(super) fn child(&self) -> Option<&Child> {
        self.relay.as_ref().map(|relay| &relay.child)
    }

    /// Where an instance is found from a machine, or by the clients.
    pub(super) fn address(&self, from: Spot, instance: &Instance) -> SocketAddr {
        let (component, number) = self.found_as(instance);
        let door = (from, component, number);
        self.doors.get(&door).copied().unwrap_or(instance.address)
    }

    /// The component and the number of the instance under which one is found.
    fn found_as(&self, instance: &Instance) -> (usize, u32) {
        let component = instance.component.index();
        (component, if self.shared.contains(&component) { 0 } else { instance.number })
    }

    /// A fault of the network begins or ends; false where it is of another kind.
    pub(super) async fn trouble(&self, fault: usize, kind: FaultKind, lasts: bool) -> Result<bool, String> {
        let is_ours = matches!(
            kind,
            FaultKind::Partition | FaultKind::PacketDelay { .. } | FaultKind::PacketLoss { .. }
        );
        if is_ours {
            self.tell(RelayOrder::Trouble { fault, lasts }).await?;
        }
        Ok(is_ours)
    }

    /// Nobody listens at an instance's address any more, or somebody does again.
    pub(super) async fn set_down(&self, instance: &Instance, is_down: bool) -> Result<(), String> {
        let (component, number) = self.found_as(instance);
        self.tell(RelayOrder::Down { component, instance: number, is_down }).await
    }

    async fn tell(&self, order: RelayOrder) -> Result<(), String> {
        let Some(relay) = &self.relay else { return Ok(()) };
        match relay.child.order(&order).await {
            Some(Word::Done) => Ok(()),
            other => Err(format!("the network: {order:?} was answered by {other:?}")),
        }
    }
}
