//! Conservation laws, checked in every run: what goes into an instance comes out, fails or is still inside; and the mean
//! number inside is the arrival rate times the mean time inside (Little 1961).
//!
//! The two sides of each law come from different places. Arrivals and departures are counted where calls cross an
//! instance's border, in `connect`; what is inside at the end is counted in the slab of calls; and the number inside
//! over time comes from the gauges that the component itself keeps of its queue and its workers, which are also what the
//! record tells of it. A request that is lost, counted twice, or leaves a gauge behind breaks one of them.

use std::mem;

use results::Law;

use crate::call::{CLIENT, Call, INSIDE, NOBODY, NOWHERE, Phase};
use crate::gauge::{Moments, Steps};
use crate::instance::{Instance, Kind};
use crate::world::World;

/// The sides of Little's law are sums of integers up to their division: only the division is inexact.
const TOLERANCE: f64 = 1e-9;

/// What crossed the border of an instance, or of the clients of a traffic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Border {
    entered: u64,
    /// Those of them that the intervals that are over have told of.
    told: u64,
    answered: u64,
    failed: u64,
    /// The area below the number inside is the sum of all times inside.
    steps: Steps,
    /// That area, in the intervals that are over.
    inside_nanos: f64,
    /// Level × nanoseconds of the component's own gauges, in the intervals that are over; none where it has none.
    level_nanos: Option<f64>,
}

impl Border {
    #[inline]
    pub(crate) fn enter(&mut self, now: u64) {
        self.entered += 1;
        self.steps.up(now);
    }

    #[inline]
    pub(crate) fn leave(&mut self, now: u64, answered: bool) {
        self.answered += u64::from(answered);
        self.failed += u64::from(!answered);
        self.steps.down(now);
    }

    /// One came in and left at the same instant: it was inside for no time.
    #[inline]
    pub(crate) fn visit(&mut self, answered: bool) {
        self.entered += 1;
        self.answered += u64::from(answered);
        self.failed += u64::from(!answered);
    }

    /// Many came in, and many were answered.
    pub(crate) fn pass(&mut self, entered: Moments, answered: Moments) {
        self.entered += u64::from(entered.count);
        self.answered += u64::from(answered.count);
        self.steps.pass(entered, answered);
    }

    fn inside(&self) -> u64 {
        self.entered - self.answered - self.failed
    }

    /// The instance died, and with it all that was inside.
    pub(crate) fn lose(&mut self, now: u64) {
        let inside = self.inside();
        self.failed += inside;
        self.steps.step_by(inside, now);
    }

    /// How many came in since this was asked last.
    pub(crate) fn take_entered(&mut self) -> u64 {
        self.entered - mem::replace(&mut self.told, self.entered)
    }

    /// The component's own mean level over an interval that ends now.
    pub(crate) fn observe(&mut self, level: f64, now: u64, nanos: u64) {
        let length = nanos as f64;
        *self.level_nanos.get_or_insert(0.0) += level * length;
        let inside = self.inside();
        self.inside_nanos += self.steps.read(inside, now) as f64;
    }

    /// The laws of a run of `nanos`, with so many calls inside at its end.
    fn laws(&self, station: &str, inside: u64, nanos: u64, laws: &mut Vec<Law>) {
        laws.push(Law::flow(station, self.entered, self.answered, self.failed, inside));
        if let Some(level) = self.level_nanos {
            let length = nanos.max(1) as f64;
            laws.push(Law::little(station, level / length, self.inside_nanos / length, TOLERANCE));
        }
    }
}

impl Call {
    /// It crosses the border of its instance, unless it only goes on within it.
    #[inline]
    pub(crate) fn cross(&mut self, instance: &mut Instance, now: u64) {
        if !self.is(INSIDE) && self.from != self.at {
            self.flags |= INSIDE;
            instance.border.enter(now);
        }
    }
}

impl World {
    /// The laws of the run so far. Both sides are read at the end of an interval, or where the run is given up.
    pub(crate) fn laws(&mut self) -> Vec<Law> {
        let (now, mut laws) = (self.now, Vec::new());
        let mut inside = vec![0; self.instances.len()];
        let mut asked = vec![0; self.clients.len()];
        let mut kept = vec![0; self.queues.len()];
        for (_, call) in self.calls.iter() {
            if call.is(INSIDE) {
                inside[usize::from(call.at)] += 1;
            }
            // Commands, statements and borrowed work are done in the slots of those who ask for them.
            if call.phase.is_leaf() && !matches!(call.phase, Phase::ToStore | Phase::ToSql) {
                inside[usize::from(call.leaf)] += 1;
            }
            if call.parent == CLIENT {
                asked[usize::from(call.traffic)] += 1;
            }
            // A message is nobody's call at its queue.
            if call.parent == NOBODY
                && call.from == NOWHERE
                && let Some(queue) =
                    self.instances.get(usize::from(call.at)).filter(|i| i.kind == Kind::Queue)
            {
                kept[usize::from(queue.index)] += 1;
            }
        }
        for (instance, inside) in self.instances.iter().zip(inside) {
            let name = &self.sampler.names[usize::from(instance.component)];
            let station = format!("{name}[{}]", instance.number + 1);
            match instance.kind {
                // Jobs are asked for by nobody.
                Kind::Job => {}
                _ => instance.border.laws(&station, inside, now, &mut laws),
            }
        }
        for (queue, kept) in self.queues.iter().zip(kept) {
            let instance = &self.instances[usize::from(queue.at)];
            let name = &self.sampler.names[usize::from(instance.component)];
            let station = format!("the messages of {name}[{}]", instance.number + 1);
            queue.messages.laws(&station, kept, now, &mut laws);
        }
        for ((client, asked), name) in self.clients.iter().zip(asked).zip(&self.sampler.traffics) {
            client.border.laws(&format!("the clients of {name}"), asked, now, &mut laws);
        }
        laws
    }

