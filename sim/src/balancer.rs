//! The load balancer: round robin over the servers that are up, connections pooled and retried, HAProxy's answers when
//! there is none. Whether a server is up is `health`'s to find out.

use crate::call::NOBODY;
use crate::connect::Target;
use crate::health::Health;
use crate::instance::{Answer, Back};
use crate::timeout::TimeoutRing;
use crate::world::World;

/// The longest pause before a connection to the same server is tried again.
const TURN_AROUND_NANOS: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Balancer {
    /// The instances that are its servers.
    pub(crate) target: Target,
    /// What it knows of each.
    pub(crate) servers: Vec<Health>,
    /// Whose turn it is.
    pub(crate) next: u16,
    pub(crate) retries: u32,
    pub(crate) redispatch: bool,
    pub(crate) connect_timeout: u64,
    pub(crate) timeouts: TimeoutRing,
    pub(crate) timer: u32,
}

impl Balancer {
    /// The next server that is up, other than the one to avoid unless there is no other.
    #[inline]
    fn next_up(&mut self, avoid: Option<u16>) -> Option<u16> {
        let count = self.target.count;
        let mut spare = None;
        let mut server = self.next;
        for _ in 0..count {
            let following = if server + 1 == count { 0 } else { server + 1 };
            if self.servers[usize::from(server)].up {
                if Some(server) != avoid {
                    self.next = following;
                    return Some(server);
                }
                spare = Some((server, following));
            }
            server = following;
        }
        let (server, following) = spare?;
        self.next = following;
        Some(server)
    }
}

impl World {
    fn balancer(&mut self, slot: u32) -> &mut Balancer {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        &mut self.balancers[usize::from(instance.index)]
    }

    /// A request is there: picks a server for it.
    #[inline]
    pub(crate) fn balancer_arrive(&mut self, slot: u32) {
        if self.instances[usize::from(self.calls[slot].at)].broken > 0 {
            return self.answer(slot, Answer::Error);
        }
        match self.balancer(slot).next_up(None) {
            Some(server) => self.forward(slot, server),
            None => self.answer(slot, Answer::Error),
        }
    }

    /// Connects to a server and sends it the request.
    #[inline]
    fn forward(&mut self, slot: u32, server: u16) {
        let now = self.now;
        let balancer = self.balancer(slot);
        let (target, deadline) = (balancer.target, now.saturating_add(balancer.connect_timeout));
        let call = &mut self.calls[slot];
        call.leaf = server;
        let steps = (call.step, call.end);
        self.call(slot, target, target.base + server, steps, deadline);
    }

    /// A server has answered, or could not be asked.
    #[inline]
    pub(crate) fn balancer_answered(&mut self, slot: u32, back: Back) {
        match back.answer {
            Answer::Good | Answer::Error => {
                let balancer = self.balancer(slot);
                // A connection to a server that is down is closed.
                if balancer.servers[usize::from(back.at - balancer.target.base)].up {
                    self.pools.give_back(back.pool);
                }
                self.answer(slot, back.answer);
            }
            Answer::Reset => self.answer(slot, Answer::Error),
            Answer::Refused | Answer::Unreachable => self.retry(slot, back.at),
        }
    }

    /// A connection failed: tries another, at once or after a pause; a request of which something was sent never comes here.
    fn retry(&mut self, slot: u32, failed: u16) {
        let call = &mut self.calls[slot];
        call.attempts += 1;
        let attempts = u32::from(call.attempts);
        let balancer = self.balancer(slot);
        if attempts > balancer.retries {
            return self.answer(slot, Answer::Error);
        }
        if !balancer.redispatch {
            let pause = balancer.connect_timeout.min(TURN_AROUND_NANOS);
            return self.wait_until(slot, self.now + pause, crate::call::Phase::Timed);
        }
        let avoid = failed - balancer.target.base;
        match balancer.next_up(Some(avoid)) {
            Some(server) => self.forward(slot, server),
            None => self.answer(slot, Answer::Error),
        }
    }

    /// The pause before the same server is tried again is over.
    pub(crate) fn balancer_wake(&mut self, slot: u32) {
        let server = self.calls[slot].leaf;
        self.forward(slot, server);
    }

    /// A request was sent to a server: its time begins.
    #[inline]
    pub(crate) fn start_server_timeout(&mut self, balancer: u16, child: u32) {
        let balancer = &mut self.balancers[usize::from(balancer)];
        if let Some(at) = balancer.timeouts.start(&self.calls, self.now, child) {
            self.events.schedule(at, balancer.timer);
        }
    }

    /// Answers 504 for every request whose server has been silent for too long, and closes its connection.
    pub(crate) fn server_timeouts(&mut self, index: u32) {
        loop {
            let balancer = &mut self.balancers[index as usize];
            match balancer.timeouts.expired(&self.calls, self.now) {
                Ok(child) => {
                    let parent = std::mem::replace(&mut self.calls[child].parent, NOBODY);
                    if parent < NOBODY {
                        self.answer(parent, Answer::Error);
                    }
                }
                Err(again) => {
                    if let Some(at) = again {
                        self.events.schedule(at, balancer.timer);
                    }
                    return;
                }
            }
        }
    }
}
