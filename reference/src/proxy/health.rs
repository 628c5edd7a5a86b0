//! Health checks, by HAProxy's rules: each server every interval, over a connection of its own; so many failures in a
//! row take it out, so many successes in a row take it back in.

use std::io;
use std::rc::Rc;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{HealthCheck, Probe};

use super::Proxy;
use crate::emulated::clock::now_nanos;
use crate::http::Connection;
use crate::http::head::{NO_FIELDS, parse_response};

/// The state of one server's checks.
#[derive(Debug)]
struct Verdict {
    up: bool,
    /// Results in a row that speak against the current state.
    against: u32,
}

impl Verdict {
    fn take(&mut self, good: bool, fall: u32, rise: u32) {
        if good == self.up {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against >= if self.up { fall } else { rise } {
            *self = Self { up: good, against: 0 };
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
    let mut verdict = Verdict { up: true, against: 0 };
    loop {
        proxy.context.timer.sleep_until(next).await;
        let limit = now_nanos().saturating_add(check.timeout.as_nanos());
        let good = tokio::select! {
            good = ask(&proxy, server, request.as_deref()) => good.unwrap_or(false),
            // tokio's own timer is a millisecond late each time, and a silent server's checks follow one on another.
            () = proxy.context.timer.sleep_until(limit) => false,
        };
        let before = verdict.up;
        verdict.take(good, check.fall, check.rise);
        if verdict.up != before {
            proxy.backend.servers.set_well(server, verdict.up);
        }
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
        let mut verdict = Verdict { up: true, against: 0 };
        let results = [false, false, true, false, false, false, true, false, true, true];
        let states = results.map(|good| {
            verdict.take(good, 3, 2);
            verdict.up
        });
        assert_eq!(states, [true, true, true, true, true, false, false, false, false, true]);
    }
}
