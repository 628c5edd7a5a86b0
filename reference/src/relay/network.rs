//! What the ways between machines do to what is sent over them. Knows neither sockets nor tasks: it is told when how many bytes
//! are sent from where to where, and says when they are there.
//!
//! What TCP would do about a lossy, long or broken way is worked out here as a delay, for the relay's own connections are over
//! loopback, which loses nothing. Rules and sources stand in `docs/network.md`.

use std::collections::BTreeSet;

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::rng::Stream;
use scenarios::scenario::{ComponentId, FaultKind, FaultTarget, HostId, Place};

/// A machine, by its host and its number there; none for the clients.
pub(crate) type Machine = Option<(HostId, u32)>;

/// What one packet carries of a stream: 1,500 bytes without the heads of IP and TCP and its time stamps.
const PACKET_BYTES: usize = 1_448;
/// Linux waits at least so much longer than a round trip until it repeats a packet (`TCP_RTO_MIN`, include/net/tcp.h).
const PATIENCE_NANOS: u64 = 200_000_000;
/// And at most so long (`TCP_RTO_MAX`).
const LONGEST_PATIENCE_NANOS: u64 = 120_000_000_000;
/// Packets that may be under way on a new connection (RFC 6928).
const FIRST_WINDOW: usize = 10;
/// A SYN is repeated after this, and so many times more (`tcp_syn_linear_timeouts`), before the wait doubles: 1, 2, 3, 4, 5, 7, 11, 19,
/// 35 and 67 s after the first (Linux's `Documentation/networking/ip-sysctl.rst`, `tcp_syn_retries`).
const SYN_NANOS: u64 = 1_000_000_000;
const EVEN_SYNS: u32 = 4;
/// Tries after which Linux gives a connection up.
const MOST_TRIES: u32 = 10;

/// Something that bytes pass one after the other: a line, or a machine's interface in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Station {
    /// Zero where it is as fast as it need be.
    nanos_per_byte: f64,
    free_at: u64,
}

/// When the first and the last byte are at a place.
type Span = (u64, u64);

impl Station {
    fn new(bytes_per_second: Option<f64>) -> Self {
        Self { nanos_per_byte: bytes_per_second.map_or(0.0, |rate| 1e9 / rate), free_at: 0 }
    }

    /// First come, first served. Bytes go on while those behind them still come, so what comes slowly leaves as it comes.
    fn pass(&mut self, bytes: usize, (first, last): Span) -> Span {
        if self.nanos_per_byte == 0.0 {
            return (first, last);
        }
        let takes = (bytes as f64 * self.nanos_per_byte) as u64;
        let first = first.max(self.free_at);
        self.free_at = first + takes;
        (first, last.max(self.free_at))
    }
}

/// A way that the file describes.
#[derive(Clone, Debug)]
struct Link {
    latency: Option<DurationLaw>,
    loss: f64,
    /// One for each direction, for all machines together.
    lines: [Station; 2],
}

/// All ways, and what faults do to them at present.
#[derive(Debug)]
pub(super) struct Network {
    scenario: Scenario,
    links: Vec<Link>,
    /// What each machine of each host sends through, and what it gets through.
    interfaces: Vec<Vec<[Station; 2]>>,
    /// Faults that last, by their places in the scenario.
    lasting: BTreeSet<usize>,
}

/// What is known of one direction of a connection, beside what it shares with others.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// A client's own line.
    own_line: Option<Station>,
    /// Of the message that is being sent: what its packets take.
    latency_nanos: u64,
    /// Packets of the first message so far; none after it.
    first_message: Option<usize>,
    /// Nothing overtakes what was sent before.
    last_arrival: u64,
}

