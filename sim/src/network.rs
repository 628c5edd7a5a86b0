//! The network: how long a message takes from one machine to another, and what TCP makes of what gets lost.
//!
//! Pure: knows places, ways and their state; who sends what is `connect`'s. Rules and sources: `docs/network.md`.

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::rng::Stream;
use scenarios::scenario::{HostId, Place};

/// What one segment carries: an Ethernet frame of 1,500 bytes less IP, TCP and its time stamps.
const SEGMENT_BYTES: u64 = 1_448;
/// What Linux adds to the smoothed round trip at least before it sends a segment again (`TCP_RTO_MIN`, 200 ms; RFC 6298
/// would have a second in all).
const RTO_MIN_NANOS: u64 = 200_000_000;
/// The longest wait before a segment is sent again (`TCP_RTO_MAX`).
const RTO_MAX_NANOS: u64 = 120_000_000_000;
/// How often Linux sends a segment again before it gives the connection up (`tcp_retries2`).
const RETRIES: u32 = 15;
/// Segments that a new connection may have under way (RFC 6928).
const INITIAL_WINDOW: u64 = 10;

/// A way between two places, in one direction.
#[derive(Clone, Debug, Default)]
struct Way {
    /// The link of the file, if one joins the places.
    link: Option<usize>,
    /// What faults add at present.
    added: Vec<DurationLaw>,
    /// The share of packets that get through what faults take away.
    kept: f64,
    /// Until when nothing gets through; zero where everything does.
    cut_until: u64,
}

/// A link's properties, and when each direction is free.
#[derive(Clone, Debug)]
struct Link {
    latency: Option<DurationLaw>,
    nanos_per_byte: f64,
    loss: f64,
    free_at: [f64; 2],
}

/// A machine's network interface: what it sends and what it gets pass it in turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interface {
    /// Zero where it is as fast as it need be.
    nanos_per_byte: f64,
    /// When it has sent, and has got, all so far.
    free_at: [f64; 2],
    /// Time that it was busy with each and that was not yet reported, in nanoseconds.
    busy_nanos: [f64; 2],
}

/// The directions of an interface.
const OUT: usize = 0;
const IN: usize = 1;

impl Interface {
    fn pass(&mut self, direction: usize, bytes: u64, message: Passing) -> Passing {
        if self.nanos_per_byte == 0.0 {
            return message;
        }
        let sending = bytes as f64 * self.nanos_per_byte;
        self.busy_nanos[direction] += sending;
        message.through(sending, &mut self.free_at[direction])
    }

    /// The shares of the `nanos` since this was last asked in which it sent and in which it got something; none where it is
    /// as fast as it need be. A message is counted when it is sent off, so an interval can come out above 1.
    pub(crate) fn utilisation(&mut self, nanos: u64) -> Option<[f64; 2]> {
        let busy = std::mem::take(&mut self.busy_nanos);
        (self.nanos_per_byte > 0.0).then(|| busy.map(|busy| busy / nanos.max(1) as f64))
    }
}

/// When the first and the last byte of a message are at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Passing {
    first: f64,
    last: f64,
}

impl Passing {
    /// Through a station that takes `sending` for it and lets messages pass in the order in which they are sent (Lindley
    /// 1952). What follows a slow station gets no more than that lets through: packets do not wait for the whole message.
    fn through(self, sending: f64, free_at: &mut f64) -> Self {
        let first = self.first.max(*free_at);
        *free_at = first + sending;
        Self { first, last: self.last.max(first + sending) }
    }

    fn later(self, nanos: u64) -> Self {
        Self { first: self.first + nanos as f64, last: self.last + nanos as f64 }
    }
}

/// All ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// Whether there is any way that differs from none; checked before anything else is asked.
    pub(crate) active: bool,
    places: usize,
    /// The host of each machine.
    hosts: Vec<u16>,
    links: Vec<Link>,
    ways: Vec<Way>,
    /// By machine; empty where all are as fast as they need be.
    pub(crate) interfaces: Vec<Interface>,
}

