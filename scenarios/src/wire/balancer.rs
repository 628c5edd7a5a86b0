//! Load balancers, as written.

use crate::scenario::Balance;
use crate::units::SimTime;

use super::prelude::*;

table! {
    /// Spreads requests over the instances of another component (HAProxy's role).
    LoadBalancer {
        /// The component whose instances are the servers.
        required to: String,
        /// How a server is chosen.
        default balance: Balance = Balance::RoundRobin,
        /// How the servers' health is found out. Without it every server counts as up.
        optional health_check: HealthCheck,
        /// How often a failed connection is tried again. A request of which something was sent is never repeated.
        default retries: Count<0, 100> = Count(3),
        /// Whether a retry goes to another server at once, else to the same one after a pause.
        default redispatch: bool = true,
        /// How long a connection to a server may take to open.
        default connect_timeout: SimTime = SimTime::from_secs(5),
        /// How long a server may stay silent once the request is sent.
        default server_timeout: SimTime = SimTime::from_secs(50),
    }
}

table! {
    /// Active health checks, by HAProxy's rules.
    HealthCheck {
        /// The path asked for; an answer of 2xx or 3xx is a success.
        required http: String,
        /// Between the starts of two checks of a server.
        default interval: SimTime = SimTime::from_secs(2),
        /// How long a check may take; by default the interval.
        optional timeout: SimTime,
        /// Failures in a row that take a server out.
        default fall: Count<1, 1000> = Count(3),
        /// Successes in a row that take it back in.
        default rise: Count<1, 1000> = Count(2),
    }
}

words!(Balance { "round-robin" => RoundRobin });
