//! Sessions: users who arrive in an open loop and then walk from request to request, each after the answer to the one
//! before. A partly open system, in the words of B. Schroeder, A. Wierman and M. Harchol-Balter, "Open versus closed: a
//! cautionary tale", NSDI 2006.
//!
//! How many requests, which, with which pauses, and whether the user comes back follow from the session's name alone.

use super::RequestId;
use crate::rng::{Purpose, Stream};
use crate::scenario::Session as Settings;
use crate::units::{Seed, SimTime};

const VISIT: Purpose = Purpose::named("visit");
const PAUSE: Purpose = Purpose::named("pause");
const RETURN: Purpose = Purpose::named("return");
const AFTER: Purpose = Purpose::named("return-after");
const ADDRESS: Purpose = Purpose::named("address");
/// Bits of a request's name that hold its place in the session.
pub(super) const STEP_BITS: u32 = 10;
/// A user makes at most this many requests.
pub const REQUESTS_LIMIT: u64 = 1 << STEP_BITS;

/// Where a user is on the walk through a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The request that is due.
    pub id: RequestId,
    /// How many follow it in this visit.
    left: u16,
    /// How often the user's address changed so far.
    moves: u16,
    /// Whether this is the first request of a visit.
    pub starts_visit: bool,
}

impl Walk {
    /// The session: the name of its first request.
    pub fn session(&self) -> RequestId {
        RequestId(self.id.0 & !(REQUESTS_LIMIT - 1))
    }

    /// The number of the request in the session, from zero.
    pub fn step(&self) -> u64 {
        self.id.0 & (REQUESTS_LIMIT - 1)
    }

    /// Where the user comes from: a number that stands for the network address. Another user has another.
    pub fn address(&self) -> u64 {
        Stream::new(Seed(0), ADDRESS.of(u64::from(self.moves)), self.session().0).next_bits()
    }
}

/// The walks of one traffic.
#[derive(Clone, Copy, Debug)]
pub struct Sessions {
    seed: Seed,
    settings: Settings,
}

impl Sessions {
    pub(super) fn new(seed: Seed, settings: Settings) -> Self {
        Self { seed, settings }
    }

    /// The first step of a session, whose name the plan gave.
    pub fn start(&self, session: RequestId) -> Walk {
        self.visit(session, 0)
    }

    fn visit(&self, id: RequestId, moves: u16) -> Walk {
        let requests = self.settings.requests.sample(&mut Stream::new(self.seed, VISIT, id.0));
        let left = (requests.clamp(1, REQUESTS_LIMIT) - 1) as u16;
        Walk { id, left, moves: moves + self.moves_before(id), starts_visit: true }
    }

    /// Whether the address changed before this request; never before a session's first.
    fn moves_before(&self, id: RequestId) -> u16 {
        let share = self.settings.address_change.get();
        let first = id.0 & (REQUESTS_LIMIT - 1) == 0;
        let moved = share > 0.0 && !first && Stream::new(self.seed, ADDRESS, id.0).unit() < share;
        u16::from(moved)
    }

    /// What follows once a request was answered or given up: how long the user waits, and the next request. None once the
    /// user never comes back.
    pub fn follow(&self, walk: &Walk) -> Option<(SimTime, Walk)> {
        if walk.step() + 1 == REQUESTS_LIMIT {
            return None;
        }
        let (id, next) = (walk.id.0, RequestId(walk.id.0 + 1));
        if walk.left > 0 {
            let think = self.settings.think.sample(&mut Stream::new(self.seed, PAUSE, id));
            let moves = walk.moves + self.moves_before(next);
            return Some((think, Walk { id: next, left: walk.left - 1, moves, starts_visit: false }));
        }
        let (share, after) = (self.settings.returns.get(), self.settings.returns_after);
        if share <= 0.0 || Stream::new(self.seed, RETURN, id).unit() >= share {
            return None;
        }
        let after = after.sample(&mut Stream::new(self.seed, AFTER, id));
        Some((after, self.visit(next, walk.moves)))
    }
}