/// A change that a fault makes to ways for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// Nothing gets through until this time.
    Cut(u64),
    /// Each packet takes longer.
    Delay(DurationLaw),
    /// A share of the packets is lost.
    Loss(f64),
}

/// Where a message starts or ends: a machine, or none for the clients.
pub(crate) type Machine = Option<u16>;

impl Network {
    /// `troubled` says whether a fault will ever change a way.
    pub(crate) fn new(scenario: &Scenario, troubled: bool) -> Self {
        let places = scenario.hosts.len() + 1;
        let hosts = (0_u16..).zip(&scenario.hosts).flat_map(|(i, h)| (0..h.count).map(move |_| i)).collect();
        let place = |ids: &[HostId], i: usize| ids.get(i).map_or(Place::Clients, |id| Place::Host(*id));
        let ids: Vec<HostId> = scenario.host_ids().collect();
        let mut ways = Vec::new();
        for a in 0..places {
            for b in 0..places {
                let link = scenario.network.between(place(&ids, a), place(&ids, b));
                ways.push(Way { link, kept: 1.0, ..Way::default() });
            }
        }
        let links = scenario.network.links.iter().map(|link| Link {
            latency: link.latency,
            nanos_per_byte: link.bandwidth.map_or(0.0, |b| 1e9 / b.as_bytes_per_second()),
            loss: link.loss.get(),
            free_at: [0.0; 2],
        });
        let links: Vec<Link> = links.collect();
        let mut interfaces = Vec::new();
        if scenario.hosts.iter().any(|host| host.nic.is_some()) {
            for host in &scenario.hosts {
                let nanos_per_byte = host.nic.map_or(0.0, |nic| 1e9 / nic.as_bytes_per_second());
                let interface = Interface { nanos_per_byte, ..Interface::default() };
                interfaces.extend((0..host.count).map(|_| interface));
            }
        }
        let active = troubled || !links.is_empty() || !interfaces.is_empty();
        Self { active, places, hosts, links, ways, interfaces }
    }

    /// The way's index; none from a machine to itself.
    fn way(&self, from: Machine, to: Machine) -> Option<usize> {
        if from == to {
            return None;
        }
        let place =
            |machine: Machine| machine.map_or(self.places - 1, |m| usize::from(self.hosts[usize::from(m)]));
        Some(place(from) * self.places + place(to))
    }

    /// Whether nothing gets through now.
    pub(crate) fn is_cut(&self, from: Machine, to: Machine, now: u64) -> bool {
        self.way(from, to).is_some_and(|way| self.ways[way].cut_until > now)
    }

    /// Whether messages take time, or may, on this way.
    pub(crate) fn joins(&self, from: Machine, to: Machine) -> bool {
        self.way(from, to).is_some_and(|w| {
            let way = &self.ways[w];
            way.link.is_some()
                || !way.added.is_empty()
                || way.kept < 1.0
                || way.cut_until > 0
                || self.nanos_per_byte_at(from) > 0.0
                || self.nanos_per_byte_at(to) > 0.0
        })
    }

    /// What a machine's interface takes for a byte.
    fn nanos_per_byte_at(&self, machine: Machine) -> f64 {
        machine.and_then(|m| self.interfaces.get(usize::from(m))).map_or(0.0, |i| i.nanos_per_byte)
    }

    fn interface(&mut self, machine: Machine) -> Option<&mut Interface> {
        machine.and_then(|m| self.interfaces.get_mut(usize::from(m)))
    }

    fn latency(&self, way: usize, stream: &mut Stream) -> u64 {
        let way = &self.ways[way];
        let own = way.link.and_then(|l| self.links[l].latency);
        own.iter().chain(&way.added).map(|law| law.sample(stream).as_nanos()).sum()
    }

    /// The share of packets that are lost.
    fn loss(&self, way: usize) -> f64 {
        let way = &self.ways[way];
        1.0 - (1.0 - way.link.map_or(0.0, |l| self.links[l].loss)) * way.kept
    }

