//! InnoDB's buffer pool: which pages of a database are in memory.
//!
//! The list is one LRU list with a midpoint. A page that is read comes in at the midpoint, the head of the *old* part
//! (`innodb_old_blocks_pct`, 37% of the list), and must earn its place in the young part: by an access at least
//! `innodb_old_blocks_time` (1 s) after its first. A young page moves to the list's head only when it has sunk into
//! the farther three quarters of the young part, told by the number of evictions since it was last put there. A scan
//! therefore cannot wash out what is used, and hot pages are not moved on every access.
//!
//! Sources: MariaDB 10.11 and MySQL 8.0, `storage/innobase/buf/buf0lru.cc` (`buf_LRU_add_block`,
//! `buf_LRU_old_adjust_len`, `buf_LRU_remove_block`, `buf_LRU_get_free_block`), `include/buf0buf.inl`
//! (`buf_page_peek_if_young`, `buf_page_peek_if_too_old`) and `buf/buf0flu.cc` (`need_LRU_eviction`,
//! `buf_flush_LRU_list_batch`: the page cleaner keeps a reserve of free pages, which hold nothing).
//!
//! Not in the model: dirty pages, which must be written before they are evicted; read-ahead, which point reads do not
//! set off; pages that are in use at the instant of eviction. Inner pages of an index are so much more used than its
//! leaves that they count as always resident: a point read touches one leaf, or two ([`leaves_of_row`]).

use crate::ids::Ids;

/// InnoDB's page, as it comes: `innodb_page_size`.
pub const PAGE_BYTES: u64 = 16 << 10;
/// `BUF_LRU_OLD_MIN_LEN`: a shorter list has no midpoint.
const MIDPOINT_FROM: u32 = 512;
/// `BUF_LRU_OLD_TOLERANCE`: how far the midpoint may be off before it is moved.
const TOLERANCE: u32 = 20;
/// `BUF_LRU_NON_OLD_MIN_LEN`.
const LEAST_YOUNG: u32 = 5;
/// `BUF_LRU_OLD_RATIO_DIV`: the old part's share is kept in 1024ths.
const RATIO_UNIT: u32 = 1024;
/// `BUF_LRU_MIN_LEN`: the page cleaner does not start on a shorter list; once it has, it goes on down to 5% of the pool.
const CLEANER_FROM: u32 = 256;
const NONE: u32 = u32::MAX;

/// The settings of a buffer pool; [`Settings::with_pages`] has the defaults of MariaDB and MySQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Pages in the pool that can hold data (`innodb_buffer_pool_size` / 16 KiB, less what locks and the like take).
    pub pages: u32,
    /// `innodb_old_blocks_pct`: the old part's share of the list, in percent (5 to 95).
    pub old_percent: u32,
    /// `innodb_old_blocks_time`, in milliseconds: how long after its first access a page in the old part may earn its
    /// place in the young one; zero makes the first access after the read count.
    pub old_millis: u32,
    /// `innodb_lru_scan_depth`: the page cleaner frees pages up to this reserve whenever less than half of it is left.
    /// Zero for none, as if each read made room for itself.
    pub free_reserve: u32,
}

impl Settings {
    /// The defaults of MariaDB 10.11 for a pool of so many pages.
    pub fn with_pages(pages: u32) -> Self {
        Self { pages, old_percent: 37, old_millis: 1000, free_reserve: 1536 }
    }
}

/// The leaves of a primary key that a read of one row touches, where each leaf has so many rows and rows are counted
/// from zero: its own, but two where the row is its leaf's first or last. The search goes down to the last entry *below*
/// the key (`PAGE_CUR_L` for the levels above the leaves, `btr_cur_nonleaf_mode`), so a first row is found by way of the
/// leaf before; from a last row MariaDB 10.11 looks on into the leaf after, as its `Innodb_buffer_pool_read_requests` and
/// `INNODB_BUFFER_PAGE` show for single statements on a table of 15 rows a leaf.
pub fn leaves_of_row(row: u64, rows_per_leaf: u64) -> impl Iterator<Item = u64> {
    let (leaf, place) = (row / rows_per_leaf, row % rows_per_leaf);
    let before = (place == 0 && leaf > 0).then(|| leaf - 1);
    let after = (place + 1 == rows_per_leaf).then_some(leaf + 1);
    before.into_iter().chain([leaf]).chain(after)
}

