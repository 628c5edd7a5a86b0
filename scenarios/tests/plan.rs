//! Laws of the plan: whatever the segments and windows, the same requests; the right number of them at the right times.

use std::collections::BTreeSet;

use scenarios::Scenario;
use scenarios::plan::{Draws, Plan, Planned, SUBSTREAMS};
use scenarios::scenario::Arrivals;
use scenarios::units::SimTime;

use crate::good::{MINIMAL, parse};

const CONSTANT: &str = "executor = \"constant-arrival-rate\", rate = \"10/s\"";

/// Scenarios with each open executor and all kinds of arrivals, most with a warm-up that reaches before the timeline's zero.
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
    for extra in [
        "arrivals = \"bursty\", burst = { size = 20, within = \"2s\" }",
        "flash = [{ at = \"2s\", rise = \"1s\", hold = \"2s\", fall = \"3s\", times = 5 }], growth = \"50%/day\"",
        "session = { requests = \"geometric(mean=6)\", think = \"1s\" }",
    ] {
        let text = MINIMAL.replace("rate = \"10/s\"", &format!("rate = \"500/s\", {extra}"));
        all.push(parse(&text.replace("duration = \"10s\"", "duration = \"10s\", warmup = \"3s\", seed = 5")));
    }
    let own =
        MINIMAL.replace(CONSTANT, "executor = \"curve-arrival-rate\", curve = \"mine\", expected = 2000");
    all.push(parse(&format!("{own}\n[curves.mine]\nperiod = \"4s\"\nvalues = [1, 5, 0, 3]\n")));
    all.push(replay(""));
    // Two kinds of traffic at once.
    let second = "traffic.more = { to = \"shop\", executor = \"constant-arrival-rate\", rate = \"77/s\", mix = { home = 1 } }";
    all.push(parse(&format!("{MINIMAL}\n{second}\n")));
    all
}

/// A replay of 500 requests within ten seconds.
fn replay(keys: &str) -> Scenario {
    let replay = format!("executor = \"replay\", file = \"tests/traces/minute.csv\"{keys}");
    let text = MINIMAL.replace(CONSTANT, &replay).replace(", mix = { home = 1 }", "");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/replay.toml");
    Scenario::parse(path, text).unwrap_or_else(|problems| panic!("{problems}"))
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
        for n in [1, 2, 3, 7, SUBSTREAMS, 65, 100, 128, 1_000] {
            let union = sorted((0..n).flat_map(|i| plan.segment(i, n)).collect());
            assert_eq!(union, sorted(whole.clone()), "{n} segments of {:?}", scenario.traffic);
        }
    }
}