    /// Whether a SYN or its answer is lost.
    pub(crate) fn loses_handshake(&self, from: Machine, to: Machine, stream: &mut Stream) -> bool {
        let Some(way) = self.way(from, to) else { return false };
        let loss = self.loss(way);
        loss > 0.0 && stream.unit() < 1.0 - (1.0 - loss).powi(2)
    }

    /// The time that a SYN and its answer take.
    pub(crate) fn round_trip(&self, from: Machine, to: Machine, stream: &mut Stream) -> u64 {
        match (self.way(from, to), self.way(to, from)) {
            (Some(there), Some(back)) => self.latency(there, stream) + self.latency(back, stream),
            _ => 0,
        }
    }

    /// How long after `now` a message of so many bytes is there entirely. A `fresh` connection starts slowly.
    pub(crate) fn transit(
        &mut self,
        (from, to): (Machine, Machine),
        bytes: u64,
        fresh: bool,
        now: u64,
        stream: &mut Stream,
    ) -> u64 {
        let Some(way) = self.way(from, to) else { return 0 };
        let latency = self.latency(way, stream);
        let round_trip = 2 * latency;
        let segments = bytes.div_ceil(SEGMENT_BYTES).max(1);
        let mut nanos_per_byte = self.nanos_per_byte_at(from).max(self.nanos_per_byte_at(to));
        let mut message = Passing { first: now as f64, last: now as f64 };
        if let Some(interface) = self.interface(from) {
            message = interface.pass(OUT, bytes, message);
        }
        if let Some(link) = self.ways[way].link {
            let link = &mut self.links[link];
            nanos_per_byte = link.nanos_per_byte.max(nanos_per_byte);
            if link.nanos_per_byte > 0.0 {
                let sending = bytes as f64 * link.nanos_per_byte;
                // A client's line is its own; what joins machines is shared by all of them.
                message = match from.is_some() && to.is_some() {
                    true => message.through(sending, &mut link.free_at[usize::from(from > to)]),
                    false => message.through(sending, &mut 0.0),
                };
            }
        }
        message = message.later(latency);
        if let Some(interface) = self.interface(to) {
            message = interface.pass(IN, bytes, message);
        }
        let mut arrival = (message.last - now as f64) as u64;
        if fresh {
            arrival += slow_start(segments, round_trip, nanos_per_byte);
        }
        let loss = self.loss(way);
        if loss > 0.0 {
            arrival += repairs(loss, segments, round_trip, stream);
        }
        let cut_until = self.ways[way].cut_until;
        if cut_until > now {
            arrival += again_after(cut_until - now, round_trip);
        }
        arrival
    }

    /// A fault begins to trouble a way, or, with `ends`, no longer does. `active` are the troubles of the faults that last.
    pub(crate) fn trouble(
        &mut self,
        ways: &[(usize, usize)],
        active: impl Fn((usize, usize)) -> Vec<Trouble>,
    ) {
        for &(a, b) in ways {
            let way = &mut self.ways[a * self.places + b];
            (way.added, way.kept, way.cut_until) = (Vec::new(), 1.0, 0);
            for trouble in active((a, b)) {
                match trouble {
                    Trouble::Cut(until) => way.cut_until = way.cut_until.max(until),
                    Trouble::Delay(law) => way.added.push(law),
                    Trouble::Loss(share) => way.kept *= 1.0 - share,
                }
            }
        }
    }
}

/// What slow start adds: a round trip for each doubling of the window until the message is out, or until the window holds
/// as much as the way does.
fn slow_start(segments: u64, round_trip: u64, nanos_per_byte: f64) -> u64 {
    let (mut window, mut sent, mut waited) = (INITIAL_WINDOW, INITIAL_WINDOW, 0);
    while sent < segments {
        let sending = (window * SEGMENT_BYTES) as f64 * nanos_per_byte;
        if sending >= round_trip as f64 {
            break;
        }
        // While the window is on its way out nothing is waited for.
        waited += round_trip - sending as u64;
        window *= 2;
        sent += window;
    }
    waited
}

