//! Whose turn it is: HAProxy's ways of choosing (configuration manual 2.6, section 4.2, `balance`). It knows loads and who
//! is up, and nothing of requests.
//!
//! Servers that are down or full are passed over, but for a hash: its requests wait for their server.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use scenarios::rng::Stream;
use scenarios::scenario::Balance;

/// Points of each server on the ring of a consistent hash for each unit of its weight, as HAProxy has them.
const POINTS: u64 = 16;

/// What is known of the servers.
pub(super) trait Load {
    fn count(&self) -> usize;
    fn is_up(&self, server: usize) -> bool;
    /// Whether it may be sent one more request.
    fn has_room(&self, server: usize) -> bool;
    /// Requests that it was sent and has not answered.
    fn active(&self, server: usize) -> u32;
    /// The part of a full server's share that it has: above zero and at most one, less than one while it starts slowly.
    fn share(&self, server: usize) -> f64;
}

/// What a hash is taken of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) source: u64,
    pub(super) uri: u64,
}

/// The rule, and what it remembers.
#[derive(Debug)]
pub(super) struct Choice {
    rule: Balance,
    /// Whose turn it is.
    turn: Cell<usize>,
    /// When each was asked last, as a count of requests.
    asked: Vec<Cell<u64>>,
    requests: Cell<u64>,
    /// What each is to have of the requests, compared with the others.
    weights: Vec<u32>,
    /// Whether these differ.
    is_weighted: bool,
    /// The part of a turn that each has saved up, of those that start slowly; with weights, how far it is behind its due.
    credit: Vec<Cell<f64>>,
    /// Points of all servers, in order; empty where a hash counts through those that are up.
    ring: Vec<(u64, usize)>,
    draws: RefCell<Stream>,
}

impl Choice {
    /// A rule for so many servers, which have these weights (HAProxy's, 0 to 256) or, with none, are alike; what is drawn is
    /// drawn from `draws`.
    pub(super) fn new(
        rule: Balance,
        consistent: bool,
        servers: usize,
        weights: &[u32],
        draws: Stream,
    ) -> Self {
        let is_weighted = !weights.is_empty();
        let weights = if is_weighted { weights.to_vec() } else { vec![1; servers] };
        let mut ring: Vec<(u64, usize)> = Vec::new();
        if consistent {
            for (server, weight) in weights.iter().enumerate() {
                let points = 0..POINTS * u64::from(*weight);
                ring.extend(points.map(|i| (spread((server as u64 + 1) << 16 | i), server)));
            }
            ring.sort_unstable();
        }
        Self {
            rule,
            turn: Cell::new(0),
            asked: vec![Cell::new(0); servers],
            requests: Cell::new(0),
            weights,
            is_weighted,
            credit: vec![Cell::new(0.0); servers],
            ring,
            draws: RefCell::new(draws),
        }
    }

    /// The next server, and not the one to avoid where there is another. None where none is up, or, but for a hash,
    /// none has room.
    pub(super) fn choose(&self, load: &impl Load, avoid: Option<usize>, key: Key) -> Option<usize> {
        let hash = match self.rule {
            Balance::Source => Some(key.source),
            Balance::Uri => Some(key.uri),
            _ => None,
        };
        let fits = |server: usize| {
            self.takes(server) && load.is_up(server) && (hash.is_some() || load.has_room(server))
        };
        let other = |server: usize| Some(server) != avoid && fits(server);
        let chosen = match (self.rule, hash) {
            (_, Some(hash)) => self.by_hash(hash, other),
            (Balance::LeastConnections, _) => self.least(load, other),
            (Balance::Random, _) => self.less_busy_of_two(load, other),
            _ if self.is_weighted => self.in_turn_by_weight(load, other),
            _ => self.in_turn(load, other),
        };
        chosen.or_else(|| avoid.filter(|server| fits(*server)))
    }

    /// Whether a server is sent requests that nothing binds to it.
    pub(super) fn takes(&self, server: usize) -> bool {
        self.weights[server] > 0
    }

    /// What a server is to have of the requests at this moment, compared with the others.
    fn share(&self, load: &impl Load, server: usize) -> f64 {
        f64::from(self.weights[server]) * load.share(server)
    }

    /// Requests under way and this one, for the share; an idle one is idle however small its share is (`fwlc_queue_srv` of
    /// HAProxy's `lb_fwlc.c`).
    fn busyness(&self, load: &impl Load, server: usize) -> f64 {
        match load.active(server) {
            0 => 0.0,
            active => f64::from(active + 1) / self.share(load, server),
        }
    }

