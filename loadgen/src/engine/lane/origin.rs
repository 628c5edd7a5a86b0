//! Where users come from: a request goes over a connection that was opened from its user's address.
//!
//! A connection stays with the address that it was opened from. A user's next request takes it again where it is still there; a user
//! with another address has the one that was free the longest, which is closed and opened again from there.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use super::{Lane, remove};
use crate::engine::slot::{NONE, Phase};
use crate::engine::traffic::Due;
use crate::engine::transport::Transport;

impl<T: Transport> Lane<'_, T> {
    /// The address that a request has to come from, where that matters.
    #[inline]
    pub(super) fn source_of(&self, due: &Due) -> Option<Ipv4Addr> {
        let matters = self.traffic[due.planned.traffic.index()].addressed;
        if matters { self.users.source(due.user) } else { None }
    }

    /// Hands a request to a slot whose connection comes from its user's address, else to one that is opened from there, else to the
    /// queue.
    pub(super) fn dispatch_from(&mut self, source: Ipv4Addr, due: Due, now: u64) {
        let number = due.planned.traffic.index();
        match self.held_for(due.user).or_else(|| self.free_for(number, source)) {
            Some(slot) => self.send_from(slot, source, due, now),
            None => self.traffic[number].queue.push_back(due),
        }
    }

    /// Hands a request to a slot, whose connection is replaced where it comes from elsewhere.
    pub(super) fn send_from(&mut self, index: u32, source: Ipv4Addr, due: Due, now: u64) {
        if self.slots[index as usize].source != Some(source) {
            self.transport.close(index);
            self.without_socket(index);
            let slot = &mut self.slots[index as usize];
            if let Some(before) = slot.source.replace(source)
                && self.origins.get(&before) == Some(&index)
            {
                self.origins.remove(&before);
            }
            self.transport.come_from(index, source);
        }
        self.dispatch_over(index, due, now);
    }

    /// A slot that is nobody's, taken out of its list: one whose connection comes from this address, or any.
    fn free_for(&mut self, number: usize, source: Ipv4Addr) -> Option<u32> {
        let is_free = |index: &u32| {
            let slot = &self.slots[*index as usize];
            (slot.traffic, slot.phase, slot.source, slot.holder) == (number, Phase::Idle, Some(source), NONE)
        };
        let known = self.origins.get(&source).copied().filter(is_free);
        let traffic = &mut self.traffic[number];
        match known {
            Some(slot) => {
                remove(&mut traffic.idle, slot);
                Some(slot)
            }
            None => {
                let lists = [&mut traffic.idle, &mut traffic.opening, &mut traffic.closed];
                lists.into_iter().find_map(VecDeque::pop_front)
            }
        }
    }

    /// A connected slot waits for a request.
    #[inline]
    pub(super) fn note_origin(&mut self, index: u32) {
        if let Some(source) = self.slots[index as usize].source {
            self.origins.insert(source, index);
        }
    }
}
