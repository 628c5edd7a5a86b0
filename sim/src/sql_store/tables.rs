//! Where rows are: which page of its table has a key's row.

use super::buffer_pool::{BufferPool, Settings};

/// Nanoseconds in the buffer pool's unit of time.
const MILLI_NANOS: u64 = 1_000_000;

/// A buffer pool, and where each table's rows are.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) contents: BufferPool,
    pub(crate) settings: Settings,
    /// How many pages each keyspace's table has.
    pub(crate) pages: Vec<u64>,
}

impl Pool {
    /// Reads the page of a key; whether it was in memory. Popular rows are spread over the table as if by chance: keys are
    /// numbered by popularity, rows are stored by something else.
    pub(crate) fn touch(&mut self, keyspace: u16, key: u64, now: u64) -> bool {
        let pages = self.pages[usize::from(keyspace)];
        let place = (u128::from(scatter(key)) * u128::from(pages)) >> 64;
        let name = u64::from(keyspace) << 48 | place as u64;
        self.contents.access(name, (now / MILLI_NANOS) as u32)
    }
}

/// A key as a well mixed number (SplitMix64's finaliser).
fn scatter(key: u64) -> u64 {
    let z = (key ^ (key >> 30)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
