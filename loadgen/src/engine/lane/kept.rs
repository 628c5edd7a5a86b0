//! Slots that are kept for a user's session, where connections are sessions' own.

use super::Lane;
use crate::engine::slot::{NONE, Phase};
use crate::engine::transport::Transport;

impl<T: Transport> Lane<'_, T> {
    /// The slot that is kept for a user's session.
    pub(super) fn held_for(&self, user: u32) -> Option<u32> {
        self.held.get(user as usize).copied().filter(|slot| *slot != NONE)
    }

    /// Keeps a slot for a user's session.
    pub(super) fn hold(&mut self, index: u32, user: u32) {
        if self.held.len() <= user as usize {
            self.held.resize(user as usize + 1, NONE);
        }
        self.held[user as usize] = index;
        self.slots[index as usize].holder = user;
    }

    /// A user's session is over, and the slot that was kept for it is free: its connection is closed.
    pub(super) fn release(&mut self, user: u32, now: u64) {
        let Some(index) = self.held_for(user) else { return };
        self.held[user as usize] = NONE;
        let slot = &mut self.slots[index as usize];
        slot.holder = NONE;
        if slot.phase != Phase::Closed {
            self.transport.close(index);
        }
        self.closed(index, now);
    }
}
