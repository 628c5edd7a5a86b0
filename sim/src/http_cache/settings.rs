//! What an HTTP cache is told: how much it may hold, and what becomes of objects after their TTL.

/// Varnish's `struct object` on a 64-bit machine (`storage_simple.h`, `tbl/obj_attr.h`).
const OBJECT_BYTES: u64 = 120;

/// A cache's settings, by Varnish's names for them where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size of its storage, as in `-s malloc,4G`. Varnish takes about a kilobyte more per object outside it.
    pub memory_bytes: u64,
    /// What an object takes beside its body: Varnish's own structure, and the headers.
    pub head_bytes: u64,
    /// `lru_interval`: how long an object stays where it is in the list after it was moved.
    pub lru_interval_nanos: u64,
    /// `nuke_limit`: how many objects may be evicted for one.
    pub nuke_limit: u32,
    /// `fetch_chunksize`: a piece of a body this small is worth an eviction.
    pub chunk_bytes: u64,
    /// `shortlived`: an object whose TTL, grace and keep are together below this is kept outside the storage.
    pub shortlived_nanos: u64,
    /// Whether who finds an object being fetched waits for it (not `hash_ignore_busy`).
    pub coalesce: bool,
}

impl Settings {
    /// Varnish's defaults for a storage of this size, for answers with so many bytes of headers.
    pub fn varnish(memory_bytes: u64, header_bytes: u64) -> Self {
        Self {
            memory_bytes,
            head_bytes: OBJECT_BYTES + header_bytes.next_multiple_of(8),
            lru_interval_nanos: 2_000_000_000,
            nuke_limit: 50,
            chunk_bytes: 16 << 10,
            shortlived_nanos: 10_000_000_000,
            coalesce: true,
        }
    }
}

/// What becomes of an object after its TTL. A cache has a table of these; objects name theirs by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// How long it may be served stale.
    pub grace_nanos: u64,
    /// How long it is kept after that, for a conditional fetch.
    pub keep_nanos: u64,
}
