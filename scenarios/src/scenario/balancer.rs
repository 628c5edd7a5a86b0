//! Load balancers.

use super::{ComponentId, Peers, ProxyVersion, Tls};
use crate::units::SimTime;

/// HAProxy's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadBalancer {
    /// The component whose instances are the servers.
    pub to: ComponentId,
    /// How a server is chosen.
    pub balance: Balance,
    /// For hashes: whether a change of the servers moves only the share of those that changed.
    pub consistent: bool,
    /// The weight of each server, in the order of the instances (HAProxy's `weight`, 0 to 256); empty where all are alike.
    pub weights: Vec<u32>,
    /// How the servers' health is found out. Without it every server counts as up.
    pub health_check: Option<HealthCheck>,
    /// How often a failed *connection* is tried again. A request of which something was sent is never repeated.
    pub retries: u32,
    /// Whether a retry goes to another server (HAProxy's `option redispatch 1`), at once where several are in use; else to the
    /// same one, which after it refused is left alone for the smaller of `connect_timeout` and one second.
    pub redispatch: bool,
    /// How long a connection to a server may take to open.
    pub connect_timeout: SimTime,
    /// How long a client's connection may be idle before the balancer closes it; never, where it does not say.
    pub client_timeout: Option<SimTime>,
    /// How long a server may stay silent once the request is sent.
    pub server_timeout: SimTime,
    /// Requests that an instance forwards at once (HAProxy's `maxconn` of a proxy); others wait unaccepted.
    pub max_connections: Option<u32>,
    /// Requests that a server is sent at once by one instance (`maxconn` of a server); others wait in the queue.
    pub server_max_connections: Option<u32>,
    /// How long a request may wait in the queue before it is answered 503.
    pub queue_timeout: SimTime,
    /// How long a server that came back takes to its full share, in a straight line from nothing.
    pub slow_start: Option<SimTime>,
    /// The cookie by which a user's requests return to the same server (`cookie NAME insert indirect nocache`).
    pub cookie: Option<String>,
    /// Peers that tell by the PROXY protocol whose connections they pass on, and must (`accept-proxy`).
    pub accept_proxy: Vec<Peers>,
    /// Whether, and how, servers are told whose connections these are (`send-proxy`, `send-proxy-v2`). Such a connection carries
    /// the requests of one client's connection, and so is not kept for those of others.
    pub send_proxy: Option<ProxyVersion>,
    /// TLS, where it ends here.
    pub tls: Option<Tls>,
    /// Whether clients may speak HTTP/2.
    pub http2: bool,
    /// The virtual address that one instance holds; without it all are active.
    pub vip: Option<Vip>,
}

/// A virtual address (VRRP, RFC 5798, as Keepalived runs it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vip {
    /// Between two advertisements of the holder.
    pub advertise: SimTime,
    /// Between two looks at whether the process is alive.
    pub check: SimTime,
    /// Whether an earlier instance that came back takes the address over again.
    pub preempt: bool,
}

/// How a load balancer chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Each server in turn.
    RoundRobin,
    /// The server with the fewest requests under way; of those, the one longest unasked.
    LeastConnections,
    /// The less busy of two drawn at random.
    Random,
    /// By a hash of the client's address.
    Source,
    /// By a hash of the path.
    Uri,
}

impl Balance {
    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
            Self::Source => "source",
            Self::Uri => "uri",
        }
    }
}

/// Active health checks, by HAProxy's rules.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Between the starts of two checks of a server. Each server's first check has a random phase.
    pub interval: SimTime,
    /// How long a check may take; by default the interval.
    pub timeout: SimTime,
    /// Failures in a row that take a server out.
    pub fall: u32,
    /// Successes in a row that take it back in.
    pub rise: u32,
    /// What is concluded from real requests, where they are watched.
    pub observe: Option<Observe>,
}

/// What is concluded from real requests (HAProxy's `observe`, `error-limit` and `on-error`; configuration manual 2.6,
/// section 5.2, and `__health_adjust` of its `check.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observe {
    /// What is watched.
    pub layer: ObservedLayer,
    /// Errors in a row, none of what is watched between them having gone well, that are one finding.
    pub error_limit: u32,
    /// What a finding does.
    pub on_error: OnErrors,
}

/// What of real requests is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedLayer {
    /// Connections: one that fails is an error, each request that has one went well.
    Connection,
    /// Answers: a connection that fails, silence, a malformed or broken answer and a status of 5xx but for 501 and 505 are
    /// errors.
    Answer,
}

/// What errors in a row do to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnErrors {
    /// They count as a check that failed.
    FailCheck,
    /// They count as failed checks until one is missing.
    SuddenDeath,
    /// They take the server out.
    MarkDown,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// GET of this path: an answer of 2xx or 3xx is a success.
    Http(String),
    /// A connection: that it opens is a success. A hung process passes, and one that serves errors.
    Tcp,
}
