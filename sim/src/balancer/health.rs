//! Active health checks, by HAProxy's rules: a server is up until `fall` checks in a row fail, down until `rise` succeed.
//!
//! A check goes over a connection of its own and takes a worker of the service, so an overloaded service fails its checks.

use scenarios::plan::RequestId;
use scenarios::scenario::{ClassId, HealthCheck, ObservedLayer, OnErrors};

use crate::call::{CHECK, CONNECT_ONLY, Call, NONE, Phase};
use crate::event::Token;
use crate::world::World;

/// What is known of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pub(crate) up: bool,
    /// Checks in a row that spoke against the present state.
    against: u32,
}

impl Health {
    pub(crate) const UP: Self = Self { up: true, against: 0 };

    pub(super) fn learn(&mut self, good: bool, fall: u32, rise: u32) {
        if good == self.up {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against >= if self.up { fall } else { rise } {
            *self = Self { up: good, against: 0 };
        }
    }

    /// Takes in that so many errors in a row were seen as are a finding (`__health_adjust` of HAProxy's `check.c`). Of a server
    /// that is down, it ends a row of good checks.
    pub(super) fn take_errors(&mut self, rules: &Passive) {
        let left = rules.fall.saturating_sub(self.against);
        match rules.on_error {
            OnErrors::MarkDown => *self = Self { up: false, against: 0 },
            OnErrors::SuddenDeath if self.up && left > 1 => self.against = rules.fall - 1,
            _ => self.learn(false, rules.fall, u32::MAX),
        }
    }
}

/// How a real request, or its connection, fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// There was no connection for it.
    NoConnection,
    /// It had one, and no good answer.
    NoAnswer,
    /// It had a good answer.
    Answer,
}

/// What is concluded from real requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passive {
    layer: ObservedLayer,
    pub(super) error_limit: u32,
    on_error: OnErrors,
    fall: u32,
}

impl Passive {
    /// By what the file says of checks; none where real requests are not watched.
    pub(crate) fn new(check: Option<&HealthCheck>) -> Option<Self> {
        let check = check?;
        let observe = check.observe?;
        let (error_limit, on_error) = (observe.error_limit, observe.on_error);
        Some(Self { layer: observe.layer, error_limit, on_error, fall: check.fall })
    }

    /// Whether this speaks against a server rather than for it.
    pub(super) fn is_error(&self, seen: Seen) -> bool {
        seen == Seen::NoConnection || (seen == Seen::NoAnswer && self.layer == ObservedLayer::Answer)
    }
}

/// What follows from the checks of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// HAProxy's: so many failures in a row take it out, so many successes back in.
    Streak {
        /// Failures.
        fall: u32,
        /// Successes.
        rise: u32,
    },
    /// Varnish's: the cache counts the good ones among the latest. The interval runs from the end of a check to the start
    /// of the next.
    Window,
}

/// The checks of one server by one instance.
#[derive(Debug)]
pub(crate) struct Check {
    /// The instance that checks: of a balancer, or of a cache.
    pub(crate) from: u16,
    /// The instance that is checked, and its position in the list of those that are asked.
    pub(crate) at: u16,
    pub(crate) server: u16,
    /// Whether a connection that opens is enough.
    pub(crate) tcp: bool,
    pub(crate) interval: u64,
    pub(crate) timeout: u64,
    pub(crate) rule: Rule,
    pub(crate) timer: u32,
    pub(crate) timeout_timer: u32,
    /// The check under way.
    pub(crate) pending: u32,
    pub(crate) times_out: Token,
    /// The class that a check is filed under; it has no steps and is not recorded.
    pub(crate) class: ClassId,
}

impl World {
    /// Starts a check, and sets the time of the next.
    pub(crate) fn start_check(&mut self, index: u32) {
        // A timeout is at most as long as the interval; where it is as long, it ends before the next check.
        self.check_timed_out(index, self.checks[index as usize].times_out);
        let check = &mut self.checks[index as usize];
        if check.rule != Rule::Window {
            self.events.schedule(self.now + check.interval, check.timer);
        }
        let from = &self.instances[usize::from(check.from)];
        if from.killed > 0 || from.stopped > 0 {
            return self.check_again(index);
        }
        // Each check draws for itself, by what tells it from all others: whose it is and when.
        let id = RequestId(u64::from(index) << 48 ^ self.now);
        let mut call = Call::new(id, check.class, CHECK, self.now);
        call.connection = index;
        call.from = check.from;
        call.at = check.at;
        call.work = self.now + check.timeout;
        call.phase = Phase::Connecting;
        call.flags = if check.tcp { CONNECT_ONLY } else { 0 };
        let Some(slot) = self.calls.insert(call) else {
            self.check_again(index);
            return self.learn(index, false);
        };
        check.pending = slot;
        check.times_out = self.events.schedule(self.now + check.timeout, check.timeout_timer);
        self.connect(slot);
    }

