//! What a single request draws: keys, sizes, durations. Each comes from (seed, purpose, request id), never from the
//! order of events, so two configurations and two worlds see the same randomness.

use super::churn::{Churn, Moment};
use super::replay::Replay;
use super::source::Source;
use super::zipf::Zipf;
use super::{RequestId, TrafficId};
use crate::law::{DurationLaw, SizeLaw};
use crate::rng::{Purpose, Stream, Streams};
use crate::scenario::{ClassId, Executor, Keyspace, KeyspaceId, Popularity, Scenario, Traffic};
use crate::units::{Ratio, Seed, SimTime};

/// The greatest size of a value or an answer, whatever its law draws.
const SIZE_LIMIT: u64 = 64 << 20;

/// Draws for the requests of one scenario. Cheap to copy about: holds the seed and each keyspace's sampler.
#[derive(Clone, Debug)]
pub struct Draws {
    seed: Seed,
    keyspaces: Vec<Keys>,
    /// Recorded keys, by the number of their traffic.
    replays: Vec<(TrafficId, Replay)>,
    /// When requests are due, by the number of their traffic; empty where no popularity churns.
    clocks: Vec<Clock>,
}

/// When the requests of a traffic are due, by their names.
#[derive(Clone, Debug)]
enum Clock {
    Arrivals(Box<Source>),
    Replay(Replay),
    /// Their names do not say.
    Unknown,
}

impl Clock {
    fn new(id: TrafficId, traffic: &Traffic) -> Self {
        match &traffic.executor {
            Executor::Requests | Executor::Sessions(_) => Self::Arrivals(Box::new(Source::new(id, traffic))),
            Executor::Replay(settings) => Self::Replay(Replay::new(id, settings)),
            Executor::Users(_) => Self::Unknown,
        }
    }
}

#[derive(Clone, Debug)]
struct Keys {
    keys: u64,
    zipf: Option<Zipf>,
    purpose: Purpose,
    churn: Option<Box<Churn>>,
}

const KEYS: Purpose = Purpose::named("keys");
const VALUE: Purpose = Purpose::named("value");
const TTL: Purpose = Purpose::named("ttl");
const PREFILL: Purpose = Purpose::named("prefill");
const PREFILLED_OBJECT: Purpose = Purpose::named("prefilled-object");
const STEP: Purpose = Purpose::named("step");
const SHARE: Purpose = Purpose::named("share");
const ERROR: Purpose = Purpose::named("error");
const RESPONSE: Purpose = Purpose::named("response");
const OBJECT: Purpose = Purpose::named("object");
const FEED: Purpose = Purpose::named("feed");
const STATEMENT: Purpose = Purpose::named("statement");
/// Both worlds draw by it; the name is of the time when only one did, and another name would draw other pauses.
const RELOAD: Purpose = Purpose::named("sim-reload-pause");

/// What a client draws of the pause before it sends a request again for the `attempt`-th time, from 1.
#[inline]
pub fn reload(seed: Seed, id: RequestId, attempt: u16) -> Stream {
    Stream::new(seed, RELOAD.of(u64::from(attempt)), id.0)
}

