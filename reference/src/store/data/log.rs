//! What was changed since the copies of the store were told.

use super::Data;

/// What was changed.
#[derive(Debug, Default)]
pub(in crate::store) struct Log {
    /// Everything was removed, before the keys below were changed.
    pub(in crate::store) cleared: bool,
    pub(in crate::store) keys: Vec<Box<[u8]>>,
}

impl Data {
    /// Notes that copies must be told of a key.
    #[inline]
    pub(super) fn note(&mut self, slot: u32) {
        if let Some(log) = self.log.as_mut() {
            log.keys.push(self.slots[slot as usize].record.key().into());
        }
    }

    /// From now on what changes is noted.
    pub(in crate::store) fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// It is not any more.
    pub(in crate::store) fn drop_log(&mut self) {
        self.log = None;
    }

    /// What was changed since the last time, if anything was.
    pub(in crate::store) fn take_log(&mut self) -> Option<Log> {
        let log = self.log.as_mut().filter(|log| log.cleared || !log.keys.is_empty())?;
        Some(std::mem::take(log))
    }

    /// Notes all that stood and does not any more.
    pub(in crate::store) fn log_taken(&mut self) {
        let Some(log) = self.log.as_mut() else { return };
        self.standing.iter().for_each(|standing| standing.taken(|key| log.keys.push(key.into())));
    }
}