#[test]
fn more_segments_than_substreams_have_equal_shares() {
    let scenario = parse(&MINIMAL.replace("duration = \"10s\"", "duration = \"600s\""));
    let plan = Plan::new(&scenario);
    for n in [128, 1_024] {
        let shares: Vec<f64> = (0..n).map(|i| plan.segment(i, n).count() as f64).collect();
        let (mean, all) = (shares.iter().sum::<f64>() / f64::from(n), plan.requests().count());
        assert_eq!(shares.iter().sum::<f64>(), all as f64);
        // As numbers of requests vary that arrive at random: six standard deviations.
        let off = shares.iter().map(|share| (share - mean).abs()).fold(0.0, f64::max);
        assert!(off < 6.0 * mean.sqrt(), "{off} of {mean}, {n} segments");
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
    let part = part.scenario;
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
    // Worked out by hand: a constant rate over 13 s; a ramp's warm-up, slopes and plateau; a replay's rows.
    let shapes = shapes();
    let ramp = 3.0 * 10.0 + 4.0 * 455.0 + 450.0 + 2.0 * 150.0 + 3.0 * 300.0;
    // A crowd of five times the rate: half the rise, the hold, half the fall; growth adds 0.005% in ten seconds.
    let crowd = 6500.0 + 4.0 * 500.0 * (0.5 + 2.0 + 1.5);
    let expected =
        [(0, 6500.0), (1, 6500.0), (2, ramp), (3, ramp), (6, 6500.0), (7, crowd), (8, 6500.0), (9, 5250.0)];
    for (shape, exact) in expected {
        let plan = Plan::new(&shapes[shape]);
        let integral = plan.expected(SimTime::ZERO, shapes[shape].run.total());
        assert!(
            (integral / exact - 1.0).abs() < 1e-3,
            "{integral}, not {exact}: {:?}",
            shapes[shape].traffic
        );
    }
    assert_eq!(Plan::new(&shapes[10]).expected(SimTime::ZERO, SimTime::from_secs(10)), 500.0);
    for scenario in shapes {
        let plan = Plan::new(&scenario);
        let expected = plan.expected(SimTime::ZERO, scenario.run.total());
        let count = plan.requests().count() as f64;
        // Bursts are 20 times as dispersed.
        let error = match scenario.traffic[0].arrivals {
            Arrivals::Bursty(burst) => f64::from(burst.size).sqrt(),
            _ => 1.0,
        };
        assert!(
            (count - expected).abs() <= 5.0 * error * expected.sqrt() + 2.0,
            "{count} requests, expected {expected}: {:?}",
            scenario.traffic
        );
    }
}

#[test]
fn bursts_have_their_index_of_dispersion_and_no_memory_between_them() {
    let text = MINIMAL
        .replace(
            "rate = \"10/s\"",
            "rate = \"2000/s\", arrivals = \"bursty\", burst = { size = 20, within = \"50ms\" }",
        )
        .replace("10s", "1000s");
    let scenario = parse(&text);
    // Spans of 20 ms see part of a burst, those of 1 s nearly all of it. For Poisson starts, `size` members and offsets
    // that are uniform over w, the dispersion of a span T is 1 + (size - 1)·E[1 - |U1 - U2|·w/T]+, which is exact.
    for (span, exact) in
        [(1_000_000_000, 1.0 + 19.0 * (1.0 - 0.05 / 3.0)), (20_000_000, 1.0 + 19.0 * overlap(0.05, 0.02))]
    {
        let mut counts = vec![0.0; (1_000_000_000_000_u64 / span) as usize];
        Plan::new(&scenario).requests().for_each(|r| counts[(r.due.as_nanos() / span) as usize] += 1.0);
        let n = counts.len() as f64;
        let mean = counts.iter().sum::<f64>() / n;
        let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / (n - 1.0);
        let index = variance / mean;
        // The sample variance of n nearly normal counts has a relative error of sqrt(2/n).
        let error = 5.0 * (2.0 / n).sqrt() * exact;
        assert!((index - exact).abs() < error, "seed 1, span {span} ns: index {index}, expected {exact}");
    }
}

/// E[(1 - |U1 - U2|·w/T)+] for two uniform variables, by its integral.
fn overlap(within: f64, span: f64) -> f64 {
    let steps = 100_000;
    let term = |i: i32| {
        let x = (f64::from(i) + 0.5) / f64::from(steps);
        2.0 * (1.0 - x) * (1.0 - x * within / span).max(0.0)
    };
    (0..steps).map(term).sum::<f64>() / f64::from(steps)
}

#[test]
fn a_replay_has_the_rows_of_its_file() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces/minute.csv"));
    let file = file.expect("the trace is part of the sources");
    let times: Vec<f64> = file
        .lines()
        .skip(1)
        .map(|l| l.split(',').next().expect("a time").parse().expect("a number"))
        .collect();
    let dues = |extra: &str| -> Vec<f64> {
        Plan::new(&replay(extra)).requests().map(|r| r.due.as_secs_f64()).collect()
    };
    let near = |found: &[f64], expected: &[f64]| {
        found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-8)
    };
    let from_first: Vec<f64> = times.iter().map(|t| t - times[0]).collect();
    assert!(near(&dues(""), &from_first));
    assert!(near(&dues(", origin = \"file\""), &times));
    let twice: Vec<f64> = from_first.iter().map(|t| t / 2.0).collect();
    assert!(near(&dues(", speed = 2"), &twice));
    let some = dues(", share = \"30%\"");
    assert!((110..190).contains(&some.len()), "{} of 500 rows at 30%", some.len());
    assert!(some.iter().all(|t| from_first.iter().any(|all| (all - t).abs() < 1e-8)));
}

