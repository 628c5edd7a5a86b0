//! What a run is played against, beyond its sockets: something that can be broken on purpose and says how it is.
//!
//! Whoever starts a run implements [`System`]; this crate knows no stack.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;

use results::{Sample, sample};

/// Why a system did not do what it was asked.
pub type Problem = Box<dyn Error + Send + Sync>;

/// One instance's metrics: counters since its start, and states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The component's name in the file.
    pub component: String,
    /// Which instance, from 0.
    pub instance: u32,
    /// Values by name.
    pub metrics: BTreeMap<String, f64>,
}

/// A stack that a run controls and observes, each from a thread of its own.
pub trait System: Sync {
    /// The run begins, now: what the scenario has happen by itself is due on its timeline. Nothing by default.
    ///
    /// # Errors
    /// Why the system cannot be told.
    fn begin(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// Breaks what the scenario's fault of this number says.
    ///
    /// # Errors
    /// Why it could not.
    fn begin_fault(&self, fault: usize) -> Result<(), Problem>;

    /// Mends it.
    ///
    /// # Errors
    /// Why it could not.
    fn end_fault(&self, fault: usize) -> Result<(), Problem>;

    /// How every instance is.
    ///
    /// # Errors
    /// Why nothing is known.
    fn stats(&self) -> Result<Vec<Reading>, Problem>;
}

/// Counters that become counts of an interval.
const COUNTS: [&str; 21] = [
    sample::HITS,
    sample::GRACE_HITS,
    sample::MISSES,
    sample::PASSES,
    sample::COALESCED,
    sample::EVICTIONS,
    sample::EXPIRED,
    sample::PURGED,
    sample::LOST_WRITES,
    sample::PUBLISHED,
    sample::DELIVERED,
    sample::ACKNOWLEDGED,
    sample::REDELIVERED,
    sample::DEAD_LETTERED,
    sample::DROPPED,
    sample::RETRIES,
    sample::HEDGES,
    sample::TIMEOUTS,
    sample::REFUSED,
    sample::LOCK_TIMEOUTS,
    sample::STATEMENT_TIMEOUTS,
];
/// What each kind of server counts of those who ask it.
const ASKED: [&str; 4] = ["requests", "commands", "statements", sample::PUBLISHED];
/// States that are reported as they are.
const STATES: [&str; 12] = [
    sample::KEYS,
    sample::KEYS_WITH_TTL,
    sample::MEMORY_BYTES,
    sample::OVERHEAD_BYTES,
    sample::CONNECTIONS,
    sample::REPLICATION_LAG_BYTES,
    sample::INSTANCES,
    sample::HELD,
    sample::MESSAGES_READY,
    sample::MESSAGES_UNACKNOWLEDGED,
    sample::CONSUMERS,
    sample::UP,
];

/// Turns readings into samples: counters into what was added since the reading before.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    /// By component and instance: when it was read last (seconds of the run), and what.
    before: BTreeMap<(String, u32), (f64, BTreeMap<String, f64>)>,
}

