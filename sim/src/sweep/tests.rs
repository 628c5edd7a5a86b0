//! A sweep against events: the same run.

use std::fmt::Write;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use scenarios::Scenario;

use crate::{SimOutcome, Simulation};

/// Services on a machine each, classes that work at some of them in turn, and one traffic.
struct Row<'a> {
    cores: &'a [u32],
    workers: u32,
    /// Of each class: whom it visits, and by which law it works there.
    classes: &'a [Vec<(usize, String)>],
    rate: f64,
    seconds: u32,
    /// Ends the traffic's table, and may go on with tables of its own.
    rest: &'a str,
}

impl Row<'_> {
    fn text(&self) -> String {
        let Self { cores, workers, classes, rate, seconds, rest } = self;
        let mut text = format!("title = \"A row\"\n[run]\nduration = \"{seconds}s\"\nseed = 3\n");
        for (i, cores) in cores.iter().enumerate() {
            write!(text, "[hosts.h{i}]\ncores = {cores}\n[components.s{i}]\nkind = \"service\"\nhost = \"h{i}\"\nworkers = {workers}\nbacklog = 50000\n")
                .expect("a string has room");
        }
        for (i, visits) in classes.iter().enumerate() {
            write!(text, "[requests.c{i}]\npath = \"/{i}\"\n").expect("a string has room");
            for (station, law) in visits {
                let at = if *station == 0 { String::new() } else { format!("at = \"s{station}\"\n") };
                write!(text, "[[requests.c{i}.steps]]\n{at}work = \"{law}\"\n").expect("a string has room");
            }
        }
        let mix: Vec<String> = (0..classes.len()).map(|i| format!("c{i} = {}", i + 1)).collect();
        write!(
            text,
            "[traffic.users]\nto = \"s0\"\nexecutor = \"constant-arrival-rate\"\nrate = \"{rate}/s\"\narrivals = \"poisson\"\nmix = {{ {} }}\n{rest}",
            mix.join(", ")
        )
        .expect("a string has room");
        text
    }

    /// Plays it in sweeps where that can be done, and by events: both outcomes, and how many requests were swept.
    fn both(&self) -> (SimOutcome, SimOutcome, u64) {
        let text = self.text();
        let scenario = Scenario::parse("row.toml", &text)
            .unwrap_or_else(|problems| panic!("the test's scenario is good:\n{problems}\n{text}"));
        let play = |sweeps: bool| {
            let mut simulation = Simulation::with_threads(&scenario, 1).expect("the simulator takes it");
            if !sweeps {
                simulation.sweeper = None;
            }
            let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
            (outcome, simulation.sweeper.map_or(0, |sweeper| sweeper.swept))
        };
        let ((swept, count), (by_events, _)) = (play(true), play(false));
        (swept, by_events, count)
    }

    /// That both are the same run; how many of its requests were swept.
    fn agree(&self) -> (SimOutcome, u64) {
        let (swept, by_events, count) = self.both();
        assert_eq!(swept.counts, by_events.counts);
        assert_eq!(swept.samples, by_events.samples);
        assert_eq!(swept.delta, by_events.delta);
        assert_eq!(swept.evidence, by_events.evidence);
        assert_eq!(swept.evidence.violations(), Vec::<String>::new());
        (swept, count)
    }
}

/// One class that works at all stations for a millisecond each.
fn through(stations: usize) -> Vec<(usize, String)> {
    (0..stations).map(|station| (station, "exponential(mean=1ms)".to_owned())).collect()
}

const ROOM: &str = "connections = 10000\nmax_in_flight = 10000\ntimeout = \"10s\"\n";

fn tandem(rest: &str) -> Row<'_> {
    Row { cores: &[8, 8, 8], workers: 10_000, classes: &[], rate: 6_400.0, seconds: 10, rest }
}

#[test]
fn stations_in_tandem_are_swept_and_nothing_else_changes() {
    let classes = [through(3)];
    let (outcome, swept) = Row { classes: &classes, ..tandem(ROOM) }.agree();
    let share = swept as f64 / outcome.counts.due as f64;
    assert!(share > 0.8, "{share} of {:?} were swept", outcome.counts);
}

