//! The HTTP cache: Varnish's role, by the rules of RFC 9111.
//!
//! The rules know neither sockets nor clocks:
//!
//! - [`directives`]: what answers say about their keeping; [`freshness`]: whether and for how long they may be kept
//! - [`address`], [`vary`], [`normalise`], [`language`]: what they are found by; [`fields`], [`date`]: their fields
//! - [`validators`], [`range`]: what a client has already, or wants of it; [`esi`]: pages that include others
//! - [`object`]: a stored answer; [`store`] with [`lru`], [`tags`] and [`purges`]: all of them
//! - [`flights`]: who waits for whose fetch; [`fetching`]: memory for what is on its way
//!
//! The rest is at work on connections:
//!
//! - [`converse`] with [`client`]: a client's connection, request by request; [`asked`]: a request that takes longer
//! - [`threads`]: how many are at work at once
//! - [`obtain`]: how it comes to its answer; [`deliver`]: how that goes out, with [`copies`] for long ones; [`page`]: how it is put
//!   together
//! - [`user_context`]: what differs by what a user may see
//! - [`pass`]: what is not stored; [`purge`]: what is thrown out; [`ban`]: by which expressions
//! - [`backends`], [`probe`], [`upstream`]: those who are asked; [`prefill`]: what is there before anybody asks

mod address;
mod asked;
mod backends;
mod ban;
mod client;
mod converse;
mod copies;
mod date;
mod deliver;
mod directives;
mod esi;
mod fetching;
mod fields;
mod flights;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod language;
mod lru;
mod normalise;
mod object;
mod obtain;
mod page;
mod pass;
mod prefill;
mod probe;
mod purge;
mod purges;
mod range;
mod store;
mod tags;
mod threads;
mod upstream;
mod user_context;
mod validators;
mod vary;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use scenarios::Scenario;
use scenarios::scenario::{ComponentKind, HttpCache, Probe};

use crate::component::{Context, Metrics};
use crate::edge::Trust;
use crate::emulated::Level;
use crate::emulated::clock::process_cpu_seconds;
use crate::http::Framing;
use crate::http::idle::CLEARING_INTERVAL;
use backends::{BackEnds, Health};
use copies::Copies;
use fetching::Fetching;
use flights::Flights;
use freshness::{Defaults, Now};
use language::Languages;
use normalise::Normaliser;
use store::Store;
use threads::Threads;

/// The greatest share of the memory that one answer may take.
const OBJECT_SHARE: usize = 4;
/// The part of as many bytes as the memory has that answers on their way into it may take beside it, all together.
const FETCHING_SHARE: usize = 2;
/// The part of as many bytes as the memory has that copies for the kernel to send from may take beside it, all together.
const COPIES_SHARE: usize = 4;
/// Connections held at once, beyond which none is accepted.
const CONNECTIONS_LIMIT: i64 = 16_384;
/// How often what has come to its end is thrown out.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// A counter since the start.
#[derive(Debug, Default)]
struct Counter(Cell<u64>);

