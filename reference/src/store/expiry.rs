//! Active expiry, by `activeExpireCycle` in expire.c of Redis 7.0 at its default effort: a slow cycle as often as `hz` says, and
//! fast ones between commands as long as the last one ended for want of time. (Redis also means to run them where more than a
//! tenth of the keys is expired, but compares a share with a percentage there, so that this never happens.)

use super::data::Data;
use crate::emulated::clock::now_nanos;

/// Keys looked at per round (`ACTIVE_EXPIRE_CYCLE_KEYS_PER_LOOP`), if so many are found in so many buckets each.
const KEYS_PER_ROUND: u64 = 20;
const BUCKETS_PER_KEY: u64 = 20;
/// Another round follows where more than so many percent, rounded down, were expired (`ACTIVE_EXPIRE_CYCLE_ACCEPTABLE_STALE`).
const ACCEPTABLE_STALE_PERCENT: u64 = 10;
/// A table with fewer keys than this for a hundred buckets is not walked along: it will shrink.
const SPARSEST_PERCENT: usize = 1;
/// Rounds between two looks at the clock.
const LOOK_EVERY: u64 = 16;
/// A quarter of the time (`ACTIVE_EXPIRE_CYCLE_SLOW_TIME_PERC`).
const SLOW_NANOS_A_SECOND: u64 = 250_000_000;
/// `ACTIVE_EXPIRE_CYCLE_FAST_DURATION`; there is as much pause again between two.
const FAST_NANOS: u64 = 1_000_000;

/// Where the cycles are.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The next bucket.
    bucket: usize,
    /// Whether the last cycle ended for want of time.
    unfinished: bool,
    /// When the last fast cycle began.
    fast_began: u64,
    /// What is used for one bucket after the other.
    slots: Vec<u32>,
}

impl Data {
    /// The slow cycle, of which there are so many a second.
    pub(crate) fn expire_cycle(&mut self, hz: u64) {
        if self.is_copy {
            return;
        }
        self.expire_for(now_nanos(), SLOW_NANOS_A_SECOND / hz);
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
        self.walk.unfinished = false;
        for round in 1.. {
            let keys = self.volatile_len();
            let buckets = self.volatile_buckets();
            // Four buckets are the fewest.
            if keys == 0 || buckets > 4 && keys * 100 / buckets < SPARSEST_PERCENT {
                return;
            }
            self.tick();
            let (seen, expired) = self.expire_round(KEYS_PER_ROUND.min(keys as u64));
            if round % LOOK_EVERY == 0 && now_nanos() - start > limit_nanos {
                self.walk.unfinished = true;
                return;
            }
            if seen > 0 && expired * 100 / seen <= ACCEPTABLE_STALE_PERCENT {
                return;
            }
        }
    }

    /// Looks at about so many keys; at how many, and how many of them were expired.
    fn expire_round(&mut self, wanted: u64) -> (u64, u64) {
        let (mut seen, mut expired) = (0, 0);
        let mut slots = std::mem::take(&mut self.walk.slots);
        for _ in 0..wanted * BUCKETS_PER_KEY {
            if self.walk.bucket >= self.volatile_buckets() {
                self.walk.bucket = 0;
            }
            let (here, gone) = self.expire_bucket(self.walk.bucket, &mut slots);
            (seen, expired) = (seen + here, expired + gone);
            self.walk.bucket += 1;
            if seen >= wanted {
                break;
            }
        }
        self.walk.slots = slots;
        (seen, expired)
    }
}
