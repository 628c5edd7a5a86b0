//! How a load balancer chooses among its servers. Pure: knows loads and health, and nothing of calls.
//!
//! After HAProxy's `balance` (configuration manual, section 4.2; lb_fwrr.c, lb_fwlc.c, lb_map.c, lb_chash.c): servers that
//! are down, or full, are passed over, except by a hash, which sticks to its server and has the request wait for it.

use scenarios::scenario::Balance;

use super::health::{Health, Passive, Seen};
use super::least::LeastLoaded;

/// Points of each server on the ring of a consistent hash; HAProxy has 16 for each unit of weight.
pub(super) const POINTS: u64 = 16;
/// The shortest step in which the limit of a server that starts slowly is looked at.
const WARM_UP_NANOS: u64 = 1_000_000_000;

/// One server as one balancer instance sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) health: Health,
    /// Errors in a row of real requests.
    errors: u32,
    /// How many deployments have it sent nothing new.
    held: u32,
    /// Requests that it was sent and has not answered.
    pub(crate) active: u32,
    /// When it came back; zero where it was there from the start.
    up_since: u64,
    /// Turns that it may take, while its share grows; with weights, how far it is behind its due.
    pub(super) credit: f64,
    /// When it was asked last, as a count of choices; kept where loads are weighed.
    pub(super) asked: u64,
}

impl Server {
    #[inline]
    fn is_up(&self) -> bool {
        self.health.up && self.held == 0
    }
}

/// The servers of one balancer instance.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(super) all: Vec<Server>,
    balance: Balance,
    /// What each is to have of the requests, compared with the others; empty where all are alike.
    pub(super) weights: Vec<u32>,
    /// Choices that were made by weighing loads.
    pub(super) choices: u64,
    /// Whose turn it is.
    next: u16,
    /// Requests that a server is sent at once.
    limit: u32,
    /// How long a server takes to its full share, in nanoseconds.
    slow_start: u64,
    /// Until when a server's share grows.
    slow_until: u64,
    /// Those that are up, by load; kept for `least-connections` alone.
    least: Option<LeastLoaded>,
    /// Those that are up and have a weight, in order: what a hash counts through.
    pub(super) up: Vec<u16>,
    /// Points of all servers, in order; empty where a hash counts through.
    pub(super) ring: Vec<(u64, u16)>,
}

/// Spreads what it is given over all numbers.
pub(super) fn scatter(value: u64) -> u64 {
    let z = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}

impl Servers {
    pub(crate) fn new(count: u16, balance: Balance, consistent: bool, limit: u32, slow_start: u64) -> Self {
        let mut ring: Vec<(u64, u16)> = Vec::new();
        if consistent {
            let points =
                |server: u16| (0..POINTS).map(move |i| (scatter(u64::from(server) << 8 | i), server));
            ring.extend((0..count).flat_map(points));
            ring.sort_unstable();
        }
        let mut servers = Self {
            all: vec![
                Server {
                    health: Health::UP,
                    errors: 0,
                    held: 0,
                    active: 0,
                    up_since: 0,
                    credit: 0.0,
                    asked: 0
                };
                usize::from(count)
            ],
            balance,
            weights: Vec::new(),
            choices: 0,
            next: 0,
            limit,
            slow_start,
            slow_until: 0,
            least: None,
            up: (0..count).collect(),
            ring,
        };
        servers.forget();
        servers
    }

    /// The balancer starts anew: it takes every server for up and idle, but for those that it is told to send nothing.
    pub(crate) fn forget(&mut self) {
        let count = self.all.len() as u16;
        for server in &mut self.all {
            let fresh = Server { health: Health::UP, errors: 0, active: 0, up_since: 0, ..*server };
            *server = Server { credit: 0.0, asked: 0, ..fresh };
        }
        self.up = (0..count).filter(|s| self.is_usable(*s)).collect();
        self.slow_until = 0;
        let by_load = self.balance == Balance::LeastConnections && self.weights.is_empty();
        self.least = by_load.then(|| LeastLoaded::new(count));
        if let Some(least) = &mut self.least {
            (0..count).filter(|s| self.all[usize::from(*s)].held > 0).for_each(|s| least.take_out(s));
        }
    }

    #[inline]
    pub(crate) fn is_up(&self, server: u16) -> bool {
        self.all[usize::from(server)].is_up()
    }

    /// Whether it may be sent what nothing binds to a server.
    #[inline]
    pub(crate) fn is_usable(&self, server: u16) -> bool {
        self.is_up(server) && self.weights.get(usize::from(server)) != Some(&0)
    }

