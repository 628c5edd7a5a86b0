//! The back ends: whose turn it is, which are well as far as probes tell, and which connections to them lie idle.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use scenarios::scenario::BackEndProbe;

use crate::http::{Connection, Idle};

/// The back ends that this instance may fetch from.
#[derive(Debug)]
pub(super) struct BackEnds {
    list: Vec<BackEnd>,
    turn: Cell<usize>,
    connect_timeout: Duration,
}

#[derive(Debug)]
struct BackEnd {
    address: SocketAddr,
    health: Cell<Health>,
    idle: Idle,
}

/// What probes tell of a back end, by Varnish's rule (`cache_backend_probe.c`): it is well while enough of the latest were
/// good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    /// The outcomes, the latest in the lowest bit.
    outcomes: u64,
    window: u32,
    threshold: u32,
}

impl Health {
    /// With all probes so far good, or with `initial` of them where the process was started again.
    pub(super) fn new(rules: Option<&BackEndProbe>, first_start: bool) -> Self {
        let Some(rules) = rules else { return Self { outcomes: u64::MAX, window: 1, threshold: 0 } };
        let good = if first_start { 64 } else { rules.initial.min(64) };
        // With none the shift is by all bits.
        let outcomes = u64::MAX.checked_shr(64 - good).unwrap_or(0);
        Self { outcomes, window: rules.window, threshold: rules.threshold }
    }

    /// With one outcome more.
    pub(super) fn after(self, good: bool) -> Self {
        Self { outcomes: self.outcomes << 1 | u64::from(good), ..self }
    }

    /// Whether it is asked.
    pub(super) fn is_good(self) -> bool {
        (self.outcomes & (u64::MAX >> (64 - self.window))).count_ones() >= self.threshold
    }
}

impl BackEnds {
    /// At these addresses. The turn begins at a place of each instance's own.
    pub(super) fn new(
        addresses: &[SocketAddr],
        first_turn: usize,
        health: Health,
        connect_timeout: Duration,
    ) -> Self {
        let back_end = |address: &SocketAddr| BackEnd {
            address: *address,
            health: Cell::new(health),
            idle: Idle::default(),
        };
        Self {
            list: addresses.iter().map(back_end).collect(),
            turn: Cell::new(first_turn % addresses.len().max(1)),
            connect_timeout,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn address(&self, number: usize) -> SocketAddr {
        self.list[number].address
    }

    /// How many are well.
    pub(super) fn well(&self) -> usize {
        self.list.iter().filter(|b| b.health.get().is_good()).count()
    }

    /// A probe has ended.
    pub(super) fn learn(&self, number: usize, good: bool) {
        let back_end = &self.list[number];
        back_end.health.set(back_end.health.get().after(good));
        if !back_end.health.get().is_good() {
            back_end.idle.clear();
        }
    }

    /// The next one that is well.
    pub(super) fn next(&self) -> Option<usize> {
        let count = self.list.len();
        let places = (0..count).map(|step| (self.turn.get() + step) % count);
        let chosen = places.into_iter().find(|number| self.list[*number].health.get().is_good())?;
        self.turn.set((chosen + 1) % count);
        Some(chosen)
    }

    /// A connection to one, and whether it was used before; none where it cannot be opened in time.
    pub(super) async fn connection(&self, number: usize) -> Option<(Connection, bool)> {
        let back_end = &self.list[number];
        if let Some(idle) = back_end.idle.take() {
            return Some((idle, true));
        }
        let opened = Connection::connect(back_end.address, Some(self.connect_timeout)).await.ok()?;
        Some((opened, false))
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, number: usize, connection: Connection) {
        let back_end = &self.list[number];
        if back_end.health.get().is_good() {
            back_end.idle.keep(connection);
        }
    }

    /// Closes idle connections that nobody needs.
    pub(super) fn clear_idle(&self) {
        self.list.iter().for_each(|back_end| back_end.idle.clear_unneeded());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_back_end_is_well_while_enough_of_the_latest_probes_were_good() {
        let mut health = Health { outcomes: 0b11, window: 4, threshold: 2 };
        let states = [false, false, false, true, true].map(|good| {
            health = health.after(good);
            health.is_good()
        });
        assert_eq!(states, [true, true, false, false, true]);
        assert!(Health::new(None, false).after(false).is_good(), "without probes it always is");
    }

    #[test]
    fn the_turn_passes_over_those_that_are_not_well() {
        let addresses: Vec<SocketAddr> = (1..=3).map(|port| ([127, 0, 0, 1], port).into()).collect();
        let health = Health { outcomes: u64::MAX, window: 1, threshold: 1 };
        let back_ends = BackEnds::new(&addresses, 1, health, Duration::from_secs(1));
        assert_eq!([(); 3].map(|()| back_ends.next()), [Some(1), Some(2), Some(0)]);
        back_ends.learn(1, false);
        assert_eq!([(); 2].map(|()| back_ends.next()), [Some(2), Some(0)]);
        (0..3).for_each(|number| back_ends.learn(number, false));
        assert_eq!((back_ends.next(), back_ends.well()), (None, 0));
    }
}
