//! What a record of a key-value store takes of its memory, as Redis 7.0 on 64-bit Linux counts it (`used_memory`).
//!
//! Redis counts what its allocator hands out, so every piece is rounded up to a size class of jemalloc 5 (its manual's
//! table "Size classes": multiples of 16 up to 128 bytes, from there four classes to each doubling). A string record is:
//!
//! - its name, as an `sds`: a header of 1, 3, 5 or 9 bytes by length (sds.h), the bytes, a zero;
//! - its value: up to 44 bytes in one piece with the object's 16 bytes ("embstr": object.c), longer ones an object of 16
//!   bytes and an `sds` of their own;
//! - an entry of the dictionary: 24 bytes, so 32; and another in the dictionary of lifetimes where it has one (dict.h);
//! - its share of the dictionaries' tables: [`table_bytes`].
//!
//! Values are taken for text that is no number: Redis keeps whole numbers of up to 64 bits in the object itself. What a
//! server takes for itself before the first record, and for each client, is not counted here: about 0.9 MB and 20 kB.

/// The object header of a value (server.h: `robj`).
const OBJECT: u64 = 16;
/// The longest value that is kept in one piece with its object (object.c: `OBJ_ENCODING_EMBSTR_SIZE_LIMIT`).
const LONGEST_EMBEDDED: u64 = 44;
/// An entry of a dictionary (dict.h: `dictEntry`).
const ENTRY: u64 = 24;
/// A bucket of a dictionary's table.
const BUCKET: u64 = 8;
/// The least number of buckets (dict.h: `DICT_HT_INITIAL_SIZE`).
const FEWEST_BUCKETS: u64 = 4;

/// A table with more keys than this for each bucket grows even where memory forbids it (server.h:
/// `HASHTABLE_MAX_LOAD_FACTOR`).
pub const MOST_LOAD: f64 = 1.618;

/// The size class from which jemalloc serves a request for so many bytes.
#[inline]
#[must_use]
pub const fn allocated(bytes: u64) -> u64 {
    match bytes {
        0..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => {
            let spacing = 1 << ((bytes - 1).ilog2() - 2);
            bytes.next_multiple_of(spacing)
        }
    }
}

/// A string of so many bytes with its header and its zero.
const fn string(bytes: u64) -> u64 {
    let header = match bytes {
        0..32 => 1,
        32..256 => 3,
        256..65_536 => 5,
        _ => 9,
    };
    header + bytes + 1
}

/// What a record takes beside the dictionaries' tables, in bytes: for a name and a value of so many bytes, with a
/// lifetime or without.
///
/// # Examples
/// ```
/// // 16 for the name, 16 + 112 for the value, 32 for each dictionary.
/// assert_eq!(scenarios::memory::record_bytes(8, 100, true), 208);
/// ```
#[inline]
#[must_use]
pub const fn record_bytes(name: u64, value: u64, has_lifetime: bool) -> u64 {
    let value = if value <= LONGEST_EMBEDDED {
        allocated(OBJECT + 3 + value + 1)
    } else {
        allocated(OBJECT) + allocated(string(value))
    };
    let entries = if has_lifetime { 2 } else { 1 };
    allocated(string(name)) + value + entries * allocated(ENTRY)
}

/// What the table of a dictionary takes that grew to so many keys, in bytes: a bucket each for the next power of two
/// (dict.c: `_dictExpandIfNeeded`), none where it never had a key.
#[inline]
#[must_use]
pub const fn table_bytes(keys: u64) -> u64 {
    if keys == 0 {
        return 0;
    }
    let buckets = keys.next_power_of_two();
    allocated(BUCKET * if buckets < FEWEST_BUCKETS { FEWEST_BUCKETS } else { buckets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_jemallocs_manual() {
        let classes = [
            8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024,
            1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10_240, 12_288, 14_336,
            16_384, 20_480,
        ];
        for pair in classes.windows(2) {
            assert_eq!(allocated(pair[0]), pair[0]);
            assert_eq!(allocated(pair[0] + 1), pair[1]);
        }
    }

    #[test]
    fn records_take_what_a_real_server_counts() {
        // Growth of `used_memory` per key of redis-server 7.0.15 (jemalloc 5.3.0), 16,384 keys, tables subtracted.
        for (name, value, has_lifetime, measured) in MEASURED {
            assert_eq!(record_bytes(name, value, has_lifetime), measured, "name {name}, value {value}");
        }
    }

    /// Name and value in bytes, whether there is a lifetime, bytes a record.
    const MEASURED: [(u64, u64, bool, u64); 15] = [
        (8, 1, false, 80),
        (8, 1, true, 112),
        (8, 44, false, 112),
        (8, 45, false, 128),
        (8, 60, true, 160),
        (8, 100, true, 208),
        (8, 400, false, 512),
        (8, 3000, true, 3168),
        (8, 70_000, false, 81_984),
        (14, 100, true, 208),
        (15, 100, true, 224),
        (31, 44, false, 144),
        (40, 100, true, 240),
        (255, 44, false, 416),
        (300, 100, true, 512),
    ];
}
