//! The fields of a hash, in the order of their names.

use std::collections::BTreeMap;

use scenarios::memory::allocated;

/// Redis keeps a hash as one packed list up to this many fields (`hash-max-listpack-entries`) …
const MOST_PACKED: usize = 128;
/// … of strings up to this long (`hash-max-listpack-value`).
const LONGEST_PACKED: usize = 64;

/// A hash.
#[derive(Debug, Default)]
pub(super) struct Fields {
    fields: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// What the strings take in a packed list, and what they take each by itself.
    packed: u64,
    apart: u64,
    /// Redis never packs a hash again.
    is_apart: bool,
}

/// A string in a packed list (listpack.c): its encoding and length, itself, its length again for reading backwards.
fn packed(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    length + if length < 64 { 1 } else { 2 } + if length < 126 { 1 } else { 2 }
}

/// A string of its own, as in [`scenarios::memory`].
fn apart(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    allocated(length + 1 + if length < 32 { 1 } else { 3 })
}

impl Fields {
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.get(name).map(|value| &**value)
    }

    /// Whether the field is new.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.packed += packed(value);
        self.apart += apart(value);
        self.is_apart |= value.len() > LONGEST_PACKED || name.len() > LONGEST_PACKED;
        if let Some(old) = self.fields.get_mut(name) {
            self.packed -= packed(old);
            self.apart -= apart(old);
            *old = value.into();
            return false;
        }
        self.packed += packed(name);
        // The entry of the dictionary and its bucket.
        self.apart += apart(name) + 32 + 8;
        self.fields.insert(name.into(), value.into());
        self.is_apart |= self.fields.len() > MOST_PACKED;
        true
    }

    /// Whether the field was there.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let Some(old) = self.fields.remove(name) else { return false };
        self.packed -= packed(&old) + packed(name);
        self.apart -= apart(&old) + apart(name) + 32 + 8;
        true
    }

    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Redis's name of how it would keep it.
    pub(super) fn encoding(&self) -> &'static str {
        if self.is_apart { "hashtable" } else { "listpack" }
    }

    /// What it takes of memory beside its name and its entry, as Redis would count it.
    pub(super) fn bytes(&self) -> u64 {
        // The object; then the list with its head of six bytes and its end of one, or the head of the dictionary.
        16 + if self.is_apart { 64 + self.apart } else { allocated(self.packed + 7) }
    }
}
