//! The machines of one database: which of them a statement goes to, who is the master, and what it sends to the others.
//!
//! Whose turn it is to be the master is the virtual address's: `balancer::vip`.

use scenarios::law::DurationLaw;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Ratio;

use super::Statement;
use super::locks::Row;
use super::replication::Replication;
use crate::call::Phase;
use crate::instance::{Flow, Kind};
use crate::world::World;

const LAG: Purpose = Purpose::named("sim-replication-lag");
const REPLICA: Purpose = Purpose::named("sim-replica");
/// How long a client waits before it tries an address again that nobody holds: Linux's first retransmissions of a SYN.
const RETRY_NANOS: u64 = 1_000_000_000;

/// The instances of one component, of which one is the master.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) base: u16,
    pub(crate) count: u16,
    pub(crate) replicas: Option<Replicas>,
    /// Who was the master when last looked at.
    pub(crate) master: u16,
}

/// How reads are spread and how far replicas are behind.
#[derive(Debug)]
pub(crate) struct Replicas {
    pub(crate) reads: Ratio,
    pub(crate) lag: DurationLaw,
    pub(crate) state: Replication,
    pub(crate) drawn: u64,
}

impl World {
    /// The instance that a statement goes to: the master, or for some reads a replica.
    pub(super) fn route(&self, slot: u32, database: u16) -> u16 {
        let first = &self.instances[usize::from(database)];
        let group = &self.groups[usize::from(self.databases[usize::from(first.index)].group)];
        let master = self.holder(group.base);
        let Some(replicas) = &group.replicas else { return master };
        let call = &self.calls[slot];
        if self.statement(slot).locks {
            return master;
        }
        let mut stream = Stream::new(self.seed, REPLICA.of(u64::from(call.step)), call.id.0);
        if stream.unit() >= replicas.reads.get() {
            return master;
        }
        // A pool of connections leaves out a replica that it cannot reach.
        let alive: Vec<u16> = (group.base..group.base + group.count)
            .filter(|at| *at != master)
            .filter(|at| {
                self.instances[usize::from(*at)].killed == 0
                    && self.instances[usize::from(*at)].unplugged == 0
            })
            .collect();
        match alive.len() {
            0 => master,
            several => alive[stream.below(several as u64) as usize],
        }
    }

    /// A statement came to an instance that is dead. Behind a virtual address another one will have it soon.
    pub(super) fn address_without_holder(&mut self, slot: u32) -> Flow {
        let at = self.calls[slot].leaf;
        let call = &mut self.calls[slot];
        if self.instances[usize::from(at)].vip.is_none() || call.syns >= crate::connect::SYN_RETRIES {
            return Flow::Failed;
        }
        call.syns += 1;
        let first = self.group_of(at).base;
        let next = self.holder(first);
        self.calls[slot].leaf = next;
        self.wait_until(slot, self.now + RETRY_NANOS, Phase::ToSql);
        Flow::Suspended
    }

    pub(super) fn group_of(&self, at: u16) -> &Group {
        let index = self.instances[usize::from(at)].index;
        &self.groups[usize::from(self.databases[usize::from(index)].group)]
    }

    /// Sends what a statement has changed to the replicas.
    pub(super) fn replicate(&mut self, slot: u32, at: u16, statement: Statement) {
        let index = usize::from(self.instances[usize::from(at)].index);
        let group = usize::from(self.databases[index].group);
        if self.groups[group].replicas.is_none() {
            return;
        }
        let rows: Vec<Row> = self
            .draws
            .keys(self.calls[slot].id, self.keys[usize::from(statement.keyspace)].id)
            .take(statement.rows as usize)
            .map(|key| (statement.keyspace, key))
            .chain((statement.rows == 0).then(|| self.first_row(slot, statement.keyspace)))
            .collect();
        let (seed, now) = (self.seed, self.now);
        let Group { base, replicas: Some(replicas), .. } = &mut self.groups[group] else { return };
        for row in rows {
            replicas.drawn += 1;
            let drawn = replicas.drawn;
            let Replicas { lag, state, .. } = replicas;
            let purpose = LAG.of(u64::from(*base));
            state.commit(now, at - *base, row, |replica| {
                let mut stream = Stream::new(seed, purpose.of(u64::from(replica)), drawn);
                lag.sample(&mut stream).as_nanos()
            });
        }
    }

    /// A database has just broken or come back: whether what it sends to its replicas arrives.
    pub(crate) fn look_after_replicas(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        if instance.kind != Kind::Database || self.holder(self.group_of(at).base) != at {
            return;
        }
        let is_cut = instance.killed > 0 || instance.unplugged > 0;
        let group = usize::from(self.databases[usize::from(instance.index)].group);
        if let Some(replicas) = &mut self.groups[group].replicas {
            replicas.state.cut(self.now, is_cut);
        }
    }

    /// The virtual address of a database went to another instance: what that one never got is lost.
    pub(crate) fn new_master(&mut self, at: u16) {
        let index = usize::from(self.instances[usize::from(at)].index);
        let group = &mut self.groups[usize::from(self.databases[index].group)];
        group.master = at;
        let number = at - group.base;
        if let Some(replicas) = &mut group.replicas {
            self.databases[index].counts.lost_commits += replicas.state.promote(self.now, number);
        }
    }
}
