//! What was changed since the copies of the store were told.

use std::collections::HashMap;

use super::Data;

/// Keys of which clients want to know whether they change (`WATCH`).
#[derive(Debug, Default)]
pub(in crate::store) struct Watched(HashMap<Box<[u8]>, Watch>);

#[derive(Debug, Default)]
struct Watch {
    /// How often the key was changed since somebody watched.
    changes: u64,
    watchers: usize,
}

impl Watched {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cold]
    fn note(&mut self, key: &[u8]) {
        if let Some(watch) = self.0.get_mut(key) {
            watch.changes += 1;
        }
    }

    /// Everything was changed.
    pub(super) fn note_all(&mut self) {
        self.0.values_mut().for_each(|watch| watch.changes += 1);
    }

    /// Begins to watch a key; how often it was changed.
    pub(in crate::store) fn watch(&mut self, key: &[u8]) -> u64 {
        let watch = self.0.entry(key.into()).or_default();
        watch.watchers += 1;
        watch.changes
    }

    /// How often a watched key was changed.
    pub(in crate::store) fn changes(&self, key: &[u8]) -> u64 {
        self.0.get(key).map_or(0, |watch| watch.changes)
    }

    /// One watcher less.
    pub(in crate::store) fn unwatch(&mut self, key: &[u8]) {
        if let Some(watch) = self.0.get_mut(key) {
            watch.watchers -= 1;
            if watch.watchers == 0 {
                self.0.remove(key);
            }
        }
    }
}

/// What was changed.
#[derive(Debug, Default)]
pub(in crate::store) struct Log {
    /// Everything was removed, before the keys below were changed.
    pub(in crate::store) cleared: bool,
    pub(in crate::store) keys: Vec<Box<[u8]>>,
}

impl Data {
    /// Notes that a key is about to change, or has just come: copies must be told of it.
    #[inline]
    pub(super) fn note(&mut self, slot: u32) {
        if !self.watched.is_empty() {
            self.watched.note(self.slots[slot as usize].record.key());
        }
        if self.moment.is_some() {
            self.keep_for_moment(slot);
        }
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
