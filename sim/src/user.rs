//! Users who wait for answers: those of closed loops, and those who walk through sessions.
//!
//! What a user does next is the plan's; this is when. A user thinks, comes due with a request, waits for its answer or gives
//! it up, and thinks again. Where a service keeps its sessions with its own instances, a session whose instance died (unless
//! it is in files), or that another instance is asked to go on with, is lost: the answer tells so, and a new session begins there.

use std::sync::Arc;

use scenarios::Scenario;
use scenarios::plan::{Plan, RequestId, Walk};
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Executor, Iterations, SessionState, TrafficId};
use scenarios::units::{Seed, SimTime};

use crate::call::{CLIENT, LOST_SESSION, NONE, NOWHERE};
use crate::front::Due;
use crate::world::{Timer, World};

/// The most users at once, sessions whose users will come back included: each has a timer.
const USERS_LIMIT: usize = 1 << 22;
const ADDRESS: Purpose = Purpose::named("client-address");

/// No session: requests have other names.
const NOBODYS: u64 = u64::MAX;
/// A browser that has just been opened.
const NO_COOKIES: [(u16, u16); 2] = [(NOWHERE, NOWHERE); 2];

/// How a service's instance keeps sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Until it dies.
    InMemory,
    /// For as long as it has its machine.
    InFiles,
}

/// What a user walks through.
#[derive(Clone, Copy, Debug)]
enum Walking {
    /// A closed loop.
    Loop {
        user: u32,
        iteration: u64,
        /// When the user's present stretch ends.
        until: SimTime,
    },
    /// A session, and the request under way or next.
    Session(Walk),
}

/// One user.
#[derive(Clone, Copy, Debug)]
struct User {
    traffic: TrafficId,
    walking: Walking,
    timer: u32,
    /// Where the session's state is, and which of the instance's lives, or of its machines, it belongs to.
    home: (u16, u32),
    /// The request that began the session, where it has a record and the user's client a cookie; else [`NOBODYS`].
    session: u64,
    /// The balancers whose cookies the user has, as components, and the servers that they name.
    cookies: [(u16, u16); 2],
    /// The next free place.
    next: u32,
}

/// All users who are there or will come back.
#[derive(Debug, Default)]
pub(crate) struct Users {
    plan: Option<Arc<Plan>>,
    total: SimTime,
    users: Vec<User>,
    free: u32,
    /// How many are there or will come back.
    present: u64,
    /// By traffic: how many requests a shared loop has left.
    left: Vec<u64>,
    /// By traffic: whether users send cookies back.
    sends_cookies: Vec<bool>,
    /// By traffic: whether sessions are kept by the service's instances, and how.
    kept_by_instances: Vec<Option<Keeping>>,
    /// Whether any are.
    pub(crate) any_kept: bool,
}

impl Users {
    pub(crate) fn new(scenario: &Scenario, plan: &Arc<Plan>) -> Self {
        let kept = |executor: &Executor| match executor {
            Executor::Sessions(session) => match session.state {
                SessionState::Instance => Some(Keeping::InMemory),
                SessionState::Files => Some(Keeping::InFiles),
                _ => None,
            },
            _ => None,
        };
        let left = |executor: &Executor| match executor {
            Executor::Users(users) => match users.iterations {
                Iterations::Shared(iterations) => iterations,
                _ => u64::MAX,
            },
            _ => 0,
        };
        let sends_cookies = |executor: &Executor| match executor {
            Executor::Sessions(session) => session.cookies,
            _ => true,
        };
        let kept_by_instances: Vec<Option<Keeping>> =
            scenario.traffic.iter().map(|t| kept(&t.executor)).collect();
        Self {
            plan: Some(Arc::clone(plan)),
            total: scenario.run.total(),
            users: Vec::new(),
            free: NONE,
            present: 0,
            left: scenario.traffic.iter().map(|t| left(&t.executor)).collect(),
            sends_cookies: scenario.traffic.iter().map(|t| sends_cookies(&t.executor)).collect(),
            any_kept: kept_by_instances.iter().any(Option::is_some),
            kept_by_instances,
        }
    }

    /// Which of its closed loop's users one is.
    pub(crate) fn number(&self, place: u32) -> u32 {
        match self.users.get(place as usize).map(|user| user.walking) {
            Some(Walking::Loop { user, .. }) => user,
            walking => unreachable!("{walking:?} is no user of a closed loop"),
        }
    }

    /// The request that began a user's session, if that has a record.
    pub(crate) fn session(&self, place: u32) -> Option<RequestId> {
        let session = self.users.get(place as usize)?.session;
        (session != NOBODYS).then_some(RequestId(session))
    }

