//! Active expiry, by expire.c of Redis 7.0: a slow cycle ten times a second, and fast ones between commands as long as the
//! last one ended for want of time. (Redis also means to run them where more than a tenth of the keys is expired, but compares
//! a share with a percentage there, so that this never happens.)
//!
//! Like Redis along the buckets of its table, the cycles walk along the keys with a lifetime, which are in random order: what is
//! ahead has gone unseen for longest, so that they find more there than anywhere else would be.

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
/// Where the cycles are.
#[derive(Debug, Default)]
pub(super) struct Walk {
    place: usize,
    /// Whether the last cycle ended for want of time.
    unfinished: bool,
    /// When the last fast cycle began.
    fast_began: u64,
}

impl Data {
    /// The slow cycle.
    pub(crate) fn expire_cycle(&mut self) {
        if self.is_copy {
            return;
        }
        self.expire_for(now_nanos(), SLOW_NANOS);
    }

    /// The fast cycle, if one is needed and not too early.
    pub(crate) fn expire_briefly(&mut self) {
        if !self.walk.unfinished || self.is_copy {
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
        let mut rounds = 0_u64;
        self.walk.unfinished = false;
        loop {
            let (round, gone) = self.expire_round();
            rounds += 1;
            if gone * 10 <= round {
                break;
            }
            if rounds.is_multiple_of(LOOK_EVERY) && now_nanos() - start > limit_nanos {
                self.walk.unfinished = true;
                break;
            }
        }
    }

    /// Looks at some keys; how many, and how many of them were expired.
    fn expire_round(&mut self) -> (u64, u64) {
        let (mut looked_at, mut expired) = (0, 0);
        while looked_at < KEYS_PER_ROUND && looked_at < (self.volatile_len() + expired) as u64 {
            if self.walk.place >= self.volatile_len() {
                self.walk.place = 0;
            }
            // What takes the place of one that leaves has not been seen either.
            if self.volatile_len() > 0 && self.expire_at(self.walk.place) {
                expired += 1;
            } else {
                self.walk.place += 1;
            }
            looked_at += 1;
        }
        (looked_at, expired as u64)
    }
}
