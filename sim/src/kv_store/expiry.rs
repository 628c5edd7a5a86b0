//! Active expiry: what Redis does about keys that nobody asks for (expire.c, `activeExpireCycle`, at the default effort).
//!
//! Ten times a second a slow cycle looks at keys with a lifetime by twenties, bucket after bucket, and again while more
//! than a tenth of them had expired, for at most a quarter of the time. Where that time was not enough, fast cycles of a
//! millisecond follow before commands, at most every two milliseconds. (They are meant to follow also where more than a tenth
//! of the keys has expired, but 7.0.15 compares a share with a percentage there, so that they never do: a server says
//! `expired_stale_perc:29` and goes on with ten cycles a second.) Time is reckoned at a cost a bucket and a key.

use super::contents::Contents;

/// Between two slow cycles (redis.conf: `hz 10`).
pub const EXPIRY_NANOS: u64 = 100_000_000;
const KEYS_PER_LOOP: usize = 20;
const BUCKETS_PER_KEY: usize = 20;
const ACCEPTABLE_STALE_PERCENT: usize = 10;
const SLOW_LIMIT_NANOS: u64 = EXPIRY_NANOS / 4;
const FAST_LIMIT_NANOS: u64 = 1_000_000;
/// Between the starts of two fast cycles.
const FAST_EVERY_NANOS: u64 = 2 * FAST_LIMIT_NANOS;
/// Loops between two looks at the clock.
const LOOPS_PER_LOOK: u32 = 16;
/// What a key's removal takes and what a look at a bucket takes, about, on present processors.
const REMOVAL_NANOS: u64 = 1_000;
const BUCKET_NANOS: u64 = 20;
/// Buckets that `dictRehashMilliseconds` moves, about: it stops once the millisecond has turned twice.
const MOVED_PER_TICK: u64 = 12_000;

/// What the cycles remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Cycle {
    /// The next bucket.
    cursor: usize,
    /// The last cycle had to stop before it was done.
    out_of_time: bool,
    last_fast: u64,
    ticks: u64,
    /// Places of a bucket's keys.
    chain: Vec<u32>,
}

impl Contents {
    /// What the server does ten times a second: active expiry, and the upkeep of tables. Returns the time it took.
    pub fn tick(&mut self, now: u64) -> u64 {
        // A followed key stands for others, which the cycle would have had to look at as well.
        self.cycle.ticks += 1;
        let turn = self.cycle.ticks.is_multiple_of(self.one_in);
        let took = if turn { self.expire_some(now, SLOW_LIMIT_NANOS) } else { 0 };
        self.evictable.shrink_if_sparse();
        self.evictable.move_buckets((MOVED_PER_TICK / self.one_in) as usize);
        self.other_table.shrink_if_sparse();
        self.other_table.move_buckets(MOVED_PER_TICK);
        took
    }

    /// What the server does before it sleeps. Returns the time it took.
    #[inline]
    pub fn expire_before_sleep(&mut self, now: u64) -> u64 {
        let cycle = &mut self.cycle;
        if !cycle.out_of_time || now < cycle.last_fast + FAST_EVERY_NANOS * self.one_in {
            return 0;
        }
        cycle.last_fast = now;
        self.expire_some(now, FAST_LIMIT_NANOS)
    }

    fn expire_some(&mut self, now: u64, limit_nanos: u64) -> u64 {
        self.cycle.out_of_time = false;
        let (mut total_expired, mut took, mut loops) = (0, 0, 0);
        loop {
            loops += 1;
            let keys = self.evictable.len();
            // A table that is nearly empty shrinks first.
            if keys == 0 || keys * 100 < self.evictable.buckets() && self.evictable.buckets() > 4 {
                break;
            }
            let wanted = keys.min(KEYS_PER_LOOP);
            let (mut seen, mut expired, mut buckets) = (0, 0, 0);
            while seen < wanted && buckets < wanted * BUCKETS_PER_KEY {
                for table in 0..2 {
                    let Some(mask) = self.evictable.mask(table) else { break };
                    buckets += 1;
                    let mut chain = std::mem::take(&mut self.cycle.chain);
                    chain.clear();
                    chain.extend(self.evictable.chain(table, self.cycle.cursor & mask));
                    for &place in &chain {
                        if self.evictable.at(place).expires < now {
                            self.drop_evictable(place);
                            expired += 1;
                        }
                        seen += 1;
                    }
                    self.cycle.chain = chain;
                }
                self.cycle.cursor = self.cycle.cursor.wrapping_add(1);
            }
            total_expired += expired;
            took += buckets as u64 * BUCKET_NANOS + expired as u64 * REMOVAL_NANOS;
            if loops % LOOPS_PER_LOOK == 0 && took > limit_nanos {
                self.cycle.out_of_time = true;
                break;
            }
            // In whole percents, rounded down.
            if seen > 0 && expired * 100 / seen <= ACCEPTABLE_STALE_PERCENT {
                break;
            }
        }
        self.counts.expired += total_expired as u64 * self.one_in;
        took
    }
}
