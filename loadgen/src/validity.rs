//! Whether a run may be believed: did the generator take every request up on time?
//!
//! A server that is too slow makes a run fail its thresholds; it never makes it invalid. A generator that was late in
//! taking requests up, which no server can cause, or a machine that stood still, makes it invalid whatever the figures say.

use results::Frame;
use scenarios::units::SimTime;

use crate::engine::ledger::{Account, LATE, SATURATED};
use crate::evidence::Used;

/// A machine that stood still for longer makes the run invalid.
pub const STALL: SimTime = SimTime::from_millis(100);
/// The share of requests that may be taken up late.
pub const LATE_SHARE: f64 = 0.01;
/// The share by which what was sent or dropped may differ from what was planned.
pub const SENT_SHARE: f64 = 0.01;
/// The share of a window in which the generator's threads may have had no time to spare.
pub const SATURATED_SHARE: f64 = 0.1;
/// Shorter windows, in nanoseconds of thread time, are not judged by that.
const WATCHED_NANOS: u64 = 1_000_000_000;
/// Windows with fewer requests than this are not judged: one late request would be too many.
const JUDGED: u64 = 100;

/// The reasons why a run is invalid: none if it is valid. `accounts` are those of all threads, in the frame's order of
/// windows; `used` is what the generator and its machine used over the whole run.
pub(crate) fn judge(frame: &Frame, accounts: &[Account], stall: SimTime, used: Used) -> Vec<String> {
    let mut reasons = Vec::new();
    // A generator that is late and nearly idle was kept from the processor by others.
    let circumstances =
        format!("it used {:.2} cores, the machine was {:.0}% busy", used.own_cores, used.machine * 100.0);
    if stall > STALL {
        reasons.push(format!(
            "the machine stood still for {:.0} ms (limit {:.0} ms): neither server nor generator is to blame",
            stall.as_secs_f64() * 1e3,
            STALL.as_secs_f64() * 1e3,
        ));
    }
    for (window, account) in frame.windows.iter().zip(accounts).filter(|(window, _)| window.is_measured()) {
        let late = share(account.late, account.planned);
        if account.planned >= JUDGED && late > LATE_SHARE {
            reasons.push(format!(
                "window {:?}: {:.1}% of the requests were taken up more than {:.0} ms late \
                 (limit {:.0}%): the generator could not keep to the plan ({circumstances})",
                window.name,
                late * 100.0,
                LATE.as_secs_f64() * 1e3,
                LATE_SHARE * 100.0,
            ));
        }
        let saturated = share(account.saturated_nanos, account.watched_nanos);
        if account.watched_nanos >= WATCHED_NANOS && saturated > SATURATED_SHARE {
            reasons.push(format!(
                "window {:?}: in {:.0}% of it (limit {:.0}%) the generator had no time to spare: its threads worked, or waited for \
                 a processor, for more than {:.0}% of a second, so answers waited for them ({circumstances}; more --threads, or \
                 fewer users, give it some)",
                window.name,
                saturated * 100.0,
                SATURATED_SHARE * 100.0,
                SATURATED * 100.0,
            ));
        }
        // What was dropped was taken up, and found no room: that is the server's doing.
        let taken_up = account.sent + account.dropped;
        let missing = share(account.planned.abs_diff(taken_up), account.planned);
        if account.planned >= JUDGED && missing > SENT_SHARE {
            reasons.push(format!(
                "window {:?}: {} requests were planned and {} sent{} (limit {:.0}% apart): the generator did not deliver the plan ({circumstances})",
                window.name,
                account.planned,
                account.sent,
                if account.dropped > 0 { format!(", {} dropped", account.dropped) } else { String::new() },
                SENT_SHARE * 100.0,
            ));
        }
    }
    reasons
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(account: Account, stall: SimTime) -> Vec<String> {
        let second = SimTime::from_secs;
        let frame = Frame::cut(second(1), second(10), 1, &[]);
        // The warm-up is as bad as can be, and nobody minds.
        let warmup = Account { planned: 1_000, late: 1_000, ..Account::default() };
        judge(&frame, &[warmup, account], stall, Used { own_cores: 0.03, machine: 0.99, stolen_cores: 0.0 })
    }

    #[test]
    fn a_run_delivered_on_time_is_valid() {
        let account = Account { planned: 1_000, sent: 1_000, late: 10, dropped: 0, ..Account::default() };
        assert_eq!(reasons(account, SimTime::from_millis(100)), Vec::<String>::new());
    }

    #[test]
    fn a_late_generator_is_invalid() {
        let account = Account { planned: 1_000, sent: 1_000, late: 11, dropped: 0, ..Account::default() };
        let reasons = reasons(account, SimTime::ZERO);
        assert!(
            reasons.len() == 1 && reasons[0].ends_with("(it used 0.03 cores, the machine was 99% busy)"),
            "{reasons:?}"
        );
    }

    #[test]
    fn a_slow_server_is_not_the_generators_fault() {
        // Nothing found a free connection, and most of it was dropped.
        let account = Account { planned: 1_000, sent: 300, late: 0, dropped: 700, ..Account::default() };
        assert_eq!(reasons(account, SimTime::ZERO), Vec::<String>::new());
    }

    #[test]
    fn a_generator_too_busy_to_read_answers_is_not_excused_by_the_lack_of_connections() {
        let account = Account { planned: 1_000, sent: 300, late: 700, dropped: 700, ..Account::default() };
        assert_eq!(reasons(account, SimTime::ZERO).len(), 1);
    }

    #[test]
    fn a_generator_without_time_to_spare_is_invalid() {
        let watched = |saturated| Account {
            planned: 1_000,
            sent: 1_000,
            watched_nanos: 10_000_000_000,
            saturated_nanos: saturated,
            ..Account::default()
        };
        assert_eq!(reasons(watched(1_000_000_000), SimTime::ZERO), Vec::<String>::new());
        let reasons = reasons(watched(2_000_000_000), SimTime::ZERO);
        assert!(reasons.len() == 1 && reasons[0].contains("in 20% of it"), "{reasons:?}");
    }

    #[test]
    fn an_undelivered_plan_is_invalid() {
        let account = Account { planned: 1_000, sent: 900, late: 0, dropped: 0, ..Account::default() };
        let reasons = reasons(account, SimTime::ZERO);
        assert!(
            reasons.len() == 1 && reasons[0].contains("1000 requests were planned and 900 sent"),
            "{reasons:?}"
        );
    }

    #[test]
    fn drops_excuse_no_more_than_themselves() {
        let account = Account { planned: 1_000, sent: 900, late: 0, dropped: 50, ..Account::default() };
        let reasons = reasons(account, SimTime::ZERO);
        assert!(
            reasons.len() == 1 && reasons[0].contains("1000 requests were planned and 900 sent, 50 dropped"),
            "{reasons:?}"
        );
    }

    #[test]
    fn a_machine_that_stood_still_is_named_as_the_reason() {
        let reasons = reasons(Account::default(), SimTime::from_millis(101));
        assert!(
            reasons.len() == 1 && reasons[0].contains("the machine stood still for 101 ms"),
            "{reasons:?}"
        );
    }
}
