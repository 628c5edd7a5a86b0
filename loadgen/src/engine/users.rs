//! Users who wait for answers: those of closed loops, and those who walk through sessions.
//!
//! What a user does next is the plan's; this is when. A user thinks, comes due with a request, waits for its answer or gives
//! it up, and thinks again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use scenarios::Scenario;
use scenarios::plan::{Plan, Planned, Walk};
use scenarios::scenario::{Executor, Iterations, TrafficId};
use scenarios::units::SimTime;

use super::Share;
use super::sources::{loopback, of_loop_user};
use crate::http::{JARS_BYTES, Jar, Room};

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

#[derive(Debug)]
struct User {
    traffic: TrafficId,
    walking: Walking,
    jar: Jar,
}

/// How many requests the users of each closed loop have left between them, over all threads.
#[derive(Debug)]
pub(crate) struct Left(Vec<AtomicU64>);

impl Left {
    pub(crate) fn new(scenario: &Scenario, share: Share) -> Self {
        let left = |executor: &Executor| match executor {
            Executor::Users(users) => match users.iterations {
                Iterations::Shared(iterations) => share.part(iterations),
                _ => u64::MAX,
            },
            _ => 0,
        };
        Self(scenario.traffic.iter().map(|t| AtomicU64::new(left(&t.executor))).collect())
    }

    /// Whether one more may be made; it is then taken.
    pub(super) fn take(&self, traffic: TrafficId) -> bool {
        let left = &self.0[traffic.index()];
        // Without a limit the common number is not even read for writing: threads would wait for each other.
        left.load(Ordering::Relaxed) == u64::MAX
            || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }
}

/// A request of a user that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DueUser {
    pub(super) user: u32,
    pub(super) planned: Planned,
    /// The user's number among those of a closed loop.
    pub(super) number: Option<u32>,
}

/// One thread's users who are there or will come back.
#[derive(Debug)]
pub(super) struct Users<'a> {
    plan: &'a Plan,
    left: &'a Left,
    total: SimTime,
    /// By traffic: whether its users send cookies back.
    cookies: Vec<bool>,
    users: Vec<User>,
    free: Vec<u32>,
    /// For what they remember.
    room: Room,
    /// When who comes due. Nobody is in it twice.
    due: BinaryHeap<Reverse<(SimTime, u32)>>,
}

impl<'a> Users<'a> {
    /// Nobody is there yet; the thread is one of so many.
    pub(super) fn new(scenario: &Scenario, plan: &'a Plan, left: &'a Left, threads: u32) -> Self {
        let cookies = |executor: &Executor| match executor {
            Executor::Sessions(session) => session.cookies,
            Executor::Users(_) => true,
            _ => false,
        };
        Self {
            plan,
            left,
            total: scenario.run.total(),
            cookies: scenario.traffic.iter().map(|t| cookies(&t.executor)).collect(),
            users: Vec::new(),
            free: Vec::new(),
            room: Room::new(JARS_BYTES / threads as usize),
            due: BinaryHeap::new(),
        }
    }

    /// The run begins: the users of a thread's closed loops take their places; user `n` belongs to thread `n` mod `threads`.
    pub(super) fn start(&mut self, scenario: &Scenario, (thread, threads): (u32, u32)) {
        for traffic in scenario.traffic_ids() {
            let Some(all) = self.plan.users(traffic) else { continue };
            for user in (thread..all.count()).step_by(threads as usize) {
                let walking = Walking::Loop { user, iteration: 0, until: SimTime::ZERO };
                let place = self.add(traffic, walking);
                self.think_in_loop(place, SimTime::ZERO);
            }
        }
    }

    fn add(&mut self, traffic: TrafficId, walking: Walking) -> u32 {
        let first = match walking {
            Walking::Loop { user, .. } => {
                self.plan.users(traffic).expect("its traffic is a closed loop").iteration(user, 0).id
            }
            Walking::Session(walk) => walk.session(),
        };
        let jar = Jar::new(first, self.cookies[traffic.index()], self.room.clone());
        let user = User { traffic, walking, jar };
        match self.free.pop() {
            Some(place) => {
                self.users[place as usize] = user;
                place
            }
            None => {
                self.users.push(user);
                self.users.len() as u32 - 1
            }
        }
    }

    /// A user goes away for good.
    fn leave(&mut self, place: u32) {
        self.users[place as usize].jar.empty();
        self.free.push(place);
    }

