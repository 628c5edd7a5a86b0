//! What is asked for: request classes and the steps that a service walks for them.

use super::{CacheRule, ClassId, ComponentId, Esi, Exchange, KeyspaceId, PolicyId, Purge};
use crate::law::{DurationLaw, SizeLaw};
use crate::units::{Ratio, SimTime};

/// A kind of request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestClass {
    /// Its name in the file.
    pub name: String,
    /// The HTTP method.
    pub method: Method,
    /// The path, with places for keys.
    pub path: Path,
    /// What HTTP caches on the way keep of it; none means nothing.
    pub cache: Option<CacheRule>,
    /// What its answers include, put in by the HTTP cache.
    pub esi: Option<Esi>,
    /// What the service does for it, in order.
    pub steps: Vec<Step>,
    /// The size of the answer's body. In the simulator its bytes take time where a `network` has a bandwidth.
    pub response: SizeLaw,
    /// Its work's priority among that of a component, on a host that schedules by it: the greatest goes first.
    pub priority: u8,
    /// What a client says in it, asks of the answer and keeps of it.
    pub exchange: Exchange,
}

impl RequestClass {
    /// Its steps, each parallel one followed by those within it.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().flat_map(|step| {
            let within: &[Step] = match &step.action {
                Action::Parallel(branches) => branches,
                _ => &[],
            };
            std::iter::once(step).chain(within)
        })
    }
}

/// HTTP methods that a scenario can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
}

impl Method {
    /// As it stands in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A path whose `{keyspace}` places are filled with the number of the request's first key of that keyspace, and those of kept values
/// with what the user kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// Text and keys in turn.
    pub parts: Vec<PathPart>,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// Text as written.
    Text(String),
    /// The number of a key of this keyspace.
    Key(KeyspaceId),
    /// What the user kept under this number of [`Scenario::kept`](super::Scenario::kept).
    Kept(u16),
}

/// One thing that a service does for a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// Another service that does this step, or a balancer before it, called synchronously; none means the service itself.
    pub at: Option<ComponentId>,
    /// What is done.
    pub action: Action,
    /// For which share of the requests.
    pub share: Ratio,
    /// How often, one time after another.
    pub repeat: u32,
    /// What is done when its call is slow or fails.
    pub policy: Option<PolicyId>,
    /// Its number among the steps of its class, those within parallel steps after all others: names its random draws.
    pub number: u32,
    /// Its path in the file.
    pub place: String,
}

/// What a step does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Takes processor time on the host of whoever does it.
    Work(DurationLaw),
    /// Turns objects into the answer's text: takes so much processor time for each thousand bytes of the answer's body, whose
    /// size is what the request draws by this law.
    Serialize {
        /// Processor time for a thousand bytes.
        per_kb: SimTime,
        /// The size of the class's answers.
        response: SizeLaw,
    },
    /// Lets time pass without a processor (a third party's answer, a disk).
    Wait(DurationLaw),
    /// Has another service, or a balancer before it, walk the steps of a class; see [`Step::at`].
    Call(ClassId),
    /// Sends a message to a queue; see [`Step::at`].
    Publish,
    /// Calls a web service of somebody else: takes time, without a processor here, and may fail.
    ThirdParty(ThirdParty),
    /// Throws objects out of an HTTP cache; the request does not wait for it.
    Purge(Purge),
    /// Takes several steps at once, and ends when all of them are done.
    Parallel(Vec<Step>),
    /// Reads the request's first `count` keys of a keyspace with one command (GET or MGET).
    Get {
        /// The keyspace, which names the store.
        keyspace: KeyspaceId,
        /// How many keys.
        count: u32,
        /// What is done about the keys that are not there. Without it a miss is just an empty answer.
        on_miss: Option<OnMiss>,
    },
    /// Writes the request's first `count` keys of a keyspace (SET with its TTL, pipelined where there are several).
    Set {
        /// The keyspace, which names the store.
        keyspace: KeyspaceId,
        /// How many keys.
        count: u32,
    },
    /// Reads the rows of the request's first `rows` keys of a keyspace with one statement.
    Select {
        /// The SQL store.
        database: ComponentId,
        /// The keyspace, which names the table.
        keyspace: KeyspaceId,
        /// How many rows.
        rows: u32,
    },
    /// Writes the rows of the request's first `rows` keys of a keyspace with one statement.
    Update {
        /// The SQL store.
        database: ComponentId,
        /// The keyspace, which names the table.
        keyspace: KeyspaceId,
        /// How many rows.
        rows: u32,
    },
}

/// The seconds that it takes to turn objects into so many bytes of an answer.
pub fn serializing(per_kb: SimTime, bytes: f64) -> f64 {
    per_kb.as_secs_f64() * bytes / 1000.0
}

/// A web service of somebody else.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ThirdParty {
    /// How long an answer takes.
    pub latency: DurationLaw,
    /// The share of the calls that fail, after as long.
    pub error: Ratio,
    /// How long the answer is waited for; the call has failed then.
    pub timeout: Option<SimTime>,
    /// Whether the step fails with the call, and with it the request.
    pub required: bool,
}

/// What is done about missed keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnMiss {
    /// The SQL store asked for all missing keys, with one statement.
    pub from: ComponentId,
    /// Whether what it returned is written back to the store (pipelined SETs), before the request goes on.
    pub fill: bool,
}
