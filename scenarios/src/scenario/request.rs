//! What is asked for: request classes and the steps that a service walks for them.

use super::{ComponentId, KeyspaceId};
use crate::law::{DurationLaw, SizeLaw};

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
    /// What the service does for it, in order.
    pub steps: Vec<Step>,
    /// The size of the answer's body. Bytes take no time in the simulator, which knows no bandwidth.
    pub response: SizeLaw,
}

/// HTTP methods that a scenario can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// GET.
    Get,
    /// POST, with an empty body.
    Post,
    /// PUT, with an empty body.
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

/// A path whose `{keyspace}` places are filled with the number of the request's first key of that keyspace.
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
}

/// One thing that a service does for a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// Another service that does this step, called synchronously; none means the service itself.
    pub at: Option<ComponentId>,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Takes processor time on the host of whoever does it.
    Work(DurationLaw),
    /// Lets time pass without a processor (a third party's answer, a disk).
    Wait(DurationLaw),
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

/// What is done about missed keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnMiss {
    /// The SQL store asked for all missing keys, with one statement.
    pub from: ComponentId,
    /// Whether what it returned is written back to the store (pipelined SETs), before the request goes on.
    pub fill: bool,
}
