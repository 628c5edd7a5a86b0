//! The network between machines: which way joins which places.

use super::Validator;
use crate::diagnostic::nearest;
use crate::scenario::{Host, HostId, Link, Network, Place};
use crate::wire::decode::List;

/// One end of a way, as the file names it.
pub(super) struct End {
    pub(super) places: Vec<Place>,
    /// Whether it is named itself, and not by its zone.
    exact: bool,
    /// For messages and reports.
    pub(super) name: String,
}

impl Validator<'_> {
    pub(super) fn network(&mut self, hosts: &[Host]) -> Network {
        let files = self.file.network.0.clone();
        let places = hosts.len() + 1;
        let mut network = Network { links: Vec::new(), places, between: Vec::new() };
        if files.is_empty() {
            return network;
        }
        let number = |place: Place| match place {
            Place::Host(host) => host.index(),
            Place::Clients => places - 1,
        };
        // For each pair the link, and how exactly it names the pair.
        let mut found: Vec<Option<(u16, u8)>> = vec![None; places * places];
        for (i, file) in &files {
            let at = format!("network[{i}]");
            let link = network.links.len() as u16;
            network.links.push(Link {
                place: at.clone(),
                latency: file.latency,
                bandwidth: file.bandwidth,
                loss: file.loss,
            });
            if file.loss.get() >= 1.0 {
                self.problem(
                    &format!("{at}.loss"),
                    "a share below 100%",
                    Some("write a fault with partition".to_owned()),
                );
            }
            let Some((a, b)) =
                file.between.as_ref().and_then(|b| self.ends(&format!("{at}.between"), b, hosts))
            else {
                continue;
            };
            let rank = u8::from(a.exact) + u8::from(b.exact);
            let mut pairs: Vec<(usize, usize)> = Vec::new();
            for x in a.places.iter().map(|p| number(*p)) {
                pairs.extend(b.places.iter().map(|p| number(*p)).flat_map(|y| [(x, y), (y, x)]));
            }
            pairs.sort_unstable();
            pairs.dedup();
            for (x, y) in pairs {
                let place = &mut found[x * places + y];
                match *place {
                    Some((_, before)) if before > rank => {}
                    Some((other, before)) if before == rank => {
                        let other = network.links[usize::from(other)].place.clone();
                        let expected = format!("two places that {other} does not join already");
                        self.problem(&format!("{at}.between"), expected, None);
                        break;
                    }
                    _ => *place = Some((link, rank)),
                }
            }
        }
        network.between = found.into_iter().map(|f| f.map(|(link, _)| link)).collect();
        network
    }

    /// The two ends of a way.
    pub(super) fn ends(&mut self, at: &str, between: &List<String>, hosts: &[Host]) -> Option<(End, End)> {
        let [(_, a), (_, b)] = between.0.as_slice() else {
            self.problem(at, "two places", Some("write [\"app\", \"redis\"]".to_owned()));
            return None;
        };
        let (a, b) = (self.end(&format!("{at}[1]"), a, hosts), self.end(&format!("{at}[2]"), b, hosts));
        let (a, b) = (a?, b?);
        if a.places == [Place::Clients] && b.places == [Place::Clients] {
            self.problem(at, "at least one place other than the clients", None);
            return None;
        }
        Some((a, b))
    }

    fn end(&mut self, at: &str, text: &str, hosts: &[Host]) -> Option<End> {
        if text == "clients" {
            return Some(End { places: vec![Place::Clients], exact: true, name: text.to_owned() });
        }
        if let Some(zone) = text.strip_prefix("zone:") {
            let places = self.zone(at, zone, hosts)?.into_iter().map(Place::Host).collect();
            return Some(End { places, exact: false, name: text.to_owned() });
        }
        let name = text.strip_prefix("host:").unwrap_or(text);
        let host = self.resolve(|v| &v.hosts, at, name)?;
        Some(End { places: vec![Place::Host(HostId(host))], exact: true, name: name.to_owned() })
    }

    /// The hosts of a zone; reports where there are none.
    pub(super) fn zone(&mut self, at: &str, zone: &str, hosts: &[Host]) -> Option<Vec<HostId>> {
        let numbered = || (0_u16..).zip(hosts);
        let found: Vec<HostId> =
            numbered().filter(|(_, h)| h.zone.as_deref() == Some(zone)).map(|(i, _)| HostId(i)).collect();
        if found.is_empty() {
            let near = nearest(zone, hosts.iter().filter_map(|h| h.zone.as_deref()));
            let hint = near
                .map_or("write zone = \"...\" at its hosts".to_owned(), |n| format!("write \"zone:{n}\""));
            self.problem(at, "the zone of a host in [hosts]", Some(hint));
            return None;
        }
        Some(found)
    }
}
