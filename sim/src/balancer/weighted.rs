//! The choice where servers are not alike: by their weights, and by the part of it that they have while they start slowly.

use super::servers::{POINTS, Servers, scatter};

impl Servers {
    /// Gives each server a weight (HAProxy's, 0 to 256); with none, all are alike.
    pub(crate) fn with_weights(mut self, weights: &[u32]) -> Self {
        debug_assert!(weights.is_empty() || weights.len() == self.all.len(), "one for each server");
        self.weights = weights.to_vec();
        if !self.ring.is_empty() && !weights.is_empty() {
            let points = |(server, weight): (u16, &u32)| {
                (0..POINTS * u64::from(*weight)).map(move |i| (scatter(u64::from(server) << 16 | i), server))
            };
            self.ring = (0..).zip(weights).flat_map(points).collect();
            self.ring.sort_unstable();
        }
        self.forget();
        self
    }

    /// Smooth weighted turns, as nginx has them (`ngx_http_upstream_round_robin.c`): everybody's due grows by the share, who is
    /// the furthest behind is asked, and pays what all have grown. HAProxy's `lb_fwrr.c` spreads the turns as evenly, by
    /// another way. Equal ones keep their order.
    pub(super) fn in_turn_by_share(&mut self, now: u64, avoid: Option<u16>) -> Option<u16> {
        let mut total = 0.0;
        let mut chosen: Option<u16> = None;
        for i in 0..self.up.len() {
            let server = self.up[i];
            if Some(server) == avoid || !self.has_room(server, now) {
                continue;
            }
            let share = self.share(server, now);
            total += share;
            let place = &mut self.all[usize::from(server)];
            place.credit += share;
            let credit = place.credit;
            if chosen.is_none_or(|best| credit > self.all[usize::from(best)].credit) {
                chosen = Some(server);
            }
        }
        self.all[usize::from(chosen?)].credit -= total;
        chosen
    }

    /// HAProxy's measure of load (`fwlc_queue_srv` of its `lb_fwlc.c`): one request more than there are, for the share; but
    /// an idle server is idle however small its share is.
    fn load(&self, server: u16, now: u64) -> f64 {
        match self.all[usize::from(server)].active {
            0 => 0.0,
            active => f64::from(active + 1) / self.share(server, now),
        }
    }

    /// The one with the least load; of equals, the one longest unasked.
    pub(super) fn least_by_share(&mut self, now: u64, avoid: Option<u16>) -> Option<u16> {
        let candidates = self.up.iter().copied().filter(|s| Some(*s) != avoid && self.has_room(*s, now));
        let burden = |server: u16| (self.load(server, now), self.all[usize::from(server)].asked, server);
        let least = candidates.map(burden).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (_, _, server) = least?;
        self.choices += 1;
        self.all[usize::from(server)].asked = self.choices;
        Some(server)
    }

    /// Mitzenmacher, "The power of two choices in randomized load balancing", 2001; HAProxy's `random(2)`, which draws by
    /// weight and compares requests under way for the weight (`get_server_rnd` of its `backend.c`).
    pub(super) fn less_busy_of_two(&mut self, now: u64, avoid: Option<u16>, key: u64) -> Option<u16> {
        let alike = self.weights.is_empty();
        let total: f64 = if alike { 0.0 } else { self.up.iter().map(|s| self.share(*s, now)).sum() };
        let fits = |s: u16| Some(s) != avoid && self.has_room(s, now);
        let draw = |i: u64| {
            let unit = scatter(key.wrapping_add(i));
            if !alike {
                let mut left = unit as f64 / u64::MAX as f64 * total;
                let drawn = self.up.iter().copied().find(|s| {
                    left -= self.share(*s, now);
                    left < 0.0
                });
                return drawn.or(self.up.last().copied()).filter(|s| fits(*s));
            }
            let place = (u128::from(unit) * self.up.len() as u128) >> 64;
            let server = self.up.get(place as usize).copied().filter(|s| fits(*s))?;
            // One whose share grows is drawn as often as its share says.
            let unit = scatter(key.wrapping_add(i + 2)) as f64 / u64::MAX as f64;
            (now >= self.slow_until() || unit < self.share(server, now)).then_some(server)
        };
        let load = |s: u16| f64::from(self.all[usize::from(s)].active) / self.share(s, now);
        match (draw(1), draw(2)) {
            (Some(a), Some(b)) => Some(if load(b) < load(a) { b } else { a }),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => self.least_by_share(now, avoid),
        }
    }

