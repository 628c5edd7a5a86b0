//! What was recorded so far: pieces of one run, or whole replications.

use crate::facts::ScenarioFacts;
use crate::frame::Frame;
use crate::outcome::World;
use crate::provenance::Provenance;
use crate::record::{Gathered, RunRecord};
use crate::recorder::{Delta, merge_slots};
use crate::recovery::{self, Slot};
use crate::replications::{Collector, Replications};
use crate::sample::Sample;
use crate::tally::Tallies;

/// What was recorded so far.
#[derive(Debug)]
pub(crate) struct Pool {
    tallies: Tallies,
    slots: Vec<Slot>,
    gathered: Gathered,
    intervals: usize,
    collector: Option<Collector>,
    pub(crate) stopped: Option<String>,
}

impl Pool {
    pub(crate) fn new(frame: &Frame) -> Self {
        Self {
            tallies: Tallies::new(frame),
            slots: vec![Slot::default(); recovery::slots(&recovery::watches(frame))],
            gathered: Gathered::default(),
            intervals: frame.intervals(),
            collector: None,
            stopped: None,
        }
    }

    /// Adds a piece of the run.
    pub(crate) fn add(&mut self, delta: &Delta, samples: &[Sample]) {
        self.tallies.merge(&delta.tallies);
        merge_slots(&mut self.slots, &delta.slots);
        for sample in samples {
            self.gathered.add(sample, self.intervals);
        }
    }

    /// Adds a whole replication. Counts add up; what was observed of components becomes its mean.
    pub(crate) fn add_replication(
        &mut self,
        scenario: &ScenarioFacts,
        frame: &Frame,
        delta: &Delta,
        samples: &[Sample],
    ) {
        let new = || Collector::following(scenario.clone(), frame.clone(), 1.0);
        let collector = self.collector.get_or_insert_with(new);
        collector.add(delta);
        let runs = collector.replications().count;
        self.tallies.merge(&delta.tallies);
        merge_slots(&mut self.slots, &delta.slots);
        self.gathered.add_run(samples, self.intervals, runs);
    }

    /// The counts so far, of which some may be put away for a while.
    pub(crate) fn tallies_mut(&mut self) -> &mut Tallies {
        &mut self.tallies
    }

    /// The counts so far.
    pub(crate) fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// The replications so far.
    pub(crate) fn replications(&self) -> Option<&Replications> {
        self.collector.as_ref().map(Collector::replications)
    }

    /// The record, not yet judged.
    pub(crate) fn into_record(
        self,
        world: World,
        scenario: ScenarioFacts,
        frame: Frame,
        provenance: Provenance,
    ) -> RunRecord {
        let (slots, stopped) = (self.slots, self.stopped);
        let series = self.gathered.into_series();
        let mut record = RunRecord::new(world, scenario, frame, self.tallies, series, provenance);
        record.replications = self.collector.map(|collector| collector.finish(stopped));
        record.with_recoveries(&slots)
    }
}