impl Differences {
    /// The samples of an interval, from readings made at its end, `at` seconds into the run.
    pub(crate) fn samples(&mut self, interval: usize, at: f64, readings: Vec<Reading>) -> Vec<Sample> {
        let mut samples = Vec::new();
        for Reading { component, instance, metrics } in readings {
            let (read, before) = self.before.entry((component.clone(), instance)).or_default();
            let down = metrics.get(sample::UP) == Some(&0.0);
            let metrics = if down { BTreeMap::from([(sample::UP.to_owned(), 0.0)]) } else { metrics };
            // An instance that was silent for a while tells of all that time at once.
            let seconds = (at - *read).max(1e-3);
            let added = |name: &str| {
                let now = *metrics.get(name)?;
                // A counter that went down belongs to a new process, which counted from zero.
                Some(now - before.get(name).copied().filter(|then| *then <= now).unwrap_or(0.0))
            };
            let state = |name: &str| metrics.get(name).copied();
            let share = |busy: &str, places: &str| {
                Some(added(busy)? / (seconds * state(places).filter(|n| *n > 0.0)?))
                    .map(|share| share.min(1.0))
            };
            let mean = |counter: &str, state_now: &str| {
                added(counter).map(|sum| sum / seconds).or_else(|| state(state_now))
            };
            let utilisation =
                share("busy_core_seconds", "cores").or_else(|| share("busy_worker_seconds", "workers"));
            let means = [
                (sample::CPU, added("cpu_seconds").map(|spent| spent / seconds)),
                (sample::UTILISATION, utilisation),
                (sample::QUEUE, mean("queue_seconds", "waiting")),
                (sample::IN_SERVICE, mean("busy_worker_seconds", "in_service")),
            ];
            let asked = ASKED.iter().find_map(|name| added(name));
            let counts =
                COUNTS.map(|name| (name, added(name))).into_iter().chain([(sample::REQUESTS, asked)]);
            let states = STATES.map(|name| (name, state(name)));
            let values = means.into_iter().chain(counts).chain(states);
            samples.extend(values.filter_map(|(metric, value)| {
                let (component, metric) = (component.clone(), Cow::Borrowed(metric));
                value.map(|value| Sample { interval, component, instance, metric, value })
            }));
            if !down {
                (*read, *before) = (at, metrics);
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(metrics: &[(&str, f64)]) -> Vec<Reading> {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        vec![Reading { component: "shop".to_owned(), instance: 1, metrics }]
    }

    fn value(samples: &[Sample], metric: &str) -> Option<f64> {
        samples.iter().find(|sample| sample.metric == metric).map(|sample| sample.value)
    }

    #[test]
    fn counters_become_differences_and_states_stay() {
        let mut differences = Differences::default();
        let first = [
            ("commands", 3.0),
            ("hits", 10.0),
            ("keys", 5.0),
            ("busy_core_seconds", 1.0),
            ("cpu_seconds", 0.5),
            ("cores", 4.0),
            ("up", 1.0),
        ];
        differences.samples(0, 1.0, reading(&first));
        let second = [
            ("commands", 9.0),
            ("hits", 25.0),
            ("keys", 4.0),
            ("busy_core_seconds", 9.0),
            ("cpu_seconds", 1.5),
            ("cores", 4.0),
            ("up", 1.0),
        ];
        let samples = differences.samples(1, 5.0, reading(&second));
        assert_eq!(value(&samples, sample::HITS), Some(15.0));
        assert_eq!(value(&samples, sample::REQUESTS), Some(6.0));
        assert_eq!(value(&samples, sample::KEYS), Some(4.0));
        assert_eq!(value(&samples, sample::UTILISATION), Some(0.5));
        assert_eq!(value(&samples, sample::CPU), Some(0.25));
        assert_eq!(value(&samples, sample::MISSES), None);
    }

    #[test]
    fn what_a_real_queue_tells_is_recorded() {
        let told = |n: f64| {
            let names = ["published", "delivered", "acknowledged"].map(|name| (name, 10.0 * n));
            let states = [("messages_ready", n), ("messages_unacknowledged", 2.0 * n), ("consumers", 1.0)];
            reading(&[names, states].concat())
        };
        let mut differences = Differences::default();
        differences.samples(0, 1.0, told(1.0));
        let samples = differences.samples(1, 2.0, told(4.0));
        for count in [sample::PUBLISHED, sample::DELIVERED, sample::ACKNOWLEDGED, sample::REQUESTS] {
            assert_eq!(value(&samples, count), Some(30.0), "{count}");
        }
        assert_eq!(value(&samples, sample::MESSAGES_READY), Some(4.0));
        assert_eq!(value(&samples, sample::MESSAGES_UNACKNOWLEDGED), Some(8.0));
        assert_eq!(value(&samples, sample::CONSUMERS), Some(1.0));
    }

    #[test]
    fn a_restarted_process_counts_from_zero() {
        let mut differences = Differences::default();
        differences.samples(0, 1.0, reading(&[("hits", 1_000.0), ("up", 1.0)]));
        let down = differences.samples(1, 2.0, reading(&[("hits", 1_000.0), ("up", 0.0)]));
        assert_eq!((value(&down, sample::UP), value(&down, sample::HITS)), (Some(0.0), None));
        let samples = differences.samples(2, 3.0, reading(&[("hits", 7.0), ("up", 1.0)]));
        assert_eq!(value(&samples, sample::HITS), Some(7.0));
    }
}
