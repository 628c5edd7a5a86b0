//! The addresses that users come from. On the loopback interface a client can have any of 127.0.0.0/8, so each user has one there, and
//! another one when the scenario changes it. Elsewhere all come from this machine's own.
//!
//! The stack's machines have addresses in 127.0.0.0/16, so users have none of these.

use std::net::{Ipv4Addr, SocketAddr};

use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Balance, ComponentKind, Executor, Traffic, TrafficId};
use scenarios::units::Seed;

use super::{Address, Entry};
use crate::error::Error;

const LOOP_USER: Purpose = Purpose::named("loop-user-address");
const CONNECTION: Purpose = Purpose::named("connection-address");

/// The address for a number that stands for one, such as the plan's [`Walk::address`](scenarios::plan::Walk::address). Some 16 million
/// are told apart.
pub(super) fn loopback(number: u64) -> Ipv4Addr {
    let [second, third, fourth] = [(number >> 24) % 255, (number >> 8) % 256, (number >> 40) % 254];
    Ipv4Addr::new(127, second as u8 + 1, third as u8, fourth as u8 + 1)
}

/// The number that stands for the address of a closed loop's user.
pub(super) fn of_loop_user(traffic: TrafficId, user: u32) -> u64 {
    number_of(LOOP_USER, traffic, user)
}

fn number_of(purpose: Purpose, traffic: TrafficId, number: u32) -> u64 {
    Stream::new(Seed(0), purpose, (traffic.index() as u64) << 32 | u64::from(number)).next_bits()
}

/// Where a connection comes from that no user has to itself, by its number, where a balancer looks at that: each is a client of its own.
pub(super) fn of_connection(
    scenario: &Scenario,
    traffic: TrafficId,
    entries: &[Entry],
    number: u32,
) -> Option<Ipv4Addr> {
    let source = &scenario.traffic[traffic.index()];
    let matters = !has_users(&source.executor) && meets_hash(scenario, source);
    (matters && entries.iter().all(is_loopback)).then(|| loopback(number_of(CONNECTION, traffic, number)))
}

/// Whether each user of a traffic comes from an address of its own: where addresses change, or the balancer that the users meet looks
/// at them, and connections can be told where they come from.
pub(super) fn are_own(scenario: &Scenario, traffic: TrafficId, entries: &[Entry]) -> bool {
    let source = &scenario.traffic[traffic.index()];
    let matters = has_users(&source.executor) && meets_hash(scenario, source) || change(&source.executor);
    matters && source.http2_streams.is_none() && entries.iter().all(is_loopback)
}

/// Whether whom a traffic meets chooses servers by addresses.
fn meets_hash(scenario: &Scenario, traffic: &Traffic) -> bool {
    match &scenario.component(traffic.to).kind {
        ComponentKind::LoadBalancer(balancer) => matches!(balancer.balance, Balance::Source),
        _ => false,
    }
}

fn has_users(executor: &Executor) -> bool {
    matches!(executor, Executor::Sessions(_) | Executor::Users(_))
}

fn change(executor: &Executor) -> bool {
    matches!(executor, Executor::Sessions(session) if session.address_change.get() > 0.0)
}

fn is_loopback(entry: &Entry) -> bool {
    matches!(entry.address, Address::Tcp(SocketAddr::V4(address)) if address.ip().is_loopback())
}

/// Checks that users whose addresses change can have others.
///
/// # Errors
/// Where they cannot.
pub(crate) fn check(scenario: &Scenario, by_traffic: &[Vec<Entry>]) -> Result<(), Error> {
    for (traffic, entries) in scenario.traffic.iter().zip(by_traffic) {
        let elsewhere = entries.iter().find(|entry| change(&traffic.executor) && !is_loopback(entry));
        if let Some(entry) = elsewhere {
            return Err(Error::Addresses {
                traffic: traffic.name.clone(),
                address: entry.address.to_string(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn users_have_addresses_of_their_own_and_none_of_a_machine() {
        let number = |i| Stream::new(Seed(3), Purpose::named("test"), i).next_bits();
        let addresses: HashSet<Ipv4Addr> = (0..10_000).map(|i| loopback(number(i))).collect();
        // Of 10,000 among 16 million three meet on average.
        assert!(addresses.len() > 9_980, "{}", addresses.len());
        for address in addresses.into_iter().chain([loopback(0), loopback(u64::MAX)]) {
            let [first, second, _, last] = address.octets();
            assert!(first == 127 && second > 0 && (1..255).contains(&last), "{address}");
        }
    }
}
