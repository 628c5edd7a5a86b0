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

/// Counters besides those that become counts. None of a process's counters ever goes down.
const SECONDS: [&str; 4] = ["cpu_seconds", "busy_core_seconds", "busy_worker_seconds", "queue_seconds"];

/// What an instance told last.
#[derive(Debug)]
struct Told {
    /// In which interval.
    interval: usize,
    /// When, in seconds of the run.
    at: f64,
    metrics: BTreeMap<String, f64>,
}

/// Turns readings into samples: counters into what was added since the reading before.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    /// By component and instance.
    before: BTreeMap<(String, u32), Told>,
    /// When anybody was read last, in seconds of the run.
    read: f64,
}

impl Differences {
    /// The samples of an interval, from readings made at its end, `at` seconds into the run.
    ///
    /// An instance that was silent for a while, because it hung or nobody could ask, tells of all that time at once: the means of
    /// that time are those of each of its intervals. Who died meanwhile counts from zero, since the last time that it was asked in
    /// vain at the earliest.
    pub(crate) fn samples(&mut self, interval: usize, at: f64, readings: Vec<Reading>) -> Vec<Sample> {
        let mut samples = Vec::new();
        let asked_before = std::mem::replace(&mut self.read, at);
        for Reading { component, instance, metrics } in readings {
            let name = (component.clone(), instance);
            let mut put = |interval, metric, value| {
                let (component, metric) = (component.clone(), Cow::Borrowed(metric));
                samples.push(Sample { interval, component, instance, metric, value });
            };
            if metrics.get(sample::UP) == Some(&0.0) {
                put(interval, sample::UP, 0.0);
                continue;
            }
            let told = self.before.get(&name);
            // A process that was silent and counts less than before is another one.
            let same = told.filter(|told| told.at >= asked_before || !is_another(&told.metrics, &metrics));
            let seconds = (at - same.map_or(asked_before, |told| told.at)).max(1e-3);
            let first = same.map_or(interval, |told| (told.interval + 1).min(interval));
            let added = |name: &str| {
                let now = *metrics.get(name)?;
                let then = same.and_then(|told| told.metrics.get(name).copied());
                // A counter that went down belongs to a new process, which counted from zero.
                Some(now - then.filter(|then| *then <= now).unwrap_or(0.0))
            };
            let state = |name: &str| metrics.get(name).copied();
            let share = |busy: &str, places: &str| {
                Some(added(busy)? / (seconds * state(places).filter(|n| *n > 0.0)?))
                    .map(|share| share.min(1.0))
            };
            let mean = |counter: &str| added(counter).map(|sum| sum / seconds);
            let utilisation =
                share("busy_core_seconds", "cores").or_else(|| share("busy_worker_seconds", "workers"));
            let means = [
                (sample::CPU, mean("cpu_seconds")),
                (sample::UTILISATION, utilisation),
                (sample::QUEUE, mean("queue_seconds")),
                (sample::IN_SERVICE, mean("busy_worker_seconds")),
            ];
            for (metric, value) in means.into_iter().filter_map(|(metric, value)| Some((metric, value?))) {
                (first..=interval).for_each(|interval| put(interval, metric, value));
            }
            // Who has no such counters may tell how it is now.
            let instead = [
                (sample::QUEUE, "queue_seconds", "waiting"),
                (sample::IN_SERVICE, "busy_worker_seconds", "in_service"),
            ];
            let instead = instead.into_iter().filter(|(_, counter, _)| !metrics.contains_key(*counter));
            let states = instead.map(|(metric, _, now)| (metric, state(now)));
            let asked = ASKED.iter().find_map(|name| added(name));
            let counts =
                COUNTS.map(|name| (name, added(name))).into_iter().chain([(sample::REQUESTS, asked)]);
            let values = counts.chain(states).chain(STATES.map(|name| (name, state(name))));
            for (metric, value) in values.filter_map(|(metric, value)| Some((metric, value?))) {
                put(interval, metric, value);
            }
            self.before.insert(name, Told { interval, at, metrics });
        }
        samples
    }
}

/// Whether what is told now is of another process than what was told before.
fn is_another(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> bool {
    let mut counters = SECONDS.iter().chain(&COUNTS).chain(&ASKED);
    counters.any(|name| before.get(*name).zip(now.get(*name)).is_some_and(|(then, now)| now < then))
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

    fn busy(seconds: f64, hits: f64) -> Vec<Reading> {
        reading(&[("busy_core_seconds", seconds), ("cores", 2.0), ("hits", hits), ("up", 1.0)])
    }

    /// What is told of an instance's cores, by interval.
    fn utilisations(samples: &[Sample]) -> Vec<(usize, f64)> {
        let of = samples.iter().filter(|sample| sample.metric == sample::UTILISATION);
        of.map(|sample| (sample.interval, sample.value)).collect()
    }

    #[test]
    fn what_a_stuck_instance_did_is_spread_over_the_time_that_it_tells_of() {
        let mut differences = Differences::default();
        differences.samples(0, 1.0, busy(1.0, 10.0));
        for interval in 1..4 {
            let silent = reading(&[("busy_core_seconds", 1.0), ("up", 0.0)]);
            let told = differences.samples(interval, interval as f64 + 1.0, silent);
            assert_eq!((told.len(), value(&told, sample::UP)), (1, Some(0.0)));
        }
        // Two core-seconds in four seconds of two cores: as much as its intervals say together.
        let told = differences.samples(4, 5.0, busy(3.0, 30.0));
        assert_eq!(utilisations(&told), [(1, 0.25), (2, 0.25), (3, 0.25), (4, 0.25)]);
        let hits: Vec<usize> = told.iter().filter(|s| s.metric == sample::HITS).map(|s| s.interval).collect();
        assert_eq!((hits, value(&told, sample::HITS)), (vec![4], Some(20.0)), "counts are told once");
        assert_eq!(utilisations(&differences.samples(5, 6.0, busy(4.0, 30.0))), [(5, 0.5)]);
    }

    #[test]
    fn a_process_that_began_anew_is_busy_since_then_alone() {
        let mut differences = Differences::default();
        differences.samples(0, 1.0, busy(1.5, 10.0));
        for interval in 1..4 {
            differences.samples(interval, interval as f64 + 1.0, reading(&[("up", 0.0)]));
        }
        let told = differences.samples(4, 5.0, busy(1.0, 12.0));
        assert_eq!(utilisations(&told), [(4, 0.5)], "the dead one's seconds are not its own");
        assert_eq!(value(&told, sample::HITS), Some(12.0), "all that it counted, though it is more");
        // Whoever is seen for the first time in the middle of a run has just begun, too.
        let other = vec![Reading { instance: 2, ..busy(0.5, 1.0).remove(0) }];
        assert_eq!(utilisations(&differences.samples(5, 6.0, other)), [(5, 0.25)]);
    }

    #[test]
    fn where_nobody_could_be_asked_for_a_while_the_next_reading_is_of_all_of_it() {
        let mut differences = Differences::default();
        differences.samples(0, 0.0, busy(0.0, 0.0));
        assert_eq!(utilisations(&differences.samples(0, 1.0, busy(1.0, 1.0))), [(0, 0.5)]);
        assert_eq!(utilisations(&differences.samples(2, 3.0, busy(2.0, 2.0))), [(1, 0.25), (2, 0.25)]);
    }
}