#[test]
fn classes_that_part_and_meet_again_are_swept() {
    let law = |ms: f64| format!("lognormal(median={ms}ms, p99={}ms)", ms * 4.0);
    let classes = [
        vec![(0, law(1.0)), (1, law(2.0)), (3, law(0.5))],
        vec![(0, law(0.3)), (2, law(1.0)), (3, law(1.0))],
        vec![(2, "1ms".to_owned())],
        vec![(0, "0.2ms".to_owned())],
    ];
    // Few, some and many cores.
    let row = Row { cores: &[3, 4, 12, 20], classes: &classes, rate: 2_000.0, seconds: 20, ..tandem(ROOM) };
    let (outcome, swept) = row.agree();
    assert!(swept > outcome.counts.due / 2, "{swept} of {:?}", outcome.counts);
}

#[test]
fn limits_and_timeouts_are_left_to_events() {
    let classes = [through(3)];
    for (what, workers, rate, rest) in [
        ("workers", 30, 7_000.0, ROOM),
        ("connections", 10_000, 7_000.0, "connections = 40\nmax_in_flight = 60\ntimeout = \"10s\"\n"),
        ("timeouts", 10_000, 7_600.0, "connections = 10000\nmax_in_flight = 10000\ntimeout = \"12ms\"\n"),
        ("lines", 10_000, 7_950.0, ROOM),
    ] {
        let (outcome, swept) = Row { workers, rate, classes: &classes, ..tandem(rest) }.agree();
        assert!(swept < outcome.counts.due, "{what}: some were not swept");
    }
}

#[test]
fn faults_between_sweeps_do_what_they_do() {
    let classes = [through(3)];
    let mut rest = ROOM.to_owned();
    for (at, fault) in [
        (1, "kill = \"component:s1\""),
        (3, "kill = \"host:h0\""),
        (6, "hang = \"component:s2\""),
        // From then on that machine's cores are a processor of changing speed, which no sweep knows.
        (9, "slow = { target = \"component:s1\", times = 2 }"),
    ] {
        write!(rest, "[[faults]]\nat = \"{at}s\"\nfor = \"300ms\"\n{fault}\n").expect("a string has room");
    }
    let (outcome, swept) = Row { classes: &classes, rate: 3_000.0, ..tandem(&rest) }.agree();
    // Those who wait for a connection meanwhile do so for seconds, and are left to events.
    assert!(outcome.counts.failed > 100 && swept > outcome.counts.due / 4, "{swept} of {:?}", outcome.counts);
}

#[test]
fn who_turns_back_or_does_more_than_work_is_not_swept() {
    let work = || "1ms".to_owned();
    let back = [vec![(0, work()), (1, work()), (0, work())]];
    assert_eq!(Row { classes: &back, rate: 100.0, ..tandem(ROOM) }.agree().1, 0);
    // The one class goes there and the other back.
    let round = [vec![(1, work()), (2, work())], vec![(2, work()), (1, work())]];
    assert_eq!(Row { classes: &round, rate: 100.0, ..tandem(ROOM) }.agree().1, 0);
    let waits = Row { classes: &[through(1)], rate: 100.0, ..tandem(ROOM) }.text();
    let waits = waits.replace("work = \"exponential(mean=1ms)\"", "wait = \"1ms\"");
    let scenario = Scenario::parse("row.toml", &waits).expect("the test's scenario is good");
    assert!(Simulation::new(&scenario).expect("the simulator takes it").sweeper.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_row_is_the_same_run(
        cores in proptest::collection::vec(1_u32..20, 4),
        chosen in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 4), 1..4),
        load in 0.2_f64..1.05,
        timeout_ms in 5_u32..500,
        workers in 5_u32..400,
    ) {
        let visits = |chosen: &Vec<bool>| {
            let mut at: Vec<usize> = (0..4).filter(|&station| chosen[station]).collect();
            if at.is_empty() {
                at.push(0);
            }
            at.into_iter().map(|station| (station, "exponential(mean=1ms)".to_owned())).collect()
        };
        let classes: Vec<Vec<(usize, String)>> = chosen.iter().map(visits).collect();
        let least = cores.iter().min().copied().unwrap_or(1);
        let rest = format!("connections = 2000\nmax_in_flight = 3000\ntimeout = \"{timeout_ms}ms\"\n");
        let row = Row { cores: &cores, workers, classes: &classes, rate: load * 1_000.0 * f64::from(least), seconds: 5, rest: &rest };
        row.agree();
    }
}
