//! Single requests, followed through the stack: `sim run --trace`.
//!
//! Components know nothing of it. After each event the calls that belong to a followed request are looked at; where one
//! stands somewhere else than before, what it did until now was a span. What takes no simulated time leaves none.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use results::{Failure, Span, Trace};
use scenarios::plan::RequestId;
use scenarios::scenario::ClassId;
use scenarios::units::SimTime;

use crate::call::{Call, Calls, ON_CORE, Phase};
use crate::instance::{Instance, Kind};

/// Which requests are followed.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// So many, of those that the rest lets through.
    pub first: usize,
    /// Only requests due from here on, on the run's axis.
    pub from: SimTime,
    /// Only requests of this class.
    pub class: Option<ClassId>,
    /// Only these, if there are any.
    pub only: BTreeSet<u64>,
    /// How many of the slowest are remembered by number, to be followed when the run is repeated.
    pub slowest: usize,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    generation: u32,
    phase: Phase,
    at: u16,
    leaf: u16,
    step: u16,
    on_core: bool,
}

impl Standing {
    fn of(call: &Call) -> Self {
        Self {
            generation: call.generation,
            phase: call.phase,
            at: call.at,
            leaf: call.leaf,
            step: call.step,
            on_core: call.is(ON_CORE),
        }
    }
}

/// A call of a followed request.
#[derive(Debug)]
struct Followed {
    slot: u32,
    request: u64,
    depth: u32,
    standing: Standing,
    since: u64,
    /// When it has a core, where that is known before.
    begins: Option<u64>,
    /// The same for where it will stand after this event.
    next_begins: Option<u64>,
}

