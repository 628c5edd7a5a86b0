//! Records that have fields.

use super::{Data, WrongType};
use crate::store::fields::Fields;
use crate::store::record::Content;

impl Data {
    /// The fields of a slot that holds a hash.
    pub(in crate::store) fn fields(&self, slot: u32) -> Option<&Fields> {
        self.hashes.get(&slot)
    }

    /// Changes the fields of a hash, which is made where there is none and removed where none is left.
    ///
    /// # Errors
    /// Where the key holds something else.
    pub(in crate::store) fn change_fields<T>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut Fields) -> T,
    ) -> Result<T, WrongType> {
        self.changes += 1;
        let slot = match self.find(key) {
            Some(slot) if self.hashes.contains_key(&slot) => {
                self.touch(slot);
                slot
            }
            Some(_) => return Err(WrongType),
            None => self.insert(key, Content::Hash),
        };
        self.note(slot);
        let old = self.bytes(slot);
        let fields = self.hashes.entry(slot).or_default();
        let result = change(fields);
        let is_empty = fields.len() == 0;
        let new = self.bytes(slot);
        self.records_bytes = self.records_bytes - old + new;
        if is_empty {
            self.remove_slot(slot);
        }
        Ok(result)
    }
}
