//! What records take of memory, as Redis would count it: that is what a limit of memory means, whatever they really take here.

use scenarios::memory;

use super::{Data, NOT_VOLATILE};
use crate::store::fields::Fields;
use crate::store::record::{Content, Value};

/// About what Redis moves in a millisecond (`incrementallyRehash`).
const BUCKETS_PER_ROUND: usize = 10_000;

impl Data {
    /// Accounted memory in bytes.
    #[inline]
    pub(crate) fn memory(&self) -> u64 {
        self.records_bytes + self.tables_bytes[0] + self.tables_bytes[1]
    }

    /// That of the dictionaries' tables.
    pub(crate) fn tables_bytes(&self) -> u64 {
        self.tables_bytes[0] + self.tables_bytes[1]
    }

    /// What a record takes of memory, as Redis would count it.
    pub(in crate::store) fn bytes(&self, slot: u32) -> u64 {
        let at = self.slot(slot);
        let has_lifetime = at.volatile_at != NOT_VOLATILE;
        let name = at.record.key().len() as u64;
        match at.record.content() {
            // Redis keeps whole numbers in the object itself.
            Content::String(Value::Bytes(bytes)) if is_number(bytes) => {
                memory::record_bytes(name, 0, has_lifetime) - 16
            }
            Content::String(value) => memory::record_bytes(name, value.len() as u64, has_lifetime),
            Content::Hash => {
                let fields = self.hashes.get(&slot).map_or(0, Fields::bytes);
                memory::record_bytes(name, 0, has_lifetime) - 32 + fields
            }
        }
    }

    /// Lets the tables of the dictionaries that Redis would have grow with what is in them, though past the limit of
    /// memory only where they are crowded.
    pub(super) fn note_tables(&mut self) {
        for (table, keys) in [(0, self.len()), (1, self.volatile.len() as u64)] {
            if keys <= self.tables_bytes[table] / 8 {
                continue;
            }
            let grown = memory::table_bytes(keys);
            let fits = self.limits.max_memory.is_none_or(|limit| self.memory() + grown <= limit);
            let crowded = keys as f64 > memory::MOST_LOAD * (self.tables_bytes[table] / 8) as f64;
            if fits || crowded {
                self.tables_bytes[table] = grown;
            }
        }
    }

    /// Lets the table of the keys with a TTL have as many buckets as that of Redis, sooner or later.
    pub(super) fn approach_tables(&mut self, by: usize) {
        self.volatile.approach(self.tables_bytes[1] / 8, by);
    }

    /// Lets tables shrink of which less than a tenth is used (server.c: `tryResizeHashTables`), and goes on with it.
    pub(in crate::store) fn shrink_tables(&mut self) {
        for (table, keys) in [(0, self.len()), (1, self.volatile.len() as u64)] {
            if keys < self.tables_bytes[table] / 8 / 10 {
                self.tables_bytes[table] = memory::table_bytes(keys.max(1)).min(self.tables_bytes[table]);
            }
        }
        self.approach_tables(BUCKETS_PER_ROUND);
    }

    /// Redis's name of how it would keep what a slot holds.
    pub(in crate::store) fn encoding(&self, slot: u32) -> &'static str {
        match self.content(slot) {
            Content::String(Value::Bytes(bytes)) if is_number(bytes) => "int",
            Content::String(value) if value.len() <= 44 => "embstr",
            Content::String(_) => "raw",
            Content::Hash => self.hashes.get(&slot).map_or("listpack", Fields::encoding),
        }
    }
}

/// Whether Redis would keep it as a number: decimal, canonical, within 64 bits.
fn is_number(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else { return false };
    (*first == b'-' || first.is_ascii_digit())
        && bytes.len() <= 20
        && std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| Some(text.parse::<i64>().ok()?.to_string() == text))
            .unwrap_or(false)
}
