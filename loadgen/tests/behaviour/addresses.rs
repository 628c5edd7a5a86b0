//! Users who come from addresses of their own, which change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use loadgen::{Address, Error, Options};
use results::Scope;
use scenarios::Scenario;
use scenarios::plan::{Plan, Planned};

use crate::support::{Server, answer, counts, entries_at, field, play, scenario_of, text_of, try_at};

/// By request: where its connection came from.
type Seen = Arc<Mutex<BTreeMap<u64, SocketAddr>>>;

fn noting() -> (Server, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let server = Server::noting(move |stream, request| {
        let id = u64::from_str_radix(&field(request, "x-rehearsal-request"), 16).expect("a number");
        let peer = stream.peer_addr().expect("it is connected");
        noted.lock().expect("no thread panics with the lock").insert(id, peer);
        answer(stream)
    });
    (server, seen)
}

fn walking(lines: &str) -> Scenario {
    let session = "session = { requests = 6, think = \"5ms\", address_change = \"30%\" }";
    let executor = "executor = \"constant-arrival-rate\"\nrate = \"40/s\"\narrivals = \"uniform\"\nmix = { product = 1 }";
    scenario_of(2, &format!("{executor}\n{session}\n{lines}"), "", "")
}

fn threads(number: u32) -> Options {
    let mut options = Options::default();
    options.threads = NonZeroU32::new(number).expect("not zero");
    options
}

/// The number that stands for the address of each request that was seen, as the simulator's balancers hash it.
fn planned(scenario: &Scenario, seen: &BTreeMap<u64, SocketAddr>) -> BTreeMap<u64, u64> {
    let plan = Plan::new(scenario);
    let mut of = BTreeMap::new();
    for Planned { traffic, id, .. } in plan.requests() {
        let sessions = plan.sessions(traffic).expect("its traffic is one of sessions");
        let mut walk = sessions.start(id);
        loop {
            of.insert(walk.id.0, walk.address());
            match sessions.follow(&walk) {
                Some((_, next)) => walk = next,
                None => break,
            }
        }
    }
    of.retain(|id, _| seen.contains_key(id));
    of
}

/// Plays it, and checks that every request came from its user's address; how many connections there were, and how many pairs of a
/// session and an address.
fn play_and_check(scenario: &Scenario, options: Options) -> (usize, usize) {
    let (server, seen) = noting();
    let record = play(scenario, server.address, options);
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, failed), (ok, 0), "{:?}", record.tally(Scope::Run, None).failures);
    let seen = seen.lock().expect("no thread panics with the lock");
    let of = planned(scenario, &seen);
    assert!(of.len() == seen.len() && of.len() > 300, "{} requests", of.len());
    // One number, one address; and two users share one by chance alone.
    let pairs: BTreeSet<(u64, IpAddr)> = of.iter().map(|(id, number)| (*number, seen[id].ip())).collect();
    let numbers: BTreeSet<u64> = of.values().copied().collect();
    let addresses: BTreeSet<IpAddr> = pairs.iter().map(|pair| pair.1).collect();
    assert_eq!(pairs.len(), numbers.len(), "an address for each");
    assert!(addresses.len() + 2 > numbers.len(), "{} addresses for {}", addresses.len(), numbers.len());
    let is_a_users =
        |address: &IpAddr| matches!(address, IpAddr::V4(v4) if v4.is_loopback() && v4.octets()[1] > 0);
    assert!(addresses.iter().all(is_a_users), "{addresses:?}");
    // Of six requests five may come from elsewhere than the one before.
    let moved = of.iter().filter(|(id, number)| of.get(&(*id - 1)).is_some_and(|before| before != *number));
    let share = moved.count() as f64 / (of.len() as f64 * 5.0 / 6.0);
    assert!((0.2..0.4).contains(&share), "{share} of the requests came from another address");
    let connections: BTreeSet<SocketAddr> = seen.values().copied().collect();
    (connections.len(), pairs.len())
}

#[test]
fn a_user_comes_from_one_address_over_one_connection_until_it_changes() {
    let (connections, pairs) = play_and_check(&walking("connections = 600"), threads(2));
    assert_eq!(connections, pairs);
}

#[test]
fn users_who_share_few_connections_still_come_from_their_own_addresses() {
    let (connections, pairs) = play_and_check(&walking("connections = 3"), threads(1));
    assert!(connections >= pairs, "{connections} connections for {pairs} addresses");
}

#[test]
fn a_session_with_a_connection_of_its_own_has_another_when_its_address_changes() {
    let (connections, pairs) = play_and_check(&walking("connections = 60\nreuse = \"session\""), threads(2));
    assert_eq!(connections, pairs);
}

/// A traffic with these lines that meets a balancer with this rule.
fn balanced(lines: &str, rule: &str) -> Scenario {
    let balancer =
        "[hosts.edge]\n[components.front]\nkind = \"load-balancer\"\nhost = \"edge\"\nto = \"shop\"";
    let text = text_of(2, lines, "", &format!("{balancer}\nbalance = \"{rule}\""));
    let text = text.replace("[traffic.shops]\nto = \"shop\"", "[traffic.shops]\nto = \"front\"");
    Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A balancer that hashes addresses would lead all users to one server, if they came from one.
#[test]
fn users_of_a_closed_loop_come_from_their_own_addresses_where_a_balancer_looks_at_them() {
    let lines = "executor = \"constant-vus\"\nmix = { product = 1 }\nvus = 12\nthink = \"20ms\"";
    for (rule, expected) in [("source", 12), ("round-robin", 1)] {
        let (server, seen) = noting();
        let record = play(&balanced(lines, rule), server.address, Options::default());
        assert_eq!(counts(&record).2, 0);
        let seen = seen.lock().expect("no thread panics with the lock");
        let of: BTreeSet<(u64, IpAddr)> = seen.iter().map(|(id, peer)| (id >> 38, peer.ip())).collect();
        assert_eq!(of.len(), 12, "each user has one");
        let addresses: BTreeSet<IpAddr> = of.into_iter().map(|pair| pair.1).collect();
        assert_eq!(addresses.len(), expected, "{rule}");
    }
}

#[test]
fn connections_without_users_come_from_their_own_addresses_where_a_balancer_looks_at_them() {
    let lines =
        "executor = \"constant-arrival-rate\"\nrate = \"100/s\"\nmix = { product = 1 }\nconnections = 20";
    for (rule, expected) in [("source", 20), ("least-connections", 1)] {
        let (server, seen) = noting();
        let record = play(&balanced(lines, rule), server.address, threads(2));
        assert_eq!(counts(&record).2, 0);
        let seen = seen.lock().expect("no thread panics with the lock");
        let addresses: BTreeSet<IpAddr> = seen.values().map(SocketAddr::ip).collect();
        assert_eq!(addresses.len(), expected, "{rule}");
    }
}

#[test]
fn addresses_that_change_are_refused_where_a_client_has_but_one() {
    let scenario = walking("");
    for address in [Address::Unix("/nowhere".into()), Address::Tcp(SocketAddr::from(([10, 0, 0, 7], 80)))] {
        let (entries, stop) = (entries_at(&[(address, "shop.test")]), AtomicBool::new(false));
        let error = try_at(&scenario, &entries, Options::default(), &stop, &mut |_| {});
        let Err(error @ Error::Addresses { .. }) = error else { panic!("{error:?}") };
        assert!(error.to_string().starts_with("traffic.shops.session.address_change: "), "{error}");
    }
}
