//! Laws of the plan: whatever the segments and windows, the same requests; the right number of them at the right times.

use std::collections::BTreeSet;

use scenarios::Scenario;
use scenarios::plan::{Plan, Planned, SUBSTREAMS};
use scenarios::units::SimTime;

use crate::good::{MINIMAL, parse};

const CONSTANT: &str = "executor = \"constant-arrival-rate\", rate = \"10/s\"";

/// Scenarios with each executor and both kinds of arrivals, with a warm-up that reaches before the timeline's zero.
fn shapes() -> Vec<Scenario> {
    let executors = [
        "executor = \"constant-arrival-rate\", rate = \"500/s\"",
        "executor = \"ramping-arrival-rate\", start_rate = \"10/s\", stages = [{ for = \"4s\", to = \"900/s\" }, { for = \"1s\", to = \"0/s\" }, { for = \"2s\", to = \"300/s\" }]",
        "executor = \"curve-arrival-rate\", curve = \"retail-week\", expected = 300_000_000",
    ];
    let mut all = Vec::new();
    for executor in executors {
        for arrivals in ["poisson", "uniform"] {
            let text = MINIMAL.replace(CONSTANT, &format!("{executor}, arrivals = \"{arrivals}\""));
            all.push(parse(
                &text.replace("duration = \"10s\"", "duration = \"10s\", warmup = \"3s\", seed = 5"),
            ));
        }
    }
    // Two kinds of traffic at once.
    let second = "traffic.more = { to = \"shop\", executor = \"constant-arrival-rate\", rate = \"77/s\", mix = { home = 1 } }";
    all.push(parse(&format!("{MINIMAL}\n{second}\n")));
    all
}

fn sorted(mut requests: Vec<Planned>) -> Vec<Planned> {
    requests.sort_by_key(|r| (r.due, r.id));
    requests
}

#[test]
fn the_union_of_segments_is_the_same_for_every_number_of_them() {
    for scenario in shapes() {
        let plan = Plan::new(&scenario);
        let whole: Vec<Planned> = plan.requests().collect();
        assert!(whole.len() > 50, "only {} requests", whole.len());
        for n in [1, 2, 3, 7, SUBSTREAMS] {
            let union = sorted((0..n).flat_map(|i| plan.segment(i, n)).collect());
            assert_eq!(union, sorted(whole.clone()), "{n} segments of {:?}", scenario.traffic);
        }
    }
}

#[test]
fn requests_are_in_order_and_their_names_are_unique() {
    for scenario in shapes() {
        let plan = Plan::new(&scenario);
        for (index, of) in [(0, 1), (1, 3)] {
            let requests: Vec<Planned> = plan.segment(index, of).collect();
            assert!(requests.windows(2).all(|w| w[0].due <= w[1].due));
            assert!(requests.iter().all(|r| r.due < scenario.run.total()));
            let names: BTreeSet<_> = requests.iter().map(|r| r.id).collect();
            assert_eq!(names.len(), requests.len());
        }
    }
}

#[test]
fn a_window_holds_what_the_whole_run_has_there() {
    for scenario in shapes() {
        let plan = Plan::new(&scenario);
        let whole: Vec<Planned> = plan.requests().collect();
        // In the warm-up, across its end (the timeline's zero), later, and past the end of the run.
        for (from, to) in [(500, 1500), (2900, 3100), (0, 13_000), (7777, 7778), (9000, 60_000)] {
            let (from, to) = (SimTime::from_millis(from), SimTime::from_millis(to));
            let window: Vec<Planned> = plan.window(from, to, 0, 1).collect();
            let filtered: Vec<Planned> =
                whole.iter().filter(|r| (from..to).contains(&r.due)).copied().collect();
            assert_eq!(window, filtered, "{from}..{to} of {:?}", scenario.traffic);
        }
    }
}

/// The same moments of the timeline hold the same requests, whatever run looks at them.
#[test]
fn a_derived_window_has_the_requests_of_the_whole() {
    let text = MINIMAL.replace(
        CONSTANT,
        "executor = \"curve-arrival-rate\", curve = \"retail-week\", expected = 60_000_000",
    );
    let whole = parse(&text.replace("10s", "1h"));
    let from = SimTime::from_secs(1800);
    let part = scenarios::derive::window(&whole, Some(from), Some(SimTime::from_secs(60)), None, None)
        .expect("it derives");
    let part = parse(&part.text);
    let shift = |r: Planned| Planned { due: r.due + from, ..r };
    let of_part: Vec<Planned> = Plan::new(&part).requests().map(shift).collect();
    let of_whole: Vec<Planned> =
        Plan::new(&whole).window(from, from + SimTime::from_secs(60), 0, 1).collect();
    assert_eq!(of_part, of_whole);
    assert!(of_part.len() > 1000);
}

