//! Sources of requests, as written.

use crate::scenario::Arrivals;
use crate::units::{Rate, SimTime};

use super::policy::Retries;
use super::prelude::*;

tagged! {
    /// A source of requests.
    Traffic: TrafficCommon, "executor" => Executor {
        "constant-arrival-rate" => Constant,
        "ramping-arrival-rate" => Ramping,
        "curve-arrival-rate" => Curve,
    }
}

table! {
    /// What every traffic has.
    TrafficCommon {
        /// The component that requests meet first.
        required to: String,
        /// How arrivals are spread within the rate.
        default arrivals: Arrivals = Arrivals::Poisson,
        /// The classes of request and their shares, in any unit.
        required mix: Named<Share>,
        /// Connections that the clients keep; a due request that finds none free waits for one.
        default connections: Some1M = Count(100),
        /// Requests under way and waiting at once, above which a due request is dropped and counts as failed.
        default max_in_flight: Some1M = Count(10_000),
        /// How long after it was sent a client gives a request up.
        default timeout: SimTime = SimTime::from_secs(10),
        /// How users press reload: what failed, or was given up, is sent again. Response time runs from the first due time.
        optional retries: Retries,
    }
}

table! {
    /// The same rate always.
    Constant {
        /// Requests per time.
        required rate: Rate,
    }
}

table! {
    /// Straight lines between rates, from the timeline's zero; constant before the first and after the last.
    Ramping {
        /// The rate at the timeline's zero.
        required start_rate: Rate,
        /// What follows.
        required stages: List<Stage>,
    }
}

table! {
    /// A straight line to a rate.
    Stage {
        /// How long it takes.
        required length("for"): SimTime,
        /// The rate at its end.
        required to: Rate,
    }
}

table! {
    /// A named curve that repeats.
    Curve {
        /// Requests expected per period of the curve.
        required expected: Count<1, 6_000_000_000_000>,
        /// The curve's name: `retail-week`.
        required curve: String,
    }
}

words!(Arrivals { "poisson" => Poisson, "uniform" => Uniform });
