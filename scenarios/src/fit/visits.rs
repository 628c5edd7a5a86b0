//! Visits of users, told apart by address and browser: how many requests, how long between them, who comes back.

use std::collections::BTreeMap;

use super::paths::hash;
use super::sizes::Sizes;

/// Whoever is silent for longer has left: half an hour, as web analytics counts.
const GAP_SECONDS: i64 = 1800;
/// Users that are followed at once; above, half of them are left out, again and again.
const USERS_LIMIT: usize = 1_000_000;

#[derive(Clone, Copy, Debug)]
struct User {
    last: i64,
    visits: u32,
    requests: u32,
}

/// What is known of all users who are followed.
#[derive(Debug, Default)]
pub(super) struct Visits {
    users: BTreeMap<u64, User>,
    halvings: u32,
    /// Whether the log tells browsers.
    pub(super) with_agents: bool,
    gaps: Sizes,
}

/// Visits in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) users: usize,
    pub(super) visits: u64,
    pub(super) requests_per_visit: f64,
    /// The share of visits after which the user came again.
    pub(super) returns: f64,
    /// Median and 99th percentile of the time between requests of a visit, in seconds.
    pub(super) gap: Option<(f64, f64)>,
}

impl Visits {
    pub(super) fn add(&mut self, address: &[u8], agent: Option<&[u8]>, at: i64) {
        self.with_agents |= agent.is_some();
        let name = hash(address) ^ agent.map_or(0, |agent| hash(agent).rotate_left(1));
        if name.leading_zeros() < self.halvings {
            return;
        }
        match self.users.get_mut(&name) {
            Some(user) => {
                let gap = (at - user.last).max(0);
                if gap > GAP_SECONDS {
                    user.visits += 1;
                } else {
                    // Milliseconds: bins start at one. A second is as fine as logs are.
                    self.gaps.add((gap.max(1) * 1000) as u64);
                }
                (user.last, user.requests) = (user.last.max(at), user.requests + 1);
            }
            None => {
                self.users.insert(name, User { last: at, visits: 1, requests: 1 });
            }
        }
        while self.users.len() > USERS_LIMIT {
            self.halvings += 1;
            let halvings = self.halvings;
            self.users.retain(|name, _| name.leading_zeros() >= halvings);
        }
    }

    /// None where hardly anybody asked twice.
    pub(super) fn summary(&self) -> Option<Summary> {
        let visits: u64 = self.users.values().map(|user| u64::from(user.visits)).sum();
        let requests: u64 = self.users.values().map(|user| u64::from(user.requests)).sum();
        let per_visit = requests as f64 / visits as f64;
        (visits >= 30 && per_visit > 1.05).then(|| Summary {
            users: self.users.len(),
            visits,
            requests_per_visit: per_visit,
            returns: (visits - self.users.len() as u64) as f64 / visits as f64,
            gap: (self.gaps.count() > 0)
                .then(|| (self.gaps.quantile(0.5) / 1000.0, self.gaps.quantile(0.99) / 1000.0)),
        })
    }
}
