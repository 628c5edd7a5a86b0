//! What following some keys costs in error: `octivi/week` at a hundredth of its size with all keys followed, and with some.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use results::Frame;
use results::buckets::Fine;
use results::sample::{HITS, MISSES};
use results::tally::Tally;
use scenarios::scenario::Sampling;
use scenarios::units::{Ratio, SimTime};
use scenarios::{Scenario, derive};
use sim::Simulation;

/// Part of the week's rate, keys and memory.
const SCALE: f64 = 0.01;

/// A part of the small week: from where on its timeline, and how long; without, all of it.
///
/// # Panics
///
/// Where the part does not lie in the week.
#[must_use]
pub fn part(from: Option<SimTime>, length: Option<SimTime>) -> Scenario {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/library/octivi/week.toml");
    let week = Scenario::load(&library).expect("the library's scenarios are good");
    derive::window(&week, from, length, Some(Ratio::new(SCALE)), None)
        .expect("the part lies in the week")
        .scenario
}

/// What a run found.
#[derive(Debug)]
pub struct Found {
    /// Keys that the store had, and those that it had not.
    pub hits: f64,
    /// See `hits`.
    pub misses: f64,
    /// The measured part.
    pub run: Tally<Fine>,
}

impl Found {
    /// The share of the keys asked for that the store had.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        self.hits / (self.hits + self.misses)
    }

    /// A percentile of the response times, in milliseconds.
    ///
    /// # Panics
    ///
    /// Where nothing was answered.
    #[must_use]
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        self.run.response_times().percentile(percent).expect("requests were answered") * 1e3
    }
}

/// Runs a part with some of the keys followed.
///
/// # Panics
///
/// Where the simulator does not take it.
#[must_use]
pub fn play(part: &Scenario, sampling: Sampling) -> Found {
    let scenario = derive::with_sampling(part, sampling).expect("any sampling is good").scenario;
    let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    let [hits, misses] = [HITS, MISSES].map(|metric| {
        let samples = outcome.samples.iter().filter(|s| s.component == "objects" && s.metric == metric);
        samples.map(|s| s.value).sum()
    });
    let (tallies, frame) = (outcome.delta.tallies(), Frame::new(&scenario));
    let measured = frame.windows.iter().enumerate().filter(|(_, window)| window.is_measured());
    let run = measured.map(|(i, _)| tallies.window(i, None)).reduce(|mut all, window| {
        all.merge(&window);
        all
    });
    Found { hits, misses, run: run.expect("the run has a measured part") }
}