    /// The server that the key belongs to, as many keys to each as its weight says; where that server is to be avoided, the
    /// one after it.
    pub(super) fn by_hash(&self, avoid: Option<u16>, key: u64) -> Option<u16> {
        let fits = |s: u16| self.is_usable(s) && Some(s) != avoid;
        let hash = scatter(key);
        if self.ring.is_empty() {
            let count = self.up.len();
            let first = if self.weights.is_empty() {
                hash.checked_rem(count as u64)? as usize
            } else {
                let weight = |s: &u16| u64::from(self.weights[usize::from(*s)]);
                let mut left = hash.checked_rem(self.up.iter().map(weight).sum())?;
                self.up.iter().position(|s| {
                    let weight = weight(s);
                    let is_here = left < weight;
                    left = left.saturating_sub(weight);
                    is_here
                })?
            };
            return (0..count).map(|i| self.up[(first + i) % count]).find(|s| fits(*s));
        }
        let from = self.ring.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.ring.split_at(from);
        after.iter().chain(before).map(|(_, server)| *server).find(|s| fits(*s))
    }
}

#[cfg(test)]
mod tests {
    use scenarios::scenario::Balance;

    use super::*;

    fn weighted(balance: Balance, consistent: bool, weights: &[u32]) -> Servers {
        Servers::new(weights.len() as u16, balance, consistent, u32::MAX, 0).with_weights(weights)
    }

    #[test]
    fn turns_are_spread_evenly_by_weight() {
        let mut servers = weighted(Balance::RoundRobin, false, &[3, 1, 0]);
        let turns: Vec<_> = (0..8).map(|_| servers.choose(0, None, 0).expect("two are up")).collect();
        assert_eq!(turns, [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(servers.choose(0, Some(0), 0), Some(1));
        servers.learn(0, false, 1, 1, 5);
        servers.learn(1, false, 1, 1, 5);
        assert_eq!(servers.choose(9, None, 0), None, "the third is sent only what is bound to it");
        assert!(servers.is_up(2) && !servers.any_up());
    }

    #[test]
    fn loads_are_in_proportion_to_weights_where_the_least_is_asked() {
        for balance in [Balance::LeastConnections, Balance::Random] {
            let mut servers = weighted(balance, false, &[5, 3, 2]);
            for i in 0..10_000 {
                let server = servers.choose(0, None, scatter(i)).expect("all are up");
                servers.begin(server);
            }
            let loads: Vec<u32> = servers.all.iter().map(|s| s.active).collect();
            for (load, due) in loads.iter().zip([5_000, 3_000, 2_000]) {
                assert!(load.abs_diff(due) < 100, "{balance:?}: {loads:?}");
            }
        }
    }

    #[test]
    fn an_idle_server_is_asked_however_small_its_weight_is() {
        let mut servers = weighted(Balance::LeastConnections, false, &[100, 1]);
        servers.begin(0);
        assert_eq!(servers.choose(0, None, 0), Some(1));
    }

    #[test]
    fn a_hash_gives_each_server_keys_by_its_weight() {
        for consistent in [false, true] {
            let mut servers = weighted(Balance::Uri, consistent, &[6, 3, 1, 0]);
            let mut counts = [0_u32; 4];
            (0..100_000).for_each(|key| counts[usize::from(servers.choose(0, None, key).expect("up"))] += 1);
            // The ring has 160 points: a server's share of it is as uneven as the square root of its points.
            let tolerance = if consistent { 10_000 } else { 1_000 };
            for (count, due) in counts.iter().zip([60_000, 30_000, 10_000, 0]) {
                assert!(count.abs_diff(due) <= tolerance, "consistent {consistent}: {counts:?}");
            }
        }
    }
}
