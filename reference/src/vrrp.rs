//! A virtual address, as the instances see it that share it: by VRRP's rules (RFC 5798), whoever holds it says so by a datagram
//! every interval, and whoever hears nothing for three of them and a skew claims it.
//!
//! The datagrams go over sockets of the Unix domain, not through the network between the machines. Who gets the address is the
//! supervisor's to say, which first makes sure that the old holder has none.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdUnixDatagram};
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::{ComponentKind, Vip};
use tokio::net::UnixDatagram;
use tokio::time::{Instant, sleep_until};

use crate::child::say;
use crate::component::Context;
use crate::message::Word;

/// Advertisements that are missed before the holder is (section 6.1, `Master_Down_Interval`).
const MISSED: u32 = 3;
/// The priority with which a holder says that it gives the address up (section 5.2.4).
pub(crate) const RESIGNS: u8 = 0;
/// That of the second instance, as Keepalived's passive one has it; the first has one more, each further one less.
const PASSIVE: u8 = 100;

/// The address of an instance's socket, in the abstract namespace: nothing is left of it. The name has a random part.
pub(crate) fn socket_address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

/// The virtual address of a component, if it has one.
pub(crate) fn of(kind: &ComponentKind) -> Option<Vip> {
    match kind {
        ComponentKind::LoadBalancer(balancer) => balancer.vip,
        ComponentKind::SqlStore(store) => store.vip,
        _ => None,
    }
}

fn priority(number: u32) -> u8 {
    (PASSIVE + 1).saturating_sub(u8::try_from(number).unwrap_or(PASSIVE)).max(1)
}

/// What an instance is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Advertise,
    Claim,
}

/// The state machine of section 6.4, of one instance. The supervisor's word takes the place of the transition to master.
#[derive(Debug)]
struct Election {
    priority: u8,
    preempt: bool,
    interval: Duration,
    holds: bool,
    /// When its next turn is, if nothing happens before.
    next: Instant,
}

impl Election {
    fn new(number: u32, rules: &Vip, holds: bool, now: Instant) -> Self {
        let interval = rules.advertise.as_duration();
        let mut election =
            Self { priority: priority(number), preempt: rules.preempt, interval, holds, next: now };
        if !holds {
            election.next = now + election.down_interval();
        }
        election
    }

    fn skew(&self) -> Duration {
        self.interval.mul_f64((256.0 - f64::from(self.priority)) / 256.0)
    }

    fn down_interval(&self) -> Duration {
        self.interval * MISSED + self.skew()
    }

    /// An advertisement came.
    fn heard(&mut self, priority: u8, now: Instant) {
        match priority {
            _ if self.holds => {}
            RESIGNS => self.next = self.next.min(now + self.skew()),
            // An earlier instance does not follow a later one, so it claims the address in its time.
            lower if self.preempt && lower < self.priority => {}
            _ => self.next = now + self.down_interval(),
        }
    }

    /// Its turn has come.
    fn turn(&mut self, now: Instant) -> Turn {
        if self.holds {
            self.next = now + self.interval;
            Turn::Advertise
        } else {
            // Should nobody give it the address, it asks again.
            self.next = now + self.down_interval();
            Turn::Claim
        }
    }

    fn holds_from_now(&mut self, now: Instant) {
        self.holds = true;
        self.next = now;
    }
}

/// Takes part in the election, if the instance has a virtual address, as long as the process lives.
///
/// # Errors
/// Where there is no socket to be had.
pub(crate) fn start(context: &Rc<Context>) -> io::Result<()> {
    let component = context.scenario.component(context.component);
    let Some(rules) = of(&component.kind) else { return Ok(()) };
    // Those of a process that was killed are gone with it.
    let own = context.peers.get(context.instance as usize).ok_or_else(|| io::Error::other("no peers"))?;
    let socket = StdUnixDatagram::bind_addr(&socket_address(own)?)?;
    socket.set_nonblocking(true)?;
    let socket = UnixDatagram::from_std(socket)?;
    tokio::task::spawn_local(take_part(Rc::clone(context), socket, rules));
    Ok(())
}

async fn take_part(context: Rc<Context>, socket: UnixDatagram, rules: Vip) {
    let mut holding = context.holding.subscribe();
    let holds = *holding.borrow_and_update();
    let mut election = Election::new(context.instance, &rules, holds, Instant::now());
    let others = (0_u32..).zip(&context.peers).filter(|(number, _)| *number != context.instance);
    let others: Vec<&str> = others.map(|(_, name)| name.as_str()).collect();
    let speaker = StdUnixDatagram::unbound();
    let mut datagram = [0; 1];
    loop {
        tokio::select! {
            // What came while this process stood still counts before the time that passed.
            biased;
            heard = socket.recv(&mut datagram) => if heard.is_ok() {
                election.heard(datagram[0], Instant::now());
            },
            _ = holding.changed() => if *holding.borrow_and_update() {
                election.holds_from_now(Instant::now());
            },
            () = sleep_until(election.next) => match election.turn(Instant::now()) {
                Turn::Claim => say(&Word::Claim),
                Turn::Advertise => for name in &others {
                    // Who is not there hears nothing, and who does not read has heard enough.
                    if let (Ok(speaker), Ok(to)) = (&speaker, socket_address(name)) {
                        let _ = speaker.set_nonblocking(true);
                        let _ = speaker.send_to_addr(&[election.priority], &to);
                    }
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use scenarios::Scenario;

    use super::*;

    fn rules(vip: &str) -> Vip {
        let text = format!(
            "title = \"A pair\"\n[run]\nduration = \"1s\"\n[hosts.edge]\ncount = 2\n[hosts.app]\n\
             [components.front]\nkind = \"load-balancer\"\nhost = \"edge\"\nto = \"shop\"\nvip = {vip}\n\
             [components.shop]\nkind = \"service\"\nhost = \"app\"\nworkers = 1\n\
             [requests.page]\npath = \"/\"\n[[requests.page.steps]]\nwork = \"1ms\"\n\
             [traffic.users]\nto = \"front\"\nexecutor = \"constant-arrival-rate\"\nrate = \"1/s\"\nmix = {{ page = 1 }}\n"
        );
        let scenario = Scenario::parse("pair.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        of(&scenario.components[0].kind).expect("it has a virtual address")
    }

    #[test]
    fn a_passive_instance_claims_after_three_advertisements_and_a_skew() {
        let start = Instant::now();
        let after = |election: &Election| (election.next - start).as_millis();
        let mut passive = Election::new(1, &rules("{}"), false, start);
        assert_eq!(after(&passive), 3609, "156/256 of a second");
        passive.heard(priority(0), start + Duration::from_secs(1));
        assert_eq!(after(&passive), 4609);
        passive.heard(RESIGNS, start + Duration::from_secs(2));
        assert_eq!(after(&passive), 2609);
        assert_eq!(passive.turn(passive.next), Turn::Claim);
        passive.holds_from_now(start + Duration::from_secs(3));
        assert_eq!(passive.turn(passive.next), Turn::Advertise);
        assert_eq!(after(&passive), 4000);
    }

    #[test]
    fn an_earlier_instance_claims_what_a_later_one_holds_unless_told_not_to() {
        let start = Instant::now();
        let waits = |vip| {
            let mut first = Election::new(0, &rules(vip), false, start);
            first.heard(priority(1), start + Duration::from_secs(1));
            (first.next - start).as_millis()
        };
        assert_eq!((waits("{}"), waits("{ preempt = false }")), (3605, 4605));
    }
}
