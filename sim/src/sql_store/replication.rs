//! Asynchronous replication: what has been committed at the master and not yet applied at a replica.
//!
//! A replica applies commits in the order of the master (one applier: `replica_parallel_workers = 0`; a commit is
//! never applied before an earlier one), each at the earliest after its own drawn lag. The applier's work takes no
//! processor time. A read is stale where a row that it reads was committed and not applied when it began.

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
}

impl Replication {
    pub(crate) fn new(instances: u16) -> Self {
        let replicas = (0..instances).map(|_| Replica::default()).collect();
        Self { replicas, commits: 0, latest: BTreeMap::new(), recent: VecDeque::new() }
    }

    /// A row was committed at the master now; each of the others gets it after a lag of its own.
    pub(crate) fn commit(&mut self, now: u64, master: u16, row: Row, mut lag: impl FnMut(u16) -> u64) {
        self.commits += 1;
        let number = self.commits;
        for (i, replica) in self.replicas.iter_mut().enumerate() {
            replica.catch_up(now);
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
        let replica = &mut self.replicas[usize::from(instance)];
        replica.catch_up(now);
        self.latest.get(&row).is_some_and(|&number| number > replica.applied)
    }

    /// An instance becomes the master: the commits that it never got are lost, and how many there are.
    pub(crate) fn promote(&mut self, now: u64, instance: u16) -> u64 {
        let replica = &mut self.replicas[usize::from(instance)];
        replica.catch_up(now);
        let lost = replica.pending.len() as u64;
        // The others start again from what the new master has.
        for replica in &mut self.replicas {
            replica.pending.clear();
            (replica.applied, replica.last_at) = (self.commits, now);
        }
        self.latest.clear();
        self.recent.clear();
        lost
    }

    /// How many commits an instance has not applied yet.
    pub(crate) fn behind(&mut self, now: u64, instance: u16) -> u64 {
        let replica = &mut self.replicas[usize::from(instance)];
        replica.catch_up(now);
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
    fn what_all_have_is_forgotten() {
        let mut replication = Replication::new(2);
        (0..1_000).for_each(|i| replication.commit(i * 10, 0, (0, i), |_| 25));
        assert!(replication.latest.len() < 5 && replication.recent.len() < 5);
    }
}
