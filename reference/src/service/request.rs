//! Which class a request belongs to: what its headers say, or, for those who come by hand, what its path looks like.

use std::cell::Cell;

use scenarios::plan::RequestId;
use scenarios::scenario::{ComponentKind, Probe, Scenario};

use super::caching::{Caching, Wanted, keys_of};
use super::sessions;
use super::walk::Errand;
use crate::component::Context;
use crate::http::Framing;
use crate::http::head::{Bad, NO_FIELDS, RequestHead, field, parse_request};

/// Names a request: 16 hexadecimal digits.
pub(crate) const REQUEST_HEADER: &str = "x-rehearsal-request";
/// Names its class.
pub(crate) const CLASS_HEADER: &str = "x-rehearsal-class";
/// How often a client sent it before; none for the first time.
pub(crate) const ATTEMPT_HEADER: &str = "x-rehearsal-attempt";
/// Asks another service for steps that are done for it: `LIST.TRIES`, the number of a list of steps in the scenario, spelled out,
/// and which attempt it is.
pub(crate) const STEPS_HEADER: &str = "x-rehearsal-steps";

/// A request as far as the service cares.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) head_len: usize,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) is_head: bool,
    pub(super) asked: Asked,
    /// The object that caches keep under this request's address.
    pub(super) wanted: Option<Wanted>,
    /// The session that its cookie names.
    pub(super) session: Option<u64>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Whether the service is well.
    Health,
    /// A class.
    Class(Errand),
    /// Some steps, for another service.
    Steps { errand: Errand, list: usize },
    /// Nothing that the scenario knows.
    Nothing,
    /// Its headers contradict the scenario.
    Malformed,
}

/// Reads a request's head; none where it is not complete yet.
///
/// # Errors
/// Where it is malformed.
pub(super) fn read(input: &[u8], context: &Context, caching: &Caching) -> Result<Option<Incoming>, Bad> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut fields = NO_FIELDS;
    let Some(head) = parse_request(input, &mut fields)? else { return Ok(None) };
    let asked = asked(&head, &context.scenario);
    let wanted = match asked {
        Asked::Class(Errand { class, .. }) => {
            caching.wanted(class, &context.scenario.requests[class].path, &head, &context.scenario)
        }
        _ => None,
    };
    Ok(Some(Incoming {
        head_len: head.len,
        framing: head.framing,
        keep_alive: head.keep_alive,
        is_head: head.method == "HEAD",
        asked,
        wanted,
        session: field(head.headers, "cookie").and_then(sessions::named),
    }))
}

fn asked(head: &RequestHead<'_, '_>, scenario: &Scenario) -> Asked {
    let class = match field(head.headers, CLASS_HEADER) {
        Some(name) => match scenario.requests.iter().position(|c| c.name.as_bytes() == name) {
            Some(class) => class,
            None => return Asked::Malformed,
        },
        None => {
            let path = head.target.split('?').next().unwrap_or("");
            // A check carries no class, so it comes before a class with the same path, whose requests name it.
            if head.method == "GET" && is_checked(path, scenario) {
                return Asked::Health;
            }
            let found = scenario
                .requests
                .iter()
                .position(|c| c.method.as_str() == head.method && keys_of(&c.path, path, scenario).is_some());
            match found {
                Some(class) => class,
                // For those who ask by hand, and by another method.
                None if path == "/health" || is_checked(path, scenario) => return Asked::Health,
                None => return Asked::Nothing,
            }
        }
    };
    let id = match field(head.headers, REQUEST_HEADER) {
        Some(digits) => match hexadecimal(digits) {
            Some(id) => RequestId(id),
            None => return Asked::Malformed,
        },
        None => next_by_hand(),
    };
    match field(head.headers, STEPS_HEADER) {
        None => match field(head.headers, ATTEMPT_HEADER).map_or(Some(0), attempt) {
            Some(tries) => Asked::Class(Errand { id, class, tries, is_message: false }),
            None => Asked::Malformed,
        },
        Some(text) => match steps(text) {
            Some((list, tries)) => {
                Asked::Steps { errand: Errand { id, class, tries, is_message: false }, list }
            }
            None => Asked::Malformed,
        },
    }
}

/// The number of an attempt.
fn attempt(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A list of steps and the number of the attempt.
fn steps(text: &[u8]) -> Option<(usize, u16)> {
    let (list, tries) = std::str::from_utf8(text).ok()?.split_once('.')?;
    Some((list.parse().ok()?, tries.parse().ok()?))
}

/// Requests without an id are told apart by counting; planned ids have a slice number in their upper bits, so these
/// never meet them.
fn next_by_hand() -> RequestId {
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
    RequestId(NEXT.replace(NEXT.get() + 1))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 16)?;
    u64::from_str_radix(text, 16).ok()
}

/// Whether a load balancer's checks or a cache's probes ask for this path.
fn is_checked(path: &str, scenario: &Scenario) -> bool {
    scenario.components.iter().any(|component| match &component.kind {
        ComponentKind::LoadBalancer(balancer) => balancer
            .health_check
            .as_ref()
            .is_some_and(|c| matches!(&c.probe, Probe::Http(asked) if asked == path)),
        ComponentKind::HttpCache(cache) => cache.probe.as_ref().is_some_and(|probe| probe.http == path),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(text: &str, scenario: &Scenario) -> Asked {
        let mut fields = NO_FIELDS;
        let head = parse_request(text.as_bytes(), &mut fields).expect("well-formed").expect("whole");
        asked(&head, scenario)
    }

    #[test]
    fn a_check_is_told_from_a_class_with_its_path_by_the_missing_header() {
        let text = r#"
title = "A check that asks for the front page"
[run]
duration = "10s"
[hosts.edge]
[hosts.app]
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
health_check = { http = "/", interval = "1s" }
[components.shop]
kind = "service"
host = "app"
workers = 4
[requests.front]
path = "/"
[[requests.front.steps]]
work = "1ms"
[requests.other]
path = "/other"
[[requests.other.steps]]
work = "1ms"
[traffic.people]
to = "balancer"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { front = 1, other = 1 }
"#;
        let scenario = Scenario::parse("front.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let asked = |text: &str| asked_by(text, &scenario);
        assert_eq!(asked("GET / HTTP/1.1\r\nhost: h\r\n\r\n"), Asked::Health);
        assert_eq!(asked("GET /health HTTP/1.1\r\nhost: h\r\n\r\n"), Asked::Health);
        let named = asked("GET / HTTP/1.1\r\nhost: h\r\nx-rehearsal-class: front\r\n\r\n");
        assert!(matches!(named, Asked::Class(Errand { class: 0, tries: 0, .. })), "{named:?}");
        let by_path = asked("GET /other HTTP/1.1\r\nhost: h\r\n\r\n");
        assert!(matches!(by_path, Asked::Class(Errand { class: 1, .. })), "{by_path:?}");
        let again =
            |tries| asked(&format!("GET /other HTTP/1.1\r\nhost: h\r\n{ATTEMPT_HEADER}: {tries}\r\n\r\n"));
        assert!(matches!(again("2"), Asked::Class(Errand { class: 1, tries: 2, .. })), "{:?}", again("2"));
        assert_eq!(again("two"), Asked::Malformed);
        assert_eq!(asked("GET /nowhere HTTP/1.1\r\nhost: h\r\n\r\n"), Asked::Nothing);
    }
}
