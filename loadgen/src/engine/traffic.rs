//! One thread's share of a traffic: its limits, and which of its slots are at what.

use std::collections::VecDeque;

use scenarios::plan::Planned;
use scenarios::scenario::{Executor, Reuse, Traffic};
use scenarios::units::SimTime;

use super::retry::Retrying;
use super::slot::NONE;

/// One thread's share of a traffic.
#[derive(Debug)]
pub(super) struct TrafficLane {
    pub(super) timeout_nanos: u64,
    pub(super) max_in_flight: u32,
    /// Users of a closed loop have a slot each: the first of them, and how far apart the numbers of this thread's users are.
    pub(super) own: Option<(u32, u32)>,
    /// Whether its requests begin sessions.
    pub(super) sessions: bool,
    /// Whether its users come from addresses of their own.
    pub(super) addressed: bool,
    /// What becomes of connections after an answer.
    pub(super) reuse: Reuse,
    /// How old a connection may become.
    pub(super) age_nanos: u64,
    /// How long a connection may take to open.
    pub(super) connect_nanos: Option<u64>,
    /// How what failed is sent again.
    pub(super) retrying: Option<Retrying>,
    /// Requests that hold a slot.
    pub(super) under_way: u32,
    /// Requests that failed and pause before they are sent again.
    pub(super) pausing: u32,
    /// Slots that are connecting.
    pub(super) connecting: u32,
    /// Due requests that found no slot, in order.
    pub(super) queue: VecDeque<Due>,
    /// Connected and free, the longest free first: so that requests spread over the entry's instances.
    pub(super) idle: VecDeque<u32>,
    /// Connecting, without a request.
    pub(super) opening: VecDeque<u32>,
    /// Without a socket.
    pub(super) closed: VecDeque<u32>,
    /// Requests under way in order of sending, so of their deadlines.
    pub(super) oldest: u32,
    pub(super) newest: u32,
}

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) planned: Planned,
    pub(super) lag_nanos: u64,
    /// Who makes it, or [`NONE`].
    pub(super) user: u32,
    /// How often it was sent before.
    pub(super) attempt: u16,
}

impl TrafficLane {
    pub(super) fn new(
        source: &Traffic,
        max_in_flight: u32,
        own: Option<(u32, u32)>,
        addressed: bool,
        retrying: Option<Retrying>,
    ) -> Self {
        Self {
            addressed,
            retrying,
            pausing: 0,
            reuse: source.reuse,
            age_nanos: source.max_connection_age.map_or(u64::MAX, SimTime::as_nanos),
            connect_nanos: source.connect_timeout.map(SimTime::as_nanos),
            timeout_nanos: source.timeout.as_nanos(),
            max_in_flight,
            own,
            sessions: matches!(source.executor, Executor::Sessions(_)),
            under_way: 0,
            connecting: 0,
            queue: VecDeque::new(),
            idle: VecDeque::new(),
            opening: VecDeque::new(),
            closed: VecDeque::new(),
            oldest: NONE,
            newest: NONE,
        }
    }

    /// Whether there is no room for a request more.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        (self.under_way + self.pausing) as usize + self.queue.len() >= self.max_in_flight as usize
    }

    /// Whether all of its requests have come to their end.
    pub(super) fn is_drained(&self) -> bool {
        self.under_way == 0 && self.pausing == 0 && self.queue.is_empty()
    }

    /// Whether so much is free that nobody needs what answers would set free that came and were not taken yet.
    #[inline]
    pub(super) fn is_roomy(&self) -> bool {
        let used = self.under_way as usize;
        self.idle.len() > used && self.max_in_flight as usize > 2 * used
    }

    /// Whether nothing of it depends on when an answer is taken.
    #[inline]
    pub(super) fn is_patient(&self) -> bool {
        let open_loop = self.own.is_none() && !self.sessions && self.reuse == Reuse::Always;
        // A pause begins with the failure.
        open_loop
            && self.retrying.is_none()
            && self.connecting == 0
            && self.queue.is_empty()
            && !self.idle.is_empty()
    }
}