    fn plan(&self) -> &Plan {
        self.plan.as_ref().expect("users are there from the run's start on")
    }
}

impl World {
    /// The users of closed loops take their places.
    pub(crate) fn start_users(&mut self, scenario: &Scenario, plan: &Arc<Plan>) {
        self.users = Users::new(scenario, plan);
        for traffic in scenario.traffic_ids() {
            let Some(all) = plan.users(traffic) else { continue };
            for user in 0..all.count() {
                let walking = Walking::Loop { user, iteration: 0, until: SimTime::ZERO };
                if let Some(place) = self.add_user(traffic, walking) {
                    self.think_in_loop(place, SimTime::ZERO);
                }
            }
        }
    }

    /// A new user; none where there are too many.
    fn add_user(&mut self, traffic: TrafficId, walking: Walking) -> Option<u32> {
        let mut user = User {
            traffic,
            walking,
            timer: NONE,
            home: (NOWHERE, 0),
            session: NOBODYS,
            cookies: NO_COOKIES,
            next: NONE,
        };
        let place = self.users.free;
        if place != NONE {
            let old = &mut self.users.users[place as usize];
            self.users.free = old.next;
            user.timer = old.timer;
            *old = user;
        } else if self.users.users.len() < USERS_LIMIT {
            let place = self.users.users.len() as u32;
            user.timer = self.add_timer(Timer::User(place));
            self.users.users.push(user);
        } else {
            return None;
        }
        self.users.present += 1;
        Some(if place == NONE { self.users.users.len() as u32 - 1 } else { place })
    }

    /// A user never comes back.
    fn remove_user(&mut self, place: u32) {
        self.users.users[place as usize].next = std::mem::replace(&mut self.users.free, place);
        self.users.present -= 1;
    }

    /// How many users are there or will come back.
    #[cfg(test)]
    pub(crate) fn users_present(&self) -> u64 {
        self.users.present
    }

    /// Has a user come due at a time, or never, where the run is over by then.
    fn due_at(&mut self, place: u32, at: SimTime) {
        if at < self.users.total {
            let timer = self.users.users[place as usize].timer;
            self.events.schedule(at.as_nanos(), timer);
        } else {
            self.remove_user(place);
        }
    }

    /// A session begins with a request that came due.
    pub(crate) fn begin_session(&mut self, due: &Due) {
        let traffic = due.planned.traffic;
        let sessions = self.users.plan().sessions(traffic).expect("its traffic is one of sessions");
        let walk = sessions.start(due.planned.id);
        match self.add_user(traffic, Walking::Session(walk)) {
            Some(place) => self.admit(due.planned.id, due.planned.class, traffic, Some(due), place),
            None => self.admit(due.planned.id, due.planned.class, traffic, Some(due), NONE),
        }
    }

    /// A user has thought, or comes back.
    pub(crate) fn user_is_due(&mut self, place: u32) {
        let User { traffic, walking, .. } = self.users.users[place as usize];
        let (id, class) = match walking {
            Walking::Loop { user, iteration, .. } => {
                let left = &mut self.users.left[traffic.index()];
                if *left == 0 {
                    return self.remove_user(place);
                }
                *left -= 1;
                let all = self.users.plan().users(traffic).expect("its traffic is a closed loop");
                let next = all.iteration(user, iteration);
                (next.id, next.class)
            }
            Walking::Session(walk) => (walk.id, self.users.plan().class(traffic, walk.id)),
        };
        self.admit(id, class, traffic, None, place);
    }

    /// A user's request was answered, or is given up: what comes next.
    pub(crate) fn user_answered(&mut self, place: u32) {
        let now = SimTime::from_nanos(self.now);
        let user = &mut self.users.users[place as usize];
        let traffic = user.traffic;
        match &mut user.walking {
            Walking::Loop { iteration, .. } => {
                *iteration += 1;
                let done = *iteration;
                let all = self.users.plan().users(traffic).expect("its traffic is a closed loop");
                match all.iterations() {
                    Iterations::Each(iterations) if done >= iterations => self.remove_user(place),
                    _ => self.think_in_loop(place, now),
                }
            }
            Walking::Session(walk) => {
                let walk = *walk;
                let sessions = self.users.plan().sessions(traffic).expect("its traffic is one of sessions");
                let Some((pause, next)) = sessions.follow(&walk) else { return self.remove_user(place) };
                let user = &mut self.users.users[place as usize];
                user.walking = Walking::Session(next);
                if next.starts_visit {
                    // Neither a session nor its cookies outlast a visit.
                    (user.home, user.session, user.cookies) = ((NOWHERE, 0), NOBODYS, NO_COOKIES);
                }
                self.due_at(place, now.saturating_add(pause));
            }
        }
    }