    #[inline]
    pub(crate) fn has_room(&self, server: u16, now: u64) -> bool {
        let limit = if now < self.slow_until { self.growing_limit(server, now) } else { self.limit };
        self.all[usize::from(server)].active < limit
    }

    /// Requests that a server is sent at once, one at least, while its limit grows in a straight line with its share (`slowstart`
    /// in HAProxy's manual; `srv_dynamic_maxconn` in its `queue.c`, which goes by whole seconds and percents).
    #[cold]
    fn growing_limit(&self, server: u16, now: u64) -> u32 {
        let since = self.all[usize::from(server)].up_since;
        if since == 0 || now >= since + self.slow_start || !self.limited() {
            return self.limit;
        }
        let grown = u128::from(self.limit) * u128::from(now - since) / u128::from(self.slow_start);
        (grown as u32).max(1)
    }

    /// How long until servers whose limit grows are looked at again: a second, or a twentieth of the slow start (`server_warmup`
    /// in HAProxy's `server.c`). None where none grows.
    pub(super) fn warm_up_step(&self, now: u64) -> Option<u64> {
        (self.limited() && now < self.slow_until).then(|| WARM_UP_NANOS.max(self.slow_start / 20))
    }

    /// How many are up that may be sent what nothing binds to a server.
    pub(crate) fn count_up(&self) -> usize {
        self.up.len()
    }

    /// Whether there is one.
    pub(crate) fn any_up(&self) -> bool {
        self.count_up() > 0
    }

    /// Until when a server's share grows.
    pub(super) fn slow_until(&self) -> u64 {
        self.slow_until
    }

    /// Whether servers are ever full.
    pub(crate) fn limited(&self) -> bool {
        self.limit < u32::MAX
    }

    /// A request goes to a server.
    #[inline]
    pub(crate) fn begin(&mut self, server: u16) {
        let place = &mut self.all[usize::from(server)];
        place.active += 1;
        if let Some(least) = &mut self.least
            && place.is_up()
        {
            least.set(server, place.active);
        }
    }

    /// A request to a server is over, whatever became of it.
    #[inline]
    pub(crate) fn end(&mut self, server: u16) {
        let place = &mut self.all[usize::from(server)];
        debug_assert!(place.active > 0, "a request ends once");
        place.active = place.active.saturating_sub(1);
        if let Some(least) = &mut self.least
            && place.is_up()
        {
            least.set(server, place.active);
        }
    }

    /// Takes in what a check found; whether that took the server out.
    pub(crate) fn learn(&mut self, server: u16, good: bool, fall: u32, rise: u32, now: u64) -> bool {
        let place = &mut self.all[usize::from(server)];
        let before = place.is_up();
        place.health.learn(good, fall, rise);
        self.changed(server, before, now)
    }

    /// Takes in how a real request, or its connection, fared; whether that took the server out.
    pub(crate) fn observe(&mut self, server: u16, seen: Seen, rules: &Passive, now: u64) -> bool {
        let place = &mut self.all[usize::from(server)];
        place.errors = if rules.is_error(seen) { place.errors + 1 } else { 0 };
        if place.errors < rules.error_limit {
            return false;
        }
        place.errors = 0;
        let before = place.is_up();
        place.health.take_errors(rules);
        self.changed(server, before, now)
    }

    /// A deployment has a server sent nothing new, or is over.
    pub(crate) fn hold(&mut self, server: u16, held: bool) {
        let place = &mut self.all[usize::from(server)];
        let before = place.is_up();
        place.held = if held { place.held + 1 } else { place.held.saturating_sub(1) };
        self.changed(server, before, 0);
    }

    /// Takes a server in or out, if it is no longer as it was before; whether that took it out.
    fn changed(&mut self, server: u16, before: bool, now: u64) -> bool {
        let place = &mut self.all[usize::from(server)];
        let after = place.is_up();
        if before == after {
            return false;
        }
        if after {
            (place.up_since, place.credit) = (now, 0.0);
            // One that was held, and is full at once, does not end what another has begun.
            self.slow_until = self.slow_until.max(now + self.slow_start);
        }
        let active = place.active;
        if let Some(least) = &mut self.least {
            if after { least.set(server, active) } else { least.take_out(server) }
        }
        self.up = (0..self.all.len() as u16).filter(|s| self.is_usable(*s)).collect();
        before
    }

    /// What a server is to have of the requests, compared with the others: its weight, and of that, over the time of its
    /// slow start, a part in (0, 1] that grows in a straight line.
    pub(super) fn share(&self, server: u16, now: u64) -> f64 {
        let weight = self.weights.get(usize::from(server)).copied().unwrap_or(1);
        f64::from(weight) * self.grown(server, now)
    }

