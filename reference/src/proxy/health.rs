//! Health checks, by HAProxy's rules: each server every interval, over a connection of its own; so many failures in a
//! row take it out, so many successes in a row take it back in. Where real requests are watched too, so many errors in a
//! row are one finding.

use std::io;
use std::rc::Rc;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{HealthCheck, Observe, ObservedLayer, OnErrors, Probe};

use super::Proxy;
use crate::edge::announcement;
use crate::emulated::clock::now_nanos;
use crate::http::Connection;
use crate::http::head::{NO_FIELDS, parse_response};

/// What is known of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) up: bool,
    /// Results in a row that speak against the current state.
    against: u32,
    /// Errors in a row of real requests.
    errors: u32,
}

/// How a real request fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A connection failed.
    NoConnection,
    /// It has a connection.
    Connection,
    /// No answer, half a one, or one that tells of the server's failure.
    NoAnswer,
    /// A good answer.
    Answer,
}

impl Seen {
    /// What an answer's status says of its server (HAProxy's `http_ana.c`): 501 and 505 are the request's fault.
    pub(super) fn of_status(status: u16) -> Self {
        if status < 500 || status == 501 || status == 505 { Self::Answer } else { Self::NoAnswer }
    }
}

/// When a server counts as down, and when as up again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    fall: u32,
    rise: u32,
    observe: Option<Observe>,
}

impl Rules {
    /// Those of a check; without one no server is ever down.
    pub(super) fn of(check: Option<&HealthCheck>) -> Self {
        let forever = Self { fall: u32::MAX, rise: 1, observe: None };
        check.map_or(forever, |check| Self { fall: check.fall, rise: check.rise, observe: check.observe })
    }

    /// Whether anybody wants to know how real requests fare.
    pub(super) fn observes(&self) -> bool {
        self.observe.is_some()
    }
}

impl Verdict {
    /// Of a server of which nothing is known.
    pub(super) const UP: Self = Self { up: true, against: 0, errors: 0 };

