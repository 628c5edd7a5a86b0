//! The network between the machines: the relay's process, and which addresses lead through it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use scenarios::Scenario;
use scenarios::scenario::{ComponentId, ComponentKind, FaultKind};
use socket2::Socket;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::Supervisor;
use super::child::Child;
use super::instance::Instance;
use crate::message::{DoorSetup, RelayOrder, RelaySetup, Stage, Word};
use crate::process::{Role, complain};
use crate::relay::network::{Machine, is_ever_unplugged, matters};
use crate::{addresses, socket, vrrp};

/// The most addresses that lead through the relay.
pub(crate) const DOORS_LIMIT: usize = 4000;

/// Between two attempts to start the relay again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Who dies while it is told something falls silent a moment before it is known to be dead.
const DEATH_PATIENCE: Duration = Duration::from_secs(2);

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
    /// What it was told first.
    setup: RefCell<Option<RelaySetup>>,
    /// What it was told since, and is told again when it starts again; held by whoever tells it.
    told: Mutex<Told>,
    /// The ports stay ours while a door refuses.
    _reservations: Vec<Socket>,
}

/// What differs from the state in which the relay starts.
#[derive(Debug, Default, PartialEq)]
struct Told {
    lasting: BTreeSet<usize>,
    down: BTreeSet<(usize, u32)>,
}

impl Told {
    fn note(&mut self, order: &RelayOrder) {
        let _was = match *order {
            RelayOrder::Trouble { fault, lasts: true } => self.lasting.insert(fault),
            RelayOrder::Trouble { fault, lasts: false } => self.lasting.remove(&fault),
            RelayOrder::Down { component, instance, is_down: true } => {
                self.down.insert((component, instance))
            }
            RelayOrder::Down { component, instance, is_down: false } => {
                self.down.remove(&(component, instance))
            }
        };
    }

    /// The orders that bring a new one there.
    fn orders(&self) -> impl Iterator<Item = RelayOrder> {
        let troubles = self.lasting.iter().map(|fault| RelayOrder::Trouble { fault: *fault, lasts: true });
        let down = self.down.iter();
        troubles.chain(down.map(|&(component, instance)| RelayOrder::Down {
            component,
            instance,
            is_down: true,
        }))
    }
}

/// Every pair of a machine and an instance that it may connect to by a way that matters; more than [`DOORS_LIMIT`] are not
/// all told.
pub(crate) fn ways(scenario: &Scenario) -> Vec<(Machine, ComponentId, u32)> {
    let mut ways = BTreeSet::new();
    let mut add = |from: Machine, to: ComponentId| {
        let host = scenario.component(to).host;
        let is_unplugged = is_ever_unplugged(scenario, to);
        for number in 0..scenario.instances(to) {
            let machine = Some((host, number));
            let matters = matters(scenario, from, machine) || is_unplugged && from != machine;
            if ways.len() <= DOORS_LIMIT && matters {
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
    let matters = matters(scenario, None, to) || is_ever_unplugged(scenario, component);
    matters && scenario.traffic.iter().any(|traffic| traffic.to == component)
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
            let (setup, told) = (RefCell::default(), Mutex::default());
            network.relay = Some(Relay { child, doors, setup, told, _reservations: reservations });
        }
        Ok(network)
    }

    /// Starts it; returns when it listens.
    pub(super) async fn start(&self, stage: &Stage) -> Result<(), String> {
        let Some(relay) = &self.relay else { return Ok(()) };
        let setup = RelaySetup {
            path: stage.path.clone(),
            text: stage.text.clone(),
            engines: stage.engines.clone(),
            doors: relay.doors.clone(),
        };
        *relay.setup.borrow_mut() = Some(setup);
        relay.start().await
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

    /// A fault of the network begins or ends; false where it is of another kind, or concerns others as well.
    pub(super) async fn trouble(&self, fault: usize, kind: FaultKind, lasts: bool) -> Result<bool, String> {
        let is_ours = matches!(
            kind,
            FaultKind::Partition | FaultKind::PacketDelay { .. } | FaultKind::PacketLoss { .. }
        );
        if is_ours || kind == FaultKind::Unplug {
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
        let mut told = relay.told.lock().await;
        told.note(&order);
        match relay.order(&order).await {
            // It is told when it has started again.
            Err(_) if timeout(DEATH_PATIENCE, relay.child.gone()).await.is_ok() => Ok(()),
            done => done,
        }
    }
}

impl Relay {
    async fn start(&self) -> Result<(), String> {
        let spawned = match &*self.setup.borrow() {
            Some(setup) => self.child.spawn(setup).map_err(|error| error.to_string()),
            None => Err("was not prepared".to_owned()),
        };
        spawned?;
        self.child.ready().await
    }

    async fn order(&self, order: &RelayOrder) -> Result<(), String> {
        match self.child.order(order).await {
            Some(Word::Done) => Ok(()),
            other => Err(format!("the network: {order:?} was answered by {other:?}")),
        }
    }

    /// Starts it again after its death, as the network is by now.
    async fn restart(&self) -> Result<(), String> {
        let told = self.told.lock().await;
        self.child.gone().await;
        self.start().await?;
        for order in told.orders() {
            self.order(&order).await?;
        }
        Ok(())
    }
}

impl Supervisor {
    /// Starts the relay again whenever it dies.
    pub(super) async fn watch_over_network(self: Rc<Self>) {
        let Some(relay) = &self.network.relay else { return };
        let deaths = relay.child.deaths();
        loop {
            deaths.notified().await;
            if relay.child.is_alive() {
                // It was a death of one that did not get as far as to be ready.
                continue;
            }
            while let Err(error) = relay.restart().await {
                complain(&format!("the network does not start again: {error}"));
                relay.child.kill();
                sleep(RESTART_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Told;
    use crate::message::RelayOrder;

    #[test]
    fn a_relay_that_starts_again_is_told_what_lasts_and_nothing_else() {
        let mut told = Told::default();
        for order in [
            RelayOrder::Trouble { fault: 0, lasts: true },
            RelayOrder::Trouble { fault: 1, lasts: true },
            RelayOrder::Trouble { fault: 0, lasts: false },
            RelayOrder::Down { component: 2, instance: 0, is_down: true },
            RelayOrder::Down { component: 2, instance: 1, is_down: true },
            RelayOrder::Down { component: 2, instance: 0, is_down: false },
        ] {
            told.note(&order);
        }
        let mut again = Told::default();
        told.orders().for_each(|order| again.note(&order));
        assert_eq!(again, told);
        assert_eq!(told.orders().count(), 2);
    }
}
