//! Active health checks, by HAProxy's rules: a server is up until `fall` checks in a row fail, down until `rise` succeed.
//!
//! A check goes over a connection of its own and takes a worker of the service, so an overloaded service fails its checks.

use scenarios::plan::RequestId;
use scenarios::scenario::ClassId;

use crate::event::Token;
use crate::request::{CHECK, NONE, Request};
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

    fn learn(&mut self, good: bool, fall: u32, rise: u32) {
        if good == self.up {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against >= if self.up { fall } else { rise } {
            *self = Self { up: good, against: 0 };
        }
    }
}

/// The checks of one server by one balancer instance.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) balancer: u16,
    /// The position in the balancer's servers.
    pub(crate) server: u16,
    pub(crate) interval: u64,
    pub(crate) timeout: u64,
    pub(crate) fall: u32,
    pub(crate) rise: u32,
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
        self.events.schedule(self.now + check.interval, check.timer);
        let balancer = &self.balancers[usize::from(check.balancer)];
        if balancer.killed > 0 {
            return;
        }
        let service = balancer.servers[usize::from(check.server)].service;
        if self.services[usize::from(service)].killed > 0 {
            return self.learn(index, false);
        }
        // Each check draws for itself, by what tells it from all others: whose it is and when.
        let id = RequestId(u64::from(index) << 48 ^ self.now);
        let mut request = Request::new(id, check.class, CHECK, self.now);
        request.connection = index;
        request.balancer = check.balancer;
        request.service = service;
        request.step = u16::MAX;
        let Some(slot) = self.requests.insert(request) else { return self.learn(index, false) };
        check.pending = slot;
        check.times_out = self.events.schedule(self.now + check.timeout, check.timeout_timer);
        if self.services[usize::from(service)].accepts() {
            self.arrive_at_service(slot);
        } else {
            let deadline = self.now + self.checks[index as usize].timeout;
            self.wait_for_syn(slot, deadline);
        }
    }

    /// The check of this request has an answer, or its connection failed.
    pub(crate) fn check_answered(&mut self, slot: u32, good: bool) {
        let index = self.requests[slot].connection;
        self.checks[index as usize].pending = NONE;
        self.checks[index as usize].times_out = Token::NONE;
        self.learn(index, good);
    }

    pub(crate) fn check_timed_out(&mut self, index: u32, token: Token) {
        let check = &mut self.checks[index as usize];
        if check.times_out == token && check.pending != NONE {
            let slot = check.pending;
            self.check_answered(slot, false);
            self.abandon(slot);
        }
    }

    fn learn(&mut self, index: u32, good: bool) {
        let check = &self.checks[index as usize];
        let server = &mut self.balancers[usize::from(check.balancer)].servers[usize::from(check.server)];
        let before = server.health.up;
        server.health.learn(good, check.fall, check.rise);
        if before && !server.health.up {
            // Who knows in which state they are.
            server.idle = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