    fn grown(&self, server: u16, now: u64) -> f64 {
        let since = self.all[usize::from(server)].up_since;
        if since == 0 || now >= since + self.slow_start {
            return 1.0;
        }
        ((now - since) as f64 / self.slow_start as f64).max(0.01)
    }

    /// The server for a request, which is known by `key`: its client's address, its path, or any number of its own. Other
    /// than the one to avoid, unless there is no other. None where no server is up, or, but for a hash, none has room.
    #[inline]
    pub(crate) fn choose(&mut self, now: u64, avoid: Option<u16>, key: u64) -> Option<u16> {
        let chosen = match self.balance {
            Balance::LeastConnections if now >= self.slow_until && self.weights.is_empty() => {
                self.least.as_ref().and_then(|least| least.first(avoid, self.limit))
            }
            Balance::LeastConnections => self.least_by_share(now, avoid),
            Balance::Random => self.less_busy_of_two(now, avoid, key),
            Balance::Source | Balance::Uri => self.by_hash(avoid, key),
            _ if self.weights.is_empty() => return self.in_turn(now, avoid),
            _ => self.in_turn_by_share(now, avoid),
        };
        chosen.or_else(|| avoid.filter(|s| self.is_usable(*s) && self.has_room(*s, now)))
    }

    #[inline]
    fn in_turn(&mut self, now: u64, avoid: Option<u16>) -> Option<u16> {
        let count = self.all.len() as u16;
        let growing = now < self.slow_until;
        let mut spare = None;
        // Twice around: a server whose share grows may let its turn pass, but not for ever.
        for round in 0..2 {
            let mut server = self.next;
            for _ in 0..count {
                let following = if server + 1 == count { 0 } else { server + 1 };
                if self.is_up(server) && self.has_room(server, now) {
                    if Some(server) == avoid {
                        spare = Some((server, following));
                    } else if !growing || round == 1 || self.takes_turn(server, now) {
                        self.next = following;
                        return Some(server);
                    }
                }
                server = following;
            }
            if !growing {
                break;
            }
        }
        let (server, following) = spare?;
        self.next = following;
        Some(server)
    }

    /// The server that will be chosen after so many others, where each has its turn: a guess, for one may come in or go out
    /// before.
    #[inline]
    pub(crate) fn foresee(&self, others: u16) -> Option<u16> {
        let count = self.all.len() as u16;
        let all_take_turns = self.balance == Balance::RoundRobin && self.weights.is_empty();
        if !all_take_turns || self.up.len() < self.all.len() || count == 0 {
            return None;
        }
        let mut server = self.next + others;
        // A division would take longer.
        while server >= count {
            server -= count;
        }
        Some(server)
    }