#[test]
fn poisson_counts_have_the_mean_and_variance_of_the_law() {
    let rate = 2000.0;
    let text = MINIMAL.replace("rate = \"10/s\"", "rate = \"2000/s\"").replace("10s", "100s");
    let scenario = parse(&text);
    let mut counts = vec![0_u32; 10_000];
    for request in Plan::new(&scenario).requests() {
        counts[(request.due.as_nanos() / 10_000_000) as usize] += 1;
    }
    let n = counts.len() as f64;
    let expected = rate * 0.01;
    let mean = counts.iter().map(|c| f64::from(*c)).sum::<f64>() / n;
    let variance = counts.iter().map(|c| (f64::from(*c) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // Five standard errors; a Poisson count's sample variance has variance (m + 2 m²) / n, about.
    assert!(
        (mean - expected).abs() < 5.0 * (expected / n).sqrt(),
        "seed 1: mean {mean}, expected {expected}"
    );
    let error = ((expected + 2.0 * expected * expected) / n).sqrt();
    assert!((variance - expected).abs() < 5.0 * error, "seed 1: variance {variance}, expected {expected}");
}

#[test]
fn gaps_of_poisson_arrivals_are_exponential() {
    let scenario = parse(&MINIMAL.replace("rate = \"10/s\"", "rate = \"1000/s\"").replace("10s", "100s"));
    let dues: Vec<f64> = Plan::new(&scenario).requests().map(|r| r.due.as_secs_f64()).collect();
    let gaps: Vec<f64> = dues.windows(2).map(|w| w[1] - w[0]).collect();
    let n = gaps.len() as f64;
    for quantile in [0.1_f64, 0.5, 0.9, 0.99] {
        let at = -(1.0 - quantile).ln() / 1000.0;
        let below = gaps.iter().filter(|g| **g <= at).count() as f64 / n;
        let error = 5.0 * (quantile * (1.0 - quantile) / n).sqrt();
        assert!(
            (below - quantile).abs() < error,
            "seed 1: {below} of the gaps are below the {quantile} quantile"
        );
    }
}

#[test]
fn uniform_arrivals_are_evenly_spaced() {
    let text = MINIMAL.replace("rate = \"10/s\"", "rate = \"700/s\", arrivals = \"uniform\"");
    let scenario = parse(&text);
    let dues: Vec<u64> = Plan::new(&scenario).requests().map(|r| r.due.as_nanos()).collect();
    assert_eq!(dues.len(), 7000);
    let gap = 1e9 / 700.0;
    assert!(dues.windows(2).all(|w| ((w[1] - w[0]) as f64 - gap).abs() < 10.0));
}

#[test]
fn as_many_requests_are_due_as_the_integral_of_the_rate() {
    for scenario in shapes() {
        let plan = Plan::new(&scenario);
        let expected = plan.expected(SimTime::ZERO, scenario.run.total());
        let count = plan.requests().count() as f64;
        assert!(
            (count - expected).abs() <= 5.0 * expected.sqrt() + 2.0,
            "{count} requests, expected {expected}"
        );
        let ramp = scenario.traffic[0].rate.clone();
        let from = -scenario.run.warmup.as_secs_f64();
        let sums: f64 = scenario
            .traffic
            .iter()
            .map(|t| t.rate.expected(from, from + scenario.run.total().as_secs_f64()))
            .sum();
        assert!((sums - expected).abs() < 1e-6 * expected, "{ramp:?}");
    }
}

#[test]
fn ramps_follow_their_stages() {
    let scenario = &shapes()[2];
    let rate = &scenario.traffic[0].rate;
    for (at, expected) in [
        (-2.0, 10.0),
        (0.0, 10.0),
        (2.0, 455.0),
        (4.0, 900.0),
        (4.5, 450.0),
        (5.0, 0.0),
        (6.0, 150.0),
        (9.0, 300.0),
    ] {
        assert!((rate.at(at) - expected).abs() < 1e-9, "{} at {at}, expected {expected}", rate.at(at));
    }
}

#[test]
fn mixes_have_the_stated_shares() {
    let scenario = parse(scenarios::library::QUICKSTART);
    let mut counts = vec![0_u32; scenario.requests.len()];
    Plan::new(&scenario).requests().for_each(|r| counts[r.class.index()] += 1);
    let all = f64::from(counts.iter().sum::<u32>());
    for (class, share) in &scenario.traffic[0].mix {
        let (count, share) = (f64::from(counts[class.index()]), share.get());
        let error = 5.0 * (all * share * (1.0 - share)).sqrt();
        assert!((count - all * share).abs() < error, "seed 1: {count} of {all}, expected a share of {share}");
    }
}

#[test]
fn another_seed_plans_other_requests() {
    let dues = |seed: &str| -> Vec<u64> {
        let scenario =
            parse(&MINIMAL.replace("duration = \"10s\"", &format!("duration = \"10s\", seed = {seed}")));
        Plan::new(&scenario).requests().map(|r| r.due.as_nanos()).collect()
    };
    assert_eq!(dues("3"), dues("3"));
    assert_ne!(dues("3"), dues("4"));
}
