//! Least recently used, by a clock that ticks in seconds and has 24 bits (server.h: `LRU_BITS`, `LRU_CLOCK_RESOLUTION`;
//! evict.c: `estimateObjectIdleTime`). Keys used within one second tie, and of those the pool keeps the first it saw.

use crate::kv_store::dict::Entry;

const BITS: u32 = 24;
const MOST: u32 = (1 << BITS) - 1;
const RESOLUTION_NANOS: u64 = 1_000_000_000;

/// The clock's reading.
#[inline]
pub(super) fn clock(nanos: u64) -> u32 {
    (nanos / RESOLUTION_NANOS) as u32 & MOST
}

/// For how many milliseconds the key was not used.
#[inline]
pub(super) fn score(entry: &Entry, nanos: u64) -> u64 {
    let clock = clock(nanos);
    let ticks = if clock >= entry.used { clock - entry.used } else { clock + (MOST - entry.used) };
    u64::from(ticks) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idleness_is_in_whole_seconds_and_survives_the_clocks_turn() {
        let entry = |nanos| Entry::new(1, Entry::NEVER, 0, clock(nanos));
        assert_eq!(score(&entry(1_999_999_999), 2_000_000_000), 1_000);
        assert_eq!(score(&entry(2_000_000_000), 2_999_999_999), 0);
        let turn = 1_000_000_000 << BITS;
        assert_eq!(
            score(&entry(turn - 2_000_000_000), turn + 3_000_000_000),
            4_000,
            "Redis is one tick short here"
        );
    }
}