    /// A user of a closed loop thinks from `now` on, or from when it is its turn again.
    fn think_in_loop(&mut self, place: u32, now: SimTime) {
        let User { traffic, walking, .. } = self.users.users[place as usize];
        let Walking::Loop { user, iteration, mut until } = walking else {
            unreachable!("only users of closed loops think here")
        };
        let all = self.users.plan().users(traffic).expect("its traffic is a closed loop");
        let think = all.iteration(user, iteration).think;
        let mut from = now;
        let at = loop {
            let at = from.saturating_add(think);
            if at < until {
                break Some(at);
            }
            // The stretch that is over, or the first: on to the next.
            match all.stretch(user, from.max(until)) {
                Some((start, end)) => (from, until) = (start, end),
                None => break None,
            }
            // Whoever thinks longer than a stretch lasts says nothing in it.
            if from.saturating_add(think) >= until {
                from = until;
            }
        };
        self.users.users[place as usize].walking = Walking::Loop { user, iteration, until };
        match at {
            Some(at) => self.due_at(place, at),
            None => self.remove_user(place),
        }
    }

    /// A service instance has a good answer to a client's request: whether its session was known there.
    #[inline]
    pub(crate) fn note_session(&mut self, slot: u32) {
        if self.users.any_kept || self.records.any() {
            self.find_session(slot);
        }
    }

    /// The request that a call at a service is there for, and the user who waits for the answer.
    pub(crate) fn page_of(&self, slot: u32) -> Option<(u32, u32)> {
        let call = &self.calls[slot];
        // What a service asks of another is no page of the user's.
        if call.root == NONE || call.end != self.classes[call.class.index()].1 {
            return None;
        }
        let request = self.calls.get(call.root)?;
        let waits = request.id == call.id && request.parent == CLIENT && request.user != NONE;
        waits.then_some((call.root, request.user))
    }

    fn find_session(&mut self, slot: u32) {
        let Some((root, user)) = self.page_of(slot) else { return };
        let at = self.calls[slot].at;
        let request = &self.calls[root];
        if self.records.are_kept(request.traffic) {
            let session = &mut self.users.users[user as usize].session;
            if *session == NOBODYS || request.is(LOST_SESSION) {
                *session = request.id.0;
            }
            return;
        }
        let instance = &self.instances[usize::from(at)];
        let here = match self.users.kept_by_instances[usize::from(request.traffic)] {
            None => return,
            Some(Keeping::InMemory) => (at, instance.lives),
            Some(Keeping::InFiles) => (at, instance.machines),
        };
        let home = std::mem::replace(&mut self.users.users[user as usize].home, here);
        if home.0 != NOWHERE && home != here {
            self.calls[root].flags |= LOST_SESSION;
        }
    }

    /// The user behind a call, if it serves a request of one who may make others.
    fn user_of(&self, slot: u32) -> Option<u32> {
        let call = &self.calls[slot];
        let request = self.calls.get(call.root)?;
        (request.id == call.id && request.user != NONE).then_some(request.user)
    }

    /// The network address that a request comes from. Each request of an open loop comes from a user of its own.
    pub(crate) fn address(&self, slot: u32) -> u64 {
        let of = |coordinate: u64| Stream::new(Seed(0), ADDRESS, coordinate).next_bits();
        match self.user_of(slot).map(|user| self.users.users[user as usize]) {
            Some(User { walking: Walking::Session(walk), .. }) => walk.address(),
            Some(User { walking: Walking::Loop { user, .. }, traffic, .. }) => {
                of((traffic.index() as u64) << 32 | u64::from(user))
            }
            None => of(self.calls[slot].id.0),
        }
    }

    /// The server that a request's cookie names at the balancer that has the request. Whoever makes one request only has
    /// none.
    pub(crate) fn cookie(&self, slot: u32) -> Option<u16> {
        let user = &self.users.users[self.user_of(slot)? as usize];
        let component = self.instances[usize::from(self.calls[slot].at)].component;
        let sent = self.users.sends_cookies[user.traffic.index()];
        user.cookies.iter().find(|(of, _)| sent && *of == component).map(|(_, server)| *server)
    }

    /// The answer to a request sets a balancer's cookie. A user keeps those of two balancers.
    pub(crate) fn set_cookie(&mut self, slot: u32, server: u16) {
        let Some(user) = self.user_of(slot) else { return };
        let component = self.instances[usize::from(self.calls[slot].at)].component;
        let cookies = &mut self.users.users[user as usize].cookies;
        let place = cookies.iter().position(|(of, _)| *of == component || *of == NOWHERE);
        cookies[place.unwrap_or(0)] = (component, server);
    }
}
