//! What a producer says of its own run beside the counts: what was exact, which laws were checked, single requests.

use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use crate::wire::seconds;

/// All of it, as far as the producer has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What was exact, what was sampled, and what that costs.
    #[serde(default)]
    pub model: Vec<ModelNote>,
    /// The conservation laws that were checked.
    #[serde(default)]
    pub laws: Vec<Law>,
    /// Single requests, followed through the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<Trace>,
}

impl Evidence {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what another part of the producer says.
    pub fn extend(&mut self, other: Self) {
        self.model.extend(other.model);
        self.laws.extend(other.laws);
        self.traces.extend(other.traces);
    }

    /// A sentence for each law that does not hold: the run's figures must not be believed.
    pub fn violations(&self) -> Vec<String> {
        self.laws.iter().filter(|law| !law.holds()).map(Law::violation).collect()
    }
}

/// How a part of the model was computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelNote {
    /// Which part: `contents of objects`, `response-time percentiles`.
    pub what: String,
    /// How it was computed: `exact`, `sampled 1/64 by key`.
    pub how: String,
    /// What that costs in error, as far as it is known: `none`, `hit ratio ± 0.004`.
    pub error: String,
}

impl ModelNote {
    /// A note.
    pub fn new(what: impl Into<String>, how: impl Into<String>, error: impl Into<String>) -> Self {
        Self { what: what.into(), how: how.into(), error: error.into() }
    }
}

/// Which law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LawKind {
    /// What went in came out, failed, or is still inside.
    Flow,
    /// The mean number inside is the arrival rate times the mean time inside (Little, *A proof for the queuing formula
    /// L = λW*, Operations Research 9, 1961).
    Little,
}

/// A conservation law, held against a station: `left` must be `right`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// Which law.
    pub law: LawKind,
    /// The instance: `shop[1]`, counted from 1.
    pub station: String,
    /// Requests that went in; the mean number inside, from the integral over time.
    pub left: f64,
    /// Requests that came out, failed or are inside; arrival rate times mean time inside, from the requests' own times.
    pub right: f64,
    /// How far the two may differ.
    pub tolerance: f64,
}

impl Law {
    /// In = out + failed + in flight, exactly.
    pub fn flow(station: impl Into<String>, entered: u64, answered: u64, failed: u64, inside: u64) -> Self {
        let right = (answered + failed + inside) as f64;
        Self { law: LawKind::Flow, station: station.into(), left: entered as f64, right, tolerance: 0.0 }
    }

    /// L = λW over the whole run, within a share of L.
    pub fn little(station: impl Into<String>, number: f64, rate_times_wait: f64, share: f64) -> Self {
        // An empty station has no number to take a share of.
        let tolerance = share * number.abs().max(rate_times_wait.abs()) + 1e-9;
        Self {
            law: LawKind::Little,
            station: station.into(),
            left: number,
            right: rate_times_wait,
            tolerance,
        }
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        (self.left - self.right).abs() <= self.tolerance
    }

    fn violation(&self) -> String {
        let (station, left, right) = (&self.station, self.left, self.right);
        match self.law {
            LawKind::Flow => format!(
                "{station} does not conserve requests: {left} went in, {right} came out, failed or are inside"
            ),
            LawKind::Little => format!(
                "{station} breaks Little's law: {left:.6} are inside on average, but rate times time inside is {right:.6}"
            ),
        }
    }
}

/// One request, followed through the stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The request's number in the plan.
    pub request: u64,
    /// Its class.
    pub class: String,
    /// When it was due, on the run's axis.
    #[serde(rename = "due_s", with = "seconds")]
    pub due: SimTime,
    /// When it was over.
    #[serde(rename = "done_s", with = "seconds")]
    pub done: SimTime,
    /// `ok`, or the kind of failure.
    pub outcome: String,
    /// What happened, in the order of beginning.
    pub spans: Vec<Span>,
}

/// A stretch of a request's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The component's name in the file; empty for the client.
    pub component: String,
    /// Which instance, from 0.
    pub instance: u32,
    /// What: `waits for a worker`, `work`, `mget listings (100 keys, 3 missed)`.
    pub what: String,
    /// When it began.
    #[serde(rename = "from_s", with = "seconds")]
    pub from: SimTime,
    /// When it ended.
    #[serde(rename = "until_s", with = "seconds")]
    pub until: SimTime,
    /// How many calls deep: 0 is the client's own.
    pub depth: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_request_is_a_violation_that_names_its_station() {
        let good = Law::flow("shop[1]", 100, 90, 7, 3);
        let bad = Law::flow("shop[2]", 100, 90, 7, 2);
        assert!(good.holds() && !bad.holds());
        let evidence = Evidence { laws: vec![good, bad], ..Evidence::default() };
        let violations = evidence.violations();
        assert_eq!(violations.len(), 1);
        assert!(
            violations[0].contains("shop[2]") && violations[0].contains("100 went in, 99"),
            "{violations:?}"
        );
    }

    #[test]
    fn littles_law_has_a_tolerance() {
        assert!(Law::little("db[1]", 4.0, 4.0 + 1e-7, 1e-6).holds());
        assert!(!Law::little("db[1]", 4.0, 4.1, 1e-6).holds());
        assert!(Law::little("idle[1]", 0.0, 0.0, 1e-6).holds());
    }
}
