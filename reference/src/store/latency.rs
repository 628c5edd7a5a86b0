//! What took long, by kind of event (`LATENCY`; latency.c of Redis 7.0): the worst of each second, for those events that took
//! at least `latency-monitor-threshold` milliseconds.

use std::collections::{BTreeMap, VecDeque};

use super::eviction::Room;
use super::server::Server;
use crate::emulated::clock::now_nanos;

/// Seconds that are remembered of an event (`LATENCY_TS_LEN`).
const MOST_SAMPLES: usize = 160;

/// What is remembered of one kind of event.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// Seconds since 1970, and the longest of that second in milliseconds; the oldest first.
    pub(super) samples: VecDeque<(u64, u64)>,
    /// The longest ever.
    pub(super) longest_ms: u64,
}

/// Of all kinds, by name.
pub(super) type Latencies = BTreeMap<&'static str, Latency>;

impl Server {
    /// Makes room as before each command, and remembers where that took long.
    #[inline]
    pub(super) fn make_room(&mut self) -> Room {
        if self.settings.latency_ms == 0 {
            return self.data.make_room();
        }
        let began = now_nanos();
        let room = self.data.make_room();
        self.note_latency("eviction-cycle", now_nanos() - began);
        room
    }

    /// Remembers how long an event took, if that was long.
    #[inline]
    pub(super) fn note_latency(&mut self, event: &'static str, nanos: u64) {
        let threshold_ms = self.settings.latency_ms;
        if threshold_ms > 0 && nanos / 1_000_000 >= threshold_ms {
            self.remember_latency(event, nanos / 1_000_000);
        }
    }

    #[cold]
    fn remember_latency(&mut self, event: &'static str, ms: u64) {
        let now = self.data.clock.unix_ms() / 1000;
        let latency = self.latencies.entry(event).or_default();
        latency.longest_ms = latency.longest_ms.max(ms);
        match latency.samples.back_mut() {
            Some((second, longest)) if *second == now => *longest = ms.max(*longest),
            _ => latency.samples.push_back((now, ms)),
        }
        if latency.samples.len() > MOST_SAMPLES {
            latency.samples.pop_front();
        }
    }
}
