//! Least frequently used: a counter of 8 bits that grows ever less likely and falls by one each minute, beside 16 bits
//! with the minute in which it was last used (evict.c: `LFULogIncr`, `LFUDecrAndReturn`; db.c: `updateLFU`), with the
//! defaults of redis.conf: `lfu-log-factor 10`, `lfu-decay-time 1`.

use scenarios::rng::Stream;

use crate::kv_store::dict::Entry;

/// What a new key starts with, so that it can gather accesses before it goes (server.h: `LFU_INIT_VAL`).
const INITIAL: u32 = 5;
const LOG_FACTOR: u32 = 10;
const DECAY_NANOS: u64 = 60_000_000_000;
const MINUTES: u32 = 0xffff;

fn minutes(nanos: u64) -> u32 {
    (nanos / DECAY_NANOS) as u32 & MINUTES
}

#[inline]
pub(super) fn created(nanos: u64) -> u32 {
    minutes(nanos) << 8 | INITIAL
}

/// The counter as it stands after the minutes since the last use.
#[inline]
fn decayed(used: u32, now: u32) -> u32 {
    let last = used >> 8;
    let elapsed = if now >= last { now - last } else { MINUTES - last + now };
    (used & 0xff).saturating_sub(elapsed)
}

#[inline]
pub(super) fn accessed(used: u32, nanos: u64, stream: &mut Stream) -> u32 {
    let now = minutes(nanos);
    let mut counter = decayed(used, now);
    if counter < 255 {
        let above = counter.saturating_sub(INITIAL);
        if stream.unit() * f64::from(above * LOG_FACTOR + 1) < 1.0 {
            counter += 1;
        }
    }
    now << 8 | counter
}

/// The higher, the less often it was used. Sampling looks at the decayed counter and leaves the key as it is.
#[inline]
pub(super) fn score(entry: &Entry, nanos: u64) -> u64 {
    u64::from(255 - decayed(entry.used, minutes(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::rng::Purpose;
    use scenarios::units::Seed;

    #[test]
    fn counters_grow_as_the_square_root_of_hits() {
        // A step from 5 + j takes 10 j + 1 hits on average, so n steps take 5 n² - 4 n.
        for (hits, expected, tolerance) in [(100, 9.9, 0.7), (1_000, 19.5, 0.7), (100_000, 146.8, 4.0)] {
            let runs = 40;
            let mut sum = 0;
            for run in 0..runs {
                let mut stream = Stream::new(Seed(7), Purpose::named("lfu-test"), run);
                let mut used = created(0);
                for _ in 0..hits {
                    used = accessed(used, 0, &mut stream);
                }
                sum += used & 0xff;
            }
            let mean = f64::from(sum) / runs as f64;
            assert!((mean - expected).abs() < tolerance, "{hits} hits: {mean}");
        }
    }

    #[test]
    fn each_minute_without_use_takes_one() {
        let entry = Entry::new(1, Entry::NEVER, 0, created(30_000_000_000));
        assert_eq!(score(&entry, 59_000_000_000), 250);
        assert_eq!(score(&entry, 60_000_000_000), 251);
        assert_eq!(score(&entry, 601_000_000_000), 255);
    }
}
