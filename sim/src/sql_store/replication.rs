//! Asynchronous replication: what has been committed at the master and not yet applied at a replica.
//!
//! A replica applies commits in the order of the master (one applier: `replica_parallel_workers = 0`; a commit is
//! never applied before an earlier one), each at the earliest after its own drawn lag. The applier's work takes no
//! processor time. A read is stale where a row that it reads was committed and not applied when it began.
//!
//! What a replica has not applied when its master dies, or when the master's cable is pulled, does not arrive any more: a
//! commit is answered before any replica has it (MySQL 8.0 Reference Manual, "Semisynchronous Replication", on the
//! asynchronous kind). All of the lag is taken for the way, none for a relay log that waits. Where the same master comes
//! back, it goes on from there.

use std::collections::{BTreeMap, VecDeque};

use super::locks::Row;

/// A commit that waits to be applied at one replica.
#[derive(Clone, Copy, Debug)]
struct Pending {
    applied_at: u64,
    number: u64,
}

#[derive(Debug, Default)]
struct Replica {
    pending: VecDeque<Pending>,
    /// The last commit applied.
    applied: u64,
    /// Until when the last commit that is pending is applied.
    last_at: u64,
}

impl Replica {
    fn catch_up(&mut self, now: u64) {
        while let Some(next) = self.pending.front().filter(|next| next.applied_at <= now) {
            self.applied = next.number;
            self.pending.pop_front();
        }
    }
}

/// The commits of one group of instances.
#[derive(Debug)]
pub(crate) struct Replication {
    replicas: Vec<Replica>,
    commits: u64,
    /// The last commit of each row that some replica may lack, and those commits in order.
    latest: BTreeMap<Row, u64>,
    recent: VecDeque<(u64, Row)>,
    /// Since when nothing that the master sent arrives.
    cut_since: Option<u64>,
}

impl Replication {
    pub(crate) fn new(instances: u16) -> Self {
        let replicas = (0..instances).map(|_| Replica::default()).collect();
        Self { replicas, commits: 0, latest: BTreeMap::new(), recent: VecDeque::new(), cut_since: None }
    }

    /// The master is cut off from its replicas or dead now, or is back: what was on its way then is sent again.
    pub(crate) fn cut(&mut self, now: u64, is_cut: bool) {
        if is_cut {
            self.cut_since.get_or_insert(now);
            return;
        }
        let Some(since) = self.cut_since.take() else { return };
        for replica in &mut self.replicas {
            replica.catch_up(since);
            let late = now - since;
            replica.last_at += late;
            replica.pending.iter_mut().for_each(|pending| pending.applied_at += late);
        }
    }

    /// Until when what was sent has arrived.
    fn arrived(&self, now: u64) -> u64 {
        self.cut_since.map_or(now, |since| since.min(now))
    }

    /// A row was committed at the master now; each of the others gets it after a lag of its own.
    pub(crate) fn commit(&mut self, now: u64, master: u16, row: Row, mut lag: impl FnMut(u16) -> u64) {
        self.commits += 1;
        let (number, arrived) = (self.commits, self.arrived(now));
        for (i, replica) in self.replicas.iter_mut().enumerate() {
            replica.catch_up(arrived);
            if i == usize::from(master) {
                replica.applied = number;
                continue;
            }
            replica.last_at = replica.last_at.max(now + lag(i as u16));
            replica.pending.push_back(Pending { applied_at: replica.last_at, number });
        }
        self.latest.insert(row, number);
        self.recent.push_back((number, row));
        let everywhere = self.replicas.iter().map(|replica| replica.applied).min().unwrap_or(number);
        while let Some((number, row)) = self.recent.front().copied().filter(|(n, _)| *n <= everywhere) {
            self.recent.pop_front();
            if self.latest.get(&row) == Some(&number) {
                self.latest.remove(&row);
            }
        }
    }

    /// Whether a row read at an instance now is older than at the master.
    pub(crate) fn is_stale(&mut self, now: u64, instance: u16, row: Row) -> bool {
        let arrived = self.arrived(now);
        let replica = &mut self.replicas[usize::from(instance)];
        replica.catch_up(arrived);
        self.latest.get(&row).is_some_and(|&number| number > replica.applied)
    }

    /// An instance becomes the master: the commits that it never got are lost, and how many there are.
    pub(crate) fn promote(&mut self, now: u64, instance: u16) -> u64 {
        let arrived = self.arrived(now);
        let replica = &mut self.replicas[usize::from(instance)];
        replica.catch_up(arrived);
        let lost = replica.pending.len() as u64;
        // The others start again from what the new master has.
        for replica in &mut self.replicas {
            replica.pending.clear();
            (replica.applied, replica.last_at) = (self.commits, now);
        }
        self.latest.clear();
        self.recent.clear();
        self.cut_since = None;
        lost
    }

    /// How many commits an instance has not applied yet.
    pub(crate) fn behind(&mut self, now: u64, instance: u16) -> u64 {
        let arrived = self.arrived(now);
        let replica = &mut self.replicas[usize::from(instance)];
        replica.catch_up(arrived);
        replica.pending.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = (0, 7);

    #[test]
    fn a_row_is_stale_until_its_commit_is_applied_and_never_at_the_master() {
        let mut replication = Replication::new(2);
        replication.commit(100, 0, ROW, |_| 50);
        assert!(replication.is_stale(149, 1, ROW) && !replication.is_stale(149, 0, ROW));
        assert!(!replication.is_stale(149, 1, (0, 8)) && !replication.is_stale(150, 1, ROW));
    }

    #[test]
    fn a_commit_is_not_applied_before_an_earlier_one() {
        let mut replication = Replication::new(2);
        replication.commit(0, 0, ROW, |_| 1_000);
        replication.commit(10, 0, (0, 8), |_| 1);
        assert!(replication.is_stale(999, 1, (0, 8)) && !replication.is_stale(1_000, 1, (0, 8)));
    }

    #[test]
    fn what_a_new_master_never_got_is_lost() {
        let mut replication = Replication::new(3);
        replication.commit(0, 0, ROW, |i| u64::from(i) * 100);
        replication.commit(50, 0, ROW, |i| u64::from(i) * 100);
        assert_eq!((replication.behind(120, 1), replication.behind(120, 2)), (1, 2));
        assert_eq!(replication.promote(120, 1), 1);
        assert!(!replication.is_stale(120, 2, ROW));
    }

    #[test]
    fn what_was_on_its_way_when_the_master_died_is_lost_or_sent_again_when_it_is_back() {
        for (comes_back, lost) in [(false, 1), (true, 0)] {
            let mut replication = Replication::new(2);
            replication.commit(0, 0, ROW, |_| 100);
            replication.commit(50, 0, (0, 8), |_| 100);
            replication.cut(120, true);
            replication.cut(130, true);
            assert_eq!(replication.behind(1_000, 1), 1);
            if comes_back {
                replication.cut(1_000, false);
                assert!(replication.is_stale(1_029, 1, (0, 8)) && !replication.is_stale(1_030, 1, (0, 8)));
            }
            assert_eq!(replication.promote(2_000, 1), lost);
        }
    }

    #[test]
    fn what_all_have_is_forgotten() {
        let mut replication = Replication::new(2);
        (0..1_000).for_each(|i| replication.commit(i * 10, 0, (0, i), |_| 25));
        assert!(replication.latest.len() < 5 && replication.recent.len() < 5);
    }
}
