//! Popularity that churns: what it does to the hit ratio of a store, against a formula, and with some keys followed as with
//! all.

use crate::support::{CachedShop, Run, run};

const KEYS: usize = 100_000;

/// A store with room for about a tenth of the keys, asked for 2,000 of them a second.
fn churning(sampling: &str, churn: &str, width: u32) -> Run {
    run(&scenario(sampling, churn, width))
}

fn scenario(sampling: &str, churn: &str, width: u32) -> String {
    CachedShop {
        run: &format!("duration = \"200s\"\nwarmup = \"100s\"\nsampling = \"{sampling}\""),
        store: "max_memory = \"2.5MB\"\neviction = \"allkeys-lru\"\nsamples = 10",
        archive: "read = \"1us\"\nwrite = \"1us\"",
        keyspace: &format!(
            "keys = {KEYS}\npopularity = \"zipf(0.9)\"\nvalue = \"100B\"\nprefill = 12_000\n{churn}"
        ),
        steps: &format!(
            "[[requests.read.steps]]\n\
             mget = {{ keyspace = \"items\", count = {width}, on_miss = {{ from = \"archive\", fill = true }} }}"
        ),
        traffic: &format!("rate = \"{}/s\"", 2_000 / width),
    }
    .text()
}

fn room(run: &Run) -> f64 {
    let keys = run.metric("objects", 0, "keys");
    keys.iter().sum::<f64>() / keys.len() as f64
}

/// Che's approximation for LRU where every rank gets another key once in `turn_seconds`: a key that took the rank r over from
/// the rank r' so long ago as a is there unless it was not asked for in the time T, first at r' and then at r.
fn che(room: f64, turn_seconds: f64) -> f64 {
    let weights: Vec<f64> = (1..=KEYS).map(|rank| (rank as f64).powf(-0.9)).collect();
    let total: f64 = weights.iter().sum();
    let rate = |rank: usize| 2_000.0 * weights[rank] / total;
    // The sum of two ranks that swap is anything in the upper half, modulo their number.
    let partners =
        |rank: usize| (0..8).map(move |i| (KEYS / 2 + (2 * i + 1) * KEYS / 32 + KEYS - rank) % KEYS);
    let there = |rank: usize, time: f64| {
        let own = rate(rank);
        let new = time / turn_seconds;
        let absent_new = |partner: usize| {
            let before = rate(partner);
            let gap = (own - before) * time;
            let (first, last) = ((-before * time).exp(), (-own * time).exp());
            if gap.abs() < 1e-6 { first } else { (first - last) / gap }
        };
        let absent_new: f64 = partners(rank).map(absent_new).sum::<f64>() / 8.0;
        1.0 - (1.0 - new) * (-own * time).exp() - new * absent_new
    };
    let (mut low, mut high) = (0.0, turn_seconds);
    for _ in 0..40 {
        let time = f64::midpoint(low, high);
        let held: f64 = (0..KEYS).map(|rank| there(rank, time)).sum();
        if held < room { low = time } else { high = time }
    }
    (0..KEYS).map(|rank| weights[rank] / total * there(rank, low)).sum()
}

#[test]
fn churn_costs_hits_as_the_formula_says() {
    let ratios = [("", 1e9), ("churn = \"2%/s\"", 50.0), ("churn = \"5%/s\"", 20.0)].map(|(churn, turn)| {
        let run = churning("exact", churn, 1);
        let (found, expected) = (run.hit_ratio("objects"), che(room(&run), turn));
        // Redis's LRU with ten samples is that close to exact LRU.
        assert!((found - expected).abs() < 0.003, "{churn}: {found}, expected {expected}");
        found
    });
    assert!(ratios[0] - ratios[1] > 0.02 && ratios[1] - ratios[2] > 0.02, "{ratios:?}");
}

#[test]
fn following_some_keys_sees_the_same_churn() {
    for (churn, width) in [("", 10), ("churn = \"1%/s\"", 10), ("churn = \"1%/s\"", 1)] {
        let [exact, sampled] =
            ["exact", "1/8"].map(|sampling| churning(sampling, churn, width).hit_ratio("objects"));
        assert!((exact - sampled).abs() < 0.01, "{churn}, {width}: exact {exact}, sampled {sampled}");
    }
}

#[test]
fn keys_that_are_only_written_churn_as_well() {
    let keys = |sampling: &str, churn: &str, width: u32| {
        let text = scenario(sampling, churn, width)
            .replace("duration = \"200s\"", "duration = \"50s\"")
            .replace("warmup = \"100s\"", "warmup = \"50s\"")
            .replace("max_memory = \"2.5MB\"", "max_memory = \"1GB\"")
            .replace("prefill = 12_000\n", "");
        let read = text.lines().find(|line| line.starts_with("mget")).expect("it has a read");
        let write = format!("set = {{ keyspace = \"items\", count = {width} }}");
        *run(&text.replace(read, &write)).metric("objects", 0, "keys").last().expect("it has intervals")
    };
    let still = keys("exact", "", 10);
    for width in [1, 10] {
        let [exact, sampled] = ["exact", "1/8"].map(|sampling| keys(sampling, "churn = \"1%/s\"", width));
        assert!((sampled / exact - 1.0).abs() < 0.03, "{width}: exact {exact}, sampled {sampled}");
        assert!(sampled / still > 1.04, "{width}: sampled {sampled}, without churn {still}");
    }
}
