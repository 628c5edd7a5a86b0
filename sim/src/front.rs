//! The stage before the events: which requests come due, and the keys and durations that they draw.
//!
//! All of it is a pure function of the scenario, so it may run ahead, as `companion` has it do. Draws beyond the first few
//! of a class, and those of calls that no client's request stands behind, are made where they are needed: by the same
//! function, so with the same outcome.

use std::iter::Peekable;
use std::num::NonZeroU64;
use std::sync::Arc;

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::plan::{Draws, Plan, Planned, RequestId, Segment};
use scenarios::rng::Streams;
use scenarios::scenario::{Action, Balance, ComponentId, ComponentKind, KeyspaceId, PathPart, RequestClass};
use scenarios::units::{Seed, SimTime};

use crate::companion::Noted;
use crate::http_cache::rules::{ClassRule, Use};

/// How many durations of a request are drawn ahead.
pub(crate) const DRAWS: usize = 7;

/// What a step draws: its number, the law, and from where.
type Drawn = (usize, DurationLaw, Streams);

/// What a request's path comes to: its first key, and the name of the object that it asks caches for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathKey {
    /// None where the path has no key.
    pub(crate) keyspace: Option<KeyspaceId>,
    pub(crate) key: u64,
    /// None where no cache looks it up, or where it was not found out ahead.
    pub(crate) object: Option<NonZeroU64>,
    /// How large that object is.
    pub(crate) body_bytes: u64,
}

impl PathKey {
    /// Of a path without a key.
    pub(crate) const NONE: Self = Self { keyspace: None, key: 0, object: None, body_bytes: 0 };

    /// The request's first key of a keyspace: this one, or drawn now.
    #[inline(always)]
    pub(crate) fn first(self, draws: &Draws, id: RequestId, keyspace: KeyspaceId) -> u64 {
        if self.keyspace == Some(keyspace) { self.key } else { Self::draw(draws, id, keyspace) }
    }

    #[inline(never)]
    fn draw(draws: &Draws, id: RequestId, keyspace: KeyspaceId) -> u64 {
        draws.keys(id, keyspace).next().unwrap_or_default()
    }
}

/// A request that comes due, its path's first key, and its first durations in nanoseconds, by the number of the step in its
/// class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) planned: Planned,
    pub(crate) path: PathKey,
    pub(crate) nanos: [u64; DRAWS],
}

/// The requests that come due up to a moment, and on its way back what became of others meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) until: SimTime,
    pub(crate) due: Vec<Due>,
    pub(crate) noted: Vec<Noted>,
}

/// Produces batches, one slice of time after the other.
#[derive(Debug)]
pub(crate) struct Planner {
    pub(crate) plan: Arc<Plan>,
    draws: Draws,
    seed: Seed,
    classes: Vec<Vec<Drawn>>,
    /// The first keyspace in each class's path, where anybody looks at it.
    paths: Vec<Option<KeyspaceId>>,
    /// What names the objects of the classes that caches look up, where they all do it alike, and whether they normalise.
    objects: Vec<Option<ClassRule>>,
    normalise: bool,
    pub(crate) reached: SimTime,
    slice: SimTime,
    pub(crate) total: SimTime,
}

impl Planner {
    pub(crate) fn new(scenario: &Scenario, plan: Arc<Plan>, slice: SimTime) -> Self {
        let draws = Draws::new(scenario);
        let statement = |number: usize, database: ComponentId, write: bool| {
            let law = scenario.statement_law(database, write)?;
            Some((number, law, draws.statement_streams(number)))
        };
        let drawn = |number: usize, action: &Action| match action {
            Action::Work(law) | Action::Wait(law) => Some((number, *law, draws.step_streams(number))),
            Action::Select { database, .. } => statement(number, *database, false),
            Action::Update { database, .. } => statement(number, *database, true),
            Action::Get { on_miss: Some(miss), .. } => statement(number, miss.from, false),
            _ => None,
        };
        let class = |class: &RequestClass| {
            let ahead = class.all_steps().filter(|step| (step.number as usize) < DRAWS);
            ahead.filter_map(|step| drawn(step.number as usize, &step.action)).collect()
        };
        let keyspace = |part: &PathPart| match part {
            PathPart::Key(keyspace) => Some(*keyspace),
            PathPart::Text(_) | PathPart::Kept(_) => None,
        };
        // Whoever tells requests apart by their paths.
        let looked_at = scenario.components.iter().any(|component| match &component.kind {
            ComponentKind::HttpCache(_) | ComponentKind::Cdn(_) => true,
            ComponentKind::LoadBalancer(balancer) => balancer.balance == Balance::Uri,
            _ => false,
        });
        let path = |r: &RequestClass| r.path.parts.iter().find_map(keyspace).filter(|_| looked_at);
        let mut caches = scenario.components.iter().filter_map(|component| match &component.kind {
            ComponentKind::HttpCache(cache) => Some(cache.normalise),
            _ => None,
        });
        let normalise = caches.next();
        let alike = normalise.filter(|first| caches.all(|other| other == *first));
        let object =
            |class: &RequestClass| alike.map(|_| ClassRule::new(class)).filter(|rule| rule.what != Use::Pass);
        Self {
            plan,
            paths: scenario.requests.iter().map(path).collect(),
            classes: scenario.requests.iter().map(class).collect(),
            objects: scenario.requests.iter().map(object).collect(),
            normalise: alike.unwrap_or(false),
            seed: scenario.run.seed,
            draws,
            reached: SimTime::ZERO,
            slice,
            total: scenario.run.total(),
        }
    }

    /// Fills a batch with the next slice of the requests, which begin where the one before ended; false after the last.
    pub(crate) fn fill(&mut self, batch: &mut Batch, requests: &mut Peekable<Segment<'_>>) -> bool {
        batch.due.clear();
        if self.reached >= self.total {
            return false;
        }
        let until = self.reached.saturating_add(self.slice).min(self.total);
        while let Some(planned) = requests.next_if(|planned| planned.due < until) {
            let mut nanos = [0; DRAWS];
            for (step, law, streams) in &self.classes[planned.class.index()] {
                nanos[*step] = law.sample(&mut streams.open(planned.id.0)).as_nanos();
            }
            let class = planned.class.index();
            let mut path = self.paths[class].map_or(PathKey::NONE, |keyspace| PathKey {
                keyspace: Some(keyspace),
                key: PathKey::draw(&self.draws, planned.id, keyspace),
                ..PathKey::NONE
            });
            if let Some(rule) = &self.objects[class] {
                let id = planned.id;
                let key = rule.key(planned.class, id, path, id, self.normalise, self.seed, &self.draws);
                path.object = NonZeroU64::new(key);
                path.body_bytes = rule.body_bytes(planned.class, id, path, &self.draws);
            }
            batch.due.push(Due { planned, path, nanos });
        }
        (batch.until, self.reached) = (until, until);
        true
    }
}
