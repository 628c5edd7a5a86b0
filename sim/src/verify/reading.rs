//! What is read of one finished replication: always of its record's counts and samples, as any user would.

use results::buckets::Fine;
use results::tally::Tally;
use results::{Failure, Frame, Sample};
use scenarios::Scenario;

use crate::SimOutcome;

/// How a quantity comes out of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The mean response time of good answers, of one class or of all, where what fails does so at once.
    MeanMillis(Option<&'static str>),
    /// The mean response time of all that was not refused, failed or not.
    MeanMillisInside,
    /// Good answers, by when their request was due.
    ThroughputPerMilli,
    /// A percentile of the response time, interpolated within its bucket.
    PercentileMillis(f64),
    /// The share of failed requests.
    Failed,
    /// A component's metric, averaged over the intervals, times a factor.
    Sampled { component: &'static str, metric: &'static str, factor: f64 },
    /// The share of the keys asked for that a store had.
    Hits { store: &'static str },
}

/// A quantity whose exact mean is known, and which says how busy a replication happened to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control {
    of: Observed,
    exact: f64,
}

#[derive(Clone, Copy, Debug)]
enum Observed {
    Arrivals,
    Utilisation(&'static str),
    Up(&'static str),
}

impl Control {
    pub(super) fn arrivals(per_second: f64) -> Self {
        Self { of: Observed::Arrivals, exact: per_second }
    }

    pub(super) fn utilisation(component: &'static str, exact: f64) -> Self {
        Self { of: Observed::Utilisation(component), exact }
    }

    pub(super) fn up(component: &'static str, exact: f64) -> Self {
        Self { of: Observed::Up(component), exact }
    }
}

/// A finished replication.
#[derive(Debug)]
pub(super) struct Finished<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) frame: &'a Frame,
    pub(super) outcome: &'a SimOutcome,
}

impl Finished<'_> {
    pub(super) fn read(&self, reading: Reading) -> f64 {
        match reading {
            Reading::MeanMillis(class) => {
                let tally = self.measured(class);
                tally.response_sum_nanos as f64 / tally.ok as f64 / 1e6
            }
            Reading::MeanMillisInside => {
                let tally = self.measured(None);
                let inside = tally.due() - tally.failures[Failure::Refused.index()];
                tally.response_sum_nanos as f64 / inside as f64 / 1e6
            }
            Reading::ThroughputPerMilli => self.measured(None).ok as f64 / self.seconds() / 1e3,
            Reading::PercentileMillis(percent) => percentile(&self.measured(None), percent) / 1e6,
            Reading::Failed => {
                let tally = self.measured(None);
                tally.failed() as f64 / tally.due() as f64
            }
            Reading::Sampled { component, metric, factor } => factor * self.average(component, metric),
            Reading::Hits { store } => {
                let total = |metric| self.values(store, metric).sum::<f64>();
                let (hits, misses) = (total(results::sample::HITS), total(results::sample::MISSES));
                hits / (hits + misses)
            }
        }
    }

    /// How far a control lies from its mean.
    pub(super) fn control(&self, control: &Control) -> f64 {
        let found = match control.of {
            Observed::Arrivals => self.measured(None).due() as f64 / self.seconds(),
            Observed::Utilisation(component) => self.average(component, results::sample::UTILISATION),
            Observed::Up(component) => self.average(component, results::sample::UP),
        };
        found - control.exact
    }

    fn seconds(&self) -> f64 {
        (self.frame.total - self.frame.warmup).as_secs_f64()
    }

    fn measured(&self, class: Option<&str>) -> Tally<Fine> {
        let class = class.and_then(|name| self.scenario.requests.iter().position(|r| r.name == name));
        let mut all = Tally::default();
        for (i, window) in self.frame.windows.iter().enumerate() {
            if window.is_measured() {
                all.merge(&self.outcome.delta.tallies().window(i, class));
            }
        }
        all
    }

    fn values<'a>(&'a self, component: &'a str, metric: &'a str) -> impl Iterator<Item = f64> + 'a {
        let measured = |s: &&Sample| self.frame.bounds(s.interval).0 >= self.frame.warmup;
        let samples = self.outcome.samples.iter().filter(measured);
        samples.filter(move |s| s.component == component && s.metric == metric).map(|s| s.value)
    }

    fn average(&self, component: &str, metric: &str) -> f64 {
        let (sum, n) = self.values(component, metric).fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
        sum / n
    }
}

/// A percentile of good answers in nanoseconds, as if values lay evenly within their bucket: a bucket's edge would be off
/// by up to a thousandth.
fn percentile(tally: &Tally<Fine>, percent: f64) -> f64 {
    let rank = percent / 100.0 * tally.response.total() as f64;
    let mut before = 0.0;
    for (low, high, n) in tally.response.iter() {
        let n = n as f64;
        if before + n >= rank {
            return low as f64 + (high + 1 - low) as f64 * (rank - before) / n;
        }
        before += n;
    }
    f64::NAN
}
