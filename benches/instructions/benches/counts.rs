//! What each part of a run costs in instructions: the same to the last one for the same program, on any machine with the same libraries.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use results::buckets::{Coarse, Fine};
use results::{Frame, Outcome, Recorder};
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

const QUICKSTART: &str = include_str!("../../../scenarios/library/quickstart.toml");

fn scenario() -> Scenario {
    Scenario::parse("quickstart.toml", QUICKSTART).expect("the quickstart is right")
}

fn outcomes() -> (Recorder, Vec<Outcome>) {
    let scenario = scenario();
    let outcome = |planned: scenarios::plan::Planned| Outcome {
        class: planned.class,
        due: planned.due,
        sent: Some(planned.due),
        done: planned.due + SimTime::from_nanos(1_000_000 + planned.id.0 % 977 * 50_000),
        lag: SimTime::ZERO,
        result: Ok(()),
    };
    let outcomes = Plan::new(&scenario).requests().map(outcome).collect();
    (Recorder::new(&Frame::new(&scenario)), outcomes)
}

fn histogram() -> Fine {
    let mut times = Fine::default();
    (0..20_000_u64).for_each(|i| times.add(i * i * 40));
    times
}

fn encoded() -> String {
    histogram().encode()
}

#[library_benchmark]
fn read_a_scenario() -> Scenario {
    black_box(scenario())
}

#[library_benchmark]
#[bench::quickstart(scenario())]
fn plan_requests(scenario: Scenario) -> usize {
    black_box(Plan::new(&scenario).requests().count())
}

#[library_benchmark]
#[bench::quickstart(outcomes())]
fn record_outcomes((mut recorder, outcomes): (Recorder, Vec<Outcome>)) -> Recorder {
    outcomes.iter().for_each(|outcome| recorder.record(outcome));
    black_box(recorder)
}

#[library_benchmark]
#[bench::fine(histogram())]
fn encode_a_histogram(times: Fine) -> String {
    black_box(times.encode())
}

#[library_benchmark]
#[bench::coarse(encoded())]
fn decode_a_histogram(text: String) -> Coarse {
    black_box(Coarse::decode(&text).expect("it was encoded"))
}

library_benchmark_group!(
    name = parts,
    benchmarks = [read_a_scenario, plan_requests, record_outcomes, encode_a_histogram, decode_a_histogram]
);

main!(library_benchmark_groups = parts);
