//! Components of every kind, as written: the list of kinds. Each kind's keys stand in a file of its own.

use crate::units::SimTime;

use super::fault::Breakdowns;
use super::prelude::*;
use super::{Cdn, HttpCache, KvStore, LoadBalancer, Queue, Service, SqlStore};

tagged! {
    /// A piece of the stack: one instance on each machine of its host.
    Component: ComponentCommon, "kind" => ComponentKind {
        "load-balancer" => LoadBalancer,
        "http-cache" => HttpCache,
        "cdn" => Cdn,
        "service" => Service,
        "kv-store" => KvStore,
        "sql-store" => SqlStore,
        "queue" => Queue,
    }
}

/// More levels than a machine room tells apart.
pub(crate) type Priority = Count<0, 9>;

table! {
    /// What every component has.
    ComponentCommon {
        /// The host that it runs on.
        required host: String,
        /// Which components' work goes first on a host that schedules by priority: the greatest number does.
        default priority: Priority = Count(0),
        /// How long its process takes from its start until it answers, after it died. A key-value store also reads its data
        /// from the host's disk, where the host has one.
        default restart: SimTime = SimTime::ZERO,
        /// What becomes of a process that dies without a fault or a breakdown: one that crashed, or that the kernel killed for want
        /// of memory.
        optional restarts: Restarts,
        /// When each instance's process dies by chance, and for how long.
        optional breakdowns: Breakdowns,
        /// What does its work where the stack really runs: its own (`embedded`), a server that it configures, starts and stops
        /// (`haproxy` or `nginx` for a load-balancer, `varnish` or `nginx` for an http-cache, `redis`, `mariadb`, `rabbitmq`),
        /// or one that runs already, as `mysql://user:password@host:3306/database` or `amqp://user:password@host:5672/`.
        default engine: String = "embedded".to_owned(),
    }
}

table! {
    /// When a process that died by itself is started again, as systemd does (`RestartSec`, `StartLimitBurst`,
    /// `StartLimitIntervalSec`).
    Restarts {
        /// How long it stays dead first; twice as long each time that it dies again `within` its start.
        default after: SimTime = SimTime::from_millis(100),
        /// The longest that it stays dead.
        default at_most: SimTime = SimTime::from_secs(10),
        /// How many deaths `within` each other it is started after: at one more it is left dead. 0 for never, without it always.
        optional times: Count<0, 1_000>,
        /// The time in which deaths follow one another.
        default within: SimTime = SimTime::from_secs(10),
    }
}