/// A page in the pool: 32 bytes.
#[derive(Clone, Copy, Debug)]
struct Page {
    name: u64,
    /// Towards the list's head.
    younger: u32,
    /// Towards its end.
    older: u32,
    /// `access_time`: when it was first accessed, in milliseconds.
    accessed_millis: u32,
    /// `freed_page_clock`: how many pages had been evicted when it was last put at the head.
    clock: u32,
    old: bool,
}

/// What the pool has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accesses that found their page.
    pub hits: u64,
    /// Accesses that had to read it.
    pub misses: u64,
    /// Pages that moved from the old part to the head (`Innodb_buffer_pool_pages_made_young`).
    pub made_young: u64,
    /// Pages evicted.
    pub evictions: u64,
}

/// The pages in memory, and the rules by which they change. Pages have names, any 64 bits.
#[derive(Clone, Debug)]
pub struct BufferPool {
    settings: Settings,
    /// `LRU_old_ratio`, in 1024ths.
    ratio: u32,
    pages: Vec<Page>,
    /// Places in `pages` that hold nothing.
    vacant: Vec<u32>,
    ids: Ids,
    head: u32,
    tail: u32,
    len: u32,
    /// `LRU_old`: the first page of the old part; [`NONE`] while the list is short.
    midpoint: u32,
    old_len: u32,
    /// `freed_page_clock`.
    clock: u32,
    counts: Counts,
}

impl BufferPool {
    /// An empty pool.
    ///
    /// # Panics
    /// Where there are no pages, or the old part's share is not from 5% to 95%.
    pub fn new(settings: Settings) -> Self {
        assert!(settings.pages > 0, "a pool has pages");
        assert!((5..=95).contains(&settings.old_percent), "innodb_old_blocks_pct is from 5 to 95");
        Self {
            settings,
            ratio: settings.old_percent * RATIO_UNIT / 100,
            pages: Vec::new(),
            vacant: Vec::new(),
            ids: Ids::new(),
            head: NONE,
            tail: NONE,
            len: 0,
            midpoint: NONE,
            old_len: 0,
            clock: 0,
            counts: Counts::default(),
        }
    }