    /// A call is over for its instance.
    #[inline]
    pub(crate) fn cross_back(&mut self, slot: u32, answered: bool) {
        let call = &mut self.calls[slot];
        debug_assert!(call.phase != Phase::Free, "a call that is gone crosses nothing");
        if call.is(INSIDE) {
            call.flags &= !INSIDE;
            self.instances[usize::from(call.at)].border.leave(self.now, answered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Border;
    use crate::Simulation;
    use crate::call::INSIDE;
    use results::evidence::LawKind;
    use scenarios::Scenario;

    const TEXT: &str = include_str!("../tests/sim/trouble.toml");

    /// A run, disturbed in the middle by a mistake that the simulator does not make.
    fn violations(mistake: impl FnOnce(&mut Simulation)) -> Vec<String> {
        let scenario = Scenario::parse("trouble.toml", TEXT).expect("the test's scenario is good");
        let mut simulation = Simulation::with_threads(&scenario, 1).expect("the simulator takes it");
        while simulation.progress().reached.as_secs_f64() < 5.0 {
            simulation.advance();
        }
        mistake(&mut simulation);
        while !simulation.advance() {}
        simulation.evidence().violations()
    }

    #[test]
    fn visit_counts_as_one_that_comes_and_leaves_at_the_same_instant() {
        let (mut visited, mut crossed) = (Border::default(), Border::default());
        for (now, answered) in [(3, true), (7, false), (7, true)] {
            visited.visit(answered);
            crossed.enter(now);
            crossed.leave(now, answered);
        }
        let sides = |border: &Border| (border.entered, border.answered, border.failed, border.inside());
        assert_eq!(sides(&visited), sides(&crossed));
        assert_eq!(visited.steps.area(0, 100), crossed.steps.area(0, 100));
    }

    #[test]
    fn whatever_breaks_the_laws_hold() {
        assert_eq!(violations(|_| {}), Vec::<String>::new());
        let scenario = Scenario::parse("trouble.toml", TEXT).expect("the test's scenario is good");
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        while !simulation.advance() {}
        let laws = simulation.evidence().laws;
        for kind in [LawKind::Flow, LawKind::Little] {
            let busy = |station: &str| {
                laws.iter().any(|law| law.law == kind && law.station == station && law.left > 0.0)
            };
            let stations = ["balancer[2]", "varnish[1]", "shop[3]", "objects[1]", "carts[2]", "archive[1]"];
            for station in stations.into_iter().chain(["the messages of invalidations[1]"]) {
                assert!(busy(station), "{station}: {laws:?}");
            }
        }
    }

    #[test]
    fn request_that_vanishes_is_found_and_its_station_named() {
        let found = violations(|simulation| {
            let world = &mut simulation.world;
            let slots = world.calls.slots_where(|c| c.is(INSIDE));
            // It leaves without an answer, as if a component had forgotten it.
            let slot = *slots.first().expect("somebody is inside in the middle of the run");
            world.calls[slot].flags &= !INSIDE;
        });
        assert!(!found.is_empty() && found[0].contains("does not conserve requests"), "{found:?}");
    }

    #[test]
    fn gauge_that_is_left_behind_breaks_littles_law() {
        let found = violations(|simulation| {
            let now = simulation.world.now;
            simulation.world.services[0].in_service.up(now);
        });
        assert!(found.iter().any(|f| f.contains("Little's law")), "{found:?}");
        let found = violations(|simulation| {
            let now = simulation.world.now;
            simulation.world.stores[0].queue.up(now);
        });
        assert!(found.iter().any(|f| f.contains("objects[1]")), "{found:?}");
        let found = violations(|simulation| {
            let now = simulation.world.now;
            simulation.world.queues[0].ready.up(now);
        });
        assert!(found.iter().any(|f| f.contains("the messages of invalidations[1]")), "{found:?}");
    }

    #[test]
    fn message_that_is_counted_twice_is_found_and_its_queue_named() {
        let found = violations(|simulation| {
            let now = simulation.world.now;
            simulation.world.queues[0].messages.enter(now);
        });
        let named = |f: &String| f.contains("the messages of invalidations[1]") && f.contains("conserve");
        assert!(found.iter().any(named), "{found:?}");
    }
}
