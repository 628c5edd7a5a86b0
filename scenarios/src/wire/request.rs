//! Request classes and their steps, as written.

use crate::law::{DurationLaw, SizeLaw};
use crate::scenario::Method;
use crate::units::{Ratio, SimTime};

use super::component::Priority;
use super::exchange::{Check, Extract};
use super::http_cache::{Cache, Esi, Purge};
use super::policy::PolicyReference;
use super::prelude::*;
use super::queue::Publish;
use super::step::{Call, ThirdParty};

table! {
    /// A kind of request.
    RequestClass {
        /// The HTTP method.
        default method: Method = Method::Get,
        /// The path; `{products}` stands for the number of the request's first key of the keyspace `products`.
        required path: String,
        /// The size of the answer's body. In the simulator its bytes take time where a `network` has a bandwidth.
        default response: SizeLaw = SizeLaw::from_bytes(crate::law::Law::Constant(1000.0)),
        /// What HTTP caches on the way keep of it; without it they keep nothing.
        optional cache: Cache,
        /// What its answers include, put in by the HTTP cache.
        optional esi: Esi,
        /// What the service does for it, in order.
        default steps: List<Step> = List::default(),
        /// Which requests' work goes first among that of a component, on a host that schedules by priority: the greatest
        /// number does.
        default priority: Priority = Count(0),
        /// Header fields of the request. `{products}` stands for the number of its first key of the keyspace `products`,
        /// `{token}` for what the user kept under that name, `{logins.name}` for a column of a feed.
        default headers: Named<String> = Named::default(),
        /// The body of the request, with the same places; other braces are text.
        optional body: String,
        /// What the answer must be to count as good.
        optional check: Check,
        /// What the user keeps of the answer for later requests, by name.
        default extract: Named<Extract> = Named::default(),
    }
}

table! {
    /// One thing that a service does for a request: exactly one of `work`, `serialize`, `wait`, `get`, `mget`, `set`,
    /// `select`, `update`, `purge`, `call`, `third_party`, `publish`, `parallel`.
    Step {
        /// Takes processor time on the host of whoever does it.
        optional work: DurationLaw,
        /// Turns objects into the answer's text: takes processor time by the answer's size.
        optional serialize: Serialize,
        /// Lets time pass without a processor.
        optional wait: DurationLaw,
        /// Reads the request's first keys of a keyspace.
        optional get: Get,
        /// The same as `get`, for several keys.
        optional mget: Get,
        /// Writes the request's first keys of a keyspace.
        optional set: Set,
        /// Reads rows with one statement.
        optional select: Select,
        /// Writes rows with one statement.
        optional update: Update,
        /// Throws objects out of an HTTP cache.
        optional purge: Purge,
        /// Another service that does this step (`work` or `wait`), called synchronously.
        optional at: String,
        /// Calls another service, or a balancer before it, and waits for the answer.
        optional call: Call,
        /// Calls a web service of somebody else.
        optional third_party: ThirdParty,
        /// Sends a message to a queue, and waits until it stands there.
        optional publish: Publish,
        /// Steps that are taken at once; the next step begins when all of them are done.
        optional parallel: List<Step>,
        /// For which share of the requests the step is taken.
        default share: Ratio = Ratio::new(1.0),
        /// How often the step is taken, one time after another.
        default repeat: Count<1, 1000> = Count(1),
        /// What is done when its call is slow or fails: the name of a policy, or its table.
        optional policy: PolicyReference,
    }
}

table! {
    /// Objects into JSON, or whatever the answer is written in.
    Serialize {
        /// Processor time for each thousand bytes of the answer's body.
        required per_kb: SimTime,
    }
}

/// Keys or rows in one step.
pub(crate) type Width = Count<1, 10_000>;

table! {
    /// A read from a key-value store.
    Get {
        /// The keyspace, which names the store.
        required keyspace: String,
        /// How many keys.
        default count: Width = Count(1),
        /// What is done about the keys that are not there. Without it a miss is just an empty answer.
        optional on_miss: OnMiss,
    }
}

table! {
    /// What is done about missed keys.
    OnMiss {
        /// The SQL store asked for all missing keys, with one statement.
        required from: String,
        /// Whether what it returned is written back, before the request goes on.
        default fill: bool = true,
    }
}

table! {
    /// A write to a key-value store.
    Set {
        /// The keyspace, which names the store.
        required keyspace: String,
        /// How many keys.
        default count: Width = Count(1),
    }
}

table! {
    /// A read from an SQL store.
    Select {
        /// The SQL store.
        required from: String,
        /// The keyspace, which names the table.
        required keyspace: String,
        /// How many rows.
        default rows: Width = Count(1),
    }
}

table! {
    /// A write to an SQL store.
    Update {
        /// The SQL store.
        required database("in"): String,
        /// The keyspace, which names the table.
        required keyspace: String,
        /// How many rows.
        default rows: Width = Count(1),
    }
}

words!(Method { "GET" => Get, "POST" => Post, "PUT" => Put, "DELETE" => Delete });
