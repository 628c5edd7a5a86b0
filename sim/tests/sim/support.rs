//! Scenarios in short, and figures with honest intervals.

use std::sync::atomic::AtomicBool;

use results::sample::{HITS, MISSES};
use results::{Failure, Frame};
use scenarios::Scenario;
use sim::{SimOutcome, Simulation};

/// A service and users that ask it for one page, with or without a balancer before it. Each text is TOML at the end of its
/// table, and may go on with tables of its own.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shop<'a> {
    pub(crate) run: &'a str,
    pub(crate) edge: &'a str,
    pub(crate) app: &'a str,
    /// On the edge, before the service.
    pub(crate) balancer: Option<&'a str>,
    pub(crate) service: &'a str,
    pub(crate) steps: &'a str,
    /// Whom the users ask, how often, and whatever comes last.
    pub(crate) traffic: &'a str,
}

impl Shop<'_> {
    pub(crate) fn text(&self) -> String {
        let Self { run, edge, app, balancer, service, steps, traffic } = self;
        let balancer = balancer.map_or(String::new(), |balancer| {
            format!(
                "[hosts.edge]\n{edge}\n[components.balancer]\nkind = \"load-balancer\"\nhost = \"edge\"\nto = \"shop\"\n{balancer}\n"
            )
        });
        format!(
            r#"
title = "A shop"
[run]
{run}
{balancer}[hosts.app]
{app}
[components.shop]
kind = "service"
host = "app"
{service}
[requests.page]
path = "/"
{steps}
[traffic.users]
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
{traffic}
"#
        )
    }
}

/// A service with room for everything that asks a store, and a database for what it misses. As [`Shop`].
#[derive(Clone, Copy, Default)]
pub(crate) struct CachedShop<'a> {
    pub(crate) run: &'a str,
    pub(crate) store: &'a str,
    pub(crate) archive: &'a str,
    /// Of the keyspace `items`.
    pub(crate) keyspace: &'a str,
    pub(crate) steps: &'a str,
    /// How often the users ask, and whatever comes last.
    pub(crate) traffic: &'a str,
}

impl CachedShop<'_> {
    pub(crate) fn text(&self) -> String {
        let Self { run, store, archive, keyspace, steps, traffic } = self;
        format!(
            r#"
title = "A shop with a store"
[run]
{run}
[hosts.app]
cores = 64
[hosts.data]
[hosts.db]
cores = 64
[components.shop]
kind = "service"
host = "app"
workers = 1000
[components.objects]
kind = "kv-store"
host = "data"
{store}
[components.archive]
kind = "sql-store"
host = "db"
connections = 1000
{archive}
[keyspaces.items]
in = "objects"
{keyspace}
[requests.read]
path = "/"
{steps}
[traffic.users]
to = "shop"
mix = {{ read = 1 }}
executor = "constant-arrival-rate"
connections = 1000
max_in_flight = 10000
timeout = "10s"
{traffic}
"#
        )
    }
}

/// Traffic through the balancer, evenly spaced, with connections for all.
pub(crate) const EVENLY: &str =
    "to = \"balancer\"\narrivals = \"uniform\"\nconnections = 2000\ntimeout = \"10s\"\n";

/// A step of the page.
pub(crate) fn step(action: &str) -> String {
    format!("[[requests.page.steps]]\n{action}\n")
}

/// A finished run with its frame.
pub(crate) struct Run {
    pub(crate) frame: Frame,
    pub(crate) outcome: SimOutcome,
}

pub(crate) fn parse(text: &str) -> Scenario {
    Scenario::parse("test.toml", text)
        .unwrap_or_else(|problems| panic!("the test's scenario is good:\n{problems}"))
}

pub(crate) fn run(text: &str) -> Run {
    let scenario = parse(text);
    let mut simulation =
        Simulation::new(&scenario).unwrap_or_else(|problems| panic!("the simulator takes it:\n{problems}"));
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    assert!(outcome.complete);
    assert_eq!(outcome.counts.due, outcome.counts.ok + outcome.counts.failed, "no request is lost");
    Run { frame: Frame::new(&scenario), outcome }
}

impl Run {
    fn measured(&self) -> impl Iterator<Item = usize> {
        (0..self.frame.intervals()).filter(|&i| self.frame.bounds(i).0 >= self.frame.warmup)
    }