    /// The check of this call has an answer, or its connection failed.
    pub(crate) fn check_answered(&mut self, slot: u32, good: bool) {
        let index = self.calls[slot].connection;
        self.forget_check(index);
        self.learn(index, good);
    }

    /// Nobody waits for a check's answer any more.
    fn forget_check(&mut self, index: u32) {
        let check = &mut self.checks[index as usize];
        check.times_out = Token::NONE;
        if std::mem::replace(&mut check.pending, NONE) != NONE {
            self.check_again(index);
        }
    }

    /// Sets the time of the next check, where that follows from the end of this one.
    fn check_again(&mut self, index: u32) {
        let check = &self.checks[index as usize];
        if check.rule == Rule::Window {
            self.events.schedule(self.now + check.interval, check.timer);
        }
    }

    /// An instance died, and with it who waits for the answers to its checks.
    pub(crate) fn forget_checks(&mut self, from: u16) {
        for check in 0..self.checks.len() as u32 {
            if self.checks[check as usize].from == from {
                self.forget_check(check);
            }
        }
    }

    pub(crate) fn check_timed_out(&mut self, index: u32, token: Token) {
        let check = &mut self.checks[index as usize];
        if check.times_out == token && check.pending != NONE {
            let slot = check.pending;
            self.check_answered(slot, false);
            self.leave(slot);
        }
    }

    fn learn(&mut self, index: u32, good: bool) {
        let &Check { from, server, rule, .. } = &self.checks[index as usize];
        let place = usize::from(self.instances[usize::from(from)].index);
        let Rule::Streak { fall, rise } = rule else {
            return self.caches[place].probed[usize::from(server)].learn(good);
        };
        let balancer = &mut self.balancers[place];
        let went_down = balancer.servers.learn(server, good, fall, rise, self.now);
        if went_down {
            self.went_down(from, server);
        } else if good {
            self.next_in_queue(from, server);
            self.watch_warm_up(from);
        }
    }

    /// A server went down for an instance of a balancer.
    fn went_down(&mut self, from: u16, server: u16) {
        let balancer = &self.balancers[usize::from(self.instances[usize::from(from)].index)];
        // Who knows in which state they are.
        let target = balancer.target;
        let pool = target.pool(from, target.base + server);
        self.pools.close(pool);
        self.hang_up(pool, u32::MAX);
        self.leave_server_queue(from, server);
    }

    /// An instance of a balancer sees how a real request to a server fares.
    #[inline]
    pub(crate) fn observe(&mut self, from: u16, server: u16, seen: Seen) {
        let balancer = &mut self.balancers[usize::from(self.instances[usize::from(from)].index)];
        if let Some(rules) = &balancer.passive
            && balancer.servers.observe(server, seen, rules, self.now)
        {
            self.went_down(from, server);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_a_row_do_what_the_file_says() {
        let passive = |on_error| Passive { layer: ObservedLayer::Answer, error_limit: 2, on_error, fall: 3 };
        // How many findings take a server out, alone.
        for (on_error, findings) in
            [(OnErrors::FailCheck, 3), (OnErrors::SuddenDeath, 2), (OnErrors::MarkDown, 1)]
        {
            let mut health = Health::UP;
            for finding in 1..=findings {
                assert!(health.up, "{on_error:?} before finding {finding}");
                health.take_errors(&passive(on_error));
            }
            assert!(!health.up, "{on_error:?}");
            health.learn(true, 3, 2);
            health.take_errors(&passive(on_error));
            health.learn(true, 3, 2);
            assert!(!health.up, "{on_error:?}: the row of good checks was broken");
            health.learn(true, 3, 2);
            assert!(health.up);
        }
    }

    #[test]
    fn connections_or_answers_are_watched_not_both() {
        let passive = |layer| Passive { layer, error_limit: 2, on_error: OnErrors::MarkDown, fall: 3 };
        let told = |layer| {
            [Seen::NoConnection, Seen::NoAnswer, Seen::Answer].map(|seen| passive(layer).is_error(seen))
        };
        assert_eq!(told(ObservedLayer::Connection), [true, false, false]);
        assert_eq!(told(ObservedLayer::Answer), [true, true, false]);
    }

    #[test]
    fn only_failures_in_a_row_take_a_server_out() {
        let mut health = Health::UP;
        for good in [false, false, true, false, false] {
            health.learn(good, 3, 2);
            assert!(health.up);
        }
        health.learn(false, 3, 2);
        assert!(!health.up);
        health.learn(true, 3, 2);
        health.learn(false, 3, 2);
        health.learn(true, 3, 2);
        assert!(!health.up);
        health.learn(true, 3, 2);
        assert!(health.up);
    }
}
