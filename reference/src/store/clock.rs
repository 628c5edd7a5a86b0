//! The store's time: milliseconds that can stand still, and what Redis's coarse clocks make of them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::emulated::clock::now_nanos;

/// The machine's monotonic clock.
fn machine_ms() -> u64 {
    now_nanos() / 1_000_000
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A clock that moves when it is told to look.
#[derive(Debug)]
pub(super) struct Clock {
    now_ms: u64,
    /// How far the machine's clock is ahead of the store's; none as long as the store's stands still.
    ahead_ms: Option<u64>,
    /// What to add for milliseconds since 1970.
    unix_offset_ms: u64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now_ms = machine_ms();
        Self { now_ms, ahead_ms: Some(0), unix_offset_ms: unix_ms().saturating_sub(now_ms) }
    }

    /// Looks at the machine's clock.
    pub(super) fn tick(&mut self) {
        if let Some(ahead) = self.ahead_ms {
            self.now_ms = machine_ms() - ahead;
        }
    }

    /// Lets no time pass until [`Clock::start`].
    pub(super) fn stop(&mut self) {
        self.ahead_ms = None;
    }

    /// Lets time pass again, if it does not; from where it stood.
    #[inline]
    pub(super) fn start(&mut self) {
        if self.ahead_ms.is_none() {
            self.ahead_ms = Some(machine_ms() - self.now_ms);
            self.unix_offset_ms = unix_ms().saturating_sub(self.now_ms);
        }
    }

    #[cfg(test)]
    pub(super) fn advance_ms(&mut self, by: u64) {
        self.now_ms += by;
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Milliseconds since 1970.
    pub(super) fn unix_ms(&self) -> u64 {
        self.now_ms + self.unix_offset_ms
    }

    /// Redis's clock for LRU: seconds, in 24 bits (server.h: `LRU_CLOCK_MAX`).
    pub(super) fn lru_seconds(&self) -> u32 {
        ((self.unix_ms() / 1000) & 0xff_ffff) as u32
    }

    /// Redis's clock for LFU: minutes, in 16 bits (evict.c: `LFUGetTimeInMinutes`).
    pub(super) fn lfu_minutes(&self) -> u16 {
        (self.unix_ms() / 60_000) as u16
    }
}