impl Counter {
    fn add(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// What is counted beside what the store counts.
#[derive(Debug, Default)]
struct Counts {
    requests: Counter,
    hits: Counter,
    grace_hits: Counter,
    misses: Counter,
    passes: Counter,
    coalesced: Counter,
    /// Answers given in a back end's place.
    failures: Counter,
}

/// The cache's state.
#[derive(Debug)]
struct Cache {
    context: Rc<Context>,
    /// Who is believed to speak for others; nobody, where nothing is said.
    trust: Option<Trust>,
    start: Instant,
    /// Nanoseconds from 1970 to the start.
    unix_start: u128,
    store: RefCell<Store>,
    flights: Rc<Flights>,
    fetching: Fetching,
    copies: Rc<Copies>,
    back_ends: BackEnds,
    defaults: Defaults,
    coalesce: bool,
    hit_for_miss: Duration,
    hit_for_pass: Option<Duration>,
    first_byte_timeout: Duration,
    object_limit: usize,
    normaliser: Normaliser,
    /// Whether the order of a query's parameters makes no difference.
    sorts_queries: bool,
    /// Where they are counted.
    threads: Option<Rc<Threads>>,
    /// The paths that balancers check, which are answered here.
    checked: Vec<String>,
    counts: Counts,
    connections: Level,
    inside: Level,
    scratch: RefCell<Vec<u8>>,
}

/// What of a request's head is needed to the end.
#[derive(Clone, Copy, Debug)]
struct Begun {
    head_len: usize,
    framing: Framing,
    keep_alive: bool,
    is_head: bool,
    /// Of HTTP/1.0, which knows neither chunks nor interim answers.
    is_old: bool,
    expects_continue: bool,
}

impl Cache {
    fn new(context: &Rc<Context>, settings: &HttpCache) -> Self {
        let own = context.instance as usize;
        let behind = &context.addresses[settings.to.index()];
        let behind = if settings.same_host { &behind[own..=own] } else { &behind[..] };
        let health = Health::new(settings.probe.as_ref(), context.first_start);
        let normaliser = normaliser(&context.scenario, settings.normalise);
        let memory = usize::try_from(settings.memory.get()).unwrap_or(usize::MAX);
        let headers = usize::try_from(settings.headers.get()).unwrap_or(usize::MAX);
        Self {
            context: Rc::clone(context),
            trust: Trust::of(&settings.accept_proxy),
            start: Instant::now(),
            unix_start: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos()),
            store: RefCell::new(Store::new(memory, headers, normaliser.clone())),
            flights: Rc::default(),
            fetching: Fetching::new(memory / FETCHING_SHARE),
            copies: Copies::new(memory / COPIES_SHARE),
            back_ends: BackEnds::new(behind, own, health, settings.connect_timeout.as_duration()),
            defaults: Defaults { grace: settings.grace.as_duration(), keep: settings.keep.as_duration() },
            coalesce: settings.coalesce,
            hit_for_miss: settings.hit_for_miss.as_duration(),
            hit_for_pass: settings.hit_for_pass.map(|time| time.as_duration()),
            first_byte_timeout: settings.first_byte_timeout.as_duration(),
            object_limit: memory / OBJECT_SHARE,
            normaliser,
            sorts_queries: settings.normalise,
            threads: settings.threads.as_ref().map(Threads::new),
            checked: checked(&context.scenario),
            counts: Counts::default(),
            connections: Level::default(),
            inside: Level::default(),
            scratch: RefCell::default(),
        }
    }

    fn now(&self) -> Now {
        let running = self.start.elapsed();
        let unix_nanos = self.unix_start + running.as_nanos();
        Now { running, unix_seconds: (unix_nanos / 1_000_000_000) as i64 }
    }
}

/// The rules by which the scenario makes requests alike.
fn normaliser(scenario: &Scenario, normalise: bool) -> Normaliser {
    if !normalise {
        return Normaliser::default();
    }
    let rules = scenario.requests.iter().filter_map(|class| class.cache.as_ref()).flat_map(|rule| &rule.vary);
    let (numbers, languages): (Vec<_>, Vec<_>) = rules.partition(|vary| vary.languages.is_empty());
    let counting = numbers.into_iter().filter(|vary| vary.values < vary.raw);
    // Classes that differ in them are refused.
    let site = languages.first().and_then(|vary| Languages::new(vary.languages.iter().map(|l| l.as_str())));
    Normaliser::new(counting.map(|vary| (vary.header(), vary.values))).with_languages(site)
}

fn checked(scenario: &Scenario) -> Vec<String> {
    let checks = scenario.components.iter().filter_map(|component| match &component.kind {
        ComponentKind::LoadBalancer(balancer) => balancer.health_check.as_ref(),
        _ => None,
    });
    let paths = checks.filter_map(|check| match &check.probe {
        Probe::Http(path) => Some(path.clone()),
        Probe::Tcp => None,
    });
    paths.collect()
}

/// Starts the cache on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) fn start(context: &Rc<Context>, settings: &HttpCache) -> io::Result<Metrics> {
    let cache = Rc::new(Cache::new(context, settings));
    prefill::fill(&cache, settings);
    let listener = context.listen(4096)?;
    context.on_flush({
        let cache = Rc::clone(&cache);
        move || cache.store.borrow_mut().flush()
    });
    if let Some(rules) = &settings.probe {
        for number in 0..cache.back_ends.len() {
            tokio::task::spawn_local(probe::watch(Rc::clone(&cache), number, rules.clone()));
        }
    }
    tokio::task::spawn_local({
        let cache = Rc::clone(&cache);
        async move {
            loop {
                // Who is not accepted waits in the kernel's backlog.
                if cache.connections.get() >= CONNECTIONS_LIMIT {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
                let stream = listener.accept().await;
                tokio::task::spawn_local(converse::serve(Rc::clone(&cache), stream));
            }
        }
    });
    tokio::task::spawn_local({
        let cache = Rc::clone(&cache);
        async move {
            loop {
                tokio::time::sleep(EXPIRY_INTERVAL).await;
                cache.store.borrow_mut().expire(cache.now());
            }
        }
    });
    tokio::task::spawn_local({
        let cache = Rc::clone(&cache);
        async move {
            loop {
                tokio::time::sleep(CLEARING_INTERVAL).await;
                cache.back_ends.clear_idle();
            }
        }
    });
    Ok(Box::new(move |figures| {
        let counts = &cache.counts;
        let store = cache.store.borrow();
        // The one thread is not emulated: it is as busy as it really is.
        figures.set("cores", 1.0);
        figures.set("busy_core_seconds", process_cpu_seconds());
        for (name, counter) in [
            ("requests", &counts.requests),
            ("hits", &counts.hits),
            ("grace_hits", &counts.grace_hits),
            ("misses", &counts.misses),
            ("passes", &counts.passes),
            ("coalesced", &counts.coalesced),
            ("failures", &counts.failures),
        ] {
            figures.set(name, counter.0.get() as f64);
        }
        figures.set("evictions", store.counts.evictions as f64);
        figures.set("expired", store.counts.expired as f64);
        figures.set("purged", store.counts.purged as f64);
        figures.set("keys", store.len() as f64);
        figures.set("memory_bytes", store.bytes() as f64);
        if let Some(threads) = &cache.threads {
            figures.set("threads", threads.busy.get() as f64);
            figures.set("waiting", threads.queue.get() as f64);
            figures.set("queue_seconds", threads.queue.seconds());
            figures.set("dropped", threads.dropped.get() as f64);
        }
        figures.set("connections", cache.connections.get() as f64);
        figures.set("in_service", cache.inside.get() as f64);
        figures.set("servers_up", cache.back_ends.well() as f64);
    }))
}