impl Network {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let links = scenario.network.links.iter().map(|link| {
            let line = Station::new(link.bandwidth.map(|b| b.as_bytes_per_second()));
            Link { latency: link.latency, loss: link.loss.get(), lines: [line; 2] }
        });
        let interfaces = scenario.hosts.iter().map(|host| {
            let station = Station::new(host.nic.map(|nic| nic.as_bytes_per_second()));
            vec![[station; 2]; host.count as usize]
        });
        Self {
            links: links.collect(),
            interfaces: interfaces.collect(),
            lasting: BTreeSet::new(),
            scenario: scenario.clone(),
        }
    }

    /// A fault begins or ends.
    pub(super) fn trouble(&mut self, fault: usize, lasts: bool) {
        let _was = if lasts { self.lasting.insert(fault) } else { self.lasting.remove(&fault) };
    }

    /// The kinds of the faults that trouble the way between two machines at present.
    fn troubles(&self, from: Machine, to: Machine) -> impl Iterator<Item = FaultKind> {
        let (from, to) = (place(from), place(to));
        self.lasting.iter().filter_map(move |fault| {
            let fault = self.scenario.faults.get(*fault)?;
            fault.targets.iter().any(|target| is_way(target, from, to)).then_some(fault.kind)
        })
    }

    /// Whether nothing gets through between two machines, or to and from the instance that is talked to.
    pub(super) fn is_silent(
        &self,
        (from, to): (Machine, Machine),
        (component, number): (usize, u32),
    ) -> bool {
        let instance = self.scenario.component_ids().nth(component);
        self.troubles(from, to).any(|kind| kind == FaultKind::Partition)
            || instance.is_some_and(|component| self.is_unplugged(component, number))
    }

    /// Whether a server of another make is unplugged at present. The stack's own components fall silent by themselves.
    fn is_unplugged(&self, component: ComponentId, number: u32) -> bool {
        let lasting = self.lasting.iter().filter_map(|fault| self.scenario.faults.get(*fault));
        lasting.filter(|fault| fault.kind == FaultKind::Unplug).any(|fault| {
            fault.targets.iter().any(|target| hits(&self.scenario, target, component, Some(number)))
        })
    }

    fn link(&self, from: Machine, to: Machine) -> Option<usize> {
        self.scenario.network.between(place(from), place(to))
    }

    fn latency(&self, from: Machine, to: Machine, stream: &mut Stream) -> u64 {
        let own = self.link(from, to).and_then(|link| self.links[link].latency);
        let added = self.troubles(from, to).filter_map(|kind| match kind {
            FaultKind::PacketDelay { added } => Some(added),
            _ => None,
        });
        own.into_iter().chain(added).map(|law| law.sample(stream).as_nanos()).sum()
    }

    /// The share of packets that are lost.
    fn loss(&self, from: Machine, to: Machine) -> f64 {
        let own = self.link(from, to).map_or(0.0, |link| self.links[link].loss);
        let kept = self.troubles(from, to).map(|kind| match kind {
            FaultKind::PacketLoss { share } => 1.0 - share.get(),
            _ => 1.0,
        });
        1.0 - kept.fold(1.0 - own, |all, one| all * one)
    }

    /// How long after a SYN was sent it is there, and how long after that its sender knows.
    pub(super) fn handshake(&self, from: Machine, to: Machine, stream: &mut Stream) -> (u64, u64) {
        let got_through = (1.0 - self.loss(from, to)) * (1.0 - self.loss(to, from));
        let mut waited = 0;
        let mut tries = 0;
        while got_through < 1.0 && tries < MOST_TRIES && stream.unit() >= got_through {
            waited += syn_wait(tries);
            tries += 1;
        }
        (waited + self.latency(from, to, stream), self.latency(to, from, stream))
    }

    /// When bytes that are sent now are there. `begins` says whether the other side has spoken since the last ones, so that
    /// these are the first of a message.
    pub(super) fn arrival(
        &mut self,
        (from, to): (Machine, Machine),
        flow: &mut Flow,
        begins: bool,
        bytes: usize,
        now: u64,
        stream: &mut Stream,
    ) -> u64 {
        if begins {
            flow.latency_nanos = self.latency(from, to, stream);
        }
        let round_trip = 2 * flow.latency_nanos;
        let mut span = (now, now);
        let mut slowest: f64 = 0.0;
        if let Some((host, number)) = from {
            let station = &mut self.interfaces[host.index()][number as usize][0];
            span = station.pass(bytes, span);
            slowest = slowest.max(station.nanos_per_byte);
        }
        if let Some(link) = self.link(from, to) {
            let shared = &mut self.links[link].lines[usize::from(from > to)];
            // A client's line is its own.
            let is_own = from.is_none() || to.is_none();
            let line = if is_own { flow.own_line.get_or_insert(*shared) } else { shared };
            span = line.pass(bytes, span);
            slowest = slowest.max(line.nanos_per_byte);
        }
        span = (span.0 + flow.latency_nanos, span.1 + flow.latency_nanos);
        if let Some((host, number)) = to {
            let station = &mut self.interfaces[host.index()][number as usize][1];
            span = station.pass(bytes, span);
            slowest = slowest.max(station.nanos_per_byte);
        }
        let packets = bytes.div_ceil(PACKET_BYTES).max(1);
        let mut arrival = span.1;
        if let Some(sent) = &mut flow.first_message {
            *sent += packets;
            arrival += window_waits(*sent, round_trip, slowest);
        }
        let loss = self.loss(from, to);
        if loss > 0.0 {
            arrival += repairs(loss, packets, round_trip, stream);
        }
        flow.last_arrival = flow.last_arrival.max(arrival);
        flow.last_arrival
    }

    /// How long after it was first sent something is there that was sent while nothing got through, for so long.
    pub(super) fn after_cut(&self, flow: &Flow, cut_nanos: u64) -> u64 {
        let mut patience = 2 * flow.latency_nanos + PATIENCE_NANOS;
        let mut waited = 0;
        while waited < cut_nanos {
            waited += patience;
            patience = (2 * patience).min(LONGEST_PATIENCE_NANOS);
        }
        waited + flow.latency_nanos
    }
}

