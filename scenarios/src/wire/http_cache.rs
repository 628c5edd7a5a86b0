//! HTTP caches, what of a request class they keep, and purges, as written.

use toml::de::DeValue;

use crate::law::DurationLaw;
use crate::units::{Bytes, SimTime};

use super::decode::Keyed;
use super::prelude::*;
use crate::scenario::{Language, Peers};

table! {
    /// Keeps answers and gives them again (Varnish's role).
    HttpCache {
        /// Who is asked for what is not there: a service, a load-balancer or another cache. With `@same-host` behind the
        /// name, each instance asks the one on its own machine; else it asks them in turn.
        required to: String,
        /// The size of the storage, as in Varnish's `-s malloc,4G`.
        required memory: Bytes,
        /// How long an object may be served stale, while another fetches it or nobody can.
        default grace: SimTime = SimTime::from_secs(10),
        /// How long after that it is kept for a conditional fetch.
        default keep: SimTime = SimTime::ZERO,
        /// Whether requests for an object that is being fetched wait for it.
        default coalesce: bool = true,
        /// For how long it is remembered that an answer cannot be cached; zero for not at all, so that requests for it
        /// wait for each other.
        default hit_for_miss: SimTime = SimTime::from_secs(120),
        /// For how long requests for an answer that cannot be cached are passed on, instead of being a miss each time.
        optional hit_for_pass: SimTime,
        /// How back ends are found to be sick, so that nobody asks them. Without it every one counts as healthy.
        optional probe: BackEndProbe,
        /// The threads of its process. Without it there are always enough.
        optional threads: CacheThreads,
        /// Headers of an answer, which are stored with it.
        default headers: Bytes = Bytes::new(300),
        /// Whether what a `vary` counts as alike is made alike before objects are looked up.
        default normalise: bool = true,
        /// How long a connection to the back end may take to open.
        default connect_timeout: SimTime = SimTime::from_millis(3_500),
        /// How long the back end may stay silent once the request is sent.
        default first_byte_timeout: SimTime = SimTime::from_secs(60),
        /// By request class, of how many keys the objects are there at the run's start: the most popular ones, in each variant, each
        /// with a part of its TTL left.
        default prefill: Named<Count<1, 1_000_000_000>> = Named::default(),
        /// Peers that tell by the PROXY protocol whose connections they pass on: addresses, or networks. All of theirs must begin
        /// with its header, and no others may.
        default accept_proxy: List<Peers> = List::default(),
    }
}

table! {
    /// Asks each back end now and then whether it is well (Varnish's `probe`).
    BackEndProbe {
        /// The path asked for; an answer of 200 is good.
        required http: String,
        /// From the end of a probe to the start of the next.
        default interval: SimTime = SimTime::from_secs(5),
        /// How long a probe may take.
        default timeout: SimTime = SimTime::from_secs(2),
        /// Of how many of the latest probes …
        default window: Count<1, 64> = Count(8),
        /// … so many have to be good.
        default threshold: Count<1, 64> = Count(3),
        /// How many are taken for good when the cache starts; by default one less than `threshold`.
        optional initial: Count<0, 64>,
    }
}

table! {
    /// Threads, one for each request and each fetch at work.
    CacheThreads {
        /// Pools of threads (`thread_pools`).
        default pools: Count<1, 64> = Count(2),
        /// The fewest in each (`thread_pool_min`): a twentieth of them is kept for fetches.
        default min: Count<5, 100_000> = Count(100),
        /// The most in each (`thread_pool_max`).
        default max: Count<5, 100_000> = Count(5000),
        /// New requests that wait for a thread of a pool (`thread_queue_limit`); the connections of others are closed.
        default queue: Count<0, 100_000> = Count(20),
    }
}

table! {
    /// For how long caches keep the answers of a class, and under which names.
    Cache {
        /// How long an answer is fresh.
        required ttl: SimTime,
        /// How long it may be served stale; by default as the cache says.
        optional grace: SimTime,
        /// How long after that it is kept for a conditional fetch; by default as the cache says.
        optional keep: SimTime,
        /// Tags to purge it by, with `{keyspace}` for the number of its path's key: `"product:{products}"`.
        default tags: List<String> = List::default(),
        /// What beside the path tells objects apart, by name: how many values there are, such as user groups, or the languages of
        /// the site.
        default vary: Keyed<Vary> = Keyed::default(),
    }
}

table! {
    /// Values as they come in requests, and as they are once made alike.
    VaryTable {
        /// How many there are once made alike.
        required values: Count<1, 1_000_000>,
        /// How many come in requests.
        required raw: Count<1, 1_000_000>,
    }
}

table! {
    /// Preferences as they come in `Accept-Language`, and the languages of the site that they choose among.
    VaryLanguages {
        /// The site's languages, the one for those who prefer none of them first. A cache that makes values alike looks objects up
        /// by the language that a request prefers (RFC 4647's lookup), and asks for them in that one.
        required accept_language: List<Language>,
        /// How many lists of preferences come in requests.
        required raw: Count<1, 1_000_000>,
    }
}

/// How many values there are, raw and made alike, or the languages that they are.
#[derive(Clone, Debug)]
pub(crate) struct Vary {
    pub(crate) values: Option<Count<1, 1_000_000>>,
    pub(crate) languages: Option<List<Language>>,
    pub(crate) raw: Option<Count<1, 1_000_000>>,
}

impl Decode for Vary {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        match node.get_ref() {
            // What begins so is meant to be that key.
            DeValue::Table(table) if table.keys().any(|key| key.get_ref().starts_with("accept")) => {
                let table = VaryLanguages::decode(node, at, d)?;
                Some(Self { values: None, languages: table.accept_language, raw: table.raw })
            }
            DeValue::Table(_) => {
                let table = VaryTable::decode(node, at, d)?;
                Some(Self { values: table.values, languages: None, raw: table.raw })
            }
            _ => {
                let count = Count::decode(node, at, d)?;
                Some(Self { values: Some(count), languages: None, raw: Some(count) })
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({
            "anyOf": [
                Count::<1, 1_000_000>::schema(definitions),
                VaryTable::schema(definitions),
                VaryLanguages::schema(definitions),
            ]
        })
    }
}

table! {
    /// What an answer includes (ESI): the cache puts the parts in, each an object of its own.
    Esi {
        /// The class of the parts, with keys of their own: the same for the same page, whoever asks.
        required include: String,
        /// How many parts.
        default count: Count<1, 1_000> = Count(1),
    }
}

table! {
    /// Throws objects out of a cache by their tags: out of all its instances that can be reached.
    Purge {
        /// The HTTP cache.
        required cache("in"): String,
        /// The tags, with `{keyspace}` for the number of the request's first key.
        required tags: List<String>,
        /// Whether objects become stale instead, and may be served for their grace.
        default soft: bool = false,
        /// How much later it happens, as by way of a queue; the request does not wait for it.
        optional delay: DurationLaw,
    }
}
