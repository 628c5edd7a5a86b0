//! Copies of a store: how far behind they are, when one takes over, and what that loses.
//!
//! Replication is asynchronous, as Redis's is (its documentation, "High availability with Redis Sentinel": acknowledged
//! writes can be lost): the copy that takes over has what the store had a lag before its death, or before its cable was
//! pulled. A store that hangs has sent all that it acknowledged, and that arrives (seen with two servers of redis 7.0.15,
//! the first stopped by SIGSTOP and the second promoted, over a wire that delays by 20 ms: none of 760 writes were lost, and
//! up to 30 where what was on the wire went too). A store that starts again
//! by itself has what is on its disk, which are its last snapshot or else its persistent keyspaces, and its copies follow it
//! in that. A copy that took over stays the store when the old machine comes back, which then is a copy.

use std::collections::VecDeque;

use scenarios::scenario::KvStore as Stated;

use super::contents::Contents;
use crate::event::Token;
use crate::fault::Effect;
use crate::instance::Kind;
use crate::world::World;

/// What a store has of copies.
#[derive(Debug)]
pub(crate) struct Replication {
    copies: u32,
    lag_nanos: u64,
    failover_nanos: Option<u64>,
    /// Writes of the last lag: when, the key by name (0 where it does not count in memory), and how many.
    recent: VecDeque<(u64, u64, u32)>,
    /// Since when nothing that it sent arrives.
    cut_since: Option<u64>,
    /// The end of the failover under way.
    failover: Token,
    /// Faults that last of machines that are no longer the store, and how many of those are being started again.
    forgiven: Vec<u32>,
    starting: u32,
    pub(super) failover_timer: u32,
    pub(super) lost_writes: u64,
    /// Keys written so far, fills included.
    pub(super) writes: u64,
}

impl Replication {
    pub(super) fn new(stated: &Stated, failover_timer: u32) -> Self {
        Self {
            copies: stated.replicas,
            lag_nanos: stated.replication_lag.as_nanos(),
            failover_nanos: stated.failover.map(|time| time.as_nanos()),
            recent: VecDeque::new(),
            cut_since: None,
            failover: Token::NONE,
            forgiven: Vec::new(),
            starting: 0,
            failover_timer,
            lost_writes: 0,
            writes: 0,
        }
    }

    pub(super) fn has_copies(&self) -> bool {
        self.copies > 0 || self.starting > 0 || !self.forgiven.is_empty()
    }

    /// Keeps writes in mind for as long as the copies may not have them.
    #[inline]
    pub(crate) fn note_writes(&mut self, now: u64, name: u64, count: u32) {
        self.writes += u64::from(count);
        if self.copies == 0 || count == 0 {
            return;
        }
        while self.recent.front().is_some_and(|(at, ..)| at + self.lag_nanos < now) {
            self.recent.pop_front();
        }
        self.recent.push_back((now, name, count));
    }

    /// The process died: what is left is what a copy has, or else what is on disk.
    pub(super) fn lose(&mut self, contents: &mut Contents, now: u64) {
        if self.copies == 0 {
            return contents.lose_all();
        }
        let last = self.cut_since.unwrap_or(now);
        for (at, name, count) in self.recent.drain(..) {
            if at + self.lag_nanos >= last {
                self.lost_writes += u64::from(count);
                contents.remove(name);
            }
        }
    }
}

impl World {
    fn replication(&mut self, at: u16) -> Option<&mut Replication> {
        let instance = &self.instances[usize::from(at)];
        (instance.kind == Kind::Store).then(|| &mut self.stores[usize::from(instance.index)].replication)
    }

    fn is_down(&self, at: u16) -> bool {
        let instance = &self.instances[usize::from(at)];
        instance.killed > 0 || instance.stopped > 0
    }

