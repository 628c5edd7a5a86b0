//! Load balancers, as written.

use crate::scenario::{Balance, ObservedLayer, OnErrors, Peers, ProxyVersion};
use crate::units::SimTime;

use super::prelude::*;

table! {
    /// Spreads requests over the instances of another component (HAProxy's role).
    LoadBalancer {
        /// The component whose instances are the servers.
        required to: String,
        /// How a server is chosen: `round-robin`, `least-connections`, `random` (the less busy of two drawn), `source` (by the
        /// client's address) or `uri` (by the path).
        default balance: Balance = Balance::RoundRobin,
        /// For `source` and `uri`: whether a server that leaves or comes back moves only its own share of the requests.
        default consistent: bool = false,
        /// How much each server is sent compared with the others: a number for each instance, in their order. One of weight 0
        /// is sent only those that a cookie binds to it. Without them all are alike.
        optional weights: Weights,
        /// How the servers' health is found out. Without it every server counts as up.
        optional health_check: HealthCheck,
        /// How often a failed connection is tried again. A request of which something was sent is never repeated.
        default retries: Count<0, 100> = Count(3),
        /// Whether a retry goes to another server at once, else to the same one after a pause.
        default redispatch: bool = true,
        /// How long a connection to a server may take to open.
        default connect_timeout: SimTime = SimTime::from_secs(5),
        /// How long a client's connection may be idle before it is closed (`timeout client`, which `timeout
        /// http-keep-alive` is by default).
        optional client_timeout: SimTime,
        /// How long a server may stay silent once the request is sent.
        default server_timeout: SimTime = SimTime::from_secs(50),
        /// Requests that an instance forwards at once; others wait in the kernel's backlog.
        optional max_connections: Some1M,
        /// Requests that a server is sent at once by one instance; others wait in the balancer's queue.
        optional server_max_connections: Some1M,
        /// How long a request may wait in that queue; by default as long as `connect_timeout`.
        optional queue_timeout: SimTime,
        /// How long a server that came back takes to its full share.
        optional slow_start: SimTime,
        /// The cookie by which a user's requests return to the server of the first.
        optional cookie: String,
        /// Peers that tell by the PROXY protocol whose connections they pass on: addresses, or networks. All of theirs must begin
        /// with its header, and no others may.
        default accept_proxy: List<Peers> = List::default(),
        /// Whether servers are told by the PROXY protocol whose connections these are: `v1` (text) or `v2` (binary).
        optional send_proxy: ProxyVersion,
        /// Ends TLS here; servers are sent plain HTTP.
        optional tls: Tls,
        /// Whether clients may speak HTTP/2: by ALPN where TLS ends here, else by prior knowledge.
        default http2: bool = false,
        /// A virtual address, which one of the instances holds: the others are passive.
        optional vip: Vip,
    }
}

table! {
    /// What TLS needs. With nothing in it, a certificate is made that nobody vouches for.
    Tls {
        /// A PEM file with the certificate and those that vouch for it; a relative path starts beside the scenario.
        optional certificate: String,
        /// A PEM file with the private key.
        optional key: String,
    }
}

table! {
    /// A virtual address by VRRP's rules: the first instance that is alive holds it.
    Vip {
        /// Between two advertisements of the holder. Three that are missed, and a skew, make a passive instance take over.
        default advertise: SimTime = SimTime::from_secs(1),
        /// Between two looks at whether the balancer's process is alive.
        default check: SimTime = SimTime::from_secs(2),
        /// Whether an earlier instance that came back takes the address over again.
        default preempt: bool = true,
    }
}

table! {
    /// Active health checks, by HAProxy's rules.
    HealthCheck {
        /// The path asked for; an answer of 2xx or 3xx is a success. Exactly one of `http` and `tcp`.
        optional http: String,
        /// Whether a connection that opens is enough of a success.
        default tcp: bool = false,
        /// Between the starts of two checks of a server.
        default interval: SimTime = SimTime::from_secs(2),
        /// How long a check may take; by default the interval.
        optional timeout: SimTime,
        /// Failures in a row that take a server out.
        default fall: Count<1, 1000> = Count(3),
        /// Successes in a row that take it back in.
        default rise: Count<1, 1000> = Count(2),
        /// Whether real requests are watched too: their connections (`layer4`) or their answers (`layer7`).
        optional observe: ObservedLayer,
        /// So many errors in a row of what is watched are one finding; by default 10.
        optional error_limit: Count<1, 1_000_000>,
        /// What such a finding does: it counts as a failed check (`fail-check`, the default), as one after which the next
        /// takes the server out (`sudden-death`), or takes it out by itself (`mark-down`).
        optional on_error: OnErrors,
    }
}

/// The weights of a balancer's servers.
pub(crate) type Weights = List<Count<0, 256>>;

words!(Balance {
    "round-robin" => RoundRobin,
    "least-connections" => LeastConnections,
    "random" => Random,
    "source" => Source,
    "uri" => Uri,
});
words!(ProxyVersion { "v1" => V1, "v2" => V2 });
words!(ObservedLayer { "layer4" => Connection, "layer7" => Answer });
words!(OnErrors { "fail-check" => FailCheck, "sudden-death" => SuddenDeath, "mark-down" => MarkDown });
