//! Components of every kind: the list of kinds. Each kind has a file of its own.

use crate::units::SimTime;

use super::{
    Breakdowns, Cdn, ComponentId, Engine, HostId, HttpCache, KvStore, LoadBalancer, Queue, Service, SqlStore,
};

/// A piece of the stack: one instance on each machine of its host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Component {
    /// Its name in the file.
    pub name: String,
    /// Where its instances run.
    pub host: HostId,
    /// Its work's priority on a host that schedules by it: the greatest goes first.
    pub priority: u8,
    /// How long its process takes from its start until it answers.
    pub restart: SimTime,
    /// When its process is started again that died by itself, where the file says so.
    pub restarts: Option<Restarts>,
    /// When each instance's process dies by chance.
    pub breakdowns: Option<Breakdowns>,
    /// What does its work where it really runs.
    pub engine: Engine,
    /// What it is.
    pub kind: ComponentKind,
}

/// When a process that died by itself, without a fault or a breakdown, is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restarts {
    /// How long it stays dead first; twice as long each time that it dies again `within` its start.
    pub after: SimTime,
    /// The longest that it stays dead.
    pub at_most: SimTime,
    /// How many deaths `within` each other it is started after; without it always.
    pub times: Option<u32>,
    /// The time in which deaths follow one another.
    pub within: SimTime,
}

impl Default for Restarts {
    fn default() -> Self {
        let (pause, steady) = (SimTime::from_millis(100), SimTime::from_secs(10));
        Self { after: pause, at_most: steady, times: None, within: steady }
    }
}

/// What a component is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ComponentKind {
    /// Spreads requests over the instances of another component.
    LoadBalancer(LoadBalancer),
    /// Keeps answers and gives them again.
    HttpCache(HttpCache),
    /// Answers a part of the requests near the clients.
    Cdn(Cdn),
    /// Answers requests by walking the steps of their class.
    Service(Service),
    /// Redis's role.
    KvStore(KvStore),
    /// MySQL's role.
    SqlStore(SqlStore),
    /// RabbitMQ's role.
    Queue(Queue),
}

impl ComponentKind {
    /// The kind's name in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LoadBalancer(_) => "load-balancer",
            Self::HttpCache(_) => "http-cache",
            Self::Cdn(_) => "cdn",
            Self::Service(_) => "service",
            Self::KvStore(_) => "kv-store",
            Self::SqlStore(_) => "sql-store",
            Self::Queue(_) => "queue",
        }
    }

    /// Whether its work wants the cores of its host. A store's one thread is taken to have a core of its own.
    pub const fn takes_processor_time(&self) -> bool {
        matches!(self, Self::Service(_) | Self::HttpCache(_) | Self::SqlStore(_))
    }

    /// Whom it passes requests on to, if that is what it does.
    pub const fn forwards_to(&self) -> Option<ComponentId> {
        match self {
            Self::LoadBalancer(b) => Some(b.to),
            Self::HttpCache(c) => Some(c.to),
            Self::Cdn(c) => Some(c.to),
            _ => None,
        }
    }
}