    /// Smooth weighted turns, as nginx has them (`ngx_http_upstream_round_robin.c`): everybody's due grows by the share, who is
    /// the furthest behind is asked, and pays what all have grown. HAProxy's `lb_fwrr.c` spreads the turns as evenly, by
    /// another way.
    fn in_turn_by_weight(&self, load: &impl Load, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let mut total = 0.0;
        let mut chosen: Option<usize> = None;
        for server in (0..load.count()).filter(|server| fits(*server)) {
            let share = self.share(load, server);
            total += share;
            let credit = self.credit[server].get() + share;
            self.credit[server].set(credit);
            if chosen.is_none_or(|best| credit > self.credit[best].get()) {
                chosen = Some(server);
            }
        }
        let credit = &self.credit[chosen?];
        credit.set(credit.get() - total);
        chosen
    }

    fn in_turn(&self, load: &impl Load, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let count = load.count();
        // A server that starts slowly lets turns pass, but not when there is nobody else.
        for may_pass in [true, false] {
            for i in 0..count {
                let server = (self.turn.get() + i) % count;
                if fits(server) && (!may_pass || self.takes_turn(server, load.share(server))) {
                    self.turn.set((server + 1) % count);
                    return Some(server);
                }
            }
        }
        None
    }

    fn takes_turn(&self, server: usize, share: f64) -> bool {
        if share >= 1.0 {
            return true;
        }
        let credit = self.credit[server].get() + share;
        self.credit[server].set(credit.fract());
        credit >= 1.0
    }

    /// The one with the fewest requests under way; of equals, the one longest unasked.
    fn least(&self, load: &impl Load, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let burden = |server: &usize| (self.busyness(load, *server), self.asked[*server].get());
        let all = (0..load.count()).filter(|server| fits(*server)).map(|server| (burden(&server), server));
        let (_, chosen) = all.min_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
        self.requests.set(self.requests.get() + 1);
        self.asked[chosen].set(self.requests.get());
        Some(chosen)
    }

    /// Mitzenmacher's power of two choices (2001); each is drawn as often as its share says, and who has fewer requests under
    /// way for its share is asked (`get_server_rnd` of HAProxy's `backend.c`).
    fn less_busy_of_two(&self, load: &impl Load, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let fitting = || (0..load.count()).filter(|server| fits(*server));
        let total: f64 = fitting().map(|server| self.share(load, server)).sum();
        let mut draws = self.draws.borrow_mut();
        let mut draw = || {
            let mut left = draws.unit() * total;
            let passed = fitting().find(|server| {
                left -= self.share(load, *server);
                left < 0.0
            });
            // Rounding may leave a rest behind the last one.
            passed.or_else(|| fitting().last())
        };
        let (one, two) = (draw()?, draw()?);
        let burden = |server: usize| f64::from(load.active(server)) / self.share(load, server);
        Some(if burden(two) < burden(one) { two } else { one })
    }

    fn by_hash(&self, hash: u64, fits: impl Fn(usize) -> bool) -> Option<usize> {
        if self.ring.is_empty() {
            let fitting = || self.weights.iter().enumerate().filter(|(server, _)| fits(*server));
            let mut left = hash.checked_rem(fitting().map(|(_, weight)| u64::from(*weight)).sum())?;
            let found = fitting().find(|(_, weight)| {
                let is_here = left < u64::from(**weight);
                left = left.saturating_sub(u64::from(**weight));
                is_here
            });
            return found.map(|(server, _)| server);
        }
        let start = self.ring.partition_point(|(point, _)| *point < hash);
        let around = self.ring[start..].iter().chain(&self.ring[..start]);
        around.map(|(_, server)| *server).find(|server| fits(*server))
    }
}

/// The hash of a client's address.
pub(super) fn hash_of_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => spread(u64::from(address.to_bits())),
        IpAddr::V6(address) => hash_of_bytes(&address.octets()),
    }
}

/// The hash of a target without its query.
pub(super) fn hash_of_target(target: &str) -> u64 {
    hash_of_bytes(target.split('?').next().unwrap_or("").as_bytes())
}

/// FNV-1a (Fowler, Noll, Vo), spread once more: its upper bits alone are poor.
fn hash_of_bytes(bytes: &[u8]) -> u64 {
    spread(
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        }),
    )
}