    /// Takes in what a check found.
    pub(super) fn take(&mut self, good: bool, rules: &Rules) {
        if good == self.up {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against >= if self.up { rules.fall } else { rules.rise } {
            *self = Self { up: good, against: 0, errors: self.errors };
        }
    }

    /// Takes in how a real request fared (`__health_adjust` of HAProxy's `check.c`, and its table of what is an error in which
    /// layer).
    pub(super) fn observe(&mut self, seen: Seen, rules: &Rules) {
        let Some(observe) = &rules.observe else { return };
        match (observe.layer, seen) {
            (_, Seen::NoConnection) | (ObservedLayer::Answer, Seen::NoAnswer) => self.errors += 1,
            (ObservedLayer::Connection, Seen::Connection) | (ObservedLayer::Answer, Seen::Answer) => {
                self.errors = 0;
            }
            _ => {}
        }
        if self.errors < observe.error_limit {
            return;
        }
        self.errors = 0;
        let left = rules.fall.saturating_sub(self.against);
        match observe.on_error {
            OnErrors::MarkDown => *self = Self { up: false, against: 0, errors: 0 },
            OnErrors::SuddenDeath if self.up && left > 1 => self.against = rules.fall - 1,
            _ if self.up => self.take(false, rules),
            // It ends a row of good checks.
            _ => self.against = 0,
        }
    }
}

/// Checks a server for ever.
pub(super) async fn watch(proxy: Rc<Proxy>, server: usize, check: HealthCheck) {
    let interval = check.interval.as_nanos().max(1);
    // The phase is random, but the same in every run of the seed.
    let purpose = Purpose::named("health-phase").of(u64::from(proxy.context.instance));
    let phase = Stream::new(proxy.context.scenario.run.seed, purpose, server as u64).unit();
    let mut next = now_nanos() + (phase * interval as f64) as u64;
    // None where a connection that opens is enough.
    let request = match &check.probe {
        Probe::Http(path) => {
            Some(format!("GET {path} HTTP/1.1\r\nhost: health\r\nconnection: close\r\n\r\n"))
        }
        Probe::Tcp => None,
    };
    loop {
        proxy.context.timer.sleep_until(next).await;
        let limit = now_nanos().saturating_add(check.timeout.as_nanos());
        let good = tokio::select! {
            good = ask(&proxy, server, request.as_deref()) => good.unwrap_or(false),
            // tokio's own timer is a millisecond late each time, and a silent server's checks follow one on another.
            () = proxy.context.timer.sleep_until(limit) => false,
        };
        proxy.backend.servers.learn(server, good);
        next = following(next, now_nanos(), interval);
    }
}

/// When the check after the one of `due` begins. The phase is kept, and checks that were missed while this process was
/// stopped are not made up for; but the check of a silent server ends when the next is due, or just after, and that
/// one is not missed.
fn following(due: u64, now: u64, interval: u64) -> u64 {
    due + interval * (now.saturating_sub(due) / interval).max(1)
}

/// Whether a server gives a check what it wants.
async fn ask(proxy: &Proxy, server: usize, request: Option<&str>) -> io::Result<bool> {
    let mut connection = Connection::connect(proxy.backend.servers.address(server), None).await?;
    if let Some(version) = proxy.backend.send_proxy {
        connection.write_all(announcement::own(version)).await?;
    }
    let Some(request) = request else { return Ok(true) };
    connection.write_all(request.as_bytes()).await?;
    loop {
        match parse_response(connection.input(), &mut NO_FIELDS.clone(), false) {
            Ok(Some(head)) => return Ok((200..400).contains(&head.status)),
            Ok(None) => connection.more().await?,
            Err(bad) => return Err(io::Error::other(bad)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_took_its_whole_interval_does_not_cost_the_next_one() {
        assert_eq!(following(1000, 1001, 100), 1100, "an answer at once");
        assert_eq!(following(1000, 1100, 100), 1100, "silence until the timeout");
        assert_eq!(following(1000, 1103, 100), 1100, "and the timer is a little late");
        assert_eq!(following(1000, 1750, 100), 1700, "one check after a stop, not seven");
    }

    #[test]
    fn only_results_in_a_row_change_the_state() {
        let mut verdict = Verdict::UP;
        let rules = Rules { fall: 3, rise: 2, observe: None };
        let results = [false, false, true, false, false, false, true, false, true, true];
        let states = results.map(|good| {
            verdict.take(good, &rules);
            verdict.up
        });
        assert_eq!(states, [true, true, true, true, true, false, false, false, false, true]);
    }

    fn watching(keys: &str) -> Rules {
        let check = format!("health_check = {{ tcp = true, fall = 3, rise = 2, {keys} }}");
        let text = scenarios::library::QUICKSTART.replacen("health_check", "# health_check", 1);
        let text = text.replacen("[components.balancer]\n", &format!("[components.balancer]\n{check}\n"), 1);
        let scenario = scenarios::Scenario::parse("quickstart.toml", text).expect("it is good");
        let kinds = scenario.components.iter().map(|component| &component.kind);
        let mut checks = kinds.filter_map(|kind| match kind {
            scenarios::scenario::ComponentKind::LoadBalancer(balancer) => balancer.health_check.as_ref(),
            _ => None,
        });
        Rules::of(checks.next())
    }

    #[test]
    fn errors_in_a_row_do_what_the_file_says() {
        for (on_error, findings) in [("fail-check", 3), ("sudden-death", 2), ("mark-down", 1)] {
            let rules =
                watching(&format!("observe = \"layer7\", error_limit = 2, on_error = \"{on_error}\""));
            let mut verdict = Verdict::UP;
            for error in 0..2 * findings {
                assert!(verdict.up, "{on_error}, after {error} errors");
                // One good answer begins the row anew, a connection does not.
                verdict.observe(Seen::NoConnection, &rules);
                verdict.observe(Seen::Answer, &rules);
                verdict.observe(Seen::NoAnswer, &rules);
                if error % 2 == 0 {
                    verdict.observe(Seen::Answer, &rules);
                } else {
                    verdict.observe(Seen::Connection, &rules);
                    verdict.observe(Seen::NoAnswer, &rules);
                }
            }
            assert!(!verdict.up, "{on_error}");
            verdict.take(true, &rules);
            (0..2).for_each(|_| verdict.observe(Seen::NoAnswer, &rules));
            verdict.take(true, &rules);
            assert!(!verdict.up, "{on_error}: the row of good checks was broken");
            verdict.take(true, &rules);
            assert!(verdict.up, "{on_error}");
        }
    }

    #[test]
    fn answers_are_no_matter_where_connections_are_watched() {
        let rules = watching("observe = \"layer4\", error_limit = 2, on_error = \"mark-down\"");
        let mut verdict = Verdict::UP;
        for seen in [Seen::NoAnswer, Seen::NoAnswer, Seen::NoConnection, Seen::Connection, Seen::NoConnection]
        {
            verdict.observe(seen, &rules);
        }
        assert!(verdict.up);
        verdict.observe(Seen::NoConnection, &rules);
        assert!(!verdict.up);
        assert_eq!(Seen::of_status(501), Seen::Answer);
        assert_eq!(Seen::of_status(500), Seen::NoAnswer);
    }
}