/// Follows requests.
#[derive(Debug)]
pub(crate) struct Tracer {
    follow: Follow,
    names: Vec<String>,
    classes: Vec<String>,
    calls: Vec<Followed>,
    traces: BTreeMap<u64, Trace>,
    /// Response time and number of the slowest so far, the least of them first.
    slowest: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Tracer {
    pub(crate) fn new(follow: Follow, names: Vec<String>, classes: Vec<String>) -> Self {
        let (calls, traces, slowest) = (Vec::new(), BTreeMap::new(), BinaryHeap::new());
        Self { follow, names, classes, calls, traces, slowest }
    }

    /// A request comes due: whether it is followed.
    pub(crate) fn begin(&mut self, id: RequestId, class: ClassId, due: u64) -> bool {
        let follow = &self.follow;
        let wanted = self.traces.len() < follow.first
            && due >= follow.from.as_nanos()
            && follow.class.is_none_or(|c| c == class)
            && (follow.only.is_empty() || follow.only.contains(&id.0));
        if wanted {
            let due = SimTime::from_nanos(due);
            let class = self.classes[class.index()].clone();
            let (outcome, spans) = ("under way".to_owned(), Vec::new());
            let trace = Trace { request: id.0, class, due, done: due, outcome, spans };
            self.traces.insert(id.0, trace);
        }
        wanted
    }

    /// A call of a followed request was made.
    pub(crate) fn join(&mut self, slot: u32, call: &Call, parent: Option<u32>, now: u64) {
        let parent = parent.and_then(|p| self.calls.iter().rfind(|f| f.slot == p));
        let depth = parent.map_or(0, |p| p.depth + 1);
        let standing = Standing::of(call);
        self.calls.push(Followed {
            slot,
            request: call.id.0,
            depth,
            standing,
            since: now,
            begins: None,
            next_begins: None,
        });
    }

    /// A call has a core from a moment on.
    #[cold]
    pub(crate) fn begins(&mut self, slot: u32, begin: u64) {
        for followed in self.calls.iter_mut().filter(|followed| followed.slot == slot) {
            followed.next_begins = Some(begin);
        }
    }

    /// A client heard what became of its request.
    pub(crate) fn settled(&mut self, id: RequestId, due: u64, now: u64, result: Result<(), Failure>) {
        if let Some(trace) = self.traces.get_mut(&id.0) {
            trace.done = SimTime::from_nanos(now);
            trace.outcome = result.map_or_else(|failure| failure.name().to_owned(), |()| "ok".to_owned());
        }
        if self.follow.slowest > 0 {
            // Of equally slow ones the earliest in the plan is kept.
            self.slowest.push(Reverse((now - due, u64::MAX - id.0)));
            if self.slowest.len() > self.follow.slowest {
                self.slowest.pop();
            }
        }
    }

    /// Looks where the followed calls stand now.
    pub(crate) fn look(&mut self, now: u64, calls: &Calls, instances: &[Instance]) {
        let (names, traces) = (&self.names, &mut self.traces);
        self.calls.retain_mut(|followed| {
            let call = &calls[followed.slot];
            let standing = Standing::of(call);
            if standing == followed.standing {
                return true;
            }
            if now > followed.since {
                let trace = traces.get_mut(&followed.request).expect("its request is followed");
                if followed.standing.on_core
                    && let Some(begin) = followed.begins.filter(|begin| *begin > followed.since)
                {
                    let begin = begin.min(now);
                    if let Some(mut waits) = span(followed, begin, names, instances) {
                        waits.what = "waits for a core".to_owned();
                        trace.spans.push(waits);
                    }
                    followed.since = begin;
                }
            }
            if now > followed.since {
                let trace = traces.get_mut(&followed.request).expect("its request is followed");
                if let Some(span) = span(followed, now, names, instances) {
                    trace.spans.push(span);
                }
            }
            let lives = call.phase != Phase::Free && standing.generation == followed.standing.generation;
            followed.standing = standing;
            followed.since = now;
            followed.begins = followed.next_begins.take();
            lives
        });
    }

    /// The numbers of the slowest requests, the slowest first.
    pub(crate) fn slowest(&self) -> Vec<u64> {
        let mut all: Vec<_> = self.slowest.iter().map(|Reverse(entry)| *entry).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().map(|(_, id)| u64::MAX - id).collect()
    }

    /// What was seen, by the requests' due times.
    pub(crate) fn traces(&self) -> Vec<Trace> {
        let mut all: Vec<Trace> = self.traces.values().cloned().collect();
        all.sort_by_key(|trace| (trace.due, trace.request));
        for trace in &mut all {
            trace.spans.sort_by_key(|span| (span.from, span.depth));
        }
        all
    }
}

fn span(followed: &Followed, now: u64, names: &[String], instances: &[Instance]) -> Option<Span> {
    let Standing { phase, at, leaf, on_core, .. } = followed.standing;
    let what = told(phase, on_core, instances.get(usize::from(at)))?;
    let place =
        if phase.is_leaf() { instances.get(usize::from(leaf)) } else { instances.get(usize::from(at)) };
    // Before a client's request has left, it is nowhere yet.
    let place = place.filter(|_| !matches!(phase, Phase::Connection | Phase::ToEntry));
    Some(Span {
        component: place.map_or_else(String::new, |i| names[usize::from(i.component)].clone()),
        instance: place.map_or(0, |i| u32::from(i.number)),
        what,
        from: SimTime::from_nanos(followed.since),
        until: SimTime::from_nanos(now),
        depth: followed.depth,
    })
}

/// What a phase means to a reader. None where a call's own calls tell it better.
fn told(phase: Phase, on_core: bool, at: Option<&Instance>) -> Option<String> {
    let text = match phase {
        Phase::Free | Phase::Calling => return None,
        Phase::Connection => "waits for a connection",
        Phase::ToEntry => "sends",
        Phase::Connecting => "connects, unanswered so far",
        Phase::Gate => "waits for a place in its caller's pool",
        Phase::InTransit => "request on its way",
        Phase::Queued => match at.map(|i| i.kind) {
            Some(Kind::Service) => "waits for a worker",
            _ => "queued",
        },
        Phase::Work if on_core => "works",
        Phase::Work => "waits for a core or works",
        Phase::Timed => "waits",
        Phase::ToStore => "command on its way",
        Phase::StoreQueue => "command waits for the thread",
        Phase::StoreRun => "command runs",
        Phase::ToSql => "statement on its way",
        Phase::SqlQueue => "statement waits for a connection",
        Phase::LentWork => "works, or waits for a core",
        Phase::LentDone => "work done, the server is stopped",
        Phase::Statement => "statement runs",
        Phase::StatementDone => "statement done, the server is stopped",
        Phase::Parked => "stopped",
        #[allow(unreachable_patterns, reason = "phases are added with their components")]
        other => return Some(format!("{other:?}").to_lowercase()),
    };
    Some(text.to_owned())
}
