//! Active expiry, by expire.c of Redis 7.0: a slow cycle ten times a second, and fast ones before the store waits for
//! clients as long as the slow one finds more than it may leave.
//!
//! Redis walks along the buckets of its table. Ours are in order of arrival, in which keys of one lifetime stand side by
//! side; so the walk jumps by the golden ratio of their number, which visits all of them about equally often.

use super::data::Data;
use crate::emulated::clock::now_nanos;

/// Keys looked at per round (`ACTIVE_EXPIRE_CYCLE_KEYS_PER_LOOP` at the default effort).
const KEYS_PER_ROUND: u64 = 20;
/// Rounds between two looks at the clock.
const LOOK_EVERY: u64 = 16;
/// A quarter of the time at ten cycles a second (`ACTIVE_EXPIRE_CYCLE_SLOW_TIME_PERC`).
const SLOW_NANOS: u64 = 25_000_000;
/// `ACTIVE_EXPIRE_CYCLE_FAST_DURATION`; there is as much pause again between two.
const FAST_NANOS: u64 = 1_000_000;
/// 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where the cycles are.
#[derive(Debug, Default)]
pub(super) struct Walk {
    place: u64,
    /// Whether the last cycle ended for want of time.
    unfinished: bool,
    /// When the last fast cycle began.
    fast_began: u64,
    /// The share of expired keys among those looked at, smoothed (`stat_expired_stale_perc`).
    stale: f64,
}

impl Data {
    /// The slow cycle.
    pub(crate) fn expire_cycle(&mut self) {
        self.expire_for(now_nanos(), SLOW_NANOS);
    }

    /// The fast cycle, if one is needed and not too early.
    pub(crate) fn expire_briefly(&mut self) {
        if !self.walk.unfinished && self.walk.stale < 0.1 {
            return;
        }
        let now = now_nanos();
        if now < self.walk.fast_began + 2 * FAST_NANOS {
            return;
        }
        self.walk.fast_began = now;
        self.expire_for(now, FAST_NANOS);
    }

    fn expire_for(&mut self, start: u64, limit_nanos: u64) {
        let (mut looked_at, mut expired, mut rounds) = (0, 0, 0_u64);
        self.walk.unfinished = false;
        loop {
            let (round, gone) = self.expire_round();
            (looked_at, expired, rounds) = (looked_at + round, expired + gone, rounds + 1);
            if gone * 10 <= round {
                break;
            }
            if rounds.is_multiple_of(LOOK_EVERY) && now_nanos() - start > limit_nanos {
                self.walk.unfinished = true;
                break;
            }
        }
        let stale = if looked_at == 0 { 0.0 } else { expired as f64 / looked_at as f64 };
        self.walk.stale = 0.05 * stale + 0.95 * self.walk.stale;
    }

    /// Looks at some keys; how many, and how many of them were expired.
    fn expire_round(&mut self) -> (u64, u64) {
        let (mut looked_at, mut expired) = (0, 0);
        while looked_at < KEYS_PER_ROUND.min((self.volatile_len() + expired) as u64)
            && self.volatile_len() > 0
        {
            self.walk.place = self.walk.place.wrapping_add(GOLDEN);
            let place = (u128::from(self.walk.place) * self.volatile_len() as u128) >> 64;
            expired += usize::from(self.expire_at(place as usize));
            looked_at += 1;
        }
        (looked_at, expired as u64)
    }
}