    /// Whether a server takes the turn that it has: as many of them as its share says.
    fn takes_turn(&mut self, server: u16, now: u64) -> bool {
        let share = self.share(server, now);
        let place = &mut self.all[usize::from(server)];
        place.credit += share;
        let takes = place.credit >= 1.0;
        place.credit -= f64::from(u8::from(takes));
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(count: u16, balance: Balance) -> Servers {
        Servers::new(count, balance, false, u32::MAX, 0)
    }

    fn take_down(servers: &mut Servers, server: u16) {
        assert!(servers.learn(server, false, 1, 1, 5));
    }

    #[test]
    fn turns_pass_over_servers_that_are_down() {
        let mut servers = servers(3, Balance::RoundRobin);
        take_down(&mut servers, 1);
        let turns: Vec<_> = (0..4).map(|_| servers.choose(9, None, 0)).collect();
        assert_eq!(turns, [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(servers.choose(9, Some(0), 0), Some(2));
        take_down(&mut servers, 2);
        assert_eq!(servers.choose(9, Some(0), 0), Some(0), "there is no other");
        take_down(&mut servers, 0);
        assert_eq!(servers.choose(9, None, 0), None);
    }

    #[test]
    fn turns_are_foreseen_as_long_as_all_servers_are_up() {
        let mut servers = servers(3, Balance::RoundRobin);
        assert_eq!(servers.choose(9, None, 0), Some(0));
        let foreseen = [0, 1, 2, 3].map(|others| servers.foresee(others));
        let chosen = [(); 4].map(|()| servers.choose(9, None, 0));
        assert_eq!((foreseen, chosen[0]), (chosen, Some(1)));
        take_down(&mut servers, 1);
        assert_eq!(servers.foresee(0), None);
        assert_eq!(Servers::new(3, Balance::Random, false, u32::MAX, 0).foresee(0), None);
    }

    #[test]
    fn the_least_busy_is_asked_and_of_equals_the_longest_unasked() {
        let mut servers = servers(3, Balance::LeastConnections);
        let ask = |servers: &mut Servers| {
            let server = servers.choose(0, None, 0).expect("all are up");
            servers.begin(server);
            server
        };
        assert_eq!((ask(&mut servers), ask(&mut servers), ask(&mut servers)), (0, 1, 2));
        servers.end(1);
        assert_eq!(ask(&mut servers), 1);
        servers.end(2);
        servers.end(0);
        assert_eq!((ask(&mut servers), ask(&mut servers)), (2, 0));
    }

    #[test]
    fn of_two_drawn_the_busier_is_left_alone() {
        let mut servers = servers(2, Balance::Random);
        (0..10).for_each(|_| servers.begin(0));
        // Both draws fall on the busy one a quarter of the time.
        let busy = (0..4_000).filter(|key| servers.choose(0, None, scatter(*key)) == Some(0)).count();
        assert!((900..1_100).contains(&busy), "{busy}");
    }

    #[test]
    fn a_hash_keeps_its_server_and_a_consistent_one_moves_only_what_it_must() {
        for consistent in [false, true] {
            let mut servers = Servers::new(10, Balance::Source, consistent, u32::MAX, 0);
            let all = |s: &mut Servers| -> Vec<u16> {
                (0..10_000).map(|key| s.choose(0, None, key).expect("some are up")).collect()
            };
            let before = all(&mut servers);
            assert_eq!(before, all(&mut servers));
            take_down(&mut servers, 3);
            let after = all(&mut servers);
            let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
            let lost = before.iter().filter(|s| **s == 3).count();
            if consistent {
                assert_eq!(moved, lost, "only those of the lost server");
            } else {
                assert!(moved > 8_000, "nearly all: {moved}");
            }
        }
    }

    #[test]
    fn a_full_server_is_passed_over_but_not_by_a_hash() {
        let mut servers = Servers::new(2, Balance::RoundRobin, false, 1, 0);
        servers.begin(0);
        assert_eq!((servers.choose(0, None, 0), servers.choose(0, None, 0)), (Some(1), Some(1)));
        servers.begin(1);
        assert_eq!(servers.choose(0, None, 0), None);
        let mut sticky = Servers::new(1, Balance::Source, false, 1, 0);
        sticky.begin(0);
        assert_eq!(sticky.choose(0, None, 0), Some(0));
    }

    #[test]
    fn the_limit_of_a_server_that_came_back_grows_with_its_share() {
        let second = 1_000_000_000;
        let mut servers = Servers::new(1, Balance::RoundRobin, false, 8, 10 * second);
        servers.learn(0, false, 1, 1, second);
        servers.learn(0, true, 1, 1, 100 * second);
        for (at, limit) in [(100, 1), (102, 1), (103, 2), (105, 4), (109, 7), (110, 8), (200, 8)] {
            let mut sent = 0;
            while servers.choose(at * second, None, 0).is_some() {
                servers.begin(0);
                sent += 1;
            }
            assert_eq!(sent, limit, "{at} s");
            (0..sent).for_each(|_| servers.end(0));
        }
        assert_eq!(servers.warm_up_step(109 * second), Some(second));
        assert_eq!(servers.warm_up_step(110 * second), None);
    }

    #[test]
    fn a_server_that_came_back_gets_its_share_by_and_by() {
        let second = 1_000_000_000;
        for balance in [Balance::RoundRobin, Balance::LeastConnections, Balance::Random] {
            let mut servers = Servers::new(2, balance, false, u32::MAX, 10 * second);
            servers.learn(1, false, 1, 1, second);
            servers.learn(1, true, 1, 1, 100 * second);
            let mut share = |at: u64| {
                let mut count = 0;
                for i in 0..1_000 {
                    let server = servers.choose(at, None, scatter(i)).expect("both are up");
                    count += u32::from(server);
                    // Each request holds its server for twenty more.
                    servers.begin(server);
                }
                (0..2).for_each(|s| (0..servers.all[usize::from(s)].active).for_each(|_| servers.end(s)));
                count
            };
            let (early, late, full) = (share(101 * second), share(105 * second), share(111 * second));
            assert!(early < 150 && early < late && late < 400, "{balance:?}: {early}, {late}");
            assert!((480..=520).contains(&full), "{balance:?}: {full}");
        }
    }
}
