//! Load balancers.

use super::ComponentId;
use crate::units::SimTime;

/// HAProxy's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadBalancer {
    /// The component whose instances are the servers.
    pub to: ComponentId,
    /// How a server is chosen.
    pub balance: Balance,
    /// How the servers' health is found out. Without it every server counts as up.
    pub health_check: Option<HealthCheck>,
    /// How often a failed *connection* is tried again. A request of which something was sent is never repeated.
    pub retries: u32,
    /// Whether a retry goes to another server at once (HAProxy's `option redispatch 1`); else to the same one,
    /// after a turn-around of the smaller of `connect_timeout` and one second.
    pub redispatch: bool,
    /// How long a connection to a server may take to open.
    pub connect_timeout: SimTime,
    /// How long a server may stay silent once the request is sent.
    pub server_timeout: SimTime,
}

/// How a load balancer chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Each server in turn.
    RoundRobin,
}

/// Active health checks, by HAProxy's rules.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The path asked for; an answer of 2xx or 3xx is a success.
    pub http: String,
    /// Between the starts of two checks of a server. Each server's first check has a random phase.
    pub interval: SimTime,
    /// How long a check may take; by default the interval.
    pub timeout: SimTime,
    /// Failures in a row that take a server out.
    pub fall: u32,
    /// Successes in a row that take it back in.
    pub rise: u32,
}
