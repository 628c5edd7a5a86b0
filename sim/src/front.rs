//! The stage before the events: which requests come due, and the keys and durations that they draw.
//!
//! All of it is a pure function of the scenario, so it may run ahead on a thread of its own; what it hands over is the
//! same in either case. Draws beyond the first few of a class, and those of calls that no client's request stands
//! behind, are made where they are needed: by the same function, so with the same outcome.

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::plan::{Draws, Plan, Planned, RequestId, Segment};
use scenarios::rng::Streams;
use scenarios::scenario::{Action, Balance, ComponentKind, KeyspaceId, PathPart, RequestClass};
use scenarios::units::SimTime;

/// How many durations of a request are drawn ahead.
pub(crate) const DRAWS: usize = 7;
/// Batches on their way to the events: enough that neither stage waits for the other, few enough to stay in a cache.
const BATCHES_AHEAD: usize = 3;

/// What a step draws: its number, the law, and from where.
type Drawn = (usize, DurationLaw, Streams);

/// The first key of a request's path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathKey {
    /// None where the path has no key.
    pub(crate) keyspace: Option<KeyspaceId>,
    pub(crate) key: u64,
}

impl PathKey {
    /// Of a path without a key.
    pub(crate) const NONE: Self = Self { keyspace: None, key: 0 };

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

/// The requests that come due up to a moment.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) until: SimTime,
    pub(crate) due: Vec<Due>,
}

/// Produces batches, one slice of time after the other.
#[derive(Debug)]
struct Planner {
    plan: Arc<Plan>,
    draws: Draws,
    classes: Vec<Vec<Drawn>>,
    /// The first keyspace in each class's path, where anybody looks at it.
    paths: Vec<Option<KeyspaceId>>,
    reached: SimTime,
    slice: SimTime,
    total: SimTime,
}

impl Planner {
    fn new(scenario: &Scenario, plan: Arc<Plan>, slice: SimTime) -> Self {
        let draws = Draws::new(scenario);
        let drawn = |number: usize, action: &Action| match action {
            Action::Work(law) | Action::Wait(law) => Some((number, *law, draws.step_streams(number))),
            Action::Select { database, .. } | Action::Update { database, .. } => {
                let law = match (&scenario.component(*database).kind, action) {
                    (ComponentKind::SqlStore(s), Action::Update { .. }) => s.write,
                    (ComponentKind::SqlStore(s), _) => s.read,
                    _ => return None,
                };
                Some((number, law, draws.statement_streams(number)))
            }
            _ => None,
        };
        let class = |class: &RequestClass| {
            let ahead = class.all_steps().filter(|step| (step.number as usize) < DRAWS);
            ahead.filter_map(|step| drawn(step.number as usize, &step.action)).collect()
        };
        let keyspace = |part: &PathPart| match part {
            PathPart::Key(keyspace) => Some(*keyspace),
            PathPart::Text(_) => None,
        };
        // Whoever tells requests apart by their paths.
        let looked_at = scenario.components.iter().any(|component| match &component.kind {
            ComponentKind::HttpCache(_) | ComponentKind::Cdn(_) => true,
            ComponentKind::LoadBalancer(balancer) => balancer.balance == Balance::Uri,
            _ => false,
        });
        let path = |r: &RequestClass| r.path.parts.iter().find_map(keyspace).filter(|_| looked_at);
        Self {
            plan,
            paths: scenario.requests.iter().map(path).collect(),
            classes: scenario.requests.iter().map(class).collect(),
            draws,
            reached: SimTime::ZERO,
            slice,
            total: scenario.run.total(),
        }
    }

    /// Fills a batch with the next slice of the requests, which begin where the one before ended; false after the last.
    fn fill(&mut self, batch: &mut Batch, requests: &mut Peekable<Segment<'_>>) -> bool {
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
            let path = self.paths[planned.class.index()].map_or(PathKey::NONE, |keyspace| PathKey {
                keyspace: Some(keyspace),
                key: PathKey::draw(&self.draws, planned.id, keyspace),
            });
            batch.due.push(Due { planned, path, nanos });
        }
        (batch.until, self.reached) = (until, until);
        true
    }
}

/// Where the batches come from.
#[derive(Debug)]
pub(crate) enum Front {
    /// Made when they are asked for.
    Here(Box<HereState>),
    /// Made ahead by a thread, which takes the empty ones back.
    Ahead { full: Receiver<Batch>, empty: SyncSender<Batch> },
}

/// A planner and the batch that it fills.
#[derive(Debug)]
pub(crate) struct HereState {
    planner: Planner,
    spare: Batch,
}

impl Front {
    /// Plans slices of time of this length, on a thread of its own where `ahead` says so and there is one to be had.
    pub(crate) fn new(scenario: &Scenario, plan: Arc<Plan>, slice: SimTime, ahead: bool) -> Self {
        let mut planner = Planner::new(scenario, plan, slice);
        if !ahead {
            return Self::Here(Box::new(HereState { planner, spare: Batch::default() }));
        }
        let (send_full, full) = sync_channel(BATCHES_AHEAD);
        let (empty, take_empty) = sync_channel::<Batch>(BATCHES_AHEAD + 2);
        let produce = move || {
            let plan = Arc::clone(&planner.plan);
            let mut requests = plan.window(SimTime::ZERO, planner.total, 0, 1).peekable();
            loop {
                let mut batch = match take_empty.try_recv() {
                    Ok(batch) => batch,
                    Err(TryRecvError::Empty) => Batch::default(),
                    Err(TryRecvError::Disconnected) => return,
                };
                // The simulation may be gone before its end.
                if !planner.fill(&mut batch, &mut requests) || send_full.send(batch).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("planner".to_owned())
            .spawn(produce)
            .expect("a machine that runs the simulation has room for a second thread");
        Self::Ahead { full, empty }
    }

    /// The next slice's requests; none after the last.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        match self {
            Self::Here(state) => {
                let mut batch = std::mem::take(&mut state.spare);
                let planner = &mut state.planner;
                let plan = Arc::clone(&planner.plan);
                let mut requests = plan.window(planner.reached, planner.total, 0, 1).peekable();
                planner.fill(&mut batch, &mut requests).then_some(batch)
            }
            Self::Ahead { full, .. } => full.recv().ok(),
        }
    }

    /// Gives a batch back to be filled again.
    pub(crate) fn give_back(&mut self, batch: Batch) {
        match self {
            Self::Here(state) => state.spare = batch,
            // A planner that is done takes nothing back.
            Self::Ahead { empty, .. } => drop(empty.try_send(batch)),
        }
    }
}
