//! The two worlds agree about an HTTP cache: one node's scenario, simulated and played over sockets, has the same hits.

use std::collections::BTreeMap;
use std::path::Path;

use benches::programs::{binaries, only_run, run};

/// A busy machine lets answers grow older than they were meant to, so the best of a few attempts is judged.
const ATTEMPTS: usize = 3;
/// How far the simulated share of hits may lie from the measured one. What is left is chance: in which order requests that
/// come at the same moment reach the cache.
const HIT_RATIO: f64 = 0.01;

/// What the cache counted in a run, by metric.
fn counts(run: &Path) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(run.join("components.csv")).expect("a run has samples");
    let mut sums = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [_, _, component, _, metric, value] = fields[..] else { panic!("six columns: {line}") };
        if component == "varnish" {
            *sums.entry(metric.to_owned()).or_insert(0.0) += value.parse::<f64>().expect("a number");
        }
    }
    sums
}

/// How many of the lookups of answers that may be kept found one.
fn hit_ratio(counts: &BTreeMap<String, f64>) -> f64 {
    let hits = counts["hits"] + counts["grace_hits"];
    hits / (hits + counts["misses"])
}

/// The counts of a measured and of a simulated run of this text; none where this attempt cannot be judged.
fn attempt(loadgen: &Path, sim: &Path, text: &str) -> Option<[BTreeMap<String, f64>; 2]> {
    let here = tempfile::tempdir().expect("a temporary directory");
    let scenario = here.path().join("cached-node.toml");
    std::fs::write(&scenario, text).expect("written");
    let scenario = scenario.to_str().expect("the path is text");
    let [measured, simulated] = ["measured", "simulated"].map(|name| here.path().join(name));
    let out = measured.to_str().expect("the path is text");
    let played = run(loadgen, &["run", scenario, "--out", out, "--quiet", "--no-report"]);
    match played.status.code() {
        Some(0 | 99) => {}
        Some(111) => return None,
        other => panic!("loadgen ended with {other:?}: {}", String::from_utf8_lossy(&played.stderr)),
    }
    let out = simulated.to_str().expect("the path is text");
    let done = run(sim, &["run", scenario, "--out", out, "--quiet"]);
    assert!(matches!(done.status.code(), Some(0 | 99)), "sim: {}", String::from_utf8_lossy(&done.stderr));
    Some([measured, simulated].map(|runs| counts(&only_run(&runs))))
}

const NODE: &str = include_str!("cached-node.toml");

#[test]
fn simulated_cache_has_the_hits_of_the_measured_one() {
    // The scenario is one in which each of these happens.
    the_worlds_agree(NODE, &["hits", "grace_hits", "misses", "passes", "evictions", "purged"], 0.0);
}

#[test]
fn what_a_cache_has_at_the_start_is_hit_in_both_worlds() {
    // Half of the keys are there, which nine in ten requests ask for; nothing else brings as many hits in so short a time.
    let warm = NODE
        .replace("duration = \"15s\"\nwarmup = \"5s\"", "duration = \"9s\"\nwarmup = \"1s\"")
        .replace("memory = \"2MiB\"", "memory = \"32MiB\"\nprefill = { product = 1500 }")
        .replace("ttl = \"4s\"", "ttl = \"300s\"");
    the_worlds_agree(&warm, &["hits", "misses", "passes", "purged"], 0.8);
}

/// Plays and simulates a text in which each of these is counted more than twenty times: the shares of hits are alike, and above
/// `least`.
#[allow(clippy::print_stdout)]
fn the_worlds_agree(text: &str, wanted: &[&str], least: f64) {
    let Some([loadgen, sim]) = binaries(["loadgen", "sim"]) else {
        return println!("SKIPPED: the binaries are not built; cargo test --workspace builds them");
    };
    let mut judged = None;
    for _ in 0..ATTEMPTS {
        let Some([measured, simulated]) = attempt(&loadgen, &sim, text) else {
            println!("an attempt was invalid: this machine stalled");
            continue;
        };
        let ratios = [hit_ratio(&measured), hit_ratio(&simulated)];
        println!("measured {:.4}, simulated {:.4}: {measured:?}, {simulated:?}", ratios[0], ratios[1]);
        let happens = |counts: &BTreeMap<String, f64>| wanted.iter().all(|m| counts[*m] > 20.0);
        assert!(happens(&simulated) && ratios[1] > least, "{ratios:?}: {simulated:?}");
        if happens(&measured) && (ratios[0] - ratios[1]).abs() <= HIT_RATIO {
            return;
        }
        judged = Some(ratios);
    }
    match judged {
        Some(ratios) => panic!("in none of {ATTEMPTS} attempts did the worlds agree; the last: {ratios:?}"),
        None => println!("SKIPPED: each of {ATTEMPTS} attempts was invalid, for this machine stalled"),
    }
}