    /// The mean response time of good answers in each interval of the measured part, in seconds.
    pub(crate) fn means(&self) -> Vec<f64> {
        let tallies = self.outcome.delta.tallies();
        let tally = |i| tallies.interval(i, None);
        self.measured().map(tally).map(|t| t.response_sum_nanos as f64 / t.ok as f64 / 1e9).collect()
    }

    /// The same of one class of requests, by its number in the file.
    pub(crate) fn class_means(&self, class: usize) -> Vec<f64> {
        let tallies = self.outcome.delta.tallies();
        let tally = |i| tallies.interval(i, Some(class));
        self.measured().map(tally).map(|t| t.response_sum_nanos as f64 / t.ok as f64 / 1e9).collect()
    }

    /// How many good answers those are.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.measured().map(|i| self.outcome.delta.tallies().interval(i, None).ok).collect()
    }

    /// A percentile of the response time in each of twenty equal batches of intervals, from merged histograms; in
    /// seconds.
    pub(crate) fn batch_percentiles(&self, percent: f64) -> Vec<f64> {
        let tallies = self.outcome.delta.tallies();
        let intervals: Vec<usize> = self.measured().collect();
        let batch = |batch: &[usize]| {
            let mut merged = tallies.interval(batch[0], None);
            batch[1..].iter().for_each(|&i| merged.merge(&tallies.interval(i, None)));
            merged.response_times().percentile(percent).expect("requests in it")
        };
        intervals.chunks_exact(intervals.len() / 20).take(20).map(batch).collect()
    }

    /// A percentile of the response time in each interval, in seconds.
    pub(crate) fn percentiles(&self, percent: f64) -> Vec<f64> {
        let tallies = self.outcome.delta.tallies();
        self.measured()
            .map(|i| tallies.interval(i, None).response_times().percentile(percent).expect("requests in it"))
            .collect()
    }

    /// Failures of a kind by interval, warm-up included.
    pub(crate) fn failures(&self, kind: Failure) -> Vec<u64> {
        let tallies = self.outcome.delta.tallies();
        (0..self.frame.intervals()).map(|i| tallies.interval(i, None).failures[kind.index()]).collect()
    }

    /// All failures by interval, warm-up included.
    pub(crate) fn failed(&self) -> Vec<u64> {
        (0..self.frame.intervals()).map(|i| self.outcome.delta.tallies().interval(i, None).failed()).collect()
    }

    /// The share of what a component's only instance was asked for that it had.
    pub(crate) fn hit_ratio(&self, component: &str) -> f64 {
        let [hits, misses] =
            [HITS, MISSES].map(|metric| self.metric(component, 0, metric).iter().sum::<f64>());
        hits / (hits + misses)
    }

    /// The values of a metric over the measured intervals.
    pub(crate) fn metric(&self, component: &str, instance: u32, metric: &str) -> Vec<f64> {
        let samples = self.outcome.samples.iter();
        samples
            .filter(|s| s.component == component && s.instance == instance && s.metric == metric)
            .filter(|s| self.frame.bounds(s.interval).0 >= self.frame.warmup)
            .map(|s| s.value)
            .collect()
    }
}

/// The mean of correlated values by batches: mean, and the half-width of a 99.9% interval by Student's t for 19 degrees
/// of freedom.
pub(crate) fn batched(values: &[f64]) -> (f64, f64) {
    let batches = 20;
    let size = values.len() / batches;
    assert!(size > 0, "at least {batches} values, found {}", values.len());
    let means: Vec<f64> =
        values.chunks_exact(size).take(batches).map(|b| b.iter().sum::<f64>() / size as f64).collect();
    let mean = means.iter().sum::<f64>() / batches as f64;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (batches as f64 - 1.0);
    (mean, 3.883 * (variance / batches as f64).sqrt())
}

/// Asserts that the interval covers an exact value, and is narrow enough to say something.
pub(crate) fn covers(values: &[f64], exact: f64, precision: f64) {
    let (mean, half) = batched(values);
    assert!(half < precision * exact, "{mean} ± {half}: too wide for ±{precision} of {exact}");
    assert!((mean - exact).abs() <= half, "{mean} ± {half} does not cover {exact}");
}