/// What lost segments add. A lone segment is sent again after the retransmission timeout; where others follow it, their
/// acknowledgements tell of the loss after a round trip, and of a loss at the end a probe does after two (RFC 8985).
fn repairs(loss: f64, segments: u64, round_trip: u64, stream: &mut Stream) -> u64 {
    let message = 1.0 - (1.0 - loss).powf(segments as f64);
    if stream.unit() >= message {
        return 0;
    }
    let mut timeout = round_trip + RTO_MIN_NANOS;
    let mut waited = match segments {
        1 => timeout,
        _ if stream.unit() * segments as f64 >= 3.0 => round_trip,
        _ => 2 * round_trip,
    };
    for _ in 0..RETRIES {
        if stream.unit() >= loss {
            break;
        }
        waited += timeout;
        timeout = (2 * timeout).min(RTO_MAX_NANOS);
    }
    waited
}

/// When the first try after a cut of this length is made: the tries are further and further apart.
pub(crate) fn again_after(cut: u64, round_trip: u64) -> u64 {
    let mut timeout = round_trip + RTO_MIN_NANOS;
    let mut waited = 0;
    while waited < cut {
        waited += timeout;
        timeout = (2 * timeout).min(RTO_MAX_NANOS);
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
    fn a_new_connection_waits_a_round_trip_for_each_doubling() {
        assert_eq!(slow_start(10, 100 * MS, 0.0), 0);
        assert_eq!(slow_start(11, 100 * MS, 0.0), 100 * MS);
        assert_eq!(slow_start(30, 100 * MS, 0.0), 100 * MS);
        assert_eq!(slow_start(31, 100 * MS, 0.0), 200 * MS);
        // At 1 Mbit/s ten segments take 116 ms to send: the line is the limit, not the window.
        assert_eq!(slow_start(1_000, 100 * MS, 8_000.0), 0);
    }

    #[test]
    fn a_lone_lost_segment_costs_the_timeout_and_a_later_one_a_round_trip() {
        let mut stream = Stream::new(Seed(7), Purpose::named("test"), 1);
        let draws = 200_000;
        let mut mean = |loss, segments| {
            let sum: u64 = (0..draws).map(|_| repairs(loss, segments, 10 * MS, &mut stream)).sum();
            sum as f64 / f64::from(draws) / 1e6
        };
        // One segment: 1% × 210 ms, and 1% of those again 210 ms: 2.12 ms.
        let lone = mean(0.01, 1);
        assert!((lone - 2.12).abs() < 0.15, "{lone}");
        // A hundred: 63% × about 10.3 ms, and 1% of those again 210 ms: 7.8 ms.
        let many = mean(0.01, 100);
        assert!((many - 7.86).abs() < 0.2, "{many}");
    }

    #[test]
    fn packets_flow_on_while_a_message_is_sent_and_those_of_two_senders_share_a_receiver() {
        let interface = |nanos_per_byte| Interface { nanos_per_byte, ..Interface::default() };
        let (mut fast, mut other, mut receiver) = (interface(8.0), interface(8.0), interface(8.0));
        let now = Passing { first: 0.0, last: 0.0 };
        let mut send = |from: &mut Interface| {
            let message = from.pass(OUT, 1_000, now).later(100);
            receiver.pass(IN, 1_000, message).last
        };
        // 8,000 ns and the way, not twice 8,000; the second sender's message waits at the receiver.
        assert_eq!([send(&mut fast), send(&mut other)], [8_100.0, 16_100.0]);
        // A slow sender leaves the receiver room for others.
        let (mut slow, mut receiver) = (interface(80.0), interface(8.0));
        let message = receiver.pass(IN, 1_000, slow.pass(OUT, 1_000, now));
        assert_eq!((message.last, receiver.free_at[IN]), (80_000.0, 8_000.0));
    }

    #[test]
    fn after_a_cut_the_next_of_ever_rarer_tries_gets_through() {
        assert_eq!(again_after(1, 0), 200 * MS);
        assert_eq!(again_after(600 * MS, 0), 600 * MS);
        assert_eq!(again_after(601 * MS, 0), 1_400 * MS);
        assert_eq!(again_after(10_000 * MS, 0), 12_600 * MS);
    }
}
