//! Copies of stores, and when one of them takes over: so long after the store fell silent as the scenario says. Who took over
//! is found at the store's address, as behind an address that moves; the old store is killed before, whatever state it is in,
//! and is a copy when it comes back.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use scenarios::Scenario;
use scenarios::scenario::ComponentKind;

use super::Supervisor;
use super::instance::Instance;
use crate::message::{Order, Word};
use crate::process::complain;

/// The copies of one store.
#[derive(Debug)]
struct Group {
    copies: Vec<Rc<Instance>>,
    /// Which copy has taken over.
    leader: Cell<Option<usize>>,
}

/// The copies of all stores, by component and instance.
#[derive(Debug)]
pub(super) struct Copies(BTreeMap<(usize, u32), Group>);

impl Copies {
    /// None of them runs yet.
    pub(super) fn new(scenario: &Scenario, instances: &[Rc<Instance>]) -> Self {
        let mut groups = BTreeMap::new();
        for original in instances {
            let ComponentKind::KvStore(store) = &scenario.component(original.component).kind else {
                continue;
            };
            let copies = (1..=store.replicas).map(|number| Rc::new(Instance::copy_of(original, number)));
            let group = Group { copies: copies.collect(), leader: Cell::new(None) };
            groups.insert((original.component.index(), original.number), group);
        }
        Self(groups)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<Instance>> {
        self.0.values().flat_map(|group| &group.copies)
    }

    fn group(&self, original: &Instance) -> Option<&Group> {
        self.0.get(&(original.component.index(), original.number))
    }

    /// Whether a copy has taken the place of this instance.
    pub(super) fn has_taken_over(&self, original: &Instance) -> bool {
        self.group(original).is_some_and(|group| group.leader.get().is_some())
    }

    /// Whom clients find at the address of this instance.
    pub(super) fn leader<'a>(&'a self, original: &'a Instance) -> &'a Instance {
        let leader = self.group(original).and_then(|group| group.copies.get(group.leader.get()?));
        leader.map_or(original, |leader| leader)
    }
}

impl Supervisor {
    /// Lets a copy take over from an instance in due time, if it is still down then.
    pub(super) fn await_failover(self: &Rc<Self>, instance: &Rc<Instance>) {
        let ComponentKind::KvStore(store) = &self.scenario.component(instance.component).kind else { return };
        let Some(wait) = store.failover else { return };
        if !instance.state.get().is_down() || self.copies.has_taken_over(instance) {
            return;
        }
        let (supervisor, instance) = (Rc::clone(self), Rc::clone(instance));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(wait.as_duration()).await;
            // Whoever mends it just now has the right of way.
            let _one_at_a_time = supervisor.applying.lock().await;
            if instance.state.get().is_down() && !supervisor.copies.has_taken_over(&instance) {
                supervisor.fail_over(&instance).await;
            }
        });
    }

    async fn fail_over(&self, instance: &Instance) {
        // Whoever is silent might speak again, and then there would be two.
        instance.state.set(instance.state.get().fenced());
        instance.kill();
        instance.gone().await;
        let Some(group) = self.copies.group(instance) else { return };
        for (number, copy) in group.copies.iter().enumerate() {
            match copy.order(Order::Lead).await {
                Some(Word::Done) => return group.leader.set(Some(number)),
                Some(Word::Failed(error)) => complain(&format!("{} cannot take over: {error}", copy.name)),
                _ => complain(&format!("{} cannot take over: it does not answer", copy.name)),
            }
        }
    }
}
