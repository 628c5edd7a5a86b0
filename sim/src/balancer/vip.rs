//! A virtual address that one of several instances holds, by VRRP's rules as Keepalived follows them.
//!
//! The first instance that is alive is to hold it. A holder that falls silent (its machine is dead, its cable out, or it hangs) is
//! missed after three advertisements and a skew of (256 − priority) / 256 of one (RFC 5798, section 6.1; Keepalived's usual
//! priority of a passive instance is 100). A holder whose process alone died notices that by its own check, gives the
//! address up by an advertisement of priority zero, and a passive one follows after the skew. Advertisements are taken to be
//! the instance's own: where a process beside it sends them, as Keepalived does, a hung one would keep its address. An earlier instance that comes back takes the address over again after the same three
//! advertisements, unless told not to. Whoever had a connection to the holder before sees it break.

use scenarios::rng::{Purpose, Stream};

use crate::call::CHECK;
use crate::event::Token;
use crate::instance::Kind;
use crate::world::World;

/// When within its interval the advertisement, or the check, before a failure came.
const PHASE: Purpose = Purpose::named("sim-vip-phase");
/// Advertisements that are missed before the holder is (RFC 5798: Master_Down_Interval).
const MISSED: u64 = 3;
/// (256 − 100) / 256: the skew of a passive instance, in advertisements.
const SKEW: f64 = 156.0 / 256.0;

#[derive(Debug)]
pub(crate) struct Vip {
    /// The first instance, and how many there are.
    pub(crate) base: u16,
    pub(crate) count: u16,
    pub(crate) holder: u16,
    pub(crate) advertise: u64,
    pub(crate) check: u64,
    pub(crate) preempt: bool,
    pub(crate) timer: u32,
    /// The takeover that is coming, and who it makes the holder.
    pub(crate) coming: Option<(Token, u16)>,
    /// How often something happened to it: each draws a phase of its own.
    pub(crate) changes: u64,
}

impl World {
    /// The instance that a new connection to `at` leads to: itself, or the holder of its virtual address.
    #[inline]
    pub(crate) fn holder(&self, at: u16) -> u16 {
        match self.instances[usize::from(at)].vip {
            None => at,
            Some(vip) => self.vips[usize::from(vip)].holder,
        }
    }

    /// Something happened to an instance: who is to hold its address, if it has one?
    pub(crate) fn look_after_vip(&mut self, at: u16) {
        let Some(vip) = self.instances[usize::from(at)].vip else { return };
        let index = usize::from(vip);
        let Vip { base, count, holder, advertise, check, preempt, changes, .. } = self.vips[index];
        let alive = |at: &u16| {
            let instance = &self.instances[usize::from(*at)];
            instance.killed == 0 && instance.stopped == 0
        };
        let holds = alive(&holder);
        let next = if holds && !preempt { Some(holder) } else { (base..base + count).find(alive) };
        let instance = &self.instances[usize::from(holder)];
        let silent = instance.stopped > 0 || instance.host_dead > 0;
        let vip = &mut self.vips[index];
        let Some(next) = next.filter(|next| *next != holder) else {
            vip.coming = None;
            return;
        };
        if vip.coming.is_some_and(|(_, coming)| coming == next) {
            return;
        }
        vip.changes += 1;
        let phase = Stream::new(self.seed, PHASE.of(index as u64), changes).unit();
        let skew = (SKEW * advertise as f64) as u64;
        let wait = if holds {
            MISSED * advertise + skew
        } else if silent {
            // The last advertisement came a part of an interval ago.
            MISSED * advertise + skew - (phase * advertise as f64) as u64
        } else {
            (phase * check as f64) as u64 + skew
        };
        let token = self.events.schedule(self.now + wait, vip.timer);
        self.vips[index].coming = Some((token, next));
    }

    /// The address goes to its next holder.
    pub(crate) fn take_over(&mut self, index: u32, token: Token) {
        let vip = &mut self.vips[index as usize];
        let Some((_, next)) = vip.coming.filter(|(coming, _)| *coming == token) else { return };
        let before = vip.holder;
        self.lose_connections(before);
        self.pools.lose_to(before);
        let vip = &mut self.vips[index as usize];
        (vip.holder, vip.coming) = (next, None);
        // The new holder knows nothing of these connections and resets them.
        for slot in self.calls.slots_where(|c| c.at == before && c.has_arrived() && c.parent != CHECK) {
            self.break_off(slot);
        }
        if self.instances[usize::from(next)].kind == Kind::Database {
            self.new_master(next);
        }
        self.look_after_vip(next);
    }
}