    /// How many pages are in the pool.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was counted since the pool was made, or since [`BufferPool::take_counts`].
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What was counted, which starts again from nothing.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Accesses a page at a time in milliseconds, reading it where it is not in the pool; whether it was. Times may not
    /// decrease, and wrap after 50 days, as InnoDB's do.
    pub fn access(&mut self, name: u64, now_millis: u32) -> bool {
        let pages = &self.pages;
        if let Some(id) = self.ids.find(name, |id| pages[id as usize].name == name) {
            self.counts.hits += 1;
            if self.too_old(id, now_millis) {
                self.counts.made_young += u64::from(self.pages[id as usize].old);
                self.unlink(id);
                self.add(id, false);
            }
            return true;
        }
        self.counts.misses += 1;
        self.make_room();
        let page =
            Page { name, younger: NONE, older: NONE, accessed_millis: now_millis, clock: 0, old: false };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.pages[id as usize] = page;
                id
            }
            None => {
                self.pages.push(page);
                self.pages.len() as u32 - 1
            }
        };
        self.ids.insert(name, id);
        self.add(id, true);
        false
    }

    /// `buf_page_peek_if_too_old`: whether an accessed page goes to the head.
    #[inline]
    fn too_old(&self, id: u32, now_millis: u32) -> bool {
        let page = &self.pages[id as usize];
        if self.clock == 0 {
            return false;
        }
        if self.settings.old_millis > 0 && page.old {
            return now_millis.wrapping_sub(page.accessed_millis) >= self.settings.old_millis;
        }
        let quarter =
            u64::from(self.settings.pages) * u64::from(RATIO_UNIT - self.ratio) / u64::from(RATIO_UNIT * 4);
        u64::from(self.clock) >= u64::from(page.clock) + quarter
    }

    /// Before a page is read. The page cleaner, which is another thread, is modelled as done at once.
    fn make_room(&mut self) {
        let reserve = self.settings.free_reserve;
        // The cleaner looks when the page was taken.
        if self.free() <= reserve / 2 && self.len > CLEANER_FROM {
            let least = (self.settings.pages / 20).saturating_sub(1).min(CLEANER_FROM);
            while self.free() < reserve && self.len > least {
                self.evict();
            }
        }
        if self.free() == 0 {
            self.evict();
        }
    }

    /// How many pages hold nothing.
    pub fn free(&self) -> u32 {
        self.settings.pages - self.len
    }

    fn evict(&mut self) {
        let id = self.tail;
        let name = self.pages[id as usize].name;
        self.unlink(id);
        self.ids.remove(name, id);
        self.vacant.push(id);
        self.clock += 1;
        self.counts.evictions += 1;
    }

    /// `buf_LRU_add_block`.
    fn add(&mut self, id: u32, old: bool) {
        if !old || self.len < MIDPOINT_FROM {
            self.link_after(id, NONE);
            self.pages[id as usize].clock = self.clock;
        } else {
            // After the first old page, so that the midpoint itself need not move.
            self.link_after(id, self.midpoint);
            self.old_len += 1;
        }
        if self.len > MIDPOINT_FROM {
            self.pages[id as usize].old = old;
            self.adjust();
        } else if self.len == MIDPOINT_FROM {
            self.divide();
        } else {
            self.pages[id as usize].old = false;
        }
    }

    /// `buf_LRU_old_init`: the list is long enough for a midpoint.
    fn divide(&mut self) {
        let mut at = self.head;
        while at != NONE {
            self.pages[at as usize].old = true;
            at = self.pages[at as usize].older;
        }
        self.midpoint = self.head;
        self.old_len = self.len;
        self.adjust();
    }

    /// `buf_LRU_old_adjust_len`: moves the midpoint until the old part's length is right within the tolerance.
    fn adjust(&mut self) {
        let wanted = ((u64::from(self.len) * u64::from(self.ratio) / u64::from(RATIO_UNIT)) as u32)
            .min(self.len - (TOLERANCE + LEAST_YOUNG));
        loop {
            if self.old_len + TOLERANCE < wanted {
                self.midpoint = self.pages[self.midpoint as usize].younger;
                self.old_len += 1;
                self.pages[self.midpoint as usize].old = true;
            } else if self.old_len > wanted + TOLERANCE {
                self.pages[self.midpoint as usize].old = false;
                self.midpoint = self.pages[self.midpoint as usize].older;
                self.old_len -= 1;
            } else {
                return;
            }
        }
    }

    /// Links a page in behind another, or at the head.
    fn link_after(&mut self, id: u32, before: u32) {
        let after = if before == NONE { self.head } else { self.pages[before as usize].older };
        let page = &mut self.pages[id as usize];
        (page.younger, page.older) = (before, after);
        match before {
            NONE => self.head = id,
            _ => self.pages[before as usize].older = id,
        }
        match after {
            NONE => self.tail = id,
            _ => self.pages[after as usize].younger = id,
        }
        self.len += 1;
    }

    /// `buf_LRU_remove_block`.
    fn unlink(&mut self, id: u32) {
        let Page { younger, older, old, .. } = self.pages[id as usize];
        match younger {
            NONE => self.head = older,
            _ => self.pages[younger as usize].older = older,
        }
        match older {
            NONE => self.tail = younger,
            _ => self.pages[older as usize].younger = younger,
        }
        self.len -= 1;
        if self.midpoint == id {
            self.midpoint = younger;
            self.pages[younger as usize].old = true;
            self.old_len += 1;
        }
        if self.len < MIDPOINT_FROM {
            if self.midpoint != NONE {
                let mut at = self.head;
                while at != NONE {
                    self.pages[at as usize].old = false;
                    at = self.pages[at as usize].older;
                }
                (self.midpoint, self.old_len) = (NONE, 0);
            }
            return;
        }
        self.old_len -= u32::from(old);
        self.adjust();
    }

    /// The process died: nothing is left. (A dump that is loaded at the start is not modelled.)
    pub fn lose_all(&mut self) {
        let counts = self.counts;
        *self = Self::new(self.settings);
        self.counts = counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool whose list is long enough for a midpoint, full of pages named from 0.
    fn full(pages: u32) -> BufferPool {
        let mut pool =
            BufferPool::new(Settings { pages, old_percent: 37, old_millis: 1000, free_reserve: 0 });
        for name in 0..u64::from(pages) {
            assert!(!pool.access(name, 0));
        }
        pool
    }

    fn check(pool: &BufferPool) {
        let (mut at, mut younger, mut len, mut old) = (pool.head, NONE, 0, 0);
        let mut in_old = false;
        while at != NONE {
            let page = &pool.pages[at as usize];
            assert_eq!(page.younger, younger);
            if at == pool.midpoint {
                in_old = true;
            }
            assert_eq!(page.old, in_old, "page {} at {len}", page.name);
            old += u32::from(page.old);
            len += 1;
            (younger, at) = (at, page.older);
        }
        assert_eq!((len, old, younger), (pool.len, pool.old_len, pool.tail));
        if len >= MIDPOINT_FROM {
            let wanted = i64::from(len) * i64::from(pool.ratio) / i64::from(RATIO_UNIT);
            assert!((i64::from(old) - wanted).abs() <= i64::from(TOLERANCE) + 1, "{old} old of {len}");
        }
    }

    #[test]
    fn the_old_part_stays_at_its_share_whatever_happens() {
        let mut pool = full(1000);
        let mut stream =
            scenarios::rng::Stream::new(scenarios::units::Seed(3), scenarios::rng::Purpose::named("test"), 0);
        for now in 0..20_000 {
            pool.access(stream.below(1500).min(stream.below(1500)), now);
            if now % 500 == 0 {
                check(&pool);
            }
        }
        check(&pool);
        assert!(pool.counts().made_young > 100, "{:?}", pool.counts());
    }

    #[test]
    fn a_scan_does_not_wash_out_what_is_used() {
        let mut pool = full(1000);
        // One eviction, or nothing is moved at all.
        pool.access(1_000_000, 0);
        for name in 900..1000 {
            assert!(pool.access(name, 2_000), "page {name} is resident");
        }
        for name in 2_000_000..2_010_000 {
            // Twice, as a scan reads row after row of a page.
            pool.access(name, 3_000);
            pool.access(name, 3_001);
        }
        assert!((900..1000).all(|name| pool.access(name, 3_002)), "hot pages outlive a scan of ten pools");
        check(&pool);
    }

    #[test]
    fn a_page_must_wait_a_second_in_the_old_part() {
        for (again, young) in [(999, 0), (1000, 1)] {
            let mut pool = full(1000);
            pool.access(5_000, 10_000);
            pool.take_counts();
            assert!(pool.access(5_000, 10_000 + again));
            assert_eq!(pool.counts().made_young, young, "accessed again after {again} ms");
        }
    }

    #[test]
    fn a_pool_that_never_evicted_moves_nothing() {
        let mut pool = BufferPool::new(Settings::with_pages(10_000));
        for name in 0..1000 {
            pool.access(name, 0);
        }
        let head = pool.head;
        pool.access(0, 5_000);
        assert_eq!(pool.head, head);
    }

    #[test]
    fn the_cleaner_keeps_a_reserve_of_free_pages() {
        let mut pool = BufferPool::new(Settings { free_reserve: 200, ..Settings::with_pages(2000) });
        let mut lengths = Vec::new();
        for name in 0..5_000 {
            pool.access(name, 0);
            lengths.push(pool.len());
        }
        assert_eq!(lengths.iter().max(), Some(&1900));
        assert_eq!(*lengths[2_500..].iter().min().expect("there are lengths"), 1801);
        check(&pool);
    }

    #[test]
    fn the_first_and_the_last_row_of_a_leaf_touch_its_neighbour_too() {
        let leaves = |row| leaves_of_row(row, 15).collect::<Vec<_>>();
        assert_eq!(leaves(0), [0]);
        assert_eq!(leaves(14), [0, 1]);
        assert_eq!(leaves(15), [0, 1]);
        assert_eq!(leaves(16), [1]);
        assert_eq!(leaves(29), [1, 2]);
    }

    #[test]
    fn a_short_list_is_a_plain_lru_list() {
        let mut pool =
            BufferPool::new(Settings { pages: 100, old_percent: 37, old_millis: 1000, free_reserve: 0 });
        for name in 0..101 {
            pool.access(name, 0);
        }
        assert!(!pool.access(0, 1), "the first page was evicted, the oldest");
    }
}
