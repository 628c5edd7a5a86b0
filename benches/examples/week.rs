//! What a request of `octivi/week` costs, through the public path.
//!
//! - `week [MINUTES [THREADS]]`: so many minutes (60) from Wednesday noon on, in thirds, of which the first warms the caches
//!   of the processor and is not counted; prints requests, nanoseconds a request of wall and of processor time, the mean and
//!   p99 of the responses in milliseconds, and a hash of all that was recorded, which is another where results are.
//! - `week whole [THREADS]`: the whole week.
//! - `week from START MINUTES [THREADS]`: so many minutes from a time of the week on, such as `2d20h`.
//! - `week faults [THREADS]`: each fault of the week, from 5 minutes before it to 10 minutes after it.
//!
//! All but the first print tables: what a request cost in each tenth of the run, what became of the requests before, during
//! and after faults, and the greatest resident memory of the process so far. Threads are one or two, else those of
//! `Simulation::new`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "tables are the output, and take minutes")]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use results::buckets::Fine;
use results::tally::{Distribution, Tally};
use results::{Delta, Frame, Sample};
use rustix::time::{ClockId, clock_gettime};
use scenarios::units::SimTime;
use scenarios::{Scenario, derive};
use sim::Simulation;

/// How long before a fault its window begins, and how long after it that ends.
const BEFORE_FAULT: SimTime = SimTime::from_secs(5 * 60);
const AFTER_FAULT: SimTime = SimTime::from_secs(10 * 60);

/// Processor time of the whole process or of this thread, in seconds.
fn processor_seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The scenario of the library.
fn week() -> Scenario {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/library/octivi/week.toml");
    Scenario::load(&file).expect("the library's scenario is good")
}

fn window(week: &Scenario, from: SimTime, length: SimTime) -> Scenario {
    let window = derive::window(week, Some(from), Some(length), None, None);
    window.expect("the window lies in the week").scenario
}

fn simulation(scenario: &Scenario, threads: Option<u32>) -> Simulation {
    let simulation = match threads {
        Some(threads) => Simulation::with_threads(scenario, threads),
        None => Simulation::new(scenario),
    };
    simulation.expect("the simulator takes it")
}

/// Where a run is.
#[derive(Clone, Copy)]
struct Moment {
    wall: Instant,
    /// Processor time of all threads, and of the one that plays the events, in seconds.
    process: f64,
    events: f64,
    requests: u64,
}

impl Moment {
    fn of(simulation: &Simulation) -> Self {
        Self {
            wall: Instant::now(),
            process: processor_seconds(ClockId::ProcessCPUTime),
            events: processor_seconds(ClockId::ThreadCPUTime),
            requests: simulation.progress().counts.due,
        }
    }

    /// A row of what requests have cost since an earlier moment.
    fn row(&self, earlier: &Self, name: &str) -> String {
        let requests = self.requests - earlier.requests;
        let each = |seconds: f64| seconds * 1e9 / requests.max(1) as f64;
        let wall = (self.wall - earlier.wall).as_secs_f64();
        let (process, events) = (self.process - earlier.process, self.events - earlier.events);
        let (wall, process, events) = (each(wall), each(process), each(events));
        format!("| {name} | {} | {wall:.0} | {process:.0} | {events:.0} |", grouped(requests))
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The greatest resident memory of this process so far, in MiB.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of each process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().strip_suffix("kB")).and_then(|text| text.trim().parse().ok());
    let kib: f64 = kib.expect("Linux tells the peak in kB");
    kib / 1024.0
}

