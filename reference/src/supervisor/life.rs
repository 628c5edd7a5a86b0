//! Processes that die without being told to, and are started again: by themselves, or by chance, as the scenario says.

use std::rc::Rc;
use std::time::Duration;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Breakdowns;
use tokio::time::{Instant, sleep, sleep_until};

use super::Supervisor;
use super::instance::Instance;
use super::machine::Machine;
use crate::process::complain;

/// A process that died by itself is started again after this, then after twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After so long without a death the next one counts as the first.
const STEADY: Duration = Duration::from_secs(10);

/// The purposes of the simulator's streams, so that the same things break at the same times in both worlds.
const OF_HOSTS: Purpose = Purpose::named("breakdowns-of-hosts");
const OF_COMPONENTS: Purpose = Purpose::named("breakdowns-of-components");

impl Supervisor {
    /// Starts an instance's process again whenever it dies without anybody's order.
    pub(super) async fn watch_over(self: Rc<Self>, instance: Rc<Instance>) {
        let deaths = instance.child.deaths();
        let (mut pause, mut last) = (FIRST_PAUSE, None::<Instant>);
        loop {
            deaths.notified().await;
            if last.is_some_and(|last| last.elapsed() > STEADY) {
                pause = FIRST_PAUSE;
            }
            self.lose(&instance).await;
            while !instance.state.get().is_mended(&self.wanted(&instance)) {
                sleep(pause + self.scenario.component(instance.component).restart.as_duration()).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                if let Err(error) = self.apply(&instance).await {
                    complain(&error);
                }
            }
            last = Some(Instant::now());
        }
    }

    /// A process has died: whoever depends on it is told.
    async fn lose(self: &Rc<Self>, instance: &Rc<Instance>) {
        {
            let _one_at_a_time = self.applying.lock().await;
            if instance.child.is_alive() {
                return;
            }
            instance.state.set(instance.state.get().fenced());
            instance.outages.set(instance.outages.get() + 1);
            if let Err(error) = self.tell_network(instance).await {
                complain(&error);
            }
        }
        self.await_failover(instance);
        self.note_death(instance);
    }

    /// Lets machines and processes die by chance, from now on.
    pub(super) fn break_down(self: &Rc<Self>) {
        for (id, host) in self.scenario.host_ids().zip(&self.scenario.hosts) {
            let Some(laws) = host.breakdowns else { continue };
            for number in 0..host.count {
                let stream = self.scenario.run.seed;
                let stream = Stream::new(stream, OF_HOSTS.of(id.index() as u64), u64::from(number));
                let hit = self.those(|_, host, n| host == id.index() && n == number);
                let machine = Some((id.index(), number));
                tokio::task::spawn_local(Rc::clone(self).take_turns(hit, machine, laws, stream));
            }
        }
        for instance in &self.instances {
            let component = instance.component.index() as u64;
            let Some(laws) = self.scenario.component(instance.component).breakdowns else { continue };
            let purpose = OF_COMPONENTS.of(component);
            let stream = Stream::new(self.scenario.run.seed, purpose, u64::from(instance.number));
            let hit = vec![Rc::clone(instance)];
            tokio::task::spawn_local(Rc::clone(self).take_turns(hit, None, laws, stream));
        }
    }

    /// What is hit works and is dead, in turn: some instances, or all that is on a machine.
    async fn take_turns(
        self: Rc<Self>,
        hit: Vec<Rc<Instance>>,
        machine: Option<Machine>,
        laws: Breakdowns,
        mut stream: Stream,
    ) {
        // What starting takes adds up to nothing: each turn has its time.
        let mut moment = Instant::now();
        for is_down in [true, false].into_iter().cycle() {
            let law = if is_down { laws.up } else { laws.down };
            moment += law.sample(&mut stream).as_duration();
            sleep_until(moment).await;
            if let Some(machine) = machine {
                self.jobs.break_down(&self.scenario, machine, is_down);
            }
            for instance in &hit {
                // A store that has given its place up is not the one that breaks any more.
                let broken = if is_down { self.copies.leader(instance) } else { Rc::clone(instance) };
                let done = if is_down {
                    broken.break_down(machine.is_some());
                    let applied = self.apply(&broken).await;
                    self.await_failover(&broken);
                    self.note_death(&broken);
                    applied
                } else {
                    self.mend_members(instance, machine.is_some()).await
                };
                if let Err(error) = done {
                    complain(&error);
                }
            }
        }
    }

    /// Whoever broke down with an instance, which may not lead any more, is started again.
    async fn mend_members(self: &Rc<Self>, instance: &Rc<Instance>, is_machine: bool) -> Result<(), String> {
        for member in self.copies.members(instance) {
            if member.recover(is_machine) {
                self.mend(&member).await?;
            }
        }
        Ok(())
    }

    /// Brings an instance into its state after something that broke it is over. A process that starts takes its time until
    /// it answers.
    pub(super) async fn mend(self: &Rc<Self>, instance: &Rc<Instance>) -> Result<(), String> {
        let takes = self.scenario.component(instance.component).restart.as_duration();
        if takes.is_zero() || !instance.state.get().is_killed() || self.wanted(instance).is_killed() {
            return self.apply(instance).await;
        }
        instance.starts_at.set(Some(Instant::now() + takes));
        let (supervisor, instance) = (Rc::clone(self), Rc::clone(instance));
        tokio::task::spawn_local(async move {
            sleep(takes).await;
            if let Err(error) = supervisor.apply(&instance).await {
                complain(&error);
            }
        });
        Ok(())
    }
}