impl Draws {
    /// The draws of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let keys = |(i, k): (usize, &Keyspace)| Keys {
            keys: k.keys,
            zipf: match k.popularity {
                Popularity::Uniform => None,
                Popularity::Zipf { exponent } => Some(Zipf::new(k.keys, exponent)),
            },
            purpose: KEYS.of(i as u64),
            churn: k
                .churn
                .map(|churn| Box::new(Churn::new(churn, k.keys, i as u64, &scenario.run, scenario.run.seed))),
        };
        let churns = scenario.keyspaces.iter().any(|k| k.churn.is_some());
        let clock = |(i, traffic): (usize, &Traffic)| Clock::new(TrafficId(i as u16), traffic);
        let replay = |(i, traffic): (usize, &Traffic)| match &traffic.executor {
            Executor::Replay(settings) => {
                let id = TrafficId(i as u16);
                Some((id, Replay::new(id, settings)))
            }
            _ => None,
        };
        Self {
            seed: scenario.run.seed,
            keyspaces: scenario.keyspaces.iter().enumerate().map(keys).collect(),
            replays: scenario.traffic.iter().enumerate().filter_map(replay).collect(),
            clocks: match churns {
                true => scenario.traffic.iter().enumerate().map(clock).collect(),
                false => Vec::new(),
            },
        }
    }

    /// When a request is due, in nanoseconds of the timeline and to the slice of its plan.
    fn start_of(&self, id: RequestId) -> i64 {
        match self.clocks.get(id.traffic().index()) {
            Some(Clock::Arrivals(source)) => source.start_of(id),
            Some(Clock::Replay(replay)) => replay.start_of(id),
            _ => 0,
        }
    }

    /// The churn of a keyspace's popularity, where it churns.
    pub fn churn(&self, keyspace: KeyspaceId) -> Option<&Churn> {
        self.keyspaces[keyspace.index()].churn.as_deref()
    }

    /// The first key of a replayed request, where its file gives one.
    #[cold]
    fn recorded(&self, id: RequestId) -> Option<u64> {
        let (_, replay) = self.replays.iter().find(|(traffic, _)| *traffic == id.traffic())?;
        replay.key(id)
    }

    /// The request's keys of a keyspace, without end: the first is the one in its path, and every step of the request
    /// that names the keyspace starts with the first again; a replayed file may give it. Numbers in `0..keys`, the most popular first; a wide read may
    /// name a key twice.
    #[inline]
    pub fn keys(&self, id: RequestId, keyspace: KeyspaceId) -> RequestKeys<'_> {
        let keys = &self.keyspaces[keyspace.index()];
        let recorded =
            if self.replays.is_empty() { None } else { self.recorded(id).filter(|key| *key < keys.keys) };
        let moment = keys.churn.as_ref().map(|churn| churn.at(self.start_of(id)));
        RequestKeys { stream: Stream::new(self.seed, keys.purpose, id.0), keys, moment, recorded }
    }

    /// As [`Draws::keys`], by their ranks: the same numbers where popularity does not churn. A recorded key counts as a rank.
    #[inline]
    pub fn ranks(&self, id: RequestId, keyspace: KeyspaceId) -> RequestKeys<'_> {
        RequestKeys { moment: None, ..self.keys(id, keyspace) }
    }

    /// The row of a feed that a user has, or a request without a user: its place among so many.
    #[inline]
    pub fn row(&self, id: RequestId, feed: u16, rows: usize) -> usize {
        Stream::new(self.seed, FEED.of(u64::from(feed)), id.0).below(rows as u64) as usize
    }

    /// The duration of the request's step number `step` (counted from zero in its class).
    #[inline]
    pub fn step(&self, id: RequestId, step: usize, law: &DurationLaw) -> SimTime {
        law.sample(&mut Stream::new(self.seed, STEP.of(step as u64), id.0))
    }

    /// The streams from which [`Draws::step`] draws for a step, by the request's number.
    pub fn step_streams(&self, step: usize) -> Streams {
        Streams::new(self.seed, STEP.of(step as u64))
    }

    /// The streams from which [`Draws::statement`] draws for a step, by the request's number.
    pub fn statement_streams(&self, step: usize) -> Streams {
        Streams::new(self.seed, STATEMENT.of(step as u64))
    }

    /// Whether a request takes a step that only a share of the requests takes. Each class and step chooses its own.
    #[inline]
    pub fn takes(&self, id: RequestId, step: usize, share: Ratio) -> bool {
        share.get() >= 1.0 || Stream::new(self.seed, SHARE.of(step as u64), id.0).unit() < share.get()
    }

    /// Whether something that fails for a share of the requests fails for this one at a step.
    #[inline]
    pub fn fails(&self, id: RequestId, step: usize, share: Ratio) -> bool {
        share.get() > 0.0 && Stream::new(self.seed, ERROR.of(step as u64), id.0).unit() < share.get()
    }

    /// The processor time of the SQL statement that step number `step` sends, itself or for what it missed.
    #[inline]
    pub fn statement(&self, id: RequestId, step: usize, law: &DurationLaw) -> SimTime {
        law.sample(&mut Stream::new(self.seed, STATEMENT.of(step as u64), id.0))
    }

    /// Which of so many values a request has of something that caches tell objects apart by.
    #[inline]
    pub fn vary(&self, id: RequestId, purpose: Purpose, raw: u32) -> u64 {
        Stream::new(self.seed, purpose, id.0).below(u64::from(raw))
    }

    /// The size of the answer's body, in bytes.
    #[inline]
    pub fn response_size(&self, id: RequestId, law: &crate::law::SizeLaw) -> u64 {
        law.sample(&mut Stream::new(self.seed, RESPONSE, id.0), SIZE_LIMIT)
    }

    /// The size of the body that caches keep of what a class answers for these keys of its path, in bytes: the same in every
    /// variant, whenever it is fetched, whoever asks for it, and in both worlds. What is popular would else be as large by chance
    /// in one of them as it is not in the other, and with it all that passes a line.
    #[inline]
    pub fn object_size(&self, class: ClassId, keys: impl Iterator<Item = u64>, law: &SizeLaw) -> u64 {
        let named = |name: u64, key: u64| name.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ key;
        let name = keys.fold(class.index() as u64, named);
        law.sample(&mut Stream::new(self.seed, OBJECT, name), SIZE_LIMIT)
    }

    /// The size of a key's value, in bytes: the same whenever it is asked for.
    #[inline]
    pub fn value_size(&self, keyspace: KeyspaceId, key: u64, law: &crate::law::SizeLaw) -> u64 {
        law.sample(&mut Stream::new(self.seed, VALUE.of(keyspace.index() as u64), key), SIZE_LIMIT)
    }

    /// The lifetime given to a key that this request writes; none for a keyspace without a TTL.
    #[inline]
    pub fn ttl(&self, id: RequestId, keyspace: &Keyspace, key: u64) -> Option<SimTime> {
        let ttl = keyspace.ttl?;
        let unit = Stream::new(self.seed, TTL.of(u64::from(keyspace.number) << 48 | key), id.0).unit();
        let factor = 1.0 + ttl.jitter.get() * (2.0 * unit - 1.0);
        Some(SimTime::from_nanos((ttl.base.as_nanos() as f64 * factor) as u64))
    }

    /// The lifetime that a prefilled key has left at the run's start: uniform over its TTL; none without one.
    pub fn prefill_ttl(&self, id: KeyspaceId, keyspace: &Keyspace, key: u64) -> Option<SimTime> {
        let ttl = keyspace.ttl?;
        let unit = Stream::new(self.seed, PREFILL.of(id.index() as u64), key).unit_open();
        Some(SimTime::from_nanos((ttl.base.as_nanos() as f64 * unit) as u64))
    }

    /// For how much longer an object is fresh that an instance of an HTTP cache has at the run's start: uniform over its TTL. `object`
    /// is its key times the number of its class's variants, and its variant's number on top.
    pub fn prefilled_object(&self, class: ClassId, instance: u32, object: u64, ttl: SimTime) -> SimTime {
        let purpose = PREFILLED_OBJECT.of(class.index() as u64 | u64::from(instance) << 32);
        let unit = Stream::new(self.seed, purpose, object).unit_open();
        SimTime::from_nanos((ttl.as_nanos() as f64 * unit) as u64)
    }
}

/// The keys of one request in one keyspace; see [`Draws::keys`].
#[derive(Clone, Debug)]
pub struct RequestKeys<'a> {
    stream: Stream,
    keys: &'a Keys,
    moment: Option<Moment>,
    /// Comes before what is drawn.
    recorded: Option<u64>,
}

impl Iterator for RequestKeys<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        if let Some(key) = self.recorded.take() {
            return Some(key);
        }
        let rank = match &self.keys.zipf {
            Some(zipf) => zipf.sample(&mut self.stream),
            None => self.stream.below(self.keys.keys),
        };
        Some(self.moment.map_or(rank, |moment| moment.key(rank)))
    }
}
