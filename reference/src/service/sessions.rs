//! Sessions that an instance keeps, as PHP keeps them in files of its node: who comes back to another instance, or to the same one
//! after it died, is not known there. The user's client names the session by a cookie.
//!
//! Only requests of traffic whose sessions have `state = "instance"` are asked for one, and only where the answer is nobody else's:
//! what HTTP caches keep has no cookies.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::io::Write;

use scenarios::Scenario;
use scenarios::plan::RequestId;
use scenarios::scenario::{Executor, SessionState};

/// The cookie's name.
const COOKIE: &str = "rehearsal-session";
/// Sessions that are kept; the oldest goes where there are more.
const SESSIONS_LIMIT: usize = 4 << 20;

/// The sessions of an instance.
#[derive(Debug)]
pub(super) struct Sessions {
    /// By traffic: whether its users have sessions that instances keep.
    kept: Vec<bool>,
    known: RefCell<Known>,
    lost: Cell<u64>,
}

#[derive(Debug, Default)]
struct Known {
    names: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl Sessions {
    /// Nobody was here yet.
    pub(super) fn new(scenario: &Scenario) -> Self {
        let kept = scenario.traffic.iter().map(
            |traffic| matches!(&traffic.executor, Executor::Sessions(s) if s.state == SessionState::Instance),
        );
        Self { kept: kept.collect(), known: RefCell::default(), lost: Cell::new(0) }
    }

    /// Whether any traffic has such sessions.
    pub(super) fn are_kept(&self) -> bool {
        self.kept.contains(&true)
    }

    /// How many there are, and how many came that were not known.
    pub(super) fn figures(&self) -> [f64; 2] {
        [self.known.borrow().names.len() as f64, self.lost.get() as f64]
    }

    /// A request has a good answer: the session that it named is known, or one begins, which the answer says.
    pub(super) fn note(&self, id: RequestId, named: Option<u64>, out: &mut Vec<u8>) {
        if !self.kept.get(id.traffic().index()).copied().unwrap_or(false) {
            return;
        }
        let mut known = self.known.borrow_mut();
        if named.is_some_and(|name| known.names.contains(&name)) {
            return;
        }
        // The request that begins it names it.
        if known.names.insert(id.0) {
            known.in_order.push_back(id.0);
        }
        if known.in_order.len() > SESSIONS_LIMIT
            && let Some(oldest) = known.in_order.pop_front()
        {
            known.names.remove(&oldest);
        }
        let lost = if named.is_some() { "; Rehearsal-Lost" } else { "" };
        self.lost.set(self.lost.get() + u64::from(named.is_some()));
        write!(out, "set-cookie: {COOKIE}={:016x}; Path=/; HttpOnly; SameSite=Lax{lost}\r\n", id.0)
            .expect("writing to a vector cannot fail");
    }
}

/// The session that a `Cookie` field names.
pub(super) fn named(field: &[u8]) -> Option<u64> {
    let value = |pair: &[u8]| {
        let digits = pair.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    field.split(|byte| *byte == b';').find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_lost_where_it_is_not_known_and_begins_anew_there() {
        let text = r#"
title = "Sessions"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
steps = [{ work = "1ms" }]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { page = 1 }
session = { requests = 3, think = "1s", state = "instance" }
"#;
        let scenario = Scenario::parse("sessions.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let note = |sessions: &Sessions, id: u64, named: Option<u64>| {
            let mut out = Vec::new();
            sessions.note(RequestId(id), named, &mut out);
            String::from_utf8(out).expect("text")
        };
        let [here, there] = [(); 2].map(|()| Sessions::new(&scenario));
        let begun = note(&here, 7, None);
        assert!(
            begun.starts_with("set-cookie: rehearsal-session=0000000000000007; ") && !begun.contains("Lost")
        );
        assert_eq!(note(&here, 8, Some(7)), "", "it is known");
        assert!(
            note(&there, 9, Some(7))
                .contains("=0000000000000009; Path=/; HttpOnly; SameSite=Lax; Rehearsal-Lost")
        );
        assert_eq!(note(&there, 10, Some(9)), "", "a loss counts once");
        assert_eq!((here.figures(), there.figures()), ([1.0, 0.0], [1.0, 1.0]));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (field, name) in [
            ("a=b; rehearsal-session=00ff; c", Some(255)),
            ("rehearsal-session=xyz", None),
            ("xrehearsal-session=1", None),
            ("", None),
        ] {
            assert_eq!(named(field.as_bytes()), name, "{field}");
        }
    }
}