    /// A store has just broken, in a way that keeps it from answering: a copy takes over in a while.
    pub(crate) fn look_after_store(&mut self, at: u16) {
        let (down, now) = (self.is_down(at), self.now);
        let instance = &self.instances[usize::from(at)];
        let is_cut = instance.killed > 0 || instance.unplugged > 0;
        let Some(replication) = self.replication(at) else { return };
        replication.cut_since = is_cut.then(|| replication.cut_since.unwrap_or(now));
        match replication.failover_nanos {
            _ if !down => replication.failover = Token::NONE,
            Some(nanos) if replication.copies > 0 && replication.failover == Token::NONE => {
                let timer = replication.failover_timer;
                let token = self.events.schedule(now + nanos, timer);
                if let Some(replication) = self.replication(at) {
                    replication.failover = token;
                }
            }
            _ => {}
        }
    }

    /// The time of a failover has come: if the store still does not answer, a copy is the store from now on.
    pub(crate) fn fail_over(&mut self, at: u16, token: Token) {
        let down = self.is_down(at);
        let Some(replication) = self.replication(at) else { return };
        if replication.failover != token || !down {
            return;
        }
        replication.failover = Token::NONE;
        if self.instances[usize::from(at)].killed == 0 {
            // It hangs or cannot be reached: whoever waits for it sees the connection close. What a copy has is left.
            self.kill(at);
        }
        if let Some(replication) = self.replication(at) {
            replication.copies -= 1;
        }
        let stops = |effect| matches!(effect, Effect::Kill | Effect::Hang | Effect::Unplug);
        let faults = self.faults.0.iter().enumerate();
        let lasting = faults.filter(|(_, f)| f.on && stops(f.effect) && f.instances.contains(&at));
        let (forgiven, kills): (Vec<u32>, Vec<bool>) =
            lasting.map(|(index, f)| (index as u32, f.effect == Effect::Kill)).unzip();
        let kills = kills.into_iter().filter(|kill| *kill).count() as u32;
        let instance = &mut self.instances[usize::from(at)];
        let starting = instance.killed - kills;
        (instance.killed, instance.host_dead, instance.stopped, instance.unplugged) = (0, 0, 0, 0);
        if let Some(replication) = self.replication(at) {
            replication.starting += starting;
            replication.forgiven.extend(forgiven);
            replication.cut_since = None;
        }
        self.instances[usize::from(at)].note_up(self.now);
    }

    /// A fault is mended that hit a machine which is no longer the store: it is a copy then. Whether it was such a one.
    pub(crate) fn mends_old_store(&mut self, at: u16, fault: u32) -> bool {
        let Some(replication) = self.replication(at) else { return false };
        let Some(place) = replication.forgiven.iter().position(|f| *f == fault) else { return false };
        replication.forgiven.swap_remove(place);
        self.copy_comes_back(at);
        true
    }

    /// A process has started again; whether on a machine that is no longer the store.
    pub(crate) fn starts_old_store(&mut self, at: u16) -> bool {
        let Some(replication) = self.replication(at) else { return false };
        if replication.starting == 0 {
            return false;
        }
        replication.starting -= 1;
        self.copy_comes_back(at);
        true
    }

    fn copy_comes_back(&mut self, at: u16) {
        if let Some(replication) = self.replication(at)
            && replication.starting == 0
            && replication.forgiven.is_empty()
        {
            replication.copies += 1;
            // It gets everything anew: from a snapshot.
            self.fork_store(at);
        }
    }

    /// A process that died starts again: what it has is on its disk, and its copies follow it.
    pub(crate) fn restart_store(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        if instance.kind == Kind::Store && instance.killed == 1 {
            let store = &mut self.stores[usize::from(instance.index)];
            match store.saves.last() {
                Some(saved) => store.contents.load(saved, self.now),
                None => store.contents.lose_all(),
            }
        }
    }
}

/// So long for each gigabyte.
pub(super) fn gigabytes(bytes: u64, nanos_per_gb: u64) -> u64 {
    (bytes as f64 * 1e-9 * nanos_per_gb as f64) as u64
}
