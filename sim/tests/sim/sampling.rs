//! Following some keys against following all, on the week of a billion requests at a hundredth of its size.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use results::Frame;
use scenarios::scenario::Sampling;
use scenarios::units::Ratio;
use scenarios::{Scenario, derive};
use sim::Simulation;

/// The hit ratio of the store and the 99th percentile of the response time over two hours of an evening.
fn evening(sampling: Sampling) -> (f64, f64) {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/library/octivi/week.toml");
    let week = Scenario::load(&library).expect("the library's scenarios are good");
    let time = |text: &str| Some(text.parse().expect("a duration"));
    let part = derive::window(&week, time("1d19h"), time("2h"), Some(Ratio::new(0.01)), None)
        .expect("the evening lies in the week");
    let scenario = derive::with_sampling(&part.scenario, sampling).expect("any sampling is good").scenario;
    let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    let sum = |metric: &str| -> f64 {
        let samples = outcome.samples.iter().filter(|s| s.component == "objects" && s.metric == metric);
        samples.map(|s| s.value).sum()
    };
    let (hits, misses) = (sum("hits"), sum("misses"));
    let (tallies, frame) = (outcome.delta.tallies(), Frame::new(&scenario));
    let windows = frame.windows.iter().enumerate().filter(|(_, window)| window.is_measured());
    let all = windows.map(|(i, _)| tallies.window(i, None)).reduce(|mut all, window| {
        all.merge(&window);
        all
    });
    let times = all.expect("the run has a measured part").response_times();
    (hits / (hits + misses), times.percentile(99.0).expect("requests in it"))
}

#[test]
fn one_key_in_sixty_four_of_octivis_store_stands_for_all() {
    let (exact, sampled) = (evening(Sampling::Exact), evening(Sampling::OneIn(64)));
    assert!((exact.0 - sampled.0).abs() < 0.01, "hit ratio: {} exact, {} sampled", exact.0, sampled.0);
    assert!((sampled.1 / exact.1 - 1.0).abs() < 0.05, "p99: {} s exact, {} s sampled", exact.1, sampled.1);
}