impl Flow {
    /// Of a new connection, which starts slowly.
    pub(super) fn new() -> Self {
        Self { first_message: Some(0), ..Self::default() }
    }

    /// The first message is over.
    pub(super) fn warm(&mut self) {
        self.first_message = None;
    }

    /// Nothing that is sent from now on is there before that.
    pub(super) fn not_before(&mut self, arrival: u64) {
        self.last_arrival = self.last_arrival.max(arrival);
    }
}

/// How long Linux waits for the answer to a SYN after it was sent so often before.
fn syn_wait(tries: u32) -> u64 {
    SYN_NANOS << tries.saturating_sub(EVEN_SYNS).min(30)
}

/// How long after the first SYN its next repetition is sent, if the last ones were lost for so long.
pub(super) fn repeated_syn(lost_nanos: u64) -> u64 {
    let (mut sent, mut tries) = (0, 0);
    while sent < lost_nanos && tries < MOST_TRIES {
        sent += syn_wait(tries);
        tries += 1;
    }
    sent
}

fn place(machine: Machine) -> Place {
    machine.map_or(Place::Clients, |(host, _)| Place::Host(host))
}

fn is_way(target: &FaultTarget, from: Place, to: Place) -> bool {
    matches!(*target, FaultTarget::Way(a, b) if (a, b) == (from, to) || (a, b) == (to, from))
}

/// Whether what is broken is an instance of this component, which is a server of another make, or its machine; any instance of it
/// without a number.
fn hits(scenario: &Scenario, target: &FaultTarget, component: ComponentId, number: Option<u32>) -> bool {
    let description = scenario.component(component);
    let is_it = match *target {
        FaultTarget::Component(hit, n) => hit == component && number.is_none_or(|number| number == n),
        FaultTarget::Host(host, n) => host == description.host && number.is_none_or(|number| number == n),
        FaultTarget::Way(..) => false,
    };
    is_it && description.server().is_some()
}

/// Whether a server of another make is ever unplugged, which is done here, for it cannot be told to fall silent.
pub(crate) fn is_ever_unplugged(scenario: &Scenario, component: ComponentId) -> bool {
    let unplugs = scenario.faults.iter().filter(|fault| fault.kind == FaultKind::Unplug);
    unplugs.flat_map(|fault| &fault.targets).any(|target| hits(scenario, target, component, None))
}

/// Whether anything ever tells the way between two different machines from none.
pub(crate) fn matters(scenario: &Scenario, from: Machine, to: Machine) -> bool {
    let has_interface = |machine: Machine| machine.is_some_and(|(host, _)| scenario.host(host).nic.is_some());
    let (a, b) = (place(from), place(to));
    let is_troubled = || scenario.faults.iter().any(|fault| fault.targets.iter().any(|t| is_way(t, a, b)));
    from != to
        && (scenario.network.between(a, b).is_some()
            || has_interface(from)
            || has_interface(to)
            || is_troubled())
}

