//! Processes that die without being told to, and are started again: by themselves, or by chance, as the scenario says.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Breakdowns, Restarts};
use tokio::time::{Instant, sleep, sleep_until};

use super::Supervisor;
use super::instance::Instance;
use super::machine::Machine;
use crate::process::complain;

/// The deaths of a process without anybody's order, and what follows them: the scenario's `restarts`, or else its defaults.
#[derive(Debug)]
struct Deaths {
    rules: Restarts,
    /// Those that still count, since some beginning.
    lately: VecDeque<Duration>,
    /// How long it stays dead the next time.
    pause: Duration,
    /// When it was last started again.
    started: Option<Duration>,
}

impl Deaths {
    fn new(rules: Restarts) -> Self {
        Self { rules, lately: VecDeque::new(), pause: rules.after.as_duration(), started: None }
    }

    /// It has died; whether it is started again.
    fn add(&mut self, now: Duration) -> bool {
        let within = self.rules.within.as_duration();
        self.lately.retain(|death| now.saturating_sub(*death) <= within);
        self.lately.push_back(now);
        if self.started.is_some_and(|started| now.saturating_sub(started) > within) {
            self.pause = self.rules.after.as_duration();
        }
        self.rules.times.is_none_or(|times| self.lately.len() <= times as usize)
    }

    /// How long it stays dead before the next try to start it.
    fn pause(&mut self) -> Duration {
        let next = (2 * self.pause).min(self.rules.at_most.as_duration());
        std::mem::replace(&mut self.pause, next)
    }
}

/// The purposes of the simulator's streams, so that the same things break at the same times in both worlds.
const OF_HOSTS: Purpose = Purpose::named("breakdowns-of-hosts");
const OF_COMPONENTS: Purpose = Purpose::named("breakdowns-of-components");

impl Supervisor {
    /// Starts an instance's process again whenever it dies without anybody's order.
    pub(super) async fn watch_over(self: Rc<Self>, instance: Rc<Instance>) {
        let died = instance.child.deaths();
        let component = self.scenario.component(instance.component);
        let (beginning, mut deaths) = (Instant::now(), Deaths::new(component.restarts.unwrap_or_default()));
        loop {
            died.notified().await;
            let is_started_again = deaths.add(beginning.elapsed());
            instance.left_dead.set(!is_started_again);
            self.lose(&instance).await;
            if !is_started_again {
                complain(&format!("{} has died too often and is left dead", instance.name()));
            }
            while !instance.state.get().is_mended(&self.wanted(&instance)) {
                sleep(deaths.pause() + component.restart.as_duration()).await;
                if let Err(error) = self.apply(&instance).await {
                    complain(&error);
                }
            }
            deaths.started = Some(beginning.elapsed());
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
        instance.left_dead.set(false);
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

#[cfg(test)]
mod tests {
    use scenarios::units::SimTime;

    use super::*;

    fn deaths(times: Option<u32>) -> Deaths {
        let mut rules = Restarts::default();
        (rules.after, rules.at_most) = (SimTime::from_secs(1), SimTime::from_secs(3));
        rules.times = times;
        Deaths::new(rules)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_starts_anew_after_a_steady_while() {
        let mut deaths = deaths(None);
        for (death, pause) in [(20, 1), (22, 2), (35, 3), (36, 3), (51, 1)] {
            assert!(deaths.add(death * SECOND));
            assert_eq!(deaths.pause(), pause * SECOND, "at {death} s");
            // It takes a second to start.
            deaths.started = Some((death + pause + 1) * SECOND);
        }
    }

    #[test]
    fn so_many_deaths_within_a_time_are_mended_and_no_more() {
        let mut twice = deaths(Some(2));
        assert_eq!([0, 5, 10, 21].map(|death| twice.add(death * SECOND)), [true, true, false, true]);
        assert!(!deaths(Some(0)).add(SECOND), "never");
    }
}