#[test]
fn every_format_of_a_replay_keeps_its_gaps_at_any_speed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = |second: u32| {
        format!("127.0.0.1 - - [10/Oct/2000:13:55:{second} +0000] \"GET /?a=b HTTP/1.1\" 200 7")
    };
    let combined = |second: u32| format!("{} \"https://shop.test/\" \"Mozilla/5.0\"", log(second));
    let entry = |second: u32| {
        let request = "{\"method\": \"GET\", \"url\": \"https://shop.test/?a=b\"}";
        format!("{{\"startedDateTime\": \"2026-01-31T12:00:{second}.000Z\", \"request\": {request}}}")
    };
    let seconds = [36, 37, 40];
    let lines = |line: &dyn Fn(u32) -> String| seconds.map(line).join("\n");
    let har = format!("{{\"log\": {{\"entries\": [{}]}}}}", seconds.map(entry).join(", "));
    let jsonl = "{\"time_s\": 0.5, \"class\": \"home\"}\n{\"time_ms\": 1500, \"path\": \"/\"}\n\
                 {\"time_us\": 4500000, \"method\": \"GET\", \"path\": \"/?a=b\"}\n";
    let files = [
        ("csv", "time_ms,class\n500,home\n1500,home\n4500,home\n".to_owned()),
        ("jsonl", jsonl.to_owned()),
        ("access-log", lines(&log)),
        ("access-log", lines(&combined)),
        ("har", har),
    ];
    for (format, text) in files {
        std::fs::write(directory.path().join("recorded"), &text).expect("written");
        for (speed, expected) in
            [("1", [0, 1_000, 4_000]), ("4", [0, 250, 1_000]), ("0.5", [0, 2_000, 8_000])]
        {
            let replay =
                format!("executor = \"replay\", file = \"recorded\", format = \"{format}\", speed = {speed}");
            let scenario = MINIMAL.replace(CONSTANT, &replay).replace(", mix = { home = 1 }", "");
            let scenario = Scenario::parse(directory.path().join("s.toml"), scenario)
                .unwrap_or_else(|problems| panic!("{format}: {problems}"));
            let dues: Vec<SimTime> = Plan::new(&scenario).requests().map(|planned| planned.due).collect();
            assert_eq!(dues, expected.map(SimTime::from_millis), "{format} at {speed}: {text}");
        }
    }
}

#[test]
fn a_replayed_file_is_part_of_the_scenarios_hash() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let hash = |rows: &str| {
        std::fs::write(directory.path().join("t.csv"), format!("time_s,class\n{rows}")).expect("written");
        let replay = "executor = \"replay\", file = \"t.csv\"";
        let text = MINIMAL.replace(CONSTANT, replay).replace(", mix = { home = 1 }", "");
        Scenario::parse(directory.path().join("s.toml"), text).expect("it is good").source.hash
    };
    assert_eq!(hash("0,home\n"), hash("0,home\n"));
    assert_ne!(hash("0,home\n"), hash("1,home\n"));
}

#[test]
fn a_replayed_key_is_the_requests_first() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("t.csv"), "time_s,class,key\n0,product,7\n1,product,1999\n")
        .expect("written");
    let text = scenarios::library::QUICKSTART;
    let (before, after) = text.split_once("[traffic.").expect("the quickstart has traffic");
    let after = after.split_once("\n[").map_or("", |(_, rest)| rest);
    let traffic = "[traffic.recorded]\nto = \"shop\"\nexecutor = \"replay\"\nfile = \"t.csv\"\n";
    let scenario = Scenario::parse(directory.path().join("s.toml"), format!("{before}{traffic}\n[{after}"))
        .unwrap_or_else(|problems| panic!("{problems}"));
    let draws = Draws::new(&scenario);
    let keyspace = scenario.keyspace_ids().next().expect("the quickstart has a keyspace");
    let firsts: Vec<u64> =
        Plan::new(&scenario).requests().filter_map(|r| draws.keys(r.id, keyspace).next()).collect();
    assert_eq!(firsts, [7, 1999]);
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
fn an_object_is_of_one_size_that_its_class_and_its_keys_decide() {
    let text =
        MINIMAL.replace("path = \"/\"", "path = \"/\", response = \"lognormal(median=60kB, p99=400kB)\"");
    let scenario = parse(&text);
    let (draws, law) = (Draws::new(&scenario), scenario.requests[0].response);
    let class = scenario.class_ids().next().expect("a class");
    let size = |keys: &[u64]| draws.object_size(class, keys.iter().copied(), &law);
    assert_eq!(size(&[7, 8]), size(&[7, 8]));
    assert!(size(&[7, 8]) != size(&[8, 7]) && size(&[7]) != size(&[8]), "other keys, other objects");
    let sizes: Vec<f64> = (0..20_000).map(|key| size(&[key]) as f64).collect();
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    assert!((mean / law.mean() - 1.0).abs() < 0.03, "{mean} instead of {}", law.mean());
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