/// A hash (FNV-1a) of all that was recorded and observed.
fn fingerprint(delta: &Delta, samples: &[Sample]) -> u64 {
    let bytes = serde_json::to_vec(&(delta, samples)).expect("what was recorded can be written");
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Plays a scenario and prints its tables.
fn play(title: &str, scenario: &Scenario, threads: Option<u32>) {
    let begun = Instant::now();
    let mut simulation = simulation(scenario, threads);
    let built = begun.elapsed().as_secs_f64();
    println!("## {title}\n");
    println!("| tenth | requests | wall ns a request | CPU ns a request | of which the events' thread |");
    println!("|--:|--:|--:|--:|--:|");
    let start = Moment::of(&simulation);
    let (mut last, mut tenth) = (start, 1_u32);
    loop {
        let done = simulation.advance();
        if done || simulation.progress().share() * 10.0 >= f64::from(tenth) {
            let now = Moment::of(&simulation);
            let row = now.row(&last, &tenth.to_string());
            eprintln!("{title}: {row}");
            println!("{row}");
            (last, tenth) = (now, tenth + 1);
        }
        if done {
            break;
        }
    }
    println!("{}", last.row(&start, "all"));
    let minutes = (last.wall - start.wall).as_secs_f64() / 60.0;
    println!("\n{minutes:.2} minutes of wall time, and {built:.1} s before them to build the world.");
    println!("Greatest resident memory of the process so far: {:.0} MiB.\n", peak_mib());
    let violations = simulation.evidence().violations();
    assert!(violations.is_empty(), "laws that do not hold: {violations:?}");
    let (delta, samples) = simulation.take();
    tell_responses(scenario, &delta);
    println!("Hash of all that was recorded: `{:016x}`.\n", fingerprint(&delta, &samples));
}

/// What became of the requests of each window of a run, and of all that count.
fn tell_responses(scenario: &Scenario, delta: &Delta) {
    println!("| part | requests | failed | mean (ms) | p99 (ms) |\n|---|--:|--:|--:|--:|");
    let frame = Frame::new(scenario);
    let mut all: Option<Tally<Fine>> = None;
    for (i, window) in frame.windows.iter().enumerate().filter(|(_, window)| window.is_measured()) {
        let tally = delta.tallies().window(i, None);
        println!("{}", responses(&window.name, tally.due(), tally.failed(), &tally.response_times()));
        all = Some(match all {
            None => tally,
            Some(mut all) => {
                all.merge(&tally);
                all
            }
        });
    }
    let all = all.expect("a run has a measured part");
    println!("{}\n", responses("all", all.due(), all.failed(), &all.response_times()));
}

fn responses(name: &str, due: u64, failed: u64, times: &Distribution) -> String {
    let millis = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |s| format!("{:.1}", s * 1e3));
    let failed = 100.0 * failed as f64 / due.max(1) as f64;
    let (mean, p99) = (millis(times.mean()), millis(times.percentile(99.0)));
    format!("| {name} | {} | {failed:.3}% | {mean} | {p99} |", grouped(due))
}

/// The part of a week around each of its faults.
fn around_faults(week: &Scenario, threads: Option<u32>) {
    for fault in &week.faults {
        let at = |moment| SimTime::from_nanos(week.run.timeline_nanos(moment).max(0) as u64);
        let from = at(fault.from).saturating_sub(BEFORE_FAULT);
        let length = at(fault.until) + AFTER_FAULT - from;
        play(&format!("Around {}", fault.name), &window(week, from, length), threads);
    }
}

/// One line about so many minutes from Wednesday noon on.
fn noon(week: &Scenario, minutes: u64, threads: Option<u32>) {
    let scenario = window(week, SimTime::from_secs(60 * 3_600), SimTime::from_secs(60 * minutes));
    let mut simulation = simulation(&scenario, threads);
    while simulation.progress().share() < 1.0 / 3.0 {
        simulation.advance();
    }
    let before = Moment::of(&simulation);
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    let requests = (outcome.counts.due - before.requests) as f64;
    let wall = before.wall.elapsed().as_secs_f64() / requests * 1e9;
    let cpu = (processor_seconds(ClockId::ProcessCPUTime) - before.process) / requests * 1e9;
    let last = Frame::new(&scenario).windows.len() - 1;
    let responses = outcome.delta.tallies().window(last, None).response_times();
    let mean = responses.mean().expect("there are responses") * 1e3;
    let p99 = responses.percentile(99.0).expect("there are responses") * 1e3;
    let hash = fingerprint(&outcome.delta, &outcome.samples);
    println!("{requests} {wall:.0} {cpu:.0} {mean:.4} {p99:.4} {hash:016x}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).map(|text| text.parse::<u64>().expect("a number"));
    let threads = |place| number(place).map(|threads| u32::try_from(threads).expect("one or two"));
    let week = week();
    match arguments.first().map(String::as_str) {
        Some("whole") => play("The whole week", &week, threads(1)),
        Some("faults") => around_faults(&week, threads(1)),
        Some("from") => {
            let start = arguments.get(1).and_then(|text| text.parse().ok());
            let start: SimTime = start.expect("a time of the week, such as 2d20h");
            let length = SimTime::from_secs(60 * number(2).expect("how many minutes"));
            play(&format!("From {start}"), &window(&week, start, length), threads(3));
        }
        _ => noon(&week, number(0).unwrap_or(60), threads(1)),
    }
}
