//! Copies of stores, and when one of them takes over: so long after the store fell silent as the scenario says. Who took over
//! is found at the store's address, as behind an address that moves; the old store is killed before, whatever state it is in,
//! and is a copy when it comes back.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use scenarios::Scenario;
use scenarios::scenario::ComponentKind;

use super::Supervisor;
use super::instance::Instance;
use crate::message::{Order, Word};
use crate::process::complain;

/// One store: the instance that began as it, then those that began as its copies.
#[derive(Debug)]
struct Group {
    members: Vec<Rc<Instance>>,
    /// Which of them clients talk to.
    leader: Cell<usize>,
}

/// The copies of all stores, by component and instance.
#[derive(Debug)]
pub(super) struct Copies(BTreeMap<(usize, u32), Group>);

impl Copies {
    /// None of them runs yet.
    ///
    /// # Errors
    /// Where there is no room for files of theirs.
    pub(super) fn new(scenario: &Scenario, instances: &[Rc<Instance>]) -> io::Result<Self> {
        let mut groups = BTreeMap::new();
        for original in instances {
            let ComponentKind::KvStore(store) = &scenario.component(original.component).kind else {
                continue;
            };
            let copy = |number| Instance::copy_of(original, number).with_snapshots(store.snapshot.is_some());
            let copies = (1..=store.replicas).map(|number| copy(number).map(Rc::new));
            let members =
                std::iter::once(Ok(Rc::clone(original))).chain(copies).collect::<io::Result<_>>()?;
            let group = Group { members, leader: Cell::new(0) };
            groups.insert((original.component.index(), original.number), group);
        }
        Ok(Self(groups))
    }

    /// All that began as copies.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<Instance>> {
        self.0.values().flat_map(|group| &group.members[1..])
    }

    fn group(&self, member: &Instance) -> Option<&Group> {
        self.0.get(&(member.component.index(), member.number))
    }

    /// Whether clients find this instance at its address, rather than another that took its place.
    pub(super) fn leads(&self, member: &Instance) -> bool {
        self.group(member)
            .is_none_or(|group| std::ptr::eq(&raw const *group.members[group.leader.get()], member))
    }

    /// Whom clients find at the address of this instance.
    pub(super) fn leader(&self, member: &Rc<Instance>) -> Rc<Instance> {
        Rc::clone(self.group(member).map_or(member, |group| &group.members[group.leader.get()]))
    }

    /// All that are the same store, or the instance alone.
    pub(super) fn members(&self, member: &Rc<Instance>) -> Vec<Rc<Instance>> {
        self.group(member).map_or_else(|| vec![Rc::clone(member)], |group| group.members.clone())
    }
}

impl Supervisor {
    /// What a store sent that is unplugged now, and that is still on the way, is lost to its copies. What one sent that hangs
    /// arrives, as with a real pair.
    pub(super) async fn cut_off_copies(&self, instance: &Instance) {
        if !self.copies.leads(instance) {
            return;
        }
        let Some(group) = self.copies.group(instance) else { return };
        for copy in &group.members {
            if !std::ptr::eq(&raw const **copy, instance) && !copy.state.get().is_down() {
                // One that does not answer loses nothing: it will find the store gone.
                let _ = copy.order(Order::Cut).await;
            }
        }
    }

    /// What of a store's history, in bytes, the copy that is furthest behind lacks; none where there is no copy. One that does
    /// not answer, or knows no history from its beginning, lacks all of it.
    pub(super) async fn lag(&self, leader: &Rc<Instance>, figures: &BTreeMap<String, f64>) -> Option<f64> {
        let history = *figures.get("history_bytes")?;
        let mut lag = None;
        for copy in self.copies.members(leader).iter().filter(|copy| !Rc::ptr_eq(copy, leader)) {
            let is_down = || copy.state.get().is_down();
            let known = match copy.child.order_unless(is_down, &Order::Position).await {
                Some(Word::Position(Some(position))) => position as f64,
                _ => 0.0,
            };
            lag = Some((history - known).max(lag.unwrap_or(0.0)));
        }
        lag
    }

    /// Lets a copy take over from an instance in due time, if it has been down until then.
    pub(super) fn await_failover(self: &Rc<Self>, instance: &Rc<Instance>) {
        let ComponentKind::KvStore(store) = &self.scenario.component(instance.component).kind else { return };
        let Some(wait) = store.failover else { return };
        if !instance.state.get().is_down() || !self.copies.leads(instance) {
            return;
        }
        let outage = instance.outages.get();
        let (supervisor, instance) = (Rc::clone(self), Rc::clone(instance));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(wait.as_duration()).await;
            // Whoever mends it just now has the right of way.
            let _one_at_a_time = supervisor.applying.lock().await;
            // One that was mended meanwhile and is down again has another timer.
            let is_the_same = instance.state.get().is_down() && instance.outages.get() == outage;
            if is_the_same && supervisor.copies.leads(&instance) {
                supervisor.fail_over(&instance).await;
            }
        });
    }

    async fn fail_over(&self, instance: &Instance) {
        // Whoever is silent might speak again, and then there would be two.
        instance.state.set(instance.state.get().fenced());
        instance.child.kill();
        instance.child.gone().await;
        let Some(group) = self.copies.group(instance) else { return };
        if let Err(error) = self.network.set_down(instance, true).await {
            complain(&error);
        }
        // Whoever knows most comes first; whoever is being filled has lost what it had, and is no store yet.
        let mut candidates = Vec::new();
        for (number, copy) in group.members.iter().enumerate() {
            if std::ptr::eq(&raw const **copy, instance) || copy.state.get().is_down() {
                continue;
            }
            if let Some(Word::Position(Some(position))) = copy.order(Order::Position).await {
                candidates.push((Reverse(position), number));
            }
        }
        candidates.sort_unstable();
        if candidates.is_empty() {
            complain(&format!("{} has no copy that could take over", instance.name()));
        }
        for (_, number) in candidates {
            let copy = &group.members[number];
            match copy.order(Order::Lead).await {
                Some(Word::Done) => {
                    group.leader.set(number);
                    if let Err(error) = self.network.set_down(copy, false).await {
                        complain(&error);
                    }
                    return;
                }
                Some(Word::Failed(error)) => complain(&format!("{} cannot take over: {error}", copy.name())),
                _ => complain(&format!("{} cannot take over: it does not answer", copy.name())),
            }
        }
    }
}