/// What slow start adds until so many packets of a first message are out: each time the window is spent, its sender waits
/// until the first of them is acknowledged, unless sending them took that long; then the window has doubled.
fn window_waits(packets: usize, round_trip: u64, nanos_per_byte: f64) -> u64 {
    let mut waits = 0;
    let (mut window, mut room) = (FIRST_WINDOW, FIRST_WINDOW);
    while packets > room {
        let sending = ((window * PACKET_BYTES) as f64 * nanos_per_byte) as u64;
        let Some(idle) = round_trip.checked_sub(sending).filter(|idle| *idle > 0) else { break };
        waits += idle;
        window *= 2;
        room += window;
    }
    waits
}

/// What the loss of packets among some that are sent together adds. One that is followed by three others is missed after a
/// round trip (RFC 5681); one of the last three after two, when the last was sent again to find out (RFC 8985); a lone one,
/// and one whose repetition is lost, after the timeout.
fn repairs(loss: f64, packets: usize, round_trip: u64, stream: &mut Stream) -> u64 {
    let none_lost = (1.0 - loss).powf(packets as f64);
    if stream.unit() < none_lost {
        return 0;
    }
    let mut patience = round_trip + PATIENCE_NANOS;
    let is_last = packets <= 3 || stream.below(packets as u64) + 3 >= packets as u64;
    let mut waited = match (packets, is_last) {
        (1, _) => patience,
        (_, true) => 2 * round_trip,
        (_, false) => round_trip,
    };
    let mut tries = 1;
    while tries < MOST_TRIES && stream.unit() < loss {
        waited += patience;
        patience = (2 * patience).min(LONGEST_PATIENCE_NANOS);
        tries += 1;
    }
    waited
}

#[cfg(test)]
mod tests {
    use scenarios::rng::Purpose;
    use scenarios::units::Seed;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_line_takes_its_time_for_each_byte_and_serves_in_order() {
        // A megabyte a second.
        let mut line = Station::new(Some(1e6));
        assert_eq!(line.pass(1000, (0, 0)), (0, MS));
        assert_eq!(line.pass(1000, (0, 0)), (MS, 2 * MS), "behind the first");
        assert_eq!(
            line.pass(1000, (5 * MS, 9 * MS)),
            (5 * MS, 9 * MS),
            "what comes slowly leaves as it comes"
        );
        assert_eq!(Station::new(None).pass(1000, (3, 4)), (3, 4));
    }

    #[test]
    fn a_new_connection_waits_a_round_trip_for_each_doubling_unless_the_line_is_slower() {
        let waits = |packets| window_waits(packets, 100 * MS, 0.0) / MS;
        assert_eq!([10, 11, 30, 31, 70, 71].map(waits), [0, 100, 100, 200, 200, 300]);
        // Ten packets take 116 ms at a megabit a second.
        assert_eq!(window_waits(1000, 100 * MS, 8_000.0), 0);
    }

    #[test]
    fn a_syn_is_repeated_each_second_and_then_more_and_more_seldom() {
        let seconds = |lost: u64| repeated_syn(lost * MS) / (1000 * MS);
        assert_eq!([20, 1000, 1001, 3999, 4001, 5001, 50_000].map(seconds), [1, 1, 2, 4, 5, 7, 67]);
    }

    #[test]
    fn a_lost_packet_costs_what_tcp_takes_to_notice() {
        let mut stream = Stream::new(Seed(11), Purpose::named("test"), 1);
        let mut mean = |loss, packets| {
            let all: u64 = (0..100_000).map(|_| repairs(loss, packets, 10 * MS, &mut stream)).sum();
            all as f64 / 100_000.0 / 1e6
        };
        // 2% of them wait 210 ms, and 2% of those 210 ms more.
        let lone = mean(0.02, 1);
        assert!((lone - 0.02 * 210.0 * 1.02).abs() < 0.25, "{lone}");
        // 1 - 0.98^50 = 63.6% wait 10 ms, or 20 in 3 of 50 cases, and 2% of those 210 ms more.
        let many = mean(0.02, 50);
        assert!((many - 0.636 * (10.6 + 0.02 * 210.0)).abs() < 0.4, "{many}");
    }
}