    /// A session begins with a request that came due; the user's place.
    pub(super) fn begin_session(&mut self, planned: &Planned) -> Option<u32> {
        let walk = self.plan.sessions(planned.traffic)?.start(planned.id);
        Some(self.add(planned.traffic, Walking::Session(walk)))
    }

    /// When the next user comes due.
    #[inline]
    pub(super) fn next_due(&self) -> Option<SimTime> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The next user who is due by now, with the request. One whose loop has no requests left goes away.
    pub(super) fn pop_due(&mut self, now: SimTime) -> Option<DueUser> {
        while self.next_due()? <= now {
            let Reverse((due, place)) = self.due.pop().expect("a user is next");
            let User { traffic, walking, .. } = self.users[place as usize];
            let (id, class, number) = match walking {
                Walking::Loop { user, iteration, .. } => {
                    if !self.left.take(traffic) {
                        self.leave(place);
                        continue;
                    }
                    let all = self.plan.users(traffic).expect("its traffic is a closed loop");
                    let next = all.iteration(user, iteration);
                    (next.id, next.class, Some(user))
                }
                Walking::Session(walk) => (walk.id, self.plan.class(traffic, walk.id), None),
            };
            return Some(DueUser { user: place, planned: Planned { due, id, traffic, class }, number });
        }
        None
    }

    /// A user's request was answered, or is given up: the user thinks, and comes due again, or never. Whether a visit is over with
    /// it.
    pub(super) fn answered(&mut self, place: u32, now: SimTime) -> bool {
        let user = &mut self.users[place as usize];
        let traffic = user.traffic;
        match &mut user.walking {
            Walking::Loop { iteration, .. } => {
                *iteration += 1;
                let done = *iteration;
                let all = self.plan.users(traffic).expect("its traffic is a closed loop");
                match all.iterations() {
                    Iterations::Each(iterations) if done >= iterations => self.leave(place),
                    _ => self.think_in_loop(place, now),
                }
                false
            }
            Walking::Session(walk) => {
                let sessions = self.plan.sessions(traffic).expect("its traffic is one of sessions");
                let Some((pause, next)) = sessions.follow(walk) else {
                    self.leave(place);
                    return true;
                };
                *walk = next;
                if next.starts_visit {
                    // Cookies do not outlast a visit.
                    user.jar.empty();
                }
                let due = now.saturating_add(pause);
                self.due_at(place, due);
                next.starts_visit || due >= self.total
            }
        }
    }

    /// A user of a closed loop thinks from `now` on, or from when it is its turn again.
    fn think_in_loop(&mut self, place: u32, now: SimTime) {
        let User { traffic, walking, .. } = self.users[place as usize];
        let Walking::Loop { user, iteration, mut until } = walking else {
            unreachable!("only users of closed loops think here")
        };
        let all = self.plan.users(traffic).expect("its traffic is a closed loop");
        let at = due_after(all, (user, iteration), now, &mut until);
        self.users[place as usize].walking = Walking::Loop { user, iteration, until };
        match at {
            Some(at) => self.due_at(place, at),
            None => self.leave(place),
        }
    }

    fn due_at(&mut self, place: u32, at: SimTime) {
        if at < self.total {
            self.due.push(Reverse((at, place)));
        } else {
            self.leave(place);
        }
    }

    /// Where a user comes from at present, on the loopback interface.
    pub(super) fn source(&self, place: u32) -> Option<Ipv4Addr> {
        let user = self.users.get(place as usize)?;
        let number = match user.walking {
            Walking::Loop { user: number, .. } => of_loop_user(user.traffic, number),
            Walking::Session(walk) => walk.address(),
        };
        Some(loopback(number))
    }

    /// What a user's client remembers.
    #[inline]
    pub(super) fn jar(&mut self, place: u32) -> Option<&mut Jar> {
        self.users.get_mut(place as usize).map(|user| &mut user.jar)
    }
}

/// When a user of a closed loop is due with an iteration who thinks from `now` on, or from when it is its turn again; `until` is
/// the end of the stretch in which the user is there.
pub(super) fn due_after(
    all: &scenarios::plan::Users,
    (user, iteration): (u32, u64),
    now: SimTime,
    until: &mut SimTime,
) -> Option<SimTime> {
    let think = all.iteration(user, iteration).think;
    let mut from = now;
    loop {
        let at = from.saturating_add(think);
        if at < *until {
            return Some(at);
        }
        // The stretch that is over, or the first: on to the next.
        (from, *until) = all.stretch(user, from.max(*until))?;
        // Whoever thinks longer than a stretch lasts says nothing in it.
        if from.saturating_add(think) >= *until {
            from = *until;
        }
    }
}