/// Steele, Lea and Flood's finaliser (SplitMix64, 2014): every bit of the value changes half of those of the result.
fn spread(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use scenarios::rng::Purpose;
    use scenarios::units::Seed;

    use super::*;

    /// Servers for a test: how busy, of which share; none where they are down.
    struct Stage {
        servers: Vec<Option<(u32, f64)>>,
        limit: u32,
    }

    impl Load for Stage {
        fn count(&self) -> usize {
            self.servers.len()
        }
        fn is_up(&self, server: usize) -> bool {
            self.servers[server].is_some()
        }
        fn has_room(&self, server: usize) -> bool {
            self.active(server) < self.limit
        }
        fn active(&self, server: usize) -> u32 {
            self.servers[server].map_or(0, |s| s.0)
        }
        fn share(&self, server: usize) -> f64 {
            self.servers[server].map_or(1.0, |s| s.1)
        }
    }

    fn stage(servers: &[u32]) -> Stage {
        Stage { servers: servers.iter().map(|active| Some((*active, 1.0))).collect(), limit: u32::MAX }
    }

    fn rule(rule: Balance, consistent: bool, servers: usize) -> Choice {
        Choice::new(rule, consistent, servers, &[], Stream::new(Seed(1), Purpose::named("test"), 0))
    }

    fn key(hash: u64) -> Key {
        Key { source: hash, uri: hash }
    }

    #[test]
    fn the_turn_passes_over_servers_that_are_down_or_full_or_to_be_avoided() {
        let choice = rule(Balance::RoundRobin, false, 3);
        let turns = |stage: &Stage, n| (0..n).map(|_| choice.choose(stage, None, key(0))).collect::<Vec<_>>();
        let mut servers = stage(&[0, 0, 0]);
        assert_eq!(turns(&servers, 4), [Some(0), Some(1), Some(2), Some(0)]);
        servers.servers[1] = None;
        assert_eq!(turns(&servers, 3), [Some(2), Some(0), Some(2)]);
        assert_eq!(choice.choose(&servers, Some(0), key(0)), Some(2));
        servers.servers[2] = Some((4, 1.0));
        servers.limit = 4;
        assert_eq!(turns(&servers, 2), [Some(0), Some(0)]);
        assert_eq!(choice.choose(&servers, Some(0), key(0)), Some(0), "there is no other");
        servers.servers[0] = None;
        assert_eq!(choice.choose(&servers, None, key(0)), None);
    }

    #[test]
    fn the_least_busy_is_asked_and_of_equals_the_longest_unasked() {
        let choice = rule(Balance::LeastConnections, false, 3);
        let mut servers = stage(&[1, 0, 0]);
        let turns: Vec<_> = (0..4).map(|_| choice.choose(&servers, None, key(0))).collect();
        assert_eq!(turns, [Some(1), Some(2), Some(1), Some(2)]);
        servers.servers = vec![Some((8, 1.0)), Some((2, 0.1)), None];
        assert_eq!(choice.choose(&servers, None, key(0)), Some(0), "the other has a tenth of its share");
    }

    #[test]
    fn of_two_drawn_the_less_busy_one_is_asked() {
        let choice = rule(Balance::Random, false, 4);
        let servers = stage(&[9, 0, 9, 9]);
        let mut counts = [0_u32; 4];
        for _ in 0..8_000 {
            counts[choice.choose(&servers, None, key(0)).expect("all are up")] += 1;
        }
        // The idle one is drawn at least once of two times with 1 − (3/4)² = 7/16.
        assert!((3_300..3_700).contains(&counts[1]), "{counts:?}");
        let slow = Stage { servers: vec![Some((0, 1.0)), Some((0, 0.25))], limit: 9 };
        let slow_ones = (0..8_000).filter(|_| choice.choose(&slow, None, key(0)) == Some(1)).count();
        assert!((1_400..1_800).contains(&slow_ones), "a fifth of {slow_ones}");
    }

    #[test]
    fn a_hash_stays_with_its_server_and_moves_only_what_it_must_where_it_is_consistent() {
        for consistent in [false, true] {
            let choice = rule(Balance::Uri, consistent, 8);
            let mut servers = stage(&[0; 8]);
            let of = |path: u32| hash_of_target(&format!("/item/{path}?x={}", path * 7));
            let all = |stage: &Stage| -> Vec<usize> {
                (0..10_000).map(|p| choice.choose(stage, None, key(of(p))).expect("some are up")).collect()
            };
            let before = all(&servers);
            assert_eq!(before, all(&servers));
            let of_each = |s: usize| before.iter().filter(|chosen| **chosen == s).count();
            assert!((0..8).all(|s| of_each(s) > 300), "everyone has a share");
            servers.servers[3] = None;
            let moved = before.iter().zip(all(&servers)).filter(|(b, a)| **b != *a).count();
            if consistent {
                assert_eq!(moved, of_each(3), "only those of the lost server");
            } else {
                assert!(moved > 8_000, "nearly all: {moved}");
            }
            servers.limit = 0;
            assert!(choice.choose(&servers, None, key(0)).is_some(), "its requests wait for their server");
        }
    }

    #[test]
    fn the_query_is_no_part_of_the_hash() {
        assert_eq!(hash_of_target("/a?b"), hash_of_target("/a?c"));
        assert_ne!(hash_of_target("/a"), hash_of_target("/b"));
    }

    #[test]
    fn one_that_starts_slowly_lets_turns_pass() {
        let choice = rule(Balance::RoundRobin, false, 2);
        let servers = Stage { servers: vec![Some((0, 1.0)), Some((0, 0.25))], limit: 9 };
        let slow_ones = (0..1_000).filter(|_| choice.choose(&servers, None, key(0)) == Some(1)).count();
        assert_eq!(slow_ones, 200, "one for every four of the other");
        let alone = Stage { servers: vec![None, Some((0, 0.01))], limit: 9 };
        assert_eq!(choice.choose(&alone, None, key(0)), Some(1), "there is nobody else");
    }
}
